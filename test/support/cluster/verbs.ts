/** The verbs of the API on one resource: reads the request, calls store and rules, words the answer. */

import type { Pager } from './pages.ts'
import { jsonPatch, mergePatch, overlay } from './patch.ts'
import { badRequest, conflict, invalid, notAllowed, notFound, Refusal, unsupported } from './refusal.ts'
import type { Store } from './store.ts'
import type { Answer, Call, Fields, Kind, Stored, Target } from './types.ts'
import { isFields, textOf } from './types.ts'
import { formOf, viewOne, viewPage } from './views.ts'
import { watch } from './watch.ts'
import { decode, decodeText } from './wire.ts'
import type { WriteOptions, Writes } from './writes.ts'

interface World {
  readonly store: Store
  readonly writes: Writes
  readonly pager: Pager
}

/** etcd takes 1.5 MiB an object. */
const OBJECT_LIMIT = 1.5 * 1024 * 1024

export function createVerbs({ store, writes, pager }: World) {
  function existing(kind: Kind, { namespace, name }: Target): Stored {
    const found = store.get(kind, namespace, name)
    if (!found) throw notFound(kind, name)
    return found
  }

  function list(kind: Kind, { namespace }: Target, { query, accept }: Call): Answer {
    return { status: 200, body: `${viewPage(pager.page(kind, namespace, query), kind, formOf(accept), query)}\n` }
  }

  function watchAll(kind: Kind, { namespace, name }: Target, call: Call): Answer {
    if (call.query.get('sendInitialEvents') !== null) {
      const message = 'Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled'
      throw invalid({ ...kind, group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
        { reason: 'FieldValueForbidden', message, field: 'sendInitialEvents' }
      ])
    }
    if (name) call.query.set('fieldSelector', `metadata.name=${name}`)
    const watched = { kind, namespace, form: formOf(call.accept) }
    return { status: 200, body: '', stream: watch(store, pager, watched, call) }
  }

  function create(kind: Kind, target: Target, call: Call): Answer {
    const options = optionsOf(call, target)
    const object = writes.create(kind, target.namespace, decode(call.body, call.contentType), options)
    return shown(object, kind, call, { status: 201, warnings: options.warnings })
  }

  function update(kind: Kind, target: Target, call: Call): Answer {
    const options = optionsOf(call, target)
    const body = decode(call.body, call.contentType)
    const before = existing(kind, target)
    const version = isFields(body['metadata']) ? body['metadata']['resourceVersion'] : undefined
    if (kind.custom && !version) {
      const message = 'Invalid value: 0x0: must be specified for an update'
      throw invalid(kind, target.name, [{ reason: 'FieldValueInvalid', message, field: 'metadata.resourceVersion' }])
    }
    return shown(writes.replace(kind, before, body, options), kind, call, { status: 200, warnings: options.warnings })
  }

  function patch(kind: Kind, target: Target, call: Call): Answer {
    const type = call.contentType.split(';')[0]!.trim()
    const types = kind.custom ? CUSTOM_PATCHES : [...CUSTOM_PATCHES, STRATEGIC]
    if (!types.includes(type)) throw unsupported(types)
    const options = optionsOf(call, target)
    const before = store.get(kind, target.namespace, target.name)
    if (type === APPLY) return serverSideApply({ kind, before, options }, target, call)
    if (!before) throw notFound(kind, target.name)
    const wanted =
      type === JSON_PATCH
        ? jsonPatch(before, parsed(call))
        : mergePatch(before, decodeText(call.body.toString(), 'json'))
    return shown(writes.replace(kind, before, withOnlyStatedVersion(wanted as Fields, before), options), kind, call, {
      status: 200,
      warnings: options.warnings
    })
  }

  /** A merge that may create; conflicts between managers and the removal of fields are not modelled. */
  function serverSideApply({ kind, before, options }: Applied, target: Target, call: Call): Answer {
    if (!call.query.get('fieldManager')) {
      const apply = { ...kind, group: 'meta.k8s.io', kind: 'PatchOptions' }
      throw invalid(apply, '', [
        { reason: 'FieldValueRequired', message: 'Required value: is required for apply patch', field: 'fieldManager' }
      ])
    }
    const body = decodeText(call.body.toString(), 'yaml')
    if (isFields(body['metadata'])) delete body['metadata']['managedFields']
    const applying = { ...options, operation: 'Apply' as const }
    if (before) {
      const object = writes.replace(kind, before, overlay(before, body) as Fields, applying)
      return shown(object, kind, call, { status: 200, warnings: options.warnings })
    }
    if (target.subresource) throw notFound(kind, target.name)
    const object = writes.create(kind, target.namespace, body, applying)
    return shown(object, kind, call, { status: 201, warnings: options.warnings })
  }

  function remove(kind: Kind, target: Target, call: Call): Answer {
    const before = existing(kind, target)
    const options = call.body.length > 0 ? decode(call.body, call.contentType) : {}
    const wanted = isFields(options['preconditions']) ? options['preconditions'] : {}
    for (const field of ['uid', 'resourceVersion']) {
      if (wanted[field] === undefined || wanted[field] === before.metadata[field]) continue
      throw conflict(
        kind,
        target.name,
        `Precondition failed: ${field} in precondition: ${textOf(wanted[field])}, ${field} in object meta: ${textOf(before.metadata[field])}`
      )
    }
    const { object, gone } = writes.remove(kind, before, isDryRun(call))
    if (!gone) return shown(object, kind, call, { status: 200, warnings: [] })
    const details = {
      name: target.name,
      ...(kind.group && { group: kind.group }),
      kind: kind.plural,
      uid: before.metadata.uid
    }
    return answer({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details })
  }

  function removeAll(kind: Kind, { namespace }: Target, call: Call): Answer {
    const page = pager.page(kind, namespace, call.query)
    for (const object of page.items) writes.remove(kind, object, isDryRun(call))
    return { status: 200, body: `${viewPage(page, kind, formOf(call.accept), call.query)}\n` }
  }

  return function run(kind: Kind, target: Target, call: Call): Answer {
    if (target.subresource && (target.subresource !== 'status' || !kind.status)) throw notFound(kind, target.name)
    if (call.body.length > OBJECT_LIMIT) {
      throw new Refusal({ code: 500, reason: 'InternalError', message: 'etcdserver: request is too large' })
    }
    // Before any work: an answer that cannot be given must not follow a write.
    formOf(call.accept)
    switch (target.verb) {
      case 'get':
        return shown(existing(kind, target), kind, call, { status: 200, warnings: [] })
      case 'list':
        return list(kind, target, call)
      case 'watch':
        return watchAll(kind, target, call)
      case 'create':
        return create(kind, target, call)
      case 'update':
        return update(kind, target, call)
      case 'patch':
        return patch(kind, target, call)
      case 'delete':
        return remove(kind, target, call)
      case 'deletecollection':
        return removeAll(kind, target, call)
      default:
        throw notAllowed()
    }
  }
}

