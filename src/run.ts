/** The whole job, top to bottom. Each line is one stage; each stage has one file. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { begin, type Footing } from './begin.ts'
import type { Config } from './config.ts'
import { refreshStatistics, saveRun } from './database/history.ts'
import { SyncError } from './errors.ts'
import { ensureIdentities } from './identities.ts'
import type { Stray } from './model.ts'
import { pruneKind } from './prune.ts'
import { readAhead, reconcileKind } from './reconcile.ts'
import { wavesOf } from './registry.ts'
import { makeReport, type Report, sentenceOf } from './report.ts'
import { isWatched, selectKinds } from './scope.ts'
import { engineView, type Session, type World } from './session.ts'
import { findMoved, type Listing, listKinds, type Surveyed, survey } from './survey.ts'

/** `inspected`: what the database says of itself; its refusal is the run's. */
export async function run(config: Config, world: World, inspected: Footing | Promise<Footing>): Promise<Report> {
  const startedAt = new Date()
  // The cluster lists while the database looks for what has moved. Lists keep this process busy, so the database is asked
  // first; one that is far away is not waited for.
  const asked = new AbortController()
  const listings = listKinds(config, world, headStart(asked.signal))
  for (const one of listings) one.catch(() => {})
  const footing = await inspected
  const session = await begin(config, world, footing)
  let error: SyncError | undefined
  try {
    const surveyed = await surveyAll(session, listings, () => asked.abort())
    const linked = surveyed.some(hasWork) ? session.ledger.loadLinked() : Promise.resolve()
    await Promise.all([linked, preflight(session, surveyed)])
    await reconcileAll(session, surveyed)
    await pruneAll(session, surveyed)
    if (session.signal.aborted) throw interrupted(session.signal)
  } catch (thrown) {
    if (!(thrown instanceof SyncError)) throw thrown
    error = thrown
  } finally {
    const { written } = await session.publisher.settle()
    session.written.count += written
  }
  return finish(session, { startedAt, error, windmillSchema: footing.windmillSchema })
}

/** How long the lists wait for the database at most, in milliseconds. */
const HEAD_START = 100

/** Resolves at the signal, and soon in any case. */
const headStart = async (signal: AbortSignal): Promise<unknown> =>
  sleep(HEAD_START, undefined, { signal, ref: false }).catch(() => {})

/** Whether anything of a kind is to be looked at. */
const hasWork = ({ changed, gone, isLeft }: Surveyed): boolean => changed.size > 0 || gone.length > 0 || isLeft

/** Finds out what may have changed: on the database's side while the cluster still lists, then kind by kind. */
async function surveyAll(
  session: Session,
  listings: readonly Promise<Listing>[],
  isAsked: () => void
): Promise<readonly Surveyed[]> {
  const { ledger, config, kinds } = session
  const overview = ledger.loadOverview()
  // Which rows belong to a shard only the overview tells.
  const moved = (config.shard.count > 1 ? overview : Promise.resolve()).then(() =>
    findMoved(session, selectKinds(kinds, config.kinds))
  )
  moved.catch(() => {})
  // What was asked above is on its way by then.
  setImmediate(isAsked)
  const learn = learner(session)
  const owned = overview.then(() => learn(ownedNamespaces(session)))
  const surveys = listings.map(async one => {
    const listing = await one
    await Promise.all([owned, learn(listing.listed instanceof SyncError ? [] : listing.listed.namespaces)])
    return survey(session, listing, { moved, listed: Promise.all(listings) })
  })
  // Settled means settled, also after a failure: nothing goes on behind the caller.
  await Promise.allSettled([owned, ...surveys])
  const surveyed = await Promise.all(surveys)
  for (const stray of session.source.strays()) tellStray(session, stray)
  return surveyed
}

/** Fetches the annotations of namespaces, once each: their policies decide what a mark is. */
function learner({ source, namespaces }: Session): (names: Iterable<string>) => Promise<unknown> {
  const asked = new Map<string, Promise<void>>()
  const fetch = async (names: readonly string[]): Promise<void> => {
    for (const [name, annotations] of await source.namespaces(names)) namespaces.set(name, annotations)
  }
  return async names => {
    const wanted = [...names]
    const unknown = wanted.filter(one => !asked.has(one))
    const answer = unknown.length > 0 ? fetch(unknown) : Promise.resolve()
    for (const one of unknown) asked.set(one, answer)
    return Promise.all(wanted.map(async one => asked.get(one)))
  }
}

