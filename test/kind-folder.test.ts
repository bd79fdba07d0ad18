/** Folders at the three schemas: rows, owners who always may write, what is left alone, what holds back a deletion. */
import type { Sql } from 'postgres'
import folder from '../src/kinds/folder.ts'
import { type AnyKind, type Removal, type Row, targetKey } from '../src/model.ts'
import { readTokens } from '../src/windmill/targets.ts'
import { applyOne, type Done, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, releases, type World } from './support/windmill.ts'

const test = suite('kind folder')
const kind = folder as unknown as AnyKind

const apply = (
  { database, context }: World,
  spec: Record<string, unknown>,
  previous: readonly string[] = []
): Promise<Done> => applyOne(database, kind, { spec, workspace: 'w', previous }, context)

const rowAt = async ({ sql }: World, name: string): Promise<Record<string, unknown>> => {
  const [row] =
    await sql`select *, edited_at > now() - interval '1 minute' as fresh from folder where workspace_id = 'w' and name = ${name}`
  const { edited_at: _, ...rest } = row ?? {}
  return rest
}

const newer = (world: World, values: Record<string, unknown>): Record<string, unknown> =>
  world.variant === '2026-08' ? values : {}

async function people({ sql }: World): Promise<void> {
  await sql`insert into usr (workspace_id, username, email) values ('w', 'ann', 'ann@example.com'), ('w', 'bob', 'bob@example.com')`
  await sql`insert into group_ (workspace_id, name) values ('w', 'devs')`
}

const removal = (path: string, row: Row = {}): Removal => {
  const { namespace, name, uid } = listedOf(kind)
  return { workspace: 'w', path, fields: Object.keys(row), live: row, listed: { namespace, name, uid } }
}

const full = {
  name: 'data_1',
  displayName: 'Dätä "one" \'two\' 🗂',
  summary: 'line\nline',
  owners: ['u/bob', 'g/devs'],
  extraPerms: { 'u/ann': false, 'g/all': true },
  labels: ['b', 'a', 'ä "q"'],
  defaultPermissionedAs: [
    { pathGlob: '{a,b}/**', permissionedAs: 'u/ann' },
    { pathGlob: '*', permissionedAs: 'x@example.com' }
  ]
}

