/** HTTP around the API: connections, bodies, faults, compression, and the log of what was asked. */
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import type { Fault, Faults } from './faults.ts'
import { Refusal } from './refusal.ts'
import type { Answer, Call } from './types.ts'

export interface Logged {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly contentType: string
  readonly accept: string
  /** '' until the token is known to belong to somebody. */
  user: string
  /** 0 while there is no answer, or when the connection was cut. */
  status: number
  /** What a write carried. */
  readonly body: string
}

export interface Handling {
  readonly call: Omit<Call, 'user'>
  readonly authorization: string | undefined
  readonly named: (user: string) => void
}

interface Served {
  readonly answer: (handling: Handling) => Answer
  readonly faults: Faults
  readonly log: boolean
  readonly tls: { key: string; cert: string } | undefined
  readonly port: number
}

const BODY_LIMIT = 3 * 1024 * 1024
/** From here on the real server compresses when asked to. */
const GZIP_FROM = 128 * 1024

export async function serve({ answer, faults, log, tls, port }: Served) {
  const requests: Logged[] = []
  const stats = { connections: 0, inFlight: 0, peakInFlight: 0 }

  async function handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const leaving = new AbortController()
    response.on('close', () => leaving.abort())
    const body = await bodyOf(request)
    const url = new URL(request.url ?? '/', 'http://cluster')
    const header = (name: string): string => String(request.headers[name] ?? '')
    const method = request.method ?? 'GET'
    const call = {
      method,
      path: url.pathname,
      query: url.searchParams,
      accept: header('accept'),
      contentType: header('content-type'),
      manager: header('user-agent').split('/')[0] || 'unknown',
      body,
      signal: leaving.signal
    }
    const entry: Logged = {
      method,
      path: url.pathname,
      query: url.search.slice(1),
      contentType: call.contentType,
      accept: call.accept,
      user: '',
      status: 0,
      body: method === 'GET' ? '' : body.toString()
    }
    if (log) requests.push(entry)
    const does = faults.strike(method, request.url ?? '/')
    const early = await beforehand(does, request.socket, leaving.signal)
    if (early === 'done') return
    const made =
      early ??
      guarded(
        answer,
        { call, authorization: request.headers.authorization, named: user => void (entry.user = user) },
        body
      )
    if (does === 'lost') return cut(request.socket)
    if (response.destroyed) return
    entry.status = made.status
    await send({ request, response, made, does })
  }

  function counted(request: http.IncomingMessage, response: http.ServerResponse): void {
    stats.inFlight++
    stats.peakInFlight = Math.max(stats.peakInFlight, stats.inFlight)
    response.on('close', () => stats.inFlight--)
    handle(request, response).catch((error: unknown) => {
      // A client that left is no fault of the server's; anything else must be seen by the test.
      if (!request.socket.destroyed)
        response.writeHead(500, { 'content-type': 'text/plain' }).end(String((error as Error).stack))
    })
  }

  const server = tls ? https.createServer(tls, counted) : http.createServer(counted)
  server.keepAliveTimeout = 120_000
  server.on('connection', () => stats.connections++)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stats,
    async close(): Promise<void> {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

function guarded(answer: Served['answer'], handling: Handling, body: Buffer): Answer {
  try {
    if (body.length > BODY_LIMIT) {
      const message = `Request entity too large: limit is ${BODY_LIMIT}`
      throw new Refusal({ code: 413, reason: 'RequestEntityTooLarge', message })
    }
    return answer(handling)
  } catch (error) {
    if (error instanceof Refusal) return error.answer()
    throw error
  }
}

async function bodyOf(request: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** A reset where the transport can do it: TLS sockets can only be closed. */
function cut(socket: Socket): void {
  if ('encrypted' in socket) socket.destroy()
  else socket.resetAndDestroy()
}

/** Faults that strike before the work; an answer replaces it, `done` ends the matter. */
async function beforehand(
  does: Fault['does'] | undefined,
  socket: Socket,
  signal: AbortSignal
): Promise<Answer | 'done' | undefined> {
  if (does === 'reset') {
    cut(socket)
    return 'done'
  }
  if (does === 'hang') {
    if (!signal.aborted) await once(signal, 'abort')
    return 'done'
  }
  if (typeof does !== 'object') return undefined
  if ('delay' in does) {
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, does.delay)
      signal.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    return signal.aborted ? 'done' : undefined
  }
  return failure(does)
}

const REASONS: Readonly<Record<number, readonly [string, string]>> = {
  401: ['Unauthorized', 'Unauthorized'],
  403: ['Forbidden', 'forbidden'],
  404: ['NotFound', 'the server could not find the requested resource'],
  409: [
    'Conflict',
    'Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again'
  ],
  410: ['Expired', 'too old resource version'],
  429: ['TooManyRequests', 'Too many requests, please try again later.'],
  500: ['InternalError', 'Internal error occurred: etcdserver: request timed out'],
  503: ['ServiceUnavailable', 'the server is currently unable to handle the request'],
  504: ['Timeout', 'Timeout: request did not complete within the allotted timeout']
}

function failure({
  status,
  retryAfter,
  body
}: {
  status: number
  retryAfter?: number | string
  body?: string
}): Answer {
  const after = retryAfter ?? (status === 429 ? 1 : '')
  const headers: Record<string, string> = after === '' ? {} : { 'retry-after': String(after) }
  if (body !== undefined) return { status, headers, body, type: 'text/plain; charset=utf-8' }
  const [reason, message] = REASONS[status] ?? ['Unknown', 'an error on the server']
  return { ...new Refusal({ code: status, reason, message }).answer(), headers }
}

interface Sending {
  readonly request: http.IncomingMessage
  readonly response: http.ServerResponse
  readonly made: Answer
  readonly does: Fault['does'] | undefined
}

async function send({ request, response, made, does }: Sending): Promise<void> {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'cache-control': 'no-cache, private',
    ...made.headers
  }
  if (made.type) headers['content-type'] = made.type
  if (made.stream) {
    response.writeHead(made.status, headers)
    response.flushHeaders()
    for await (const line of made.stream) if (!response.write(line)) await once(response, 'drain')
    response.end()
    return
  }
  let bytes = Buffer.from(made.body)
  if (bytes.length > GZIP_FROM && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')) {
    bytes = gzipSync(bytes, { level: 1 })
    headers['content-encoding'] = 'gzip'
    headers['vary'] = 'Accept-Encoding'
  }
  const half = bytes.subarray(0, bytes.length >> 1)
  if (does === 'half') {
    response.writeHead(made.status, { ...headers, 'content-length': bytes.length })
    response.write(half, () => cut(request.socket))
    return
  }
  const whole = does === 'truncated' ? half : bytes
  response.writeHead(made.status, { ...headers, 'content-length': whole.length }).end(whole)
}
