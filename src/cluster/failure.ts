/** What can go wrong with a request, told apart by status and code; bodies are never quoted, for they may hold Secrets. */
import type { IncomingMessage } from 'node:http'
import { type ErrorCode, SyncError } from '../errors.ts'
import { codeOf, isFields } from './fields.ts'
import { ProxyRefused } from './proxy.ts'

/** An answer that is no success. Stays inside src/cluster; what leaves is a SyncError. */
export class Refused extends Error {
  readonly status: number
  /** The API server's word, such as `Expired`; '' when the answer was no Status object. */
  readonly reason: string
  /** The object that was not found has a name; a missing resource or subresource has none. */
  readonly named: boolean
  /** Names of the fields that were found invalid. */
  readonly fields: readonly string[]
  readonly retryAfterMs: number | undefined

  constructor(status: number, body: unknown, retryAfterMs: number | undefined) {
    const said = isFields(body) && body['kind'] === 'Status' ? body : {}
    const details = isFields(said['details']) ? said['details'] : {}
    const reason = word(said['reason'])
    super(`${status}${reason && ` ${reason}`}`)
    this.status = status
    this.reason = reason
    this.named = word(details['name']) !== ''
    this.fields = (Array.isArray(details['causes']) ? details['causes'] : [])
      .map(cause => (isFields(cause) ? word(cause['field']) : ''))
      .filter(field => field !== '')
    const seconds = details['retryAfterSeconds']
    this.retryAfterMs = retryAfterMs ?? (typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined)
  }
}

/** Anything that does not look like a name could be a value. */
const word = (value: unknown): string =>
  typeof value === 'string' && /^[A-Za-z0-9_.[\]/-]{1,253}$/.test(value) ? value : ''

/** The answer is not all there, or it comes from something else; `message` is ours and quotes nothing. */
export class Truncated extends Error {
  readonly code = 'TRUNCATED'
}

/** Reads at most 64 KiB: enough for any Status, and proxies send pages. */
export async function refusal(response: IncomingMessage): Promise<Refused> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    if (size < 65_536) parts.push(part)
    size += part.length
  }
  let body: unknown
  try {
    body = JSON.parse(Buffer.concat(parts).toString())
  } catch {
    body = undefined
  }
  return new Refused(response.statusCode ?? 0, body, retryAfter(response.headers['retry-after']))
}

function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}

const transientStatus: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])
/** The request cannot have reached the API server. */
const neverArrived: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EAI_AGAIN',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH'
])
const brokenOff: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'TRUNCATED',
  'ERR_STREAM_PREMATURE_CLOSE'
])

export interface Judgement {
  readonly retry: boolean
  /** The server may have done what was asked. */
  readonly ambiguous: boolean
  readonly retryAfterMs?: number | undefined
}

export function judge(error: unknown, method = 'GET'): Judgement {
  if (error instanceof ProxyRefused) return { retry: error.status >= 500 || error.status === 429, ambiguous: false }
  if (error instanceof Refused) {
    const { status, retryAfterMs } = error
    // A merge patch states no version, so a conflict is only another writer at the same moment.
    const retry = transientStatus.has(status) || (status === 409 && method === 'PATCH')
    return { retry, ambiguous: status !== 429, retryAfterMs }
  }
  const code = codeOf(error)
  if (neverArrived.has(code)) return { retry: true, ambiguous: false }
  return { retry: brokenOff.has(code), ambiguous: true }
}

/** What a status means for the caller; what it leaves out ends as `otherwise`. */
export interface Meaning {
  /** As in `Listing windmillscripts`: the subject of the sentence. */
  readonly doing: string
  readonly otherwise: ErrorCode
  readonly statuses?: Readonly<Record<number, readonly [code: ErrorCode, advice: string]>>
}

/** Programming errors pass as they are: dressing them up would hide them. */
export function toSyncError(error: unknown, { doing, otherwise, statuses = {} }: Meaning): unknown {
  if (error instanceof SyncError) return error
  if (error instanceof ProxyRefused) {
    return new SyncError(
      'ClusterUnreachable',
      `${doing} failed: ${error.message}; check HTTPS_PROXY, NO_PROXY and proxy-url.`
    )
  }
  if (error instanceof Refused) return refusedError(error, { doing, otherwise, statuses })
  const code = codeOf(error)
  if (brokenOff.has(code)) {
    const what = error instanceof Truncated ? error.message : 'the connection to the API server broke off'
    return new SyncError(otherwise, `${doing} failed: ${what} (${code}).`, { transient: true })
  }
  if (neverArrived.has(code)) {
    return new SyncError('ClusterUnreachable', `${doing} failed: the API server cannot be reached (${code}).`, {
      transient: true
    })
  }
  if (/CERT|SELF_SIGNED|VERIFY|^ERR_(SSL|TLS|OSSL)|^EPROTO$|^UNABLE_/.test(code)) {
    const advice = 'check certificate-authority and tls-server-name of the kubeconfig'
    return new SyncError('ClusterUnreachable', `${doing} failed: TLS with the API server failed (${code}); ${advice}.`)
  }
  if (code === '' || code.startsWith('ERR_INVALID')) return error
  return new SyncError('ClusterUnreachable', `${doing} failed (${code}).`)
}

function refusedError(error: Refused, { doing, otherwise, statuses = {} }: Meaning): SyncError {
  const fields = error.fields.length > 0 ? `; invalid: ${error.fields.slice(0, 10).join(', ')}` : ''
  const told = statuses[error.status]
  if (told) return new SyncError(told[0], `${doing} failed (${error.message}${fields}): ${told[1]}.`)
  if (error.status === 401) {
    return new SyncError(
      'ClusterNotAllowed',
      `${doing} failed (${error.message}): the API server does not accept the credentials.`
    )
  }
  return new SyncError(otherwise, `${doing} failed (${error.message}${fields}).`, { transient: judge(error).retry })
}
