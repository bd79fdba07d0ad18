import { disarmSchedulesOf, rearmSchedulesOf, settleSchedules } from '../src/windmill/schedule-arming.ts'
import { jobsOf, putFlow, putSchedule, putScript, putUser, putUsers } from './support/scheduled.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, type Release, releases, type World } from './support/windmill.ts'
import { becomeDue, finish, pull } from './support/worker.ts'

const test = suite('arming of schedules')

const script = { workspace: 'w', path: 'f/ops/hello', isFlow: false }
const flow = { workspace: 'w', path: 'f/ops/flow', isFlow: true }

const settle = ({ database, context }: World, path: string, keepTime = false): Promise<void> =>
  database.write(sql => settleSchedules(sql, [{ workspace: 'w', path, keepTime }], context))
const rearm = ({ database, context }: World, runnable: typeof script): Promise<void> =>
  database.write(sql => rearmSchedulesOf(sql, [runnable], context))

/** Job tables as the migrations leave them, too. */
const variants = [...releases, '1.463.2-unfinalized', '1.558.1-unfinalized'] as const

for (const variant of variants) {
  const release = variant as Release

  test(`${variant}: the job of a script's schedule has all rows, pinned to the newest version`, () =>
    inWindmill(release, async world => {
      const { sql } = world
      await putUsers(world)
      await putScript(world, script.path, { timeout: 30, cache_ttl: 60 })
      const hash = await putScript(world, script.path, { timeout: 33, cache_ttl: 66 })
      await putSchedule(world, 'f/ops/daily', { script_path: script.path, args: sql.json({ x: 1 }), error: 'old' })
      await settle(world, 'f/ops/daily')
      const [job, ...others] = await jobsOf(sql, 'f/ops/daily')
      assert.equal(others, [])
      const { id: _, scheduledFor, ...rest } = job as NonNullable<typeof job>
      assert.equal(rest, {
        kind: 'script',
        runnable: hash,
        path: script.path,
        tag: 'deno',
        queueTag: 'deno',
        language: 'deno',
        running: false,
        createdBy: 'schedule-f-ops-daily',
        permissionedAs: 'u/alice',
        email: 'alice@example.com',
        args: { x: 1 },
        rawFlow: null,
        flowStatus: null,
        timeout: 33,
        cacheTtl: 66,
        perms: 'alice',
        runtime: true
      })
      assert.match(scheduledFor.toISOString(), /T03:00:00\.000Z$/)
      assert.ok(scheduledFor > new Date())
      const [row] = await sql`select error from schedule where path = 'f/ops/daily'`
      assert.is(row?.['error'], null)
    }))

  test(`${variant}: with retries a script is wrapped in a flow of one step`, () =>
    inWindmill(release, async world => {
      const { sql } = world
      await putUsers(world)
      const hash = await putScript(world, script.path, { tag: 'heavy' })
      const retry = { constant: { attempts: 2, seconds: 5 } }
      await putSchedule(world, 'f/ops/retried', {
        script_path: script.path,
        args: sql.json({ x: 1 }),
        retry: sql.json(retry)
      })
      await settle(world, 'f/ops/retried')
      const [job] = await jobsOf(sql, 'f/ops/retried')
      assert.is(job?.kind, variant.startsWith('1.463') ? 'flow' : 'singlestepflow')
      assert.is(job?.runnable, null)
      assert.is(job?.path, script.path)
      assert.is(job?.language, null)
      assert.is(job?.tag, 'heavy')
      const [module] = job?.rawFlow?.modules ?? []
      assert.equal(module, {
        id: 'a',
        value: {
          type: 'script',
          path: script.path,
          hash: BigInt.asUintN(64, BigInt(hash)).toString(16).padStart(16, '0'),
          input_transforms: { x: { type: 'static', value: 1 } }
        },
        retry,
        apply_preprocessor: false
      })
      assert.equal(
        job?.flowStatus?.modules.map(one => one.id),
        ['a']
      )
    }))

  test(`${variant}: a flow's job is pinned to its last version, with its tag and a state to begin with`, () =>
    inWindmill(release, async world => {
      const { sql } = world
      await putUsers(world)
      await putFlow(world, flow.path)
      const version = await putFlow(world, flow.path, {
        modules: [{ id: 'x', value: {} }, { value: {} }],
        failure_module: { id: 'oops', value: {} }
      })
      await putSchedule(world, 'f/ops/flowed', {
        script_path: flow.path,
        is_flow: true,
        tag: 'ignored',
        retry: sql.json({})
      })
      await settle(world, 'f/ops/flowed')
      const [job] = await jobsOf(sql, 'f/ops/flowed')
      assert.is(job?.kind, 'flow')
      assert.is(job?.runnable, version)
      assert.is(job?.tag, 'flow')
      assert.is(job?.rawFlow, null)
      assert.equal(job?.flowStatus, {
        step: 0,
        modules: [
          { type: 'WaitingForPriorSteps', id: 'x' },
          { type: 'WaitingForPriorSteps', id: 'a' }
        ],
        failure_module: { type: 'WaitingForPriorSteps', id: 'oops' },
        preprocessor_module: null,
        cleanup_module: {}
      })
    }))

  test(`${variant}: a new version is pushed in place of the old one, at the same time, a running job is left alone`, () =>
    inWindmill(release, async world => {
      const { sql } = world
      await putUsers(world)
      const old = await putScript(world, script.path)
      await putSchedule(world, 'f/ops/daily', { script_path: script.path })
      await putSchedule(world, 'f/ops/other', { script_path: 'f/ops/elsewhere' })
      await settle(world, 'f/ops/daily')
      await becomeDue(sql)
      const running = await pull(sql)
      assert.is(running?.runnable, old)
      // An overlapping push, as an edit through the API makes one.
      await sql`update v2_job_queue set running = false where id = ${running?.id ?? ''}`
      await settle(world, 'f/ops/daily')
      const due = await pull(sql)
      assert.ok(due && due.id !== running?.id, 'the due job was replaced by one that is due as well')
      const hash = await putScript(world, script.path)
      await rearm(world, script)
      assert.equal(
        (await jobsOf(sql, 'f/ops/daily')).map(one => [one.id, one.running]),
        [[due?.id, true]]
      )
      await finish(sql, due)
      assert.equal(
        (await jobsOf(sql, 'f/ops/daily')).map(one => one.runnable),
        [hash]
      )
      const newest = await putScript(world, script.path)
      const [before] = await jobsOf(sql, 'f/ops/daily')
      await rearm(world, script)
      const [after, ...more] = await jobsOf(sql, 'f/ops/daily')
      assert.is(after?.runnable, newest)
      assert.equal(after?.scheduledFor, before?.scheduledFor)
      assert.equal(more, [])
      const [left] = await sql`
        select (select count(*) from v2_job where id = ${before?.id ?? ''})::int as jobs,
               (select count(*) from job_perms where job_id = ${before?.id ?? ''})::int as perms`
      assert.equal(left, { jobs: 0, perms: 0 })
    }))
}

