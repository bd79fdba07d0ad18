/** Workspaces: created with all that belongs to one, their settings merged, never blanked, and never deleted. */
import { SyncError } from '../errors.ts'
import type { Compiled, Context, Fragment, Input, Json, Kind, Observed, Row, Sql, Target, Write } from '../model.ts'
import { auditedEdits } from '../windmill/audit.ts'
import { inviteAccounts } from '../windmill/auto-invite.ts'
import { ensureIdentity } from '../windmill/identity.ts'
import { archiveWorkspaces } from '../windmill/workspace-archive.ts'
import { auditOf } from '../windmill/workspace-audit.ts'
import { compileSettings, ownerOf } from '../windmill/workspace-compile.ts'
import { exportWorkspaces, listWorkspaces } from '../windmill/workspace-export.ts'
import { readFacts, type WorkspaceFacts } from '../windmill/workspace-facts.ts'
import { checkUnarchive, isParent, writeLineage } from '../windmill/workspace-lineage.ts'
import { createWorkspaces, ensureRows, updateWorkspaces, writeEnvironment } from '../windmill/workspace-rows.ts'
import { type Columns, columnsSql, type Patches, settingsRow, writeSettings } from '../windmill/workspace-settings.ts'
import { checkId, ENVIRONMENT, invalid, SETTINGS, type WorkspaceSpec } from '../windmill/workspace-spec.ts'

/** A field that is always wanted to be null: a workspace that lacks rows it cannot work without is written to. */
const MISSING = 'missingRows'

/** How many workspaces besides `admins` the free edition creates (contract: workspaces-and-permissions §1.2). */
const FREE_WORKSPACES = 2

const kind = {
  kind: 'WindmillWorkspace',
  plural: 'windmillworkspaces',
  after: [],
  rules: 1,
  uses: {
    workspace: ['id', 'name', 'owner', 'deleted'],
    workspace_settings: ['workspace_id', 'webhook', 'large_file_storage', 'git_sync', 'operator_settings', 'color'],
    workspace_key: ['workspace_id', 'kind', 'key'],
    workspace_env: ['workspace_id', 'name', 'value'],
    workspace_invite: ['workspace_id', 'email', 'is_admin', 'operator'],
    usr: ['workspace_id', 'username', 'email', 'is_admin', 'operator', 'disabled'],
    usr_to_group: ['workspace_id', 'group_', 'usr'],
    group_: ['workspace_id', 'name', 'summary', 'extra_perms'],
    folder: ['workspace_id', 'name', 'display_name', 'owners', 'extra_perms', 'created_by', 'edited_at'],
    resource: ['workspace_id', 'path', 'value', 'description', 'resource_type', 'created_by', 'edited_at'],
    password: ['email', 'password_hash', 'login_type', 'super_admin', 'verified', 'name', 'username'],
    schedule: ['workspace_id', 'enabled', 'edited_at'],
    v2_job: ['id', 'trigger_kind', 'flow_step_id'],
    v2_job_queue: ['id', 'workspace_id', 'running'],
    job_perms: ['job_id'],
    concurrency_key: ['job_id']
  },
  pathField: 'id',
  inWorkspace: false,
  retained: true,
  target: spec => ({ workspace: spec.id, path: spec.id }),
  check: spec => checkId(spec.id),
  inventory: listWorkspaces,
  exported: exportWorkspaces,
  facts: readFacts,
  compile,
  tokens,
  observe,
  edits: (sql, targets, context) => auditedEdits(sql, targets, { prefix: 'workspace', whole: true }, context),
  write,
  retire: (sql, removals, context) => {
    const ids = removals.map(one => one.path).filter(id => id !== 'admins')
    return archiveWorkspaces(sql, ids, context)
  },
  /** The resource of most entries is the service identity's address, which only the context knows. */
  audit: (change, context: Context) => {
    const row = change.op === 'retire' ? { archived: true } : 'row' in change ? change.row : {}
    return auditOf(row, change.op === 'create' ? undefined : change.live, context.email)
  },
  dropped: field => field.startsWith(ENVIRONMENT)
} satisfies Kind<WorkspaceSpec, WorkspaceFacts>

