/** The first stage: what is listed, and which of it may differ from the database. Marks only ever save work. */
import pLimit from 'p-limit'
import type { Holder } from './claims.ts'
import type { Config } from './config.ts'
import type { MarkList, Moved } from './database/ledger-read.ts'
import { SyncError, scopeOf } from './errors.ts'
import { type AnyKind, type Entry, type Listed, objectKey, type Ref, type Source, targetKey } from './model.ts'
import { fits, Positions, Roster } from './roster.ts'
import { isInShard, isWatched, matches, selectKinds } from './scope.ts'
import { engineView, isOwned, type Session, type World } from './session.ts'
import { mappedWorkspace } from './tenancy.ts'

/** One kind as this run found it. */
export interface Surveyed {
  readonly kind: AnyKind
  /** All CRs that exist, selected or not: what is in here is not gone. */
  readonly roster: Roster
  /** The selected CRs whose marks moved: these are read and compared in full. */
  readonly changed: Positions
  /** The CRs that the run is about. */
  readonly selected: (position: number) => boolean
  /** CRs in watched namespaces that the ledger knows and that exist no more. */
  readonly gone: readonly Pick<Entry, 'namespace' | 'name'>[]
  /** There are rows that CRs left behind in earlier runs. */
  readonly isLeft: boolean
  /** Workspaces that the selected CRs go to, so far as can be told before they are read. */
  readonly placed: ReadonlySet<string>
  /** The kind could not be listed, or a document of it could not be read: nothing of it is pruned. */
  readonly incomplete: boolean
}

/** How many blocks of CRs are compared with one statement: bounds its parameters. */
const BLOCKS_AT_ONCE = 40

/** How many entries are looked at together for what their status says. */
const ENTRIES_AT_ONCE = 10_000

/** A kind's CRs, or why they could not be listed: that kind's error, never "no objects". */
export interface Listing {
  readonly kind: AnyKind
  readonly listed: Roster | SyncError
}

