import schedule from '../src/kinds/schedule.ts'
import type { Json, Removal } from '../src/model.ts'
import { targetKey } from '../src/model.ts'
import { isListed } from '../src/windmill/custom-tags.ts'
import { isNewsOfSchedule } from '../src/windmill/schedule-status.ts'
import { applyOne, type Done, listedOf } from './support/kind.ts'
import { jobsOf, putFlow, putSchedule, putScript, putUser, putUsers } from './support/scheduled.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, type Release, releases, type World } from './support/windmill.ts'
import { becomeDue, finish, pull, pushNext } from './support/worker.ts'

const test = suite('kind schedule')

const script = 'f/ops/hello'
const flow = 'f/ops/flow'
const path = 'f/ops/daily'
/** As the RFC's users write it. */
const simple = { path, schedule: '0 3 * * *', scriptPath: script }

interface More {
  readonly previous?: readonly string[]
  readonly listed?: Record<string, unknown>
}

const apply = ({ database, context }: World, spec: Record<string, unknown>, more: More = {}): Promise<Done> =>
  applyOne(
    database,
    schedule as never,
    {
      spec,
      workspace: 'w',
      ...(more.previous && { previous: more.previous }),
      listed: { createdAt: '', changedAt: '', ...more.listed }
    },
    context
  )

const refusal = async (
  world: World,
  spec: Record<string, unknown>,
  more: More = {}
): Promise<{ code: string; message: string }> =>
  (await rejects(apply(world, spec, more))) as unknown as { code: string; message: string }

const rowOf = async ({ sql }: World, at = path): Promise<Record<string, unknown>> =>
  (await sql`select * from schedule where workspace_id = 'w' and path = ${at}`)[0] ?? {}

const removalOf = (at = path): Removal => ({
  workspace: 'w',
  path: at,
  fields: [],
  live: {},
  listed: { namespace: 'test', name: 'one', uid: '' }
})

/** A world with a script, a flow, the service user and alice. */
const inWorld = (release: Release, work: (world: World) => Promise<void>): Promise<void> =>
  inWindmill(release, async world => {
    await putUsers(world)
    await putScript(world, script)
    await putFlow(world, flow)
    await work(world)
  })

const due = async ({ sql }: World): Promise<NonNullable<Awaited<ReturnType<typeof pull>>>> => {
  await becomeDue(sql)
  const job = await pull(sql)
  assert.ok(job, 'a job was due')
  return job
}

