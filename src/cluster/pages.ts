/** One page of a list: the unit of retry, cut into items while it streams. */
import type { IncomingMessage } from 'node:http'
import type { Client } from './client.ts'
import { Truncated } from './failure.ts'
import { type Fields, isFields } from './fields.ts'
import { isResource, type Resource } from './listed.ts'
import { ItemSplitter } from './splitter.ts'

export const metadataOnly = {
  /** A server that cannot do it sends full objects, of which the same part is read. */
  list: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json',
  object: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json'
} as const

export interface PageRequest {
  readonly path: string
  readonly limit: number
  /** '' for the first page. */
  readonly token: string
  readonly accept?: string | undefined
}

export interface Page<T> {
  readonly items: readonly T[]
  /** '' on the last page. */
  readonly token: string
  /** Of all items, also of those that `pick` left out. */
  readonly count: number
  readonly bytes: number
}

/** `pick` gets each item and its size, and keeps what it returns; undefined leaves the item out. */
export type Pick<T> = (item: Resource, bytes: number) => T | undefined

export async function fetchPage<T>(client: Client, request: PageRequest, pick: Pick<T>): Promise<Page<T>> {
  return client.call({ method: 'GET', path: pagePath(request), accept: request.accept }, response =>
    readPage(response, pick)
  )
}

export function pagePath({ path, limit, token }: PageRequest, more: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams({ limit: String(limit), ...more })
  if (token !== '') query.set('continue', token)
  return `${path}?${query.toString()}`
}

async function readPage<T>(response: IncomingMessage, pick: Pick<T>): Promise<Page<T>> {
  const items: T[] = []
  let count = 0
  let bytes = 0
  const splitter = new ItemSplitter(buffer => {
    count++
    bytes += buffer.length
    const picked = pick(parseItem(buffer), buffer.length)
    if (picked !== undefined) items.push(picked)
  })
  for await (const chunk of response as AsyncIterable<Buffer>) splitter.push(chunk)
  return { items, count, bytes, token: tokenOf(splitter) }
}

function parseItem(buffer: Buffer): Resource {
  const item: unknown = parsed(() => JSON.parse(buffer.toString()))
  if (!isResource(item)) throw new Truncated('an item has no metadata')
  return item
}

/** An empty object, or a page of a proxy, must never pass for "no objects": that would delete everything. */
function tokenOf(splitter: ItemSplitter): string {
  const list = parsed(() => splitter.end())
  if (!isList(list)) throw new Truncated('the answer is no list')
  return continueOf(list)
}

export const isList = (value: unknown): value is Fields =>
  isFields(value) && 'items' in value && String(value['kind']).endsWith('List')

/** '' on the last page. */
export function continueOf({ metadata }: Fields): string {
  const token = isFields(metadata) ? metadata['continue'] : ''
  return typeof token === 'string' ? token : ''
}

export function parsed(parse: () => unknown): unknown {
  try {
    return parse()
  } catch {
    throw new Truncated('the answer is no complete list')
  }
}
