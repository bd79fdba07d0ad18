/** Resource types as others see them: looked up by name in the workspace and in `admins` (contract: §3.3). */

import type { Json, Sql } from '../model.ts'
import { targetKey } from '../model.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** Where types live that all workspaces see. */
export const sharedWorkspace = 'admins'

/** Schemas of existing types by targetKey(workspace that asks, name); a type without a schema has `null`. */
export type Types = ReadonlyMap<string, Json>

/** Windmill takes either of two types of one name; here the workspace's own counts. */
export async function readTypes(sql: Sql, wanted: readonly { workspace: string; name: string }[]): Promise<Types> {
  const distinct = new Map(wanted.map(({ workspace, name }) => [targetKey(workspace, name), { workspace, name }]))
  if (distinct.size === 0) return new Map()
  const rows = await sql<{ workspace: string; name: string; schema: Json }[]>`
    select distinct on (j.workspace, j.name) j.workspace, j.name, t.schema
      from jsonb_to_recordset(${JSON.stringify([...distinct.values()])}::text::jsonb) as j(workspace text, name text)
      join resource_type t on t.name = j.name and t.workspace_id in (j.workspace, ${sharedWorkspace})
     order by j.workspace, j.name, t.workspace_id <> j.workspace`
  return new Map(rows.map(row => [targetKey(row.workspace, row.name), row.schema]))
}

/** The schema of a field, following nested objects; undefined when the type says nothing about it. */
export function propertyOf(schema: Json | undefined, place: readonly string[]): JsonObject | undefined {
  let current: Json | undefined = schema
  for (const key of place) {
    const properties: Json | undefined = isObject(current) ? current['properties'] : undefined
    current = isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined
  }
  return isObject(current) ? current : undefined
}
