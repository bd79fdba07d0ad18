/** One HTTP request to the API server: kept-alive connections, credentials, proxy, and a second try after a 401. */
import http from 'node:http'
import https from 'node:https'
import type { Duplex } from 'node:stream'
import { urlToHttpOptions } from 'node:url'
import type { Connection, Credentials, Tls } from './config.ts'
import { connectThrough } from './proxy.ts'

export interface Request {
  readonly method: 'GET' | 'POST' | 'PATCH'
  /** Below the server's address, with the query. */
  readonly path: string
  readonly accept?: string | undefined
  readonly contentType?: string | undefined
  readonly body?: string | undefined
}

export interface TransportOptions {
  /** Connections. */
  readonly concurrency: number
  /** Longest silence on a connection. */
  readonly timeoutMs: number
}

export interface Transport {
  readonly send: (request: Request, signal: AbortSignal) => Promise<http.IncomingMessage>
  readonly close: () => void
}

export function openTransport(connection: Connection, options: TransportOptions): Transport {
  const { server } = connection
  const plain = server.protocol === 'http:'
  const base = server.pathname.replace(/\/$/, '')
  let agent: http.Agent | undefined
  let mark = ''

  // client-node opens a connection per request; one agent for all is 8 to 23 times faster (design, platform §1).
  const agentFor = (tls: Tls): http.Agent => {
    const now = plain ? 'plain' : markOf(tls)
    if (agent && mark === now) return agent
    mark = now
    // Requests in flight keep the old connections until they are done; idle ones end by the server's own time limit.
    agent = newAgent(connection, options, tls)
    return agent
  }

  const { protocol, hostname, port } = urlToHttpOptions(server)
  const { request: open } = plain ? http : https
  const inFlight = makeInFlight()

  const once = async (
    request: Request,
    credentials: Credentials,
    signal: AbortSignal
  ): Promise<http.IncomingMessage> => {
    const { method, path, accept, contentType, body } = request
    const headers = {
      accept: accept ?? 'application/json',
      'user-agent': 'windmill-iac',
      ...credentials.headers
    } as http.OutgoingHttpHeaders
    if (body !== undefined) {
      headers['content-type'] = contentType ?? 'application/json'
      headers['content-length'] = Buffer.byteLength(body)
    }
    const agent = agentFor(credentials.tls)
    const { timeoutMs: timeout } = options
    return new Promise((resolve, reject) => {
      const sent = open({ protocol, hostname, port, path: base + path, method, headers, agent, timeout })
      inFlight(sent, signal)
      sent.on('response', resolve)
      sent.on('error', reject)
      sent.on('timeout', timedOut)
      sent.end(body)
    })
  }

  return {
    send: async (request, signal) => {
      const credentials = await connection.credentials()
      const response = await once(request, credentials, signal)
      if (response.statusCode !== 401) return response
      // A rotated token: the file is newer than what we hold.
      response.resume()
      return once(request, await connection.credentials(credentials), signal)
    },
    close: () => {
      agent?.destroy()
    }
  }
}

function timedOut(this: http.ClientRequest): void {
  this.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' }))
}

/** Ends what is in flight with the signal: one listener for all, as one per request costs a fifth of the request. */
function makeInFlight(): (sent: http.ClientRequest, signal: AbortSignal) => void {
  const bySignal = new WeakMap<AbortSignal, Set<http.ClientRequest>>()
  return (sent, signal) => {
    let all = bySignal.get(signal)
    if (!all) {
      const requests = new Set<http.ClientRequest>()
      bySignal.set(signal, (all = requests))
      signal.addEventListener('abort', () => {
        for (const one of requests) one.destroy(new Error('aborted'))
      })
    }
    const requests = all.add(sent)
    sent.on('close', () => requests.delete(sent))
    if (signal.aborted) sent.destroy(new Error('aborted'))
  }
}

const markOf = (tls: Tls): string =>
  [tls.ca, tls.cert, tls.key, tls.servername, tls.rejectUnauthorized].map(part => String(part ?? '')).join('\0')

type Connected = (error: Error | null, socket?: Duplex) => void

function newAgent({ server, proxy }: Connection, { concurrency, timeoutMs }: TransportOptions, tls: Tls): http.Agent {
  const plain = server.protocol === 'http:'
  const common = { keepAlive: true, maxSockets: concurrency, maxFreeSockets: concurrency, timeout: timeoutMs }
  const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined))
  const agent = plain ? new http.Agent(common) : new https.Agent({ ...common, ...given })
  if (!proxy) return agent
  const direct = agent as unknown as {
    createConnection: (options: object, connected?: Connected) => Duplex | undefined
  }
  const secure = direct.createConnection.bind(agent)
  direct.createConnection = (socketOptions, connected) => {
    const { host, port } = socketOptions as { host: string; port: number | string }
    connectThrough(proxy, { host, port: Number(port), timeoutMs })
      .then(socket => (plain ? socket : secure({ ...socketOptions, socket })))
      .then(
        socket => connected?.(null, socket),
        (error: Error) => connected?.(error)
      )
    return undefined
  }
  return agent
}
