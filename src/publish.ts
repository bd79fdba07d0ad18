/** Writes statuses and events with bounded concurrency beside the data work; its failures never fail the data. */
import pLimit from 'p-limit'
import type { Database } from './database/client.ts'
import { saveReported } from './database/ledger.ts'
import type { Log } from './log.ts'
import type { Listed, Source, Status } from './model.ts'
import { eventOf, statusDigest } from './status.ts'

export interface Notice {
  readonly listed: Listed
  readonly status: Status
  /** State that the ledger knew before; undefined for a new object. */
  readonly before: string | undefined
}

export interface Publisher {
  /** Whether statuses go anywhere at all. */
  readonly active: boolean
  /** Resolves when there is room for more, not when it is done. */
  readonly publish: (notices: readonly Notice[]) => Promise<void>
  readonly settle: () => Promise<{ failed: number; written: number }>
}

interface Options {
  readonly source: Source
  readonly database: Database
  readonly log: Log
  readonly concurrency: number
}

/** At most this many notices wait or are under way: memory follows this bound. */
const ROOM = 2000

export function makePublisher({ source, database, log, concurrency }: Options): Publisher {
  const limit = pLimit(concurrency)
  const busy = new Set<Promise<void>>()
  const tally = { failed: 0, written: 0, waiting: 0 }

  const one = async ({ listed, status, before }: Notice): Promise<boolean> => {
    try {
      const there = await source.patchStatus(listed, status)
      const event = there && eventOf(before, status)
      if (event) await source.emit(listed, event)
      return there
    } catch (error) {
      tally.failed++
      const { kind, namespace, name } = listed
      log.warn('status not written, next run tries again', { kind, namespace, name, error: (error as Error).message })
      return false
    }
  }

  const batch = async (notices: readonly Notice[]): Promise<void> => {
    const written = await Promise.all(notices.map(notice => limit(one, notice)))
    const done = notices.filter((_, index) => written[index])
    tally.written += done.length
    const reported = done.map(({ listed: { kind, namespace, name, uid }, status }) => ({
      kind,
      namespace,
      name,
      reported: statusDigest(uid, status)
    }))
    try {
      if (reported.length > 0) await database.write(sql => saveReported(sql, source.id, reported))
    } catch (error) {
      log.warn('written statuses not noted, next run writes them again', { error: (error as Error).message })
    }
  }

  return {
    active: true,
    publish: async notices => {
      if (notices.length === 0) return
      while (tally.waiting > ROOM) await Promise.race(busy)
      tally.waiting += notices.length
      const work: Promise<void> = batch(notices).finally(() => {
        tally.waiting -= notices.length
        busy.delete(work)
      })
      busy.add(work)
    },
    settle: async () => {
      await Promise.all(busy)
      return tally
    }
  }
}

/** For a plan, a directory of files, or `--status none`. */
export const silentPublisher: Publisher = {
  active: false,
  publish: async () => {},
  settle: async () => ({ failed: 0, written: 0 })
}