for (const variant of releases) {
  test(`${variant}: a new folder has every column as the contract says, a second run keeps it`, () =>
    inWindmill(variant, async world => {
      await people(world)
      const done = await apply(world, full)
      assert.is(done.op, 'create')
      assert.equal(await rowAt(world, 'data_1'), {
        name: 'data_1',
        workspace_id: 'w',
        display_name: full.displayName,
        owners: ['g/devs', 'u/bob'],
        extra_perms: { 'g/all': true, 'g/devs': true, 'u/ann': false, 'u/bob': true },
        summary: 'line\nline',
        created_by: 'iac_controller',
        fresh: true,
        ...newer(world, {
          default_permissioned_as: [
            { path_glob: '{a,b}/**', permissioned_as: 'u/ann' },
            { path_glob: '*', permissioned_as: 'x@example.com' }
          ],
          labels: ['b', 'a', 'ä "q"']
        })
      })
      const missing = ['labels', 'defaultPermissionedAs'].map(
        field => `${field}: this Windmill has no such column; ignored.`
      )
      assert.equal(done.compiled.notes, variant === '2026-08' ? [] : missing)
      const again = await apply(world, {
        ...full,
        owners: ['g/devs', 'u/bob'],
        extraPerms: { 'g/all': true, 'u/ann': false }
      })
      assert.is(again.op, 'keep')
      assert.is(again.tokenAfter, done.tokenAfter)
      assert.equal(again.compiled.unsettled, false)
    }))

  test(`${variant}: a folder that states nothing is named as it is called, and is the admins'`, () =>
    inWindmill(variant, async world => {
      const done = await apply(world, { name: 'plain' })
      const expected = {
        name: 'plain',
        workspace_id: 'w',
        display_name: 'plain',
        owners: [],
        extra_perms: {},
        summary: null
      }
      const rest = {
        created_by: 'iac_controller',
        fresh: true,
        ...newer(world, { default_permissioned_as: [], labels: null })
      }
      assert.equal(await rowAt(world, 'plain'), { ...expected, ...rest })
      assert.equal(done.compiled.row, {})
      const again = await apply(world, { name: 'plain' })
      assert.is(again.op, 'keep')
      const long = 'n'.repeat(255)
      await apply(world, { name: long })
      assert.is((await rowAt(world, long)).display_name, 'n'.repeat(100))
    }))

  test(`${variant}: an update leaves what is not stated, whoever wrote it`, () =>
    inWindmill(variant, async world => {
      await people(world)
      await apply(world, full)
      const { sql } = world
      await sql`update folder set created_by = 'ann', extra_perms = extra_perms || '{"u/zed": false}', edited_at = '2020-01-01' where name = 'data_1'`
      const before = await rowAt(world, 'data_1')
      const done = await apply(world, { name: 'data_1', summary: 'other' })
      assert.is(done.op, 'update')
      assert.equal(await rowAt(world, 'data_1'), { ...before, summary: 'other', fresh: true })
      assert.equal(done.row.displayName, full.displayName)
    }))

  test(`${variant}: drift of each field shows and is set right`, () =>
    inWindmill(variant, async world => {
      await people(world)
      await apply(world, full)
      const expected = await rowAt(world, 'data_1')
      const drifts: readonly ((sql: Sql) => Promise<unknown>)[] = [
        sql => sql`update folder set display_name = 'x'`,
        sql => sql`update folder set summary = null`,
        sql =>
          sql`update folder set owners = owners || '{u/ann}'::varchar[], extra_perms = extra_perms || '{"u/ann": true}'`,
        sql => sql`update folder set owners = '{}'`,
        sql => sql`update folder set extra_perms = extra_perms - 'u/bob'`,
        sql => sql`update folder set extra_perms = extra_perms || '{"u/bob": false}'`,
        sql => sql`update folder set extra_perms = extra_perms || '{"g/new": true}'`,
        ...(variant === '2026-08'
          ? [
              (sql: Sql) => sql`update folder set labels = '{}'`,
              (sql: Sql) => sql`update folder set default_permissioned_as = '[]'`,
              (sql: Sql) =>
                sql`update folder set default_permissioned_as = jsonb_set(default_permissioned_as, '{0,extra}', '1')`
            ]
          : [])
      ]
      for (const [index, drift] of drifts.entries()) {
        await drift(world.sql)
        const done = await apply(world, full)
        assert.is(done.op, 'update', `drift ${index}`)
        assert.is.not(done.tokenBefore, done.tokenAfter)
        assert.equal(await rowAt(world, 'data_1'), expected, `drift ${index}`)
        assert.is((await apply(world, full)).op, 'keep', `drift ${index}`)
      }
    }))

  test(`${variant}: a batch of creates and updates touches exactly what differs`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      for (const name of ['one', 'two']) await apply(world, { name, owners: ['u/ann'] })
      const xmins = await sql`select name, xmin::text from folder where workspace_id = 'w' order by name`
      const listed = listedOf(kind)
      const at = (path: string) => ({ workspace: 'w', path, listed })
      await database.write(sql =>
        folder.write(
          sql,
          [
            { ...at('three'), op: 'create', row: { summary: 'new' } },
            { ...at('one'), op: 'update', row: { owners: ['u/ann'] }, live: {} },
            { ...at('two'), op: 'update', row: { owners: ['u/bob'] }, live: {} },
            { ...at('four'), op: 'create', row: { owners: ['g/all'], extraPerms: { 'u/x': false } } }
          ],
          context
        )
      )
      const after = await sql`select name, xmin::text from folder where workspace_id = 'w' order by name`
      const xmin = (rows: readonly Record<string, unknown>[], name: string): unknown =>
        rows.find(row => row.name === name)?.xmin
      assert.is(xmin(after, 'one'), xmin(xmins, 'one'))
      assert.is.not(xmin(after, 'two'), xmin(xmins, 'two'))
      assert.equal((await rowAt(world, 'two')).extra_perms, { 'u/bob': true })
      assert.equal((await rowAt(world, 'three')).summary, 'new')
      assert.equal((await rowAt(world, 'four')).extra_perms, { 'u/x': false, 'g/all': true })
      // The other workspace's folder of the same name is nobody's business.
      await sql`insert into folder (workspace_id, name, display_name, owners) values ('other', 'two', 'Two', '{}')`
      await apply(world, { name: 'two', displayName: 'changed' })
      const [other] = await sql`select display_name from folder where workspace_id = 'other'`
      assert.is(other?.display_name, 'Two')
    }))

  test(`${variant}: remove deletes exactly ours, in its own workspace`, () =>
    inWindmill(variant, async world => {
      const { database, sql } = world
      for (const name of ['gone', 'stays']) await apply(world, { name })
      await sql`insert into folder (workspace_id, name, display_name, owners) values ('other', 'gone', 'Gone', '{}')`
      if (variant === '2026-08') {
        await sql`insert into folder_permission_history (workspace_id, folder_name, changed_by, change_type) values ('w', 'gone', 'ann', 'x')`
      }
      await database.write(sql => folder.remove(sql, [removal('gone')]))
      const left = await sql`select workspace_id, name from folder where workspace_id <> 'admins' order by 1, 2`
      assert.equal(
        [...left],
        [
          { workspace_id: 'other', name: 'gone' },
          { workspace_id: 'w', name: 'stays' }
        ]
      )
      assert.equal(await rowAt(world, 'gone'), {})
      assert.is((await apply(world, { name: 'gone' })).op, 'create')
    }))

  test(`${variant}: trap 9, items below hold back a deletion; _ is no wildcard and archived scripts do not count`, () =>
    inWindmill(variant, async world => {
      const { database, sql, context } = world
      for (const name of ['a_b', 'acb', 'empty', 'flows']) await apply(world, { name })
      const why = async (...names: string[]): Promise<Record<string, string>> => {
        const found = await database.read(sql =>
          folder.blockers(
            sql,
            names.map(name => removal(name)),
            context
          )
        )
        return Object.fromEntries([...found].map(([key, text]) => [key.split('\0')[1], text]))
      }
      assert.equal(await why('a_b', 'acb', 'empty'), {})
      await sql`insert into variable (workspace_id, path, value, description) values ('w', 'f/acb/x', '1', ''), ('w', 'f/acb/deep/x', '1', ''), ('other', 'f/empty/x', '1', ''), ('w', 'u/empty/x', '', '')`
      await sql`insert into resource (workspace_id, path, value, resource_type) values ('w', 'f/acb/r', '{}', 'any')`
      await sql`insert into script (workspace_id, hash, path, summary, description, content, created_by, language, archived) values ('w', 1, 'f/empty/s', '', '', '', 'ann', 'deno', true)`
      const text = 'Folder f/acb still holds resources, variables: move or delete them first.'
      assert.equal(await why('a_b', 'acb', 'empty'), { acb: text })
      await sql`update script set archived = false`
      assert.equal(await why('empty'), { empty: 'Folder f/empty still holds scripts: move or delete them first.' })
      await sql`insert into flow (workspace_id, path, summary, description, value, edited_by) values ('w', 'f/flows/f', '', '', '{}', 'ann')`
      await sql`insert into raw_app (workspace_id, path, data) values ('w', 'f/flows/r', '')`
      await sql`insert into app (workspace_id, path, policy, versions) values ('w', 'f/flows/a', '{}', '{}')`
      const identity = variant === '2026-08' ? { permissioned_as: 'u/ann' } : { email: 'ann@example.com' }
      const schedule = {
        workspace_id: 'w',
        path: 'f/flows/s',
        edited_by: 'ann',
        schedule: '0 * * * *',
        script_path: 'f/x/y'
      }
      await sql`insert into schedule ${sql({ ...schedule, ...identity })}`
      const route = { workspace_id: 'w', path: 'f/flows/h', route_path: 'r', route_path_key: 'r', script_path: 'f/x/y' }
      await sql`insert into http_trigger ${sql({ ...route, is_flow: false, edited_by: 'ann', http_method: 'get', ...identity })}`
      const all = 'Folder f/flows still holds apps, flows, raw apps, schedules, triggers: move or delete them first.'
      assert.equal(await why('flows', 'a_b'), { flows: all })
      await sql`update flow set archived = true`
      assert.not.match((await why('flows')).flows ?? '', 'flows,')
    }))
}

