/** A throw-away PostgreSQL server that cannot outlive the process that started it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../../errors.ts'
import { type Binaries, prepareBinaries } from './binaries.ts'

export interface ServerOptions {
  /** Whether data must survive a crash of the machine. Default false: it is deleted at the end anyway. */
  readonly durable?: boolean
  /** Listen on 127.0.0.1 with a password instead of on a unix socket that only we can open. */
  readonly tcp?: boolean
  /** Lines for postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  /** Files for the data directory, such as a certificate; readable for the server alone. */
  readonly files?: Readonly<Record<string, string>>
}

export interface PostgresServer {
  /** As the superuser `postgres`. */
  readonly url: (database: string) => string
  readonly stop: () => Promise<void>
}

/**
 * Its input is a pipe that only we hold. A line in it starts the server; its end, for whatever reason (also SIGKILL),
 * stops the server and removes the directory. A Ctrl-C for the terminal's group must not take it away before its server.
 */
const watchdog = `trap '' INT TERM HUP
if read -r go; then
  "$1/bin/postgres" -D "$2/data" </dev/null >"$2/log" 2>&1 &
  pid=$!
  cat >/dev/null
  kill -QUIT "$pid" 2>/dev/null
  wait "$pid"
fi
cd /
for again in 1 2 3 4 5; do rm -rf "$2" "$3" 2>/dev/null && exit; sleep 1; done`

export async function startPostgres(options: ServerOptions = {}): Promise<PostgresServer> {
  if (process.platform === 'win32') {
    throw new SyncError(
      'OptionalPackageMissing',
      'The embedded database runs on Linux and macOS only; give a database URL.'
    )
  }
  const scratch = mkdtempSync(join(home(options), 'windmill-iac-pg-'))
  const copies = join(tmpdir(), `${basename(scratch)}-binaries`)
  let child: ChildProcess | undefined
  try {
    const binaries = prepareBinaries(copies)
    if (binaries.user) chownSync(scratch, binaries.user.uid, binaries.user.gid)
    child = guarded([binaries.directory, scratch, copies], binaries)
    const password = randomBytes(16).toString('hex')
    initialise(scratch, binaries, password)
    const port = options.tcp ? await freePort() : 5432
    configure(scratch, binaries, { ...options, port })
    child.stdin?.write('go\n')
    await started(scratch, child)
    return running(scratch, child, options.tcp ? `postgres:${password}@127.0.0.1:${port}` : undefined)
  } catch (error) {
    child?.stdin?.destroy()
    for (const path of [scratch, copies]) rmSync(path, { recursive: true, force: true })
    throw error
  }
}

function guarded(paths: readonly string[], { user }: Binaries): ChildProcess {
  const child = spawn('/bin/sh', ['-c', watchdog, 'sh', ...paths], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...user
  })
  child.on('error', () => {})
  child.stdin?.on('error', () => {})
  return child
}

/**
 * In memory where there is plenty: making a database copies a thousand files, which disks under load take a second for.
 * Elsewhere a short path, for that of a socket may have about 100 characters.
 */
function home({ durable }: ServerOptions): string {
  const memory = '/dev/shm'
  const least = 4 * 2 ** 30
  try {
    const { type, bavail, bsize } = statfsSync(memory)
    if (!durable && type === 0x01_02_19_94 && bavail * bsize > least) return memory
  } catch {}
  return tmpdir().length > 60 ? '/tmp' : tmpdir()
}

function initialise(scratch: string, { directory, user }: Binaries, password: string): void {
  const secret = join(scratch, 'secret')
  writeFileSync(secret, password, { mode: 0o600 })
  if (user) chownSync(secret, user.uid, user.gid)
  const words = [
    '-D',
    join(scratch, 'data'),
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--no-locale',
    '--no-sync',
    '--no-instructions'
  ]
  const auth = ['--auth-local=trust', '--auth-host=scram-sha-256', `--pwfile=${secret}`]
  const { status, stderr, error } = spawnSync(join(directory, 'bin/initdb'), [...words, ...auth], {
    cwd: scratch,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
    ...user
  })
  rmSync(secret, { force: true })
  if (status === 0) return
  const why = error?.message ?? stderr.trim().split('\n').at(-1) ?? ''
  throw new SyncError(
    'DatabaseFailed',
    `The embedded database cannot be made: initdb ended with ${status ?? 'no status'}. ${why}`
  )
}

function configure(scratch: string, { user }: Binaries, options: ServerOptions & { port: number }): void {
  const data = join(scratch, 'data')
  const own = (path: string, mode: number): void => {
    if (user) chownSync(path, user.uid, user.gid)
    chmodSync(path, mode)
  }
  const sockets = join(scratch, 's')
  mkdirSync(sockets)
  own(sockets, 0o700)
  const settings = {
    port: String(options.port),
    listen_addresses: options.tcp ? `'127.0.0.1'` : `''`,
    unix_socket_directories: `'${sockets}'`,
    max_connections: '100',
    jit: 'off',
    ...(!options.durable && {
      fsync: 'off',
      full_page_writes: 'off',
      synchronous_commit: 'off',
      wal_level: 'minimal',
      max_wal_senders: '0',
      max_wal_size: '256MB'
    }),
    ...options.settings
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`)
  const conf = join(data, 'postgresql.auto.conf')
  writeFileSync(conf, lines.join(''))
  own(conf, 0o600)
  for (const [name, content] of Object.entries(options.files ?? {})) {
    const path = join(data, name)
    writeFileSync(path, content)
    own(path, 0o600)
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as net.AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

/** The server writes into postmaster.pid when it takes connections. */
async function started(scratch: string, child: ChildProcess): Promise<void> {
  const state = join(scratch, 'data/postmaster.pid')
  for (const end = Date.now() + 30_000; Date.now() < end && child.exitCode === null; await sleep(15)) {
    const lines = text(state).split('\n')
    if (lines[7]?.trim() === 'ready') return
    if (/FATAL|could not/.test(text(join(scratch, 'log')))) break
  }
  const why = text(join(scratch, 'log')).trim().split('\n').slice(-3).join(' ')
  throw new SyncError('DatabaseFailed', `The embedded database did not start. ${why}`)
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function running(scratch: string, child: ChildProcess, authority: string | undefined): PostgresServer {
  // Neither the watchdog nor its pipe keeps our process from ending; the end of the pipe is what stops the server.
  child.unref()
  const pipe = child.stdin as unknown as net.Socket | null
  pipe?.unref()
  const gone = new Promise<void>(resolve => {
    if (child.exitCode === null) child.once('exit', () => resolve())
    else resolve()
  })
  return {
    url: database =>
      authority
        ? `postgres://${authority}/${database}?sslmode=disable`
        : `postgres://postgres@${encodeURIComponent(join(scratch, 's'))}:5432/${database}`,
    stop: async () => {
      child.ref()
      pipe?.destroy()
      await Promise.race([gone, sleep(10_000, undefined, { ref: false })])
      rmSync(scratch, { recursive: true, force: true })
    }
  }
}
