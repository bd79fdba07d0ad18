/** The rules, written from the architecture (§3, §5) and the contract alone: what one whole run must make of a world. */

import { startedBy } from './things-code.ts'
import {
  type Claim,
  type Cr,
  type Fields,
  keyOf,
  nameOf,
  type Policy,
  type Scope,
  type Thing,
  type World
} from './words.ts'

export interface Outcome {
  /** After the last wave of writes, before anything is deleted. */
  readonly reconciled: ReadonlyMap<string, Fields>
  readonly rows: ReadonlyMap<string, Fields>
  readonly claims: ReadonlyMap<string, Claim>
  /** State by CR; nothing of those that are to be left alone. */
  readonly states: ReadonlyMap<string, string>
  readonly exitCode: number
}

interface Draft {
  readonly world: World
  readonly scope: Scope
  readonly rows: Map<string, Fields>
  readonly claims: Map<string, Claim>
  readonly states: Map<string, string>
  /** Targets that a CR of this run stands for. */
  readonly wanted: Set<string>
  /** Something is in Conflict that is no CR. */
  leftovers: number
  /** A kind was not pruned, because it lists empty. */
  isRefused: boolean
}

/** `things` in the order of waves. */
export function predict(world: World, all: readonly Thing[], scope: Scope): Outcome {
  const things = all.filter(({ kind }) => scope.kind === '' || scope.kind === kind)
  const draft: Draft = {
    world,
    scope,
    rows: new Map(world.rows),
    claims: new Map(world.claims),
    states: new Map(),
    wanted: new Set(),
    leftovers: 0,
    isRefused: false
  }
  for (const thing of things) reconcile(draft, thing)
  const reconciled = new Map(draft.rows)
  for (const thing of things.toReversed()) prune(draft, thing)
  const { rows, claims, states, leftovers } = draft
  const isBad = leftovers > 0 || [...states.values()].some(state => state === 'Error' || state === 'Conflict')
  return { reconciled, rows, claims, states, exitCode: draft.isRefused ? 3 : isBad ? 1 : 0 }
}

const annotation = (cr: Cr, name: string): string => cr.annotations[name] ?? ''
export const isPaused = (cr: Cr | undefined): boolean => cr?.annotations['reconcile'] === 'disabled'

/** Object before namespace before settings. */
function policyOf(
  world: World,
  cr: Pick<Cr, 'namespace' | 'annotations'>,
  name: 'conflict' | 'deletion' | 'adopt'
): string {
  const key = name === 'adopt' ? name : `${name}-policy`
  return cr.annotations[key] || world.namespaces.get(cr.namespace)?.[key] || world.settings[name]
}

/** Oldest first. */
const byAge = (a: Cr, b: Cr): number =>
  `${a.createdAt} ${a.namespace}/${a.name}` < `${b.createdAt} ${b.namespace}/${b.name}` ? -1 : 1

const isSeen = ({ scope }: Draft, { namespace }: { readonly namespace: string }): boolean =>
  scope.namespace === '' || scope.namespace === namespace
const isOwned = ({ owner, isOther, isReleased }: Claim): boolean => owner !== '' && !isOther && !isReleased

const ownedBy = (claims: ReadonlyMap<string, Claim>, cr: Cr): string | undefined =>
  [...claims].find(([, claim]) => !claim.isOther && !claim.isReleased && claim.owner === nameOf(cr))?.[0]

function reconcile(draft: Draft, thing: Thing): void {
  const { crs: all, claims } = draft.world
  const crs = [...all.values()].filter(cr => cr.kind === thing.kind && isSeen(draft, cr)).sort(byAge)
  // Whoever is out of sight keeps what is his, whatever his age.
  const taken = new Set([...claims].filter(([, claim]) => isOwned(claim) && !isSeen(draft, claim)).map(([key]) => key))
  const winners: Cr[] = []
  for (const cr of crs) {
    const isHeld = cr.isInvalid || isPaused(cr)
    const target = isHeld ? ownedBy(draft.world.claims, cr) : keyOf(thing.kind, cr.path)
    if (!isPaused(cr)) draft.states.set(nameOf(cr), 'Error')
    if (target === undefined) continue
    if (taken.has(target)) {
      draft.states.set(nameOf(cr), cr.isInvalid ? 'Error' : 'Conflict')
      continue
    }
    taken.add(target)
    draft.wanted.add(target)
    if (!isHeld) winners.push(cr)
  }
  // All of a kind are compared with the world as it was before the first of them is written.
  const before = new Map(draft.rows)
  for (const cr of winners) {
    const stated = statedBy(draft.world, thing, cr)
    const target = keyOf(thing.kind, cr.path)
    const claim = draft.world.claims.get(target)
    const base = claim && !claim.isReleased && !claim.isOther ? claim.base : {}
    if (!stated || thing.lacks?.(stated, before, { cr, live: before.get(target) ?? {}, base })) continue
    settle(draft, thing, cr, stated)
  }
}

