/** Variables at the three schemas: rows, secrets, keys, limits, OAuth accounts, deletion. */
import kindFile from '../src/kinds/variable.ts'
import { type AnyKind, type Context, type Kind, type Removal, targetKey } from '../src/model.ts'
import { cipherKey, decrypt, encrypt } from '../src/windmill/encryption.ts'
import { applyOne, type Done, type Given, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, releases, type World } from './support/windmill.ts'

const test = suite('kind variable')
const kind = kindFile as unknown as AnyKind
const view = kindFile as unknown as Kind

const key = 'k'.repeat(64)
const sealed = (text: string, salt = ''): string => encrypt(cipherKey(key, salt), text)

const fromSecret = { valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }

const apply = (
  { database, context }: World,
  spec: Record<string, unknown>,
  more: Partial<Given> & { context?: Partial<Context> } = {}
): Promise<Done> =>
  applyOne(
    database,
    kind,
    { workspace: 'w', ...more, spec: { path: 'f/a/x', ...spec } },
    { ...context, ...more.context }
  )

const withText = (text: string): Partial<Given> => ({ texts: { 's/k': text } })

const rowAt = async ({ sql }: World, path = 'f/a/x'): Promise<Record<string, unknown>> => {
  const [row] = await sql`select * from variable where workspace_id = 'w' and path = ${path}`
  if (row && 'edited_at' in row)
    row['edited_at'] = Date.now() - (row['edited_at'] as Date).getTime() < 60_000 ? 'now' : 'before'
  return { ...row }
}

const newer = (world: World, values: Record<string, unknown>): Record<string, unknown> =>
  world.variant === '2026-08' ? values : {}

const codeOf = (error: Error): string => (error as { code?: string }).code ?? ''

const removal = (path: string, workspace = 'w'): Removal => {
  const { namespace, name, uid } = listedOf(kind)
  return { workspace, path, fields: [], live: {}, listed: { namespace, name, uid } }
}

const sorted = (map: ReadonlyMap<string, unknown> | undefined): unknown =>
  [...(map ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))

