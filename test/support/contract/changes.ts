/** Other specs that a CRD takes as well: every stated field changed, only what must be, odd and large values. */
import type { Schema } from '../../../src/crd-schema.ts'
import { type Cr, crds, type Fields, furniture, type Secret } from './examples.ts'
import { type Hints, hintsOf } from './hints.ts'

type Leaf = (schema: Schema, value: unknown, path: string) => unknown

/** Walks through the stated fields; `leaf` gives the new value. What hints call fixed stays. */
function walk(schema: Schema, value: unknown, path: string, leaf: Leaf): unknown {
  if (value === null || value === undefined) return value
  if (schema.properties && isFields(value)) {
    const below = Object.entries(value).map(([key, member]) => {
      const inner = schema.properties?.[key]
      const place = path === '' ? key : `${path}.${key}`
      return [key, inner ? walk(inner, member, place, leaf) : member]
    })
    return Object.fromEntries(below) as Fields
  }
  return leaf(schema, value, path)
}

const isFields = (value: unknown): value is Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
const isReference = ({ properties }: Schema): boolean => properties !== undefined && 'key' in properties

export interface Changed {
  readonly spec: Fields
  /** Those that were changed, and those that get another text from a changed Secret. */
  readonly fields: readonly string[]
}

/** Every stated field says something else, but points to the same place. */
export function changed({ kind, spec }: Pick<Cr, 'kind' | 'spec'>): Changed {
  const hints = hintsOf(kind)
  const fields: string[] = []
  const leaf: Leaf = (schema, value, path) => {
    const other = otherValue(schema, value, path, hints)
    if (other !== value || refersToSecret(schema)) fields.push(path)
    return other
  }
  const schema = crds.schema(kind)
  const made = Object.entries(spec).map(([name, value]) => {
    const inner = schema.properties?.[name]
    if (!inner || isFixed(name, hints)) return [name, value]
    if (refersToSecret(inner)) fields.push(name)
    return [name, refersToSecret(inner) ? value : walk(inner, value, name, leaf)]
  })
  return { spec: valid(kind, Object.fromEntries(made) as Fields), fields }
}

const places = ['workspace', 'path', 'name', 'id']
const isFixed = (path: string, { fixed = [], changed = {} }: Hints): boolean =>
  (places.includes(path) || fixed.includes(path)) && !(path in changed)

function refersToSecret(schema: Schema): boolean {
  if (isReference(schema)) return true
  return [...Object.values(schema.properties ?? {}), schema.items].some(one => one !== undefined && refersToSecret(one))
}

function otherValue(schema: Schema, value: unknown, path: string, hints: Hints): unknown {
  if (isFixed(path, hints)) return value
  const hint = hints.changed?.[path]
  if (hint !== undefined) return typeof hint === 'function' ? (hint as (value: unknown) => unknown)(value) : hint
  if (typeof value === 'boolean') return !value
  if (typeof value === 'number') return value + 1
  if (typeof value === 'string') return otherText(schema, value)
  if (Array.isArray(value)) {
    const item = schema.items
    const others = value.map((one: unknown) =>
      item ? walk(item, one, `${path}[]`, (s, v, p) => otherValue(s, v, p, hints)) : one
    )
    return typeof value[0] === 'string' ? [...(value as unknown[]), ...others.slice(-1)] : others
  }
  if (schema.additionalProperties && isFields(value)) {
    const inner = schema.additionalProperties
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, otherValue(inner, one, `${path}{}`, hints)])
    )
  }
  return isFields(value) ? { ...value, added_by_the_test: ['one', 2, { three: null }] } : value
}

/** A text that differs and fits what the schema asks of it. */
function otherText(schema: Schema, value: string): string {
  const { pattern, maxLength } = schema as Schema & { pattern?: string; maxLength?: number }
  const tries = [...(schema.enum ?? []), `${value}_2`, `${value}x`, `${value.slice(0, -1)}0`, `${value.slice(0, -1)}1`]
  const other = tries.find(
    one =>
      one !== value &&
      (schema.enum ?? [one]).includes(one) &&
      (pattern === undefined || new RegExp(pattern).test(one)) &&
      one.length <= (maxLength ?? Infinity)
  )
  if (other === undefined) throw new Error('no other text fits the schema: give one in hints.ts')
  return other
}

