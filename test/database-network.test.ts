/** The database over TCP: passwords, TLS with checked certificates, cut connections, PgBouncer. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectOptions, connect, type Database, runScript } from '../src/database/client.ts'
import { type PostgresServer, startPostgres } from '../src/database/embedded.ts'
import type { SyncError } from '../src/errors.ts'
import { withDatabase } from './support/database.ts'
import { assert, rejects, suite } from './support/suite.ts'

const network = suite('network')

async function using<T>(
  url: string,
  work: (database: Database) => Promise<T>,
  options: ConnectOptions = {}
): Promise<T> {
  const database = await connect(url, { reachableWithinMs: 10_000, ...options })
  try {
    return await work(database)
  } finally {
    await database.close()
  }
}

async function refusal(url: string): Promise<SyncError> {
  return (await rejects(connect(url, { reachableWithinMs: 300 }))) as SyncError
}

async function withServer(
  options: Parameters<typeof startPostgres>[0],
  work: (server: PostgresServer) => Promise<void>
) {
  const server = await startPostgres({ tcp: true, ...options })
  try {
    await work(server)
  } finally {
    await server.stop()
  }
}

/** Certificates made on the spot: an authority, a certificate of it for `localhost`, and another authority. */
function certificates(folder: string): boolean {
  if (spawnSync('openssl', ['version']).status !== 0) return false
  const openssl = (...words: string[]): void => {
    execFileSync('openssl', words, { cwd: folder, stdio: 'ignore' })
  }
  for (const name of ['ca', 'other']) {
    const subject = ['-subj', `/CN=${name}`, '-days', '2']
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      ...subject
    )
  }
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'server.key',
    '-out',
    'server.csr',
    '-subj',
    '/CN=localhost'
  )
  writeFileSync(join(folder, 'san'), 'subjectAltName=DNS:localhost\n')
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san']
  openssl('x509', '-req', '-in', 'server.csr', '-out', 'server.pem', ...signing)
  return true
}

