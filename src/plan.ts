/** The plan: a pure function from digests and policies to what is to be done. It names no kind and touches nothing. */
import { digestOf, isSame, project, without } from './fingerprint.ts'
import type { ConflictPolicy, DeletionPolicy, Difference, Entry, Op, Policies, Row, State } from './model.ts'

/** All that a decision about one CR depends on. */
export interface Situation {
  readonly want: Row
  /** What the ledger says about the target: nobody's (or released), ours, or another cluster's. */
  readonly owner: 'nobody' | 'us' | 'other'
  readonly base: Pick<Entry, 'base' | 'fields'> | undefined
  /** All modelled fields of the live row; undefined when there is none. */
  readonly live: Row | undefined
  readonly policies: Policies
  /** Fields that nobody edits: a difference in these alone is mended under every policy. */
  readonly upkeep?: readonly string[]
  /** When the spec and the row were last edited, milliseconds since 1970; undefined when unknown (then the row is older). */
  readonly specTime: number | undefined
  readonly rowTime: number | undefined
  /** Who last edited the row; undefined when nobody knows, or when it was us. */
  readonly rowBy?: string | undefined
}

export interface Decision {
  readonly op: Op
  /** What is written to Windmill; undefined: nothing. */
  readonly write?: 'create' | 'update'
  /** Whether the ledger names the CR as the owner of the target afterwards. */
  readonly own: boolean
  readonly state: State
  readonly reason: string
  readonly message: string
}

interface Compared {
  readonly liveIsWant: boolean
  readonly liveIsBase: boolean
  readonly wantIsBase: boolean
  /** Names of the stated fields whose live value is not the wanted one. */
  readonly differing: readonly string[]
}

const synced = { own: true, state: 'Synced', reason: 'Synced', message: 'In sync with Windmill.' } as const

/** What is otherwise in sync gets back what a mishap took from it; the rest of the table never looks at such fields. */
export function decide(situation: Situation): Decision {
  const { want, live, upkeep = [] } = situation
  const decision = judge({ ...situation, want: without(want, upkeep) })
  if (!live || decision.write || (decision.op !== 'keep' && decision.op !== 'adopt')) return decision
  const lost = differences(want, live).some(one => upkeep.includes(one.field))
  return lost ? { ...decision, op: decision.op === 'keep' ? 'update' : 'adopt', write: 'update' } : decision
}

/** The decision table of architecture §3, one row per branch. */
function judge(situation: Situation): Decision {
  if (situation.owner === 'other') {
    return refuse(
      'OwnedByAnotherCluster',
      'Another cluster manages this path in the same database; change one of the two.'
    )
  }
  if (situation.owner === 'nobody') return situation.live ? decideForeign(situation, situation.live) : create
  return situation.live ? decideOwned(situation, situation.live) : decideGone(situation)
}

const create: Decision = { ...synced, op: 'create', write: 'create' }
const update: Decision = { ...synced, op: 'update', write: 'update' }
const adopt: Decision = { ...synced, op: 'adopt' }
const keep: Decision = { ...synced, op: 'keep' }

/** Reasons of decisions that do not own the target are also codes of the error catalogue. */
function refuse(reason: string, message: string, own = false): Decision {
  return { op: 'conflict', own, state: 'Conflict', reason, message }
}

/** Usernames are other people's texts: one line, and no longer than names are. */
export function by({ rowBy }: Pick<Situation, 'rowBy'>, before = ' '): string {
  const name = rowBy?.replaceAll(/[\p{C}\p{Z}]+/gu, ' ').trim()
  return name ? `${before}by ${name.length > 60 ? `${name.slice(0, 60)}…` : name}` : ''
}

/** The row exists and nobody manages it. */
function decideForeign(situation: Situation, live: Row): Decision {
  const { adopt: adoption, conflict } = situation.policies
  const differing = differences(situation.want, live).map(one => one.field)
  if (adoption === 'never') {
    return refuse('ExistsAlready', 'The path exists in Windmill and nobody manages it; adopt is never.')
  }
  if (differing.length === 0) return adopt
  const takeOver: Decision = { ...adopt, write: 'update' }
  const exists = `The path exists in Windmill with other content (${list(differing)})${by(situation, ', last edited ')}`
  if (adoption === 'always') return takeOver
  if (adoption === 'identical') return refuse('ExistsAlready', `${exists}; adopt is identical.`)
  if (conflict === 'crd-wins') return takeOver
  if (conflict === 'db-wins') return refuse('ExistsAlready', `${exists}; the policy db-wins leaves it.`)
  return specIsNewer(situation) ? takeOver : refuse('DatabaseIsNewer', `${exists}; it is newer than the manifest.`)
}

