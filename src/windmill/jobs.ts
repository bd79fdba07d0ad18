/** Jobs in the queue, as Windmill's own API pushes them: contract, jobs. */
import { randomBytes } from 'node:crypto'
import type { Context, Json, Sql } from '../model.ts'
import { type AuditRecord, writeAudit } from './audit.ts'
import { permissionsOf } from './job-permissions.ts'
import { inOneGo } from './statements.ts'

/** One job to push; all rows of it are written in the caller's transaction. */
export interface Job {
  readonly workspace: string
  readonly kind: 'dependencies' | 'flowdependencies' | 'appdependencies' | 'script' | 'flow' | 'singlestepflow'
  /** Hash of a script or version id of a flow or app, as decimal text (beyond JavaScript's numbers). */
  readonly runnable: string | null
  /** Path of what runs. */
  readonly path: string
  /** Language of a script; null for flows and apps. */
  readonly language: string | null
  /** As `tagFor` gives it. */
  readonly tag: string
  readonly args: { readonly [name: string]: Json }
  readonly createdBy: string
  /** `u/<user>`, `g/<group>` or an e-mail address. */
  readonly permissionedAs: string
  readonly email: string
  /** Default: at once. */
  readonly scheduledFor?: Date | undefined
  /** Path of the schedule that the job is an occurrence of. */
  readonly trigger?: string | undefined
  readonly timeout?: number | null
  readonly cacheTtl?: number | null
  readonly priority?: number | null
  /** Only of single-step flows. */
  readonly rawFlow?: Json
  /** Only of flows and single-step flows: the state that a worker begins with. */
  readonly flowStatus?: Json
  /** Enterprise edition only. */
  readonly concurrency?: { readonly limit: number; readonly windowS: number | null; readonly key: string }
}

/**
 * Pushes jobs and gives their ids in the same order. The order of tables matters: before finalization a trigger on the
 * queue copies from the job's row, which must be there by an earlier statement (contract: jobs §2). Throws UserNotFound
 * when a job would run as nobody.
 */
export async function pushJobs(sql: Sql, jobs: readonly Job[], context: Context): Promise<readonly string[]> {
  if (jobs.length === 0) return []
  const permissions = await permissionsOf(sql, jobs, context)
  const ids = jobs.map(newJobId)
  const all = jobs.map((job, at) => ({
    ...job,
    id: ids[at],
    kind: kindFor(job, context),
    priority: priorityOf(job, context)
  }))
  const rows = JSON.stringify(all)
  const queued = all.map(({ id, workspace, tag, priority, scheduledFor }) => ({
    id,
    workspace,
    tag,
    priority,
    scheduledFor
  }))
  const job = insertJobs(sql, rows)
  const queue = sql`
    insert into v2_job_queue (id, workspace_id, running, scheduled_for, tag, priority)
    select j.id, j.workspace, false, coalesce(j."scheduledFor", now()), j.tag, j.priority
      from jsonb_to_recordset(${JSON.stringify(queued)}::text::jsonb)
        as j(id uuid, workspace text, tag text, priority smallint, "scheduledFor" timestamptz)`
  const runtime = sql`
    insert into v2_job_runtime (id, ping)
    select j::uuid, null from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb) j`
  const begun = jobs.flatMap(({ flowStatus }, at) => (flowStatus === undefined ? [] : [{ id: ids[at], flowStatus }]))
  const status =
    begun.length > 0 &&
    sql`
    insert into v2_job_status (id, flow_status)
    select j.id, j."flowStatus" from jsonb_to_recordset(${JSON.stringify(begun)}::text::jsonb) as j(id uuid, "flowStatus" jsonb)`
  await inOneGo([job, queue, runtime, status])
  await limitConcurrency(sql, rows, jobs)
  const perms = jobs.map((job, at) => ({ id: ids[at], workspace: job.workspace, email: job.email, ...permissions[at] }))
  await sql`
    insert into job_perms (job_id, email, username, is_admin, is_operator, groups, folders, workspace_id)
    select j.id, j.email, left(j.username, 50), j.admin, j.operator, j.groups,
           array(select f from jsonb_array_elements(j.folders) f), j.workspace
      from jsonb_to_recordset(${JSON.stringify(perms)}::text::jsonb)
        as j(id uuid, workspace text, email text, username text, admin boolean, operator boolean, groups text[],
             folders jsonb)`
  await writeAudit(
    sql,
    jobs.map((job, at) => auditOf(job, ids[at] ?? '', context)),
    context
  )
  return ids
}

