/** Sockets to a PostgreSQL server, ready for the start-up message: TCP or unix, TLS as asked for, within a time limit. */
import { once } from 'node:events'
import net from 'node:net'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { SyncError } from '../errors.ts'
import { codeOf } from './failures.ts'
import type { Address, Endpoint, Tls } from './url.ts'

const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/**
 * The driver could open sockets itself, but not to IPv6 addresses in lists, not with CA or client certificates from the
 * URL, not falling back as sslmode=prefer must, and it retries a server that accepts and closes without end.
 */
export async function openSocket(address: Address, endpoint: Endpoint): Promise<net.Socket> {
  const { tls: wish } = address
  try {
    const socket = await dial(address, endpoint)
    if (!wish || endpoint.socket) return socket
    return await secured(socket, endpoint, wish, address.connectTimeoutMs)
  } catch (error) {
    if (!(error instanceof TlsRefused) || wish?.mode !== 'prefer') throw explained(error, endpoint)
    return await dial(address, endpoint).catch((again: unknown) => Promise.reject(explained(again, endpoint)))
  }
}

/** A handshake that failed; sslmode=prefer goes on without TLS. */
class TlsRefused extends Error {
  readonly reason: string
  constructor(reason: string) {
    super(reason)
    this.reason = reason
  }
}

async function dial(address: Address, endpoint: Endpoint): Promise<net.Socket> {
  const socket = endpoint.socket ? net.connect(endpoint.socket) : net.connect(endpoint.port, endpoint.address)
  // Queries are written in one piece; waiting for more to send would only delay them.
  socket.setNoDelay(true)
  if (address.keepAliveMs > 0) socket.setKeepAlive(true, address.keepAliveMs)
  await settled(socket, 'connect', address.connectTimeoutMs)
  return socket
}

async function secured(socket: net.Socket, endpoint: Endpoint, wish: Tls, timeoutMs: number): Promise<net.Socket> {
  socket.write(sslRequest)
  const [answer] = (await settled(socket, 'data', timeoutMs)) as [Buffer]
  if (answer.toString('latin1') !== 'S') {
    if (wish.mode === 'prefer' && answer.toString('latin1') === 'N') return socket
    socket.destroy()
    // Bytes after the answer could be somebody's in between (CVE-2021-23222): never go on with them.
    throw new TlsRefused(
      answer.toString('latin1') === 'N' ? 'the server offers no TLS' : 'the server did not answer the wish for TLS'
    )
  }
  const name = endpoint.host
  const secure = tls.connect({
    socket,
    host: name,
    ...(wish.sni && net.isIP(name) === 0 && { servername: name }),
    rejectUnauthorized: wish.mode.startsWith('verify'),
    ...(wish.mode === 'verify-ca' && { checkServerIdentity: () => undefined }),
    ...(wish.ca && { ca: wish.ca }),
    ...(wish.cert && { cert: wish.cert, key: wish.key }),
    ...(wish.passphrase !== undefined && { passphrase: wish.passphrase }),
    ...(wish.minVersion && { minVersion: wish.minVersion as tls.SecureVersion }),
    ...(wish.maxVersion && { maxVersion: wish.maxVersion as tls.SecureVersion })
  })
  try {
    await settled(secure, 'secureConnect', timeoutMs)
  } catch (error) {
    throw new TlsRefused(codeOf(error) || 'handshake failed')
  }
  return secure
}

/** Waits for an event, an error, the end or the time limit; a socket that failed is destroyed. */
async function settled(socket: net.Socket, event: string, timeoutMs: number): Promise<unknown[]> {
  const end = new AbortController()
  const timer = setTimeout(() => socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })), timeoutMs)
  const closed = once(socket, 'close', { signal: end.signal }).then(() => {
    throw Object.assign(new Error('closed'), { code: 'ECONNRESET' })
  })
  closed.catch(() => {})
  try {
    return await Promise.race([once(socket, event, { signal: end.signal }), closed])
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    end.abort()
  }
}

const sentences: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOENT: 'there is no such socket',
  EACCES: 'the socket may not be opened',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be resolved now',
  ETIMEDOUT: 'there was no answer in time',
  ECONNRESET: 'the connection was closed at once',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to the network'
}

const certificateFaults: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed and not given as sslrootcert',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is not known (sslrootcert)',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is not known (sslrootcert)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an authority that is not known (sslrootcert)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host name'
}

function explained(error: unknown, endpoint: Endpoint): SyncError {
  const place = placeOf(endpoint)
  if (error instanceof TlsRefused) {
    const why = certificateFaults[error.reason] ?? error.reason
    return new SyncError('DatabaseUnreachable', `No TLS connection to PostgreSQL at ${place}: ${why}.`, {
      transient: error.reason === 'ECONNRESET' || error.reason === 'ETIMEDOUT'
    })
  }
  // An attempt on several addresses of one name fails with all their errors.
  const code = codeOf(error instanceof AggregateError ? (error.errors[0] ?? error) : error)
  const text = `PostgreSQL at ${place} is unreachable: ${sentences[code] ?? (code || 'unknown trouble')}.`
  return new SyncError('DatabaseUnreachable', text, { transient: true })
}

export const placeOf = (endpoint: Endpoint): string =>
  endpoint.socket ?? `${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`

/**
 * Stands in for a socket that could not be opened: the driver keeps a connection for ever whose socket never comes. It
 * fails a moment later, when the driver listens.
 */
export function deadSocket(error: Error): Duplex {
  const dead = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  setTimeout(() => dead.destroy(error), 1)
  return dead
}
