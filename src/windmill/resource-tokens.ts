/** Marks that move whenever a resource, its type or its secret variables were touched. */
import { type Context, type Sql, type Target, targetKey } from '../model.ts'
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

interface Mark {
  readonly workspace: string
  readonly path: string
  readonly token: string
}

/** By target key, the xmin of the types that the resources name: of the workspace's and of the one in admins. */
async function typeMarks(
  sql: Sql,
  resources: readonly (Mark & { readonly type: string })[]
): Promise<ReadonlyMap<string, string>> {
  const workspaces = [...new Set(['admins', ...resources.map(one => one.workspace)])]
  const types = await sql<Mark[]>`
    select t.workspace_id as workspace, t.name as path, t.xmin::text as token
      from jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb) as j(workspace)
      join resource_type t on t.workspace_id = j.workspace`
  const byName = new Map(types.map(one => [targetKey(one.workspace, one.path), one.token]))
  return new Map(
    resources.map(({ workspace, path, type }) => {
      const marks = [workspace, 'admins'].map(one => byName.get(targetKey(one, type)) ?? '')
      return [targetKey(workspace, path), `type=${marks.join('/')}`]
    })
  )
}

/**
 * xmin of the resource, of its type, whose schema decides which fields are secret, and of the secret variables that the
 * targets' fields name.
 */
export async function resourceTokens(
  sql: Sql,
  targets: readonly Target[],
  context: Context
): Promise<ReadonlyMap<string, string>> {
  const resources = await sql<(Mark & { type: string })[]>`
    select r.workspace_id as workspace, r.path, r.xmin::text as token, r.resource_type as type
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join resource r on r.workspace_id = j.workspace and r.path = j.path`
  const own = new Map(resources.map(one => [targetKey(one.workspace, one.path), one.token]))
  const types = await typeMarks(sql, resources)
  const variables = await linkedRows(sql, targets, context)
  const found = new Map<string, string>()
  for (const { workspace, path, fields } of targets) {
    const key = targetKey(workspace, path)
    const token = own.get(key)
    if (token === undefined) continue
    const linked = [...linkedOf(fields)]
      .sort()
      .map(one => `${one}=${variables.get(targetKey(workspace, one))?.token ?? ''}`)
    found.set(key, [token, types.get(key) ?? '', ...linked].join(' '))
  }
  return found
}
