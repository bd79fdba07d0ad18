/** A worker that pulls, completes and pushes the next occurrence as Windmill's does, by rows alone: for tests of schedules. */
import { randomUUID } from 'node:crypto'
import type postgres from 'postgres'
import { loadNextAfter } from '../../src/windmill/cron.ts'

export interface Pulled {
  readonly id: string
  readonly workspace: string
  readonly path: string
  readonly kind: string
  readonly runnable: string | null
  readonly trigger: string | null
  readonly rawFlow: unknown
  readonly flowStatus: unknown
  readonly permissionedAs: string
  readonly email: string
  readonly username: string | null
}

/** Time passes for everything that waits. */
export const becomeDue = (sql: postgres.Sql): Promise<unknown> =>
  sql`update v2_job_queue set scheduled_for = now() - interval '1 second' where not running and scheduled_for > now()`

/** The next due job of any tag, marked as running; undefined when nothing is due. */
export async function pull(sql: postgres.Sql): Promise<Pulled | undefined> {
  const [job] = await sql<Pulled[]>`
    with peek as (
      select id from v2_job_queue where running = false and scheduled_for <= now()
       order by priority desc nulls last, scheduled_for for update skip locked limit 1),
    q as (update v2_job_queue set running = true, started_at = now(), worker = 'wk-1' where id in (select id from peek) returning id),
    r as (update v2_job_runtime set ping = now() where id in (select id from peek))
    select j.id, j.workspace_id as workspace, j.runnable_path as path, j.kind::text, j.runnable_id::text as runnable,
           j.trigger, j.raw_flow as "rawFlow", s.flow_status as "flowStatus", j.permissioned_as as "permissionedAs",
           j.permissioned_as_email as email, p.username
      from q join v2_job j using (id)
      left join v2_job_status s on s.id = j.id
      left join job_perms p on p.job_id = j.id`
  return job
}

/** A flow pushes the next occurrence when it starts, a script when it ends (contract: schedules §5). */
export async function finish(sql: postgres.Sql, job: Pulled, status: 'success' | 'failure' = 'success'): Promise<void> {
  await sql.begin(async tx => {
    await tx`
      insert into v2_job_completed (id, workspace_id, duration_ms, result, status, started_at)
      values (${job.id}, ${job.workspace}, 12, '{}', ${status}::job_status, now())`
    await tx`delete from v2_job_queue where id = ${job.id}`
    await tx`delete from job_perms where job_id = ${job.id}`
  })
  if (job.kind === 'script') await pushNext(sql, job)
}

interface Row {
  readonly schedule: string
  readonly timezone: string
  readonly enabled: boolean
  readonly script_path: string
  readonly is_flow: boolean
  readonly now: Date
}

/** What the worker does for a job of a schedule; what goes wrong disables the schedule. */
export async function pushNext(sql: postgres.Sql, job: Pulled): Promise<void> {
  const nextAfter = await loadNextAfter()
  await sql.begin(async tx => {
    const [row] = await tx<Row[]>`
      select *, now() as now from schedule where workspace_id = ${job.workspace} and path = ${job.trigger} for update`
    if (!row?.enabled || row.script_path !== job.path) return
    const next = nextAfter(row.schedule, row.timezone, row.now) as Date
    const [there] = await tx`
      select from v2_job_queue q join v2_job j using (id)
       where j.workspace_id = ${job.workspace} and j.trigger = ${job.trigger} and j.trigger_kind = 'schedule'
         and j.runnable_path = ${row.script_path} and j.parent_job is null and q.scheduled_for = ${next}`
    if (there) return
    const [target] = row.is_flow
      ? await tx`
          select versions[array_upper(versions, 1)]::text as version, null as language from flow
           where workspace_id = ${job.workspace} and path = ${row.script_path}`
      : await tx`
          select hash::text as version, language::text from script
           where workspace_id = ${job.workspace} and path = ${row.script_path} and not archived
           order by created_at desc limit 1`
    if (!target) {
      await tx`
        update schedule set enabled = false, error = ${`Not found: ${row.script_path}`}
         where workspace_id = ${job.workspace} and path = ${job.trigger}`
      return
    }
    await tx`update schedule set error = null where workspace_id = ${job.workspace} and path = ${job.trigger}`
    const id = randomUUID()
    await tx`
      insert into v2_job (id, workspace_id, tag, created_by, permissioned_as, permissioned_as_email, kind, runnable_id,
             runnable_path, script_lang, trigger, trigger_kind, args)
      values (${id}, ${job.workspace}, 'deno', 'schedule', ${job.permissionedAs}, ${job.email},
              ${row.is_flow ? 'flow' : 'script'}::job_kind, ${target['version'] as string}::text::bigint, ${row.script_path},
              ${target['language'] as string}::text::script_lang, ${job.trigger}, 'schedule', '{}')`
    await tx`
      insert into v2_job_queue (id, workspace_id, running, scheduled_for, tag)
      values (${id}, ${job.workspace}, false, ${next}, 'deno')`
    await tx`insert into v2_job_runtime (id, ping) values (${id}, null)`
  })
}
