/** Jobs that lock dependencies: of new versions, and of those that import them (contract: scripts §3.4 to §3.6, §7). */
import { type Context, type Json, type Sql, targetKey } from '../model.ts'
import { readTagRules, type TagRules, tagFor } from './job-tags.ts'
import { type Job, pushJobs } from './jobs.ts'
import type { Place } from './script-lineage.ts'

/** A version whose dependencies a worker is to lock. */
export interface Lockable {
  readonly workspace: string
  readonly path: string
  readonly hash: string
  /** As stored. */
  readonly language: string
  readonly tag: string | null
  readonly dedicated: boolean
  /** Whether it follows another version. */
  readonly follows: boolean
}

/** The newest known form of jobs: marks, tags and priorities differ there. */
const isNew = ({ capabilities }: Context): boolean => capabilities.has('script', 'runnable_settings_handle')

/**
 * The language decides which workers take the job and must be there. Native scripts are sent as bun, since only such
 * workers can install packages (§3.4).
 */
const sentLanguage = (language: string): string => (language === 'bunnative' ? 'bun' : language)

function tagOf(rules: TagRules, one: Lockable, context: Context): string {
  if (one.dedicated) return `${one.workspace}:${one.path}`
  const isIgnored = one.tag?.includes('$args[') || (isNew(context) && one.language === 'bunnative')
  const explicit = isIgnored ? null : one.tag
  return tagFor(rules, { workspace: one.workspace, explicit, fallback: sentLanguage(one.language) })
}

function jobOf(one: Lockable, tag: string, args: Job['args'], { user, email }: Context): Job {
  const { workspace, path, hash, language } = one
  return {
    workspace,
    kind: 'dependencies',
    runnable: hash,
    path,
    language: sentLanguage(language),
    tag,
    args,
    createdBy: user,
    permissionedAs: user.includes('@') ? user : `u/${user}`,
    email
  }
}

/** One job each; newer Windmill also notes the job beside the version (§3.4). */
export async function pushLockJobs(sql: Sql, versions: readonly Lockable[], context: Context): Promise<void> {
  if (versions.length === 0) return
  const rules = await readTagRules(sql)
  const jobs = versions.map(one =>
    jobOf(one, tagOf(rules, one, context), one.follows ? { parent_path: one.path } : {}, context)
  )
  const ids = await pushJobs(sql, jobs, context)
  if (!context.capabilities.has('deployment_metadata', 'job_id')) return
  const rows = versions.flatMap(({ workspace, path, hash }, at) =>
    ids[at] ? [{ workspace, path, hash, job: ids[at] }] : []
  )
  await sql`
    insert into deployment_metadata (workspace_id, path, script_hash, job_id)
    select j.workspace, j.path, j.hash, j.job
      from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as j(workspace text, path text, hash bigint, job uuid)
    on conflict (workspace_id, script_hash) where script_hash is not null do update set job_id = excluded.job_id`
}

/** Again for versions that have neither lock, nor error, nor job (trap 4); the version stays as it is. */
export async function pushAgain(sql: Sql, places: readonly Place[], context: Context): Promise<void> {
  if (places.length === 0) return
  const rows = await sql<(Omit<Lockable, 'dedicated' | 'follows'> & { dedicated: boolean; follows: boolean })[]>`
    select s.workspace_id as workspace, s.path, s.hash::text, s.language::text, s.tag,
           coalesce(s.dedicated_worker, false) as dedicated, cardinality(s.parent_hashes) > 0 is true as follows
      from jsonb_to_recordset(${JSON.stringify(places)}::text::jsonb) as j(workspace text, path text)
      join script s on s.workspace_id = j.workspace and s.path = j.path and not s.archived and not s.deleted
     where s.lock is null and s.lock_error_logs is null
       for update of s`
  await pushLockJobs(sql, rows, context)
}

interface ImporterRow extends Lockable {
  readonly kind: 'script' | 'flow' | 'app'
  readonly imported: readonly string[]
  readonly nodes: readonly string[]
}

/**
 * Whoever imports these scripts is locked anew, since no job of theirs will see to it. Importers that are written in
 * the same breath have been seen to; archived ones would come back to life (trap 10).
 */
