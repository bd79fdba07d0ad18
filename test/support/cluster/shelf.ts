/** The store for tests: puts, reads and amends objects without asking the API. */
import { declareSecrets } from '../canaries.ts'
import type { Catalogue } from './catalogue.ts'
import { NAMESPACE } from './kinds.ts'
import { readManifests } from './manifests.ts'
import type { Store } from './store.ts'
import type { Fields, Kind, Manifest, Metadata, Stored } from './types.ts'
import type { WriteOptions, Writes } from './writes.ts'

export interface PutOptions {
  /** Stores the object as it is, unchecked: what an older or looser CRD may have let in. */
  readonly raw?: boolean
  /** Whose the fields are in managedFields. */
  readonly manager?: string
}

interface World {
  readonly store: Store
  readonly catalogue: Catalogue
  readonly writes: Writes
}

export function createShelf({ store, catalogue, writes }: World) {
  const kindFor = ({ apiVersion, kind }: Manifest): Kind => {
    const found = catalogue
      .all()
      .find(each => each.kind === kind && apiVersion === (each.group ? `${each.group}/${each.version}` : each.version))
    if (!found) throw new Error(`the cluster serves no ${apiVersion} ${kind}`)
    return found
  }

  /** Creates or updates; the namespace is made when it is missing. Server-side metadata that is given is taken over. */
  function put(manifest: Manifest, { raw = false, manager = 'test' }: PutOptions = {}): Stored {
    declareSecrets(manifest)
    const kind = kindFor(manifest)
    const namespace = kind.namespaced ? (manifest.metadata.namespace ?? 'default') : ''
    if (namespace && !store.get(NAMESPACE, '', namespace))
      put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    const options: WriteOptions = {
      manager,
      operation: 'Update',
      subresource: '',
      dryRun: false,
      validation: 'Ignore',
      warnings: []
    }
    const before = store.get(kind, namespace, manifest.metadata.name)
    if (raw) return putRaw({ kind, namespace, before }, manifest, options)
    const wanted: Fields = {
      ...manifest,
      metadata: { ...manifest.metadata, resourceVersion: undefined, uid: undefined }
    }
    const made = before
      ? writes.replace(kind, before, wanted, options)
      : writes.create(kind, namespace, wanted, options)
    const status = manifest['status']
    const settled =
      status === undefined || !kind.custom
        ? made
        : writes.replace(kind, made, { ...made, status }, { ...options, subresource: kind.status ? 'status' : '' })
    return overridden(kind, settled, manifest.metadata)
  }

  /** A kind of Kubernetes itself may be missing here; a custom kind that is missing is a mistake. */
  function isModelled({ apiVersion, kind }: Manifest): boolean {
    const group = apiVersion.includes('/') ? apiVersion.split('/')[0]! : ''
    return (
      (group.includes('.') && !group.endsWith('.k8s.io')) ||
      catalogue.all().some(each => each.group === group && each.kind === kind)
    )
  }

  interface Place {
    readonly kind: Kind
    readonly namespace: string
    readonly before: Stored | undefined
  }

  function putRaw({ kind, namespace, before }: Place, manifest: Manifest, options: WriteOptions): Stored {
    const metadata = { ...before?.metadata, ...manifest.metadata, ...(namespace && { namespace }) } as Metadata
    const object = { ...structuredClone(manifest), metadata }
    if (!before) return store.write(kind, store.prepareNew(kind, object, options))
    const next = store.prepareNext(kind, before, object, options)
    return next ? store.write(kind, next, before) : before
  }

  function overridden(kind: Kind, object: Stored, given: Fields): Stored {
    const fields = OVERRIDES.filter(field => given[field] !== undefined && given[field] !== object.metadata[field])
    if (fields.length === 0) return object
    return amended(kind, object, Object.fromEntries(fields.map(field => [field, given[field]])))
  }

  const amended = (kind: Kind, object: Stored, metadata: Fields): Stored =>
    store.write(kind, { ...object, metadata: { ...object.metadata, ...metadata } }, object)

  function must(kind: Kind, namespace: string, name: string): Stored {
    const found = store.get(kind, namespace, name)
    if (!found) throw new Error(`the cluster has no ${kind.kind} ${namespace}/${name}`)
    return found
  }

  return {
    put,
    /** Kinds may be named by kind, plural or short name. */
    get: (kind: string, namespace: string, name: string): Stored | undefined =>
      store.get(catalogue.named(kind), namespace, name),
    list: (kind: string, namespace = ''): Stored[] => store.list(catalogue.named(kind), namespace),
    remove(kind: string, namespace: string, name: string): void {
      const found = catalogue.named(kind)
      writes.remove(found, must(found, namespace, name), false)
    },
    /** Everything in a folder, a file or a YAML text. Jobs, Roles and the like, which are not modelled, are passed over. */
    apply: (source: string, options?: PutOptions): Stored[] =>
      readManifests(source).flatMap(manifest => (isModelled(manifest) ? [put(manifest, options)] : [])),
    /** Changes metadata as only the server could: times, uids, managedFields. Generation stays. */
    amend(
      kind: string,
      { namespace = '', name }: { namespace?: string; name: string },
      metadata: Partial<Metadata>
    ): Stored {
      const found = catalogue.named(kind)
      return amended(found, must(found, namespace, name), metadata)
    }
  }
}

const OVERRIDES = ['uid', 'creationTimestamp', 'generation', 'deletionTimestamp', 'managedFields'] as const
