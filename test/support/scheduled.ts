/** Scripts, flows, users and schedules by rows, and what the queue holds of them: for tests of schedules. */
import type postgres from 'postgres'
import type { World } from './windmill.ts'

let last = 1000

/** A new version of a script; the one before is archived, as Windmill does. Returns the hash as decimal text. */
export async function putScript(
  { sql }: World,
  path: string,
  more: Readonly<Record<string, unknown>> = {}
): Promise<string> {
  const hash = String(++last % 2 === 0 ? -9_000_000_000_000_000_000n + BigInt(last) : BigInt(last))
  await sql`update script set archived = true where workspace_id = 'w' and path = ${path}`
  const row = {
    workspace_id: 'w',
    hash,
    path,
    summary: '',
    description: '',
    content: 'export function main() {}',
    created_by: 'alice',
    language: 'deno',
    lock: '',
    ...more
  }
  await sql`insert into script ${sql(row as never)}`
  await sql`update script set created_at = clock_timestamp() where workspace_id = 'w' and hash = ${hash}::text::bigint`
  return hash
}

/** A new version of a flow. Returns its id as decimal text. */
export async function putFlow(
  { sql }: World,
  path: string,
  value: unknown = { modules: [{ id: 'a', value: { type: 'identity' } }] }
): Promise<string> {
  const json = JSON.stringify(value)
  await sql`
    insert into flow (workspace_id, path, summary, description, value, edited_by)
    values ('w', ${path}, '', '', ${json}::text::jsonb, 'alice') on conflict (workspace_id, path) do nothing`
  const [version] = await sql`
    insert into flow_version (workspace_id, path, value, created_by) values ('w', ${path}, ${json}::text::jsonb, 'alice')
    returning id::text`
  const id = version?.['id'] as string
  await sql`
    update flow set versions = versions || ${id}::text::bigint, value = ${json}::text::jsonb
     where workspace_id = 'w' and path = ${path}`
  return id
}

export const putUser = (
  sql: postgres.Sql,
  username: string,
  email = `${username}@example.com`
): Promise<unknown> => sql`
  insert into usr (workspace_id, username, email, is_admin) values ('w', ${username}, ${email}, false)
  on conflict (workspace_id, username) do update set email = excluded.email`

/** The service identity, and alice. */
export async function putUsers({ sql, context }: World): Promise<void> {
  await putUser(sql, context.user, context.email)
  await putUser(sql, 'alice')
}

/** A schedule that somebody else made through Windmill. */
export async function putSchedule(world: World, path: string, more: Readonly<Record<string, unknown>>): Promise<void> {
  const row = {
    workspace_id: 'w',
    path,
    edited_by: 'alice',
    email: 'alice@example.com',
    schedule: '0 0 3 * * *',
    timezone: 'UTC',
    cron_version: 'v2',
    enabled: true,
    ...(world.context.capabilities.has('schedule', 'permissioned_as') && { permissioned_as: 'u/alice' }),
    ...more
  }
  await world.sql`insert into schedule ${world.sql(row as never)}`
}

export interface QueuedJob {
  readonly id: string
  readonly kind: string
  readonly runnable: string | null
  readonly path: string
  readonly tag: string
  readonly queueTag: string
  readonly language: string | null
  readonly running: boolean
  readonly scheduledFor: Date
  readonly createdBy: string
  readonly permissionedAs: string
  readonly email: string
  readonly args: unknown
  readonly rawFlow: { readonly modules: readonly Readonly<Record<string, unknown>>[] } | null
  readonly flowStatus: { readonly modules: readonly { readonly id: string }[] } | null
  readonly timeout: number | null
  readonly cacheTtl: number | null
  readonly perms: string | null
  readonly runtime: boolean
}

/** What the queue holds for a schedule, by time. */
export const jobsOf = async (sql: postgres.Sql, trigger: string): Promise<readonly QueuedJob[]> => [
  ...(await sql<QueuedJob[]>`
  select j.id, j.kind::text, j.runnable_id::text as runnable, j.runnable_path as path, j.tag, q.tag as "queueTag",
         j.script_lang::text as language, q.running, q.scheduled_for as "scheduledFor", j.created_by as "createdBy",
         j.permissioned_as as "permissionedAs", j.permissioned_as_email as email, j.args, j.raw_flow as "rawFlow",
         s.flow_status as "flowStatus", j.timeout, j.cache_ttl as "cacheTtl", p.username as perms,
         r.id is not null and r.ping is null as runtime
    from v2_job_queue q join v2_job j using (id)
    left join v2_job_status s on s.id = j.id
    left join v2_job_runtime r on r.id = j.id
    left join job_perms p on p.job_id = j.id
   where j.trigger_kind = 'schedule' and j.trigger = ${trigger}
   order by q.scheduled_for`)
]
