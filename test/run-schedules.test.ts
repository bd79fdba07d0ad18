/** Whole runs over schedules and what they start: manifests in any order, workers in between, policies. */
import type postgres from 'postgres'
import type { Report } from '../src/report.ts'
import { withDatabase } from './support/database.ts'
import { putManifests, runJob, withManifests } from './support/job.ts'
import { jobsOf } from './support/scheduled.ts'
import { assert, suite } from './support/suite.ts'
import { releases } from './support/windmill.ts'
import { becomeDue, finish, pull } from './support/worker.ts'

const test = suite('runs over schedules')

interface Runs {
  readonly sql: postgres.Sql
  readonly run: (manifests: readonly string[], ...argv: string[]) => Promise<Report>
}

const inRuns = (release: (typeof releases)[number], work: (runs: Runs) => Promise<void>): Promise<void> =>
  withDatabase(release, ({ url, sql }) =>
    withManifests([], folder =>
      work({
        sql,
        run: (manifests, ...argv) => {
          putManifests(folder, [workspace, ...manifests].join('\n---\n'))
          return runJob([...argv, '--from', folder, '--verbose'], { DATABASE_URL: url })
        }
      })
    )
  )

const manifest = (kind: string, name: string, spec: string): string => `
apiVersion: windmill.dev/v1alpha1
kind: Windmill${kind}
metadata: { name: ${name}, namespace: demo }
spec:${spec.replaceAll('\n', '\n  ')}`

const workspace = `${manifest('Workspace', 'demo', '\nid: demo\nname: Demo')}
---
apiVersion: v1
kind: Namespace
metadata: { name: demo }`

const script = (name: string, content = 'export function main() {}'): string =>
  manifest('Script', name, `\npath: f/ops/${name}\nlanguage: deno\nlock: ""\ncontent: "${content}"`)
const flow = (name: string): string =>
  manifest('Flow', name, `\npath: f/ops/${name}\nvalue: { modules: [{ id: a, value: { type: identity } }] }`)

/** Written as the RFC has it: five fields, bare handlers, a first delay in whole seconds. */
const rfc = [
  manifest(
    'Schedule',
    'hourly',
    `
path: f/ops/hourly
schedule: "0 * * * *"
scriptPath: f/ops/hello
timezone: Europe/Paris
args: { a: 1 }
onFailure: f/ops/alert
onFailureExtraArgs: { channel: x }
onRecovery: f/ops/tell
onSuccess: f/ops/tell
wsErrorHandlerMuted: true
retryConfig: { attempts: 3, exponentialDelay: 10, maxDelay: 300 }
noFlowOverlap: false`
  ),
  manifest(
    'Schedule',
    'paused',
    '\npath: f/ops/off\nschedule: "*/5 * * * *"\nscriptPath: f/ops/tell\nisFlow: true\nenabled: true\npaused: true'
  ),
  manifest(
    'Schedule',
    'flowed',
    '\npath: f/ops/flowed\nschedule: "30 2 * * 1-5"\nscriptPath: f/ops/tell\nisFlow: true\nenabled: true'
  )
]
const targets = [script('hello'), script('alert'), flow('tell')]

const told = (report: Report, name: string): string => {
  const one = report.objects.find(object => object.kind === 'WindmillSchedule' && object.name === name)
  return `${one?.op} ${one?.state} ${one?.reason}: ${one?.message}`
}

const tick = async (sql: postgres.Sql): Promise<void> => {
  await sql`delete from v2_job_queue q using v2_job j where j.id = q.id and j.trigger is null`
  await sql`update script set lock = '' where lock is null`
  await becomeDue(sql)
  for (let job = await pull(sql); job; job = await pull(sql)) await finish(sql, { ...job, kind: 'script' })
}

const ledger = async (sql: postgres.Sql): Promise<unknown> => [
  ...(await sql`select name, details, token, state, message from windmill_iac.object where kind = 'WindmillSchedule' order by name`)
]

