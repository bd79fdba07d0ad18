/** What a CRD's schema must be for a real server to take it: structural, with rules that compile. */
import { ruleCompiles } from './rules.ts'
import { accepts } from './structural.ts'
import type { Cause, Schema } from './types.ts'
import { isFields } from './types.ts'

const FORBIDDEN = [
  '$ref',
  'definitions',
  'dependencies',
  'deprecated',
  'discriminator',
  'id',
  'patternProperties',
  'readOnly',
  'writeOnly',
  'xml'
]

/** Keywords that say what a value is belong outside of allOf, anyOf, oneOf and not. */
const STRUCTURE = ['type', 'default', 'additionalProperties', 'nullable', 'description', 'title']

export function schemaFaults(schema: Schema, path = 'spec.validation.openAPIV3Schema'): Cause[] {
  return [
    ...ownFaults(schema, path),
    ...ruleFaults(schema, path),
    ...metadataFaults(schema, path),
    ...branchFaults(schema, path),
    ...innerFaults(schema, path)
  ]
}

const cause = (field: string, message: string, reason = 'FieldValueForbidden'): Cause => ({ reason, message, field })

function ownFaults(schema: Schema, path: string): Cause[] {
  const faults = FORBIDDEN.filter(word => schema[word] !== undefined).map(word =>
    cause(`${path}.${word}`, 'Forbidden: must not be set')
  )
  const free = schema['x-kubernetes-preserve-unknown-fields'] === true || schema['x-kubernetes-int-or-string'] === true
  if (!schema.type && !free)
    faults.push(
      cause(`${path}.type`, 'Required value: must not be empty for specified object fields', 'FieldValueRequired')
    )
  if (schema['x-kubernetes-preserve-unknown-fields'] === false)
    faults.push(
      cause(`${path}.x-kubernetes-preserve-unknown-fields`, 'Invalid value: false: must be true or undefined')
    )
  if (schema.type === 'array' && !schema.items)
    faults.push(cause(`${path}.items`, 'Required value: must be specified', 'FieldValueRequired'))
  if (schema.properties && schema.additionalProperties !== undefined)
    faults.push(
      cause(`${path}.additionalProperties`, 'Forbidden: additionalProperties and properties are mutually exclusive')
    )
  if (schema.additionalProperties === false)
    faults.push(cause(`${path}.additionalProperties`, 'Forbidden: additionalProperties cannot be set to false'))
  if (schema['uniqueItems'] === true)
    faults.push(
      cause(
        `${path}.uniqueItems`,
        'Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic'
      )
    )
  if (schema.default !== undefined && !accepts(schema, schema.default))
    faults.push(
      cause(
        `${path}.default`,
        `Invalid value: ${JSON.stringify(schema.default)}: must validate against the schema`,
        'FieldValueInvalid'
      )
    )
  return faults
}

/** Of the metadata of the object itself, nothing but the type and what names it may be said: not even a description. */
function metadataFaults({ properties }: Schema, path: string): Cause[] {
  const metadata = path.endsWith('Schema') ? properties?.['metadata'] : undefined
  if (!metadata) return []
  const place = `${path}.properties[metadata]`
  const wrong =
    metadata.type === 'object' ? [] : [cause(`${place}.type`, 'Invalid value: must be object', 'FieldValueInvalid')]
  const named = Object.keys(metadata.properties ?? {}).every(name => name === 'name' || name === 'generateName')
  const bare = Object.keys(metadata).every(word => word === 'type' || word === 'properties')
  if (named && bare) return wrong
  const forbidden =
    'Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified'
  return [...wrong, cause(place, forbidden)]
}

function branchFaults(schema: Schema, path: string): Cause[] {
  return ['allOf', 'anyOf', 'oneOf', 'not'].flatMap(word => {
    const branches = [schema[word]].flat().filter(isFields)
    const loose = schema['x-kubernetes-int-or-string'] ? STRUCTURE.filter(keyword => keyword !== 'type') : STRUCTURE
    return branches.flatMap((branch, index) =>
      loose
        .filter(keyword => branch[keyword] !== undefined)
        .map(keyword => cause(`${path}.${word}[${index}].${keyword}`, 'Forbidden: must be empty to be structural'))
    )
  })
}

function innerFaults({ properties = {}, items, additionalProperties }: Schema, path: string): Cause[] {
  const named = Object.entries(properties).filter(([name]) => !(path.endsWith('Schema') && name === 'metadata'))
  return [
    ...named.flatMap(([name, inner]) => schemaFaults(inner, `${path}.properties[${name}]`)),
    ...(items ? schemaFaults(items, `${path}.items`) : []),
    ...(isFields(additionalProperties) ? schemaFaults(additionalProperties, `${path}.additionalProperties`) : [])
  ]
}

/** CEL knows only fields with a type: one that merely preserves unknown fields does not exist for it. */
function isVisible(schema: Schema | undefined): boolean {
  if (!schema) return false
  if (schema['x-kubernetes-int-or-string']) return true
  if (schema.type === 'array') return isVisible(schema.items)
  if (isFields(schema.additionalProperties)) return isVisible(schema.additionalProperties)
  return schema.type !== undefined
}

function ruleFaults(schema: Schema, path: string): Cause[] {
  return (schema['x-kubernetes-validations'] ?? []).flatMap(({ rule }, index) => {
    const field = `${path}.x-kubernetes-validations[${index}].rule`
    const problem = ruleCompiles(rule) ?? undefinedField(rule, schema, path.endsWith('Schema'))
    return problem
      ? [
          cause(
            field,
            `Invalid value: ${JSON.stringify(rule)}: compilation failed: ERROR: <input>: ${problem}`,
            'FieldValueInvalid'
          )
        ]
      : []
  })
}

/** Follows `self.a.b` through the schema, so far as plain fields go. */
function undefinedField(rule: string, schema: Schema, root: boolean): string | undefined {
  for (const [, chain = ''] of rule
    .replace(/'[^']*'|"[^"]*"/g, "''")
    .matchAll(/\b(?:self|oldSelf)((?:\.\w+\b(?!\s*\())+)/g)) {
    let at: Schema | undefined = schema
    for (const [index, name] of chain.slice(1).split('.').entries()) {
      if (!at || at.type !== 'object' || isFields(at.additionalProperties)) break
      if (root && index === 0 && ['apiVersion', 'kind', 'metadata'].includes(name)) break
      const next: Schema | undefined = at.properties?.[name]
      if (!isVisible(next)) return `undefined field '${name}'`
      at = next
    }
  }
  return undefined
}
