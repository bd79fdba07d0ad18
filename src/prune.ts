/** The last stage: rows of ours whose CR is gone, under the deletion policy and behind the guard, waves reversed. */
import { comparable, editorOf } from './compare.ts'
import { withRetries } from './database/failures.ts'
import { saveDeleted } from './database/history.ts'
import { forgetEntries, forgetObjects, releaseEntries } from './database/ledger.ts'
import { isObjectError, type SyncError } from './errors.ts'
import { digestOf, project } from './fingerprint.ts'
import { countOwned, findGone } from './gone.ts'
import { manifestText } from './manifest.ts'
import {
  type AnyKind,
  type ConflictPolicy,
  type Entry,
  type Outcome,
  type Removal,
  type Row,
  type Sql,
  targetKey
} from './model.ts'
import { by, decideRemoval, guardDeletes, type RemovalDecision } from './plan.ts'
import { engineView, type Session } from './session.ts'
import type { Surveyed } from './survey.ts'
import { policiesFor } from './tenancy.ts'
import { writeAudit } from './windmill/audit.ts'
import { readTokens } from './windmill/targets.ts'

/** One row of ours whose CR is gone, and what is to become of it. */
interface Going {
  readonly entry: Entry
  readonly live: Row | undefined
  /** Token of the row as it was looked at. */
  readonly token: string | undefined
  readonly decision: RemovalDecision
  /** A sentence about what still refers to the row. */
  readonly users?: string | undefined
  /** Who last edited the row, if that is known and not us. */
  readonly editor?: string | undefined
  /** Why nothing can be decided: the row is left. */
  readonly error?: SyncError
}

export async function pruneKind(session: Session, surveyed: Surveyed): Promise<void> {
  const { kind, roster, incomplete } = surveyed
  if (incomplete) return
  const { gone, notes } = await findGone(session, surveyed)
  const deletes = gone.filter(entry => entry.deletionPolicy !== 'ignore').length
  const verdict = guardDeletes({
    owned: deletes > 0 ? await countOwned(session, kind) : 0,
    listed: roster.size,
    deletes,
    max: session.config.maxDeletes
  })
  if (verdict !== undefined) {
    refuse(session, kind, verdict)
    return
  }
  for (let from = 0; from < gone.length; from += session.config.batchSize) {
    if (session.signal.aborted) return
    await pruneBatch(session, kind, gone.slice(from, from + session.config.batchSize))
  }
  await forgetNotes(session, notes)
}

function refuse(session: Session, kind: AnyKind, message: string): void {
  session.log.error('deletions held back', { kind: kind.kind, reason: message })
  session.outcomes.add({ ...nobody(kind), op: 'error', state: 'Error', reason: 'DeletionGuard', message })
}

const nobody = (kind: AnyKind): Omit<Outcome, 'op' | 'state' | 'reason' | 'message'> => ({
  kind: kind.kind,
  namespace: '',
  name: '',
  workspace: '',
  path: ''
})

async function pruneBatch(session: Session, kind: AnyKind, entries: readonly Entry[]): Promise<void> {
  const going = await look(session, kind, entries)
  for (const one of going) if (one.decision === 'leave') report(session, kind, one, leftFor(one))
  const users = await usersOf(
    session,
    kind,
    going.filter(one => one.live && one.decision !== 'leave')
  )
  const isBlocked = (one: Going): boolean =>
    one.decision === 'remove' && one.entry.deletionPolicy !== 'force-delete' && users.has(keyOf(one))
  for (const one of going.filter(isBlocked)) {
    const message = users.get(keyOf(one)) ?? ''
    report(session, kind, one, { op: 'conflict', state: 'Conflict', reason: 'StillInUse', message })
  }
  const ready = going.filter(one => one.decision !== 'leave' && !isBlocked(one))
  await carryOut(
    session,
    kind,
    ready.map(one => ({ ...one, users: users.get(keyOf(one)) }))
  )
}

const leftFor = ({ error, editor }: Going): Told =>
  error
    ? { op: 'error', state: 'Error', reason: error.code, message: error.message }
    : {
        op: 'conflict',
        state: 'Conflict',
        reason: 'ChangedInDatabase',
        message: `The manifest is gone, but the row was edited in Windmill since${by({ rowBy: editor })}: left as it is.`
      }

