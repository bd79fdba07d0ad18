/** What the few core kinds do with their own fields. */
import { schemaFaults } from './definition.ts'
import { CONFIG_MAP, CRD, EVENT, established, kindOf, NAMESPACE, SECRET } from './kinds.ts'
import { seconds } from './metadata.ts'
import { badRequest, invalid } from './refusal.ts'
import type { Fields, Kind, Metadata } from './types.ts'
import { isFields, textOf } from './types.ts'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

export function admitCore(object: Fields, kind: Kind, now: Date): void {
  const metadata = object['metadata'] as Metadata
  if (kind === NAMESPACE) {
    metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name }
    object['spec'] ??= { finalizers: ['kubernetes'] }
    object['status'] ??= { phase: 'Active' }
  } else if (kind === SECRET) admitSecret(object)
  else if (kind === CONFIG_MAP) strings(object, 'data', 'ConfigMap')
  else if (kind === EVENT) admitEvent(object, metadata, now)
  else if (kind === CRD) {
    const served = kindOf({ ...object, metadata, apiVersion: '', kind: '' })
    const name = `${served.plural}.${served.group}`
    if (metadata.name !== name) {
      const message = `Invalid value: "${metadata.name}": must be spec.names.plural+"."+spec.group`
      throw invalid(CRD, metadata.name, [{ reason: 'FieldValueInvalid', message, field: 'metadata.name' }])
    }
    const faults = served.schema ? schemaFaults(served.schema) : []
    if (faults.length > 0) throw invalid(CRD, metadata.name, faults)
    object['status'] = established(object, metadata.creationTimestamp || seconds(now))
  }
}

function strings(object: Fields, field: string, kind: string): Record<string, string> {
  const found = object[field] ?? {}
  if (!isFields(found))
    throw badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: ${field} must be an object`)
  for (const [key, value] of Object.entries(found)) {
    if (typeof value === 'string') continue
    const what = `json: cannot unmarshal ${typeof value} into Go struct field ${kind}.${field} of type string`
    throw badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: ${what} (${key})`)
  }
  return found as Record<string, string>
}

function admitSecret(object: Fields): void {
  const data = { ...strings(object, 'data', 'Secret') }
  if (Object.values(data).some(value => !BASE64.test(value))) {
    throw badRequest('Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0')
  }
  for (const [key, text] of Object.entries(strings(object, 'stringData', 'Secret')))
    data[key] = Buffer.from(text).toString('base64')
  delete object['stringData']
  if (Object.keys(data).length > 0) object['data'] = data
  object['type'] ??= 'Opaque'
}

function admitEvent(object: Fields, metadata: Metadata, now: Date): void {
  const about = object['involvedObject']
  const namespace = isFields(about) ? textOf(about['namespace']) : ''
  if (namespace !== metadata.namespace && !(namespace === '' && metadata.namespace === 'default')) {
    const message = `Invalid value: "${namespace}": does not match event.namespace`
    throw invalid(EVENT, metadata.name, [{ reason: 'FieldValueInvalid', message, field: 'involvedObject.namespace' }])
  }
  object['firstTimestamp'] ??= seconds(now)
  object['lastTimestamp'] ??= object['firstTimestamp']
  object['type'] ??= 'Normal'
}
