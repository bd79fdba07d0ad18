/**
 * What is asked of the ledger. It stays where it is: marks go up and differences come back, whole entries are read for
 * the objects at work only. Without a ledger (a plan before the first run) everything is empty.
 */
import {
  type Context,
  type DeletionPolicy,
  type Entry,
  type Fragment,
  type Kind,
  LINKED,
  objectKey,
  type Sql,
  type Target,
  targetKey
} from '../model.ts'
import { targetList } from '../windmill/targets.ts'
import type { Opened } from './ledger.ts'

/** How many entries there are, by cluster, kind, namespace and workspace. */
export interface Tally {
  readonly kind: string
  /** Of another cluster. */
  readonly foreign: boolean
  readonly namespace: string
  /** '' for entries that own nothing. */
  readonly workspace: string
  /** Entries of a CR, whether or not it owns something. */
  readonly named: number
  /** Entries that own their target. */
  readonly owned: number
  /** Of these, those whose CR moved on. */
  readonly detached: number
}

/** CRs of a kind as columns: texts of so many lines, the last one without an end. */
export interface MarkList {
  readonly count: number
  readonly namespaces: string
  readonly names: string
  readonly uids: string
  /** '' for one that is to be compared whatever the ledger says. */
  readonly fingerprints: string
}

export interface MarkAnswer {
  /** Those of the list that are to be read: positions, and the workspace that the ledger has for them, if any. */
  readonly changed: readonly { readonly at: number; readonly workspace: string | undefined }[]
  /** How many of the list have an entry, by workspace; '' for those that own nothing. */
  readonly known: ReadonlyMap<string, number>
  /** Number of those that stand still, by workspace. */
  readonly quiet: ReadonlyMap<string, number>
}

/** A CR, as the ledger names it. */
type ObjectName = Pick<Entry, 'namespace' | 'name'>

type Place = Pick<Target, 'workspace' | 'path'>

export interface Found {
  readonly entries: readonly Entry[]
  /** Targets of other clusters: only that they are taken counts. */
  readonly foreign: readonly Place[]
}

/** A secret variable, and the object that generated it. */
export interface Linked {
  readonly workspace: string
  readonly variable: string
  /** Path of the object. */
  readonly path: string
  /** `Kind ns/name`, or a word for another cluster's. */
  readonly by: string
}

interface StoredEntry
  extends Omit<Entry, 'deletionPolicy' | 'ownPolicy' | 'conflictPolicy' | 'syncedAt' | 'transitionedAt'> {
  readonly id: string
  readonly cluster: string
  readonly deletion_policy: DeletionPolicy
  readonly own_policy: boolean
  readonly conflict_policy: Entry['conflictPolicy']
  readonly synced_at: Date | null
  readonly transitioned_at: Date | null
}

/** A CR that does not stand still on the database's side. */
export type Moved = Pick<Entry, 'kind' | 'namespace' | 'name' | 'workspace'>

/** What the status of a CR says. */
export type Told = Pick<Entry, 'kind' | 'namespace' | 'name' | 'workspace' | 'path' | 'details'>

export type Refs = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>

export class LedgerReader {
  readonly #cluster: string
  readonly #present: boolean
  readonly #version: number
  /** The tokens belong to another incarnation of the database and say nothing. */
  readonly #forgotten: boolean

  constructor(cluster: string, { present, version }: Opened, forgotten: boolean) {
    this.#cluster = cluster
    this.#present = present
    this.#version = version
    this.#forgotten = forgotten
  }

