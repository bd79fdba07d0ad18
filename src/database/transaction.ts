/** One transaction on one connection: opened in a single round trip, and never a raw database error out of it. */
import type postgres from 'postgres'
import { SyncError } from '../errors.ts'
import type { Sql } from '../model.ts'
import type { Connection } from './connection.ts'
import { codeOf, withoutValues } from './failures.ts'

export interface Frame {
  /** `begin …`, settings and checks as one text without parameters: the simple protocol needs one round trip for it. */
  readonly opening: string
  /** Sees the row of the last statement of `opening`; throws to refuse. */
  readonly check?: (row: Readonly<Record<string, unknown>>) => void
  /** Called when the connection broke during the commit: true means that it did happen. */
  readonly landed?: (row: Readonly<Record<string, unknown>>) => Promise<boolean>
}

/** A connection that does not even answer a rollback is not worth waiting for. */
const rollbackMs = 5000

export async function transaction<T>(connection: Connection, frame: Frame, work: (sql: Sql) => Promise<T>): Promise<T> {
  const errors = firstError()
  try {
    const row = await begin(connection, frame)
    const result = await work(guarded(connection.sql, errors.note, counter()))
    // A statement that nobody awaited has failed as well: what follows it was refused by the server.
    if (errors.first()) throw errors.first()
    await commit(connection, frame, row)
    return result
  } catch (error) {
    await rollback(connection, error)
    throw withoutValues(error)
  }
}

async function begin({ sql }: Connection, frame: Frame): Promise<Readonly<Record<string, unknown>>> {
  const results = (await sql.unsafe(frame.opening)) as unknown as readonly (readonly Record<string, unknown>[])[]
  const row = results.at(-1)?.[0] ?? {}
  frame.check?.(row)
  return row
}

async function commit({ sql }: Connection, frame: Frame, row: Readonly<Record<string, unknown>>): Promise<void> {
  try {
    const done = await sql.unsafe('commit')
    // COMMIT of a failed transaction is no error for PostgreSQL, it answers ROLLBACK.
    if (done.command !== 'COMMIT')
      throw new SyncError('DatabaseFailed', 'The transaction was rolled back by the server.')
  } catch (error) {
    const clean = withoutValues(error)
    const unknown = clean instanceof SyncError && clean.code === 'DatabaseUnreachable'
    if (unknown && frame.landed && (await frame.landed(row))) return
    throw clean
  }
}

/** Leaves the connection clean, or closed. Errors of the driver itself leave it in an unknown state: closed. */
async function rollback(connection: Connection, cause: unknown): Promise<void> {
  if (!connection.alive()) return
  const driver = cause instanceof Error && !(cause instanceof SyncError) && /^[A-Z]+_[A-Z_]+$/.test(codeOf(cause))
  if (driver) return connection.destroy()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, rollbackMs, new Error('rollback takes too long'))
  })
  try {
    await Promise.race([connection.sql.unsafe('rollback').execute(), late])
  } catch {
    connection.destroy()
  } finally {
    clearTimeout(timer)
  }
}

interface Errors {
  /** Gives the error to reject with: of a row of failures the first one tells the reason. */
  readonly note: (error: unknown) => Error
  readonly first: () => Error | undefined
}

function firstError(): Errors {
  let first: Error | undefined
  return {
    note: error => {
      if (first && codeOf(error) === '25P02') return first
      const clean = withoutValues(error)
      first ??= clean
      return clean
    },
    first: () => first
  }
}

const counter = (): (() => string) => {
  let last = 0
  return () => `s${++last}`
}

/** The driver's query function whose errors are clean before anybody sees them, with savepoints of its own. */
function guarded(sql: postgres.Sql, note: Errors['note'], name: () => string): Sql {
  const savepoint = async (a: unknown, b?: unknown): Promise<unknown> => {
    const work = (b ?? a) as (sql: Sql) => Promise<unknown>
    const point = name()
    const inner = firstError()
    // Neither is waited for: statements run in the order in which they are sent, and what fails here fails all later ones.
    send(clean(sql.unsafe(`savepoint ${point}`), note))
    try {
      const result = await work(guarded(sql, inner.note, name))
      if (inner.first()) throw inner.first()
      send(clean(sql.unsafe(`release savepoint ${point}`), note))
      return result
    } catch (error) {
      await clean(sql.unsafe(`rollback to savepoint ${point}`), note)
      throw withoutValues(error)
    }
  }
  return new Proxy(sql, {
    apply: (target, self, args) => clean(Reflect.apply(target as never, self, args), note),
    get: (target, key) => {
      if (key === 'savepoint') return savepoint
      if (key === 'unsafe') return (...args: Parameters<postgres.Sql['unsafe']>) => clean(target.unsafe(...args), note)
      return Reflect.get(target, key)
    }
  }) as unknown as Sql
}

/** Sends a statement whose failure is noted: it keeps the transaction from being committed. */
function send(query: PromiseLike<unknown>): void {
  query.then(undefined, () => {})
}

/** A query is lazy and may be a fragment of another: its promise must not be touched, only what it rejects with. */
function clean<T>(query: T, note: Errors['note']): T {
  if (!(query instanceof Promise)) return query
  const settling = query as unknown as { reject: (error: unknown) => void }
  const { reject } = settling
  settling.reject = error => reject(note(error))
  return query
}
