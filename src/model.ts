/** The words of the program: what a CR, a row, a kind, a decision and an outcome are. */
import type postgres from 'postgres'
import type { SyncError } from './errors.ts'
import type { Digest } from './fingerprint.ts'
import type { Roster, Wanted } from './roster.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }

/** An open transaction. Kinds get nothing else of the driver. */
export type Sql = postgres.TransactionSql
/** A part of a statement. */
export type Fragment = postgres.PendingQuery<postgres.Row[]>

/**
 * The modelled part of an object, by the name of the CRD's field (`description`, `settings.webhook`): a CR and the
 * database are two sources of the same shape, so comparing, hashing, showing and exporting are written once.
 * A desired row holds only the fields that the CR states; an observed row holds every modelled field.
 */
export type Row = Readonly<Record<string, Json>>

export type State = 'Synced' | 'OutOfSync' | 'Conflict' | 'Error'

/** What a listing tells about a CR before its spec is read. */
export interface Listed {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly generation: number
  /** Moves with every change of the spec. */
  readonly revision: string
  /** RFC 3339, or '' where the source has no such time. */
  readonly createdAt: string
  /** Newest change of the spec by anybody (managedFields; else createdAt), RFC 3339 or ''. */
  readonly changedAt: string
  readonly labels: Readonly<Record<string, string>>
  /** Those of our group only, without the prefix `windmill.dev/`. */
  readonly annotations: Readonly<Record<string, string>>
  /** Where a person finds it, such as `examples/variable.yaml:12`; '' for a cluster. */
  readonly origin: string
}

/** A CR as read, its spec not yet checked. */
export interface Manifest {
  readonly listed: Listed
  readonly spec: unknown
}

/** A named key of a Secret or ConfigMap in the CR's own namespace. */
export interface Ref {
  readonly kind: 'Secret' | 'ConfigMap'
  readonly name: string
  readonly key: string
}

/** One place in Windmill's database that a CR stands for. */
export interface Target {
  readonly workspace: string
  readonly path: string
  /** The fields stated at the last apply (known from the ledger) or now; [] if unknown. */
  readonly fields: readonly string[]
}

/** What Windmill's database holds at a target. */
export interface Observed {
  readonly workspace: string
  readonly path: string
  readonly row: Row
  /** When and by whom the row was last edited, as far as Windmill knows. */
  readonly editedAt?: Date | null
  readonly editedBy?: string | null
  /** Why nobody but Windmill may touch this row (an OAuth account): a plain sentence. */
  readonly locked?: string | undefined
  /**
   * Those of the kind's `rewritten` fields whose live value is nothing but Windmill's own rewriting of what we deployed
   * last: they count as unchanged, whatever they look like.
   */
  readonly asDeployed?: readonly string[]
}

/** An edit that Windmill recorded. */
export interface Edit {
  readonly at: Date
  /** The username. */
  readonly by: string
}

/** What a status says of an object besides its state; remembered in the ledger, so that an Error does not wipe it. */
export interface Details {
  /** Identity of the live version: 16 hexadecimal digits of a script, the version id of a flow or an app. */
  readonly hash?: string
  /** Whether a worker has locked the dependencies of the live version. */
  readonly lockState?: 'pending' | 'done' | 'failed' | 'none'
  /** First lines of the error when the dependencies could not be locked. */
  readonly lockMessage?: string
  /** Of a schedule, RFC 3339 in whole seconds. */
  readonly nextRun?: string
  readonly lastRun?: string
  readonly lastResult?: string
  /** When anybody last edited the row, RFC 3339; filled by the engine. */
  readonly lastModifiedInDb?: string
}

/** A checked CR on its way to a desired row. */
export interface Input<Spec = unknown> {
  readonly listed: Listed
  readonly spec: Spec
  readonly workspace: string
  readonly path: string
  /** The text at a Ref of this CR (UTF-8). Throws the object's error when it cannot be had. */
  readonly text: (ref: Ref) => string
}

