/** Resources at the three schemas: rows, linked secret variables, whose they are, history, deletion. */
import kindFile from '../src/kinds/resource.ts'
import {
  type AnyKind,
  type Context,
  type Input,
  type Kind,
  LINKED,
  type Observed,
  type Removal,
  type Row,
  targetKey
} from '../src/model.ts'
import { cipherKey, decrypt, encrypt } from '../src/windmill/encryption.ts'
import { applyOne, type Done, type Given, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, releases, type World } from './support/windmill.ts'

const test = suite('kind resource')
const kind = kindFile as unknown as AnyKind
const view = kindFile as unknown as Kind

const cipher = cipherKey('k'.repeat(64), '')
const sealed = (text: string): string => encrypt(cipher, text)

const apply = (
  { database, context }: World,
  spec: Record<string, unknown>,
  more: Partial<Given> & { context?: Partial<Context> } = {}
): Promise<Done> =>
  applyOne(
    database,
    kind,
    { workspace: 'w', ...more, spec: { path: 'f/a/db', resourceType: 'c_db', ...spec } },
    { ...context, ...more.context }
  )

const field = (field: string, key = field): unknown => ({ field, secretKeyRef: { name: 's', key } })
const whole = { valueFrom: { secretKeyRef: { name: 's', key: 'json' } } }
const texts = (values: Record<string, unknown>): Partial<Given> => ({
  texts: Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      `s/${key}`,
      typeof value === 'string' ? value : JSON.stringify(value)
    ])
  )
})

const schema = {
  type: 'object',
  properties: {
    host: { type: 'string' },
    port: { type: 'integer' },
    ratio: { type: ['null', 'number'] },
    tls: { type: 'boolean' },
    user: { type: 'string' },
    pin: { type: 'string', password: true },
    password: { type: 'string' },
    tags: { type: 'array', items: { type: 'string' } },
    options: { type: 'object', properties: { mode: { type: 'string' }, api_key: { type: 'string' } } }
  }
}

const withType = async ({ sql }: World, name = 'c_db', workspace = 'w', value: unknown = schema): Promise<void> => {
  await sql`insert into resource_type (workspace_id, name, schema) values (${workspace}, ${name}, ${JSON.stringify(value)}::text::jsonb)`
}

const rowAt = async ({ sql }: World, path = 'f/a/db'): Promise<Record<string, unknown>> => {
  const [row] = await sql`
    select *, jsonb_typeof(value) as shape, edited_at > now() - interval '1 minute' as fresh
      from resource where workspace_id = 'w' and path = ${path}`
  const { edited_at: _, ...rest } = row ?? {}
  return rest
}

/** Plaintexts of the workspace's secret variables by path. */
const secretsIn = async ({ sql }: World): Promise<Record<string, unknown>> => {
  const rows = await sql`select path, value, is_secret from variable where workspace_id = 'w' order by path`
  return Object.fromEntries(
    rows.map(row => [row['path'], row['is_secret'] ? decrypt(cipher, String(row['value'])) : { plain: row['value'] }])
  )
}

const newer = (world: World, values: Record<string, unknown>): Record<string, unknown> =>
  world.variant === '2026-08' ? values : {}

const codeOf = (error: Error): string => (error as { code?: string }).code ?? ''
const unknownType =
  'resourceType: neither the workspace nor admins has this type, so every text of a Secret counts as secret.'

const removal = (path: string, linked: readonly string[] = []): Removal => {
  const { namespace, name, uid } = listedOf(kind)
  const fields = linked.map(one => LINKED + one)
  return {
    workspace: 'w',
    path,
    fields,
    live: Object.fromEntries(fields.map(one => [one, 'x'])),
    listed: { namespace, name, uid }
  }
}

const observe = async (
  { database, context }: World,
  path: string,
  fields: readonly string[] = []
): Promise<Observed | undefined> => {
  const [seen] = await database.read(sql => view.observe(sql, [{ workspace: 'w', path, fields }], context))
  return seen
}

const value = {
  text: 'Dätä "q" \'s\' \\ 🔑',
  nothing: null,
  big: 1e300,
  small: -0.000001,
  list: [1, [2, null], { b: 1, a: 2 }],
  'odd key.$': { '': '' },
  ref: '$res:f/other/thing',
  secret: '$var:f/other/secret'
}

const sorted = (map: ReadonlyMap<string, unknown> | undefined): unknown =>
  [...(map ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))

