/** Places within a flow as faults and notes name them, and the steps of a flow with theirs. */
import type { Json } from '../model.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** A module of a flow, wherever it stands. */
export interface Step {
  readonly place: string
  /** What runs it: the worker treats the last three in ways of their own. */
  readonly role: 'step' | 'failure' | 'preprocessor' | 'tool'
  readonly module: JsonObject
  /** `module.value`; {} when that is no object. */
  readonly value: JsonObject
}

/** Every module in the order of the text, nested ones after the one around them. Total: what is no module is passed over. */
export function stepsOf(flow: Json | undefined, root: string): readonly Step[] {
  if (!isObject(flow)) return []
  return [
    ...listed(flow['modules'], `${root}.modules`, 'step'),
    ...one(flow['failure_module'], `${root}.failure_module`, 'failure'),
    ...one(flow['preprocessor_module'], `${root}.preprocessor_module`, 'preprocessor')
  ]
}

function listed(modules: Json | undefined, place: string, role: Step['role']): readonly Step[] {
  return Array.isArray(modules) ? modules.flatMap((module: Json, at) => one(module, `${place}[${at}]`, role)) : []
}

function one(module: Json | undefined, place: string, role: Step['role']): readonly Step[] {
  if (!isObject(module)) return []
  const { value: inner } = module
  const value = isObject(inner) ? inner : {}
  const below = `${place}.value`
  const { branches } = value
  return [
    { place, role, module, value },
    ...listed(value['modules'], `${below}.modules`, role),
    ...(Array.isArray(branches)
      ? branches.flatMap((branch: Json, at) =>
          isObject(branch) ? listed(branch['modules'], `${below}.branches[${at}].modules`, role) : []
        )
      : []),
    ...listed(value['default'], `${below}.default`, role),
    ...listed(value['tools'], `${below}.tools`, 'tool')
  ]
}

/** `a, b, c and 4 more`. */
export function enumerated(places: readonly string[]): string {
  const shown = places.slice(0, 3).join(', ')
  return places.length > 3 ? `${shown} and ${places.length - 3} more` : shown
}
