/** Which cluster is meant: kubeconfig files merged the way kubectl does it, or the pod's own service account. */
import { existsSync, readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { parse } from 'yaml'
import { SyncError } from '../errors.ts'
import { codeOf, type Fields, isFields } from './fields.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** One cluster and one user, chosen and with absolute paths; `cluster` and `user` as in a kubeconfig file. */
export interface Chosen {
  readonly context: string
  /** Where it was found, for messages. */
  readonly origin: string
  readonly cluster: Fields
  readonly user: Fields
}

interface Kubeconfig {
  readonly origin: string
  readonly current: string
  readonly contexts: ReadonlyMap<string, Fields>
  readonly clusters: ReadonlyMap<string, Fields>
  readonly users: ReadonlyMap<string, Fields>
}

export interface Where {
  readonly environment: Environment
  readonly context?: string | undefined
  /** Only tests have it anywhere else. */
  readonly accountDirectory?: string | undefined
}

/**
 * KUBECONFIG, then the pod's account, then ~/.kube/config. client-node prefers the home file, so that a home directory
 * mounted into a pod silently replaces the account that the job's rights were given to.
 */
export function chooseCluster(where: Where): Chosen {
  const { environment, context } = where
  const stated = (environment['KUBECONFIG'] ?? '').split(delimiter).filter(file => file !== '')
  if (stated.length > 0) return choose(merge(stated), context)
  const account = context === undefined ? serviceAccount(where) : undefined
  if (account) return account
  const home = environment['HOME'] || environment['USERPROFILE']
  const file = home && join(home, '.kube', 'config')
  if (file && existsSync(file)) return choose(merge([file]), context)
  throw noCluster(
    context === undefined ? 'No cluster is configured' : `There is no kubeconfig to find context ${context} in`
  )
}

const noCluster = (found: string): SyncError =>
  new SyncError(
    'ClusterUnreachable',
    `${found}: set KUBECONFIG (or create ~/.kube/config), run in a pod with a mounted service account token, ` +
      'or read manifests from a directory with --from DIR.'
  )

function serviceAccount({ environment, accountDirectory }: Where): Chosen | undefined {
  const directory = accountDirectory ?? '/var/run/secrets/kubernetes.io/serviceaccount'
  const host = environment['KUBERNETES_SERVICE_HOST']?.trim()
  const tokenFile = join(directory, 'token')
  if (!host || !existsSync(tokenFile)) return undefined
  const port = environment['KUBERNETES_SERVICE_PORT']?.trim() || '443'
  return {
    context: 'in-cluster',
    origin: directory,
    cluster: {
      server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
      'certificate-authority': join(directory, 'ca.crt')
    },
    user: { tokenFile }
  }
}

/** As kubectl: missing files are skipped, the first file that names something wins. */
function merge(files: readonly string[]): Kubeconfig {
  const found = files.filter(file => existsSync(file)).map(read)
  if (found.length === 0) throw noCluster(`None of the files in KUBECONFIG exists (${files.join(', ')})`)
  const first = (part: 'contexts' | 'clusters' | 'users'): ReadonlyMap<string, Fields> =>
    new Map(found.toReversed().flatMap(one => [...one[part]]))
  return {
    origin: found.map(one => one.origin).join(delimiter),
    current: found.find(one => one.current !== '')?.current ?? '',
    contexts: first('contexts'),
    clusters: first('clusters'),
    users: first('users')
  }
}

function read(file: string): Kubeconfig {
  const document = load(file)
  const root = dirname(file)
  const named = (list: string, member: string, absolute: (fields: Fields) => Fields): Map<string, Fields> => {
    const entries = Array.isArray(document[list]) ? document[list].filter(isFields) : []
    return new Map(
      entries.map(entry => [String(entry['name']), absolute(isFields(entry[member]) ? entry[member] : {})] as const)
    )
  }
  return {
    origin: file,
    current: typeof document['current-context'] === 'string' ? document['current-context'] : '',
    contexts: named('contexts', 'context', fields => fields),
    clusters: named('clusters', 'cluster', fields => withPaths(root, fields, ['certificate-authority'])),
    users: named('users', 'user', fields => absoluteUser(root, fields))
  }
}

/** Parser messages quote lines, and the lines of a kubeconfig hold keys and tokens: only the place is told. */
function load(file: string): Fields {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new SyncError(
      'ClusterUnreachable',
      `The kubeconfig ${file} cannot be read (${codeOf(error) || 'unknown error'}).`
    )
  }
  try {
    const document: unknown = parse(text, { logLevel: 'error' })
    return isFields(document) ? document : {}
  } catch (error) {
    const [at] = (error as { linePos?: readonly { line: number }[] }).linePos ?? []
    throw new SyncError(
      'ClusterUnreachable',
      `The kubeconfig ${file} is no valid YAML${at ? ` (line ${at.line})` : ''}.`
    )
  }
}

function withPaths(root: string, fields: Fields, names: readonly string[]): Fields {
  const absolute = { ...fields }
  for (const name of names) {
    const path = absolute[name]
    if (typeof path === 'string' && path !== '' && !isAbsolute(path)) absolute[name] = join(root, path)
  }
  return absolute
}

/** client-node leaves `tokenFile` and commands with a relative path as they are; kubectl counts from the file. */
function absoluteUser(root: string, user: Fields): Fields {
  const absolute = withPaths(root, user, ['client-certificate', 'client-key', 'tokenFile'])
  const { exec } = user
  if (!isFields(exec) || !/[/\\]/.test(String(exec['command']))) return absolute
  return { ...absolute, exec: withPaths(root, exec, ['command']) }
}

function choose(config: Kubeconfig, wanted: string | undefined): Chosen {
  const context = wanted ?? config.current
  if (context === '') {
    if (config.contexts.size === 0) throw noCluster(`The kubeconfig ${config.origin} holds no context`)
    throw new SyncError(
      'ClusterUnreachable',
      `The kubeconfig ${config.origin} has no current context; ${known(config)}`
    )
  }
  const found = config.contexts.get(context)
  if (!found) {
    throw new SyncError(
      'ClusterUnreachable',
      `The kubeconfig ${config.origin} has no context ${context}; ${known(config)}`
    )
  }
  const cluster = config.clusters.get(String(found['cluster']))
  if (typeof cluster?.['server'] !== 'string' || cluster['server'] === '') {
    throw new SyncError(
      'ClusterUnreachable',
      `Context ${context} of ${config.origin} leads to no cluster with a server.`
    )
  }
  const name = found['user']
  const user = typeof name === 'string' && name !== '' ? config.users.get(name) : {}
  if (!user) throw new SyncError('ClusterUnreachable', `Context ${context} of ${config.origin} names an unknown user.`)
  return { context, origin: config.origin, cluster, user }
}

const known = (config: Kubeconfig): string =>
  `choose one with --context: ${[...config.contexts.keys()].join(', ') || 'there is none'}.`
