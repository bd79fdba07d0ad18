/** Groups at the three schemas: rows, members who have joined or not yet, Windmill's own groups, deletion. */
import group from '../src/kinds/group.ts'
import { type AnyKind, type Removal, type Row, targetKey } from '../src/model.ts'
import { readTokens } from '../src/windmill/targets.ts'
import { applyOne, type Done, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, releases, type World } from './support/windmill.ts'

const test = suite('kind group')
const kind = group as unknown as AnyKind

const apply = (
  { database, context }: World,
  spec: Record<string, unknown>,
  previous: readonly string[] = []
): Promise<Done> => applyOne(database, kind, { spec, workspace: 'w', previous }, context)

const rowAt = async ({ sql }: World, name: string): Promise<Record<string, unknown>> => {
  const [row] = await sql`select * from group_ where workspace_id = 'w' and name = ${name}`
  return { ...row }
}

const membersAt = async ({ sql }: World, name: string, workspace = 'w'): Promise<string> => {
  const rows =
    await sql`select usr from usr_to_group where workspace_id = ${workspace} and group_ = ${name} order by usr`
  return rows.map(row => row.usr).join(' ')
}

/** A group with its members, as somebody else made it. */
async function make({ sql }: World, name: string, members: readonly string[], workspace = 'w'): Promise<void> {
  await sql`insert into group_ (workspace_id, name) values (${workspace}, ${name}) on conflict do nothing`
  for (const usr of members)
    await sql`insert into usr_to_group (workspace_id, group_, usr) values (${workspace}, ${name}, ${usr})`
}

async function people({ sql }: World): Promise<void> {
  await sql`
    insert into usr (workspace_id, username, email) values
      ('w', 'ann', 'ann@example.com'), ('w', 'bob', 'bob@example.com'), ('w', 'Cid', 'cid@example.com'),
      ('w', 'iac_controller', 'iac-controller@cluster.local'), ('other', 'dan', 'dan@example.com')`
}

const removal = (path: string, row: Row = {}): Removal => {
  const { namespace, name, uid } = listedOf(kind)
  return { workspace: 'w', path, fields: Object.keys(row), live: row, listed: { namespace, name, uid } }
}

