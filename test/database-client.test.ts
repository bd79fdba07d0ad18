/** Addresses, connections, transactions, role and run lock, on a real server. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type ConnectOptions, connect, type Database } from '../src/database/client.ts'
import { withoutValues, withRetries } from '../src/database/failures.ts'
import { parseAddress } from '../src/database/url.ts'
import { SyncError } from '../src/errors.ts'
import { type TestDatabase, withDatabase } from './support/database.ts'
import { assert, rejects, suite } from './support/suite.ts'

const addresses = suite('addresses')

const secret = 'hunter2'
type Expected = Partial<ReturnType<typeof parseAddress>> & { host?: string; port?: number; socket?: string }
const forms: readonly [name: string, text: string, expected: Expected][] = [
  [
    'a plain URL',
    'postgres://me:hunter2@db:5433/windmill',
    { host: 'db', port: 5433, user: 'me', password: secret, database: 'windmill', shown: 'db:5433/windmill' }
  ],
  [
    'the long scheme and the default port',
    'postgresql://me@db/windmill',
    { host: 'db', port: 5432, password: undefined }
  ],
  ['no database: that of the user', 'postgres://me@db', { database: 'me' }],
  ['a percent-encoded password', 'postgres://me:p%40ss%2Fw%3Ard%25@db/w', { password: 'p@ss/w:rd%' }],
  ['an @ forgotten in the password', 'postgres://me:p@ss@db/w', { password: 'p@ss', host: 'db' }],
  ['a plus is a plus', 'postgres://me:a+b@db/w', { password: 'a+b' }],
  ['IPv6', 'postgres://me@[::1]:5433/w', { host: '::1', port: 5433, shown: '[::1]:5433/w' }],
  [
    'an encoded socket directory',
    'postgres://me@%2Frun%2Fpg:5433/w',
    { socket: '/run/pg/.s.PGSQL.5433', tls: undefined }
  ],
  [
    'a socket directory in the query',
    'postgres:///w?host=/run/pg&user=me',
    { socket: '/run/pg/.s.PGSQL.5432', user: 'me' }
  ],
  ['host and port in the query win', 'postgres://me@db:1/w?host=other&port=2', { host: 'other', port: 2 }],
  ['hostaddr beside the name', 'postgres://me@db/w?hostaddr=10.0.0.1', { host: 'db' }],
  [
    'search_path in options',
    'postgres://me@db/w?options=-c%20search_path%3Da%2Cb',
    { settings: [['search_path', 'a,b']] }
  ],
  [
    'several options',
    'postgres://me@db/w?options=-csearch_path=a%20--work-mem=8MB',
    {
      settings: [
        ['search_path', 'a'],
        ['work_mem', '8MB']
      ]
    }
  ],
  [
    'a space in an option',
    'postgres://me@db/w?options=-c%20search_path=a,%5C%20b',
    { settings: [['search_path', 'a, b']] }
  ],
  [
    'options as Windmill spells them',
    'postgres://me@db/w?options[search_path]=a',
    { settings: [['search_path', 'a']] }
  ],
  [
    'time limits and names',
    'postgres://me@db/w?connect_timeout=3&application_name=x',
    { connectTimeoutMs: 3000, applicationName: 'x' }
  ],
  [
    'keyword/value text',
    `host=db port=5433 dbname=windmill user=me password='hun\\'ter 2'`,
    { host: 'db', port: 5433, password: `hun'ter 2`, database: 'windmill' }
  ],
  ['keyword/value with spaces around =', `host = db user = me`, { host: 'db', user: 'me' }],
  [
    'harmless parameters',
    'postgres://me@db/w?statement-cache-capacity=10&tcp_user_timeout=5&client_encoding=utf8',
    { host: 'db' }
  ],
  ['keepalives off', 'postgres://me@db/w?keepalives=0', { keepAliveMs: 0 }],
  ['primary wanted', 'postgres://me@a,b/w?target_session_attrs=primary', { session: 'read-write' }]
]

for (const [name, text, { host, port, socket, ...expected }] of forms) {
  addresses(name, () => {
    const address = parseAddress(text)
    const [first] = address.endpoints
    if (host !== undefined) assert.is(first?.host, host)
    if (port !== undefined) assert.is(first?.port, port)
    if (socket !== undefined) assert.is(first?.socket, socket)
    for (const [key, value] of Object.entries(expected)) assert.equal(address[key as keyof typeof address], value, key)
    assert.not.match(address.shown, secret)
  })
}

addresses('several hosts keep their ports', () => {
  const address = parseAddress('postgres://me@a:1,b,[::2]:3/w')
  assert.equal(
    address.endpoints.map(one => [one.host, one.port]),
    [
      ['a', 1],
      ['b', 5432],
      ['::2', 3]
    ]
  )
  assert.is(address.shown, 'a:1,b:5432,[::2]:3/w')
  assert.equal(
    parseAddress('postgres://me@a,b/w?port=7').endpoints.map(one => one.port),
    [7, 7]
  )
})

addresses('sslmode', () => {
  const mode = (query: string) => parseAddress(`postgres://me@db/w?${query}`).tls?.mode
  const directory = mkdtempSync(join(tmpdir(), 'windmill-iac-ca-'))
  const ca = join(directory, 'ca.pem')
  writeFileSync(ca, 'x')
  try {
    const table: readonly [string, string | undefined][] = [
      ['', 'prefer'],
      ['sslmode=disable', undefined],
      ['sslmode=allow', 'prefer'],
      ['sslmode=prefer', 'prefer'],
      ['sslmode=require', 'require'],
      ['ssl-mode=require', 'require'],
      ['sslmode=verify-ca', 'verify-ca'],
      ['sslmode=verify-full', 'verify-full'],
      [`sslrootcert=${ca}`, 'verify-ca'],
      [`sslmode=require&sslrootcert=${ca}`, 'verify-ca'],
      [`sslmode=verify-full&ssl-root-cert=${ca}`, 'verify-full'],
      ['sslrootcert=system', 'verify-full'],
      [`sslmode=disable&sslrootcert=${ca}`, undefined]
    ]
    for (const [query, expected] of table) assert.is(mode(query), expected, query)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

const faults: readonly string[] = [
  '',
  'hunter2',
  'mysql://me:hunter2@db/w',
  'postgres+unix://me:hunter2@db/w',
  'postgres://me:hun/ter2@db/w',
  'postgres://me:hunter2/x@db/w',
  'postgres://me:hunter2%zz@db/w',
  'postgres://me:hunter2%00@db/w',
  'postgres://me:hunter2@db:port/w',
  'postgres://me:hunter2@db:70000/w',
  'postgres://me:hunter2@[::1/w',
  'postgres://me:hunter2@db/w?sslmode=maybe',
  'postgres://me:hunter2@db/w?sslrootcert=/nowhere/ca.pem',
  'postgres://me:hunter2@db/w?sslmode=require&sslrootcert=system',
  'postgres://me:hunter2@db/w?sslmode=require&sslcert=/dev/null',
  'postgres://me:hunter2@db/w?statement_timeout=5',
  'postgres://me:hunter2@db/w?passfile=/x',
  'postgres://me:hunter2@db/w?channel_binding=require',
  'postgres://me:hunter2@db/w?client_encoding=latin1',
  'postgres://me:hunter2@db/w?options=-W',
  'postgres://me:hunter2@db/w?connect_timeout=soon',
  'postgres://me:hunter2@db/w?target_session_attrs=fast',
  'postgres://me:hunter2@a,b,c/w?port=1,2',
  'postgres://me:hunter2@db/w?hunter2',
  `host=db password='hunter2`,
  'host=db password=hunter2 nonsense',
  'host=db passwort=hunter2'
]
addresses('what is unusable is named, never quoted', () => {
  for (const text of faults) {
    let thrown: unknown
    try {
      parseAddress(text)
    } catch (error) {
      thrown = error
    }
    assert.instance(thrown, SyncError, text)
    assert.is((thrown as SyncError).code, 'ConfigInvalid', text)
    assert.not.match(inspect(thrown, { showHidden: true }).replace(/^\s+at .*$/gm, ''), /hunter2|hun\/ter2|ter2/, text)
  }
})

addresses.run()

const client = suite('client')

/** A client of its own, closed whatever happens. */
async function using<T>(
  url: string,
  work: (database: Database) => Promise<T>,
  options: ConnectOptions = {}
): Promise<T> {
  const database = await connect(url, { reachableWithinMs: 5000, ...options })
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}

