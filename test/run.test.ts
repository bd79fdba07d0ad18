/** Whole runs from a folder: first, second, dry, refused, partly failed, renamed, deleted, interrupted. */
import type postgres from 'postgres'
import type { Report } from '../src/report.ts'
import { writesOf } from './support/contract/photo.ts'
import { withDatabase } from './support/database.ts'
import { cr, putManifests, runJob, withManifests } from './support/job.ts'
import { assert, rejects, suite } from './support/suite.ts'

const test = suite('run')

const workspace = cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' })
const folder = cr('Folder', 'ops', { name: 'ops' })
const variable = (name: string, spec: object = {}, metadata: object = {}): ReturnType<typeof cr> =>
  cr('Variable', name, { path: `f/ops/${name}`, value: name, ...spec }, metadata)

interface Bench {
  readonly sql: postgres.Sql
  readonly url: string
  /** Runs over these manifests. */
  readonly run: (manifests: readonly object[] | string, ...argv: string[]) => Promise<Report>
}

/** A fresh database and a folder of manifests that each run replaces. */
const withBench = (body: (bench: Bench) => Promise<void>): (() => Promise<void>) => {
  return () =>
    withDatabase('2026-08', ({ url, sql }) =>
      withManifests([], folder =>
        body({
          sql,
          url,
          run: (manifests, ...argv) => {
            putManifests(folder, manifests)
            const command = ['plan', 'reconcile'].includes(argv[0] ?? '') ? argv : ['reconcile', ...argv]
            return runJob([...command, '--from', folder, '--verbose'], { DATABASE_URL: url })
          }
        })
      )
    )
}

const ops = (report: Report): Record<string, string> =>
  Object.fromEntries(report.objects.map(one => [one.name || one.kind, one.op]))

const reasonOf = (report: Report, name: string): string => report.objects.find(one => one.name === name)?.reason ?? ''

const values = async (sql: postgres.Sql): Promise<Record<string, string>> => {
  const rows = await sql<{ path: string; value: string }[]>`
    select path, value from variable where workspace_id = 'demo' and not is_secret order by path`
  return Object.fromEntries(rows.map(one => [one.path, one.value]))
}

test(
  'a first run creates everything in its order, whatever the order of the manifests',
  withBench(async ({ run, sql }) => {
    const report = await run([variable('a'), folder, workspace])
    assert.equal(ops(report), { a: 'create', demo: 'create', ops: 'create' })
    assert.is(report.run.exitCode, 0)
    assert.equal(await values(sql), { 'f/ops/a': 'a' })
  })
)

// Without statistics PostgreSQL plans the next run as if the ledger were empty: quadratic in the number of CRs.
test(
  'a run that wrote much leaves statistics of the ledger, one that wrote little leaves them as they are',
  withBench(async ({ run, sql }) => {
    const analyzed = async (): Promise<unknown> => {
      await sql`select pg_stat_force_next_flush()`
      const [row] = await sql`
        select analyze_count::int as times, c.reltuples::int as rows
          from pg_stat_user_tables s join pg_class c on c.oid = s.relid where s.relid = 'windmill_iac.object'::regclass`
      return row
    }
    const many = Array.from({ length: 120 }, (_, n) => variable(`v${n}`))
    assert.is((await run([workspace, folder, ...many])).counts.create, 122)
    assert.equal(await analyzed(), { times: 1, rows: 122 })
    assert.is((await run([workspace, folder, ...many])).counts.keep, 122)
    assert.is((await run([workspace, folder, ...many.slice(1), variable('v0', { value: 'x' })])).counts.update, 1)
    assert.equal(await analyzed(), { times: 1, rows: 122 })
  })
)

test(
  'a second run keeps everything and writes nothing to any table',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a'), variable('b')]
    await run(manifests)
    const before = await writesOf(sql)
    const report = await run(manifests)
    assert.equal(report.counts, { create: 0, update: 0, adopt: 0, delete: 0, keep: 4, conflict: 0, error: 0, skip: 0 })
    assert.equal(await writesOf(sql), before)
  })
)

test(
  'all shards may begin at the same moment on a database without a ledger, and each keeps to its workspaces',
  withBench(async ({ run, sql }) => {
    const shards = ['0/3', '1/3', '2/3']
    const manifests = [workspace, folder, variable('a'), variable('b')]
    const first = await Promise.all(shards.map(one => run(manifests, '--shard', one)))
    assert.equal(
      first.map(one => one.run.exitCode),
      [0, 0, 0]
    )
    assert.is(
      first.reduce((sum, one) => sum + one.counts.create, 0),
      4
    )
    // What is gone is pruned by the shard of its workspace alone, and nobody else's is.
    const second = await Promise.all(shards.map(one => run(manifests.slice(0, 3), '--shard', one)))
    assert.is(
      second.reduce((sum, one) => sum + one.counts.delete, 0),
      1
    )
    assert.is(
      second.reduce((sum, one) => sum + one.counts.keep, 0),
      3
    )
    const owned = await sql`select from windmill_iac.object where path is not null and name is not null`
    assert.is(owned.length, 3)
  })
)