test('trap 7: whoever is stated as an owner may write, and whoever is no owner any more may not', () =>
  inWindmill('2026-08', async world => {
    await people(world)
    await apply(world, { name: 'o', owners: ['u/ann', 'u/bob'] })
    assert.equal((await rowAt(world, 'o')).extra_perms, { 'u/ann': true, 'u/bob': true })
    await world.sql`update folder set extra_perms = extra_perms || '{"g/devs": true}' where name = 'o'`
    const done = await apply(world, { name: 'o', owners: ['u/bob'] }, ['owners'])
    assert.is(done.op, 'update')
    const { owners, extra_perms } = await rowAt(world, 'o')
    assert.equal({ owners, extra_perms }, { owners: ['u/bob'], extra_perms: { 'g/devs': true, 'u/bob': true } })
    // A former owner may stay a reader when the manifest says so.
    await apply(world, { name: 'o', owners: ['u/ann'], extraPerms: { 'u/bob': false } })
    assert.equal((await rowAt(world, 'o')).extra_perms, { 'u/ann': true, 'u/bob': false })
    // Owners that are stated no more stay as they are, permission included.
    assert.is((await apply(world, { name: 'o' }, ['owners', 'extraPerms'])).op, 'keep')
    await apply(world, { name: 'o', summary: 'x' }, ['owners', 'extraPerms'])
    const kept = await rowAt(world, 'o')
    assert.equal([kept.owners, kept.extra_perms], [['u/ann'], { 'u/ann': true, 'u/bob': false }])
  }))