export default kind

function compile({ spec, listed }: Input<WorkspaceSpec>, facts: WorkspaceFacts, context: Context): Compiled {
  checkId(spec.id)
  const conflict = facts.conflicts.get(spec.id)
  if (conflict) throw new SyncError('IdentityConflict', conflict)
  const archived = listed.annotations['archived'] === 'true'
  if (archived && spec.id === 'admins')
    throw invalid("The workspace admins is Windmill's own and cannot be archived; remove the annotation.")
  const draft = compileSettings(spec, facts, context)
  checkUnarchive(spec.id, archived, facts)
  const row: Row = {
    name: spec.name,
    ...(spec.owner && { owner: ownerOf(spec.owner, facts) }),
    archived,
    [MISSING]: null,
    ...draft.row,
    ...environmentOf(spec)
  }
  return {
    row,
    notes: [...generalNotes(spec.id, facts), ...draft.notes],
    ...(draft.unsettled && { unsettled: true })
  }
}

function environmentOf({ environment }: WorkspaceSpec): Row {
  const row: Record<string, Json> = {}
  for (const [name, value] of Object.entries(environment ?? {})) {
    if (name.length > 255 || (value?.length ?? 0) > 1000) {
      throw invalid('spec.environment: names have at most 255 characters, values at most 1000; shorten them.')
    }
    row[ENVIRONMENT + name] = value
  }
  return row
}

function generalNotes(id: string, facts: WorkspaceFacts): readonly string[] {
  const notes: string[] = []
  if (id === 'admins') notes.push("admins is Windmill's own workspace; only what is stated here is changed in it.")
  if (facts.keyless.has(id)) {
    notes.push(
      'The workspace has secrets but no row in workspace_key, so nobody can read them; restore the key from a backup.'
    )
  }
  const live = new Set([...facts.workspaces.values()].filter(one => !one.deleted).map(one => one.id))
  for (const [declared, { archived }] of facts.declared) {
    if (archived) live.delete(declared)
    else live.add(declared)
  }
  live.delete('admins')
  if (live.size > FREE_WORKSPACES && !facts.licensed) {
    notes.push(
      `Without an enterprise licence Windmill allows ${FREE_WORKSPACES} workspaces besides admins; this instance has more.`
    )
  }
  return notes
}

const idsOf = (targets: readonly Target[]): string => JSON.stringify(targets.map(target => target.path))

/** All rows whose values are modelled, and those whose absence is (`missingRows`). */
function tokens(sql: Sql, targets: Fragment): Fragment {
  return sql`
  select j.workspace, j.path, concat_ws('.', w.xmin, coalesce(s.xmin::text, '-'), coalesce(k.xmin::text, '-'), coalesce(g.xmin::text, '-'),
           (select md5(string_agg(e.name || ':' || e.xmin::text, ',' order by e.name))
              from workspace_env e where e.workspace_id = w.id)) as token
    from ${targets}
    join workspace w on w.id = j.path
    left join workspace_settings s on s.workspace_id = w.id
    left join workspace_key k on k.workspace_id = w.id and k.kind = 'cloud'
    left join group_ g on g.workspace_id = w.id and g.name = 'all'`
}

interface Found {
  readonly id: string
  readonly name: string
  readonly owner: string
  readonly deleted: boolean
  readonly parent: string | null
  readonly columns: Columns
  readonly environment: Readonly<Record<string, string>> | null
  readonly missing: string | null
}

