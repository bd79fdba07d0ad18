/** What became of a transaction whose commit got no answer. Only the server knows: guessing would write twice or never. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../errors.ts'
import type { Connection } from './connection.ts'

const tries = 20
const pauseMs = 500

/** Asks on fresh connections, for the server may be about to restart. Throws when it stays unknown. */
export async function hasLanded(open: () => Connection, xid: string): Promise<boolean> {
  for (let i = 0; i < tries; i++) {
    if (i > 0) await sleep(pauseMs)
    const status = await statusOf(open(), xid)
    if (status === 'committed') return true
    if (status === 'aborted') return false
  }
  throw new SyncError(
    'DatabaseUnreachable',
    'The connection broke during a commit, and the server does not tell whether it took place; the next run will see.'
  )
}

async function statusOf({ sql, destroy }: Connection, xid: string): Promise<string | undefined> {
  try {
    const [row] = await sql<{ status: string | null }[]>`select txid_status(${xid}::bigint) as status`
    return row?.status ?? undefined
  } catch {
    return undefined
  } finally {
    destroy()
  }
}
