/** One kind's changed CRs, streamed: read, admit, compare, apply (or preview), tell. */
import pLimit from 'p-limit'
import { type Admitted, admit, type Refused } from './admit.ts'
import { type Applied, applyBatch, changedMeanwhile, messageOf, noteStates, statusFor } from './apply.ts'
import { batchesOf } from './batches.ts'
import { comparable, compare, type Decided } from './compare.ts'
import { type ErrorCode, SyncError, stateOf } from './errors.ts'
import { sealed } from './fingerprint.ts'
import { settleIdentities } from './identities.ts'
import type { AnyKind, Difference, Entry, Listed, Manifest, Outcome } from './model.ts'
import { objectKey, targetKey } from './model.ts'
import { differences } from './plan.ts'
import type { Notice } from './publish.ts'
import { Wanted } from './roster.ts'
import { engineView, isOwned, type Session } from './session.ts'
import type { Surveyed } from './survey.ts'

/** Chunks of the source that are looked at together: bounds memory, and decides claims within it exactly. */
const CHUNKS_PER_WINDOW = 2

/** A row that moves under us is compared again this often. */
const ATTEMPTS = 3

type Chunks = AsyncIterable<readonly Manifest[]>

/** So many CRs of a kind are read before their turn. */
const READ_AHEAD = 1000

/** Begins to read what changed, where that is little: kinds wait for each other, and reading need not. */
export function readAhead(session: Session, { kind, roster, changed }: Surveyed): Chunks | undefined {
  if (changed.size === 0 || changed.size > READ_AHEAD) return undefined
  const chunks = session.source.read(kind, new Wanted(roster, changed))[Symbol.asyncIterator]()
  const first = chunks.next()
  // Thrown when it is asked for.
  first.catch(() => {})
  return resumed(first, chunks)
}

async function* resumed<T>(first: Promise<IteratorResult<T>>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  try {
    for (let one = await first; !one.done; one = await rest.next()) yield one.value
  } finally {
    await rest.return?.()
  }
}

/** `chunks`: what is being read already. */
export async function reconcileKind(session: Session, surveyed: Surveyed, chunks: Chunks | undefined): Promise<void> {
  const { kind, roster, changed } = surveyed
  const wanted = new Wanted(roster, changed)
  const postponed = await reconcileListed(session, surveyed, { wanted, chunks })
  session.claims(kind.kind).settle()
  if (!session.signal.aborted) await reconcileListed(session, surveyed, { wanted: Wanted.of(roster, postponed) })
}

interface Listing {
  readonly wanted: Wanted
  readonly chunks?: Chunks | undefined
}

/** Returns those that wait for what another one says, which comes later. */
async function reconcileListed(
  session: Session,
  surveyed: Surveyed,
  { wanted, chunks: begun }: Listing
): Promise<readonly Listed[]> {
  if (wanted.size === 0) return []
  const { kind } = surveyed
  const postponed: Listed[] = []
  let window: Manifest[] = []
  let chunks = 0
  for await (const chunk of begun ?? session.source.read(kind, wanted)) {
    window.push(...chunk)
    if (++chunks % CHUNKS_PER_WINDOW !== 0) continue
    postponed.push(...(await reconcileWindow(session, surveyed, window)))
    window = []
    if (session.signal.aborted) return []
  }
  if (window.length > 0 && !session.signal.aborted)
    postponed.push(...(await reconcileWindow(session, surveyed, window)))
  return postponed
}

