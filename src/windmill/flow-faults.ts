/** What is wrong with a flow although its shape is right: the contract's traps, each named by its place. */
import type { Json } from '../model.ts'
import { below } from '../places.ts'
import type { Generation } from './flow-keys.ts'
import { enumerated, type Step, stepsOf } from './flow-places.ts'
import { isObject, type JsonObject } from './json-values.ts'

export interface Fault {
  readonly text: string
  /** Another Windmill would take it. */
  readonly unsupported?: true
}

/** What this Windmill takes. */
export interface Abilities {
  readonly generation: Generation
  /** Languages of the database's enum; empty when there is no such enum. */
  readonly languages: readonly string[]
}

/** Faults that a schema cannot see (contract: flows-and-apps A3, A8, C4). Total. */
export function faultsOf(flow: JsonObject, root: string, abilities: Abilities): readonly Fault[] {
  const steps = stepsOf(flow, root)
  return [
    ...wholeFlow(flow, root),
    ...steps.flatMap(step => [
      ...reserved(step),
      ...script(step, abilities),
      ...target(step),
      ...timing(step, abilities)
    ]),
    ...transformsOf(flow, root).flatMap(one => transform(one, abilities)),
    ...ids(steps)
  ]
}

const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

const fault = (text: string): readonly Fault[] => [{ text }]

/** The exported file holds the value one level deeper. */
const wholeFlow = (flow: JsonObject, root: string): readonly Fault[] =>
  flow['modules'] === undefined && isObject(flow['value']) && flow['value']['modules'] !== undefined
    ? fault(`${root}.modules: missing; this is a whole flow file, give only what stands below its value`)
    : []

/** Ids name results and steps of jobs: Windmill invents a missing one anew at every run (trap 9). */
function ids(steps: readonly Step[]): readonly Fault[] {
  const seen = new Map<string, string>()
  return steps.flatMap(({ place, role, module: { id } }) => {
    if (typeof id !== 'string') return []
    const at = `${place}.id`
    if (id === '') return fault(`${at}: must not be empty`)
    const other = seen.get(id)
    seen.set(id, other ?? at)
    if (other !== undefined) return fault(`${at}: the same as ${other}; ids are unique in a flow`)
    if (place.endsWith('.preprocessor_module') && id !== 'preprocessor') return fault(`${at}: must be preprocessor`)
    const isOwn = role !== 'step' && role !== 'tool'
    return (id === 'preprocessor' || id === 'failure') && !isOwn
      ? fault(`${at}: ${id} is reserved for ${root(id)}; choose another id`)
      : []
  })
}

const root = (id: string): string => `the ${id === 'failure' ? 'failure_module' : 'preprocessor_module'}`

/** What only a worker writes: such a value is the reduced form of a version, not the flow (trap 5). */
function reserved({ place, value }: Step): readonly Fault[] {
  const why = 'is written by Windmill itself; take the flow from its editor or export'
  const branches: readonly Json[] = Array.isArray(value['branches']) ? value['branches'] : []
  const holders: readonly (readonly [string, Json])[] = [
    [`${place}.value`, value],
    ...branches.map((branch, at) => [`${place}.value.branches[${at}]`, branch] as const)
  ]
  const written = holders.flatMap(([at, holder]) =>
    ['modules_node', 'default_node'].flatMap(key =>
      isObject(holder) && holder[key] !== undefined ? fault(`${below(at, key)}: ${why}`) : []
    )
  )
  return [...(value['type'] === 'flowscript' ? fault(`${place}.value.type: flowscript ${why}`) : []), ...written]
}

function script({ place, value }: Step, { generation, languages }: Abilities): readonly Fault[] {
  const { type, language } = value
  if (type === 'aiagent' && generation === 'oldest') {
    return [{ text: `${place}.value.type: this Windmill has no AI agents; upgrade it`, unsupported: true }]
  }
  if (type !== 'rawscript') return []
  const inline = ['content', 'lock'].filter(key => textOf(value[key]).startsWith('!inline '))
  const isKnown = typeof language !== 'string' || languages.length === 0 || languages.includes(language)
  return [
    ...inline.flatMap(key => fault(`${place}.value.${key}: !inline names a file; put its text here`)),
    ...(isKnown
      ? []
      : [{ text: `${place}.value.language: this Windmill does not know the language`, unsupported: true } as const])
  ]
}