for (const variant of releases) {
  test(`${variant}: a plain resource has every column as the contract says, a second run keeps it`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      const done = await apply(world, { value, description: 'what\nfor' })
      assert.is(done.op, 'create')
      assert.equal(done.compiled.notes, [])
      assert.equal(await rowAt(world), {
        workspace_id: 'w',
        path: 'f/a/db',
        value,
        shape: 'object',
        description: 'what\nfor',
        resource_type: 'c_db',
        extra_perms: {},
        created_by: 'iac_controller',
        fresh: true,
        ...newer(world, { labels: null })
      })
      const { list, ...rest } = value
      const again = await apply(world, { value: { list, ...rest }, description: 'what\nfor' })
      assert.is(again.op, 'keep')
      assert.is(again.tokenAfter, done.tokenAfter)
    }))

  test(`${variant}: without a value it is JSON null, without a description NULL (trap 13)`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      await apply(world, {})
      assert.equal(await rowAt(world).then(row => [row['shape'], row['description']]), ['null', null])
      assert.is((await apply(world, {})).op, 'keep')
      await world.sql`update resource set value = null`
      assert.is((await apply(world, {})).op, 'keep')
      await apply(world, { value: {} })
      assert.equal((await rowAt(world))['value'], {})
    }))

  test(`${variant}: an update leaves what is not stated, and who made it (traps 21, 26)`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      await world.sql`
        insert into resource (workspace_id, path, value, description, resource_type, extra_perms, created_by, edited_at)
        values ('w', 'f/a/db', '{"a": 1}', 'kept', 'c_old', '{"u/ann": true}', 'ann', '2020-01-01')`
      if (variant === '2026-08') await world.sql`update resource set labels = '{m}'`
      const done = await apply(world, {})
      assert.is(done.op, 'update')
      assert.equal(await rowAt(world), {
        workspace_id: 'w',
        path: 'f/a/db',
        value: { a: 1 },
        shape: 'object',
        description: 'kept',
        resource_type: 'c_db',
        extra_perms: { 'u/ann': true },
        created_by: 'ann',
        fresh: true,
        ...newer(world, { labels: ['m'] })
      })
    }))

  test(`${variant}: a field from a Secret becomes a variable at the same path, further ones beside it`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      const spec = {
        value: { host: 'h' },
        valuesFrom: [field('password'), field('port'), field('ratio'), field('tls'), field('user')]
      }
      const given = texts({ password: 'pässwörd-🔑', port: '5432', ratio: '-1.5e3', tls: 'true', user: 'me' })
      const done = await apply(world, spec, given)
      assert.is(done.op, 'create')
      assert.equal((await rowAt(world))['value'], {
        host: 'h',
        password: '$var:f/a/db',
        port: 5432,
        ratio: -1500,
        tls: true,
        user: '$var:f/a/db_user'
      })
      const [variable] = await world.sql`select * from variable where path = 'f/a/db'`
      const { edited_at: _, ...rest } = variable ?? {}
      assert.equal(rest, {
        workspace_id: 'w',
        path: 'f/a/db',
        value: sealed('pässwörd-🔑'),
        is_secret: true,
        description: 'Managed by WindmillResource test/one',
        extra_perms: {},
        account: null,
        is_oauth: false,
        expires_at: null,
        ...newer(world, { labels: null, edited_by: 'iac_controller' })
      })
      assert.equal(await secretsIn(world), { 'f/a/db': 'pässwörd-🔑', 'f/a/db_user': 'me' })
      assert.equal(done.compiled.masked, ['value'])
      assert.equal(view.secrets?.(done.row), [`${LINKED}f/a/db`, `${LINKED}f/a/db_user`])
      const again = await apply(world, spec, given)
      assert.is(again.op, 'keep')
      assert.is(again.tokenAfter, done.tokenAfter)
    }))

  test(`${variant}: a changed Secret touches its variable and nothing else`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      const spec = { valuesFrom: [field('password'), field('user')] }
      await apply(world, spec, texts({ password: 'old', user: 'me' }))
      await world.sql`update resource set edited_at = '2020-01-01'`
      if (variant === '2026-08') await world.sql`update variable set edited_at = '2020-01-01', edited_by = 'ann'`
      const done = await apply(world, spec, texts({ password: 'new', user: 'me' }))
      assert.is(done.op, 'update')
      assert.is.not(done.tokenAfter, done.tokenBefore)
      assert.equal(await secretsIn(world), { 'f/a/db': 'new', 'f/a/db_user': 'me' })
      assert.is((await rowAt(world))['fresh'], false)
      if (variant !== '2026-08') return
      const rows = await world.sql`select edited_by, edited_at > '2020-01-02' as fresh from variable order by path`
      assert.equal(
        [...rows],
        [
          { edited_by: 'iac_controller', fresh: true },
          { edited_by: 'ann', fresh: false }
        ]
      )
      const seen = await observe(world, 'f/a/db', [`${LINKED}f/a/db`])
      assert.ok((seen?.editedAt?.getTime() ?? 0) > Date.parse('2020-01-02'))
    }))

  test(`${variant}: drift of a variable is seen by the token and corrected`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      const spec = { valuesFrom: [field('password'), field('user')] }
      const given = texts({ password: 'p', user: 'me' })
      let { tokenAfter } = await apply(world, spec, given)
      for (const change of [
        world.sql`update variable set value = ${sealed('q')} where path = 'f/a/db'`,
        world.sql`update variable set is_secret = false, value = 'me' where path = 'f/a/db_user'`,
        world.sql`delete from variable where path = 'f/a/db_user'`
      ]) {
        await change
        const done = await apply(world, spec, given)
        assert.is(done.op, 'update')
        assert.is.not(done.tokenBefore, tokenAfter)
        assert.equal(await secretsIn(world), { 'f/a/db': 'p', 'f/a/db_user': 'me' })
        tokenAfter = done.tokenAfter
      }
    }))

  test(`${variant}: readers of the resource may read its variables, what was granted on them stays`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      await world.sql`
        insert into resource (workspace_id, path, resource_type, value, extra_perms)
        values ('w', 'f/a/db', 'c_db', '{}', '{"u/ann": true, "g/devs": false}')`
      const spec = { valuesFrom: [field('password')] }
      await apply(world, spec, texts({ password: 'p' }))
      const perms = async (): Promise<unknown> =>
        (await world.sql`select extra_perms from variable`)[0]?.['extra_perms']
      assert.equal(await perms(), { 'u/ann': true, 'g/devs': false })
      await world.sql`update variable set extra_perms = '{"u/ann": false, "u/bob": true}'`
      await world.sql`update resource set extra_perms = '{"u/ann": true, "u/eve": false}'`
      await apply(world, spec, texts({ password: 'q' }))
      assert.equal(await perms(), { 'u/ann': false, 'u/bob': true, 'u/eve': false })
    }))

  test(`${variant}: a variable that is not needed any more is dropped`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      const both = { valuesFrom: [field('password'), field('user')] }
      const done = await apply(world, both, texts({ password: 'p', user: 'me' }))
      const previous = Object.keys(done.compiled.row)
      if (variant === '2026-08')
        await world.sql`insert into ws_specific (workspace_id, item_kind, path) values ('w', 'variable', 'f/a/db_user')`
      await apply(
        world,
        { value: { user: 'me' }, valuesFrom: [field('password')] },
        { ...texts({ password: 'p' }), previous }
      )
      assert.equal(await secretsIn(world), { 'f/a/db': 'p' })
      if (variant !== '2026-08') return
      assert.is((await world.sql`select from ws_specific`).length, 0)
      assert.equal(
        [...(await world.sql`select item_kind, item_path from trashbin`)],
        [{ item_kind: 'variable', item_path: 'f/a/db_user' }]
      )
    }))

  test(`${variant}: a dropped variable stays while it is named, by this resource or another`, () =>
    inWindmill(variant, async world => {
      await withType(world)
      const both = { valuesFrom: [field('password'), field('user')] }
      const previous = Object.keys((await apply(world, both, texts({ password: 'p', user: 'me' }))).compiled.row)
      await world.sql`insert into resource (workspace_id, path, resource_type, value) values ('w', 'f/b/c', 't', '{"a": "$var:f/a/db_user"}')`
      await apply(world, { value: { password: '$var:f/a/db' } }, { previous })
      assert.equal(await secretsIn(world), { 'f/a/db': 'p', 'f/a/db_user': 'me' })
    }))

  test(`${variant}: a delete takes the resource and the variables it generated (trap 23)`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      await withType(world)
      await apply(
        world,
        { value: { other: '$var:f/a/mine' }, valuesFrom: [field('password'), field('user')] },
        texts({ password: 'p', user: 'me' })
      )
      await apply(world, { path: 'f/a/db_2', valuesFrom: [field('password')] }, texts({ password: 'p' }))
      await sql`insert into variable (workspace_id, path, value) values ('w', 'f/a/mine', 'm')`
      if (variant === '2026-08') {
        await sql`insert into ws_specific (workspace_id, item_kind, path) values ('w', 'resource', 'f/a/db'), ('w', 'variable', 'f/a/db_user')`
        await sql`
          insert into draft (workspace_id, path, typ, value)
          values ('w', 'f/a/db', 'resource', '{}'), ('w', 'f/a/db_user', 'variable', '{}'), ('w', 'f/a/db', 'script', '{}'),
                 ('w', 'f/a/mine', 'variable', '{}'), ('other', 'f/a/db', 'resource', '{}')`
      }
      await database.write(async tx => view.remove?.(tx, [removal('f/a/db', ['f/a/db', 'f/a/db_user'])], context))
      assert.equal(await secretsIn(world), { 'f/a/db_2': 'p', 'f/a/mine': { plain: 'm' } })
      const left = await sql`select path from resource where workspace_id = 'w' and path like 'f/a/%'`
      assert.equal(
        left.map(row => row['path']),
        ['f/a/db_2']
      )
      if (variant !== '2026-08') return
      assert.is((await sql`select from ws_specific`).length, 0)
      const drafts = await sql`select workspace_id || ' ' || path || ' ' || typ as key from draft order by 1`
      assert.equal(
        drafts.map(row => row['key']),
        ['other f/a/db resource', 'w f/a/db script', 'w f/a/mine variable']
      )
      const [trash, ...more] = await sql`
        select item_kind, item_path, deleted_by, item_data -> 'row' -> 'value' ->> 'password' as password,
               jsonb_path_query_array(item_data, '$.linked_variables[*].path') as variables
          from trashbin`
      assert.is(more.length, 0)
      assert.equal(
        { ...trash },
        {
          item_kind: 'resource',
          item_path: 'f/a/db',
          deleted_by: 'iac_controller',
          password: '$var:f/a/db',
          variables: ['f/a/db', 'f/a/db_user']
        }
      )
    }))

  test(`${variant}: a resource that others refer to is not deleted, unless they go as well`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      const put = (path: string, value: unknown) =>
        sql`insert into resource (workspace_id, path, resource_type, value) values ('w', ${path}, 't', ${JSON.stringify(value)}::text::jsonb)`
      await put('f/a/self', { me: '$res:f/a/self' })
      await put('f/a/used', {})
      await put('f/a/user', { deep: [{ r: '$res:f/a/used' }] })
      await put('f/a/keyed', {})
      await put('f/b/stays', { p: '$var:f/a/keyed_password', q: '$res:f/a/chain' })
      await put('f/a/chain', { next: '$res:f/a/end' })
      await put('f/a/end', {})
      const removals = ['f/a/self', 'f/a/used', 'f/a/user', 'f/a/chain', 'f/a/end'].map(path => removal(path))
      const blocked = await database.read(async tx =>
        view.blockers?.(tx, [...removals, removal('f/a/keyed', ['f/a/keyed', 'f/a/keyed_password'])], context)
      )
      const sentence = (resource: string, text: string): string =>
        `Resource ${resource} still refers to it (${text}); change that first.`
      assert.equal(sorted(blocked), [
        [targetKey('w', 'f/a/chain'), sentence('f/b/stays', '$res:f/a/chain')],
        [targetKey('w', 'f/a/end'), sentence('f/a/chain', '$res:f/a/end')],
        [targetKey('w', 'f/a/keyed'), sentence('f/b/stays', '$var:f/a/keyed_password')]
      ])
    }))

  test(`${variant}: history, folders of apps and labels, where there are any`, () =>
    inWindmill(variant, async world => {
      const { sql } = world
      await withType(world)
      await sql`delete from folder where workspace_id = 'w'`
      await sql`insert into folder (workspace_id, name, display_name, owners) values ('w', 'app_groups', 'mine', '{}')`
      await apply(world, { path: 'f/app_themes/t', value: { name: 'a' }, labels: ['x', 'y'] })
      await apply(world, { path: 'f/app_groups/g', value: {} })
      const done = await apply(world, { path: 'f/app_themes/t', value: { name: 'b' }, labels: ['x', 'y'] })
      await apply(world, { path: 'f/app_themes/t', value: { name: 'b' }, description: 'd' })
      const folders =
        await sql`select name, display_name, owners, extra_perms, created_by, edited_at is not null as edited from folder where workspace_id = 'w' order by name`
      if (variant !== '2026-08') {
        assert.equal(
          folders.map(row => row['name']),
          ['app_groups']
        )
        assert.equal(done.compiled.notes, ['labels: this Windmill has no such column; ignored.'])
        return
      }
      assert.equal(
        [...folders],
        [
          { name: 'app_groups', display_name: 'mine', owners: [], extra_perms: {}, created_by: null, edited: false },
          {
            name: 'app_themes',
            display_name: 'App Themes',
            owners: [],
            extra_perms: { 'g/all': false },
            created_by: 'iac_controller',
            edited: true
          }
        ]
      )
      assert.equal((await rowAt(world, 'f/app_themes/t'))['labels'], ['x', 'y'])
      const versions =
        await sql`select path, resource_type, value, created_by from resource_version where workspace_id = 'w' order by id`
      const version = (path: string, value: unknown) => ({
        path,
        resource_type: 'c_db',
        value,
        created_by: 'iac_controller'
      })
      assert.equal(
        [...versions],
        [
          version('f/app_themes/t', { name: 'a' }),
          version('f/app_groups/g', {}),
          version('f/app_themes/t', { name: 'b' })
        ]
      )
    }))

  test(`${variant}: whose variable it is decides whether it is taken`, () =>
    inWindmill(variant, async world => {
      const { sql } = world
      await withType(world)
      const spec = { valuesFrom: [field('password'), field('user')] }
      const given = texts({ password: 'p', user: 'me' })
      const reset = async (): Promise<void> => {
        await sql`delete from variable`
        await sql`delete from resource where path = 'f/a/db'`
      }
      const refused = async (more: Partial<Given> & { context?: Partial<Context> } = {}): Promise<string> => {
        const error = await rejects(apply(world, spec, { ...given, ...more }))
        assert.is(codeOf(error), 'TakenBySomebodyElse')
        return error.message
      }
      const owner = (path: string, name: string) => (_: string, asked: string) => (asked === path ? name : undefined)
      const sentence = (path: string, name: string): string =>
        `A secret variable is needed at ${path}, but the variable there belongs to ${name}; move or delete it, or choose another path.`

      await sql`insert into variable (workspace_id, path, value) values ('w', 'f/a/db_user', 'x')`
      assert.is(await refused(), sentence('f/a/db_user', 'somebody else'))
      assert.equal(await secretsIn(world), { 'f/a/db_user': { plain: 'x' } })

      // A resource of the user interface, with its own linked variable.
      await reset()
      await sql`insert into variable (workspace_id, path, value, is_secret, description) values ('w', 'f/a/db', 'x', true, 'Token for c_db')`
      await sql`insert into resource (workspace_id, path, resource_type, value) values ('w', 'f/a/db', 'c_db', '{"password": "$var:f/a/db"}')`
      assert.is((await apply(world, spec, given)).op, 'update')
      assert.equal(await secretsIn(world), { 'f/a/db': 'p', 'f/a/db_user': 'me' })

      // The ledger is lost and the resource gone: our description speaks.
      await sql`delete from resource where path = 'f/a/db'`
      assert.is((await apply(world, spec, texts({ password: 'q', user: 'me' }))).op, 'create')
      assert.equal(await secretsIn(world), { 'f/a/db': 'q', 'f/a/db_user': 'me' })
      assert.match(
        await refused({
          listed: { name: 'two' },
          context: { linkedBy: owner('f/a/db_user', 'WindmillResource test/one') }
        }),
        /WindmillResource test\/one/
      )

      // Another CR stands for the same resource now.
      const context = { linkedBy: () => 'WindmillResource test/one', linkedPath: () => 'f/a/db' }
      assert.is(
        (await apply(world, spec, { ...texts({ password: 'r', user: 'me' }), listed: { name: 'two' }, context })).op,
        'update'
      )
      assert.equal(await secretsIn(world), { 'f/a/db': 'r', 'f/a/db_user': 'me' })

      // A CR declares the variable, though the live resource names it.
      const ownersOf: Context['ownersOf'] = async (_sql, asked, places) =>
        new Map(
          places.flatMap(one =>
            asked === 'WindmillVariable' && one.path === 'f/a/db'
              ? [[targetKey(one.workspace, one.path), 'WindmillVariable test/v']]
              : []
          )
        )
      assert.is(await refused({ context: { ownersOf } }), sentence('f/a/db', 'WindmillVariable test/v'))

      // An OAuth account, even if the live resource names it.
      await sql`update variable set account = 3 where path = 'f/a/db'`
      assert.is(await refused(), sentence('f/a/db', 'an OAuth account'))
    }))
}

