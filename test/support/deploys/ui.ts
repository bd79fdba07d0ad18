/** Somebody else at work in Windmill's editors: new versions as the API makes them, by bob. */
import type postgres from 'postgres'
import type { Row } from './expect.ts'
import { cloneRow } from './worker-base.ts'
import { newHash } from './worker-script.ts'

export const liveScripts = (sql: postgres.Sql, path: string) => sql`
  select *, hash::text as hash from script where workspace_id = 'demo' and path = ${path} and not archived
   order by created_at desc`

/** A new version of a script (scripts §4.2), locked at once; gives its hash. */
export async function editScript(sql: postgres.Sql, path: string, change: Row): Promise<string> {
  return sql.begin(async sql => {
    const [old] = await sql`
      select hash::text, parent_hashes::text[] as parents, lock from script
       where workspace_id = 'demo' and path = ${path} and not archived order by created_at desc limit 1`
    if (!old) throw new Error(`no live script at ${path}`)
    const [{ now } = { now: '' }] = await sql<{ now: string }[]>`select clock_timestamp()::text as now`
    const hash = newHash()
    await cloneRow(
      sql,
      'script',
      { hash: String(old['hash']) },
      {
        hash,
        parent_hashes: [old['hash'], ...((old['parents'] as readonly string[] | null) ?? []).slice(0, 19)],
        created_by: 'bob',
        created_at: now,
        lock: old['lock'] ?? '# by hand',
        on_behalf_of_email: null,
        ...change
      }
    )
    await sql`update script set archived = true where hash = ${String(old['hash'])}`
    return hash
  })
}

/** A new version of a flow (flows-and-apps A2); gives its id. */
export async function editFlow(sql: postgres.Sql, path: string, summary: string, value: object): Promise<string> {
  return sql.begin(async sql => {
    const text = JSON.stringify(value)
    await sql`
      update flow set summary = ${summary}, value = ${text}::text::jsonb, edited_by = 'bob', edited_at = now()
       where workspace_id = 'demo' and path = ${path}`
    const [version] = await sql`
      insert into flow_version (workspace_id, path, value, schema, created_by)
      select workspace_id, path, value, schema, 'bob' from flow where workspace_id = 'demo' and path = ${path} returning id`
    const id = String(version?.['id'])
    await sql`update flow set versions = array_append(versions, ${id}::bigint) where workspace_id = 'demo' and path = ${path}`
    return id
  })
}

/** A new version of an app (flows-and-apps B2); gives its id. */
export async function editApp(sql: postgres.Sql, path: string, value: object): Promise<string> {
  return sql.begin(async sql => {
    const [version] = await sql`
      insert into app_version (app_id, value, created_by)
      select id, ${JSON.stringify(value)}::text::json, 'bob' from app where workspace_id = 'demo' and path = ${path} returning id`
    const id = String(version?.['id'])
    await sql`update app set versions = array_append(versions, ${id}::bigint) where workspace_id = 'demo' and path = ${path}`
    return id
  })
}

/** What running by path takes (scripts §4.1): older Windmill and newer agree when no two times are equal. */
export async function elected(sql: postgres.Sql, path: string): Promise<Row | undefined> {
  const [row] = await sql`
    select content, hash::text from script
     where workspace_id = 'demo' and path = ${path} and not deleted and lock is not null and lock_error_logs is null
     order by created_at desc limit 1`
  return row
}

/** The version of a flow or app that a run takes (flows-and-apps A5, B5). */
export async function deployed(sql: postgres.Sql, kind: 'flow' | 'app', path: string): Promise<Row | undefined> {
  const [row] =
    kind === 'flow'
      ? await sql`
          select v.id, v.value, v.created_by, f.versions from flow f join flow_version v on v.id = f.versions[array_upper(f.versions, 1)]
           where f.workspace_id = 'demo' and f.path = ${path}`
      : await sql`
          select v.id, v.value, v.created_by, a.versions from app a join app_version v on v.id = a.versions[array_upper(a.versions, 1)]
           where a.workspace_id = 'demo' and a.path = ${path}`
  return row
}
