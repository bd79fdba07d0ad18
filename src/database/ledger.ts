/** The ledger: the only memory of the job, kept beside Windmill's rows and written in the same transactions. */
import { SyncError } from '../errors.ts'
import { type DeletionPolicy, type Entry, objectKey, type Sql, type Target, targetKey } from '../model.ts'
import type { Database } from './client.ts'
import { grantSql, migrationSql, migrations } from './ledger-schema.ts'

/** The entries of one kind. */
export interface KindLedger {
  /** Entries of this cluster's CRs, by namespace/name. */
  readonly byObject: Map<string, Entry>
  /** Entries of this cluster by target, also those whose CR is gone; a released one is not owned. */
  readonly byTarget: Map<string, Entry>
  /** Targets that another cluster owns. */
  readonly others: Map<string, Pick<Target, 'workspace' | 'path' | 'fields'>>
}

export interface Ledger {
  readonly of: (kind: string) => KindLedger
  readonly all: () => Iterable<KindLedger>
}

export interface Opened {
  readonly present: boolean
  /** Of the ledger that is there; a plan meets older ones. */
  readonly version: number
}

/** Creates or migrates the ledger. With `create: false` (plan) an absent ledger is an empty one. */
export async function openLedger(database: Database, create: boolean): Promise<Opened> {
  const version = await database.read(async sql => {
    const [found] = await sql<
      { present: boolean }[]
    >`select to_regclass('windmill_iac.migration') is not null as present`
    if (!found?.present) return 0
    const [row] = await sql<
      { version: number }[]
    >`select coalesce(max(version), 0)::int as version from windmill_iac.migration`
    return row?.version ?? 0
  })
  if (version > migrations.length) {
    throw new SyncError(
      'LedgerTooNew',
      `The ledger windmill_iac has version ${version}, this program knows ${migrations.length}: a newer windmill-iac works on this database; upgrade this one.`
    )
  }
  if (version === migrations.length || !create) return { present: version > 0, version }
  await migrate(database, version)
  return { present: true, version: migrations.length }
}

async function migrate(database: Database, version: number): Promise<void> {
  await database.asLogin(async sql => {
    const [right] = await sql<{ may: boolean; admin: boolean }[]>`
      select has_database_privilege(current_database(), 'CREATE')
          or exists (select from pg_namespace where nspname = 'windmill_iac' and pg_has_role(nspowner, 'USAGE')) as may,
             exists (select from pg_roles where rolname = 'windmill_admin') as admin`
    if (!right?.may) {
      throw new SyncError(
        'LedgerMissing',
        'The database role may not create the ledger schema windmill_iac; let an administrator run: windmill-iac init --print | psql <database>'
      )
    }
    await sql.unsafe(migrationSql(version))
    if (right.admin) await sql.unsafe(grantSql('windmill_admin'))
  })
}

interface StoredEntry
  extends Omit<Entry, 'deletionPolicy' | 'ownPolicy' | 'conflictPolicy' | 'syncedAt' | 'transitionedAt'> {
  readonly cluster: string
  readonly deletion_policy: DeletionPolicy
  readonly own_policy: boolean
  readonly conflict_policy: Entry['conflictPolicy']
  readonly synced_at: Date | null
  readonly transitioned_at: Date | null
}

/** Reads the whole ledger. Tokens of another incarnation of the database (a restored dump) are dropped: xmin means nothing there. */
export async function loadLedger(
  sql: Sql,
  cluster: string,
  { present, version }: Opened
): Promise<{ ledger: Ledger; moved: boolean }> {
  const kinds = new Map<string, KindLedger>()
  const of = (kind: string): KindLedger => {
    let found = kinds.get(kind)
    if (!found) kinds.set(kind, (found = { byObject: new Map(), byTarget: new Map(), others: new Map() }))
    return found
  }
  const ledger: Ledger = { of, all: () => kinds.values() }
  if (!present) return { ledger, moved: false }
  const moved = (await storedIncarnation(sql)) !== (await incarnation(sql))
  const shared = sharing()
  const newer =
    version < 2
      ? sql`'{}'::jsonb as deployed, '{}'::jsonb as details, null as conflict_policy`
      : sql`deployed, details, conflict_policy`
  await sql<StoredEntry[]>`
    select cluster, kind, namespace, name, uid, workspace, path, fingerprint, base, fields, ${newer}, token, refs,
           deletion_policy, own_policy, state, reason, message, reported, synced_at, transitioned_at
      from windmill_iac.object`.forEach(row => {
    const { byObject, byTarget, others } = of(row.kind)
    const target = row.path === null ? undefined : targetKey(row.workspace ?? '', row.path)
    if (row.cluster !== cluster) {
      const { workspace, path, fields } = row
      if (target !== undefined && row.state !== 'Released')
        others.set(target, {
          workspace: workspace ?? '',
          path: path ?? '',
          fields: shared(`fields ${fields.join()}`, fields)
        })
      return
    }
    const entry = toEntry(row, moved, shared)
    if (entry.name !== null) byObject.set(objectKey(entry.namespace ?? '', entry.name), entry)
    if (target !== undefined) byTarget.set(target, entry)
  })
  return { ledger, moved }
}