/** What a kind makes of a CR. */
export interface Compiled {
  /** Only the fields that the CR states. */
  readonly row: Row
  /** Sentences for the status message about what was ignored, approximated or is pending. Stable, no secrets. */
  readonly notes?: readonly string[]
  /** True when the row depends on something that may change without a mark moving (a pending member): compile every run. */
  readonly unsettled?: boolean
  /** What the row was made with and must still hold when it is written (a mark of an encryption key): passed on to `write`. */
  readonly guard?: string
  /** Fields to mask besides those of `secrets`: parts of them came from a Secret. */
  readonly masked?: readonly string[]
}

/** One row to write. */
export interface Write {
  readonly op: 'create' | 'update'
  readonly workspace: string
  readonly path: string
  /** The wanted values of the stated fields. */
  readonly row: Row
  /** All modelled fields as they were read; only with `update`. */
  readonly live?: Row
  /** As `compile` gave it. */
  readonly guard?: string
  readonly listed: Listed
}

/** One target to remove. */
export interface Removal {
  readonly workspace: string
  readonly path: string
  readonly fields: readonly string[]
  readonly live: Row
  readonly listed: Pick<Listed, 'namespace' | 'name' | 'uid'>
}

export interface AuditEntry {
  /** At most 50 characters (workspaces-and-permissions §6). */
  readonly operation: string
  readonly action: 'create' | 'update' | 'delete' | 'execute'
  readonly resource: string
  /** Added to those that every row gets (where the CR is from). */
  readonly parameters?: Readonly<Record<string, string>>
}

/** Facts about the target database, read once: columns, enums, tables. */
export interface Capabilities {
  readonly has: (table: string, column?: string) => boolean
  /** `udt_name` of a column, such as `jsonb`, `varchar`, `_text`; '' when absent. */
  readonly type: (table: string, column: string) => string
  /** Greatest number of characters; undefined when unlimited or absent. */
  readonly maxLength: (table: string, column: string) => number | undefined
  readonly labels: (enumName: string) => readonly string[]
  readonly hasTrigger: (table: string, namePrefix: string) => boolean
}

/** A user of a workspace, as far as it matters to whoever wants to act as him. */
export interface Account {
  readonly username: string
  readonly email: string
  /** Of the workspace. */
  readonly admin: boolean
  /** Of the instance. */
  readonly superadmin: boolean
}

/** What kinds need to know besides their rows. */
export interface Context {
  readonly capabilities: Capabilities
  /** The service identity (workspaces-and-permissions §5.3). */
  readonly user: string
  readonly email: string
  /** Must equal the Windmill servers' SECRET_SALT; '' when unset. */
  readonly salt: string
  /** The object (`WindmillResource ns/name`) that generated the secret variable at this path, if any did. */
  readonly linkedBy: (workspace: string, path: string) => string | undefined
  /** Path of the object that `linkedBy` names: whichever CR stands for that object now owns its variables too. */
  readonly linkedPath?: (workspace: string, path: string) => string | undefined
  /** Why CRs of a namespace may not make code run as that user; undefined when they may. */
  readonly mayRunAs?: (namespace: string, account: Account) => string | undefined
  /** The CRs (`Kind ns/name`) that own targets of a kind, by target key; as of the moment of the call. */
  readonly ownersOf?: (
    sql: Sql,
    kind: string,
    targets: readonly Pick<Target, 'workspace' | 'path'>[]
  ) => Promise<ReadonlyMap<string, string>>
}

/** A row that a kind could manage. */
export interface Place {
  readonly workspace: string
  readonly path: string
  /** Windmill itself makes such rows: exported only when asked for. */
  readonly own?: boolean
}

/** A row on its way into a manifest. */
export interface Exporting {
  readonly workspace: string
  readonly path: string
  readonly row: Row
  /** Name of the Secret that the manifest refers to. */
  readonly secret: string
  /** False: the row is gone from Windmill, this is what was kept of it. */
  readonly live: boolean
}

/** A key of that Secret. One of `text` and `ciphertext` is given. */
export interface SecretPart {
  readonly key: string
  /** As Windmill's cipher with the key of the workspace left it. */
  readonly ciphertext?: string
  readonly text?: string
  /** The field of the row that holds the ciphertext. */
  readonly field: string
}

