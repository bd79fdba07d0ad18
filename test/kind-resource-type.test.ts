/** Resource types at the three schemas: rows, files and filesets, names that shadow others, deletion while in use. */
import kindFile from '../src/kinds/resource-type.ts'
import { type AnyKind, type Kind, type Removal, targetKey, type Write } from '../src/model.ts'
import { applyOne, type Done, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, releases, type World } from './support/windmill.ts'

const test = suite('kind resource-type')
const kind = kindFile as unknown as AnyKind
const view = kindFile as unknown as Kind

const apply = ({ database, context }: World, spec: Record<string, unknown>, workspace = 'w'): Promise<Done> =>
  applyOne(database, kind, { spec, workspace }, context)

const rowAt = async ({ sql }: World, name: string, workspace = 'w'): Promise<Record<string, unknown>> => {
  const [row] = await sql`
    select *, jsonb_typeof(schema) as shape, edited_at > now() - interval '1 minute' as fresh
      from resource_type where workspace_id = ${workspace} and name = ${name}`
  const { edited_at: _, ...rest } = row ?? {}
  return rest
}

const newer = (world: World, values: Record<string, unknown>): Record<string, unknown> =>
  world.variant === '2026-08' ? values : {}

const removal = (path: string, workspace = 'w'): Removal => {
  const { namespace, name, uid } = listedOf(kind)
  return { workspace, path, fields: [], live: {}, listed: { namespace, name, uid } }
}

const schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    host: { type: 'string', description: 'ünïcode "quoted" \'single\' \\ back' },
    port: { type: 'integer', default: 5432, maximum: 1e21, minimum: -0.000001 },
    password: { type: 'string', password: true, default: null }
  },
  required: [],
  order: ['port', 'host', 'password']
}

const sorted = (map: ReadonlyMap<string, unknown> | undefined): unknown =>
  [...(map ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))

for (const variant of releases) {
  test(`${variant}: a new type has every column as the contract says, a second run keeps it`, () =>
    inWindmill(variant, async world => {
      const done = await apply(world, { name: 'c_db', schema, description: 'Dätä\n🔑' })
      assert.is(done.op, 'create')
      assert.equal(done.compiled.notes, [])
      assert.equal(await rowAt(world, 'c_db'), {
        workspace_id: 'w',
        name: 'c_db',
        schema,
        shape: 'object',
        description: 'Dätä\n🔑',
        created_by: 'iac_controller',
        format_extension: null,
        fresh: true,
        ...newer(world, { is_fileset: false })
      })
      const { order, ...rest } = schema
      const again = await apply(world, { description: 'Dätä\n🔑', schema: { order, ...rest }, name: 'c_db' })
      assert.is(again.op, 'keep')
      assert.is(again.tokenBefore, done.tokenAfter)
      assert.is(again.tokenAfter, done.tokenAfter)
    }))

  test(`${variant}: an update leaves what is not stated, and who made the type`, () =>
    inWindmill(variant, async world => {
      await world.sql`
        insert into resource_type (workspace_id, name, schema, description, created_by, format_extension, edited_at)
        values ('w', 'c_x', '{"properties": {}}', 'kept', 'ann', 'txt', '2020-01-01')`
      const done = await apply(world, { name: 'c_x', schema: { properties: { a: {} } } })
      assert.is(done.op, 'update')
      assert.is.not(done.tokenAfter, done.tokenBefore)
      const row = await rowAt(world, 'c_x')
      assert.equal(
        { description: row['description'], by: row['created_by'], file: row['format_extension'], fresh: row['fresh'] },
        { description: 'kept', by: 'ann', file: 'txt', fresh: true }
      )
      assert.equal(row['schema'], { properties: { a: {} } })
    }))

  test(`${variant}: drift and a missing schema are seen and corrected`, () =>
    inWindmill(variant, async world => {
      await apply(world, { name: 'c_x', schema, formatExtension: 'json' })
      await world.sql`update resource_type set schema = null, format_extension = null where name = 'c_x'`
      const done = await apply(world, { name: 'c_x', schema, formatExtension: 'json' })
      assert.is(done.op, 'update')
      const row = await rowAt(world, 'c_x')
      assert.equal({ schema: row['schema'], file: row['format_extension'] }, { schema, file: 'json' })
    }))

  test(`${variant}: a fileset is no file; where there are none, it is said`, () =>
    inWindmill(variant, async world => {
      await apply(world, { name: 'c_f', schema, formatExtension: 'json' })
      const done = await apply(world, { name: 'c_f', schema, fileset: true })
      const row = await rowAt(world, 'c_f')
      if (variant === '2026-08') {
        assert.equal({ file: row['format_extension'], fileset: row['is_fileset'] }, { file: null, fileset: true })
        assert.equal(done.compiled.notes, [])
        const back = await apply(world, { name: 'c_f', schema, formatExtension: 'txt' })
        assert.equal(
          { file: back.row['formatExtension'], fileset: back.row['fileset'] },
          { file: 'txt', fileset: false }
        )
      } else {
        assert.is(row['format_extension'], 'json')
        assert.equal(done.compiled.notes, ['fileset: this Windmill has no such column; ignored.'])
        assert.is(done.op, 'keep')
      }
    }))

  test(`${variant}: many rows take two statements, and each only its own fields`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      await sql`insert into resource_type (workspace_id, name, schema, description) values ('w', 'a', '{}', 'a'), ('w', 'b', '{}', 'b')`
      const write = (path: string, op: 'create' | 'update', row: Write['row']): Write => ({
        op,
        workspace: 'w',
        path,
        row,
        listed: listedOf(kind)
      })
      await database.write(tx =>
        view.write(
          tx,
          [
            write('a', 'update', { schema: { n: 1 } }),
            write('b', 'update', { description: null }),
            write('c', 'create', { schema: { n: 3 } })
          ],
          context
        )
      )
      assert.equal(
        [...(await sql`select name, schema, description from resource_type where workspace_id = 'w' order by name`)],
        [
          { name: 'a', schema: { n: 1 }, description: 'a' },
          { name: 'b', schema: {}, description: null },
          { name: 'c', schema: { n: 3 }, description: null }
        ]
      )
    }))

  test(`${variant}: a type in use is not deleted, one of admins not while any workspace uses it`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      await sql`insert into workspace (id, name, owner) values ('admins', 'admins', 'x') on conflict do nothing`
      await sql`insert into resource_type (workspace_id, name) values ('w', 'c_a'), ('w', 'c_b'), ('admins', 'c_b'), ('admins', 'c_c')`
      await sql`
        insert into resource (workspace_id, path, resource_type)
        values ('w', 'f/a/z', 'c_a'), ('w', 'f/a/b', 'c_a'), ('other', 'f/x/y', 'c_b')`
      const removals = [removal('c_a'), removal('c_b'), removal('c_b', 'admins'), removal('c_c', 'admins')]
      const blocked = await database.read(async tx => view.blockers?.(tx, removals, context))
      assert.equal(sorted(blocked), [
        [targetKey('admins', 'c_b'), 'Resources have this type (other: f/x/y); delete or change them first.'],
        [targetKey('w', 'c_a'), 'Resources have this type (w: f/a/b); delete or change them first.']
      ])
      await database.write(async tx => view.remove?.(tx, [removal('c_b')], context))
      const left =
        await sql`select workspace_id || '/' || name as key from resource_type where name like 'c\\_%' order by 1`
      assert.equal(
        left.map(row => row['key']),
        ['admins/c_b', 'admins/c_c', 'w/c_a']
      )
      assert.is((await sql`select from resource where resource_type like 'c\\_%'`).length, 3)
    }))
}

