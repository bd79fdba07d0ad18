/** Rows of schedules as fields of the CRD, with the state of their jobs: read, marked and written. */
import type { Context, Fragment, Json, Observed, Row, Sql, Write } from '../model.ts'
import { targetKey } from '../model.ts'
import { labelsRead } from './labels.ts'
import { retryRead } from './retry.ts'
import { placesJson } from './row-writer.ts'
import { armedBy, armedSql, queueSql, readQueue } from './schedule-queue.ts'
import { ARMED } from './schedule-spec.ts'

interface Place {
  readonly workspace: string
  readonly path: string
}

interface Column {
  readonly field: string
  readonly column: string
  readonly as: 'text' | 'boolean' | 'integer' | 'jsonb' | 'json' | 'texts'
  /** SQL for a field that is null or, in a new row, not stated. */
  readonly empty?: string
}

function columnsFor({ capabilities }: Context): readonly Column[] {
  const json = capabilities.type('schedule', 'on_failure_extra_args') === 'json' ? 'json' : 'jsonb'
  const all: readonly Column[] = [
    { field: 'schedule', column: 'schedule', as: 'text' },
    { field: 'timezone', column: 'timezone', as: 'text', empty: `'UTC'` },
    { field: 'scriptPath', column: 'script_path', as: 'text' },
    { field: 'isFlow', column: 'is_flow', as: 'boolean', empty: 'false' },
    { field: 'enabled', column: 'enabled', as: 'boolean', empty: 'false' },
    { field: 'args', column: 'args', as: 'jsonb' },
    { field: 'summary', column: 'summary', as: 'text' },
    { field: 'description', column: 'description', as: 'text' },
    { field: 'labels', column: 'labels', as: 'texts' },
    { field: 'onFailure', column: 'on_failure', as: 'text' },
    { field: 'onFailureTimes', column: 'on_failure_times', as: 'integer' },
    { field: 'onFailureExact', column: 'on_failure_exact', as: 'boolean' },
    { field: 'onFailureExtraArgs', column: 'on_failure_extra_args', as: json },
    { field: 'onRecovery', column: 'on_recovery', as: 'text' },
    { field: 'onRecoveryTimes', column: 'on_recovery_times', as: 'integer' },
    { field: 'onRecoveryExtraArgs', column: 'on_recovery_extra_args', as: json },
    { field: 'onSuccess', column: 'on_success', as: 'text' },
    { field: 'onSuccessExtraArgs', column: 'on_success_extra_args', as: json },
    { field: 'wsErrorHandlerMuted', column: 'ws_error_handler_muted', as: 'boolean', empty: 'false' },
    { field: 'retry', column: 'retry', as: 'jsonb' },
    { field: 'noFlowOverlap', column: 'no_flow_overlap', as: 'boolean', empty: 'false' },
    { field: 'tag', column: 'tag', as: 'text' },
    { field: 'dynamicSkip', column: 'dynamic_skip', as: 'text' },
    { field: 'pausedUntil', column: 'paused_until', as: 'text' },
    { field: 'error', column: 'error', as: 'text' }
  ]
  return all.filter(({ column }) => capabilities.has('schedule', column))
}

const places = (sql: Sql, targets: readonly Place[]) =>
  sql`jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)`

/** The newest version of what a schedule starts: a script that is not archived, the last version of a flow. */
const version = (sql: Sql) => sql`
  case when s.is_flow then (
    select f.versions[array_upper(f.versions, 1)]::text from flow f
     where f.workspace_id = s.workspace_id and f.path = s.script_path)
  else (
    select c.hash::text from script c
     where c.workspace_id = s.workspace_id and c.path = s.script_path and not c.archived
     order by c.created_at desc limit 1) end`

/** Of its columns, a pause that is over counts for nothing: the next push clears it. */
const pause = (sql: Sql) => sql`case when s.paused_until > now() then s.paused_until end`

