/** Creates and partial updates of a plain table, a whole batch with two statements. */
import type { Fragment, Sql, Write } from '../model.ts'
import { jsonPortions } from './statements.ts'

/** Where a field of a row is kept. */
export interface Column {
  readonly field: string
  readonly column: string
  readonly as: 'text' | 'boolean' | 'jsonb' | 'texts'
  /** SQL for what is stored when the field is null or, in a create, not stated; default `null`. */
  readonly empty?: string
}

/** A table whose key is the workspace and a path or name. Everything here is SQL of ours, never a value. */
export interface Shape {
  readonly table: string
  readonly key: 'path' | 'name'
  readonly columns: readonly Column[]
  /** Further columns of new rows; `j.who` is the service identity. */
  readonly created: Readonly<Record<string, string>>
  /** Further columns of rows that really change. */
  readonly updated: Readonly<Record<string, string>>
  /** Condition on `t` for rows that may be updated. */
  readonly only?: string
}

const input = 'jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, stated jsonb, who text)'

/** A field that the row does not state keeps the value that the column has at that moment; equal rows are not touched. */
export async function writeRows(sql: Sql, shape: Shape, writes: readonly Write[], who: string): Promise<void> {
  for (const op of ['create', 'update'] as const) {
    const rows = writes.filter(write => write.op === op)
    const statement = op === 'create' ? insertSql(shape) : updateSql(shape)
    const parameterOf = ({ workspace, path, row }: Write) => ({ workspace, path, stated: row, who })
    for (const json of jsonPortions(rows, parameterOf)) await sql.unsafe(statement, [json])
  }
}

function insertSql({ table, key, columns, created }: Shape): string {
  const extra = Object.entries(created)
  const names = ['workspace_id', key, ...columns.map(one => one.column), ...extra.map(([name]) => name)]
  const values = ['j.workspace', 'j.path', ...columns.map(valueSql), ...extra.map(([, value]) => value)]
  return `insert into ${table} (${names.map(quoted).join(', ')}) select ${values.join(', ')} from ${input}`
}

function updateSql({ table, key, columns, updated, only }: Shape): string {
  const merged = columns.map(
    one => `case when j.stated ? '${one.field}' then ${valueSql(one)} else t.${quoted(one.column)} end`
  )
  const sets = [
    ...columns.map((one, index) => `${quoted(one.column)} = ${merged[index]}`),
    ...Object.entries(updated).map(([name, value]) => `${quoted(name)} = ${value}`)
  ]
  const present = columns.map(one => `t.${quoted(one.column)}`)
  return `update ${table} t set ${sets.join(', ')} from ${input}
    where t.workspace_id = j.workspace and t.${key} = j.path${only ? ` and ${only}` : ''}
      and (${present.join(', ')}) is distinct from (${merged.join(', ')})`
}

function valueSql({ field, as, empty = 'null' }: Column): string {
  const text = `j.stated ->> '${field}'`
  const json = `j.stated -> '${field}'`
  const list = `(select array_agg(l.item order by l.at) from jsonb_array_elements_text(
    case when jsonb_typeof(${json}) = 'array' then ${json} else '[]' end) with ordinality as l(item, at))`
  const value = { text, boolean: `(${text})::boolean`, jsonb: json, texts: list }[as]
  return `coalesce(${value}, ${empty}${as === 'jsonb' ? '::jsonb' : ''})`
}

const quoted = (name: string): string => `"${name}"`

/** `xmin` of existing rows: it changes with every update. */
export function rowTokens(sql: Sql, table: 'variable' | 'resource_type' | 'folder', targets: Fragment): Fragment {
  const key = table === 'variable' ? sql`t.path` : sql`t.name`
  return sql`
    select j.workspace, j.path, t.xmin::text as token
      from ${targets} join ${sql(table)} t on t.workspace_id = j.workspace and ${key} = j.path`
}

/** A list of places as one parameter. */
export const placesJson = (places: readonly { workspace: string; path: string }[]): string =>
  JSON.stringify(places.map(({ workspace, path }) => ({ workspace, path })))
