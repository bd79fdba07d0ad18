/** The service identity: what makes it valid, what stands in its way, and that a second look finds nothing to do. */
import type { Context, Sql } from '../src/model.ts'
import { ensureIdentity, inspectIdentity } from '../src/windmill/identity.ts'
import { assert, suite } from './support/suite.ts'
import { inWindmill, releases, type World } from './support/windmill.ts'

const test = suite('identity')

const inspect = (world: World, ids: readonly string[], context: Context = world.context) =>
  world.database.read((sql: Sql) => inspectIdentity(sql, ids, context))
const ensure = (world: World, ids: readonly string[], context: Context = world.context) =>
  world.database.write((sql: Sql) => ensureIdentity(sql, ids, context))

const withoutTimes = (row: Record<string, unknown> | undefined): unknown => {
  const { created_at: _, ...rest } = row ?? {}
  return rest
}

/** Rows of all tables that the identity consists of, with the marks of their versions. */
const marks = async ({ sql }: World): Promise<unknown> =>
  (
    await sql`
      select 'password' as place, email as name, xmin::text from password union all
      select 'usr', workspace_id || username, xmin::text from usr union all
      select 'group', workspace_id || name, xmin::text from group_ union all
      select 'member', workspace_id || group_ || usr, xmin::text from usr_to_group order by 1, 2`
  ).map(row => Object.values(row).join(' '))