/** Lists the wanted kinds, all at once, after `start`. Rejects for what concerns more than one kind. */
export function listKinds(
  config: Config,
  { source, kinds, signal }: World,
  start: Promise<unknown>
): readonly Promise<Listing>[] {
  return selectKinds(kinds, config.kinds).map(async (kind): Promise<Listing> => {
    await start
    try {
      return { kind, listed: await source.list(kind) }
    } catch (error) {
      if (!(error instanceof SyncError) || signal.aborted || scopeOf(error.code) !== 'kind') throw error
      return { kind, listed: error }
    }
  })
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

/** CRs whose rows, or what their status says of them, are not as the ledger left them. */
export async function findMoved(session: Session, kinds: readonly AnyKind[]): Promise<readonly Moved[]> {
  const { config, database, ledger, context } = session
  if (config.refresh || ledger.isEmpty) return []
  const places = (kind: string): readonly string[] | undefined =>
    config.shard.count > 1 ? ledger.workspaces(kind).filter(one => isInShard(one, config)) : undefined
  const found = [...(await database.read(sql => ledger.reader.moved(sql, kinds, context, places)))]
  for (const kind of kinds) found.push(...(await outdated(session, kind)))
  return found
}

/**
 * Those whose status has become untrue although no row of theirs moved: times that have gone on by more than the kind
 * thinks worth telling.
 */
async function outdated(session: Session, kind: AnyKind): Promise<readonly Moved[]> {
  const { details, isNews } = engineView(kind)
  if (!details || !isNews) return []
  const found: Moved[] = []
  for (let after = ''; ; ) {
    const { entries, last } = await session.database.read(async sql => {
      const page = await session.ledger.reader.told(sql, kind.kind, { after, limit: ENTRIES_AT_ONCE })
      const targets = page.entries.map(({ workspace, path }) => ({
        workspace: workspace ?? '',
        path: path ?? '',
        fields: []
      }))
      const now = await details(sql, targets, session.context)
      const time = new Date()
      for (const [at, { workspace, path }] of targets.entries()) {
        const entry = page.entries[at]
        if (!entry || !isInShard(workspace, session.config)) continue
        if (isNews(entry.details, now.get(targetKey(workspace, path)) ?? {}, time)) found.push(entry)
      }
      return page
    })
    if (entries.length < ENTRIES_AT_ONCE) return found
    after = last
  }
}

/** Sorts a kind's CRs into those to compare and those whose marks stand still; `moved` are those of the database's side. */
export async function survey(
  session: Session,
  { kind, listed }: Listing,
  { moved, listed: all }: { readonly moved: Promise<readonly Moved[]>; readonly listed: Promise<unknown> }
): Promise<Surveyed> {
  if (listed instanceof SyncError) tellUnlisted(session, kind, listed)
  const roster = listed instanceof SyncError ? new Roster(kind.kind) : listed
  const selected = selectionOf(session, roster)
  const { changed, kept, known, placed } = await compareMarks(session, kind, { roster, selected })
  for (const { kind: which, namespace, name, workspace } of await moved) {
    if (which !== kind.kind) continue
    const position = roster.positionOf(namespace ?? '', name ?? '')
    if (position === undefined || !selected(position) || changed.has(position)) continue
    changed.add(position)
    kept.set(workspace ?? '', (kept.get(workspace ?? '') ?? 0) - 1)
  }
  for (const [workspace, count] of kept) if (isInShard(workspace, session.config)) session.outcomes.keep(count)
  // What a document is may be known only when all kinds are listed.
  await all
  const incomplete =
    listed instanceof SyncError || session.source.strays().some(one => one.kind === '' || one.kind === kind.kind)
  const gone = incomplete ? [] : await findMissing(session, roster, known)
  const isLeft = session.ledger.count(kind.kind, 'detached') > 0
  return { kind, roster, selected, changed, gone, isLeft, placed, incomplete }
}

/** All without a selector. */
function selectionOf({ config }: Session, roster: Roster): (position: number) => boolean {
  if (!config.selector) return () => true
  const chosen = new Positions(roster.size)
  for (let at = 0; at < roster.size; at++) if (matches(roster.at(at).labels, config.selector)) chosen.add(at)
  return at => chosen.has(at)
}

interface Compared {
  readonly changed: Positions
  /** Number of CRs that stand still, by workspace. */
  readonly kept: Map<string, number>
  /** Number of CRs that have an entry, by workspace; undefined when nobody asked. */
  readonly known: ReadonlyMap<string, number> | undefined
  readonly placed: ReadonlySet<string>
}

/** Marks go up, differences come back. */
async function compareMarks(session: Session, kind: AnyKind, { roster, selected }: Chosen): Promise<Compared> {
  const { ledger, database, config } = session
  const changed = new Positions(roster.size)
  const placed = new Set<string>()
  const place = (workspace: string | undefined): void => {
    if (workspace !== undefined && kind.inWorkspace !== false) placed.add(workspace)
  }
  if (config.refresh || ledger.count(kind.kind, 'named') === 0) {
    for (let at = 0; at < roster.size; at++) if (selected(at)) changed.add(at)
    for (const namespace of roster.namespaces) place(mappedWorkspace(namespace, session.rules.mapping))
    for (const workspace of ledger.workspaces(kind.kind)) place(workspace)
    return { changed, kept: new Map(), known: undefined, placed }
  }
  const seen = await referencedVersions(session, kind)
  const kept = new Map<string, number>()
  const known = new Map<string, number>()
  const compareSome = async (from: number): Promise<void> => {
    const { list, start, unmarked } = markList(session, kind, { roster, selected, seen, from })
    for (const at of unmarked) changed.add(start + at)
    const told = session.publisher.active
    const answer = await database.read(sql => ledger.reader.compareMarks(sql, kind.kind, list, told))
    for (const [workspace, count] of answer.known) known.set(workspace, (known.get(workspace) ?? 0) + count)
    for (const { at, workspace } of answer.changed) {
      if (!selected(start + at)) continue
      changed.add(start + at)
      place(workspace ?? mappedWorkspace(roster.at(start + at).namespace, session.rules.mapping))
    }
    for (const [workspace, count] of answer.quiet) {
      kept.set(workspace, (kept.get(workspace) ?? 0) + count)
      place(workspace)
    }
  }
  for (let from = 0; from < roster.blocks; from += BLOCKS_AT_ONCE) await session.inTurn(() => compareSome(from))
  return { changed, kept, known, placed }
}

interface Chosen {
  readonly roster: Roster
  readonly selected: (position: number) => boolean
}

interface Marking extends Chosen {
  readonly seen: Seen
  /** The first block. */
  readonly from: number
}

interface Marked {
  readonly list: MarkList
  /** Position in the roster of the first CR of the list. */
  readonly start: number
  /** Positions in the list of selected CRs that are read in any case. */
  readonly unmarked: readonly number[]
}

/** Some blocks of the roster with their marks. Those that are not selected have none. */
function markList(session: Session, kind: AnyKind, { roster, selected, seen, from }: Marking): Marked {
  const marks = session.marks(kind)
  const blocks = roster.slice(from, from + BLOCKS_AT_ONCE)
  const start = roster.startOf(from)
  const fingerprints: string[] = []
  const unmarked: number[] = []
  for (const block of blocks) {
    const namespaces = block.namespaces.split('\n')
    const names = seen.size > 0 ? block.names.split('\n') : []
    const first = start + fingerprints.length
    for (const [index, revision] of block.revisions.split('\n').entries()) {
      const namespace = namespaces[index] ?? ''
      const whole = roster.whole.get(first + index)
      const versions = (seen.size > 0 && seen.get(objectKey(namespace, names[index] ?? ''))) || unseen
      const isMarked = selected(first + index) && (!whole || fits(whole))
      const mark = isMarked ? marks.of(whole ?? { namespace, revision, annotations: none }, versions) : ''
      if (mark === '' && selected(first + index)) unmarked.push(fingerprints.length)
      fingerprints.push(mark)
    }
  }
  const lines = (column: 'namespaces' | 'names' | 'uids'): string => blocks.map(one => one[column]).join('\n')
  return {
    list: {
      count: fingerprints.length,
      namespaces: lines('namespaces'),
      names: lines('names'),
      uids: lines('uids'),
      fingerprints: fingerprints.join('\n')
    },
    start,
    unmarked
  }
}

const none: Listed['annotations'] = Object.freeze({})
const unseen: readonly string[] = []

/**
 * Looked for only where the numbers say that there are some. Only numbers of this shard count: others change meanwhile.
 */
async function findMissing(
  { config, database, ledger }: Session,
  roster: Roster,
  known: ReadonlyMap<string, number> | undefined
): Promise<Surveyed['gone']> {
  const isOurs = (workspace: string): boolean => workspace === '' || isInShard(workspace, config)
  const named = ledger.count(roster.kind, 'named', one => isWatched(one.namespace, config) && isOurs(one.workspace))
  const met = [...(known ?? [])].reduce((sum, [workspace, count]) => sum + (isOurs(workspace) ? count : 0), 0)
  if (named === 0 || (known && met === named)) return []
  const gone: Pick<Entry, 'namespace' | 'name'>[] = []
  await database.read(sql => {
    gone.length = 0
    return ledger.reader.eachName(sql, roster.kind, (namespace, name) => {
      if (isWatched(namespace, config) && roster.positionOf(namespace, name) === undefined)
        gone.push({ namespace, name })
    })
  })
  return gone
}

/** `Secret/name`, as the ledger keeps it. */
export const refText = (ref: Pick<Ref, 'kind' | 'name'>): string => `${ref.kind}/${ref.name}`

/** Versions of what CRs refer to, in the order of their refs, by namespace/name; nothing for those without any. */
type Seen = ReadonlyMap<string, readonly (string | undefined)[]>

/** Versions of the Secrets and ConfigMaps that the ledger remembers for these CRs; asked for once each. */
async function referencedVersions({ ledger, source, config }: Session, { kind }: AnyKind): Promise<Seen> {
  const limit = pLimit(config.concurrency)
  const asked = new Map<string, Promise<string | undefined>>()
  const ask = (namespace: string, ref: string): Promise<string | undefined> => {
    const key = objectKey(namespace, ref)
    const known = asked.get(key) ?? limit(() => versionOf(source, namespace, ref))
    asked.set(key, known)
    return known
  }
  const found = [...(ledger.refs.get(kind) ?? [])].map(async ([key, refs]) => {
    const namespace = key.slice(0, key.indexOf('/'))
    return [key, await Promise.all(refs.map(ref => ask(namespace, ref)))] as const
  })
  return new Map(await Promise.all(found))
}

async function versionOf(source: Source, namespace: string, ref: string): Promise<string | undefined> {
  const [kind, name] = ref.split('/') as [Ref['kind'], string]
  return source.version(kind, namespace, name)
}

/**
 * Who owns a target by the ledger, as far as that still binds a claimant: not himself, and not one that is gone, has
 * moved on, or was heard in this run.
 */
export function holderOf(
  session: Session,
  surveyed: Surveyed,
  { entry, claimant }: { readonly entry: Entry | undefined; readonly claimant: Listed }
): Holder | undefined {
  if (!isOwned(entry) || entry.name === null) return undefined
  if (entry.name === claimant.name && entry.namespace === claimant.namespace) return undefined
  const { kind, roster, changed, selected, incomplete } = surveyed
  const claims = session.claims(kind.kind)
  const { name, namespace } = entry
  const position = roster.positionOf(namespace ?? '', name)
  if (position === undefined) {
    if (!incomplete && isWatched(namespace ?? '', session.config)) return undefined
    return { owner: { namespace: namespace ?? '', name, createdAt: '' }, standing: 'unseen' }
  }
  const owner = roster.at(position)
  if (!selected(position)) return { owner, standing: 'silent' }
  if (!changed.has(position)) return { owner, standing: 'quiet' }
  if (claims.hasHeard(owner)) return undefined
  return { owner, standing: claims.settled ? 'silent' : 'pending' }
}
