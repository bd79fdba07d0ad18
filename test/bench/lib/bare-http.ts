/** HTTP without any care, for floors and rivals: kept-alive connections, no retries. Settings come by environment. */
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'

const server = new URL(process.env['BENCH_SERVER'] ?? 'http://127.0.0.1')
const caFile = process.env['BENCH_CA']
const secure = server.protocol === 'https:'
const agents = new Map<number, http.Agent>()

function agentFor(sockets: number): http.Agent {
  const found = agents.get(sockets)
  if (found) return found
  const options = { keepAlive: true, maxSockets: sockets }
  const made = secure
    ? new https.Agent({ ...options, ...(caFile && { ca: readFileSync(caFile) }) })
    : new http.Agent(options)
  agents.set(sockets, made)
  return made
}

export interface Ask {
  readonly path: string
  readonly method?: 'GET' | 'PATCH'
  readonly accept?: string
  readonly body?: string
  readonly sockets?: number
}

export function ask({ path, method = 'GET', accept = 'application/json', body, sockets = 16 }: Ask): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = {
      accept,
      authorization: 'Bearer x',
      ...(body !== undefined && {
        'content-type': 'application/merge-patch+json',
        'content-length': Buffer.byteLength(body)
      })
    }
    const request = (secure ? https : http).request(
      new URL(path, server),
      { method, headers, agent: agentFor(sockets) },
      response => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          if ((response.statusCode ?? 0) < 300) resolve(Buffer.concat(parts))
          else reject(new Error(`${method} ${path}: ${response.statusCode}`))
        })
      }
    )
    request.on('error', reject)
    request.end(body)
  })
}

export const metadataList = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
export const tableList = 'application/json;as=Table;g=meta.k8s.io;v=v1'
export const metadataObject = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'

export interface Item {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly generation: number }
  readonly spec: Readonly<Record<string, unknown>>
  readonly status?: { readonly observedGeneration?: number }
}

/** Every page of a list, parsed whole. */
export async function* pagesOf(plural: string, accept: string, query = ''): AsyncGenerator<readonly Item[]> {
  for (let token = ''; ; ) {
    const path = `/apis/windmill.dev/v1alpha1/${plural}?limit=500${query}${token && `&continue=${token}`}`
    const page = JSON.parse((await ask({ path, accept })).toString()) as {
      items?: Item[]
      rows?: Item[]
      metadata: { continue?: string }
    }
    yield page.items ?? page.rows ?? []
    token = page.metadata.continue ?? ''
    if (token === '') return
  }
}

/** So many at once, in order. */
export async function atOnce<T>(width: number, items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<void> {
  const left = items[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (let next = left.next(); !next.done; next = left.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

/** What both rivals say of an object once it is written. */
export const statusBody = ({ metadata }: Item): string =>
  JSON.stringify({
    status: {
      state: 'Synced',
      reason: 'Synced',
      message: 'In sync with Windmill.',
      observedGeneration: metadata.generation,
      workspace: metadata.namespace,
      syncedAt: '2026-03-01T09:30:00Z',
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'Synced',
          message: 'In sync with Windmill.',
          lastTransitionTime: '2026-03-01T09:30:00Z',
          observedGeneration: metadata.generation
        }
      ]
    }
  })
