/** The ledger: the only memory of the job, kept beside Windmill's rows and written in the same transactions. */
import { SyncError } from '../errors.ts'
import type { Entry, Sql } from '../model.ts'
import type { Database } from './client.ts'
import { grantSql, migrationSql, migrations } from './ledger-schema.ts'

export interface Opened {
  readonly present: boolean
  /** Of the ledger that is there; a plan meets older ones. */
  readonly version: number
}

/** Creates or migrates the ledger. With `create: false` (plan) an absent ledger is an empty one. */
export async function openLedger(database: Database, create: boolean): Promise<Opened> {
  const version = await database.read(versionOf)
  if (version > migrations.length) {
    throw new SyncError(
      'LedgerTooNew',
      `The ledger windmill_iac has version ${version}, this program knows ${migrations.length}: a newer windmill-iac works on this database; upgrade this one.`
    )
  }
  if (version === migrations.length || !create) return { present: version > 0, version }
  await migrate(database)
  return { present: true, version: migrations.length }
}

/** Of the ledger that is there; 0: there is none. */
async function versionOf(sql: Sql): Promise<number> {
  // Not `to_regclass`: it may answer from what this connection knew before another one made the tables.
  const [found] = await sql<{ present: boolean }[]>`
    select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = 'windmill_iac' and c.relname = 'migration') as present`
  if (!found?.present) return 0
  const [row] = await sql<{ version: number }[]>`
    select coalesce(max(version), 0)::int as version from windmill_iac.migration`
  return row?.version ?? 0
}

/** Shards begin at the same moment: one makes the ledger, the others wait and find it. */
async function migrate(database: Database): Promise<void> {
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
    await sql`select pg_advisory_xact_lock(hashtextextended('windmill_iac: migration', 0))`
    const version = await versionOf(sql)
    if (version >= migrations.length) return
    await sql.unsafe(migrationSql(version))
    if (right.admin) await sql.unsafe(grantSql('windmill_admin'))
  })
}

/** Whether the tokens belong to another incarnation of the database (a restored dump): xmin means nothing here. */
export const hasMoved = async (sql: Sql): Promise<boolean> =>
  (await storedIncarnation(sql)) !== (await incarnation(sql))

/** Whether anybody has entries. */
export async function isFilled(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ filled: boolean }[]>`select exists (select from windmill_iac.object) as filled`
  return row?.filled === true
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
