/** Looks before anything is written: is this the Windmill schema that we know, is it at rest, and may we work on it? */
import { crc32 } from 'node:zlib'
import { SyncError } from '../errors.ts'
import type { AnyKind, Capabilities, Sql } from '../model.ts'
import { type Privilege, requirePrivileges } from './access.ts'
import { type Catalogue, readCatalogue } from './capabilities.ts'
import type { Database } from './client.ts'
import { knownColumns } from './known-columns.ts'

export interface Inspected {
  readonly capabilities: Capabilities
  /** For the report, such as `migration 20251007123506, tables of 1.558`. */
  readonly windmillSchema: string
}

/** What a run does to tables; those that a release lacks are left out. S, I, U, D: the rights. */
const rights: Readonly<Record<string, string>> = {
  S: '_sqlx_migrations windmill_migrations worker_ping email_to_igroup instance_group global_settings v2_job_completed flow_version_lite app_version_lite workspace_runnable_dependencies',
  SI: 'workspace_key v2_job_runtime v2_job_status concurrency_counter folder_permission_history group_permission_history trashbin runnable_settings concurrency_settings debouncing_settings',
  SID: 'workspace_invite job_perms concurrency_key',
  SIU: 'workspace workspace_settings usr password audit audit_partitioned',
  SD: 'asset capture capture_config app_bundles lock_hash',
  SIUD: 'script flow flow_version app app_version variable resource resource_type schedule folder group_ usr_to_group workspace_env draft dependency_map deployment_metadata v2_job v2_job_queue'
}
const words: Readonly<Record<string, Privilege>> = { S: 'SELECT', I: 'INSERT', U: 'UPDATE', D: 'DELETE' }

/** Throws SchemaUnknown, DatabaseBusy (a migration is under way) or DatabaseNotAllowed. `writes: false` for a plan. */
export async function inspect(
  database: Pick<Database, 'read'>,
  kinds: readonly Pick<AnyKind, 'kind' | 'uses'>[],
  { writes = true }: { writes?: boolean } = {}
): Promise<Inspected> {
  return await database.read(async sql => {
    const catalogue = await readCatalogue(sql)
    checkAge(catalogue, await searchPath(sql))
    checkUses(catalogue, kinds)
    checkMandatory(catalogue)
    await requirePrivileges(sql, privileges(catalogue, writes))
    const newest = await checkAtRest(sql, catalogue)
    return { capabilities: catalogue, windmillSchema: describe(catalogue, newest) }
  })
}

const unknown = (text: string): SyncError => new SyncError('SchemaUnknown', text)

async function searchPath(sql: Sql): Promise<string> {
  const [row] = await sql<{ path: string }[]>`select current_setting('search_path') as path`
  return row?.path ?? ''
}

function checkAge(catalogue: Catalogue, path: string): void {
  if (!catalogue.has('script') || !catalogue.has('workspace')) {
    throw unknown(
      `There are no Windmill tables in this database (searched: ${path}). Is it the right one? For another schema add ?options=-c%20search_path=… to the database address.`
    )
  }
  if (!catalogue.has('v2_job') || !catalogue.has('v2_job_queue')) {
    throw unknown('This Windmill is older than 1.463 (it lacks the table v2_job); upgrade Windmill first.')
  }
}

/** Everything that is missing, at once. */
function checkUses(catalogue: Catalogue, kinds: readonly Pick<AnyKind, 'kind' | 'uses'>[]): void {
  const missing = new Map<string, Set<string>>()
  for (const { kind, uses } of kinds) {
    for (const [table, columns] of Object.entries(uses)) {
      const lacking = catalogue.has(table)
        ? columns.filter(column => !catalogue.has(table, column)).map(column => `column ${table}.${column}`)
        : [`table ${table}`]
      for (const one of lacking) missing.set(one, (missing.get(one) ?? new Set()).add(kind))
    }
  }
  if (missing.size === 0) return
  const list = [...missing].map(([what, by]) => `${what} (${[...by].join(', ')})`)
  throw unknown(`Windmill's schema is not one that this version knows; missing: ${list.join('; ')}.`)
}

/** A new mandatory column would make every insert fail, or hold a value that nobody chose. */
function checkMandatory(catalogue: Catalogue): void {
  const found = Object.entries(knownColumns).flatMap(([table, names]) => {
    const known = names.split(' ')
    return catalogue
      .required(table)
      .filter(column => !known.includes(column))
      .map(column => `${table}.${column}`)
  })
  if (found.length === 0) return
  throw unknown(
    `Windmill's schema is newer than this version knows: the columns ${found.join(', ')} must be given a value. Upgrade windmill-iac.`
  )
}

function privileges(catalogue: Catalogue, writes: boolean): Record<string, readonly Privilege[]> {
  const wanted: Record<string, readonly Privilege[]> = {}
  for (const [letters, tables] of Object.entries(rights)) {
    const list = letters.split('').flatMap(letter => (writes || letter === 'S' ? (words[letter] ?? []) : []))
    for (const table of tables.split(' ')) if (catalogue.has(table)) wanted[table] = list
  }
  return wanted
}

/**
 * Windmill's servers migrate at their start, under an advisory lock whose key comes from the name of the database.
 * Writing meanwhile could meet half a schema; the next run will find it whole.
 */
async function checkAtRest(sql: Sql, catalogue: Catalogue): Promise<string> {
  const [name] = await sql<{ name: string }[]>`select current_database()::text as name`
  const key = migrationLockKey(name?.name ?? '')
  const [held] = await sql<{ held: boolean }[]>`
    select exists (select from pg_locks where locktype = 'advisory' and objsubid = 1 and granted
       and database = (select oid from pg_database where datname = current_database())
       and classid::bigint = ${String(key >> 32n)} and objid::bigint = ${String(key & 0xff_ff_ff_ffn)}) as held`
  if (held?.held) throw atWork('is being migrated by a Windmill server')
  if (!catalogue.has('_sqlx_migrations')) return ''
  const [state] = await sql<{ newest: string | null; failed: string | null }[]>`
    select max(version) filter (where success)::text as newest, min(version) filter (where not success)::text as failed
      from _sqlx_migrations`
  if (state?.failed) throw atWork(`holds an unfinished migration (${state.failed})`)
  return state?.newest ?? ''
}

const atWork = (what: string): SyncError =>
  new SyncError('DatabaseBusy', `The database ${what}; retry later.`, { transient: true })

/** As Windmill's migration library computes it. */
export const migrationLockKey = (database: string): bigint => 0x3d_32_ad_9en * BigInt(crc32(database))

function describe(catalogue: Catalogue, newest: string): string {
  const generation = catalogue.has('notify_event') ? '2026' : catalogue.has('asset') ? '1.558' : '1.463'
  const parts = [newest && `migration ${newest}`, `tables of ${generation}`]
  if (catalogue.has('v2_job_queue', '__created_by')) parts.push('job tables not finalized')
  return parts.filter(Boolean).join(', ')
}
