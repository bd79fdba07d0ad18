/** Kinds with versions: scripts, flows, apps. */
import { randomBytes } from 'node:crypto'
import { pathsOf, words } from './things-plain.ts'
import type { Fields, Table, Thing } from './words.ts'

const emptySchema = { type: 'object', properties: {} }

const codeOf = (word: string): string =>
  word.startsWith('bash') ? `# ${word}\necho hello\n` : `# ${word}\ndef main():\n    return 1\n`
const wordIn = (code: string): string => /^# (.*)\n/.exec(code)?.[1] ?? code

/** Jobs of schedules that start a script or flow are pinned to its newest version by whoever deploys it. */
const repin = ({ sql }: Pick<Table, 'sql'>, path: string, isFlow: boolean, version: string): Promise<unknown> => sql`
  update v2_job j set runnable_id = ${version}::text::bigint from schedule s
   where j.workspace_id = 'demo' and j.trigger_kind = 'schedule' and j.trigger = s.path and s.workspace_id = 'demo'
     and s.script_path = ${path} and s.is_flow = ${isFlow} and j.runnable_path = ${path}
     and exists (select from v2_job_queue q where q.id = j.id)`

async function addVersion({ sql }: Table, path: string, fields: Fields): Promise<void> {
  const [old] = await sql`
    select hash::text, summary, content, language::text, schema::text from script
     where workspace_id = 'demo' and path = ${path} and not archived order by created_at desc limit 1`
  const hash = String(randomBytes(8).readBigInt64BE())
  const content = fields['content'] === undefined ? String(old?.['content']) : codeOf(fields['content'])
  await sql`update script set archived = true where workspace_id = 'demo' and path = ${path}`
  await sql`
    insert into script (workspace_id, hash, path, parent_hashes, summary, description, content, created_by, created_at, language, lock, schema)
    values ('demo', ${hash}, ${path}, ${old ? sql`array[${old['hash'] as string}::text::bigint]` : null},
            ${fields['summary'] ?? (old?.['summary'] as string) ?? ''}, '', ${content}, 'bob', clock_timestamp(),
            ${content.includes('echo') ? 'bash' : 'python3'}, '', ${(old?.['schema'] as string) ?? JSON.stringify(emptySchema)}::text::json)`
  await repin({ sql }, path, false, hash)
}

const script: Thing = {
  kind: 'Script',
  paths: pathsOf('s'),
  always: { content: [...words, 'bash one', 'bash two'] },
  maybe: { summary: words },
  specOf: (path, { content = '', ...fields }) => ({
    path,
    language: content.startsWith('bash') ? 'bash' : 'python3',
    content: codeOf(content),
    schema: emptySchema,
    ...fields
  }),
  knowsTime: () => true,
  look: async ({ sql }) => {
    const rows = await sql<{ path: string; content: string; summary: string }[]>`
      select path, content, summary from script where workspace_id = 'demo' and path ~ '^f/f[ab]/s' and not archived
       order by created_at`
    return rows.map(({ path, content, summary }) => [path, { content: wordIn(content), summary }])
  },
  create: addVersion,
  edit: addVersion,
  drop: ({ sql }, path) => sql`delete from script where workspace_id = 'demo' and path = ${path}`,
  retired: () => undefined,
  isNeeded: (path, rows) => startedBy(`script ${path}`, rows).length > 0
}

/** Keys of the schedules that start it. */
export const startedBy = (target: string, rows: ReadonlyMap<string, Fields>): readonly string[] =>
  [...rows].flatMap(([key, row]) => (key.startsWith('Schedule ') && row['target'] === target ? [key] : []))

const flowValue = (word: string) => ({
  modules: [
    {
      id: 'a',
      value: { type: 'rawscript', language: 'python3', content: codeOf(word), input_transforms: {} }
    }
  ]
})

async function addFlowVersion({ sql }: Table, path: string, fields: Fields): Promise<void> {
  const { value, summary, archived } = fields
  const text = value === undefined ? null : JSON.stringify(flowValue(value))
  await sql`
    update flow set value = coalesce(${text}::text::jsonb, value), summary = coalesce(${summary ?? null}, summary),
           archived = coalesce(${archived === undefined ? null : archived === 'true'}, archived), edited_by = 'bob', edited_at = now()
     where workspace_id = 'demo' and path = ${path}`
  if (value === undefined && summary === undefined) return
  const [version] = await sql`
    insert into flow_version (workspace_id, path, value, schema, created_by)
    select workspace_id, path, value, schema, 'bob' from flow where workspace_id = 'demo' and path = ${path} returning id::text`
  const id = String(version?.['id'])
  await sql`
    update flow set versions = array_append(versions, ${id}::text::bigint) where workspace_id = 'demo' and path = ${path}`
  await repin({ sql }, path, true, id)
}