/** The last run's outcome, by the index that starts with the path of what runs (contract: schedules §10). */
export const lastRun = (sql: Sql) => sql`
  lateral (
    select c.status::text, coalesce(c.started_at, c.completed_at) as at
      from v2_job o join v2_job_completed c on c.id = o.id
     where o.workspace_id = s.workspace_id and o.runnable_path = s.script_path and o.parent_job is null
       and o.trigger_kind = 'schedule' and o.trigger = s.path and o.created_at > now() - interval '30 days'
     order by o.created_at desc limit 1)`

/**
 * Not `xmin`: every push of a worker updates the row without changing it. What the row holds is digested instead, with
 * all that a comparison depends on besides: jobs, versions, the outcome of the last run, the archive.
 */
export function scheduleTokens(sql: Sql, targets: Fragment, { capabilities }: Context): Fragment {
  const skip = capabilities.has('schedule', 'dynamic_skip')
    ? sql`exists (select from script c where c.workspace_id = s.workspace_id and c.path = s.dynamic_skip and not c.archived)`
    : sql`false`
  // An archived flow keeps its versions, but is none that a schedule may start.
  const gone = sql`
    s.is_flow and exists (
      select from flow f where f.workspace_id = s.workspace_id and f.path = s.script_path and f.archived)`
  // A full join, of which only the side of the schedules is wanted: never planned as a loop over the queue per schedule.
  return sql`
    select s.workspace_id as workspace, s.path, concat_ws(' ', ${armedSql(sql)}, coalesce(n.version, 'null'), l.status, ${skip}, ${gone}, b.deleted,
           md5(((to_jsonb(s) - '{edited_at,extra_perms}'::text[]) || jsonb_build_object('paused_until', ${pause(sql)}))::text)) as token
      from (select s as found, w.deleted, q.jobs
              from ${targets}
              join schedule s on s.workspace_id = j.workspace and s.path = j.path
              join workspace w on w.id = s.workspace_id
              full join ${queueSql(sql)} q on q.workspace_id = s.workspace_id and q.trigger = s.path
             where coalesce(s.path, '') <> '') b
     cross join lateral (select (b.found).*) s
     cross join lateral (select ${version(sql)} as version) n
      left join ${lastRun(sql)} l on true`
}

interface Stored {
  readonly workspace: string
  readonly path: string
  readonly editedAt: Date
  readonly editedBy: string
  readonly enabled: boolean
  readonly scriptPath: string
  readonly version: string | null
  readonly runAs: string
  readonly labels: readonly string[] | null
  readonly retry: Json
}

export async function readSchedules(
  sql: Sql,
  targets: readonly Place[],
  context: Context
): Promise<readonly Observed[]> {
  if (targets.length === 0) return []
  const special = ['schedule', 'error', 'pausedUntil', 'tag', 'dynamicSkip']
  const plain = columnsFor(context).filter(one => !special.includes(one.field))
  const skip = context.capabilities.has('schedule', 'dynamic_skip')
    ? sql`nullif(s.dynamic_skip, '') as "dynamicSkip",`
    : sql``
  const rows = await sql<Stored[]>`
    select s.workspace_id as workspace, s.path, s.edited_at as "editedAt", s.edited_by as "editedBy", ${version(sql)} as version, ${runAsOf(sql, context)} as "runAs",
           s.schedule || case when coalesce(s.cron_version, 'v1') = 'v1' then ' (syntax v1)' else '' end as schedule,
           case when not s.enabled then s.error end as error,
           to_char(${pause(sql)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as "pausedUntil", nullif(s.tag, '') as tag,
           ${skip} ${plain.map((one, at) => sql`${at === 0 ? sql`` : sql`, `}s.${sql(one.column)} as ${sql(one.field)}`)}
      from ${places(sql, targets)}
      join schedule s on s.workspace_id = j.workspace and s.path = j.path`
  const queue = await readQueue(sql, targets)
  return rows.map(({ workspace, path, editedAt, editedBy, version, labels, ...row }) => ({
    workspace,
    path,
    editedAt,
    editedBy,
    row: {
      ...row,
      retry: retryRead(row.retry),
      ...(labels !== undefined && { labels: labelsRead(labels) }),
      [ARMED]: armedBy({ ...row, version }, queue.get(targetKey(workspace, path)))
    } as Row
  }))
}

