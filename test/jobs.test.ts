/** Jobs as the API pushes them: every row, tags, rights, dropping; what versioned kinds share besides. */

import type { Admitted } from '../src/admit.ts'
import { batchesOf } from '../src/batches.ts'
import { readCatalogue } from '../src/database/capabilities.ts'
import { connect } from '../src/database/client.ts'
import { marksOf, sealed } from '../src/fingerprint.ts'
import type { AnyKind } from '../src/model.ts'
import { deleteDrafts } from '../src/windmill/drafts.ts'
import { enterpriseNote, isEnterprise } from '../src/windmill/edition.ts'
import { permissionsOf } from '../src/windmill/job-permissions.ts'
import { readTagRules, type TagRules, tagFor } from '../src/windmill/job-tags.ts'
import { cancelJobs, dropJobs, type Job, pushJobs } from '../src/windmill/jobs.ts'
import { findRunAs, runAs } from '../src/windmill/run-as.ts'
import { documentReader } from '../src/windmill/value-from.ts'
import { variants, withDatabase } from './support/database.ts'
import { listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, type World } from './support/windmill.ts'

const test = suite('jobs')

const job = (part: Partial<Job> = {}): Job => ({
  workspace: 'w',
  kind: 'dependencies',
  runnable: '-9007199254740993',
  path: 'f/a/b',
  language: 'python3',
  tag: 'python3',
  args: {},
  createdBy: 'iac_controller',
  permissionedAs: 'u/iac_controller',
  email: 'iac-controller@cluster.local',
  ...part
})

const people = `
  insert into usr (workspace_id, username, email, is_admin, operator, disabled) values
    ('w', 'iac_controller', 'iac-controller@cluster.local', true, false, false),
    ('w', 'ann', 'ann@example.com', false, true, false), ('w', 'bob', 'bob@example.com', false, false, true),
    ('w', 'ann2', 'ANN@example.com', false, false, false), ('w', 'eve', 'eve@example.com', false, true, false);
  insert into usr_to_group (workspace_id, group_, usr) values ('w', 'all', 'ann');
  insert into password (email, login_type, super_admin, verified) values ('eve@example.com', 'password', true, true);
  insert into folder (workspace_id, name, display_name, owners, extra_perms) values
    ('w', 'mine', 'mine', '{u/ann}', '{"u/ann": true}'), ('w', 'seen', 'seen', '{}', '{"g/all": false}'),
    ('w', 'hidden', 'hidden', '{}', '{}'), ('other', 'mine', 'x', '{u/ann}', '{"u/ann": true}');`

