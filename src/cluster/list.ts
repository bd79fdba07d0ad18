/** Lists a kind completely or fails: a list with a hole would look like deleted objects. */
import { SyncError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { AnyKind, Listed } from '../model.ts'
import { Roster } from '../roster.ts'
import type { Client } from './client.ts'
import { type Meaning, Refused, toSyncError } from './failure.ts'
import { apiVersion, group, type ListedOptions, type Resource, toListed } from './listed.ts'
import { fetchPage, metadataOnly, type Page, type PageRequest } from './pages.ts'
import { fetchTable, Unfit } from './table.ts'

export type ListKind = Pick<AnyKind, 'kind' | 'plural'>

export interface ListScope {
  /** Empty: the whole cluster. */
  readonly namespaces: readonly string[]
  readonly labels: boolean
  readonly pageSize: number
  readonly concurrency: number
  readonly log: Log
}

/** A token lives about five minutes; three restarts mean that the cluster is too slow, not that we were unlucky. */
const restarts = 3

interface Listing {
  readonly client: Client
  readonly scope: ListScope
  readonly options: ListedOptions
  /** Turns false for good with the first Table of the kind that does not fit. */
  tables: boolean
}

export async function listKind(client: Client, kind: ListKind, scope: ListScope): Promise<Roster> {
  const options = { kind: kind.kind, labels: scope.labels, shared: new Map<string, string>() }
  // No printer column can hold whatever labels a selector asks for.
  const listing: Listing = { client, scope, options, tables: !scope.labels }
  const parts = await inParallel(kindPaths(kind, scope.namespaces), scope.concurrency, async path => {
    try {
      return await listPath(listing, path)
    } catch (error) {
      throw toSyncError(error, meaning(kind, path, 'list'))
    }
  })
  const [all = new Roster(kind.kind), ...others] = parts
  for (const other of others) all.addAll(other)
  return all
}

export const kindPath = ({ plural }: ListKind, namespace: string): string =>
  namespace === ''
    ? `/apis/${apiVersion}/${plural}`
    : `/apis/${apiVersion}/namespaces/${encodeURIComponent(namespace)}/${plural}`

export const kindPaths = (kind: ListKind, namespaces: readonly string[]): readonly string[] =>
  (namespaces.length === 0 ? [''] : [...new Set(namespaces)]).map(namespace => kindPath(kind, namespace))

/** As Tables where the CRD has our columns; else, and when anything about a Table is odd, from the start as metadata. */
async function listPath(listing: Listing, path: string): Promise<Roster> {
  const { client, options, scope } = listing
  if (listing.tables) {
    try {
      return await withRestarts(() => listPages(path, listing, page => fetchTable(client, page, options)))
    } catch (error) {
      if (!isUnfit(error)) throw error
      if (listing.tables) scope.log.debug('no list as a table', { kind: options.kind, why: error.message })
      listing.tables = false
    }
  }
  const pick = (item: Resource): Listed => toListed(item.metadata, options)
  return withRestarts(() =>
    listPages(path, listing, page => fetchPage(client, { ...page, accept: metadataOnly.list }, pick))
  )
}

/** Or refused for its form: whether the metadata is refused as well is told when it is asked for. */
const isUnfit = (error: unknown): error is Error =>
  error instanceof Unfit || (error instanceof Refused && (error.status === 400 || error.status === 406))

async function listPages(
  path: string,
  { options, scope: { pageSize: limit } }: Listing,
  fetch: (request: PageRequest) => Promise<Omit<Page<Listed>, 'count' | 'bytes'>>
): Promise<Roster> {
  const all = new Roster(options.kind)
  for (let token = ''; ; ) {
    const page = await fetch({ path, limit, token })
    for (const one of page.items) all.add(one)
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
