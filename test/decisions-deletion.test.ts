/** Deletions of all kinds: the guard with its numbers, changes of scope, the order of what depends on each other. */
import type postgres from 'postgres'
import { shardOf } from '../src/scope.ts'
import { isWindmills, writesOf } from './support/contract/photo.ts'
import { hands, home } from './support/decisions/hands.ts'
import { forEach, furniture, inHome, oneOfEach, saidOf, told, valuesOf } from './support/decisions/home.ts'
import { cr } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('deletions')
const release = '2026-08'
const deleted = { annotations: { 'windmill.dev/deletion-policy': 'delete' } }
const many = (from: number, to: number): readonly object[] =>
  Array.from({ length: to - from }, (_, at) => oneOfEach(`o${from + at}`, 'ann', deleted)).flat()

/** Tables of Windmill that `work` wrote to. */
async function writtenBy(sql: postgres.Sql, work: () => Promise<unknown>): Promise<readonly string[]> {
  const before = await writesOf(sql)
  await work()
  const after = await writesOf(sql)
  return Object.keys(after).filter(table => isWindmills(table) && after[table] !== before[table])
}

test('the guard holds back each kind with its numbers; all else is done; the named number lets it through once', () =>
  inHome(release, ['team'], async ({ sql, run }) => {
    await run([...furniture, ...many(0, 10)])
    const rest = [...furniture, ...many(0, 7), ...oneOfEach('fresh', 'ann')]
    const report = await run(rest)
    assert.is(report.run.exitCode, 3)
    assert.equal(saidOf(report, 'fresh'), forEach('create Synced'))
    assert.is(report.counts.delete, 0)
    for (const { kind } of hands) {
      const owned = 11 + furniture.filter(one => (one as { kind: string }).kind === `Windmill${kind}`).length
      const guard = report.objects.find(one => one.kind === `Windmill${kind}` && one.reason === 'DeletionGuard')
      assert.is(
        guard?.message,
        `3 of ${owned} owned objects would be deleted, allowed are 2; --max-deletes 3 (or 100%) allows it for one run`
      )
    }
    assert.equal(await valuesOf(sql, 'o9'), forEach('ann'))
    const allowed = await run(rest, '--max-deletes', '3')
    assert.is(allowed.run.exitCode, 0, told(allowed))
    for (const name of ['o7', 'o8', 'o9']) {
      assert.equal(
        saidOf(allowed, name),
        forEach(hand => `delete ${hand.gone.delete}`)
      )
    }
    assert.is((await run(rest)).run.exitCode, 0)
  }))

test('a kind of which nothing is listed any more deletes nothing, whichever kind it is', () =>
  inHome(release, ['team'], async ({ sql, run }) => {
    await run([...furniture, ...many(0, 2)])
    const others = furniture.length
    const report = await run([])
    assert.is(report.run.exitCode, 3)
    assert.equal(
      report.objects.filter(one => one.reason === 'DeletionGuard').map(one => one.kind),
      hands.map(one => `Windmill${one.kind}`).sort()
    )
    for (const { message } of report.objects)
      assert.match(message, /no object is listed any more, but \d+ are owned; --max-deletes \d+/)
    assert.equal(await valuesOf(sql, 'o1'), forEach('ann'))
    assert.is((await run([...furniture, ...many(0, 2)])).counts.keep, others + 2 * hands.length)
  }))

test('the first run after a change of scope prunes nothing of what merely fell out of it', () =>
  inHome(release, ['team', 'elsewhere'], async ({ sql, run }) => {
    const objects = many(0, 3)
    const all = [...furniture, ...objects]
    await run(all)
    const generous = ['--max-deletes', '100%']
    const quietly = async (what: string, manifests: readonly object[], ...argv: string[]): Promise<void> => {
      const work = async (): Promise<void> => {
        const report = await run(manifests, ...generous, ...argv)
        assert.is(report.run.exitCode, 0, `${what}: ${told(report)}`)
        assert.is(report.counts.delete, 0, what)
      }
      assert.equal(await writtenBy(sql, work), [], what)
    }
    await quietly('other namespaces', [], '--watch-namespaces', 'elsewhere')
    await quietly('other labels', all, '--selector', 'team=nobody')
    for (const { kind } of hands) {
      const listed = all.filter(one => (one as { kind: string }).kind === `Windmill${kind}`)
      await quietly(`only ${kind}`, listed, '--kinds', kind)
    }
    const items = hands.filter(one => one.kind !== 'Workspace').map(one => one.kind)
    await quietly('another shard', [], '--shard', `${1 - shardOf(home, 2)}/2`, '--kinds', items.join())
    await quietly('both shards', all, '--shard', `${shardOf(home, 2)}/2`)
    await quietly('all again', all)
  }))