async function reconcileWindow(
  session: Session,
  surveyed: Surveyed,
  manifests: readonly Manifest[]
): Promise<readonly Listed[]> {
  const { kind } = surveyed
  const { admitted, refused, evicted, postponed, paused } = await admit(session, surveyed, manifests)
  for (const listed of paused) tellPaused(session, kind, listed)
  const limit = pLimit(session.connections)
  const late: Refused[] = [...refused]
  const batches = batchesOf(kind, admitted, session.config.batchSize).map(batch =>
    limit(async () => (session.signal.aborted ? undefined : reconcileBatch(session, kind, { batch, late }, ATTEMPTS)))
  )
  // Settled means settled, also after a failure: nothing goes on writing behind the caller.
  await Promise.allSettled(batches)
  await Promise.all(batches)
  // After the batches: whoever lost a target to one of them has no entry any more, and what is said of him gets a new one.
  await refuse(session, kind, late)
  const lost = evicted.filter(one => !late.some(({ listed }) => isSameObject(listed, one.listed)))
  session.outcomes.keep(-lost.filter(one => !session.outcomes.has(one.listed)).length)
  await refuse(session, kind, lost)
  session.ledger.forget(kind.kind)
  return postponed
}

const isSameObject = (a: Listed, b: Listed): boolean => a.namespace === b.namespace && a.name === b.name

interface Work {
  readonly batch: readonly Admitted[]
  /** Who got nothing: told when the window is done. */
  readonly late: Refused[]
}

async function reconcileBatch(session: Session, kind: AnyKind, { batch, late }: Work, attempts: number): Promise<void> {
  const { decided, refused } = await compare(session, kind, batch)
  const foreign = decided.filter(one => !one.decision.own)
  late.push(...refused, ...foreign.map(refusalOf))
  const ours = decided.filter(one => one.decision.own)
  if (session.dry) {
    for (const one of ours) preview(session, kind, one)
    return
  }
  const { ready, blocked } = await settleIdentities(session, kind, affordable(session, kind, ours))
  const applied = await applyBatch(session, kind, ready)
  await tell(session, kind, applied)
  const failed = applied.flatMap(one => ('error' in one ? [{ ...refusalOf(one.done), error: one.error }] : []))
  const stale = applied.flatMap(one => ('stale' in one ? [one.done.admitted] : []))
  const hopeless = attempts > 1 ? [] : stale.map(({ input }) => ({ ...input, error: changedMeanwhile() }))
  late.push(...failed, ...blocked, ...hopeless)
  if (stale.length > 0 && attempts > 1) await reconcileBatch(session, kind, { batch: stale, late }, attempts - 1)
}

/** Thousands of lock jobs at once starve an instance of workers: what goes beyond the limit waits for the next run. */
function affordable(session: Session, kind: AnyKind, decided: readonly Decided[]): readonly Decided[] {
  const { locks } = engineView(kind)
  if (!locks) return decided
  return decided.filter(one => {
    const { decision, want: row, live } = one
    if (!decision.write || !locks({ op: decision.write, row, ...(live && { live: live.row }) }, session.context))
      return true
    if (session.lockJobs.left > 0) {
      session.lockJobs.left--
      return true
    }
    session.outcomes.set({ ...outcomeOf(kind, one), ...deferred, message: waits(session.config.maxLockJobs) })
    return false
  })
}

const deferred = { op: 'skip', state: '', reason: 'LockJobsBounded' } as const

const waits = (limit: number): string =>
  `Waits for the next run: this one has queued ${limit} jobs that lock dependencies (--max-lock-jobs).`

function refusalOf({ admitted: { input }, decision }: Decided): Refused {
  const { listed, workspace, path } = input
  return { listed, error: new SyncError(decision.reason as ErrorCode, decision.message), workspace, path }
}

/** Tells what became of CRs that got nothing, everywhere it is to be told. */
async function refuse(session: Session, kind: AnyKind, refused: readonly Refused[]): Promise<void> {
  if (refused.length === 0) return
  await session.ledger.load(kind.kind, { objects: refused.map(one => one.listed), targets: [] })
  const { byObject } = session.ledger.of(kind.kind)
  const before = refused.map(one => byObject.get(objectKey(one.listed.namespace, one.listed.name)))
  const entries = await noteStates(session, kind, refused)
  const notices: Notice[] = []
  for (const [index, { listed, error, workspace, path }] of refused.entries()) {
    const state = stateOf(error)
    session.outcomes.set({
      op: state === 'Conflict' ? 'conflict' : 'error',
      kind: kind.kind,
      namespace: listed.namespace,
      name: listed.name,
      workspace: workspace ?? '',
      path: path ?? '',
      state,
      reason: error.code,
      message: listed.origin ? `${listed.origin}: ${error.message}` : error.message
    })
    const entry = entries[index]
    if (entry?.reported === '') notices.push({ listed, status: statusFor(listed, entry), before: before[index]?.state })
  }
  await session.publisher.publish(notices)
}

