/** Export: what Windmill holds comes out as manifests that change nothing when they come back. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type postgres from 'postgres'
import { parseAllDocuments } from 'yaml'
import type { Report } from '../src/report.ts'
import { cipherKey, encrypt } from '../src/windmill/encryption.ts'
import { withDatabase } from './support/database.ts'
import { logged, projectFolder, runAny, runJob } from './support/job.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { releases } from './support/windmill.ts'

const test = suite('export')

/** In every secret that these tests put into a database. */
const canary = 'canary-4f1d'
const salt = 'pepper'

interface Doc {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace: string; readonly annotations?: object }
  readonly spec: Record<string, unknown>
  readonly stringData?: Record<string, string>
}

interface Bench {
  readonly sql: postgres.Sql
  readonly folder: string
  readonly file: string
  readonly run: (...argv: string[]) => Promise<{
    readonly exitCode: number
    readonly docs: Doc[]
    readonly text: string
    /** `message path: reason` of what the log says of objects. */
    readonly told: readonly string[]
  }>
  readonly job: (...argv: string[]) => Promise<Report>
}

const docsOf = (text: string): Doc[] => parseAllDocuments(text).map(one => one.toJS() as Doc)

const withBench = (variant: (typeof releases)[number], body: (bench: Bench) => Promise<void>): Promise<void> =>
  withDatabase(variant, async ({ url, sql }) => {
    const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-export-'))
    const environment = { DATABASE_URL: url, SECRET_SALT: salt }
    try {
      await body({
        sql,
        folder: join(folder, 'out'),
        file: join(folder, 'secrets.yaml'),
        run: async (...argv) => {
          const from = logged.length
          const { result, printed } = await runAny(['export', ...argv], environment)
          const events = logged.slice(from).map(line => JSON.parse(line) as Record<string, string>)
          const told = events
            .filter(one => one['reason'] !== undefined && one['level'] !== 'debug')
            .map(({ message, path, reason }) => `${message} ${path}: ${reason}`)
          return { exitCode: 'exitCode' in result ? result.exitCode : -1, docs: docsOf(printed), text: printed, told }
        },
        job: (...argv) => runJob([...argv, '--verbose'], environment)
      })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

const seal = (text: string): string => encrypt(cipherKey('k'.repeat(64), salt), text)

/** A workspace as Windmill's own API makes it, with a few rows that people made in the editor. */
async function arrange(sql: postgres.Sql): Promise<void> {
  await sql`insert into workspace (id, name, owner) values ('demo', 'Demo', 'admin@windmill.dev')`
  await sql`insert into workspace_settings (workspace_id) values ('demo')`
  await sql`insert into workspace_key (workspace_id, kind, key) values ('demo', 'cloud', ${'k'.repeat(64)})`
  await sql`insert into group_ (workspace_id, name, summary, extra_perms) values ('demo', 'all', 'Everybody', '{}'), ('demo', 'ops', '', '{"u/alice": true}')`
  await sql`insert into usr (workspace_id, username, email, is_admin) values ('demo', 'alice', 'alice@example.com', true)`
  await sql`insert into usr_to_group (workspace_id, group_, usr) values ('demo', 'ops', 'alice')`
  await sql`
    insert into folder (workspace_id, name, display_name, owners, extra_perms, summary, created_by) values
      ('demo', 'app_themes', 'App Themes', '{}', '{"g/all": false}', null, 'alice'),
      ('demo', 'crm', 'crm', '{u/alice,g/ops,u/nobody}', '{"g/all": false, "u/alice": true, "g/ops": true}', '', 'alice'),
      ('demo', 'bare', 'Bare things', '{}', '{}', null, 'alice')`
}

interface Resource {
  readonly type?: string
  readonly value?: unknown
  readonly description?: string
}

async function resource(sql: postgres.Sql, path: string, row: Resource): Promise<void> {
  const { type = 'c_thing', value, description = null } = row
  await sql`
    insert into resource (workspace_id, path, value, description, resource_type, created_by)
    values ('demo', ${path}, ${value === undefined ? null : JSON.stringify(value)}::text::jsonb, ${description}, ${type}, 'alice')`
}

async function variable(sql: postgres.Sql, path: string, value: string, description = ''): Promise<void> {
  await sql`
    insert into variable (workspace_id, path, value, is_secret, description)
    values ('demo', ${path}, ${value}, false, ${description})`
}

async function secret(sql: postgres.Sql, path: string, text: string, description = ''): Promise<void> {
  await sql`
    insert into variable (workspace_id, path, value, is_secret, description)
    values ('demo', ${path}, ${seal(text)}, true, ${description})`
}

/** Rows as the editor makes them, and odd ones. */
async function fill(sql: postgres.Sql): Promise<void> {
  const linked = { port: 5432, password: '$var:f/crm/db', host: 'db' }
  await resource(sql, 'f/crm/db', { type: 'postgresql', value: linked, description: '' })
  await secret(sql, 'f/crm/db', `${canary}-1`, 'Token for postgresql')
  await resource(sql, 'f/crm/nothing', { value: null })
  await resource(sql, 'f/crm/sql_null', {})
  await resource(sql, 'f/crm/empty', { value: {}, description: 'Nothing in it' })
  const odd = { yes: 'no', time: '12:30', n: '0123', deep: { b: null, a: ['x', 1.5, true] }, text: 'a\n\tb\n' }
  await resource(sql, 'f/crm/odd', { value: odd })
  await resource(sql, 'f/crm/deep', { value: { auth: { token: '$var:f/crm/deep' }, headers: {} } })
  await secret(sql, 'f/crm/deep', `${canary}-2`)
  await resource(sql, 'u/alice/job/user', { type: 'state', value: { seen: 1 } })
  await resource(sql, 'f/app_themes/theme_0', { type: 'app_theme', value: { name: 'Default Theme', value: '' } })
  await secret(sql, 'f/crm/Own-Key', `${canary}-3\n`, 'Mine')
  await variable(sql, 'f/crm/plain', 'yes')
  await variable(sql, 'f/crm/blank', '')
  await variable(sql, 'f/crm/lines', 'one\r\ntwo\n\nthree')
  await secret(sql, 'u/alice/secret_arg/x1', `${canary}-4`)
  await sql`
    insert into resource_type (workspace_id, name, schema, description) values
      ('demo', 'c_thing', '{"type": "object", "properties": {"a": {"type": "string"}}}', ''),
      ('admins', 'c_shared', '{"type": "object"}', null),
      ('admins', 'postgresql', '{"type": "object", "properties": {"password": {"type": "string", "password": true}}}', null)`
  await sql`update workspace_settings set webhook = 'https://x.example', operator_settings = operator_settings || '{"runs": false}' where workspace_id = 'demo'`
  await sql`insert into workspace_env (workspace_id, name, value) values ('demo', 'REGION', 'eu')`
}

/** Writes to Windmill's own tables so far. */
async function writesOf(sql: postgres.Sql): Promise<Record<string, number>> {
  await sql`select pg_stat_force_next_flush()`
  const rows = await sql<{ name: string; writes: number }[]>`
    select relname as name, (n_tup_ins + n_tup_upd + n_tup_del)::int as writes
      from pg_stat_user_tables where schemaname <> 'windmill_iac' and n_tup_ins + n_tup_upd + n_tup_del > 0`
  return Object.fromEntries(rows.map(one => [one.name, one.writes]))
}

/** Where the service user of a run is entered, the first time that a workspace sees one. */
const identity = /^(usr|usr_to_group|password|audit.*)$/

/** Imports an export with nobody owning anything before, then once more. */
async function comesBack({ sql, folder, job }: Bench): Promise<void> {
  const adopt = async (): Promise<Report> => {
    await sql`drop schema if exists windmill_iac cascade`
    return job('reconcile', '--from', folder, '--adopt', 'identical')
  }
  const rowsOf = async (): Promise<Record<string, number>> =>
    Object.fromEntries(Object.entries(await writesOf(sql)).filter(([name]) => !identity.test(name)))
  const rows = await rowsOf()
  const first = await adopt()
  assert.equal(
    first.objects.filter(one => one.op !== 'adopt').map(one => `${one.op} ${one.kind} ${one.path} ${one.message}`),
    []
  )
  assert.equal(await rowsOf(), rows)
  const before = await writesOf(sql)
  assert.equal((await adopt()).counts, first.counts)
  assert.equal(await writesOf(sql), before)
  const second = await job('reconcile', '--from', folder, '--adopt', 'identical')
  assert.equal(second.counts, { ...first.counts, adopt: 0, keep: first.counts.adopt })
}

for (const variant of releases) {
  test(`${variant}: rows made in the editor come back as they are, and so do all secrets`, () =>
    withBench(variant, async bench => {
      await arrange(bench.sql)
      await fill(bench.sql)
      const before = await writesOf(bench.sql)
      const done = await bench.run('--to', bench.folder, '--with-secrets', join(bench.folder, 'secrets.yaml'))
      assert.equal(await writesOf(bench.sql), before)
      assert.equal(done.told, [])
      assert.is(done.exitCode, 0)
      await comesBack(bench)
    }))

  test(`${variant}: everything that the examples make comes back as it is`, () =>
    withBench(variant, async bench => {
      // Else a setting that the oldest release lacks would keep the whole workspace from being made.
      await arrange(bench.sql)
      await bench.job('reconcile', '--from', join(projectFolder, 'examples'))
      const done = await bench.run('--to', bench.folder, '--with-secrets', join(bench.folder, 'secrets.yaml'))
      assert.equal(done.told, [])
      assert.is(done.exitCode, 0)
      await comesBack(bench)
    }))
}

void [existsSync, readdirSync, readFileSync, statSync, writeFileSync, logged, rejects]
test.run()
