/** Which tags a job may carry: newer Windmill looks at every push (contract: schedules §5). */
import type { Context, Json, Sql } from '../model.ts'

export interface CustomTags {
  /** As listed in the settings; undefined when they list none: then the servers' environment decides, which is not seen. */
  readonly listed: readonly string[] | undefined
  /** Superadmins may use any tag. */
  readonly superadmins: ReadonlySet<string>
}

export async function readCustomTags(sql: Sql): Promise<CustomTags> {
  const rows = await sql<{ tags: Json; email: string | null }[]>`
    select (select value from global_settings where name = 'custom_tags') as tags, p.email
      from (values (1)) v left join password p on p.super_admin`
  const tags = rows[0]?.tags
  return {
    listed: Array.isArray(tags) ? tags.filter(one => typeof one === 'string') : undefined,
    superadmins: new Set(rows.flatMap(row => row.email ?? []))
  }
}

/** The check came with a release that also brought the e-mail column of the audit log, nearly to the day. */
export const checksTags = ({ capabilities }: Context): boolean => capabilities.has('audit', 'email')

/** `tag`, `tag(a+b)`: in these workspaces, `tag(^a^b)`: in all but these. */
export function isListed(tag: string, workspace: string, listed: readonly string[]): boolean {
  return listed.some(entry => {
    const [, name = '', where] = /^([^(]*)(?:\(([^)]*)\))?$/.exec(entry) ?? []
    if (name !== tag) return false
    if (where === undefined) return true
    return where.startsWith('^') ? !where.slice(1).split('^').includes(workspace) : where.split('+').includes(workspace)
  })
}
