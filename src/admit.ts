/** From manifests to inputs: checked against the CRD, sent to a workspace, alone on their target, references resolved. */
import pLimit from 'p-limit'
import type { Hold } from './claims.ts'
import { isObjectError, SyncError } from './errors.ts'
import {
  type AnyKind,
  type Input,
  type Listed,
  type Manifest,
  type Material,
  objectKey,
  type Ref,
  targetKey
} from './model.ts'
import { isInShard } from './scope.ts'
import { type Checks, engineView, isOwned, type Session } from './session.ts'
import { holderOf, refText, type Surveyed } from './survey.ts'
import { checkPath, mappedWorkspace, policiesFor, type ResolvedPolicies, workspaceFor } from './tenancy.ts'

/** A CR that may go on. */
export interface Admitted {
  readonly input: Input
  readonly policies: ResolvedPolicies
  /** What the status is to say besides: annotations that nothing reads. */
  readonly warnings: readonly string[]
  /** `Secret/name` … and the version of each, in the same order. */
  readonly refs: readonly string[]
  readonly versions: readonly string[]
}

/** A CR that may not. */
export interface Refused {
  readonly listed: Listed
  readonly error: SyncError
  readonly workspace?: string
  readonly path?: string
}

export interface Window {
  readonly admitted: readonly Admitted[]
  readonly refused: readonly Refused[]
  /** CRs seen earlier in this run (or kept quietly) that lost their target to an older one of this window. */
  readonly evicted: readonly Refused[]
  /** Claim what belongs to a CR that is still to be read: to be looked at again after that. */
  readonly postponed: readonly Listed[]
  /** CRs that are to be left alone (`windmill.dev/reconcile: disabled`). */
  readonly paused: readonly Listed[]
}

interface Placed {
  readonly listed: Listed
  readonly spec: unknown
  readonly workspace: string
  readonly path: string
  readonly policies: ResolvedPolicies
}

/** Decides about a window of manifests together, so that the order of listing does not matter within it. */
export async function admit(session: Session, surveyed: Surveyed, manifests: readonly Manifest[]): Promise<Window> {
  const { kind } = surveyed
  const checks = await session.checks()
  const placed: Placed[] = []
  const refused: Refused[] = []
  const paused: Listed[] = []
  for (const manifest of manifests) {
    const { listed } = manifest
    if (listed.annotations['reconcile'] === 'disabled') {
      paused.push(listed)
      continue
    }
    try {
      const one = place(session, kind, { ...manifest, checks })
      if (one) placed.push(one)
    } catch (error) {
      if (!isObjectError(error)) throw error
      refused.push({ listed, error })
    }
  }
  await session.ledger.load(kind.kind, knownTo(session, kind, { manifests, placed }))
  const { byObject } = session.ledger.of(kind.kind)
  for (const { listed } of manifests) {
    // Nobody waits for those that own nothing.
    if (isOwned(byObject.get(objectKey(listed.namespace, listed.name)))) session.claims(kind.kind).hear(listed)
  }
  for (const listed of [...paused, ...refused.map(one => one.listed)]) hold(session, kind, listed)
  const { winners, losers, evicted, postponed } = contend(session, surveyed, placed)
  const resolved = await resolveAll(session, kind, winners)
  return {
    admitted: resolved.filter(one => 'input' in one),
    refused: [
      ...refused.filter(one => isOurs(session, one.listed)),
      ...losers,
      ...resolved.filter(one => 'error' in one)
    ],
    evicted,
    postponed,
    paused: paused.filter(one => isOurs(session, one))
  }
}

/** Of CRs that cannot be placed one shard alone tells: that of what they own, else that of their namespace. */
function isOurs({ ledger, config, rules }: Session, { kind, namespace, name }: Listed): boolean {
  const owned = ledger.of(kind).byObject.get(objectKey(namespace, name))?.workspace
  return isInShard(owned ?? mappedWorkspace(namespace, rules.mapping) ?? namespace, config)
}

/** What the ledger may have something to say of: where it was empty, only what this run has written by now. */
function knownTo(
  session: Session,
  kind: AnyKind,
  { manifests, placed }: { readonly manifests: readonly Manifest[]; readonly placed: readonly Placed[] }
): Parameters<Session['ledger']['load']>[1] {
  const claims = session.claims(kind.kind)
  if (!session.ledger.wasEmpty(kind.kind)) return { objects: manifests.map(one => one.listed), targets: placed }
  const targets = placed.filter(one => claims.has(one.workspace, one.path))
  return { objects: [], targets }
}

/** A CR that cannot be read or is paused still claims what it owns: nothing of it is ever deleted or taken over by a younger one. */
function hold(session: Session, kind: AnyKind, listed: Listed): void {
  const entry = session.ledger.of(kind.kind).byObject.get(objectKey(listed.namespace, listed.name))
  if (entry?.path != null) session.claims(kind.kind).enter(entry.workspace ?? '', entry.path, listed)
}

/** Throws the object's error; undefined when it belongs to another shard. */
function place(
  session: Session,
  kind: AnyKind,
  { listed, spec, checks }: Manifest & { checks: Checks }
): Placed | undefined {
  const checked = checks.validate(kind.kind)(spec)
  if (checked.faults.length > 0) throw new SyncError('InvalidSpec', sentence(checked.faults))
  const target = engineView(kind).target(checked.spec)
  const workspace = workspaceFor(listed.namespace, target.workspace, session.rules)
  if (!isInShard(workspace, session.config)) return undefined
  checkPath(listed.namespace, target.path, session.rules)
  const policies = policiesFor(listed, session.rules)
  if (kind.inWorkspace !== false && !session.workspaces.has(workspace)) {
    throw new SyncError(
      'WorkspaceNotFound',
      `Workspace ${workspace} does not exist; declare it with a custom resource or create it in Windmill.`
    )
  }
  const problem = session.identities.get(workspace)
  if (problem) throw new SyncError('IdentityConflict', problem)
  return { listed, spec: checked.spec, workspace, path: target.path, policies }
}

