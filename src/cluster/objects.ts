/** Single objects: Namespaces, Secrets and ConfigMaps to read, statuses and Events to write. */
import { randomBytes } from 'node:crypto'
import { SyncError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Listed, Material, Ref, Source, Status } from '../model.ts'
import { type Client, readBody } from './client.ts'
import { Refused, toSyncError } from './failure.ts'
import { isFields } from './fields.ts'
import { inParallel, kindPath, type ListKind } from './list.ts'
import { apiVersion, group, isResource, ownAnnotations } from './listed.ts'
import { fetchPage, metadataOnly } from './pages.ts'

type Annotations = Readonly<Record<string, string>>

/** The cluster's identity: this namespace is never deleted. */
export async function clusterUid(client: Client): Promise<string> {
  const advice =
    "allow the job's account to get the namespace kube-system, or set IAC_CLUSTER_ID to a name of your own for this cluster"
  try {
    const found = await client.json({
      method: 'GET',
      path: '/api/v1/namespaces/kube-system',
      accept: metadataOnly.object
    })
    const uid = isResource(found) ? found.metadata.uid : undefined
    if (uid) return uid
    throw new SyncError('ClusterUnreachable', `The API server's answer about kube-system has no uid: ${advice}.`)
  } catch (error) {
    throw toSyncError(error, {
      doing: 'Reading the identity of the cluster',
      otherwise: 'ClusterUnreachable',
      statuses: { 403: ['ClusterNotAllowed', advice], 404: ['ClusterNotAllowed', advice] }
    })
  }
}

/** Up to here single GETs, which need no right to list. */
const fewNamespaces = 20

export interface NamespaceOptions {
  readonly log: Log
  readonly pageSize: number
  readonly concurrency: number
}

/** Without the right to see namespaces nothing is granted by them, which is the safe side. */
export async function readNamespaces(
  client: Client,
  names: readonly string[],
  options: NamespaceOptions
): Promise<ReadonlyMap<string, Annotations>> {
  const wanted = [...new Set(names)].filter(name => name !== '')
  try {
    if (wanted.length > fewNamespaces) return await listNamespaces(client, new Set(wanted), options.pageSize)
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 403) throw namespaceError(error)
  }
  return getNamespaces(client, wanted, options)
}

const namespaceError = (error: unknown): unknown =>
  toSyncError(error, { doing: 'Reading namespaces', otherwise: 'ClusterUnreachable' })

async function listNamespaces(
  client: Client,
  wanted: ReadonlySet<string>,
  limit: number
): Promise<Map<string, Annotations>> {
  const found = new Map<string, Annotations>()
  const request = { path: '/api/v1/namespaces', limit, accept: metadataOnly.list }
  for (let token = ''; ; ) {
    const page = await fetchPage(client, { ...request, token }, item => item.metadata)
    for (const { name, annotations } of page.items) if (wanted.has(name)) found.set(name, ownAnnotations(annotations))
    if (page.token === '') return found
    token = page.token
  }
}

async function getNamespaces(
  client: Client,
  wanted: readonly string[],
  { log, concurrency }: NamespaceOptions
): Promise<Map<string, Annotations>> {
  const found = new Map<string, Annotations>()
  let forbidden = 0
  await inParallel(wanted, concurrency, async name => {
    const path = `/api/v1/namespaces/${encodeURIComponent(name)}`
    try {
      const one = await client.json({ method: 'GET', path, accept: metadataOnly.object })
      if (isResource(one)) found.set(name, ownAnnotations(one.metadata.annotations))
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 403 && error.status !== 404)) throw namespaceError(error)
      if (error.status === 403) forbidden++
    }
  })
  if (forbidden > 0)
    log.warn('namespaces may not be read, so their annotations do not count', { namespaces: forbidden })
  return found
}

const plurals = { Secret: 'secrets', ConfigMap: 'configmaps' } as const

/** 500 is what a Secret gets that cannot be decrypted: one broken Secret must not end the run. */
const unreadable: ReadonlySet<number> = new Set([403, 404, 500])

const materialPath = (kind: Ref['kind'], namespace: string, name: string): string =>
  `/api/v1/namespaces/${encodeURIComponent(namespace)}/${plurals[kind]}/${encodeURIComponent(name)}`

