/** One run at a time, with real processes: a CronJob, a hook and a person at once; a holder that is named; a lock that is lost. */
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import type { Report } from '../src/report.ts'
import { plain, withDatabase } from './support/database.ts'
import { cr, type Ended, runMain, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('locking')
const manifests = (count: number): object[] => [
  cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' }),
  ...Array.from({ length: count }, (_, n) => cr('Variable', `v${n}`, { path: `f/ops/v${n}`, value: `value ${n}` }))
]
const reportOf = ({ stdout }: Ended): Report => JSON.parse(stdout) as Report
const countOf = async (sql: postgres.Sql): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`select count(*)::int from variable where workspace_id = 'demo'`
  return row?.count ?? 0
}

/** Holds every write to variables until released. */
async function stopVariables(url: string): Promise<() => Promise<void>> {
  const sql = plain(url, { max: 1 })
  const held = await sql.reserve()
  await held`begin`
  await held`lock table variable in share row exclusive mode`
  return async () => {
    await held`commit`
    held.release()
    await sql.end({ timeout: 1 })
  }
}

/** The connection that holds the lock of a run, once there is one. */
async function holderOf(sql: postgres.Sql): Promise<{ pid: number }> {
  for (;;) {
    const [row] = await sql<{ pid: number }[]>`
      select a.pid from pg_locks l join pg_stat_activity a using (pid)
       where l.locktype = 'advisory' and l.granted and a.datname = current_database()
         and a.application_name like 'windmill-iac%'
       order by a.xact_start limit 1`
    if (row) return row
    await sleep(5)
  }
}

/** So many runs have come. */
async function waiting(sql: postgres.Sql, count: number): Promise<void> {
  for (;;) {
    const [row] = await sql<{ count: number }[]>`
      select count(distinct application_name)::int from pg_stat_activity
       where datname = current_database() and application_name like 'windmill-iac%'`
    if ((row?.count ?? 0) >= count) return
    await sleep(10)
  }
}

test('CronJob, hook and a person at once: one works, the others wait and find nothing to do', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withManifests(manifests(200), async folder => {
      const release = await stopVariables(url)
      const start = (host: string): Promise<Ended> =>
        runMain(['--from', folder, '-o', 'json'], { DATABASE_URL: url, HOSTNAME: host })
      const all = Promise.all(['cron-29381', 'hook-upgrade', 'by-hand'].map(start))
      await waiting(sql, 3)
      await release()
      const ended = await all
      assert.equal(
        ended.map(one => one.code),
        [0, 0, 0],
        ended.map(one => one.stderr).join('\n')
      )
      const counts = ended.map(reportOf).map(({ counts: { create, keep } }) => `${create} created, ${keep} kept`)
      assert.equal(counts.sort(), ['0 created, 201 kept', '0 created, 201 kept', '201 created, 0 kept'])
      const [runs] = await sql`select count(*)::int as count from windmill_iac.run`
      assert.is(runs?.['count'], 1, 'the others had nothing to note')
    })
  ))

test('whoever waits too long is told who works: exit 4, and nothing was touched', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withManifests(manifests(50), async folder => {
      await runMain(['--from', folder], { DATABASE_URL: url })
      await sql`delete from variable where workspace_id = 'demo'`
      const release = await stopVariables(url)
      const first = runMain(['--from', folder, '-o', 'json'], { DATABASE_URL: url, HOSTNAME: 'cron-29381' })
      await holderOf(sql)
      const second = await runMain(['--from', folder, '-o', 'json', '--lock-timeout', '1s'], {
        DATABASE_URL: url,
        HOSTNAME: 'by-hand'
      })
      assert.is(second.code, 4, second.stderr)
      assert.match(second.stderr, /LockBusy.*cron-29381/)
      assert.is(await countOf(sql), 0)
      await release()
      assert.is(reportOf(await first).counts.create, 50)
    })
  ))

test('a run whose lock is lost stops writing at once, though its other connections live', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withManifests(manifests(1500), async folder => {
      let atLoss = 0
      const ended = await runMain(
        ['--from', folder, '-o', 'json', '--batch-size', '20'],
        { DATABASE_URL: url },
        async () => {
          while ((await countOf(sql)) === 0) await sleep(5)
          const { pid } = await holderOf(sql)
          await sql`select pg_terminate_backend(${pid}, 1000)`
          atLoss = await countOf(sql)
        }
      )
      assert.is(ended.code, 4, ended.stderr)
      assert.is(reportOf(ended).run.error?.code, 'LockLost')
      const landed = await countOf(sql)
      assert.ok(landed < 1500)
      // At most what was in a transaction at that moment: a batch on each of at most four connections.
      assert.ok(landed - atLoss <= 80, `${landed - atLoss} written afterwards`)
      const next = await runMain(['--from', folder, '-o', 'json'], { DATABASE_URL: url })
      assert.is(next.code, 0, next.stderr)
      assert.is(await countOf(sql), 1500)
    })
  ))

test.run()