const at = (name: string, path: string, day: number, spec: object = {}): ReturnType<typeof cr> =>
  variable(name, { path: `f/ops/${path}`, ...spec }, { creationTimestamp: `2026-01-0${day}T00:00:00Z` })

test(
  'who loses both the old target and the new one to others is told once, and then nothing is written',
  withBench(async ({ run, sql }) => {
    await run([workspace, at('old', 'one', 1), at('young', 'two', 2), at('oldest', 'three', 1)])
    const swapped = [workspace, at('old', 'two', 1), at('young', 'three', 2), at('oldest', 'three', 1)]
    assert.is(reasonOf(await run(swapped, '--max-deletes', '100%'), 'young'), 'ClaimedTwice')
    const before = await writesOf(sql)
    assert.is(reasonOf(await run(swapped), 'young'), 'ClaimedTwice')
    assert.equal(await writesOf(sql), before)
  })
)

test(
  'who may not take over the new target while another takes the old one is told once, and then nothing is written',
  withBench(async ({ run, sql }) => {
    await run([workspace, at('old', 'one', 1), at('young', 'two', 2)])
    await sql`insert into variable (workspace_id, path, value) values ('demo', 'f/ops/theirs', 'by hand')`
    const moved = [workspace, at('old', 'two', 1), at('young', 'theirs', 2)]
    const report = await run(moved, '--max-deletes', '100%', '--adopt', 'identical')
    assert.is(reasonOf(report, 'young'), 'ExistsAlready')
    const before = await writesOf(sql)
    assert.is(reasonOf(await run(moved, '--adopt', 'identical'), 'young'), 'ExistsAlready')
    assert.equal(await writesOf(sql), before)
  })
)

test(
  'a broken manifest whose target an older one takes over is told what is broken',
  withBench(async ({ run }) => {
    await run([workspace, at('old', 'one', 1), at('young', 'two', 2)])
    const broken = [workspace, at('old', 'two', 1), at('young', 'two', 2, { nonsense: 1 })]
    assert.is(reasonOf(await run(broken, '--max-deletes', '100%'), 'young'), 'InvalidSpec')
  })
)

test(
  'a full comparison of an unchanged world writes nothing either',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a')]
    await run(manifests)
    const before = await writesOf(sql)
    assert.is((await run(manifests, '--refresh')).counts.keep, 3)
    assert.equal(await writesOf(sql), before)
  })
)

test(
  'an edited manifest updates its row and no other',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a'), variable('b')])
    const [b] = await sql<{ xmin: string }[]>`select xmin::text from variable where path = 'f/ops/b'`
    const report = await run([workspace, folder, variable('a', { value: 'new' }), variable('b')])
    assert.equal(ops(report), { a: 'update' })
    assert.equal(await values(sql), { 'f/ops/a': 'new', 'f/ops/b': 'b' })
    const [after] = await sql<{ xmin: string }[]>`select xmin::text from variable where path = 'f/ops/b'`
    assert.equal(after, b)
  })
)

test(
  'what somebody edited in the database is put right; what the manifest does not state is left',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a')]
    await run(manifests)
    await sql`update variable set value = 'theirs', extra_perms = '{"u/bob": true}' where path = 'f/ops/a'`
    assert.equal(ops(await run(manifests)), { a: 'update' })
    assert.equal(await values(sql), { 'f/ops/a': 'a' })
    const [row] = await sql`select extra_perms from variable where path = 'f/ops/a'`
    assert.equal(row?.['extra_perms'], { 'u/bob': true })
  })
)

test(
  'db-wins leaves an edited row, says so, and is quiet about it from then on',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a')]
    await run(manifests)
    await sql`update variable set value = 'theirs' where path = 'f/ops/a'`
    const report = await run(manifests, '--conflict-policy', 'db-wins')
    assert.is(reasonOf(report, 'a'), 'ChangedInDatabase')
    assert.equal(await values(sql), { 'f/ops/a': 'theirs' })
    const before = await writesOf(sql)
    await run(manifests, '--conflict-policy', 'db-wins')
    assert.equal(await writesOf(sql), before)
  })
)