for (const variant of releases) {
  test(`${variant}: a new group has every column as the contract says, a second run keeps it`, () =>
    inWindmill(variant, async world => {
      await people(world)
      const spec = {
        name: 'data-team_1',
        summary: 'Ä "q" \'s\'\n🗂',
        members: ['bob', 'Ann@Example.com', 'cid@example.com']
      }
      const done = await apply(world, spec)
      assert.is(done.op, 'create')
      assert.equal(await rowAt(world, 'data-team_1'), {
        workspace_id: 'w',
        name: 'data-team_1',
        summary: spec.summary,
        extra_perms: {}
      })
      assert.is(await membersAt(world, 'data-team_1'), 'Cid ann bob')
      assert.equal(done.compiled, {
        row: { summary: spec.summary, members: ['Cid', 'ann', 'bob'] },
        notes: [],
        unsettled: false
      })
      const again = await apply(world, { ...spec, members: ['ann', 'Cid', 'bob', 'ann@example.com'] })
      assert.is(again.op, 'keep')
      assert.is(again.tokenAfter, done.tokenAfter)
    }))

  test(`${variant}: an update leaves what is not stated`, () =>
    inWindmill(variant, async world => {
      await people(world)
      await world.sql`insert into group_ (workspace_id, name, summary, extra_perms) values ('w', 'g', 'theirs', '{"u/ann": true}')`
      await make(world, 'g', ['ann', 'ghost'])
      await apply(world, { name: 'g', summary: 'ours' })
      assert.is(await membersAt(world, 'g'), 'ann ghost')
      assert.equal(await rowAt(world, 'g'), {
        workspace_id: 'w',
        name: 'g',
        summary: 'ours',
        extra_perms: { 'u/ann': true }
      })
      const [before] = await world.sql`select xmin::text from group_ where name = 'g'`
      await apply(world, { name: 'g', members: ['bob'] })
      assert.is(await membersAt(world, 'g'), 'bob')
      const [after] = await world.sql`select xmin::text from group_ where name = 'g'`
      assert.equal(after, before)
      assert.is((await apply(world, { name: 'g' })).op, 'keep')
      assert.is((await apply(world, { name: 'g' }, ['summary', 'members'])).op, 'keep')
      await apply(world, { name: 'g', members: [] })
      assert.is(await membersAt(world, 'g'), '')
    }))

  test(`${variant}: drift of members and summary shows in the token and is set right`, () =>
    inWindmill(variant, async world => {
      await people(world)
      const { sql } = world
      const spec = { name: 'g', summary: 's', members: ['ann', 'bob'] }
      let token = (await apply(world, spec)).tokenAfter
      const drifts = [
        () => make(world, 'g', ['Cid']),
        () => sql`delete from usr_to_group where group_ = 'g' and usr = 'ann'`,
        () => sql`update usr_to_group set usr = 'Cid' where group_ = 'g' and usr = 'ann'`,
        () => sql`delete from usr_to_group where group_ = 'g'`,
        () => sql`update group_ set summary = null where name = 'g'`
      ]
      for (const [index, drift] of drifts.entries()) {
        await drift()
        const done = await apply(world, spec)
        assert.is.not(done.tokenBefore, token, `drift ${index}`)
        assert.is(done.op, 'update', `drift ${index}`)
        assert.is(await membersAt(world, 'g'), 'ann bob')
        assert.is((await rowAt(world, 'g')).summary, 's')
        token = done.tokenAfter
      }
      // A member who leaves and comes back is another row: only the mark moves.
      await sql`delete from usr_to_group where group_ = 'g' and usr = 'ann'`
      await make(world, 'g', ['ann'])
      const done = await apply(world, spec)
      assert.is(done.op, 'keep')
      assert.is.not(done.tokenAfter, token)
    }))

  test(`${variant}: remove takes the memberships first, and nothing of the other workspace`, () =>
    inWindmill(variant, async world => {
      await people(world)
      for (const name of ['gone', 'stays']) await apply(world, { name, members: ['ann'] })
      await make(world, 'gone', ['dan'], 'other')
      if (variant === '2026-08') {
        await world.sql`insert into group_permission_history (workspace_id, group_name, changed_by, change_type) values ('w', 'gone', 'ann', 'x')`
      }
      await world.database.write(sql => group.remove(sql, [removal('gone')]))
      assert.equal(await rowAt(world, 'gone'), {})
      assert.is(await membersAt(world, 'gone'), '')
      assert.is(await membersAt(world, 'stays'), 'ann')
      assert.is(await membersAt(world, 'gone', 'other'), 'dan')
      assert.is((await apply(world, { name: 'gone' })).op, 'create')
    }))

  test(`${variant}: trap 9, whatever names the group holds back its deletion`, () =>
    inWindmill(variant, async world => {
      const { database, sql, context } = world
      const names = ['a', 'b', 'c', 'd', 'e', 'all']
      for (const name of names) await make(world, name, [])
      const why = async (): Promise<Record<string, string>> => {
        const found = await database.read(sql =>
          group.blockers(
            sql,
            names.map(name => removal(name)),
            context
          )
        )
        return Object.fromEntries([...found].map(([key, text]) => [key.split('\0')[1], text]))
      }
      await sql`insert into folder (workspace_id, name, display_name, owners, extra_perms) values ('other', 'f', 'F', '{g/e}', '{"g/e": true, "g/all": true}')`
      assert.equal(await why(), {})
      await sql`
        insert into folder (workspace_id, name, display_name, owners, extra_perms) values
          ('w', 'f', 'F', '{g/a}', '{"g/a": true, "g/b": false, "u/e": true}'), ('w', 'f2', 'F', '{g/c}', '{}')`
      await sql`insert into variable (workspace_id, path, value, description, extra_perms) values ('w', 'f/f/v', '', '', '{"g/b": true}'), ('w', 'g/d/v', '', '', '[]')`
      const text = (name: string, users: string): string =>
        `Group g/${name} is still named by ${users}: take it out there first.`
      assert.equal(await why(), {
        a: text('a', 'folders'),
        b: text('b', 'folders, variables'),
        c: text('c', 'folders'),
        d: text('d', 'variables')
      })
    }))

  test(`${variant}: Windmill's own groups keep whom others added`, () =>
    inWindmill(variant, async world => {
      await people(world)
      await make(world, 'wm_deployers', ['svc'])
      const spec = { name: 'wm_deployers', members: ['ann', 'bob', 'later@example.com'] }
      const done = await apply(world, spec)
      assert.equal(done.compiled.row, { 'members.ann': true, 'members.bob': true })
      assert.equal(done.compiled.notes, [
        '1 member has not joined the workspace yet: it is added once it has.',
        "Group wm_deployers is Windmill's own: members are added, those that others added stay."
      ])
      assert.is(await membersAt(world, 'wm_deployers'), 'ann bob svc')
      assert.is((await apply(world, spec)).op, 'keep')
      await make(world, 'wm_deployers', ['other'])
      assert.is((await apply(world, spec)).op, 'keep')
      const fewer = await apply(world, { name: 'wm_deployers', members: ['ann'] }, ['members.ann', 'members.bob'])
      assert.is(fewer.op, 'update')
      assert.is(await membersAt(world, 'wm_deployers'), 'ann other svc')
      const live = { 'members.ann': true, 'members.other': true, 'members.svc': true }
      const gone = { ...removal('wm_deployers', live), fields: ['members.ann'] }
      await world.database.write(sql => group.remove(sql, [gone, removal('all'), removal('slack')]))
      assert.is(await membersAt(world, 'wm_deployers'), 'other svc')
      assert.is((await rowAt(world, 'all')).name, 'all')
      assert.equal(group.audit({ ...gone, op: 'delete' }), [
        { operation: 'group.removeuser', action: 'update', resource: 'wm_deployers', parameters: { user: 'ann' } }
      ])
    }))
}

