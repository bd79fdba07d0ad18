/** Workers, as far as a bench needs them: all dependency jobs of the queue are done at once. */
import type { BenchDatabase } from './database.ts'

/** Returns the number of objects whose dependencies were locked. */
export async function lockAll({ sql }: BenchDatabase): Promise<number> {
  const [found] = await sql<{ objects: number }[]>`
    with jobs as materialized (
         select q.id, j.workspace_id, j.kind::text as kind, j.runnable_id, j.runnable_path
           from v2_job_queue q join v2_job j on j.id = q.id
          where j.kind in ('dependencies', 'flowdependencies', 'appdependencies')),
    scripts as (
         update script s set lock = '' from jobs j
          where j.kind = 'dependencies' and s.hash = j.runnable_id and s.workspace_id = j.workspace_id returning 1),
    flows as (
         update flow f set lock_error_logs = null from jobs j
          where j.kind = 'flowdependencies' and f.dependency_job = j.id returning 1),
    apps as (
         insert into app_version_lite (id, value)
         select v.id, v.value from jobs j join app_version v on v.id = j.runnable_id where j.kind = 'appdependencies' returning 1),
    done as (
         insert into v2_job_completed (id, workspace_id, duration_ms, result, started_at, completed_at, status)
         select id, workspace_id, 12, '{}', now(), now(), 'success' from jobs),
    gone as (delete from v2_job_queue where id in (select id from jobs)),
    over as (delete from v2_job_runtime where id in (select id from jobs))
    select (select count(*) from jobs)::int as objects`
  return found?.objects ?? 0
}
