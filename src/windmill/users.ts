/** Who is known in a workspace: users by username or e-mail address, and what owners and permissions may name. */
import { type Sql, targetKey } from '../model.ts'

export interface Wanted {
  readonly workspace: string
  /** A username, an e-mail address, or `u/<user>` or `g/<group>`, as the function says. */
  readonly who: string
}

/**
 * Usernames by `targetKey(workspace, who)`; nothing for whoever has not joined. E-mail addresses (no username holds an
 * `@`) are compared without case and may, by hand, stand for more than one user (contract:
 * workspaces-and-permissions §4, trap 6).
 */
export async function findUsers(sql: Sql, wanted: readonly Wanted[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>()
  if (wanted.length === 0) return found
  const rows = await sql<{ workspace: string; who: string; username: string }[]>`
    with wanted as materialized (
      select distinct j->>'workspace' as workspace, j->>'who' as who
        from jsonb_array_elements(${JSON.stringify(wanted)}::text::jsonb) j)
    select w.workspace, w.who, u.username::text
      from wanted w join usr u on u.workspace_id = w.workspace and u.username = w.who
     where position('@' in w.who) = 0
    union all
    select w.workspace, w.who, u.username::text
      from wanted w join usr u on u.workspace_id = w.workspace and lower(u.email) = lower(w.who)
     where position('@' in w.who) > 0`
  for (const { workspace, who, username } of rows) {
    const key = targetKey(workspace, who)
    found.set(key, [...(found.get(key) ?? []), username])
  }
  return found
}

/**
 * Those of the given `u/<user>` and `g/<group>` that somebody stands behind, as `targetKey(workspace, who)`. Groups of
 * the instance count in every workspace (contract: workspaces-and-permissions §4).
 */
export async function findPrincipals(sql: Sql, wanted: readonly Wanted[]): Promise<ReadonlySet<string>> {
  if (wanted.length === 0) return new Set()
  const rows = await sql<{ workspace: string; who: string }[]>`
    with wanted as materialized (
      select distinct j->>'workspace' as workspace, j->>'who' as who,
             left(j->>'who', 2) as form, substr(j->>'who', 3) as name
        from jsonb_array_elements(${JSON.stringify(wanted)}::text::jsonb) j)
    select w.workspace, w.who from wanted w
      join usr u on u.workspace_id = w.workspace and u.username = w.name where w.form = 'u/'
    union all
    select w.workspace, w.who from wanted w
      join group_ g on g.workspace_id = w.workspace and g.name = w.name where w.form = 'g/'
    union all
    select w.workspace, w.who from wanted w join instance_group i on i.name = w.name where w.form = 'g/'`
  return new Set(rows.map(({ workspace, who }) => targetKey(workspace, who)))
}
