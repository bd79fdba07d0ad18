/** What a job may do: a snapshot of its user's rights, taken when it is pushed. Contract: jobs §7. */
import { SyncError } from '../errors.ts'
import type { Context, Sql } from '../model.ts'

export interface Permissions {
  readonly username: string
  readonly admin: boolean
  readonly operator: boolean
  readonly groups: readonly string[]
  /** One list `[name, may write, owns]` per folder that the user sees. */
  readonly folders: readonly unknown[]
}

interface Identity {
  readonly workspace: string
  readonly permissionedAs: string
  readonly email: string
}

/** Superadmins that are no accounts: Windmill's own. */
const builtIn = ['superadmin_secret@windmill.dev', 'superadmin_notification@windmill.dev']

/** The rights of each identity, in the order given. Throws UserNotFound for a user who is not (or is disabled) there. */
export async function permissionsOf(
  sql: Sql,
  identities: readonly Identity[],
  context: Context
): Promise<readonly Permissions[]> {
  const distinct = new Map(identities.map(one => [keyOf(one), one]))
  const found = await read(sql, [...distinct.values()], context)
  const byKey = new Map(found.map(one => [keyOf(one), one]))
  return identities.map(identity => {
    const permissions = byKey.get(keyOf(identity))
    if (!permissions?.known) {
      throw new SyncError(
        'UserNotFound',
        `A job in workspace ${identity.workspace} would run as ${identity.permissionedAs}, who is no enabled user there.`
      )
    }
    return permissions
  })
}

const keyOf = ({ workspace, permissionedAs, email }: Identity): string => [workspace, permissionedAs, email].join('\0')

function read(
  sql: Sql,
  identities: readonly Identity[],
  { capabilities }: Context
): Promise<readonly (Permissions & Identity & { known: boolean })[]> {
  const instanceGroups = capabilities.has('email_to_igroup', 'igroup')
    ? sql`union select i.igroup::text from email_to_igroup i where i.email = w.email`
    : sql``
  return sql<(Permissions & Identity & { known: boolean })[]>`
    with wanted as materialized (
      select j.workspace, j."permissionedAs" as who, j.email, left(j."permissionedAs", 2) as form,
             case when j."permissionedAs" like '_/%' then substr(j."permissionedAs", 3) else j."permissionedAs" end as name,
             exists (select from password p where p.email = j.email and p.super_admin)
               or j.email in (select jsonb_array_elements_text(${JSON.stringify(builtIn)}::text::jsonb))
               or j."permissionedAs" = 'superadmin_sync@windmill.dev' as super
        from jsonb_to_recordset(${JSON.stringify(identities)}::text::jsonb)
          as j(workspace text, "permissionedAs" text, email text)),
    grouped as materialized (
      select w.*, u.username is not null as member, coalesce(u.is_admin, false) as is_admin,
             coalesce(u.operator, false) as operator,
             case w.form
               when 'u/' then array(
                 select m.group_::text from usr_to_group m where m.workspace_id = w.workspace and m.usr = w.name
                 ${instanceGroups} order by 1)
               when 'g/' then array[w.name] else '{}' end as groups
        from wanted w
        left join usr u on w.form = 'u/' and u.workspace_id = w.workspace and u.username = w.name and not u.disabled),
    keyed as (
      select g.*, array['u/' || case g.form when 'u/' then g.name else '' end]
               || array(select 'g/' || one from unnest(g.groups) one) as keys
        from grouped g)
    select k.workspace, k.who as "permissionedAs", k.email,
           case k.form when 'g/' then 'group-' || k.name else k.name end as username,
           case k.form when 'u/' then k.super or k.is_admin when 'g/' then false else k.super end as admin,
           case k.form when 'u/' then k.operator and not k.super when 'g/' then false else true end as operator,
           array_to_json(k.groups) as groups,
           case when k.form not in ('u/', 'g/') then '[]' else (
             select coalesce(jsonb_agg(jsonb_build_array(f.name,
                      exists (select from jsonb_each_text(f.extra_perms) e where e.key = any(k.keys) and e.value = 'true'),
                      k.keys && f.owners::text[]) order by f.name), '[]')
               from folder f where f.workspace_id = k.workspace and f.extra_perms ?| k.keys) end as folders,
           k.form <> 'u/' or k.member or k.super as known
      from keyed k`
}
