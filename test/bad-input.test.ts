/** Bad input: each object gets its own Error with a sentence that says what to do, all others land, exit 1; no secret shows. */
import type postgres from 'postgres'
import { stringify } from 'yaml'
import type { Report } from '../src/report.ts'
import { declareCanary, heard } from './support/canaries.ts'
import { type Manifest, withCluster } from './support/cluster.ts'
import { withDatabase } from './support/database.ts'
import { cr, logged, runJob, runMain, withManifests } from './support/job.ts'
import { assert, rejects, suite } from './support/suite.ts'

const test = suite('bad-input')

const CANARY = 'canary-7f3a91'
const workspace = cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' })
const variable = (name: string, spec: object = {}, metadata: object = {}): ReturnType<typeof cr> =>
  cr('Variable', name, { path: `f/ops/${name}`, value: name, ...spec }, metadata)
const fromSecret = (name: string, secret: string, key = 'k'): ReturnType<typeof cr> =>
  cr('Variable', name, { path: `f/ops/${name}`, valueFrom: { secretKeyRef: { name: secret, key } } })
const secret = (name: string, data: Record<string, Buffer | string>): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'demo' },
  data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]))
})

interface Case {
  readonly manifest: Manifest
  readonly reason: string
  readonly says: RegExp
}

/** What admission of a real cluster would refuse, and what only we can see; all in one folder. */
const cases: Readonly<Record<string, Case>> = {
  'unknown field': {
    manifest: variable('field', { valu: 'x' }),
    reason: 'InvalidSpec',
    says: /spec\.valu: unknown field; did you mean spec\.value\?/
  },
  'wrong type': {
    manifest: variable('type', { isSecret: 'yes' }),
    reason: 'InvalidSpec',
    says: /spec\.isSecret: must be/
  },
  'missing field': { manifest: cr('Variable', 'missing', { value: 'x' }), reason: 'InvalidSpec', says: /spec\.path/ },
  'both value and valueFrom': {
    manifest: variable('both', { valueFrom: { secretKeyRef: { name: 'good', key: 'k' } } }),
    reason: 'InvalidSpec',
    says: /valueFrom/
  },
  'path outside of u/ and f/': {
    manifest: variable('path', { path: 'ops/x/y' }),
    reason: 'InvalidSpec',
    says: /spec\.path/
  },
  'path that climbs': { manifest: variable('climbs', { path: 'f/../x' }), reason: 'InvalidSpec', says: /spec\.path/ },
  'missing Secret': { manifest: fromSecret('nosecret', 'nowhere'), reason: 'SecretNotFound', says: /demo\/nowhere/ },
  'missing key': {
    manifest: fromSecret('nokey', 'good', 'other'),
    reason: 'SecretKeyNotFound',
    says: /has no key other/
  },
  'Secret that is no text': { manifest: fromSecret('binary', 'binary'), reason: 'SecretNotText', says: /not UTF-8/ },
  'unknown workspace': {
    manifest: variable('noworkspace', { workspace: 'nowhere' }, { namespace: 'windmill-system' }),
    reason: 'WorkspaceNotFound',
    says: /Workspace nowhere does not exist/
  },
  'workspace of others': {
    manifest: variable('notmine', { workspace: 'admins' }),
    reason: 'WorkspaceNotAllowed',
    says: /windmill\.dev\/workspaces/
  },
  'workspace id with dots': {
    manifest: cr('Workspace', 'dots', { id: 'team.a', name: 'Dots' }, { namespace: 'windmill-system' }),
    reason: 'InvalidSpec',
    says: /spec\.id/
  },
  'value over the limit': {
    manifest: variable('long', { value: `${CANARY}${'x'.repeat(15_000)}` }),
    reason: 'InvalidSpec',
    says: /spec\.value|value/
  },
  'secret over the limit': { manifest: fromSecret('longsecret', 'long'), reason: 'InvalidSpec', says: /11,?247/ },
  'value of 1 MB': {
    manifest: variable('mega', { value: `${CANARY}${'y'.repeat(1_000_000)}` }),
    reason: 'InvalidSpec',
    says: /value/
  },
  'NUL in a value': { manifest: variable('nul', { value: `${CANARY}\0` }), reason: 'InvalidSpec', says: /U\+0000/ },
  'NUL in JSON': {
    manifest: cr('Resource', 'nuljson', {
      path: 'f/ops/nuljson',
      resourceType: 'c_x',
      value: { a: { b: `${CANARY}\0` } }
    }),
    reason: 'InvalidSpec',
    says: /U\+0000/
  },
  'a number too large': {
    manifest: cr('Resource', 'number', { path: 'f/ops/number', resourceType: 'c_x', value: { a: 2 ** 60 } }),
    reason: 'InvalidSpec',
    says: /2\^53|string/
  },
  'a Secret that is no JSON object': {
    manifest: cr('Resource', 'nojson', {
      path: 'f/ops/nojson',
      resourceType: 'c_x',
      valueFrom: { secretKeyRef: { name: 'good', key: 'k' } }
    }),
    reason: 'InvalidSpec',
    says: /JSON object/
  },
  'unusable policy': {
    manifest: variable('policy', {}, { annotations: { 'windmill.dev/deletion-policy': 'purge' } }),
    reason: 'InvalidSpec',
    says: /deletion-policy must be one of/
  },
  'unknown kind': { manifest: cr('Variabel', 'kind', {}), reason: 'UnknownKind', says: /WindmillVariabel/ }
}

