/** Rows of table `folder`: contract, workspaces-and-permissions §3. */
import { type Context, type Json, type Sql, type Target, targetKey, type Write } from '../model.ts'
import { placesJson } from './row-writer.ts'

export interface FolderRow {
  readonly workspace: string
  readonly path: string
  readonly displayName: string
  readonly summary: string | null
  /** Owners with the write permission that makes them owners: Windmill does not find others. */
  readonly owners: readonly string[]
  /** Permissions but those of the owners. */
  readonly extraPerms: Json
  readonly labels: readonly string[] | null
  readonly rules: Json
  readonly editedAt: Date | null
}

/** Owners that count, as a text array over a row `t`. */
const effective = (sql: Sql) => sql`array(select o from unnest(t.owners::text[]) o where t.extra_perms -> o = 'true')`

export async function readFolders(
  sql: Sql,
  targets: readonly Target[],
  { capabilities }: Context
): Promise<FolderRow[]> {
  const labels = capabilities.has('folder', 'labels') ? sql`t.labels` : sql`null::text[]`
  const rules = capabilities.has('folder', 'default_permissioned_as')
    ? sql`t.default_permissioned_as`
    : sql`null::jsonb`
  const others = sql`case jsonb_typeof(t.extra_perms) when 'object' then t.extra_perms - ${effective(sql)} else t.extra_perms end`
  const rows = await sql<FolderRow[]>`
    select t.workspace_id as workspace, t.name as path, t.display_name as "displayName", t.summary,
           ${effective(sql)} as owners, ${others} as "extraPerms",
           ${labels} as labels, ${rules} as rules, t.edited_at as "editedAt"
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join folder t on t.workspace_id = j.workspace and t.name = j.path`
  return rows.map(row => ({ ...row, rules: rulesOf(row.rules) }))
}

/** Stored in snake case; members that we do not know stay, so that they show as a difference. */
function rulesOf(stored: Json): Json {
  if (!Array.isArray(stored)) return stored
  return (stored as readonly Json[]).map(rule => {
    if (rule === null || typeof rule !== 'object' || Array.isArray(rule)) return rule
    const { path_glob, permissioned_as, ...others } = rule as Readonly<Record<string, Json>>
    return { ...others, pathGlob: path_glob, permissionedAs: permissioned_as }
  })
}

/** Owners by target. */
export async function liveOwners(
  sql: Sql,
  places: readonly Pick<Target, 'workspace' | 'path'>[]
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (places.length === 0) return new Map()
  const rows = await sql<{ workspace: string; path: string; owners: string[] }[]>`
    select t.workspace_id as workspace, t.name as path, ${effective(sql)} as owners
      from jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)
      join folder t on t.workspace_id = j.workspace and t.name = j.path`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), row.owners]))
}

/** The batch as one parameter, rules as they are stored. */
function parameter(writes: readonly Write[]): string {
  return JSON.stringify(
    writes.map(({ workspace, path, row }) => {
      const { defaultPermissionedAs: rules, ...stated } = row
      const stored = (rules as { pathGlob: string; permissionedAs: string }[] | undefined)?.map(rule => ({
        path_glob: rule.pathGlob,
        permissioned_as: rule.permissionedAs
      }))
      return { workspace, path, stated: stored ? { ...stated, rules: stored } : stated }
    })
  )
}

/** A field of the batch as a text array, in its order; null when it is not stated. */
function texts(sql: Sql, field: 'owners' | 'labels') {
  const list = field === 'owners' ? sql`j.stated -> 'owners'` : sql`j.stated -> 'labels'`
  return sql`
    case when jsonb_typeof(${list}) = 'array' then array(
      select l.item from jsonb_array_elements_text(${list}) with ordinality as l(item, at) order by l.at) end`
}

/** Permissions with the entry that makes an owner one; `perms` and `owners` are SQL. */
const withOwners = (sql: Sql, perms: ReturnType<typeof effective>, owners: ReturnType<typeof effective>) => sql`
  ${perms} || (select coalesce(jsonb_object_agg(o, true), '{}') from unnest(${owners}) o)`