network('TLS is checked as far as sslmode says', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-tls-'))
  try {
    const made = certificates(folder)
    const files = made
      ? {
          'server.crt': readFileSync(join(folder, 'server.pem'), 'utf8'),
          'server.key': readFileSync(join(folder, 'server.key'), 'utf8')
        }
      : {}
    const ca = join(folder, 'ca.pem')
    if (!made) writeFileSync(ca, '')
    await withServer({ files, ...(made && { settings: { ssl: 'on' } }) }, async server => {
      const url = (host: string, query: string): string =>
        server.url('postgres').replace('127.0.0.1', host).replace('sslmode=disable', `hostaddr=127.0.0.1&${query}`)
      // Without openssl the server has no TLS: then every mode that insists on it must refuse.
      const table: readonly [host: string, query: string, encrypted: boolean | RegExp][] = [
        ['localhost', 'sslmode=disable', false],
        ['localhost', 'sslmode=prefer', made],
        ['localhost', 'sslmode=allow', made],
        ['localhost', 'sslmode=require', made || /offers no TLS/],
        ['localhost', `sslmode=verify-full&sslrootcert=${ca}`, made || /offers no TLS/],
        ['localhost', `sslmode=verify-ca&sslrootcert=${ca}`, made || /offers no TLS/],
        ['127.0.0.1', `sslmode=verify-ca&sslrootcert=${ca}`, made || /offers no TLS/],
        ['localhost', `sslrootcert=${ca}`, made || /offers no TLS/],
        ['127.0.0.1', `sslmode=verify-full&sslrootcert=${ca}`, made ? /another host name/ : /offers no TLS/],
        ['localhost', 'sslmode=verify-full', made ? /not known|self-signed/ : /offers no TLS/],
        [
          'localhost',
          `sslmode=verify-full&sslrootcert=${made ? join(folder, 'other.pem') : ca}`,
          made ? /not known/ : /offers no TLS/
        ],
        ['localhost', `sslmode=require&ssl_min_protocol_version=TLSv1.3`, made || /offers no TLS/]
      ]
      for (const [host, query, expected] of table) {
        if (expected instanceof RegExp) {
          const error = await refusal(url(host, query))
          assert.is(error.code, 'DatabaseUnreachable', query)
          assert.match(error.message, expected, query)
          continue
        }
        await using(url(host, query), async database => {
          const [row] = await database.read(sql => sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`)
          assert.is(row?.['ssl'], expected, query)
        })
      }
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

network('a wrong password is told at once and never shown', () =>
  withServer({}, async server => {
    const url = server.url('postgres')
    await using(url, database => database.write(async () => {}))
    const error = await refusal(url.replace(/:[0-9a-f]{32}@/, ':hunter2@'))
    assert.is(error.code, 'DatabaseNotAllowed')
    assert.match(error.message, /password was refused.*user postgres, database postgres at 127\.0\.0\.1/)
    assert.not.match(JSON.stringify(error) + error.stack, 'hunter2')
  })
)

/** Passes bytes between a client and the server; `cut` says when to stop, before or after the server hears it. */
async function withProxy(
  port: number,
  cut: (text: string) => 'before' | 'after' | false,
  work: (port: number) => Promise<void>
) {
  const proxy = net.createServer(inner => {
    const outer = net.connect(port, '127.0.0.1')
    const end = (): void => void [inner.destroy(), outer.destroy()]
    for (const socket of [inner, outer]) socket.on('error', end).on('close', end)
    let muted = false
    inner.on('data', (data: Buffer) => {
      const when = cut(data.toString('latin1'))
      if (when === 'before') return end()
      if (when === 'after') {
        muted = true
        outer.once('data', end)
      }
      outer.write(data)
    })
    outer.on('data', (data: Buffer) => !muted && inner.write(data))
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  try {
    await work((proxy.address() as net.AddressInfo).port)
  } finally {
    await new Promise(resolve => proxy.close(resolve))
  }
}

network('a connection that breaks while it is being made is an error of the call, at whatever byte', () =>
  withServer({}, async server => {
    const [, port = ''] = /127\.0\.0\.1:(\d+)/.exec(server.url('postgres')) ?? []
    const heard = new Set<string>()
    for (let limit = 0; limit < 1500; limit += 23) {
      await withCutAnswers(Number(port), limit, async proxied => {
        const url = server.url('postgres').replace(`:${port}/`, `:${proxied}/`)
        const made = await connect(url, { reachableWithinMs: 1 }).catch((error: unknown) => error as SyncError)
        heard.add('code' in made ? made.code : 'connected')
        if (!('code' in made)) await made.close()
      })
    }
    assert.equal([...heard].sort(), ['DatabaseUnreachable', 'connected'])
  })
)

/** Passes on so many bytes of the server's answers, then breaks. */
async function withCutAnswers(port: number, limit: number, work: (port: number) => Promise<void>): Promise<void> {
  const proxy = net.createServer(inner => {
    const outer = net.connect(port, '127.0.0.1')
    const end = (): void => void [inner.destroy(), outer.destroy()]
    for (const socket of [inner, outer]) socket.on('error', end).on('close', end)
    let left = limit
    inner.on('data', (data: Buffer) => outer.write(data))
    outer.on('data', (data: Buffer) => {
      inner.write(data.subarray(0, left))
      left -= data.length
      if (left <= 0) inner.end()
    })
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  try {
    await work((proxy.address() as net.AddressInfo).port)
  } finally {
    await new Promise(resolve => proxy.close(resolve))
  }
}

network('a commit whose answer is lost is looked up, not guessed', () =>
  withServer({}, async server => {
    await runScript(server.url('postgres'), 'create table t (name text primary key)')
    const [, port = ''] = /127\.0\.0\.1:(\d+)/.exec(server.url('postgres')) ?? []
    for (const [when, landed] of [
      ['after', true],
      ['before', false]
    ] as const) {
      let armed = true
      const cut = (text: string) => {
        if (!armed || !text.includes('commit\0')) return false
        armed = false
        return when
      }
      await withProxy(Number(port), cut, proxied =>
        using(
          server.url('postgres').replace(`:${port}/`, `:${proxied}/`),
          async database => {
            armed = false
            await database.write(async () => {})
            armed = true
            const write = database.write(sql => sql`insert into t values (${when})`)
            if (landed) await write
            else {
              const error = (await rejects(write)) as SyncError
              assert.is(error.code, 'DatabaseUnreachable')
              assert.ok(error.transient)
            }
            const rows = await database.read(sql => sql`select from t where name = ${when}`)
            assert.is(rows.length, landed ? 1 : 0)
          },
          { max: 1 }
        )
      )
    }
  })
)

const uid = process.getuid?.() === 0 ? 65_534 : undefined

/** The same database through PgBouncer in transaction mode; where that is not installed, directly. */
async function throughBouncer(url: string, work: (url: string) => Promise<void>): Promise<void> {
  const program = [
    '/usr/sbin/pgbouncer',
    '/usr/bin/pgbouncer',
    '/usr/local/bin/pgbouncer',
    '/opt/homebrew/bin/pgbouncer'
  ].find(path => existsSync(path))
  const [, host = '', port = '', name = ''] = /@([^:/]+):(\d+)\/(\w+)/.exec(url) ?? []
  if (program === undefined) return await work(url)
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-bouncer-'))
  const listen = await freePort()
  const ini = join(folder, 'ini')
  writeFileSync(
    ini,
    `[databases]\n${name} = host=${decodeURIComponent(host)} port=${port} dbname=${name} user=postgres
[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=${listen}\nunix_socket_dir=\nauth_type=any\npool_mode=transaction\ndefault_pool_size=4\nserver_login_retry=1\n`
  )
  chmodSync(folder, 0o755)
  if (uid !== undefined) chownSync(folder, uid, uid)
  const bouncer = spawn(program, ['-q', ini], { stdio: 'ignore', ...(uid !== undefined && { uid, gid: uid }) })
  try {
    await work(`postgres://somebody@127.0.0.1:${listen}/${name}?sslmode=disable`)
  } finally {
    bouncer.kill('SIGKILL')
    if (bouncer.exitCode === null && bouncer.signalCode === null)
      await new Promise(resolve => bouncer.once('exit', resolve))
    rmSync(folder, { recursive: true, force: true })
  }
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as net.AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

network('behind PgBouncer in transaction mode: parameters, settings, role, lock and fence hold', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    throughBouncer(url, bounced =>
      using(`${bounced}${bounced.includes('?') ? '&' : '?'}options=-c%20work_mem%3D7MB`, first =>
        using(bounced, async second => {
          for (let i = 0; i < 20; i++) {
            const [row] = await first.read(
              other =>
                other`select ${i}::int as i, ${`t${i}`}::text as t, current_setting('work_mem') as mem, current_user::text as me`
            )
            assert.equal({ ...row }, { i, t: `t${i}`, mem: '7MB', me: 'windmill_admin' })
            const [leak] = await second.read(other => other`select current_setting('work_mem') as mem`)
            assert.is(leak?.['mem'], '4MB')
          }
          const lock = await first.lock(0, 0)
          const busy = (await rejects(second.lock(0, 200))) as SyncError
          assert.is(busy.code, 'LockBusy')
          await Promise.all(
            Array.from({ length: 10 }, (_, i) =>
              first.write(other => other`insert into group_ (workspace_id, name) values ('admins', ${`b${i}`})`)
            )
          )
          await sql`select pg_terminate_backend(${lock.pid}, 1000)`
          const lost = (await rejects(
            first.write(other => other`insert into group_ (workspace_id, name) values ('admins', 'late')`)
          )) as SyncError
          assert.is(lost.code, 'LockLost')
          await (await second.lock(0, 2000)).release()
          await sleep(0)
          assert.is((await sql`select from group_ where name = 'late' or name like 'b_'`).length, 10)
        })
      )
    )
  )
)

network.run()
