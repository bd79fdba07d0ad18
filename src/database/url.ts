/** Database addresses: every form that libpq and Windmill's own servers accept, read into one plain object. */
import { existsSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { fault, parseParts } from './url-parts.ts'

export interface Endpoint {
  /** The name that a certificate must carry, and that is shown. */
  readonly host: string
  /** Where to connect to: `hostaddr` where given, else the host. */
  readonly address: string
  readonly port: number
  /** Path of a unix socket; then there is no TLS. */
  readonly socket?: string
}

export interface Tls {
  /** `prefer` goes on in plain text when the server has no TLS or its handshake fails. */
  readonly mode: 'prefer' | 'require' | 'verify-ca' | 'verify-full'
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  readonly passphrase?: string
  readonly minVersion?: string
  readonly maxVersion?: string
  readonly sni: boolean
}

export interface Address {
  /** Tried in order. */
  readonly endpoints: readonly Endpoint[]
  readonly user: string
  readonly password: string | undefined
  readonly database: string
  /** Undefined: plain text. */
  readonly tls: Tls | undefined
  /** `options=-c name=value`: applied to each transaction, never sent at start-up (PgBouncer would refuse that). */
  readonly settings: readonly (readonly [name: string, value: string])[]
  readonly applicationName: string | undefined
  readonly connectTimeoutMs: number
  /** 0: off. */
  readonly keepAliveMs: number
  /** `target_session_attrs`; undefined: whatever the command needs. */
  readonly session: 'any' | 'read-write' | undefined
  /** For people: `host:5432/windmill`, never with a password. */
  readonly shown: string
}

/** `unsupported`: refused, because ignoring it would weaken what the user asked for. `ignored`: harmless without it. */
const parameters = {
  used: 'host hostaddr port dbname user password connect_timeout application_name fallback_application_name options sslmode sslrootcert sslcert sslkey sslpassword ssl_min_protocol_version ssl_max_protocol_version sslsni target_session_attrs client_encoding keepalives keepalives_idle gssencmode channel_binding',
  ignored:
    'keepalives_interval keepalives_count tcp_user_timeout krbsrvname sslcompression load_balance_hosts statement-cache-capacity',
  unsupported:
    'service passfile sslcrl sslcrldir sslnegotiation sslcertmode requirepeer require_auth replication gsslib gssdelegation'
}
/** Spellings of sqlx, which Windmill's servers use: one DATABASE_URL must do for both. */
const aliases: Readonly<Record<string, string>> = {
  'ssl-mode': 'sslmode',
  'ssl-root-cert': 'sslrootcert',
  'ssl-ca': 'sslrootcert',
  'ssl-cert': 'sslcert',
  'ssl-key': 'sslkey'
}
const modes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full']

/** Reads a URL (`postgres://`, `postgresql://`) or a keyword/value text (`host=… dbname=…`). Throws ConfigInvalid. */
export function parseAddress(text: string): Address {
  const parts = normalise(parseParts(text.trim()))
  const user = parts.get('user') || userInfo().username
  const database = parts.get('dbname') || user
  const endpoints = endpointsOf(parts)
  return {
    endpoints,
    user,
    password: parts.get('password') || undefined,
    database,
    tls: endpoints.every(endpoint => endpoint.socket) ? undefined : tlsOf(parts),
    settings: settingsOf(parts.get('options') ?? ''),
    applicationName: parts.get('application_name') || parts.get('fallback_application_name') || undefined,
    connectTimeoutMs: (number(parts, 'connect_timeout', 0) || 10) * 1000,
    keepAliveMs: parts.get('keepalives') === '0' ? 0 : (number(parts, 'keepalives_idle', 0) || 15) * 1000,
    session: sessionOf(parts.get('target_session_attrs')),
    shown: `${endpoints.map(endpoint => endpoint.socket ?? `${bracketed(endpoint.host)}:${endpoint.port}`).join(',')}/${database}`
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

function normalise(given: ReadonlyMap<string, string>): Map<string, string> {
  const parts = new Map<string, string>()
  const has = (list: string, name: string): boolean => list.split(' ').includes(name)
  for (const [spelled, value] of given) {
    const name = aliases[spelled] ?? spelled
    const bracket = /^options\[([A-Za-z0-9_.]+)\]$/.exec(name)
    if (value.includes('\0')) throw fault(`${name} holds a NUL character`)
    if (bracket)
      parts.set('options', `${parts.get('options') ?? ''} -c ${bracket[1]}=${value.replace(/([\\ ])/g, '\\$1')}`)
    else if (has(parameters.used, name)) parts.set(name, value)
    else if (has(parameters.unsupported, name)) throw fault(`the parameter ${name} is not supported here`)
    else if (!has(parameters.ignored, name)) throw fault(`the parameter ${printable(name)} is unknown`)
  }
  for (const name of ['gssencmode', 'channel_binding']) {
    if (parts.get(name) === 'require') throw fault(`${name}=require is not supported here`)
  }
  const encoding = parts.get('client_encoding')
  if (encoding && !/^(auto|utf-?8|unicode)$/i.test(encoding)) throw fault('client_encoding must be UTF8')
  return parts
}

/** A part of a mistyped password may stand where a name was expected. */
const printable = (name: string): string => (/^[a-z][a-z_.-]{0,40}$/i.test(name) ? name : '(unprintable)')

function number(parts: ReadonlyMap<string, string>, name: string, least: number): number {
  const text = parts.get(name)
  if (text === undefined || text === '') return 0
  if (!/^-?\d{1,9}$/.test(text)) throw fault(`${name} is not a whole number`)
  return Math.max(least, Number(text))
}

function endpointsOf(parts: ReadonlyMap<string, string>): readonly Endpoint[] {
  const list = (name: string): string[] => (parts.get(name) ? (parts.get(name) as string).split(',') : [])
  const hosts = list('host')
  const addresses = list('hostaddr')
  const ports = list('port')
  const count = Math.max(hosts.length, addresses.length, 1)
  if (addresses.length > 0 && hosts.length > 0 && hosts.length !== addresses.length) {
    throw fault(`there are ${hosts.length} hosts and ${addresses.length} addresses (hostaddr)`)
  }
  if (ports.length > 1 && ports.length !== count) throw fault(`there are ${count} hosts and ${ports.length} ports`)
  return Array.from({ length: count }, (_, index) => {
    const port = portOf(ports.length > 1 ? ports[index] : ports[0])
    const host = hosts[index] || addresses[index] || defaultHost(port)
    return endpoint(host, addresses[index] || host, port)
  })
}

function endpoint(host: string, address: string, port: number): Endpoint {
  if (/[\s@?#]/.test(host))
    throw fault('a host name holds a character that no host has (is @ or : in the password percent-encoded?)')
  return address.startsWith('/')
    ? { host: 'localhost', address, port, socket: `${address.replace(/\/+$/, '')}/.s.PGSQL.${port}` }
    : { host, address, port }
}

/** The text is not shown: with an unencoded `/` in a password, what stands here is a piece of it. */
function portOf(text: string | undefined): number {
  if (text === undefined || text === '') return 5432
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65535) {
    throw fault('the port is not a number from 1 to 65535 (are / ? # @ : in the password percent-encoded?)')
  }
  return port
}

/** As libpq: the local socket where there is one, else TCP. */
function defaultHost(port: number): string {
  const directories = process.platform === 'win32' ? [] : ['/var/run/postgresql', '/tmp']
  return directories.find(directory => existsSync(`${directory}/.s.PGSQL.${port}`)) ?? 'localhost'
}

/**
 * As libpq, with two differences, both to the safe side: `allow` tries TLS first like `prefer`, and a given
 * sslrootcert is always checked against (libpq would go on in plain text without it).
 */
function tlsOf(parts: ReadonlyMap<string, string>): Tls | undefined {
  const wish = parts.get('sslmode') || 'prefer'
  const root = parts.get('sslrootcert') ?? ''
  if (!modes.includes(wish)) throw fault(`sslmode must be one of ${modes.join(', ')}`)
  if (wish === 'disable') return undefined
  if (root === 'system' && parts.get('sslmode') !== undefined && wish !== 'verify-full') {
    throw fault('sslrootcert=system needs sslmode=verify-full')
  }
  const weak = wish === 'allow' || wish === 'prefer' || wish === 'require'
  const mode = !weak
    ? wish
    : root === 'system'
      ? 'verify-full'
      : root
        ? 'verify-ca'
        : wish === 'require'
          ? wish
          : 'prefer'
  const ca = root === 'system' ? undefined : file(parts, 'sslrootcert')
  const cert = file(parts, 'sslcert')
  const key = file(parts, 'sslkey')
  if (!cert !== !key) throw fault('sslcert and sslkey must be given together')
  return {
    mode: mode as Tls['mode'],
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(parts.get('sslpassword') && { passphrase: parts.get('sslpassword') as string }),
    ...version(parts, 'minVersion', 'ssl_min_protocol_version'),
    ...version(parts, 'maxVersion', 'ssl_max_protocol_version'),
    sni: parts.get('sslsni') !== '0'
  }
}

function version(parts: ReadonlyMap<string, string>, option: string, name: string): Record<string, string> {
  const text = parts.get(name)
  if (!text) return {}
  if (!/^TLSv1(\.[123])?$/.test(text)) throw fault(`${name} must be TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3`)
  return { [option]: text }
}

function file(parts: ReadonlyMap<string, string>, name: string): Buffer | undefined {
  const path = parts.get(name)
  if (!path) return undefined
  try {
    return readFileSync(path)
  } catch (error) {
    throw fault(`the file of ${name}, ${path}, cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`)
  }
}

/** `-c name=value`, `-cname=value` and `--name=value`, with backslash before a space that belongs to the value. */
function settingsOf(options: string): readonly (readonly [string, string])[] {
  const words = (options.match(/(?:\\.|[^\\\s])+/gs) ?? []).map(word => word.replace(/\\(.)/gs, '$1'))
  const settings: [string, string][] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string
    const text =
      word === '-c'
        ? words[++i]
        : word.startsWith('--')
          ? word.slice(2)
          : word.startsWith('-c')
            ? word.slice(2)
            : undefined
    const [, name, value] = /^([A-Za-z_][\w.-]*)=(.*)$/s.exec(text ?? '') ?? []
    if (name === undefined || value === undefined) throw fault('options may hold only -c name=value')
    settings.push([name.replaceAll('-', '_'), value])
  }
  return settings
}

function sessionOf(text: string | undefined): Address['session'] {
  if (text === undefined || text === '') return undefined
  if (text === 'any' || text === 'prefer-standby' || text === 'read-only' || text === 'standby') return 'any'
  if (text === 'read-write' || text === 'primary') return 'read-write'
  throw fault('target_session_attrs must be one of any, read-write, read-only, primary, standby, prefer-standby')
}
