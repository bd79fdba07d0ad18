/** Flows at the three schemas: every row of a deploy, what a worker and people do afterwards, archives and deletes. */
import kindFile from '../src/kinds/flow.ts'
import { type AnyKind, type Kind, type Removal, targetKey, type Write } from '../src/model.ts'
import { settleSchedules } from '../src/windmill/schedule-arming.ts'
import { asWorkerStores, workOn } from './support/flow-worker.ts'
import { applyOne, type Done, type Given, listedOf } from './support/kind.ts'
import { jobsOf, putSchedule, putUser } from './support/scheduled.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, type Release, releases, type World } from './support/windmill.ts'

const test = suite('kind flow')
const kind = kindFile as unknown as AnyKind
const view = kindFile as unknown as Kind

const people = `
  insert into usr (workspace_id, username, email, is_admin, operator, disabled) values
    ('w', 'iac_controller', 'iac-controller@cluster.local', true, false, false),
    ('w', 'ann', 'ann@example.com', false, false, false), ('w', 'bob', 'bob@example.com', false, false, true);`

const inFlows = (release: Release, work: (world: World) => Promise<void>): (() => Promise<void>) => {
  return () =>
    inWindmill(release, async world => {
      await world.sql.unsafe(people)
      await work(world)
    })
}

const apply = ({ database, context }: World, spec: Record<string, unknown>, more: Partial<Given> = {}): Promise<Done> =>
  applyOne(database, kind, { spec, workspace: 'w', ...more }, context)

const script = (id: string, more: object = {}): Record<string, unknown> => ({
  id,
  value: { type: 'rawscript', language: 'python3', content: `def main(): return '${id}'`, ...more }
})

const value = {
  modules: [
    script('a', { input_transforms: { z: { type: 'static', value: null }, b: { type: 'javascript', expr: '1' } } }),
    {
      id: 'loop',
      value: {
        type: 'forloopflow',
        iterator: { type: 'javascript', expr: 'flow_input.list' },
        modules: [script('b', { language: 'bun', content: '//native\nexport const main = () => 1' })]
      }
    },
    {
      id: 'approve',
      value: { type: 'identity' },
      suspend: { required_events: 1, timeout: 60 },
      stop_after_if: { expr: 'x' }
    },
    { id: 'sub', value: { type: 'flow', path: 'f/a/sub' }, retry: { constant: { attempts: 2, seconds: 5 } } }
  ],
  failure_module: script('failure', { language: 'bash', content: 'exit 1' })
}
const spec = { path: 'f/a/x', summary: 'X', description: 'does x', value }

const schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  order: ['z', 'a'],
  properties: { z: {}, a: {} }
}

interface Version {
  readonly id: string
  readonly value: Record<string, unknown>
  readonly schema: string | null
  readonly author: string
}

const versionsAt = async ({ sql }: World, path = 'f/a/x'): Promise<readonly Version[]> =>
  sql<Version[]>`
    select id::text, value, schema::text, created_by as author from flow_version
     where workspace_id = 'w' and path = ${path} order by id`

const flowAt = async ({ sql }: World, path = 'f/a/x'): Promise<Record<string, unknown>> => {
  const [row] = await sql`
    select *, schema::text as schema, edited_at > now() - interval '1 minute' as edited_at, versions::text as versions,
           dependency_job::text from flow where workspace_id = 'w' and path = ${path}`
  return { ...row }
}

const detailsAt = async ({ database, context }: World, path = 'f/a/x') =>
  database.read(async sql =>
    (await view.details?.(sql, [{ workspace: 'w', path, fields: [] }], context))?.get(targetKey('w', path))
  )

const work = ({ sql }: World, path = 'f/a/x'): Promise<void> => workOn(sql, { workspace: 'w', path })

const removal = (path = 'f/a/x'): Removal => {
  const { namespace, name, uid } = listedOf(kind)
  return { workspace: 'w', path, fields: [], live: {}, listed: { namespace, name, uid } }
}

const failure = async (world: World, part: Record<string, unknown>, more: Partial<Given> = {}): Promise<string> => {
  const error = await rejects(apply(world, { ...spec, ...part }, more))
  return `${(error as { code?: string }).code}: ${error.message}`
}

const since = (world: World, column: string, values: Record<string, unknown>): Record<string, unknown> =>
  world.context.capabilities.has('flow', column) ? values : {}

