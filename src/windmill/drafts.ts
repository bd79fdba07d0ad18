/** Drafts: what people had not deployed yet at a path that is deployed now. */
import type { Context, Sql } from '../model.ts'
import { placesJson } from './row-writer.ts'

/**
 * As a deploy through the API: up to 1.558 a path has one draft, which goes; newer Windmill keeps one per person, and
 * only the deployer's and nobody's go (contract: scripts §7, flows-and-apps A1, B2). Apps may have a draft as a raw app.
 */
export async function deleteDrafts(
  sql: Sql,
  type: 'script' | 'flow' | 'app',
  places: readonly { readonly workspace: string; readonly path: string }[],
  { capabilities, email }: Context
): Promise<void> {
  if (places.length === 0 || !capabilities.has('draft', 'path')) return
  const own = capabilities.has('draft', 'email') ? sql`and (d.email is null or d.email = ${email})` : sql``
  const types = type === 'app' ? ['app', 'raw_app'] : [type]
  await sql`
    delete from draft d using jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)
     where d.workspace_id = j.workspace and d.path = j.path
       and d.typ::text in (select jsonb_array_elements_text(${JSON.stringify(types)}::text::jsonb)) ${own}`
}