for (const variant of releases) {
  test(`${variant}: a plain variable has every column as the contract says, a second run keeps it`, () =>
    inWindmill(variant, async world => {
      const spec = { value: 'Dätä "q" \'s\' \\ 🔑\n', description: 'what\nfor' }
      const done = await apply(world, spec)
      assert.is(done.op, 'create')
      assert.equal(done.compiled.notes, [])
      assert.equal(await rowAt(world), {
        workspace_id: 'w',
        path: 'f/a/x',
        value: spec.value,
        is_secret: false,
        description: 'what\nfor',
        extra_perms: {},
        account: null,
        is_oauth: false,
        expires_at: null,
        ...newer(world, { labels: null, edited_at: 'now', edited_by: 'iac_controller' })
      })
      const again = await apply(world, spec)
      assert.is(again.op, 'keep')
      assert.is(again.tokenAfter, done.tokenAfter)
    }))

  test(`${variant}: a secret is stored as ciphertext, and is_secret with it (traps 3, 4)`, () =>
    inWindmill(variant, async world => {
      const done = await apply(world, fromSecret, withText('pässwörd-🔑'))
      const row = await rowAt(world)
      assert.equal(
        { value: row['value'], secret: row['is_secret'], description: row['description'] },
        { value: sealed('pässwörd-🔑'), secret: true, description: '' }
      )
      assert.is(decrypt(cipherKey(key, ''), String(row['value'])), 'pässwörd-🔑')
      assert.equal(view.secrets?.(done.row), ['value'])
      assert.is((await apply(world, fromSecret, withText('pässwörd-🔑'))).op, 'keep')
      await apply(world, fromSecret, withText(''))
      assert.is((await rowAt(world))['value'], sealed(''))
      assert.is(String((await rowAt(world))['value']).length, 24)
    }))

  test(`${variant}: the salt of the servers is part of the key (trap 6)`, () =>
    inWindmill(variant, async world => {
      await apply(world, fromSecret, { ...withText('x'), context: { salt: 'pepper' } })
      assert.is((await rowAt(world))['value'], sealed('x', 'pepper'))
    }))

  test(`${variant}: an update leaves what is not stated (trap 21)`, () =>
    inWindmill(variant, async world => {
      await apply(world, { value: 'a', description: 'kept', labels: ['l'] })
      await world.sql`
        update variable set extra_perms = '{"u/ann": true}', expires_at = '2099-01-01', description = 'by hand'`
      if (variant === '2026-08')
        await world.sql`update variable set edited_at = '2020-01-01', edited_by = 'ann', labels = '{m,n}'`
      const done = await apply(world, { value: 'b' })
      assert.is(done.op, 'update')
      assert.is.not(done.tokenAfter, done.tokenBefore)
      const { expires_at: expires, ...row } = await rowAt(world)
      assert.is((expires as Date).getUTCFullYear(), 2099)
      assert.equal(row, {
        workspace_id: 'w',
        path: 'f/a/x',
        value: 'b',
        is_secret: false,
        description: 'by hand',
        extra_perms: { 'u/ann': true },
        account: null,
        is_oauth: false,
        ...newer(world, { labels: ['m', 'n'], edited_at: 'now', edited_by: 'iac_controller' })
      })
    }))

  test(`${variant}: secret and plain turn into each other with their value (trap 5)`, () =>
    inWindmill(variant, async world => {
      await apply(world, { value: 'v' })
      await apply(world, { value: 'v', isSecret: true })
      assert.equal(await rowAt(world).then(row => [row['value'], row['is_secret']]), [sealed('v'), true])
      const done = await apply(world, { ...fromSecret, isSecret: false }, withText('v'))
      assert.equal(await rowAt(world).then(row => [row['value'], row['is_secret']]), ['v', false])
      assert.equal(done.compiled.notes, [
        'isSecret is false: the text from the Secret is stored unencrypted, for all who may see the variable.'
      ])
      assert.equal(done.compiled.masked, ['value'])
    }))

  test(`${variant}: drift by hand is seen and corrected without decrypting`, () =>
    inWindmill(variant, async world => {
      await apply(world, fromSecret, withText('right'))
      for (const set of [
        world.sql`update variable set value = ${sealed('wrong')}`,
        world.sql`update variable set is_secret = false`,
        world.sql`update variable set value = 'plain'`
      ]) {
        await set
        assert.is((await apply(world, fromSecret, withText('right'))).op, 'update')
        assert.equal(await rowAt(world).then(row => [row['value'], row['is_secret']]), [sealed('right'), true])
      }
    }))

  test(`${variant}: descriptions are as long as this Windmill allows`, () =>
    inWindmill(variant, async world => {
      const limit = variant === '1.463.2' ? 255 : 10_000
      const longest = '🔑'.repeat(limit)
      await apply(world, { value: '', description: longest })
      assert.is((await rowAt(world))['description'], longest)
      const error = await rejects(apply(world, { value: '', description: `${'x'.repeat(limit)} ` }))
      assert.is(codeOf(error), 'InvalidSpec')
      assert.is(error.message, `description: this Windmill stores at most ${limit} characters; shorten it.`)
    }))

  test(`${variant}: labels are kept where there is a column, and none is NULL`, () =>
    inWindmill(variant, async world => {
      const labels = ['b', 'a "q"', 'ä{},', 'NULL']
      const done = await apply(world, { value: '', labels })
      if (variant !== '2026-08') {
        assert.equal(done.compiled.notes, ['labels: this Windmill has no such column; ignored.'])
        assert.is(await apply(world, { value: '', labels }).then(one => one.op), 'keep')
        return
      }
      assert.equal((await rowAt(world))['labels'], labels)
      assert.is((await apply(world, { value: '', labels })).op, 'keep')
      assert.is((await apply(world, { value: '', labels: [] })).op, 'update')
      assert.is((await rowAt(world))['labels'], null)
      await world.sql`update variable set labels = '{}'`
      assert.is((await apply(world, { value: '', labels: [] })).op, 'keep')
    }))

  test(`${variant}: variables of OAuth accounts are nobody else's (trap 10)`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      await sql`insert into variable (workspace_id, path, value, account) values ('w', 'f/a/x', 'token', 7)`
      await sql`insert into variable (workspace_id, path, value, is_oauth) values ('w', 'f/a/y', 'token', true)`
      await sql`insert into variable (workspace_id, path, value) values ('w', 'f/a/z', 'mine')`
      const paths = ['f/a/x', 'f/a/y', 'f/a/z']
      const targets = paths.map(path => ({ workspace: 'w', path, fields: [] }))
      const seen = await database.read(tx => view.observe(tx, targets, context))
      assert.equal(
        new Map(seen.map(one => [one.path, one.locked])),
        new Map([
          ['f/a/x', 'Windmill refreshes this variable from an OAuth account; remove the CR or choose another path.'],
          ['f/a/y', 'Windmill refreshes this variable from an OAuth account; remove the CR or choose another path.'],
          ['f/a/z', undefined]
        ])
      )
      await apply(world, { value: 'overwritten' })
      await database.write(async tx =>
        view.remove?.(
          tx,
          paths.map(path => removal(path)),
          context
        )
      )
      assert.equal(
        [...(await sql`select path, value from variable order by path`)],
        [
          { path: 'f/a/x', value: 'token' },
          { path: 'f/a/y', value: 'token' }
        ]
      )
    }))

  test(`${variant}: a delete takes exactly its row (trap 23)`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      for (const path of ['f/a/x', 'f/a/x_y', 'f/a/y']) await apply(world, { path, ...fromSecret }, withText(path))
      await apply(world, { value: 'elsewhere' }, { workspace: 'other' })
      await sql`insert into resource (workspace_id, path, resource_type, value) values ('w', 'f/a/x', 'c_t', '{"a": 1}')`
      if (variant === '2026-08') {
        await sql`
          insert into ws_specific (workspace_id, item_kind, path)
          values ('w', 'variable', 'f/a/x'), ('w', 'resource', 'f/a/x'), ('w', 'variable', 'f/a/y')`
      }
      await database.write(async tx => view.remove?.(tx, [removal('f/a/x')], context))
      const left = await sql`
        select workspace_id || ' ' || path as key from variable
        union all select 'resource ' || path from resource where path = 'f/a/x' order by 1`
      assert.equal(
        left.map(row => row['key']),
        ['other f/a/x', 'resource f/a/x', 'w f/a/x_y', 'w f/a/y']
      )
      if (variant !== '2026-08') return
      assert.equal(
        [...(await sql`select item_kind, path from ws_specific order by 1, 2`)],
        [
          { item_kind: 'resource', path: 'f/a/x' },
          { item_kind: 'variable', path: 'f/a/y' }
        ]
      )
      const [trash, ...more] = await sql`
        select workspace_id, item_kind, item_path, item_data -> 'row' ->> 'value' as value, item_data -> 'linked_resource' as linked,
               array(select jsonb_object_keys(item_data -> 'row') order by 1) as columns,
               deleted_by, expires_at - deleted_at = interval '3 days' as kept
          from trashbin`
      assert.is(more.length, 0)
      const { columns, ...item } = trash ?? {}
      assert.equal(item, {
        workspace_id: 'w',
        item_kind: 'variable',
        item_path: 'f/a/x',
        value: sealed('f/a/x'),
        linked: null,
        deleted_by: 'iac_controller',
        kept: true
      })
      assert.equal(columns, Object.keys(await rowAt(world, 'f/a/y')).sort())
    }))

  test(`${variant}: a variable that resources refer to is not deleted`, () =>
    inWindmill(variant, async world => {
      const { database, context, sql } = world
      const values: readonly (readonly [string, string, string])[] = [
        ['w', 'f/r/b', '{"a": {"b": "$var:f/a/x"}, "n": 1, "z": null}'],
        ['w', 'f/r/a', '{"list": [["$var:f/a/x"]]}'],
        ['w', 'f/r/c', '{"text": "see $var:f/a/y", "more": "$var:f/a/yy"}'],
        ['other', 'f/r/d', '{"a": "$var:f/a/y"}'],
        ['w', 'f/r/e', '"$var:f/a/z"']
      ]
      for (const [workspace, path, value] of values) {
        await sql`insert into resource (workspace_id, path, resource_type, value) values (${workspace}, ${path}, 't', ${value}::text::jsonb)`
      }
      await sql`insert into resource (workspace_id, path, resource_type) values ('w', 'f/r/null', 't')`
      const removals = ['f/a/x', 'f/a/y', 'f/a/z', 'f/a/free'].map(path => removal(path))
      const blocked = await database.read(async tx => view.blockers?.(tx, removals, context))
      const sentence = (resource: string, path: string): string =>
        `Resource ${resource} still refers to it ($var:${path}); change that first.`
      assert.equal(sorted(blocked), [
        [targetKey('w', 'f/a/x'), sentence('f/r/a', 'f/a/x')],
        [targetKey('w', 'f/a/z'), sentence('f/r/e', 'f/a/z')]
      ])
    }))

  test(`${variant}: a workspace without key and secrets gets a key with its first secret, once (§2.5)`, () =>
    inWindmill(variant, async world => {
      const { database, sql } = world
      await sql`delete from workspace_key`
      await apply(world, { value: 'plain' })
      assert.is((await sql`select from workspace_key`).length, 0)
      const context = { ...world.context }
      const secret = (path: string): Promise<Done> =>
        applyOne(database, kind, { workspace: 'w', spec: { path, ...fromSecret }, ...withText('hunter2') }, context)
      await secret('f/a/s')
      const [row, ...more] = await sql`select workspace_id, kind::text as kind, key from workspace_key`
      assert.is(more.length, 0)
      assert.equal({ workspace: row?.['workspace_id'], kind: row?.['kind'] }, { workspace: 'w', kind: 'cloud' })
      assert.match(String(row?.['key']), /^[A-Za-z0-9]{64}$/)
      const { value } = await rowAt(world, 'f/a/s')
      assert.is(decrypt(cipherKey(String(row?.['key']), ''), String(value)), 'hunter2')
      assert.is((await secret('f/a/s')).op, 'keep')
      await secret('f/a/t')
      assert.equal([...(await sql`select key from workspace_key`)], [{ key: row?.['key'] }])
    }))

  test(`${variant}: a key that is missing although there are secrets is an error, of secrets only (trap 30)`, () =>
    inWindmill(variant, async world => {
      await apply(world, fromSecret, withText('x'))
      await world.sql`delete from workspace_key`
      const error = await rejects(apply(world, { path: 'f/a/y', ...fromSecret }, withText('x')))
      assert.is(codeOf(error), 'WorkspaceKeyMissing')
      assert.is((await world.sql`select from workspace_key`).length, 0)
      assert.is((await apply(world, { path: 'f/a/y', value: 'plain' })).op, 'create')
    }))
}

