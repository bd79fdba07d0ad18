/** What the server says it serves, so that kubectl and clients find their way. */
import type { Catalogue } from './catalogue.ts'
import { notAcceptable } from './refusal.ts'
import type { Answer, Fields, Kind } from './types.ts'
import { apiVersionOf } from './types.ts'
import { answer } from './verbs.ts'
import { clausesOf } from './views.ts'

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const STATUS_VERBS = ['get', 'patch', 'update']

const VERSION: Fields = {
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.0',
  gitCommit: '70d3cc986aa8221cd1dfb1121852688902d3bf53',
  gitTreeState: 'clean',
  buildDate: '2024-12-11T17:59:15Z',
  goVersion: 'go1.23.3',
  compiler: 'gc',
  platform: 'linux/amd64'
}

/** The answer to a path that names no resource; undefined when it is none of ours. */
export function discover(path: string, accept: string, catalogue: Catalogue): Answer | undefined {
  const kinds = catalogue.all()
  const parts = path.split('/').filter(Boolean)
  if (path === '/version') return answer(VERSION)
  if (['/healthz', '/livez', '/readyz'].includes(path))
    return { status: 200, type: 'text/plain; charset=utf-8', body: 'ok' }
  if (path === '/') return answer({ paths: ['/api', '/apis', '/healthz', '/openapi/v3', '/version'] })
  if (parts[0] === 'openapi') return openapi(parts.slice(1), kinds)
  if (path === '/api') return roots(accept, kinds, true)
  if (path === '/apis') return roots(accept, kinds, false)
  if (parts[0] === 'api' && parts.length === 2) return resources(kinds, '', parts[1]!)
  if (parts[0] !== 'apis') return undefined
  if (parts.length === 2) return oneGroup(kinds, parts[1]!)
  return parts.length === 3 ? resources(kinds, parts[1]!, parts[2]!) : undefined
}

/** Group and version pairs in the order of their names. */
function groupsOf(kinds: readonly Kind[]): Map<string, string[]> {
  const groups = new Map<string, Set<string>>()
  for (const { group, version } of kinds) groups.set(group, (groups.get(group) ?? new Set()).add(version))
  return new Map(
    [...groups].sort(([left], [right]) => (left < right ? -1 : 1)).map(([group, versions]) => [group, [...versions]])
  )
}

const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

function roots(accept: string, kinds: readonly Kind[], core: boolean): Answer {
  const groups = [...groupsOf(kinds)].filter(([group]) => (group === '') === core)
  for (const { type, parameters } of clausesOf(accept)) {
    if (type === 'application/json' && parameters['as'] === 'APIGroupDiscoveryList' && parameters['v'] === 'v2') {
      const items = groups.map(([group, versions]) => aggregated(group, versions, kinds))
      return {
        ...answer({ kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2', metadata: {}, items }),
        type: AGGREGATED
      }
    }
    if (!parameters['as'] && ['', '*/*', 'application/*', 'application/json'].includes(type)) {
      return core
        ? answer({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] })
        : answer({
            kind: 'APIGroupList',
            apiVersion: 'v1',
            groups: groups.map(([group, versions]) => groupOf(group, versions))
          })
    }
  }
  throw notAcceptable(`only the following media types are accepted: application/json, ${AGGREGATED}`)
}

function groupOf(name: string, versions: readonly string[]): Fields {
  const served = versions.map(version => ({ groupVersion: `${name}/${version}`, version }))
  return { name, versions: served, preferredVersion: served[0] }
}

function oneGroup(kinds: readonly Kind[], group: string): Answer | undefined {
  const versions = groupsOf(kinds).get(group)
  return versions && answer({ kind: 'APIGroup', apiVersion: 'v1', ...groupOf(group, versions) })
}

function resources(kinds: readonly Kind[], group: string, version: string): Answer | undefined {
  const served = kinds.filter(kind => kind.group === group && kind.version === version)
  if (served.length === 0) return undefined
  const entries = served.flatMap(({ plural, singular, kind, namespaced, shortNames, categories, status }) => [
    { name: plural, singularName: singular, namespaced, kind, verbs: VERBS, shortNames, categories },
    ...(status ? [{ name: `${plural}/status`, singularName: '', namespaced, kind, verbs: STATUS_VERBS }] : [])
  ])
  return answer({
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources: entries
  })
}

function aggregated(group: string, versions: readonly string[], kinds: readonly Kind[]): Fields {
  const served = (version: string): Fields[] =>
    kinds.filter(kind => kind.group === group && kind.version === version).map(aggregatedResource)
  return {
    metadata: { name: group, creationTimestamp: null },
    versions: versions.map(version => ({ version, resources: served(version), freshness: 'Current' }))
  }
}

function aggregatedResource({ group, version, kind, plural, singular, ...rest }: Kind): Fields {
  const responseKind = { group, version, kind }
  return {
    resource: plural,
    responseKind,
    scope: rest.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs: VERBS,
    shortNames: rest.shortNames,
    categories: rest.categories,
    subresources: rest.status ? [{ subresource: 'status', responseKind, verbs: STATUS_VERBS }] : []
  }
}

/** Enough for kubectl to see that the server checks fields itself, and for `kubectl explain`. */
function openapi([version, ...rest]: readonly string[], kinds: readonly Kind[]): Answer | undefined {
  if (version !== 'v3') return undefined
  const prefix = ({ group }: Kind): string => (group ? `apis/${group}` : 'api')
  if (rest.length === 0) {
    const paths = kinds.map(kind => `${prefix(kind)}/${kind.version}`)
    return answer({
      paths: Object.fromEntries(paths.map(path => [path, { serverRelativeURL: `/openapi/v3/${path}` }]))
    })
  }
  const served = kinds.filter(kind => `${prefix(kind)}/${kind.version}` === rest.join('/'))
  if (served.length === 0) return undefined
  return answer({
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: VERSION['gitVersion'] },
    paths: Object.fromEntries(served.map(kind => [pathOf(kind, prefix(kind)), operationsOf(kind)])),
    components: {
      schemas: Object.fromEntries(served.map(kind => [`${kind.group || 'core'}.${kind.kind}`, schemaOf(kind)]))
    }
  })
}

const pathOf = ({ version, plural, namespaced }: Kind, prefix: string): string =>
  `/${prefix}/${version}/${namespaced ? 'namespaces/{namespace}/' : ''}${plural}/{name}`

const gvkOf = ({ group, version, kind }: Kind): Fields => ({ group, version, kind })

const query = (name: string): Fields => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } })

const operationsOf = (kind: Kind): Fields => ({
  patch: {
    'x-kubernetes-action': 'patch',
    'x-kubernetes-group-version-kind': gvkOf(kind),
    parameters: [query('dryRun'), query('fieldManager'), query('fieldValidation')],
    responses: { 200: { description: 'OK' } }
  }
})

function schemaOf(kind: Kind): Fields {
  const { properties, ...schema } = kind.schema ?? { type: 'object' }
  const metadata = { type: 'object', description: "Standard object's metadata." }
  const text = { type: 'string' }
  return {
    ...schema,
    properties: { apiVersion: text, kind: text, ...properties, metadata },
    'x-kubernetes-group-version-kind': [gvkOf(kind)]
  }
}
