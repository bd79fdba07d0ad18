/** One connection that is never re-established, and on which every statement ends. */
import type postgres from 'postgres'
import { SyncError } from '../errors.ts'

/**
 * A driver with exactly one connection that is never re-established: after a loss, a statement sent to a pool that
 * reconnects would run, outside any transaction, as whoever logged in.
 */
export interface Connection {
  readonly sql: postgres.Sql
  readonly alive: () => boolean
  /** Closes at once, whatever is going on. */
  readonly destroy: () => void
  /** Calls at once when it is closed already. Gives the way to call it off. */
  readonly onClose: (listener: () => void) => () => void
}

/** The end of a connection: happens once, and everybody who asked hears of it. */
export interface End {
  readonly reached: () => boolean
  readonly reach: () => void
  readonly onReach: (listener: () => void) => () => void
}

export function makeEnd(): End {
  const listeners = new Set<() => void>()
  let reached = false
  return {
    reached: () => reached,
    reach: () => {
      if (reached) return
      reached = true
      for (const listener of listeners) listener()
      listeners.clear()
    },
    onReach: listener => {
      if (reached) listener()
      else listeners.add(listener)
      return () => listeners.delete(listener)
    }
  }
}

/** What a query of the driver is made of; all of it belongs to the one object. */
interface Query {
  handler: (query: Query) => unknown
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
  /** Flat, also those of fragments; there once the driver has put the statement together. */
  readonly parameters?: readonly unknown[]
}

/**
 * The driver asks the server for the types of parameters before it sends them, which takes a round trip per statement.
 * Texts and numbers go as they are whatever their type, so where there is nothing else the question is left out.
 */
function inOneTrip(query: Query): void {
  let asks: unknown = false
  Object.defineProperty(query, 'describeFirst', {
    configurable: true,
    get: () => asks,
    set: value => {
      asks = value && !query.parameters?.every(one => one === null || isPlain(typeof one))
    }
  })
}

const isPlain = (type: string): boolean => type === 'string' || type === 'number' || type === 'boolean'

/**
 * The driver forgets statements that were sent while a connection broke with an error: they never settle. So those still
 * open at the end of the connection are rejected here, and later ones are not even sent.
 */
export function tracked(sql: postgres.Sql, end: End, place: string): postgres.Sql {
  const lost = (): SyncError =>
    new SyncError('DatabaseUnreachable', `PostgreSQL at ${place} closed the connection.`, { transient: true })
  const track = <T>(value: T): T => {
    if (!(value instanceof Promise)) return value
    const query = value as unknown as Query
    const { handler } = query
    // Called when the query is sent; a fragment of another query never is.
    query.handler = sent => {
      if (end.reached()) return query.reject(lost())
      const forget = end.onReach(() => query.reject(lost()))
      const { resolve, reject } = query
      query.resolve = result => {
        forget()
        resolve(result)
      }
      query.reject = error => {
        forget()
        reject(error)
      }
      inOneTrip(query)
      return handler(sent)
    }
    return value
  }
  return new Proxy(sql, {
    apply: (target, self, args) => track(Reflect.apply(target as never, self, args)),
    get: (target, key) => {
      if (key !== 'unsafe') return Reflect.get(target, key)
      return (...args: Parameters<postgres.Sql['unsafe']>) => track(target.unsafe(...args))
    }
  })
}
