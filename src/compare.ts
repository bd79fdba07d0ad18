/** From inputs to decisions: facts, compiled rows, live rows and tokens of one consistent snapshot, then the plan. */

import type { Admitted, Refused } from './admit.ts'
import { isObjectError, SyncError } from './errors.ts'
import { type Digest, digestOf, marksOf, sealed, without } from './fingerprint.ts'
import {
  type AnyKind,
  type Compiled,
  type Details,
  type Edit,
  type Entry,
  type Json,
  type Observed,
  type Row,
  type Sql,
  type Target,
  targetKey
} from './model.ts'
import { type Decision, decide } from './plan.ts'
import { engineView, isOwned, type Session } from './session.ts'
import { seconds } from './status.ts'
import { inOneGo } from './windmill/statements.ts'
import { readTokens } from './windmill/targets.ts'

/** A CR with everything that is to happen to it. */
export interface Decided {
  readonly admitted: Admitted
  readonly compiled: Compiled
  /** The stated fields, and null for those that were stated before and are cleared when dropped. */
  readonly want: Row
  readonly live: Observed | undefined
  /** Token of the live row in the snapshot that was compared. */
  readonly token: string | undefined
  readonly details: Details
  readonly decision: Decision
  /** What the ledger had at the target. */
  readonly entry: Entry | undefined
}

/** Reads and decides; objects whose compile fails come back as refused. */
export async function compare(
  session: Session,
  kind: AnyKind,
  batch: readonly Admitted[]
): Promise<{ decided: readonly Decided[]; refused: readonly Refused[] }> {
  if (batch.length === 0) return { decided: [], refused: [] }
  return session.database.read(async sql => {
    const { compiled, refused } = await compileAll(session, kind, batch, sql)
    const targets = compiled.map(one => one.target)
    const view = engineView(kind)
    const [tokens, observed, details] = await inOneGo([
      readTokens(sql, kind, targets, session.context),
      view.observe(sql, targets, session.context),
      detailsOf(kind, session, sql, targets)
    ])
    const live = new Map(observed.map(one => [targetKey(one.workspace, one.path), one]))
    const decided: Decided[] = []
    for (const one of compiled) {
      const key = targetKey(one.target.workspace, one.target.path)
      const there = live.get(key)
      if (there?.locked !== undefined)
        refused.push(refusal(one.admitted, new SyncError('ManagedByWindmill', there.locked)))
      else {
        decided.push(
          decideOne(session, kind, { ...one, live: there, token: tokens.get(key), details: details.get(key) ?? {} })
        )
      }
    }
    return { decided: await hearWitnesses(session, kind, decided, sql), refused }
  })
}

/** What statuses say besides, by target key. */
export async function detailsOf(
  kind: AnyKind,
  session: Session,
  sql: Sql,
  targets: readonly Target[]
): Promise<ReadonlyMap<string, Details>> {
  const { details } = engineView(kind)
  return details && targets.length > 0 ? details(sql, targets, session.context) : new Map()
}

/** What is in dispute is decided again with what Windmill recorded of its edits, where the row itself does not say. */
async function hearWitnesses(
  session: Session,
  kind: AnyKind,
  decided: readonly Decided[],
  sql: Sql
): Promise<readonly Decided[]> {
  const { edits } = engineView(kind)
  const doubtful = decided.filter(isDoubtful)
  if (!edits || doubtful.length === 0) return decided
  const recorded = await edits(sql, doubtful.map(targetOf), session.context)
  const known = new Map<Decided, Observed>()
  for (const one of doubtful) {
    const { workspace, path } = targetOf(one)
    const edit = recorded.get(targetKey(workspace, path))
    if (one.live && edit) known.set(one, witnessed(one.live, edit, session.context.user))
  }
  return decided.map(one => {
    const live = known.get(one)
    return live ? decideOne(session, kind, { ...one, live }) : one
  })
}

/** Two sides differ, the policy does not simply say which one counts, and who edited the row or when is not known. */
function isDoubtful({ live, decision, admitted: { policies } }: Decided): boolean {
  if (!live || (live.editedAt && live.editedBy)) return false
  if (decision.state !== 'Synced') return true
  return !live.editedAt && policies.conflict === 'last-write-wins' && decision.write === 'update'
}

