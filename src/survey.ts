/** The first stage: what is listed, and which of it may differ from the database. Marks only ever save work. */
import pLimit from 'p-limit'
import type { Config } from './config.ts'
import { SyncError, scopeOf } from './errors.ts'
import { canonical, fingerprintOf, markedAnnotations } from './fingerprint.ts'
import {
  type AnyKind,
  type Entry,
  type Listed,
  objectKey,
  type Ref,
  type Source,
  type Target,
  targetKey
} from './model.ts'
import { isWatched, matches, selectKinds, shardOf } from './scope.ts'
import { engineView, isOwned, type Session, type World } from './session.ts'
import { isAllowed, isPathAllowed, mappedWorkspace, policiesFor } from './tenancy.ts'

/** One kind as this run found it. */
export interface Surveyed {
  readonly kind: AnyKind
  /** Keys of all CRs that exist, selected or not: what is in here is not gone. */
  readonly existing: ReadonlySet<string>
  /** Selected CRs whose marks moved: these are read and compared in full. */
  readonly changed: readonly Listed[]
  /** Number of CRs of the kind in the source. */
  readonly total: number
  /** Workspaces that the selected CRs go to, so far as can be told before they are read. */
  readonly placed: ReadonlySet<string>
  /** The kind could not be listed, or a document of it could not be read: nothing of it is pruned. */
  readonly incomplete: boolean
}

/** Raised when the engine itself would judge or store the same CR differently. */
const ENGINE_RULES = 1

/** How many targets are asked for at once: bounds the size of one query's parameter and answer. */
const TOKENS_AT_ONCE = 10_000

/** A kind's CRs, or why they could not be listed: that kind's error, never "no objects". */
export interface Listing {
  readonly kind: AnyKind
  readonly listed: readonly Listed[] | SyncError
}

/** Lists the wanted kinds, all at once. Throws what concerns more than one kind. */
export function listKinds(config: Config, { source, kinds, signal }: World): Promise<readonly Listing[]> {
  const list = async (kind: AnyKind): Promise<Listing> => {
    try {
      return { kind, listed: await source.list(kind) }
    } catch (error) {
      if (!(error instanceof SyncError) || signal.aborted || scopeOf(error.code) !== 'kind') throw error
      return { kind, listed: error }
    }
  }
  return Promise.all(selectKinds(kinds, config.kinds).map(list))
}

function tellUnlisted({ log, outcomes }: Session, { kind }: AnyKind, error: SyncError): void {
  log.error('kind not listed', { kind, reason: error.code, error: error.message })
  outcomes.add({
    op: 'error',
    kind,
    namespace: '',
    name: '',
    workspace: '',
    path: '',
    state: 'Error',
    reason: error.code,
    message: error.message
  })
}

/** Sorts a kind's CRs into those to compare and those whose marks stand still. */
export async function survey(session: Session, { kind, listed: found }: Listing): Promise<Surveyed> {
  if (found instanceof SyncError) tellUnlisted(session, kind, found)
  const all = found instanceof SyncError ? [] : found
  const selected = all.filter(one => matches(one.labels, session.config.selector))
  const versions = await referencedVersions(session, kind, selected)
  const changed: Listed[] = []
  const quiet: { listed: Listed; entry: Entry }[] = []
  for (const listed of selected) {
    const entry = session.ledger.of(kind.kind).byObject.get(objectKey(listed.namespace, listed.name))
    if (entry && isQuiet(session, kind, { listed, entry, versions })) quiet.push({ listed, entry })
    else changed.push(listed)
  }
  const moved = await movedTargets(
    session,
    kind,
    quiet.map(one => one.entry)
  )
  for (const { listed, entry } of quiet) {
    if (moved.has(targetKey(entry.workspace ?? '', entry.path ?? ''))) changed.push(listed)
    else {
      session.claims(kind.kind).enter(entry.workspace ?? '', entry.path ?? '', listed)
      if (shardOf(entry.workspace ?? '', session.config.shard.count) === session.config.shard.index)
        session.outcomes.keep(1)
    }
  }
  const surveyed = {
    kind,
    existing: new Set(all.map(one => objectKey(one.namespace, one.name))),
    changed,
    total: all.length,
    placed: placedIn(session, kind, selected),
    incomplete:
      found instanceof SyncError || session.source.strays().some(one => one.kind === '' || one.kind === kind.kind)
  }
  const chosen = new Set(selected)
  reserveOwned(session, surveyed, selected.length < all.length ? all.filter(one => !chosen.has(one)) : [])
  return surveyed
}

/** Whoever owns a target by the ledger and was not heard yet, or will not be in this run, keeps it against younger CRs. */
function reserveOwned(session: Session, surveyed: Surveyed, unselected: readonly Listed[]): void {
  const { kind, existing, changed, incomplete } = surveyed
  const { byObject } = session.ledger.of(kind.kind)
  const claims = session.claims(kind.kind)
  for (const [hold, some] of [['pending', changed] as const, ['silent', unselected] as const]) {
    for (const listed of some) {
      const entry = byObject.get(objectKey(listed.namespace, listed.name))
      if (isOwned(entry)) claims.reserve(entry.workspace ?? '', entry.path ?? '', listed, hold)
    }
  }
  for (const [key, entry] of byObject) {
    const { namespace, name, workspace, path } = entry
    if (existing.has(key) || !isOwned(entry) || (!incomplete && isWatched(namespace ?? '', session.config))) continue
    const owner = { namespace: namespace ?? '', name: name ?? '', createdAt: '' }
    claims.reserve(workspace ?? '', path ?? '', owner, 'unseen')
  }
}