export async function readVersion(
  client: Client,
  ...[kind, namespace, name]: Parameters<Source['version']>
): Promise<string | undefined> {
  try {
    const found = await client.json({
      method: 'GET',
      path: materialPath(kind, namespace, name),
      accept: metadataOnly.object
    })
    return isResource(found) ? found.metadata.resourceVersion : undefined
  } catch (error) {
    if (error instanceof Refused && unreadable.has(error.status)) return undefined
    throw toSyncError(error, { doing: `Looking for ${kind} ${namespace}/${name}`, otherwise: 'ClusterUnreachable' })
  }
}

export async function readMaterial(
  client: Client,
  ...[kind, namespace, name]: Parameters<Source['material']>
): Promise<Material> {
  try {
    const found = await client.json({ method: 'GET', path: materialPath(kind, namespace, name) })
    return { version: (isResource(found) && found.metadata.resourceVersion) || '', data: dataOf(kind, found) }
  } catch (error) {
    throw toSyncError(error, {
      doing: `Reading ${kind} ${namespace}/${name}`,
      otherwise: 'ClusterUnreachable',
      statuses: {
        403: [`${kind}Forbidden`, `grant the job's account the verb get on ${plurals[kind]} in that namespace`],
        404: [`${kind}NotFound`, 'it does not exist'],
        500: [`${kind}NotFound`, 'the API server cannot read it']
      }
    })
  }
}

function dataOf(kind: Ref['kind'], object: unknown): ReadonlyMap<string, Uint8Array> {
  const data = new Map<string, Uint8Array>()
  const add = (fields: unknown, encoding: 'base64' | 'utf8'): void => {
    for (const [key, value] of Object.entries(isFields(fields) ? fields : {}))
      data.set(key, Buffer.from(String(value), encoding))
  }
  if (!isFields(object)) return data
  add(object['data'], kind === 'Secret' ? 'base64' : 'utf8')
  if (kind === 'ConfigMap') add(object['binaryData'], 'base64')
  return data
}

/** In a merge patch only null removes. */
const removable = ['workspace', 'hash', 'syncedAt', 'lastModifiedInDb'] as const

function patchOf(status: Status): string {
  const stated: Record<string, unknown> = { ...status }
  for (const field of removable) stated[field] ??= null
  return JSON.stringify({ status: stated })
}

export async function patchStatus(
  client: Client,
  options: { kind: ListKind; log: Log },
  listed: Listed,
  status: Status
): Promise<boolean> {
  const { kind, log } = options
  const path = `${kindPath(kind, listed.namespace)}/${encodeURIComponent(listed.name)}/status`
  const body = patchOf(status)
  try {
    await client.call(
      { method: 'PATCH', path, body, contentType: 'application/merge-patch+json', accept: metadataOnly.object },
      readBody
    )
    return true
  } catch (error) {
    if (error instanceof Refused && error.status === 404) {
      // A CRD without the subresource answers 404 too, but names no object.
      if (!error.named) log.debug('status not found; does the CRD have the status subresource?', { kind: kind.kind })
      return false
    }
    throw toSyncError(error, {
      doing: `Writing the status of ${kind.kind} ${listed.namespace}/${listed.name}`,
      otherwise: 'ClusterUnreachable',
      statuses: {
        403: ['ClusterNotAllowed', `grant the job's account the verb patch on ${kind.plural}/status.${group}`],
        413: ['WriteRejected', 'it is too large'],
        422: ['WriteRejected', whyInvalid(error)]
      }
    })
  }
}

/** Older API servers check the whole object with every write, and what was stored before a rule existed may break it. */
function whyInvalid(error: unknown): string {
  const fields = error instanceof Refused ? error.fields : []
  return fields.length > 0 && fields.every(field => /^spec\b/.test(field))
    ? 'the object breaks the CustomResourceDefinition, and this API server takes no status before it is corrected'
    : 'the CustomResourceDefinition in the cluster is another than this version expects'
}

const component = 'windmill-iac'

export async function postEvent(client: Client, listed: Listed, event: Parameters<Source['emit']>[1]): Promise<void> {
  const { kind, namespace, name, uid } = listed
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  const body = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { namespace, name: `${name.slice(0, 236)}.${randomBytes(8).toString('hex')}` },
    involvedObject: { apiVersion, kind, namespace, name, ...(uid !== '' && { uid }) },
    type: event.type,
    reason: event.reason,
    message: event.message.slice(0, 1024),
    source: { component },
    reportingComponent: component,
    reportingInstance: component,
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1
  })
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`
  await client.call({ method: 'POST', path, body }, readBody)
}