interface SkipModule {
  readonly value: { readonly input_transforms: { readonly scheduled_for: { readonly value: string } } }
}
interface MainModule {
  readonly value: { readonly type: string }
  readonly pass_flow_input_directly?: boolean
}

for (const release of releases.filter(one => one !== '1.463.2')) {
  test(`${release}: a script that may skip the run comes first in the wrapper, for flows as well`, () =>
    inWindmill(release, async world => {
      const { sql } = world
      await putUsers(world)
      await putFlow(world, flow.path)
      await putScript(world, script.path)
      for (const target of [flow, script]) {
        const path = `f/ops/skip_${target.isFlow}`
        await putSchedule(world, path, {
          script_path: target.path,
          is_flow: target.isFlow,
          tag: 'heavy',
          dynamic_skip: 'f/ops/maybe'
        })
        await settle(world, path)
        const [job] = await jobsOf(sql, path)
        assert.is(job?.kind, 'singlestepflow')
        assert.is(job?.tag, 'heavy')
        assert.equal(
          job?.flowStatus?.modules.map(one => one.id),
          ['skip_validation', 'a']
        )
        const [skip, main] = (job?.rawFlow?.modules ?? []) as unknown as readonly [SkipModule, MainModule]
        assert.match(skip.value.input_transforms.scheduled_for.value, /T03:00:00\+00:00$/)
        assert.is(main.value.type, target.isFlow ? 'flow' : 'script')
        assert.is(main.pass_flow_input_directly ?? false, target.isFlow)
      }
    }))
}