for (const release of releases) {
  test(
    `${release}: a new flow has every row as the contract says, and a second run writes nothing`,
    inFlows(release, async world => {
      const { sql, variant } = world
      await sql`insert into draft (workspace_id, path, typ, value) values ('w', 'f/a/x', 'flow', '{}'), ('w', 'f/a/y', 'flow', '{}')`
      const done = await apply(world, spec)
      assert.is(done.op, 'create')
      const stored = {
        ...value,
        modules: [
          value.modules[0],
          {
            id: 'loop',
            value: {
              ...(value.modules[1] as { value: object }).value,
              modules: [script('b', { language: 'bunnative', content: '//native\nexport const main = () => 1' })]
            }
          },
          { ...value.modules[2], stop_after_if: { expr: 'x', skip_if_stopped: false } },
          value.modules[3]
        ]
      }
      delete (stored.modules[0] as { value: { input_transforms?: { z: { value?: null } } } }).value.input_transforms?.z
        .value
      const [version, ...others] = await versionsAt(world)
      assert.equal(others, [])
      assert.equal(version, { id: version?.id, value: stored, schema: null, author: 'iac_controller' })
      const { dependency_job: job, ...flow } = await flowAt(world)
      assert.equal(flow, {
        workspace_id: 'w',
        path: 'f/a/x',
        summary: 'X',
        description: 'does x',
        value: stored,
        edited_by: 'iac_controller',
        edited_at: true,
        archived: false,
        schema: null,
        extra_perms: {},
        ...since(world, 'draft_only', { draft_only: null }),
        tag: null,
        ws_error_handler_muted: false,
        dedicated_worker: null,
        timeout: null,
        visible_to_runner_only: false,
        concurrency_key: null,
        versions: `{${version?.id}}`,
        on_behalf_of_email: null,
        ...since(world, 'lock_error_logs', { lock_error_logs: '' }),
        ...since(world, 'labels', { labels: null }),
        ...since(world, 'on_behalf_of', { on_behalf_of: null })
      })
      const [pushed] = await sql`
        select j.kind, j.runnable_id::text as runnable, j.runnable_path, j.script_lang, j.raw_flow, j.tag, q.tag as queued,
               j.args, j.created_by, j.permissioned_as, j.permissioned_as_email, j.same_worker, j.visible_to_owner,
               j.trigger_kind, q.running, q.scheduled_for <= now() as due, q.canceled_by,
               (select count(*)::int from v2_job_status s where s.id = j.id) as statuses,
               (select count(*)::int from v2_job_runtime r where r.id = j.id and r.ping is null) as runtimes,
               (select count(*)::int from job_perms p where p.job_id = j.id) as perms
          from v2_job j join v2_job_queue q using (id) where j.id = ${String(job)}`
      assert.equal(
        { ...pushed },
        {
          kind: 'flowdependencies',
          runnable: version?.id,
          runnable_path: 'f/a/x',
          script_lang: null,
          raw_flow: null,
          tag: 'dependency',
          queued: 'dependency',
          args: {},
          created_by: 'iac_controller',
          permissioned_as: 'u/iac_controller',
          permissioned_as_email: 'iac-controller@cluster.local',
          same_worker: false,
          visible_to_owner: true,
          trigger_kind: null,
          running: false,
          due: true,
          canceled_by: null,
          statuses: 0,
          runtimes: 1,
          perms: 1
        }
      )
      assert.equal(
        [...(await sql`select path from draft`)].map(one => one['path']),
        ['f/a/y']
      )
      const metadata = await sql`select to_jsonb(m) as row from deployment_metadata m`
      const expected = { workspace_id: 'w', path: 'f/a/x', flow_version: Number(version?.id), job_id: job }
      const empty = { script_hash: null, app_version: null, callback_job_ids: null, deployment_msg: null }
      assert.equal(
        metadata.map(one => one['row'] as object),
        variant === '2026-08' ? [{ ...empty, ...expected }] : []
      )
      for (const table of ['flow_version_lite', 'flow_node']) {
        assert.is((await sql`select 1 from ${sql(table)}`).length, 0, table)
      }
      assert.equal(await detailsAt(world), { hash: version?.id, lockState: 'pending' })
      const again = await apply(world, spec)
      assert.is(again.op, 'keep')
      assert.is(again.tokenAfter, done.tokenAfter)
      assert.is((await versionsAt(world)).length, 1)
    })
  )

  test(
    `${release}: a worker's rewriting, its lite row and its clone are no drift`,
    inFlows(release, async world => {
      const { sql, database, context } = world
      const odd = { ...spec, value: { ...value, colour: 'red' } }
      const first = await apply(world, odd)
      await work(world)
      const stored = (await versionsAt(world))[0]
      assert.is(modulesOf(stored)[0]?.value['lock'], 'made by the worker')
      assert.is(stored?.value['colour'], undefined)
      const target = { workspace: 'w', path: 'f/a/x', fields: [] }
      const [seen] = await database.read(tx => view.observe(tx, [target], context))
      assert.equal(seen?.asDeployed, ['value', 'unknownKeys'])
      assert.equal(seen?.row['value'], first.row['value'])
      assert.equal(seen?.row['lock.a'], 'made by the worker')
      assert.equal(await detailsAt(world), { hash: (await versionsAt(world))[0]?.id, lockState: 'done' })
      const second = await apply(world, spec)
      assert.is(second.op, 'keep')
      assert.is.not(second.tokenBefore, first.tokenAfter)
      // An imported script changed: the worker copies the version, author included, and makes locks anew.
      await sql`
        with made as (
          insert into flow_version (workspace_id, path, value, schema, created_by)
          select workspace_id, path, jsonb_set(value, '{modules,0,value,lock}', '"newer"'), schema, created_by
            from flow_version where path = 'f/a/x' returning id)
        update flow set versions = array_append(versions, (select id from made)) where path = 'f/a/x'`
      assert.is((await apply(world, spec)).op, 'keep')
      assert.is((await versionsAt(world)).length, 2)
    })
  )

  test(
    `${release}: a version made by a person is drift, and the next deploy puts it right`,
    inFlows(release, async world => {
      const { sql, database, context } = world
      await apply(world, spec)
      await work(world)
      await sql`
        with made as (
          insert into flow_version (workspace_id, path, value, schema, created_by)
          select workspace_id, path, jsonb_set(value, '{modules,0,value,content}', '"edited"'), schema, 'ann'
            from flow_version where path = 'f/a/x' returning id)
        update flow set versions = array_append(versions, (select id from made)) where path = 'f/a/x'`
      const [seen] = await database.read(tx =>
        view.observe(tx, [{ workspace: 'w', path: 'f/a/x', fields: [] }], context)
      )
      assert.equal({ asDeployed: seen?.asDeployed, by: seen?.editedBy }, { asDeployed: [], by: 'ann' })
      assert.is((await apply(world, spec)).op, 'update')
      const versions = await versionsAt(world)
      assert.equal(
        versions.map(one => one.author),
        ['iac_controller', 'ann', 'iac_controller']
      )
      const [a, loop] = modulesOf(versions.at(-1))
      assert.equal([a?.value['content'], a?.value['lock']], ["def main(): return 'a'", undefined])
      // What did not change keeps its lock.
      const [b] = modulesOf(loop)
      assert.is(b?.value['lock'], 'made by the worker')
    })
  )

  test(
    `${release}: an update makes a version, replaces the job, tells the servers and keeps what is not stated`,
    inFlows(release, async world => {
      const { sql, variant } = world
      await apply(world, { ...spec, schema, tag: 'big', timeout: 5, visibleToRunnerOnly: true })
      const before = await flowAt(world)
      await sql`update flow set extra_perms = '{"g/x": true}', ws_error_handler_muted = true, edited_at = '2020-01-01' where path = 'f/a/x'`
      await sql.unsafe('create table notified (old text, new text)')
      await sql.unsafe(`
        create function note() returns trigger language plpgsql security definer as $$ begin
          if new.versions[array_upper(new.versions, 1)] is distinct from old.versions[array_upper(old.versions, 1)] then
            insert into notified values (old.versions::text, new.versions::text); end if; return null; end $$;
        create trigger note after update on flow for each row execute function note()`)
      const done = await apply(world, { path: 'f/a/x', summary: 'Y', value })
      assert.is(done.op, 'update')
      const [first, second] = await versionsAt(world)
      assert.equal(
        [...(await sql`select * from notified`)],
        [{ old: `{${first?.id}}`, new: `{${first?.id},${second?.id}}` }]
      )
      const after = await flowAt(world)
      assert.is.not(after['dependency_job'], before['dependency_job'])
      assert.equal(after, {
        ...before,
        summary: 'Y',
        ws_error_handler_muted: true,
        extra_perms: { 'g/x': true },
        versions: `{${first?.id},${second?.id}}`,
        dependency_job: after['dependency_job']
      })
      assert.is(second?.schema, JSON.stringify(schema))
      const jobs = await sql`
        select q.id::text, q.canceled_by, q.canceled_reason, j.args, j.runnable_id::text as runnable, j.tag
          from v2_job_queue q join v2_job j using (id) order by j.runnable_id`
      assert.equal(
        [...jobs],
        [
          {
            id: before['dependency_job'],
            canceled_by: 'iac_controller',
            canceled_reason: 're-deployment',
            args: {},
            runnable: first?.id,
            tag: variant === '1.463.2' ? 'big' : 'dependency'
          },
          {
            id: after['dependency_job'],
            canceled_by: null,
            canceled_reason: null,
            args: { parent_path: 'f/a/x' },
            runnable: second?.id,
            tag: 'dependency'
          }
        ]
      )
    })
  )

  test(
    `${release}: schedules follow a new version, and are switched off with an archived flow`,
    inFlows(release, async world => {
      const { sql, database, context } = world
      await putUser(sql, 'alice')
      await apply(world, spec)
      await putSchedule(world, 'f/a/nightly', { script_path: 'f/a/x', is_flow: true })
      await database.write(tx =>
        settleSchedules(tx, [{ workspace: 'w', path: 'f/a/nightly', keepTime: false }], context)
      )
      await apply(world, { ...spec, summary: 'Y' })
      const [, second] = await versionsAt(world)
      assert.equal(
        (await jobsOf(sql, 'f/a/nightly')).map(one => [one.kind, one.runnable]),
        [['flow', second?.id]]
      )
      await apply(world, { ...spec, summary: 'Z' })
      const [, , third] = await versionsAt(world)
      assert.equal(
        (await jobsOf(sql, 'f/a/nightly')).map(one => one.runnable),
        [third?.id]
      )
      await database.write(tx => view.retire?.(tx, [removal()], context) ?? Promise.resolve())
      assert.is((await jobsOf(sql, 'f/a/nightly')).length, 0)
      assert.equal([...(await sql`select enabled from schedule`)], [{ enabled: false }])
    })
  )

  test(
    `${release}: all fields land in their columns or inside the value`,
    inFlows(release, async world => {
      const { sql } = world
      await sql`insert into global_settings (name, value) values ('default_tags_per_workspace', 'true')`
      const all = {
        ...spec,
        tag: 't',
        wsErrorHandlerMuted: true,
        concurrencyLimit: 5,
        concurrencyTimeWindowS: 60,
        concurrencyKey: 'k',
        cacheSeconds: 9,
        priority: 7,
        timeout: 30,
        dedicatedWorker: true,
        visibleToRunnerOnly: true,
        onBehalfOf: 'ann@example.com',
        labels: ['x', 'y'],
        schema: '{"type": "object",  "order": ["z", "a"], "properties": {"z": {}, "a": {}}}'
      }
      const done = await apply(world, all)
      const flow = await flowAt(world)
      assert.equal(
        Object.fromEntries(
          ['tag', 'ws_error_handler_muted', 'timeout', 'dedicated_worker', 'visible_to_runner_only'].map(one => [
            one,
            flow[one]
          ])
        ),
        { tag: 't', ws_error_handler_muted: true, timeout: 30, dedicated_worker: true, visible_to_runner_only: true }
      )
      assert.equal(
        [flow['on_behalf_of_email'], flow['edited_by'], flow['concurrency_key']],
        ['ann@example.com', 'ann', null]
      )
      assert.equal(
        { of: flow['on_behalf_of'], labels: flow['labels'] },
        world.variant === '2026-08' ? { of: 'u/ann', labels: ['x', 'y'] } : { of: undefined, labels: undefined }
      )
      const [version] = await versionsAt(world)
      const { concurrent_limit, concurrency_time_window_s, concurrency_key, cache_ttl, priority } = version?.value ?? {}
      assert.equal(
        [concurrent_limit, concurrency_time_window_s, concurrency_key, cache_ttl, priority],
        [5, 60, 'k', 9, 7]
      )
      assert.equal([flow['schema'], version?.schema], [all.schema, all.schema])
      assert.is(version?.author, 'iac_controller')
      const [job] = await sql`select tag from v2_job_queue`
      assert.is(job?.['tag'], 'w:flow/f/a/x')
      const notes = done.compiled.notes ?? []
      assert.ok(
        notes.some(one =>
          one.startsWith(
            'concurrencyLimit, concurrencyTimeWindowS, concurrencyKey, priority, dedicatedWorker, wsErrorHandlerMuted: '
          )
        )
      )
      assert.is((await apply(world, all)).op, 'keep')
      // The order of the text's keys counts, white space does not, and an object has no order.
      const moved = '{"order":["z","a"],"type":"object","properties":{"z":{},"a":{}}}'
      assert.is((await apply(world, { ...all, schema: all.schema.replaceAll(' ', '') })).op, 'keep')
      assert.is((await apply(world, { ...all, schema: JSON.parse(moved) })).op, 'keep')
      assert.is((await apply(world, { ...all, schema: moved })).op, 'update')
      assert.is((await versionsAt(world)).at(-1)?.schema, moved)
      // A flow that ran on somebody's behalf does so until the manifest says otherwise, and then as its caller.
      const { onBehalfOf: _, ...less } = all
      await apply(world, { ...less, summary: 'kept' })
      assert.equal(pairOf(await flowAt(world)), ['ann@example.com', 'ann'])
      await apply(world, { ...less, summary: 'kept' }, { previous: ['onBehalfOf'] })
      assert.equal(pairOf(await flowAt(world)), [null, 'iac_controller'])
    })
  )

  test(
    `${release}: dependency jobs go to the workspace's own tag where that is the rule`,
    inFlows(release, async world => {
      await world.sql`insert into global_settings (name, value) values ('default_tags_per_workspace', 'true')`
      await apply(world, spec)
      assert.is((await world.sql`select tag from v2_job_queue`)[0]?.['tag'], 'dependency-w')
    })
  )

  test(
    `${release}: a lock that the manifest gives is stated, one that it gives no more is made anew`,
    inFlows(release, async world => {
      const locked = { ...spec, value: { modules: [script('a', { lock: 'mine' }), script('b')] } }
      const done = await apply(world, locked)
      assert.is(done.compiled.row['lock.a'], 'mine')
      await work(world)
      assert.is((await apply(world, locked)).op, 'keep')
      await world.sql`update flow_version set value = jsonb_set(value, '{modules,0,value,lock}', '"theirs"')`
      assert.is((await apply(world, locked)).op, 'update')
      assert.equal(await locksOf(world), ['mine', 'made by the worker'])
      const free = { ...spec, value: { modules: [script('a'), script('b')] } }
      assert.is((await apply(world, free, { previous: ['value', 'lock.a'] })).op, 'update')
      assert.equal(await locksOf(world), [undefined, 'made by the worker'])
    })
  )

  test(
    `${release}: an identical flow that people made is taken as it is`,
    inFlows(release, async world => {
      const { sql } = world
      const stored = JSON.stringify(asWorkerStores(value))
      await sql`
        insert into flow (workspace_id, path, summary, description, value, edited_by, versions)
        values ('w', 'f/a/x', 'X', 'does x', ${stored}::text::jsonb, 'ann', '{}')`
      await sql`
        with made as (
          insert into flow_version (workspace_id, path, value, created_by)
          values ('w', 'f/a/x', ${stored}::text::jsonb, 'ann') returning id)
        update flow set versions = array_append(versions, (select id from made))`
      assert.is((await apply(world, spec)).op, 'keep')
      assert.equal(await detailsAt(world), { hash: (await versionsAt(world))[0]?.id, lockState: 'none' })
    })
  )

  test(
    `${release}: an archived flow comes back, a flow without versions is made whole`,
    inFlows(release, async world => {
      const { sql, database, context } = world
      await apply(world, spec)
      await database.write(tx => view.retire?.(tx, [removal()], context) ?? Promise.resolve())
      assert.is((await flowAt(world))['archived'], true)
      assert.is((await apply(world, spec)).op, 'update')
      assert.is((await flowAt(world))['archived'], false)
      await sql`update flow set versions = '{}'`
      const done = await apply(world, spec)
      assert.is(done.op, 'update')
      assert.equal(done.row['value'], done.compiled.row['value'])
    })
  )

  test(
    `${release}: retiring archives and takes the uses away, deleting leaves nothing behind`,
    inFlows(release, async world => {
      const { sql, database, context, variant } = world
      await apply(world, spec)
      await apply(world, { ...spec, path: 'f/a/y' })
      await hangOn(world)
      await database.write(tx => view.retire?.(tx, [removal()], context) ?? Promise.resolve())
      assert.is((await versionsAt(world)).length, 1)
      assert.equal(await leftovers(world), {
        ...everything(world),
        ...(variant !== '1.463.2' && { asset: 1 }),
        ...(variant === '2026-08' && { dependency_map: 1 })
      })
      await database.write(tx => view.remove?.(tx, [removal()], context) ?? Promise.resolve())
      assert.equal(await leftovers(world), Object.fromEntries(Object.keys(everything(world)).map(name => [name, 1])))
      assert.equal(
        [...(await sql`select runnable_path from v2_job_queue join v2_job using (id)`)].map(
          one => one['runnable_path']
        ),
        ['f/a/y']
      )
      assert.is((await sql`select 1 from job_perms`).length, 1)
      if (variant !== '2026-08') return
      const [trash] =
        await sql`select item_kind, item_path, deleted_by, item_data->'flow'->>'summary' as summary, jsonb_array_length(item_data->'versions') as versions from trashbin`
      assert.equal(
        { ...trash },
        { item_kind: 'flow', item_path: 'f/a/x', deleted_by: 'iac_controller', summary: 'X', versions: 1 }
      )
    })
  )

  test(
    `${release}: a flow in use is not deleted, whatever uses it`,
    inFlows(release, async world => {
      const { sql, database, context } = world
      for (const name of ['sub', 'x', 'y', 'z', 'free']) {
        await apply(world, { path: `f/a/${name}`, summary: '', value: name === 'x' ? value : { modules: [] } })
      }
      await putSchedule(world, 'f/a/nightly', { script_path: 'f/a/y', is_flow: true })
      await putSchedule(world, 'f/a/off', { script_path: 'f/a/free', is_flow: true, enabled: false })
      await putSchedule(world, 'f/a/script', { script_path: 'f/a/free', is_flow: false })
      await putSchedule(world, 'f/a/nightly', { script_path: 'f/a/free', is_flow: true, workspace_id: 'other' })
      await sql`
        with made as (insert into app (workspace_id, path, policy, versions) values ('w', 'f/a/app', '{}', '{}') returning id),
             version as (
               insert into app_version (app_id, value, created_by)
               select id, '{"grid": [{"runnable": {"type": "runnableByPath", "runType": "flow", "path": "f/a/z"}}], "x": "f/a/free"}', 'ann'
                 from made returning id, app_id)
        select 1 from version`
      await sql`update app set versions = array[(select max(id) from app_version)]`
      const all = ['sub', 'y', 'z', 'free'].map(name => removal(`f/a/${name}`))
      const blocked = (removals: readonly Removal[]) =>
        database.read(async tx =>
          [...((await view.blockers?.(tx, removals, context)) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
        )
      const why = (what: string): string => `The flow is still used by ${what}; change or delete that first.`
      assert.equal(await blocked(all), [
        [targetKey('w', 'f/a/sub'), why('another flow (f/a/x)')],
        [targetKey('w', 'f/a/y'), why('a schedule (f/a/nightly)')],
        [targetKey('w', 'f/a/z'), why('an app (f/a/app)')]
      ])
      assert.equal(await blocked([removal('f/a/sub'), removal('f/a/x')]), [])
    })
  )

  test(
    `${release}: three hundred flows take as many statements as three, each with its own version and job`,
    inFlows(release, async world => {
      const { sql, database, context } = world
      const counts = await Promise.all(
        [3, 300].map(async count => {
          const compiled = await database.read(async tx => {
            const inputs = Array.from({ length: count }, (_, at) => {
              const path = `f/n${count}/flow_${at}`
              return {
                listed: listedOf(kind),
                spec: { path, value: { modules: [script(`m${at}`)] } },
                workspace: 'w',
                path,
                text: () => ''
              }
            })
            const facts = await view.facts?.(tx, inputs, context)
            return inputs.map(input => ({ input, made: view.compile(input, facts, context) }))
          })
          const writes: Write[] = compiled.map(({ input: { workspace, path, listed }, made }) => ({
            op: 'create',
            workspace,
            path,
            listed,
            row: made.row,
            guard: made.guard ?? ''
          }))
          let statements = 0
          await database.write(async tx => {
            const counting = new Proxy(tx, {
              apply: (target, self, args: unknown[]) => {
                if (Array.isArray(args[0]) && 'raw' in args[0]) statements++
                return Reflect.apply<unknown, unknown[], unknown>(target as never, self, args)
              }
            })
            await view.write(counting, writes, context)
          })
          return statements
        })
      )
      assert.is(counts[0], counts[1])
      const rows = await sql`
        select count(*)::int as n, count(distinct v.id)::int as versions, count(distinct j.id)::int as jobs
          from flow f join flow_version v on f.versions = array[v.id] and v.path = f.path
          join v2_job j on j.id = f.dependency_job and j.runnable_id = v.id and j.runnable_path = f.path
         where v.value->'modules'->0->>'id' = 'm' || split_part(f.path, '_', 2)`
      assert.equal({ ...rows[0] }, { n: 303, versions: 303, jobs: 303 })
    })
  )

  test(
    `${release}: two flows that swap their paths end with each other's content and their own history`,
    inFlows(release, async world => {
      const { database, context } = world
      const one = { modules: [script('one')] }
      const two = { modules: [script('two')] }
      await apply(world, { path: 'f/a/x', value: one })
      await apply(world, { path: 'f/a/y', value: two })
      const swapped = await database.read(async tx => {
        const inputs = [
          ['f/a/x', two],
          ['f/a/y', one]
        ].map(([path, value]) => ({
          listed: listedOf(kind),
          spec: { path, value },
          workspace: 'w',
          path: path as string,
          text: () => ''
        }))
        const facts = await view.facts?.(tx, inputs, context)
        const live = await view.observe(
          tx,
          inputs.map(({ workspace, path }) => ({ workspace, path, fields: [] })),
          context
        )
        return inputs.map((input): Write => {
          const { row, guard } = view.compile(input, facts, context)
          const there = live.find(each => each.path === input.path)
          return {
            op: 'update',
            workspace: 'w',
            path: input.path,
            listed: input.listed,
            row,
            guard: guard ?? '',
            live: there?.row ?? {}
          }
        })
      })
      await database.write(tx => view.write(tx, swapped, context))
      const ids = async (path: string): Promise<unknown[]> =>
        (await versionsAt(world, path)).map(each => (each.value['modules'] as { id: string }[])[0]?.id)
      assert.equal(
        [await ids('f/a/x'), await ids('f/a/y')],
        [
          ['one', 'two'],
          ['two', 'one']
        ]
      )
    })
  )

  test(
    `${release}: faults of one flow name what is wrong`,
    inFlows(release, async world => {
      const { sql } = world
      await putSchedule(world, 'f/a/taken', { script_path: 'f/a/other', is_flow: true })
      await putSchedule(world, 'f/a/same', { script_path: 'f/a/same', is_flow: true })
      assert.match(
        await failure(world, { path: 'f/a/taken' }),
        /^TakenBySomebodyElse: path: a schedule at this path runs f\/a\/other/
      )
      assert.is((await apply(world, { ...spec, path: 'f/a/same' })).op, 'create')
      assert.match(await failure(world, { onBehalfOf: 'u/nobody' }), /^UserNotFound: onBehalfOf: u\/nobody/)
      assert.match(await failure(world, { onBehalfOf: 'bob' }), /^UserNotFound/)
      assert.match(await failure(world, { schema: '{"a": ' }), /^InvalidSpec: schema: no valid JSON text/)
      assert.match(await failure(world, { schema: [] }), /^InvalidSpec: schema: must be an object/)
      assert.match(await failure(world, { schema: '{"a": "\\u0000"}' }), /^InvalidSpec: schema: the text holds a NUL/)
      assert.match(await failure(world, { summary: 'a\0' }), /^InvalidSpec: summary: /)
      assert.match(await failure(world, { tag: 'x'.repeat(51) }), /^InvalidSpec: tag: this Windmill stores at most 50/)
      assert.match(
        await failure(world, { path: `f/a/${'x'.repeat(50)}`, dedicatedWorker: true }),
        /^InvalidSpec: dedicatedWorker: the tag .* at most 50 characters/
      )
      assert.match(
        await failure(world, { value: { modules: [script('a', { language: 'cobol' })] } }),
        /^NotSupportedByWindmill: value\.modules\[0\]\.value\.language/
      )
      let deep: unknown = {}
      for (let level = 0; level < 200; level++) deep = { modules: [deep] }
      assert.match(await failure(world, { value: deep }), /^InvalidSpec: value: more than 100 levels deep/)
      assert.is((await sql`select 1 from flow where path <> 'f/a/same'`).length, 0)
    })
  )

  test(
    `${release}: a flow from a ConfigMap is read as YAML or JSON, with its faults placed there`,
    inFlows(release, async world => {
      const { value: _, ...rest } = spec
      const from = { ...rest, valueFrom: { configMapKeyRef: { name: 'flows', key: 'x' } } }
      assert.equal(view.refs?.(from), [{ kind: 'ConfigMap', name: 'flows', key: 'x' }])
      assert.equal(view.refs?.(spec), [])
      const yaml = 'modules:\n  - id: a\n    value: { type: identity }\n'
      await apply(world, from, { texts: { 'flows/x': yaml } })
      assert.equal((await versionsAt(world))[0]?.value, { modules: [{ id: 'a', value: { type: 'identity' } }] })
      assert.is(
        (await apply(world, from, { texts: { 'flows/x': '{"modules":[{"value":{"type":"identity"},"id":"a"}]}' } })).op,
        'keep'
      )
      const told = async (text: string): Promise<string> =>
        (await rejects(apply(world, from, { texts: { 'flows/x': text } }))).message
      assert.match(await told('modules: ['), /^valueFrom: ConfigMap flows, key x: no valid YAML/)
      assert.match(await told('modules: [{ id: a }]'), /^valueFrom\.modules\[0\]\.value: missing/)
    })
  )

  test(
    `${release}: the lock state follows the dependency job`,
    inFlows(release, async world => {
      const { sql, variant } = world
      await apply(world, spec)
      const hash = (await versionsAt(world))[0]?.id
      const job = String((await flowAt(world))['dependency_job'])
      await sql`delete from v2_job_queue`
      await sql`
        insert into v2_job_completed (id, workspace_id, duration_ms, result, started_at, completed_at, status)
        values (${job}, 'w', 5, '{"error": {"message": "no such package"}}', now(), now(), 'failure')`
      assert.equal(await detailsAt(world), { hash, lockState: 'failed', lockMessage: 'no such package' })
      if (variant !== '1.463.2') {
        await sql`update flow set lock_error_logs = ${'first\nsecond https://me:pw@host/'}`
        assert.equal(await detailsAt(world), {
          hash,
          lockState: 'failed',
          lockMessage: 'first\nsecond https://***@host/'
        })
      }
      await sql`update v2_job_completed set status = 'canceled'`
      await sql`delete from v2_job_completed`
      if (variant !== '1.463.2') await sql`update flow set lock_error_logs = null`
      assert.equal(await detailsAt(world), { hash, lockState: 'done' })
    })
  )

  test(
    `${release}: garbage in the tables is read without a complaint and replaced`,
    inFlows(release, async world => {
      const { sql } = world
      await apply(world, spec)
      for (const odd of [
        'null',
        '7',
        '"x"',
        '[]',
        '{"modules": {"a": null}}',
        '{"modules": [null, {"id": 7, "value": []}]}'
      ]) {
        await sql`update flow_version set value = ${odd}::text::jsonb, schema = ${odd}::text::json`
        assert.is((await apply(world, { ...spec, schema })).op, 'update', odd)
        assert.is((await apply(world, { ...spec, schema })).op, 'keep', odd)
      }
    })
  )
}

/** The modules of a value, as far as the tests look at them. */
const modulesOf = (
  version: Pick<Version, 'value'> | undefined
): readonly { id: string; value: Record<string, unknown> }[] => (version?.value['modules'] ?? []) as never

const pairOf = (flow: Record<string, unknown>): unknown[] => [flow['on_behalf_of_email'], flow['edited_by']]

const locksOf = async (world: World): Promise<unknown[]> =>
  modulesOf((await versionsAt(world)).at(-1)).map(one => one.value['lock'])

/** For f/a/x and f/a/y what workers, people and servers leave beside a flow. */
async function hangOn({ sql, variant }: World): Promise<void> {
  await sql`insert into flow_version_lite (id, value) select id, '{}' from flow_version`
  await sql`insert into flow_node (workspace_id, path, code) select workspace_id, path, 'x' from flow`
  await sql`insert into draft (workspace_id, path, typ, value) select workspace_id, path, 'flow', '{}' from flow`
  await sql`
    insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path)
    select workspace_id, path, 'flow', 'f/a/lib' from flow`
  await sql`
    insert into capture_config (workspace_id, path, is_flow, trigger_kind, owner, email)
    select workspace_id, path, true, 'webhook', 'ann', 'ann@example.com' from flow`
  await sql`
    insert into deployment_metadata (workspace_id, path, flow_version)
    select workspace_id, path, id from flow_version on conflict do nothing`
  if (variant === '1.463.2') return
  await sql`
    insert into asset (workspace_id, path, kind, usage_path, usage_kind)
    select workspace_id, 'f/a/db', 'resource', path, 'flow' from flow`
  await sql`
    insert into workspace_runnable_dependencies (workspace_id, flow_path, runnable_path, runnable_is_flow)
    select workspace_id, path, 'f/a/sub', true from flow`
}

const tables = 'flow flow_version flow_version_lite flow_node draft dependency_map capture_config deployment_metadata'

const everything = ({ variant }: World): Record<string, number> =>
  Object.fromEntries(
    [...tables.split(' '), ...(variant === '1.463.2' ? [] : ['asset', 'workspace_runnable_dependencies'])].map(name => [
      name,
      2
    ])
  )

async function leftovers(world: World): Promise<Record<string, number>> {
  const counts = Object.keys(everything(world)).map(async name => {
    const [row] = await world.sql<{ n: number }[]>`select count(*)::int as n from ${world.sql(name)}`
    return [name, row?.n ?? 0] as const
  })
  return Object.fromEntries(await Promise.all(counts))
}

test('audit entries carry the names of the API: an update counts as a create', () => {
  const context = (columns: readonly string[]) =>
    ({ user: 'iac_controller', capabilities: { has: (_: string, column = '') => columns.includes(column) } }) as never
  const base = { workspace: 'w', path: 'f/a/x', row: { onBehalfOf: 'u/ann <ann@example.com>' }, listed: listedOf(kind) }
  const entry = (operation: string, action: string, parameters: object) => ({
    operation,
    action,
    resource: 'f/a/x',
    parameters
  })
  assert.equal(view.audit({ op: 'create', ...base }, context([])), [entry('flows.create', 'create', { flow: 'f/a/x' })])
  assert.equal(view.audit({ op: 'update', ...base }, context(['on_behalf_of'])), [
    entry('flows.update', 'create', { flow: 'f/a/x' }),
    entry('flows.on_behalf_of', 'update', { on_behalf_of: 'u/ann', action: 'update' })
  ])
  assert.equal(view.audit({ op: 'retire', ...removal() }, context([])), [
    entry('flows.archive', 'delete', { workspace: 'w' })
  ])
  assert.equal(view.audit({ op: 'delete', ...removal() }, context([])), [
    entry('flows.delete', 'delete', { workspace: 'w' })
  ])
})

test.run()
