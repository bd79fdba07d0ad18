/** Opens what a command works on, runs it, and closes everything again. */
import { type Config, connectionsFor } from './config.ts'
import type { Database } from './database/client.ts'
import type { Log } from './log.ts'
import { keepHeapSmall } from './memory.ts'
import type { AnyKind, Source } from './model.ts'
import type { Report } from './report.ts'

export interface Surroundings {
  readonly log: Log
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  readonly version: string
  /** Writes to stdout; `export` does so batch by batch. */
  readonly print: (text: string) => void
}

/** The whole answer of a command that makes no report. */
export interface Answer {
  readonly text: string
  readonly exitCode: number
}

export async function runCommand(config: Config, around: Surroundings): Promise<Report | Answer> {
  if (config.command === 'init' && config.print) return (await loadCommands()).printInit()
  if (config.command === 'validate') return (await loadCommands()).validate(config, around)
  // Wrong names of kinds are refused before anything is reached.
  if (config.kinds !== undefined) await (await loadCommands()).loadKinds(config)
  const embedded = config.database === 'embedded' ? await startEmbedded() : undefined
  try {
    return await connected(config, around, embedded?.url ?? config.database ?? '')
  } finally {
    await embedded?.stop()
  }
}

/** Cluster and database are reached at the same time, and most of the program is loaded while they answer. */
async function connected(config: Config, around: Surroundings, url: string): Promise<Report | Answer> {
  const needsSource = !['init', 'export'].includes(config.command)
  const cluster = needsSource && config.from === undefined ? openCluster(config, around) : undefined
  const opening = openDatabase(url, config, around)
  for (const one of [cluster, opening]) one?.catch(() => {})
  await Promise.all([cluster && loadCluster(), loadDatabase()])
  keepHeapSmall()
  const commands = await loadCommands()
  const kinds = await commands.loadKinds(config)
  const source = cluster ?? (needsSource ? openFiles(config, { ...around, kinds }) : undefined)
  source?.catch(() => {})
  try {
    const database = await opening
    try {
      if (config.command === 'export') return await commands.exportFrom(config, { ...around, database, kinds })
      return source
        ? await commands.reconcile(config, { ...around, database, kinds, source: await source })
        : await commands.init(database)
    } finally {
      await database.close()
    }
  } finally {
    await source?.then(
      opened => opened.close(),
      () => {}
    )
  }
}

// Loaded apart, so that the first requests are on their way before the rest of the program is read.
const loadCluster = (): Promise<typeof import('./cluster/source.ts')> => import('./cluster/source.ts')
const loadDatabase = (): Promise<typeof import('./database/client.ts')> => import('./database/client.ts')
const loadCommands = (): Promise<typeof import('./commands.ts')> => import('./commands.ts')

/** Only the first try needs it, so only that loads it. */
async function startEmbedded(): Promise<{ url: string; stop: () => Promise<void> }> {
  const { startEmbedded } = await import('./database/embedded.ts')
  return startEmbedded()
}

async function openDatabase(url: string, config: Config, { log, environment }: Surroundings): Promise<Database> {
  const { connect } = await loadDatabase()
  return connect(url, {
    readOnly: ['plan', 'export'].includes(config.command),
    max: connectionsFor(config),
    applicationName: `windmill-iac ${environment['HOSTNAME'] ?? ''}`.trim().slice(0, 63),
    debug: (message, fields) => log.debug(message, fields)
  })
}

async function openCluster(config: Config, { log, environment }: Surroundings): Promise<Source> {
  const { watchNamespaces: namespaces, clusterId, context, concurrency } = config
  const labels = config.selector !== undefined
  const { openCluster } = await loadCluster()
  return openCluster({ log, environment, context, clusterId, namespaces, labels, concurrency })
}

async function openFiles(
  { from = '', watchNamespaces: namespaces, clusterId }: Config,
  { log, kinds }: Surroundings & { readonly kinds: readonly AnyKind[] }
): Promise<Source> {
  const { openDirectory } = await import('./files/source.ts')
  const plurals = new Map(kinds.map(one => [one.kind, one.plural]))
  const source = await openDirectory(from, { kinds: plurals, log, namespaces })
  return clusterId === undefined ? source : { ...source, id: clusterId }
}
