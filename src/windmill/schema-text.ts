/** Argument schemas: an object, or JSON text where the order of keys matters. */
import { SyncError } from '../errors.ts'
import type { Json, Row } from '../model.ts'
import { isObject, refuseDeep, refuseUnstorable, roundedNotes } from './json-values.ts'

/** `json` columns keep text, so the text is what is stored. */
export interface SchemaText {
  /** Stored as it is. */
  readonly text: string
  /** `schema` is compared whatever the order of keys; `schemaText`, only where text was given, with it. */
  readonly row: Row
  readonly notes: readonly string[]
}

/** Throws InvalidSpec for text that is no JSON, and for anything but an object. */
export function readSchema(given: Json, field = 'schema'): SchemaText {
  const schema = typeof given === 'string' ? parsed(given, field) : given
  refuseDeep(field, schema)
  refuseUnstorable(field, schema)
  if (!isObject(schema)) throw new SyncError('InvalidSpec', `${field}: must be an object, or JSON text of one.`)
  const notes = roundedNotes(field, schema)
  if (typeof given !== 'string') return { text: JSON.stringify(schema), row: { schema }, notes }
  return { text: given, row: { schema, schemaText: compact(schema) }, notes }
}

/** The parser's message would quote the text. */
function parsed(text: string, field: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new SyncError('InvalidSpec', `${field}: no valid JSON text; correct it, or give an object.`)
  }
}

/** The two fields of a stored schema. */
export function schemaRow(text: string | null): Row {
  if (text === null) return { schema: null, schemaText: null }
  const schema = JSON.parse(text) as Json
  return { schema, schemaText: schema === null ? null : compact(schema) }
}

/** White space is no difference, the order of keys is. */
const compact = (schema: Json): string => JSON.stringify(schema)