const sentence = (faults: readonly string[]): string => {
  const shown = faults.slice(0, 8).join('; ')
  return faults.length > 8 ? `${shown}; and ${faults.length - 8} more faults` : shown
}

/** The oldest CR gets the target. */
function contend(
  session: Session,
  surveyed: Surveyed,
  placed: readonly Placed[]
): Pick<Window, 'evicted' | 'postponed'> & { winners: readonly Placed[]; losers: readonly Refused[] } {
  const { kind } = surveyed.kind
  const claims = session.claims(kind)
  const { byTarget } = session.ledger.of(kind)
  const here = new Map(placed.map(one => [objectKey(one.listed.namespace, one.listed.name), one]))
  const lost = new Map<string, Refused>()
  const evicted: Refused[] = []
  const postponed = new Set<Listed>()
  for (const one of placed) {
    const entry = byTarget.get(targetKey(one.workspace, one.path))
    const holder = holderOf(session, surveyed, { entry, claimant: one.listed })
    const claim = claims.enter(one.workspace, one.path, one.listed, holder)
    if (!claim.won) {
      if (claim.against === 'pending') postponed.add(one.listed)
      else lost.set(objectKey(one.listed.namespace, one.listed.name), claimedTwice(one, claim.owner, claim.against))
      continue
    }
    const { owner, loser } = claim
    if (!loser) continue
    const other = here.get(objectKey(loser.namespace, loser.name))
    if (other) lost.set(objectKey(loser.namespace, loser.name), claimedTwice(other, owner))
    else {
      const position = surveyed.roster.positionOf(loser.namespace, loser.name)
      if (position !== undefined) evicted.push(claimedTwice({ ...one, listed: surveyed.roster.at(position) }, owner))
    }
  }
  const winners = placed.filter(
    ({ listed }) => !postponed.has(listed) && !lost.has(objectKey(listed.namespace, listed.name))
  )
  return { winners, losers: [...lost.values()], evicted, postponed: [...postponed] }
}

function claimedTwice(
  one: Pick<Placed, 'listed' | 'workspace' | 'path'>,
  owner: { namespace: string; name: string },
  against?: Hold
): Refused {
  const { listed, workspace, path } = one
  const is = against === 'unseen' ? 'owns it by the ledger, is out of sight of this run' : 'is older'
  const error = new SyncError(
    'ClaimedTwice',
    `${listed.kind} ${objectKey(owner.namespace, owner.name)} ${is} and stands for the same ${path} in workspace ${workspace}; remove one of the two.`
  )
  return { listed, error, workspace, path }
}

/** Fetches what the CRs refer to, each Secret and ConfigMap once for the window. */
async function resolveAll(session: Session, kind: AnyKind, placed: readonly Placed[]): Promise<(Admitted | Refused)[]> {
  const { warnings } = await session.checks()
  const limit = pLimit(session.config.concurrency)
  const fetched = new Map<string, Promise<Material>>()
  const fetchOnce = (namespace: string, ref: Ref): Promise<Material> => {
    const key = `${namespace}/${refText(ref)}`
    const known = fetched.get(key) ?? limit(() => session.source.material(ref.kind, namespace, ref.name))
    fetched.set(key, known)
    return known
  }
  return Promise.all(
    placed.map(async one => {
      const resolved = await resolve(one, engineView(kind).refs?.(one.spec) ?? [], fetchOnce)
      return 'input' in resolved ? { ...resolved, warnings: warnings(Object.keys(one.listed.annotations)) } : resolved
    })
  )
}

async function resolve(
  placed: Placed,
  wanted: readonly Ref[],
  fetchOnce: (namespace: string, ref: Ref) => Promise<Material>
): Promise<Omit<Admitted, 'warnings'> | Refused> {
  const { listed, spec, workspace, path, policies } = placed
  const materials = new Map<string, Material>()
  try {
    for (const ref of wanted) materials.set(refText(ref), await fetchOnce(listed.namespace, ref))
  } catch (error) {
    if (!isObjectError(error)) throw error
    return { listed, error, workspace, path }
  }
  const text = (ref: Ref): string => textOf(ref, materials.get(refText(ref)))
  const refs = [...materials.keys()]
  const versions = [...materials.values()].map(one => one.version)
  return { input: { listed, spec, workspace, path, text }, policies, refs, versions }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Throws SecretKeyNotFound, ConfigMapKeyNotFound or SecretNotText. */
function textOf(ref: Ref, material: Material | undefined): string {
  const bytes = material?.data.get(ref.key)
  if (!bytes) {
    const code = ref.kind === 'Secret' ? 'SecretKeyNotFound' : 'ConfigMapKeyNotFound'
    throw new SyncError(code, `${ref.kind} ${ref.name} has no key ${ref.key}; add it or correct the reference.`)
  }
  try {
    return decoder.decode(bytes)
  } catch {
    throw new SyncError(
      'SecretNotText',
      `Key ${ref.key} of ${ref.kind} ${ref.name} is not UTF-8 text; Windmill stores text only (use base64 text).`
    )
  }
}
