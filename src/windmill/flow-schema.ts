/** The OpenFlow schema that Windmill publishes, where it is stricter or looser than Windmill's own parser brought in line. */
import type { ErrorObject } from 'ajv'
import { below, placeOf } from '../places.ts'

/** Sentences about the shape of a flow's value, whose places begin with `root`; no sentence holds a value. */
export type CheckShape = (value: unknown, root: string) => readonly string[]

type Node = { readonly [keyword: string]: unknown }

let ready: Promise<CheckShape> | undefined

/** Loads and compiles once, and only where a flow is read: it takes about a tenth of a second. */
export function flowShape(): Promise<CheckShape> {
  ready ??= load()
  return ready
}

async function load(): Promise<CheckShape> {
  // Of a CommonJS module that is loaded late, the bundle has nothing but the default export.
  const [{ default: openflow }, { default: ajvModule }] = await Promise.all([
    import('windmill-yaml-validator/dist/gen/openflow.json', { with: { type: 'json' } }),
    import('ajv')
  ])
  const schemas = adjusted((openflow as unknown as { components: { schemas: Node } }).components.schemas, corrections)
  const ajv = new ajvModule.Ajv({ strict: false, allErrors: true, discriminator: true, validateFormats: false })
  for (const [name, schema] of Object.entries(schemas)) ajv.addSchema(schema as Node, `#/components/schemas/${name}`)
  const validate = ajv.getSchema('#/components/schemas/FlowValue')
  if (!validate) throw new Error('the OpenFlow schema has no FlowValue')
  return (value, root) => {
    if (validate(value)) return []
    // `if` only says that what stands beside it failed.
    const errors = (validate.errors ?? []).filter(({ keyword }) => keyword !== 'if')
    return [...new Set(errors.map(error => sentence(error, value, root)))]
  }
}

const integer = (minimum: number, maximum: number): Node => ({ type: 'integer', minimum, maximum })
const seconds = integer(0, 65_535)
const count = integer(0, 2_147_483_647)
const small = integer(-32_768, 32_767)
/** Limits of numbers say nothing about objects. */
const countOrTransform: Node = {
  $ref: null,
  ...count,
  type: ['number', 'object'],
  multipleOf: 1,
  if: { type: 'number' },
  else: { $ref: '#/components/schemas/InputTransform' }
}
const limits: Node = { concurrent_limit: count, concurrency_time_window_s: count }
const anything: Node = { items: null, properties: null, required: null }

/**
 * Where Windmill's parser differs (contract: flows-and-apps A3): whole numbers and their ranges, what has a default,
 * and lists of words that grow with every release, which the database or Windmill itself knows better.
 */
const corrections: Node = {
  InputTransform: { type: 'object' },
  FlowModuleValue: { type: 'object' },
  FlowValue: { properties: { ...limits, cache_ttl: count, priority: small, notes: anything, groups: anything } },
  FlowModule: {
    properties: {
      cache_ttl: count,
      priority: small,
      timeout: countOrTransform,
      delete_after_use: { type: 'boolean' },
      mock: { required: ['enabled'] },
      suspend: { properties: { required_events: count, timeout: count } }
    }
  },
  Retry: {
    properties: {
      constant: { properties: { attempts: seconds, seconds } },
      exponential: {
        properties: { attempts: seconds, multiplier: seconds, seconds, random_factor: integer(-128, 127) }
      }
    }
  },
  RawScript: {
    required: ['type', 'content', 'language'],
    properties: { ...limits, language: { enum: null }, assets: anything }
  },
  PathScript: { required: ['type', 'path'], properties: { hash: { pattern: '^[0-9a-fA-F]{16}$' } } },
  PathFlow: { required: ['type', 'path'] },
  ForloopFlow: { required: ['type', 'modules', 'iterator'], properties: { parallelism: countOrTransform } },
  WhileloopFlow: { required: ['type', 'modules'], properties: { parallelism: countOrTransform } },
  BranchOne: { properties: { branches: { items: { required: ['modules'] } } } },
  AiAgent: {
    required: ['type', 'tools'],
    properties: {
      input_transforms: {
        properties: null,
        required: null,
        additionalProperties: { $ref: '#/components/schemas/InputTransform' }
      }
    }
  },
  AgentTool: {
    properties: {
      value: {
        $ref: null,
        type: 'object',
        if: { not: { required: ['type'] } },
        else: { $ref: '#/components/schemas/FlowModuleValue' }
      }
    }
  }
}

/** A copy with some keywords replaced; null takes one away. */
function adjusted(node: Node, changes: Node): Node {
  const changed = Object.entries(changes).map(([key, change]) => {
    const old = node[key]
    return [key, isNode(change) && isNode(old) ? adjusted(old, change) : change] as const
  })
  return Object.fromEntries(
    Object.entries({ ...node, ...Object.fromEntries(changed) }).filter(([, one]) => one !== null)
  )
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value)

function sentence(error: ErrorObject, value: unknown, root: string): string {
  const place = placeOf(error.instancePath, value, root)
  const { missingProperty } = error.params as { readonly missingProperty?: string }
  if (missingProperty !== undefined) return `${below(place, missingProperty)}: missing; it is required`
  return `${place}${complaint(error)}`
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list'
}

function complaint({ keyword, params, schemaPath }: ErrorObject): string {
  const { type, limit, allowedValues } = params as {
    type?: string | readonly string[]
    limit?: number
    allowedValues?: readonly string[]
  }
  switch (keyword) {
    case 'type':
      return `: must be ${[type ?? []]
        .flat()
        .map(one => kinds[one] ?? one)
        .join(' or ')}`
    case 'minimum':
      return `: must be at least ${limit}`
    case 'maximum':
      return `: must be at most ${limit}`
    case 'multipleOf':
      return ': must be a whole number'
    case 'enum':
      return `: must be one of ${(allowedValues ?? []).join(', ')}`
    case 'pattern':
      return ': must be 16 hexadecimal digits'
    case 'discriminator':
      return (params as { error?: string }).error === 'tag'
        ? '.type: missing; it is required'
        : '.type: no type of Windmill'
    default:
      return `: breaks the rule ${keyword} (${schemaPath}) of OpenFlow`
  }
}
