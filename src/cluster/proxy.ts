/** Ways through a proxy: which one holds for a server (as Go's clients decide it), and CONNECT. */
import http from 'node:http'
import https from 'node:https'
import { BlockList, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { SyncError } from '../errors.ts'
import type { Environment } from './kubeconfig.ts'

/** The kubeconfig's `proxy-url` beats the environment and knows no exceptions. */
export function proxyFor(server: URL, stated: unknown, environment: Environment): URL | undefined {
  if (typeof stated === 'string' && stated !== '') return proxyUrl(stated, 'proxy-url of the kubeconfig')
  const names = server.protocol === 'https:' ? ['HTTPS_PROXY', 'https_proxy'] : ['HTTP_PROXY', 'http_proxy']
  const name = names.find(one => environment[one])
  const value = name && environment[name]
  if (!value || isExcepted(server, environment['NO_PROXY'] || environment['no_proxy'] || '')) return undefined
  return proxyUrl(value, name)
}

/** The address itself may hold a password: it is never quoted. */
function proxyUrl(text: string, origin: string): URL {
  const value = text.includes('://') ? text : `http://${text}`
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url
  throw new SyncError(
    'ConfigInvalid',
    `${origin} must be an http:// or https:// address (SOCKS proxies are not supported).`
  )
}

/** Names match themselves and what is below them, `.name` only what is below; addresses, CIDR blocks, ports, `*`. */
function isExcepted(server: URL, list: string): boolean {
  const host = server.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const port = server.port || (server.protocol === 'https:' ? '443' : '80')
  if (host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))) return true
  const entries = list
    .toLowerCase()
    .split(',')
    .map(one => one.trim())
  return entries.filter(one => one !== '').some(one => one === '*' || matches(one, host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry.includes('/')) return isInside(entry, host)
  const withPort = /^(.*[^:]):(\d+)$/.exec(entry)
  const name = isIP(entry) ? entry : (withPort?.[1] ?? entry).replace(/^\[|\]$/g, '')
  if (!isIP(entry) && withPort && withPort[2] !== port) return false
  if (isIP(host)) return name === host
  const domain = name.replace(/^\*/, '')
  return domain.startsWith('.') ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`)
}

function isInside(block: string, host: string): boolean {
  const [network = '', bits = ''] = block.split('/')
  const [family, own] = [isIP(network), isIP(host)]
  if (family === 0 || family !== own || !/^\d+$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false
  const list = new BlockList()
  const type = family === 4 ? 'ipv4' : 'ipv6'
  list.addSubnet(network, Number(bits), type)
  return list.check(host, type)
}

/** Refused by the proxy, not by the cluster: people look in the wrong place otherwise. */
export class ProxyRefused extends Error {
  readonly code = 'PROXY_REFUSED'
  readonly status: number

  constructor(status: number) {
    super(`the proxy answered ${status} to CONNECT`)
    this.status = status
  }
}

export interface Tunnel {
  readonly host: string
  readonly port: number
  readonly timeoutMs: number
}

/** A socket to host:port through the proxy. */
export function connectThrough(proxy: URL, { host, port, timeoutMs }: Tunnel): Promise<Duplex> {
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  const user = decodeURIComponent(proxy.username)
  const pair = Buffer.from(`${user}:${decodeURIComponent(proxy.password)}`).toString('base64')
  const request = (proxy.protocol === 'https:' ? https : http).request({
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
    method: 'CONNECT',
    path: authority,
    headers: { host: authority, ...(user !== '' && { 'proxy-authorization': `Basic ${pair}` }) },
    agent: false,
    timeout: timeoutMs
  })
  return new Promise((resolve, reject) => {
    request.on('connect', (response: http.IncomingMessage, socket: Socket, head: Buffer) => {
      const status = response.statusCode ?? 0
      socket.setTimeout(0)
      if (status < 200 || status > 299) {
        socket.destroy()
        reject(new ProxyRefused(status))
        return
      }
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    // A proxy that knows no CONNECT answers like a web server.
    request.on('response', response => {
      response.destroy()
      reject(new ProxyRefused(response.statusCode ?? 0))
    })
    request.on('timeout', () => request.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })))
    request.on('error', reject)
    request.end()
  })
}
