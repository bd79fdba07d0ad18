/** What a run begins with: the ledger, the rules, and all else that holds for the whole of it. */
import pLimit from 'p-limit'
import { Claims } from './claims.ts'
import { type Config, connectionsFor } from './config.ts'
import { withRetries } from './database/failures.ts'
import { hasMoved, isFilled, openLedger, settleIncarnation } from './database/ledger.ts'
import { LedgerReader } from './database/ledger-read.ts'
import { Ledger } from './ledger.ts'
import { Marks } from './marks.ts'
import type { AnyKind, Context } from './model.ts'
import { makePublisher, silentPublisher } from './publish.ts'
import { byKey, Outcomes, type Session, type World } from './session.ts'
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
  const { moved, filled, found } = await database.read(async sql => ({
    moved: opened.present && (await hasMoved(sql)),
    filled: opened.present && (await isFilled(sql)),
    found: await sql<{ id: string }[]>`select id from workspace`
  }))
  if (moved && !dry) await database.write(settleIncarnation)
  const reader = new LedgerReader(source.id, opened, moved && dry)
  const ledger = new Ledger(database, reader, { isEmpty: !filled })
  const namespaces: Session['namespaces'] = new Map()
  const rules = rulesOf(config, namespaces)
  const { windmillSchema } = footing
  const context = contextOf({ config, footing, ledger, rules })
  const tells = !dry && config.from === undefined && config.status !== 'none'
  return {
    ...world,
    database,
    config,
    dry,
    connections: connectionsFor(config),
    context,
    windmillSchema,
    ledger,
    outcomes: new Outcomes(),
    publisher: tells ? makePublisher({ source, database, log, concurrency: config.concurrency }) : silentPublisher,
    claims: byKey((_kind: string) => new Claims()),
    marks: byKey((kind: AnyKind) => new Marks({ rules, windmillSchema }, kind)),
    workspaces: new Set(found.map(one => one.id)),
    identities: new Map(),
    left: [],
    inTurn: pLimit(2),
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
  readonly ledger: Ledger
  readonly rules: TenancyRules
}

/** What kinds are told besides their rows. */
function contextOf({ config, footing, ledger, rules }: Known): Context {
  return {
    capabilities: footing.capabilities,
    user: config.user,
    email: config.email,
    salt: config.salt,
    mayRunAs: (namespace, account) => runAsRefusal(namespace, account, rules),
    linkedBy: (workspace, path) => ledger.linkedAt(workspace, path)?.by,
    linkedPath: (workspace, path) => ledger.linkedAt(workspace, path)?.path,
    ownersOf: (...which) => ledger.reader.owners(...which)
  }
}
