/** The words of the stand-in API server: what an object, a kind, a request and an answer are. */

export type Fields = Record<string, unknown>

export interface ManagedFields {
  manager: string
  operation: 'Apply' | 'Update'
  apiVersion: string
  time: string
  fieldsType: 'FieldsV1'
  fieldsV1: Fields
  subresource?: string
}

export interface Metadata {
  name: string
  namespace?: string
  uid: string
  resourceVersion: string
  creationTimestamp: string
  generation?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  managedFields?: ManagedFields[]
  [field: string]: unknown
}

/** A stored object. Never changed in place, so that a page or a watcher may hold it. */
export interface Stored {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Readonly<Metadata>
  readonly [field: string]: unknown
}

/** What tests and clients hand in: the rest of the metadata is the server's to fill. */
export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; [field: string]: unknown }
  [field: string]: unknown
}

export interface Column {
  name: string
  type: string
  description?: string
  format?: string
  priority?: number
  jsonPath: string
}

/** The part of an OpenAPI v3 schema that a structural schema may use. */
export interface Schema {
  type?: string
  nullable?: boolean
  default?: unknown
  properties?: Record<string, Schema>
  additionalProperties?: boolean | Schema
  items?: Schema
  'x-kubernetes-preserve-unknown-fields'?: boolean
  'x-kubernetes-int-or-string'?: boolean
  'x-kubernetes-embedded-resource'?: boolean
  'x-kubernetes-validations'?: {
    rule: string
    message?: string
    messageExpression?: string
    fieldPath?: string
    reason?: string
  }[]
  [keyword: string]: unknown
}

export interface Kind {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly namespaced: boolean
  /** Has a /status path, and writes of the object leave the status alone. */
  readonly status: boolean
  /** Custom objects are unstructured: sorted keys, kinds on list items, no strategic merge. */
  readonly custom: boolean
  /** Whether writes count generations; plain core kinds have none. */
  readonly generations: boolean
  readonly columns: readonly Column[]
  readonly schema?: Schema | undefined
}

export interface User {
  readonly name: string
  /** Nothing else is allowed once this is given. */
  readonly allow?: readonly Rule[]
  /** Beats `allow`. */
  readonly deny?: readonly Rule[]
}

/** What is left out matches everything. Resources are written as in RBAC: `secrets`, `windmillflows/status`. */
export interface Rule {
  readonly verbs?: readonly string[]
  readonly resources?: readonly string[]
  /** '' stands for the cluster scope, which is also what a list of all namespaces asks for. */
  readonly namespaces?: readonly string[]
  readonly names?: readonly string[]
}

/** What a request is about, in the words of authorization. */
export interface Target {
  readonly verb: string
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly namespace: string
  readonly name: string
  readonly subresource: string
}

export interface Call {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly accept: string
  readonly contentType: string
  readonly manager: string
  readonly body: Buffer
  readonly user: string
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly type?: string
  readonly headers?: Record<string, string>
  readonly body: string
  /** A watch: lines that follow, until the client leaves. */
  readonly stream?: AsyncIterable<string>
}

export interface Cause {
  reason: string
  message: string
  field: string
}

export const apiVersionOf = (kind: Pick<Kind, 'group' | 'version'>): string =>
  kind.group ? `${kind.group}/${kind.version}` : kind.version

/** `windmillflows.windmill.dev`, or `secrets`: how the server names a resource in its messages. */
export const resourceOf = (kind: Pick<Kind, 'group' | 'plural'>): string =>
  kind.group ? `${kind.plural}.${kind.group}` : kind.plural

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** For messages, cells and comparisons: text as it is, the rest as JSON, nothing as ''. */
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
