/** Metadata of a CR as the API server gives it → the few hundred bytes that are kept for every object of a run. */
import type { Listed } from '../model.ts'
import { isFields } from './fields.ts'

export const group = 'windmill.dev'
export const apiVersion = `${group}/v1alpha1`

interface ManagedFields {
  readonly time?: string
  readonly subresource?: string
}

export interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly generation?: number
  readonly resourceVersion?: string
  readonly creationTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly managedFields?: readonly ManagedFields[]
}

export interface Resource {
  readonly metadata: Metadata
  readonly spec?: unknown
}

/** Objects without metadata come from no API server; the caller decides how to fail. */
export function isResource(value: unknown): value is Resource {
  return isFields(value) && isFields(value['metadata']) && typeof value['metadata']['name'] === 'string'
}

const none: Readonly<Record<string, never>> = Object.freeze({})

export interface ListedOptions {
  readonly kind: string
  /** Kept only for a selector: 100,000 times a few labels is real memory. */
  readonly labels: boolean
  /** One string for all objects of a namespace. */
  readonly shared: Map<string, string>
}

export function toListed(metadata: Metadata, { kind, labels, shared }: ListedOptions): Listed {
  const created = metadata.creationTimestamp ?? ''
  const changed = changedAt(metadata.managedFields, created)
  return {
    kind,
    namespace: share(shared, metadata.namespace ?? ''),
    name: metadata.name,
    uid: metadata.uid ?? '',
    generation: metadata.generation ?? 0,
    // Status patches move resourceVersion, so it stands in only where nothing better is known.
    revision: share(shared, String(metadata.generation ?? metadata.resourceVersion ?? '')),
    createdAt: created,
    changedAt: changed === created ? created : changed,
    labels: (labels && metadata.labels) || none,
    annotations: ownAnnotations(metadata.annotations),
    origin: ''
  }
}

function share(shared: Map<string, string>, text: string): string {
  const known = shared.get(text)
  if (known !== undefined) return known
  shared.set(text, text)
  return text
}

/** Writing a status is no change of the wish. All times are UTC to the second, so their text sorts. */
function changedAt(fields: readonly ManagedFields[] | undefined, created: string): string {
  let newest = ''
  for (const { time, subresource } of fields ?? []) {
    if (subresource !== 'status' && time !== undefined && time > newest) newest = time
  }
  return newest || created
}

const prefix = `${group}/`

/** Those of our group, without its prefix. */
export function ownAnnotations(
  annotations: Readonly<Record<string, unknown>> | undefined
): Readonly<Record<string, string>> {
  let own: Record<string, string> | undefined
  for (const name in annotations) {
    if (!name.startsWith(prefix)) continue
    own ??= {}
    own[name.slice(prefix.length)] = String(annotations[name])
  }
  return own ?? none
}
