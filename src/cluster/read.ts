/** Reads the specs of wanted CRs: one by one while they are few, by full lists when they are many. */
import type { Listed, Manifest } from '../model.ts'
import { type Client, parseJson, readBody } from './client.ts'
import { Refused, Truncated, toSyncError } from './failure.ts'
import { inParallel, isExpired, kindPath, kindPaths, type ListKind, type ListScope, meaning } from './list.ts'
import { isResource, type Resource, toListed } from './listed.ts'
import { fetchPage, type Page } from './pages.ts'

/** A chunk is what the caller holds at once. */
const chunkObjects = 500
const chunkBytes = 4 * 1024 * 1024
/** A GET costs about five times what an object of a list costs (design, platform §0). */
const fewShare = 0.2
const fewCount = 50

interface Sized {
  readonly manifest: Manifest
  readonly bytes: number
}

export interface Reading {
  readonly kind: ListKind
  readonly wanted: readonly Listed[]
  readonly total: number
  readonly scope: ListScope
}

const byGets = (wanted: number, total: number): boolean => wanted <= fewCount || wanted <= total * fewShare

export async function* readKind(client: Client, reading: Reading): AsyncGenerator<readonly Manifest[]> {
  const { wanted, total } = reading
  if (wanted.length === 0) return
  yield* inChunks(byGets(wanted.length, total) ? getEach(client, reading, wanted) : fromLists(client, reading))
}

async function* inChunks(groups: AsyncIterable<readonly Sized[]>): AsyncGenerator<readonly Manifest[]> {
  let chunk: Manifest[] = []
  let size = 0
  for await (const part of groups) {
    for (const { manifest, bytes } of part) {
      chunk.push(manifest)
      size += bytes
      if (chunk.length < chunkObjects && size < chunkBytes) continue
      yield chunk
      chunk = []
      size = 0
    }
  }
  if (chunk.length > 0) yield chunk
}

/** Windows of two requests per connection: the objects of a window are all that is held besides the chunk. */
async function* getEach(client: Client, reading: Reading, wanted: readonly Listed[]): AsyncGenerator<readonly Sized[]> {
  const { concurrency } = reading.scope
  const make = maker(reading)
  for (let at = 0; at < wanted.length; at += concurrency * 2) {
    const window = wanted.slice(at, at + concurrency * 2)
    const found = await inParallel(window, concurrency, one => getOne(client, reading.kind, one))
    yield found.flatMap((one, index) =>
      one && isSame(one.resource, window[index]) ? [make(one.resource, one.bytes)] : []
    )
  }
}

interface Got {
  readonly resource: Resource
  readonly bytes: number
}

async function getOne(client: Client, kind: ListKind, { namespace, name }: Listed): Promise<Got | undefined> {
  const path = `${kindPath(kind, namespace)}/${encodeURIComponent(name)}`
  try {
    return await client.call({ method: 'GET', path }, async response => {
      const body = await readBody(response)
      const resource = parseJson(body)
      if (!isResource(resource)) throw new Truncated('the answer is no object')
      return { resource, bytes: body.length }
    })
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return undefined
    throw toSyncError(error, meaning(kind, path, 'get'))
  }
}

/** Deleted and created again under the same name is another object, which the next run will list. */
const isSame = ({ metadata }: Resource, wanted: Listed | undefined): boolean =>
  wanted !== undefined && (wanted.uid === '' || metadata.uid === wanted.uid)

/** One string for all, as in listing: see ListedOptions. */
function maker({ kind, scope }: Reading): (resource: Resource, bytes: number) => Sized {
  const options = { kind: kind.kind, labels: scope.labels, shared: new Map<string, string>() }
  return ({ metadata, spec }, bytes) => ({ manifest: { listed: toListed(metadata, options), spec }, bytes })
}

/** Objects that were not met when a list expires are read one by one: those delivered must not come twice. */
async function* fromLists(client: Client, reading: Reading): AsyncGenerator<readonly Sized[]> {
  const missing = new Map(reading.wanted.map(one => [keyOf(one.namespace, one.name), one]))
  const namespaces = reading.scope.namespaces.length === 0 ? [] : reading.wanted.map(one => one.namespace)
  for (const path of kindPaths(reading.kind, namespaces)) {
    try {
      yield* fromList(client, path, { reading, missing })
    } catch (error) {
      if (!isExpired(error)) throw toSyncError(error, meaning(reading.kind, path, 'list'))
      yield* getEach(client, reading, [...missing.values()])
      return
    }
  }
}

const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`

interface Search {
  readonly reading: Reading
  readonly missing: Map<string, Listed>
}

/** The next page is under way while the caller works on this one. */
async function* fromList(client: Client, path: string, { reading, missing }: Search): AsyncGenerator<readonly Sized[]> {
  const make = maker(reading)
  const fetch = (token: string, limit: number): Promise<Page<Sized>> => {
    const page = fetchPage(client, { path, limit, token }, (item, bytes) =>
      isSame(item, missing.get(keyOf(item.metadata.namespace ?? '', item.metadata.name)))
        ? make(item, bytes)
        : undefined
    )
    // Whoever stops iterating never looks at it.
    page.catch(() => {})
    return page
  }
  let next: Promise<Page<Sized>> | undefined = fetch('', Math.min(100, reading.scope.pageSize))
  while (next) {
    const page: Page<Sized> = await next
    for (const { manifest } of page.items) missing.delete(keyOf(manifest.listed.namespace, manifest.listed.name))
    const more = page.token !== '' && missing.size > 0
    next = more ? fetch(page.token, limitFor(page, reading.scope.pageSize)) : undefined
    if (page.items.length > 0) yield page.items
  }
}

/** Pages of about one chunk: 500 objects of a megabyte would not fit into the job's memory. */
const limitFor = ({ bytes, count }: Page<unknown>, most: number): number =>
  count === 0 ? most : Math.max(5, Math.min(most, Math.floor((chunkBytes * count) / bytes)))
