/** Applies decisions: one batch is one transaction with its ledger rows; a bad row stands alone, transient faults are retried. */
import type { Refused } from './admit.ts'
import { baseOf, type Decided, detailsOf } from './compare.ts'
import { withRetries } from './database/failures.ts'
import { saveEntries, saveStates } from './database/ledger.ts'
import { isObjectError, SyncError, stateOf } from './errors.ts'
import { canonical } from './fingerprint.ts'
import {
  type AnyKind,
  type Details,
  type Entry,
  type Json,
  type Listed,
  objectKey,
  type Row,
  type Sql,
  type State,
  type Status,
  targetKey,
  type Write
} from './model.ts'
import { engineView, type Session } from './session.ts'
import { seconds, statusDigest, statusOf } from './status.ts'
import { writeAudit } from './windmill/audit.ts'
import { inOneGo } from './windmill/statements.ts'
import { readTokens } from './windmill/targets.ts'

/** What became of a decision. */
export type Applied =
  | { readonly done: Decided; readonly entry: Entry; readonly before: Entry | undefined }
  | { readonly done: Decided; readonly error: SyncError }
  /** The row moved between comparing and writing: compare again. */
  | { readonly done: Decided; readonly stale: true }

/** Applies a batch; refused rows are isolated by halving, everything else that goes wrong ends the run. */
export async function applyBatch(
  session: Session,
  kind: AnyKind,
  batch: readonly Decided[]
): Promise<readonly Applied[]> {
  if (batch.length === 0) return []
  try {
    const applied = await withRetries(() => session.database.write(sql => transact(session, kind, batch, sql)), {
      signal: session.signal
    })
    for (const one of applied) if ('entry' in one) session.ledger.remember(one.entry)
    return applied
  } catch (error) {
    if (!isObjectError(error)) throw error
    // The rows were made with a key that is no longer the workspace's: no part of the batch can be repeated as it is.
    if (error.code === 'WorkspaceKeyChanged') return batch.map(done => ({ done, stale: true }))
    const [only] = batch
    if (batch.length === 1 && only) return [{ done: only, error }]
    const half = Math.ceil(batch.length / 2)
    const first = await applyBatch(session, kind, batch.slice(0, half))
    return [...first, ...(await applyBatch(session, kind, batch.slice(half)))]
  }
}

async function transact(session: Session, kind: AnyKind, batch: readonly Decided[], sql: Sql): Promise<Applied[]> {
  const view = engineView(kind)
  const stale = await staleTargets(session, kind, batch, sql)
  const fresh = batch.filter(one => !stale.has(keyOf(one)))
  const writes = fresh.flatMap(one => writeOf(one) ?? [])
  if (writes.length > 0) {
    await view.write(sql, writes, session.context)
    await audit(session, kind, writes, sql)
  }
  const written = fresh.filter(one => !isAsCompared(one))
  const targets = written.map(one => ({ ...placeOf(one), fields: Object.keys(one.compiled.row) }))
  const [tokens, details] = await inOneGo([
    readTokens(sql, kind, targets, session.context),
    detailsOf(kind, session, sql, targets)
  ])
  const { byObject } = session.ledger.of(kind.kind)
  const applied: Applied[] = fresh.map(done => {
    const { namespace, name } = done.admitted.input.listed
    const found = isAsCompared(done) ? done : { token: tokens.get(keyOf(done)), details: details.get(keyOf(done)) }
    const entry = entryOf(session, kind, done, found)
    return { done, entry, before: byObject.get(objectKey(namespace, name)) }
  })
  const entries = applied.flatMap(one => ('entry' in one && isNews(session, one.entry) ? [one.entry] : []))
  await saveEntries(sql, session.source.id, entries, ({ namespace, name }) =>
    byObject.get(objectKey(namespace ?? '', name ?? ''))
  )
  session.written.count += writes.length + entries.length
  return [...applied, ...batch.filter(one => stale.has(keyOf(one))).map(done => ({ done, stale: true }) as const)]
}

/**
 * Nothing is written and the token covers the same rows as in the comparison: that token is remembered, never a later
 * one, which may already stand for somebody's edit.
 */
