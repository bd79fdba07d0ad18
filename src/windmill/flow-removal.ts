/** Archives and deletes flows with all that hangs on them: contract, flows-and-apps A6. */
import { type Context, type Removal, type Sql, targetKey } from '../model.ts'
import { dropJobs } from './jobs.ts'
import { placesJson } from './row-writer.ts'
import { disarmSchedulesOf } from './schedule-arming.ts'

const flowsOf = (removals: readonly Removal[]) =>
  removals.map(({ workspace, path }) => ({ workspace, path, isFlow: true }))

/** Archiving hides a flow and stops nothing (trap 11), so its schedules are switched off with it. */
export async function archiveFlows(sql: Sql, removals: readonly Removal[], context: Context): Promise<void> {
  await sql`
    update flow f set archived = true
      from jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)
     where f.workspace_id = j.workspace and f.path = j.path and not f.archived`
  await forgetUses(sql, removals, context)
  await disarmSchedulesOf(sql, flowsOf(removals), context)
}

/** The rows that say what a flow uses; up to the middle release an archived flow keeps those of its imports. */
async function forgetUses(sql: Sql, removals: readonly Removal[], { capabilities }: Context): Promise<void> {
  const places = sql`jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)`
  if (capabilities.has('asset', 'usage_path')) {
    await sql`
      delete from asset a using ${places}
       where a.workspace_id = j.workspace and a.usage_path = j.path and a.usage_kind = 'flow'`
  }
  if (capabilities.has('dependency_map', 'imported_lockfile_hash')) await forgetImports(sql, removals)
}

async function forgetImports(sql: Sql, removals: readonly Removal[]): Promise<void> {
  await sql`
    delete from dependency_map d
     using jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)
     where d.workspace_id = j.workspace and d.importer_path = j.path and d.importer_kind = 'flow'`
}

/** Versions, nodes and lite values go with the flow's row. */
export async function deleteFlows(sql: Sql, removals: readonly Removal[], context: Context): Promise<void> {
  const { capabilities } = context
  const places = sql`jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)`
  const jobs = await sql<{ id: string }[]>`
    select f.dependency_job::text as id from flow f join ${places} on f.workspace_id = j.workspace and f.path = j.path
     where f.dependency_job is not null order by f.workspace_id, f.path for update of f`
  await dropPending(sql, jobs, context)
  await trashFlows(sql, removals, context)
  // Drafts of all users: there is nothing left that they would be drafts of.
  await sql`delete from draft d using ${places} where d.workspace_id = j.workspace and d.path = j.path and d.typ = 'flow'`
  await sql`delete from flow f using ${places} where f.workspace_id = j.workspace and f.path = j.path`
  for (const table of ['capture_config', 'capture'] as const) {
    if (!capabilities.has(table, 'is_flow')) continue
    await sql`
      delete from ${sql(table)} c using ${places} where c.workspace_id = j.workspace and c.path = j.path and c.is_flow`
  }
  await sql`
    delete from deployment_metadata m using ${places}
     where m.workspace_id = j.workspace and m.path = j.path and m.script_hash is null and m.app_version is null`
  await forgetUses(sql, removals, context)
  await forgetImports(sql, removals)
  await disarmSchedulesOf(sql, flowsOf(removals), context)
}

/** A lock job of a flow that is gone fails on its foreign keys; one that runs already is asked to stop. */
async function dropPending(sql: Sql, jobs: readonly { readonly id: string }[], context: Context): Promise<void> {
  const ids = jobs.map(one => one.id)
  const dropped = new Set(await dropJobs(sql, ids, context))
  const running = ids.filter(id => !dropped.has(id))
  if (running.length === 0) return
  await sql`
    update v2_job_queue set canceled_by = ${context.user}, canceled_reason = 'flow deleted'
     where id in (select j::uuid from jsonb_array_elements_text(${JSON.stringify(running)}::text::jsonb) j)`
}