for (const release of releases) {
  test(`${release}: manifests of the RFC work as they are, in one run with what they start, and then nothing is left to do`, () =>
    inRuns(release, async ({ sql, run }) => {
      const report = await run([...rfc, ...targets])
      assert.is(report.counts.create, 7, JSON.stringify(report.objects))
      assert.equal((await jobsOf(sql, 'f/ops/hourly')).length, 1)
      assert.equal((await jobsOf(sql, 'f/ops/flowed')).length, 1)
      assert.equal(await jobsOf(sql, 'f/ops/off'), [])
      const [row] = await sql`select * from schedule where path = 'f/ops/hourly'`
      assert.equal(
        [row?.['on_failure'], row?.['on_recovery'], row?.['retry']],
        [
          'script/f/ops/alert',
          'flow/f/ops/tell',
          {
            constant: { attempts: 0, seconds: 0 },
            exponential: { attempts: 3, multiplier: 5, seconds: 2, random_factor: null }
          }
        ]
      )
      const again = await run([...rfc, ...targets])
      assert.is(again.counts.keep, 7, JSON.stringify(again.counts))
    }))

  test(`${release}: occurrences come and go without a word; a failed one is news`, () =>
    inRuns(release, async ({ sql, run }) => {
      await run([...rfc, ...targets])
      await tick(sql)
      await run([...rfc, ...targets])
      const before = await ledger(sql)
      for (let round = 0; round < 2; round++) {
        await tick(sql)
        // Even where everything is compared, the times of a schedule that does what it should are no news.
        const report = await run([...rfc, ...targets], '--refresh')
        assert.is(report.counts.update, 0, JSON.stringify(report.objects.filter(one => one.op === 'update')))
        if (round === 1) assert.equal(await ledger(sql), before)
      }
      await becomeDue(sql)
      const job = await pull(sql)
      if (job) await finish(sql, { ...job, kind: 'script' }, 'failure')
      await run([...rfc, ...targets])
      assert.match(JSON.stringify(await ledger(sql)), /"lastResult":"failure"/)
    }))

  test(`${release}: a new version by a manifest re-arms in the same run, for schedules of others too`, () =>
    inRuns(release, async ({ sql, run }) => {
      await run([...rfc, ...targets])
      await sql`
        insert into schedule select (jsonb_populate_record(s, '{"path": "f/ops/theirs"}')).* from schedule s where path = 'f/ops/hourly'`
      await sql`update schedule set retry = null where path = 'f/ops/theirs'`
      await sql`update v2_job set trigger = 'f/ops/theirs' where trigger = 'f/ops/hourly'`
      await run([...rfc, script('hello', 'export function main() { return 2 }'), script('alert'), flow('tell')])
      const [live] = await sql`select hash::text from script where path = 'f/ops/hello' and not archived`
      const [theirs, ...more] = await jobsOf(sql, 'f/ops/theirs')
      assert.is(theirs?.runnable, live?.['hash'])
      assert.equal(more, [])
      assert.is((await jobsOf(sql, 'f/ops/hourly')).length, 1, 'what had lost its job has one again')
    }))

  test(`${release}: a target that is not there is an error in words, until it is there`, () =>
    inRuns(release, async ({ sql, run }) => {
      const report = await run([...rfc, script('alert'), flow('tell')])
      assert.match(
        told(report, 'hourly'),
        /^error Error ReferenceNotFound: .*scriptPath: workspace demo has no script f\/ops\/hello; create it/
      )
      assert.match(told(report, 'flowed'), /^create Synced/)
      assert.match(told(await run([...rfc, ...targets]), 'hourly'), /^create Synced/)
      assert.is((await jobsOf(sql, 'f/ops/hourly')).length, 1)
    }))

  test(`${release}: a schedule that is off says at once that somebody archived its flow`, () =>
    inRuns(release, async ({ sql, run }) => {
      const off = manifest(
        'Schedule',
        'resting',
        '\npath: f/ops/resting\nschedule: "*/5 * * * *"\nscriptPath: f/ops/told\nisFlow: true\nenabled: false'
      )
      // Nobody has a manifest for the flow.
      await run([off, flow('told')])
      await run([off], '--max-deletes', '100%')
      assert.match(told(await run([off]), 'resting'), /^error Error ReferenceNotFound/)
      await sql`update flow set archived = false where path = 'f/ops/told'`
      await run([off])
      await sql`update flow set archived = true where path = 'f/ops/told'`
      assert.match(told(await run([off]), 'resting'), /^error Error ReferenceNotFound/)
    }))

  test(`${release}: a lost job comes back under every policy, what somebody switched off stays off under db-wins`, () =>
    inRuns(release, async ({ sql, run }) => {
      await run([...rfc, ...targets])
      await sql`delete from v2_job_queue`
      assert.match(told(await run([...rfc, ...targets], '--conflict-policy', 'db-wins'), 'hourly'), /^update Synced/)
      assert.is((await jobsOf(sql, 'f/ops/hourly')).length, 1)
      await sql`update schedule set enabled = false where path = 'f/ops/hourly'`
      assert.match(told(await run([...rfc, ...targets], '--conflict-policy', 'db-wins'), 'hourly'), /^skip OutOfSync/)
    }))

  test(`${release}: with its script's manifest gone a schedule is switched off, and says what is missing`, () =>
    inRuns(release, async ({ sql, run }) => {
      await run([...rfc, ...targets])
      await run([...rfc, script('alert'), flow('tell')], '--max-deletes', '100%')
      const [row] = await sql`select enabled from schedule where path = 'f/ops/hourly'`
      assert.is(row?.['enabled'], false)
      assert.equal(await jobsOf(sql, 'f/ops/hourly'), [])
      const next = await run([...rfc, script('alert'), flow('tell')])
      assert.match(told(next, 'hourly'), /ReferenceNotFound: .*scriptPath: the script f\/ops\/hello is archived/)
    }))
}

test.run()
