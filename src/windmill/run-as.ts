/** Users that code runs as, named in manifests: `u/alice`, `alice` or an e-mail address. */
import { SyncError } from '../errors.ts'
import { type Context, type Sql, targetKey } from '../model.ts'

/** An enabled user of the workspace. */
export interface RunAs {
  readonly username: string
  readonly email: string
}

export type RunAsFound = ReadonlyMap<string, readonly RunAs[]>

interface Wanted {
  readonly workspace: string
  readonly who: string
}

const bare = (who: string): string => (who.startsWith('u/') ? who.slice(2) : who)

/** All users that the wishes may mean, one query for the batch. */
export async function findRunAs(sql: Sql, wanted: readonly Wanted[], _context: Context): Promise<RunAsFound> {
  const found = new Map<string, RunAs[]>()
  if (wanted.length === 0) return found
  const wishes = wanted.map(one => ({ workspace: one.workspace, who: one.who, name: bare(one.who) }))
  const rows = await sql<(RunAs & Wanted)[]>`
    with wanted as materialized (
      select distinct j->>'workspace' as workspace, j->>'who' as who, j->>'name' as name
        from jsonb_array_elements(${JSON.stringify(wishes)}::text::jsonb) j)
    select w.workspace, w.who, u.username::text, u.email::text
      from wanted w join usr u on u.workspace_id = w.workspace and not u.disabled and u.username = w.name
    union
    select w.workspace, w.who, u.username::text, u.email::text
      from wanted w join usr u on u.workspace_id = w.workspace and not u.disabled and lower(u.email) = lower(w.name)
     where position('@' in w.name) > 0
     order by 3`
  for (const { workspace, who, username, email } of rows) {
    const key = targetKey(workspace, who)
    found.set(key, [...(found.get(key) ?? []), { username, email }])
  }
  return found
}

/** The one user; throws UserNotFound, naming the field. */
export function runAs(found: RunAsFound, workspace: string, who: string, field: string): RunAs {
  const users = found.get(targetKey(workspace, who)) ?? []
  const [only, ...others] = users
  if (only && others.length === 0) return only
  throw new SyncError(
    'UserNotFound',
    only
      ? `${field}: ${who} is the e-mail address of several users of workspace ${workspace}; name one by its username.`
      : `${field}: ${who} is no enabled user of workspace ${workspace}; add the user to the workspace or name another one.`
  )
}