test('a variable that appears between comparing and writing is not overwritten', () =>
  inWindmill('1.558.1', async world => {
    const { database, context, sql } = world
    await withType(world)
    const spec = { path: 'f/a/db', resourceType: 'c_db', valuesFrom: [field('password')] }
    const listed = listedOf(kind)
    const input = { listed, spec, workspace: 'w', path: 'f/a/db', text: () => 'p' }
    const facts = await database.read(async tx => view.facts?.(tx, [input], context))
    const { row, guard = '' } = view.compile(input, facts, context)
    await sql`insert into variable (workspace_id, path, value) values ('w', 'f/a/db', 'quick')`
    const write = { op: 'create', workspace: 'w', path: 'f/a/db', row, guard, listed } as const
    assert.is(codeOf(await rejects(database.write(tx => view.write(tx, [write], context)))), 'TakenBySomebodyElse')
    assert.equal(await secretsIn(world), { 'f/a/db': { plain: 'quick' } })
  }))

test('of two CRs of one batch that need the same variable the older one gets it', () =>
  inWindmill('1.558.1', async ({ database, context }) => {
    const input = (name: string, path: string, fields: readonly string[], createdAt: string): Input => ({
      listed: listedOf(kind, { name, createdAt }),
      spec: { path, resourceType: 't', valuesFrom: fields.map(one => field(one)) },
      workspace: 'w',
      path,
      text: () => 'x'
    })
    const young = input('young', 'f/a/x', ['y', 'z'], '2026-02-01T00:00:00Z')
    const old = input('old', 'f/a/x_z', ['y'], '2026-01-01T00:00:00Z')
    const facts = await database.read(async sql => view.facts?.(sql, [young, old], context))
    assert.ok(view.compile(old, facts, context).row[`${LINKED}f/a/x_z`])
    const error = await rejects(async () => view.compile(young, facts, context))
    assert.is(codeOf(error), 'TakenBySomebodyElse')
    assert.match(error.message, /WindmillResource test\/old/)
  }))

