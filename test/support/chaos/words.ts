/** The words of the chaos test: its own picture of CRs, rows, ledger and rules, shared with nothing of src. */
import type postgres from 'postgres'

/** Values as short texts: what a field says, not how a column stores it. */
export type Fields = Readonly<Record<string, string>>

export type Policy = 'crd-wins' | 'db-wins' | 'last-write-wins'

/** One CR. */
export interface Cr {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly path: string
  /** The fields that it states. */
  readonly fields: Fields
  readonly annotations: Fields
  /** Age: RFC 3339. */
  readonly createdAt: string
  /** Whether its last edit is later than anything in the database, or earlier. */
  readonly isNewer: boolean
  readonly isInvalid: boolean
}

/** What the ledger must say of a target. */
export interface Claim {
  /** `Kind ns/name`; '' when its CR is gone or moved on. */
  readonly owner: string
  readonly namespace: string
  readonly isOther: boolean
  readonly isReleased: boolean
  /** What was applied last. */
  readonly base: Fields
  /** As the ledger stores it: opaque, but it moves when `base` does. */
  readonly digest: string
  readonly deletion: string
  /** The conflict policy that stands on the object itself. */
  readonly conflict: string
}

/** Everything that decides. Keys of rows and claims: `Kind path`; of CRs: `Kind ns/name`. */
export interface World {
  readonly crs: ReadonlyMap<string, Cr>
  readonly rows: ReadonlyMap<string, Fields>
  readonly claims: ReadonlyMap<string, Claim>
  readonly namespaces: ReadonlyMap<string, Fields>
  /** Texts of Secrets, by name. */
  readonly secrets: ReadonlyMap<string, string>
  /** Kinds whose rows know when they were edited, in this release. */
  readonly timed: ReadonlySet<string>
  readonly settings: { readonly conflict: string; readonly deletion: string; readonly adopt: string }
}

/** What a run looks at, and how much it may delete. */
export interface Scope {
  /** One namespace; '' for all. */
  readonly namespace: string
  /** One kind; '' for all. */
  readonly kind: string
  /** Whether a kind that lists empty is taken for a mistake. */
  readonly isGuarded: boolean
}

export const everything: Scope = { namespace: '', kind: '', isGuarded: false }

export interface Table {
  readonly sql: postgres.Sql
  /** Whether the release has the column. */
  readonly has: (table: string, column: string) => boolean
}

/** Who asks for what is lacking. */
export interface Place {
  readonly cr: Cr
  /** The row at the target, and what was applied to it last if it is ours. */
  readonly live: Fields
  readonly base: Fields
}

/** A kind as the rules see it, and how Windmill's own pages write its rows. */
export interface Thing {
  readonly kind: string
  readonly paths: readonly string[]
  /** What every CR states, with the values to choose from. */
  readonly always: Readonly<Record<string, readonly string[]>>
  /** What a CR may state. */
  readonly maybe: Readonly<Record<string, readonly string[]>>
  /** What a CR asks for without stating it. */
  readonly implied?: (fields: Fields) => Fields
  /** Fields that fall back to '' when a CR states them no more. */
  readonly clears?: readonly string[]
  readonly specOf: (path: string, fields: Fields) => Readonly<Record<string, unknown>>
  /** Whether a row knows when it was edited. */
  readonly knowsTime: (table: Table) => boolean
  /** Rows of the workspace, as fields. */
  readonly look: (table: Table) => Promise<readonly (readonly [path: string, fields: Fields])[]>
  readonly create: (table: Table, path: string, fields: Fields) => Promise<unknown>
  readonly edit: (table: Table, path: string, fields: Fields) => Promise<unknown>
  readonly drop: (table: Table, path: string) => Promise<unknown>
  /** What a soft delete leaves of the row; undefined: nothing that is visible. Absent: it only releases. */
  readonly retired?: (fields: Fields) => Fields | undefined
  /** Never deleted. */
  readonly isKept?: boolean
  /** Why a row must not be really deleted now. */
  readonly isNeeded?: (path: string, rows: ReadonlyMap<string, Fields>) => boolean
  /** Whether what the CR needs is missing, or somebody else's. */
  readonly lacks?: (fields: Fields, rows: ReadonlyMap<string, Fields>, at?: Place) => boolean
}

export const keyOf = (kind: string, path: string): string => `${kind} ${path}`
export const nameOf = ({ kind, namespace, name }: Pick<Cr, 'kind' | 'namespace' | 'name'>): string =>
  `${kind} ${namespace}/${name}`
