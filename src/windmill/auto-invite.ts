/** Auto-invite acts at once when it is saved: accounts that exist already are added or invited (contract: workspaces-and-permissions §2.7). */
import type { Context, Sql } from '../model.ts'

interface Candidate {
  readonly workspace: string
  readonly email: string
  readonly username: string | null
  readonly operator: boolean
  readonly domain: string
}

/** For workspaces whose auto-invite settings have just changed. */
export async function inviteAccounts(sql: Sql, workspaces: readonly string[], context: Context): Promise<void> {
  if (workspaces.length === 0) return
  const { adding, inviting } = await readCandidates(sql, workspaces, context)
  if (inviting.length > 0) {
    await sql`
      insert into workspace_invite (workspace_id, email, is_admin, operator)
      select workspace, email, false, operator
        from jsonb_to_recordset(${JSON.stringify(inviting)}::text::jsonb) as j(workspace text, email text, operator boolean)
      on conflict (workspace_id, email) do nothing`
  }
  if (adding.length > 0) await addMembers(sql, adding, context)
}

/** As the checks of usr and workspace_invite (their rare forms aside): an account may have an address that those refuse. */
const properEmail =
  /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i

/** Accounts of the domain that are no members yet; ours and disabled ones are left out. */
async function readCandidates(
  sql: Sql,
  workspaces: readonly string[],
  { capabilities, email }: Context
): Promise<{ adding: readonly Candidate[]; inviting: readonly Candidate[] }> {
  const settings = capabilities.has('workspace_settings', 'auto_invite')
    ? sql`s.auto_invite->>'domain' as domain, coalesce((s.auto_invite->>'operator')::boolean, false) as operator,
          coalesce(s.auto_invite->>'mode' = 'add', false) as adds`
    : sql`s.auto_invite_domain as domain, coalesce(s.auto_invite_operator, false) as operator, coalesce(s.auto_add, false) as adds`
  const enabled = capabilities.has('password', 'disabled') ? sql`not p.disabled` : sql`true`
  const rows = await sql<(Candidate & { adds: boolean })[]>`
    select s.workspace, p.email::text, p.username::text, s.operator, s.adds, s.domain
      from (select s.workspace_id as workspace, ${settings} from workspace_settings s join workspace w on w.id = s.workspace_id
             where not w.deleted
               and s.workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))) s
      join password p on s.domain = '*' or lower(split_part(p.email, '@', 2)) = lower(s.domain)
     where ${enabled} and lower(p.email) <> ${email}
       and not exists (select from usr u where u.workspace_id = s.workspace and lower(u.email) = lower(p.email))
     order by s.workspace, p.email`
  const fit = rows.filter(row => properEmail.test(row.email))
  return { adding: fit.filter(row => row.adds), inviting: fit.filter(row => !row.adds) }
}

async function addMembers(sql: Sql, candidates: readonly Candidate[], { capabilities }: Context): Promise<void> {
  const taken = await readNames(sql, candidates, capabilities.has('pending_user', 'username'))
  const members = candidates.map(one => ({
    ...one,
    username: one.username ?? freeName(one, taken),
    via: { source: 'domain', domain: one.domain }
  }))
  const json = JSON.stringify(members)
  const [column, value] = capabilities.has('usr', 'added_via') ? [sql`, added_via`, sql`, via`] : [sql``, sql``]
  await sql`
    insert into usr (workspace_id, username, email, is_admin, operator ${column})
    select workspace, username, email, false, operator ${value}
      from jsonb_to_recordset(${json}::text::jsonb)
           as j(workspace text, username text, email text, operator boolean, via jsonb)
    on conflict (workspace_id, username) do nothing`
  await sql`
    insert into usr_to_group (workspace_id, group_, usr)
    select u.workspace_id, 'all', u.username
      from jsonb_to_recordset(${json}::text::jsonb) as j(workspace text, username text, email text)
      join usr u on u.workspace_id = j.workspace and u.username = j.username and u.email = j.email
    on conflict (workspace_id, usr, group_) do nothing`
  await sql`
    delete from workspace_invite i
     using jsonb_to_recordset(${json}::text::jsonb) as j(workspace text, email text)
     where i.workspace_id = j.workspace and i.email = j.email
       and exists (select from usr u where u.workspace_id = j.workspace and u.email = j.email)`
}

/** Usernames by workspace; under '' those of the whole instance. */
type Names = Map<string, Set<string>>

async function readNames(sql: Sql, candidates: readonly Candidate[], pending: boolean): Promise<Names> {
  const workspaces = JSON.stringify([...new Set(candidates.map(one => one.workspace))])
  const rows = await sql<{ workspace: string; username: string }[]>`
    select workspace_id::text as workspace, username::text from usr
     where workspace_id in (select jsonb_array_elements_text(${workspaces}::text::jsonb))
    union select '', username::text from password where username is not null
    ${pending ? sql`union select '', username::text from pending_user` : sql``}`
  const names: Names = new Map()
  for (const { workspace, username } of rows) namesIn(names, workspace).add(username)
  return names
}

function namesIn(names: Names, workspace: string): Set<string> {
  let found = names.get(workspace)
  if (!found) names.set(workspace, (found = new Set()))
  return found
}

/** Windmill's own way to name a user (contract: workspaces-and-permissions §1.2). */
function freeName({ workspace, email }: Candidate, taken: Names): string {
  const [here, everywhere] = [namesIn(taken, workspace), namesIn(taken, '')]
  const stem = (email.split('@')[0] ?? '').replace(/[^A-Za-z0-9_]/g, '').slice(0, 45) || 'user'
  let name = stem
  for (let next = 2; here.has(name) || everywhere.has(name); next++) name = `${stem}${next}`
  here.add(name)
  return name
}
