/** The service identity: the account that this program's writes bear, made valid in each managed workspace. */
import type { AuditEntry, Context, Sql } from '../model.ts'

interface IdentityReport {
  /** Workspaces (of those asked for) in which `ensureIdentity` would write something. */
  readonly lacking: readonly string[]
  /** Why the identity cannot be used in a workspace, whether it exists yet or not: a plain sentence. */
  readonly conflicts: ReadonlyMap<string, string>
}

interface IdentityEntry extends AuditEntry {
  readonly workspace: string
}

interface Account {
  readonly email: string
  readonly username: string | null
  readonly login_type: string
}

interface Member {
  readonly workspace: string
  readonly exists: boolean
  /** E-mail of the row that bears our username. */
  readonly holder: string | null
  /** Another username that bears our e-mail. */
  readonly alias: string | null
  readonly sound: boolean
}

/**
 * Looks only. What a valid identity consists of: contract, workspaces-and-permissions §5.3. An account that a person
 * logs in with may serve too (`--user`, `--email`): its account row is then left as it is.
 */
export async function inspectIdentity(
  sql: Sql,
  workspaces: readonly string[],
  context: Context
): Promise<IdentityReport> {
  if (workspaces.length === 0) return { lacking: [], conflicts: new Map() }
  const accounts = await readAccounts(sql, context)
  const own = accounts.find(one => one.email.toLowerCase() === context.email)
  const clash = instanceConflict(accounts, context)
  const members = await readMembers(sql, workspaces, context, wantsFlag(own, context))
  const conflicts = new Map<string, string>()
  for (const member of members) {
    const problem = clash ?? memberConflict(member, context)
    if (problem) conflicts.set(member.workspace, problem)
  }
  const accountLacks = !own || own.username === null
  const lacking = members.filter(one => one.exists && !conflicts.has(one.workspace) && (accountLacks || !one.sound))
  return { lacking: lacking.map(one => one.workspace), conflicts }
}

/**
 * Writes only what is missing or wrong; workspaces with a conflict, and ids without a workspace, are passed over.
 * Returns the audit entries of the memberships it made.
 */
export async function ensureIdentity(
  sql: Sql,
  workspaces: readonly string[],
  context: Context
): Promise<readonly IdentityEntry[]> {
  const { lacking } = await inspectIdentity(sql, workspaces, context)
  if (lacking.length === 0) return []
  const ids = JSON.stringify(lacking)
  const [account] = await ensureAccount(sql, context)
  const added = await ensureMembers(sql, ids, context, wantsFlag(account, context))
  await sql`
    insert into group_ (workspace_id, name, summary)
    select w.id, 'all', 'The group that always contains all users of this workspace'
      from workspace w where w.id in (select jsonb_array_elements_text(${ids}::text::jsonb))
    on conflict (workspace_id, name) do nothing`
  await sql`
    insert into usr_to_group (workspace_id, group_, usr)
    select u.workspace_id, 'all', u.username from usr u
     where u.workspace_id in (select jsonb_array_elements_text(${ids}::text::jsonb)) and u.username = ${context.user}
    on conflict (workspace_id, usr, group_) do nothing`
  return added.map(({ workspace }) => ({
    workspace,
    operation: 'users.add_to_workspace',
    action: 'create',
    resource: context.email
  }))
}

/** Everybody on the instance who bears our e-mail or our username. */
function readAccounts(sql: Sql, { email, user, capabilities }: Context): Promise<readonly Account[]> {
  const pending = capabilities.has('pending_user', 'username')
    ? sql`union all select email::text, username::text, 'pending' from pending_user where username = ${user}`
    : sql``
  return sql<Account[]>`
    select email::text, username::text, login_type::text from password
     where lower(email) = ${email} or username = ${user} ${pending}`
}

function instanceConflict(accounts: readonly Account[], { user, email }: Context): string | undefined {
  const settle = 'choose others with --user and --email'
  const holder = accounts.find(one => one.username === user && one.email.toLowerCase() !== email)
  if (holder)
    return `The username ${user} belongs to ${holder.email} on this Windmill instance, not to ${email}; ${settle}.`
  const own = accounts.find(one => one.email.toLowerCase() === email && one.username !== null && one.username !== user)
  return (
    own && `The account ${email} has the username ${own.username} on this Windmill instance, not ${user}; ${settle}.`
  )
}

function memberConflict({ workspace, holder, alias }: Member, { user, email }: Context): string | undefined {
  const settle = 'rename or remove that user, or choose others with --user and --email'
  if (holder !== null && holder.toLowerCase() !== email) {
    return `The username ${user} belongs to ${holder} in workspace ${workspace}, not to ${email}; ${settle}.`
  }
  return alias === null ? undefined : `${email} is the user ${alias} in workspace ${workspace}, not ${user}; ${settle}.`
}

/** Newer Windmill marks service accounts; an account that somebody logs in with is none. */
function wantsFlag(account: Pick<Account, 'login_type'> | undefined, { capabilities }: Context): boolean {
  return capabilities.has('usr', 'is_service_account') && (!account || account.login_type === 'service')
}

function readMembers(
  sql: Sql,
  workspaces: readonly string[],
  { user, email }: Context,
  flagged: boolean
): Promise<readonly Member[]> {
  return sql<Member[]>`
    select j.id as workspace, w.id is not null as exists, u.email::text as holder,
           (select min(o.username) from usr o
             where o.workspace_id = j.id and o.email = ${email} and o.username <> ${user}) as alias,
           coalesce(${sound(sql, flagged)} and exists (select from usr_to_group m
             where m.workspace_id = j.id and m.group_ = 'all' and m.usr = ${user}), false) as sound
      from jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb) j(id)
      left join workspace w on w.id = j.id
      left join usr u on u.workspace_id = j.id and u.username = ${user}`
}

const sound = (sql: Sql, flagged: boolean) =>
  sql`u.is_admin and not u.operator and not u.disabled ${flagged ? sql`and u.is_service_account` : sql``}`

/**
 * One account without a password: it can never log in, it reserves the username, and V558's user endpoint breaks on a
 * member without an account (contract: workspaces-and-permissions §5.3).
 */
async function ensureAccount(sql: Sql, { user, email }: Context): Promise<readonly Account[]> {
  await sql`
    insert into password (email, password_hash, login_type, super_admin, verified, name, username)
    select ${email}, null, 'service', false, true, 'windmill-iac', ${user}
     where not exists (select from password where lower(email) = ${email})
    on conflict (email) do nothing`
  await sql`update password set username = ${user} where lower(email) = ${email} and username is null`
  return sql<Account[]>`
    select email::text, username::text, login_type::text from password where lower(email) = ${email}`
}

function ensureMembers(
  sql: Sql,
  ids: string,
  { user, email }: Context,
  flagged: boolean
): Promise<readonly { workspace: string }[]> {
  const [column, value] = flagged ? [sql`, is_service_account`, sql`, true`] : [sql``, sql``]
  const set = flagged ? sql`, is_service_account = true` : sql``
  return sql<{ workspace: string; added: boolean }[]>`
    with members as (
      insert into usr as u (workspace_id, username, email, is_admin, operator, disabled ${column})
      select id, ${user}, ${email}, true, false, false ${value}
        from jsonb_array_elements_text(${ids}::text::jsonb) j(id)
      on conflict (workspace_id, username) do update
         set is_admin = true, operator = false, disabled = false ${set}
       where lower(u.email) = excluded.email and not (${sound(sql, flagged)})
      returning u.workspace_id, u.xmax = 0 as added)
    select workspace_id as workspace from members where added`
}
