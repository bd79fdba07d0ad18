/** What went wrong in the database, said without a single value: PostgreSQL quotes whole rows, secrets included. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorCode, SyncError } from '../errors.ts'

/** The fields of a server's error that name things. `detail`, `hint` and `where` quote values and are not read at all. */
interface ServerError extends Error {
  readonly code: string
  readonly table_name?: string
  readonly column_name?: string
  readonly constraint_name?: string
}

type Verdict = readonly [code: ErrorCode, sentence: string, transient?: 'transient']

const verdicts: Readonly<Record<string, Verdict>> = {
  '22001': ['WriteRejected', 'A text is too long for its column'],
  '22003': ['WriteRejected', 'A number is out of the range of its column'],
  '22007': ['WriteRejected', 'A date or time has a form that PostgreSQL does not know'],
  '22021': ['WriteRejected', 'A text holds a character that PostgreSQL cannot store'],
  '22P02': ['WriteRejected', 'A value does not have the form that its column needs'],
  '22P05': ['WriteRejected', 'A text holds a character that its column cannot store'],
  '23502': ['WriteRejected', 'A value that must not be null is missing'],
  '23503': ['WriteRejected', 'The row refers to something that does not exist, or something still refers to it'],
  '23505': ['WriteRejected', 'The row already exists'],
  '23514': ['WriteRejected', 'A value breaks a rule of the table'],
  '23P01': ['WriteRejected', 'The row excludes another one'],
  '25006': ['DatabaseNotAllowed', 'The server accepts no writes (it is a standby, or set read-only)'],
  '25P02': ['DatabaseFailed', 'An earlier statement of the transaction had failed'],
  '25P03': ['DatabaseFailed', 'The transaction was idle for too long', 'transient'],
  '25P04': ['DatabaseFailed', 'The transaction took too long', 'transient'],
  '28000': ['DatabaseNotAllowed', 'The server does not let this user in (pg_hba.conf, or TLS is required)'],
  '28P01': ['DatabaseNotAllowed', 'The password was refused'],
  '3D000': ['DatabaseUnreachable', 'The database does not exist'],
  '3F000': ['SchemaUnknown', 'A schema does not exist'],
  '40001': ['DatabaseBusy', 'Another transaction changed the same rows meanwhile', 'transient'],
  '40P01': ['DatabaseBusy', 'A deadlock with another transaction was resolved', 'transient'],
  '42501': ['DatabaseNotAllowed', 'The database role lacks a privilege'],
  '42703': ['SchemaUnknown', 'A column does not exist'],
  '42P01': ['SchemaUnknown', 'A table does not exist'],
  '42704': ['SchemaUnknown', 'A type, setting or role does not exist'],
  '53100': ['DatabaseFailed', 'The disk of the server is full'],
  '53200': ['DatabaseFailed', 'The server is out of memory', 'transient'],
  '53300': ['DatabaseBusy', 'The server has no connection left', 'transient'],
  '55006': ['DatabaseBusy', 'An object is in use', 'transient'],
  '55P03': ['DatabaseBusy', 'A lock was not to be had in time', 'transient'],
  '57014': ['DatabaseFailed', 'A statement was cancelled or took too long', 'transient'],
  '57P01': ['DatabaseUnreachable', 'The server closed the connection', 'transient'],
  '57P02': ['DatabaseUnreachable', 'The server crashed', 'transient'],
  '57P03': ['DatabaseUnreachable', 'The server is starting or stopping', 'transient'],
  '57P05': ['DatabaseUnreachable', 'The server closed an idle connection', 'transient'],
  P0001: ['WriteRejected', 'A trigger of the database refused the row']
}