for (const release of releases) {
  test(`${release}: created, it is armed; a second run finds nothing to do`, () =>
    inWorld(release, async world => {
      const first = await apply(world, simple)
      assert.is(first.op, 'create')
      assert.is(first.row['armed'], true)
      const [job, ...others] = await jobsOf(world.sql, path)
      assert.equal(others, [])
      assert.is(job?.permissionedAs, `u/${world.context.user}`)
      assert.is(job?.perms, world.context.user)
      const { schedule: cron, cron_version: version, enabled, timezone, args, retry, error } = await rowOf(world)
      assert.equal(
        { cron, version, enabled, timezone, args, retry, error },
        {
          cron: '0 0 3 * * *',
          version: 'v2',
          enabled: true,
          timezone: 'UTC',
          args: null,
          retry: null,
          error: null
        }
      )
      const second = await apply(world, simple)
      assert.is(second.op, 'keep')
      assert.is(second.tokenBefore, first.tokenAfter)
    }))

  test(`${release}: time passes and the worker pushes what follows: nothing to do, and no mark moves but by a new result`, () =>
    inWorld(release, async world => {
      await apply(world, simple)
      await finish(world.sql, await due(world))
      const settled = await apply(world, simple)
      assert.is(settled.op, 'keep')
      for (let tick = 0; tick < 3; tick++) {
        const job = await due(world)
        const during = await apply(world, simple)
        assert.is(during.op, 'keep', 'a running job counts as armed')
        assert.is(during.tokenAfter, settled.tokenAfter)
        await finish(world.sql, job)
        const after = await apply(world, simple)
        assert.is(after.op, 'keep')
        assert.is(after.tokenAfter, settled.tokenAfter)
        assert.is((await jobsOf(world.sql, path)).length, 1)
      }
      await finish(world.sql, await due(world), 'failure')
      const failed = await apply(world, simple)
      assert.is(failed.op, 'keep')
      assert.is.not(failed.tokenAfter, settled.tokenAfter)
    }))

  test(`${release}: a new version of the target by somebody else is noticed, and the job pushed again at its time`, () =>
    inWorld(release, async world => {
      for (const isFlow of [false, true]) {
        const spec = { ...simple, path: `${path}_${isFlow}`, scriptPath: isFlow ? flow : script, isFlow }
        const first = await apply(world, spec)
        const [before] = await jobsOf(world.sql, spec.path)
        const version = isFlow ? await putFlow(world, flow) : await putScript(world, script)
        const edited = await rowOf(world, spec.path)
        const second = await apply(world, spec)
        assert.is.not(second.tokenBefore, first.tokenAfter)
        assert.is(second.op, 'update')
        const [after, ...others] = await jobsOf(world.sql, spec.path)
        assert.is(after?.runnable, version)
        assert.equal(after?.scheduledFor, before?.scheduledFor)
        assert.equal(others, [])
        assert.equal(await rowOf(world, spec.path), edited, 'the row was touched')
        assert.is((await apply(world, spec)).op, 'keep')
      }
    }))

  test(`${release}: a script wrapped for its retries is pinned as well`, () =>
    inWorld(release, async world => {
      const spec = { ...simple, retryConfig: { attempts: 3, exponentialDelay: 10 } }
      await apply(world, spec)
      assert.is((await apply(world, spec)).op, 'keep')
      const [before] = await jobsOf(world.sql, path)
      await putScript(world, script)
      assert.is((await apply(world, spec)).op, 'update')
      const [after, ...others] = await jobsOf(world.sql, path)
      assert.is.not(after?.id, before?.id)
      assert.equal(others, [])
      assert.is((await apply(world, spec)).op, 'keep')
      // A newer Windmill pushes such a script as a plain one, which is as good.
      await finish(world.sql, { ...(await due(world)), kind: 'script' })
      assert.is((await apply(world, spec)).op, 'keep')
    }))

  test(`${release}: paused or disabled, it exists and has no job; enabled again, it has one`, () =>
    inWorld(release, async world => {
      await apply(world, simple)
      for (const off of [{ enabled: true, paused: true }, { enabled: false }, { enabled: false, paused: true }]) {
        await apply(world, { ...simple, ...off })
        assert.is((await rowOf(world))['enabled'], false)
        assert.equal(await jobsOf(world.sql, path), [])
        assert.is((await apply(world, { ...simple, ...off })).op, 'keep')
        await apply(world, simple)
        assert.is((await rowOf(world))['enabled'], true)
        assert.is((await jobsOf(world.sql, path)).length, 1)
      }
    }))

  test(`${release}: an enabled row without a job is armed, a disabled row with a job is cleared, and neither row is touched`, () =>
    inWorld(release, async world => {
      const { sql } = world
      await apply(world, simple)
      const row = await rowOf(world)
      await sql`delete from v2_job_queue`
      const healed = await apply(world, simple)
      assert.is(healed.op, 'update')
      assert.is((await jobsOf(sql, path)).length, 1)
      assert.equal(await rowOf(world), row)
      const disabled = { ...simple, enabled: false }
      await apply(world, disabled)
      const off = await rowOf(world)
      await sql`update schedule set enabled = true`
      await apply(world, simple)
      await sql`update schedule set enabled = false, edited_at = ${off['edited_at'] as Date}`
      assert.is((await jobsOf(sql, path)).length, 1)
      await apply(world, disabled)
      assert.equal(await jobsOf(sql, path), [])
      assert.equal(await rowOf(world), off)
    }))

  test(`${release}: handlers and words are written without another job, what decides about runs with one`, () =>
    inWorld(release, async world => {
      await putScript(world, 'f/ops/alert')
      await putFlow(world, 'f/ops/alert_flow')
      await apply(world, simple)
      const [first] = await jobsOf(world.sql, path)
      const words = {
        summary: 'short',
        onFailure: 'f/ops/alert',
        onSuccess: 'flow/f/ops/alert_flow',
        onRecovery: 'f/ops/alert_flow',
        onFailureTimes: 2,
        onFailureExact: true,
        onRecoveryTimes: 3,
        onFailureExtraArgs: { a: [1, null] },
        onRecoveryExtraArgs: { b: 'x' },
        onSuccessExtraArgs: {},
        wsErrorHandlerMuted: true,
        noFlowOverlap: true
      }
      const written = await apply(world, { ...simple, ...words })
      assert.is(written.op, 'update')
      assert.equal(
        (await jobsOf(world.sql, path)).map(one => one.id),
        [first?.id]
      )
      const row = await rowOf(world)
      assert.equal(
        [row['on_failure'], row['on_success'], row['on_recovery'], row['on_failure_times'], row['on_failure_exact']],
        ['script/f/ops/alert', 'flow/f/ops/alert_flow', 'flow/f/ops/alert_flow', 2, true]
      )
      assert.equal(row['on_failure_extra_args'], { a: [1, null] })
      assert.is(row['on_recovery_times'], 3)
      assert.is((await apply(world, { ...simple, ...words })).op, 'keep')
      await apply(world, { ...simple, ...words, args: { x: 1 } })
      const [second, ...others] = await jobsOf(world.sql, path)
      assert.is.not(second?.id, first?.id)
      assert.equal(second?.args, { x: 1 })
      assert.equal(others, [])
      const dropped = await apply(world, simple, { previous: [...Object.keys(words), 'args'] })
      assert.is(dropped.op, 'update')
      const bare = await rowOf(world)
      assert.equal(
        [bare['on_failure'], bare['args'], bare['no_flow_overlap'], bare['summary']],
        [null, null, false, 'short']
      )
    }))

  test(`${release}: a due job that waits for a worker keeps its time when it is replaced`, () =>
    inWorld(release, async world => {
      await apply(world, simple)
      await becomeDue(world.sql)
      const [before] = await jobsOf(world.sql, path)
      await apply(world, { ...simple, schedule: '30 4 * * *' })
      const [after, ...others] = await jobsOf(world.sql, path)
      assert.is.not(after?.id, before?.id)
      assert.equal(after?.scheduledFor, before?.scheduledFor)
      assert.equal(others, [])
    }))

  test(`${release}: deleted, row and job are gone, a running job and the jobs of others are left alone`, () =>
    inWorld(release, async world => {
      const { sql, database, context } = world
      await apply(world, { ...simple, path: 'f/ops/other' })
      await apply(world, simple)
      await becomeDue(sql)
      await sql`update v2_job_queue q set scheduled_for = now() + interval '1 day' from v2_job j where j.id = q.id and j.trigger <> ${path}`
      const running = await pull(sql)
      assert.is(running?.trigger, path)
      await pushNext(sql, running as NonNullable<typeof running>)
      assert.is((await jobsOf(sql, path)).length, 2)
      await database.write(write => schedule.remove(write, [removalOf()], context))
      assert.equal(
        (await jobsOf(sql, path)).map(one => one.id),
        [running?.id]
      )
      assert.equal(await rowOf(world), {})
      assert.is((await jobsOf(sql, 'f/ops/other')).length, 1)
      await finish(sql, running as NonNullable<typeof running>)
      assert.equal(await jobsOf(sql, path), [])
    }))

  test(`${release}: retired, it stays disabled without a job, and comes back armed`, () =>
    inWorld(release, async world => {
      const { sql, database, context } = world
      await apply(world, simple)
      await database.write(write => schedule.retire(write, [removalOf()], context))
      assert.is((await rowOf(world))['enabled'], false)
      assert.equal(await jobsOf(sql, path), [])
      await apply(world, simple)
      assert.is((await jobsOf(sql, path)).length, 1)
    }))

  test(`${release}: while a worker holds a job, a change waits for it and leaves the run alone`, () =>
    inWorld(release, async world => {
      const { sql } = world
      await apply(world, simple)
      await becomeDue(sql)
      let release_ = (): void => {}
      let take = (): void => {}
      const taken = new Promise<void>(resolve => (take = resolve))
      const held = new Promise<void>(resolve => (release_ = resolve))
      let pulled = ''
      const worker = sql.begin(async tx => {
        const [job] = await tx`
          update v2_job_queue set running = true, started_at = now() where id = (
            select id from v2_job_queue where not running and scheduled_for <= now() for update skip locked limit 1)
          returning id::text`
        pulled = job?.['id'] as string
        take()
        await held
      })
      await taken
      const change = apply(world, { ...simple, args: { x: 2 } })
      await new Promise(resolve => setTimeout(resolve, 50))
      release_()
      await worker
      await change
      assert.equal(
        (await jobsOf(sql, path)).map(one => [one.id, one.running]),
        [[pulled, true]]
      )
      const [job] =
        await sql`select id, workspace_id as workspace, runnable_path as path, kind::text, trigger, permissioned_as as "permissionedAs", permissioned_as_email as email from v2_job where id = ${pulled}`
      await finish(sql, job as never)
      assert.is((await jobsOf(sql, path)).length, 1)
      assert.is((await apply(world, { ...simple, args: { x: 2 } })).op, 'keep')
    }))

  test(`${release}: a worker that pulls and pushes all the time and runs that change all the time leave one job each`, () =>
    inWorld(release, async world => {
      const { sql } = world
      const paths = ['a', 'b', 'c'].map(name => `f/ops/${name}`)
      const every = { schedule: '* * * * * *', scriptPath: script }
      for (const one of paths) await apply(world, { ...every, path: one })
      const until = { stop: false }
      const worker = async (): Promise<number> => {
        let runs = 0
        while (!until.stop) {
          await sql`update v2_job_queue set scheduled_for = now() where not running`
          const job = await pull(sql)
          if (!job) continue
          await finish(sql, job)
          runs++
        }
        return runs
      }
      const working = worker()
      for (let round = 0; round < 6; round++) {
        for (const one of paths) await apply(world, { ...every, path: one, args: { round } })
        await putScript(world, script)
      }
      until.stop = true
      assert.ok((await working) > 0)
      for (const one of paths) {
        await apply(world, { ...every, path: one, args: { round: 5 } })
        assert.is((await jobsOf(sql, one)).length, 1, one)
        assert.equal((await rowOf(world, one))['args'], { round: 5 })
      }
    }))

  test(`${release}: Windmill disabled it: it is enabled again after it had worked, once`, () =>
    inWorld(release, async world => {
      const { sql } = world
      await apply(world, simple)
      await finish(sql, await due(world))
      await sql`update schedule set enabled = false, error = 'Not found: the tag of today. '`
      await sql`delete from v2_job_queue`
      const again = await apply(world, simple)
      assert.is(again.op, 'update')
      assert.equal([(await rowOf(world))['enabled'], (await rowOf(world))['error']], [true, null])
      assert.is((await jobsOf(sql, path)).length, 1)
      // The first occurrence after it ends the same way: nothing has changed, so it stays off and says why.
      await sql`update schedule set enabled = false, error = 'Not found: the tag of today. '`
      await sql`delete from v2_job_queue`
      for (let run = 0; run < 2; run++) {
        const { code, message } = await refusal(world, simple)
        assert.is(code, 'DisabledByWindmill')
        assert.match(message, /Windmill disabled the schedule: Not found: the tag of today\. Remove the cause/)
      }
      assert.equal(await jobsOf(sql, path), [])
    }))

  test(`${release}: after an edit of the manifest, a new version or a request, Windmill's disabling is tried again`, () =>
    inWorld(release, async world => {
      const { sql } = world
      await apply(world, simple)
      const stop = async (): Promise<void> => {
        await sql`delete from v2_job_queue`
        await sql`update schedule set enabled = false, error = 'x'`
        assert.is((await refusal(world, simple)).code, 'DisabledByWindmill')
      }
      const later = (): string => new Date(Date.now() + 60_000).toISOString()
      await stop()
      assert.is((await apply(world, simple, { listed: { changedAt: later() } })).op, 'update')
      await stop()
      assert.is(
        (await apply(world, simple, { listed: { annotations: { 'sync-requested-at': later() } } })).op,
        'update'
      )
      await stop()
      await putScript(world, script)
      assert.is((await apply(world, simple)).op, 'update')
      await stop()
      assert.is((await apply(world, { ...simple, args: { other: 1 } })).op, 'update')
      await stop()
      // Switched off in the manifest, the error is forgotten, and it can be switched on.
      assert.is((await apply(world, { ...simple, enabled: false })).op, 'update')
      assert.is((await apply(world, simple)).op, 'update')
      assert.is((await apply(world, simple)).op, 'keep')
    }))

  test(`${release}: the target must exist as what it is called, and not be archived`, () =>
    inWorld(release, async world => {
      const { sql } = world
      const say = async (spec: Record<string, unknown>): Promise<string> => {
        const { code, message } = await refusal(world, { ...simple, ...spec })
        assert.is(code, 'ReferenceNotFound')
        return message
      }
      assert.match(await say({ scriptPath: 'f/ops/nothing' }), /no script f\/ops\/nothing; create it/)
      assert.match(await say({ scriptPath: flow }), /but a flow of that path; set isFlow to true/)
      assert.match(await say({ isFlow: true }), /but a script of that path; leave out isFlow/)
      await sql`update script set archived = true`
      await sql`update flow set archived = true`
      assert.match(await say({}), /script f\/ops\/hello is archived/)
      assert.match(await say({ scriptPath: flow, isFlow: true }), /flow f\/ops\/flow is archived/)
    }))

  test(`${release}: in an archived workspace a schedule stays off, and says so`, () =>
    inWorld(release, async world => {
      const { sql } = world
      const armed = await apply(world, simple)
      await sql`update workspace set deleted = true where id = 'w'`
      const done = await apply(world, simple)
      assert.is.not(done.tokenBefore, armed.tokenAfter)
      assert.is((await rowOf(world))['enabled'], false)
      assert.equal(await jobsOf(sql, path), [])
      assert.match(done.compiled.notes?.join(' ') ?? '', /workspace is archived, so the schedule stays off/)
      await sql`update workspace set deleted = false where id = 'w'`
      assert.is((await apply(world, simple)).op, 'update')
      assert.is((await jobsOf(sql, path)).length, 1)
    }))

  test(`${release}: handlers without a prefix are told apart, or reported`, () =>
    inWorld(release, async world => {
      await putFlow(world, 'f/ops/both')
      await putScript(world, 'f/ops/both')
      const both = await refusal(world, { ...simple, onFailure: 'f/ops/both' })
      assert.match(
        both.message,
        /onFailure: both a script and a flow stand at f\/ops\/both; write script\/f\/ops\/both or flow\//
      )
      const none = await refusal(world, { ...simple, onSuccess: 'f/ops/none' })
      assert.is(none.code, 'ReferenceNotFound')
      assert.match(none.message, /neither a script nor a flow f\/ops\/none/)
      const hub = await apply(world, {
        ...simple,
        onFailure: 'hub/12/slack',
        onRecovery: 'script/f/ops/later',
        onSuccess: ''
      })
      const row = await rowOf(world)
      assert.equal(
        [row['on_failure'], row['on_recovery'], row['on_success']],
        ['script/hub/12/slack', 'script/f/ops/later', null]
      )
      assert.match(hub.compiled.notes?.join(' ') ?? '', /onRecovery: workspace w has no script f\/ops\/later yet/)
      assert.is(hub.compiled.unsettled, true)
    }))

  test(`${release}: runs act as whom the manifest names, user and e-mail address together`, () =>
    inWorld(release, async world => {
      const { sql } = world
      const named = release === '2026-08'
      for (const runAs of ['u/alice', 'alice', 'ALICE@example.com']) {
        await sql`delete from schedule`
        await apply(world, { ...simple, runAs })
        const row = await rowOf(world)
        assert.equal([row['edited_by'], row['email']], ['alice', 'alice@example.com'])
        if (named) assert.is(row['permissioned_as'], 'u/alice')
        const [job] = await jobsOf(sql, path)
        assert.equal([job?.permissionedAs, job?.email, job?.perms], ['u/alice', 'alice@example.com', 'alice'])
        assert.is((await apply(world, { ...simple, runAs })).op, 'keep')
      }
      // Old servers change one of the two only (trap 14).
      if (!named) {
        await sql`update schedule set email = 'bob@example.com'`
        assert.is((await apply(world, { ...simple, runAs: 'alice' })).op, 'update')
        assert.is((await rowOf(world))['email'], 'alice@example.com')
      }
      const back = await apply(world, simple, { previous: ['runAs'] })
      assert.is(back.op, 'update')
      assert.equal(
        [(await rowOf(world))['edited_by'], (await rowOf(world))['email']],
        [world.context.user, world.context.email]
      )
      assert.is((await refusal(world, { ...simple, runAs: 'u/carol' })).code, 'UserNotFound')
      await sql`update usr set disabled = true where username = 'alice'`
      assert.is((await refusal(world, { ...simple, runAs: 'u/alice' })).code, 'UserNotFound')
    }))

  test(`${release}: a row of somebody is taken over with his identity, if this namespace may act as him`, () =>
    inWorld(release, async world => {
      await putSchedule(world, path, { script_path: script, cron_version: 'v1', schedule: '0 0 3 * * 2' })
      const done = await apply(world, simple)
      assert.is(done.op, 'update')
      const row = await rowOf(world)
      assert.equal([row['schedule'], row['cron_version'], row['edited_by']], ['0 0 3 * * *', 'v2', 'alice'])
      const strict = { ...world, context: { ...world.context, mayRunAs: () => 'nobody may.' } }
      assert.is((await refusal(strict, simple)).code, 'RunAsNotAllowed')
      await world.sql`update usr set disabled = true where username = 'alice'`
      const { message } = await refusal(world, { ...simple, args: { x: 1 } })
      assert.match(message, /cannot be armed: u\/alice, who it runs as, is no enabled user/)
    }))

  test(`${release}: an e-mail address that does not fit is refused before it is an error of the database (trap 6)`, () =>
    inWorld(release, async world => {
      const email = `${'x'.repeat(45)}@example.com`
      await putUser(world.sql, 'long', email)
      const spec = { ...simple, runAs: 'u/long' }
      if (release === '2026-08') {
        await apply(world, spec)
        assert.is((await rowOf(world))['email'], email)
        return
      }
      assert.match(
        (await refusal(world, spec)).message,
        /runAs: the e-mail address of the user: .*at most 50 characters/
      )
    }))

  test(`${release}: clearing spares steps of flows, flows that wait for an approval, and what others queued (trap 10)`, () =>
    inWorld(release, async world => {
      const { sql } = world
      await apply(world, { ...simple, scriptPath: flow, isFlow: true })
      await apply(world, { ...simple, path: 'f/ops/other', scriptPath: flow, isFlow: true })
      const [mine] = await jobsOf(sql, path)
      const copy = async (
        name: string,
        job: Record<string, unknown>,
        queued: Record<string, unknown>
      ): Promise<void> => {
        const [old] = await sql`select * from v2_job where id = ${mine?.id ?? ''}`
        const [id] = await sql`select gen_random_uuid()::text as id`
        await sql`insert into v2_job ${sql({ ...old, args: sql.json({ name }), id: id?.['id'], ...job } as never)}`
        const row = {
          id: id?.['id'],
          workspace_id: 'w',
          running: false,
          scheduled_for: new Date(),
          tag: 'flow',
          ...queued
        }
        await sql`insert into v2_job_queue ${sql(row as never)}`
      }
      await copy('step', { flow_step_id: 'a', parent_job: mine?.id }, {})
      await copy(
        'approval',
        {},
        { suspend: 1, suspend_until: new Date(Date.now() + 3_600_000), started_at: new Date() }
      )
      await copy('by hand', { trigger: null, trigger_kind: null }, {})
      await apply(world, { ...simple, scriptPath: flow, isFlow: true, enabled: false })
      const left = await sql<{ name: string | null }[]>`
        select coalesce(j.args->>'name', j.trigger) as name from v2_job_queue q join v2_job j using (id) order by 1`
      assert.equal(
        [...left].map(one => one.name),
        ['approval', 'by hand', 'f/ops/other', 'step']
      )
    }))

  test(`${release}: a job at another time than ours counts as armed (trap 11)`, () =>
    inWorld(release, async world => {
      const { tokenAfter } = await apply(world, simple)
      await world.sql`update v2_job_queue set scheduled_for = scheduled_for + interval '17 minutes'`
      const second = await apply(world, simple)
      assert.is(second.op, 'keep')
      assert.is(second.tokenBefore, tokenAfter)
    }))

  test(`${release}: a pause that somebody made in Windmill is ended`, () =>
    inWorld(release, async world => {
      await apply(world, simple)
      await world.sql`update schedule set paused_until = now() + interval '10 years'`
      assert.is((await apply(world, simple)).op, 'update')
      assert.is((await rowOf(world))['paused_until'], null)
      // A pause that is over is none.
      await world.sql`update schedule set paused_until = now() - interval '1 day'`
      assert.is((await apply(world, simple)).op, 'keep')
    }))

  test(`${release}: the syntax of another version is a difference, even with the same text`, () =>
    inWorld(release, async world => {
      const spec = { ...simple, schedule: '0 0 3 * * 1' }
      await apply(world, spec)
      await world.sql`update schedule set cron_version = 'v1'`
      assert.is((await apply(world, spec)).op, 'update')
      assert.is((await rowOf(world))['cron_version'], 'v2')
    }))

  test(`${release}: tags that Windmill would refuse are refused here`, () =>
    inWorld(release, async world => {
      const { sql } = world
      const spec = { ...simple, tag: 'heavy' }
      const silent = release === '1.463.2'
      const unlisted = await apply(world, spec)
      assert.is(
        /tag: Windmill disables the schedule unless heavy/.test(unlisted.compiled.notes?.join(' ') ?? ''),
        !silent
      )
      await sql`insert into global_settings (name, value) values ('custom_tags', '["light", "heavy(other)"]')`
      if (silent) {
        assert.is((await apply(world, spec)).op, 'keep')
        return
      }
      assert.match((await refusal(world, spec)).message, /tag: heavy is none of Windmill's custom tags for workspace w/)
      await sql`update global_settings set value = '["heavy(^other)"]' where name = 'custom_tags'`
      assert.is((await apply(world, spec)).op, 'keep')
      await sql`update global_settings set value = '[]' where name = 'custom_tags'`
      await sql`insert into password (email, login_type, super_admin, verified) values ('alice@example.com', 'x', true, true)`
      assert.is((await apply(world, { ...spec, runAs: 'alice' })).op, 'update')
      await putScript(world, script, { tag: 'odd' })
      assert.match(
        (await refusal(world, { ...simple, runAs: world.context.user })).message,
        /the tag of f\/ops\/hello: odd is none/
      )
    }))

  test(`${release}: what has no effect is said`, () =>
    inWorld(release, async world => {
      const notes = async (spec: Record<string, unknown>): Promise<string> =>
        (await apply(world, { ...simple, ...spec })).compiled.notes?.join(' ') ?? ''
      assert.match(await notes({}), /runAs: not stated, so runs act as iac_controller, an admin of the workspace\./)
      assert.match(await notes({ noFlowOverlap: true }), /noFlowOverlap: has an effect for flows only/)
      const flowNotes = await notes({ scriptPath: flow, isFlow: true, tag: 'x', retryConfig: { attempts: 1 } })
      assert.match(flowNotes, /tag: Windmill ignores it for a flow/)
      assert.match(flowNotes, /retryConfig: Windmill ignores it for a flow/)
      assert.match(
        await notes({ onFailure: 'script/f/ops/x', onFailureTimes: 3 }),
        /onFailure, onFailureTimes: have an effect in Windmill's enterprise edition only/
      )
      const old = await notes({ description: 'd', dynamicSkip: script, labels: ['l'] })
      assert.is(/description: this Windmill has no such column/.test(old), release === '1.463.2')
      assert.is(/dynamicSkip: this Windmill has no such column/.test(old), release === '1.463.2')
      assert.is(/labels: this Windmill has no such column/.test(old), release !== '2026-08')
      if (release !== '1.463.2') {
        assert.is((await rowOf(world))['dynamic_skip'], script)
        assert.is((await refusal(world, { ...simple, dynamicSkip: 'f/ops/none' })).code, 'ReferenceNotFound')
      }
    }))

  test(`${release}: retries are never a JSON null, and a stored one without all members is no difference`, () =>
    inWorld(release, async world => {
      const { sql } = world
      const none = { ...simple, retryConfig: { attempts: 0 } }
      await apply(world, none)
      const [{ isNull } = {}] = await sql`select retry is null and args is null as "isNull" from schedule`
      assert.is(isNull, true)
      const spec = { ...simple, retry: { constant: { attempts: 2, seconds: 5 } } }
      await apply(world, spec)
      await sql`update schedule set retry = '{"constant": {"attempts": 2, "seconds": 5}}'`
      assert.is((await apply(world, spec)).op, 'keep')
    }))

  test(`${release}: paths, cron expressions and time zones that Windmill would not take are refused`, () =>
    inWorld(release, async world => {
      const say = async (spec: Record<string, unknown>): Promise<string> => {
        const { code, message } = await refusal(world, { ...simple, ...spec })
        assert.is(code, 'InvalidSpec')
        return message
      }
      assert.match(await say({ schedule: '0 0 30 2 *' }), /schedule: there is no such day/)
      assert.match(await say({ timezone: 'europe/paris' }), /timezone: .*write Europe\/Paris/)
      assert.match(await say({ path: `f/ops/${'x'.repeat(241)}` }), /path: .*246/)
      assert.match(await say({ path: flow }), /a schedule of that path must start that flow/)
      assert.match(await say({ args: { big: '\ud800' } }), /args/)
      assert.match(await say({ retry: { exponential: { attempts: 20, seconds: 2 } } }), /retry: the last retry/)
      await apply(world, { ...simple, path: flow, scriptPath: `flow/${flow}`, isFlow: true })
    }))

  test(`${release}: the status tells next run, last run and last result`, () =>
    inWorld(release, async world => {
      const { sql, database } = world
      const target = { workspace: 'w', path, fields: [] }
      const details = async (): Promise<Record<string, unknown>> => ({
        ...(await database.read(read => schedule.details(read, [target]))).get(targetKey('w', path))
      })
      await apply(world, simple)
      const [job] = await jobsOf(sql, path)
      assert.equal(await details(), { nextRun: job?.scheduledFor.toISOString().replace('.000Z', 'Z') })
      await finish(sql, await due(world), 'failure')
      const after = await details()
      assert.is(after['lastResult'], 'failure')
      assert.match(String(after['lastRun']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
      assert.match(String(after['nextRun']), /T03:00:00Z$/)
      await apply(world, { ...simple, enabled: false })
      assert.is((await details())['nextRun'], undefined)
    }))

  test(`${release}: a batch takes a fixed number of statements, whatever is in it`, () =>
    inWorld(release, async world => {
      const { sql, database, context } = world
      const count = async (size: number): Promise<number> => {
        await sql`delete from v2_job_queue`
        await sql`delete from schedule`
        const writes = Array.from({ length: size }, (_, at) => ({
          op: 'create' as const,
          workspace: 'w',
          path: `f/ops/s${at}`,
          row: {
            schedule: '0 0 3 * * *',
            timezone: 'UTC',
            scriptPath: at % 2 ? flow : script,
            isFlow: at % 2 === 1,
            enabled: true,
            armed: true
          } as Record<string, Json>,
          listed: listedOf(schedule as never)
        }))
        let statements = 0
        await database.write(async write => {
          const counting = new Proxy(write, {
            apply: (target, self, args: unknown[]) => {
              if (Array.isArray(args[0]) && 'raw' in (args[0] as object)) statements++
              return Reflect.apply(target as (...all: unknown[]) => unknown, self, args)
            }
          })
          await schedule.write(counting, writes, context)
        })
        const [{ armed } = {}] = await sql`select count(*)::int as armed from v2_job_queue`
        assert.is(armed, size)
        return statements
      }
      assert.is(await count(40), await count(4))
    }))
}

test('entries of the audit log are named as those of the API', () => {
  const write = { workspace: 'w', path, listed: listedOf(schedule) }
  const live = { schedule: '0 0 3 * * *', scriptPath: script, enabled: true, armed: true }
  const operations = (row: Record<string, Json>): (readonly [string, unknown])[] =>
    schedule
      .audit({ ...write, op: 'update', row: { ...live, ...row }, live })
      .map(one => [one.operation, one.parameters] as const)
  assert.equal(operations({ args: { x: 1 } }), [['schedule.edit', { schedule: '0 0 3 * * *' }]])
  assert.equal(operations({ enabled: false, armed: false }), [['schedule.setenabled', { enabled: 'false' }]])
  assert.equal(schedule.audit({ ...write, op: 'update', row: live, live: { ...live, armed: false } }), [])
  const [created] = schedule.audit({ ...write, op: 'create', row: live })
  assert.equal(
    [created?.operation, created?.parameters],
    ['schedule.create', { schedule: '0 0 3 * * *', script_path: script }]
  )
  assert.equal(
    schedule.audit({ ...removalOf(), op: 'delete' }).map(one => one.operation),
    ['schedule.delete']
  )
  assert.equal(
    schedule.audit({ ...removalOf(), op: 'retire' }).map(one => one.operation),
    ['schedule.setenabled']
  )
})

test('custom tags may be for some workspaces only', () => {
  const listed = ['plain', 'some(a+b)', 'but(^a^b)']
  const where = (tag: string): string => ['a', 'b', 'c'].filter(one => isListed(tag, one, listed)).join('')
  assert.equal([where('plain'), where('some'), where('but'), where('none')], ['abc', 'ab', 'c', ''])
})

test('a status is written again for news, not for time that passes', () => {
  const now = new Date('2026-06-10T12:00:00Z')
  const at = (nextRun: string, lastResult?: string) => ({
    nextRun,
    lastRun: '2026-06-01T00:00:00Z',
    ...(lastResult && { lastResult })
  })
  const isNews = (before: object, after: object): boolean => isNewsOfSchedule(before, after, now)
  assert.is(isNews(at('2026-06-10T11:55:00Z'), at('2026-06-10T12:05:00Z')), false)
  assert.is(isNews(at('2026-06-10T13:00:00Z'), at('2026-06-10T13:00:00Z')), false)
  assert.is(isNews(at('2026-06-10T13:00:00Z'), at('2026-06-10T12:30:00Z')), true)
  assert.is(isNews(at('2026-06-09T11:00:00Z'), at('2026-06-10T12:05:00Z')), true)
  assert.is(isNews(at('2026-06-10T11:55:00Z', 'success'), at('2026-06-10T12:05:00Z', 'failure')), true)
  assert.is(isNews(at('2026-06-10T11:55:00Z'), {}), true)
  assert.is(isNews({}, at('2026-06-10T12:05:00Z')), true)
})

test.run()
