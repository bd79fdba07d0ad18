/** Copies of a flow's value with keys left out or objects changed: one walk for storing, comparing and validating. */
import type { Json } from '../model.ts'
import { below } from '../places.ts'
import { flowShape, type Known, type Shape, type ShapeOf } from './flow-keys.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** A key, and the place of the object that has it. */
export interface At {
  readonly place: string
  readonly key: string
}

export interface Rules {
  /** Whether a member (already rebuilt) stays; `known` is undefined for a key that no Windmill here knows. */
  readonly keeps: (member: Json, known: Known | undefined, at: At) => boolean
  /** Changes an object before its members are looked at. */
  readonly alters?: (object: JsonObject, shape: Shape['name'], place: string) => JsonObject
  /** Changes a member before anything below it is looked at. */
  readonly reads?: (member: Json, known: Known) => Json
}

/** Total: what has not the shape of a flow stays as it is. */
export const rebuilt = (flow: Json, root: string, rules: Rules): Json => objectOf(flow, flowShape, root, rules)

function objectOf(value: Json, shapeOf: ShapeOf, place: string, rules: Rules): Json {
  if (!isObject(value)) return value
  const { name, keys } = shapeOf(value)
  const altered = rules.alters?.(value, name, place) ?? value
  const members = Object.entries(altered).flatMap(([key, member]): [string, Json][] => {
    if (member === undefined) return []
    const known = Object.hasOwn(keys, key) ? keys[key] : undefined
    const inner = below(place, key)
    const made = known ? memberOf(rules.reads?.(member, known) ?? member, known, inner, rules) : member
    return rules.keeps(made, known, { place, key }) ? [[key, made]] : []
  })
  return Object.fromEntries(members)
}

function memberOf(member: Json, known: Known, place: string, rules: Rules): Json {
  const { object, items, members } = known
  if (object) return objectOf(member, object, place, rules)
  if (items && Array.isArray(member)) {
    return member.map((item: Json, at) => objectOf(item, items, below(place, at), rules))
  }
  if (members && isObject(member)) {
    return Object.fromEntries(
      Object.entries(member).flatMap(([key, one]): [string, Json][] =>
        one === undefined ? [] : [[key, objectOf(one, members, below(place, key), rules)]]
      )
    )
  }
  return member
}