for (const variant of releases) {
  test(`${variant}: one account, and an administrator in each workspace; then nothing is left to do`, () =>
    inWindmill(variant, async world => {
      const { sql } = world
      assert.equal(await inspect(world, ['w', 'other', 'nowhere']), { lacking: ['w', 'other'], conflicts: new Map() })
      const entries = await ensure(world, ['w', 'other', 'nowhere'])
      const entry = { operation: 'users.add_to_workspace', action: 'create', resource: 'iac-controller@cluster.local' }
      assert.equal(
        [...entries].sort((a, b) => (a.workspace < b.workspace ? -1 : 1)),
        [
          { workspace: 'other', ...entry },
          { workspace: 'w', ...entry }
        ]
      )
      const [account] = await sql`select * from password where email = 'iac-controller@cluster.local'`
      assert.equal(
        { ...account },
        {
          email: 'iac-controller@cluster.local',
          password_hash: null,
          login_type: 'service',
          super_admin: false,
          verified: true,
          name: 'windmill-iac',
          company: null,
          first_time_user: false,
          username: 'iac_controller',
          devops: false,
          ...(variant === '2026-08' && { role_source: 'manual', disabled: false })
        }
      )
      const [usr] = await sql`select * from usr where workspace_id = 'w'`
      assert.equal(withoutTimes(usr), {
        workspace_id: 'w',
        username: 'iac_controller',
        email: 'iac-controller@cluster.local',
        is_admin: true,
        operator: false,
        disabled: false,
        role: null,
        ...(variant !== '1.463.2' && { added_via: null }),
        ...(variant === '2026-08' && { is_service_account: true })
      })
      const members = await sql`select workspace_id, group_, usr from usr_to_group order by workspace_id`
      assert.equal(
        members.map(row => Object.values(row)),
        ['other', 'w'].map(id => [id, 'all', 'iac_controller'])
      )
      const before = await marks(world)
      assert.equal((await inspect(world, ['w', 'other'])).lacking, [])
      assert.equal(await ensure(world, ['w', 'other']), [])
      assert.equal(await marks(world), before)
    }))

  test(`${variant}: what is wrong is put right, and only that`, () =>
    inWindmill(variant, async world => {
      const { sql } = world
      await ensure(world, ['w', 'other'])
      await sql`update usr set is_admin = false, operator = true, disabled = true where workspace_id = 'w'`
      assert.equal((await inspect(world, ['w', 'other'])).lacking, ['w'])
      assert.equal(await ensure(world, ['w', 'other']), [], 'nobody was added')
      const flags = await sql`select is_admin, operator, disabled from usr order by workspace_id`
      assert.equal(
        flags.map(row => Object.values(row)),
        [
          [true, false, false],
          [true, false, false]
        ]
      )
      await sql`delete from usr_to_group where workspace_id = 'w'`
      await sql`delete from group_ where workspace_id = 'w'`
      assert.equal((await inspect(world, ['w'])).lacking, ['w'])
      await ensure(world, ['w'])
      assert.is((await sql`select from usr_to_group where workspace_id = 'w' and group_ = 'all'`).length, 1)
      await sql`delete from password where username = 'iac_controller'`
      assert.equal((await inspect(world, ['w', 'other'])).lacking, ['w', 'other'])
      await ensure(world, ['w', 'other'])
      await sql`update password set username = null where email = 'iac-controller@cluster.local'`
      await ensure(world, ['w'])
      assert.is((await sql`select from password where username = 'iac_controller'`).length, 1)
      assert.equal((await inspect(world, ['w', 'other'])).lacking, [])
    }))

  test(`${variant}: a name or address in other hands is a conflict and nothing is written there`, () =>
    inWindmill(variant, async world => {
      const { sql } = world
      await sql`insert into usr (workspace_id, username, email) values ('w', 'iac_controller', 'human@example.com')`
      const one = await inspect(world, ['w', 'other'])
      assert.equal(
        [...one.conflicts],
        [
          [
            'w',
            'The username iac_controller belongs to human@example.com in workspace w, not to iac-controller@cluster.local; rename or remove that user, or choose others with --user and --email.'
          ]
        ]
      )
      assert.equal(one.lacking, ['other'])
      await ensure(world, ['w', 'other'])
      const users = await sql`select workspace_id, email, is_admin from usr order by workspace_id`
      assert.equal(
        users.map(row => Object.values(row)),
        [
          ['other', 'iac-controller@cluster.local', true],
          ['w', 'human@example.com', false]
        ]
      )
      await sql`update usr set username = 'robot', email = 'iac-controller@cluster.local' where workspace_id = 'w'`
      assert.match(
        (await inspect(world, ['w'])).conflicts.get('w') ?? '',
        /is the user robot in workspace w, not iac_controller/
      )
    }))

  test(`${variant}: a clash on the instance is a conflict everywhere, also where no workspace is yet`, () =>
    inWindmill(variant, async world => {
      const { sql } = world
      await sql`insert into password (email, login_type, username) values ('human@example.com', 'password', 'iac_controller')`
      const { conflicts, lacking } = await inspect(world, ['w', 'new'])
      assert.equal([[...conflicts.keys()], lacking], [['w', 'new'], []])
      assert.match(
        conflicts.get('new') ?? '',
        /^The username iac_controller belongs to human@example\.com on this Windmill instance/
      )
      assert.equal(await ensure(world, ['w']), [])
      await sql`update password set username = 'robot', email = 'iac-controller@cluster.local' where username = 'iac_controller'`
      const other = await inspect(world, ['w'])
      assert.match(other.conflicts.get('w') ?? '', /has the username robot on this Windmill instance/)
      assert.is((await sql`select from usr`).length, 0)
    }))

  test(`${variant}: an account that a person logs in with may serve, and stays as it is`, () =>
    inWindmill(variant, async world => {
      const { sql } = world
      const context = { ...world.context, user: 'admin', email: 'admin@windmill.dev' }
      const account = (): Promise<unknown> =>
        sql`select *, xmin::text from password`.then(rows => rows.map(row => ({ ...row })))
      const before = await account()
      await ensure(world, ['w'], context)
      assert.equal(await account(), before)
      const [usr] = await sql`select * from usr`
      assert.equal([usr?.['username'], usr?.['is_admin'], usr?.['is_service_account'] ?? false], ['admin', true, false])
      assert.equal((await inspect(world, ['w'], context)).lacking, [])
    }))
}

test.run()
