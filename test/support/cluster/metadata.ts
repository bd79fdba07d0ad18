/** Metadata as the real server keeps it: generations, who manages what, and nothing that a client invents. */
import type { Cause, Fields, Kind, ManagedFields, Metadata, Stored } from './types.ts'
import { apiVersionOf, isFields } from './types.ts'

export interface Writer {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly subresource: string
}

/** RFC 3339 to the second, as metav1.Time writes itself. */
export const seconds = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z')

/** Custom objects come back with sorted keys whatever order they were written in. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isFields(value)) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, sorted(value[key])])
  )
}

/** Equal as JSON, the order of keys aside. */
export function same(left: unknown, right: unknown): boolean {
  if (left === right) return true
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, index) => same(item, right[index]))
  }
  if (!isFields(left) || !isFields(right)) return false
  const keys = Object.keys(left).filter(key => left[key] !== undefined)
  const others = Object.keys(right).filter(key => right[key] !== undefined)
  return keys.length === others.length && keys.every(key => same(left[key], right[key]))
}

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/
const KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/

const RULE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"

export function metadataFaults({ name, labels = {}, annotations = {} }: Metadata): Cause[] {
  const faults: Cause[] = []
  const add = (field: string, message: string): void =>
    void faults.push({ reason: 'FieldValueInvalid', message, field })
  if (!NAME.test(name) || name.length > 253) add('metadata.name', `Invalid value: "${name}": ${RULE}`)
  for (const [key, value] of Object.entries(labels)) {
    if (!KEY.test(key))
      add('metadata.labels', `Invalid value: "${key}": name part must consist of alphanumeric characters`)
    if (!LABEL.test(value) || value.length > 63)
      add('metadata.labels', `Invalid value: "${value}": a valid label must be …`)
  }
  for (const key of Object.keys(annotations)) {
    if (!KEY.test(key.toLowerCase()))
      add('metadata.annotations', `Invalid value: "${key}": name part must consist of …`)
  }
  const size = Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + value.length, 0)
  if (size > 262_144) add('metadata.annotations', 'Too long: may not be more than 262144 bytes')
  return faults
}

/** Everything that counts as a new generation when it moves. */
export function substance(object: Fields, kind: Kind): Fields {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, ...rest } = object
  if (kind.status) delete rest['status']
  return rest
}

/** The object without what moves on every write, to tell whether a write changes anything. */
export function meaning(object: Fields): Fields {
  const metadata = { ...(object['metadata'] as Metadata) } as Partial<Metadata>
  delete metadata.managedFields
  delete metadata.resourceVersion
  return { ...object, metadata }
}

const SERVERS = ['uid', 'resourceVersion', 'creationTimestamp', 'generation', 'managedFields', 'name', 'namespace']

/** Owned paths, two levels deep: what the real server tracks leaf by leaf. */
function paths(object: Fields): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const [top, value] of Object.entries(object)) {
    if (top === 'apiVersion' || top === 'kind') continue
    if (!isFields(value)) found.set(top, value)
    else for (const [key, inner] of Object.entries(value)) add(found, top, key, inner)
  }
  return found
}

function add(found: Map<string, unknown>, top: string, key: string, value: unknown): void {
  if (top === 'metadata' && SERVERS.includes(key)) return
  if (top === 'metadata' && isFields(value)) {
    for (const [inner, text] of Object.entries(value)) found.set(`metadata\n${key}\n${inner}`, text)
  } else found.set(`${top}\n${key}`, value)
}

const isOf = (entry: ManagedFields, writer: Writer): boolean =>
  entry.manager === writer.manager &&
  entry.operation === writer.operation &&
  (entry.subresource ?? '') === writer.subresource

function forget(tree: Fields, [head = '', ...rest]: readonly string[]): void {
  const inner = tree[`f:${head}`]
  if (rest.length > 0 && isFields(inner)) forget(inner, rest)
  if (rest.length === 0 || (isFields(inner) && Object.keys(inner).length === 0)) delete tree[`f:${head}`]
}

function remember(tree: Fields, [head = '', ...rest]: readonly string[]): void {
  tree[`f:${head}`] ??= {}
  if (rest.length > 0) remember(tree[`f:${head}`] as Fields, rest)
}

/** Moves the changed fields to the writer; managers that own nothing any more disappear. */
export function managed(
  before: Stored | undefined,
  after: Fields,
  kind: Kind,
  writer: Writer & { time: string }
): ManagedFields[] {
  const entries = structuredClone(before?.metadata.managedFields ?? [])
  const old = paths(before ?? {})
  const now = paths(after)
  const changed = [...now.keys()].filter(path => !old.has(path) || !same(old.get(path), now.get(path)))
  const gone = [...old.keys()].filter(path => !now.has(path))
  for (const { fieldsV1 } of entries) for (const path of [...changed, ...gone]) forget(fieldsV1, path.split('\n'))
  const kept = entries.filter(({ fieldsV1 }) => Object.keys(fieldsV1).length > 0)
  if (changed.length === 0) return kept
  const mine = kept.find(entry => isOf(entry, writer)) ?? newEntry(kept, kind, writer)
  mine.time = writer.time
  for (const path of changed) remember(mine.fieldsV1, path.split('\n'))
  return kept
}

function newEntry(entries: ManagedFields[], kind: Kind, { manager, operation, subresource }: Writer): ManagedFields {
  const entry: ManagedFields = {
    manager,
    operation,
    apiVersion: apiVersionOf(kind),
    time: '',
    fieldsType: 'FieldsV1',
    fieldsV1: {},
    ...(subresource && { subresource })
  }
  entries.push(entry)
  return entry
}