async function code(work: Promise<unknown>): Promise<string> {
  const error = await rejects(work)
  return error instanceof SyncError ? error.code : `${error.name}: ${error.message}`
}

client('values come and go as they should', () =>
  withDatabase('2026-08', ({ url }) =>
    using(url, async database => {
      const row = await database.read(async sql => {
        const [found] = await sql`
          select ${{ a: [1, null] } as never}::jsonb as object, ${'{"b": 1.50}'}::json as text, '"s"'::jsonb as string,
                 ${undefined as never}::text as nothing, timestamp '2026-01-02 03:04:05' as local,
                 ${['x', 'y,"z', '', 'NULL', 'b\\s{}']}::text[] as list, array[null, 'NULL']::varchar[] as nulls,
                 '{}'::text[] as none, array[-9007199254740993]::bigint[] as bigs, 9007199254740993::bigint as big, current_setting('timezone') as zone,
                 'null'::jsonb as "jsonNull"`
        return found
      })
      assert.equal(row?.['object'], { a: [1, null] })
      assert.equal(row?.['text'], { b: 1.5 })
      assert.is(row?.['string'], 's')
      assert.is(row?.['nothing'], null)
      assert.is(row?.['jsonNull'], null)
      assert.equal(row?.['local'], new Date('2026-01-02T03:04:05.000Z'))
      assert.equal(row?.['list'], ['x', 'y,"z', '', 'NULL', 'b\\s{}'])
      assert.equal(row?.['nulls'], [null, 'NULL'])
      assert.equal(row?.['none'], [])
      assert.equal(row?.['bigs'], ['-9007199254740993'])
      assert.is(row?.['big'], '9007199254740993')
      assert.is(row?.['zone'], 'UTC')
    })
  )
)

