/** What schedules start: the newest versions of scripts and flows, and the users that their jobs act as. */
import { type Context, type Sql, targetKey } from '../model.ts'
import type { Identity, ScheduleTarget } from './schedule-jobs.ts'

export interface Runnable {
  readonly workspace: string
  readonly path: string
  readonly isFlow: boolean
}

export const runnableKey = ({ workspace, path, isFlow }: Runnable): string =>
  targetKey(workspace, `${isFlow ? 'flow' : 'script'}/${path}`)

/**
 * Newest versions by `runnableKey`; nothing for what is not there. A script is the newest row that is not archived, a
 * flow the last of its versions, archived or not (contract: schedules §3).
 */
export async function findTargets(
  sql: Sql,
  wanted: readonly Runnable[],
  context: Context
): Promise<ReadonlyMap<string, ScheduleTarget>> {
  const distinct = [...new Map(wanted.map(one => [runnableKey(one), one])).values()]
  const scripts = await findScripts(
    sql,
    distinct.filter(one => !one.isFlow),
    context
  )
  const flows = await findFlows(
    sql,
    distinct.filter(one => one.isFlow),
    context
  )
  return new Map([...scripts, ...flows].map(one => [runnableKey(one), one]))
}

const onBehalfOf = (sql: Sql, { capabilities }: Context, table: 'script' | 'flow') =>
  capabilities.has(table, 'on_behalf_of') ? sql`t.on_behalf_of` : sql`null`

async function findScripts(
  sql: Sql,
  wanted: readonly Runnable[],
  context: Context
): Promise<readonly ScheduleTarget[]> {
  if (wanted.length === 0) return []
  return sql<ScheduleTarget[]>`
    select j.workspace, j.path, false as "isFlow", t.hash::text as version, t.created_at as since, t.language::text, t.tag, t.timeout,
           t.dedicated_worker as dedicated, t.created_by as author, t.on_behalf_of_email as "onBehalfOfEmail",
           ${onBehalfOf(sql, context, 'script')} as "onBehalfOf", t.cache_ttl as "cacheTtl", t.priority::int,
           t.concurrent_limit as "concurrentLimit", t.concurrency_time_window_s as "concurrencyTimeWindowS",
           t.concurrency_key as "concurrencyKey", '[]'::jsonb as modules, null as "failureModule",
           null as "chatInput"
      from jsonb_to_recordset(${JSON.stringify(wanted)}::text::jsonb) as j(workspace text, path text)
     cross join lateral (
           select * from script s where s.workspace_id = j.workspace and s.path = j.path and not s.archived
            order by s.created_at desc limit 1) t`
}

/** The lite copy of a version is the one that workers run, where there is one (contract: jobs §8). */
async function findFlows(sql: Sql, wanted: readonly Runnable[], context: Context): Promise<readonly ScheduleTarget[]> {
  if (wanted.length === 0) return []
  return sql<ScheduleTarget[]>`
    select j.workspace, j.path, true as "isFlow", v.id::text as version, v.created_at as since, null as language, t.tag,
           null::int as timeout, t.dedicated_worker as dedicated, t.edited_by as author,
           t.on_behalf_of_email as "onBehalfOfEmail", ${onBehalfOf(sql, context, 'flow')} as "onBehalfOf",
           f.value->'cache_ttl' as "cacheTtl", f.value->'priority' as priority,
           f.value->'concurrent_limit' as "concurrentLimit",
           f.value->'concurrency_time_window_s' as "concurrencyTimeWindowS",
           f.value->'concurrency_key' as "concurrencyKey",
           coalesce((select jsonb_agg(coalesce(m.item->>'id', 'a') order by m.at) from jsonb_array_elements(
             case when jsonb_typeof(f.value->'modules') = 'array' then f.value->'modules' else '[]' end)
             with ordinality as m(item, at)), '[]'::jsonb) as modules,
           f.value->'failure_module'->>'id' as "failureModule", f.value->'chat_input_enabled' as "chatInput"
      from jsonb_to_recordset(${JSON.stringify(wanted)}::text::jsonb) as j(workspace text, path text)
      join flow t on t.workspace_id = j.workspace and t.path = j.path
      join flow_version v on v.id = t.versions[array_upper(t.versions, 1)]
      left join flow_version_lite l on l.id = v.id
     cross join lateral (select coalesce(l.value, v.value) as value) f`
}

const identityKey = (workspace: string, { permissionedAs, email }: Identity): string =>
  [workspace, permissionedAs, email].join('\0')

/** Whether Windmill would let a job run as this (contract: jobs §7). */
export type IsKnown = (workspace: string, identity: Identity) => boolean

export async function findKnown(
  sql: Sql,
  identities: readonly (Identity & { readonly workspace: string })[]
): Promise<IsKnown> {
  const distinct = [...new Map(identities.map(one => [identityKey(one.workspace, one), one])).values()]
  const rows = await sql<(Identity & { workspace: string })[]>`
    select j.workspace, j."permissionedAs", j.email
      from jsonb_to_recordset(${JSON.stringify(distinct)}::text::jsonb)
        as j(workspace text, "permissionedAs" text, email text)
     where j."permissionedAs" like 'g/%'
        or exists (select from password p where p.email = j.email and p.super_admin)
        or exists (select from usr u where u.workspace_id = j.workspace and 'u/' || u.username = j."permissionedAs"
                      and not u.disabled)`
  const known = new Set(rows.map(row => identityKey(row.workspace, row)))
  return (workspace, identity) => known.has(identityKey(workspace, identity))
}
