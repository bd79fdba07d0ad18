/** Schedules, and the jobs that Windmill's pages queue for them. */
import type postgres from 'postgres'
import { pathsOf, words } from './things-plain.ts'
import { keyOf, type Thing } from './words.ts'

const targets = [...pathsOf('s').map(path => `script ${path}`), ...pathsOf('w').map(path => `flow ${path}`)]
const partsOf = (target: string): readonly [path: string, isFlow: boolean] => {
  const [noun, path = ''] = target.split(' ')
  return [path, noun === 'flow']
}

/** What Windmill's page does besides: the job of an enabled schedule goes, and a new one comes. */
async function rearm(sql: postgres.Sql, path: string): Promise<void> {
  const gone = await sql`
    delete from v2_job_queue q using v2_job j
     where j.id = q.id and j.workspace_id = 'demo' and j.trigger_kind = 'schedule' and j.trigger = ${path} returning q.id`
  for (const { id } of gone as unknown as readonly { id: string }[]) {
    await sql`delete from v2_job_runtime where id = ${id}`
    await sql`delete from v2_job_status where id = ${id}`
    await sql`delete from job_perms where job_id = ${id}`
    await sql`delete from v2_job where id = ${id}`
  }
  const version = sql`case when s.is_flow
    then (select versions[array_upper(versions, 1)] from flow f where f.workspace_id = 'demo' and f.path = s.script_path)
    else (select hash from script c where c.workspace_id = 'demo' and c.path = s.script_path and not archived
           order by created_at desc limit 1) end`
  const pushed = await sql`
    insert into v2_job (id, workspace_id, tag, created_by, permissioned_as, permissioned_as_email, kind, runnable_id,
           runnable_path, trigger, trigger_kind, args)
    select gen_random_uuid(), 'demo', 'deno', 'bob', 'u/bob', 'bob@example.com',
           case when s.is_flow then 'flow' else 'script' end::job_kind, ${version}, s.script_path, s.path, 'schedule', '{}'
      from schedule s where s.workspace_id = 'demo' and s.path = ${path} and s.enabled and ${version} is not null returning id`
  for (const { id } of pushed as unknown as readonly { id: string }[]) {
    await sql`
      insert into v2_job_queue (id, workspace_id, running, scheduled_for, tag)
      values (${id}, 'demo', false, now() + interval '1 hour', 'deno')`
    await sql`insert into v2_job_runtime (id, ping) values (${id}, null)`
  }
}

export const schedule: Thing = {
  kind: 'Schedule',
  paths: pathsOf('c'),
  always: {
    schedule: ['0 0 3 * * *', '0 30 4 * * *', '0 0 */6 * * *'],
    target: targets,
    enabled: ['true', 'true', 'false']
  },
  maybe: { summary: words, args: words },
  clears: ['args'],
  specOf: (path, { target = '', args, enabled, ...fields }) => {
    const [scriptPath, isFlow] = partsOf(target)
    return {
      path,
      ...fields,
      scriptPath,
      isFlow,
      enabled: enabled === 'true',
      ...(args !== undefined && { args: { a: args } })
    }
  },
  knowsTime: () => true,
  look: async ({ sql }) => {
    const rows = await sql<Readonly<Record<string, string>>[]>`
      select path, schedule, case when is_flow then 'flow ' else 'script ' end || script_path as target, enabled::text,
             coalesce(args->>'a', '') as args, coalesce(summary, '') as summary
        from schedule where workspace_id = 'demo' and path ~ '^f/f[ab]/c'`
    return rows.map(({ path = '', ...fields }) => [path, fields])
  },
  async create({ sql, has }, path, fields) {
    const {
      schedule: cron = '0 0 3 * * *',
      target = targets[0] ?? '',
      enabled = 'true',
      args = '',
      summary = ''
    } = fields
    const [scriptPath, isFlow] = partsOf(target)
    const row = {
      workspace_id: 'demo',
      path,
      edited_by: 'bob',
      email: 'bob@example.com',
      schedule: cron,
      timezone: 'UTC',
      cron_version: 'v2',
      enabled: enabled === 'true',
      script_path: scriptPath,
      is_flow: isFlow,
      summary,
      ...(has('schedule', 'permissioned_as') && { permissioned_as: 'u/bob' }),
      ...(args !== '' && { args: { a: args } })
    }
    await sql`insert into schedule ${sql(row as never)}`
    await rearm(sql, path)
  },
  async edit({ sql }, path, { schedule: cron, target, enabled, args, summary }) {
    const [scriptPath, isFlow] = target === undefined ? [null, null] : partsOf(target)
    await sql`
      update schedule set schedule = coalesce(${cron ?? null}, schedule), script_path = coalesce(${scriptPath}, script_path),
             is_flow = coalesce(${isFlow}, is_flow), enabled = coalesce(${enabled === undefined ? null : enabled === 'true'}, enabled),
             args = coalesce(${args === undefined ? null : JSON.stringify({ a: args })}::text::jsonb, args),
             summary = coalesce(${summary ?? null}, summary), edited_at = now()
       where workspace_id = 'demo' and path = ${path}`
    await rearm(sql, path)
  },
  async drop({ sql }, path) {
    await sql`delete from schedule where workspace_id = 'demo' and path = ${path}`
    await rearm(sql, path)
  },
  retired: fields => ({ ...fields, enabled: 'false' }),
  lacks({ target = '' }, rows) {
    const [path, isFlow] = partsOf(target)
    const row = rows.get(keyOf(isFlow ? 'Flow' : 'Script', path))
    return row === undefined || row['archived'] === 'true'
  }
}