function toEntry(row: StoredEntry, moved: boolean, shared: <T>(key: string, value: T) => T): Entry {
  return {
    kind: shared(row.kind, row.kind),
    namespace: row.namespace === null ? null : shared(row.namespace, row.namespace),
    name: row.name,
    uid: row.uid,
    workspace: row.workspace === null ? null : shared(row.workspace, row.workspace),
    path: row.path,
    fingerprint: row.fingerprint,
    base: row.base,
    fields: shared(`fields ${row.fields.join()}`, row.fields),
    deployed: shared(`deployed ${JSON.stringify(row.deployed)}`, row.deployed),
    details: row.details,
    token: moved ? '' : row.token,
    refs: shared(`refs ${row.refs.join()}`, row.refs),
    deletionPolicy: shared(row.deletion_policy, row.deletion_policy),
    ownPolicy: row.own_policy,
    conflictPolicy: row.conflict_policy,
    state: shared(row.state, row.state),
    reason: shared(row.reason, row.reason),
    message: shared(row.message, row.message),
    reported: row.reported,
    syncedAt: row.synced_at,
    transitionedAt: row.transitioned_at
  }
}

/** Equal values of a hundred thousand entries are kept once. */
function sharing(): <T>(key: string, value: T) => T {
  const known = new Map<string, unknown>()
  return <T>(key: string, value: T): T => {
    const found = known.get(key)
    if (found !== undefined) return found as T
    known.set(key, value)
    return value
  }
}

async function storedIncarnation(sql: Sql): Promise<string> {
  const [row] = await sql<{ value: string }[]>`select value from windmill_iac.meta where key = 'incarnation'`
  return row?.value ?? ''
}

/** Tells a database from its restored copy. */
async function incarnation(sql: Sql): Promise<string> {
  const [row] = await sql<{ id: string; may: boolean }[]>`
    select (select oid from pg_database where datname = current_database())::text as id,
           has_function_privilege('pg_control_system()', 'execute') as may`
  if (!row?.may) return row?.id ?? ''
  const [system] = await sql<{ id: string }[]>`select system_identifier::text as id from pg_control_system()`
  return `${system?.id}:${row.id}`
}

/** Remembers which incarnation the tokens belong to; called with the first ledger write after a move. */
export async function settleIncarnation(sql: Sql): Promise<void> {
  await sql`update windmill_iac.object set token = '' where token <> ''`
  await sql`
    insert into windmill_iac.meta (key, value) values ('incarnation', ${await incarnation(sql)})
        on conflict (key) do update set value = excluded.value`
}

const batch = (entries: readonly Entry[]): string =>
  JSON.stringify(
    entries.map(one => ({
      kind: one.kind,
      namespace: one.namespace,
      name: one.name,
      uid: one.uid,
      workspace: one.workspace,
      path: one.path,
      fingerprint: one.fingerprint,
      base: one.base,
      fields: one.fields,
      deployed: one.deployed,
      details: one.details,
      token: one.token,
      refs: one.refs,
      deletion_policy: one.deletionPolicy,
      own_policy: one.ownPolicy,
      conflict_policy: one.conflictPolicy,
      state: one.state,
      reason: one.reason,
      message: one.message,
      reported: one.reported,
      synced_at: one.syncedAt,
      transitioned_at: one.transitionedAt
    }))
  )

/**
 * Saves entries of CRs that own their target. A CR that pointed elsewhere before leaves that row behind detached
 * (name null), for the prune stage or for the CR that takes it over, perhaps in the same batch (two CRs swap paths).
 * `before`: what the ledger said of the same CR.
 */
export async function saveEntries(
  sql: Sql,
  cluster: string,
  entries: readonly Entry[],
  before: (entry: Entry) => Entry | undefined
): Promise<void> {
  if (entries.length === 0) return
  await detach(
    sql,
    cluster,
    entries.filter(entry => {
      const known = before(entry)
      return known && (known.workspace !== entry.workspace || known.path !== entry.path)
    })
  )
  const rows = batch(entries)
  await sql`
    insert into windmill_iac.object as o (cluster, kind, namespace, name, uid, workspace, path, fingerprint, base, fields,
           deployed, details, token, refs, deletion_policy, own_policy, conflict_policy, state, reason, message, reported, synced_at,
           transitioned_at)
    select ${cluster}, r.*
      from jsonb_to_recordset(${rows}::text::jsonb) as r(kind text, namespace text, name text, uid text, workspace text,
           path text, fingerprint text, base text, fields text[], deployed jsonb, details jsonb, token text, refs text[], deletion_policy text,
           own_policy boolean, conflict_policy text, state text, reason text, message text, reported text, synced_at timestamptz,
           transitioned_at timestamptz)
        on conflict (kind, workspace, path) do update
       set cluster = excluded.cluster, namespace = excluded.namespace, name = excluded.name, uid = excluded.uid,
           fingerprint = excluded.fingerprint, base = excluded.base, fields = excluded.fields,
           deployed = excluded.deployed, details = excluded.details, token = excluded.token,
           refs = excluded.refs, deletion_policy = excluded.deletion_policy, own_policy = excluded.own_policy,
           conflict_policy = excluded.conflict_policy,
           state = excluded.state, reason = excluded.reason, message = excluded.message, reported = excluded.reported,
           synced_at = excluded.synced_at, transitioned_at = excluded.transitioned_at, updated_at = now()`
}

