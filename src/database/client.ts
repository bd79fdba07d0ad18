/** The database: connections, transactions, role, run lock. The only importer of the driver. */
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { SyncError } from '../errors.ts'
import type { Sql } from '../model.ts'
import { chooseRole, type Facts, factsSql, located } from './access.ts'
import { type Connection, makeEnd, tracked } from './connection.ts'
import { isTransient, withoutValues } from './failures.ts'
import { fenceSql, lostLock, type RunLock, takeLock } from './lock.ts'
import { type Limits, openingSql } from './opening.ts'
import { hasLanded } from './outcome.ts'
import { openPool, type Pool } from './pool.ts'
import { deadSocket, openSocket, placeOf } from './socket.ts'
import { listText, parseList } from './text-list.ts'
import { type Frame, transaction } from './transaction.ts'
import { type Address, type Endpoint, parseAddress } from './url.ts'

export interface ConnectOptions {
  /** `plan`: any write is refused before a statement is sent. */
  readonly readOnly?: boolean
  /** Connections for work; the run lock has one more. Default 2: more gained nothing when measured. */
  readonly max?: number
  /** What the server's administrator sees in pg_stat_activity. */
  readonly applicationName?: string
  /** How long an unreachable server is tried. Default 30 s. */
  readonly reachableWithinMs?: number
  readonly limits?: Partial<Limits>
  readonly debug?: (message: string, fields: Readonly<Record<string, unknown>>) => void
}

export interface Database {
  /** For people: `host:5432/windmill`. */
  readonly shown: string
  /** The role of all work; '' when it is simply the user who logged in. */
  readonly role: string
  /** A snapshot that sees nothing of concurrent changes and writes nothing. */
  readonly read: <T>(work: (sql: Sql) => Promise<T>) => Promise<T>
  /** READ COMMITTED; begins only while the run lock is ours. Repeat it as a whole (withRetries), never a statement. */
  readonly write: <T>(work: (sql: Sql) => Promise<T>) => Promise<T>
  /** As `write`, but as the user who logged in: what Windmill's role may not do (CREATE SCHEMA). */
  readonly asLogin: <T>(work: (sql: Sql) => Promise<T>) => Promise<T>
  /**
   * One run per database and shard. Throws LockBusy after `timeoutMs`, Interrupted when the signal (or `close`) comes
   * first; `onWait` hears once who holds it.
   */
  readonly lock: (
    shard: number,
    timeoutMs: number,
    onWait?: (holder: string) => void,
    signal?: AbortSignal
  ) => Promise<RunLock>
  /** Closes everything within `timeoutMs` (default 5 s), the run lock included. */
  readonly close: (options?: { timeoutMs?: number }) => Promise<void>
}

/**
 * json and jsonb: results come as JavaScript values (numbers beyond 2^53 lose digits); a parameter is an object, or a
 * text that already is JSON, so a JSON string goes in as '"text"'. timestamp: UTC, as the session's time zone is.
 * Lists of texts (and of bigint and uuid, as texts) are named here, because the driver would otherwise ask the server
 * for all array types on each connection, and a connection that breaks during that question ends the whole process.
 */
const types = {
  json: {
    to: 114,
    from: [114, 3802],
    serialize: (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value)),
    parse: (text: string): unknown => JSON.parse(text)
  },
  texts: { to: 1009, from: [1009, 1015, 1016, 2951], serialize: listText, parse: parseList },
  timestamp: {
    to: 1114,
    from: [1114],
    serialize: (value: unknown): string => (value instanceof Date ? value.toISOString() : String(value)),
    parse: (text: string): Date => new Date(`${text.replace(' ', 'T')}Z`)
  }
}

/** Connects to the first host that answers (and takes writes, if that is needed) and finds the role to work as. */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Database> {
  const address = parseAddress(url)
  const { endpoint, connection, facts } = await ready(address, options)
  const open = (): Connection => openConnection(address, endpoint, options)
  const pool = openPool(open, Math.max(1, options.max ?? 2), connection)
  try {
    const role = chooseRole(facts)
    return database({ address, options, open, pool, role, shown: `${placeOf(endpoint)}/${address.database}` })
  } catch (error) {
    pool.close()
    throw error
  }
}

interface Parts {
  readonly address: Address
  readonly options: ConnectOptions
  readonly open: () => Connection
  readonly pool: Pool
  readonly role: string
  readonly shown: string
}

function database({ address, options, open, pool, role, shown }: Parts): Database {
  let lock: RunLock | undefined
  const closing = new AbortController()
  const frame = (mode: 'read' | 'write', as: string): Frame => {
    const fence = mode === 'write' && lock ? fenceSql(lock) : undefined
    const opening = openingSql(mode, { settings: address.settings, role: as, limits: options.limits ?? {} }, fence)
    if (mode === 'read') return { opening }
    return {
      opening,
      check: row => {
        if (fence && row.held !== true) throw lostLock()
      },
      landed: row => hasLanded(open, String(row.xid))
    }
  }
  /** A connection may have died while idle: before `work` has begun, another one can take over. */
  const run = async <T>(frame: Frame, work: (sql: Sql) => Promise<T>): Promise<T> => {
    let begun = false
    const once = (sql: Sql): Promise<T> => {
      begun = true
      return work(sql)
    }
    try {
      return await pool.use(connection => transaction(connection, frame, once))
    } catch (error) {
      if (begun || !isTransient(error) || (error as SyncError).code !== 'DatabaseUnreachable') throw error
      return await pool.use(connection => transaction(connection, frame, once))
    }
  }
  const write = async <T>(work: (sql: Sql) => Promise<T>, as: string): Promise<T> => {
    if (options.readOnly) throw new SyncError('DatabaseFailed', 'This command writes nothing, yet something tried to.')
    if (lock?.signal.aborted) throw lostLock()
    return await run(frame('write', as), work)
  }
  return {
    shown,
    role,
    read: work => run(frame('read', role), work),
    write: work => write(work, role),
    asLogin: work => write(work, ''),
    lock: async (shard, timeoutMs, onWait = () => {}, signal = closing.signal) => {
      const signals = AbortSignal.any([signal, closing.signal])
      lock = await takeLock({ open, use: pool.use, shard, timeoutMs, onWait, signal: signals })
      return lock
    },
    close: async ({ timeoutMs = 5000 } = {}) => {
      closing.abort()
      await lock?.release()
      await pool.drain(timeoutMs)
    }
  }
}