/** Our own record, or one that is older than the last edit, says nothing of that edit. */
export function witnessed(live: Observed, { at, by }: Edit, user: string): Observed {
  if (by === user || (live.editedAt && at < live.editedAt)) return live
  return { ...live, editedAt: live.editedAt ?? at, editedBy: live.editedBy ?? by }
}

/** Who edited the row, unless that is us: Windmill's own rewriting keeps the author. */
export const editorOf = (live: Observed | undefined, user: string): string | undefined =>
  live?.editedBy === user ? undefined : (live?.editedBy ?? undefined)

const targetOf = ({ admitted: { input }, want }: Decided): Target => ({
  workspace: input.workspace,
  path: input.path,
  fields: Object.keys(want)
})

const editedAt = (live: Observed | undefined): Details =>
  live?.editedAt ? { lastModifiedInDb: seconds(live.editedAt) } : {}

interface Ready {
  readonly admitted: Admitted
  readonly compiled: Compiled
  readonly want: Row
  readonly target: Target
  readonly entry: Entry | undefined
}

async function compileAll(
  session: Session,
  kind: AnyKind,
  batch: readonly Admitted[],
  sql: Sql
): Promise<{ compiled: Ready[]; refused: Refused[] }> {
  const view = engineView(kind)
  const { byTarget } = session.ledger.of(kind.kind)
  const inputs = batch.map(one => one.input)
  const facts = await view.facts?.(sql, inputs, session.context)
  const compiled: Ready[] = []
  const refused: Refused[] = []
  for (const admitted of batch) {
    const { workspace, path } = admitted.input
    try {
      const made = view.compile(admitted.input, facts, session.context)
      const entry = byTarget.get(targetKey(workspace, path))
      const want = { ...made.row, ...cleared(kind, made.row, entry) }
      const fields = [...new Set([...Object.keys(want), ...(entry?.fields ?? [])])]
      compiled.push({ admitted, compiled: made, want, target: { workspace, path, fields }, entry })
    } catch (error) {
      if (!isObjectError(error)) throw error
      refused.push(refusal(admitted, error))
    }
  }
  return { compiled, refused }
}

function refusal({ input: { listed, workspace, path } }: Admitted, error: SyncError): Refused {
  return { listed, error, workspace, path }
}

/** Fields that we stated last time and the CR states no more, where leaving them would be wrong. */
function cleared(kind: AnyKind, row: Row, entry: Entry | undefined): Row {
  if (!kind.dropped || !entry || entry.state === 'Released') return {}
  const gone: Record<string, Json> = {}
  for (const field of entry.fields) if (!(field in row) && kind.dropped(field)) gone[field] = null
  return gone
}

function decideOne(session: Session, kind: AnyKind, one: Omit<Decided, 'decision'>): Decided {
  const { admitted, live, entry } = one
  const key = targetKey(admitted.input.workspace, admitted.input.path)
  const other = session.ledger.of(kind.kind).others.has(key)
  const { changedAt } = admitted.input.listed
  const decision = decide({
    want: sealed(one.want, kind.rewritten),
    owner: other ? 'other' : entry && entry.state !== 'Released' ? 'us' : 'nobody',
    base: entry,
    live: live && comparable(kind, live, entry),
    policies: admitted.policies,
    upkeep: kind.upkeep ?? [],
    specTime: changedAt ? Date.parse(changedAt) : undefined,
    rowTime: live?.editedAt?.getTime(),
    rowBy: editorOf(live, session.context.user)
  })
  return { ...one, details: { ...one.details, ...editedAt(live) }, decision }
}

/** A live row as it is compared with what was applied, and with what is wanted. */
export const comparable = (kind: AnyKind, live: Observed, entry: Entry | undefined): Row =>
  sealed(live.row, kind.rewritten, isOwned(entry) ? live.asDeployed : [], entry?.deployed)

/** What is remembered as applied: the stated fields alone, less those that nobody edits. */
export function baseOf(
  kind: AnyKind,
  compiled: Compiled
): { base: Digest; fields: readonly string[]; deployed: Readonly<Record<string, string>> } {
  const row = without(compiled.row, kind.upkeep ?? [])
  const deployed = marksOf(row, kind.rewritten)
  const marked = kind.rewritten ? { ...row, ...deployed } : row
  return { base: digestOf(marked), fields: Object.keys(row).sort(), deployed }
}
