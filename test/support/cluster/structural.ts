/** What an API server does to a custom object before it stores it: prune, drop nulls, default, validate. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import formats from 'ajv-formats'
import { goRegExp } from '../../../src/crd-types.ts'
import { ruleFaults } from './rules.ts'
import type { Cause, Fields, Schema } from './types.ts'
import { isFields } from './types.ts'

const ROOT = ['apiVersion', 'kind', 'metadata']

/** Removes what the schema does not know, and tells what that was (`spec.foo`, `spec.list[0].bar`). */
export function prune(object: Fields, schema: Schema): string[] {
  const removed: string[] = []
  pruneAt(object, schema, { path: '', root: true, removed })
  return removed
}

interface Pruning {
  readonly path: string
  readonly root: boolean
  readonly removed: string[]
}

function pruneAt(value: unknown, schema: Schema | undefined, at: Pruning): void {
  if (Array.isArray(value)) {
    // Nothing is said about the items of a list that may be any JSON.
    if (!schema?.items && schema?.['x-kubernetes-preserve-unknown-fields']) return
    for (const [index, item] of value.entries()) {
      pruneAt(item, schema?.items, { ...at, root: false, path: `${at.path}[${index}]` })
    }
    return
  }
  if (!isFields(value)) return
  const more = schema?.additionalProperties
  const free = schema?.['x-kubernetes-preserve-unknown-fields'] === true || more === true
  const embedded = at.root || schema?.['x-kubernetes-embedded-resource'] === true
  for (const key of Object.keys(value)) {
    if (embedded && ROOT.includes(key)) continue
    const path = at.path ? `${at.path}.${key}` : key
    const known = schema?.properties?.[key] ?? (isFields(more) ? more : undefined)
    if (known) pruneAt(value[key], known, { ...at, root: false, path })
    else if (!free) {
      delete value[key]
      at.removed.push(path)
    }
  }
}

/** `null` where the schema does not allow it means "not stated": gone, or replaced by the default. */
export function fillIn(value: unknown, schema: Schema | undefined): void {
  if (!schema) return
  if (Array.isArray(value)) {
    for (const item of value) fillIn(item, schema.items)
  } else if (isFields(value)) {
    for (const [key, property] of Object.entries(schema.properties ?? {})) fillInProperty(value, key, property)
    const more = schema.additionalProperties
    if (!isFields(more)) return
    for (const key of Object.keys(value)) if (!schema.properties?.[key]) fillInProperty(value, key, more)
  }
}

function fillInProperty(value: Fields, key: string, property: Schema): void {
  const missing = value[key] === undefined || (value[key] === null && !property.nullable)
  if (missing && property.default !== undefined) value[key] = structuredClone(property.default)
  else if (missing) delete value[key]
  fillIn(value[key], property)
}

const ajv = new Ajv({ strict: false, allErrors: true, verbose: true, logger: false, code: { regExp: goRegExp } })
formats.default(ajv)

const validators = new WeakMap<Schema, ValidateFunction>()

/** The Kubernetes dialect in plain JSON schema. */
function plain(schema: Schema): Schema {
  const {
    'x-kubernetes-int-or-string': either,
    nullable,
    type,
    properties,
    additionalProperties,
    items,
    ...rest
  } = schema
  delete rest['x-kubernetes-validations']
  const types = either ? ['integer', 'string'] : type ? [type] : []
  return {
    ...rest,
    ...(types.length > 0 && ({ type: nullable ? [...types, 'null'] : types } as Fields)),
    ...(nullable && Array.isArray(rest['enum']) && { enum: [...rest['enum'], null] }),
    ...(properties && { properties: mapped(properties) }),
    ...(additionalProperties !== undefined && {
      additionalProperties: isFields(additionalProperties) ? plain(additionalProperties) : additionalProperties
    }),
    ...(items && { items: plain(items) })
  }
}

const mapped = (schemas: Record<string, Schema>): Record<string, Schema> =>
  Object.fromEntries(Object.entries(schemas).map(([key, schema]) => [key, plain(schema)]))

function validatorOf(schema: Schema): ValidateFunction {
  let check = validators.get(schema)
  if (!check) {
    check = ajv.compile(plain(schema))
    validators.set(schema, check)
  }
  return check
}

export const accepts = (schema: Schema, value: unknown): boolean => validatorOf(schema)(value)

/** All faults, worded and ordered much as the real server words them. CEL rules run only on sound objects. */
export function validate(object: Fields, schema: Schema, before?: Fields): Cause[] {
  const check = validatorOf(schema)
  if (check(object)) return ruleFaults(object, schema, before)
  return (check.errors ?? []).map(causeOf)
}

/** `/spec/list/0/path` as `spec.list[0].path`. */
function dotted(pointer: string, last = ''): string {
  const parts = pointer
    .split('/')
    .slice(1)
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  if (last) parts.push(last)
  return (
    parts.map((part, index) => (/^\d+$/.test(part) ? `[${part}]` : index > 0 ? `.${part}` : part)).join('') || '<nil>'
  )
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'null'
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

function causeOf({ keyword, instancePath, params, message, data }: ErrorObject): Cause {
  const field = dotted(instancePath)
  const got = shown(data)
  switch (keyword) {
    case 'required':
      return {
        reason: 'FieldValueRequired',
        message: 'Required value',
        field: dotted(instancePath, String(params['missingProperty']))
      }
    case 'enum': {
      const allowed = (params['allowedValues'] as unknown[]).map(shown).join(', ')
      return {
        reason: 'FieldValueNotSupported',
        message: `Unsupported value: ${got}: supported values: ${allowed}`,
        field
      }
    }
    case 'type': {
      const is = Array.isArray(data)
        ? 'array'
        : data === null
          ? 'null'
          : typeof data === 'number'
            ? 'number'
            : typeof data
      const told = `Invalid value: "${is}": ${field} in body must be of type ${String(params['type']).replace(',null', '')}: "${is}"`
      return { reason: 'FieldValueTypeInvalid', message: told, field }
    }
    case 'maxLength':
      return { reason: 'FieldValueTooLong', message: `Too long: may not be more than ${params['limit']} bytes`, field }
    case 'pattern':
      return {
        reason: 'FieldValueInvalid',
        message: `Invalid value: ${got}: ${field} in body should match '${params['pattern']}'`,
        field
      }
    default:
      return {
        reason: 'FieldValueInvalid',
        message: `Invalid value: ${got}: ${field} in body ${message ?? keyword}`,
        field
      }
  }
}
