/** Objects of files → CRs, Secrets, ConfigMaps and Namespaces; what is none of these and should be is a stray. */
import { createHash } from 'node:crypto'
import { type ErrorCode, SyncError } from '../errors.ts'
import { canonical } from '../fingerprint.ts'
import type { Log } from '../log.ts'
import type { Json, Listed, Manifest, Material, Ref, Stray } from '../model.ts'
import { type Fields, isFields, type Piece } from './documents.ts'

export interface ManifestRules {
  readonly log: Log
  /** Plural by kind: all that the program knows. */
  readonly kinds: ReadonlyMap<string, string>
  /** Of objects that state none. */
  readonly namespace: string
}

export interface Shelf {
  readonly manifests: Map<string, Manifest>
  readonly materials: Map<string, Material>
  readonly namespaces: Map<string, Readonly<Record<string, string>>>
  readonly strays: Stray[]
  /** Where each key was met first. */
  readonly places: Map<string, Pick<Stray, 'kind' | 'namespace' | 'name' | 'origin'>>
}

export const newShelf = (): Shelf => ({
  manifests: new Map(),
  materials: new Map(),
  namespaces: new Map(),
  strays: [],
  places: new Map()
})

export const shelfKey = (kind: string, namespace: string, name: string): string => `${kind}/${namespace}/${name}`

const group = 'windmill.dev'
const version = `${group}/v1alpha1`

/** What could be told of an object before anything was wrong with it. */
interface Identity {
  readonly kind: string
  readonly namespace: string
  readonly name: string
}

export function shelve(shelf: Shelf, piece: Piece, file: string, rules: ManifestRules): void {
  const { value } = piece
  const origin = `${file}:${piece.line}`
  const identity = identityOf(value, piece.broken ? { ...rules, namespace: '' } : rules)
  const stray = (code: ErrorCode, says: string, at: Pick<Piece, 'line' | 'column'> = piece): void => {
    const error = new SyncError(code, `${file}:${at.line}:${at.column}: ${says}.`)
    shelf.strays.push({ ...identity, origin, error })
  }
  if (!piece.broken && isFields(value) && isForeign(value)) {
    rules.log.debug('object of another API group ignored', { origin })
    return
  }
  if (piece.faults.length > 0) {
    for (const fault of piece.faults) stray(piece.broken ? 'InvalidManifest' : 'InvalidSpec', fault.says, fault)
    shelf.places.set(shelfKey(identity.kind, identity.namespace, identity.name), { ...identity, origin })
    return
  }
  try {
    place(shelf, isFields(value) ? value : {}, { identity, origin, rules })
  } catch (error) {
    if (!(error instanceof SyncError)) throw error
    stray(error.code, error.message)
  }
}

/**
 * Broken documents too say what they are, mostly; '' for a kind that we do not know, because then it could be any, and
 * for a namespace that may have been lost.
 */