/** Policies of a namespace hold for its rows, also when its last CR is gone. */
function ownedNamespaces({ ledger, config }: Session): ReadonlySet<string> {
  const owned = ledger.tallies.filter(one => !one.foreign && one.owned > 0 && isWatched(one.namespace, config))
  return new Set(owned.map(one => one.namespace))
}

function tellStray(session: Session, { kind, namespace, name, error }: Stray): void {
  const { code: reason, message } = error
  session.outcomes.add({ op: 'error', kind, namespace, name, workspace: '', path: '', state: 'Error', reason, message })
}

/** Lets kinds refuse the run before its first write, for the workspaces that their CRs go to. */
async function preflight(session: Session, surveyed: readonly Surveyed[]): Promise<void> {
  const careful = surveyed.flatMap(({ kind, placed }) => {
    const workspaces = [...placed].filter(one => session.workspaces.has(one))
    return engineView(kind).preflight && workspaces.length > 0 ? [{ view: engineView(kind), workspaces }] : []
  })
  if (careful.length === 0) return
  await session.database.read(async sql => {
    for (const { view, workspaces } of careful) await view.preflight?.(sql, workspaces, session.context)
  })
}

/** Creates and updates, wave by wave; the service identity is seen to once workspaces are there. */
async function reconcileAll(session: Session, surveyed: readonly Surveyed[]): Promise<void> {
  const begun = new Map(surveyed.map(one => [one.kind, readAhead(session, one)]))
  for (const wave of wavesOf(surveyed.map(one => one.kind))) {
    if (session.signal.aborted) return
    if (wave.some(kind => kind.inWorkspace !== false)) {
      await ensureIdentities(
        session,
        surveyed.flatMap(one => [...one.placed])
      )
    }
    const kinds = surveyed.filter(one => wave.includes(one.kind))
    const settled = await Promise.allSettled(kinds.map(one => reconcileKind(session, one, begun.get(one.kind))))
    for (const one of settled) if (one.status === 'rejected') throw one.reason
  }
}

/** Deletions, waves reversed. */
async function pruneAll(session: Session, surveyed: readonly Surveyed[]): Promise<void> {
  for (const wave of wavesOf(surveyed.map(one => one.kind)).toReversed()) {
    for (const kind of wave) {
      if (session.signal.aborted) return
      const one = surveyed.find(other => other.kind === kind)
      if (one) await pruneKind(session, one)
    }
  }
}

/** The lost lock is a reason of its own; everything else is a signal or the deadline. */
const interrupted = ({ reason }: AbortSignal): SyncError =>
  reason instanceof SyncError
    ? reason
    : new SyncError('Interrupted', `Stopped before the end (${String(reason)}); the next run does the rest.`)

async function finish(
  session: Session,
  end: { startedAt: Date; error: SyncError | undefined; windmillSchema: string }
): Promise<Report> {
  const { config, source, outcomes } = session
  const report = makeReport({
    id: randomUUID(),
    ...end,
    finishedAt: new Date(),
    command: config.command,
    cluster: source.id,
    kept: outcomes.kept(),
    outcomes: outcomes.all(),
    exitOnChanges: config.exitCode
  })
  if (session.dry || session.written.count === 0) return report
  const { id, durationMs, command, cluster, exitCode } = report.run
  const { startedAt } = end
  const message = sentenceOf(report)
  try {
    await session.database.write(sql =>
      saveRun(sql, { id, durationMs, command, cluster, exitCode, startedAt, counts: report.counts, message })
    )
  } catch (error) {
    session.log.warn('run not noted in the ledger', { error: (error as Error).message })
  }
  await keepStatistics(session, report)
  return report
}

/** When PostgreSQL holds the statistics of a table for stale: fifty rows and a tenth of all. */
async function keepStatistics({ database, log, written }: Session, { counts }: Report): Promise<void> {
  const known = Object.values(counts).reduce((sum, count) => sum + count, 0)
  if (written.count < 50 + known / 10) return
  try {
    await database.asLogin(refreshStatistics)
  } catch (error) {
    log.debug('no statistics of the ledger', { error: (error as Error).message })
  }
}
