/** A few connections used in turn; one that is not certainly sound is thrown away, never handed on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../errors.ts'
import type { Connection } from './connection.ts'

export interface Pool {
  /** Waits for a turn. Do not nest: with all connections waiting for each other nobody moves. */
  readonly use: <T>(work: (connection: Connection) => Promise<T>) => Promise<T>
  /** Lets running work end within the limit, then closes everything. */
  readonly drain: (timeoutMs: number) => Promise<void>
  readonly close: () => void
}

export function openPool(open: () => Connection, max: number, first: Connection): Pool {
  const idle: Connection[] = [first]
  const busy = new Set<Connection>()
  const queue: (() => void)[] = []
  let turns = max
  let closing = false

  const turn = async (): Promise<void> => {
    if (turns > 0) turns--
    else await new Promise<void>(resolve => queue.push(resolve))
  }
  const next = (): void => {
    const waiting = queue.shift()
    if (waiting) waiting()
    else turns++
  }
  const sound = (): Connection | undefined => {
    for (let found = idle.pop(); found; found = idle.pop()) if (found.alive()) return found
    return undefined
  }
  const close = (): void => {
    closing = true
    for (const connection of [...idle.splice(0), ...busy]) connection.destroy()
  }

  return {
    use: async work => {
      await turn()
      try {
        if (closing) throw new SyncError('DatabaseFailed', 'The connection to the database was closed by this program.')
        const connection = sound() ?? open()
        busy.add(connection)
        try {
          return await work(connection)
        } finally {
          busy.delete(connection)
          if (closing) connection.destroy()
          else if (connection.alive()) idle.push(connection)
        }
      } finally {
        next()
      }
    },
    drain: async timeoutMs => {
      closing = true
      const end = Date.now() + timeoutMs
      while (busy.size > 0 && Date.now() < end) await sleep(20)
      await Promise.all(idle.map(connection => connection.sql.end({ timeout: 1 })))
      close()
    },
    close
  }
}
