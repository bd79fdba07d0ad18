/**
 * Versions that stayed live beside a newer one. Windmill 1.536 to 1.558 leaves them when two things that a script
 * imports change at once: each locks a copy of the same version (contract: scripts §3.5, §4.1, trap 22).
 */
import type { Context, Sql, Write } from '../model.ts'
import { writeAudit } from './audit.ts'
import { placesJson } from './row-writer.ts'
import { hexOfHash } from './script-hash.ts'

/** Archives all live versions but the newest of each path. Naming `lock` makes Windmill's trigger tell of it (§6). */
export async function archiveSurplus(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  if (writes.length === 0) return
  const gone = await sql<{ workspace: string; path: string; hash: string }[]>`
    update script s set archived = true, lock = s.lock
      from jsonb_to_recordset(${placesJson(writes)}::text::jsonb) as j(workspace text, path text)
     where s.workspace_id = j.workspace and s.path = j.path and not s.archived and not s.deleted
       and s.hash <> (select v.hash from script v
                       where v.workspace_id = j.workspace and v.path = j.path and not v.archived and not v.deleted
                       order by v.created_at desc limit 1)
    returning j.workspace, j.path, s.hash::text`
  const sources = new Map(writes.map(({ workspace, path, listed }) => [`${workspace}/${path}`, listed]))
  await writeAudit(
    sql,
    gone.flatMap(({ workspace, path, hash }) => {
      const source = sources.get(`${workspace}/${path}`)
      const parameters = { workspace }
      return source
        ? [{ workspace, operation: 'scripts.archive', action: 'delete', resource: hexOfHash(hash), parameters, source }]
        : []
    }),
    context
  )
}
