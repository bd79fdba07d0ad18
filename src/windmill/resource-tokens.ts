/** Marks that move whenever a resource, its type or its secret variables were touched. */
import { type Context, type Fragment, type Sql, type Target, targetKey } from '../model.ts'
import { linkedOf } from './resource-links.ts'
import { placesJson } from './row-writer.ts'

interface LinkedRow {
  readonly workspace: string
  readonly path: string
  readonly token: string
  /** Null for a variable that is no secret (any more). */
  readonly value: string | null
  readonly at: Date | null
}

/**
 * The secret variables that the targets' fields name, by target key. A query of its own, both columns of the key from
 * one list: joined to the resources it was planned as a scan of all variables per resource on tables without statistics.
 */
export async function linkedRows(
  sql: Sql,
  targets: readonly Target[],
  { capabilities }: Context
): Promise<ReadonlyMap<string, LinkedRow>> {
  const places = targets.flatMap(({ workspace, fields }) => linkedOf(fields).map(path => ({ workspace, path })))
  if (places.length === 0) return new Map()
  const edited = capabilities.has('variable', 'edited_at') ? sql`v.edited_at` : sql`null`
  const rows = await sql<LinkedRow[]>`
    select v.workspace_id as workspace, v.path, v.xmin::text as token, case when v.is_secret then v.value end as value,
           ${edited} as at
      from jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)
      join variable v on v.workspace_id = j.workspace and v.path = j.path`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), row]))
}

/**
 * xmin of the resource, of its type, whose schema decides which fields are secret (the workspace's and the one in
 * admins), and of the secret variables that it generated.
 */
export const resourceTokens = (sql: Sql, targets: Fragment): Fragment => sql`
  select j.workspace, j.path, concat_ws(' ', r.xmin::text, 'type=' || coalesce(t.xmin::text, '') || '/' || coalesce(a.xmin::text, ''), (
           select string_agg(l.path || '=' || coalesce(v.xmin::text, ''), ' ' order by l.path collate "C")
             from unnest(j.linked) as l(path)
             left join variable v on v.workspace_id = j.workspace and v.path = l.path)) as token
    from ${targets}
    join resource r on r.workspace_id = j.workspace and r.path = j.path
    left join resource_type t on t.workspace_id = j.workspace and t.name = r.resource_type
    left join resource_type a on a.workspace_id = 'admins' and a.name = r.resource_type`
