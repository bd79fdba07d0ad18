/** The bench's API server, a process of its own that a parent drives by messages: whole lists in memory, pages cut from them. */
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { selfSigned } from '../support/cluster/certificate.ts'
import type { Counts, Faults, Order } from './lib/cluster.ts'
import { tableDefinitions, type Version, writer } from './lib/objects.ts'
import { fill, type Shelf } from './lib/shelf.ts'
import { namespaces, sizesOf, type Thing, thingsOf, type WorldOptions } from './lib/world.ts'

const state = {
  plurals: {} as Readonly<Record<string, string>>,
  world: undefined as WorldOptions | undefined,
  /** Generations that a status speaks of; undefined: nothing has a status yet. */
  settled: undefined as ReadonlyMap<string, number> | undefined,
  generations: new Map<string, number>(),
  gone: new Set<string>(),
  shelves: new Map<string, Shelf>(),
  faults: {} as Faults,
  secrets: 1
}
let counts: Counts = emptyCounts()
let requests = 0

function emptyCounts(): Counts {
  return {
    requests: 0,
    lists: 0,
    gets: 0,
    patches: 0,
    events: 0,
    refused: 0,
    bytesOut: 0,
    bytesIn: 0,
    connections: 0,
    firstAt: 0
  }
}

const keyOf = ({ kind, ordinal }: Thing): string => `${kind}/${ordinal}`

/** Writes everything out anew. Between runs, so its cost does not matter. */
function rebuild(): void {
  const { world, plurals } = state
  if (!world) return
  state.shelves.clear()
  const write = writer(world)
  for (const [kind, count] of sizesOf(world)) {
    const things = thingsOf(kind, count).filter(thing => !state.gone.has(keyOf(thing)))
    const versionOf = (thing: Thing): Version => ({
      generation: state.generations.get(keyOf(thing)) ?? 1,
      settled: state.settled && (state.settled.get(keyOf(thing)) ?? 1)
    })
    state.shelves.set(plurals[kind] ?? '', fill(things, versionOf, write))
  }
}

/** Every so manieth object of every kind, beginning with another one each time. */
function* someThings(share: number, offset: number): Iterable<Thing> {
  const every = Math.max(1, Math.round(1 / share))
  for (const [kind, count] of sizesOf(state.world as WorldOptions)) {
    for (let ordinal = offset % every; ordinal < count; ordinal += every)
      yield { kind, namespace: '', name: '', ordinal }
  }
}

function obey(order: Order): unknown {
  switch (order.do) {
    case 'world': {
      Object.assign(state, { plurals: order.plurals, world: order.world, settled: undefined, faults: {}, secrets: 1 })
      state.generations.clear()
      state.gone.clear()
      rebuild()
      return Object.fromEntries(sizesOf(order.world))
    }
    case 'settle':
      state.settled = new Map(state.generations)
      rebuild()
      return undefined
    case 'last-applied':
      state.world = { ...(state.world as WorldOptions), lastApplied: order.on }
      rebuild()
      return undefined
    case 'change': {
      let changed = 0
      for (const thing of someThings(order.share, order.offset)) {
        if (state.gone.has(keyOf(thing))) continue
        state.generations.set(keyOf(thing), (state.generations.get(keyOf(thing)) ?? 1) + 1)
        changed++
      }
      rebuild()
      return changed
    }
    case 'delete': {
      const before = state.gone.size
      for (const thing of someThings(order.share, order.offset))
        if (order.kinds.includes(thing.kind)) state.gone.add(keyOf(thing))
      rebuild()
      return state.gone.size - before
    }
    case 'faults':
      state.faults = order.faults
      return undefined
    case 'counts': {
      const result = counts
      if (order.reset) counts = emptyCounts()
      return result
    }
  }
}

interface Answer {
  readonly status?: number
  readonly parts: readonly (Buffer | string)[]
  readonly headers?: Readonly<Record<string, string>>
}

const status = (code: number, reason: string): Answer => ({
  status: code,
  parts: [
    JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: reason, reason, code })
  ]
})

async function list(shelf: Shelf, kind: string, url: URL, accept: string): Promise<Answer> {
  counts.lists++
  if (state.faults.slowMs) await sleep(state.faults.slowMs)
  const from = Number(url.searchParams.get('continue') ?? 0)
  const limit = Number(url.searchParams.get('limit') ?? 0) || shelf.count
  const to = Math.min(shelf.count, from + limit)
  const metadata = {
    resourceVersion: '5000000',
    ...(to < shelf.count && { continue: String(to), remainingItemCount: shelf.count - to })
  }
  if (accept.includes('as=Table')) {
    const form = url.searchParams.get('includeObject') === 'None' ? 'table' : 'table-metadata'
    const head = `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":${JSON.stringify(metadata)},"columnDefinitions":${tableDefinitions},"rows":[`
    return { parts: [head, shelf.slice(form, from, to), ']}'] }
  }
  const bare = accept.includes('PartialObjectMetadataList')
  const head = bare
    ? `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":${JSON.stringify(metadata)},"items":[`
    : `{"apiVersion":"windmill.dev/v1alpha1","kind":"${kind}List","metadata":${JSON.stringify(metadata)},"items":[`
  return { parts: [head, shelf.slice(bare ? 'metadata' : 'full', from, to), ']}'] }
}