test('fields that change places take their texts along', () =>
  inWindmill('2026-08', async world => {
    await withType(world)
    const given = texts({ password: 'p', user: 'me', pin: '1' })
    let previous: readonly string[] = []
    for (const order of [['password', 'user', 'pin'], ['user', 'pin', 'password'], ['pin'], ['user', 'pin']]) {
      const done = await apply(world, { valuesFrom: order.map(one => field(one)) }, { ...given, previous })
      previous = Object.keys(done.compiled.row)
      const secrets = await secretsIn(world)
      const references = Object.entries((await rowAt(world))['value'] as Record<string, string>)
      const read = references.map(([name, reference]) => [name, secrets[reference.slice('$var:'.length)]])
      const all: Record<string, string> = { password: 'p', user: 'me', pin: '1' }
      assert.equal(Object.fromEntries(read), Object.fromEntries(order.map(one => [one, all[one]])))
      assert.is(Object.keys(secrets).length, order.length)
    }
  }))

test('history is written by hand where no trigger does it', () =>
  inWindmill('2026-08', async world => {
    const { sql } = world
    await withType(world)
    await sql`drop trigger record_resource_version_insert_trigger on resource`
    await sql`drop trigger record_resource_version_update_trigger on resource`
    const capabilities = { ...world.context.capabilities, hasTrigger: () => false }
    const more = { context: { capabilities } }
    await apply(world, { value: { a: 1 } }, more)
    await apply(world, { value: { a: 1 }, description: 'd' }, more)
    await apply(world, { value: { a: 2 }, description: 'd' }, more)
    const versions = await sql`select value, created_by from resource_version where path = 'f/a/db' order by id`
    assert.equal(
      [...versions],
      [
        { value: { a: 1 }, created_by: 'iac_controller' },
        { value: { a: 2 }, created_by: 'iac_controller' }
      ]
    )
  }))

