/** Lists a kind completely or fails: a list with a hole would look like deleted objects. */
import { SyncError } from '../errors.ts'
import type { AnyKind, Listed } from '../model.ts'
import type { Client } from './client.ts'
import { type Meaning, Refused, toSyncError } from './failure.ts'
import { apiVersion, group, toListed } from './listed.ts'
import { fetchPage, metadataOnly } from './pages.ts'

export type ListKind = Pick<AnyKind, 'kind' | 'plural'>

export interface ListScope {
  /** Empty: the whole cluster. */
  readonly namespaces: readonly string[]
  readonly labels: boolean
  readonly pageSize: number
  readonly concurrency: number
}

/** A token lives about five minutes; three restarts mean that the cluster is too slow, not that we were unlucky. */
const restarts = 3

export async function listKind(client: Client, kind: ListKind, scope: ListScope): Promise<readonly Listed[]> {
  const shared = new Map<string, string>()
  const options = { kind: kind.kind, labels: scope.labels, shared }
  const parts = await inParallel(kindPaths(kind, scope.namespaces), scope.concurrency, async path => {
    try {
      return await withRestarts(() => listPath(client, path, scope.pageSize, options))
    } catch (error) {
      throw toSyncError(error, meaning(kind, path, 'list'))
    }
  })
  return parts.length === 1 ? (parts[0] ?? []) : parts.flat()
}

export const kindPath = ({ plural }: ListKind, namespace: string): string =>
  namespace === ''
    ? `/apis/${apiVersion}/${plural}`
    : `/apis/${apiVersion}/namespaces/${encodeURIComponent(namespace)}/${plural}`

export const kindPaths = (kind: ListKind, namespaces: readonly string[]): readonly string[] =>
  (namespaces.length === 0 ? [''] : [...new Set(namespaces)]).map(namespace => kindPath(kind, namespace))

async function listPath(
  client: Client,
  path: string,
  limit: number,
  options: Parameters<typeof toListed>[1]
): Promise<readonly Listed[]> {
  const all: Listed[] = []
  for (let token = ''; ; ) {
    const page = await fetchPage(client, { path, limit, token, accept: metadataOnly.list }, item =>
      toListed(item.metadata, options)
    )
    for (const one of page.items) all.push(one)
    if (page.token === '') return all
    if (page.token === token) throw new SyncError('ListFailed', `The API server repeats a page of ${path} without end.`)
    token = page.token
  }
}

/** What a 410 offers to continue with is of another moment; only a list from the start is complete. */
async function withRestarts<T>(list: () => Promise<T>): Promise<T> {
  for (let restart = 0; ; restart++) {
    try {
      return await list()
    } catch (error) {
      if (!isExpired(error) || restart >= restarts) throw error
    }
  }
}

export const isExpired = (error: unknown): boolean => error instanceof Refused && error.status === 410

export function meaning({ plural }: ListKind, path: string, verb: 'list' | 'get'): Meaning {
  const [, namespace] = /\/namespaces\/([^/]+)\//.exec(path) ?? []
  const where = namespace === undefined ? 'all namespaces' : `namespace ${namespace}`
  return {
    doing: `${verb === 'list' ? 'Listing' : 'Reading'} ${plural} in ${where}`,
    otherwise: 'ListFailed',
    statuses: {
      403: ['ListForbidden', `grant the job's account the verb ${verb} on ${plural}.${group}`],
      404: ['CrdMissing', `install the CustomResourceDefinition ${plural}.${group}`],
      410: ['ListFailed', `the list expired ${restarts + 1} times before it was complete`]
    }
  }
}

/** Results in the order of `items`. After a failure nothing new starts, and nothing is left running behind the caller. */
export async function inParallel<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>
): Promise<readonly R[]> {
  const results: R[] = []
  let next = 0
  let failed = false
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const at = next++
      try {
        results[at] = await work(items[at] as T)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const workers = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, worker))
  const broken = workers.find(one => one.status === 'rejected')
  if (broken) throw broken.reason
  return results
}
