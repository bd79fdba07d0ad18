/** Everything that changes the store: create, update, patch, delete, with the checks of the real server. */
import type { Catalogue } from './catalogue.ts'
import { admitCore } from './core.ts'
import { NAMESPACE } from './kinds.ts'
import { metadataFaults, seconds, type Writer } from './metadata.ts'
import { alreadyExists, badRequest, conflict, invalid, MODIFIED, notFound } from './refusal.ts'
import type { Store } from './store.ts'
import { fillIn, prune, validate } from './structural.ts'
import type { Fields, Kind, Metadata, Stored } from './types.ts'
import { apiVersionOf, isFields, textOf } from './types.ts'

export interface WriteOptions extends Writer {
  readonly dryRun: boolean
  readonly validation: 'Strict' | 'Warn' | 'Ignore'
  /** Filled with what the client should be warned of. */
  readonly warnings: string[]
}

/** The store, seen through the rules of the API. */
export function createWrites(store: Store, catalogue: Catalogue, now: () => Date) {
  /** Checks and completes an object in place. */
  function admit(object: Fields, kind: Kind, options: WriteOptions, before?: Stored): void {
    const metadata = object['metadata'] as Metadata
    checkShape(object, kind)
    const faults = metadataFaults(metadata)
    if (!kind.custom) admitCore(object, kind, now())
    else if (kind.schema) {
      const unknown = prune(object, kind.schema)
      told(
        unknown.map(path => `unknown field "${path}"`),
        options
      )
      fillIn(object, kind.schema)
      faults.push(...validate(object, kind.schema, before))
    }
    if (faults.length > 0) throw invalid(kind, metadata.name, faults)
  }

  function create(kind: Kind, namespace: string, body: Fields, options: WriteOptions): Stored {
    const object = structuredClone(body)
    const given = isFields(object['metadata']) ? object['metadata'] : {}
    checkIdentity(kind, namespace, '', object)
    const prefix = given['generateName']
    const name = textOf(given['name']) || (prefix ? `${textOf(prefix)}${Math.random().toString(36).slice(2, 7)}` : '')
    if (!name)
      throw invalid(kind, '', [
        {
          reason: 'FieldValueRequired',
          message: 'Required value: name or generateName is required',
          field: 'metadata.name'
        }
      ])
    object['metadata'] = { ...clientMetadata(given), name, ...(kind.namespaced && { namespace }) }
    if (kind.namespaced && !store.get(NAMESPACE, '', namespace)) throw notFound(NAMESPACE, namespace)
    if (kind.status && kind !== NAMESPACE) delete object['status']
    admit(object, kind, options)
    if (store.get(kind, namespace, name)) throw alreadyExists(kind, name)
    const made = store.prepareNew(kind, object, options)
    return options.dryRun ? (made as unknown as Stored) : store.write(kind, made)
  }

  /** `wanted` is the whole new object; a status write takes nothing else of it. */
  function replace(kind: Kind, before: Stored, wanted: Fields, options: WriteOptions): Stored {
    const { namespace = '', name } = before.metadata
    checkIdentity(kind, namespace, name, wanted)
    const given = (isFields(wanted['metadata']) ? wanted['metadata'] : {}) as Partial<Metadata>
    checkVersion(kind, before, given)
    const object = structuredClone<Fields>(
      options.subresource === 'status' ? { ...before, status: wanted['status'] } : wanted
    )
    object['apiVersion'] = apiVersionOf(kind)
    object['kind'] = kind.kind
    object['metadata'] = options.subresource === 'status' ? object['metadata'] : keepServers(before.metadata, given)
    if (kind.status && options.subresource !== 'status') {
      if (before['status'] === undefined) delete object['status']
      else object['status'] = before['status']
    }
    admit(object, kind, options, before)
    const next = store.prepareNext(kind, before, object, options)
    if (!next) return before
    if (options.dryRun) return next as unknown as Stored
    const stored = store.write(kind, next, before)
    const { deletionTimestamp, finalizers = [] } = stored.metadata
    return deletionTimestamp && finalizers.length === 0 ? store.remove(kind, stored) : stored
  }

  /** Gone at once, or marked when somebody's finalizer holds it. */
  function remove(kind: Kind, before: Stored, dryRun: boolean): { object: Stored; gone: boolean } {
    if (dryRun) return { object: before, gone: true }
    const { finalizers = [], deletionTimestamp, generation = 0 } = before.metadata
    if (finalizers.length > 0) {
      if (deletionTimestamp) return { object: before, gone: false }
      const metadata = {
        ...before.metadata,
        deletionTimestamp: seconds(now()),
        deletionGracePeriodSeconds: 0,
        generation: generation + 1
      }
      return { object: store.write(kind, { ...before, metadata }, before), gone: false }
    }
    if (kind === NAMESPACE) {
      for (const inner of catalogue.all().filter(({ namespaced }) => namespaced)) {
        for (const object of store.list(inner, before.metadata.name)) store.remove(inner, object)
      }
    }
    return { object: store.remove(kind, before), gone: true }
  }

  return { create, replace, remove }
}

