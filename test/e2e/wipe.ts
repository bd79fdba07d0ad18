/** Takes a test's workspace out of a Windmill database again: Windmill itself has no other way but its own server's. */
import type { Database } from '../../src/database/client.ts'

export interface Traces {
  readonly workspace: string
  readonly namespace: string
}

/**
 * Every row that names the workspace, which nobody but this test has ever used. Tables depend on one another in ways that
 * change with Windmill's releases: what cannot go yet is tried again once something else has gone.
 */
export async function wipe(database: Database, { workspace, namespace }: Traces): Promise<void> {
  const tables = await database.read(
    sql => sql<{ name: string }[]>`
      select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
       where a.attname = 'workspace_id' and c.relkind in ('r', 'p') and not c.relispartition
         and n.nspname = any (current_schemas(false))`
  )
  const remove = (table: string, where: string, value: string): Promise<boolean> =>
    database
      .asLogin(async sql => sql.unsafe(`delete from ${table} where ${where} = $1`, [value]))
      .then(
        () => true,
        () => false
      )
  let left = tables.map(one => one.name)
  for (let before = left.length + 1; left.length > 0 && left.length < before; ) {
    before = left.length
    const stuck: string[] = []
    for (const table of left) if (!(await remove(table, 'workspace_id', workspace))) stuck.push(table)
    left = stuck
  }
  const gone = await remove('workspace', 'id', workspace)
  for (const table of ['object', 'deleted']) {
    await remove(`windmill_iac.${table}`, 'workspace', workspace)
    await remove(`windmill_iac.${table}`, 'namespace', namespace)
  }
  if (!gone) throw new Error(`rows of workspace ${workspace} are left in ${left.join(', ') || 'other tables'}`)
}
