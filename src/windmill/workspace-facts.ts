/** What compiling workspaces needs to know about the database: one look for a whole batch. */
import type { Context, Input, Sql } from '../model.ts'
import { inspectIdentity } from './identity.ts'
import { isNewest } from './workspace-fields.ts'
import { bareHandler, type Handler } from './workspace-handlers.ts'
import { isObject, textOf, type WorkspaceSpec } from './workspace-spec.ts'

interface Workspace {
  readonly id: string
  readonly deleted: boolean
  readonly parent: string | null
  readonly isDev: boolean
}

export interface WorkspaceFacts {
  /** All workspaces of the instance. */
  readonly workspaces: ReadonlyMap<string, Workspace>
  /** E-mail addresses that a bare name may mean, best first kind only. */
  readonly owners: ReadonlyMap<string, readonly string[]>
  /** What is at `workspace path`. */
  readonly runnables: ReadonlyMap<string, Handler['kind']>
  /** Ids whose error (success) handler is set, where several fields share its column. */
  readonly handled: { readonly error: ReadonlySet<string>; readonly success: ReadonlySet<string> }
  /** Ids with secrets but without the key they were encrypted with. */
  readonly keyless: ReadonlySet<string>
  /** Why the service identity cannot be used, by id. */
  readonly conflicts: ReadonlyMap<string, string>
  readonly licensed: boolean
  /** Ids that the CRs of this batch declare, with the parent each wants (undefined: does not say). */
  readonly declared: ReadonlyMap<string, Declared>
}

interface Declared {
  readonly parent: string | null | undefined
  readonly archived: boolean
}

export async function readFacts(
  sql: Sql,
  inputs: readonly Input<WorkspaceSpec>[],
  context: Context
): Promise<WorkspaceFacts> {
  const ids = inputs.map(input => input.spec.id)
  const workspaces = await readWorkspaces(sql, context)
  const fresh = ids.filter(id => !workspaces.has(id))
  return {
    workspaces,
    owners: await readOwners(sql, inputs, context),
    runnables: await readRunnables(sql, inputs),
    handled: await readHandled(sql, ids, context),
    keyless: await readKeyless(sql, ids),
    conflicts: (await inspectIdentity(sql, fresh, context)).conflicts,
    licensed: await isLicensed(sql),
    declared: new Map(inputs.map(input => [input.spec.id, declared(input)]))
  }
}

function declared({ spec, listed }: Input<WorkspaceSpec>): Declared {
  const stated = spec.settings?.['deployTo']
  const parent = stated === undefined ? undefined : deployTarget(stated)
  return {
    parent: parent ?? (stated === undefined ? undefined : null),
    archived: listed.annotations['archived'] === 'true'
  }
}

/** A plain id, or an object as the API takes it; undefined for what is neither. */
export function deployTarget(value: unknown): string | null | undefined {
  if (value === null || value === '') return null
  if (typeof value === 'string') return value
  if (!isObject(value) || Object.keys(value).length !== 1) return undefined
  const [target] = ['workspace', 'deploy_to', 'deployTo'].flatMap(key => (key in value ? [value[key]] : []))
  return target === null ? null : (textOf(target) ?? undefined)
}

async function readWorkspaces(sql: Sql, { capabilities }: Context): Promise<ReadonlyMap<string, Workspace>> {
  const parent = capabilities.has('workspace', 'parent_workspace_id') ? sql`parent_workspace_id` : sql`null::text`
  const isDev = capabilities.has('workspace', 'is_dev_workspace') ? sql`is_dev_workspace` : sql`false`
  const rows = await sql<Workspace[]>`select id, deleted, ${parent} as parent, ${isDev} as "isDev" from workspace`
  return new Map(rows.map(row => [row.id, row]))
}

/**
 * A bare name is an instance username, else the name of a member anywhere, else the local part of one account's
 * address (a fresh Windmill has admin@windmill.dev without a username).
 */
async function readOwners(
  sql: Sql,
  inputs: readonly Input<WorkspaceSpec>[],
  { capabilities }: Context
): Promise<WorkspaceFacts['owners']> {
  const names = inputs.flatMap(({ spec }) => (spec.owner && !spec.owner.includes('@') ? [spec.owner] : []))
  if (names.length === 0) return new Map()
  const pending = capabilities.has('pending_user', 'username')
    ? sql`union select 2, u.username::text, u.email::text from pending_user u join wanted on wanted.name = u.username`
    : sql``
  const rows = await sql<{ name: string; emails: string[] }[]>`
    with wanted as (select distinct name from jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb) j(name)),
    found (rank, name, email) as (
      select 1, p.username::text, p.email::text from password p join wanted on wanted.name = p.username
      ${pending}
      union select 3, u.username::text, u.email::text from usr u join wanted on wanted.name = u.username
      union select 4, wanted.name, p.email::text from password p join wanted on wanted.name = split_part(p.email, '@', 1)),
    best as (select name, email from found f where rank = (select min(rank) from found o where o.name = f.name))
    select name, jsonb_agg(distinct lower(email)) as emails from best group by name`
  return new Map(rows.map(row => [row.name, row.emails]))
}

/** A handler stated as a bare path is a script or a flow: whichever is there. */
async function readRunnables(sql: Sql, inputs: readonly Input<WorkspaceSpec>[]): Promise<WorkspaceFacts['runnables']> {
  const wanted = inputs.flatMap(({ spec }) =>
    [bareHandler(spec.settings?.['errorHandler']), bareHandler(spec.settings?.['successHandler'])]
      .filter(path => path !== undefined)
      .map(path => ({ workspace: spec.id, path }))
  )
  if (wanted.length === 0) return new Map()
  const rows = await sql<{ workspace: string; path: string; kind: Handler['kind'] }[]>`
    select j.workspace, j.path, case when s.path is not null then 'script' else 'flow' end as kind
      from jsonb_to_recordset(${JSON.stringify(wanted)}::text::jsonb) as j(workspace text, path text)
      left join lateral (select path from script where workspace_id = j.workspace and path = j.path
                            and not archived and not deleted limit 1) s on true
      left join flow f on f.workspace_id = j.workspace and f.path = j.path and not f.archived
     where s.path is not null or f.path is not null`
  return new Map(rows.map(row => [`${row.workspace} ${row.path}`, row.kind]))
}

async function readHandled(
  sql: Sql,
  ids: readonly string[],
  { capabilities }: Context
): Promise<WorkspaceFacts['handled']> {
  if (!isNewest(capabilities)) return { error: new Set(), success: new Set() }
  const rows = await sql<{ id: string; error: boolean; success: boolean }[]>`
    select workspace_id as id, error_handler->>'path' is not null as error, success_handler->>'path' is not null as success
      from workspace_settings where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb))`
  const those = (which: 'error' | 'success') => new Set(rows.filter(row => row[which]).map(row => row.id))
  return { error: those('error'), success: those('success') }
}

async function readKeyless(sql: Sql, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await sql<{ id: string }[]>`
    select id from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb) j(id)
     where not exists (select from workspace_key k where k.workspace_id = j.id)
       and exists (select from variable v where v.workspace_id = j.id and v.is_secret)`
  return new Set(rows.map(row => row.id))
}

/** A licence in the settings of the instance; one in the server's environment cannot be seen from here. */
async function isLicensed(sql: Sql): Promise<boolean> {
  const rows = await sql`
    select from global_settings where name = 'license_key' and jsonb_typeof(value) = 'string' and value <> '""'::jsonb`
  return rows.length > 0
}