const classes: Readonly<Record<string, Verdict>> = {
  '08': ['DatabaseUnreachable', 'The connection failed', 'transient'],
  '22': ['WriteRejected', 'A value cannot be stored'],
  '23': ['WriteRejected', 'The row breaks a constraint'],
  '28': ['DatabaseNotAllowed', 'The server does not let this user in'],
  '40': ['DatabaseBusy', 'The transaction was rolled back', 'transient'],
  '44': ['WriteRejected', 'The row breaks a rule of the table'],
  '53': ['DatabaseBusy', 'The server lacks a resource', 'transient'],
  '54': ['WriteRejected', 'A value is larger than PostgreSQL allows at this place'],
  '57': ['DatabaseUnreachable', 'The server ended the work', 'transient'],
  '58': ['DatabaseFailed', 'The server has trouble with its system']
}

/** Codes of Node's sockets and of the driver that mean: the connection is gone, or never was. */
const connectionCodes =
  /^(CONNECT|EAI_|ENOTFOUND$|ECONN|EPIPE$|ETIMEDOUT$|EHOSTUNREACH$|ENETUNREACH$|ENOENT$|EACCES$|ERR_SOCKET|ERR_STREAM)/

const isServerError = (error: unknown): error is ServerError =>
  error instanceof Error && error.name === 'PostgresError' && typeof (error as ServerError).code === 'string'

export const codeOf = (error: unknown): string => {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : ''
}

/**
 * Turns what the driver throws into a SyncError that names things only. The original is dropped, not kept as `cause`:
 * whatever prints an error prints its causes. Errors that are not the database's come back as they are.
 */
export function withoutValues(error: unknown): Error {
  if (isServerError(error)) return ofServer(error)
  // The driver hangs query text and parameters on any error that passes a query, ours included.
  if (error instanceof SyncError) return 'parameters' in error ? copyOf(error) : error
  const code = codeOf(error)
  if (connectionCodes.test(code)) {
    return new SyncError('DatabaseUnreachable', `The connection to the database was lost (${code}).`, {
      transient: true
    })
  }
  if (error instanceof Error && 'parameters' in error) {
    return new SyncError('DatabaseFailed', `The database driver refused a statement (${code || error.name}).`)
  }
  return error instanceof Error ? error : new Error('something that is no error was thrown')
}

const copyOf = (error: SyncError): SyncError => new SyncError(error.code, error.message, { transient: error.transient })

function ofServer(error: ServerError): SyncError {
  const [code, sentence, transient] =
    verdicts[error.code] ??
    classes[error.code.slice(0, 2)] ??
    (['DatabaseFailed', 'PostgreSQL refused a statement'] as const)
  const names = [
    ['table', error.table_name],
    ['column', error.column_name],
    ['constraint', error.constraint_name]
  ].flatMap(([what, name]) => (name ? [`, ${what} ${name}`] : []))
  const text = `${sentence}${limitOf(error)} (PostgreSQL ${error.code}${names.join('')}).`
  return new SyncError(code, text, { transient: transient === 'transient' })
}

/** 22001 names no column, but its text names the type: only the digits of `varying(50)` are taken out of it. */
function limitOf(error: ServerError): string {
  const digits = error.code === '22001' ? /\bcharacter(?: varying)?\((\d+)\)/.exec(error.message)?.[1] : undefined
  return digits === undefined ? '' : ` (at most ${digits} characters)`
}

export const isTransient = (error: unknown): boolean => error instanceof SyncError && error.transient

export interface Retries {
  /** Attempts altogether; default 5. */
  readonly tries?: number
  readonly signal?: AbortSignal | undefined
  /** Mean wait before the second attempt; doubles, at most 5 s. Default 100. */
  readonly baseMs?: number
}

/** Tries again what failed transiently. `work` must be a whole transaction: a single statement cannot be repeated alone. */
export async function withRetries<T>(work: (attempt: number) => Promise<T>, options: Retries = {}): Promise<T> {
  const { tries = 5, signal, baseMs = 100 } = options
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      if (!isTransient(error) || attempt >= tries || signal?.aborted) throw error
      const wait = Math.min(5000, baseMs * 2 ** (attempt - 1)) * (0.5 + Math.random())
      await sleep(wait, undefined, signal ? { signal } : {}).catch(() => {})
      if (signal?.aborted) throw error
    }
  }
}