test(
  'a row that nobody manages is adopted, and corrected under crd-wins',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder])
    await sql`insert into variable (workspace_id, path, value) values ('demo', 'f/ops/a', 'a'), ('demo', 'f/ops/b', 'theirs')`
    const planned = await run([workspace, folder, variable('a'), variable('b')], '--adopt', 'identical')
    assert.equal(ops(planned), { a: 'adopt', b: 'conflict' })
    assert.equal(ops(await run([workspace, folder, variable('a'), variable('b')])), { b: 'adopt' })
    assert.equal(await values(sql), { 'f/ops/a': 'a', 'f/ops/b': 'b' })
  })
)

test(
  'a row deleted in the database is created again',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a')]
    await run(manifests)
    await sql`delete from variable where path = 'f/ops/a'`
    assert.equal(ops(await run(manifests)), { a: 'create' })
    assert.equal(await values(sql), { 'f/ops/a': 'a' })
  })
)

test(
  'a lost ledger is made again without a write to Windmill',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a')]
    await run(manifests)
    await sql`drop schema windmill_iac cascade`
    const before = await writesOf(sql)
    const report = await run(manifests)
    assert.is(report.counts.adopt, 3)
    const after = await writesOf(sql)
    for (const [table, writes] of Object.entries(after)) {
      if (!table.startsWith('windmill_iac.')) assert.is(writes, before[table], table)
    }
    assert.is((await run(manifests)).counts.keep, 3)
  })
)

test(
  'plan shows the same and writes nothing, not even the ledger',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a')]
    const before = await writesOf(sql)
    const planned = await run(manifests, 'plan', '--exit-code')
    assert.is(planned.run.exitCode, 2)
    assert.equal(ops(planned), { a: 'create', demo: 'create', ops: 'create' })
    assert.equal(await writesOf(sql), before)
    const [schema] = await sql`select to_regnamespace('windmill_iac') is null as none`
    assert.ok(schema?.['none'])
    await run(manifests)
    assert.is((await run(manifests, 'plan', '--exit-code')).run.exitCode, 0)
  })
)

test(
  'of two CRs for one path the older has it, the other is in conflict and takes it over when it is free',
  withBench(async ({ run, sql }) => {
    const older = variable('older', { path: 'f/ops/x', value: 'older' }, { creationTimestamp: '2026-01-01T00:00:00Z' })
    const younger = variable(
      'younger',
      { path: 'f/ops/x', value: 'younger' },
      { creationTimestamp: '2026-02-01T00:00:00Z' }
    )
    const report = await run([workspace, folder, younger, older])
    assert.equal(ops(report), { demo: 'create', ops: 'create', older: 'create', younger: 'conflict' })
    assert.is(reasonOf(report, 'younger'), 'ClaimedTwice')
    assert.is(report.run.exitCode, 1)
    assert.equal(await values(sql), { 'f/ops/x': 'older' })
    const next = await run([workspace, folder, younger])
    assert.is(next.counts.delete, 0)
    assert.is(reasonOf(next, 'younger'), 'Synced')
    assert.equal(await values(sql), { 'f/ops/x': 'younger' })
  })
)

test(
  'an older CR that comes later takes the path, and the younger is told',
  withBench(async ({ run, sql }) => {
    const older = variable('older', { path: 'f/ops/x', value: 'older' }, { creationTimestamp: '2026-01-01T00:00:00Z' })
    const younger = variable(
      'younger',
      { path: 'f/ops/x', value: 'younger' },
      { creationTimestamp: '2026-02-01T00:00:00Z' }
    )
    await run([workspace, folder, younger])
    const report = await run([workspace, folder, younger, older])
    assert.is(reasonOf(report, 'younger'), 'ClaimedTwice')
    assert.equal(await values(sql), { 'f/ops/x': 'older' })
    const before = await writesOf(sql)
    const again = await run([workspace, folder, younger, older])
    assert.is(reasonOf(again, 'younger'), 'ClaimedTwice')
    assert.equal(await writesOf(sql), before)
  })
)

test(
  'two CRs may swap their paths in one run',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a'), variable('b')])
    const report = await run([
      workspace,
      folder,
      variable('a', { path: 'f/ops/b' }),
      variable('b', { path: 'f/ops/a' })
    ])
    assert.equal(ops(report), { a: 'update', b: 'update' })
    assert.equal(await values(sql), { 'f/ops/a': 'b', 'f/ops/b': 'a' })
  })
)

