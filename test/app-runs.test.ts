/** Apps in whole runs: what a worker or a person does between two runs, and which of it is drift. */
import type postgres from 'postgres'
import type { Report } from '../src/report.ts'
import { withDatabase } from './support/database.ts'
import { cr, putManifests, runJob, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'
import { type Release, releases } from './support/windmill.ts'

const test = suite('app runs')

const script = (members: object = {}): object => ({ content: 'x', language: 'bun', ...members })
const value = (inlineScript: object = script(), more: object = {}): object => ({
  grid: [
    {
      id: 'a',
      data: {
        id: 'a',
        type: 'buttoncomponent',
        componentInput: { type: 'runnable', fields: {}, runnable: { type: 'runnableByName', inlineScript } }
      }
    }
  ],
  ...more
})
const app = (spec: object = {}, name = 'one'): object =>
  cr('App', name, { path: `f/ops/${name}`, ...('valueFrom' in spec ? {} : { value: value() }), ...spec })
const before = [
  cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' }),
  cr('Folder', 'ops', { name: 'ops' })
]

interface Bench {
  readonly sql: postgres.Sql
  /** A run over these apps, in full. */
  readonly run: (apps: readonly object[], ...argv: string[]) => Promise<Report>
}

const withBench = (release: Release, body: (bench: Bench) => Promise<void>): Promise<void> =>
  withDatabase(release, ({ url, sql }) =>
    withManifests([], folder =>
      body({
        sql,
        run: (apps, ...argv) => {
          putManifests(folder, [...before, ...apps])
          return runJob(['--from', folder, '--verbose', '--refresh', ...argv], { DATABASE_URL: url })
        }
      })
    )
  )

const told = (report: Report, name = 'one'): readonly (string | undefined)[] => {
  const one = report.objects.find(one => one.kind === 'WindmillApp' && one.name === name)
  return [one?.op, one?.state, one?.reason]
}
const kept = ['keep', 'Synced', 'Synced']
const updated = ['update', 'Synced', 'Synced']

const versions = async (sql: postgres.Sql): Promise<number> => (await sql`select from app_version`).length

/** A version made by hand, as the last one. */
const deploy = async (sql: postgres.Sql, text: string, who: string): Promise<void> => {
  await sql`
    with v as (insert into app_version (app_id, value, created_by)
      select id, ${text}::text::json, ${who} from app where path = 'f/ops/one' returning id, app_id)
    update app a set versions = array_append(versions, v.id) from v where v.app_id = a.id`
}

for (const release of releases) {
  test(`${release}: a worker's rewriting is no drift, whatever it does; a person's version is`, () =>
    withBench(release, async ({ sql, run }) => {
      const spec = { value: value(script(), { odd: 1.5 }) }
      assert.equal(told(await run([app(spec)])), ['create', 'Synced', 'Synced'])
      assert.equal(told(await run([app(spec)])), kept)
      // More than is known of any worker: a key dropped, others in another order.
      const rewritten = JSON.stringify(value({ lock: '{}', language: 'bunnative', content: 'x' }))
      await sql`update app_version set value = ${rewritten}::text::json`
      assert.equal(told(await run([app(spec)])), kept)
      await deploy(sql, rewritten.replace('{}', '{"b": 1}'), 'iac_controller')
      assert.equal(told(await run([app(spec)])), kept)
      assert.is(await versions(sql), 2)
      await deploy(sql, JSON.stringify(value(script({ content: 'theirs' }))), 'ann')
      assert.equal(told(await run([app(spec)], '--conflict-policy', 'db-wins')), [
        'skip',
        'OutOfSync',
        'ChangedInDatabase'
      ])
      assert.equal(told(await run([app(spec)])), updated)
      assert.equal(told(await run([app(spec)])), kept)
      assert.is(await versions(sql), 4)
    }))

  test(`${release}: after a lost ledger an app with a worker's locks is adopted, and changed no further`, () =>
    withBench(release, async ({ sql, run }) => {
      await run([app()])
      const rewritten = JSON.stringify(value({ language: 'bunnative', content: 'x', lock: '{}' }))
      await sql`update app_version set value = ${rewritten}::text::json`
      await sql`drop schema windmill_iac cascade`
      assert.equal(told(await run([app()])), ['adopt', 'Synced', 'Synced'])
      assert.equal(told(await run([app()])), kept)
      assert.is(await versions(sql), 1)
    }))

  test(`${release}: a manifest that is edited, deleted and brought back`, () =>
    withBench(release, async ({ sql, run }) => {
      await run([app()])
      assert.equal(told(await run([app({ policy: { execution_mode: 'viewer' } })])), updated)
      assert.is(await versions(sql), 2)
      const released = await run([], '--max-deletes', '100%')
      assert.equal(told(released), ['delete', 'Released', 'Released'])
      assert.is((await sql`select from app where path = 'f/ops/one'`).length, 1)
      assert.equal(told(await run([app({ policy: { execution_mode: 'viewer' } })])), ['adopt', 'Synced', 'Synced'])
      const removed = await run([], '--max-deletes', '100%', '--deletion-policy', 'delete')
      // Remembered with the object's own policy at its last apply.
      assert.is(told(removed)[0], 'delete')
      assert.is(await versions(sql), 2)
    }))
}

test('a route goes from one app to another, and two apps swap their paths', () =>
  withBench('2026-08', async ({ sql, run }) => {
    const routes = async (): Promise<unknown> =>
      Object.fromEntries(
        (await sql`select path, custom_path from app where workspace_id = 'demo'`).map(one => [
          one['path'],
          one['custom_path']
        ])
      )
    await run([app({ customPath: 'x' }), app({ customPath: 'y' }, 'two')])
    await run([app({ customPath: 'y' }), app({ customPath: 'x' }, 'two')])
    assert.equal(await routes(), { 'f/ops/one': 'y', 'f/ops/two': 'x' })
    const swapped = await run([
      app({ path: 'f/ops/two', customPath: 'y' }),
      app({ path: 'f/ops/one', customPath: 'x' }, 'two')
    ])
    assert.equal(told(swapped), updated)
    assert.equal(told(swapped, 'two'), updated)
    assert.equal(await routes(), { 'f/ops/one': 'x', 'f/ops/two': 'y' })
    assert.is(await versions(sql), 2)
  }))

test('a renamed app is made at its new path with its route, and released at the old one', () =>
  withBench('2026-08', async ({ sql, run }) => {
    await run([app({ customPath: 'x' })])
    const stranger = await run([app({ customPath: 'x' }), app({ customPath: 'x' }, 'two')])
    assert.equal(told(stranger, 'two'), ['error', 'Error', 'TakenBySomebodyElse'])
    const report = await run([app({ path: 'f/ops/new', customPath: 'x' })], '--max-deletes', '100%')
    assert.is(told(report)[0], 'create')
    assert.equal(
      (await sql`select path from app where custom_path = 'x'`).map(one => one['path']),
      ['f/ops/new']
    )
    assert.equal(told(await run([app({ path: 'f/ops/new', customPath: 'x' })])), kept)
    assert.equal(
      (await sql`select path from app where workspace_id = 'demo' order by path`).map(one => one['path']),
      ['f/ops/new', 'f/ops/one']
    )
  }))

test('a changed ConfigMap is noticed; a bad app costs only itself', () =>
  withBench('2026-08', async ({ sql, run }) => {
    const map = (text: string): object => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'apps', namespace: 'demo' },
      data: { one: text }
    })
    const from = app({ valueFrom: { configMapKeyRef: { name: 'apps', key: 'one' } } })
    assert.equal(told(await run([map('grid: []\n'), from])), ['create', 'Synced', 'Synced'])
    assert.equal(told(await run([map('grid: []\nfullscreen: true\n'), from])), updated)
    assert.equal(told(await run([map('grid: [\n'), from, app({}, 'two')])), ['error', 'Error', 'InvalidSpec'])
    assert.is((await sql`select from app where workspace_id = 'demo'`).length, 2)
    const raw = app({ value: { files: {}, runnables: {} } }, 'three')
    const bad = await run([map('grid: []\nfullscreen: true\n'), from, app({}, 'two'), raw])
    assert.equal(told(bad, 'three'), ['error', 'Error', 'NotSupportedByWindmill'])
    assert.equal(told(bad), kept)
  }))

test('an app may run as an admin only where the namespace may name one', () =>
  withBench('2026-08', async ({ sql, run }) => {
    await run([])
    await sql`insert into usr (workspace_id, username, email, is_admin) values ('demo', 'boss', 'boss@x.y', true), ('demo', 'ann', 'ann@x.y', false)`
    const as = (who: string): object => app({ policy: { on_behalf_of: who } })
    assert.equal(told(await run([as('boss')])), ['error', 'Error', 'RunAsNotAllowed'])
    assert.equal(told(await run([as('ann')])), ['create', 'Synced', 'Synced'])
    assert.equal(told(await run([as('u/boss')], '--run-as', 'admins')), updated)
    const [row] = await sql`select policy from app where path = 'f/ops/one'`
    assert.equal([row?.['policy'].on_behalf_of, row?.['policy'].on_behalf_of_email], ['u/boss', 'boss@x.y'])
  }))

test.run()
