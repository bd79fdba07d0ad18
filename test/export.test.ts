/** Export: what Windmill holds comes out as manifests that change nothing when they come back. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type postgres from 'postgres'
import { parseAllDocuments } from 'yaml'
import { nameFor, namespaceFor } from '../src/export-names.ts'
import type { Report } from '../src/report.ts'
import { mapping } from '../src/setting-values.ts'
import type { NamespaceMapping } from '../src/tenancy.ts'
import { cipherKey, encrypt } from '../src/windmill/encryption.ts'
import { withDatabase } from './support/database.ts'
import { logged, projectFolder, runAny, runJob, runMain } from './support/job.ts'
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

/** Code as Windmill's API stores it and a worker leaves it: locks made, ids given, policies computed by the editor. */
async function deploy(sql: postgres.Sql): Promise<void> {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: { z: { type: 'string' }, a: {} }
  }
  await sql`
    insert into script (workspace_id, hash, path, summary, description, content, created_by, language, lock, schema, tag, on_behalf_of_email)
    values ('demo', -12345678901234567, 'f/crm/job', 'A job', '', ${'export async function main(z: string, a) {\n\treturn z\n}\n'}, 'alice',
            'bun', 'locked', ${JSON.stringify(schema)}::text::json, '', 'alice@example.com')`
  const step = (id: string, more: object): object => ({
    id,
    value: { type: 'rawscript', language: 'python3', content: 'def main():\n  pass\n', ...more }
  })
  const value = {
    modules: [
      step('a', { lock: '# py: 3.11\n', input_transforms: {} }),
      { id: 'b', summary: '', value: { type: 'identity' } }
    ],
    same_worker: false
  }
  await sql`
    insert into flow (workspace_id, path, summary, description, value, edited_by, archived, schema, extra_perms, versions)
    values ('demo', 'f/crm/flow', '', '', ${JSON.stringify(value)}::text::jsonb, 'alice', false, ${JSON.stringify(schema)}::text::json, '{}', '{}')`
  await sql`
    with v as (insert into flow_version (workspace_id, path, value, schema, created_by)
               select workspace_id, path, value, schema, 'alice' from flow where path = 'f/crm/flow' returning id)
    update flow set versions = array[(select id from v)] where path = 'f/crm/flow'`
  const app = {
    grid: [],
    fullscreen: false,
    unusedInlineScripts: [],
    hiddenInlineScripts: [],
    theme: { type: 'path', path: 'f/app_themes/theme_0' }
  }
  const policy = {
    on_behalf_of: 'u/alice',
    on_behalf_of_email: 'alice@example.com',
    execution_mode: 'publisher',
    triggerables_v2: {},
    s3_inputs: [],
    allowed_s3_keys: []
  }
  await sql`
    insert into app (workspace_id, path, summary, policy, versions)
    values ('demo', 'f/crm/page', '', ${JSON.stringify(policy)}::text::jsonb, '{}')`
  await sql`
    with v as (insert into app_version (app_id, value, created_by)
               select id, ${JSON.stringify(app)}::text::json, 'alice' from app where path = 'f/crm/page' returning id)
    update app set versions = array[(select id from v)] where path = 'f/crm/page'`
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
    return job('reconcile', '--from', folder, '--adopt', 'identical', '--run-as', 'anyone')
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
  const second = await job('reconcile', '--from', folder, '--adopt', 'identical', '--run-as', 'anyone')
  assert.equal(second.counts, { ...first.counts, adopt: 0, keep: first.counts.adopt })
}