/** What a Secret with a JSON object becomes: the value, and texts of variables. */
async function splitOf(
  world: World,
  type: string,
  object: unknown
): Promise<{ value: unknown; secrets: unknown; notes: unknown }> {
  await world.sql`delete from variable`
  const { compiled } = await apply(world, { path: 'f/a/db', resourceType: type, ...whole }, texts({ json: object }))
  return { value: (await rowAt(world))['value'], secrets: await secretsIn(world), notes: compiled.notes }
}

test('a whole value from a Secret: what the type does not know as harmless is linked', () =>
  inWindmill('1.558.1', async world => {
    await withType(world, 'c_db', 'admins').catch(async () => {
      await world.sql`insert into workspace (id, name, owner) values ('admins', 'admins', 'x')`
      await withType(world, 'c_db', 'admins')
    })
    const object = {
      host: 'h',
      port: 5432,
      tls: true,
      none: null,
      user: '$var:looks/like/one',
      pin: '1234',
      password: 'p',
      unheard: 'of',
      tags: ['a', 'b'],
      options: { mode: 'fast', api_key: 'k', 'ünheard.of': 'u' }
    }
    assert.equal(await splitOf(world, 'c_db', object), {
      value: {
        host: 'h',
        port: 5432,
        tls: true,
        none: null,
        user: '$var:f/a/db_user',
        pin: '$var:f/a/db_pin',
        password: '$var:f/a/db',
        unheard: '$var:f/a/db_unheard',
        tags: ['a', 'b'],
        options: {
          mode: 'fast',
          api_key: '$var:f/a/db_options_api_key',
          'ünheard.of': '$var:f/a/db_options__nheard_of'
        }
      },
      secrets: {
        'f/a/db': 'p',
        'f/a/db_options__nheard_of': 'u',
        'f/a/db_options_api_key': 'k',
        'f/a/db_pin': '1234',
        'f/a/db_unheard': 'of',
        'f/a/db_user': '$var:looks/like/one'
      },
      notes: []
    })
  }))

