/** Free JSON: shape checks, and its leaves. */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'
import { refuseControl } from './texts.ts'

export type JsonObject = { readonly [key: string]: Json | undefined }

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A value that holds no other, and the keys that lead to it; the items of a list share the keys of the list. */
export interface Leaf {
  readonly place: readonly string[]
  readonly value: null | boolean | number | string
  /** The keys that lead to the outermost list around it, if there is one. */
  readonly list: readonly string[] | undefined
}

export function leavesOf(value: Json, place: readonly string[] = [], list?: readonly string[]): readonly Leaf[] {
  if (value === null || typeof value !== 'object') return [{ place, value, list }]
  if (Array.isArray(value)) return (value as readonly Json[]).flatMap(item => leavesOf(item, place, list ?? place))
  return Object.entries(value).flatMap(([key, member]) =>
    member === undefined ? [] : leavesOf(member, [...place, key], list)
  )
}

/** Far below what overflows a stack anywhere; nothing made by people comes near it. */
const DEPTH = 100

/** Must be called before anything walks over a value of unknown origin. */
export function refuseDeep(field: string, value: Json | undefined, depth = DEPTH): void {
  if (value === null || typeof value !== 'object') return
  if (depth === 0) throw new SyncError('InvalidSpec', `${field}: more than ${DEPTH} levels deep; flatten it.`)
  for (const member of Object.values(value)) refuseDeep(field, member, depth - 1)
}

/** What `jsonb` cannot hold, in keys or texts: NUL and halves of surrogate pairs. JSON text can spell both. */
export function refuseUnstorable(field: string, value: Json): void {
  if (typeof value === 'string') {
    refuseControl(field, value)
    refuseHalves(field, value)
  }
  if (value === null || typeof value !== 'object') return
  for (const [key, member] of Object.entries(value)) {
    refuseUnstorable(field, key)
    if (member !== undefined) refuseUnstorable(field, member)
  }
}

/** In Node since 20; the library of ES2023 does not know it yet. */
type WellFormed = string & { readonly isWellFormed: () => boolean }

export function refuseHalves(field: string, text: string): void {
  if ((text as WellFormed).isWellFormed()) return
  throw new SyncError(
    'InvalidSpec',
    `${field}: the text holds half a surrogate pair (\\ud800 to \\udfff alone); correct it.`
  )
}

/** Integers written with all their digits, which JavaScript (and so this program) rounds; 1e21 is what it says. */
export function roundedNotes(field: string, value: Json): readonly string[] {
  return holdsRounded(value) ? [`${field}: integers beyond 2^53 are rounded.`] : []
}

function holdsRounded(value: Json | undefined): boolean {
  if (typeof value === 'number')
    return Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21
  if (typeof value !== 'object' || value === null) return false
  return Array.isArray(value) ? value.some(holdsRounded) : Object.values(value).some(holdsRounded)
}
