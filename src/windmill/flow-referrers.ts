/** Who would fail without a flow, so that deleting it would break them (contract: flows-and-apps A6). */
import { type Context, type Json, type Removal, type Sql, targetKey } from '../model.ts'
import { isObject } from './json-values.ts'
import { placesJson } from './row-writer.ts'

/** Tables whose rows start a flow by its path, and what people call them. */
const starters: Readonly<Record<string, string>> = {
  schedule: 'schedule',
  http_trigger: 'trigger',
  websocket_trigger: 'trigger',
  kafka_trigger: 'trigger',
  nats_trigger: 'trigger',
  postgres_trigger: 'trigger',
  mqtt_trigger: 'trigger',
  sqs_trigger: 'trigger',
  gcp_trigger: 'trigger',
  azure_trigger: 'trigger',
  email_trigger: 'trigger',
  amqp_trigger: 'trigger'
}

interface Referrer {
  readonly workspace: string
  /** Of the flow that is referred to. */
  readonly path: string
  readonly noun: string
  readonly holder: string
}

/**
 * Why flows must stay, by target key. What is switched off or archived holds nobody back, nor do flows that go in the
 * same breath, unless they have to stay themselves.
 */
export async function flowBlockers(
  sql: Sql,
  removals: readonly Removal[],
  context: Context
): Promise<ReadonlyMap<string, string>> {
  if (removals.length === 0) return new Map()
  const referrers = [...(await startersOf(sql, removals, context)), ...(await appsOf(sql, removals))]
  const going = new Set(removals.map(one => targetKey(one.workspace, one.path)))
  const blocked = new Map<string, string>()
  const holds = ({ workspace, path, noun, holder }: Referrer): boolean => {
    const other = targetKey(workspace, holder)
    const goesToo = noun === 'flow' && (holder === path || (going.has(other) && !blocked.has(other)))
    return !blocked.has(targetKey(workspace, path)) && !goesToo
  }
  for (let found = referrers.find(holds); found; found = referrers.find(holds)) {
    const { workspace, path, noun, holder } = found
    blocked.set(targetKey(workspace, path), `The ${noun} ${holder} still uses it; change or delete that first.`)
  }
  return blocked
}

/** Schedules, triggers and other flows. What steps call is read from the live values: the table of uses is a worker's, and late. */
async function startersOf(
  sql: Sql,
  removals: readonly Removal[],
  { capabilities: { has } }: Context
): Promise<readonly Referrer[]> {
  const tables = Object.keys(starters).filter(table => has(table, 'script_path') && has(table, 'is_flow'))
  const started = tables.map(
    table => `
      select j.workspace, j.path, '${starters[table]}' as noun, t.path::text as holder
        from places j join ${table} t on t.workspace_id = j.workspace and t.script_path = j.path and t.is_flow
       ${has(table, 'enabled') ? 'where t.enabled' : ''}`
  )
  const handlers = ['on_failure', 'on_recovery', 'on_success'].map(
    column => `
      select j.workspace, j.path, 'schedule' as noun, t.path::text as holder
        from places j join schedule t on t.workspace_id = j.workspace and t.${column} = 'flow/' || j.path where t.enabled`
  )
  return sql.unsafe<Referrer[]>(
    `with places as materialized (
       select j.workspace, j.path from jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text)),
     calls as (
       select f.workspace_id::text as workspace, f.path::text as holder, s.step->>'path' as path
         from flow f
         join flow_version v on v.id = f.versions[array_upper(f.versions, 1)]
        cross join lateral jsonb_path_query(v.value, 'lax $.**.value ? (@.type == "flow")') as s(step)
        where not f.archived and f.workspace_id in (select workspace from places))
     select u.* from (
       select j.workspace, j.path, 'flow' as noun, c.holder
         from places j join calls c on c.workspace = j.workspace and c.path = j.path
       union ${[...started, ...handlers].join(' union ')}) u
      order by u.workspace, u.path, u.noun, u.holder`,
    [placesJson(removals)]
  )
}

/** Values of apps are text that may hold what `jsonb` cannot: only those that name a path at all come here, to be read. */
async function appsOf(sql: Sql, removals: readonly Removal[]): Promise<readonly Referrer[]> {
  const rows = await sql<{ workspace: string; path: string; holder: string; value: string }[]>`
    select j.workspace, j.path, a.path::text as holder, v.value::text as value
      from jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)
      join app a on a.workspace_id = j.workspace
      join app_version v on v.id = a.versions[array_upper(a.versions, 1)]
     where position('"' || j.path || '"' in v.value::text) > 0
     order by 1, 2, 3`
  return rows.flatMap(({ value, ...row }) =>
    runsFlow(JSON.parse(value) as Json, row.path) ? [{ ...row, noun: 'app' }] : []
  )
}

/** Whether anything in an app's value is a runnable of that flow. */
function runsFlow(value: Json | undefined, path: string): boolean {
  if (Array.isArray(value)) return value.some((one: Json) => runsFlow(one, path))
  if (!isObject(value)) return false
  return (
    (value['runType'] === 'flow' && value['path'] === path) || Object.values(value).some(one => runsFlow(one, path))
  )
}
