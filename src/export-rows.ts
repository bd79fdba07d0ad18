/** A batch of rows → manifests and Secrets: what a kind makes of them, named, proven, as YAML. */
import type { Config } from './config.ts'
import type { Crds } from './crd.ts'
import type { Schema } from './crd-schema.ts'
import { type Candidate, type Proven, prove, substance } from './export-check.ts'
import { readKept } from './export-deleted.ts'
import { type Naming, nameFor, namespaceFor } from './export-names.ts'
import { canonical } from './fingerprint.ts'
import { crOf, headOf, inOrder, nested, yamlOf } from './manifest.ts'
import type { Context, Exported, Exporting, Json, Kind, Listed, Row, SecretPart, Sql } from './model.ts'
import { targetKey } from './model.ts'
import type { Checks } from './session.ts'
import { openCiphertexts } from './windmill/secret-store.ts'

/** What all batches share. */
export interface RowsRun {
  readonly config: Config
  readonly context: Context
  readonly crds: Crds
  readonly checks: Checks
  readonly naming: Naming
}

export interface Listing {
  readonly workspace: string
  readonly path: string
  readonly own?: boolean
  /** Of what was kept of a deleted row. */
  readonly id?: string
}

/** A row with the names that its manifest will have. */
interface Named extends Exporting {
  readonly kind: Kind
  readonly namespace: string
  readonly name: string
  readonly locked?: string | undefined
}

/** One object, ready to be written, or left. */
export interface Done extends Named {
  readonly manifest?: string
  readonly secretManifest?: string
  /** Sentences for the log. */
  readonly notes: readonly string[]
  readonly leave?: { readonly why: string; readonly loss: boolean }
}

export async function exportBatch(
  run: RowsRun,
  kind: Kind,
  batch: readonly Listing[],
  sql: Sql
): Promise<readonly Done[]> {
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

async function readRows(run: RowsRun, kind: Kind, batch: readonly Listing[], sql: Sql): Promise<readonly Named[]> {
  if (run.config.deleted) {
    const kept = await readKept(
      sql,
      kind,
      batch.flatMap(one => one.id ?? [])
    )
    return kept.map(one => {
      const { namespace, name } = names(run, one)
      const own = { namespace: run.config.namespace ?? one.namespace ?? namespace, name: one.name ?? name }
      return { ...one, ...own, kind, secret: secretName(kind, own.name), live: false }
    })
  }
  const targets = batch.map(({ workspace, path }) => ({ workspace, path, fields: [] }))
  const observed = await kind.observe(sql, targets, run.context)
  const found = observed.map(({ workspace, path, row, locked }): Named => {
    const own = names(run, { workspace, path })
    return { kind, workspace, path, row, locked, ...own, secret: secretName(kind, own.name), live: true }
  })
  const order = new Map(batch.map(({ workspace, path }, index) => [targetKey(workspace, path), index]))
  const at = ({ workspace, path }: Named): number => order.get(targetKey(workspace, path)) ?? 0
  return found.sort((a, b) => at(a) - at(b))
}

function names({ naming }: RowsRun, { workspace, path }: Listing): { namespace: string; name: string } {
  const { namespace, shared } = namespaceFor(workspace, naming)
  return { namespace, name: nameFor(workspace, path, shared) }
}

/** WindmillResourceType: resource-type. */
export const stemOf = ({ kind }: Kind): string =>
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
function tidied(
  spec: Readonly<Record<string, unknown>>,
  { required = [], properties = {} }: Schema,
  computed: readonly string[] = []
): object {
  const told = Object.entries(spec).filter(([field, value]) => {
    if (computed.includes(field)) return false
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
  (typeof value === 'object' && Object.keys(value ?? {}).length === 0)

/** Plain texts of the secrets by key, as far as they are wanted; no entry where one cannot be read. */
async function textsOf(
  run: RowsRun,
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

function candidateOf({ config, crds }: RowsRun, kind: Kind, { named, made, texts }: Stated): Candidate {
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
    spec: 'spec' in made ? full : { ...head, ...tidied(full, crds.schema(kind.kind), live ? made.computed : []) },
    texts: config.withSecrets === undefined ? new Map() : texts,
    sealed: new Set(sealed),
    loose: 'spec' in made ? (made.changes === undefined ? [] : 'all') : [...(made.loose ?? []), ...(kind.upkeep ?? [])]
  }
}

const annotationsOf = (made: Exported): Readonly<Record<string, string>> =>
  'spec' in made ? (made.annotations ?? {}) : {}

const dropUndefined = (spec: Readonly<Record<string, Json | undefined>>): Row =>
  Object.fromEntries(Object.entries(spec).flatMap(([field, value]) => (value === undefined ? [] : [[field, value]])))

function finished(run: RowsRun, kind: Kind, { named, made, texts }: Stated, proven: Proven): Done {
  if ('leave' in proven) return { ...named, notes: [], leave: { why: proven.leave, loss: true } }
  const { name, namespace } = named
  const own = Object.entries(annotationsOf(made)).map(([key, value]) => [`windmill.dev/${key}`, value] as const)
  const spec = inOrder(proven.spec, run.crds.schema(kind.kind)) as object
  const secrets = run.config.withSecrets === undefined ? [] : secretsOf(made)
  return {
    ...named,
    manifest: yamlOf(crOf({ kind: kind.kind, name, namespace, annotations: Object.fromEntries(own), spec })),
    ...(secrets.length > 0 && { secretManifest: secretManifest(named, secrets, texts) }),
    notes: [...('spec' in made && made.changes !== undefined ? [made.changes] : []), ...proven.notes]
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
