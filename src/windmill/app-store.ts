/** Deploys and deletes apps, a whole batch at a time: contract, flows-and-apps B2 and B8. */
import { canonical } from '../fingerprint.ts'
import { type Context, type Json, type Sql, targetKey, type Write } from '../model.ts'
import { withLiveLocks } from './app-locks.ts'
import { holdRoutes, proveRoutes } from './app-routes.ts'
import { LOCK } from './app-value.ts'
import { deleteDrafts } from './drafts.ts'
import { readTagRules, tagFor } from './job-tags.ts'
import { dropJobs, pushJobs } from './jobs.ts'
import { labelsColumn } from './labels.ts'
import { placesJson, type Shape, writeRows } from './row-writer.ts'

/**
 * Whether a write makes a new version. Servers keep policies by version, so a policy alone makes one too (trap 19);
 * everything else stands in the app's own row.
 */
export function makesVersion({ op, row, live = {} }: Pick<Write, 'op' | 'row' | 'live'>): boolean {
  if (op === 'create') return true
  const fields = Object.keys(row).filter(one => one === 'value' || one === 'policy' || one.startsWith(LOCK))
  return fields.some(field => canonical(row[field]) !== canonical(live[field] ?? null))
}

/** `guard` of a write is the text of the value to store: its row has only the form that is compared. */
export async function writeApps(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  await holdRoutes(sql, writes, context)
  await deleteDrafts(sql, 'app', writes, context)
  const shape = shapeFor(context)
  const plain = shape.columns.map(one => one.field)
  await writeRows(
    sql,
    shape,
    writes.map(one => ({ ...one, row: pick(one.row, plain) })),
    context.user
  )
  await proveRoutes(sql, writes)
  const deploys = writes.filter(makesVersion)
  if (deploys.length === 0) return
  const versions = await addVersions(sql, deploys, context)
  await pushLocks(sql, deploys, versions, context)
}

const pick = (row: Write['row'], fields: readonly string[]): Write['row'] =>
  Object.fromEntries(fields.flatMap(field => (row[field] === undefined ? [] : [[field, row[field]]])))

const hasDraftOnly = ({ capabilities }: Context): boolean => capabilities.has('app', 'draft_only')

function shapeFor(context: Context): Shape {
  return {
    table: 'app',
    key: 'path',
    columns: [
      { field: 'summary', column: 'summary', as: 'text', empty: "''" },
      { field: 'policy', column: 'policy', as: 'jsonb', empty: "'{}'" },
      { field: 'customPath', column: 'custom_path', as: 'text' },
      ...(context.capabilities.has('app', 'labels') ? [labelsColumn] : [])
    ],
    // No default in the database (trap 15); the version is appended once it is there.
    created: { versions: "'{}'::bigint[]" },
    updated: hasDraftOnly(context) ? { draft_only: 'null' } : {}
  }
}

/** New versions and their ids by target key; the value goes in as text, which keeps the order of keys (trap 16). */
async function addVersions(
  sql: Sql,
  deploys: readonly Write[],
  context: Context
): Promise<ReadonlyMap<string, string>> {
  const values = deploys.map(({ workspace, path, guard, row, live }) => ({
    workspace,
    path,
    text: withLiveLocks(guard ?? JSON.stringify(row['value']), live)
  }))
  const made = await sql<{ id: string; app: string }[]>`
    insert into app_version (app_id, value, created_by)
    select a.id, j.text::json, ${context.user}
      from jsonb_to_recordset(${JSON.stringify(values)}::text::jsonb) as j(workspace text, path text, text text)
      join app a on a.workspace_id = j.workspace and a.path = j.path
    returning id::text, app_id::text as app`
  const set = hasDraftOnly(context) ? sql`, draft_only = null` : sql``
  const rows = await sql<{ workspace: string; path: string; id: string }[]>`
    update app a set versions = array_append(a.versions, v.id) ${set}
      from jsonb_to_recordset(${JSON.stringify(made)}::text::jsonb) as v(id bigint, app bigint)
     where a.id = v.app
    returning a.workspace_id as workspace, a.path, v.id::text`
  return new Map(rows.map(one => [targetKey(one.workspace, one.path), one.id]))
}

/** A worker locks what is unlocked and makes the reduced form that runs are made from. */
async function pushLocks(
  sql: Sql,
  deploys: readonly Write[],
  versions: ReadonlyMap<string, string>,
  context: Context
): Promise<void> {
  const rules = await readTagRules(sql)
  // Before apps knew bundles, their jobs bore the tag of another language by accident (contract: jobs §4).
  const fallback = context.capabilities.has('app_version', 'raw_app') ? 'dependency' : 'deno'
  const { user, email } = context
  const jobs = deploys.flatMap(({ op, workspace, path }) => {
    const runnable = versions.get(targetKey(workspace, path))
    if (runnable === undefined) return []
    const args: { readonly [name: string]: Json } = op === 'update' ? { parent_path: path } : {}
    return {
      workspace,
      kind: 'appdependencies' as const,
      runnable,
      path,
      language: null,
      tag: tagFor(rules, { workspace, fallback }),
      args,
      createdBy: user,
      permissionedAs: user.includes('@') ? user : `u/${user}`,
      email
    }
  })
  await pushJobs(sql, jobs, context)
}

interface Place {
  readonly workspace: string
  readonly path: string
}

/** Everything of the apps, what Windmill itself leaves behind included; whoever marked one as a favourite keeps that. */
export async function deleteApps(sql: Sql, places: readonly Place[], context: Context): Promise<void> {
  if (places.length === 0) return
  await trash(sql, places, context)
  await deleteDrafts(sql, 'app', places, context)
  const list = sql`jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)`
  const jobs = await sql<{ id: string }[]>`
    select b.id::text from ${list} join v2_job b on b.workspace_id = j.workspace and b.runnable_path = j.path
      join v2_job_queue q on q.id = b.id where b.kind = 'appdependencies' and b.parent_job is null`
  await dropJobs(
    sql,
    jobs.map(one => one.id),
    context
  )
  if (context.capabilities.has('app_bundles', 'app_version_id')) {
    await sql`
      delete from app_bundles d using ${list}, app a, app_version v
       where a.workspace_id = j.workspace and a.path = j.path and v.app_id = a.id and d.app_version_id = v.id`
  }
  await sql`delete from app a using ${list} where a.workspace_id = j.workspace and a.path = j.path`
  await sql`
    delete from deployment_metadata d using ${list}
     where d.workspace_id = j.workspace and d.path = j.path and d.app_version is not null`
  await sql`
    delete from dependency_map d using ${list}
     where d.workspace_id = j.workspace and d.importer_path = j.path and d.importer_kind = 'app'`
}

/** Newer Windmill keeps what is deleted for three days, as jsonb, which has no place for a NUL. */
async function trash(sql: Sql, places: readonly Place[], { capabilities, user }: Context): Promise<void> {
  if (!capabilities.has('trashbin')) return
  await sql`
    insert into trashbin (workspace_id, item_kind, item_path, item_data, deleted_by)
    select a.workspace_id, 'app', a.path, jsonb_build_object(
             'app', to_jsonb(a),
             'versions', coalesce((select jsonb_agg(to_jsonb(v) order by v.id) from app_version v
               where v.app_id = a.id and position('\\u0000' in v.value::text) = 0), '[]'),
             'drafts', coalesce((select jsonb_agg(to_jsonb(d)) from draft d
               where d.workspace_id = a.workspace_id and d.path = a.path and d.typ::text in ('app', 'raw_app')), '[]')), ${user}
      from jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)
      join app a on a.workspace_id = j.workspace and a.path = j.path`
}
