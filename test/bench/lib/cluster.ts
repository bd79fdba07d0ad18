/** The parent's end of the API server process. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { WorldOptions } from './world.ts'

export interface Counts {
  requests: number
  lists: number
  gets: number
  patches: number
  events: number
  /** Answered with 429. */
  refused: number
  /** Of bodies. */
  bytesOut: number
  bytesIn: number
  connections: number
  /** Milliseconds since 1970 of the first request. */
  firstAt: number
}

export interface Faults {
  /** Share of requests that are answered with 429. */
  readonly tooMany?: number
  /** Delay of every page of a list. */
  readonly slowMs?: number
}

export type Order =
  | { readonly do: 'world'; readonly world: WorldOptions; readonly plurals: Readonly<Record<string, string>> }
  /** All objects carry a status, as after a run. */
  | { readonly do: 'settle' }
  | { readonly do: 'last-applied'; readonly on: boolean }
  | { readonly do: 'change'; readonly share: number; readonly offset: number }
  | { readonly do: 'delete'; readonly share: number; readonly offset: number; readonly kinds: readonly string[] }
  | { readonly do: 'faults'; readonly faults: Faults }
  | { readonly do: 'counts'; readonly reset: boolean }

export interface Cluster {
  readonly url: string
  /** JSON, which is YAML. */
  readonly kubeconfig: string
  readonly ca: string | undefined
  readonly order: <T>(order: Order) => Promise<T>
  readonly stop: () => void
}

export async function startCluster({ tls }: { tls: boolean }): Promise<Cluster> {
  const file = fileURLToPath(new URL('../api-server.js', import.meta.url))
  // Its memory holds all objects in two forms; 100,000 of them are about a gigabyte, outside of the heap.
  const child = fork(file, tls ? ['--tls'] : [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv: ['--max-old-space-size=8192']
  })
  const waiting = new Map<number, { done: (result: unknown) => void; failed: (error: Error) => void }>()
  const { port, ca } = await new Promise<{ port: number; ca?: string }>((resolve, reject) => {
    child.once('message', resolve as (message: unknown) => void)
    child.once('error', reject)
    child.once('exit', () => reject(new Error('the API server of the bench ended')))
  })
  child.on('message', (message: { id: number; result: unknown }) => {
    waiting.get(message.id)?.done(message.result)
    waiting.delete(message.id)
  })
  child.once('exit', () => {
    for (const { failed } of waiting.values()) failed(new Error('the API server of the bench ended'))
  })
  let last = 0
  const url = `http${tls ? 's' : ''}://127.0.0.1:${port}`
  return {
    url,
    ca,
    kubeconfig: kubeconfig(url, ca),
    order: <T>(order: Order) =>
      new Promise<T>((done, failed) => {
        const id = ++last
        waiting.set(id, { done: done as (result: unknown) => void, failed })
        child.send({ ...order, id })
      }),
    stop: () => {
      child.disconnect()
    }
  }
}

const kubeconfig = (server: string, ca: string | undefined): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'c',
        cluster: { server, ...(ca && { 'certificate-authority-data': Buffer.from(ca).toString('base64') }) }
      }
    ],
    users: [{ name: 'u', user: { token: 'x' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x'
  })
