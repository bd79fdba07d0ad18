/** A flow's value as it is compared: the same for what a manifest says and for what a worker made of it. */
import { canonical } from '../fingerprint.ts'
import type { Json } from '../model.ts'
import type { Known, Shape } from './flow-keys.ts'
import { stepsOf } from './flow-places.ts'
import { type At, rebuilt } from './flow-rebuild.ts'
import { isObject, type JsonObject } from './json-values.ts'
import { nativeAnnotation } from './script-annotations.ts'

/** The parts of a flow that are compared. */
export interface Comparable {
  /** Without locks, unknown keys, nulls and what is usual anyway: contract, flows-and-apps C1. */
  readonly value: Json
  /** Members that no Windmill here knows, by the place of the object that has them; a worker drops them. */
  readonly unknown: { readonly [place: string]: { readonly [key: string]: Json } }
  /** Locks of inline scripts, by module id: those that nobody gave are the worker's business. */
  readonly locks: { readonly [id: string]: string }
}

/** Total and idempotent (`comparableFlow(x.value).value` is `x.value`), whatever the database holds. */
export function comparableFlow(flow: Json): Comparable {
  const unknown = new Map<string, [string, Json][]>()
  const keeps = (member: Json, known: Known | undefined, { place, key }: At): boolean => {
    if (!known) unknown.set(place, [...(unknown.get(place) ?? []), [key, member]])
    return known !== undefined && member !== null && !isUsual(member, known)
  }
  const value = rebuilt(flow, ROOT, { keeps, alters, reads })
  const others = [...unknown].map(([place, members]) => [place, Object.fromEntries(members)] as const)
  return { value, unknown: Object.fromEntries(others), locks: locksOf(flow) }
}

/** Where places of unknown members begin. */
const ROOT = 'value'

const isUsual = (member: Json, { usual }: Known): boolean =>
  usual !== undefined && canonical(member) === canonical(usual)

/** What a script on bun is called goes by its text (contract: scripts §1.4). */
export const bunName = (content: string): string => (nativeAnnotation(content) ? 'bunnative' : 'bun')

/** The name of bun's TypeScript follows the text, as a worker sees to (contract: A4 step 4). */
function alters(object: JsonObject, shape: Shape['name']): JsonObject {
  if (shape !== 'script') return object
  const { lock: _, ...script } = object
  const { language, content } = script
  const isBun = language === 'bun' || language === 'bunnative'
  return isBun && typeof content === 'string' ? { ...script, language: bunName(content) } : script
}

/** A number is stored as it is or as a transform. */
const reads = (member: Json, { numeric }: Known): Json =>
  numeric && isObject(member) && member['type'] === 'static' && typeof member['value'] === 'number'
    ? member['value']
    : member

/** A flow to be stored again: the compared form with its locks and unknown members. */
export function flowOf({ value, unknown, locks }: Comparable): Json {
  const alters = (object: JsonObject, shape: Shape['name'], place: string): JsonObject => {
    const whole = Object.hasOwn(unknown, place) ? { ...object, ...unknown[place] } : object
    return shape === 'module' ? lockedModule(whole, locks) : whole
  }
  return rebuilt(value, ROOT, { keeps: () => true, alters })
}

/** A module whose inline script has the lock that there is for its id. */
export function lockedModule(module: JsonObject, locks: Comparable['locks']): JsonObject {
  const { id, value } = module
  const lock = typeof id === 'string' && Object.hasOwn(locks, id) ? locks[id] : undefined
  return lock !== undefined && isObject(value) && value['type'] === 'rawscript'
    ? { ...module, value: { ...value, lock } }
    : module
}

/** A blank lock is none (contract: C4, trap 8). */
function locksOf(flow: Json): { readonly [id: string]: string } {
  const locks = stepsOf(flow, '').flatMap(({ module: { id }, value: { type, lock } }): [string, string][] =>
    typeof id === 'string' && type === 'rawscript' && typeof lock === 'string' && lock.trim() !== '' ? [[id, lock]] : []
  )
  return Object.fromEntries(locks)
}

/** The inline scripts of a flow by module id, as far as locks are made from them: language and text. */
export function sourcesOf(flow: Json): ReadonlyMap<string, string> {
  const sources = new Map<string, string>()
  for (const { module, value } of stepsOf(isObject(flow) ? flow : {}, '')) {
    if (typeof module['id'] === 'string' && value['type'] === 'rawscript') {
      sources.set(module['id'], canonical([value['language'] ?? null, value['content'] ?? null, value['path'] ?? null]))
    }
  }
  return sources
}
