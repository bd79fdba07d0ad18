/** Canonical JSON and its hash: equal meaning gives equal bytes, whatever the order of keys. */
import { createHash } from 'node:crypto'
import type { Json, Row } from './model.ts'

/** A digest of a row's content. */
export type Digest = string & { readonly brand: 'Digest' }
/** A cheap mark of a CR's whole input. */
export type Fingerprint = string & { readonly brand: 'Fingerprint' }

/** Keys sorted by UTF-16, undefined dropped, numbers as JavaScript prints them (so 1.0 = 1). */
export function canonical(value: Json | undefined): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) {
    let text = '['
    for (let i = 0; i < value.length; i++) text += (i ? ',' : '') + canonical(value[i])
    return `${text}]`
  }
  const object = value as { readonly [key: string]: Json | undefined }
  let text = '{'
  for (const key of Object.keys(object).sort()) {
    const member = object[key]
    if (member !== undefined) text += `${text.length > 1 ? ',' : ''}${JSON.stringify(key)}:${canonical(member)}`
  }
  return `${text}}`
}

/** SHA-256 of a row's content, 43 characters. */
export function digestOf(row: Row): Digest {
  return createHash('sha256').update(canonical(row)).digest('base64url') as Digest
}

/** SHA-256 of a list of texts, shortened to 128 bits: a mark, never a proof. */
export function fingerprintOf(parts: readonly string[]): Fingerprint {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('base64url').slice(0, 22) as Fingerprint
}

/** The annotations of ours, without prefix, that change what becomes of a CR. A listing need not tell any other. */
export const markedAnnotations = [
  'conflict-policy',
  'deletion-policy',
  'adopt',
  'reconcile',
  'sync-requested-at',
  'archived'
] as const

/** Digests of the stated ones of some fields. */
export function marksOf(row: Row, fields: readonly string[] = []): Readonly<Record<string, Digest>> {
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
