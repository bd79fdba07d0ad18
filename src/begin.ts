/** What a run begins with: the ledger, the rules, and all else that holds for the whole of it. */
import { type Config, connectionsFor } from './config.ts'
import { withRetries } from './database/failures.ts'
import { loadLedger, openLedger, settleIncarnation } from './database/ledger.ts'
import { type Context, type Entry, LINKED, objectKey, targetKey } from './model.ts'
import { makePublisher, silentPublisher } from './publish.ts'
import { claimsByKind, isOwned, Outcomes, type Session, type World } from './session.ts'
import { rulesOf, runAsRefusal, type TenancyRules } from './tenancy.ts'

/** What the database said of itself at the start. */
export interface Footing {
  readonly capabilities: Context['capabilities']
  /** For the report. */
  readonly windmillSchema: string
}

/** Reads the ledger and all that holds for the whole run. */
export async function begin(config: Config, world: World, footing: Footing): Promise<Session> {
  const { source, log, signal } = world
  // Nothing is lost by reading again; what writes sees to it itself.
  const database: World['database'] = {
    ...world.database,
    read: work => withRetries(() => world.database.read(work), { signal })
  }
  const dry = config.command === 'plan'
  const opened = await openLedger(database, !dry)
  const { ledger, moved, found } = await database.read(async sql => ({
    ...(await loadLedger(sql, source.id, opened)),
    found: await sql<{ id: string }[]>`select id from workspace`
  }))
  if (moved && !dry) await database.write(settleIncarnation)
  const namespaces: Session['namespaces'] = new Map()
  const rules = rulesOf(config, namespaces)
  const context = contextOf({ config, footing, ledger, rules })
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

interface Known {
  readonly config: Config
  readonly footing: Footing
  readonly ledger: Session['ledger']
  readonly rules: TenancyRules
}

/** What kinds are told besides their rows. */
function contextOf({ config, footing, ledger, rules }: Known): Context {
  const linked = linkedTargets(ledger)
  return {
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
}

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
