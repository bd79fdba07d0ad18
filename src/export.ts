/** From the database to manifests, batch by batch: what is there, what a manifest of it says, proof, writing. */
import type { Config } from './config.ts'
import type { Crds } from './crd.ts'
import type { Database } from './database/client.ts'
import { withRetries } from './database/failures.ts'
import type { Schema } from './crd-schema.ts'
import { SyncError } from './errors.ts'
import { type Candidate, type Proven, prove, substance } from './export-check.ts'
import { listKept, readKept, requireKept } from './export-deleted.ts'
import { openSink, type Sink } from './export-files.ts'
import { globs, type Naming, nameFor, namespaceFor } from './export-names.ts'
import { canonical } from './fingerprint.ts'
import type { Log } from './log.ts'
import { crOf, headOf, inOrder, nested, yamlOf } from './manifest.ts'
import type { AnyKind, Capabilities, Context, Exported, Exporting, Json, Kind, Listed, Row, SecretPart, Sql } from './model.ts'
import { notYet, wavesOf } from './registry.ts'
import { selectKinds } from './scope.ts'
import { type Checks, engineView } from './session.ts'
import { openCiphertexts, proveKeys } from './windmill/secret-store.ts'

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

/** What all batches share. */
interface Run extends ExportJob {
  readonly config: Config
  readonly context: Context
  readonly naming: Naming
  readonly workspaces: readonly string[]
  readonly sink: Sink
  readonly counts: { exported: number; secrets: number; left: number; elsewhere: number; own: number }
}

/** Contents are held for so many objects at a time. */
const BATCH = 200

