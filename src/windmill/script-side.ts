/** Rows beside a script: what a deploy, an archive and a deletion do to them (contract: scripts §3.6, §5, §7). */
import type { Context, Sql } from '../model.ts'
import { placesJson } from './row-writer.ts'
import { importsOf, isLockOfFile } from './script-imports.ts'
import type { Place } from './script-lineage.ts'
import type { NewVersion } from './script-versions.ts'
import { inOneGo } from './statements.ts'

const placesOf = 'jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text)'

/** Derived from annotations in the code by newer servers; what of it fits a new version only they can tell. */
const derived = ['script_trigger', 'ci_test_reference', 'macro_definition', 'macro_usage'] as const
const pathColumns = ['script_path', 'path', 'test_script_path', 'definition_path'] as const

/** Traces of earlier versions: which assets they use, what their annotations said. */
export async function wipeTraces(sql: Sql, places: readonly Place[], { capabilities }: Context): Promise<void> {
  if (places.length === 0) return
  const json = placesJson(places)
  const statements: Promise<unknown>[] = []
  if (capabilities.has('asset')) {
    statements.push(
      sql.unsafe(
        `delete from asset t using ${placesOf}
          where t.workspace_id = j.workspace and t.usage_path = j.path and t.usage_kind = 'script'`,
        [json]
      )
    )
  }
  for (const table of derived) {
    const column = pathColumns.find(one => capabilities.has(table, one))
    if (!column || !capabilities.has(table, 'workspace_id')) continue
    statements.push(
      sql.unsafe(
        `delete from ${table} t using ${placesOf} where t.workspace_id = j.workspace and t.${column} = j.path`,
        [json]
      )
    )
  }
  await inOneGo(statements)
}

/** What the scripts import, as far as Windmill knows. */
export async function forgetImports(sql: Sql, places: readonly Place[]): Promise<void> {
  if (places.length === 0) return
  await sql.unsafe(
    `delete from dependency_map t using ${placesOf}
      where t.workspace_id = j.workspace and t.importer_path = j.path and t.importer_kind = 'script'`,
    [placesJson(places)]
  )
}

const LONGEST = 510

/**
 * Versions that no job will see to: their imports are written down here. (A script whose lock is on its way gets its
 * rows from that job; until then it has none, so that the lock of something it imports cannot bring back the version
 * that was live before, trap 9.) The hash of a lock that is no longer true would keep importers from being locked anew.
 */
export async function noteImports(sql: Sql, versions: readonly NewVersion[], { capabilities }: Context): Promise<void> {
  const rows = versions.flatMap(({ workspace, path, language, content, lock }) => {
    // Deno's imports are followed since 1.478, which is the release of this column, or nearly so.
    if (language === 'deno' && !capabilities.has('script', 'schema_validation')) return []
    if (lock === null || isLockOfFile(language, lock)) return []
    const imports = importsOf({ path, language, content }).filter(one => one.length <= LONGEST)
    return imports.map(imported => ({ workspace, path, imported }))
  })
  if (rows.length > 0) {
    await sql`
      insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path, importer_node_id)
      select j.workspace, j.path, 'script', j.imported, ''
        from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as j(workspace text, path text, imported text)
      on conflict do nothing`
  }
  await forgetLockHashes(sql, versions, capabilities)
}

export async function forgetLockHashes(
  sql: Sql,
  places: readonly Place[],
  capabilities: Context['capabilities']
): Promise<void> {
  if (places.length === 0 || !capabilities.has('lock_hash')) return
  await sql.unsafe(`delete from lock_hash t using ${placesOf} where t.workspace_id = j.workspace and t.path = j.path`, [
    placesJson(places)
  ])
}
