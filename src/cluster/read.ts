/** Reads the specs of wanted CRs: one by one while they are few, by full lists when they are many. */
import type { Listed, Manifest } from '../model.ts'
import { Positions, type Wanted } from '../roster.ts'
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
  readonly wanted: Wanted
  readonly scope: ListScope
}

const byGets = (wanted: number, total: number): boolean => wanted <= fewCount || wanted <= total * fewShare

export async function* readKind(client: Client, reading: Reading): AsyncGenerator<readonly Manifest[]> {
  const { wanted } = reading
  if (wanted.size === 0) return
  yield* inChunks(
    byGets(wanted.size, wanted.roster.size) ? getEach(client, reading, wanted) : fromLists(client, reading)
  )
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
async function* getEach(client: Client, reading: Reading, wanted: Wanted): AsyncGenerator<readonly Sized[]> {
  const { concurrency } = reading.scope
  const make = maker(reading)
  for (const window of windowsOf(wanted, concurrency * 2)) {
    const found = await inParallel(window, concurrency, one => getOne(client, reading.kind, one))
    yield found.flatMap((one, index) =>
      one && isSame(one.resource, window[index]) ? [make(one.resource, one.bytes)] : []
    )
  }
}

function* windowsOf(wanted: Wanted, size: number): Generator<readonly Listed[]> {
  let window: Listed[] = []
  for (const one of wanted) {
    window.push(one)
    if (window.length < size) continue
    yield window
    window = []
  }
  if (window.length > 0) yield window
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
  const { kind, wanted, scope } = reading
  const met = new Positions(wanted.roster.size)
  const namespaces = new Set(scope.namespaces.length === 0 ? [] : [...wanted].map(one => one.namespace))
  for (const path of kindPaths(kind, [...namespaces])) {
    try {
      yield* fromList(client, path, { reading, met })
    } catch (error) {
      if (!isExpired(error)) throw toSyncError(error, meaning(kind, path, 'list'))
      yield* getEach(client, reading, wanted.without(met))
      return
    }
  }
}

interface Search {
  readonly reading: Reading
  /** Filled with what was delivered. */
  readonly met: Positions
}

interface Placed extends Sized {
  readonly position: number
}

/** The next page is under way while the caller works on this one. */
async function* fromList(client: Client, path: string, { reading, met }: Search): AsyncGenerator<readonly Sized[]> {
  const make = maker(reading)
  const { wanted, scope } = reading
  const pick = (item: Resource, bytes: number): Placed | undefined => {
    const position = wanted.positionOf(item.metadata.namespace ?? '', item.metadata.name)
    if (position === undefined || met.has(position) || !isSame(item, wanted.roster.at(position))) return undefined
    return { ...make(item, bytes), position }
  }
  const fetch = (token: string, limit: number): Promise<Page<Placed>> => {
    const page = fetchPage(client, { path, limit, token }, pick)
    // Whoever stops iterating never looks at it.
    page.catch(() => {})
    return page
  }
  let next: Promise<Page<Placed>> | undefined = fetch('', Math.min(100, scope.pageSize))
  while (next) {
    const page: Page<Placed> = await next
    for (const { position } of page.items) met.add(position)
    const more = page.token !== '' && met.size < wanted.size
    next = more ? fetch(page.token, limitFor(page, scope.pageSize)) : undefined
    if (page.items.length > 0) yield page.items
  }
}

/** Pages of about one chunk: 500 objects of a megabyte would not fit into the job's memory. */
const limitFor = ({ bytes, count }: Page<unknown>, most: number): number =>
  count === 0 ? most : Math.max(5, Math.min(most, Math.floor((chunkBytes * count) / bytes)))