test(
  'a CR that is gone releases its row by default, and deletes it where that is wished',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a'), variable('b'), variable('c')])
    const report = await run([workspace, folder, variable('b'), variable('c')])
    assert.is(reasonOf(report, 'a'), 'Released')
    assert.ok('f/ops/a' in (await values(sql)))
    assert.is(
      reasonOf(await run([workspace, folder, variable('c')], '--deletion-policy', 'delete'), 'b'),
      'Released',
      'the policy is remembered'
    )
    await run([workspace, folder, variable('c')], '--deletion-policy', 'delete')
    const gone = await run([workspace, folder], '--max-deletes', '100%')
    assert.is(reasonOf(gone, 'c'), 'Deleted')
    assert.equal(Object.keys(await values(sql)), ['f/ops/a', 'f/ops/b'])
    const [kept] = await sql`select manifest from windmill_iac.deleted`
    assert.match(String(kept?.['manifest']), /kind: WindmillVariable[\s\S]*value: c/)
  })
)

test(
  'a row that was released is adopted again when its CR comes back',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a'), variable('b')])
    await run([workspace, folder, variable('b')])
    assert.equal(ops(await run([workspace, folder, variable('a'), variable('b')])), { a: 'adopt' })
    assert.is((await run([workspace, folder, variable('a'), variable('b')])).counts.keep, 4)
    assert.ok('f/ops/a' in (await values(sql)))
  })
)

test(
  'a CR whose path changed makes the new row and gives up the old one',
  withBench(async ({ run, sql }) => {
    const kept = variable('kept')
    await run([
      workspace,
      folder,
      kept,
      variable('a', {}, { annotations: { 'windmill.dev/deletion-policy': 'delete' } })
    ])
    const moved = variable('a', { path: 'f/ops/moved' }, { annotations: { 'windmill.dev/deletion-policy': 'delete' } })
    const report = await run([workspace, folder, kept, moved])
    assert.is(report.counts.create, 1)
    assert.is(report.counts.delete, 1)
    assert.equal(Object.keys(await values(sql)), ['f/ops/kept', 'f/ops/moved'])
  })
)

test(
  'the guard holds back too many deletions, everything else is done, exit 3',
  withBench(async ({ run, sql }) => {
    const some = Array.from({ length: 12 }, (_, n) => variable(`v${n}`))
    await run([workspace, folder, ...some])
    const report = await run([workspace, folder, ...some.slice(0, 8), variable('new')])
    assert.is(report.run.exitCode, 3)
    assert.is(report.counts.create, 1)
    assert.match(
      report.objects.find(one => one.reason === 'DeletionGuard')?.message ?? '',
      /4 of 13 owned objects.*--max-deletes 4/
    )
    assert.is(Object.keys(await values(sql)).length, 13)
    assert.is(
      (await run([workspace, folder, ...some.slice(0, 8), variable('new')], '--max-deletes', '4')).counts.delete,
      4
    )
  })
)

test(
  'a kind that lists empty although it owned objects deletes nothing',
  withBench(async ({ run }) => {
    await run([workspace, folder, variable('a')])
    const report = await run([workspace, folder])
    assert.is(report.run.exitCode, 3)
    assert.match(
      report.objects.find(one => one.reason === 'DeletionGuard')?.message ?? '',
      /no object is listed any more, but 1 are owned/
    )
    assert.is((await run([workspace, folder], '--max-deletes', '1')).counts.delete, 1)
  })
)

test(
  'what falls out of scope is never pruned',
  withBench(async ({ run, sql }) => {
    const labelled = variable('a', {}, { labels: { team: 'x' } })
    await run([workspace, folder, labelled, variable('b')])
    await run([workspace, folder, labelled, variable('b')], '--selector', 'team=y')
    await run([workspace, folder], '--kinds', 'folder,workspace')
    await run([], '--watch-namespaces', 'elsewhere')
    const report = await run([workspace, folder, labelled, variable('b')])
    assert.is(report.counts.keep, 4)
    assert.equal(Object.keys(await values(sql)), ['f/ops/a', 'f/ops/b'])
  })
)

test(
  'a paused CR is left alone, and still owns its row',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a'), variable('b')])
    const paused = variable('a', { value: 'changed' }, { annotations: { 'windmill.dev/reconcile': 'disabled' } })
    assert.equal(ops(await run([workspace, folder, paused, variable('b')])), { a: 'skip' })
    assert.equal(await values(sql), { 'f/ops/a': 'a', 'f/ops/b': 'b' })
  })
)