client('an error holds no value, wherever it is caught', () =>
  withDatabase('2026-08', ({ url }) =>
    using(url, async database => {
      const canary = 'CANARY-7f3a'
      const long = canary.repeat(200)
      const clean = (error: unknown): SyncError => {
        const shown =
          inspect(error, { depth: 10, showHidden: true, getters: true }) +
          JSON.stringify(error) +
          (error as Error).stack
        assert.not.match(shown, 'CANARY')
        assert.instance(error, SyncError)
        assert.is((error as Error).cause, undefined)
        return error as SyncError
      }
      const statements: readonly [Parameters<Database['write']>[0], string, RegExp][] = [
        [
          sql => sql`insert into group_ (workspace_id, name, summary) values ('admins', 'all', ${canary})`,
          'WriteRejected',
          /already exists.*group_.*group__pkey/
        ],
        [
          sql =>
            sql`insert into variable (workspace_id, path, value, description) values (${canary}, 'u/a/b', ${canary}, '')`,
          'WriteRejected',
          /23503/
        ],
        [
          sql =>
            sql`insert into variable (workspace_id, path, value, description) values ('admins', ${canary}, ${canary}, '')`,
          'WriteRejected',
          /23514.*proper_id/
        ],
        [
          sql =>
            sql`insert into variable (workspace_id, path, value, description) values ('admins', null, ${canary}, '')`,
          'WriteRejected',
          /23502.*column path/
        ],
        [
          sql =>
            sql`insert into variable (workspace_id, path, value, description) values ('admins', ${`u/a/${long}`}, 'v', '')`,
          'WriteRejected',
          /at most 255 characters/
        ],
        [
          sql =>
            sql`insert into resource (workspace_id, path, resource_type, value) values ('admins', 'u/a/b', 'x', ${`{${canary}`}::jsonb)`,
          'WriteRejected',
          /22P02/
        ],
        [sql => sql`select ${canary}::int`, 'WriteRejected', /22P02/],
        [sql => sql`select * from ${sql(canary)}`, 'SchemaUnknown', /42P01/],
        [
          sql => sql.unsafe(`do $$ begin raise exception '${canary}' using detail = '${canary}'; end $$`),
          'WriteRejected',
          /P0001/
        ]
      ]
      for (const [statement, expected, text] of statements) {
        let inside: unknown
        const outside = await rejects(
          database.write(async sql => {
            try {
              await statement(sql)
            } catch (error) {
              inside = error
              throw error
            }
          })
        )
        for (const error of [inside, outside].map(clean)) {
          assert.is(error.code, expected)
          assert.match(error.message, text)
        }
        const point = await database.write(sql =>
          sql
            .savepoint(inner => statement(inner))
            .then(
              () => undefined,
              (error: unknown) => error
            )
        )
        assert.is(clean(point).code, expected)
      }
      const big = await rejects(database.write(sql => sql`select ${{ [canary]: 1n } as never}::jsonb`))
      clean(big)
      assert.is(await database.read(async sql => (await sql`select 1 as one`)[0]?.['one']), 1)
    })
  )
)

client('a failed statement fails the transaction even when nobody looked', () =>
  withDatabase('2026-08', ({ url, sql: look }) =>
    using(url, async database => {
      const error = await rejects(
        database.write(async sql => {
          await sql`insert into group_ (workspace_id, name) values ('admins', 'g1')`
          await sql`select 1/0`.catch(() => {})
        })
      )
      assert.match(error.message, '22012')
      const chain = await rejects(
        database.write(async sql => {
          await sql`select 1/0`.catch(() => {})
          await sql`select 1`
        })
      )
      assert.match(chain.message, '22012')
      assert.is((await look`select from group_ where name = 'g1'`).length, 0)
    })
  )
)

client('a savepoint keeps the rest of the transaction', () =>
  withDatabase('2026-08', ({ url, sql: look }) =>
    using(url, async database => {
      await database.write(async sql => {
        await sql`insert into group_ (workspace_id, name) values ('admins', 'g1')`
        await sql
          .savepoint(async inner => {
            await inner`insert into group_ (workspace_id, name) values ('admins', 'g2')`
            await inner.savepoint(again => again`insert into group_ (workspace_id, name) values ('admins', 'g1')`)
          })
          .catch(() => {})
        await sql.savepoint(inner => inner`insert into group_ (workspace_id, name) values ('admins', 'g3')`)
      })
      const rows = await look`select name from group_ where name like 'g%' order by name`
      assert.equal(
        rows.map(row => row['name']),
        ['g1', 'g3']
      )
    })
  )
)

client('reads see one snapshot and cannot write', () =>
  withDatabase('2026-08', ({ url, sql: look }) =>
    using(url, async database => {
      const counts = await database.read(async sql => {
        const count = async () => (await sql`select count(*)::int as n from group_`)[0]?.['n'] as number
        const before = await count()
        await look`insert into group_ (workspace_id, name) values ('admins', 'late')`
        return [before, await count()]
      })
      assert.is(counts[0], counts[1])
      assert.is(
        await code(database.read(sql => sql`insert into group_ (workspace_id, name) values ('admins', 'x')`)),
        'DatabaseNotAllowed'
      )
    })
  )
)

client('a plan cannot write', () =>
  withDatabase('2026-08', ({ url }) =>
    using(
      url,
      async database => {
        let begun = false
        const work = async () => {
          begun = true
        }
        assert.is(await code(database.write(work)), 'DatabaseFailed')
        assert.is(await code(database.asLogin(work)), 'DatabaseFailed')
        assert.is(begun, false)
        const lock = await database.lock(0, 100)
        await lock.release()
      },
      { readOnly: true }
    )
  )
)

client('time limits hold, and are transient', () =>
  withDatabase('2026-08', ({ url, sql: look }) =>
    using(
      url,
      async database => {
        const slow = await rejects(database.read(sql => sql`select pg_sleep(5)`))
        assert.is((slow as SyncError).code, 'DatabaseFailed')
        assert.ok((slow as SyncError).transient)
        await look.begin(async other => {
          await other`select from workspace where id = 'admins' for update`
          const blocked = (await rejects(
            database.write(sql => sql`update workspace set name = 'x' where id = 'admins'`)
          )) as SyncError
          assert.is(blocked.code, 'DatabaseBusy')
          assert.ok(blocked.transient)
        })
        const idle = (await rejects(
          database.write(async sql => {
            await sql`select 1`
            await sleep(700)
            await sql`select 1`
          })
        )) as SyncError
        assert.is(idle.code, 'DatabaseUnreachable')
        assert.is(await database.read(async sql => (await sql`select 1 as one`)[0]?.['one']), 1)
      },
      { limits: { statementMs: 400, lockMs: 100, idleMs: 300 } }
    )
  )
)

client('after a lost connection nothing runs outside of a transaction', () =>
  withDatabase('2026-08', ({ url, sql: look }) =>
    using(url, async database => {
      const kill = (pid: unknown) => look`select pg_terminate_backend(${pid as number})`
      for (const pause of [0, 50]) {
        const lost = (await rejects(
          database.write(async sql => {
            const [me] =
              await sql`insert into group_ (workspace_id, name) values ('admins', 'a') returning pg_backend_pid() as pid`
            await kill(me?.['pid'])
            await sleep(pause)
            await sql`insert into group_ (workspace_id, name) values ('admins', 'b')`.catch(() => {})
            await sql`insert into group_ (workspace_id, name) values ('admins', 'c')`
          })
        )) as SyncError
        assert.is(lost.code, 'DatabaseUnreachable')
        assert.ok(lost.transient)
        assert.is((await look`select from group_ where name in ('a', 'b', 'c')`).length, 0)
      }
      const [idle] = await database.read(sql => sql`select pg_backend_pid() as pid`)
      await kill(idle?.['pid'])
      await sleep(50)
      assert.is((await database.write(sql => sql`select 1 as one`))[0]?.['one'], 1)
    })
  )
)

client('every connection of the pool is used, and none more', () =>
  withDatabase('2026-08', ({ url, sql: look }) =>
    using(
      url,
      async database => {
        const pids = await Promise.all(
          Array.from({ length: 12 }, () =>
            database.read(
              async sql => (await sql`select pg_backend_pid() as pid, pg_sleep(0.02)`)[0]?.['pid'] as number
            )
          )
        )
        assert.is(new Set(pids).size, 3)
        const [seen] =
          await look`select count(*)::int as n from pg_stat_activity where datname = current_database() and application_name = 'tester'`
        assert.is(seen?.['n'], 3)
      },
      { max: 3, applicationName: 'tester' }
    )
  )
)

client.run()

const roles = suite('roles')

/** A login role that lives as long as the test: roles belong to the whole server. */
async function withRole(
  sql: TestDatabase['sql'],
  grants: (name: string) => string,
  work: (name: string) => Promise<void>
): Promise<void> {
  const name = `r${process.pid}_${Date.now().toString(36)}`
  await sql.unsafe(`create role ${name} login; ${grants(name)}`)
  try {
    await work(name)
  } finally {
    await sql.unsafe(`reassign owned by ${name} to postgres; drop owned by ${name}; drop role ${name}`)
  }
}
const as = (url: string, role: string): string => url.replace('//postgres@', `//${role}@`)

roles('plain grants are refused, with the GRANT to run', () =>
  withDatabase('1.558.1', ({ url, sql }) =>
    withRole(
      sql,
      name => `grant all on all tables in schema public to ${name}`,
      async name => {
        const error = (await rejects(connect(as(url, name), { reachableWithinMs: 5000 }))) as SyncError
        assert.is(error.code, 'DatabaseNotAllowed')
        assert.match(error.message, `GRANT windmill_admin TO ${name};`)
      }
    )
  )
)

for (const kind of ['inherit', 'noinherit']) {
  roles(`a member of windmill_admin works as it (${kind})`, () =>
    withDatabase('1.558.1', ({ url, sql }) =>
      withRole(
        sql,
        name => `grant windmill_admin to ${name}; alter role ${name} ${kind}`,
        name =>
          using(as(url, name), async database => {
            assert.is(database.role, 'windmill_admin')
            assert.equal((await database.read(other => other`select name from folder`)).length, 3)
            const who = await database.write(
              other => other`select current_user::text as me, session_user::text as login`
            )
            assert.equal({ ...who[0] }, { me: 'windmill_admin', login: name })
            const login = await database.asLogin(other => other`select current_user::text as me`)
            assert.is(login[0]?.['me'], name)
          })
      )
    )
  )
}

roles('owners of the tables and users without row security need no role', () =>
  withDatabase('1.558.1', async ({ url, sql }) => {
    await withRole(
      sql,
      name => `alter table script owner to ${name}; alter schema public owner to ${name}`,
      name => using(as(url, name), async database => assert.is(database.role, ''))
    )
    await withRole(
      sql,
      name => `alter role ${name} bypassrls`,
      name => using(as(url, name), async database => assert.is(database.role, ''))
    )
  })
)

roles('a role in the address is kept for every transaction', () =>
  withDatabase('1.558.1', ({ url }) =>
    using(`${url}?options=-c%20role%3Dwindmill_admin%20-c%20search_path%3Dpublic,%5C%20pg_catalog`, async database => {
      const [row] = await database.read(
        sql => sql`select current_user::text as me, current_setting('search_path') as path`
      )
      assert.equal({ ...row }, { me: 'windmill_admin', path: 'public, pg_catalog' })
    })
  )
)

roles.run()

const locks = suite('run lock')

locks('one run per shard; the other hears who it is', () =>
  withDatabase('2026-08', ({ url }) =>
    using(
      url,
      first =>
        using(
          url,
          async second => {
            const held = await first.lock(0, 0)
            const shard = await second.lock(1, 0)
            await shard.release()
            let heard = ''
            const error = (await rejects(second.lock(0, 300, holder => (heard = holder)))) as SyncError
            assert.is(error.code, 'LockBusy')
            for (const text of [heard, error.message]) {
              assert.match(text, 'first-run as postgres from this machine since 20')
            }
            const waiting = second.lock(0, 5000)
            await sleep(100)
            await held.release()
            await (await waiting).release()
            assert.is(held.signal.aborted, false)
          },
          { applicationName: 'second-run' }
        ),
      { applicationName: 'first-run' }
    )
  )
)

locks('waiting for it ends with a signal, and with the client', () =>
  withDatabase('2026-08', ({ url }) =>
    using(url, first =>
      using(url, async second => {
        await first.lock(0, 0)
        const began = Date.now()
        assert.is(await code(second.lock(0, 60_000, () => {}, AbortSignal.timeout(50))), 'Interrupted')
        const closed = code(second.lock(0, 60_000))
        await sleep(50)
        await second.close()
        assert.is(await closed, 'Interrupted')
        assert.ok(Date.now() - began < 10_000)
      })
    )
  )
)

locks('the lock holds back no vacuum', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    using(url, async database => {
      const lock = await database.lock(0, 0)
      const [row] = await sql`select backend_xmin, backend_xid, state from pg_stat_activity where pid = ${lock.pid}`
      assert.equal({ ...row }, { backend_xmin: null, backend_xid: null, state: 'idle in transaction' })
    })
  )
)