/** The row is ours and still there. */
function decideOwned(situation: Situation, live: Row): Decision {
  const compared = compare(situation, live)
  if (compared.liveIsWant) return keep
  if (compared.liveIsBase) return update
  return compared.wantIsBase ? decideDrift(situation, compared) : decideBothEdited(situation, compared)
}

/** Somebody edited the row through Windmill; the CR is as it was. */
function decideDrift(situation: Situation, { differing }: Compared): Decision {
  const { policies } = situation
  if (policies.conflict === 'crd-wins') return update
  return {
    op: 'skip',
    own: true,
    state: 'OutOfSync',
    reason: 'ChangedInDatabase',
    message: `Changed in Windmill${by(situation)} (${list(differing)}); the policy ${policies.conflict} leaves it.`
  }
}

/** Both sides moved, to different content. */
function decideBothEdited(situation: Situation, { differing }: Compared): Decision {
  const { conflict } = situation.policies
  if (conflict === 'crd-wins') return update
  const both = `Changed both in the manifest and in Windmill${by(situation)} (${list(differing)})`
  if (conflict === 'db-wins') return refuse('BothChanged', `${both}; the policy db-wins leaves Windmill's side.`, true)
  if (specIsNewer(situation)) return { ...update, message: `${both}; the manifest was newer and won.` }
  return refuse('BothChanged', `${both}; Windmill's side is newer and was left, the manifest lost.`, true)
}

/** The ledger knows the row as ours, but somebody deleted it. */
function decideGone(situation: Situation): Decision {
  const { conflict } = situation.policies
  const edited = digestOf(situation.want) !== situation.base?.base
  if (conflict === 'crd-wins' || (conflict === 'last-write-wins' && edited)) return create
  return refuse('DeletedInDatabase', `Deleted in Windmill; the policy ${conflict} does not create it again.`, true)
}

function compare({ want, base }: Situation, live: Row): Compared {
  const differing = differences(want, live).map(one => one.field)
  return {
    liveIsWant: differing.length === 0,
    liveIsBase: base !== undefined && digestOf(project(live, base.fields)) === base.base,
    wantIsBase: digestOf(want) === base?.base,
    differing
  }
}

/** An unknown time of the row counts as older. */
function specIsNewer({ specTime, rowTime }: Situation): boolean {
  return rowTime === undefined || (specTime !== undefined && specTime > rowTime)
}

/** The stated fields whose live value differs, in the order of their names. */
export function differences(want: Row, live: Row): readonly Difference[] {
  return Object.keys(want)
    .sort()
    .filter(field => !isSame(want[field] ?? null, live[field] ?? null))
    .map(field => ({ field, from: live[field], to: want[field] }))
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ')
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown
}

/** What is to be done with a row of ours whose CR is gone. */
export interface RemovalSituation {
  readonly policy: DeletionPolicy
  readonly conflict: ConflictPolicy
  /** The live row is as we left it; undefined when there is no row. */
  readonly untouched: boolean | undefined
  /** The kind can delete; the kind does something on a soft delete. */
  readonly can: { readonly remove: boolean; readonly retire: boolean }
}

export type RemovalDecision = 'remove' | 'retire' | 'release' | 'leave'

/** Rows 11 of the table: deletion policy, unless db-wins protects what somebody edited. */
export function decideRemoval({ policy, conflict, untouched, can }: RemovalSituation): RemovalDecision {
  if (untouched === undefined) return 'release'
  if (policy === 'ignore') return 'release'
  if (conflict !== 'crd-wins' && !untouched) return 'leave'
  if ((policy === 'delete' || policy === 'force-delete') && can.remove) return 'remove'
  return can.retire ? 'retire' : 'release'
}

/** A limit on deletions: a number, or per cent of the owned objects of a kind. */
export interface MaxDeletes {
  readonly count?: number
  readonly percent?: number
  /** Given by the operator rather than the default. */
  readonly explicit: boolean
}

/**
 * Why the deletions of a kind are held back; undefined when they may go ahead.
 * Per cent of few is too strict, so below ten owned objects five may always go; a kind that lists empty although it
 * owned objects is most likely a mistake, and only an explicit limit that covers it all lets it through.
 */
export function guardDeletes(input: {
  owned: number
  listed: number
  deletes: number
  max: MaxDeletes
}): string | undefined {
  const { owned, listed, deletes, max } = input
  if (deletes === 0) return undefined
  const allowed = max.count ?? (owned < 10 && !max.explicit ? 5 : Math.floor((owned * (max.percent ?? 20)) / 100))
  const allow = `--max-deletes ${deletes} (or 100%) allows it for one run`
  if (deletes > allowed)
    return `${deletes} of ${owned} owned objects would be deleted, allowed are ${allowed}; ${allow}`
  if (listed === 0 && !max.explicit) return `no object is listed any more, but ${owned} are owned; ${allow}`
  return undefined
}
