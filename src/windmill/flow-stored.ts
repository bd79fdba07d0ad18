/** What is stored of a stated flow: as given, but for what Windmill's parser would stumble over. */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'
import { below } from '../places.ts'
import type { Generation, Known, Shape } from './flow-keys.ts'
import { bunName } from './flow-normal.ts'
import { enumerated } from './flow-places.ts'
import { type At, rebuilt } from './flow-rebuild.ts'
import type { JsonObject } from './json-values.ts'

/** Fields of the spec that Windmill keeps inside the value (contract: flows-and-apps A2). */
export interface FlowSettings {
  readonly concurrencyLimit?: number
  readonly concurrencyTimeWindowS?: number
  readonly concurrencyKey?: string
  readonly cacheSeconds?: number
  readonly priority?: number
}

const placeOfSetting: Readonly<Record<keyof FlowSettings, string>> = {
  concurrencyLimit: 'concurrent_limit',
  concurrencyTimeWindowS: 'concurrency_time_window_s',
  concurrencyKey: 'concurrency_key',
  cacheSeconds: 'cache_ttl',
  priority: 'priority'
}

/**
 * The value with the settings in it; 0 and '' mean none. Throws InvalidSpec when the value itself says something else
 * than the field of the spec.
 */
export function withSettings(flow: JsonObject, settings: FlowSettings, root: string): JsonObject {
  const stated = Object.entries(placeOfSetting).flatMap(([field, key]) => {
    const setting = settings[field as keyof FlowSettings]
    return setting === undefined ? [] : [{ field, key, wanted: setting || undefined }]
  })
  const faults = stated
    .filter(({ key, wanted }) => (flow[key] ?? undefined) !== undefined && (flow[key] || undefined) !== wanted)
    .map(({ field, key }) => `${field} and ${root}.${key} say different things; state one of the two`)
  if (faults.length > 0) throw new SyncError('InvalidSpec', `${faults.join('; ')}.`)
  const set = Object.fromEntries(stated.map(({ key, wanted }) => [key, wanted]))
  return Object.fromEntries(Object.entries({ ...flow, ...set }).filter(([, member]) => member !== undefined))
}

/** The stored value, and what was left out or filled in. */
export interface Stored {
  readonly value: Json
  readonly notes: readonly string[]
}

const order: readonly Generation[] = ['oldest', 'middle', 'newest']

/**
 * Nulls go (Windmill's parser takes many of them for a fault), blank locks go (jobs would run without packages), and
 * `skip_if_stopped`, which the parser wants, gets the editor's false: contract, flows-and-apps A3, A5.
 */
export function storedFlow(flow: JsonObject, root: string, generation: Generation): Stored {
  const blank: string[] = []
  const unknown: string[] = []
  const tooNew: string[] = []
  const keeps = (member: Json, known: Known | undefined, at: At): boolean => {
    const place = below(at.place, at.key)
    if (!known) unknown.push(place)
    else if (member === null) return false
    if (known?.since && order.indexOf(known.since) > order.indexOf(generation)) tooNew.push(place)
    return true
  }
  const alters = (object: JsonObject, shape: Shape['name'], place: string): JsonObject => {
    if (shape === 'stop') return { skip_if_stopped: false, ...withoutNull(object, 'skip_if_stopped') }
    if (shape !== 'script') return object
    if (isBlank(object['lock'])) blank.push(`${place}.lock`)
    return scriptOf(object)
  }
  const value = rebuilt(flow, root, { keeps, alters })
  const notes = [
    ...told(blank, 'empty, so left out: Windmill makes the lock.'),
    ...told(unknown, 'not known here; kept, but a Windmill that does not know it drops it.'),
    ...told(tooNew, 'not known to this Windmill, which drops it.')
  ]
  return { value, notes }
}

const told = (places: readonly string[], what: string): readonly string[] =>
  places.length > 0 ? [`${enumerated(places)}: ${what}`] : []

const isBlank = (lock: Json | undefined): boolean => typeof lock === 'string' && lock.trim() === ''

function withoutNull(object: JsonObject, key: string): JsonObject {
  const { [key]: member, ...rest } = object
  return member === null ? rest : object
}

/** A worker would rename the language and make the lock anew (contract: A4 step 4); a given lock is to last. */
function scriptOf(script: JsonObject): JsonObject {
  const { language, content, lock, ...rest } = script
  const isBun = (language === 'bun' || language === 'bunnative') && typeof content === 'string'
  return {
    ...rest,
    ...(content !== undefined && { content }),
    ...(language !== undefined && { language: isBun ? bunName(content) : language }),
    ...(lock !== undefined && !isBlank(lock) && { lock })
  }
}