locks('without it nothing more is written', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    using(url, async database => {
      const lock = await database.lock(0, 0)
      await database.write(other => other`insert into group_ (workspace_id, name) values ('admins', 'before')`)
      await sql`select pg_terminate_backend(${lock.pid}, 1000)`
      assert.is(
        await code(database.write(other => other`insert into group_ (workspace_id, name) values ('admins', 'after')`)),
        'LockLost'
      )
      await sleep(50)
      assert.ok(lock.signal.aborted)
      assert.is(
        await code(
          database.asLogin(other => other`insert into group_ (workspace_id, name) values ('admins', 'after')`)
        ),
        'LockLost'
      )
      assert.equal(
        (await sql`select name from group_ where name in ('before', 'after')`).map(row => row['name']),
        ['before']
      )
      assert.is((await database.read(other => other`select 1 as one`))[0]?.['one'], 1)
    })
  )
)

locks('the fence sees what the process has not noticed yet', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    using(url, async database => {
      const lock = await database.lock(0, 0)
      // The client cannot be told faster than in the same turn of its loop.
      const killed = sql`select pg_terminate_backend(${lock.pid}, 1000)`.execute()
      const results = await Promise.allSettled(
        Array.from({ length: 30 }, (_, index) =>
          database.write(other => other`insert into group_ (workspace_id, name) values ('admins', ${`w${index}`})`)
        )
      )
      await killed
      const refused = results.filter(one => one.status === 'rejected')
      for (const one of refused) assert.is((one.reason as SyncError).code, 'LockLost')
      assert.is(await code(database.write(async () => {})), 'LockLost')
      const written = await sql`select from group_ where name like 'w%'`
      assert.is(written.length, results.length - refused.length)
    })
  )
)

