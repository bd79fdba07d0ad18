/** What people do to objects through Windmill's pages: the statements of its API, per kind (the contract's pages). */
import type postgres from 'postgres'
import type { Release } from '../windmill.ts'

/** Where objects live; `demo` is the workspace of all kinds but the workspace itself. */
export const home = 'demo'

/** An edit of many objects by one person at one time. */
export interface Edit {
  readonly paths: readonly string[]
  readonly value: string
  readonly at: Date
}

/** One kind: a CR with one value that matters, and what a person does to it in Windmill. */
export interface Hand {
  readonly kind: string
  /** The field that holds the value, as messages name it. */
  readonly field: string
  /** The path, name or id of the object of this name. */
  readonly place: (name: string) => string
  readonly spec: (path: string, value: string) => object
  /** Sets the value as Windmill's API does, made by `alice`. */
  readonly edit: (sql: postgres.Sql, edit: Edit, release: Release) => Promise<unknown>
  /** How the API names the edit in its audit log: operation and resource. */
  readonly audit: (path: string) => readonly [operation: string, resource: string]
  readonly remove: (sql: postgres.Sql, paths: readonly string[]) => Promise<unknown>
  /** Path, value, and a text that moves with any write of the row. */
  readonly rows: (sql: postgres.Sql) => Promise<readonly Live[]>
  /** What becomes of an object whose CR is gone: by policy, and the value afterwards (undefined: no row). */
  readonly gone: Readonly<Record<'delete' | 'soft-delete', 'Deleted' | 'Archived' | 'Released'>>
  /** SQL that forgets when the row was edited, where Windmill's columns allow not to know. */
  readonly forgetTime?: string
}

export interface Live {
  readonly path: string
  readonly value: string
  readonly mark: string
  /** Still usable: neither archived nor disabled. */
  readonly active: boolean
}

const item = (name: string): string => `f/ops/${name.replaceAll('-', '_')}`
const bare = (name: string): string => name.replaceAll('-', '_')
const hook = (value: string): string => `https://hooks.example.com/${value}`
const flowOf = (value: string): object => ({ modules: [{ id: 'a', summary: value, value: { type: 'identity' } }] })
const appOf = (value: string): object => ({ grid: [], title: value })
const keptOrDeleted = { delete: 'Deleted', 'soft-delete': 'Released' } as const
const archived = { delete: 'Deleted', 'soft-delete': 'Archived' } as const

/** Everything that belongs to a workspace, as `DELETE /workspaces` leaves nothing of it. */
async function removeWorkspaces(sql: postgres.Sql, ids: readonly string[]): Promise<void> {
  const tables = await sql<{ name: string }[]>`
    select quote_ident(table_name) as name from information_schema.columns
      join information_schema.tables using (table_schema, table_name)
     where table_schema = 'public' and column_name = 'workspace_id' and table_type = 'BASE TABLE'`
  await sql.begin(async tx => {
    await tx`set local session_replication_role = replica`
    for (const { name } of tables) {
      if (!name.startsWith('audit')) await tx.unsafe(`delete from ${name} where workspace_id = any($1)`, [[...ids]])
    }
    await tx`delete from workspace where id = any(${[...ids]})`
  })
}

const workspace: Hand = {
  kind: 'Workspace',
  field: 'settings.webhook',
  place: name => `w-${name}`,
  spec: (id, value) => ({ id, name: id, settings: { webhook: hook(value) } }),
  edit: (sql, { paths, value }) =>
    sql`update workspace_settings set webhook = ${hook(value)} where workspace_id = any(${[...paths]})`,
  audit: () => ['workspaces.edit_webhook', 'alice@example.com'],
  remove: removeWorkspaces,
  rows: sql => sql<Live[]>`
    select w.id as path, substring(s.webhook from '[^/]*$') as value, concat(w.xmin, '.', s.xmin) as mark,
           not w.deleted as active
      from workspace w join workspace_settings s on s.workspace_id = w.id`,
  gone: { delete: 'Archived', 'soft-delete': 'Archived' }
}

