/** Rows of tables `group_` and `usr_to_group`: contract, workspaces-and-permissions §4. */
import { type Context, type Fragment, type Removal, type Sql, type Target, type Write } from '../model.ts'
import { placesJson, type Shape, writeRows } from './row-writer.ts'
import { targetList } from './targets.ts'

/** Groups that Windmill makes and fills for itself: never deleted, and nobody that others added is taken out. */
export const ownGroups: ReadonlySet<string> = new Set(['all', 'error_handler', 'slack', 'wm_deployers'])

type Place = Pick<Target, 'workspace' | 'path'>

export interface GroupRow extends Place {
  readonly summary: string | null
  readonly members: readonly string[]
}

/**
 * Rows of the groups and of their memberships, to be grouped. One scan of the memberships whatever the number of groups:
 * their key does not lead with the group, and a join of the two invites the planner to scan them once per group.
 */
const parts = (sql: Sql, targets: Fragment, member: Fragment) => sql`
  with j as materialized (select workspace, path from ${targets}),
  parts as (
    select g.workspace_id, g.name, g.xmin::text as mark, g.summary, null::text as usr
      from group_ g where (g.workspace_id, g.name) in (select workspace, path from j)
    union all
    select m.workspace_id, m.group_, null, null, ${member}
      from usr_to_group m where (m.workspace_id, m.group_) in (select workspace, path from j))`

export async function readGroups(sql: Sql, targets: readonly Place[]): Promise<readonly GroupRow[]> {
  return sql<GroupRow[]>`
    ${parts(sql, targetList(sql, targets), sql`m.usr::text`)}
    select workspace_id as workspace, name as path, max(summary) as summary,
           coalesce(array_agg(usr) filter (where usr is not null), '{}') as members
      from parts group by workspace_id, name`
}

/** The mark of the group's row and those of all its memberships; these hashed, for there may be thousands. */
export const groupTokens = (sql: Sql, targets: Fragment): Fragment => sql`
  ${parts(sql, targets, sql`m.usr || ':' || m.xmin::text`)}
  select workspace_id as workspace, name as path, max(mark) || ':' || coalesce(left(encode(sha256(convert_to(
           string_agg(usr, ' ' order by usr collate "C"), 'UTF8')), 'base64'), 22), '') as token
    from parts group by workspace_id, name having max(mark) is not null`

/** Which of the names are groups of the instance: those hold in every workspace. */
export async function instanceGroups(sql: Sql, names: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await sql<{ name: string }[]>`
    select name::text from instance_group
     where name in (select jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb))`
  return new Set(rows.map(row => row.name))
}

/** The API of the Community Edition refuses a fourth group (all, error_handler and slack aside); the database does not. */
export async function exceedsFreeGroups(
  sql: Sql,
  places: readonly Place[],
  { capabilities }: Context
): Promise<boolean> {
  const licensed = capabilities.has('global_settings', 'name')
    ? sql`exists (select from global_settings where name = 'license_key')`
    : sql`false`
  const [row] = await sql<{ exceeds: boolean }[]>`
    select not ${licensed} and count(*) > 3 as exceeds from (
      select workspace_id::text, name::text from group_
      union
      select workspace, path from jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)) g
     where name not in ('all', 'error_handler', 'slack')`
  return row?.exceeds === true
}

const shape: Shape = {
  table: 'group_',
  key: 'name',
  columns: [{ field: 'summary', column: 'summary', as: 'text' }],
  // The API makes the creator its manager and first member; a direct writer writes what is declared only.
  created: { extra_perms: `'{}'` },
  updated: {}
}

/** `single` is the prefix of fields that stand for one member: true adds it, null takes it out. */
export async function writeGroups(
  sql: Sql,
  writes: readonly Write[],
  single: string,
  { user }: Context
): Promise<void> {
  await writeRows(sql, shape, writes, user)
  const exact = writes.filter(write => write.op === 'update' && write.row.members !== undefined)
  if (exact.length > 0) {
    const lists = JSON.stringify(exact.map(({ workspace, path, row }) => ({ workspace, path, members: row.members })))
    await sql`
      delete from usr_to_group t
       using jsonb_to_recordset(${lists}::text::jsonb) as j(workspace text, path text, members jsonb)
       where t.workspace_id = j.workspace and t.group_ = j.path and t.usr <> ${user} and not j.members ? t.usr::text`
  }
  const named = writes.flatMap(write => singles(write, Object.keys(write.row), single))
  await removeMembers(
    sql,
    named.filter(one => one.value === null)
  )
  const stated = writes.flatMap(({ workspace, path, row }) =>
    ((row.members ?? []) as readonly string[]).map(usr => ({ workspace, path, usr }))
  )
  await addMembers(sql, [...stated, ...named.filter(one => one.value === true)])
}

interface Membership extends Place {
  readonly usr: string
}

function singles(
  { workspace, path, row }: Pick<Write, 'workspace' | 'path' | 'row'>,
  fields: readonly string[],
  prefix: string
) {
  return fields
    .filter(field => field.startsWith(prefix))
    .map(field => ({ workspace, path, usr: field.slice(prefix.length), value: row[field] ?? null }))
}

/** `usr` has a person's name for its default, so it is always given (trap 4). */
async function addMembers(sql: Sql, members: readonly Membership[]): Promise<void> {
  if (members.length === 0) return
  await sql`
    insert into usr_to_group (workspace_id, group_, usr)
    select workspace, path, usr
      from jsonb_to_recordset(${JSON.stringify(members)}::text::jsonb) as j(workspace text, path text, usr text)
    on conflict (workspace_id, usr, group_) do nothing`
}

async function removeMembers(sql: Sql, members: readonly Membership[]): Promise<void> {
  if (members.length === 0) return
  await sql`
    delete from usr_to_group t
     using jsonb_to_recordset(${JSON.stringify(members)}::text::jsonb) as j(workspace text, path text, usr text)
     where t.workspace_id = j.workspace and t.group_ = j.path and t.usr = j.usr`
}

/** Memberships before the group, which they refer to without a cascade. Of Windmill's own groups only our members go. */
export async function deleteGroups(sql: Sql, removals: readonly Removal[], single: string): Promise<void> {
  const kept = removals.filter(({ path }) => ownGroups.has(path))
  const ours = kept.flatMap(({ fields, live, ...place }) => singles({ ...place, row: live }, fields, single))
  await removeMembers(sql, ours)
  const whole = placesJson(removals.filter(({ path }) => !ownGroups.has(path)))
  await sql`
    delete from usr_to_group t using jsonb_to_recordset(${whole}::text::jsonb) as j(workspace text, path text)
     where t.workspace_id = j.workspace and t.group_ = j.path`
  await sql`
    delete from group_ t using jsonb_to_recordset(${whole}::text::jsonb) as j(workspace text, path text)
     where t.workspace_id = j.workspace and t.name = j.path`
}