const isAsCompared = (one: Decided): boolean =>
  !one.decision.write && fieldsSeen(one).length === Object.keys(one.compiled.row).length

/** Rows that somebody touched (or made) after we compared them: the decision may not hold any more. */
async function staleTargets(
  session: Session,
  kind: AnyKind,
  batch: readonly Decided[],
  sql: Sql
): Promise<ReadonlySet<string>> {
  const checked = batch.filter(one => !isAsCompared(one))
  if (checked.length === 0) return new Set()
  const targets = checked.map(one => ({ ...placeOf(one), fields: fieldsSeen(one) }))
  const tokens = await readTokens(sql, kind, targets, session.context)
  return new Set(checked.filter(one => tokens.get(keyOf(one)) !== one.token).map(keyOf))
}

/** The same fields as in the comparison, so that composite tokens cover the same rows. */
const fieldsSeen = (one: Decided): readonly string[] => [
  ...new Set([...Object.keys(one.want), ...(one.entry?.fields ?? [])])
]

const placeOf = (one: Decided): { workspace: string; path: string } => {
  const { workspace, path } = one.admitted.input
  return { workspace, path }
}

const keyOf = (one: Decided): string => targetKey(one.admitted.input.workspace, one.admitted.input.path)

function writeOf({ admitted, want, live, decision, compiled }: Decided): Write | undefined {
  if (!decision.write) return undefined
  const { workspace, path, listed } = admitted.input
  return {
    op: decision.write,
    workspace,
    path,
    row: want,
    ...(live && { live: live.row }),
    ...(compiled.guard !== undefined && { guard: compiled.guard }),
    listed
  }
}

async function audit(session: Session, kind: AnyKind, writes: readonly Write[], sql: Sql): Promise<void> {
  const entries = writes.flatMap(write =>
    engineView(kind)
      .audit(write, session.context)
      .map(entry => ({ ...entry, workspace: write.workspace, source: write.listed }))
  )
  await writeAudit(sql, entries, session.context)
}

/** What is remembered, and so told: what was told before, where the rest is no news. */
function told(kind: AnyKind, own: Entry | undefined, details: Details): Details {
  if (!own || !kind.isNews || kind.isNews(own.details, details, new Date())) return details
  const { nextRun: _next, lastRun: _last, ...rest } = details
  const { nextRun, lastRun } = own.details
  return { ...rest, ...(nextRun !== undefined && { nextRun }), ...(lastRun !== undefined && { lastRun }) }
}

/** What the ledger is to say about an object that landed. */
function entryOf(
  session: Session,
  kind: AnyKind,
  done: Decided,
  found: { readonly token: string | undefined; readonly details: Details | undefined }
): Entry {
  const { admitted, compiled, decision, entry } = done
  const { listed, workspace, path } = admitted.input
  const own = session.ledger.of(kind.kind).byObject.get(objectKey(listed.namespace, listed.name))
  const settled = decision.state === 'Synced' && !compiled.unsettled
  // An owned row in conflict keeps its base: what we applied last is still what we applied last.
  const { base, fields, deployed } = decision.state === 'Synced' || !entry ? baseOf(kind, compiled) : entry
  const edited = decision.write ? { lastModifiedInDb: seconds(new Date()) } : done.details
  return withReported(own, listed, {
    kind: kind.kind,
    namespace: listed.namespace,
    name: listed.name,
    uid: listed.uid,
    workspace,
    path,
    fingerprint: settled ? session.marks(kind).of(listed, admitted.versions) : '',
    base,
    fields,
    deployed,
    details: told(kind, own, { ...edited, ...found.details }),
    token: found.token ?? '',
    refs: admitted.refs,
    deletionPolicy: admitted.policies.deletion,
    ownPolicy: admitted.policies.ownDeletion,
    conflictPolicy: admitted.policies.ownConflict,
    state: decision.state,
    reason: decision.reason,
    message: messageOf(done),
    reported: own?.reported ?? '',
    syncedAt: decision.write || !entry?.syncedAt ? new Date() : entry.syncedAt,
    transitionedAt: turnedAt(own, decision.state)
  })
}

/** A status that says something new counts as not written until it is, so that a failed patch is tried again. */
function withReported(own: Entry | undefined, listed: Listed, entry: Entry): Entry {
  const digest = statusDigest(listed.uid, statusFor(listed, entry))
  return { ...entry, reported: own?.reported === digest ? digest : '' }
}