const keyOf = ({ entry }: Going): string => targetKey(entry.workspace ?? '', entry.path ?? '')

/** Reads the rows and decides about each. */
async function look(session: Session, kind: AnyKind, entries: readonly Entry[]): Promise<readonly Going[]> {
  const view = engineView(kind)
  const targets = entries.map(one => ({ workspace: one.workspace ?? '', path: one.path ?? '', fields: one.fields }))
  const { observed, tokens } = await session.database.read(async sql => ({
    observed: await view.observe(sql, targets, session.context),
    tokens: await readTokens(sql, kind, targets, session.context)
  }))
  const rows = new Map(observed.map(one => [targetKey(one.workspace, one.path), one]))
  const going = entries.map((entry): Going => {
    const found = rows.get(targetKey(entry.workspace ?? '', entry.path ?? ''))
    const live = found?.row
    const token = tokens.get(targetKey(entry.workspace ?? '', entry.path ?? ''))
    const conflict = conflictPolicy(session, entry)
    if (typeof conflict !== 'string') return { entry, live, token, decision: 'leave', error: conflict }
    const decision = decideRemoval({
      policy: kind.retained && !entry.ownPolicy ? 'ignore' : entry.deletionPolicy,
      conflict,
      untouched: found && digestOf(project(comparable(kind, found, entry), entry.fields)) === entry.base,
      can: { remove: view.remove !== undefined, retire: view.retire !== undefined }
    })
    return { entry, live, token, decision, editor: editorOf(found, session.context.user) }
  })
  return nameEditors(session, kind, going)
}

/** Rows that stay because somebody edited them say who, also where only Windmill's audit knows. */
async function nameEditors(session: Session, kind: AnyKind, going: readonly Going[]): Promise<readonly Going[]> {
  const { edits } = engineView(kind)
  const unnamed = going.filter(one => one.decision === 'leave' && !one.error && !one.editor)
  if (!edits || unnamed.length === 0) return going
  const found = await session.database.read(sql => edits(sql, unnamed.map(removalOf), session.context))
  return going.map(one => {
    const edit = unnamed.includes(one) ? found.get(keyOf(one)) : undefined
    return edit && edit.by !== session.context.user ? { ...one, editor: edit.by } : one
  })
}

/** Or why there is none: an annotation of the namespace that is no policy. */
function conflictPolicy(session: Session, { namespace, conflictPolicy: own }: Entry): ConflictPolicy | SyncError {
  if (own !== null) return own
  try {
    return policiesFor({ namespace: namespace ?? '', annotations: {} }, session.rules).conflict
  } catch (error) {
    if (!isObjectError(error)) throw error
    return error
  }
}

/** What still needs the rows: it forbids a real delete, and is told when a row is only archived or given up. */
async function usersOf(session: Session, kind: AnyKind, going: readonly Going[]): Promise<ReadonlyMap<string, string>> {
  const { blockers } = engineView(kind)
  if (!blockers || going.length === 0) return new Map()
  return session.database.read(sql => blockers(sql, going.map(removalOf), session.context))
}

function removalOf({ entry, live }: Going): Removal {
  const { workspace, path, fields, namespace, name, uid } = entry
  const listed = { namespace: namespace ?? '', name: name ?? '', uid }
  return { workspace: workspace ?? '', path: path ?? '', fields, live: live ?? {}, listed }
}

/** One transaction for the batch; a refused row is isolated by halving. */
async function carryOut(session: Session, kind: AnyKind, going: readonly Going[]): Promise<void> {
  if (going.length === 0) return
  if (session.dry) {
    for (const one of going) report(session, kind, one, told(one))
    return
  }
  try {
    const moved = await withRetries(() => session.database.write(sql => transact(session, kind, going, sql)), {
      signal: session.signal
    })
    const done = going.filter(one => !moved.has(keyOf(one)))
    session.written.count += done.length
    for (const one of going) report(session, kind, one, moved.has(keyOf(one)) ? movedTold : told(one))
  } catch (error) {
    if (!isObjectError(error)) throw error
    const [only] = going
    if (going.length === 1 && only) {
      report(session, kind, only, { op: 'error', state: 'Error', reason: error.code, message: error.message })
      return
    }
    const half = Math.ceil(going.length / 2)
    await carryOut(session, kind, going.slice(0, half))
    await carryOut(session, kind, going.slice(half))
  }
}