/** On every shape of the job tables, finalized or not. */
for (const variant of variants) {
  test(`${variant}: a pushed job has all rows, and each is as the contract says`, () =>
    withDatabase(variant, async ({ url, sql }) => {
      await sql`insert into workspace (id, name, owner) values ('w', 'w', 'o'), ('other', 'o', 'o')`
      await sql`insert into group_ (workspace_id, name) values ('w', 'all')`
      await sql.unsafe(people)
      const database = await connect(url)
      try {
        const context = {
          capabilities: await database.read(readCatalogue),
          user: 'iac_controller',
          email: 'iac-controller@cluster.local',
          salt: '',
          linkedBy: () => undefined
        }
        const due = new Date('2030-01-02T03:04:05Z')
        const status = { step: 0, modules: [{ type: 'WaitingForPriorSteps', id: 'a' }] }
        const ids = await database.write(tx =>
          pushJobs(
            tx,
            [
              job({ args: { parent_path: 'f/a/b' } }),
              job({ kind: 'flowdependencies', runnable: '7', language: null, tag: 'dependency' }),
              job({
                kind: 'singlestepflow',
                runnable: null,
                language: null,
                tag: 'flow',
                scheduledFor: due,
                trigger: 'f/a/tick',
                timeout: 5,
                cacheTtl: 6,
                rawFlow: { modules: [] },
                flowStatus: status,
                createdBy: 'schedule-f-a-tick'
              })
            ],
            context
          )
        )
        assert.is(ids.length, 3)
        const rows = await sql`
          select j.*, q.tag as queue_tag, q.running, q.scheduled_for, q.started_at, q.priority as queue_priority,
                 q.scheduled_for = q.created_at as now, r.ping, r.id is not null as runtime, s.flow_status,
                 p.username, p.is_admin, p.groups, array_to_json(p.folders) as folders
            from v2_job j join v2_job_queue q using (id) left join v2_job_runtime r using (id)
            left join v2_job_status s using (id) left join job_perms p on p.job_id = j.id
           order by array_position(${ids as string[]}::uuid[], j.id)`
        const [script, flow, step] = rows as unknown as readonly Record<string, unknown>[]
        const newest = variant === '2026-08'
        assert.equal(
          {
            kind: script?.['kind'],
            hash: script?.['runnable_id'],
            path: script?.['runnable_path'],
            args: script?.['args']
          },
          { kind: 'dependencies', hash: '-9007199254740993', path: 'f/a/b', args: { parent_path: 'f/a/b' } }
        )
        assert.equal([script?.['tag'], script?.['queue_tag']], ['python3', 'python3'])
        assert.equal([script?.['priority'], script?.['queue_priority']], newest ? [0, 0] : [null, null])
        assert.equal([script?.['script_lang'], flow?.['script_lang'], step?.['script_lang']], ['python3', null, null])
        assert.equal([flow?.['flow_status'], step?.['flow_status']], [null, status])
        assert.is(step?.['kind'], variant.startsWith('1.463') ? 'flow' : 'singlestepflow')
        assert.equal(
          [step?.['trigger'], step?.['trigger_kind'], flow?.['trigger_kind']],
          ['f/a/tick', 'schedule', null]
        )
        assert.equal([step?.['scheduled_for'], script?.['now']], [due, true])
        assert.equal([step?.['timeout'], step?.['cache_ttl'], step?.['created_by']], [5, 6, 'schedule-f-a-tick'])
        for (const row of rows) {
          assert.equal(
            [row['runtime'], row['ping'], row['running'], row['username'], row['is_admin'], row['visible_to_owner']],
            [true, null, false, 'iac_controller', true, true]
          )
        }
        const audits = await sql.unsafe(
          `select operation, action_kind, parameters from ${newest ? 'audit_partitioned' : 'audit'} order by operation`
        )
        assert.equal(
          audits.map(one => one['operation']),
          [
            'jobs.run.dependencies',
            'jobs.run.flow_dependencies',
            variant.startsWith('1.463') ? 'jobs.run.single_script_flow' : 'jobs.run.single_step_flow'
          ]
        )
        assert.equal(audits[0]?.['parameters']['hash'], 'ffdfffffffffffff')
        await database.write(tx => cancelJobs(tx, ids.slice(0, 1), 're-deployment', context))
        await sql`update v2_job_queue set running = true where id = ${ids[1] ?? ''}`
        const dropped = await database.write(tx => dropJobs(tx, ids.slice(1), context))
        assert.equal(dropped, ids.slice(2))
        const left = await sql`
          select q.canceled_by, q.canceled_reason, q.running from v2_job_queue q order by q.running`
        assert.equal(
          [...left],
          [
            { canceled_by: 'iac_controller', canceled_reason: 're-deployment', running: false },
            { canceled_by: null, canceled_reason: null, running: true }
          ]
        )
        const [perms] = await sql`select count(*)::int as count from job_perms`
        assert.is(perms?.['count'], 2)
      } finally {
        await database.close()
      }
    }))
}

const withPeople = (work: (world: World) => Promise<void>): Promise<void> =>
  inWindmill('2026-08', async world => {
    await world.sql.unsafe(people)
    await work(world)
  })