async function detach(sql: Sql, cluster: string, moved: readonly Entry[]): Promise<void> {
  if (moved.length === 0) return
  const rows = JSON.stringify(
    moved.map(({ kind, namespace, name, workspace, path }) => ({ kind, namespace, name, workspace, path }))
  )
  await sql`
    delete from windmill_iac.object o
     using jsonb_to_recordset(${rows}::text::jsonb) as r(kind text, namespace text, name text)
     where o.cluster = ${cluster} and o.kind = r.kind and o.namespace = r.namespace and o.name = r.name and o.path is null`
  await sql`
    update windmill_iac.object o
       set name = null, updated_at = now()
      from jsonb_to_recordset(${rows}::text::jsonb) as r(kind text, namespace text, name text, workspace text, path text)
     where o.cluster = ${cluster} and o.kind = r.kind and o.namespace = r.namespace and o.name = r.name
       and (o.workspace, o.path) is distinct from (r.workspace, r.path)`
}

/** Saves what is said of CRs that own nothing new: an owned target stays owned, but is compared in full next time. */
export async function saveStates(sql: Sql, cluster: string, entries: readonly Entry[]): Promise<void> {
  if (entries.length === 0) return
  await sql`
    insert into windmill_iac.object as o (cluster, kind, namespace, name, uid, state, reason, message, reported,
           transitioned_at)
    select ${cluster}, r.*
      from jsonb_to_recordset(${batch(entries)}::text::jsonb) as r(kind text, namespace text, name text, uid text,
           state text, reason text, message text, reported text, transitioned_at timestamptz)
        on conflict (cluster, kind, namespace, name) do update
       set uid = excluded.uid, fingerprint = '', state = excluded.state, reason = excluded.reason, message = excluded.message,
           reported = excluded.reported, transitioned_at = excluded.transitioned_at, updated_at = now()`
}

/** Notes which status the cluster has now, so that it is not written again. */
export async function saveReported(
  sql: Sql,
  cluster: string,
  reported: readonly { kind: string; namespace: string; name: string; reported: string }[]
): Promise<void> {
  if (reported.length === 0) return
  // The cluster stands in every row, or all entries of the cluster would be read to find these.
  const rows = JSON.stringify(reported.map(one => ({ cluster, ...one })))
  await sql`
    update windmill_iac.object o
       set reported = r.reported, updated_at = now()
      from jsonb_to_recordset(${rows}::text::jsonb)
        as r(cluster text, kind text, namespace text, name text, reported text)
     where o.cluster = r.cluster and o.kind = r.kind and o.namespace = r.namespace and o.name = r.name`
}

interface TargetOfKind {
  readonly kind: string
  readonly workspace: string
  readonly path: string
}

/** Gives targets up: the rows stay in Windmill and are nobody's. */
export async function releaseEntries(sql: Sql, targets: readonly TargetOfKind[]): Promise<void> {
  await sql`
    update windmill_iac.object o
       set name = null, state = 'Released', reason = 'Released', message = '', fingerprint = '',
           reported = '', updated_at = now()
      from jsonb_to_recordset(${JSON.stringify(targets)}::text::jsonb) as r(kind text, workspace text, path text)
     where o.kind = r.kind and o.workspace = r.workspace and o.path = r.path`
}

export async function forgetEntries(sql: Sql, targets: readonly TargetOfKind[]): Promise<void> {
  await sql`
    delete from windmill_iac.object o
     using jsonb_to_recordset(${JSON.stringify(targets)}::text::jsonb) as r(kind text, workspace text, path text)
     where o.kind = r.kind and o.workspace = r.workspace and o.path = r.path`
}

/** Drops the notes on CRs that are gone and owned nothing. */
export async function forgetObjects(
  sql: Sql,
  cluster: string,
  objects: readonly { kind: string; namespace: string; name: string }[]
): Promise<void> {
  await sql`
    delete from windmill_iac.object o
     using jsonb_to_recordset(${JSON.stringify(objects)}::text::jsonb) as r(kind text, namespace text, name text)
     where o.cluster = ${cluster} and o.kind = r.kind and o.namespace = r.namespace and o.name = r.name and o.path is null`
}