const movedTold: Told = {
  op: 'error',
  state: 'Error',
  reason: 'ChangedMeanwhile',
  message: 'The manifest is gone, and the row was edited in Windmill at this very moment: the next run decides.'
}

/** Gives the targets whose rows moved since they were looked at: nothing is done with those. */
async function transact(
  session: Session,
  kind: AnyKind,
  all: readonly Going[],
  sql: Sql
): Promise<ReadonlySet<string>> {
  const view = engineView(kind)
  const { id } = session.source
  const moved = await movedSince(session, kind, all, sql)
  const going = all.filter(one => !moved.has(keyOf(one)))
  const of = (decision: RemovalDecision): readonly Going[] => going.filter(one => one.decision === decision)
  const removed = of('remove')
  if (removed.length > 0) {
    await saveDeleted(
      sql,
      id,
      removed.map(({ entry, live }) => ({ entry, manifest: manifestText(view, entry, live ?? {}) }))
    )
    await view.remove?.(sql, removed.map(removalOf), session.context)
    await forgetEntries(sql, removed.map(placeOf))
    await audit(session, kind, removed, sql)
  }
  const retired = of('retire')
  if (retired.length > 0) {
    await view.retire?.(sql, retired.map(removalOf), session.context)
    await audit(session, kind, retired, sql)
  }
  const released = [...retired, ...of('release')]
  await forgetEntries(sql, released.filter(one => !one.live).map(placeOf))
  await releaseEntries(sql, released.filter(one => one.live).map(placeOf))
  return moved
}

async function movedSince(
  session: Session,
  kind: AnyKind,
  going: readonly Going[],
  sql: Sql
): Promise<ReadonlySet<string>> {
  const touched = going.filter(one => one.decision !== 'release')
  if (touched.length === 0) return new Set()
  const targets = touched.map(({ entry }) => ({
    workspace: entry.workspace ?? '',
    path: entry.path ?? '',
    fields: entry.fields
  }))
  const tokens = await readTokens(sql, kind, targets, session.context)
  return new Set(touched.filter(one => tokens.get(keyOf(one)) !== one.token).map(keyOf))
}

const placeOf = ({ entry }: Going): { kind: string; workspace: string; path: string } => ({
  kind: entry.kind,
  workspace: entry.workspace ?? '',
  path: entry.path ?? ''
})

async function audit(session: Session, kind: AnyKind, going: readonly Going[], sql: Sql): Promise<void> {
  const entries = going.flatMap(one => {
    const removal = removalOf(one)
    const op = one.decision === 'remove' ? 'delete' : 'retire'
    return engineView(kind)
      .audit({ ...removal, op }, session.context)
      .map(entry => ({ ...entry, workspace: removal.workspace, source: { ...removal.listed, generation: 0 } }))
  })
  await writeAudit(sql, entries, session.context)
}

function told({ decision, live, users }: Going): Told {
  const note = users === undefined ? '' : ` ${users}`
  if (decision === 'remove')
    return { op: 'delete', state: '', reason: 'Deleted', message: `Deleted from Windmill.${note}` }
  if (decision === 'retire') {
    return {
      op: 'delete',
      state: 'Released',
      reason: 'Archived',
      message: `Archived in Windmill and no longer managed.${note}`
    }
  }
  const message = live
    ? `No longer managed; the row stays in Windmill.${note}`
    : 'No longer managed; the row was gone already.'
  return { op: 'delete', state: 'Released', reason: 'Released', message }
}

type Told = Pick<Outcome, 'op' | 'state' | 'reason' | 'message'>

function report(session: Session, kind: AnyKind, { entry }: Going, told: Told): void {
  session.outcomes.add({
    kind: kind.kind,
    namespace: entry.namespace ?? '',
    name: entry.name ?? '',
    workspace: entry.workspace ?? '',
    path: entry.path ?? '',
    ...told
  })
}

/** Notes on CRs that are gone and owned nothing have nobody left to read them. */
async function forgetNotes(session: Session, notes: readonly Entry[]): Promise<void> {
  if (session.dry || notes.length === 0) return
  const stale = notes.map(({ kind, namespace, name }) => ({ kind, namespace: namespace ?? '', name: name ?? '' }))
  await session.database.write(sql => forgetObjects(sql, session.source.id, stale))
  session.written.count += stale.length
}