/** Gives the exit code: 1 when something is missing from the export that nothing else in it says. */
export async function exportAll(config: Config, job: ExportJob): Promise<number> {
  const wanted: readonly { readonly kind: string }[] = selectKinds([...job.kinds, ...notYet(job.kinds)], config.kinds)
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
  throw new SyncError('ConfigInvalid', unknown.map(id => `--workspace: ${id} is no workspace of this Windmill`).join('\n'))
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

interface Listing {
  readonly workspace: string
  readonly path: string
  readonly own?: boolean
  /** Of what was kept of a deleted row. */
  readonly id?: string
}

async function inventory({ database, config, workspaces, context }: Run, kind: Kind): Promise<readonly Listing[]> {
  return database.read<readonly Listing[]>(async sql =>
    config.deleted
      ? listKept(sql, kind.kind, workspaces)
      : ((await kind.inventory?.(sql, workspaces, context)) ?? [])
  )
}

/** A row with the names that its manifest will have. */
interface Named extends Exporting {
  readonly kind: Kind
  readonly namespace: string
  readonly name: string
  readonly locked?: string | undefined
}

/** One object, ready to be written, or left. */
interface Done extends Named {
  readonly manifest?: string
  readonly secretManifest?: string
  /** Sentences for the log. */
  readonly notes: readonly string[]
  readonly leave?: { readonly why: string; readonly loss: boolean }
}

async function exportBatch(run: Run, kind: Kind, batch: readonly Listing[], sql: Sql): Promise<readonly Done[]> {
  const rows = await readRows(run, kind, batch, sql)
  const free = rows.filter(one => one.locked === undefined)
  const made = kind.exported ? await kind.exported(sql, free, run.context) : free.map(one => plainly(kind, one))
  const texts = await textsOf(run, free, made, sql)
  const stated: Stated[] = []
  const done = new Map<Named, Done>()
  for (const named of rows) {
    const one = made[free.indexOf(named)]
    const known = texts.get(named)
    if (!one) done.set(named, { ...named, notes: [], leave: { why: named.locked ?? '', loss: false } })
    else if ('leave' in one) done.set(named, { ...named, notes: [], leave: { why: one.leave, loss: one.loss } })
    else if (!known) done.set(named, { ...named, notes: [], leave: { why: unreadable, loss: true } })
    else stated.push({ named, made: one, texts: known })
  }
  const candidates = stated.map(one => candidateOf(run, kind, one))
  const required = run.crds.schema(kind.kind).required ?? []
  const proven = await prove(candidates, { kind, checks: run.checks, context: run.context, sql, required })
  for (const [index, one] of stated.entries()) {
    done.set(one.named, finished(run, kind, one, proven[index] ?? { leave: '' }))
  }
  return rows.flatMap(one => done.get(one) ?? [])
}

const unreadable = 'The secret cannot be decrypted with the key of the workspace and SECRET_SALT.'

async function readRows(run: Run, kind: Kind, batch: readonly Listing[], sql: Sql): Promise<readonly Named[]> {
  if (run.config.deleted) {
    const kept = await readKept(
      sql,
      kind,
      batch.flatMap(one => one.id ?? [])
    )
    return kept.map(one => {
      const { namespace, name } = names(run, kind, one)
      const own = { namespace: run.config.namespace ?? one.namespace ?? namespace, name: one.name ?? name }
      return { ...one, ...own, kind, secret: secretName(kind, own.name), live: false }
    })
  }
  const targets = batch.map(({ workspace, path }) => ({ workspace, path, fields: [] }))
  const observed = await kind.observe(sql, targets, run.context)
  const found = observed.map(({ workspace, path, row, locked }): Named => {
    const own = names(run, kind, { workspace, path })
    return { kind, workspace, path, row, locked, ...own, secret: secretName(kind, own.name), live: true }
  })
  const order = new Map(batch.map(({ workspace, path }, index) => [`${workspace} ${path}`, index]))
  const at = ({ workspace, path }: Named): number => order.get(`${workspace} ${path}`) ?? 0
  return found.sort((a, b) => at(a) - at(b))
}

function names({ naming }: Run, _kind: Kind, { workspace, path }: Listing): { namespace: string; name: string } {
  const { namespace, shared } = namespaceFor(workspace, naming)
  return { namespace, name: nameFor(workspace, path, shared) }
}

/** WindmillResourceType: resource-type. */
const stemOf = ({ kind }: Kind): string =>
  kind
    .replace(/^Windmill/, '')
    .replace(/(?<=.)[A-Z]/g, '-$&')
    .toLowerCase()

/** A variable and a resource may have the same name. */
const secretName = (kind: Kind, name: string): string => `${stemOf(kind)}.${name}`

/** What was kept of a deleted row is stated already. */
function plainly(kind: Kind, { row, live }: Named): Exported {
  if ((kind.secrets?.(row) ?? []).length > 0) {
    return { leave: 'The row holds secrets that this kind cannot state by reference.', loss: true }
  }
  return { stated: live ? (kind.stated?.(row) ?? row) : row }
}

/** Without what new objects have anyway: the default of the CRD, else nothing. */
function tidied(spec: Readonly<Record<string, unknown>>, { required = [], properties = {} }: Schema): object {
  const told = Object.entries(spec).filter(([field, value]) => {
    const usual = properties[field]?.default
    if (required.includes(field) || substance.includes(field)) return value !== null
    return usual === undefined ? !isNothing(value) : canonical(usual as Json) !== canonical(value as Json)
  })
  return Object.fromEntries(told)
}

const isNothing = (value: unknown): boolean =>
  value === null ||
  value === '' ||
  value === false ||
  (typeof value === 'object' && Object.keys(value as object).length === 0)

/** Plain texts of the secrets by key, as far as they are wanted; no entry where one cannot be read. */
async function textsOf(
  run: Run,
  rows: readonly Named[],
  made: readonly Exported[],
  sql: Sql
): Promise<ReadonlyMap<Named, ReadonlyMap<string, string>>> {
  const decrypts = run.config.withSecrets !== undefined
  const workspaces = rows.map(one => one.workspace)
  const open = decrypts ? await openCiphertexts(sql, workspaces, run.context) : () => ''
  const found = new Map<Named, ReadonlyMap<string, string>>()
  for (const [index, named] of rows.entries()) {
    const one = made[index]
    const parts = one ? secretsOf(one) : []
    const texts = parts.map(part => [part.key, part.text ?? open(named.workspace, part.ciphertext ?? '')] as const)
    const known = texts.filter((entry): entry is readonly [string, string] => entry[1] !== undefined)
    if (known.length === texts.length) found.set(named, new Map(known))
  }
  return found
}

const secretsOf = (made: Exported): readonly SecretPart[] => ('spec' in made ? (made.secrets ?? []) : [])

interface Stated {
  readonly named: Named
  readonly made: Exclude<Exported, { leave: string }>
  readonly texts: ReadonlyMap<string, string>
}

function candidateOf({ config, crds }: Run, kind: Kind, { named, made, texts }: Stated): Candidate {
  const { workspace, path, row, namespace, name, live } = named
  const listed: Listed = {
    kind: kind.kind,
    namespace,
    name,
    uid: '',
    generation: 1,
    revision: '',
    createdAt: '',
    changedAt: '',
    labels: {},
    annotations: annotationsOf(made),
    origin: ''
  }
  const head = headOf(kind, named)
  const full = { ...head, ...nested('spec' in made ? dropUndefined(made.spec) : made.stated) }
  const sealed = config.withSecrets === undefined ? secretsOf(made).map(part => part.field) : []
  return {
    listed,
    workspace,
    path,
    row: live ? row : undefined,
    full,
    spec: 'spec' in made ? full : { ...head, ...tidied(full, crds.schema(kind.kind)) },
    texts: config.withSecrets === undefined ? new Map() : texts,
    sealed: new Set(sealed),
    changes: made.changes !== undefined
  }
}

const annotationsOf = (made: Exported): Readonly<Record<string, string>> =>
  'spec' in made ? (made.annotations ?? {}) : {}

const dropUndefined = (spec: Readonly<Record<string, Json | undefined>>): Row =>
  Object.fromEntries(Object.entries(spec).flatMap(([field, value]) => (value === undefined ? [] : [[field, value]])))

function finished(run: Run, kind: Kind, { named, made, texts }: Stated, proven: Proven): Done {
  if ('leave' in proven) return { ...named, notes: [], leave: { why: proven.leave, loss: true } }
  const { name, namespace } = named
  const own = Object.entries(annotationsOf(made)).map(([key, value]) => [`windmill.dev/${key}`, value] as const)
  const spec = inOrder(proven.spec, run.crds.schema(kind.kind)) as object
  const secrets = run.config.withSecrets === undefined ? [] : secretsOf(made)
  return {
    ...named,
    manifest: yamlOf(crOf({ kind: kind.kind, name, namespace, annotations: Object.fromEntries(own), spec })),
    ...(secrets.length > 0 && { secretManifest: secretManifest(named, secrets, texts) }),
    notes: [...(made.changes === undefined ? [] : [made.changes]), ...proven.notes]
  }
}

function secretManifest(
  { secret: name, namespace }: Named,
  parts: readonly SecretPart[],
  texts: ReadonlyMap<string, string>
): string {
  const stringData = Object.fromEntries(parts.map(({ key }) => [key, texts.get(key) ?? '']))
  return yamlOf({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type: 'Opaque', stringData })
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
