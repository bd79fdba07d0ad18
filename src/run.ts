/** The whole job, top to bottom. Each line is one stage; each stage has one file. */
import { randomUUID } from 'node:crypto'
import type { Config } from './config.ts'
import { withRetries } from './database/failures.ts'
import { saveRun } from './database/history.ts'
import { loadLedger, openLedger, settleIncarnation } from './database/ledger.ts'
import { SyncError } from './errors.ts'
import { ensureIdentities } from './identities.ts'
import { type Context, type Entry, LINKED, objectKey, type Stray, targetKey } from './model.ts'
import { pruneKind } from './prune.ts'
import { makePublisher, silentPublisher } from './publish.ts'
import { reconcileKind } from './reconcile.ts'
import { wavesOf } from './registry.ts'
import { makeReport, type Report, sentenceOf } from './report.ts'
import { isWatched, selectKinds } from './scope.ts'
import { claimsByKind, engineView, isOwned, Outcomes, type Session, type World } from './session.ts'
import { listKind, type Surveyed, survey } from './survey.ts'
import { runAsRefusal, type TenancyRules } from './tenancy.ts'

/** What the database said of itself at the start. */
export interface Footing {
  readonly capabilities: Context['capabilities']
  /** For the report. */
  readonly windmillSchema: string
}