for (const variant of releases) {
  test(`${variant}: rows made in the editor come back as they are, and so do all secrets`, () =>
    withBench(variant, async bench => {
      await arrange(bench.sql)
      await fill(bench.sql)
      await deploy(bench.sql)
      const before = await writesOf(bench.sql)
      const done = await bench.run('--to', bench.folder, '--with-secrets', join(bench.folder, 'secrets.yaml'))
      assert.equal(await writesOf(bench.sql), before)
      for (const file of [
        'script/demo/f/crm/job',
        'flow/demo/f/crm/flow',
        'app/demo/f/crm/page',
        'variable/demo/f/crm/deep'
      ])
        assert.ok(existsSync(join(bench.folder, `${file}.yaml`)), file)
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

const only = <T>(list: readonly T[]): T => {
  assert.is(list.length, 1)
  return list[0] as T
}

const find = (docs: readonly Doc[], kind: string, path: string): Doc =>
  only(docs.filter(one => one.kind === `Windmill${kind}` && (one.spec['path'] ?? one.spec['name']) === path))

test('no secret leaves the database but into the file that is asked for', () =>
  withBench('2026-08', async ({ sql, run, file, folder }) => {
    await arrange(sql)
    await fill(sql)
    const from = logged.length
    const plain = await run()
    assert.not.match(plain.text, canary)
    assert.not.ok(plain.docs.some(one => one.kind === 'Secret'))
    await run('--to', folder, '--with-secrets', file)
    const written = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(one => one.isFile())
    for (const one of written) assert.not.match(readFileSync(join(one.parentPath, one.name), 'utf8'), canary)
    assert.not.match(logged.slice(from).join(''), canary)
    assert.is(statSync(file).mode & 0o777, 0o600)
    const texts = docsOf(readFileSync(file, 'utf8')).map(one => [one.metadata.name, one.stringData])
    assert.equal(texts, [
      [`variable.${nameFor('demo', 'f/crm/Own-Key', false)}`, { value: `${canary}-3\n` }],
      ['variable.f.crm.deep', { value: `${canary}-2` }],
      ['resource.f.crm.db', { password: `${canary}-1` }]
    ])
    assert.ok(logged.slice(from).some(line => line.includes('secrets in clear text')))
  }))

test('a file of Secrets is never replaced unasked, and is for its owner alone when it is', () =>
  withBench('2026-08', async ({ sql, run, file, folder }) => {
    await arrange(sql)
    await fill(sql)
    writeFileSync(file, 'precious', { mode: 0o644 })
    const error = await rejects(run('--with-secrets', file))
    assert.match(error.message, /is there already; --force/)
    assert.is(readFileSync(file, 'utf8'), 'precious')
    await run('--to', folder, '--with-secrets', file, '--force')
    assert.match(readFileSync(file, 'utf8'), canary)
    assert.is(statSync(file).mode & 0o777, 0o600)
    await sql`update workspace_key set key = 'other' where workspace_id = 'demo'`
    const before = readFileSync(file, 'utf8')
    assert.match((await rejects(run('--with-secrets', file, '--force'))).message, /SECRET_SALT/)
    assert.is(readFileSync(file, 'utf8'), before)
    assert.equal(readdirSync(join(file, '..')).sort(), ['out', 'secrets.yaml'])
    assert.is((await run()).exitCode, 0, 'references need no key')
  }))

test('manifests read well: place first, code and values last, lines as lines, nothing that is so anyway', () =>
  withBench('2026-08', async ({ sql, run }) => {
    await arrange(sql)
    await fill(sql)
    const { text } = await run('--kinds', 'resource,folder', '--path', 'f/crm/odd,crm')
    assert.is(
      text,
      `apiVersion: windmill.dev/v1alpha1
kind: WindmillFolder
metadata:
  name: crm
  namespace: demo
spec:
  workspace: demo
  name: crm
  owners:
    - g/ops
    - u/alice
  extraPerms:
    g/all: false
---
apiVersion: windmill.dev/v1alpha1
kind: WindmillResource
metadata:
  name: f.crm.odd
  namespace: demo
spec:
  workspace: demo
  path: f/crm/odd
  resourceType: c_thing
  value:
    "n": "0123"
    yes: "no"
    deep:
      a:
        - x
        - 1.5
        - true
      b: null
    text: |
      a
      	b
    time: "12:30"
`.replace('    yes:', '    "yes":')
    )
  }))

test('kinds, workspaces and paths are chosen; what Windmill itself makes only when asked for', () =>
  withBench('2026-08', async ({ sql, run }) => {
    await arrange(sql)
    await fill(sql)
    const paths = async (...argv: string[]): Promise<unknown[]> =>
      (await run(...argv)).docs.map(one => one.spec['path'] ?? one.spec['name'])
    assert.equal(await paths('--kinds', 'folder,group'), ['ops', 'bare', 'crm'])
    assert.equal(await paths('--kinds', 'variable', '--path', 'f/*/p*,f/**/l?nes'), ['f/crm/lines', 'f/crm/plain'])
    assert.equal(await paths('--kinds', 'resourcetype', '--workspace', 'admins'), ['c_shared'])
    assert.equal(await paths('--kinds', 'resourcetype', '--workspace', 'admins', '--all'), ['c_shared', 'postgresql'])
    assert.equal(await paths('--kinds', 'group', '--workspace', 'demo', '--all'), ['all', 'ops'])
    const error = await rejects(run('--workspace', 'demo,nope,none'))
    assert.is(error.message.split('\n').length, 2)
  }))

test('what no manifest can say is left out with a reason, and the exit code says so', () =>
  withBench('2026-08', async ({ sql, run }) => {
    await arrange(sql)
    await resource(sql, 'f/crm/list', { value: [1] })
    await resource(sql, 'f/crm/nested', { value: { auth: { token: `${canary}-5` } } })
    await resource(sql, 'f/crm/open', { value: { host: 'x', password: `${canary}-6` } })
    await resource(sql, 'f/crm/big', { value: { id: 1 } })
    await sql`update resource set value = '{"id": 12345678901234567890}' where path = 'f/crm/big'`
    await secret(sql, 'f/crm/hollow', '')
    await sql`update variable set value = '' where path = 'f/crm/hollow'`
    await variable(sql, 'f/crm/oauth', 'x')
    await sql`update variable set is_oauth = true where path = 'f/crm/oauth'`
    const done = await run()
    assert.is(done.exitCode, 1)
    assert.not.match(done.text + done.told.join(), canary)
    const told = (path: string): string => done.told.find(one => one.includes(` ${path}: `)) ?? done.told.join('\n')
    assert.match(told('f/crm/list'), /^not exported .* no object/)
    assert.match(told('f/crm/nested'), /^not exported .*auth\.token unencrypted/)
    assert.match(told('f/crm/big'), /^not exported .*2\^53/)
    assert.match(told('f/crm/hollow'), /^not exported .*no ciphertext/)
    assert.match(told('f/crm/open'), /^exported with a difference .*password unencrypted/)
    assert.equal(find(done.docs, 'Resource', 'f/crm/open').spec['value'], { host: 'x' })
    assert.not.ok(done.docs.some(one => one.spec['path'] === 'f/crm/oauth'))
    await secret(sql, 'f/crm/vault', '')
    await sql`update variable set value = '$vault:f/crm/vault' where path = 'f/crm/vault'`
    const outside = await run('--kinds', 'variable', '--path', 'f/crm/vault')
    assert.match(only(outside.told), /^not exported .*external secret backend/)
  }))

test('a field that would come back otherwise is left out alone', () =>
  withBench('2026-08', async bench => {
    const { sql, run, folder } = bench
    await arrange(sql)
    await sql`update workspace set owner = 'Admin@Windmill.dev' where id = 'demo'`
    await sql`update workspace_settings set color = 'red', webhook = 'https://x.example' where workspace_id = 'demo'`
    await sql`insert into usr_to_group (workspace_id, group_, usr) values ('demo', 'ops', 'ghost')`
    const done = await run('--to', folder)
    assert.is(done.exitCode, 0)
    assert.is(done.told.length, 3, done.told.join('\n'))
    for (const field of ['owner', 'settings.color', 'members'])
      assert.ok(
        done.told.some(one => one.includes(`: ${field} is left out`)),
        `${field}: ${done.told.join('\n')}`
      )
    await comesBack(bench)
  }))

test("code and apps that need a bundle are named, drafts are nobody's yet", () =>
  withBench('1.558.1', async ({ sql, run }) => {
    await arrange(sql)
    const script = async (path: string, hash: number, codebase: string | null, draft: boolean): Promise<void> => {
      await sql`
        insert into script (workspace_id, hash, path, summary, description, content, created_by, language, lock, codebase, draft_only)
        values ('demo', ${hash}, ${path}, '', '', 'export function main() {}', 'alice', 'bun', '', ${codebase}, ${draft})`
    }
    await script('f/crm/plain', 1, null, false)
    await script('f/crm/bundle', 2, 'abc', false)
    await script('f/crm/draft', 3, null, true)
    const [app] = await sql<{ id: string }[]>`
      insert into app (workspace_id, path, summary, policy, versions) values ('demo', 'f/crm/raw', '', '{}', '{}') returning id`
    await sql`
      with v as (insert into app_version (app_id, value, created_by, raw_app)
                 values (${app?.id ?? ''}, '{"files": {}, "runnables": {}}', 'alice', true) returning id)
      update app set versions = array[(select id from v)]`
    const done = await run('--kinds', 'script,app')
    assert.equal(
      done.docs.map(one => one.spec['path']),
      ['f/crm/plain']
    )
    assert.is(done.exitCode, 1)
    const told = done.told.filter(one => one.startsWith('not exported'))
    assert.is(told.length, 2)
    assert.match(told.join(), /bundle: The code is a bundle of a codebase.*raw: This is a raw app/)
  }))

test('more objects than a batch holds come out once each and in order, also while another run holds the lock', () =>
  withBench('2026-08', async ({ sql, run }) => {
    await arrange(sql)
    await sql`
      insert into variable (workspace_id, path, value, is_secret)
      select 'demo', 'f/crm/v' || lpad(n::text, 4, '0'), 'x', false from generate_series(1, 450) n`
    await sql`select pg_advisory_lock(1)`
    const { docs } = await run('--kinds', 'variable')
    const names = docs.map(one => one.metadata.name)
    assert.is(new Set(names).size, 450)
    assert.equal(names, [...names].sort())
  }))

test('names follow from the path alone and are never shared', () => {
  const name = (path: string, workspace = 'demo', prefixed = false): string => nameFor(workspace, path, prefixed)
  assert.is(name('f/crm/nightly_report'), 'f.crm.nightly-report')
  assert.is(name('demo-staging', 'demo-staging'), 'demo-staging')
  assert.is(name('f/crm/x', 'demo-staging', true), 'demo-staging.f.crm.x')
  const alike = ['f/crm/a_b', 'f/crm/a-b', 'f/crm/A_b', 'f/crm/a__b', 'f/crm/_a_b', 'f/crm/a/b', 'f/crm_a/b']
  const names = alike.map(path => name(path))
  assert.is(new Set(names).size, alike.length)
  const long = [`f/crm/${'x'.repeat(240)}a`, `f/crm/${'x'.repeat(240)}b`].map(path => name(path, 'demo', true))
  assert.is(new Set(long).size, 2)
  for (const one of [...names, ...long])
    assert.match(`resource-type.${one}`, /^(?=.{1,253}$)[a-z0-9-]+(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/)
})

test('namespaces are those whose objects go to the workspace', () => {
  const of = (workspace: string, rule: string, namespace?: string): string =>
    namespaceFor(workspace, { mapping: mapping(rule) as NamespaceMapping, namespace, adminNamespaces: ['ops'] })
      .namespace
  assert.is(of('demo', 'namespace-as-workspace'), 'demo')
  assert.is(of('My_Space', 'namespace-as-workspace'), 'ops')
  assert.is(of('demo', 'map:team-a=other,team-b=demo'), 'team-b')
  assert.is(of('third', 'map:team-a=other,team-b=demo'), 'ops')
  assert.is(of('demo', 'fixed:demo'), 'demo')
  assert.is(of('other', 'fixed:demo'), 'ops')
  assert.is(of('demo', 'namespace-as-workspace', 'here'), 'here')
})

test('what was deleted comes back with its secrets, under its old name', () =>
  withBench('2026-08', async ({ sql, run, job, folder, file }) => {
    await arrange(sql)
    await fill(sql)
    await deploy(sql)
    assert.match((await rejects(run('--deleted'))).message, /no ledger/)
    await run('--to', folder, '--with-secrets', join(folder, 'secrets.yaml'))
    const argv = ['--from', folder, '--deletion-policy', 'delete', '--max-deletes', '100%', '--run-as', 'anyone']
    await job('reconcile', ...argv)
    const rows = () => sql`
      select 'v' as what, path, value, is_secret::text as more from variable where path like 'f/crm/%'
      union all select 'r', path, value::text, resource_type from resource where path like 'f/crm/%' order by 1, 2`
    const before = (await rows()).filter(one => one['path'] !== 'f/crm/odd')
    for (const kind of ['variable', 'resource']) {
      for (const path of ['db', 'deep', 'Own-Key', 'lines', 'plain', 'blank', 'empty']) {
        rmSync(join(folder, kind, 'demo', 'f', 'crm', `${path}.yaml`), { force: true })
      }
    }
    for (const file of ['script/demo/f/crm/job', 'flow/demo/f/crm/flow', 'app/demo/f/crm/page'])
      rmSync(join(folder, `${file}.yaml`))
    const deleted = await job('reconcile', ...argv)
    assert.is(deleted.counts.error, 0, JSON.stringify(deleted.objects.filter(one => one.op === 'error')))
    assert.ok((await rows()).length < before.length)
    const from = logged.length
    const back = await run('--deleted', '--to', folder, '--with-secrets', file)
    assert.equal(back.told, [])
    assert.is(back.exitCode, 0)
    assert.not.match(logged.slice(from).join(''), canary)
    writeFileSync(join(folder, 'more-secrets.yaml'), readFileSync(file))
    rmSync(join(folder, 'secrets.yaml'))
    await job('reconcile', ...argv)
    assert.equal(
      (await rows()).filter(one => one['path'] !== 'f/crm/odd'),
      before
    )
    const code = (await run('--deleted', '--kinds', 'script,flow,app')).docs.map(one => one.spec['path'])
    assert.equal(code, ['f/crm/job', 'f/crm/flow', 'f/crm/page'])
    assert.ok((await job('plan', ...argv)).objects.every(one => one.op !== 'create' && one.op !== 'update'))
    const { docs } = await run('--deleted', '--kinds', 'variable', '--path', 'f/crm/Own*')
    assert.match(only(docs).metadata.name, /^f\.crm\.own-key--/)
  }))

test('the real command prints the stream alone, and its exit code', () =>
  withDatabase('2026-08', async ({ url, sql }) => {
    await arrange(sql)
    await resource(sql, 'f/crm/list', { value: [1] })
    const ended = await runMain(['export'], { DATABASE_URL: url })
    assert.is(ended.code, 1)
    assert.equal(
      docsOf(ended.stdout).map(one => one.kind),
      ['WindmillWorkspace', 'WindmillGroup', 'WindmillFolder', 'WindmillFolder']
    )
    assert.match(ended.stderr, /f\/crm\/list/)
  }))

test('all faults of the command line are named at once', async () => {
  const error = await rejects(runAny(['export', 'x', '--namespace', 'A_b', '--force', '--diff', '--path', ','], {}))
  for (const part of ['x: unexpected', '--namespace:', '--force:', '--diff: only for', '--path:', '--database,'])
    assert.ok(error.message.includes(part), part)
  assert.match(
    (await rejects(runAny(['export', '--with-secrets', '-'], { DATABASE_URL: 'x' }))).message,
    /never printed/
  )
})

test.run()