test('a workspace that does not exist yet can be planned', () =>
  inWindmill('1.558.1', async ({ database, context }) => {
    const spec = { path: 'f/a/x', ...fromSecret }
    const input = { listed: listedOf(kind), spec, workspace: 'tomorrow', path: 'f/a/x', text: () => 'hunter2' }
    const facts = await database.read(async sql => view.facts?.(sql, [input], context))
    const { row } = view.compile(input, facts, context)
    assert.equal(Object.keys(row).sort(), ['isSecret', 'value'])
    assert.is(row['isSecret'], true)
  }))

test('a key that changed since the value was encrypted stops the write (trap 7)', () =>
  inWindmill('1.558.1', async ({ database, context, sql }) => {
    const spec = { path: 'f/a/x', ...fromSecret }
    const listed = listedOf(kind)
    const input = { listed, spec, workspace: 'w', path: 'f/a/x', text: () => 'hunter2' }
    const facts = await database.read(async tx => view.facts?.(tx, [input], context))
    const { row, guard = '' } = view.compile(input, facts, context)
    const write = { op: 'create', workspace: 'w', path: 'f/a/x', row, guard, listed } as const
    await sql`update workspace_key set key = ${'z'.repeat(64)} where workspace_id = 'w'`
    const error = await rejects(database.write(tx => view.write(tx, [write], context)))
    assert.is(codeOf(error), 'WorkspaceKeyChanged')
    assert.not.match(error.message, /zzz|kkk|hunter2/)
    assert.is((await sql`select from variable`).length, 0)
    assert.not.match(guard, /kkk/)
  }))