function outcomeOf(kind: AnyKind, { admitted, decision, compiled }: Decided): Outcome {
  const { listed, workspace, path } = admitted.input
  return {
    op: decision.op,
    kind: kind.kind,
    namespace: listed.namespace,
    name: listed.name,
    workspace,
    path,
    state: decision.state,
    reason: decision.reason,
    message: messageOf({ admitted, decision, compiled })
  }
}

function preview(session: Session, kind: AnyKind, one: Decided): void {
  const { input } = one.admitted
  if (kind.inWorkspace === false) session.workspaces.add(input.workspace)
  if (!isOwned(session.ledger.of(kind.kind).byTarget.get(targetKey(input.workspace, input.path)))) {
    session.gained.set(kind.kind, (session.gained.get(kind.kind) ?? 0) + 1)
  }
  const own = session.ledger.of(kind.kind).byObject.get(objectKey(input.listed.namespace, input.listed.name))
  if (isOwned(own) && (own.workspace !== input.workspace || own.path !== input.path)) session.left.push(own)
  // Whole contents: held for the report only where somebody asked for them.
  const diff = session.config.diff && one.decision.write ? differencesOf(kind, one) : []
  const shown = [one.want, one.live?.row ?? {}].flatMap(row => engineView(kind).secrets?.(row) ?? [])
  const secret = new Set([...shown, ...(one.compiled.masked ?? [])])
  const masked = diff.map(change =>
    secret.has(change.field) ? { field: change.field, from: mask(change.from), to: mask(change.to) } : change
  )
  session.outcomes.set({ ...outcomeOf(kind, one), ...(diff.length > 0 && { diff: masked }) })
}

/** What differs as the decision saw it, with the values as they are. */
function differencesOf(kind: AnyKind, { want, live, entry }: Decided): readonly Difference[] {
  const seen = differences(sealed(want, kind.rewritten), live ? comparable(kind, live, entry) : {})
  const names = new Set(seen.map(one => one.field))
  return differences(want, live?.row ?? {}).filter(one => names.has(one.field))
}

const mask = (value: unknown): string | undefined => (value === undefined || value === null ? undefined : '(secret)')

async function tell(session: Session, kind: AnyKind, applied: readonly Applied[]): Promise<void> {
  const notices: Notice[] = []
  for (const one of applied) {
    if (!('entry' in one)) continue
    const { input } = one.done.admitted
    if (kind.inWorkspace === false) session.workspaces.add(input.workspace)
    session.outcomes.set({ ...outcomeOf(kind, one.done), message: one.entry.message })
    if (one.entry.reported !== '') continue
    if (session.config.status === 'changes' && one.done.decision.op === 'keep') continue
    notices.push({ listed: input.listed, status: statusFor(input.listed, one.entry), before: one.before?.state })
  }
  await session.publisher.publish(notices)
}

function tellPaused(session: Session, kind: AnyKind, listed: Listed): void {
  const entry: Entry | undefined = session.ledger.of(kind.kind).byObject.get(objectKey(listed.namespace, listed.name))
  session.outcomes.set({
    op: 'skip',
    kind: kind.kind,
    namespace: listed.namespace,
    name: listed.name,
    workspace: entry?.workspace ?? '',
    path: entry?.path ?? '',
    state: '',
    reason: 'Disabled',
    message: 'windmill.dev/reconcile is disabled: left alone, still owned.'
  })
}