function custom(path: readonly string[], request: http.IncomingMessage, url: URL): Answer | Promise<Answer> {
  const [namespace, plural = '', name, sub] = path[0] === 'namespaces' ? path.slice(1) : ['', path[0]]
  const kind = Object.keys(state.plurals).find(one => state.plurals[one] === plural)
  const shelf = state.shelves.get(plural)
  const accept = request.headers.accept ?? ''
  // Kinds that the program does not reconcile yet have CRDs, and no objects.
  if (!shelf || !kind)
    return list(
      fill(
        [],
        () => ({ generation: 1, settled: undefined }),
        () => ({ full: '', metadata: '' })
      ),
      'Nothing',
      url,
      accept
    )
  if (name === undefined) return list(shelf, kind, url, accept)
  const index = shelf.find(namespace ?? '', name)
  if (index === undefined) return status(404, 'NotFound')
  if (request.method === 'PATCH' && sub === 'status') counts.patches++
  else counts.gets++
  return { parts: [shelf.one(accept.includes('as=PartialObjectMetadata') ? 'metadata' : 'full', index)] }
}

function core(path: readonly string[], accept: string): Answer {
  counts.gets++
  const bare = accept.includes('as=PartialObjectMetadata')
  const [, namespace = '', what, name = ''] = path
  const named = (of: string): object => ({
    name: of,
    uid: `00000000-0000-4000-8000-${Buffer.from(of).toString('hex').slice(0, 12).padEnd(12, '0')}`,
    resourceVersion: String(state.secrets)
  })
  const whole = (object: object): Answer => ({ parts: [JSON.stringify(object)] })
  if (namespace === '') {
    const items = ['kube-system', ...namespaces].map(one => ({ metadata: named(one) }))
    return whole({ kind: bare ? 'PartialObjectMetadataList' : 'NamespaceList', apiVersion: 'v1', metadata: {}, items })
  }
  if (what === undefined) return whole({ kind: 'Namespace', apiVersion: 'v1', metadata: named(namespace) })
  const metadata = { ...named(name), namespace }
  if (bare) return whole({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata })
  return whole({
    kind: what === 'secrets' ? 'Secret' : 'ConfigMap',
    apiVersion: 'v1',
    metadata,
    data: what === 'secrets' ? secretData(name) : { main: configText }
  })
}

const configText = `def main(day: str, limit: int = 100):\n${'    print(day)\n'.repeat(300)}    return day\n`

/** Twenty keys: those that variables of this group and namespace name. */
function secretData(name: string): object {
  const group = Number(name.split('-')[1])
  const first = group * 4 * namespaces.length * 20
  const ordinals = Array.from({ length: namespaces.length * 20 * 4 }, (_, index) => first + index).filter(
    one => one % 4 === 0
  )
  return Object.fromEntries(ordinals.map(one => [`key-${one}`, Buffer.from(`secret number ${one}`).toString('base64')]))
}

async function answer(request: http.IncomingMessage): Promise<Answer> {
  const url = new URL(request.url ?? '/', 'http://localhost')
  const path = url.pathname.split('/').filter(part => part !== '')
  const { tooMany } = state.faults
  if (tooMany && requests % Math.round(1 / tooMany) === 0) {
    counts.refused++
    return { ...status(429, 'TooManyRequests'), headers: { 'retry-after': '1' } }
  }
  if (request.method === 'POST') {
    counts.events++
    return { status: 201, parts: ['{}'] }
  }
  if (path[0] === 'apis') return custom(path.slice(3), request, url)
  return core(path.slice(2), request.headers.accept ?? '')
}

function serve(request: http.IncomingMessage, response: http.ServerResponse): void {
  requests++
  counts.requests++
  counts.firstAt ||= Date.now()
  request.on('data', (chunk: Buffer) => (counts.bytesIn += chunk.length))
  request.on('end', () => {
    void reply(request, response)
  })
}

async function reply(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const { status: code = 200, parts, headers = {} } = await answer(request)
  const length = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0)
  counts.bytesOut += length
  response.cork()
  response.writeHead(code, { 'content-type': 'application/json', 'content-length': length, ...headers })
  for (const part of parts) response.write(part)
  response.end()
  response.uncork()
}

const tls = process.argv.includes('--tls')
const certificate = tls ? selfSigned() : undefined
const server = certificate ? https.createServer(certificate, serve) : http.createServer(serve)
server.keepAliveTimeout = 60_000
server.on(tls ? 'secureConnection' : 'connection', () => counts.connections++)
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port, ca: certificate?.cert })
})
process.on('message', (order: Order & { id: number }) => process.send?.({ id: order.id, result: obey(order) }))
process.on('disconnect', () => process.exit())