export async function run(config: Config, world: World, footing: Footing): Promise<Report> {
  const startedAt = new Date()
  const session = await begin(config, world, footing)
  let error: SyncError | undefined
  try {
    const surveyed = await surveyAll(session)
    await preflight(session, surveyed)
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

/** Reads the ledger and all that holds for the whole run. */
async function begin(config: Config, world: World, footing: Footing): Promise<Session> {
  const { source, log, signal } = world
  // Nothing is lost by reading again; what writes sees to it itself.
  const database: World['database'] = {
    ...world.database,
    read: work => withRetries(() => world.database.read(work), { signal })
  }
  const dry = config.command === 'plan'
  const opened = await openLedger(database, !dry)
  const { ledger, moved } = await database.read(sql => loadLedger(sql, source.id, opened))
  if (moved && !dry) await database.write(settleIncarnation)
  const found = await database.read(sql => sql<{ id: string }[]>`select id from workspace`)
  const linked = linkedTargets(ledger)
  const namespaces = new Map<string, Readonly<Record<string, string>>>()
  const rules: TenancyRules = {
    mapping: config.namespaceMapping,
    runAs: config.runAs,
    userPaths: config.userPaths,
    user: config.user,
    adminNamespaces: new Set(config.adminNamespaces),
    policies: { conflict: config.conflictPolicy, deletion: config.deletionPolicy, adopt: config.adopt },
    namespaces
  }
  const context: Context = {
    capabilities: footing.capabilities,
    user: config.user,
    email: config.email,
    salt: config.salt,
    mayRunAs: (namespace, account) => runAsRefusal(namespace, account, rules),
    linkedBy: (workspace, path) => linked.get(targetKey(workspace, path))?.by,
    linkedPath: (workspace, path) => linked.get(targetKey(workspace, path))?.path,
    ownerOf: (kind, workspace, path) => {
      const { byTarget, others } = ledger.of(kind)
      const entry = byTarget.get(targetKey(workspace, path))
      if (isOwned(entry)) return nameOf(entry)
      return others.has(targetKey(workspace, path)) ? `${kind} of another cluster` : undefined
    }
  }
  const tells = !dry && config.from === undefined && config.status !== 'none'
  return {
    ...world,
    database,
    config,
    dry,
    connections: connectionsFor(config),
    context,
    windmillSchema: footing.windmillSchema,
    ledger,
    outcomes: new Outcomes(),
    publisher: tells ? makePublisher({ source, database, log, concurrency: config.concurrency }) : silentPublisher,
    claims: claimsByKind(),
    workspaces: new Set(found.map(one => one.id)),
    identities: new Map(),
    moved: new Set(),
    gained: new Map(),
    lockJobs: { left: config.maxLockJobs === 0 ? Number.POSITIVE_INFINITY : config.maxLockJobs },
    written: { count: 0 },
    namespaces,
    rules
  }
}

/** Two connections were as fast as more when measured; a few more help where the database is far away. */
export const connectionsFor = ({ concurrency }: Pick<Config, 'concurrency'>): number =>
  Math.min(4, Math.max(2, Math.floor(concurrency / 8)))

const nameOf = ({ kind, namespace, name }: Entry): string => `${kind} ${objectKey(namespace ?? '', name ?? '')}`

/** Secret variables that objects generated, by target: whose they are, and the path of the object. */
function linkedTargets(ledger: Session['ledger']): ReadonlyMap<string, { readonly by: string; readonly path: string }> {
  const linked = new Map<string, { by: string; path: string }>()
  const add = ({ workspace, path, fields }: Pick<Entry, 'workspace' | 'path' | 'fields'>, by: string): void => {
    for (const field of fields) {
      if (!field.startsWith(LINKED)) continue
      linked.set(targetKey(workspace ?? '', field.slice(LINKED.length)), { by, path: path ?? '' })
    }
  }
  for (const { byTarget, others } of ledger.all()) {
    for (const other of others.values()) add(other, 'A resource of another cluster')
    for (const entry of byTarget.values()) if (isOwned(entry)) add(entry, nameOf(entry))
  }
  return linked
}

/** Lists all kinds at once, then finds out what may have changed. */
async function surveyAll(session: Session): Promise<readonly Surveyed[]> {
  const { config, source } = session
  const wanted = selectKinds(session.kinds, config.kinds)
  const listings = await Promise.all(wanted.map(async kind => ({ kind, listing: await listKind(session, kind) })))
  const names = new Set([
    ...listings.flatMap(({ listing }) => (listing ?? []).map(one => one.namespace)),
    ...ownedNamespaces(session)
  ])
  for (const [name, annotations] of await source.namespaces([...names])) session.namespaces.set(name, annotations)
  for (const stray of source.strays()) tellStray(session, stray)
  const surveyed: Surveyed[] = []
  for (const { kind, listing } of listings) surveyed.push(await survey(session, kind, listing))
  return surveyed
}

/** Policies of a namespace hold for its rows, also when its last CR is gone. */
function* ownedNamespaces({ ledger, config }: Session): Iterable<string> {
  for (const { byObject } of ledger.all()) {
    for (const entry of byObject.values())
      if (isOwned(entry) && isWatched(entry.namespace ?? '', config)) yield entry.namespace ?? ''
  }
}

function tellStray(session: Session, { kind, namespace, name, error }: Stray): void {
  const { code: reason, message } = error
  session.outcomes.add({ op: 'error', kind, namespace, name, workspace: '', path: '', state: 'Error', reason, message })
}

/** Lets kinds refuse the run before its first write, for the workspaces that their CRs go to. */
async function preflight(session: Session, surveyed: readonly Surveyed[]): Promise<void> {
  for (const { kind, placed } of surveyed) {
    const view = engineView(kind)
    const workspaces = [...placed].filter(one => session.workspaces.has(one))
    if (view.preflight && workspaces.length > 0) {
      await session.database.read(async sql => view.preflight?.(sql, workspaces, session.context))
    }
  }
}

/** Creates and updates, wave by wave; the service identity is seen to once workspaces are there. */
async function reconcileAll(session: Session, surveyed: readonly Surveyed[]): Promise<void> {
  for (const wave of wavesOf(surveyed.map(one => one.kind))) {
    if (session.signal.aborted) return
    if (wave.some(kind => kind.inWorkspace !== false)) {
      await ensureIdentities(
        session,
        surveyed.flatMap(one => [...one.placed])
      )
    }
    const kinds = surveyed.filter(one => wave.includes(one.kind))
    const settled = await Promise.allSettled(kinds.map(one => reconcileKind(session, one)))
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
  return report
}
