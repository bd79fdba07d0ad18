/** Flows as they stand in the database: rows, tokens, and how far their lock jobs are. */
import {
  type Context,
  type Details,
  type Fragment,
  type Json,
  type Observed,
  type Row,
  type Sql,
  type Target,
  targetKey
} from '../model.ts'
import { type Comparable, comparableFlow, flowOf } from './flow-normal.ts'
import { identityOf, identityText, LOCK } from './flow-spec.ts'
import { labelsRead } from './labels.ts'
import { lockMessage } from './lock-message.ts'
import { placesJson } from './row-writer.ts'
import { schemaRow } from './schema-text.ts'

interface Stored {
  readonly workspace: string
  readonly path: string
  readonly summary: string
  readonly description: string
  readonly value: Json
  readonly schema: string | null
  readonly tag: string | null
  readonly timeout: number | null
  readonly wsErrorHandlerMuted: boolean
  readonly dedicatedWorker: boolean
  readonly visibleToRunnerOnly: boolean
  readonly archived: boolean
  readonly draftOnly: boolean
  readonly email: string | null
  readonly principal: string
  readonly labels: readonly string[] | null
  readonly author: string | null
  readonly newest: boolean | null
  readonly editedAt: Date | null
}

/** The last of `versions` is the deployed one (contract: flows-and-apps A1); a flow without one is broken and has no value. */
export const liveVersion = 'f.versions[array_upper(f.versions, 1)]'

export async function observeFlows(
  sql: Sql,
  targets: readonly Target[],
  context: Context
): Promise<readonly Observed[]> {
  const has = (column: string): boolean => context.capabilities.has('flow', column)
  const edited = sql`'u/' || f.edited_by`
  const rows = await sql<Stored[]>`
    select j.workspace, j.path, f.summary, f.description, v.value, v.schema::text as schema,
           nullif(f.tag, '') as tag, nullif(f.timeout, 0) as timeout, f.archived, f.ws_error_handler_muted as "wsErrorHandlerMuted",
           coalesce(f.dedicated_worker, false) as "dedicatedWorker",
           coalesce(f.visible_to_runner_only, false) as "visibleToRunnerOnly",
           ${has('draft_only') ? sql`coalesce(f.draft_only, false)` : sql`false`} as "draftOnly",
           f.on_behalf_of_email as email,
           ${has('on_behalf_of') ? sql`coalesce(f.on_behalf_of, ${edited})` : edited} as principal,
           ${has('labels') ? sql`f.labels` : sql`null::text[]`} as labels,
           v.created_by as author, v.id >= all (f.versions) as newest, v.created_at as "editedAt"
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join flow f on f.workspace_id = j.workspace and f.path = j.path
      left join flow_version v on v.id = ${sql.unsafe(liveVersion)} and v.workspace_id = f.workspace_id and v.path = f.path`
  return rows.map(row => ({
    workspace: row.workspace,
    path: row.path,
    row: rowOf(row, context),
    editedAt: row.editedAt,
    editedBy: row.author,
    // A worker that makes locks anew keeps the author of the version it copies (contract: A4); a person's edit has another.
    // A copy that was begun before our last deploy and became live after it has an older id, and the content of before.
    asDeployed: row.author === context.user && row.newest === true ? ['value', 'unknownKeys'] : []
  }))
}

function rowOf(stored: Stored, { capabilities }: Context): Row {
  const { value, unknown, locks } = comparableFlow(stored.value)
  const { summary, description, tag, timeout, archived, draftOnly, email, principal, labels } = stored
  const { wsErrorHandlerMuted, dedicatedWorker, visibleToRunnerOnly } = stored
  return {
    value,
    unknownKeys: Object.keys(unknown).length > 0 ? unknown : null,
    ...Object.fromEntries(Object.entries(locks).map(([id, lock]) => [`${LOCK}${id}`, lock])),
    ...schemaRow(stored.schema),
    summary,
    description,
    tag,
    timeout,
    wsErrorHandlerMuted,
    dedicatedWorker,
    visibleToRunnerOnly,
    onBehalfOf: email === null ? null : identityText(principal, email),
    archived,
    ...(capabilities.has('flow', 'draft_only') && { draftOnly }),
    ...(capabilities.has('flow', 'labels') && { labels: labelsRead(labels) })
  }
}

/** Changes with the flow's row, with the version that is live, with a worker's rewriting of it, and when its lock job ends. */
export const flowTokens = (sql: Sql, targets: Fragment): Fragment => sql`
  select j.workspace, j.path, concat_ws('.', v.id, f.xmin::text, v.xmin::text, q.id is not null) as token
    from ${targets}
    join flow f on f.workspace_id = j.workspace and f.path = j.path
    left join flow_version v on v.id = ${sql.unsafe(liveVersion)}
    left join v2_job_queue q on q.id = f.dependency_job`

interface Locked {
  readonly workspace: string
  readonly path: string
  readonly version: string | null
  readonly logs: string | null
  readonly job: string | null
  readonly queued: boolean
  readonly status: string | null
  readonly result: string | null
}

/** How far the dependency job is that the last deploy pushed: contract, flows-and-apps A1 and A4. */
export async function flowDetails(
  sql: Sql,
  targets: readonly Target[],
  { capabilities }: Context
): Promise<ReadonlyMap<string, Details>> {
  const rows = await sql<Locked[]>`
    select j.workspace, j.path, ${sql.unsafe(liveVersion)}::text as version, f.dependency_job::text as job,
           ${capabilities.has('flow', 'lock_error_logs') ? sql`f.lock_error_logs` : sql`null::text`} as logs,
           exists (select from v2_job_queue q where q.id = f.dependency_job) as queued,
           c.status::text as status, left(coalesce(c.result->'error'->>'message', c.result->>'error'), 2000) as result
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join flow f on f.workspace_id = j.workspace and f.path = j.path
      left join v2_job_completed c on c.id = f.dependency_job`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), detailsOf(row)]))
}

function detailsOf(row: Locked): Details {
  return { ...(row.version !== null && { hash: row.version }), ...lockOf(row) }
}

/** Logs are '' while the job is to come, then NULL or the error; the oldest release has no logs, only the job. */
function lockOf({ logs, job, queued, status, result }: Locked): Details {
  if (logs) return { lockState: 'failed', lockMessage: lockMessage(logs) }
  if (queued) return { lockState: 'pending' }
  if (status === 'failure' || status === 'canceled') {
    const message = status === 'canceled' ? 'The lock job was canceled.' : lockMessage(result ?? 'The lock job failed.')
    return { lockState: 'failed', lockMessage: message }
  }
  if (logs === '' && job !== null)
    return { lockState: 'failed', lockMessage: 'The lock job is gone; deploy the flow again.' }
  return { lockState: job === null ? 'none' : 'done' }
}

/** The fields of a manifest that would make this row. */
export function statedFlow(row: Row): Row {
  const { value = null, unknownKeys, schemaText: _, onBehalfOf, archived: __, draftOnly: ___, ...rest } = row
  const [locks, fields] = [true, false].map(isLock =>
    Object.fromEntries(Object.entries(rest).filter(([field]) => field.startsWith(LOCK) === isLock))
  )
  const byId = Object.entries(locks ?? {}).map(([field, lock]) => [field.slice(LOCK.length), lock as string])
  const unknown = (unknownKeys ?? {}) as Comparable['unknown']
  return {
    ...fields,
    value: flowOf({ value, unknown, locks: Object.fromEntries(byId) as Comparable['locks'] }),
    ...(typeof onBehalfOf === 'string' && { onBehalfOf: identityOf(onBehalfOf).principal })
  }
}