const good: readonly Manifest[] = [
  workspace,
  cr('Folder', 'ops', { name: 'ops' }),
  variable('fine'),
  fromSecret('sealed', 'good'),
  cr('Resource', 'mega-ok', { path: 'f/ops/mega_ok', resourceType: 'c_x', value: { text: 'z'.repeat(1_000_000) } }),
  secret('good', { k: CANARY }),
  secret('long', { k: `${CANARY}${'x'.repeat(11_247)}` }),
  secret('binary', { k: Buffer.from([0xff, 0xfe, 0x00]) })
]

const broken =
  'apiVersion: windmill.dev/v1alpha1\nkind: WindmillVariable\nmetadata: {name: broken, namespace: demo\nspec: x\n'

declareCanary(CANARY)

/** Everything that a run said, or left in the ledger: now, and not only at the end of the process. */
async function assertNoCanary(sql: postgres.Sql, ...texts: readonly string[]): Promise<void> {
  assert.equal(heard(), [])
  const ledger = await sql`select * from windmill_iac.object`
  const runs = await sql`select * from windmill_iac.run`
  for (const text of [...texts, ...logged, JSON.stringify(ledger), JSON.stringify(runs)]) {
    const at = text.indexOf(CANARY)
    assert.is(at, -1, `…${text.slice(Math.max(0, at - 200), at)}<here>`)
  }
}

const yaml = [...good, ...Object.values(cases).map(one => one.manifest)]
  .map(one => stringify(one, { compat: 'yaml-1.1' }))
  .join('---\n')

test('each bad object is in error with its sentence, all others land, exit 1', () =>
  withManifests(`${yaml}---\n${broken}`, folder =>
    withDatabase('2026-08', async ({ url, sql }) => {
      const report = await runJob(['--from', folder, '--verbose'], { DATABASE_URL: url })
      assert.is(report.run.exitCode, 1)
      for (const [title, { manifest, reason, says }] of Object.entries(cases)) {
        const found = report.objects.find(
          one => one.name === manifest.metadata.name || (one.reason === reason && reason === 'UnknownKind')
        )
        assert.is(found?.state, 'Error', title)
        assert.is(found?.reason, reason, `${title}: ${found?.message}`)
        assert.match(found?.message ?? '', says, title)
        assert.ok((found?.message.length ?? 0) < 1000, title)
      }
      const stray = report.objects.find(one => one.reason === 'InvalidManifest')
      assert.match(stray?.message ?? '', /manifests\.yaml:\d+:\d+/)
      assert.is(report.counts.create, 5)
      assert.is(report.counts.error, Object.keys(cases).length + 1)
      const rows = await sql`select path from variable where workspace_id = 'demo' order by path`
      assert.equal(
        rows.map(one => one['path']),
        ['f/ops/fine', 'f/ops/sealed']
      )
      await assertNoCanary(sql, JSON.stringify(report))
    })
  ))