test('batches that run side by side agree on a key that was missing', () =>
  inWindmill('2026-08', async ({ database, context, sql }) => {
    await sql`delete from workspace_key`
    const one = (path: string): Promise<Done> =>
      applyOne(database, kind, { workspace: 'w', spec: { path, ...fromSecret }, ...withText('hunter2') }, context)
    await Promise.all(['f/a/1', 'f/a/2', 'f/a/3', 'f/a/4'].map(one))
    const [row, ...more] = await sql`select key from workspace_key`
    assert.is(more.length, 0)
    const values = await sql`select value from variable`
    assert.is(values.length, 4)
    const key = cipherKey(String(row?.['key']), '')
    for (const { value } of values) assert.is(decrypt(key, String(value)), 'hunter2')
  }))

test('while secrets are being written the key cannot be rotated', () =>
  inWindmill('1.558.1', async ({ database, context, sql }) => {
    const spec = { path: 'f/a/x', ...fromSecret }
    const listed = listedOf(kind)
    const input = { listed, spec, workspace: 'w', path: 'f/a/x', text: () => 'hunter2' }
    const facts = await database.read(async tx => view.facts?.(tx, [input], context))
    const { row, guard = '' } = view.compile(input, facts, context)
    await database.write(async tx => {
      await view.write(tx, [{ op: 'create', workspace: 'w', path: 'f/a/x', row, guard, listed }], context)
      const blocked = await rejects(async () => {
        await sql.begin(async other => {
          await other`set local lock_timeout = '100ms'`
          await other`update workspace_key set key = 'other' where workspace_id = 'w'`
        })
      })
      assert.is(codeOf(blocked), '55P03')
    })
  }))

