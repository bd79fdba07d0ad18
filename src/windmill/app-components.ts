/** What an app is made of, as far as its policy depends on it: components and the runnables behind them. */
import type { Json } from '../model.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** A placed component: the grid's id and the component itself. */
export interface Item {
  readonly id: string
  readonly type: string
  readonly data: JsonObject
}

/** Something that an app runs, by the id that its policy names it by. */
export interface Runner {
  readonly id: string
  readonly runnable: JsonObject
  readonly fields: JsonObject
}

/** Components whose buttons, actions or menu items run something of their own (contract: flows-and-apps B3.2). */
const nested: Readonly<Record<string, string>> = {
  tablecomponent: 'actionButtons',
  aggridcomponent: 'actions',
  aggridcomponentee: 'actions',
  aggridinfinitecomponent: 'actions',
  aggridinfinitecomponentee: 'actions',
  dbexplorercomponent: 'actions',
  menucomponent: 'menuItems'
}

/** A member of whatever it is, undefined where there is none. */
export const at = (value: Json | undefined, ...keys: readonly string[]): Json | undefined =>
  keys.reduce<Json | undefined>(
    (found, key) => (isObject(found) && Object.hasOwn(found, key) ? found[key] : undefined),
    value
  )

export const listAt = (value: Json | undefined, ...keys: readonly string[]): readonly Json[] => {
  const found = at(value, ...keys)
  return Array.isArray(found) ? (found as readonly Json[]) : []
}

export const textAt = (value: Json | undefined, ...keys: readonly string[]): string | undefined => {
  const found = at(value, ...keys)
  return typeof found === 'string' ? found : undefined
}

const objectOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {})

/** All placed components, those in tabs, modals and other subgrids included; what is no component is passed over. */
export function itemsOf(value: Json): readonly Item[] {
  const below = Object.values(objectOf(at(value, 'subgrids'))).flatMap(grid => (Array.isArray(grid) ? grid : []))
  return [...listAt(value, 'grid'), ...(below as readonly Json[])].flatMap(item => {
    const [id, data] = [textAt(item, 'id'), at(item, 'data')]
    return id !== undefined && isObject(data) ? [{ id, type: textAt(data, 'type') ?? '', data }] : []
  })
}

/** All that an app runs; a hidden script that was deleted keeps its slot, so the others keep their numbers (B3.4). */
export function runnersOf(value: Json, items: readonly Item[]): readonly Runner[] {
  const placed = items.flatMap(({ id, type, data }) => [
    ...runnerOf(id, data),
    ...listAt(data, nested[type] ?? '').flatMap(inner => runnerOf(textAt(inner, 'id'), inner))
  ])
  const hidden = Object.values(objectOrList(at(value, 'hiddenInlineScripts'))).flatMap((runnable, slot) =>
    isObject(runnable) ? [{ id: `bg_${slot}`, runnable, fields: objectOf(runnable['fields']) }] : []
  )
  return [...placed, ...hidden]
}

const objectOrList = (value: Json | undefined): JsonObject | readonly Json[] =>
  Array.isArray(value) ? (value as readonly Json[]) : objectOf(value)

function runnerOf(id: string | undefined, component: Json): readonly Runner[] {
  const input = at(component, 'componentInput')
  const runnable = at(input, 'runnable')
  if (id === undefined || textAt(input, 'type') !== 'runnable' || !isObject(runnable)) return []
  return [{ id, runnable, fields: objectOf(at(input, 'fields')) }]
}

/** Lists of the choices that a field is confined to, by the name of the field (contract: flows-and-apps B3.7). */
export function choicesOf(fields: JsonObject, items: readonly Item[]): JsonObject {
  const found = Object.entries(fields).flatMap(([name, field]) => {
    const choices = choicesOfField(field, items)
    return choices ? [[name, choices] as const] : []
  })
  return Object.fromEntries(found)
}

function choicesOfField(field: Json | undefined, items: readonly Item[]): readonly Json[] | undefined {
  const connections = listAt(field, 'connections')
  if (textAt(field, 'type') !== 'evalv2' || connections.length !== 1) return undefined
  const [component, output] = [textAt(connections[0], 'componentId'), textAt(connections[0], 'id')]
  if (component === undefined || textAt(field, 'expr') !== `${component}.${output}`) return undefined
  const item = items.find(one => one.id === component)
  return item && choicesIn(item)
}

const selects = new Set(['selectcomponent', 'multiselectcomponent', 'multiselectcomponentv2'])

function choicesIn({ type, data }: Item): readonly Json[] | undefined {
  if (!selects.has(type) && type !== 'resourceselectcomponent') return undefined
  const create = at(data, 'configuration', 'create')
  if (selects.has(type) && textAt(create, 'type') === 'static' && at(create, 'value') === true) return undefined
  const items = at(data, 'configuration', 'items')
  const listed = at(items, 'value')
  if (textAt(items, 'type') !== 'static' || !Array.isArray(listed)) return undefined
  if (type.startsWith('multiselect')) return listed as readonly Json[]
  return (listed as readonly Json[]).flatMap(one => {
    const value = at(one, 'value')
    return value ? [value] : []
  })
}
