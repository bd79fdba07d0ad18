/** A worker of Windmill, as far as dependency jobs go: takes, locks, rewrites, completes. Contract: jobs §11, §13. */
import type postgres from 'postgres'
import { lockApp } from './worker-app.ts'
import { type Job, LockFailure, type Shift, type WorkerOptions } from './worker-base.ts'
import { lockFlow } from './worker-flow.ts'
import { lockScript } from './worker-script.ts'

const tags =
  `deno python3 go bash powershell nativets mysql bun postgresql bigquery snowflake mssql graphql php rust ansible
  csharp nu java ruby duckdb dependency flow other heavy team-demo`.split(/\s+/)

/** Works until nothing is due any more; gives what was done, such as `dependencies f/a/b success`. */
export async function work(sql: postgres.Sql, options: WorkerOptions): Promise<readonly string[]> {
  const done: string[] = []
  const shift = { first: [], relocksLast: false, failing: [], generation: 1, limit: 500, ...options }
  for (let more = true; more && done.length < shift.limit; ) {
    more = await sql.begin(async sql => {
      const job = await pull(sql, shift)
      if (!job) return false
      done.push(`${job.kind} ${job.path} ${await perform({ ...shift, sql }, job)}`)
      return true
    })
  }
  return done
}

/**
 * The contract's selection, with our own choice among equals. It looks a little ahead: relocks are due some seconds
 * later in newer Windmill.
 */
async function pull(
  sql: postgres.TransactionSql,
  { first, relocksLast }: Pick<Shift, 'first' | 'relocksLast'>
): Promise<Job | undefined> {
  const [row] = await sql<{ id: string; canceled_by: string | null }[]>`
    select q.id from v2_job_queue q join v2_job j using (id)
     where running = false and q.tag in ${sql(tags)} and scheduled_for <= now() + interval '10 seconds'
       and j.kind in ('dependencies', 'flowdependencies', 'appdependencies')
     order by ${relocksLast} and j.args ? 'common_dependency_path', array_position(${first as string[]}::text[], j.runnable_path::text), q.priority desc nulls last, scheduled_for, q.id
       for update of q skip locked limit 1`
  if (!row) return undefined
  await sql`update v2_job_queue set running = true, started_at = now(), worker = 'simulated' where id = ${row.id}`
  const pinged = await sql`update v2_job_runtime set ping = now() where id = ${row.id}`
  if (pinged.count !== 1) throw new Error(`job ${row.id} has no runtime row: it would be abandoned`)
  const [job] = await sql<Job[]>`
    select id, kind, runnable_id as runnable, runnable_path as path, script_lang as language, args
      from v2_job where id = ${row.id}`
  return job
}

async function perform(shift: Shift, job: Job): Promise<'success' | 'failure' | 'canceled'> {
  const { sql } = shift
  const [queued] = await sql`select canceled_by from v2_job_queue where id = ${job.id}`
  if (queued?.['canceled_by'] != null) return complete(sql, job, 'canceled')
  try {
    if (job.kind === 'dependencies') await lockScript(shift, job)
    if (job.kind === 'flowdependencies') await lockFlow(shift, job)
    if (job.kind === 'appdependencies') await lockApp(shift, job)
    return await complete(sql, job, 'success')
  } catch (error) {
    if (!(error instanceof LockFailure)) throw error
    return complete(sql, job, 'failure')
  }
}

async function complete<T extends 'success' | 'failure' | 'canceled'>(
  sql: postgres.TransactionSql,
  job: Job,
  status: T
): Promise<T> {
  await sql`
    insert into v2_job_completed (id, workspace_id, status, started_at, completed_at, duration_ms, result)
    values (${job.id}, 'demo', ${status}, now(), now(), 1, '{}')`
  await sql`delete from v2_job_queue where id = ${job.id}`
  await sql`delete from job_perms where job_id = ${job.id}`
  return status
}
