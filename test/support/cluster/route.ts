/** Which resource a path names, and which verb a request is. */
import type { Call, Target } from './types.ts'

const VERBS: Readonly<Record<string, readonly [one: string, all: string]>> = {
  GET: ['get', 'list'],
  POST: ['create', 'create'],
  PUT: ['update', 'update'],
  PATCH: ['patch', 'patch'],
  DELETE: ['delete', 'deletecollection']
}

/** Undefined for paths that name no resource: discovery, health, nonsense. */
export function targetOf({ method, path, query }: Pick<Call, 'method' | 'path' | 'query'>): Target | undefined {
  const parts = path.split('/').slice(1).map(decodeURIComponent)
  const root = parts.shift()
  if (root !== 'api' && root !== 'apis') return undefined
  const group = root === 'apis' ? (parts.shift() ?? '') : ''
  const version = parts.shift() ?? ''
  if (parts.length === 0 || parts[0] === '') return undefined
  const scoped = parts[0] === 'namespaces' && parts.length > 2 && !['status', 'finalize'].includes(parts[2]!)
  const namespace = scoped ? parts[1]! : ''
  const [plural = '', name = '', subresource = '', ...rest] = scoped ? parts.slice(2) : parts
  if (rest.length > 0 || !plural) return undefined
  const watching = method === 'GET' && ['1', 'true'].includes(query.get('watch') ?? '')
  const verb = watching ? 'watch' : (VERBS[method]?.[name ? 0 : 1] ?? method.toLowerCase())
  return { verb, group, version, plural, namespace, name, subresource }
}
