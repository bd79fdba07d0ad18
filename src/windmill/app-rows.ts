/** Apps as the database has them: fields of the live version, marks, and how far its lock job has come. */
import {
  type Context,
  type Details,
  type Fragment,
  type Json,
  type Observed,
  type Sql,
  type Target,
  targetKey
} from '../model.ts'
import { comparableApp } from './app-value.ts'
import { labelsRead } from './labels.ts'
import { lockMessage } from './lock-message.ts'
import { placesJson } from './row-writer.ts'

interface Place {
  readonly workspace: string
  readonly path: string
}

/** Made by Windmill's migrations, which expect it to be there (contract: flows-and-apps B8). */
const isWindmillsOwn = ({ workspace, path }: Place): boolean => workspace === 'admins' && path === 'g/all/setup_app'
const own = "The app g/all/setup_app of workspace admins is Windmill's own."

interface Stored extends Place {
  readonly summary: string
  readonly policy: Json
  readonly customPath: string | null
  readonly labels: readonly string[] | null
  readonly draft: boolean | null
  readonly value: Json
  readonly by: string | null
  readonly at: Date | null
  readonly newest: boolean | null
}

/** The places asked for as `j`, and their apps as `a`. */
const placed = (sql: Sql, targets: readonly Place[]) => sql`
  jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
  join app a on a.workspace_id = j.workspace and a.path = j.path`

/** The last of the versions is the deployed one. */
const last = (sql: Sql) => sql`a.versions[array_upper(a.versions, 1)]`

export async function observeApps(
  sql: Sql,
  targets: readonly Target[],
  { capabilities, user }: Context
): Promise<readonly Observed[]> {
  const rows = await sql<Stored[]>`
    select j.workspace, j.path, a.summary, a.policy, a.custom_path as "customPath", v.value, v.created_by as by,
           v.id >= all (a.versions) as newest, v.created_at as at, ${capabilities.has('app', 'labels') ? sql`array_to_json(a.labels)` : sql`null`} as labels,
           ${capabilities.has('app', 'draft_only') ? sql`a.draft_only` : sql`false`} as draft
      from ${placed(sql, targets)} left join app_version v on v.id = ${last(sql)}`
  return rows.map(row => {
    const { workspace, path, summary, policy, customPath, by, at, newest } = row
    const fields = { summary, policy, customPath, labels: labelsRead(row.labels) }
    const isDeployed = !row.draft && by !== null
    return {
      workspace,
      path,
      row: isDeployed ? { ...fields, ...comparableApp(row.value) } : { ...fields, value: null },
      editedAt: at,
      editedBy: by,
      ...(isWindmillsOwn(row) && { locked: own }),
      // Versions that the worker adds keep the author of the version that they copy (contract: flows-and-apps C1); one
      // that was begun before our last deploy and became live after it has an older id, and the content of before.
      ...(isDeployed && by === user && newest === true && { asDeployed: ['value'] })
    }
  })
}

/**
 * A version is never changed but by the worker that locks it, so its id stands for its content. Whether a lock job of it
 * is on its way is looked up in a hash.
 */
export const appTokens = (sql: Sql, targets: Fragment): Fragment => sql`
  select j.workspace, j.path, concat_ws(':', coalesce(${last(sql)}::text, ''), a.xmin::text,
           coalesce((a.workspace_id::text, ${last(sql)}) in (
             select b.workspace_id::text, b.runnable_id from v2_job_queue q join v2_job b on b.id = q.id
              where b.kind = 'appdependencies' and b.runnable_id is not null), false)) as token
    from ${targets} join app a on a.workspace_id = j.workspace and a.path = j.path`

interface LockRow extends Place {
  readonly version: string | null
  readonly queued: boolean | null
  readonly outcome: string | null
  readonly message: string | null
  readonly locked: boolean
}

/** The newest lock job of the live version, or what it left behind: jobs are deleted after a while. */
export async function appDetails(sql: Sql, targets: readonly Target[]): Promise<ReadonlyMap<string, Details>> {
  const rows = await sql<LockRow[]>`
    select j.workspace, j.path, v.id::text as version, d.queued, d.outcome, d.message, l.id is not null as locked
      from ${placed(sql, targets)}
      left join app_version v on v.id = ${last(sql)}
      left join app_version_lite l on l.id = v.id
      left join lateral (
           select q.id is not null as queued, c.status::text as outcome,
                  coalesce(c.canceled_reason, left(c.result #>> '{error,message}', 5000)) as message
             from v2_job b left join v2_job_queue q on q.id = b.id left join v2_job_completed c on c.id = b.id
            where b.workspace_id = a.workspace_id and b.runnable_path = a.path and b.parent_job is null
              and b.kind = 'appdependencies' and b.runnable_id = v.id
            order by b.created_at desc, b.id desc limit 1) d on true`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), detailsOf(row)]))
}

function detailsOf({ version, queued, outcome, message, locked }: LockRow): Details {
  const hash = version === null ? {} : { hash: version }
  if (queued) return { ...hash, lockState: 'pending' }
  if (outcome === 'failure' || outcome === 'canceled') {
    return { ...hash, lockState: 'failed', ...(message && { lockMessage: lockMessage(message) }) }
  }
  return { ...hash, lockState: outcome !== null || locked ? 'done' : 'none' }
}

/** Which of the apps Windmill or a workspace needs: a plain sentence by target key. */
export async function neededApps(sql: Sql, targets: readonly Place[]): Promise<ReadonlyMap<string, string>> {
  const rows = await sql<Place[]>`
    select j.workspace, j.path from ${placed(sql, targets)}
      join workspace_settings s on s.workspace_id = a.workspace_id and s.default_app = a.path`
  return new Map([
    ...rows.map(
      ({ workspace, path }) =>
        [
          targetKey(workspace, path),
          `Workspace ${workspace} shows it as its default app; choose another one there first.`
        ] as const
    ),
    ...targets.filter(isWindmillsOwn).map(one => [targetKey(one.workspace, one.path), own] as const)
  ])
}