function insertJobs(sql: Sql, rows: string): PromiseLike<unknown> {
  return sql`
    insert into v2_job (id, workspace_id, tag, created_by, permissioned_as, permissioned_as_email, kind, runnable_id,
           runnable_path, script_lang, raw_flow, trigger, trigger_kind, same_worker, visible_to_owner,
           concurrent_limit, concurrency_time_window_s, cache_ttl, timeout, priority, args)
    select j.id, j.workspace, j.tag, j."createdBy", j."permissionedAs", j.email, j.kind::job_kind, j.runnable,
           j.path, j.language::script_lang, j."rawFlow", j.trigger,
           case when j.trigger is not null then 'schedule'::job_trigger_kind end, false, true,
           (j.concurrency->>'limit')::int, (j.concurrency->>'windowS')::int, j."cacheTtl", j.timeout, j.priority,
           j.args
      from jsonb_to_recordset(${rows}::text::jsonb)
        as j(id uuid, workspace text, tag text, "createdBy" text, "permissionedAs" text, email text, kind text,
             runnable bigint, path text, language text, "rawFlow" jsonb, trigger text, concurrency jsonb,
             "cacheTtl" int, timeout int, priority smallint, args jsonb)`
}

/** Without its key, a limited job ends with an internal error in the enterprise edition (contract: jobs §10). */
async function limitConcurrency(sql: Sql, rows: string, jobs: readonly Job[]): Promise<void> {
  if (jobs.every(job => !job.concurrency)) return
  const keys = sql`
    select (j->>'id')::uuid as id, j->'concurrency'->>'key' as key
      from jsonb_array_elements(${rows}::text::jsonb) j where j ? 'concurrency'`
  await sql`
    insert into concurrency_counter (concurrency_id, job_uuids) select distinct left(k.key, 1000), '{}'::jsonb from (${keys}) k
    on conflict (concurrency_id) do nothing`
  await sql`insert into concurrency_key (key, job_id) select left(k.key, 255), k.id from (${keys}) k`
}

/** Before the label existed, a single step was a flow without a version (contract: jobs §4). */
const kindFor = ({ kind }: Job, { capabilities }: Context): string =>
  kind === 'singlestepflow' && !capabilities.labels('job_kind').includes(kind) ? 'flow' : kind

/** Newer Windmill gives scripts' dependency jobs priority 0; before, none has one. */
const priorityOf = ({ kind, priority }: Job, { capabilities }: Context): number | null =>
  kind === 'dependencies' && capabilities.has('v2_job_queue', 'runnable_settings_handle') ? 0 : (priority ?? null)

const operations = {
  dependencies: 'dependencies',
  flowdependencies: 'flow_dependencies',
  appdependencies: 'app_dependencies',
  script: 'script',
  flow: 'flow',
  singlestepflow: 'single_step_flow'
} as const

function auditOf(
  { workspace, kind, path, runnable, permissionedAs }: Job,
  uuid: string,
  context: Context
): AuditRecord {
  const old = kind === 'singlestepflow' && kindFor({ kind } as Job, context) !== kind
  const hash = (kind === 'dependencies' || kind === 'script') && runnable !== null ? { hash: hexOf(runnable) } : {}
  return {
    workspace,
    operation: `jobs.run.${old ? 'single_script_flow' : operations[kind]}`,
    action: 'execute',
    resource: path,
    parameters: { uuid, permissioned_as: permissionedAs, ...hash },
    source: { namespace: '', name: '', uid: '', generation: 0 }
  }
}

/** A hash as Windmill shows it: 16 hexadecimal digits of the two's complement (contract: scripts §2.2). */
export const hexOf = (hash: string): string => BigInt.asUintN(64, BigInt(hash)).toString(16).padStart(16, '0')

/** As Windmill's: milliseconds since 1970 in 48 bits, then chance, without version bits (contract: jobs §5). */
function newJobId(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  const hex = time + randomBytes(10).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** Asks the workers to leave queued jobs alone; jobs that are gone are not meant. */
export async function cancelJobs(sql: Sql, ids: readonly string[], reason: string, context: Context): Promise<void> {
  if (ids.length === 0) return
  await sql`
    update v2_job_queue set canceled_by = ${context.user}, canceled_reason = ${reason}
     where id in (select j::uuid from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb) j)`
}

/** Takes jobs that no worker has begun out of the queue for good, with all that belongs to them (contract: jobs §13). */
export async function dropJobs(
  sql: Sql,
  ids: readonly string[],
  { capabilities }: Context
): Promise<readonly string[]> {
  if (ids.length === 0) return []
  const dropped = await sql<{ id: string }[]>`
    delete from v2_job_queue
     where id in (select j::uuid from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb) j) and not running
    returning id::text`
  const gone = JSON.stringify(dropped.map(one => one.id))
  await sql`delete from v2_job where id in (select j::uuid from jsonb_array_elements_text(${gone}::text::jsonb) j)`
  for (const table of ['job_perms', 'concurrency_key'] as const) {
    if (!capabilities.has(table, 'job_id')) continue
    await sql`
      delete from ${sql(table)} where job_id in (select j::uuid from jsonb_array_elements_text(${gone}::text::jsonb) j)`
  }
  return dropped.map(one => one.id)
}