test('trap 4: a membership always names its user', () =>
  inWindmill('2026-08', async world => {
    await people(world)
    await apply(world, { name: 'g', members: ['ann'] })
    const rows = await world.sql`select usr from usr_to_group where usr = 'ruben'`
    assert.is(rows.length, 0)
  }))

test('trap 6: addresses are compared without case, and all users behind one are members', () =>
  inWindmill('2026-08', async world => {
    await people(world)
    await world.sql`insert into usr (workspace_id, username, email) values ('w', 'ann2', 'ann@example.com'), ('w', 'Eve', 'EVE@example.com')`
    const done = await apply(world, { name: 'g', members: ['ANN@example.com', 'eve@Example.com', 'Ann'] })
    assert.is(await membersAt(world, 'g'), 'Eve ann ann2')
    assert.equal(done.compiled.notes, [
      '1 member has not joined the workspace yet: it is added once it has.',
      'An e-mail address belongs to several users of the workspace: all of them are members.'
    ])
  }))

test('who has not joined is pending, by address as by name, and added later', () =>
  inWindmill('2026-08', async world => {
    await people(world)
    const spec = { name: 'g', members: ['dan@example.com', 'DAN@example.com', 'dan', 'ann'] }
    const done = await apply(world, spec)
    assert.equal(done.compiled.row, { members: ['ann'] })
    assert.equal(done.compiled.notes, ['2 members have not joined the workspace yet: they are added once they have.'])
    assert.is(done.compiled.unsettled, true)
    const [{ count } = { count: -1 }] =
      await world.sql`select count(*)::int from usr where workspace_id = 'w' and username = 'dan'`
    assert.is(count, 0)
    assert.is((await apply(world, spec)).op, 'keep')
    await world.sql`insert into usr (workspace_id, username, email) values ('w', 'dan', 'dan@example.com')`
    const later = await apply(world, spec)
    assert.equal([later.op, later.compiled.notes, later.compiled.unsettled], ['update', [], false])
    assert.is(await membersAt(world, 'g'), 'ann dan')
  }))

test('the service identity is neither put in nor taken out', () =>
  inWindmill('2026-08', async world => {
    await people(world)
    await make(world, 'g', ['iac_controller', 'bob'])
    const done = await apply(world, { name: 'g', members: ['ann'] })
    assert.is(await membersAt(world, 'g'), 'ann iac_controller')
    assert.equal(done.row, { summary: null, members: ['ann'] })
    const stated = await apply(world, { name: 'h', members: ['iac-controller@cluster.local'] })
    assert.is(await membersAt(world, 'h'), '')
    assert.equal(stated.compiled.notes, ['iac_controller is the identity of this program and not managed as a member.'])
  }))