  async tally(sql: Sql): Promise<readonly Tally[]> {
    if (!this.#present) return []
    return sql<Tally[]>`
      select o.kind, o.cluster <> ${this.#cluster} as foreign, coalesce(o.namespace, '') as namespace,
             coalesce(o.workspace, '') as workspace, count(o.name)::int as named,
             (count(*) filter (where ${owned(sql)}))::int as owned,
             (count(*) filter (where o.name is null and ${owned(sql)}))::int as detached
        from windmill_iac.object o group by 1, 2, 3, 4`
  }

  /** Entries of these CRs. */
  async ofObjects(sql: Sql, kind: string, objects: readonly ObjectName[]): Promise<Found> {
    if (!this.#present || objects.length === 0) return nothing
    const list = objects.map(({ namespace, name }) => ({ namespace, name }))
    return this.#found(
      await sql<StoredEntry[]>`
        select ${this.#columns(sql)}
          from jsonb_to_recordset(${JSON.stringify(list)}::text::jsonb) as r(namespace text, name text)
          join windmill_iac.object o
            on o.cluster = ${this.#cluster} and o.kind = ${kind} and o.namespace = r.namespace and o.name = r.name`
    )
  }

  /** Entries at these targets, whoever owns them. */
  async atTargets(sql: Sql, kind: string, targets: readonly Place[]): Promise<Found> {
    if (!this.#present || targets.length === 0) return nothing
    return this.#found(
      await sql<StoredEntry[]>`
        select ${this.#columns(sql)} from ${targetList(sql, targets)}
          join windmill_iac.object o on o.kind = ${kind} and o.workspace = j.workspace and o.path = j.path`
    )
  }

  /** Entries that own a row whose CR moved on. */
  async detached(sql: Sql, kind: string): Promise<Found> {
    if (!this.#present) return nothing
    return this.#found(
      await sql<StoredEntry[]>`
        select ${this.#columns(sql)} from windmill_iac.object o
         where o.cluster = ${this.#cluster} and o.kind = ${kind} and o.name is null and ${owned(sql)}`
    )
  }

  /**
   * Which CRs of a kind do not stand still on the cluster's side. `told`: statuses are written. The texts are parameters
   * of their own, so that the planner knows how many lines there are.
   */
  async compareMarks(sql: Sql, kind: string, list: MarkList, told: boolean): Promise<MarkAnswer> {
    if (!this.#present || list.count === 0) return { changed: [], known: new Map(), quiet: new Map() }
    const lines = (text: string): Fragment => sql`string_to_array(${text}::text, E'\\n')`
    // The text of one empty line is an array of none.
    const still = sql`
      coalesce(o.uid = coalesce(c.uid, '') and o.fingerprint = c.fingerprint and o.fingerprint <> '' and o.state = 'Synced'
        and o.path is not null ${told ? sql`and o.reported <> ''` : sql``} and ${!this.#forgotten}::boolean, false)`
    const rows = await sql<{ workspace: string | null; quiet: number; known: number; changed: string | null }[]>`
      select o.workspace, (count(*) filter (where ${still}))::int as quiet, count(o.id)::int as known,
             string_agg((c.at - 1)::text, ',') filter (where not ${still}) as changed
        from unnest(${lines(list.namespaces)}, ${lines(list.names)}, ${lines(list.uids)}, ${lines(list.fingerprints)})
             with ordinality as c(namespace, name, uid, fingerprint, at)
        left join windmill_iac.object o
          on o.cluster = ${this.#cluster} and o.kind = ${kind} and o.namespace = c.namespace and o.name = c.name
       group by o.workspace`
    return {
      changed: rows.flatMap(({ workspace, changed }) =>
        (changed?.split(',') ?? []).map(at => ({ at: Number(at), workspace: workspace ?? undefined }))
      ),
      known: new Map(rows.map(row => [row.workspace ?? '', row.known])),
      quiet: new Map(rows.flatMap(({ workspace, quiet }) => (quiet > 0 ? [[workspace ?? '', quiet]] : [])))
    }
  }

  /**
   * CRs whose rows are not as the ledger left them, or gone: all kinds with one statement, because the program has other
   * things to do meanwhile than to ask for the next one. `workspaces` limits the search in a kind.
   */
  async moved(
    sql: Sql,
    kinds: readonly Pick<Kind, 'kind' | 'tokens'>[],
    context: Context,
    workspaces: (kind: string) => readonly string[] | undefined
  ): Promise<readonly Moved[]> {
    if (!this.#present || this.#forgotten || kinds.length === 0) return []
    const parts = kinds.map(one => this.#movedOf(sql, one, context, workspaces(one.kind)))
    return sql<Moved[]>`${parts.reduce((all, one) => sql`${all} union all ${one}`)}`
  }

  #movedOf(
    sql: Sql,
    { kind, tokens }: Pick<Kind, 'kind' | 'tokens'>,
    context: Context,
    workspaces: readonly string[] | undefined
  ): Fragment {
    const here = workspaces
      ? sql`and o.workspace in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))`
      : sql``
    const settled = sql`
      o.cluster = ${this.#cluster} and o.kind = ${kind} and o.name is not null and o.path is not null
      and o.state = 'Synced' and o.fingerprint <> '' ${here}`
    const targets = sql`(
      select o.workspace, o.path, (
               select array_agg(substr(f, ${LINKED.length + 1}::int)) from unnest(o.fields) f where starts_with(f, ${LINKED})) as linked
        from windmill_iac.object o where ${settled}) j`
    // A full join, of which only the side of the ledger is wanted: it is never planned as a loop within a loop, which is
    // what a planner without statistics of the ledger takes for cheap. (`coalesce` keeps it from seeing through this.)
    return sql`(
      select o.kind, o.namespace, o.name, o.workspace
        from (select o.kind, o.namespace, o.name, o.workspace, o.path, o.token from windmill_iac.object o where ${settled}) o
        full join (${tokens(sql, targets, context)}) t on t.workspace = o.workspace and t.path = o.path
       where coalesce(o.name, '') <> '' and o.token is distinct from t.token)`
  }

  /** What statuses say of the owned entries of a kind, in the order of their ids; `after`: the last id before, or ''. */
  async told(
    sql: Sql,
    kind: string,
    { after, limit }: { readonly after: string; readonly limit: number }
  ): Promise<{ readonly entries: readonly Told[]; readonly last: string }> {
    if (!this.#present || this.#version < 2) return { entries: [], last: '' }
    const rows = await sql<(Told & { readonly id: string })[]>`
      select o.id::text as id, o.kind, o.namespace, o.name, o.workspace, o.path, o.details from windmill_iac.object o
       where o.cluster = ${this.#cluster} and o.kind = ${kind} and o.name is not null and ${owned(sql)} and o.id > ${after || '0'}::bigint
       order by o.id limit ${limit}::int`
    return { entries: rows, last: rows.at(-1)?.id ?? '' }
  }

  /** Secrets and ConfigMaps that CRs refer to, by kind and namespace/name. */
  async refs(sql: Sql): Promise<Refs> {
    const found = new Map<string, Map<string, readonly string[]>>()
    if (!this.#present) return found
    await sql<{ kind: string; namespace: string; name: string; refs: string[] }[]>`
      select o.kind, o.namespace, o.name, o.refs from windmill_iac.object o
       where o.cluster = ${this.#cluster} and o.name is not null and o.refs <> '{}'`.forEach(
      ({ kind, namespace, name, refs }) => {
        const ofKind = found.get(kind) ?? new Map<string, readonly string[]>()
        found.set(kind, ofKind.set(objectKey(namespace, name), refs))
      }
    )
    return found
  }

  /** Every CR that has an entry, one after the other. */
  async eachName(sql: Sql, kind: string, take: (namespace: string, name: string) => void): Promise<void> {
    if (!this.#present) return
    await sql<{ namespace: string; name: string }[]>`
      select o.namespace, o.name from windmill_iac.object o
       where o.cluster = ${this.#cluster} and o.kind = ${kind} and o.name is not null`.forEach(row =>
      take(row.namespace, row.name)
    )
  }

  /** Secret variables that objects generated; ours last. */
  async linked(sql: Sql): Promise<readonly Linked[]> {
    if (!this.#present) return []
    return sql<Linked[]>`
      select o.workspace, substr(f, ${LINKED.length + 1}::int) as variable, o.path,
             case when o.cluster = ${this.#cluster} then o.kind || ' ' || coalesce(o.namespace, '') || '/' || coalesce(o.name, '')
                  else 'A resource of another cluster' end as by
        from windmill_iac.object o cross join unnest(o.fields) f
       where ${owned(sql)} and starts_with(f, ${LINKED})
       order by o.cluster = ${this.#cluster}`
  }

  /** Who owns targets of a kind, by target key: `Kind ns/name`. */
  async owners(sql: Sql, kind: string, targets: readonly Place[]): Promise<ReadonlyMap<string, string>> {
    if (!this.#present || targets.length === 0) return new Map()
    const rows = await sql<(Place & { owner: string })[]>`
      select o.workspace, o.path, case when o.cluster = ${this.#cluster}
               then o.kind || ' ' || coalesce(o.namespace, '') || '/' || coalesce(o.name, '')
               else o.kind || ' of another cluster' end as owner
        from ${targetList(sql, targets)}
        join windmill_iac.object o on o.kind = ${kind} and o.workspace = j.workspace and o.path = j.path
       where ${owned(sql)}`
    return new Map(rows.map(row => [targetKey(row.workspace, row.path), row.owner]))
  }

  #columns(sql: Sql): Fragment {
    const newer =
      this.#version < 2
        ? sql`'{}'::jsonb as deployed, '{}'::jsonb as details, null as conflict_policy`
        : sql`o.deployed, o.details, o.conflict_policy`
    return sql`
      o.id::text as id, o.cluster, o.kind, o.namespace, o.name, o.uid, o.workspace, o.path, o.fingerprint, o.base,
      o.fields, ${newer}, o.token, o.refs, o.deletion_policy, o.own_policy, o.state, o.reason, o.message, o.reported,
      o.synced_at, o.transitioned_at`
  }

  #found(rows: readonly StoredEntry[]): Found {
    const cluster = this.#cluster
    return {
      entries: rows.filter(row => row.cluster === cluster).map(row => toEntry(row, this.#forgotten)),
      foreign: rows.flatMap(({ cluster: other, state, workspace, path }) =>
        other !== cluster && state !== 'Released' && path !== null ? [{ workspace: workspace ?? '', path }] : []
      )
    }
  }
}

const nothing: Found = { entries: [], foreign: [] }

const owned = (sql: Sql): Fragment => sql`o.path is not null and o.state <> 'Released'`

function toEntry(row: StoredEntry, forgotten: boolean): Entry {
  const {
    id: _id,
    cluster: _cluster,
    deletion_policy,
    own_policy,
    conflict_policy,
    synced_at,
    transitioned_at,
    ...rest
  } = row
  return {
    ...rest,
    token: forgotten ? '' : row.token,
    deletionPolicy: deletion_policy,
    ownPolicy: own_policy,
    conflictPolicy: conflict_policy,
    syncedAt: synced_at,
    transitionedAt: transitioned_at
  }
}