test(
  'a dump that was restored elsewhere is compared once and not written',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a')]
    await run(manifests)
    await sql`update windmill_iac.meta set value = 'another database' where key = 'incarnation'`
    const [before] = await sql`select xmin::text from variable where path = 'f/ops/a'`
    assert.is((await run(manifests)).counts.keep, 3)
    const [after] = await sql`select xmin::text from variable where path = 'f/ops/a'`
    assert.equal(after, before)
    const settled = await writesOf(sql)
    assert.is((await run(manifests)).counts.keep, 3)
    assert.equal(await writesOf(sql), settled)
  })
)

test(
  'a ledger newer than the program is refused before any write',
  withBench(async ({ run, sql }) => {
    await run([workspace])
    await sql`insert into windmill_iac.migration (version) values (99)`
    const error = await rejects(run([workspace, folder]))
    assert.match(error.message, /version 99/)
    const folders = await sql`select from folder where name = 'ops'`
    assert.is(folders.length, 0)
  })
)

test(
  'an interrupted run says so and leaves the rest to the next',
  withBench(async ({ url, sql }) => {
    const stop = new AbortController()
    stop.abort('SIGTERM')
    await withManifests([workspace, folder, variable('a')], async folder => {
      const report = await runJob(['--from', folder], { DATABASE_URL: url }, stop.signal)
      assert.is(report.run.exitCode, 4)
      assert.is(report.run.error?.code, 'Interrupted')
      assert.is((await runJob(['--from', folder], { DATABASE_URL: url })).run.exitCode, 0)
    })
    assert.equal(await values(sql), { 'f/ops/a': 'a' })
  })
)

test(
  'two clusters on one database leave each other alone',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a'), variable('b')], '--cluster-id', 'one')
    const report = await run([variable('a', { value: 'two' }), variable('c')], '--cluster-id', 'two')
    assert.equal(ops(report), { a: 'conflict', c: 'create' })
    assert.is(reasonOf(report, 'a'), 'OwnedByAnotherCluster')
    assert.equal(await values(sql), { 'f/ops/a': 'a', 'f/ops/b': 'b', 'f/ops/c': 'c' })
  })
)

const early = { creationTimestamp: '2026-01-01T00:00:00Z' }
const late = { creationTimestamp: '2026-02-01T00:00:00Z' }

test(
  'a CR outside of the selector keeps its row against a younger one inside',
  withBench(async ({ run, sql }) => {
    const older = variable('older', { path: 'f/ops/x', value: 'older' }, { ...early, labels: { team: 'one' } })
    const younger = variable('younger', { path: 'f/ops/x', value: 'younger' }, { ...late, labels: { team: 'two' } })
    await run([workspace, folder, older])
    const report = await run([workspace, folder, older, younger], '--selector', 'team=two')
    assert.equal(ops(report), { younger: 'conflict' })
    assert.equal(await values(sql), { 'f/ops/x': 'older' })
  })
)

test(
  'a CR in a namespace that is not watched keeps its row, whatever the age of another',
  withBench(async ({ run, sql }) => {
    const mine = variable('mine', { path: 'f/ops/x', value: 'mine' }, late)
    const other = variable(
      'other',
      { workspace: 'demo', path: 'f/ops/x', value: 'other' },
      { ...early, namespace: 'windmill-system' }
    )
    await run([workspace, folder, mine])
    const report = await run([workspace, folder, other], '--watch-namespaces', 'windmill-system')
    assert.is(reasonOf(report, 'other'), 'ClaimedTwice')
    assert.equal(await values(sql), { 'f/ops/x': 'mine' })
    assert.is((await run([workspace, folder, other])).counts.conflict, 0, 'seen to be gone, it is followed')
    assert.equal(await values(sql), { 'f/ops/x': 'other' })
  })
)

test(
  'a paused CR that is read late keeps its row; a CR that moves away late makes room in the same run',
  withBench(async ({ run, sql }) => {
    const many = Array.from({ length: 2100 }, (_, n) => variable(`m${n}`))
    const owners = [variable('paused', { path: 'f/ops/x' }, early), variable('mover', { path: 'f/ops/y' }, early)]
    await run([workspace, folder, ...owners])
    const paused = { ...early, annotations: { 'windmill.dev/reconcile': 'disabled' } }
    const report = await run([
      workspace,
      folder,
      variable('a', { path: 'f/ops/x' }, late),
      variable('b', { path: 'f/ops/y' }, late),
      ...many,
      variable('paused', { path: 'f/ops/x' }, paused),
      variable('mover', { path: 'f/ops/z' }, early)
    ])
    assert.is(reasonOf(report, 'a'), 'ClaimedTwice')
    assert.is(reasonOf(report, 'b'), 'Synced')
    assert.is(report.counts.delete, 0)
    const { 'f/ops/x': x, 'f/ops/y': y, 'f/ops/z': z } = await values(sql)
    assert.equal([x, y, z], ['paused', 'b', 'mover'])
  })
)

