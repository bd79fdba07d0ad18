/** Users that code runs as, named in manifests: `u/alice`, `alice` or an e-mail address; and whether they may be named. */
import { SyncError } from '../errors.ts'
import { type Account, type Context, type Input, type Sql, targetKey } from '../model.ts'

/** An enabled user of the workspace. */
export interface RunAs {
  readonly username: string
  readonly email: string
}

export interface RunAsFound {
  /** By workspace and name as written. */
  readonly users: ReadonlyMap<string, readonly Account[]>
  readonly context: Context
}

interface Wanted {
  readonly workspace: string
  readonly who: string
}

const bare = (who: string): string => (who.startsWith('u/') ? who.slice(2) : who)

/** All users that the wishes may mean, one query for the batch. */
export async function findRunAs(sql: Sql, wanted: readonly Wanted[], context: Context): Promise<RunAsFound> {
  const users = new Map<string, Account[]>()
  if (wanted.length === 0) return { users, context }
  const wishes = wanted.map(one => ({ workspace: one.workspace, who: one.who, name: bare(one.who) }))
  const rows = await sql<(Account & Wanted)[]>`
    with wanted as materialized (
      select distinct j->>'workspace' as workspace, j->>'who' as who, j->>'name' as name
        from jsonb_array_elements(${JSON.stringify(wishes)}::text::jsonb) j),
    found as (
      select w.workspace, w.who, u.username, u.email, u.is_admin
        from wanted w join usr u on u.workspace_id = w.workspace and not u.disabled and u.username = w.name
      union
      select w.workspace, w.who, u.username, u.email, u.is_admin
        from wanted w join usr u on u.workspace_id = w.workspace and not u.disabled and lower(u.email) = lower(w.name)
       where position('@' in w.name) > 0)
    select f.workspace, f.who, f.username::text, f.email::text, f.is_admin as admin,
           exists (select from password p where lower(p.email) = lower(f.email) and p.super_admin) as superadmin
      from found f order by 3`
  for (const { workspace, who, ...account } of rows) {
    const key = targetKey(workspace, who)
    users.set(key, [...(users.get(key) ?? []), account])
  }
  return { users, context }
}

/** Whether anybody bears that name; who does not may still come. */
export const isKnown = ({ users }: RunAsFound, workspace: string, who: string): boolean =>
  users.has(targetKey(workspace, who))

/**
 * The one user. Throws UserNotFound, or RunAsNotAllowed where the CR's namespace may not act as that user: code that
 * runs as somebody can do what that person can.
 */
export function runAs(
  { users, context }: RunAsFound,
  { workspace, listed }: Pick<Input, 'workspace' | 'listed'>,
  who: string,
  field: string
): RunAs {
  const [only, ...others] = users.get(targetKey(workspace, who)) ?? []
  if (!only || others.length > 0) {
    throw new SyncError(
      'UserNotFound',
      only
        ? `${field}: ${who} is the e-mail address of several users of workspace ${workspace}; name one by its username.`
        : `${field}: ${who} is no enabled user of workspace ${workspace}; add the user to the workspace or name another one.`
    )
  }
  const why = context.mayRunAs?.(listed.namespace, only)
  if (why !== undefined) throw new SyncError('RunAsNotAllowed', `${field}: ${why}`)
  return { username: only.username, email: only.email }
}
