/** Opens what a command works on, runs it, and closes everything again. */
import { existsSync } from 'node:fs'
import { connectionsFor } from './begin.ts'
import type { Config } from './config.ts'
import type { Crds } from './crd.ts'
import { connect, type Database } from './database/client.ts'
import { inspect } from './database/guard.ts'
import { openLedger } from './database/ledger.ts'
import { initScript } from './database/ledger-schema.ts'
import { loadKindFiles } from './kind-files.ts'
import type { Log } from './log.ts'
import type { AnyKind, Source } from './model.ts'
import { checkKinds } from './registry.ts'
import type { Report } from './report.ts'
import { run } from './run.ts'
import { selectKinds } from './scope.ts'
import type { Checks } from './session.ts'

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
  if (config.command === 'init' && config.print) return { text: initScript(), exitCode: 0 }
  const kinds = checkKinds(await loadKindFiles())
  selectKinds(kinds, config.kinds)
  if (config.command === 'validate') return validate(config, around, kinds)
  const embedded = config.database === 'embedded' ? await startEmbedded() : undefined
  // Cluster and database are reached at the same time; whoever fails first is told.
  const source = ['init', 'export'].includes(config.command) ? undefined : openSource(config, { ...around, kinds })
  source?.catch(() => {})
  try {
    const url = embedded?.url ?? config.database ?? ''
    const database = await openDatabase(url, config, around)
    try {
      if (config.command === 'export') return await exportFrom(config, { ...around, database, kinds })
      return source
        ? await reconcile(config, { ...around, database, kinds, source: await source })
        : await init(database)
    } finally {
      await database.close()
    }
  } finally {
    await source?.then(
      opened => opened.close(),
      () => {}
    )
    await embedded?.stop()
  }
}

/** Only the first try needs it, so only that loads it. */
async function startEmbedded(): Promise<{ url: string; stop: () => Promise<void> }> {
  const { startEmbedded } = await import('./database/embedded.ts')
  return startEmbedded()
}

async function openDatabase(url: string, config: Config, { log, environment }: Surroundings): Promise<Database> {
  return connect(url, {
    readOnly: ['plan', 'export'].includes(config.command),
    max: connectionsFor(config),
    applicationName: `windmill-iac ${environment['HOSTNAME'] ?? ''}`.trim().slice(0, 63),
    debug: (message, fields) => log.debug(message, fields)
  })
}

async function init(database: Database): Promise<Answer> {
  await openLedger(database, true)
  return { text: `The ledger schema windmill_iac is ready in ${database.shown}.\n`, exitCode: 0 }
}

async function validate(config: Config, { log }: Surroundings, kinds: readonly AnyKind[]): Promise<Answer> {
  const { validateInputs } = await import('./validate.ts')
  return validateInputs(config, { kinds, crds: await openCrds(), log })
}

/** Reads only: no lock, no ledger. */
async function exportFrom(config: Config, job: Omit<Job, 'source'>): Promise<Answer> {
  const { exportAll } = await import('./export.ts')
  const footing = await inspect(job.database, job.kinds, { writes: false })
  const crds = await openCrds()
  return { text: '', exitCode: await exportAll(config, { ...job, ...footing, crds, checks: await loadChecks() }) }
}

interface Job extends Surroundings {
  readonly source: Source
  readonly database: Database
  readonly kinds: readonly AnyKind[]
}

async function reconcile(config: Config, job: Job): Promise<Report> {
  const { source, database, kinds, log } = job
  const writes = config.command !== 'plan'
  const signals = [job.signal]
  if (writes) {
    const waiting = (holder: string): void => log.info('waiting for another run', { holder })
    const lock = await database.lock(config.shard.index, config.lockTimeout, waiting, job.signal)
    signals.push(lock.signal)
  }
  // After the wait: a server may have migrated the database meanwhile.
  const footing = await inspect(database, kinds, { writes })
  const world = { source, database, kinds, checks: once(loadChecks), log, signal: AbortSignal.any(signals) }
  return run(config, world, footing)
}

async function openSource(
  config: Config,
  { log, environment, kinds }: Omit<Job, 'source' | 'database'>
): Promise<Source> {
  const { from, watchNamespaces: namespaces, clusterId, context, concurrency } = config
  if (from !== undefined) {
    const { openDirectory } = await import('./files/source.ts')
    const plurals = new Map(kinds.map(one => [one.kind, one.plural]))
    const source = await openDirectory(from, { kinds: plurals, log, namespaces })
    return clusterId === undefined ? source : { ...source, id: clusterId }
  }
  const { openCluster } = await import('./cluster/source.ts')
  return openCluster({
    log,
    environment,
    context,
    clusterId,
    namespaces,
    labels: config.selector !== undefined,
    concurrency
  })
}

/** CRDs are read and compiled kind by kind, when the first changed CR of a kind turns up. */
async function loadChecks(): Promise<Checks> {
  const { annotationWarnings } = await import('./crd.ts')
  return { validate: (await openCrds()).validator, warnings: annotationWarnings }
}

async function openCrds(): Promise<Crds> {
  const { loadCrds } = await import('./crd.ts')
  // Beside dist/ as in the image; beside src/ when the sources run as they are.
  const folder = ['../../crds/', '../crds/'].map(path => new URL(path, import.meta.url)).find(url => existsSync(url))
  return loadCrds(folder ?? new URL('../../crds/', import.meta.url))
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}
