/** Who may run what in an app: Windmill's servers never compute it, whoever saves an app must (flows-and-apps B3). */
import { createHash } from 'node:crypto'
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'
import { at, choicesOf, type Item, itemsOf, type Runner, runnersOf, textAt } from './app-components.ts'
import { isInline, s3Inputs, s3Keys } from './app-s3.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** Whom an app runs as: the principal as Windmill writes it (`u/alice`, `g/ops`) and the e-mail address. */
export interface Principal {
  readonly onBehalfOf: string
  readonly email: string
}

export interface Policy {
  readonly policy: JsonObject
  /** Sentences for the status. */
  readonly notes: readonly string[]
}

/** What an app runs, by the key of its entry in the policy. */
type Triggerables = Readonly<Record<string, JsonObject>>

/**
 * The complete policy: what the CR states, hashes of inline code as they are now, and everything else computed from the
 * value. Throws InvalidSpec for a policy that Windmill could not use, and where only Windmill's editor can compute it.
 */
export function policyFor(value: Json, stated: JsonObject | undefined, principal: Principal): Policy {
  const items = itemsOf(value)
  const computed = triggerablesOf(value, items)
  const { triggerables, ...rest } = stated ?? {}
  const given = statedTriggerables(stated?.['triggerables_v2'], triggerables)
  if (!given) refuseExplorers(items)
  const entries = given ? refreshed(given, computed, items) : computed
  const mode = executionMode(stated?.['execution_mode'])
  const uploads = statedUploads(stated?.['s3_inputs'])
  const policy = {
    ...rest,
    execution_mode: mode,
    on_behalf_of: principal.onBehalfOf,
    on_behalf_of_email: principal.email,
    triggerables_v2: entries,
    s3_inputs: uploads === undefined ? s3Inputs(items) : uploads,
    allowed_s3_keys: statedKeys(stated?.['allowed_s3_keys']) ?? s3Keys(items)
  }
  return { policy, notes: given && mode !== 'viewer' ? lackingNotes(entries, computed, items) : [] }
}

/** Publisher: as in Windmill's editor. Anonymous is public, so only when it is asked for. */
function executionMode(stated: Json | undefined): string {
  if (stated === undefined || stated === null) return 'publisher'
  if (stated === 'publisher' || stated === 'viewer' || stated === 'anonymous') return stated
  throw new SyncError('InvalidSpec', 'policy.execution_mode: must be publisher, viewer or anonymous.')
}

const rawPrefix = 'rawscript/'

/** The hash is over the very bytes that are stored: line ends and all. */
function keyOf({ id, runnable }: Runner): string | undefined {
  if (isInline(runnable)) {
    const content = textAt(runnable, 'inlineScript', 'content') ?? ''
    return `${id}:${rawPrefix}${createHash('sha256').update(content, 'utf8').digest('hex')}`
  }
  const [type, path] = [textAt(runnable, 'runType'), textAt(runnable, 'path')]
  if (!['runnableByPath', 'path'].includes(textAt(runnable, 'type') ?? '') || path === undefined) return undefined
  if (type === 'flow') return `${id}:flow/${path}`
  return type === 'script' || type === 'hubscript' ? `${id}:script/${path}` : undefined
}

/** Without an entry Windmill runs nothing; without its static inputs a job lacks those arguments (trap 20). */
function triggerablesOf(value: Json, items: readonly Item[]): Triggerables {
  const entries = runnersOf(value, items).flatMap(runner => {
    const key = keyOf(runner)
    return key === undefined ? [] : [[key, entryOf(runner, items)] as const]
  })
  return Object.fromEntries(entries)
}

function entryOf({ fields }: Runner, items: readonly Item[]): JsonObject {
  const named = Object.entries(fields)
  const fixed = named.filter(([, field]) => textAt(field, 'type') === 'static' && at(field, 'value') !== undefined)
  return {
    static_inputs: Object.fromEntries(fixed.map(([name, field]) => [name, at(field, 'value')])),
    one_of_inputs: choicesOf(fields, items),
    allow_user_resources: named.flatMap(([name, field]) => (at(field, 'allowUserResources') ? [name] : []))
  }
}

const explorers = (items: readonly Item[]): readonly string[] =>
  items.filter(one => one.type === 'dbexplorercomponent').map(one => one.id)

/** Their entries are hashes of SQL that Windmill's editor makes up. */
function refuseExplorers(items: readonly Item[]): void {
  const [first] = explorers(items)
  if (first === undefined) return
  throw new SyncError(
    'InvalidSpec',
    `policy: the app has a database explorer (${first}), whose permissions only Windmill's editor can compute; state policy.triggerables_v2 as the editor saved it.`
  )
}