/**
 * Whoever the runs act as. Older releases keep username and e-mail apart, and nothing keeps them together (contract,
 * trap 14): an address that is not the user's is shown, so that it is a difference.
 */
function runAsOf(sql: Sql, { capabilities }: Context) {
  if (capabilities.has('schedule', 'permissioned_as')) return sql`s.permissioned_as`
  return sql`
    case when s.edited_by like '%@%' then s.edited_by else 'u/' || s.edited_by || coalesce((
      select ' with e-mail address ' || s.email from usr u
       where u.workspace_id = s.workspace_id and u.username = s.edited_by and lower(u.email) <> lower(s.email)), '') end`
}

/** Creates and partial updates, a whole batch with two statements. What only concerns the queue touches no row. */
export async function writeSchedules(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  for (const op of ['create', 'update'] as const) {
    const rows = writes.filter(write => write.op === op)
    if (rows.length === 0) continue
    const parameter = rows.map(({ workspace, path, row }) => ({ workspace, path, stated: row }))
    await sql.unsafe(op === 'create' ? insertSql(context) : updateSql(context), [
      JSON.stringify(parameter),
      context.user,
      context.email
    ])
  }
}

const input = `jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, stated jsonb)
  cross join lateral (select coalesce(substr(j.stated->>'runAs', 3), $2::text) as who) u
  cross join lateral (select case when u.who = $2::text then $3::text else coalesce((
    select m.email::text from usr m where m.workspace_id = j.workspace and m.username = u.who), $3::text) end as email) e`

/** Columns that make up whoever the runs act as (contract: schedules §6). */
const identityColumns = ({ capabilities }: Context): readonly (readonly [column: string, value: string])[] => [
  ['edited_by', 'u.who'],
  ['email', 'e.email'],
  ...(capabilities.has('schedule', 'permissioned_as') ? ([['permissioned_as', `'u/' || u.who`]] as const) : [])
]

function insertSql(context: Context): string {
  const columns = columnsFor(context)
  const identity = identityColumns(context)
  const names = [...columns.map(one => one.column), ...identity.map(([name]) => name)]
  const values = [...columns.map(valueSql), ...identity.map(([, value]) => value)]
  return `insert into schedule (workspace_id, path, edited_at, cron_version, ${names.map(quoted).join(', ')})
    select j.workspace, j.path, now(), 'v2', ${values.join(', ')} from ${input}`
}

function updateSql(context: Context): string {
  const sets = columnsFor(context).map(
    one =>
      `${quoted(one.column)} = case when j.stated ? '${one.field}' then ${valueSql(one)} else t.${quoted(one.column)} end`
  )
  const identity = identityColumns(context).map(
    ([name, value]) => `${name} = case when j.stated ? 'runAs' then ${value} else t.${name} end`
  )
  return `update schedule t set edited_at = now(), cron_version = 'v2', ${[...sets, ...identity].join(', ')} from ${input}
    where t.workspace_id = j.workspace and t.path = j.path`
}

function valueSql({ field, as, empty }: Column): string {
  const text = `j.stated ->> '${field}'`
  const json = `nullif(j.stated -> '${field}', 'null')`
  const list = `(select array_agg(l.item order by l.at) from jsonb_array_elements_text(
    case when jsonb_typeof(${json}) = 'array' then ${json} else '[]' end) with ordinality as l(item, at))`
  const value = {
    text: field === 'pausedUntil' ? `(${text})::timestamptz` : text,
    boolean: `(${text})::boolean`,
    integer: `(${text})::int`,
    jsonb: json,
    json: `(${json})::json`,
    texts: list
  }[as]
  return empty ? `coalesce(${value}, ${empty})` : value
}

const quoted = (name: string): string => `"${name}"`

/** The rows alone; their jobs are cleared after, while no worker can push another one. */
export async function deleteSchedules(sql: Sql, schedules: readonly Place[]): Promise<void> {
  if (schedules.length === 0) return
  await sql`
    delete from schedule s using ${places(sql, schedules)} where s.workspace_id = j.workspace and s.path = j.path`
}