/** Secrets with other texts, and if `mapped` is given ConfigMaps too; what is JSON stays JSON. */
function secretsWith(
  other: (text: string) => string,
  mapped?: (key: string, text: string) => string
): readonly Secret[] {
  const inside = (text: string): string => {
    if (!text.startsWith('{')) return other(text)
    const members = Object.entries(JSON.parse(text) as Fields)
    return JSON.stringify(
      Object.fromEntries(members.map(([key, one]) => [key, typeof one === 'string' ? other(one) : one]))
    )
  }
  return furniture.map(one => {
    if (one.kind === 'ConfigMap' && mapped) {
      const data = Object.entries(one.data ?? {}).map(([key, text]) => [key, mapped(key, text)])
      return { ...one, data: Object.fromEntries(data) as Record<string, string> }
    }
    if (one.kind !== 'Secret') return one
    const texts = Object.entries(one.stringData ?? {}).map(([key, text]) => [key, inside(text)])
    return { ...one, stringData: Object.fromEntries(texts) as Record<string, string> }
  })
}

/** Only what must be stated, and what hints call fixed. */
export function bare({ kind, spec }: Pick<Cr, 'kind' | 'spec'>): Fields {
  let left = spec
  for (const name of Object.keys(spec)) {
    if (name === 'workspace' || hintsOf(kind).fixed?.includes(name)) continue
    const { [name]: _, ...rest } = left
    if (crds.validator(kind)(rest).faults.length === 0) left = rest
  }
  return left
}

/** A CR with one more text stated than must be. */
export function withText({ kind, spec }: Pick<Cr, 'kind' | 'spec'>): Fields {
  const hints = hintsOf(kind)
  const free = Object.entries(crds.schema(kind).properties ?? {}).find(
    ([name, schema]) => schema.type === 'string' && !('pattern' in schema) && !(name in spec) && !isFixed(name, hints)
  )
  return valid(kind, { ...spec, ...(free && { [free[0]]: 'now stated' }) })
}

const odd = 'Grüße, "double" \'single\' \\back\\slash\\n ${x} {{y}} $1 %s ; -- 日本語 العربية 🦀 👩‍👩‍👧 \u2028 e\u0301'
const oddJson = {
  zeta: odd,
  [odd]: [odd, '', 0, -0.5, 1e-7, 9007199254740991, true, null, {}, []],
  alpha: { z: { b: 1, a: [{ y: odd, x: null }] }, '': 'an empty key', __proto__x: 1 }
}
const large = 1_000_000

export const otherSecrets = secretsWith(text => `${text}-2`, otherFile)
export const oddSecrets = secretsWith(() => `${odd}\r\n\t`)

/** Free texts and free JSON with what is hard to quote, up to the greatest length; one has a megabyte if `isLarge`. */
export function oddOf({ kind, spec }: Pick<Cr, 'kind' | 'spec'>, isLarge: boolean): Fields {
  const hints = hintsOf(kind)
  let room = isLarge
  const takeRoom = (): boolean => [room, (room = false)][0] ?? false
  const leaf: Leaf = (schema, value, path) => {
    const { pattern, maxLength = large } = schema as Schema & { pattern?: string; maxLength?: number }
    if (isFixed(path, hints) || path in (hints.changed ?? {})) return value
    if (typeof value === 'string' && pattern === undefined && !schema.enum) {
      const longest = hints.longest?.[path] ?? maxLength
      return fill(longest < large || takeRoom() ? longest : odd.length)
    }
    const isFree = schema['x-kubernetes-preserve-unknown-fields'] && isFields(value)
    return isFree ? { ...value, ...oddJson, ...(takeRoom() && { big: fill(large) }) } : value
  }
  const made = Object.entries(spec).map(([name, value]) => {
    const inner = crds.schema(kind).properties?.[name]
    return [name, inner && !isFixed(name, hints) ? walk(inner, value, name, leaf) : value]
  })
  return valid(kind, Object.fromEntries(made) as Fields)
}

/** A file with one thing more in it: a member, or a line that is a comment in most languages. */
function otherFile(key: string, text: string): string {
  if (key.endsWith('.json')) return JSON.stringify({ ...(JSON.parse(text) as Fields), added_by_the_test: true })
  return key.endsWith('.yaml') ? `${text}\nadded_by_the_test: true\n` : `${text}\n# 2\n`
}

/** Odd text of at most so many UTF-16 units, no character cut. */
function fill(length: number): string {
  const text = odd.repeat(Math.ceil(length / odd.length)).slice(0, length)
  return /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text
}

/** The same, every object's keys the other way round. */
export function reversed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(reversed) as T
  if (!isFields(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, one]) => [key, reversed(one)])
  ) as T
}

function valid(kind: string, spec: Fields): Fields {
  const { faults } = crds.validator(kind)(spec)
  if (faults.length > 0)
    throw new Error(`the test made a spec that the CRD refuses: ${faults.join('; ')}; see hints.ts`)
  return spec
}