function identityOf(value: unknown, { kinds, namespace }: ManifestRules): Identity {
  const fields = isFields(value) ? value : {}
  const metadata = isFields(fields['metadata']) ? fields['metadata'] : {}
  const kind = textOf(fields['kind'])
  const own = kinds.has(kind) || isCore(fields) || isForeign(fields)
  return {
    kind: own ? kind : '',
    namespace: kind === 'Namespace' ? '' : textOf(metadata['namespace']) || namespace,
    name: textOf(metadata['name'])
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
const isCore = ({ apiVersion, kind }: Fields): boolean =>
  apiVersion === 'v1' && (kind === 'Secret' || kind === 'ConfigMap' || kind === 'Namespace')

/**
 * Certainly nothing of ours: another group, or no object of Kubernetes at all (values of a Helm chart lie beside
 * manifests). An object that lacks only one of apiVersion, kind and metadata is rather a manifest with a slip.
 */
function isForeign(fields: Fields): boolean {
  if (!('apiVersion' in fields || 'kind' in fields || 'metadata' in fields)) return true
  const [apiVersion, kind] = [textOf(fields['apiVersion']), textOf(fields['kind'])]
  return apiVersion !== '' && kind !== '' && !isCore(fields) && apiVersion.split('/')[0] !== group
}

interface Placing {
  readonly identity: Identity
  readonly origin: string
  readonly rules: ManifestRules
}

/** Throws SyncError without a place; the caller knows it. */
function place(shelf: Shelf, fields: Fields, { identity, origin, rules }: Placing): void {
  checkHead(fields, rules)
  checkMetadata(fields['metadata'], identity)
  const { kind, namespace, name } = identity
  const key = shelfKey(kind, namespace, name)
  const first = shelf.places.get(key)
  if (first) {
    dropFirst(shelf, key, first, origin)
    throw new SyncError(
      'InvalidManifest',
      `${kind} ${namespace}/${name} is declared twice, also at ${first.origin}; none of them counts`
    )
  }
  shelf.places.set(key, { ...identity, origin })
  const metadata = fields['metadata'] as Fields
  if (kind === 'Namespace') shelf.namespaces.set(name, ownAnnotations(metadata))
  else if (kind === 'Secret' || kind === 'ConfigMap') shelf.materials.set(key, materialOf(kind, fields))
  else shelf.manifests.set(key, manifestOf(identity, fields, origin))
}

/** Which of two is meant cannot be known, and applying either may undo the other. */
function dropFirst(shelf: Shelf, key: string, first: Identity & { origin: string }, second: string): void {
  const isNamespace = first.kind === 'Namespace'
  const held = isNamespace
    ? shelf.namespaces.delete(first.name)
    : shelf.manifests.delete(key) || shelf.materials.delete(key)
  if (!held) return
  const { kind, namespace, name, origin } = first
  const says = `${kind} ${namespace}/${name} is declared twice, also at ${second}; none of them counts.`
  shelf.strays.push({ kind, namespace, name, origin, error: new SyncError('InvalidManifest', `${origin}: ${says}`) })
}

function checkHead(fields: Fields, { kinds }: ManifestRules): void {
  const [apiVersion, kind] = [textOf(fields['apiVersion']), textOf(fields['kind'])]
  if (apiVersion === '' || kind === '') {
    throw new SyncError('InvalidManifest', 'this is no Kubernetes manifest: it needs apiVersion and kind, both text')
  }
  if (isCore(fields)) return
  if (!kinds.has(kind))
    throw new SyncError('UnknownKind', `${kind} is no kind of ${group}; there are ${[...kinds.keys()].join(', ')}`)
  if (apiVersion !== version) throw new SyncError('InvalidManifest', `apiVersion must be ${version}`)
}

const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

function checkMetadata(metadata: unknown, { kind, namespace, name }: Identity): void {
  if (!isFields(metadata) || name === '') throw new SyncError('InvalidManifest', 'metadata.name is missing or no text')
  if (name.length > 253 || !subdomain.test(name)) {
    throw new SyncError('InvalidManifest', 'metadata.name must be lower-case letters, digits, - and ., at most 253')
  }
  const stated = metadata['namespace']
  if (
    kind !== 'Namespace' &&
    ((stated !== undefined && stated !== null && typeof stated !== 'string') || !label.test(namespace))
  ) {
    throw new SyncError('InvalidManifest', 'metadata.namespace must be lower-case letters, digits and -, at most 63')
  }
  const odd = Object.entries(isFields(metadata['annotations']) ? metadata['annotations'] : {}).find(
    ([key, value]) => key.startsWith(`${group}/`) && typeof value !== 'string'
  )
  if (odd) throw new SyncError('InvalidManifest', `the annotation ${odd[0]} must be text: quote its value`)
}

function manifestOf({ kind, namespace, name }: Identity, fields: Fields, origin: string): Manifest {
  const metadata = fields['metadata'] as Fields
  const created = textOf(metadata['creationTimestamp'])
  const labels = Object.entries(isFields(metadata['labels']) ? metadata['labels'] : {})
  const listed: Listed = {
    kind,
    namespace,
    name,
    uid: '',
    generation: typeof metadata['generation'] === 'number' ? metadata['generation'] : 1,
    revision: digest(fields['spec']),
    createdAt: created,
    changedAt: created,
    labels: Object.fromEntries(labels.map(([key, value]) => [key, String(value)])),
    annotations: ownAnnotations(metadata),
    origin
  }
  return { listed, spec: fields['spec'] }
}

const digest = (value: unknown): string =>
  createHash('sha256')
    .update(canonical(value as Json | undefined))
    .digest('base64url')

function ownAnnotations(metadata: Fields): Readonly<Record<string, string>> {
  const all = Object.entries(isFields(metadata['annotations']) ? metadata['annotations'] : {})
  const own = all.filter(([key]) => key.startsWith(`${group}/`))
  return Object.fromEntries(own.map(([key, value]) => [key.slice(group.length + 1), String(value)]))
}

type Encoding = 'base64' | 'utf8'

/** As the API server: `stringData` beats `data`. */
function materialOf(kind: Ref['kind'], fields: Fields): Material {
  const parts: readonly (readonly [string, Encoding])[] =
    kind === 'Secret'
      ? [
          ['data', 'base64'],
          ['stringData', 'utf8']
        ]
      : [
          ['data', 'utf8'],
          ['binaryData', 'base64']
        ]
  const data = new Map<string, Uint8Array>()
  for (const [part, encoding] of parts) {
    const members = fields[part] ?? {}
    if (!isFields(members)) throw new SyncError('InvalidManifest', `${part} must be a mapping`)
    for (const [key, value] of Object.entries(members)) data.set(key, decode(`${part}.${key}`, value, encoding))
  }
  const texts = [...data].map(([key, bytes]) => [key, Buffer.from(bytes).toString('base64')] as const)
  return { version: digest(Object.fromEntries(texts)), data }
}

/** Node skips what is no base64; a Secret that was pasted unencoded would silently become another one. */
function decode(field: string, value: unknown, encoding: Encoding): Uint8Array {
  if (value === null) return new Uint8Array()
  if (typeof value !== 'string') throw new SyncError('InvalidManifest', `${field} must be text: quote its value`)
  if (encoding === 'utf8') return Buffer.from(value)
  const compact = value.replace(/[\r\n]/g, '')
  if (compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) {
    throw new SyncError('InvalidManifest', `${field} is no base64; put plain text under stringData`)
  }
  return Buffer.from(compact, 'base64')
}
