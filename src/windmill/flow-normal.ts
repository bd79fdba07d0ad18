/** A flow's value as it is compared: the same for what a manifest says and for what a worker made of it. */
import { canonical } from '../fingerprint.ts'
import type { Json } from '../model.ts'
import type { Known, Shape } from './flow-keys.ts'
import { stepsOf } from './flow-places.ts'
import { rebuilt } from './flow-rebuild.ts'
import { isObject, type JsonObject } from './json-values.ts'
import { nativeAnnotation } from './script-annotations.ts'

/** The parts of a flow that are compared. */
export interface Comparable {
  /** Without locks, unknown keys, nulls and what is usual anyway: contract, flows-and-apps C1. */
  readonly value: Json
  /** Keys that no Windmill here knows, by place; a worker drops them. */
  readonly unknown: { readonly [place: string]: Json }
  /** Locks of inline scripts, by module id: those that nobody gave are the worker's business. */
  readonly locks: { readonly [id: string]: string }
}

/** Total and idempotent (`comparableFlow(x.value).value` is `x.value`), whatever the database holds. */
export function comparableFlow(flow: Json): Comparable {
  const unknown: [string, Json][] = []
  const keeps = (member: Json, known: Known | undefined, place: string): boolean => {
    if (!known) unknown.push([place, member])
    return known !== undefined && member !== null && !isUsual(member, known)
  }
  const value = rebuilt(flow, 'value', { keeps, alters, reads })
  return { value, unknown: Object.fromEntries(unknown), locks: locksOf(flow) }
}

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

const reads = (member: Json, { numeric }: Known): Json =>
  numeric && typeof member === 'number' ? { type: 'static', value: member } : member

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
