/** The rows that make a workspace: all that Windmill itself writes when it creates one (contract: workspaces-and-permissions §1.2). */
import { randomInt } from 'node:crypto'
import type { Context, Sql, Write } from '../model.ts'
import { ensureIdentity } from './identity.ts'
import { isNewest } from './workspace-fields.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** As Windmill makes its own: 64 characters of a secure random source. */
const newKey = (): string => Array.from({ length: 64 }, () => alphabet[randomInt(alphabet.length)]).join('')

const ids = (writes: readonly { readonly path: string }[]): string => JSON.stringify(writes.map(write => write.path))

/**
 * In Windmill's order. The row of the workspace itself is a plain insert: one that somebody else made meanwhile is to be
 * looked at again, not taken over.
 */
export async function createWorkspaces(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  if (writes.length === 0) return
  const rows = writes.map(({ path, row }) => ({
    id: path,
    name: row['name'],
    owner: row['owner'] ?? context.email,
    deleted: row['archived'] === true
  }))
  await sql`
    insert into workspace (id, name, owner, deleted)
    select id, name, owner, deleted
      from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as j(id text, name text, owner text, deleted boolean)`
  await ensureRows(sql, writes)
  await ensureIdentity(
    sql,
    writes.map(write => write.path),
    context
  )
  if (isNewest(context.capabilities)) await createDeployers(sql, writes)
  await createFolders(sql, writes, context)
}

/**
 * What every workspace needs: repairs one that lacks them. A key is made only where no secret was encrypted with a lost
 * one, and an existing key is never touched: no secret could be read any more (contract, trap 3).
 */
export async function ensureRows(sql: Sql, writes: readonly Write[]): Promise<void> {
  if (writes.length === 0) return
  const wanted = ids(writes)
  const keys = JSON.stringify(writes.map(({ path }) => ({ id: path, key: newKey() })))
  await sql`
    insert into workspace_settings (workspace_id)
    select id from jsonb_array_elements_text(${wanted}::text::jsonb) j(id)
    on conflict (workspace_id) do nothing`
  await sql`
    insert into workspace_key (workspace_id, kind, key)
    select j.id, 'cloud', j.key from jsonb_to_recordset(${keys}::text::jsonb) as j(id text, key text)
     where not exists (select from workspace_key k where k.workspace_id = j.id)
       and not exists (select from variable v where v.workspace_id = j.id and v.is_secret)
    on conflict (workspace_id, kind) do nothing`
  await sql`
    insert into group_ (workspace_id, name, summary)
    select id, 'all', 'The group that always contains all users of this workspace'
      from jsonb_array_elements_text(${wanted}::text::jsonb) j(id)
    on conflict (workspace_id, name) do nothing`
}

/** The versions of 2026 give new workspaces this group as well. */
async function createDeployers(sql: Sql, writes: readonly Write[]): Promise<void> {
  await sql`
    insert into group_ (workspace_id, name, summary)
    select id, 'wm_deployers', 'Members can preserve the original author when deploying to this workspace'
      from jsonb_array_elements_text(${ids(writes)}::text::jsonb) j(id)
    on conflict (workspace_id, name) do nothing`
}

const folders = [
  { name: 'app_themes', display: 'App Themes' },
  { name: 'app_custom', display: 'App Custom Components' },
  { name: 'app_groups', display: 'App Groups' }
]

async function createFolders(sql: Sql, writes: readonly Write[], { user }: Context): Promise<void> {
  await sql`
    insert into folder (workspace_id, name, display_name, owners, extra_perms, created_by, edited_at)
    select w.id, f.name, f.display, '{}', '{"g/all": false}', ${user}, now()
      from jsonb_array_elements_text(${ids(writes)}::text::jsonb) w(id),
           jsonb_to_recordset(${JSON.stringify(folders)}::text::jsonb) as f(name text, display text)
    on conflict (workspace_id, name) do nothing`
  await sql`
    insert into resource (workspace_id, path, value, description, resource_type, created_by, edited_at)
    select id, 'f/app_themes/theme_0', '{"name": "Default Theme", "value": ""}', 'The default app theme', 'app_theme', ${user}, now()
      from jsonb_array_elements_text(${ids(writes)}::text::jsonb) w(id)
    on conflict (workspace_id, path) do nothing`
}

/**
 * Name, owner, and back from the archive, where they differ. (Into the archive: workspace-archive.ts.)
 */
export async function updateWorkspaces(sql: Sql, writes: readonly Write[]): Promise<void> {
  const rows = writes.map(({ path, row }) => ({ id: path, row }))
  await sql`
    update workspace w set name = n.name, owner = n.owner, deleted = n.deleted
      from (select o.id,
                   case when j.row ? 'name' then j.row->>'name' else o.name end as name,
                   case when j.row ? 'owner' then j.row->>'owner' else o.owner end as owner,
                   o.deleted and j.row->'archived' is distinct from 'false'::jsonb as deleted
              from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as j(id text, "row" jsonb)
              join workspace o on o.id = j.id) n
     where w.id = n.id and (w.name, w.owner, w.deleted) is distinct from (n.name, n.owner, n.deleted)`
}

/** Null deletes. In V558 a deleted name stays in the servers' caches up to 15 minutes (contract, trap 15). */
export async function writeEnvironment(sql: Sql, writes: readonly Write[], prefix: string): Promise<void> {
  const rows = writes.flatMap(({ path, row }) =>
    Object.entries(row).flatMap(([field, value]) =>
      field.startsWith(prefix) ? [{ id: path, name: field.slice(prefix.length), value }] : []
    )
  )
  const [set, gone] = [rows.filter(one => one.value !== null), rows.filter(one => one.value === null)]
  if (set.length > 0) {
    await sql`
      insert into workspace_env as e (workspace_id, name, value)
      select id, name, value from jsonb_to_recordset(${JSON.stringify(set)}::text::jsonb) as j(id text, name text, value text)
      on conflict (workspace_id, name) do update set value = excluded.value where e.value is distinct from excluded.value`
  }
  if (gone.length > 0) {
    await sql`
      delete from workspace_env e using jsonb_to_recordset(${JSON.stringify(gone)}::text::jsonb) as j(id text, name text)
       where e.workspace_id = j.id and e.name = j.name`
  }
}
