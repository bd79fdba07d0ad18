/** What a schema says about types, lengths, forms and limits: checked by ajv, told as sentences without values. */
import { Ajv, type ErrorObject } from 'ajv'
import formats from 'ajv-formats'
import type { Schema } from './crd-schema.ts'
import { nearest } from './crd-words.ts'
import { below, placeOf } from './places.ts'

export type CheckTypes = (spec: unknown) => readonly string[]

const goSpace = String.raw`\t\n\f\r `

/** The API server's patterns are Go's: to those, a no-break space and its like are no white space, to ours they are. */
export const goRegExp = Object.assign(
  (pattern: string, flags: string): RegExp => {
    let inClass = false
    const source = pattern.replace(/\\[\s\S]|[[\]]/g, token => {
      if (token === '[') inClass = true
      else if (token === ']') inClass = false
      else if (token === '\\s') return inClass ? goSpace : `[${goSpace}]`
      else if (token === '\\S') return `[^${goSpace}]`
      return token
    })
    return new RegExp(source, flags)
  },
  // How ajv would write it down, which it never does here.
  { code: 'goRegExp' }
)

/** Our own schemas need no check against that of schemas, which would be compiled first; nor does a short check pay for a better one. */
const compiledFast = { meta: false, validateSchema: false, code: { optimize: false, regExp: goRegExp } } as const

export function typesOf(schema: Schema): CheckTypes {
  const ajv = new Ajv({ allErrors: true, verbose: true, strictTypes: false, strictRequired: false, ...compiledFast })
  formats.default(ajv)
  useFastLengths(ajv)
  const validate = ajv.compile(jsonSchema(schema))
  return spec => {
    if (validate(spec)) return []
    const errors = validate.errors ?? []
    // `format: int32` only repeats what the limits of the field say better.
    const telling = errors.filter(({ keyword }) => keyword !== 'format')
    return [...new Set((telling.length > 0 ? telling : errors).map(error => sentence(error, spec)))]
  }
}

/** ajv counts the characters of every text, which for contents of some kilobytes takes longer than all else here. */
function useFastLengths(ajv: Ajv): void {
  const fits = (limit: number) => (text: string) => text.length <= limit || Array.from(text).length <= limit
  const fills = (limit: number) => (text: string) => text.length >= 2 * limit || Array.from(text).length >= limit
  for (const [keyword, compile] of Object.entries({ maxLength: fits, minLength: fills })) {
    ajv.removeKeyword(keyword).addKeyword({ keyword, type: 'string', schemaType: 'number', compile })
  }
}

/** The part of a structural schema that JSON Schema has, too. Unknown fields and defaults were dealt with before. */
function jsonSchema(schema: Schema): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === 'properties') kept[keyword] = mapValues(value as Record<string, Schema>, jsonSchema)
    else if (keyword === 'items' || keyword === 'additionalProperties') kept[keyword] = jsonSchema(value as Schema)
    else if (keyword === 'nullable' ? schema.type : keyword !== 'default' && !keyword.startsWith('x-'))
      kept[keyword] = value
  }
  return kept
}

const mapValues = <T, U>(record: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))

function sentence(error: ErrorObject, spec: unknown): string {
  const path = placeOf(error.instancePath, spec, 'spec')
  const params = error.params as { readonly missingProperty?: string }
  if (error.keyword === 'required') return `${below(path, params.missingProperty ?? '')}: missing; it is required`
  return `${path}: ${complaint(error)}`
}

function complaint({ keyword, params, schema: given, parentSchema, data }: ErrorObject): string {
  const limit = Number(given)
  const { type, allowedValues } = params as { type?: string; allowedValues?: readonly string[] }
  const schema = (parentSchema ?? {}) as Schema & { readonly pattern?: string }
  switch (keyword) {
    case 'type':
      return `must be ${typeNames[type ?? ''] ?? type}, but is ${nameOf(data)}${type === 'string' && isScalar(data) ? '; put it in quotes' : ''}`
    case 'enum':
      return `must be one of ${(allowedValues ?? []).join(', ')}${suggestion(data, allowedValues ?? [])}`
    case 'pattern':
      return `must match ${schema.pattern}${hintOf(schema)}`
    case 'minLength':
      return limit === 1 ? 'must not be empty' : `must have at least ${limit} characters`
    case 'maxLength':
      return `must have at most ${limit} characters`
    case 'minimum':
      return `must be at least ${limit}`
    case 'maximum':
      return `must be at most ${limit}`
    case 'minItems':
    case 'minProperties':
      return limit === 1 ? 'must have an entry; leave the field out instead' : `must have at least ${limit} entries`
    case 'maxItems':
    case 'maxProperties':
      return `must have at most ${limit} entries`
    default:
      return `breaks the rule ${keyword} of the schema`
  }
}

/** Descriptions of fields with a pattern end with `Form: …`: one wording for kubectl explain and for faults. */
function hintOf({ description }: Schema): string {
  const form = description?.split('Form: ')[1]
  return form === undefined ? '' : `: ${form.replace(/\.$/, '')}`
}

/** Only fields with a closed list of words get here; none of them is secret, and only the word meant is told. */
function suggestion(data: unknown, words: readonly string[]): string {
  const meant = typeof data === 'string' ? nearest(data, words) : undefined
  return meant === undefined ? '' : `; did you mean ${meant}?`
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list'
}

const isScalar = (data: unknown): boolean => typeof data === 'number' || typeof data === 'boolean'

function nameOf(data: unknown): string {
  if (data === null) return 'null'
  if (Array.isArray(data)) return 'a list'
  return typeNames[typeof data] ?? typeof data
}
