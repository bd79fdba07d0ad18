/** Deploys flows, a whole batch at a time, in the order of Windmill's own API: contract, flows-and-apps A2. */
import { type Context, type Json, type Row, type Sql, targetKey, type Write } from '../model.ts'
import { deleteDrafts } from './drafts.ts'
import { lockedModule, sourcesOf } from './flow-normal.ts'
import { rebuilt } from './flow-rebuild.ts'
import { liveVersion } from './flow-rows.ts'
import { type FlowTexts, identityOf, LOCK } from './flow-spec.ts'
import { readTagRules, tagFor } from './job-tags.ts'
import { cancelJobs, pushJobs } from './jobs.ts'
import { placesJson } from './row-writer.ts'
import { rearmSchedulesOf } from './schedule-arming.ts'

/** Every deploy makes a version, whatever it changes: servers keep versions by id and never look again (A5). */
export async function deployFlows(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  const replaced = await lockFlows(sql, writes)
  await insertFlows(sql, writes, context)
  await updateFlows(sql, writes, context)
  const deployed = await addVersions(sql, writes, context)
  await rearmSchedulesOf(
    sql,
    writes.map(({ workspace, path }) => ({ workspace, path, isFlow: true })),
    context
  )
  await deleteDrafts(sql, 'flow', writes, context)
  await pushLocks(sql, writes, deployed, context)
  await cancelJobs(sql, replaced, 're-deployment', context)
}

/** Holds the rows against workers and gives the dependency jobs that the new ones replace: a late one would undo the deploy. */
async function lockFlows(sql: Sql, writes: readonly Write[]): Promise<readonly string[]> {
  const rows = await sql<{ job: string | null }[]>`
    select f.dependency_job::text as job from flow f
      join jsonb_to_recordset(${placesJson(writes)}::text::jsonb) as j(workspace text, path text)
        on f.workspace_id = j.workspace and f.path = j.path
     order by f.workspace_id, f.path for update of f`
  return rows.flatMap(({ job }) => (job === null ? [] : [job]))
}

