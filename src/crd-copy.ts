/**
 * Does to a spec what the API server does when it stores an object: drops nulls that mean nothing, fills in defaults.
 * On the way it finds what the API server would silently prune, and what PostgreSQL or JavaScript could not keep.
 */

import type { Schema } from './crd-schema.ts'
import { unknownField } from './crd-words.ts'
import { below } from './places.ts'

/** Far deeper than anything people write, far from the end of the stack. */
const DEEPEST = 200
/** More faults help nobody, and a broken export could have millions. */
const MOST_FAULTS = 50

/** In Node since 20; the library of ES2023 does not know it yet. */
type WellFormed = string & { readonly isWellFormed: () => boolean }
type Fault = (sentence: string) => void
interface Place {
  readonly path: string
  readonly depth: number
}

export function copySpec(value: unknown, schema: Schema): { spec: unknown; faults: string[] } {
  const faults: string[] = []
  const fault = (sentence: string): void => {
    if (faults.length < MOST_FAULTS) faults.push(sentence)
  }
  return { spec: copyNode(value, schema, { path: 'spec', depth: 0 }, fault), faults }
}

const inside = ({ path, depth }: Place, key: string | number): Place => ({ path: below(path, key), depth: depth + 1 })

export const isObject = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function copyNode(value: unknown, schema: Schema, place: Place, fault: Fault): unknown {
  if (schema['x-kubernetes-preserve-unknown-fields']) return copyJson(value, place, fault)
  if (isObject(value)) {
    if (schema.properties) return copyFields(value, schema.properties, place, fault)
    if (schema.additionalProperties) return copyEntries(value, schema.additionalProperties, place, fault)
  }
  if (Array.isArray(value) && schema.items) {
    const { items } = schema
    findRepeated(value, schema, place, fault)
    return value.map((item, index) => copyNode(item, items, inside(place, index), fault))
  }
  return copyJson(value, place, fault)
}

const isMeaningless = (value: unknown, schema: Schema): boolean =>
  value === undefined || (value === null && !schema.nullable)

function copyFields(
  value: Record<string, unknown>,
  fields: Readonly<Record<string, Schema>>,
  place: Place,
  fault: Fault
): unknown {
  const copied: [string, unknown][] = []
  for (const [name, member] of Object.entries(value)) {
    const schema = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (!schema) fault(unknownField(place.path, name, Object.keys(fields)))
    else if (!isMeaningless(member, schema)) copied.push([name, copyNode(member, schema, inside(place, name), fault)])
  }
  const stated = new Set(copied.map(([name]) => name))
  for (const [name, schema] of Object.entries(fields)) {
    if (schema.default !== undefined && !stated.has(name)) copied.push([name, structuredClone(schema.default)])
  }
  return Object.fromEntries(copied)
}

function copyEntries(value: Record<string, unknown>, schema: Schema, place: Place, fault: Fault): unknown {
  const copied: [string, unknown][] = []
  for (const [key, member] of Object.entries(value)) {
    const where = inside(place, key)
    checkText(key, where.path, fault)
    if (!isMeaningless(member, schema)) copied.push([key, copyNode(member, schema, where, fault)])
  }
  return Object.fromEntries(copied)
}

function findRepeated(value: readonly unknown[], schema: Schema, { path }: Place, fault: Fault): void {
  const type = schema['x-kubernetes-list-type']
  if (type !== 'map' && type !== 'set') return
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const seen = new Map<string, number>()
  for (const [index, item] of value.entries()) {
    const identity = JSON.stringify(type === 'map' && isObject(item) ? keys.map(key => item[key]) : item)
    const first = seen.get(identity)
    if (first === undefined) seen.set(identity, index)
    else
      fault(
        `${below(path, index)}: repeats ${keys.join(' and ') || 'the value'} of ${below(path, first)}; remove one of them`
      )
  }
}

/** Copies free JSON as it is, nulls included. Built from entries, so that a key `__proto__` stays a key. */
function copyJson(value: unknown, place: Place, fault: Fault): unknown {
  const { path, depth } = place
  if (typeof value === 'string') checkText(value, path, fault)
  else if (typeof value === 'number' || typeof value === 'bigint') return copyNumber(value, path, fault)
  else if (typeof value === 'object' && value !== null) {
    if (depth > DEEPEST) fault(`${path.slice(0, 80)}…: is nested more than ${DEEPEST} levels deep`)
    else if (Array.isArray(value))
      return value.map((item: unknown, index) => copyJson(item, inside(place, index), fault))
    else if (isObject(value)) return copyMembers(value, place, fault)
    else fault(`${path}: is no JSON value; write a text, number, boolean, list or object`)
    return null
  } else if (typeof value !== 'boolean' && value !== null)
    fault(`${path}: is no JSON value; write a text, number, boolean, list or object`)
  return value
}

function copyMembers(value: Record<string, unknown>, place: Place, fault: Fault): unknown {
  const copied: [string, unknown][] = []
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue
    const where = inside(place, key)
    checkText(key, where.path, fault)
    copied.push([key, copyJson(member, where, fault)])
  }
  return Object.fromEntries(copied)
}

function copyNumber(value: number | bigint, path: string, fault: Fault): number {
  const number = Number(value)
  if (!Number.isFinite(number)) fault(`${path}: is no finite number`)
  else if (Number.isInteger(number) && !Number.isSafeInteger(number)) {
    fault(`${path}: is an integer beyond 2^53, which would be rounded on the way; write it as a string`)
  }
  return number
}

function checkText(text: string, path: string, fault: Fault): void {
  if (text.includes('\0')) fault(`${path}: holds the character U+0000, which PostgreSQL cannot store; remove it`)
  // A lone half of a surrogate pair is no character, and would become another text on its way.
  if (!(text as WellFormed).isWellFormed())
    fault(`${path}: holds half of a surrogate pair, which is no character; repair the text`)
}