/** With the texts of Secrets in the place of their names; undefined when one is missing. */
function statedBy({ secrets }: World, thing: Thing, { fields }: Cr): Fields | undefined {
  const { secret } = fields
  if (secret !== undefined && !secrets.has(secret)) return undefined
  return { ...fields, ...thing.implied?.(fields), ...(secret !== undefined && { secret: secrets.get(secret) ?? '' }) }
}

/** One CR that stands for its target alone. */
function settle(draft: Draft, thing: Thing, cr: Cr, stated: Fields): void {
  const target = keyOf(thing.kind, cr.path)
  const claim = draft.world.claims.get(target)
  const live = draft.rows.get(target)
  const verdict = judge(draft.world, { thing, cr, claim, live, stated })
  draft.states.set(nameOf(cr), verdict.state)
  if (!verdict.owns) return
  if (verdict.writes) {
    const { orphan: _, ...rest } = live ?? {}
    const drops = claim?.base['secret'] && stated['secret'] === '' && !claim.isReleased
    draft.rows.set(target, { ...rest, ...wantOf(thing, stated, claim), ...(drops && { orphan: '' }) })
  }
  for (const [key, other] of draft.claims) {
    if (other.owner === nameOf(cr) && key !== target && !other.isOther) draft.claims.set(key, { ...other, owner: '' })
  }
  draft.claims.set(target, {
    owner: nameOf(cr),
    namespace: cr.namespace,
    isOther: false,
    isReleased: false,
    base: verdict.state === 'Synced' || !claim ? stated : claim.base,
    digest: verdict.state === 'Synced' || !claim ? '' : claim.digest,
    deletion: policyOf(draft.world, cr, 'deletion'),
    conflict: annotation(cr, 'conflict-policy')
  })
}

/** What is stated, and what was stated before and falls back. */
function wantOf(thing: Thing, stated: Fields, claim: Claim | undefined): Fields {
  if (!claim || claim.isReleased || claim.isOther) return stated
  const gone = (thing.clears ?? []).filter(field => field in claim.base && !(field in stated))
  return { ...stated, ...Object.fromEntries(gone.map(field => [field, ''])) }
}

const holds = (live: Fields, want: Fields): boolean =>
  Object.entries(want).every(([field, value]) => live[field] === value)
const equals = (a: Fields, b: Fields): boolean => Object.keys(a).length === Object.keys(b).length && holds(a, b)

interface Situation {
  readonly thing: Thing
  readonly cr: Cr
  readonly claim: Claim | undefined
  readonly live: Fields | undefined
  readonly stated: Fields
}

interface Verdict {
  readonly state: string
  readonly owns: boolean
  readonly writes: boolean
}

const write: Verdict = { state: 'Synced', owns: true, writes: true }
const keep: Verdict = { state: 'Synced', owns: true, writes: false }
const refuse: Verdict = { state: 'Conflict', owns: false, writes: false }
const leave: Verdict = { state: 'Conflict', owns: true, writes: false }

/** The decision table of architecture §3. */
function judge(world: World, { thing, cr, claim, live, stated }: Situation): Verdict {
  if (claim?.isOther && !claim.isReleased) return refuse
  const conflict = policyOf(world, cr, 'conflict') as Policy
  const want = wantOf(thing, stated, claim)
  const isNewer = cr.isNewer || !world.timed.has(thing.kind)
  if (!claim || claim.isReleased || claim.isOther) {
    if (!live) return write
    return judgeForeign({ adopt: policyOf(world, cr, 'adopt'), conflict, isSame: holds(live, want), isNewer })
  }
  const isEdited = !equals(want, claim.base)
  if (!live) return conflict === 'crd-wins' || (conflict === 'last-write-wins' && isEdited) ? write : leave
  if (holds(live, want)) return keep
  if (holds(live, claim.base)) return write
  if (conflict === 'crd-wins') return write
  if (!isEdited) return { state: 'OutOfSync', owns: true, writes: false }
  return conflict === 'last-write-wins' && isNewer ? write : leave
}