export async function relockImporters(
  sql: Sql,
  changed: readonly Place[],
  written: readonly Place[],
  context: Context
): Promise<void> {
  if (changed.length === 0) return
  const importers = await importersOf(sql, changed, written)
  if (importers.length === 0) return
  const rules = await readTagRules(sql)
  const clones = await cloneFlows(sql, importers, context)
  const later = isNew(context) ? new Date(Date.now() + 5000) : undefined
  const jobs = importers.map(one => {
    const version = one.kind === 'flow' ? (clones.get(targetKey(one.workspace, one.path)) ?? one.hash) : one.hash
    const tag = one.kind !== 'script' || isNew(context) ? tagFor(rules, dependencyTag(one)) : tagOf(rules, one, context)
    const job = jobOf({ ...one, hash: version }, tag, argsOf(one, context), context)
    const kind = { script: 'dependencies', flow: 'flowdependencies', app: 'appdependencies' } as const
    return { ...job, kind: kind[one.kind], ...(one.kind !== 'script' && { language: null }), scheduledFor: later }
  })
  await pushJobs(sql, jobs, context)
}

const dependencyTag = ({ workspace }: Place): { workspace: string; fallback: string } => ({
  workspace,
  fallback: 'dependency'
})

/** What Windmill itself tells such a job (§3.6). */
function argsOf({ kind, imported, nodes, path }: ImporterRow, context: Context): Job['args'] {
  const args: Record<string, Json> = { common_dependency_path: imported[0] ?? '', already_visited: imported }
  if (kind === 'script') return { ...args, ...(isNew(context) && { triggered_by_relative_import: true }) }
  const marked = clonesFlows(context) ? { triggered_by_relative_import: true } : {}
  const list = kind === 'flow' ? 'nodes_to_relock' : 'components_to_relock'
  return { ...args, ...marked, parent_path: path, [list]: nodes }
}

/** Their live and locked versions: one whose lock is on its way sees the new code anyway. */
function importersOf(sql: Sql, changed: readonly Place[], written: readonly Place[]): Promise<readonly ImporterRow[]> {
  return sql<ImporterRow[]>`
    with wanted as materialized (
      select m.workspace_id, m.importer_path, m.importer_kind,
             jsonb_agg(distinct m.imported_path order by m.imported_path) as imported,
             jsonb_agg(distinct m.importer_node_id order by m.importer_node_id) as nodes
        from jsonb_to_recordset(${JSON.stringify(changed)}::text::jsonb) as j(workspace text, path text)
        join dependency_map m on m.workspace_id = j.workspace and m.imported_path = j.path
       where m.importer_kind <> 'script' or not exists (
             select from jsonb_to_recordset(${JSON.stringify(written)}::text::jsonb) as w(workspace text, path text)
              where w.workspace = m.workspace_id and w.path = m.importer_path)
       group by 1, 2, 3)
    select 'script' as kind, w.workspace_id as workspace, w.importer_path as path, s.hash::text, s.language::text, s.tag,
           coalesce(s.dedicated_worker, false) as dedicated, true as follows, w.imported, w.nodes
      from wanted w cross join lateral (
           select * from script v
            where v.workspace_id = w.workspace_id and v.path = w.importer_path and not v.archived and not v.deleted
            order by v.created_at desc limit 1) s
     where w.importer_kind = 'script' and s.lock is not null and s.lock_error_logs is null
    union all
    select 'flow', w.workspace_id, w.importer_path, f.versions[array_upper(f.versions, 1)]::text, null, null, false, true,
           w.imported, w.nodes
      from wanted w join flow f on f.workspace_id = w.workspace_id and f.path = w.importer_path
     where w.importer_kind = 'flow' and not f.archived and cardinality(f.versions) > 0
    union all
    select 'app', w.workspace_id, w.importer_path, a.versions[array_upper(a.versions, 1)]::text, null, null, false, true,
           w.imported, w.nodes
      from wanted w join app a on a.workspace_id = w.workspace_id and a.path = w.importer_path
     where w.importer_kind = 'app' and cardinality(a.versions) > 0
     order by 1, 2, 3`
}

/** Since processes keep a version of a flow for ever, newer Windmill locks a copy, which the worker makes the last one. */
const clonesFlows = ({ capabilities }: Context): boolean => capabilities.hasTrigger('script', 'script_insert')

async function cloneFlows(
  sql: Sql,
  importers: readonly ImporterRow[],
  context: Context
): Promise<ReadonlyMap<string, string>> {
  const flows = importers
    .filter(one => one.kind === 'flow')
    .map(({ workspace, path, hash }) => ({ workspace, path, hash }))
  if (flows.length === 0 || !clonesFlows(context)) return new Map()
  const rows = await sql<(Place & { id: string })[]>`
    insert into flow_version (workspace_id, path, value, schema, created_by)
    select v.workspace_id, v.path, v.value, v.schema, v.created_by
      from jsonb_to_recordset(${JSON.stringify(flows)}::text::jsonb) as j(workspace text, path text, hash bigint)
      join flow_version v on v.id = j.hash
    returning workspace_id as workspace, path, id::text`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), row.id]))
}
