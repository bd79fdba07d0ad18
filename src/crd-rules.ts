/**
 * The x-kubernetes-validations of a schema, evaluated as the API server would, with one difference: to the API server a
 * null is not there, to us it is a wish (clear this), which may contradict another as any value may.
 */
import { Environment, type ParseResult } from '@marcbachmann/cel-js'
import { isObject } from './crd-copy.ts'
import type { Schema } from './crd-schema.ts'
import { below } from './places.ts'

interface Compiled {
  readonly holds: ParseResult
  readonly message: string
}
type Rules = ReadonlyMap<Schema, readonly Compiled[]>

interface Broken {
  readonly sentence: string
  /** The rule could not be evaluated: as a rule because the value has not the type that it wants. */
  readonly unclear: boolean
}

export type CheckRules = (spec: unknown) => readonly Broken[]

export function rulesOf(schema: Schema): CheckRules {
  const environment = new Environment({ unlistedVariablesAreDyn: false }).registerVariable('self', 'dyn')
  const rules = new Map<Schema, readonly Compiled[]>()
  collect(schema, environment, rules)
  return spec => {
    const broken: Broken[] = []
    check(spec, schema, 'spec', { rules, broken })
    return broken
  }
}

/** True if the node or anything below it has rules: all else is never walked through. */
function collect(schema: Schema, environment: Environment, rules: Map<Schema, readonly Compiled[]>): boolean {
  const own: Compiled[] = []
  for (const { rule, message } of schema['x-kubernetes-validations'] ?? []) {
    // There is no old object here: what may not change is for the API server and the database to tell.
    if (!/\boldSelf\b/.test(rule)) own.push({ holds: environment.parse(rule), message })
  }
  let any = own.length > 0
  for (const child of childrenOf(schema)) any = collect(child, environment, rules) || any
  if (any) rules.set(schema, own)
  return any
}

function childrenOf({ properties, additionalProperties, items }: Schema): readonly Schema[] {
  return [...Object.values(properties ?? {}), additionalProperties, items].filter(child => child !== undefined)
}

function check(
  value: unknown,
  schema: Schema | undefined,
  path: string,
  found: { rules: Rules; broken: Broken[] }
): void {
  const own = schema && found.rules.get(schema)
  // A null of a nullable node has nothing to check, a value of another type was told already.
  if (!schema || !own || !hasShape(value, schema)) return
  for (const { holds, message } of own) {
    const held = evaluate(holds, value)
    if (held !== true) found.broken.push({ sentence: `${path}: ${message}`, unclear: held === undefined })
  }
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) check(item, schema.items, below(path, index), found)
  } else if (isObject(value)) {
    for (const [key, member] of Object.entries(value)) {
      check(member, schema.properties?.[key] ?? schema.additionalProperties, below(path, key), found)
    }
  }
}

function hasShape(value: unknown, { type }: Schema): boolean {
  if (type === 'object') return isObject(value)
  return type === 'array' ? Array.isArray(value) : value !== undefined && value !== null
}

/** Undefined when CEL gives up. Its error would quote the rule, never the value, but helps nobody either. */
function evaluate(rule: ParseResult, self: unknown): boolean | undefined {
  try {
    return rule({ self }) === true
  } catch {
    return undefined
  }
}