function openConnection(address: Address, endpoint: Endpoint, options: ConnectOptions): Connection {
  const end = makeEnd()
  let used = false
  let raw: { destroy: () => void } | undefined
  const socket = async (): Promise<unknown> => {
    try {
      if (used) throw cutOff(endpoint)
      used = true
      const opened = await openSocket(address, endpoint)
      if (end.reached()) opened.destroy()
      if (end.reached()) throw cutOff(endpoint)
      raw = opened
      return opened.once('error', end.reach).once('end', end.reach).once('close', end.reach)
    } catch (error) {
      return deadSocket(error as Error).once('close', end.reach)
    }
  }
  const sql = postgres({
    host: endpoint.host,
    port: endpoint.port,
    user: address.user,
    ...(address.password !== undefined && { pass: address.password }),
    database: address.database,
    connection: { application_name: address.applicationName ?? options.applicationName ?? 'windmill-iac' },
    connect_timeout: address.connectTimeoutMs / 1000,
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    keep_alive: null,
    // PgBouncer in transaction mode gives each transaction another server, which lacks the prepared statement.
    prepare: false,
    fetch_types: false,
    ssl: false,
    debug: false,
    onnotice: notice => options.debug?.('notice', { code: notice.code, severity: notice.severity }),
    transform: { undefined: null },
    types,
    ...({ socket, no_subscribe: true } as object)
  }) as unknown as postgres.Sql
  return {
    sql: tracked(sql, end, placeOf(endpoint)),
    alive: () => !end.reached(),
    onClose: end.onReach,
    destroy: () => {
      end.reach()
      raw?.destroy()
      sql.end({ timeout: 0 }).catch(() => {})
    }
  }
}

const unreachableAt = (place: string, what: string): SyncError =>
  new SyncError('DatabaseUnreachable', `PostgreSQL at ${place} ${what}.`, { transient: true })
const cutOff = (endpoint: Endpoint): SyncError => unreachableAt(placeOf(endpoint), 'closed the connection')

interface Ready {
  readonly endpoint: Endpoint
  readonly connection: Connection
  readonly facts: Facts
}

/** Settles within the limit whatever the far side does. What waiting cannot mend (password, certificate) fails at once. */
async function ready(address: Address, options: ConnectOptions): Promise<Ready> {
  const end = Date.now() + (options.reachableWithinMs ?? 30_000)
  for (let round = 0; ; round++) {
    let trouble: unknown
    for (const endpoint of address.endpoints) {
      const tried = await attempt(address, endpoint, options, Math.max(100, end - Date.now())).catch(
        (error: unknown) => {
          trouble = error
        }
      )
      if (tried) return tried
    }
    const wait = Math.min(2000, 200 * 2 ** round) * (0.5 + Math.random() / 2)
    const lasting = !(trouble instanceof SyncError) || !trouble.transient
    if (lasting || Date.now() + wait >= end) throw trouble
    await sleep(wait)
  }
}

async function attempt(address: Address, endpoint: Endpoint, options: ConnectOptions, ms: number): Promise<Ready> {
  const connection = openConnection(address, endpoint, options)
  const place = placeOf(endpoint)
  let late = false
  const timer = setTimeout(() => {
    late = true
    connection.destroy()
  }, ms)
  try {
    const opening = openingSql('read', { settings: address.settings, role: '', limits: options.limits ?? {} })
    const facts = await transaction(connection, { opening }, factsSql)
    if (facts.standby && address.session !== 'any' && (!options.readOnly || address.session === 'read-write')) {
      throw new SyncError('DatabaseUnreachable', `PostgreSQL at ${place} is a standby and takes no writes.`, {
        transient: true
      })
    }
    return { endpoint, connection, facts }
  } catch (error) {
    connection.destroy()
    if (late) throw unreachableAt(place, 'gave no answer in time')
    throw located(withoutValues(error), place, address.user, address.database)
  } finally {
    clearTimeout(timer)
  }
}

/** One text in one round trip, outside of any frame of ours: what sets up a database of our own (CREATE DATABASE). */
export async function runScript(url: string, text: string): Promise<void> {
  const address = parseAddress(url)
  const connection = openConnection(address, address.endpoints[0] as Endpoint, {})
  try {
    await connection.sql.unsafe(text)
    await connection.sql.end({ timeout: 1 })
  } catch (error) {
    throw withoutValues(error)
  } finally {
    connection.destroy()
  }
}
