/** The objects, their versions, and the history that watchers read. Knows nothing of HTTP. */
import { randomUUID } from 'node:crypto'
import { managed, meaning, same, seconds, sorted, substance, type Writer } from './metadata.ts'
import type { Fields, Kind, Metadata, Stored } from './types.ts'
import { apiVersionOf } from './types.ts'

export interface Change {
  readonly revision: number
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly kind: Kind
  readonly object: Stored
  readonly before?: Stored | undefined
}

interface Collection {
  readonly objects: Map<string, Stored>
  keys: string[] | undefined
}

const HISTORY = 1000

/** As etcd has them: `namespace/name` in the order of bytes. */
export const keyOf = (namespace: string | undefined, name: string): string =>
  namespace ? `${namespace}/${name}` : name

export const keyOfObject = ({ metadata }: Stored): string => keyOf(metadata.namespace, metadata.name)

const idOf = ({ group, plural }: Kind): string => `${plural}.${group}`

export function createStore(now: () => Date) {
  const collections = new Map<string, Collection>()
  const history: Change[] = []
  const listeners = new Set<(change: Change) => void>()
  let revision = 1000
  let forgotten = 0

  function collection(kind: Kind): Collection {
    let found = collections.get(idOf(kind))
    if (!found) {
      found = { objects: new Map(), keys: undefined }
      collections.set(idOf(kind), found)
    }
    return found
  }

  function record(change: Change): void {
    history.push(change)
    if (history.length > HISTORY * 2) forgotten = history.splice(0, HISTORY).at(-1)!.revision
    for (const listener of listeners) listener(change)
  }

  const get = (kind: Kind, namespace: string, name: string): Stored | undefined =>
    collection(kind).objects.get(keyOf(kind.namespaced ? namespace : '', name))

  /** All objects of a kind (or of one namespace of it) in etcd's order. */
  function list(kind: Kind, namespace = ''): Stored[] {
    const found = collection(kind)
    found.keys ??= [...found.objects.keys()].sort()
    const prefix = namespace && kind.namespaced ? `${namespace}/` : ''
    const keys = prefix ? found.keys.filter(key => key.startsWith(prefix)) : found.keys
    return keys.map(key => found.objects.get(key)!)
  }

  function write(kind: Kind, object: Fields, before?: Stored): Stored {
    const found = collection(kind)
    revision++
    const metadata = { ...(object['metadata'] as Metadata), resourceVersion: String(revision) }
    const stored = (kind.custom ? sorted({ ...object, metadata }) : { ...object, metadata }) as Stored
    const key = keyOfObject(stored)
    if (!found.objects.has(key)) found.keys = undefined
    found.objects.set(key, stored)
    record({ revision, type: before ? 'MODIFIED' : 'ADDED', kind, object: stored, before })
    return stored
  }

  /** Fills in what is the server's; whatever the caller left in the metadata stays (tests set times and uids). */
  function prepareNew(kind: Kind, object: Fields, writer: Writer): Fields {
    const time = seconds(now())
    const given = object['metadata'] as Partial<Metadata> & { name: string }
    const metadata: Metadata = {
      ...given,
      uid: given.uid ?? randomUUID(),
      resourceVersion: '',
      creationTimestamp: given.creationTimestamp ?? time,
      ...(kind.generations && { generation: given.generation ?? 1 })
    }
    const made = { apiVersion: apiVersionOf(kind), kind: kind.kind, ...object, metadata }
    metadata.managedFields = given.managedFields ?? managed(undefined, made, kind, { ...writer, time })
    return made
  }

  /** Undefined when the write would change nothing: then nothing moves, as with the real server. */
  function prepareNext(kind: Kind, before: Stored, object: Fields, writer: Writer): Fields | undefined {
    if (same(meaning(before), meaning(object))) return undefined
    const moved = !same(substance(before, kind), substance(object, kind))
    const generation = (before.metadata.generation ?? 0) + (moved ? 1 : 0)
    const metadata = { ...(object['metadata'] as Metadata), ...(kind.generations && { generation }) }
    const next = { ...object, metadata }
    metadata.managedFields = managed(before, next, kind, { ...writer, time: seconds(now()) })
    return next
  }

  function remove(kind: Kind, before: Stored): Stored {
    const found = collection(kind)
    found.objects.delete(keyOfObject(before))
    found.keys = undefined
    revision++
    const object: Stored = { ...before, metadata: { ...before.metadata, resourceVersion: String(revision) } }
    record({ revision, type: 'DELETED', kind, object, before })
    return object
  }

  return {
    get,
    list,
    write,
    prepareNew,
    prepareNext,
    remove,
    revision: () => revision,
    /** What happened after a revision; undefined when that is too long ago. */
    since: (from: number): Change[] | undefined =>
      from < forgotten ? undefined : history.filter(change => change.revision > from),
    listen(listener: (change: Change) => void): () => void {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    }
  }
}

export type Store = ReturnType<typeof createStore>
