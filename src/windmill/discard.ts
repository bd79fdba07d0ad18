/** What goes with a deleted variable or resource on newer releases: the trash, workspace marks, drafts. */
import type { Context, Sql } from '../model.ts'
import { placesJson } from './row-writer.ts'

interface Place {
  readonly workspace: string
  readonly path: string
}

/** Keeps the rows for three days as the API does (contract: variables-and-resources §8). Nothing linked is deleted with them. */
export async function trashVariables(
  sql: Sql,
  variables: readonly Place[],
  { capabilities, user }: Context
): Promise<void> {
  if (!capabilities.has('trashbin')) return
  await sql`
    insert into trashbin (workspace_id, item_kind, item_path, item_data, deleted_by)
    select v.workspace_id, 'variable', v.path, jsonb_build_object('row', to_jsonb(v), 'linked_resource', null), ${user}
      from jsonb_to_recordset(${placesJson(variables)}::text::jsonb) as j(workspace text, path text)
      join variable v on v.workspace_id = j.workspace and v.path = j.path
     where v.account is null and not v.is_oauth`
}

/** Deletes exactly these rows, and marks and drafts of them; an OAuth account's variable is never ours. */
export async function deleteVariables(sql: Sql, variables: readonly Place[], context: Context): Promise<void> {
  if (variables.length === 0) return
  await sql`
    delete from variable v
     using jsonb_to_recordset(${placesJson(variables)}::text::jsonb) as j(workspace text, path text)
     where v.workspace_id = j.workspace and v.path = j.path and v.account is null and not v.is_oauth`
  await forgetMarks(sql, 'variable', variables, context)
}

/** `ws_specific` marks what must not be deployed to other workspaces; its row goes with the item (§6). */
export async function forgetMarks(
  sql: Sql,
  kind: 'variable' | 'resource',
  places: readonly Place[],
  { capabilities }: Context
): Promise<void> {
  if (!capabilities.has('ws_specific')) return
  await sql`
    delete from ws_specific s
     using jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)
     where s.workspace_id = j.workspace and s.item_kind = ${kind} and s.path = j.path`
}

/** Deleting a resource deletes the drafts of all users at its path and at those of its variables (§6). */
export async function deleteDrafts(
  sql: Sql,
  kind: 'variable' | 'resource',
  places: readonly Place[],
  { capabilities }: Context
): Promise<void> {
  if (places.length === 0 || !capabilities.labels('draft_kind').includes(kind)) return
  await sql`
    delete from draft d
     using jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)
     where d.workspace_id = j.workspace and d.path = j.path and d.typ = ${kind}::text::draft_kind`
}
