/** The grammar of database addresses: a URL or keyword/value text to named parts, nothing interpreted yet. */
import { SyncError } from '../errors.ts'

/** Says what is wrong and never quotes: any piece of a mistyped address may be the password. */
export const fault = (what: string): SyncError =>
  new SyncError('ConfigInvalid', `The database address is unusable: ${what}.`)

export function parseParts(text: string): ReadonlyMap<string, string> {
  if (text === '') throw fault('it is empty')
  const scheme = /^([A-Za-z][\w+.-]*):\/\//.exec(text)?.[1]
  if (scheme !== undefined) {
    if (!/^postgres(ql)?$/i.test(scheme)) throw fault('it must begin with postgres:// or postgresql://')
    return parseUrl(text.slice(scheme.length + 3))
  }
  if (!text.includes('=')) throw fault('it is neither a URL (postgres://…) nor keyword/value text (host=… dbname=…)')
  return parseWords(text)
}

/** Percent-decoding that refuses what it cannot decode; `+` is a plus, as in libpq. */
function decoded(text: string, part: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw fault(`the ${part} has a wrong percent-encoding (a literal % is written %25)`)
  }
}

/**
 * `[user[:password]@][host[:port][,…]][/database][?name=value&…]`. The last `@` counts, so that one forgotten in a
 * password does no harm; new URL() is of no use here, because it knows neither several hosts nor socket directories.
 */
function parseUrl(rest: string): ReadonlyMap<string, string> {
  const parts = new Map<string, string>()
  const [before, query] = split(rest, rest.indexOf('?'))
  const [authority, path] = split(before, before.indexOf('/'))
  const [credentials, hosts] = authority.includes('@') ? split(authority, authority.lastIndexOf('@')) : ['', authority]
  if (path.includes('@')) throw fault('an @ comes after the first / (a / in the password is written %2F)')
  const colon = credentials.indexOf(':')
  set(parts, 'user', decoded(colon < 0 ? credentials : credentials.slice(0, colon), 'user'))
  if (colon >= 0) set(parts, 'password', decoded(credentials.slice(colon + 1), 'password'))
  setHosts(parts, hosts)
  set(parts, 'dbname', decoded(path, 'database name'))
  for (const pair of query.split('&').filter(Boolean)) {
    const at = pair.indexOf('=')
    if (at < 1) throw fault('a parameter after ? has no name or no value')
    const name = decoded(pair.slice(0, at), 'name of a parameter')
    set(parts, name, decoded(pair.slice(at + 1), 'value of a parameter'))
  }
  return parts
}

/** An empty value leaves the default, as in libpq; one in the query beats one before it. */
function set(parts: Map<string, string>, name: string, value: string): void {
  if (value !== '') parts.set(name, value)
}

function split(text: string, at: number): [string, string] {
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function setHosts(parts: Map<string, string>, text: string): void {
  if (text === '') return
  const hosts: string[] = []
  const ports: string[] = []
  for (const one of text.split(',')) {
    const found = /^(\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/s.exec(one)
    if (!found) throw fault('a host is not of the form name, name:port or [IPv6]:port')
    hosts.push(decoded((found[1] ?? '').replace(/^\[|\]$/g, ''), 'host'))
    ports.push(found[2] ?? '')
  }
  set(parts, 'host', hosts.join(','))
  if (ports.some(Boolean)) parts.set('port', ports.join(','))
}

/** `name = value` words; quotes hold spaces, a backslash escapes. */
function parseWords(text: string): ReadonlyMap<string, string> {
  const parts = new Map<string, string>()
  const word = /\s*([A-Za-z_][\w-]*)\s*=\s*(?:'((?:\\.|[^\\'])*)'|((?:\\.|[^\\\s'])*))(?=\s|$)/gsy
  while (word.lastIndex < text.trimEnd().length) {
    const found = word.exec(text)
    if (!found)
      throw fault('the keyword/value text is malformed (a value with a space, quote or backslash needs quotes)')
    set(parts, found[1] as string, (found[2] ?? found[3] ?? '').replace(/\\(.)/gs, '$1'))
  }
  return parts
}
