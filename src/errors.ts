/** All errors: a closed catalogue, one class, and what each code means for the run. */

/**
 * `object`: that CR is in Error, the run goes on, exit 1. `run`: the run ends with `exit`.
 * Object codes are also the CamelCase reasons in statuses and reports.
 */
const catalogue = {
  InvalidManifest: { scope: 'object', exit: 1 },
  InvalidSpec: { scope: 'object', exit: 1 },
  UnknownKind: { scope: 'object', exit: 1 },
  WorkspaceNotAllowed: { scope: 'object', exit: 1 },
  PathNotAllowed: { scope: 'object', exit: 1 },
  RunAsNotAllowed: { scope: 'object', exit: 1 },
  ClaimedTwice: { scope: 'object', exit: 1 },
  ExistsAlready: { scope: 'object', exit: 1 },
  DatabaseIsNewer: { scope: 'object', exit: 1 },
  OwnedByAnotherCluster: { scope: 'object', exit: 1 },
  WorkspaceNotFound: { scope: 'object', exit: 1 },
  SecretNotFound: { scope: 'object', exit: 1 },
  SecretForbidden: { scope: 'object', exit: 1 },
  SecretKeyNotFound: { scope: 'object', exit: 1 },
  SecretNotText: { scope: 'object', exit: 1 },
  ConfigMapNotFound: { scope: 'object', exit: 1 },
  ConfigMapForbidden: { scope: 'object', exit: 1 },
  ConfigMapKeyNotFound: { scope: 'object', exit: 1 },
  ExternalSecretBackend: { scope: 'object', exit: 1 },
  WorkspaceKeyMissing: { scope: 'object', exit: 1 },
  WorkspaceKeyChanged: { scope: 'object', exit: 1 },
  ManagedByWindmill: { scope: 'object', exit: 1 },
  TakenBySomebodyElse: { scope: 'object', exit: 1 },
  UserNotFound: { scope: 'object', exit: 1 },
  ReferenceNotFound: { scope: 'object', exit: 1 },
  DisabledByWindmill: { scope: 'object', exit: 1 },
  NotSupportedByWindmill: { scope: 'object', exit: 1 },
  IdentityConflict: { scope: 'object', exit: 1 },
  WriteRejected: { scope: 'object', exit: 1 },
  StillInUse: { scope: 'object', exit: 1 },
  ChangedMeanwhile: { scope: 'object', exit: 1 },
  ListFailed: { scope: 'kind', exit: 3 },
  ListForbidden: { scope: 'kind', exit: 3 },
  CrdMissing: { scope: 'kind', exit: 3 },
  SchemaUnknown: { scope: 'run', exit: 3 },
  WrongEncryptionKey: { scope: 'run', exit: 3 },
  LedgerTooNew: { scope: 'run', exit: 3 },
  LedgerMissing: { scope: 'run', exit: 4 },
  DatabaseFailed: { scope: 'run', exit: 4 },
  DatabaseNotAllowed: { scope: 'run', exit: 4 },
  DatabaseUnreachable: { scope: 'run', exit: 4 },
  DatabaseBusy: { scope: 'run', exit: 4 },
  ClusterUnreachable: { scope: 'run', exit: 4 },
  ClusterNotAllowed: { scope: 'run', exit: 4 },
  LockBusy: { scope: 'run', exit: 4 },
  LockLost: { scope: 'run', exit: 4 },
  Interrupted: { scope: 'run', exit: 4 },
  ConfigInvalid: { scope: 'run', exit: 5 },
  OptionalPackageMissing: { scope: 'run', exit: 5 }
} as const satisfies Record<string, { scope: 'object' | 'kind' | 'run'; exit: number }>

export type ErrorCode = keyof typeof catalogue

/** The only error that leaves a module on purpose. Messages are sentences for people and hold no values. */
export class SyncError extends Error {
  override readonly name = 'SyncError'
  readonly code: ErrorCode
  /** May succeed when simply tried again (serialization failure, lost connection, throttling). */
  readonly transient: boolean

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; transient?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = options.transient ?? false
  }
}

export const scopeOf = (code: ErrorCode): 'object' | 'kind' | 'run' => catalogue[code].scope
export const exitOf = (code: ErrorCode): number => catalogue[code].exit
export const isObjectError = (error: unknown): error is SyncError =>
  error instanceof SyncError && scopeOf(error.code) === 'object'

const conflicts: ReadonlySet<ErrorCode> = new Set([
  'ClaimedTwice',
  'ExistsAlready',
  'DatabaseIsNewer',
  'OwnedByAnotherCluster'
])

/** Who wants a target that is somebody else's is in Conflict; everything else that is wrong with an object is an Error. */
export const stateOf = (error: SyncError): 'Conflict' | 'Error' => (conflicts.has(error.code) ? 'Conflict' : 'Error')