/** What a row looks like in a manifest, or why it has none. */
export type Exported =
  | {
      /** The spec besides workspace and path. Members that are null or undefined are left out. */
      readonly spec: Readonly<Record<string, Json | undefined>>
      /** Without prefix. */
      readonly annotations?: Readonly<Record<string, string>>
      readonly secrets?: readonly SecretPart[]
      /** A sentence when applying the manifest would change the row. */
      readonly changes?: string
    }
  | {
      /** Fields of the row in the form of the spec: those that are as a new object has them are left out. */
      readonly stated: Row
      /** Fields that are computed where nobody states them: left out where that gives the same. */
      readonly computed?: readonly string[]
      /** Fields of the row that may come back otherwise: said in the log, and no reason to leave the object out. */
      readonly loose?: readonly string[]
    }
  | {
      readonly leave: string
      /** True: nothing else in the export says what this row says. */
      readonly loss: boolean
    }

/** Prefix of the fields that stand for secret variables which an object generated: `linked.<variable path>`. */
export const LINKED = 'linked.'

/**
 * One kind of CR: one file in src/kinds. The engine never names a kind.
 * `Facts` is what the kind looks up in the database in bulk before it compiles.
 */
export interface Kind<Spec = unknown, Facts = unknown> {
  /** Such as `WindmillVariable`. */
  readonly kind: string
  readonly plural: string
  /** Kinds whose objects must be there first. */
  readonly after: readonly string[]
  /** Raised whenever `compile` would make another row of the same CR. */
  readonly rules: number
  /** Tables and columns without which this kind cannot work at any supported Windmill. */
  readonly uses: Readonly<Record<string, readonly string[]>>
  /** Where the CR points to; `workspace` is undefined when the namespace decides. */
  readonly target: (spec: Spec) => { readonly workspace: string | undefined; readonly path: string }
  /** The spec's field that is the path; default `path`. */
  readonly pathField?: string
  /** Whether the workspace must exist before this object (all kinds but the workspace itself); default true. */
  readonly inWorkspace?: boolean
  readonly refs?: (spec: Spec) => readonly Ref[]
  /** Bulk look-ups for `compile`, within the transaction that also observes. */
  readonly facts?: (sql: Sql, inputs: readonly Input<Spec>[], context: Context) => Promise<Facts>
  /** Throws SyncError for what is wrong with this object. */
  readonly compile: (input: Input<Spec>, facts: Facts, context: Context) => Compiled
  /**
   * A query of `workspace`, `path` and `token`: a text per existing target that changes whenever any modelled value, or
   * anything that `details` tells of a lock, may have changed (xmin of its rows). `targets` stands behind `from` and is
   * `j(workspace text, path text, linked text[])`, where `linked` are the paths of the variables that the object
   * generated. The targets may be a handful, or all that we own. A target with several tokens never stands still.
   */
  readonly tokens: (sql: Sql, targets: Fragment, context: Context) => Fragment
  readonly observe: (sql: Sql, targets: readonly Target[], context: Context) => Promise<readonly Observed[]>
  /**
   * Newest edits by target key, as far as Windmill recorded any: for rows that do not say themselves who edited them, or
   * when. Asked for those few that are in dispute.
   */
  readonly edits?: (sql: Sql, targets: readonly Target[], context: Context) => Promise<ReadonlyMap<string, Edit>>
  /** Set-based; side effects included; never touches a field that the row does not state. */
  readonly write: (sql: Sql, writes: readonly Write[], context: Context) => Promise<void>
  /** Really deletes our rows and nothing else. Absent: objects of this kind are only ever released. */
  readonly remove?: (sql: Sql, removals: readonly Removal[], context: Context) => Promise<void>
  /** What a soft delete does besides releasing (archive, disable). Absent: releases only. */
  readonly retire?: (sql: Sql, removals: readonly Removal[], context: Context) => Promise<void>
  /** True when only a deletion policy on the object itself counts (workspaces are retained). */
  readonly retained?: boolean
  /** Refuses the run before its first write (SyncError of scope run); `workspaces` are those of the listed CRs. */
  readonly preflight?: (sql: Sql, workspaces: readonly string[], context: Context) => Promise<void>
  /** Why a target must not be really deleted now, by target key: a plain sentence. */
  readonly blockers?: (sql: Sql, removals: readonly Removal[], context: Context) => Promise<ReadonlyMap<string, string>>
  readonly audit: (
    change: Write | (Removal & { readonly op: 'delete' | 'retire' }),
    context: Context
  ) => readonly AuditEntry[]
  /** Fields of this row that must be masked wherever they are shown. */
  readonly secrets?: (row: Row) => readonly string[]
  /** The fields of a spec that would make this row, where rows are compared in another form than they are stated in. */
  readonly stated?: (row: Row) => Row
  /** Whether a field that was stated at the last apply and is not any more is cleared (becomes null) rather than left. */
  readonly dropped?: (field: string) => boolean
  /** By target key, what the status says besides; read in the snapshot of a comparison and again after a write. */
  readonly details?: (sql: Sql, targets: readonly Target[], context: Context) => Promise<ReadonlyMap<string, Details>>
  /**
   * Whether a status that says `before` is written again to say `after`; default: when they differ. What changes by
   * itself all the time is no news, and the ledger goes on remembering what the status says.
   */
  readonly isNews?: (before: Details, after: Details, now: Date) => boolean
  /**
   * Fields that Windmill rewrites after a deploy (locks added to a flow's value, unknown keys dropped). The engine
   * remembers the digest of what was deployed and compares with that where `observe` says `asDeployed`.
   */
  readonly rewritten?: readonly string[]
  /**
   * Fields that no person edits and that only a mishap in Windmill changes, such as a job that was lost: they are mended
   * under every conflict policy, and are no sign of an edit.
   */
  readonly upkeep?: readonly string[]
  /** Whether writing the row queues a job that locks dependencies: a run queues only so many of them. */
  readonly locks?: (write: Pick<Write, 'op' | 'row' | 'live'>, context: Context) => boolean
  /** Throws SyncError for what is wrong with a spec whatever the database holds. */
  readonly check?: (spec: Spec) => void
  /** All rows that the kind could manage, but for those that Windmill writes all the time. Absent: none can be exported. */
  readonly inventory?: (sql: Sql, workspaces: readonly string[], context: Context) => Promise<readonly Place[]>
  /** What rows look like in manifests, in the order given. Absent: `stated`. */
  readonly exported?: (sql: Sql, rows: readonly Exporting[], context: Context) => Promise<readonly Exported[]>
  /**
   * What an object is to others of its kind, such as a path and the paths that its code imports: objects of one window
   * that need each other are written in one transaction.
   */
  readonly together?: (input: Input<Spec>) => { readonly provides: string; readonly needs: readonly string[] }
}

