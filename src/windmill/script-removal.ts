/** Archiving and deleting scripts with all that hangs on them (contract: scripts §5). */
import { type Context, type Removal, type Sql, targetKey } from '../model.ts'
import { writeAudit } from './audit.ts'
import { dropJobs } from './jobs.ts'
import { placesJson } from './row-writer.ts'
import { disarmSchedulesOf } from './schedule-arming.ts'
import { hexOfHash } from './script-hash.ts'
import { archiveLive, lockPaths, type Place } from './script-lineage.ts'
import { forgetImports, forgetLockHashes, wipeTraces } from './script-side.ts'

const placesSql = 'jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text)'

/**
 * Archives every live version. Its imports are forgotten, or a relock of something it imported would bring it back to
 * life (trap 10); so are lock jobs that would write them down again.
 */
export async function retireScripts(sql: Sql, removals: readonly Removal[], context: Context): Promise<void> {
  await lockPaths(sql, removals)
  const heads = await archiveLive(sql, removals)
  await settleDown(sql, removals, context)
  const archived = removals.flatMap(one => {
    const hash = heads.get(targetKey(one.workspace, one.path))
    return hash === undefined ? [] : [{ ...one, resource: hexOfHash(hash) }]
  })
  await note(sql, 'scripts.archive', archived, context)
}

/** Deletes all versions of the paths; rows of those who import them are theirs and stay. */
export async function removeScripts(sql: Sql, removals: readonly Removal[], context: Context): Promise<void> {
  const { capabilities } = context
  const json = placesJson(removals)
  await lockPaths(sql, removals)
  // Deleting tells nobody; an update that names the lock does (§6).
  await archiveLive(sql, removals)
  await settleDown(sql, removals, context)
  await trash(sql, json, context)
  await sql.unsafe(
    `delete from draft t using ${placesSql} where t.workspace_id = j.workspace and t.path = j.path and t.typ = 'script'`,
    [json]
  )
  for (const table of ['capture_config', 'capture'] as const) {
    if (!capabilities.has(table, 'is_flow')) continue
    await sql.unsafe(
      `delete from ${table} t using ${placesSql} where t.workspace_id = j.workspace and t.path = j.path and not t.is_flow`,
      [json]
    )
  }
  await forgetLockHashes(sql, removals, capabilities)
  for (const [table, which] of [
    ['script', 'true'],
    ['deployment_metadata', 't.script_hash is not null']
  ] as const) {
    await sql.unsafe(
      `delete from ${table} t using ${placesSql} where t.workspace_id = j.workspace and t.path = j.path and ${which}`,
      [json]
    )
  }
  await note(
    sql,
    'scripts.delete',
    removals.map(one => ({ ...one, resource: one.path })),
    context
  )
}

/** What both have in common: nothing may go on running, or come back, because of the path. */
async function settleDown(sql: Sql, places: readonly Place[], context: Context): Promise<void> {
  await wipeTraces(sql, places, context)
  await forgetImports(sql, places)
  const queued = await sql.unsafe<{ id: string }[]>(
    `select q.id::text from v2_job_queue q join v2_job b on b.id = q.id
       join ${placesSql} on b.workspace_id = j.workspace and b.runnable_path = j.path
      where b.kind = 'dependencies' and not q.running`,
    [placesJson(places)]
  )
  await dropJobs(
    sql,
    queued.map(row => row.id),
    context
  )
  await disarmSchedulesOf(
    sql,
    places.map(({ workspace, path }) => ({ workspace, path, isFlow: false })),
    context
  )
}

/** Newer Windmill keeps what was deleted for some days. */
async function trash(sql: Sql, json: string, { capabilities, user }: Context): Promise<void> {
  if (!capabilities.has('trashbin', 'item_data')) return
  await sql`
    insert into trashbin (workspace_id, item_kind, item_path, item_data, deleted_by)
    select j.workspace, 'script', j.path, jsonb_build_object(
             'scripts', (select jsonb_agg(to_jsonb(s) order by s.created_at desc) from script s
                          where s.workspace_id = j.workspace and s.path = j.path),
             'drafts', (select coalesce(jsonb_agg(to_jsonb(d)), '[]') from draft d
                         where d.workspace_id = j.workspace and d.path = j.path and d.typ = 'script')), ${user}
      from jsonb_to_recordset(${json}::text::jsonb) as j(workspace text, path text)
     where exists (select from script s where s.workspace_id = j.workspace and s.path = j.path)`
}

const note = (
  sql: Sql,
  operation: string,
  gone: readonly (Removal & { readonly resource: string })[],
  context: Context
): Promise<unknown> =>
  writeAudit(
    sql,
    gone.map(({ workspace, resource, listed }) => ({
      workspace,
      operation,
      action: 'delete',
      resource,
      parameters: { workspace },
      source: { ...listed, generation: 0 }
    })),
    context
  )