const flow: Thing = {
  kind: 'Flow',
  paths: pathsOf('w'),
  always: { value: words },
  maybe: { summary: words },
  implied: () => ({ archived: 'false' }),
  specOf: (path, { value = '', ...fields }) => ({ path, value: flowValue(value), ...fields }),
  knowsTime: () => true,
  look: async ({ sql }) => {
    const rows = await sql<{ path: string; content: string; summary: string; archived: boolean }[]>`
      select f.path, v.value->'modules'->0->'value'->>'content' as content, f.summary, f.archived
        from flow f join flow_version v on v.id = f.versions[array_upper(f.versions, 1)]
       where f.workspace_id = 'demo' and f.path ~ '^f/f[ab]/w'`
    return rows.map(({ path, content, summary, archived }) => [
      path,
      { value: wordIn(content), summary, archived: String(archived) }
    ])
  },
  async create(table, path, { value = 'one', summary = '' }) {
    await table.sql`
      insert into flow (workspace_id, path, summary, description, value, edited_by)
      values ('demo', ${path}, '', '', ${table.sql.json(flowValue(value))}, 'bob')`
    await addFlowVersion(table, path, { value, summary })
  },
  edit: addFlowVersion,
  async drop({ sql }, path) {
    await sql`delete from flow_version where workspace_id = 'demo' and path = ${path}`
    await sql`delete from flow where workspace_id = 'demo' and path = ${path}`
  },
  retired: fields => ({ ...fields, archived: 'true' }),
  isNeeded: (path, rows) => startedBy(`flow ${path}`, rows).some(key => rows.get(key)?.['enabled'] === 'true')
}

const appValue = (text: string) => ({
  grid: [
    {
      '3': { x: 0, y: 0, w: 6, h: 2, fixed: false },
      '12': { x: 0, y: 0, w: 12, h: 2, fixed: false },
      id: 'a',
      data: {
        id: 'a',
        type: 'textcomponent',
        componentInput: { type: 'static', fieldType: 'textarea', value: text },
        configuration: {},
        customCss: {}
      }
    }
  ],
  subgrids: {},
  fullscreen: false,
  hiddenInlineScripts: [],
  unusedInlineScripts: [],
  theme: { type: 'path', path: 'f/app_themes/theme_0' }
})

async function addAppVersion({ sql }: Table, path: string, { value, summary, policy }: Fields): Promise<void> {
  await sql`
    update app set summary = coalesce(${summary ?? null}, summary),
           policy = case when ${policy ?? null}::text is null then policy else ${theirs}::text::jsonb end
     where workspace_id = 'demo' and path = ${path}`
  if (value === undefined) return
  const [version] = await sql`
    insert into app_version (app_id, value, created_by)
    select id, ${JSON.stringify(appValue(value))}::text::json, 'bob' from app where workspace_id = 'demo' and path = ${path} returning id::text`
  await sql`
    update app set versions = array_append(versions, ${String(version?.['id'])}::text::bigint)
     where workspace_id = 'demo' and path = ${path}`
}

const theirs = JSON.stringify({
  execution_mode: 'viewer',
  on_behalf_of: 'u/bob',
  on_behalf_of_email: 'bob@example.com'
})

const app: Thing = {
  kind: 'App',
  paths: pathsOf('a'),
  always: { value: words },
  maybe: { summary: words },
  implied: () => ({ policy: 'u/iac_controller' }),
  specOf: (path, { value = '', ...fields }) => ({ path, value: appValue(value), ...fields }),
  knowsTime: () => true,
  look: async ({ sql }) => {
    const rows = await sql<{ path: string; value: string; summary: string; policy: string }[]>`
      select a.path, v.value#>>'{grid,0,data,componentInput,value}' as value, a.summary, a.policy->>'on_behalf_of' as policy
        from app a join app_version v on v.id = a.versions[array_upper(a.versions, 1)]
       where a.workspace_id = 'demo' and a.path ~ '^f/f[ab]/a'`
    return rows.map(({ path, ...fields }) => [path, fields])
  },
  async create(table, path, { value = 'one', summary = '' }) {
    await table.sql`
      insert into app (workspace_id, path, summary, policy, versions) values ('demo', ${path}, '', ${theirs}::text::jsonb, '{}')`
    await addAppVersion(table, path, { value, summary })
  },
  edit: addAppVersion,
  async drop({ sql }, path) {
    await sql`delete from app_version where app_id in (select id from app where workspace_id = 'demo' and path = ${path})`
    await sql`delete from app where workspace_id = 'demo' and path = ${path}`
  }
}

export const codeThings: readonly Thing[] = [script, flow, app]