const group: Hand = {
  kind: 'Group',
  field: 'members',
  place: bare,
  spec: (name, value) => ({ workspace: home, name, members: [value] }),
  edit: (sql, { paths, value }) => sql`
    with gone as (
      delete from usr_to_group where workspace_id = ${home} and group_ = any(${[...paths]}) and usr <> 'iac_controller')
    insert into usr_to_group (workspace_id, group_, usr) select ${home}, unnest(${[...paths]}::text[]), ${value}`,
  audit: path => ['group.adduser', path],
  async remove(sql, paths) {
    await sql`delete from usr_to_group where workspace_id = ${home} and group_ = any(${[...paths]})`
    await sql`delete from group_ where workspace_id = ${home} and name = any(${[...paths]})`
  },
  rows: sql => sql<Live[]>`
    select g.name as path, coalesce(string_agg(u.usr, ','), '') as value, true as active,
           concat(g.xmin, '.', string_agg(u.usr || u.xmin::text, ',')) as mark
      from group_ g left join usr_to_group u
        on u.workspace_id = g.workspace_id and u.group_ = g.name and u.usr <> 'iac_controller'
     where g.workspace_id = ${home} group by g.name, g.xmin`,
  gone: keptOrDeleted
}

const folder: Hand = {
  kind: 'Folder',
  field: 'summary',
  place: bare,
  spec: (name, value) => ({ workspace: home, name, summary: value }),
  edit: (sql, { paths, value, at }) => sql`
    update folder set summary = ${value}, edited_at = ${at} where workspace_id = ${home} and name = any(${[...paths]})`,
  audit: path => ['folder.update', path],
  remove: (sql, paths) => sql`delete from folder where workspace_id = ${home} and name = any(${[...paths]})`,
  rows: sql => sql<Live[]>`
    select name as path, coalesce(summary, '') as value, xmin::text as mark, true as active
      from folder where workspace_id = ${home}`,
  gone: keptOrDeleted,
  forgetTime: 'update folder set edited_at = null'
}

const resourceType: Hand = {
  kind: 'ResourceType',
  field: 'schema',
  place: name => `c_${bare(name)}`,
  spec: (name, value) => ({ workspace: home, name, schema: { type: 'object', title: value } }),
  edit: (sql, { paths, value, at }) => sql`
    update resource_type set schema = jsonb_build_object('type', 'object', 'title', ${value}::text), edited_at = ${at}
     where workspace_id = ${home} and name = any(${[...paths]})`,
  audit: path => ['resource_types.update', path],
  remove: (sql, paths) => sql`delete from resource_type where workspace_id = ${home} and name = any(${[...paths]})`,
  rows: sql => sql<Live[]>`
    select name as path, schema->>'title' as value, xmin::text as mark, true as active
      from resource_type where workspace_id = ${home}`,
  gone: keptOrDeleted,
  forgetTime: 'update resource_type set edited_at = null'
}

const variable: Hand = {
  kind: 'Variable',
  field: 'value',
  place: item,
  spec: (path, value) => ({ workspace: home, path, value }),
  edit: (sql, { paths, value, at }, release) => sql`
    update variable set value = ${value} ${release === '2026-08' ? sql`, edited_at = ${at}, edited_by = 'alice'` : sql``}
     where workspace_id = ${home} and path = any(${[...paths]})`,
  audit: path => ['variables.update', path],
  remove: (sql, paths) => sql`delete from variable where workspace_id = ${home} and path = any(${[...paths]})`,
  rows: sql => sql<Live[]>`
    select path, value, xmin::text as mark, true as active from variable where workspace_id = ${home}`,
  gone: keptOrDeleted
}

const resource: Hand = {
  kind: 'Resource',
  field: 'value',
  place: item,
  spec: (path, value) => ({ workspace: home, path, resourceType: 'c_any', value: { host: value } }),
  edit: (sql, { paths, value, at }) => sql`
    update resource set value = jsonb_build_object('host', ${value}::text), edited_at = ${at}
     where workspace_id = ${home} and path = any(${[...paths]})`,
  audit: path => ['resources.update', path],
  remove: (sql, paths) => sql`delete from resource where workspace_id = ${home} and path = any(${[...paths]})`,
  rows: sql => sql<Live[]>`
    select path, value->>'host' as value, xmin::text as mark, true as active
      from resource where workspace_id = ${home}`,
  gone: keptOrDeleted,
  forgetTime: 'update resource set edited_at = null'
}