locks('a new run begins only when the last write of a run without lock is over', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    using(url, first =>
      using(url, async second => {
        const lost = await first.lock(0, 0)
        let finish = (): void => {}
        const order: string[] = []
        const inFlight = first.write(async other => {
          await other`insert into group_ (workspace_id, name) values ('admins', 'old')`
          await new Promise<void>(resolve => {
            finish = resolve
          })
          order.push('old write')
        })
        await sleep(100)
        await sql`select pg_terminate_backend(${lost.pid}, 1000)`
        const lock = second.lock(0, 5000).then(taken => {
          order.push('new run')
          return taken
        })
        await sleep(300)
        assert.equal(order, [])
        finish()
        await inFlight
        await (await lock).release()
        assert.equal(order, ['old write', 'new run'])
      })
    )
  )
)

locks.run()

const trouble = suite('trouble with the server')

/** A TCP server that does what it is told with each connection. */
async function withServer(
  onConnection: (socket: net.Socket) => void,
  work: (port: number) => Promise<void>
): Promise<void> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket.on('error', () => {}))
    onConnection(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    await work((server.address() as net.AddressInfo).port)
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  }
}

trouble('a server that accepts and closes is tried a few times, not thousands', async () => {
  let count = 0
  const close = (socket: net.Socket): void => {
    count++
    socket.destroy()
  }
  for (const mode of ['disable', 'prefer', 'require']) {
    await withServer(close, async port => {
      const url = `postgres://me:hunter2@127.0.0.1:${port}/w?sslmode=${mode}`
      const error = (await rejects(connect(url, { reachableWithinMs: 600 }))) as SyncError
      assert.is(error.code, 'DatabaseUnreachable')
      assert.match(error.message, `127.0.0.1:${port}`)
      assert.not.match(error.message, secret)
    })
  }
  assert.ok(count < 50, `${count} connections`)
})