async function observe(sql: Sql, targets: readonly Target[], context: Context): Promise<readonly Observed[]> {
  const { capabilities } = context
  const parent = isParent(capabilities) ? sql`w.parent_workspace_id` : sql`null::text`
  const rows = await sql<Found[]>`
    select w.id, w.name, w.owner, w.deleted, ${parent} as parent, ${sql.unsafe(columnsSql(capabilities))} as columns,
           (select jsonb_object_agg(e.name, e.value) from workspace_env e where e.workspace_id = w.id) as environment,
           nullif(concat_ws(', ', case when s.workspace_id is null then 'workspace_settings' end,
             case when not exists (select from group_ g where g.workspace_id = w.id and g.name = 'all') then 'group all' end,
             case when not exists (select from workspace_key k where k.workspace_id = w.id)
                   and not exists (select from variable v where v.workspace_id = w.id and v.is_secret)
                  then 'workspace_key' end), '') as missing
      from jsonb_array_elements_text(${idsOf(targets)}::text::jsonb) j(id)
      join workspace w on w.id = j.id
      left join workspace_settings s on s.workspace_id = w.id`
  const asked = new Map(targets.map(target => [target.path, new Set(target.fields)]))
  return rows.map(found => ({
    workspace: found.id,
    path: found.id,
    row: rowOf(found, context, asked.get(found.id) ?? new Set())
  }))
}

function rowOf(found: Found, { capabilities }: Context, asked: ReadonlySet<string>): Row {
  const row: Record<string, Json> = {
    name: found.name,
    owner: found.owner,
    archived: found.deleted,
    [MISSING]: found.missing,
    ...settingsRow(found.columns, capabilities, asked)
  }
  if (isParent(capabilities)) row[`${SETTINGS}deployTo`] = found.parent
  for (const [name, value] of Object.entries(found.environment ?? {})) row[ENVIRONMENT + name] = value
  return row
}

async function write(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  const creates = writes.filter(one => one.op === 'create')
  const updates = writes.filter(one => one.op === 'update')
  await createWorkspaces(sql, creates, context)
  await ensureRows(sql, updates)
  await ensureIdentity(
    sql,
    updates.map(one => one.path),
    context
  )
  await updateWorkspaces(sql, updates)
  await writeLineage(sql, writes, context)
  const changes = await writeSettings(sql, writes, context)
  await ensureHandlerGroups(sql, writes, context)
  await inviteAccounts(sql, changedIn(changes, /^auto_(invite|add)/), context)
  await muteAlerts(sql, changes, context)
  await writeEnvironment(sql, writes, ENVIRONMENT)
  await archiveWorkspaces(
    sql,
    updates.filter(one => one.row['archived'] === true).map(one => one.path),
    context
  )
}

const changedIn = (changes: ReadonlyMap<string, Patches>, column: RegExp): readonly string[] =>
  [...changes].flatMap(([id, patches]) => (Object.keys(patches).some(name => column.test(name)) ? [id] : []))

/** Handlers run as these groups (contract: workspaces-and-permissions §2.4). */
async function ensureHandlerGroups(sql: Sql, writes: readonly Write[], { user }: Context): Promise<void> {
  const groups = (['error', 'success'] as const).flatMap(which =>
    writes.flatMap(({ path, row }) =>
      row[which === 'error' ? 'settings.errorHandler' : 'settings.successHandler.path']
        ? [{ id: path, name: `${which}_handler`, summary: `The group the ${which} handler acts on behalf of` }]
        : []
    )
  )
  if (groups.length === 0) return
  await sql`
    insert into group_ (workspace_id, name, summary, extra_perms)
    select id, name, summary, jsonb_build_object(${`u/${user}`}::text, true)
      from jsonb_to_recordset(${JSON.stringify(groups)}::text::jsonb) as j(id text, name text, summary text)
    on conflict (workspace_id, name) do nothing`
}

/** Muting acknowledges what is there, as the API does (contract: workspaces-and-permissions §2.1). */
async function muteAlerts(sql: Sql, changes: ReadonlyMap<string, Patches>, { capabilities }: Context): Promise<void> {
  const muted = [...changes].flatMap(([id, { mute_critical_alerts: patch }]) =>
    patch && 'all' in patch && patch.all === true ? [id] : []
  )
  const columns = ['acknowledged', 'acknowledged_workspace'].filter(column => capabilities.has('alerts', column))
  if (muted.length === 0 || columns.length === 0 || !capabilities.has('alerts', 'workspace_id')) return
  const [right] = await sql<{ may: boolean }[]>`select has_table_privilege('alerts', 'update') as may`
  if (!right?.may) return
  await sql`
    update alerts set ${sql.unsafe(columns.map(column => `${column} = true`).join(', '))}
     where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(muted)}::text::jsonb))`
}