test('existing secrets prove key and salt before anything is written (§2.6)', () =>
  inWindmill('2026-08', async ({ database, context, sql }) => {
    const prove = (workspaces: readonly string[], salt = ''): Promise<void> =>
      database.read(async tx => view.preflight?.(tx, workspaces, { ...context, salt }))
    await prove(['w', 'other', 'nowhere'], 'anything')
    const put = (path: string, value: string, account: number | null = null) =>
      sql`insert into variable (workspace_id, path, value, is_secret, account) values ('w', ${path}, ${value}, true, ${account})`
    await put('f/a/empty', '')
    await put('f/a/marker', '$vault:f/a/marker')
    await put('f/a/oauth', 'whatever', 1)
    await prove(['w'], 'anything')
    for (let index = 0; index < 25; index++) await put(`f/a/s${index}`, sealed(`secret ${index}`))
    await prove(['w', 'other'])
    const error = await rejects(prove(['other', 'w'], 'pepper'))
    assert.is(codeOf(error), 'WrongEncryptionKey')
    assert.is(
      error.message,
      'No existing secret of w can be decrypted; SECRET_SALT must equal that of the Windmill servers (unset if they have none).'
    )
    await put('f/a/a', sealed('one that fits', 'pepper'))
    await prove(['w'], 'pepper')
    await sql`delete from workspace_key`
    await prove(['w'], 'salt')
  }))