test('a whole value of an unknown type: every text is linked, numbers are pointed out', () =>
  inWindmill('1.558.1', async world => {
    const { value, secrets, notes } = await splitOf(world, 'c_unknown', {
      host: 'h',
      token: 't',
      client_secret: 's',
      n: 1,
      pass_code: 7
    })
    assert.equal(value, {
      host: '$var:f/a/db_host',
      token: '$var:f/a/db_token',
      client_secret: '$var:f/a/db',
      n: 1,
      pass_code: 7
    })
    assert.equal(secrets, { 'f/a/db': 's', 'f/a/db_host': 'h', 'f/a/db_token': 't' })
    assert.equal(notes, [unknownType, 'valueFrom pass_code: numbers are stored unencrypted; make them texts.'])
    const { compiled } = await apply(world, { resourceType: 'c_unknown', ...whole }, texts({ json: { host: 'h' } }))
    assert.equal([compiled.unsettled, compiled.masked], [true, ['value']])
    assert.equal((await splitOf(world, 'c_unknown', {})).value, {})
  }))

test("what Windmill's editor would link is linked first", () =>
  inWindmill('1.558.1', async world => {
    await withType(world, 'git_repository', 'w', {
      properties: { url: { type: 'string' }, branch: { type: 'string' }, token: { type: 'string' } }
    })
    const { value } = await splitOf(world, 'git_repository', { url: 'https://u:p@h', branch: 'main', token: 't' })
    assert.equal(value, { url: '$var:f/a/db', branch: 'main', token: '$var:f/a/db_token' })
  }))

