/** CEL rules of a CRD (x-kubernetes-validations), so far as the CEL library goes. */
import { Environment } from '@marcbachmann/cel-js'
import type { Cause, Fields, Schema } from './types.ts'
import { isFields } from './types.ts'

type Rule = NonNullable<Schema['x-kubernetes-validations']>[number]

const environment = new Environment({ unlistedVariablesAreDyn: true, enableOptionalTypes: true })
const programs = new Map<string, ReturnType<Environment['parse']>>()

/** Undefined when the expression parses; else what is wrong with it. */
export function ruleCompiles(expression: string): string | undefined {
  try {
    environment.parse(expression)
    return undefined
  } catch (error) {
    return (error as Error).message.split('\n')[0]
  }
}

function evaluate(expression: string, self: unknown, oldSelf: unknown): unknown {
  let program = programs.get(expression)
  if (!program) {
    program = environment.parse(expression)
    programs.set(expression, program)
  }
  return program({ self, oldSelf })
}

/** Integers of the schema are CEL ints; a field that is null counts as absent. */
function celValue(value: unknown, schema: Schema | undefined): unknown {
  if (typeof value === 'number') return schema?.type === 'integer' ? BigInt(value) : value
  if (Array.isArray(value)) return value.map(item => celValue(item, schema?.items))
  if (!isFields(value)) return value
  const more = isFields(schema?.additionalProperties) ? schema.additionalProperties : undefined
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([key, inner]) => [key, celValue(inner, schema?.properties?.[key] ?? more)])
  )
}

export function ruleFaults(value: unknown, schema: Schema | undefined, before?: unknown, path = ''): Cause[] {
  if (!schema || value === undefined || value === null) return []
  const own = (schema['x-kubernetes-validations'] ?? []).flatMap(rule => fault(rule, { value, before, schema, path }))
  if (Array.isArray(value)) {
    return [...own, ...value.flatMap((item, index) => ruleFaults(item, schema.items, undefined, `${path}[${index}]`))]
  }
  if (!isFields(value)) return own
  const old: Fields = isFields(before) ? before : {}
  const more = isFields(schema.additionalProperties) ? schema.additionalProperties : undefined
  const inner = Object.keys(value).flatMap(key =>
    ruleFaults(value[key], schema.properties?.[key] ?? more, old[key], path ? `${path}.${key}` : key)
  )
  return [...own, ...inner]
}

interface Place {
  readonly value: unknown
  readonly before: unknown
  readonly schema: Schema
  readonly path: string
}

function fault(rule: Rule, { value, before, schema, path }: Place): Cause[] {
  const transition = /\boldSelf\b/.test(rule.rule)
  if (transition && before === undefined) return []
  const self = celValue(value, schema)
  const oldSelf = celValue(before, schema)
  const field = `${path}${rule.fieldPath ?? ''}` || '<nil>'
  const got = Array.isArray(value) ? '"array"' : isFields(value) ? '"object"' : JSON.stringify(value)
  const says = (message: string): Cause[] => [
    { reason: 'FieldValueInvalid', message: `Invalid value: ${got}: ${message}`, field }
  ]
  try {
    if (evaluate(rule.rule, self, oldSelf) === true) return []
    const message = rule.messageExpression ? String(evaluate(rule.messageExpression, self, oldSelf)) : rule.message
    return says(message ?? `failed rule: ${rule.rule}`)
  } catch (error) {
    return says(`rule evaluation error: ${(error as Error).message.split('\n')[0]} evaluating rule: ${rule.rule}`)
  }
}