test('the same through the real command: exit 1, nothing secret on stdout or stderr, in text, diffs or debug logs', () =>
  withManifests(yaml, folder =>
    withDatabase('2026-08', async ({ url, sql }) => {
      const plan = await runMain(['plan', '--diff', '--from', folder, '-o', 'text', '--log-level', 'debug'], {
        DATABASE_URL: url
      })
      assert.is(plan.code, 1, plan.stderr)
      const ended = await runMain(['--from', folder, '-o', 'text', '--log-level', 'debug'], { DATABASE_URL: url })
      assert.is(ended.code, 1, ended.stderr)
      await assertNoCanary(sql, plan.stdout, plan.stderr, ended.stdout, ended.stderr)
    })
  ))

test('a forbidden Secret is that object only, and says so; statuses and events hold no secret', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withCluster({}, async cluster => {
      for (const one of [...good, fromSecret('forbidden', 'closed'), secret('closed', { k: CANARY })]) cluster.put(one)
      cluster.deny('admin', { verbs: ['get'], resources: ['secrets'], names: ['closed'] })
      const report = await runJob([], { DATABASE_URL: url, KUBECONFIG: cluster.kubeconfig() })
      assert.is(report.run.exitCode, 1)
      assert.is(report.objects.find(one => one.name === 'forbidden')?.reason, 'SecretForbidden')
      assert.is(report.counts.create, 5)
      const statuses = cluster.list('WindmillVariable').map(one => one['status'])
      await assertNoCanary(sql, JSON.stringify(statuses), JSON.stringify(cluster.events()), JSON.stringify(report))
      assert.match(JSON.stringify(statuses), /SecretForbidden/)
    })
  ))

test('a Secret that cannot be had any more leaves the live row as it is', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withManifests([...good], folder =>
      withManifests(
        good.filter(one => one.kind !== 'Secret'),
        without =>
          (async () => {
            const value = async (): Promise<unknown> =>
              (await sql`select value from variable where path = 'f/ops/sealed'`)[0]?.['value']
            await runJob(['--from', folder], { DATABASE_URL: url })
            const before = await value()
            const report: Report = await runJob(['--from', without], { DATABASE_URL: url })
            assert.is(report.objects.find(one => one.name === 'sealed')?.reason, 'SecretNotFound')
            assert.is(report.counts.delete, 0)
            assert.is(await value(), before)
          })()
      )
    )
  ))

const wrongKeys: readonly (readonly [string, (sql: postgres.Sql) => Promise<unknown>, Record<string, string>])[] = [
  ['a wrong key', sql => sql`update workspace_key set key = 'another' where workspace_id = 'demo'`, {}],
  ['a wrong salt', async () => {}, { SECRET_SALT: 'pepper' }]
]
for (const [title, spoil, environment] of wrongKeys) {
  test(`${title} is refused before any write, exit 3`, () =>
    withDatabase('2026-08', ({ url, sql }) =>
      withManifests([...good], folder =>
        withManifests([...good, variable('more'), cr('Folder', 'more', { name: 'more' })], more =>
          (async () => {
            await runJob(['--from', folder], { DATABASE_URL: url })
            await spoil(sql)
            await sql`select pg_stat_force_next_flush()`
            const ended = await runMain(['--from', more, '-o', 'json'], { DATABASE_URL: url, ...environment })
            assert.is(ended.code, 3, ended.stderr)
            assert.match(ended.stdout, /WrongEncryptionKey/)
            assert.match(ended.stdout, /SECRET_SALT/)
            assert.is((await sql`select from folder where name = 'more'`).length, 0)
            assert.is((await sql`select from variable where path = 'f/ops/more'`).length, 0)
            await assertNoCanary(sql, ended.stdout, ended.stderr)
          })()
        )
      )
    ))
}

test('a folder that is not there and a database that is none are refused with a sentence', async () => {
  await withDatabase('2026-08', async ({ url }) => {
    const error = await rejects(runJob(['--from', '/nowhere/at/all'], { DATABASE_URL: url }))
    assert.match(error.message, /--from \/nowhere\/at\/all/)
    const other = await rejects(runJob(['--from', '.'], { DATABASE_URL: url.replace(/\/[^/]*$/, '/postgres') }))
    assert.match(other.message, /no Windmill tables/)
  })
})

test.run()
