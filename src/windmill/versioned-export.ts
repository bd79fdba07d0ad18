/** Scripts, flows, apps and schedules as manifests: which of them are deployed, and what no manifest can hold. */
import {
  type Context,
  type Exported,
  type Exporting,
  type Json,
  type Place,
  type Row,
  type Sql,
  targetKey
} from '../model.ts'
import { isObject } from './json-values.ts'
import { placesJson } from './row-writer.ts'

/** Paths with a deployed version; what was only drafted is nobody's yet. */
export async function listDeployed(
  sql: Sql,
  table: 'script' | 'flow' | 'app',
  workspaces: readonly string[],
  { capabilities }: Context
): Promise<readonly Place[]> {
  const drafted = capabilities.has(table, 'draft_only') ? sql`coalesce(t.draft_only, false)` : sql`false`
  const gone = { script: sql`t.archived or t.deleted`, flow: sql`t.archived`, app: sql`false` }[table]
  return sql<Place[]>`
    select distinct t.workspace_id as workspace, t.path collate "C" as path,
           t.workspace_id = 'admins' and t.path in ('u/admin/hub_sync', 'g/all/setup_app') as own
      from ${sql(table)} t
     where t.workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
       and not ${drafted} and not (${gone})
     order by 1, 2`
}

export const listSchedules = (sql: Sql, workspaces: readonly string[]): PromiseLike<readonly Place[]> => sql<Place[]>`
  select workspace_id as workspace, path, workspace_id = 'admins' and path = 'u/admin/hub_sync' as own
    from schedule
   where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
   order by workspace_id, path collate "C"`

type Places = readonly Pick<Exporting, 'workspace' | 'path'>[]

async function keysOf(rows: PromiseLike<Places>): Promise<ReadonlySet<string>> {
  return new Set((await rows).map(({ workspace, path }) => targetKey(workspace, path)))
}

/** Scripts whose code is a bundle in object storage: what the row holds is only a part (contract: scripts §1). */
const bundled = (sql: Sql, rows: Places): PromiseLike<Places> => sql<Pick<Place, 'workspace' | 'path'>[]>`
    select j.workspace, j.path
      from jsonb_to_recordset(${placesJson(rows)}::text::jsonb) as j(workspace text, path text)
     cross join lateral (select codebase from script s
                          where s.workspace_id = j.workspace and s.path = j.path and not s.archived and not s.deleted
                          order by s.created_at desc limit 1) s
     where s.codebase is not null`

/** `stated`: the fields of the spec, as for a manifest of a deleted script. */
export async function exportScripts(
  sql: Sql,
  rows: readonly Exporting[],
  stated: (row: Row) => Row
): Promise<readonly Exported[]> {
  const live = rows.filter(one => one.live)
  const codebases = await keysOf(bundled(sql, live))
  return rows.map((one): Exported => {
    if (!one.live) return { stated: one.row }
    if (codebases.has(targetKey(one.workspace, one.path))) {
      return { leave: 'The code is a bundle of a codebase, which the wmill CLI alone deploys.', loss: true }
    }
    // One without a form gets that which its code says.
    const loose = one.row['schema'] === null ? ['schema'] : []
    return { stated: stated(one.row), loose }
  })
}

/** Raw apps run from a bundle that Windmill does not build (contract: flows-and-apps B7). */
const raw = (sql: Sql, rows: Places): PromiseLike<Places> => sql<Pick<Place, 'workspace' | 'path'>[]>`
    select j.workspace, j.path
      from jsonb_to_recordset(${placesJson(rows)}::text::jsonb) as j(workspace text, path text)
      join app a on a.workspace_id = j.workspace and a.path = j.path
      join app_version v on v.id = a.versions[array_upper(a.versions, 1)]
     where v.raw_app`

export async function exportApps(sql: Sql, rows: readonly Exporting[], context: Context): Promise<readonly Exported[]> {
  const { capabilities } = context
  const live = rows.filter(one => one.live)
  const raws = capabilities.has('app_version', 'raw_app') ? await keysOf(raw(sql, live)) : new Set()
  return rows.map((one): Exported => {
    if (raws.has(targetKey(one.workspace, one.path))) {
      return { leave: 'This is a raw app, whose bundle the wmill CLI alone deploys.', loss: true }
    }
    return {
      stated: { ...withoutLocks(one.row), policy: statedPolicy(one.row['policy'], context) },
      computed: ['policy']
    }
  })
}

/** An app that runs as the service user does so without a word. */
function statedPolicy(policy: Json | undefined, { user, email }: Context): Json {
  if (!isObject(policy)) return policy ?? null
  const { on_behalf_of, on_behalf_of_email, ...rest } = policy
  return on_behalf_of === `u/${user}` && on_behalf_of_email === email ? rest : policy
}

/** A worker makes them anew. */
export const withoutLocks = (row: Row): Row =>
  Object.fromEntries(Object.entries(row).filter(([field]) => !field.startsWith('lock.')))