test('the name of a type that another one shadows, or that scripts cannot write, is pointed out', () =>
  inWindmill('1.558.1', async world => {
    await world.sql`insert into workspace (id, name, owner) values ('admins', 'admins', 'x') on conflict do nothing`
    await world.sql`insert into resource_type (workspace_id, name) values ('admins', 'c_up'), ('other', 'c_down'), ('other', 'c_side')`
    const snake = 'name: not in snake_case, so typed signatures of scripts cannot name this type.'
    const shadow = (where: string): string =>
      `name: ${where} has a type of the same name, and Windmill takes either of the two; rename one.`
    assert.equal((await apply(world, { name: 'c_up', schema })).compiled.notes, [shadow('workspace admins')])
    assert.equal((await apply(world, { name: 'c_side', schema })).compiled.notes, [])
    assert.equal((await apply(world, { name: 'c_down', schema }, 'admins')).compiled.notes, [
      shadow('another workspace')
    ])
    assert.equal((await apply(world, { name: 'C-Db', schema })).compiled.notes, [snake])
    assert.equal((await apply(world, { name: 'c_bare', schema: {} })).compiled.notes, [
      "schema: without properties Windmill's editor shows no fields."
    ])
    assert.equal((await apply(world, { name: 'c_file', schema: {}, formatExtension: 'txt' })).compiled.notes, [])
  }))

test('what Windmill could not store is refused with the name of the field', () =>
  inWindmill('2026-08', async world => {
    let deep: unknown = {}
    for (let level = 0; level < 200; level++) deep = { deep }
    const cases: readonly (readonly [spec: Record<string, unknown>, message: RegExp])[] = [
      [{ schema, formatExtension: '.txt' }, /^formatExtension: /],
      [{ schema, formatExtension: 'x'.repeat(21) }, /^formatExtension: .* 20 characters/],
      [{ schema, formatExtension: 'txt', fileset: true }, /^formatExtension and fileset exclude/],
      [{ schema: { deep } }, /^schema: more than 100 levels/],
      [{ schema: { properties: {}, default: 'a\0b' } }, /^schema: .* NUL/],
      [{ schema: { properties: {}, default: '\ud800' } }, /^schema: .* surrogate/]
    ]
    for (const [spec, message] of cases) {
      const error = await rejects(apply(world, { name: 'c_x', ...spec }))
      assert.is((error as { code?: string }).code, 'InvalidSpec')
      assert.match(error.message, message)
    }
  }))

test('audit entries carry the names of the API', () => {
  const base = { workspace: 'w', path: 'c_x', row: {}, listed: listedOf(kind) }
  const entry = (action: string) => [{ operation: `resource_types.${action}`, action, resource: 'c_x' }]
  assert.equal(view.audit({ op: 'create', ...base }, {} as never), entry('create'))
  assert.equal(view.audit({ op: 'update', ...base }, {} as never), entry('update'))
  assert.equal(view.audit({ op: 'delete', ...removal('c_x') }, {} as never), entry('delete'))
})

test.run()