test('rights are those of the user, the group or the address, and of nobody there are none', () =>
  withPeople(async ({ database, context, sql }) => {
    await sql`insert into instance_group (name) values ('staff')`
    await sql`insert into email_to_igroup (email, igroup) values ('ann@example.com', 'staff')`
    const rights = (permissionedAs: string, email = 'ann@example.com') =>
      database.read(async tx => (await permissionsOf(tx, [{ workspace: 'w', permissionedAs, email }], context))[0])
    const ann = await rights('u/ann')
    assert.equal(
      [ann?.username, ann?.admin, ann?.operator, ann?.groups, ann?.folders],
      [
        'ann',
        false,
        true,
        ['all', 'staff'],
        [
          ['mine', true, true],
          ['seen', false, false]
        ]
      ]
    )
    const eve = await rights('u/eve', 'eve@example.com')
    assert.equal([eve?.admin, eve?.operator], [true, false])
    const group = await rights('g/all')
    assert.equal(
      [group?.username, group?.admin, group?.operator, group?.groups, group?.folders],
      ['group-all', false, false, ['all'], [['seen', false, false]]]
    )
    const raw = await rights('ann@example.com')
    assert.equal(
      [raw?.username, raw?.admin, raw?.operator, raw?.groups, raw?.folders],
      ['ann@example.com', false, true, [], []]
    )
    for (const nobody of ['u/bob', 'u/zoe']) {
      const error = await rejects(rights(nobody))
      assert.match(error.message, `would run as ${nobody}, who is no enabled user there`)
    }
  }))

test('a tag is the stated one with its placeholders filled in, else the default one, with the workspace where it is set', () =>
  withPeople(async ({ database, sql }) => {
    const plain: TagRules = await database.read(readTagRules)
    assert.equal(plain, { perWorkspace: false, workspaces: undefined })
    const args = { a: { b: 'x', n: 5 } }
    const table: readonly (readonly [explicit: string | null, tag: string])[] = [
      [null, 'python3'],
      ['', 'python3'],
      ['gpu', 'gpu'],
      ['$workspace-gpu', 'w-gpu'],
      ['t-$args[a.b]', 't-x'],
      ['t-$args[a.n]', 't-5'],
      ['t-$args[a.none]', 't-null']
    ]
    for (const [explicit, tag] of table) {
      assert.is(tagFor(plain, { workspace: 'w', explicit, fallback: 'python3', args }), tag)
    }
    await sql`insert into global_settings (name, value) values ('default_tags_per_workspace', 'true')`
    const all = await database.read(readTagRules)
    assert.is(tagFor(all, { workspace: 'w', fallback: 'flow' }), 'flow-w')
    assert.is(tagFor(all, { workspace: 'w', explicit: 'gpu', fallback: 'flow' }), 'gpu')
    await sql`insert into global_settings (name, value) values ('default_tags_workspaces', '["other"]')`
    const some = await database.read(readTagRules)
    assert.is(tagFor(some, { workspace: 'w', fallback: 'flow' }), 'flow')
    assert.is(tagFor(some, { workspace: 'other', fallback: 'flow' }), 'flow-other')
  }))

test('who code runs as is one enabled user of the workspace, by name or address', () =>
  withPeople(async ({ database, context }) => {
    const wanted = ['u/eve', 'eve', 'EVE@example.com', 'u/bob', 'zoe', 'ann@example.com'].map(who => ({
      workspace: 'w',
      who
    }))
    const by = { workspace: 'w', listed: listedOf({ kind: 'Test' }) }
    const found = await database.read(tx => findRunAs(tx, wanted, context))
    for (const who of ['u/eve', 'eve', 'EVE@example.com']) {
      assert.equal(runAs(found, by, who, 'runAs'), { username: 'eve', email: 'eve@example.com' })
    }
    for (const who of ['u/bob', 'zoe']) {
      assert.throws(() => runAs(found, by, who, 'runAs'), new RegExp(`runAs: ${who} is no enabled user of workspace w`))
    }
    assert.throws(() => runAs(found, by, 'ann@example.com', 'runAs'), /several users of workspace w/)
  }))