/** Kept for three days, as scripts are: the rows under the names of their tables. */
async function trashFlows(sql: Sql, removals: readonly Removal[], { capabilities, user }: Context): Promise<void> {
  if (!capabilities.has('trashbin', 'item_data')) return
  await sql`
    insert into trashbin (workspace_id, item_kind, item_path, item_data, deleted_by)
    select f.workspace_id, 'flow', f.path, jsonb_build_object(
             'flow', to_jsonb(f),
             'versions', coalesce((select jsonb_agg(to_jsonb(v) order by v.id) from flow_version v
                                    where v.workspace_id = f.workspace_id and v.path = f.path), '[]'),
             'drafts', coalesce((select jsonb_agg(to_jsonb(d)) from draft d
                                  where d.workspace_id = f.workspace_id and d.path = f.path and d.typ = 'flow'), '[]')),
           ${user}
      from jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)
      join flow f on f.workspace_id = j.workspace and f.path = j.path`
}

/** Tables whose rows start a flow by its path, and what people call them. */
const starters: Readonly<Record<string, string>> = {
  schedule: 'a schedule',
  http_trigger: 'a trigger',
  websocket_trigger: 'a trigger',
  kafka_trigger: 'a trigger',
  nats_trigger: 'a trigger',
  postgres_trigger: 'a trigger',
  mqtt_trigger: 'a trigger',
  sqs_trigger: 'a trigger',
  gcp_trigger: 'a trigger',
  azure_trigger: 'a trigger',
  email_trigger: 'a trigger'
}

/** Who would fail without a flow; those that go in the same batch do not count, nor what is switched off. */
export async function flowBlockers(
  sql: Sql,
  removals: readonly Removal[],
  { capabilities }: Context
): Promise<ReadonlyMap<string, string>> {
  if (removals.length === 0) return new Map()
  const tables = Object.keys(starters).filter(
    table => capabilities.has(table, 'script_path') && capabilities.has(table, 'is_flow')
  )
  const started = tables.map(table => {
    const live = capabilities.has(table, 'enabled') ? sql`and s.enabled` : sql``
    return sql`
      select j.workspace, j.path, ${starters[table] ?? ''}::text as noun, s.path::text as holder
        from places j join ${sql(table)} s on s.workspace_id = j.workspace and s.script_path = j.path and s.is_flow ${live}`
  })
  const all = started.reduce(
    (sum, one) => sql`${sum} union all ${one}`,
    sql`${usedByFlows(sql)} union all ${usedByApps(sql)}`
  )
  const rows = await sql<{ workspace: string; path: string; noun: string; holder: string }[]>`
    with places as materialized (
      select distinct j.workspace, j.path
        from jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text))
    select distinct on (u.workspace, u.path) u.* from (${all}) u order by u.workspace, u.path, u.noun, u.holder`
  return new Map(
    rows.map(({ workspace, path, noun, holder }) => [
      targetKey(workspace, path),
      `The flow is still used by ${noun} (${holder}); change or delete that first.`
    ])
  )
}

/** What steps call is read from the live values: the table of uses is a worker's, and late. */
const usedByFlows = (sql: Sql) => sql`
  select u.workspace, u.called as path, 'another flow'::text as noun, u.holder
    from (select f.workspace_id::text as workspace, f.path::text as holder, s.step->>'path' as called
            from flow f
            join flow_version v on v.id = f.versions[array_upper(f.versions, 1)]
           cross join lateral jsonb_path_query(v.value, 'lax $.**.value ? (@.type == "flow")') as s(step)
           where not f.archived and f.workspace_id in (select workspace from places)) u
    join places j on j.workspace = u.workspace and j.path = u.called
   where not exists (select from places g where g.workspace = u.workspace and g.path = u.holder)`

/** Values of apps are `json`; only those whose text names the path at all are taken apart. */
const usedByApps = (sql: Sql) => sql`
  select j.workspace, j.path, 'an app'::text as noun, a.path::text as holder
    from places j
    join app a on a.workspace_id = j.workspace
    join app_version v on v.id = a.versions[array_upper(a.versions, 1)]
   where position('"' || j.path || '"' in v.value::text) > 0
     and exists (select from jsonb_path_query(
                     replace(v.value::text, '\\u0000', '')::jsonb, 'lax $.** ? (@.runType == "flow")') as r(item)
                  where r.item->>'path' = j.path)`