/** A kind whose Spec and Facts the engine passes through without looking. */
export type AnyKind = Kind<never, never>

/** What the ledger remembers of an object. */
export interface Entry {
  readonly kind: string
  readonly namespace: string | null
  readonly name: string | null
  readonly uid: string
  /** Null: this CR owns nothing (it was never applied, or somebody else owns its target). */
  readonly workspace: string | null
  readonly path: string | null
  /** '' forces a full comparison. */
  readonly fingerprint: string
  /** Digest of the row at our last apply over `fields`; null when never applied. */
  readonly base: Digest | null
  readonly fields: readonly string[]
  /** Digests of the fields that Windmill rewrites, as we deployed them last. */
  readonly deployed: Readonly<Record<string, string>>
  readonly details: Details
  readonly token: string
  readonly refs: readonly string[]
  readonly deletionPolicy: DeletionPolicy
  readonly ownPolicy: boolean
  /** What an annotation on the object itself says; null: namespace or settings decide. */
  readonly conflictPolicy: ConflictPolicy | null
  readonly state: State | 'Released'
  readonly reason: string
  readonly message: string
  /** Digest of the status that the cluster has; '' when it was not written. */
  readonly reported: string
  readonly syncedAt: Date | null
  /** When Ready last turned from True to False or back. */
  readonly transitionedAt: Date | null
}

export type ConflictPolicy = 'crd-wins' | 'db-wins' | 'last-write-wins'
/** `force-delete` deletes although something still refers to the row. */
export type DeletionPolicy = 'delete' | 'force-delete' | 'soft-delete' | 'ignore'
export type Adopt = 'never' | 'identical' | 'always'

