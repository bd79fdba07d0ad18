/** What a schedule's manifest is checked against: targets, handlers, users, tags, and the row as it is. */
import { type Context, type Input, type Observed, type Sql, targetKey } from '../model.ts'
import { loadNextAfter, type NextAfter } from './cron.ts'
import { type CustomTags, readCustomTags } from './custom-tags.ts'
import { isEnterprise } from './edition.ts'
import { placesJson } from './row-writer.ts'
import { findRunAs, type RunAsFound } from './run-as.ts'
import type { ScheduleTarget } from './schedule-jobs.ts'
import { bareTarget, handlers, type ScheduleSpec } from './schedule-spec.ts'
import { readSchedules } from './schedule-store.ts'
import { findTargets, runnableKey } from './schedule-targets.ts'

/** The row as it is. */
export interface Live {
  readonly workspace: string
  readonly path: string
  /** The workspace is archived. */
  readonly archived: boolean
  readonly exists: boolean
  readonly enabled: boolean | null
  readonly error: string | null
  readonly editedAt: Date | null
  /** `u/<user>` or an e-mail address. */
  readonly runsAs: string | null
  readonly email: string | null
  /** A worker pushed an occurrence since the row was edited last. */
  readonly worked: boolean
}

/** What there is at a path: of a script and a flow each `there`, `archived` or nothing. */
export interface Place {
  readonly script: 'there' | 'archived' | null
  readonly flow: 'there' | 'archived' | null
}

export interface ScheduleFacts {
  readonly targets: ReadonlyMap<string, ScheduleTarget>
  /** By workspace and path. */
  readonly places: ReadonlyMap<string, Place>
  readonly live: ReadonlyMap<string, Live>
  /** Rows of schedules that Windmill disabled by itself. */
  readonly stopped: ReadonlyMap<string, Observed>
  readonly users: RunAsFound
  readonly tags: CustomTags
  readonly enterprise: boolean
  readonly nextAfter: NextAfter
}

export async function readFacts(
  sql: Sql,
  inputs: readonly Input<ScheduleSpec>[],
  context: Context
): Promise<ScheduleFacts> {
  const runnables = inputs.map(({ spec, workspace }) => ({
    workspace,
    path: bareTarget(spec),
    isFlow: spec.isFlow ?? false
  }))
  const live = await readLive(sql, inputs, context)
  const stopped = live.filter(one => one.error !== null && one.enabled === false)
  const named = [
    ...inputs.flatMap(({ spec, workspace }) => (spec.runAs ? [{ workspace, who: spec.runAs }] : [])),
    ...live.flatMap(({ workspace, runsAs }) => (runsAs ? [{ workspace, who: runsAs }] : []))
  ]
  return {
    targets: await findTargets(sql, runnables, context),
    places: await readPlaces(sql, inputs),
    live: new Map(live.map(one => [targetKey(one.workspace, one.path), one])),
    stopped: new Map(
      (await readSchedules(sql, stopped, context)).map(one => [targetKey(one.workspace, one.path), one])
    ),
    users: await findRunAs(sql, named, context),
    tags: await readCustomTags(sql),
    enterprise: await isEnterprise(sql),
    nextAfter: await loadNextAfter()
  }
}

export const targetOf = (
  { spec, workspace }: Input<ScheduleSpec>,
  { targets }: ScheduleFacts
): ScheduleTarget | undefined =>
  targets.get(runnableKey({ workspace, path: bareTarget(spec), isFlow: spec.isFlow ?? false }))

export const placeAt = (workspace: string, path: string, { places }: ScheduleFacts): Place =>
  places.get(targetKey(workspace, path)) ?? { script: null, flow: null }

/**
 * Jobs made after the row was edited are a worker's: ours has the very time of the edit. So a schedule that was stopped
 * without one did not live through a single occurrence since it was enabled.
 */
async function readLive(sql: Sql, inputs: readonly Input[], { capabilities }: Context): Promise<readonly Live[]> {
  const runsAs = capabilities.has('schedule', 'permissioned_as')
    ? sql`s.permissioned_as`
    : sql`case when s.edited_by like '%@%' then s.edited_by else 'u/' || s.edited_by end`
  return sql<Live[]>`
    select j.workspace, j.path, coalesce(w.deleted, false) as archived, s.path is not null as exists, s.enabled, s.error,
           s.edited_at as "editedAt", ${runsAs} as "runsAs", s.email,
           s.error is not null and not s.enabled and exists (
             select from v2_job v
              where v.workspace_id = s.workspace_id and v.runnable_path = s.script_path and v.parent_job is null
                and v.trigger_kind = 'schedule' and v.trigger = s.path and v.created_at > s.edited_at) as worked
      from jsonb_to_recordset(${placesJson(inputs)}::text::jsonb) as j(workspace text, path text)
      left join workspace w on w.id = j.workspace
      left join schedule s on s.workspace_id = j.workspace and s.path = j.path`
}

/** All paths that manifests name, in one query: targets, handlers, scripts that decide, and the schedules' own. */
async function readPlaces(sql: Sql, inputs: readonly Input<ScheduleSpec>[]): Promise<ReadonlyMap<string, Place>> {
  const named = inputs.flatMap(({ spec, workspace, path }) =>
    [path, bareTarget(spec), spec.dynamicSkip, ...handlers.map(one => spec[one]?.replace(/^(script|flow)\//, ''))]
      .filter(one => one !== undefined && one !== '')
      .map(one => ({ workspace, path: one as string }))
  )
  const rows = await sql<(Place & { workspace: string; path: string })[]>`
    with wanted as materialized (
      select distinct j.workspace, j.path
        from jsonb_to_recordset(${placesJson(named)}::text::jsonb) as j(workspace text, path text))
    select w.workspace, w.path,
           (select case when bool_or(not s.archived) then 'there' when count(*) > 0 then 'archived' end from script s
             where s.workspace_id = w.workspace and s.path = w.path and not s.deleted) as script,
           (select case when f.archived then 'archived' else 'there' end from flow f
             where f.workspace_id = w.workspace and f.path = w.path) as flow
      from wanted w`
  return new Map(rows.map(({ workspace, path, script, flow }) => [targetKey(workspace, path), { script, flow }]))
}
