/** From a stated flow to what is stored and what is compared; all faults of a flow at once, each with its place. */
import { SyncError } from '../errors.ts'
import type { Capabilities, Json } from '../model.ts'
import { type Abilities, faultsOf, remarksOf } from './flow-faults.ts'
import { type Comparable, comparableFlow } from './flow-normal.ts'
import type { CheckShape } from './flow-schema.ts'
import { type FlowSettings, storedFlow, withSettings } from './flow-stored.ts'
import { isObject, refuseDeep, refuseUnstorable, roundedNotes } from './json-values.ts'

/** What became of a stated flow. */
export interface ReadFlow {
  /** To be stored. */
  readonly value: Json
  readonly comparable: Comparable
  readonly notes: readonly string[]
}

interface Given {
  readonly flow: Json
  readonly settings: FlowSettings
  /** Field of the spec that the flow stands in: `value` or `valueFrom`. */
  readonly root: string
}

/** Faults that one message names; the rest is counted. */
const SHOWN = 10

/** Throws InvalidSpec, or NotSupportedByWindmill when a newer Windmill would take the flow. */
export function readFlow({ flow, settings, root }: Given, checkShape: CheckShape, abilities: Abilities): ReadFlow {
  refuseDeep(root, flow)
  refuseUnstorable(root, flow)
  if (!isObject(flow)) throw new SyncError('InvalidSpec', `${root}: must be an object with modules.`)
  const set = withSettings(flow, settings, root)
  const faults = faultsOf(set, root, abilities)
  const shape = checkShape(withoutNulls(set), root).filter(text => !faults.some(one => samePlace(one.text, text)))
  const all = [...shape, ...faults.map(one => one.text)]
  if (all.length > 0) {
    const isNewer = shape.length === 0 && faults.every(one => one.unsupported)
    const rest = all.length > SHOWN ? `; and ${all.length - SHOWN} more faults` : ''
    throw new SyncError(isNewer ? 'NotSupportedByWindmill' : 'InvalidSpec', `${all.slice(0, SHOWN).join('; ')}${rest}.`)
  }
  const stored = storedFlow(set, root, abilities.generation)
  return {
    value: stored.value,
    comparable: comparableFlow(stored.value),
    notes: [...stored.notes, ...remarksOf(set, root, abilities), ...roundedNotes(root, flow)]
  }
}

const samePlace = (a: string, b: string): boolean => a.split(': ', 1)[0] === b.split(': ', 1)[0]

/** For the check of the shape: a null counts as absent, wherever it stands in an object. */
function withoutNulls(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]): [string, Json][] =>
      one === undefined || one === null ? [] : [[key, withoutNulls(one)]]
    )
  )
}

/** Told by columns, because releases are not: `lock_error_logs` came with the middle one, `labels` with the newest. */
export function abilitiesOf(capabilities: Capabilities): Abilities {
  const isNewest = capabilities.has('flow', 'labels')
  const isOldest = !capabilities.has('flow', 'lock_error_logs')
  return {
    generation: isNewest ? 'newest' : isOldest ? 'oldest' : 'middle',
    languages: capabilities.labels('script_lang')
  }
}
