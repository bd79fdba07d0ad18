/** Credentials for the chosen cluster; with transport.ts the only place that knows @kubernetes/client-node. */
import { SyncError } from '../errors.ts'
import { type Fields, isFields } from './fields.ts'
import { KubeConfig } from './kube-client.ts'
import { type Chosen, chooseCluster, type Where } from './kubeconfig.ts'
import { proxyFor } from './proxy.ts'

export interface Tls {
  readonly ca?: string | Buffer | undefined
  readonly cert?: string | Buffer | undefined
  readonly key?: string | Buffer | undefined
  readonly rejectUnauthorized?: boolean | undefined
  readonly servername?: string | undefined
}

export interface Credentials {
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly tls: Tls
}

export interface Connection {
  readonly server: URL
  readonly proxy: URL | undefined
  readonly context: string
  /** Never asks twice at once. With `stale`: those were refused, so everything is read again from its origin. */
  readonly credentials: (stale?: Credentials) => Promise<Credentials>
}

/** client-node keeps a token file for 60 s itself; reading CA files and spawning commands per request is what this avoids. */
const keepMs = 20_000
/** Commands may be slow and need not say how long their answer holds; a 401 renews it anyway. */
const keepCommandMs = 600_000

export function connect(where: Where): Connection {
  const chosen = chooseCluster(where)
  const server = serverOf(chosen)
  const keep = isFields(chosen.user['exec']) ? keepCommandMs : keepMs
  let config: KubeConfig | undefined
  let current: { readonly credentials: Promise<Credentials>; readonly until: number } | undefined

  const renew = (): Promise<Credentials> => {
    config ??= kubeConfig(chosen)
    const credentials = authenticate(config, chosen)
    current = { credentials, until: Date.now() + keep }
    credentials.catch(() => {
      current = undefined
    })
    return credentials
  }
  const credentials = async (stale?: Credentials): Promise<Credentials> => {
    const held = current
    // Many requests are refused at once: only the first finds its credentials still in use.
    if (stale && held && (await held.credentials) === stale && held === current) {
      config = undefined
      return renew()
    }
    return current && Date.now() < current.until ? current.credentials : renew()
  }
  return {
    server,
    context: chosen.context,
    credentials,
    proxy: proxyFor(server, chosen.cluster['proxy-url'], where.environment)
  }
}

function serverOf({ cluster, context, origin }: Chosen): URL {
  const server = String(cluster['server'])
  const url = URL.canParse(server) ? new URL(server) : undefined
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw new SyncError('ClusterUnreachable', `The server of context ${context} in ${origin} is no http(s) address.`)
}

function kubeConfig(chosen: Chosen): KubeConfig {
  const config = new KubeConfig()
  const name = chosen.context
  config.loadFromString(
    JSON.stringify({
      clusters: [{ name, cluster: chosen.cluster }],
      users: [{ name, user: forClientNode(chosen) }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      'current-context': name
    })
  )
  return config
}

/** What kubectl understands and client-node 1.4 does not: `tokenFile`, and telling a command what it is asked for. */
function forClientNode({ user, cluster }: Chosen): Fields {
  const { tokenFile, token, exec, ...rest } = user
  if (typeof tokenFile === 'string' && tokenFile !== '') {
    return { ...rest, 'auth-provider': { name: 'tokenFile', config: { tokenFile } } }
  }
  if (!isFields(exec)) return { ...rest, token }
  const about = exec['provideClusterInfo'] === true ? { cluster: clusterInfo(cluster) } : {}
  const asked = { apiVersion: exec['apiVersion'], kind: 'ExecCredential', spec: { interactive: false, ...about } }
  const env = Array.isArray(exec['env']) ? exec['env'] : []
  return {
    ...rest,
    token,
    exec: { ...exec, env: [...env, { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(asked) }] }
  }
}

const clusterInfo = (cluster: Fields): Fields => ({
  server: cluster['server'],
  'certificate-authority-data': cluster['certificate-authority-data'],
  'tls-server-name': cluster['tls-server-name'],
  'insecure-skip-tls-verify': cluster['insecure-skip-tls-verify'],
  'proxy-url': cluster['proxy-url']
})

interface Applied extends Tls {
  headers?: Record<string, unknown>
}

async function authenticate(config: KubeConfig, chosen: Chosen): Promise<Credentials> {
  const applied: Applied = {}
  try {
    // Private in the types; its public brother also builds an agent per call and refuses plain http.
    await config['applyOptions'](applied)
  } catch (error) {
    throw credentialsFailed(error, chosen)
  }
  const { ca, cert, key, rejectUnauthorized, servername } = applied
  return {
    headers: headersOf(applied.headers ?? {}, chosen.user),
    tls: { ca, cert, key, rejectUnauthorized, servername }
  }
}

/** What a command printed, or a parser quoted, may hold the secret itself: neither message nor cause is passed on. */
function credentialsFailed(error: unknown, { context, origin, user }: Chosen): SyncError {
  const { code, path } = error as { code?: unknown; path?: unknown }
  const what = isFields(user['exec'])
    ? `the command ${String(user['exec']['command'])} failed; run it by hand to see why`
    : `${typeof path === 'string' ? path : 'they'} cannot be read`
  return new SyncError(
    'ClusterNotAllowed',
    `The credentials of context ${context} (${origin}) cannot be had: ${what}${typeof code === 'string' ? ` (${code})` : ''}.`
  )
}

/** Token files end in a newline more often than not, and a header may hold none. */
function headersOf(
  applied: Readonly<Record<string, unknown>>,
  user: Fields
): Record<string, string | readonly string[]> {
  const headers: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(applied)) headers[name.toLowerCase()] = String(value).trim()
  if (typeof user['username'] === 'string' && user['username'] !== '' && !headers['authorization']) {
    const pair = Buffer.from(`${user['username']}:${typeof user['password'] === 'string' ? user['password'] : ''}`)
    headers['authorization'] = `Basic ${pair.toString('base64')}`
  }
  if (typeof user['as-uid'] === 'string') headers['impersonate-uid'] = user['as-uid']
  if (Array.isArray(user['as-groups'])) headers['impersonate-group'] = user['as-groups'].map(String)
  const extra = isFields(user['as-user-extra']) ? user['as-user-extra'] : {}
  for (const [name, values] of Object.entries(extra)) {
    if (Array.isArray(values))
      headers[`impersonate-extra-${encodeURIComponent(name).toLowerCase()}`] = values.map(String)
  }
  return headers
}