test('odd keys of a JSON object neither vanish nor do harm', () =>
  inWindmill('1.558.1', async world => {
    const text = '{"__proto__": {"constructor": "x"}, "toString": "y", "hasOwnProperty": 1}'
    await apply(world, { resourceType: 't', ...whole }, texts({ json: text }))
    const [row] = await world.sql`select value::text as text from resource where path = 'f/a/db'`
    assert.equal(sorted(new Map(Object.entries(JSON.parse(String(row?.['text'])) as object))), [
      ['__proto__', { constructor: '$var:f/a/db' }],
      ['hasOwnProperty', 1],
      ['toString', '$var:f/a/db_toString']
    ])
    assert.is((await apply(world, { resourceType: 't', ...whole }, texts({ json: text }))).op, 'keep')
  }))

test('lists of a whole value stay only where nothing in them can be secret (trap 16)', () =>
  inWindmill('1.558.1', async world => {
    const properties = { list: { type: 'array' }, keys: { type: 'array' }, marked: { type: 'array', password: true } }
    await withType(world, 'c_list', 'w', { properties })
    const value = { list: [1, ['a', { b: 'c' }]] }
    assert.equal((await splitOf(world, 'c_list', value)).value, value)
    assert.equal((await splitOf(world, 'c_unknown', { n: [1, true, null, [2]] })).value, { n: [1, true, null, [2]] })
    for (const [type, object, list] of [
      ['c_list', { list: ['$var:f/a/b'] }, 'list'],
      ['c_list', { list: [{ password: 'x' }] }, 'list'],
      ['c_list', { keys: ['x'] }, 'keys'],
      ['c_list', { marked: ['x'] }, 'marked'],
      ['c_list', { a: { unheard: ['x'] } }, 'a.unheard'],
      ['c_unknown', { list: ['x'] }, 'list']
    ] as const) {
      const error = await rejects(apply(world, { resourceType: type, ...whole }, texts({ json: object })))
      assert.is(codeOf(error), 'InvalidSpec')
      assert.ok(error.message.startsWith(`valueFrom: the list ${list} holds texts`), error.message)
    }
  }))

test('what cannot be stored is refused, and no message holds a value', () =>
  inWindmill('2026-08', async world => {
    await withType(world)
    let deep = '"hunter2"'
    for (let level = 0; level < 5000; level++) deep = `{"a":${deep}}`
    const cases: readonly (readonly [
      spec: Record<string, unknown>,
      secret: Record<string, unknown>,
      message: RegExp
    ])[] = [
      [{ resourceType: 'state' }, {}, /^resourceType: .* state/],
      [{ resourceType: 'cache', value: {} }, {}, /^resourceType: .* cache/],
      [{ value: {}, ...whole }, { json: '{}' }, /^value and valueFrom/],
      [whole, { json: 'hunter2' }, /not JSON/],
      [whole, { json: '{"a": "hunter2"' }, /not JSON/],
      [whole, { json: '"hunter2"' }, /must be an object/],
      [whole, { json: '["hunter2"]' }, /must be an object/],
      [whole, { json: 'null' }, /must be an object/],
      [whole, { json: deep }, /^valueFrom: more than 100 levels/],
      [whole, { json: '{"hunter2\\u0000": 1}' }, /NUL/],
      [whole, { json: '{"host": "hunter2\\u0000"}' }, /NUL/],
      [whole, { json: '{"password": "\\ud800"}' }, /surrogate/],
      [whole, { json: { a: { b: 'hunter2' }, A: 'y', a_b: 'hunter2' } }, /both need the secret variable f\/a\/db_a_b/],
      [whole, { json: { A: 'y', ['k'.repeat(250)]: 'hunter2' } }, /would exceed 255/],
      [whole, { json: { password: 'x'.repeat(11_248) } }, /^password: a secret may have at most 11247 bytes/],
      [
        { value: { password: 'open' }, valuesFrom: [field('password')] },
        { password: 'hunter2' },
        /password is given twice/
      ],
      [{ valuesFrom: [field('a'), field('a')] }, { a: 'hunter2' }, /a is given twice/],
      [{ valuesFrom: [field('port')] }, { port: '5432\n' }, /^valuesFrom port: .* integer/],
      [{ valuesFrom: [field('port')] }, { port: '' }, /^valuesFrom port: .* integer/],
      [{ valuesFrom: [field('port')] }, { port: '9007199254740993' }, /^valuesFrom port: .* integer/],
      [{ valuesFrom: [field('ratio')] }, { ratio: '1e999' }, /^valuesFrom ratio: .* number/],
      [{ valuesFrom: [field('ratio')] }, { ratio: '0x10' }, /^valuesFrom ratio: .* number/],
      [{ valuesFrom: [field('tls')] }, { tls: 'True' }, /^valuesFrom tls: .* boolean/],
      [{ path: 'f/app_themes/t', valuesFrom: [field('a')] }, { a: 'hunter2' }, /read without login/],
      [{ path: 'f/app_custom/t', ...whole }, { json: '{}' }, /read without login/],
      [{ resourceType: 'json_schema', ...whole }, { json: '{}' }, /json_schema can be read without login/]
    ]
    for (const [spec, secret, message] of cases) {
      const error = await rejects(apply(world, spec, texts(secret))).catch(() => new Error(`nothing said ${message}`))
      assert.is(codeOf(error), 'InvalidSpec', error.message)
      assert.match(error.message, message)
      assert.not.match(error.message, /hunter2/)
    }
    assert.equal(await secretsIn(world), {})
  }))

