/** Who owns what, for all kinds: CRs made again, restored dumps, two clusters, marks that lie; what a cluster is told. */
import type postgres from 'postgres'
import { readCatalogue } from '../src/database/capabilities.ts'
import { connect } from '../src/database/client.ts'
import { loadKindFiles } from '../src/kind-files.ts'
import type { Context, Kind } from '../src/model.ts'
import { checkKinds } from '../src/registry.ts'
import { readTokens } from '../src/windmill/targets.ts'
import { type Manifest, withCluster } from './support/cluster.ts'
import { isWindmills, photograph, putBack, writesOf } from './support/contract/photo.ts'
import { hands } from './support/decisions/hands.ts'
import { editAll, forEach, furniture, inHome, oneOfEach, saidOf, told, valuesOf } from './support/decisions/home.ts'
import { runJob } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('ownership')
const release = '2026-08'

async function quietly<T>(sql: postgres.Sql, work: () => Promise<T>): Promise<T> {
  const before = await writesOf(sql)
  const result = await work()
  const after = await writesOf(sql)
  const written = Object.keys(after).filter(table => isWindmills(table) && after[table] !== before[table])
  assert.equal(written, [], 'tables of Windmill were written to')
  return result
}

/** Makes the ledger believe that it knows the rows as they are now, and that no lock job is worth looking after. */
async function lie(sql: postgres.Sql, url: string): Promise<void> {
  const database = await connect(url)
  try {
    const capabilities = await database.read(readCatalogue)
    const context: Context = { capabilities, user: 'iac_controller', email: '', salt: '', linkedBy: () => undefined }
    for (const kind of checkKinds(await loadKindFiles()) as unknown as readonly Kind[]) {
      const entries = await sql<{ workspace: string; path: string; fields: string[] }[]>`
        select workspace, path, fields from windmill_iac.object where kind = ${kind.kind} and path is not null`
      const tokens = await database.read(tx => readTokens(tx, kind, entries, context))
      for (const [key, token] of tokens) {
        const [workspace = '', path = ''] = key.split('\0')
        await sql`
          update windmill_iac.object set token = ${token}, details = details - 'lockState'
           where kind = ${kind.kind} and workspace = ${workspace} and path = ${path}`
      }
    }
  } finally {
    await database.close()
  }
}

test('where no mark moved nothing is read; sync-requested-at and --refresh compare in full, each kind', () =>
  inHome(release, ['team'], async ({ sql, url, run }) => {
    const asked = (when?: string): readonly object[] => [
      ...furniture,
      ...oneOfEach('x', 'ann', { annotations: when ? { 'windmill.dev/sync-requested-at': when } : {} })
    ]
    const deceive = async (): Promise<void> => {
      await editAll(sql, release, ['x'])
      await lie(sql, url)
    }
    await run(asked())
    await deceive()
    assert.equal(saidOf(await quietly(sql, () => run(asked())), 'x'), forEach('keep Synced'))
    assert.equal(await valuesOf(sql, 'x'), forEach('cyd'))
    for (const when of ['2026-01-01T00:00:00Z', 'now', 'again']) {
      assert.equal(saidOf(await run(asked(when)), 'x'), forEach('update Synced'), when)
      await deceive()
      assert.equal(saidOf(await run(asked(when)), 'x'), forEach('keep Synced'), `${when}, the second time`)
    }
    assert.equal(saidOf(await run(asked('again'), '--refresh'), 'x'), forEach('update Synced'))
    assert.equal(await valuesOf(sql, 'x'), forEach('ann'))
  }))

test('an older dump that is restored is brought up to date: edited, made and deleted since then', () =>
  inHome(release, ['team'], async ({ sql, run }) => {
    const deleting = { annotations: { 'windmill.dev/deletion-policy': 'delete' } }
    const steady = [...furniture, ...oneOfEach('steady', 'ann')]
    await run([...steady, ...oneOfEach('edited', 'ann'), ...oneOfEach('gone', 'ann', deleting)])
    const dump = await photograph(sql)
    const now = [...steady, ...oneOfEach('edited', 'bob'), ...oneOfEach('made', 'ann')]
    await run(now, '--max-deletes', '100%')
    await putBack(sql, dump)
    await sql`update windmill_iac.meta set value = 'another server' where key = 'incarnation'`
    const report = await run(now, '--max-deletes', '100%')
    assert.is(report.run.exitCode, 0, told(report))
    assert.equal(saidOf(report, 'steady'), forEach('keep Synced'))
    assert.equal(saidOf(report, 'edited'), forEach('update Synced'))
    assert.equal(saidOf(report, 'made'), forEach('create Synced'))
    assert.equal(
      saidOf(report, 'gone'),
      forEach(hand => `delete ${hand.gone.delete}`)
    )
    assert.equal(await valuesOf(sql, 'edited'), forEach('bob'))
    const again = await quietly(sql, () => run(now))
    assert.is(again.counts.keep, now.length)
  }))