test('members of group all cannot be declared, its summary can', () =>
  inWindmill('2026-08', async world => {
    await make(world, 'all', ['ann', 'bob'])
    const error = await rejects(() => apply(world, { name: 'all', members: [] }))
    assert.is((error as { code?: string }).code, 'InvalidSpec')
    assert.is(error.message, 'Group all holds every user of the workspace: remove members.')
    const done = await apply(world, { name: 'all', summary: 'everybody' })
    assert.equal([done.op, done.row], ['update', { summary: 'everybody' }])
    assert.is(await membersAt(world, 'all'), 'ann bob')
  }))

test('a group of the instance with the same name is noted', () =>
  inWindmill('2026-08', async world => {
    await world.sql`insert into instance_group (name) values ('scim')`
    const done = await apply(world, { name: 'scim' })
    assert.equal(done.compiled.notes, ['A group of the instance has the same name: its members count here too.'])
  }))

test('more groups than the Community Edition has are noted, unless a licence is there', () =>
  inWindmill('2026-08', async world => {
    const note = 'This instance has more than 3 groups, which the Community Edition does not let one create.'
    for (const name of ['error_handler', 'slack', 'one', 'two']) await make(world, name, [])
    assert.equal((await apply(world, { name: 'three' })).compiled.notes, [])
    assert.equal((await apply(world, { name: 'four' })).compiled.notes, [note])
    assert.equal((await apply(world, { name: 'four' })).compiled.notes, [note])
    assert.equal((await apply(world, { name: 'all' })).compiled.notes, [])
    await world.sql`insert into global_settings (name, value) values ('license_key', '"x"')`
    assert.equal((await apply(world, { name: 'four' })).compiled.notes, [])
  }))

test('the audit names the group, its summary and each member that comes or goes', () => {
  const listed = listedOf(kind)
  const change = { workspace: 'w', path: 'g', listed }
  const entry = (operation: string, action: string, user?: string) => ({
    operation,
    action,
    resource: 'g',
    ...(user && { parameters: { user } })
  })
  assert.equal(group.audit({ ...change, op: 'create', row: { summary: 's', members: ['a', 'b'] } }), [
    entry('group.create', 'create'),
    entry('group.adduser', 'update', 'a'),
    entry('group.adduser', 'update', 'b')
  ])
  const live = { summary: 's', members: ['a', 'b'] }
  assert.equal(group.audit({ ...change, op: 'update', row: { summary: 't', members: ['b', 'c'] }, live }), [
    entry('group.edit', 'update'),
    entry('group.adduser', 'update', 'c'),
    entry('group.removeuser', 'update', 'a')
  ])
  assert.equal(group.audit({ ...change, op: 'update', row: { summary: 't' }, live }), [entry('group.edit', 'update')])
  const own = { 'members.a': true, 'members.b': true }
  assert.equal(
    group.audit({ ...change, path: 'g', op: 'update', row: { 'members.a': null, 'members.c': true }, live: own }),
    [entry('group.adduser', 'update', 'c'), entry('group.removeuser', 'update', 'a')]
  )
  assert.equal(group.audit({ ...removal('g'), op: 'delete' }), [entry('group.delete', 'delete')])
})

test('a batch of many groups is written at once', () =>
  inWindmill('2026-08', async world => {
    await people(world)
    await make(world, 'old', ['bob'])
    const listed = listedOf(kind)
    const at = (path: string) => ({ workspace: 'w', path, listed })
    await world.database.write(sql =>
      group.write(
        sql,
        [
          { ...at('new'), op: 'create', row: { members: ['ann'] } },
          {
            ...at('old'),
            op: 'update',
            row: { members: ['ann', 'bob'], summary: 'x' },
            live: { members: ['bob'], summary: null }
          },
          { ...at('slack'), op: 'create', row: { 'members.ann': true } }
        ],
        world.context
      )
    )
    assert.equal(
      [await membersAt(world, 'new'), await membersAt(world, 'old'), await membersAt(world, 'slack')],
      ['ann', 'ann bob', 'ann']
    )
    const tokens = await world.database.read(sql =>
      readTokens(
        sql,
        group,
        ['new', 'old', 'none', 'all'].map(path => ({ workspace: 'w', path, fields: [] })),
        world.context
      )
    )
    assert.equal(
      [...tokens.keys()].sort(),
      ['all', 'new', 'old'].map(path => targetKey('w', path))
    )
  }))

test.run()