/** The entries that the CR states, those in the older form included; undefined when there are none of either form. */
function statedTriggerables(entries: Json | undefined, older: Json | undefined): Triggerables | undefined {
  if ((entries ?? null) === null && (older ?? null) === null) return undefined
  const before = Object.entries(objectIn('policy.triggerables', older ?? {})).map(
    ([key, inputs]) => [key, { static_inputs: objectIn(`policy.triggerables: ${key}`, inputs) }] as const
  )
  const now = Object.entries(objectIn('policy.triggerables_v2', entries ?? {})).map(
    ([key, entry]) => [key, objectIn(`policy.triggerables_v2: ${key}`, entry)] as const
  )
  return Object.fromEntries([...before, ...now])
}

function objectIn(field: string, value: Json | undefined): JsonObject {
  if (isObject(value)) return value
  throw new SyncError('InvalidSpec', `${field}: must be an object.`)
}

/** Stated entries with today's hashes and all members that Windmill requires. */
function refreshed(given: Triggerables, computed: Triggerables, items: readonly Item[]): Triggerables {
  const current = new Map<string, string[]>()
  const generated = new Set(explorers(items))
  for (const key of Object.keys(computed)) {
    const id = rawIdOf(key)
    if (id !== undefined && !generated.has(id)) current.set(id, [...(current.get(id) ?? []), key])
  }
  const entries = Object.entries(given).map(([key, entry]) => {
    const keys = current.get(rawIdOf(key) ?? '')
    // A stale hash is a forbidden component (trap 18); where several scripts share an id, none can be told to be meant.
    const [only] = keys?.length === 1 && !given[keys[0] ?? ''] ? keys : [key]
    return [only ?? key, completed(only ?? key, entry, computed)] as const
  })
  return Object.fromEntries(entries)
}

/** The component of an entry for inline code. */
function rawIdOf(key: string): string | undefined {
  const end = key.indexOf(`:${rawPrefix}`)
  return end > 0 ? key.slice(0, end) : undefined
}

function completed(key: string, entry: JsonObject, computed: Triggerables): JsonObject {
  const field = `policy.triggerables_v2: ${key}`
  const own: JsonObject = computed[key] ?? {}
  const users = entry['allow_user_resources'] ?? own['allow_user_resources'] ?? []
  if (!Array.isArray(users)) throw new SyncError('InvalidSpec', `${field}: allow_user_resources must be a list.`)
  return {
    ...entry,
    static_inputs: objectIn(`${field}: static_inputs`, entry['static_inputs'] ?? own['static_inputs'] ?? {}),
    one_of_inputs: objectIn(`${field}: one_of_inputs`, entry['one_of_inputs'] ?? own['one_of_inputs'] ?? {}),
    allow_user_resources: users
  }
}

const uploadMembers = ['allowed_resources', 'allow_user_resources', 'allow_workspace_resource', 'file_key_regex']

/** Null is a rule of its own: whoever is logged in uploads with his own rights. */
function statedUploads(stated: Json | undefined): Json | undefined {
  if (stated === undefined || stated === null) return stated
  const lacking = Array.isArray(stated)
    ? uploadMembers.filter(name => (stated as readonly Json[]).some(one => at(one, name) === undefined))
    : uploadMembers
  if (lacking.length === 0) return stated
  throw new SyncError(
    'InvalidSpec',
    `policy.s3_inputs: must be a list of objects that each have ${lacking.join(', ')}.`
  )
}

/** Null would crash an anonymous download: there is nothing to compute, but a list it must be. */
function statedKeys(stated: Json | undefined): Json | undefined {
  if (stated === undefined) return undefined
  if (stated === null) return []
  if (Array.isArray(stated) && (stated as readonly Json[]).every(one => textAt(one, 's3_path') !== undefined)) {
    return stated
  }
  throw new SyncError('InvalidSpec', 'policy.allowed_s3_keys: must be a list of objects that each have s3_path.')
}

/** The server looks an entry up without the component first, so such an entry covers all components. */
function lackingNotes(entries: Triggerables, computed: Triggerables, items: readonly Item[]): readonly string[] {
  const keys = Object.keys(entries)
  const forbidden = Object.keys(computed).filter(key => !keys.includes(key) && !keys.includes(withoutId(key)))
  const ids = [
    ...forbidden.map(key => key.slice(0, key.indexOf(':'))),
    ...explorers(items).filter(id => !keys.some(key => key.startsWith(`${id}:`)))
  ]
  if (ids.length === 0) return []
  const shown = [...new Set(ids)].sort().slice(0, 5).join(', ')
  return [`policy.triggerables_v2: no entry for ${shown}, which Windmill will therefore not run.`]
}

const withoutId = (key: string): string => key.slice(key.indexOf(':') + 1)