/** An empty path is a step that is not finished, which Windmill takes (contract: A8). */
function target({ place, value: { type, path } }: Step): readonly Fault[] {
  if ((type !== 'script' && type !== 'flow') || typeof path !== 'string' || path === '') return []
  return /^([ufg]|hub)\/./.test(path) ? [] : fault(`${place}.value.path: must begin with u/, f/, g/ or hub/`)
}

function timing({ place, module, value }: Step, { generation }: Abilities): readonly Fault[] {
  const retry = isObject(module['retry']) ? module['retry']['exponential'] : undefined
  const never =
    isObject(retry) && Number(retry['attempts'] ?? 0) > 0 && Number(retry['seconds'] ?? 0) === 0
      ? fault(`${place}.retry.exponential.seconds: must be at least 1 when there are attempts`)
      : []
  if (generation !== 'oldest') return never
  const numbersOnly = [
    [`${place}.timeout`, module['timeout']],
    [`${place}.value.parallelism`, value['parallelism']]
  ] as const
  const text = 'this Windmill takes a number only, no input transform'
  return [
    ...never,
    ...numbersOnly.flatMap(([at, member]) =>
      isObject(member) ? [{ text: `${at}: ${text}`, unsupported: true } as const] : []
    )
  ]
}

interface Transform {
  readonly place: string
  readonly type: Json | undefined
}

/** Every input transform of the flow; where a number may stand instead, only the transforms. */
function transformsOf(flow: JsonObject, root: string): readonly Transform[] {
  return stepsOf(flow, root).flatMap(({ place, module, value }) => {
    const inputs = isObject(value['input_transforms']) ? value['input_transforms'] : {}
    const suspend = isObject(module['suspend']) ? module['suspend'] : {}
    const held: readonly (readonly [string, Json | undefined])[] = [
      ...Object.entries(inputs).map(([name, one]) => [below(`${place}.value.input_transforms`, name), one] as const),
      [`${place}.value.iterator`, value['iterator']],
      [`${place}.value.parallelism`, value['parallelism']],
      [`${place}.sleep`, module['sleep']],
      [`${place}.timeout`, module['timeout']],
      [`${place}.suspend.user_groups_required`, suspend['user_groups_required']]
    ]
    return held.flatMap(([at, one]) => (isObject(one) ? [{ place: at, type: one['type'] }] : []))
  })
}

const transform = ({ place, type }: Transform, { generation }: Abilities): readonly Fault[] =>
  type === 'ai' && generation !== 'newest'
    ? [{ text: `${place}.type: this Windmill knows static and javascript only`, unsupported: true }]
    : []

/** Languages whose dependencies a worker resolves (contract: scripts §3.1). */
const locking: ReadonlySet<Json> = new Set([
  'python3',
  'bun',
  'bunnative',
  'deno',
  'go',
  'rust',
  'php',
  'ansible',
  'csharp',
  'java',
  'ruby'
])

/** What will work, but otherwise than one may think. */
export function remarksOf(flow: JsonObject, root: string, { generation }: Abilities): readonly string[] {
  const steps = stepsOf(flow, root)
  const unlocked = steps.filter(
    ({ role, value: { type, language, lock } }) =>
      role !== 'step' && type === 'rawscript' && locking.has(language ?? '') && textOf(lock).trim() === ''
  )
  const unfinished = steps.filter(({ value: { type, path } }) => (type === 'script' || type === 'flow') && path === '')
  return [
    ...(unlocked.length > 0 && generation !== 'newest'
      ? [
          `${enumerated(unlocked.map(one => one.place))}: Windmill locks no such module, its dependencies are resolved at every run; give a lock.`
        ]
      : []),
    ...(unfinished.length > 0
      ? [`${enumerated(unfinished.map(one => `${one.place}.value.path`))}: empty, so the step fails when it runs.`]
      : [])
  ]
}
