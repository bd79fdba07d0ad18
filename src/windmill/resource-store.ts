/** What happens around the rows of resources: history, folders of apps, deletion. */
import { canonical } from '../fingerprint.ts'
import type { Context, Sql, Write } from '../model.ts'
import { deleteDrafts, deleteVariables, forgetMarks } from './discard.ts'
import { placesJson } from './row-writer.ts'

/** Names the author of the history that a trigger writes (contract: variables-and-resources §1.3). */
export async function nameAuthor(sql: Sql, { capabilities, user }: Context): Promise<void> {
  if (!capabilities.has('resource_version')) return
  await sql`select set_config('session.user', ${user}, true)`
}

/** Writes the history where the table exists and nothing fills it. */
export async function recordVersions(
  sql: Sql,
  writes: readonly Write[],
  { capabilities, user }: Context
): Promise<void> {
  if (!capabilities.has('resource_version') || capabilities.hasTrigger('resource', 'record_resource_version')) return
  const changed = writes.filter(
    ({ op, row, live }) => op === 'create' || ('value' in row && canonical(row['value']) !== canonical(live?.['value']))
  )
  if (changed.length === 0) return
  await sql`
    insert into resource_version (workspace_id, path, resource_type, value, created_by)
    select r.workspace_id, r.path, r.resource_type, r.value, ${user}
      from jsonb_to_recordset(${placesJson(changed)}::text::jsonb) as j(workspace text, path text)
      join resource r on r.workspace_id = j.workspace and r.path = j.path`
}

/** Folders that newer releases add when a resource is put into them (contract: §1.2). */
const appFolders = {
  app_themes: 'App Themes',
  app_custom: 'App Custom Components',
  app_groups: 'App Groups'
} as const

export async function addAppFolders(
  sql: Sql,
  writes: readonly Write[],
  { capabilities, user }: Context
): Promise<void> {
  if (!capabilities.has('resource_version')) return
  const needed = writes.flatMap(({ op, workspace, path }) =>
    Object.entries(appFolders).flatMap(([name, title]) =>
      op === 'create' && path.startsWith(`f/${name}/`) ? [{ workspace, name, title }] : []
    )
  )
  if (needed.length === 0) return
  await sql`
    insert into folder (workspace_id, name, display_name, owners, extra_perms, created_by, edited_at)
    select distinct j.workspace, j.name, j.title, '{}'::varchar[], '{"g/all": false}'::jsonb, ${user}, now()
      from jsonb_to_recordset(${JSON.stringify(needed)}::text::jsonb) as j(workspace text, name text, title text)
        on conflict (workspace_id, name) do nothing`
}

/** A resource to delete with the secret variables that it generated. */
export interface Doomed {
  readonly workspace: string
  readonly path: string
  readonly linked: readonly string[]
}

/** Deletes exactly these rows; the API would take every variable that the value names, also those of others (§8, trap 23). */
export async function deleteResources(sql: Sql, doomed: readonly Doomed[], context: Context): Promise<void> {
  const variables = doomed.flatMap(({ workspace, linked }) => linked.map(path => ({ workspace, path })))
  await trashResources(sql, doomed, context)
  await sql`
    delete from resource r
     using jsonb_to_recordset(${placesJson(doomed)}::text::jsonb) as j(workspace text, path text)
     where r.workspace_id = j.workspace and r.path = j.path`
  await forgetMarks(sql, 'resource', doomed, context)
  await deleteVariables(sql, variables, context)
  await deleteDrafts(sql, 'resource', doomed, context)
  await deleteDrafts(sql, 'variable', variables, context)
}

async function trashResources(sql: Sql, doomed: readonly Doomed[], { capabilities, user }: Context): Promise<void> {
  if (!capabilities.has('trashbin')) return
  await sql`
    insert into trashbin (workspace_id, item_kind, item_path, item_data, deleted_by)
    select r.workspace_id, 'resource', r.path,
           jsonb_build_object('row', to_jsonb(r), 'linked_variables',
                              coalesce(jsonb_agg(to_jsonb(v) order by v.path) filter (where v.path is not null), '[]')),
           ${user}
      from jsonb_to_recordset(${doomedJson(doomed)}::text::jsonb) as j(workspace text, path text, linked text[])
      join resource r on r.workspace_id = j.workspace and r.path = j.path
      left join lateral unnest(j.linked) as l(path) on true
      left join variable v
        on v.workspace_id = j.workspace and v.path = l.path and v.account is null and not v.is_oauth
     group by r.workspace_id, r.path`
}

const doomedJson = (doomed: readonly Doomed[]): string =>
  JSON.stringify(doomed.map(({ workspace, path, linked }) => ({ workspace, path, linked })))
