/** Requests that are tried again: the API server is expected to throttle, restart and drop connections. */
import { setMaxListeners } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import pLimit from 'p-limit'
import { SyncError } from '../errors.ts'
import type { Log } from '../log.ts'
import { judge, Refused, refusal, Truncated } from './failure.ts'
import { codeOf } from './fields.ts'
import type { Request, Transport } from './transport.ts'

export interface RetryRules {
  readonly tries: number
  readonly firstMs: number
  /** Also the most that a Retry-After is obeyed. */
  readonly mostMs: number
}

export const usualRetry: RetryRules = { tries: 6, firstMs: 100, mostMs: 10_000 }

export interface Client {
  /** Resolves to what `consume` makes of a successful answer; `consume` starts afresh with every try. */
  readonly call: <T>(request: Request, consume: (response: IncomingMessage) => Promise<T>) => Promise<T>
  readonly json: (request: Request) => Promise<unknown>
  readonly close: () => void
}

export interface ClientOptions {
  /** Requests in flight. */
  readonly concurrency: number
  readonly retry: RetryRules
  readonly log: Log
  /** Ends everything, also what waits for its next try. */
  readonly signal?: AbortSignal | undefined
}

export function openClient(transport: Transport, { concurrency, retry, log, signal: outer }: ClientOptions): Client {
  const closed = new AbortController()
  const signal = outer ? AbortSignal.any([outer, closed.signal]) : closed.signal
  // Every request in flight listens; that many are no leak.
  setMaxListeners(0, signal)

  // An agent's own limit does not count connections that are still being made through a proxy.
  const limit = pLimit(concurrency)
  const call: Client['call'] = async (request, consume) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await limit(() => attemptOnce(request, consume))
      } catch (error) {
        if (signal.aborted) throw interrupted(signal)
        const { retry: again, ambiguous, retryAfterMs } = judge(error, request.method)
        if (!again || attempt >= retry.tries || (ambiguous && request.method === 'POST')) throw error
        const waitMs = Math.round(Math.min(retry.mostMs, retryAfterMs ?? jittered(retry, attempt)))
        log.debug('request is tried again', { ...about(request, error), attempt, waitMs })
        await sleep(waitMs, undefined, { signal }).catch(() => {})
      }
    }
  }

  const attemptOnce = async <T>(request: Request, consume: (response: IncomingMessage) => Promise<T>): Promise<T> => {
    if (signal.aborted) throw interrupted(signal)
    const response = await transport.send(request, signal)
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) return consume(response)
    throw await refusal(response)
  }

  return {
    call,
    json: request => call(request, readJson),
    close: () => {
      closed.abort(new SyncError('Interrupted', 'The connection to the cluster was closed.'))
      transport.close()
    }
  }
}

/** Without the query, which holds nothing but page tokens. */
const about = (request: Request, error: unknown): object => ({
  method: request.method,
  path: request.path.split('?')[0],
  status: error instanceof Refused ? error.status : undefined,
  code: codeOf(error) || undefined
})

/** Half fixed, half random: jobs that were refused together must not come back together. */
const jittered = ({ firstMs, mostMs }: RetryRules, attempt: number): number =>
  Math.min(mostMs, firstMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2)

function interrupted(signal: AbortSignal): SyncError {
  const reason: unknown = signal.reason
  if (reason instanceof SyncError) return reason
  const late = reason instanceof Error && reason.name === 'TimeoutError'
  return new SyncError(
    'Interrupted',
    late ? 'The deadline passed before the cluster answered.' : 'The run was interrupted.'
  )
}

/** What comes after a successful status may still be half an answer, or a proxy's page. */
async function readJson(response: IncomingMessage): Promise<unknown> {
  return parseJson(await readBody(response))
}

/** By events: iterating costs as much as the rest of a small request. */
export function readBody(response: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    response.on('data', (part: Buffer) => parts.push(part))
    response.on('end', () => resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)))
    response.on('error', reject)
    // After an end this says nothing any more.
    response.on('close', () => reject(Object.assign(new Error('broken off'), { code: 'ECONNRESET' })))
  })
}

export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    throw new Truncated('the answer is no JSON')
  }
}