test('what deserves a word is said', () =>
  inWindmill('1.558.1', async world => {
    await withType(world, 'mysql', 'w', { properties: {} })
    await withType(world)
    const notes = async (spec: Record<string, unknown>, values: Record<string, unknown> = {}): Promise<unknown> =>
      (await apply(world, spec, texts(values))).compiled.notes
    const unknown = 'resourceType: neither the workspace nor admins had this type when the resource was compared.'
    assert.equal(await notes({ resourceType: 'c_new' }), [unknown])
    assert.equal(await notes({ resourceType: 'mysql', value: { port: '3306' } }), [
      'value: port is a text; SQL jobs need a number.'
    ])
    assert.equal(await notes({ resourceType: 'mysql', value: { port: 3306 } }), [])
    assert.equal(await notes({ isOauth: true }), ['isOauth: OAuth accounts are managed by Windmill; ignored.'])
    assert.equal(await notes({ value: { n: 2 ** 53 } }), ['value: integers beyond 2^53 are rounded.'])
    assert.equal(await notes({ value: { a: '$var:f/a/b', b: { c: '$res:f/a/b' }, d: '$100' } }), [])
    const idle = 'value: $var: and $res: count only as the whole text of a field outside of lists.'
    for (const value of [{ a: ['$var:f/a/b'] }, { a: 'x $var:f/a/b' }, { a: '$var:f/a/b:$var:f/a/c' }]) {
      assert.equal(await notes({ value }), [idle])
    }
    assert.equal(await notes({ valuesFrom: [field('a')] }, { a: 'x\n' }), [
      'valuesFrom a: the text in the Secret ends with a line break, which is kept.'
    ])
  }))

test('the port of a database is a number even where nobody has put the type (trap 17)', () =>
  inWindmill('1.463.2', async world => {
    await world.sql`delete from resource_type`
    await apply(
      world,
      { resourceType: 'postgresql', valuesFrom: [field('port'), field('password')] },
      texts({ port: '5432', password: 'p' })
    )
    assert.equal((await rowAt(world))['value'], { port: 5432, password: '$var:f/a/db' })
  }))

test('literals under names of secrets are masked, references are not', () => {
  const masked = (value: Row[string]): boolean => (view.secrets?.({ value, resourceType: 't' }) ?? []).includes('value')
  assert.is(masked({ a: { api_token: 'x' } }), true)
  assert.is(masked({ secrets: ['x'] }), true)
  assert.is(masked({ password: 123 }), true)
  assert.is(masked({ password: '$var:f/a/b', key: '', private: null, passive: true }), false)
  assert.is(masked({ host: 'h' }), false)
  assert.is(masked(null), false)
})

test('audit entries name every row that changes, as the API would', () => {
  const listed = listedOf(kind)
  const base = { workspace: 'w', path: 'f/a/db', listed }
  const live = {
    resourceType: 't',
    value: { p: '$var:f/a/db' },
    description: null,
    labels: null,
    [`${LINKED}f/a/db`]: 'A',
    [`${LINKED}f/a/db_x`]: 'B'
  }
  const said = (change: Parameters<Kind['audit']>[0]): unknown =>
    view.audit(change, {} as never).map(one => `${one.operation} ${one.resource} ${one.action}`)
  assert.equal(said({ op: 'create', ...base, row: { resourceType: 't', [`${LINKED}f/a/db`]: 'A' } }), [
    'variables.create f/a/db create',
    'resources.create f/a/db create'
  ])
  assert.equal(
    said({
      op: 'update',
      ...base,
      live,
      row: { resourceType: 't', value: { p: '$var:f/a/db' }, [`${LINKED}f/a/db`]: 'C' }
    }),
    ['variables.update f/a/db update']
  )
  const row = { resourceType: 't', value: {}, [`${LINKED}f/a/db`]: null, [`${LINKED}f/a/db_x`]: null }
  assert.equal(said({ op: 'update', ...base, live, row }), [
    'resources.update f/a/db update',
    'variables.delete f/a/db delete',
    'variables.delete f/a/db_x delete'
  ])
  assert.equal(said({ op: 'delete', ...removal('f/a/db', ['f/a/db']) }), [
    'resources.delete f/a/db delete',
    'variables.delete f/a/db delete'
  ])
})

test.run()
