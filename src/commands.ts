/** What each command does once cluster and database are being reached. open.ts loads this file while they answer. */
import { existsSync } from 'node:fs'
import type { Config } from './config.ts'
import type { Crds } from './crd.ts'
import type { Database } from './database/client.ts'
import { inspect } from './database/guard.ts'
import { openLedger } from './database/ledger.ts'
import { initScript } from './database/ledger-schema.ts'
import { loadKindFiles } from './kind-files.ts'
import type { AnyKind, Source } from './model.ts'
import type { Answer, Surroundings } from './open.ts'
import { checkKinds } from './registry.ts'
import type { Report } from './report.ts'
import { run } from './run.ts'
import { selectKinds } from './scope.ts'
import type { Checks } from './session.ts'

/** Refuses names of kinds that there are not. */
export async function loadKinds({ kinds: wanted }: Config): Promise<readonly AnyKind[]> {
  const kinds = checkKinds(await loadKindFiles())
  selectKinds(kinds, wanted)
  return kinds
}

export const printInit = (): Answer => ({ text: initScript(), exitCode: 0 })

export async function init(database: Database): Promise<Answer> {
  await openLedger(database, true)
  return { text: `The ledger schema windmill_iac is ready in ${database.shown}.\n`, exitCode: 0 }
}

export async function validate(config: Config, { log }: Surroundings): Promise<Answer> {
  const { validateInputs } = await import('./validate.ts')
  return validateInputs(config, { kinds: await loadKinds(config), crds: await openCrds(), log })
}

export interface Job extends Surroundings {
  readonly source: Source
  readonly database: Database
  readonly kinds: readonly AnyKind[]
}

/** Reads only: no lock, no ledger. */
export async function exportFrom(config: Config, job: Omit<Job, 'source'>): Promise<Answer> {
  const { exportAll } = await import('./export.ts')
  const footing = await inspect(job.database, job.kinds, { writes: false })
  const crds = await openCrds()
  return { text: '', exitCode: await exportAll(config, { ...job, ...footing, crds, checks: await loadChecks() }) }
}

export async function reconcile(config: Config, job: Job): Promise<Report> {
  const { source, database, kinds, log } = job
  const writes = config.command !== 'plan'
  const signals = [job.signal]
  if (writes) {
    const waiting = (holder: string): void => log.info('waiting for another run', { holder })
    const lock = await database.lock(config.shard.index, config.lockTimeout, waiting, job.signal)
    signals.push(lock.signal)
  }
  // After the wait: a server may have migrated the database meanwhile.
  const footing = inspect(database, kinds, { writes })
  const world = { source, database, kinds, checks: once(loadChecks), log, signal: AbortSignal.any(signals) }
  return run(config, world, footing)
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
