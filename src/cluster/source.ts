/** A Kubernetes cluster as the source of CRs. */
import type { Log } from '../log.ts'
import type { Source } from '../model.ts'
import { openClient, type RetryRules, usualRetry } from './client.ts'
import { connect } from './config.ts'
import { Refused } from './failure.ts'
import { codeOf } from './fields.ts'
import type { Environment } from './kubeconfig.ts'
import { type ListKind, type ListScope, listKind } from './list.ts'
import { clusterUid, patchStatus, postEvent, readMaterial, readNamespaces, readVersion } from './objects.ts'
import { readKind } from './read.ts'
import { openTransport } from './transport.ts'

export interface ClusterOptions {
  readonly log: Log
  /** KUBECONFIG, HOME, KUBERNETES_SERVICE_HOST and _PORT, HTTPS_PROXY, HTTP_PROXY, NO_PROXY. */
  readonly environment: Environment
  readonly context?: string | undefined
  /** Stands in for the uid of kube-system. */
  readonly clusterId?: string | undefined
  /** Watched namespaces; empty: all. */
  readonly namespaces?: readonly string[] | undefined
  /** Keep the labels of listed CRs. */
  readonly labels?: boolean | undefined
  /** Requests in flight. */
  readonly concurrency?: number | undefined
  /** Ends all requests, also those that write statuses: for a hard deadline. */
  readonly signal?: AbortSignal | undefined
  readonly pageSize?: number | undefined
  /** Longest silence of the server. */
  readonly timeoutMs?: number | undefined
  readonly retry?: Partial<RetryRules> | undefined
  readonly accountDirectory?: string | undefined
}

/** Throws ClusterUnreachable or ClusterNotAllowed before any work is begun. */
export async function openCluster(options: ClusterOptions): Promise<Source> {
  const { log, environment, context, accountDirectory } = options
  const { concurrency = 16, pageSize = 500, labels = false, namespaces = [], timeoutMs = 60_000 } = options
  const connection = connect({ environment, context, accountDirectory })
  const transport = openTransport(connection, { concurrency, timeoutMs })
  const client = openClient(transport, {
    concurrency,
    retry: { ...usualRetry, ...options.retry },
    log,
    signal: options.signal
  })
  const scope: ListScope = { namespaces, labels, pageSize, concurrency, log }
  log.debug('cluster chosen', {
    context: connection.context,
    server: connection.server.host,
    proxy: connection.proxy?.host
  })

  let id: string
  try {
    id = options.clusterId || (await clusterUid(client))
  } catch (error) {
    client.close()
    throw error
  }
  // Statuses name a kind, their addresses a plural.
  const kinds = new Map<string, ListKind>()
  const known = <K extends ListKind>(kind: K): K => {
    kinds.set(kind.kind, kind)
    return kind
  }

  return {
    id,
    list: kind => listKind(client, known(kind), scope),
    strays: () => [],
    read: (kind, wanted) => readKind(client, { kind: known(kind), wanted, scope }),
    namespaces: names => readNamespaces(client, names, { log, pageSize, concurrency }),
    version: (...which) => readVersion(client, ...which),
    material: (...which) => readMaterial(client, ...which),
    patchStatus: async (listed, status) => {
      const kind = kinds.get(listed.kind)
      if (!kind) throw new Error(`list() was never asked for ${listed.kind}, so its plural is unknown`)
      return patchStatus(client, { kind, log }, listed, status)
    },
    emit: (listed, event) =>
      postEvent(client, listed, event).catch((error: unknown) => {
        const failure = error instanceof Refused ? error.message : codeOf(error)
        log.debug('event not written', { kind: listed.kind, namespace: listed.namespace, name: listed.name, failure })
      }),
    close: client.close
  }
}