for (const release of releases) {
  test(`${release}: whoever the target acts on behalf of is who the job runs as`, () =>
    inWindmill(release, async world => {
      const { sql, context } = world
      await putUsers(world)
      await putUser(sql, 'bob')
      const named = context.capabilities.has('script', 'on_behalf_of') ? { on_behalf_of: 'u/bob' } : {}
      await putScript(world, script.path, { created_by: 'bob', on_behalf_of_email: 'bob@example.com', ...named })
      await putSchedule(world, 'f/ops/daily', { script_path: script.path })
      await settle(world, 'f/ops/daily')
      const [job] = await jobsOf(sql, 'f/ops/daily')
      assert.equal([job?.permissionedAs, job?.email, job?.perms], ['u/bob', 'bob@example.com', 'bob'])
    }))

  test(`${release}: the workspace's default tags, a dedicated worker and placeholders are known`, () =>
    inWindmill(release, async world => {
      const { sql } = world
      await putUsers(world)
      await sql`insert into global_settings (name, value) values ('default_tags_per_workspace', 'true')`
      const tags = async (more: Record<string, unknown>, schedule: Record<string, unknown> = {}): Promise<unknown> => {
        await sql`delete from schedule`
        await putScript(world, script.path, more)
        await putSchedule(world, 'f/ops/daily', { script_path: script.path, ...schedule })
        await settle(world, 'f/ops/daily')
        const [job] = await jobsOf(sql, 'f/ops/daily')
        return job?.queueTag === job?.tag ? job?.tag : 'two tags'
      }
      assert.is(await tags({}), 'deno-w')
      assert.is(await tags({ language: 'python3' }), 'python3-w')
      assert.is(await tags({ tag: 'own' }), 'own')
      assert.is(await tags({ tag: 'own' }, { tag: 'x-$workspace-$args[a]', args: sql.json({ a: 'z' }) }), 'x-w-z')
      assert.is(await tags({ dedicated_worker: true }), 'w:f/ops/hello')
    }))

  test(`${release}: a schedule of somebody else that cannot be armed stays as it is`, () =>
    inWindmill(release, async world => {
      const { sql } = world
      await putUsers(world)
      const old = await putScript(world, script.path)
      const ordinary = { script_path: script.path }
      const put = async (name: string, more: Record<string, unknown>): Promise<void> => {
        await putSchedule(world, `f/ops/${name}`, ordinary)
        await settle(world, `f/ops/${name}`)
        if (Object.keys(more).length > 0)
          await sql`update schedule set ${sql(more as never)} where path = ${`f/ops/${name}`}`
      }
      await put('good', {})
      await put('gone_user', { edited_by: 'carol', ...(release === '2026-08' && { permissioned_as: 'u/carol' }) })
      await put('old_syntax', { cron_version: 'v1', schedule: '0 0 3 * * 1' })
      await put('no_version', { cron_version: null })
      await put('nonsense', { schedule: 'now and then', timezone: 'Europe/Atlantis' })
      await put('null_args', { args: sql.json(null) })
      await put('list_args', { args: sql.json([1]) })
      await put('null_retry', { retry: sql.json(null) })
      await put('text_retry', { retry: sql.json('often') })
      await putSchedule(world, 'f/ops/unarmed', { ...ordinary, schedule: '0 0 4 * * *' })
      await putSchedule(world, 'f/ops/unarmed_v1', { ...ordinary, cron_version: 'v1' })
      await putSchedule(world, 'f/ops/unarmed_bad', { ...ordinary, schedule: 'H H * * *' })
      await putSchedule(world, 'f/ops/off', { ...ordinary, enabled: false })
      const hash = await putScript(world, script.path)
      await rearm(world, script)
      const found: Record<string, unknown> = {}
      for (const { path } of await sql<{ path: string }[]>`select path from schedule order by path`) {
        found[path.slice('f/ops/'.length)] = (await jobsOf(sql, path)).map(one =>
          one.runnable === hash ? 'new' : one.runnable === old ? 'old' : one
        )
      }
      // Where the job pins nothing by itself, Windmill's own push would fail, and so nothing is pushed.
      assert.equal(found, {
        good: ['new'],
        gone_user: ['old'],
        list_args: ['old'],
        no_version: ['new'],
        nonsense: ['new'],
        null_args: ['new'],
        null_retry: ['new'],
        off: [],
        old_syntax: ['new'],
        text_retry: ['old'],
        unarmed: ['new'],
        unarmed_bad: [],
        unarmed_v1: []
      })
    }))

  test(`${release}: what is archived or deleted takes its schedules along, disabled and without a job`, () =>
    inWindmill(release, async world => {
      const { sql, database, context } = world
      await putUsers(world)
      await putScript(world, script.path)
      await putFlow(world, script.path)
      await putSchedule(world, 'f/ops/daily', { script_path: script.path })
      await putSchedule(world, 'f/ops/flowed', { script_path: script.path, is_flow: true })
      await settle(world, 'f/ops/daily')
      await settle(world, 'f/ops/flowed')
      await database.write(write => disarmSchedulesOf(write, [script], context))
      const rows = await sql<{ path: string; enabled: boolean }[]>`select path, enabled from schedule order by path`
      assert.equal(
        rows.map(one => one.enabled),
        [false, true]
      )
      assert.equal((await jobsOf(sql, 'f/ops/daily')).length, 0)
      assert.equal((await jobsOf(sql, 'f/ops/flowed')).length, 1)
    }))

  test(`${release}: a schedule of ours that cannot be armed is an error in words`, () =>
    inWindmill(release, async world => {
      await putUsers(world)
      await putSchedule(world, 'f/ops/daily', { script_path: 'f/ops/nothing' })
      assert.match(
        (await rejects(settle(world, 'f/ops/daily'))).message,
        /f\/ops\/daily cannot be armed: f\/ops\/nothing is not there/
      )
    }))
}

test.run()