test('a dump of rows without their ledger, and a ledger without its rows, are both no reason to touch what is right', () =>
  inHome(release, ['team'], async ({ sql, run }) => {
    const all = [...furniture, ...oneOfEach('x', 'ann')]
    await run(all)
    await sql`drop schema windmill_iac cascade`
    const adopted = await quietly(sql, () => run(all))
    assert.equal(saidOf(adopted, 'x'), forEach('adopt Synced'))
    assert.equal(saidOf(await quietly(sql, () => run(all)), 'x'), forEach('keep Synced'))
    for (const hand of hands) await hand.remove(sql, [hand.place('x')])
    assert.equal(saidOf(await run(all), 'x'), forEach('create Synced'))
    assert.equal(await valuesOf(sql, 'x'), forEach('ann'))
  }))

test('two clusters share a database: each has its own, neither prunes nor takes what is the other’s', () =>
  inHome(release, ['team'], async ({ sql, run }) => {
    const generous = ['--max-deletes', '100%', '--deletion-policy', 'delete']
    await run([...furniture, ...oneOfEach('one', 'ann')])
    const second = ['--cluster-id', 'second', ...generous]
    const report = await run([...oneOfEach('two', 'ann'), ...oneOfEach('one', 'bob')], ...second)
    assert.equal(saidOf(report, 'two'), forEach('create Synced'), told(report))
    assert.equal(saidOf(report, 'one'), forEach('conflict OwnedByAnotherCluster'))
    await run([...furniture, ...oneOfEach('one', 'ann')], ...generous)
    assert.equal(await valuesOf(sql, 'two'), forEach('ann'))
    await run([], ...second)
    assert.equal(await valuesOf(sql, 'one'), forEach('ann'))
  }))

interface Told {
  readonly state?: string
  readonly message?: string
  readonly lastModifiedInDb?: string
}

test('a cluster is told of drift with field, author and time; a CR made again keeps its row, and has a status again', () =>
  inHome(release, ['team'], ({ sql, url }) =>
    withCluster({}, async cluster => {
      const all = [...furniture, ...oneOfEach('x', 'ann')] as readonly Manifest[]
      const namespaces = ['windmill-system', 'team'].map(name => ({
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name, annotations: { 'windmill.dev/conflict-policy': 'db-wins' } }
      }))
      for (const one of [...namespaces, ...all]) cluster.put(one)
      const run = (): ReturnType<typeof runJob> =>
        runJob(['--admin-namespaces', 'windmill-system,team', '--cluster-id', 'files'], {
          DATABASE_URL: url,
          KUBECONFIG: cluster.kubeconfig()
        })
      const statusOf = (kind: string): Told => cluster.get(`Windmill${kind}`, 'team', 'x')?.['status'] ?? {}
      assert.equal((await run()).run.exitCode, 0)
      const before = await valuesOf(sql, 'x')
      for (const { kind } of hands) cluster.remove(`Windmill${kind}`, 'team', 'x')
      for (const one of oneOfEach('x', 'ann') as readonly Manifest[]) cluster.put(one)
      const again = await quietly(sql, run)
      assert.is(again.counts.keep, all.length, told(again))
      for (const { kind } of hands) assert.is(statusOf(kind).state, 'Synced', kind)
      await editAll(sql, release, ['x'])
      const drifted = await quietly(sql, run)
      assert.is(drifted.counts.skip, hands.length, told(drifted))
      assert.equal(before, forEach('ann'))
      for (const { kind, field } of hands) {
        const { state, message, lastModifiedInDb } = statusOf(kind)
        assert.is(state, 'OutOfSync')
        const start = `Changed in Windmill by alice (${field}); the policy db-wins leaves it.`
        assert.ok(message?.startsWith(start), `${kind}: ${message}`)
        assert.match(lastModifiedInDb ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, kind)
      }
      const events = cluster.events('team').filter(one => one['reason'] === 'ChangedInDatabase')
      assert.is(events.length, hands.length)
      for (const one of events) assert.match(String(one['message']), /by alice/)
      cluster.forget()
      await quietly(sql, run)
      assert.equal(cluster.writes(), [], 'what was said is not said again')
    })
  ))

test('unknown annotations of ours are named with the one that was meant, whatever the kind', () =>
  inHome(release, ['team'], async ({ run }) => {
    const odd = {
      'windmill.dev/deletionPolicy': 'delete',
      'windmill.dev/conflict-polcy': 'db-wins',
      'windmill.dev/favourite-colour': 'blue',
      'example.com/deletion-policy': 'delete'
    }
    const report = await run([...furniture, ...oneOfEach('x', 'ann', { annotations: odd })])
    for (const { kind } of hands) {
      const { message = '', state } =
        report.objects.find(one => one.kind === `Windmill${kind}` && one.name === 'x') ?? {}
      assert.is(state, 'Synced')
      assert.match(message, /windmill\.dev\/deletionPolicy.*did you mean windmill\.dev\/deletion-policy\?/)
      assert.match(message, /windmill\.dev\/conflict-polcy.*did you mean windmill\.dev\/conflict-policy\?/)
      assert.match(message, /windmill\.dev\/favourite-colour/)
      assert.not.match(message, /example\.com/)
    }
  }))

test.run()
