/** Lists of targets as a relation, and the tokens of their rows. */
import { type Context, type Fragment, type Kind, LINKED, type Sql, type Target, targetKey } from '../model.ts'

/** Stands behind `from`, as `j(workspace, path, linked)`. */
export function targetList(
  sql: Sql,
  targets: readonly (Pick<Target, 'workspace' | 'path'> & Partial<Pick<Target, 'fields'>>)[]
): Fragment {
  const list = targets.map(({ workspace, path, fields = [] }) => {
    const linked = fields.filter(field => field.startsWith(LINKED)).map(field => field.slice(LINKED.length))
    return { workspace, path, ...(linked.length > 0 && { linked }) }
  })
  return sql`jsonb_to_recordset(${JSON.stringify(list)}::text::jsonb) as j(workspace text, path text, linked text[])`
}

/** By target key; nothing for targets without a row. */
export async function readTokens(
  sql: Sql,
  { tokens }: Pick<Kind, 'tokens'>,
  targets: readonly Target[],
  context: Context
): Promise<ReadonlyMap<string, string>> {
  if (targets.length === 0) return new Map()
  const rows = await sql<
    { workspace: string; path: string; token: string }[]
  >`${tokens(sql, targetList(sql, targets), context)}`
  const found = new Map<string, string>()
  for (const { workspace, path, token } of rows) {
    const key = targetKey(workspace, path)
    const other = found.get(key)
    found.set(key, other === undefined ? token : [other, token].sort().join(' '))
  }
  return found
}