test('a namespace that is sent to another workspace keeps what it had there behind the guard', () =>
  inHome(release, ['team'], async ({ sql, run }) => {
    const moved = (workspace: string): readonly object[] =>
      Array.from({ length: 6 }, (_, n) =>
        cr(
          'Variable',
          `v${n}`,
          { path: `f/ops/v${n}`, value: 'ann' },
          {
            ...deleted,
            namespace: 'team'
          }
        )
      ).map(one => ({ ...one, spec: { ...one.spec, workspace } }))
    const other = cr('Workspace', 'other', { id: 'other', name: 'Other' }, { namespace: 'windmill-system' })
    await run([...furniture, other, ...moved(home)])
    const report = await run([...furniture, other, ...moved('other')])
    assert.is(report.run.exitCode, 3)
    assert.match(told(report), /6 of 12 owned objects would be deleted/)
    const rows = await sql`select workspace_id from variable where path like 'f/ops/v%'`
    assert.is(rows.length, 12)
  }))

test('what depends on each other goes in one run, users first; what others still use stays, with the reason', () =>
  inHome(release, ['team'], async ({ sql, run }) => {
    const one = (kind: string, name: string, spec: object): object =>
      cr(kind, name, { workspace: home, ...spec }, { ...deleted, namespace: 'team' })
    const tree = [
      one('Folder', 'tree', { name: 'tree' }),
      one('Group', 'tree', { name: 'tree', members: ['ann'] }),
      one('ResourceType', 'tree', { name: 'c_tree', schema: { type: 'object' } }),
      one('Variable', 'tree', { path: 'f/tree/v', value: 'x' }),
      one('Resource', 'tree', { path: 'f/tree/r', resourceType: 'c_tree', value: { host: '$var:f/tree/v' } }),
      one('Script', 'tree', { path: 'f/tree/s', language: 'bash', content: 'echo $1' }),
      one('Flow', 'tree', {
        path: 'f/tree/flow',
        value: { modules: [{ id: 'a', value: { type: 'script', path: 'f/tree/s', input_transforms: {} } }] }
      }),
      one('App', 'tree', { path: 'f/tree/app', value: { grid: [] } }),
      one('Schedule', 'tree', {
        path: 'f/tree/times',
        schedule: '0 4 * * *',
        timezone: 'UTC',
        scriptPath: 'f/tree/s',
        isFlow: false
      })
    ]
    const kinds = hands.map(hand => hand.kind).filter(kind => kind !== 'Workspace')
    await run([...furniture, ...tree])
    // Somebody else uses the variable, the type, the script; and put something into the folder.
    await sql`
      insert into resource (workspace_id, path, value, resource_type)
      values (${home}, 'f/tree/theirs', '{"host": "$var:f/tree/v"}', 'c_tree')`
    const first = await run(furniture, '--max-deletes', '100%')
    const used = ['Folder', 'ResourceType', 'Variable']
    for (const kind of kinds) {
      const found = first.objects.find(other => other.kind === `Windmill${kind}`)
      assert.is(found?.reason, used.includes(kind) ? 'StillInUse' : 'Deleted', `${kind}: ${found?.message}`)
      if (used.includes(kind)) assert.match(found?.message ?? '', /f\/tree|resource/)
    }
    await sql`delete from resource where path = 'f/tree/theirs'`
    const second = await run(furniture, '--max-deletes', '100%')
    assert.is(second.counts.delete, used.length, told(second))
    // And all at once, where nobody else is in the way.
    await run([...furniture, ...tree])
    const whole = await run(furniture, '--max-deletes', '100%')
    assert.is(whole.counts.delete, tree.length, told(whole))
    const [left] = await sql`
      select (select count(*) from script where path like 'f/tree/%') + (select count(*) from flow where path like 'f/tree/%')
           + (select count(*) from v2_job_queue q join v2_job j using (id) where j.trigger = 'f/tree/times') as count`
    assert.is(String(left?.['count']), '0')
    const kept = await sql`select kind from windmill_iac.deleted where name = 'tree' group by kind`
    assert.is(kept.length, kinds.length, 'all of it can be brought back')
  }))

test.run()
