/** What is left of CRs that are gone, or that stand for something else now. */
import type { AnyKind, Entry } from './model.ts'
import { inScope } from './scope.ts'
import { isOwned, type Session } from './session.ts'
import type { Surveyed } from './survey.ts'

/**
 * Entries whose CR does not exist any more, or stands for another target now, unless another CR has taken the target
 * over; and notes on CRs that are gone and owned nothing.
 */
export async function findGone(
  session: Session,
  { kind, gone, isLeft }: Surveyed
): Promise<{ readonly gone: readonly Entry[]; readonly notes: readonly Entry[] }> {
  const { ledger, database, config } = session
  // Rows that CRs left behind: in this run, or earlier.
  const mayBeLeft = isLeft || ledger.hasLeft(kind.kind)
  const found =
    gone.length > 0 || mayBeLeft
      ? await database.read(async sql => [
          ...(await ledger.reader.ofObjects(sql, kind.kind, gone)).entries,
          ...(mayBeLeft ? (await ledger.reader.detached(sql, kind.kind)).entries : [])
        ])
      : []
  const all = [...found, ...session.left.filter(entry => entry.kind === kind.kind)]
  const claims = session.claims(kind.kind)
  return {
    gone: all.filter(
      entry => isOwned(entry) && inScope(entry, config) && !claims.has(entry.workspace ?? '', entry.path ?? '')
    ),
    notes: found.filter(entry => entry.path === null)
  }
}

/** How many targets the job owns, as after a real run. */
export async function countOwned({ ledger, database, config, gained }: Session, { kind }: AnyKind): Promise<number> {
  const tallies = await database.read(sql => ledger.reader.tally(sql))
  const owned = tallies.filter(one => one.kind === kind && !one.foreign && inScope(one, config))
  return owned.reduce((sum, one) => sum + one.owned, gained.get(kind) ?? 0)
}
