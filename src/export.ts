/** From the database to manifests, batch by batch: what is there, what a manifest of it says, proof, writing. */
import type { Config } from './config.ts'
import type { Crds } from './crd.ts'
import type { Database } from './database/client.ts'
import { withRetries } from './database/failures.ts'
import { SyncError } from './errors.ts'
import { listKept, requireKept } from './export-deleted.ts'
import { openSink, type Sink } from './export-files.ts'
import { globs } from './export-names.ts'
import { type Done, exportBatch, type Listing, type RowsRun, stemOf } from './export-rows.ts'
import type { Log } from './log.ts'
import type { AnyKind, Capabilities, Context, Kind, Sql } from './model.ts'
import { wavesOf } from './registry.ts'
import { selectKinds } from './scope.ts'
import { type Checks, engineView } from './session.ts'
import { proveKeys } from './windmill/secret-store.ts'

export interface ExportJob {
  readonly database: Database
  readonly kinds: readonly AnyKind[]
  readonly capabilities: Capabilities
  readonly crds: Crds
  readonly checks: Checks
  readonly log: Log
  readonly signal: AbortSignal
  readonly print: (text: string) => void
}

interface Run extends ExportJob, RowsRun {
  readonly workspaces: readonly string[]
  readonly sink: Sink
  readonly counts: { exported: number; secrets: number; left: number; elsewhere: number; own: number }
}

/** Contents are held for so many objects at a time. */
const BATCH = 200

/** Gives the exit code: 1 when something is missing from the export that nothing else in it says. */
export async function exportAll(config: Config, job: ExportJob): Promise<number> {
  const wanted = selectKinds(job.kinds, config.kinds)
  const run = await begin(config, job)
  try {
    for (const kind of wavesOf(job.kinds).flat()) {
      if (wanted.includes(kind)) await exportKind(run, kind)
    }
    run.sink.finish()
  } catch (error) {
    run.sink.abandon()
    throw error
  }
  return conclude(run)
}

async function begin(config: Config, job: ExportJob): Promise<Run> {
  const { capabilities } = job
  // Nothing is lost by reading again.
  const database: Database = {
    ...job.database,
    read: work => withRetries(() => job.database.read(work), { signal: job.signal })
  }
  const { user, email, salt } = config
  const context: Context = { capabilities, user, email, salt, linkedBy: () => undefined }
  const workspaces = await database.read(async sql => {
    if (config.deleted) await requireKept(sql)
    const chosen = await chosenWorkspaces(sql, config)
    if (config.withSecrets !== undefined) await proveKeys(sql, chosen, context)
    return chosen
  })
  return {
    ...job,
    database,
    config,
    context,
    naming: {
      mapping: config.namespaceMapping,
      namespace: config.namespace,
      adminNamespaces: config.adminNamespaces
    },
    workspaces,
    sink: openSink({ ...config, print: job.print }),
    counts: { exported: 0, secrets: 0, left: 0, elsewhere: 0, own: 0 }
  }
}

/** Throws ConfigInvalid for ids that are none. */
async function chosenWorkspaces(sql: Sql, { workspace: wanted, deleted }: Config): Promise<readonly string[]> {
  const rows = await sql<{ id: string }[]>`select id from workspace order by id collate "C"`
  const existing = rows.map(row => row.id)
  if (!wanted) return existing
  const unknown = wanted.filter(id => !existing.includes(id))
  if (unknown.length === 0 || deleted) return wanted
  throw new SyncError(
    'ConfigInvalid',
    unknown.map(id => `--workspace: ${id} is no workspace of this Windmill`).join('\n')
  )
}

async function exportKind(run: Run, anyKind: AnyKind): Promise<void> {
  const kind = engineView(anyKind)
  if (!kind.inventory) {
    run.log.warn('kind cannot be exported yet', { kind: kind.kind })
    return
  }
  const matches = globs(run.config.path)
  const places = await inventory(run, kind)
  const chosen = places.filter(({ path }) => matches(path))
  const wanted = chosen.filter(({ own }) => run.config.all || !own)
  run.counts.own += chosen.length - wanted.length
  for (let from = 0; from < wanted.length; from += Math.min(BATCH, run.config.batchSize)) {
    if (run.signal.aborted) throw new SyncError('Interrupted', 'The export was interrupted and is incomplete.')
    const batch = wanted.slice(from, from + Math.min(BATCH, run.config.batchSize))
    for (const one of await run.database.read(sql => exportBatch(run, kind, batch, sql))) deliver(run, one)
  }
}

async function inventory({ database, config, workspaces, context }: Run, kind: Kind): Promise<readonly Listing[]> {
  return database.read<readonly Listing[]>(async sql =>
    config.deleted ? listKept(sql, kind.kind, workspaces) : ((await kind.inventory?.(sql, workspaces, context)) ?? [])
  )
}

function deliver({ sink, log, counts }: Run, done: Done): void {
  const { kind, workspace, path, manifest, secretManifest, notes, leave } = done
  const object = { kind: kind.kind, workspace, path }
  if (leave?.loss) {
    counts.left++
    log.warn('not exported', { ...object, reason: leave.why })
  } else if (leave) {
    counts.elsewhere++
    log.debug('left out', { ...object, reason: leave.why })
  }
  for (const note of notes) log.warn('exported with a difference', { ...object, reason: note })
  if (manifest === undefined) return
  counts.exported++
  sink.manifest(`${stemOf(kind)}/${workspace}/${path}.yaml`, manifest)
  if (secretManifest === undefined) return
  counts.secrets++
  sink.secret(secretManifest)
}

function conclude({ counts, config, log }: Run): number {
  const { exported, secrets, left, elsewhere, own } = counts
  if (config.withSecrets !== undefined && secrets > 0) {
    log.warn('the file of Secrets holds secrets in clear text: keep it out of version control, delete it after use', {
      file: config.withSecrets,
      secrets
    })
  }
  log.info('export ended', { exported, notExported: left, leftOut: elsewhere, ownOfWindmill: own })
  return left > 0 ? 1 : 0
}
