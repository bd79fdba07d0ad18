/** What rows a queued dependency job consists of: contract, jobs §2 to §7. */
import { type Bench } from './bench.ts'
import { anything, deviations, type Row, recent, rule } from './expect.ts'
import { email, user } from './rules.ts'

const uuid = rule('a uuid', value => /^[0-9a-f-]{36}$/.test(String(value)))

/** The job that is expected at a path, or none. */
export async function jobDeviations(
  { sql, variant }: Bench,
  path: string,
  kind: string,
  expected: Row | undefined
): Promise<readonly string[]> {
  const jobs =
    await sql`select * from v2_job where workspace_id = 'demo' and runnable_path = ${path} and kind = ${kind}`
  if (jobs.length !== (expected ? 1 : 0)) return [`${path}: ${jobs.length} jobs of kind ${kind}`]
  const [job] = jobs
  if (!job || !expected) return []
  const id = String(job['id'])
  const [queue] =
    await sql`select *, scheduled_for - created_at > interval '1 second' as later from v2_job_queue where id = ${id}`
  const [runtime] = await sql`select * from v2_job_runtime where id = ${id}`
  const [status] = await sql`select * from v2_job_status where id = ${id}`
  const [perms] = await sql`select *, array_to_json(folders) as folders from job_perms where job_id = ${id}`
  const legacy = variant.endsWith('-unfinalized') ? Object.keys(queue ?? {}).filter(name => name.startsWith('__')) : []
  const where = `job of ${path}`
  return [
    ...deviations(where, job, { ...jobRow, ...expected }),
    ...deviations(`${where} queue`, queue, {
      ...queueRow(expected),
      ...Object.fromEntries(legacy.map(name => [name, anything]))
    }),
    ...deviations(`${where} runtime`, runtime, { id, ping: null, memory_peak: null }),
    ...(status ? [`${where}: has a status`] : []),
    ...deviations(`${where} perms`, perms, permsRow)
  ]
}

const jobRow: Row = {
  id: uuid,
  workspace_id: 'demo',
  created_at: recent,
  same_worker: false,
  visible_to_owner: true,
  ...Object.fromEntries(
    `raw_code raw_lock raw_flow parent_job root_job flow_innermost_root_job flow_step flow_step_id trigger trigger_kind
     script_entrypoint_override concurrent_limit concurrency_time_window_s cache_ttl timeout preprocessed labels
     pre_run_error`
      .split(/\s+/)
      .map(name => [name, null])
  )
}

const queueRow = ({ tag, priority }: Row): Row => ({
  id: uuid,
  workspace_id: 'demo',
  created_at: recent,
  scheduled_for: recent,
  later: false,
  running: false,
  tag,
  priority,
  suspend: 0,
  ...Object.fromEntries(
    `started_at suspend_until canceled_by canceled_reason worker extras runnable_settings_handle cache_ignore_s3_path`
      .split(' ')
      .map(name => [name, null])
  )
})

const permsRow: Row = {
  job_id: uuid,
  email,
  username: user,
  is_admin: true,
  is_operator: false,
  created_at: anything,
  workspace_id: 'demo',
  groups: ['all'],
  folders: rule('an array of [name, write, owner]', value =>
    (value as readonly unknown[]).every(one => Array.isArray(one) && one.length === 3 && typeof one[1] === 'boolean')
  ),
  end_user_email: null
}
