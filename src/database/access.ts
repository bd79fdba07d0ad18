/** Who we are in the database, what that user may do, and the exact words for what is missing. */
import { SyncError } from '../errors.ts'
import type { Sql } from '../model.ts'

/** What decides about the role. */
export interface Facts {
  readonly login: string
  readonly standby: boolean
  /** Whether Windmill's tables are visible at all; if not, the schema guard says so. */
  readonly windmill: boolean
  readonly adminRole: boolean
  /** May SET ROLE windmill_admin. */
  readonly maySwitch: boolean
  /** Has the rights of windmill_admin without switching. */
  readonly inherits: boolean
  /** Row security does not apply: owner of the tables, superuser, BYPASSRLS. */
  readonly exempt: boolean
}

export async function factsSql(sql: Sql): Promise<Facts> {
  const [facts] = await sql<Facts[]>`
    select session_user::text as login, pg_is_in_recovery() as standby, script.oid is not null as windmill,
           admin.oid is not null as "adminRole",
           coalesce(case when current_setting('server_version_num')::int >= 160000
                         then pg_has_role(session_user, admin.oid, 'SET')
                         else pg_has_role(session_user, admin.oid, 'MEMBER') end, false) as "maySwitch",
           coalesce(pg_has_role(current_user, admin.oid, 'USAGE'), false) as inherits,
           me.rolsuper or me.rolbypassrls
             or coalesce(pg_has_role(current_user, script.relowner, 'USAGE') and not script.relforcerowsecurity, false) as exempt
      from pg_roles me
      left join pg_roles admin on admin.rolname = 'windmill_admin'
      left join pg_class script on script.oid = to_regclass('script')
     where me.rolname = current_user`
  if (!facts) throw new SyncError('DatabaseFailed', 'The server does not know the role that it let in.')
  return facts
}

const identifier = (name: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`

/**
 * Row security hides Windmill's rows from anybody else WITHOUT an error: everything would look deleted. So a role that is
 * neither exempt nor of windmill_admin is refused, whatever table rights it has.
 */
export function chooseRole(facts: Facts): string {
  if (facts.adminRole && facts.maySwitch) return 'windmill_admin'
  if (facts.exempt || facts.inherits || !facts.windmill) return ''
  const remedy = facts.adminRole
    ? `let an administrator run: GRANT windmill_admin TO ${identifier(facts.login)};`
    : 'connect as the owner of the tables (the role windmill_admin does not exist).'
  throw new SyncError(
    'DatabaseNotAllowed',
    `Row security hides Windmill's rows from the database user ${identifier(facts.login)}; ${remedy}`
  )
}

export type Privilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE'

/** Checks rights on tables before the first write: tables made later by another role have none for windmill_admin. */
export async function requirePrivileges(
  sql: Sql,
  tables: Readonly<Record<string, readonly Privilege[]>>
): Promise<void> {
  const wanted = Object.entries(tables).flatMap(([table, list]) => list.map(privilege => ({ table, privilege })))
  if (wanted.length === 0) return
  const missing = await sql<{ table: string; privilege: string; role: string }[]>`
    select w.name as table, string_agg(w.privilege, ', ' order by w.position) as privilege, current_user::text as role
      from unnest(${wanted.map(one => one.table)}::text[], ${wanted.map(one => one.privilege)}::text[])
           with ordinality as w(name, privilege, position)
     where to_regclass(quote_ident(w.name)) is not null
       and not has_table_privilege(to_regclass(quote_ident(w.name)), w.privilege)
     group by w.name order by w.name`
  if (missing.length === 0) return
  const grants = missing.map(one => `GRANT ${one.privilege} ON ${identifier(one.table)} TO ${identifier(one.role)};`)
  throw new SyncError(
    'DatabaseNotAllowed',
    `The database role lacks rights on Windmill's tables; let an administrator run: ${grants.join(' ')}`
  )
}

/** Adds where it happened to an error of connecting. */
export function located(error: Error, place: string, user: string, database: string): Error {
  if (!(error instanceof SyncError) || error.message.includes(place)) return error
  const where = `(user ${identifier(user)}, database ${identifier(database)} at ${place})`
  return new SyncError(error.code, `${error.message} ${where}`, { transient: error.transient })
}
