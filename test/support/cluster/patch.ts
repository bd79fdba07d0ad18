/** The patch formats, on plain values. */
import { badRequest } from './refusal.ts'
import type { Fields } from './types.ts'
import { isFields } from './types.ts'

/** RFC 7396. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch
  const result: Fields = isFields(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = mergePatch(result[key], value)
  }
  return result
}

/** Server-side apply, simplified: maps are merged, everything else (null too) is what the manifest says. */
export function overlay(target: unknown, wanted: unknown): unknown {
  if (!isFields(target) || !isFields(wanted)) return wanted
  const result: Fields = { ...target }
  for (const [key, value] of Object.entries(wanted)) result[key] = overlay(result[key], value)
  return result
}

interface Operation {
  op: string
  path: string
  from?: string
  value?: unknown
}

/** RFC 6902. */
export function jsonPatch(target: Fields, operations: unknown): Fields {
  if (!Array.isArray(operations))
    throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch')
  const document = { root: structuredClone(target) as unknown }
  for (const operation of operations as Operation[]) apply(document, operation)
  return document.root as Fields
}

function apply(document: Fields, { op, path, from = '', value }: Operation): void {
  if (op === 'remove') take(document, path)
  else if (op === 'move') put(document, path, take(document, from))
  else if (op === 'copy') put(document, path, structuredClone(read(document, from)))
  else if (op === 'add') put(document, path, value)
  else if (op === 'replace') {
    take(document, path)
    put(document, path, value)
  } else if (op === 'test') {
    if (JSON.stringify(read(document, path)) !== JSON.stringify(value))
      throw badRequest(`testing value ${path} failed: test failed`)
  } else throw badRequest(`Unexpected kind: ${op}`)
}

function locate(document: Fields, pointer: string): { parent: Fields | unknown[]; key: string } {
  const parts = [
    'root',
    ...pointer
      .split('/')
      .slice(1)
      .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  ]
  const key = parts.pop()!
  let parent: unknown = document
  for (const part of parts) parent = (parent as Fields | undefined)?.[part]
  if (typeof parent !== 'object' || parent === null) throw badRequest(`the path ${pointer} does not exist`)
  return { parent: parent as Fields | unknown[], key }
}

function read(document: Fields, pointer: string): unknown {
  const { parent, key } = locate(document, pointer)
  return (parent as Fields)[key]
}

function put(document: Fields, pointer: string, value: unknown): void {
  const { parent, key } = locate(document, pointer)
  if (Array.isArray(parent)) parent.splice(key === '-' ? parent.length : Number(key), 0, value)
  else parent[key] = value
}

function take(document: Fields, pointer: string): unknown {
  const { parent, key } = locate(document, pointer)
  if (!Object.hasOwn(parent, key))
    throw badRequest(`remove operation does not apply: doc is missing path: "${pointer}": missing value`)
  if (Array.isArray(parent)) return parent.splice(Number(key), 1)[0]
  const value = parent[key]
  delete parent[key]
  return value
}