test('an external backend refuses secrets and nothing else (trap 9)', () =>
  inWindmill('2026-08', async world => {
    const { sql } = world
    const set = async (value: string): Promise<void> => {
      await sql`delete from global_settings where name = 'secret_backend'`
      await sql`insert into global_settings (name, value) values ('secret_backend', ${value}::text::jsonb)`
    }
    for (const inside of ['{"type": "Database"}', '{"kind": "HashiCorpVault"}', '"AzureKeyVault"', 'null']) {
      await set(inside)
      await apply(world, fromSecret, withText(inside))
    }
    await set('{"type": "HashiCorpVault", "address": "https://vault"}')
    const error = await rejects(apply(world, fromSecret, withText('x')))
    assert.is(codeOf(error), 'ExternalSecretBackend')
    assert.is((await apply(world, { path: 'f/a/plain', value: 'x' })).op, 'create')
    await set('{"type": "Database"}')
    await sql`insert into variable (workspace_id, path, value, is_secret) values ('w', 'f/a/m', '$aws_sm:f/a/m', true)`
    assert.is(codeOf(await rejects(apply(world, fromSecret, withText('x')))), 'ExternalSecretBackend')
    assert.is((await apply(world, fromSecret, { ...withText('x'), workspace: 'other' })).op, 'create')
  }))

test('limits: bytes for a secret, characters for a plain value, trailing blanks included (trap 8)', () =>
  inWindmill('1.558.1', async world => {
    await apply(world, fromSecret, withText('é'.repeat(5623)))
    assert.is(String((await rowAt(world))['value']).length, 15_000)
    const secret = await rejects(apply(world, fromSecret, withText('é'.repeat(5624))))
    assert.is(secret.message, 'value: a secret may have at most 11247 bytes of UTF-8; store less.')
    await apply(world, { value: '🔑'.repeat(15_000) })
    assert.is(Array.from(String((await rowAt(world))['value'])).length, 15_000)
    const blanks = await rejects(apply(world, { value: `${'x'.repeat(15_000)} ` }))
    assert.is(blanks.message, 'value: this Windmill stores at most 15000 characters; shorten it.')
    for (const error of [secret, blanks]) assert.is(codeOf(error), 'InvalidSpec')
  }))

test('what is wrong or deserves a word is said', () =>
  inWindmill('1.558.1', async world => {
    assert.match((await rejects(apply(world, {}))).message, /^value and valueFrom: /)
    assert.match((await rejects(apply(world, { value: 'a', ...fromSecret }))).message, /^value and valueFrom: /)
    const nul = await rejects(apply(world, { ...fromSecret, isSecret: false }, withText('a\0b')))
    assert.match(nul.message, /^value: .* NUL/)
    const sealed = await rejects(apply(world, fromSecret, withText('a\0b')))
    assert.match(sealed.message, /^value: .* NUL/)
    const notes = async (spec: Record<string, unknown>, text = ''): Promise<unknown> =>
      (await apply(world, spec, withText(text))).compiled.notes
    const oauth = 'OAuth accounts are managed by Windmill; ignored.'
    assert.equal(await notes({ value: '', isOauth: true }), [`isOauth: ${oauth}`])
    assert.equal(await notes({ value: '', isOauth: false, accountId: 3 }), [`accountId: ${oauth}`])
    assert.equal(await notes({ value: '', isOauth: true, accountId: 0 }), [`isOauth, accountId: ${oauth}`])
    assert.equal(await notes(fromSecret, 'one line\n'), [
      'value: the text in the Secret ends with a line break, which is kept.'
    ])
    assert.equal(await notes(fromSecret, '-----BEGIN\nPEM\n'), [])
    assert.equal(await rowAt(world).then(row => [row['is_oauth'], row['account']]), [false, null])
    const context = {
      linkedBy: (_: string, path: string) => (path === 'f/a/x' ? 'WindmillResource test/db' : undefined)
    }
    const taken = await rejects(apply(world, { value: '' }, { context }))
    assert.is(codeOf(taken), 'TakenBySomebodyElse')
    assert.match(taken.message, /^WindmillResource test\/db generates/)
  }))

test('audit entries carry the names of the API', () => {
  const base = { workspace: 'w', path: 'f/a/x', row: {}, listed: listedOf(kind) }
  const entry = (action: string) => [{ operation: `variables.${action}`, action, resource: 'f/a/x' }]
  assert.equal(view.audit({ op: 'create', ...base }, {} as never), entry('create'))
  assert.equal(view.audit({ op: 'update', ...base }, {} as never), entry('update'))
  assert.equal(view.audit({ op: 'delete', ...removal('f/a/x') }, {} as never), entry('delete'))
})

test.run()
