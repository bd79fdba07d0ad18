/** What the queue holds of schedules, and what that says about them (contract: schedules §5, §9). */
import { type Fragment, type Json, type Sql, targetKey } from '../model.ts'
import { hexOf } from './jobs.ts'
import { placesJson } from './row-writer.ts'

interface Place {
  readonly workspace: string
  readonly path: string
}

/** A job of a schedule that has not ended. */
interface Waiting extends Place {
  /** A worker has it, or had it: a flow that waits for an approval is not running either. */
  readonly begun: boolean
  readonly starts: string | null
  /** The version it is pinned to: decimal as a job of its own, hexadecimal inside a wrapper. */
  readonly version: string | null
  readonly wrapped: string | null
  readonly scheduledFor: Date
}

/**
 * Jobs whose schedule is one of these. Estimates of such lists are far too low, and a join would then go through all of
 * them for each job; what stands below `is true` is looked up in a hash.
 */
export const ofSchedules = (sql: Sql, places: readonly Place[]) => sql`
  o.trigger_kind = 'schedule' and ((o.workspace_id, o.trigger) in (
    select j.workspace, j.path from jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text))) is true`

/** By target key; nothing for schedules without a job. */
export async function readQueue(sql: Sql, places: readonly Place[]): Promise<ReadonlyMap<string, readonly Waiting[]>> {
  const rows = await sql<Waiting[]>`
    select o.workspace_id as workspace, o.trigger as path, q.running or q.suspend_until is not null as begun,
           o.runnable_path as starts, o.runnable_id::text as version,
           jsonb_path_query_first(o.raw_flow, '$.modules[*] ? (@.id == "a").value.hash') #>> '{}' as wrapped,
           q.scheduled_for as "scheduledFor"
      from v2_job_queue q
      join v2_job o on o.id = q.id
     where ${ofSchedules(sql, places)} and o.flow_step_id is null and o.parent_job is null
     order by q.scheduled_for`
  const found = new Map<string, Waiting[]>()
  for (const row of rows) {
    const key = targetKey(row.workspace, row.path)
    const there = found.get(key)
    if (there) there.push(row)
    else found.set(key, [row])
  }
  return found
}

interface Armable {
  readonly enabled: boolean
  readonly scriptPath: string
  /** Newest version of what it starts, decimal; null when that is gone. */
  readonly version: string | null
}

/**
 * Whether the next occurrence is in the queue. A job that a worker has counts as well, because the worker pushes the next
 * one; one that starts something else, or an older version, is outdated. Never the time: that moves with every occurrence.
 */
export function armedBy({ enabled, scriptPath, version }: Armable, jobs: readonly Waiting[] = []): Json {
  const queued = jobs.filter(job => !job.begun)
  const isPinned = ({ version: own, wrapped }: Waiting): boolean =>
    version === null || (own !== null ? own === version : wrapped === null || wrapped === hexOf(version))
  if (queued.some(job => job.starts !== scriptPath || !isPinned(job))) return 'outdated'
  return queued.length > 0 || (enabled && jobs.some(job => job.starts === scriptPath))
}

/** What the queue holds of each schedule, one row each: for `armedSql`. Read once, whatever the number of schedules. */
export const queueSql = (sql: Sql): Fragment => sql`(
  select o.workspace_id, o.trigger, jsonb_agg(jsonb_build_object(
           'begun', q.running or q.suspend_until is not null, 'starts', o.runnable_path, 'version', coalesce(
             lpad(to_hex(o.runnable_id), 16, '0'),
             jsonb_path_query_first(o.raw_flow, '$.modules[*] ? (@.id == "a").value.hash') #>> '{}'))) as jobs
    from v2_job_queue q
    join v2_job o on o.id = q.id
   where o.trigger_kind = 'schedule' and o.flow_step_id is null and o.parent_job is null
   group by o.workspace_id, o.trigger)`

/** `armedBy` as SQL, of schedule `s`, the jobs in `b` and the version `n` of what it starts. */
export const armedSql = (sql: Sql): Fragment => sql`(
  select case when bool_or(not w.begun and (w.starts is distinct from s.script_path or
                             w.version <> lpad(to_hex(n.version::bigint), 16, '0'))) then 'outdated'
              when bool_or(not w.begun or (s.enabled and w.starts = s.script_path)) then 'true' else 'false' end
    from jsonb_to_recordset(b.jobs) as w(begun boolean, starts text, version text))`

/** When the next run is due; in the past while it waits for a worker. */
export const nextOf = (jobs: readonly Waiting[] = []): Date | undefined => jobs.find(job => !job.begun)?.scheduledFor