export interface Policies {
  readonly conflict: ConflictPolicy
  readonly deletion: DeletionPolicy
  /** Undefined: the conflict policy decides. */
  readonly adopt: Adopt | undefined
}

/** A difference of one field between the database and the wish. */
export interface Difference {
  readonly field: string
  readonly from: Json | undefined
  readonly to: Json | undefined
}

export type Op = 'create' | 'update' | 'adopt' | 'delete' | 'keep' | 'conflict' | 'error' | 'skip'

/** What became (or, in a plan, would become) of an object. */
export interface Outcome {
  readonly op: Op
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly workspace: string
  readonly path: string
  readonly state: State | 'Released' | ''
  readonly reason: string
  readonly message: string
  readonly diff?: readonly Difference[]
}

/** What is written to a CR's status subresource. Fields that are undefined are removed. */
export interface Status {
  readonly state: State
  readonly reason: string
  readonly message: string
  readonly observedGeneration: number
  readonly workspace?: string | undefined
  readonly hash?: string | undefined
  readonly lockState?: string | undefined
  readonly lockMessage?: string | undefined
  readonly nextRun?: string | undefined
  readonly lastRun?: string | undefined
  readonly lastResult?: string | undefined
  readonly syncedAt?: string | undefined
  readonly lastModifiedInDb?: string | undefined
  readonly conditions: readonly {
    readonly type: 'Ready'
    readonly status: 'True' | 'False'
    readonly reason: string
    readonly message: string
    readonly lastTransitionTime: string
    readonly observedGeneration: number
  }[]
}

/** Something in the source that is no usable CR: a broken file, an unknown kind. It keeps its kind from being pruned. */
export interface Stray {
  /** '' when even the kind cannot be told: then nothing of any kind is pruned. */
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly origin: string
  readonly error: SyncError
}

/** The versions and contents of a Secret or ConfigMap. */
export interface Material {
  readonly version: string
  readonly data: ReadonlyMap<string, Uint8Array>
}

/** Where CRs come from and statuses go: a cluster, or a directory of YAML files. */
export interface Source {
  /** UID of namespace kube-system, a given id, or `files`. */
  readonly id: string
  /** All CRs of a kind in the watched namespaces, complete or failed: throws SyncError (ListFailed, ListForbidden, CrdMissing). */
  readonly list: (kind: Pick<AnyKind, 'kind' | 'plural'>) => Promise<Roster>
  /** Known after every list() has settled. */
  readonly strays: () => readonly Stray[]
  /** The specs of the wanted CRs, in chunks; a CR that vanished meanwhile is left out. */
  readonly read: (kind: Pick<AnyKind, 'kind' | 'plural'>, wanted: Wanted) => AsyncIterable<readonly Manifest[]>
  /** Our annotations (without prefix) of the namespaces, by name. */
  readonly namespaces: (names: readonly string[]) => Promise<ReadonlyMap<string, Readonly<Record<string, string>>>>
  /** resourceVersion only; undefined when it is not there or not allowed. */
  readonly version: (kind: Ref['kind'], namespace: string, name: string) => Promise<string | undefined>
  /** Throws SyncError SecretNotFound, SecretForbidden, ConfigMapNotFound, ConfigMapForbidden. */
  readonly material: (kind: Ref['kind'], namespace: string, name: string) => Promise<Material>
  /** Resolves to false when the CR is gone; throws SyncError when it could not be written. */
  readonly patchStatus: (listed: Listed, status: Status) => Promise<boolean>
  /** A core/v1 Event about the CR; failures are swallowed (logged at debug). */
  readonly emit: (
    listed: Listed,
    event: { type: 'Normal' | 'Warning'; reason: string; message: string }
  ) => Promise<void>
  readonly close: () => void
}

/** The key of a target in maps; no part may hold NUL, so it cannot be forged. */
export const targetKey = (workspace: string, path: string): string => `${workspace}\0${path}`
export const objectKey = (namespace: string, name: string): string => `${namespace}/${name}`