test('trap 7: an owner without the permission is none, and becomes one when stated', () =>
  inWindmill('1.558.1', async world => {
    await people(world)
    await world.sql`insert into folder (workspace_id, name, display_name, owners, extra_perms) values ('w', 'b', 'B', '{u/ann,u/bob,u/ann}', '{"u/bob": false}')`
    const first = await apply(world, { name: 'b', owners: ['u/ann'] })
    assert.is(first.op, 'update')
    const { owners, extra_perms } = await rowAt(world, 'b')
    assert.equal([owners, extra_perms], [['u/ann'], { 'u/ann': true, 'u/bob': false }])
    // Stating permissions alone gives nobody the ownership that he lacked.
    await world.sql`insert into folder (workspace_id, name, display_name, owners) values ('w', 'd', 'D', '{u/ann}')`
    await apply(world, { name: 'd', extraPerms: { 'g/all': true } })
    assert.equal((await rowAt(world, 'd')).extra_perms, { 'g/all': true })
  }))

test('trap 8: false is read access and stored as such', () =>
  inWindmill('1.463.2', async world => {
    await apply(world, { name: 'r', extraPerms: { 'g/all': false } })
    assert.equal((await rowAt(world, 'r')).extra_perms, { 'g/all': false })
    const done = await apply(world, { name: 'r', extraPerms: {} })
    assert.is(done.op, 'update')
    assert.equal((await rowAt(world, 'r')).extra_perms, {})
  }))

test('permissions without owners replace all but those of the live owners', () =>
  inWindmill('2026-08', async world => {
    await people(world)
    await apply(world, { name: 'p', owners: ['u/ann'], extraPerms: { 'g/devs': true } })
    const done = await apply(world, { name: 'p', extraPerms: { 'u/ann': true, 'u/bob': true } })
    assert.is(done.op, 'update')
    const { owners, extra_perms } = await rowAt(world, 'p')
    assert.equal([owners, extra_perms], [['u/ann'], { 'u/ann': true, 'u/bob': true }])
    assert.is((await apply(world, { name: 'p', extraPerms: { 'u/ann': true, 'u/bob': true } })).op, 'keep')
    assert.is((await apply(world, { name: 'p', extraPerms: { 'u/bob': true } })).op, 'keep')
  }))

test('false for an owner is refused, whether the manifest or Windmill names the owner', () =>
  inWindmill('2026-08', async world => {
    const stated = await rejects(() => apply(world, { name: 'q', owners: ['u/ann'], extraPerms: { 'u/ann': false } }))
    assert.is((stated as { code?: string }).code, 'InvalidSpec')
    assert.is(stated.message, 'extraPerms says false for u/ann, but an owner always may write: remove one of the two.')
    await apply(world, { name: 'q', owners: ['u/ann'] })
    const live = await rejects(() => apply(world, { name: 'q', extraPerms: { 'u/ann': false } }))
    assert.match(live.message, /list the wanted owners/)
    await apply(world, { name: 'q', owners: ['u/ann'], extraPerms: { 'u/ann': true } })
    assert.equal((await rowAt(world, 'q')).extra_perms, { 'u/ann': true })
  }))