trouble('a server that says nothing is given up in time', () =>
  withServer(
    () => {},
    async port => {
      for (const mode of ['disable', 'verify-full']) {
        const began = Date.now()
        const error = await code(
          connect(`postgres://me@127.0.0.1:${port}/w?sslmode=${mode}`, { reachableWithinMs: 500 })
        )
        assert.is(error, 'DatabaseUnreachable')
        assert.ok(Date.now() - began < 3000)
      }
    }
  )
)

trouble('nobody there, unknown host, no socket, unknown database', () =>
  withDatabase('2026-08', async ({ url }) => {
    const message = async (text: string): Promise<string> => {
      const error = (await rejects(connect(text, { reachableWithinMs: 1000 }))) as SyncError
      assert.is(error.code, 'DatabaseUnreachable')
      return error.message
    }
    assert.match(await message('postgres://me@127.0.0.1:1/w'), '127.0.0.1:1 is unreachable: nothing listens there')
    assert.match(await message('postgres://me@nowhere.invalid/w'), /nowhere\.invalid:5432 is unreachable/)
    assert.match(await message('postgres:///w?host=/nowhere&user=me'), 'there is no such socket')
    assert.match(await message(url.replace(/\/[^/]+$/, '/nowhere')), /does not exist.*database nowhere/)
  })
)