interface Foreign {
  readonly adopt: string
  readonly conflict: Policy
  readonly isSame: boolean
  readonly isNewer: boolean
}

/** A row that nobody manages: `adopt` overrides what the conflict policy says. */
function judgeForeign({ adopt, conflict, isSame, isNewer }: Foreign): Verdict {
  if (adopt === 'never') return refuse
  if (isSame) return keep
  if (adopt === 'always') return write
  if (adopt === 'identical') return refuse
  if (conflict === 'db-wins') return refuse
  return conflict === 'crd-wins' || isNewer ? write : refuse
}

/** Rows of ours whose CR is gone or stands for something else. */
function prune(draft: Draft, thing: Thing): void {
  const gone: readonly (readonly [string, Claim])[] = [...draft.claims].filter(
    ([key, claim]) =>
      key.startsWith(`${thing.kind} `) &&
      isSeen(draft, claim) &&
      !claim.isOther &&
      !claim.isReleased &&
      !draft.wanted.has(key) &&
      !draft.world.crs.has(claim.owner)
  )
  const listed = [...draft.world.crs.values()].filter(cr => cr.kind === thing.kind && isSeen(draft, cr))
  if (draft.scope.isGuarded && listed.length === 0 && gone.some(([, claim]) => claim.deletion !== 'ignore')) {
    draft.isRefused = true
    return
  }
  const going = new Set(gone.filter(([key, claim]) => isDeleted(draft, thing, key, claim)).map(([key]) => key))
  for (const [key, claim] of gone)
    part(draft, thing, { key, claim: thing.isKept ? { ...claim, deletion: 'ignore' } : claim, going })
}

const isTouched = (draft: Draft, key: string, claim: Claim): boolean => !holds(draft.rows.get(key) ?? {}, claim.base)

/** What the object said is remembered; what its namespace says is what it says now. */
function conflictOf({ world }: Draft, { conflict, namespace }: Claim): string {
  return conflict || world.namespaces.get(namespace)?.['conflict-policy'] || world.settings.conflict
}

function isDeleted(draft: Draft, thing: Thing, key: string, claim: Claim): boolean {
  return draft.rows.has(key) && claim.deletion === 'delete' && !isLeft(draft, key, claim) && !thing.isKept
}

const isLeft = (draft: Draft, key: string, claim: Claim): boolean =>
  claim.deletion !== 'ignore' && conflictOf(draft, claim) !== 'crd-wins' && isTouched(draft, key, claim)

interface Parting {
  readonly key: string
  readonly claim: Claim
  readonly going: ReadonlySet<string>
}

function part(draft: Draft, thing: Thing, { key, claim, going }: Parting): void {
  const live = draft.rows.get(key)
  if (!live) {
    draft.claims.delete(key)
    return
  }
  if (isLeft(draft, key, claim)) {
    draft.leftovers++
    return
  }
  const path = key.slice(thing.kind.length + 1)
  if (going.has(key)) {
    if (thing.isNeeded?.(path, draft.rows)) {
      draft.leftovers++
      return
    }
    draft.rows.delete(key)
    draft.claims.delete(key)
    return
  }
  draft.claims.set(key, { ...claim, owner: '', isReleased: true })
  if (claim.deletion !== 'soft-delete' || !thing.retired) return
  const rest = thing.retired(live)
  if (rest) draft.rows.set(key, rest)
  else draft.rows.delete(key)
  stopSchedules(draft, thing, path)
}

/** Schedules of what was archived would only fail. */
function stopSchedules(draft: Draft, { kind }: Thing, path: string): void {
  if (kind !== 'Script' && kind !== 'Flow') return
  for (const key of startedBy(`${kind.toLowerCase()} ${path}`, draft.rows)) {
    draft.rows.set(key, { ...draft.rows.get(key), enabled: 'false' })
  }
}