test('whoever is not known yet is noted, not refused, until he is', () =>
  inWindmill('2026-08', async world => {
    const { sql } = world
    const spec = { name: 'k', owners: ['u/zoe', 'g/ops', 'g/scim', 'u/iac_controller'], extraPerms: { 'g/all': false } }
    const first = await apply(world, spec)
    assert.equal(first.compiled.notes, ['g/ops, g/scim, u/zoe are not known in this workspace yet.'])
    assert.is(first.compiled.unsettled, true)
    assert.equal((await rowAt(world, 'k')).owners, ['g/ops', 'g/scim', 'u/iac_controller', 'u/zoe'])
    await sql`insert into instance_group (name) values ('scim')`
    await sql`insert into group_ (workspace_id, name) values ('w', 'ops'), ('other', 'x')`
    assert.equal((await apply(world, spec)).compiled.notes, ['u/zoe is not known in this workspace yet.'])
    await sql`insert into usr (workspace_id, username, email) values ('w', 'zoe', 'zoe@example.com')`
    const last = await apply(world, spec)
    assert.equal([last.op, last.compiled.notes, last.compiled.unsettled], ['keep', [], false])
    const many = await apply(world, { name: 'm', owners: ['u/7', 'u/6', 'u/5', 'u/4', 'u/3', 'u/2', 'u/1'] })
    assert.equal(many.compiled.notes, ['u/1, u/2, u/3, u/4, u/5 and 2 more are not known in this workspace yet.'])
  }))

test('no labels and an empty list are the same', () =>
  inWindmill('2026-08', async world => {
    const done = await apply(world, { name: 'l', labels: [] })
    assert.is((await rowAt(world, 'l')).labels, null)
    assert.is((await apply(world, { name: 'l', labels: [] })).op, 'keep')
    await apply(world, { name: 'l', labels: ['x'] })
    assert.equal((await rowAt(world, 'l')).labels, ['x'])
    await apply(world, { name: 'l', labels: [], summary: '' })
    assert.equal([(await rowAt(world, 'l')).labels, (await rowAt(world, 'l')).summary], [null, ''])
    assert.is(done.op, 'create')
  }))

test('a concurrent grant through Windmill survives an update that was planned before it', () =>
  inWindmill('1.558.1', async world => {
    const { database, sql, context } = world
    await apply(world, { name: 'c', owners: ['u/ann'] })
    const listed = listedOf(kind)
    const live = { owners: ['u/ann'], extraPerms: {}, displayName: 'c', summary: null }
    await sql`update folder set extra_perms = extra_perms || '{"u/new": true}', summary = 'theirs' where name = 'c'`
    await database.write(sql =>
      folder.write(
        sql,
        [{ op: 'update', workspace: 'w', path: 'c', row: { owners: ['u/bob'] }, live, listed }],
        context
      )
    )
    const row = await rowAt(world, 'c')
    assert.equal([row.owners, row.extra_perms, row.summary], [['u/bob'], { 'u/new': true, 'u/bob': true }, 'theirs'])
  }))

test('the audit names each change after the folder', () => {
  const listed = listedOf(kind)
  const change = { workspace: 'w', path: 'x', row: {}, listed }
  assert.equal(folder.audit({ ...change, op: 'create' }), [
    { operation: 'folder.create', action: 'create', resource: 'x' }
  ])
  assert.equal(folder.audit({ ...change, op: 'update', live: {} }), [
    { operation: 'folder.update', action: 'update', resource: 'x' }
  ])
  assert.equal(folder.audit({ ...removal('x'), op: 'delete' }), [
    { operation: 'folder.delete', action: 'delete', resource: 'x' }
  ])
})

test('the edit time is known to the planner', () =>
  inWindmill('2026-08', async ({ database, context, sql }) => {
    await sql`insert into folder (workspace_id, name, display_name, owners, edited_at) values ('w', 't', 'T', '{}', '2024-02-03T04:05:06Z')`
    const targets = [
      { workspace: 'w', path: 't', fields: [] },
      { workspace: 'w', path: 'none', fields: [] }
    ]
    const seen = await database.read(sql => folder.observe(sql, targets, context))
    assert.equal(
      seen.map(one => one.editedAt?.toISOString()),
      ['2024-02-03T04:05:06.000Z']
    )
    const tokens = await database.read(sql => readTokens(sql, folder, targets, context))
    assert.equal([...tokens.keys()], [targetKey('w', 't')])
  }))

test.run()