trouble('the first host that answers is taken', () =>
  withDatabase('2026-08', ({ url }) => {
    const [, host] = /@([^:]+):/.exec(url) ?? []
    const [, name] = /\/(\w+)$/.exec(url) ?? []
    return using(`postgres://postgres@127.0.0.1:1,${host}:5432/${name}`, async database => {
      assert.match(database.shown, '.s.PGSQL.5432')
      await database.write(async () => {})
    })
  })
)

trouble('what fails transiently is tried again as a whole', async () => {
  let tries = 0
  const flaky = async (): Promise<number> => {
    if (++tries < 3) throw new SyncError('DatabaseBusy', 'x', { transient: true })
    return tries
  }
  assert.is(await withRetries(flaky, { baseMs: 1 }), 3)
  tries = -10
  assert.is(await code(withRetries(flaky, { tries: 4, baseMs: 1 })), 'DatabaseBusy')
  assert.is(tries, -6)
  let lasting = 0
  assert.is(
    await code(
      withRetries(
        async () => {
          lasting++
          throw new SyncError('WriteRejected', 'x')
        },
        { baseMs: 1 }
      )
    ),
    'WriteRejected'
  )
  assert.is(lasting, 1)
  const aborted = AbortSignal.timeout(20)
  const began = Date.now()
  tries = -1000
  assert.is(await code(withRetries(flaky, { tries: 1000, baseMs: 10_000, signal: aborted })), 'DatabaseBusy')
  assert.ok(Date.now() - began < 3000)
})

trouble('errors that are not of the database stay what they are', () => {
  const own = new TypeError('mine')
  assert.is(withoutValues(own), own)
  assert.instance(withoutValues('text'), Error)
})

trouble.run()