/** A new version of the newest row of each path; the version before is archived. */
const script: Hand = {
  kind: 'Script',
  field: 'content',
  place: item,
  spec: (path, value) => ({ workspace: home, path, language: 'bash', content: `echo ${value}\n` }),
  edit: (sql, { paths, value, at }) => sql`
    with before as (
      update script set archived = true
       where workspace_id = ${home} and path = any(${[...paths]}) and not archived returning *)
    insert into script select (jsonb_populate_record(null::script, to_jsonb(b) || jsonb_build_object('hash', b.hash # 255,
      'parent_hashes', array[b.hash] || coalesce(b.parent_hashes, '{}'), 'content', ${`echo ${value}\n`}::text,
      'created_by', 'alice', 'created_at', ${at}::timestamptz, 'archived', false, 'lock', ''))).* from before b`,
  audit: path => ['scripts.update', path],
  remove: (sql, paths) => sql`delete from script where workspace_id = ${home} and path = any(${[...paths]})`,
  rows: sql => sql<Live[]>`
    select distinct on (path) path, substring(content from 'echo (\\w+)') as value, concat(hash, '.', xmin) as mark,
           not archived as active
      from script where workspace_id = ${home} order by path, created_at desc`,
  gone: archived
}

const flow: Hand = {
  kind: 'Flow',
  field: 'value',
  place: item,
  spec: (path, value) => ({ workspace: home, path, summary: '', value: flowOf(value) }),
  edit: (sql, { paths, value, at }) => sql`
    with made as (
      insert into flow_version (workspace_id, path, value, schema, created_by, created_at)
      select workspace_id, path, ${JSON.stringify(flowOf(value))}::text::jsonb, schema, 'alice', ${at}
        from flow where workspace_id = ${home} and path = any(${[...paths]}) returning *)
    update flow f set value = m.value, edited_by = 'alice', edited_at = ${at}, versions = array_append(versions, m.id)
      from made m where m.workspace_id = f.workspace_id and m.path = f.path`,
  audit: path => ['flows.update', path],
  remove: (sql, paths) => sql`delete from flow where workspace_id = ${home} and path = any(${[...paths]})`,
  rows: sql => sql<Live[]>`
    select f.path, v.value->'modules'->0->>'summary' as value, concat(f.xmin, '.', v.id) as mark, not f.archived as active
      from flow f join flow_version v on v.id = f.versions[array_upper(f.versions, 1)] where f.workspace_id = ${home}`,
  gone: archived
}

const app: Hand = {
  kind: 'App',
  field: 'value',
  place: item,
  spec: (path, value) => ({ workspace: home, path, value: appOf(value) }),
  edit: (sql, { paths, value, at }) => sql`
    with made as (
      insert into app_version (app_id, value, created_by, created_at)
      select id, ${JSON.stringify(appOf(value))}::text::json, 'alice', ${at}
        from app where workspace_id = ${home} and path = any(${[...paths]}) returning *)
    update app a set versions = array_append(versions, m.id) from made m where m.app_id = a.id`,
  audit: path => ['apps.update', path],
  remove: (sql, paths) => sql`delete from app where workspace_id = ${home} and path = any(${[...paths]})`,
  rows: sql => sql<Live[]>`
    select a.path, v.value->>'title' as value, concat(a.xmin, '.', v.id) as mark, true as active
      from app a join app_version v on v.id = a.versions[array_upper(a.versions, 1)] where a.workspace_id = ${home}`,
  gone: keptOrDeleted
}

const schedule: Hand = {
  kind: 'Schedule',
  field: 'summary',
  // A schedule of a flow's path must start that flow.
  place: name => `f/times/${bare(name)}`,
  spec: (path, value) => ({
    workspace: home,
    path,
    schedule: '0 4 * * *',
    timezone: 'UTC',
    scriptPath: 'f/ops/target',
    isFlow: false,
    summary: value
  }),
  edit: (sql, { paths, value, at }) => sql`
    update schedule set summary = ${value}, edited_by = 'alice', edited_at = ${at}
     where workspace_id = ${home} and path = any(${[...paths]})`,
  audit: path => ['schedule.edit', path],
  async remove(sql, paths) {
    await sql`delete from schedule where workspace_id = ${home} and path = any(${[...paths]})`
    await sql`
      delete from v2_job_queue q using v2_job j
       where j.id = q.id and j.workspace_id = ${home} and j.trigger_kind = 'schedule' and j.trigger = any(${[...paths]})`
  },
  rows: sql => sql<Live[]>`
    select path, summary as value, xmin::text as mark, enabled as active from schedule where workspace_id = ${home}`,
  gone: archived
}

export const hands: readonly Hand[] = [
  workspace,
  group,
  folder,
  resourceType,
  variable,
  resource,
  script,
  flow,
  app,
  schedule
]
