/** Canonical JSON and its hash: equal meaning gives equal bytes, whatever the order of keys. */
import { createHash } from 'node:crypto'
import type { Json, Row } from './model.ts'

/** A digest of a row's content. */
export type Digest = string & { readonly brand: 'Digest' }
/** A cheap mark of a CR's whole input. */
export type Fingerprint = string & { readonly brand: 'Fingerprint' }

/** Keys sorted by UTF-16, undefined dropped, numbers as JavaScript prints them (so 1.0 = 1). */
export function canonical(value: Json | undefined): string {
  // What comes from a cluster is in order mostly; then the native writer gives the same text several times as fast.
  return isInOrder(value) ? (JSON.stringify(value) ?? 'null') : spelled(value)
}

function isInOrder(value: Json | undefined): boolean {
  if (value === null || typeof value !== 'object') return true
  if (Array.isArray(value)) {
    // An undefined item becomes null either way.
    for (const item of value as readonly Json[]) if (!isInOrder(item)) return false
    return true
  }
  const object = value as { readonly [key: string]: Json | undefined }
  let last = ''
  for (const key of Object.keys(object)) {
    if (key < last || !isInOrder(object[key])) return false
    last = key
  }
  return true
}

function spelled(value: Json | undefined): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) {
    let text = '['
    for (let i = 0; i < value.length; i++) text += (i ? ',' : '') + spelled(value[i])
    return `${text}]`
  }
  const object = value as { readonly [key: string]: Json | undefined }
  let text = '{'
  for (const key of Object.keys(object).sort()) {
    const member = object[key]
    if (member !== undefined) text += `${text.length > 1 ? ',' : ''}${JSON.stringify(key)}:${spelled(member)}`
  }
  return `${text}}`
}

/** Whether two values mean the same; texts are compared as they are. */
export function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return a === b || (typeof a === 'object' && typeof b === 'object' && canonical(a) === canonical(b))
}

/** Longer texts are handed to the hash by themselves instead of being copied into one more text. */
const LONG = 512

/** SHA-256 of a row's canonical JSON, 43 characters. */
export function digestOf(row: Row): Digest {
  const hash = createHash('sha256')
  let text = '{'
  let comma = ''
  for (const key of Object.keys(row).sort()) {
    const member = row[key]
    if (member === undefined) continue
    const spelt = canonical(member)
    text += `${comma}${JSON.stringify(key)}:`
    comma = ','
    if (spelt.length < LONG) text += spelt
    else {
      hash.update(text).update(spelt)
      text = ''
    }
  }
  return hash.update(`${text}}`).digest('base64url') as Digest
}

/** SHA-256 of a list of texts, shortened to 128 bits: a mark, never a proof. */
export function fingerprintOf(parts: readonly string[]): Fingerprint {
  const hash = createHash('sha256')
  let text = ''
  for (const part of parts) {
    if (part.length < LONG) text += `${part}\0`
    else {
      hash.update(text).update(part)
      text = '\0'
    }
  }
  return shortened(hash.update(text).digest('base64url')) as Fingerprint
}

/** 128 bits of a digest as a text of its own: a slice of a text keeps the whole of it alive. */
export const shortened = (digest: string): string => Buffer.from(digest, 'latin1').toString('latin1', 0, 22)

/** The annotations of ours, without prefix, that change what becomes of a CR. A listing need not tell any other. */
export const markedAnnotations = [
  'conflict-policy',
  'deletion-policy',
  'adopt',
  'reconcile',
  'sync-requested-at',
  'archived'
] as const

const none: Readonly<Record<string, never>> = Object.freeze({})

/** Digests of the stated ones of some fields. */
export function marksOf(row: Row, fields: readonly string[] = []): Readonly<Record<string, Digest>> {
  if (fields.length === 0) return none
  const stated = fields.filter(field => row[field] !== undefined)
  return Object.fromEntries(stated.map(field => [field, digestOf({ v: row[field] ?? null })]))
}

/**
 * A row as it is compared: fields that Windmill rewrites stand for themselves by a digest, which for those named in
 * `asDeployed` is the remembered digest of what was deployed rather than that of what the row shows now.
 */
export function sealed(
  row: Row,
  rewritten: readonly string[] = [],
  asDeployed: readonly string[] = [],
  deployed: Readonly<Record<string, string>> = {}
): Row {
  if (rewritten.length === 0) return row
  const remembered = asDeployed.flatMap(field => (deployed[field] === undefined ? [] : [[field, deployed[field]]]))
  return { ...row, ...marksOf(row, rewritten), ...Object.fromEntries(remembered) }
}

/** A row less some of its fields. */
export const without = (row: Row, fields: readonly string[]): Row =>
  fields.length === 0 ? row : Object.fromEntries(Object.entries(row).filter(([field]) => !fields.includes(field)))

/** The stated fields of a fuller row; a field that the row lacks counts as null. */
export function project(row: Row, fields: readonly string[]): Row {
  const projected: Record<string, Json> = {}
  for (const field of fields) projected[field] = row[field] ?? null
  return projected
}