/** The status that an entry stands for. */
export function statusFor(listed: Listed, entry: Entry): Status {
  return statusOf(listed, {
    state: entry.state === 'Released' ? 'Synced' : entry.state,
    reason: entry.reason,
    message: entry.message,
    workspace: entry.workspace ?? undefined,
    details: entry.details,
    syncedAt: entry.syncedAt,
    transitionedAt: entry.transitionedAt ?? new Date()
  })
}

/** When Ready last turned: kept while its truth stays the same. */
function turnedAt(own: Entry | undefined, state: State): Date {
  const same = own?.transitionedAt && (own.state === 'Synced') === (state === 'Synced')
  return same ? own.transitionedAt : new Date()
}

/** The decision's sentence and the notes of the kind. */
export function messageOf({
  admitted,
  decision,
  compiled
}: Pick<Decided, 'admitted' | 'decision' | 'compiled'>): string {
  return [decision.message, ...(compiled.notes ?? []), ...admitted.warnings].join(' ')
}

/** Whether the ledger would change: an unchanged world is not written down again. */
function isNews(session: Session, entry: Entry): boolean {
  const before = session.ledger.of(entry.kind).byObject.get(objectKey(entry.namespace ?? '', entry.name ?? ''))
  return before === undefined || !isSameEntry(before, entry)
}

function isSameEntry(a: Entry, b: Entry): boolean {
  const plain = (value: unknown): unknown =>
    value instanceof Date ? value.getTime() : typeof value === 'object' ? canonical(value as Json) : value
  const same = (key: keyof Entry): boolean =>
    key === 'details'
      ? canonical(lasting(a.details)) === canonical(lasting(b.details))
      : plain(a[key]) === plain(b[key])
  return (Object.keys(b) as (keyof Entry)[]).every(same)
}

/** When somebody last edited the row is no reason to write anything; which other times are, `isNews` says. */
const lasting = ({ lastModifiedInDb: _edited, ...rest }: Details): Row => rest

/** Writes down what is said of CRs that got nothing: Error, Conflict. Returns the entries, saved or unchanged. */
export async function noteStates(
  session: Session,
  kind: AnyKind,
  refused: readonly Refused[]
): Promise<readonly Entry[]> {
  const { byObject } = session.ledger.of(kind.kind)
  const entries = refused.map(one =>
    stateEntry(kind, one, byObject.get(objectKey(one.listed.namespace, one.listed.name)))
  )
  const news = entries.filter(entry => {
    const before = byObject.get(objectKey(entry.namespace ?? '', entry.name ?? ''))
    return !before || before.fingerprint !== '' || !isSameEntry(before, entry)
  })
  if (session.dry || news.length === 0) return entries
  await withRetries(() => session.database.write(sql => saveStates(sql, session.source.id, news)), {
    signal: session.signal
  })
  session.written.count += news.length
  for (const entry of news) {
    byObject.set(objectKey(entry.namespace ?? '', entry.name ?? ''), entry)
    if (entry.path !== null)
      session.ledger.of(kind.kind).byTarget.set(targetKey(entry.workspace ?? '', entry.path), entry)
  }
  return entries
}

const nothing = {
  workspace: null,
  path: null,
  base: null,
  fields: [],
  deployed: {},
  details: {},
  token: '',
  refs: [],
  deletionPolicy: 'soft-delete',
  ownPolicy: false,
  conflictPolicy: null,
  reported: '',
  syncedAt: null
} as const

function stateEntry(kind: AnyKind, { listed, error }: Refused, before: Entry | undefined): Entry {
  const state = stateOf(error)
  return withReported(before, listed, {
    kind: kind.kind,
    namespace: listed.namespace,
    name: listed.name,
    ...nothing,
    ...before,
    uid: listed.uid,
    fingerprint: '',
    state,
    reason: error.code,
    message: error.message,
    transitionedAt: turnedAt(before, state)
  })
}

export const changedMeanwhile = (): SyncError =>
  new SyncError('ChangedMeanwhile', 'The row kept changing while it was compared; the next run tries again.')