test('a deploy takes the drafts that the API would take', () =>
  withPeople(async ({ database, context, sql }) => {
    await sql`
      insert into password (email, login_type, super_admin, verified)
      values (${context.email}, 'service', false, true), ('ann@example.com', 'password', false, true)`
    const draft = (path: string, typ: string, email: string | null) =>
      sql`insert into draft (workspace_id, path, typ, value, email) values ('w', ${path}, ${typ}, '{}', ${email})`
    await draft('f/a/b', 'script', null)
    await draft('f/a/b', 'script', context.email)
    await draft('f/a/b', 'script', 'ann@example.com')
    await draft('f/a/b', 'flow', null)
    await draft('f/a/c', 'script', null)
    await database.write(tx => deleteDrafts(tx, 'script', [{ workspace: 'w', path: 'f/a/b' }], context))
    const left = await sql`select path, typ::text, email from draft order by path, typ, email`
    assert.equal([...left].map(one => `${one['path']} ${one['typ']} ${one['email']}`).sort(), [
      'f/a/b flow null',
      'f/a/b script ann@example.com',
      'f/a/c script null'
    ])
  }))

test('the edition is told by the licence key', () =>
  withPeople(async ({ database, sql }) => {
    assert.is(await database.read(isEnterprise), false)
    await sql`insert into global_settings (name, value) values ('license_key', '""')`
    assert.is(await database.read(isEnterprise), false)
    await sql`update global_settings set value = '"key"'`
    assert.is(await database.read(isEnterprise), true)
    assert.is(enterpriseNote([]), undefined)
    assert.match(enterpriseNote(['priority', 'tag']) ?? '', /^priority, tag: have an effect/)
  }))

test('texts of ConfigMaps become values, and what is wrong with them is said without quoting them', async () => {
  const read = await documentReader(true)
  assert.equal(read('a: 1\nb: [x, 2.5]', 'valueFrom'), { a: 1, b: ['x', 2.5] })
  assert.equal(Object.keys(read('{"z": 1, "a": {"y": 2, "b": 3}}', 'valueFrom')), ['z', 'a'])
  for (const [text, says] of [
    ['a: [', /valueFrom: no valid YAML or JSON \(line 1\)/],
    ['a: 1\na: SECRET', /line 2.*duplicate key/],
    ['- SECRET', /must be a mapping/],
    ['', /must be a mapping/],
    ['a: !python/object SECRET', /no valid YAML/]
  ] as const) {
    assert.throws(() => read(text, 'valueFrom'), says)
    assert.throws(
      () => read(text, 'valueFrom'),
      (error: Error) => !error.message.includes('SECRET')
    )
  }
})

test('what needs each other is in one batch, everything else in the order of the listing', () => {
  const needs: Readonly<Record<string, readonly string[]>> = { e: ['a'], c: ['nothing'], d: ['e'], f: ['f'] }
  const kind = {
    kind: 'Test',
    together: ({ path }: { path: string }) => ({ provides: path, needs: needs[path] ?? [] })
  } as unknown as AnyKind
  const admitted = ['a', 'b', 'c', 'd', 'e', 'f'].map(
    path => ({ input: { listed: listedOf(kind), spec: {}, workspace: 'w', path } }) as unknown as Admitted
  )
  const paths = (kind: AnyKind, size: number): readonly string[] =>
    batchesOf(kind, admitted, size).map(batch => batch.map(one => one.input.path).join(''))
  assert.equal(paths(kind, 3), ['ade', 'bcf'])
  assert.equal(paths(kind, 2), ['ade', 'bc', 'f'])
  assert.equal(paths(kind, 100), ['adebcf'])
  assert.equal(paths({ kind: 'Plain' } as unknown as AnyKind, 4), ['abcd', 'ef'])
})

test('a field that Windmill rewrites is compared by what was deployed where nobody else deployed since', () => {
  const want = { value: { a: 1 }, summary: 's' }
  const deployed = marksOf(want, ['value'])
  const rewritten = { value: { a: 1, lock: 'x' }, summary: 's' }
  assert.equal(sealed(rewritten, ['value'], ['value'], deployed), sealed(want, ['value']))
  assert.not.equal(sealed(rewritten, ['value'], [], deployed), sealed(want, ['value']))
  assert.not.equal(sealed({ ...rewritten, summary: 't' }, ['value'], ['value'], deployed), sealed(want, ['value']))
  assert.equal(sealed(rewritten, ['value'], ['value'], {}), sealed(rewritten, ['value']))
  assert.equal(sealed(want), want)
})

test.run()
