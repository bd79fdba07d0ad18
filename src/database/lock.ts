/**
 * One run per database and shard, also behind PgBouncer in transaction mode, and no write after the lock is gone.
 *
 * Handled, not refused: the lock belongs to a TRANSACTION that stays open for the whole run on a connection of its own.
 * An open transaction keeps its server connection under PgBouncer's transaction mode (a session lock would stay behind
 * on whatever server happened to run the statement); the pool of the bouncer must have room for that connection plus
 * those that work. The transaction is READ COMMITTED, holds no snapshot and no transaction id between statements, so it
 * holds back no vacuum; its time limits are off, a heartbeat keeps balancers from taking it for idle, and keepalives let
 * the server notice within a minute that the node with our process is gone.
 *
 * Losing the connection loses the lock, and another run may begin at once. So every write begins with a fence, in its
 * first statement: (1) it shares a second lock, the gate, until its end; (2) then it sees that the very transaction that
 * took our lock still holds it. A new run, when it has the lock, waits once for the gate alone: writes of the old run
 * that had passed the fence are over by then, and later ones do not pass.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../errors.ts'
import type { Connection } from './connection.ts'
import { withoutValues } from './failures.ts'
import type { Pool } from './pool.ts'

/** Class ids of two-integer advisory locks, 'WIAC' and the next: Windmill uses the other key space, of one bigint. */
const lockClass = 0x57_49_41_43
const gateClass = lockClass + 1

const heartbeatMs = 15_000
/** Writes of a run that lost its lock are over after their statement limit; this is beyond it. */
const gateMs = 180_000

export interface RunLock {
  readonly shard: number
  readonly pid: number
  /** Names the transaction as pg_locks does; unlike a process id it does not come again. */
  readonly transaction: string
  /** Aborted when the lock is lost. */
  readonly signal: AbortSignal
  readonly release: () => Promise<void>
}

export interface LockWish {
  readonly open: () => Connection
  readonly use: Pool['use']
  readonly shard: number
  readonly timeoutMs: number
  readonly onWait: (holder: string) => void
  readonly signal: AbortSignal
}

const own = (shard: number): string => `locktype = 'advisory' and objsubid = 2 and granted and mode = 'ExclusiveLock'
  and database = (select oid from pg_database where datname = current_database())
  and classid = ${lockClass} and objid = ${shard}`

/** An SQL expression. CASE fixes the order: the gate first, then the look at the lock. */
export const fenceSql = (
  lock: RunLock
): string => `case when pg_try_advisory_xact_lock_shared(${gateClass}, ${lock.shard})
  then exists (select from pg_locks where ${own(lock.shard)} and pid = ${lock.pid} and virtualtransaction = '${lock.transaction}')
  else false end`

/** Time limits off wherever the server has them (transaction_timeout is new in 17), keepalives for a lost client. */
const beginSql = `begin isolation level read committed;
select set_config(name, case when name like 'tcp%' then '15' else '0' end, true) from pg_settings where name in
  ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
   'transaction_timeout', 'tcp_keepalives_idle', 'tcp_keepalives_interval')`

export async function takeLock(wish: LockWish): Promise<RunLock> {
  if (!Number.isInteger(wish.shard) || wish.shard < 0 || wish.shard > 0x7f_ff_ff_ff) throw new RangeError('shard')
  const connection = wish.open()
  try {
    const held = await acquire(connection, wish)
    await passGate(wish)
    return guard(connection, { shard: wish.shard, ...held })
  } catch (error) {
    connection.destroy()
    throw withoutValues(error)
  }
}

export const lostLock = (): SyncError =>
  new SyncError('LockLost', 'The lock of this run was lost; another run may have begun, so nothing more is written.')

type Held = Pick<RunLock, 'pid' | 'transaction'>

async function acquire({ sql }: Connection, { shard, timeoutMs, onWait, signal }: LockWish): Promise<Held> {
  const began = Date.now()
  for (let tries = 0; ; tries++) {
    await sql.unsafe(beginSql)
    const [got] = await sql<
      { got: boolean }[]
    >`select pg_try_advisory_xact_lock(${lockClass}::int, ${shard}::int) as got`
    if (got?.got) {
      const [held] = await sql.unsafe<{ pid: number; transaction: string }[]>(
        `select pid, virtualtransaction as transaction from pg_locks where ${own(shard)} and pid = pg_backend_pid()`
      )
      if (!held) throw new SyncError('DatabaseFailed', 'The server gave a lock and does not show it.')
      return held
    }
    await sql.unsafe('rollback')
    const holder = await holderOf(sql, shard)
    const rest = timeoutMs - (Date.now() - began)
    if (rest <= 0) throw busy(holder, timeoutMs)
    if (tries === 0) onWait(holder)
    const pause = Math.min(rest, 200 + Math.min(tries * 100, 1500) * (0.5 + Math.random()))
    await sleep(pause, undefined, { signal }).catch(() => {})
    if (signal.aborted) throw new SyncError('Interrupted', `Stopped while waiting for another run (${holder}).`)
  }
}

const busy = (holder: string, timeoutMs: number): SyncError =>
  new SyncError(
    'LockBusy',
    `Another run works on this database (${holder}); it did not end within ${Math.round(timeoutMs / 1000)} s.`
  )

/** Client and start are hidden from users who are neither the same nor privileged. */
async function holderOf(sql: Connection['sql'], shard: number): Promise<string> {
  const [row] = await sql.unsafe<
    { name: string | null; login: string | null; client: string | null; since: Date | null }[]
  >(
    `select a.application_name as name, a.usename as login, a.xact_start as since,
            case when a.client_port = -1 then 'this machine' else host(a.client_addr) end as client
       from pg_locks l join pg_stat_activity a using (pid)
      where ${own(shard).replace('database =', 'l.database =')}`
  )
  if (!row) return 'just ended'
  const parts = [row.name || 'unnamed', row.login && `as ${row.login}`, row.client && `from ${row.client}`]
  return [...parts, row.since && `since ${row.since.toISOString()}`].filter(Boolean).join(' ')
}

/** Waits until writes of a run before us that lost its lock are over. Usually nobody is there. */
async function passGate({ use, shard }: LockWish): Promise<void> {
  await use(async ({ sql, destroy }) => {
    try {
      await sql.unsafe(`begin; select set_config('lock_timeout', '${gateMs}', true), set_config('statement_timeout', '0', true);
        select pg_advisory_xact_lock(${gateClass}, ${shard}); commit`)
    } catch (error) {
      destroy()
      throw error
    }
  })
}

function guard(connection: Connection, held: Held & { shard: number }): RunLock {
  const lost = new AbortController()
  let released = false
  let waiting = false
  const lose = (): void => {
    clearInterval(timer)
    if (released || lost.signal.aborted) return
    lost.abort(lostLock())
    connection.destroy()
  }
  const beat = async (): Promise<void> => {
    if (waiting) return lose()
    waiting = true
    try {
      await connection.sql.unsafe('select 1')
      waiting = false
    } catch {
      lose()
    }
  }
  const timer = setInterval(() => void beat(), heartbeatMs)
  timer.unref()
  connection.onClose(lose)
  return {
    ...held,
    signal: lost.signal,
    release: async () => {
      if (released) return
      released = true
      clearInterval(timer)
      const ended = connection.alive() ? connection.sql.unsafe('rollback').execute() : Promise.resolve()
      await Promise.race([ended, sleep(2000, undefined, { ref: false })]).catch(() => {})
      connection.destroy()
    }
  }
}