interface Parts {
  readonly column: 'labels' | 'default_permissioned_as'
  readonly created: ReturnType<typeof effective>
  readonly updated: ReturnType<typeof effective>
}

/** The columns that not every release has. */
function newerColumns(sql: Sql, { capabilities }: Context): readonly Parts[] {
  const all: readonly Parts[] = [
    {
      column: 'labels',
      created: texts(sql, 'labels'),
      updated: sql`case when j.stated ? 'labels' then ${texts(sql, 'labels')} else t.labels end`
    },
    {
      column: 'default_permissioned_as',
      created: sql`coalesce(j.stated -> 'rules', '[]')`,
      updated: sql`coalesce(j.stated -> 'rules', t.default_permissioned_as)`
    }
  ]
  return all.filter(one => capabilities.has('folder', one.column))
}

const joined = (sql: Sql, parts: readonly ReturnType<typeof effective>[]) =>
  parts.reduce((all, part) => sql`${all}, ${part}`, sql``)

/** Without owners of their own, folders are the admins' (as `app_themes` is); a direct writer need not add itself. */
export async function insertFolders(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  if (writes.length === 0) return
  const newer = newerColumns(sql, context)
  const owners = sql`coalesce(${texts(sql, 'owners')}, '{}')`
  await sql`
    insert into folder (workspace_id, name, display_name, summary, owners, extra_perms, edited_at, created_by
           ${joined(
             sql,
             newer.map(one => sql`${sql(one.column)}`)
           )})
    select j.workspace, j.path, coalesce(j.stated ->> 'displayName', left(j.path, 100)), j.stated ->> 'summary',
           ${owners}, ${withOwners(sql, sql`coalesce(j.stated -> 'extraPerms', '{}')`, owners)}, now(), ${context.user}
           ${joined(
             sql,
             newer.map(one => one.created)
           )}
      from jsonb_to_recordset(${parameter(writes)}::text::jsonb) as j(workspace text, path text, stated jsonb)`
}

/** All values come from the row as it is at that moment, so nothing unstated is set back; equal rows are not touched. */
export async function updateFolders(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  if (writes.length === 0) return
  const newer = newerColumns(sql, context)
  const display = sql`coalesce(j.stated ->> 'displayName', t.display_name)`
  const summary = sql`case when j.stated ? 'summary' then j.stated ->> 'summary' else t.summary end`
  const wanted = texts(sql, 'owners')
  // The order of owners means nothing: the same set is left as it stands.
  const owners = sql`case when j.stated ? 'owners' and not (t.owners::text[] @> ${wanted} and t.owners::text[] <@ ${wanted})
    then ${wanted} else t.owners::text[] end`
  const perms = permissionsSql(sql)
  await sql`
    update folder t
       set display_name = ${display}, summary = ${summary}, owners = ${owners}, extra_perms = ${perms}, edited_at = now()
           ${joined(
             sql,
             newer.map(one => sql`${sql(one.column)} = ${one.updated}`)
           )}
      from jsonb_to_recordset(${parameter(writes)}::text::jsonb) as j(workspace text, path text, stated jsonb)
     where t.workspace_id = j.workspace and t.name = j.path
       and (t.display_name, t.summary, t.owners::text[], t.extra_perms ${joined(
         sql,
         newer.map(one => sql`t.${sql(one.column)}`)
       )})
           is distinct from (${display}, ${summary}, ${owners}, ${perms} ${joined(
             sql,
             newer.map(one => one.updated)
           )})`
}

/**
 * Stated permissions replace all others. Else all stay, but those of owners who are owners no more: what came with
 * being an owner goes with it.
 */
function permissionsSql(sql: Sql) {
  const wanted = texts(sql, 'owners')
  const gone = sql`array(select o from unnest(${effective(sql)}) o where not o = any(${wanted}))`
  return sql`
    case when j.stated ? 'owners' or j.stated ? 'extraPerms' then ${withOwners(
      sql,
      sql`coalesce(j.stated -> 'extraPerms', case when j.stated ? 'owners' then t.extra_perms - ${gone} else t.extra_perms end)`,
      sql`case when j.stated ? 'owners' then ${wanted} else ${effective(sql)} end`
    )} else t.extra_perms end`
}