interface Applied {
  readonly kind: Kind
  readonly before: Stored | undefined
  readonly options: WriteOptions
}

const JSON_PATCH = 'application/json-patch+json'
const APPLY = 'application/apply-patch+yaml'
const STRATEGIC = 'application/strategic-merge-patch+json'
const CUSTOM_PATCHES: readonly string[] = [JSON_PATCH, 'application/merge-patch+json', APPLY]

const isDryRun = ({ query }: Call): boolean => query.get('dryRun') === 'All'

const VALIDATIONS = ['Strict', 'Warn', 'Ignore'] as const

function optionsOf(call: Call, { subresource }: Target): WriteOptions {
  const wish = call.query.get('fieldValidation') || 'Warn'
  const validation = VALIDATIONS.find(word => word === wish)
  if (!validation)
    throw badRequest(`fieldValidation: Unsupported value: "${wish}": supported values: "Ignore", "Strict", "Warn"`)
  const manager = call.query.get('fieldManager') || call.manager
  return { manager, operation: 'Update', subresource, dryRun: isDryRun(call), validation, warnings: [] }
}

function parsed({ body }: Call): unknown {
  try {
    return JSON.parse(body.toString())
  } catch (error) {
    throw badRequest(`error decoding patch: ${(error as Error).message}`)
  }
}

/** A patch that does not speak of the version is not held to one; what it states is checked later. */
function withOnlyStatedVersion(wanted: Fields, before: Stored): Fields {
  if (!isFields(wanted['metadata'])) throw badRequest('metadata: Invalid value: must be an object')
  return wanted['metadata']['resourceVersion'] === undefined
    ? { ...wanted, metadata: { ...wanted['metadata'], resourceVersion: before.metadata.resourceVersion } }
    : wanted
}

function shown(
  object: Stored,
  kind: Kind,
  call: Call,
  { status, warnings }: { status: number; warnings: string[] }
): Answer {
  const made = answer(viewOne(object, kind, formOf(call.accept), call.query), status)
  const warning = warnings.map(text => `299 - "${text.replaceAll('"', '\\"')}"`).join(', ')
  return warning ? { ...made, headers: { warning } } : made
}

export const answer = (value: unknown, status = 200): Answer => ({ status, body: `${JSON.stringify(value)}\n` })