function placedIn(session: Session, kind: AnyKind, listed: readonly Listed[]): ReadonlySet<string> {
  const { byObject } = session.ledger.of(kind.kind)
  const places = new Set<string>()
  for (const { namespace, name } of listed) {
    const known = byObject.get(objectKey(namespace, name))?.workspace
    const place = known ?? mappedWorkspace(namespace, session.rules.mapping)
    if (place !== undefined && kind.inWorkspace !== false) places.add(place)
  }
  return places
}

/** Everything of the cluster's side that the row depends on has the versions that the ledger remembers. */
function isQuiet(session: Session, kind: AnyKind, one: { listed: Listed; entry: Entry; versions: Versions }): boolean {
  const { listed, entry, versions } = one
  if (session.config.refresh || !isOwned(entry) || entry.fingerprint === '' || entry.state !== 'Synced') return false
  if (session.publisher.active && entry.reported === '') return false
  if (!isAllowed(listed.namespace, entry.workspace ?? '', session.rules)) return false
  if (!isPathAllowed(listed.namespace, entry.path ?? '', session.rules)) return false
  const seen = entry.refs.map(ref => versions.get(refKey(listed.namespace, ref)))
  return entry.fingerprint === fingerprint(session, kind, listed, seen)
}

/** The mark of a CR's whole input; `seen`: versions of what it refers to, in the order of its refs; '' when unusable. */
export function fingerprint(
  session: Session,
  kind: AnyKind,
  listed: Listed,
  seen: readonly (string | undefined)[]
): string {
  try {
    const { deletion, ownDeletion } = policiesFor(listed, session.rules)
    const mapped = mappedWorkspace(listed.namespace, session.rules.mapping) ?? ''
    const parts = [
      String(ENGINE_RULES),
      String(kind.rules),
      // A newer Windmill may have a column for what had none before.
      session.windmillSchema,
      listed.uid,
      listed.revision,
      mapped,
      session.rules.runAs,
      session.rules.namespaces.get(listed.namespace)?.['run-as'] ?? '',
      deletion,
      String(ownDeletion)
    ]
    return fingerprintOf([...parts, canonical(marked(listed.annotations)), ...seen.map(version => version ?? '')])
  } catch {
    return ''
  }
}

/** Only those that every form of a listing tells: with any other, a CR would be read again at every change of the form. */
const marked = (annotations: Listed['annotations']): Listed['annotations'] =>
  Object.fromEntries(markedAnnotations.flatMap(name => (name in annotations ? [[name, annotations[name] ?? '']] : [])))

type Versions = ReadonlyMap<string, string | undefined>

/** `Secret/name`, as the ledger keeps it. */
export const refText = (ref: Pick<Ref, 'kind' | 'name'>): string => `${ref.kind}/${ref.name}`
const refKey = (namespace: string, ref: string): string => `${namespace}/${ref}`

/** Versions of the Secrets and ConfigMaps that the ledger remembers for these CRs; asked for once each. */
async function referencedVersions(session: Session, kind: AnyKind, listed: readonly Listed[]): Promise<Versions> {
  const wanted = new Map<string, { namespace: string; ref: string }>()
  const { byObject } = session.ledger.of(kind.kind)
  for (const { namespace, name } of listed) {
    for (const ref of byObject.get(objectKey(namespace, name))?.refs ?? []) {
      wanted.set(refKey(namespace, ref), { namespace, ref })
    }
  }
  const limit = pLimit(session.config.concurrency)
  const found = await Promise.all(
    [...wanted].map(([key, { namespace, ref }]) =>
      limit(async () => [key, await versionOf(session.source, namespace, ref)] as const)
    )
  )
  return new Map(found)
}

async function versionOf(source: Source, namespace: string, ref: string): Promise<string | undefined> {
  const [kind, name] = ref.split('/') as [Ref['kind'], string]
  return source.version(kind, namespace, name)
}

/** Targets whose rows are not as the ledger left them (or are gone). */
async function movedTargets(session: Session, kind: AnyKind, entries: readonly Entry[]): Promise<ReadonlySet<string>> {
  const moved = new Set<string>()
  for (let from = 0; from < entries.length; from += TOKENS_AT_ONCE) {
    const some = entries.slice(from, from + TOKENS_AT_ONCE)
    const targets: Target[] = some.map(one => ({
      workspace: one.workspace ?? '',
      path: one.path ?? '',
      fields: one.fields
    }))
    const tokens = await session.database.read(sql => engineView(kind).tokens(sql, targets, session.context))
    for (const entry of some) {
      const key = targetKey(entry.workspace ?? '', entry.path ?? '')
      if (tokens.get(key) !== entry.token) moved.add(key)
    }
    for (const key of await outdated(session, kind, some)) moved.add(key)
  }
  return moved
}

/**
 * Those whose status has become untrue although no row of theirs moved: a lock that is pending no longer, times that have
 * gone on by more than the kind thinks worth telling.
 */
async function outdated(session: Session, kind: AnyKind, entries: readonly Entry[]): Promise<readonly string[]> {
  const { details, isNews } = engineView(kind)
  const doubtful = entries.filter(one => isNews || one.details.lockState === 'pending')
  if (!details || doubtful.length === 0) return []
  const targets = doubtful.map(({ workspace, path, fields }) => ({
    workspace: workspace ?? '',
    path: path ?? '',
    fields
  }))
  const found = await session.database.read(sql => details(sql, targets, session.context))
  const now = new Date()
  return doubtful.flatMap(entry => {
    const key = targetKey(entry.workspace ?? '', entry.path ?? '')
    const after = found.get(key) ?? {}
    const isLockNews = entry.details.lockState === 'pending' && after.lockState !== 'pending'
    return isLockNews || isNews?.(entry.details, after, now) ? [key] : []
  })
}