function parameterOf(write: Write, { user }: Context) {
  const { workspace, path, row } = write
  const { value, schema } = textsOf(write)
  const identity = typeof row['onBehalfOf'] === 'string' ? identityOf(row['onBehalfOf']) : undefined
  const { value: _value, schema: _schema, ...stated } = row
  return {
    workspace,
    path,
    stated,
    value: withLocks(value, write),
    schema: schema ?? null,
    principal: identity?.principal ?? null,
    email: identity?.email ?? null,
    editor: identity?.principal.replace(/^u\//, '') ?? user
  }
}

function textsOf({ guard, row }: Write): FlowTexts {
  return guard === undefined ? { value: row['value'] ?? null } : (JSON.parse(guard) as FlowTexts)
}

/**
 * As the editor does, the lock of an inline script that did not change is kept: a deploy is no reason for other
 * versions of its packages. A lock that the manifest gave and gives no more is made anew.
 */
function withLocks(value: Json, { row, live = {} }: Write): Json {
  const before = sourcesOf(live['value'] ?? null)
  const now = sourcesOf(row['value'] ?? null)
  const kept = [...now].flatMap(([id, source]): [string, string][] => {
    const lock = live[`${LOCK}${id}`]
    const isFree = row[`${LOCK}${id}`] === undefined && before.get(id) === source
    return isFree && typeof lock === 'string' ? [[id, lock]] : []
  })
  if (kept.length === 0) return value
  const locks = Object.fromEntries(kept)
  return rebuilt(value, '', {
    keeps: () => true,
    alters: (object, shape) => (shape === 'module' ? lockedModule(object, locks) : object)
  })
}

const recordset =
  'jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, stated jsonb, value jsonb, schema text, principal text, email text, editor text)'

interface Column {
  readonly column: string
  /** What a create stores; `updated` (default: the same) what an update stores. */
  readonly created: string
  readonly updated?: string
}

/** A field that the spec does not state keeps what the column has. */
const kept = (column: string, field: string, stated: string, created = stated): Column => ({
  column,
  created,
  updated: `case when j.stated ? '${field}' then ${stated} else f.${column} end`
})
const text = (field: string): string => `j.stated->>'${field}'`
const flag = (field: string): string => `coalesce((${text(field)})::boolean, false)`
const liveSchema = `(select v.schema from flow_version v where v.id = ${liveVersion})`

function columnsFor({ capabilities }: Context): readonly Column[] {
  const columns: readonly Column[] = [
    kept('summary', 'summary', `coalesce(${text('summary')}, '')`),
    kept('description', 'description', `coalesce(${text('description')}, '')`),
    { column: 'value', created: 'j.value' },
    { column: 'schema', created: 'j.schema::json', updated: `coalesce(j.schema::json, ${liveSchema}, f.schema)` },
    // The author is the identity that runs on behalf of somebody have (A5).
    { column: 'edited_by', created: 'j.editor' },
    { column: 'edited_at', created: 'now()' },
    kept('archived', 'archived', flag('archived')),
    kept('tag', 'tag', text('tag')),
    kept('ws_error_handler_muted', 'wsErrorHandlerMuted', flag('wsErrorHandlerMuted')),
    // No workers of its own is NULL, as where nobody ever said anything.
    kept('dedicated_worker', 'dedicatedWorker', `nullif(${flag('dedicatedWorker')}, false)`),
    kept('timeout', 'timeout', `(${text('timeout')})::int`),
    kept('visible_to_runner_only', 'visibleToRunnerOnly', flag('visibleToRunnerOnly')),
    kept('on_behalf_of_email', 'onBehalfOf', 'j.email'),
    kept('on_behalf_of', 'onBehalfOf', 'j.principal'),
    kept(
      'labels',
      'labels',
      `(select array_agg(l.item order by l.at) from jsonb_array_elements_text(
          case when jsonb_typeof(j.stated->'labels') = 'array' then j.stated->'labels' else '[]' end)
          with ordinality as l(item, at))`
    ),
    { column: 'dependency_job', created: 'null' },
    // A deploy is under way until the dependency job says otherwise.
    { column: 'lock_error_logs', created: `''` },
    { column: 'draft_only', created: 'null' }
  ]
  return columns.filter(one => capabilities.has('flow', one.column))
}

/** `versions` stays empty: only a later update of it tells the servers (trap 2). */
async function insertFlows(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  const rows = writes.filter(one => one.op === 'create').map(one => parameterOf(one, context))
  if (rows.length === 0) return
  const columns = columnsFor(context)
  await sql.unsafe(
    `insert into flow (workspace_id, path, ${columns.map(one => `"${one.column}"`).join(', ')})
     select j.workspace, j.path, ${columns.map(one => one.created).join(', ')} from ${recordset}`,
    [JSON.stringify(rows)]
  )
}

async function updateFlows(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  const rows = writes.filter(one => one.op === 'update').map(one => parameterOf(one, context))
  if (rows.length === 0) return
  const sets = columnsFor(context).map(({ column, created, updated = created }) => `"${column}" = ${updated}`)
  await sql.unsafe(
    `update flow f set ${sets.join(', ')} from ${recordset}
      where f.workspace_id = j.workspace and f.path = j.path`,
    [JSON.stringify(rows)]
  )
}

interface Deployed {
  readonly workspace: string
  readonly path: string
  readonly version: string
  readonly tag: string | null
  readonly dedicated: boolean
}

/** The same value and schema as in the flow's row, then the version's id as the last of `versions`, which makes it live. */
async function addVersions(
  sql: Sql,
  writes: readonly Write[],
  { user }: Context
): Promise<ReadonlyMap<string, Deployed>> {
  const versions = await sql<{ workspace: string; path: string; version: string }[]>`
    insert into flow_version (workspace_id, path, value, schema, created_by)
    select f.workspace_id, f.path, f.value, f.schema, ${user}
      from jsonb_to_recordset(${placesJson(writes)}::text::jsonb) as j(workspace text, path text)
      join flow f on f.workspace_id = j.workspace and f.path = j.path
    returning workspace_id::text as workspace, path::text, id::text as version`
  const rows = await sql<Deployed[]>`
    update flow f set versions = array_append(f.versions, j.version)
      from jsonb_to_recordset(${JSON.stringify(versions)}::text::jsonb) as j(workspace text, path text, version bigint)
     where f.workspace_id = j.workspace and f.path = j.path
    returning f.workspace_id::text as workspace, f.path::text, j.version::text, f.tag::text,
              coalesce(f.dedicated_worker, false) as dedicated`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), row]))
}

