/** The process: signals, waiting for another run, what it leaves for people and machines. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { connect } from '../src/database/client.ts'
import type { Report } from '../src/report.ts'
import { withCluster } from './support/cluster.ts'
import { withDatabase } from './support/database.ts'
import { cr, runMain, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('process')
const many = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))
const manifests = [
  cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' }),
  ...many(1500, n => cr('Variable', `v${n}`, { path: `f/ops/v${n}`, value: `value ${n}` }))
]
const reportOf = (stdout: string): Report => JSON.parse(stdout) as Report

const variables = async (sql: postgres.Sql): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`select count(*)::int from variable where workspace_id = 'demo'`
  return row?.count ?? 0
}

test('SIGTERM: what is in flight lands with its statuses, the rest is left to the next run, exit 4', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withCluster({}, async cluster => {
      for (const one of manifests) cluster.put(one)
      const environment = { DATABASE_URL: url, KUBECONFIG: cluster.kubeconfig() }
      const ended = await runMain(['-o', 'json', '--batch-size', '20'], environment, async kill => {
        while ((await variables(sql)) === 0) await sleep(5)
        kill('SIGTERM')
      })
      assert.is(ended.code, 4, ended.stderr)
      const report = reportOf(ended.stdout)
      assert.is(report.run.error?.code, 'Interrupted')
      const landed = await variables(sql)
      assert.ok(landed > 0 && landed < 1500, String(landed))
      const told = cluster
        .list('WindmillVariable')
        .filter(one => (one['status'] as { state?: string } | undefined)?.state === 'Synced')
      assert.is(told.length, landed, 'statuses of what landed')
      assert.is(report.counts.create, landed + 1)
      const next = await runMain(['-o', 'json'], environment)
      assert.is(next.code, 0, next.stderr)
      assert.is(await variables(sql), 1500)
    })
  ))

test('two runs at once: one works, the other waits and finds nothing to do', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withManifests(manifests.slice(0, 300), async folder => {
      const both = await Promise.all(many(2, () => runMain(['--from', folder, '-o', 'json'], { DATABASE_URL: url })))
      assert.equal(
        both.map(one => one.code),
        [0, 0],
        both.map(one => one.stderr).join('\n')
      )
      const created = both.map(one => reportOf(one.stdout).counts.create).sort((a, b) => a - b)
      assert.equal(created, [0, 300])
      assert.is(await variables(sql), 299)
    })
  ))

test('a lock that stays busy is exit 4 and names its holder', () =>
  withDatabase('2026-08', ({ url }) =>
    withManifests([], async folder => {
      const other = await connect(url, { applicationName: 'windmill-iac other-pod' })
      await other.lock(0, 1000)
      try {
        const ended = await runMain(['--from', folder, '-o', 'json', '--lock-timeout', '1s'], { DATABASE_URL: url })
        assert.is(ended.code, 4)
        assert.match(ended.stderr, /LockBusy.*other-pod/)
      } finally {
        await other.close()
      }
    })
  ))

test('stdout is the report alone, stderr is JSON lines, the termination message is the sentence and the failures', () =>
  withDatabase('2026-08', ({ url }) =>
    withManifests([...manifests.slice(0, 3), cr('Variable', 'bad', { path: 'nowhere' })], async folder => {
      const place = mkdtempSync(join(tmpdir(), 'windmill-iac-termination-'))
      const file = join(place, 'log')
      try {
        writeFileSync(file, '')
        const ended = await runMain(['--from', folder, '-o', 'json'], { DATABASE_URL: url, TERMINATION_LOG: file })
        assert.is(ended.code, 1)
        assert.is(reportOf(ended.stdout).counts.error, 1)
        const lines = ended.stderr
          .trim()
          .split('\n')
          .map(line => JSON.parse(line) as { level: string; message: string })
        assert.ok(lines.length > 0)
        for (const line of lines) assert.type(line.message, 'string')
        const message = readFileSync(file, 'utf8')
        assert.match(
          message,
          /^reconcile: 3 created, 1 in error in .* s\.\nWindmillVariable demo\/bad InvalidSpec: .*spec\.path/
        )
      } finally {
        rmSync(place, { recursive: true })
      }
    })
  ))

test('a refused start leaves its reason in the termination message too', () =>
  withManifests([], async folder => {
    const file = join(folder, 'log')
    writeFileSync(file, '')
    const ended = await runMain(['--frum'], { TERMINATION_LOG: file })
    assert.is(ended.code, 5)
    assert.match(readFileSync(file, 'utf8'), /--frum/)
  }))

test('a database that goes away in the middle ends the run with 4, and the next run finishes the work', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withManifests(manifests, async folder => {
      const ended = await runMain(
        ['--from', folder, '-o', 'json', '--batch-size', '20'],
        { DATABASE_URL: url },
        async () => {
          while ((await variables(sql)) === 0) await sleep(5)
          await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'windmill-iac%' and datname = current_database()`
        }
      )
      assert.is(ended.code, 4, ended.stderr)
      assert.match(
        reportOf(ended.stdout).run.error?.code ?? '',
        /LockLost|DatabaseFailed|DatabaseUnreachable|Interrupted/
      )
      const next = await runMain(['--from', folder, '-o', 'json'], { DATABASE_URL: url })
      assert.is(next.code, 0, next.stderr)
      assert.is(await variables(sql), 1500)
    })
  ))

test.run()