/** Resolves when some statement in the database waits for a lock. */
async function somebodyWaits(sql: postgres.Sql): Promise<void> {
  for (let waiting = 0; waiting === 0; ) {
    const [row] = await sql<{ n: number }[]>`
      select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
    waiting = row?.n ?? 0
  }
}

test(
  'an edit in the database between comparing and writing down is not lost',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a'), variable('b')])
    const asked = { annotations: { 'windmill.dev/sync-requested-at': 'now' } }
    const manifests = [workspace, folder, variable('a', {}, asked), variable('b', { value: 'new' })]
    const other = await sql.reserve()
    await other`begin`
    await other`select from variable where path = 'f/ops/b' for update`
    const running = run(manifests)
    await somebodyWaits(sql)
    await other`update variable set value = 'theirs' where path = 'f/ops/a'`
    await other`commit`
    other.release()
    await running
    assert.equal(ops(await run(manifests)), { a: 'update' })
    assert.equal(await values(sql), { 'f/ops/a': 'a', 'f/ops/b': 'new' })
  })
)

test(
  'a connection lost while reading is replaced',
  withBench(async ({ run, sql }) => {
    await run([workspace, folder, variable('a')])
    const other = await sql.reserve()
    await other`begin`
    await other`lock table variable in access exclusive mode`
    const running = run([workspace, folder, variable('a')])
    await somebodyWaits(sql)
    await other`select pg_terminate_backend(pid) from pg_stat_activity
                 where wait_event_type = 'Lock' and datname = current_database()`
    await other`rollback`
    other.release()
    assert.is((await running).counts.keep, 3)
  })
)

test(
  'an unusable annotation of a namespace leaves its rows and holds nobody else up',
  withBench(async ({ run, sql }) => {
    const namespace = (name: string, policy: string): object => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, annotations: { 'windmill.dev/conflict-policy': policy } }
    })
    const elsewhere = { namespace: 'windmill-system', annotations: { 'windmill.dev/deletion-policy': 'delete' } }
    const other = variable('other', { workspace: 'demo' }, elsewhere)
    await run([workspace, folder, variable('a'), variable('b'), other])
    const report = await run([workspace, folder, variable('b'), namespace('demo', 'no-policy')])
    assert.is(report.run.error, undefined)
    assert.is(reasonOf(report, 'a'), 'InvalidSpec')
    assert.is(reasonOf(report, 'other'), 'Deleted')
    assert.equal(await values(sql), { 'f/ops/a': 'a', 'f/ops/b': 'b' })
  })
)

test(
  'the policy of a namespace holds for its rows when its last CR is gone',
  withBench(async ({ run, sql }) => {
    const policies = { 'windmill.dev/deletion-policy': 'delete', 'windmill.dev/conflict-policy': 'db-wins' }
    const team = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'team', annotations: { ...policies, 'windmill.dev/workspaces': 'demo' } }
    }
    const last = variable('a', { workspace: 'demo' }, { namespace: 'team' })
    await run([workspace, folder, variable('b'), team, last])
    await sql`update variable set value = 'theirs' where path = 'f/ops/a'`
    assert.is(reasonOf(await run([workspace, folder, variable('b'), team]), 'a'), 'ChangedInDatabase')
    assert.equal(await values(sql), { 'f/ops/a': 'theirs', 'f/ops/b': 'b' })
  })
)

test(
  "an object's own conflict policy holds when the object is gone",
  withBench(async ({ run, sql }) => {
    const own = { annotations: { 'windmill.dev/conflict-policy': 'db-wins' } }
    const deleting = ['--deletion-policy', 'delete', '--max-deletes', '100%']
    await run([workspace, folder, variable('b'), variable('a', {}, own)], ...deleting)
    await sql`update variable set value = 'theirs' where path in ('f/ops/a', 'f/ops/b')`
    const report = await run([workspace, folder], ...deleting)
    assert.is(reasonOf(report, 'a'), 'ChangedInDatabase')
    assert.is(reasonOf(report, 'b'), 'Deleted')
    assert.equal(await values(sql), { 'f/ops/a': 'theirs' })
  })
)

test(
  'a row that is edited after it was looked at is not deleted: the next run decides',
  withBench(async ({ run, sql }) => {
    const deleting = ['--deletion-policy', 'delete', '--kinds', 'variable']
    await run([workspace, folder, variable('a'), variable('b')])
    await run([variable('a'), variable('b')], ...deleting)
    const other = await sql.reserve()
    await other`begin`
    // Looking for references comes after looking at the row.
    await other`lock table resource in access exclusive mode`
    const pruning = run([variable('b')], ...deleting)
    await somebodyWaits(sql)
    await other`update variable set value = 'theirs' where path = 'f/ops/a'`
    await other`commit`
    other.release()
    assert.is(reasonOf(await pruning, 'a'), 'ChangedMeanwhile')
    assert.equal(await values(sql), { 'f/ops/a': 'theirs', 'f/ops/b': 'b' })
    assert.is(
      reasonOf(await run([variable('b')], ...deleting, '--conflict-policy', 'db-wins'), 'a'),
      'ChangedInDatabase'
    )
    assert.is(reasonOf(await run([variable('b')], ...deleting), 'a'), 'Deleted')
  })
)

const script = (name: string, spec: object = {}): ReturnType<typeof cr> =>
  cr('Script', name, { path: `f/ops/${name}`, language: 'deno', content: 'export function main() {}', ...spec })

test(
  'one run queues only so many lock jobs; the next ones do the rest, and what needs none does not wait',
  withBench(async ({ run, sql }) => {
    const queued = async (): Promise<number> => {
      const [row] = await sql`select count(*)::int as count from v2_job where kind = 'dependencies'`
      return Number(row?.['count'])
    }
    const bash = script('plain', { language: 'bash', content: 'echo 1' })
    const manifests = [workspace, folder, bash, ...['a', 'b', 'c', 'd', 'e'].map(name => script(name))]
    const limit = ['--max-lock-jobs', '2']
    const planned = await run(manifests, 'plan', ...limit)
    assert.is(planned.counts.create, 8)
    const first = await run(manifests, ...limit)
    assert.equal([first.counts.create, first.counts.skip, first.run.exitCode], [5, 3, 0])
    assert.is(ops(first)['plain'], 'create')
    const waiting = first.objects.find(one => one.op === 'skip')
    assert.is(waiting?.reason, 'LockJobsBounded')
    assert.match(waiting?.message ?? '', /queued 2 jobs.*--max-lock-jobs/)
    assert.is(await queued(), 2)
    await run(manifests, ...limit)
    assert.is(await queued(), 4)
    assert.equal((await run(manifests, ...limit)).counts.create, 1)
    assert.is((await run(manifests, ...limit)).counts.keep, 8)
    await run(
      manifests.map((one, at) => (at > 2 ? script(one.metadata.name, { summary: 'new' }) : one)),
      '--max-lock-jobs',
      '0'
    )
    assert.is(await queued(), 10)
  })
)

test(
  'the end of a lock job is told by the next run, and nothing else is written then',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, script('a'), script('b')]
    await run(manifests)
    const state = async (): Promise<unknown> => {
      const rows = await sql`
        select name, details->>'lockState' as lock, details->>'lockMessage' as message
          from windmill_iac.object where kind = 'WindmillScript' order by name`
      return rows.map(one => [one['name'], one['lock'], one['message']])
    }
    assert.equal(await state(), [
      ['a', 'pending', null],
      ['b', 'pending', null]
    ])
    assert.is((await run(manifests)).counts.keep, 4)
    await sql`update script set lock = '{}' where path = 'f/ops/a'`
    await sql`update script set lock_error_logs = ${'no such package\nline 2'} where path = 'f/ops/b'`
    await sql`delete from v2_job_queue`
    const before = await writesOf(sql)
    assert.is((await run(manifests)).counts.keep, 4)
    const after = await writesOf(sql)
    const written = Object.keys(after).filter(name => after[name] !== before[name])
    assert.equal(written.sort(), ['windmill_iac.object', 'windmill_iac.run'])
    assert.equal(await state(), [
      ['a', 'done', null],
      ['b', 'failed', 'no such package\nline 2']
    ])
    const settled = await writesOf(sql)
    await run(manifests)
    assert.equal(await writesOf(sql), settled)
  })
)

test(
  'what a mishap took is mended under every conflict policy, and is no edit that a policy protects',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, script('a')]
    const careful = ['--conflict-policy', 'db-wins']
    await run(manifests, ...careful)
    const jobs = async (): Promise<unknown> =>
      [...(await sql`select count(*)::int as count from v2_job_queue`)][0]?.['count']
    await sql`delete from v2_job_queue`
    const report = await run(manifests, ...careful, '--refresh')
    assert.is(ops(report)['a'], 'update')
    assert.is(await jobs(), 1)
    const [versions] = await sql`select count(*)::int as count from script`
    assert.is(versions?.['count'], 1)
    assert.is((await run(manifests, ...careful)).counts.keep, 3)
    await sql`delete from v2_job_queue`
    const gone = await run([workspace, folder], ...careful, '--max-deletes', '100%')
    assert.is(reasonOf(gone, 'a'), 'Archived')
  })
)

test(
  'what something refers to is deleted only where the policy says so explicitly',
  withBench(async ({ run, sql }) => {
    const deleting = ['--deletion-policy', 'delete', '--max-deletes', '100%']
    const resource = cr('Resource', 'r', { path: 'f/ops/r', resourceType: 'c_x', value: { token: '$var:f/ops/a' } })
    const forced = variable('b', {}, { annotations: { 'windmill.dev/deletion-policy': 'force-delete' } })
    const other = cr('Resource', 's', { path: 'f/ops/s', resourceType: 'c_x', value: { token: '$var:f/ops/b' } })
    await run([workspace, folder, variable('a'), forced, resource, other], ...deleting)
    const report = await run([workspace, folder, resource, other], ...deleting)
    assert.is(reasonOf(report, 'a'), 'StillInUse')
    assert.is(reasonOf(report, 'b'), 'Deleted')
    assert.equal(await values(sql), { 'f/ops/a': 'a' })
  })
)

test(
  'a column that came with an upgrade of Windmill is filled',
  withBench(async ({ run, sql }) => {
    const manifests = [workspace, folder, variable('a', { labels: ['x'] })]
    await sql`alter table variable drop column labels`
    await run(manifests)
    await sql`alter table variable add column labels text[]`
    await sql`
      insert into _sqlx_migrations (version, description, success, checksum, execution_time)
      select max(version) + 1, 'labels', true, '', 0 from _sqlx_migrations`
    assert.is(ops(await run(manifests))['a'], 'update')
    assert.is((await run(manifests)).counts.keep, 3)
  })
)

test(
  'the secret variable of a resource of another cluster is left alone',
  withBench(async ({ run, sql }) => {
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace: 'demo' },
      stringData: { k: 'hidden' }
    }
    const valuesFrom = [{ field: 'dsn', secretKeyRef: { name: 's', key: 'k' } }]
    const resource = cr('Resource', 'r', { path: 'f/ops/r', resourceType: 'c_x', valuesFrom })
    await run([workspace, folder, secret, resource], '--cluster-id', 'one')
    const report = await run([variable('r')], '--cluster-id', 'two')
    assert.is(reasonOf(report, 'r'), 'TakenBySomebodyElse')
    const [row] = await sql`select is_secret from variable where path = 'f/ops/r'`
    assert.is(row?.['is_secret'], true)
  })
)

test(
  'the guard of a plan counts as that of the run',
  withBench(async ({ run }) => {
    const some = (letter: string): object[] => Array.from({ length: 20 }, (_, n) => variable(`${letter}${n}`))
    await run([workspace, folder, ...some('v')])
    const next = [workspace, folder, ...some('v').slice(0, 13), ...some('w')]
    const planned = await run(next, 'plan')
    const done = await run(next)
    assert.equal(planned.counts, done.counts)
    assert.is(planned.run.exitCode, 0)
  })
)

test(
  'a field that its type declares secret later moves into a secret variable in the next run',
  withBench(async ({ run, sql }) => {
    const type = (properties: object): object =>
      cr('ResourceType', 'api', { name: 'c_api', schema: { type: 'object', properties } })
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace: 'demo' },
      stringData: { k: '{"host": "h", "pin": "canary-1234"}' }
    }
    const valueFrom = { secretKeyRef: { name: 's', key: 'k' } }
    const api = cr('Resource', 'api', { path: 'f/ops/api', resourceType: 'c_api', valueFrom })
    const open = { host: { type: 'string' }, pin: { type: 'string' } }
    await run([workspace, folder, type(open), secret, api])
    const stored = async (): Promise<string> =>
      JSON.stringify(await sql`select value from resource where path = 'f/ops/api'`)
    assert.match(await stored(), /canary-1234/)
    const closed = { ...open, pin: { type: 'string', password: true } }
    const manifests = [workspace, folder, type(closed), secret, api]
    await run(manifests)
    const planned = await run(manifests, 'plan', '--diff')
    assert.not.match(JSON.stringify(planned), /canary-1234/)
    assert.is(reasonOf(await run(manifests), 'api'), 'Synced')
    assert.not.match(await stored(), /canary-1234/)
    assert.match(await stored(), /\$var:f\/ops\/api/)
  })
)

test.run()