/** The dependency jobs, noted where the next deploy and the page of the deployment look for them. */
async function pushLocks(
  sql: Sql,
  writes: readonly Write[],
  deployed: ReadonlyMap<string, Deployed>,
  context: Context
): Promise<void> {
  const { user, email, capabilities } = context
  const rules = await readTagRules(sql)
  const flows = writes.flatMap(({ op, workspace, path }) => {
    const flow = deployed.get(targetKey(workspace, path))
    return flow ? [{ ...flow, op }] : []
  })
  const jobs = flows.map(({ op, workspace, path, version, ...flow }) => ({
    workspace,
    kind: 'flowdependencies' as const,
    runnable: version,
    path,
    language: null,
    tag: tagFor(rules, {
      workspace,
      explicit: tagOf({ op, workspace, path, ...flow }, context),
      fallback: 'dependency'
    }),
    args: (op === 'update' ? { parent_path: path } : {}) as Record<string, Json>,
    createdBy: user,
    permissionedAs: user.includes('@') ? user : `u/${user}`,
    email
  }))
  const ids = await pushJobs(sql, jobs, context)
  const pushed = JSON.stringify(
    flows.map(({ workspace, path, version }, at) => ({ workspace, path, version, job: ids[at] }))
  )
  await sql`
    update flow f set dependency_job = j.job
      from jsonb_to_recordset(${pushed}::text::jsonb) as j(workspace text, path text, job uuid)
     where f.workspace_id = j.workspace and f.path = j.path`
  if (!capabilities.has('deployment_metadata', 'job_id')) return
  await sql`
    insert into deployment_metadata (workspace_id, path, flow_version, job_id)
    select j.workspace, j.path, j.version, j.job
      from jsonb_to_recordset(${pushed}::text::jsonb) as j(workspace text, path text, version bigint, job uuid)
    on conflict (workspace_id, path, flow_version) where flow_version is not null do update set job_id = excluded.job_id`
}

/** A dedicated flow's job is for its own worker; the oldest release gave a new flow's tag to its job (contract: A4). */
function tagOf(
  {
    op,
    workspace,
    path,
    tag,
    dedicated
  }: Pick<Deployed, 'workspace' | 'path' | 'tag' | 'dedicated'> & Pick<Write, 'op'>,
  { capabilities }: Context
): string | null {
  if (dedicated) return `${workspace}:flow/${path}`
  return op === 'create' && !capabilities.has('flow', 'lock_error_logs') ? tag : null
}

/** What a deploy says in the audit log, as the API: an update counts as a create there (trap 14). */
export function deployAudit({ op, path, row }: { op: 'create' | 'update'; path: string; row: Row }, context: Context) {
  const { capabilities, user } = context
  const deploy = { operation: `flows.${op}`, action: 'create' as const, resource: path, parameters: { flow: path } }
  if (typeof row['onBehalfOf'] !== 'string' || !capabilities.has('flow', 'on_behalf_of')) return [deploy]
  const { principal } = identityOf(row['onBehalfOf'])
  if (principal === `u/${user}`) return [deploy]
  const parameters = { on_behalf_of: principal, action: op }
  return [deploy, { operation: 'flows.on_behalf_of', action: op, resource: path, parameters }]
}