export type Writes = ReturnType<typeof createWrites>

function told(problems: readonly string[], { validation, warnings, operation, subresource }: WriteOptions): void {
  if (problems.length === 0 || validation === 'Ignore') return
  if (validation === 'Warn') warnings.push(...problems)
  else
    throw badRequest(
      `strict decoding error: ${problems.join(', ')}${subresource && ` (${operation} of ${subresource})`}`
    )
}

function checkShape(object: Fields, kind: Kind): void {
  const metadata = object['metadata'] as Fields
  for (const field of ['labels', 'annotations']) {
    const found = metadata[field]
    if (found === undefined) continue
    if (found === null) delete metadata[field]
    else if (!isFields(found) || Object.values(found).some(value => typeof value !== 'string')) {
      throw badRequest(
        `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: json: cannot unmarshal into Go struct field ObjectMeta.metadata.${field} of type string`
      )
    }
  }
}

function checkIdentity(kind: Kind, namespace: string, name: string, object: Fields): void {
  const apiVersion = object['apiVersion'] ?? apiVersionOf(kind)
  if (apiVersion !== apiVersionOf(kind) || (object['kind'] ?? kind.kind) !== kind.kind) {
    throw badRequest(
      `the API version in the data (${textOf(apiVersion)}, kind ${textOf(object['kind'])}) does not match the expected API version (${apiVersionOf(kind)}, kind ${kind.kind})`
    )
  }
  const given = isFields(object['metadata']) ? object['metadata'] : {}
  if (kind.namespaced && given['namespace'] && given['namespace'] !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  }
  if (name && given['name'] && given['name'] !== name) {
    throw badRequest(`the name of the object (${textOf(given['name'])}) does not match the name on the URL (${name})`)
  }
}

function checkVersion(kind: Kind, { metadata }: Stored, { resourceVersion, uid }: Partial<Metadata>): void {
  if (uid && uid !== metadata.uid) {
    throw conflict(
      kind,
      metadata.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid}`
    )
  }
  if (resourceVersion && resourceVersion !== metadata.resourceVersion) throw conflict(kind, metadata.name, MODIFIED)
}

const OWN = ['generateName', 'labels', 'annotations', 'finalizers', 'ownerReferences'] as const

/** Of the metadata that a client sends, these fields are the client's to say. */
const clientMetadata = (given: Fields): Fields =>
  Object.fromEntries(
    OWN.filter(field => given[field] !== undefined && given[field] !== null).map(field => [field, given[field]])
  )

function keepServers(before: Readonly<Metadata>, given: Fields): Metadata {
  const kept = { ...before } as Fields
  for (const field of OWN) delete kept[field]
  return { ...kept, ...clientMetadata(given) } as Metadata
}
