/** The value of an app: what of a CR's is stored, and the form in which it and a value that a worker rewrote are alike. */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** Prefix of the fields that stand for stated locks: `lock.<component>`. */
export const LOCK = 'lock.'

interface Place {
  /** Where in the value, by keys and indexes. */
  readonly path: readonly string[]
  /** The nearest `id` around, by which Windmill names it too; '' without one. */
  readonly id: string
}

/** Beyond what any app has; a value that is deeper is left as it is from there on. */
const DEPTH = 200

/**
 * A copy with every `inlineScript` object replaced, wherever it stands: Windmill's worker looks for them just so (B5).
 * `name` tells a script from all others of the app.
 */
export function mapScripts(value: Json, change: (script: JsonObject, name: string) => JsonObject): Json {
  const names = namesOf(value)
  return eachScript(value, (script, { path }) => change(script, names.get(path.join('.')) ?? ''))
}

function eachScript(value: Json, change: (script: JsonObject, place: Place) => JsonObject): Json {
  const walk = (node: Json, place: Place): Json => {
    if (node === null || typeof node !== 'object' || place.path.length > DEPTH) return node
    if (Array.isArray(node)) {
      return (node as readonly Json[]).map((item, index) => walk(item, below(place, String(index))))
    }
    const object = node as JsonObject
    const inner = typeof object['id'] === 'string' ? { ...place, id: object['id'] } : place
    const members = Object.entries(object).map(([key, member]) => {
      if (member === undefined) return [key, member] as const
      const there = below(inner, key)
      return [key, key === 'inlineScript' && isObject(member) ? change(member, there) : walk(member, there)] as const
    })
    return Object.fromEntries(members)
  }
  return walk(value, { path: [], id: '' })
}

/** Hidden scripts have no id of their own: the policy calls them `bg_<slot>`. */
function below({ path, id }: Place, key: string): Place {
  const longer = [...path, key]
  return { path: longer, id: path.length === 1 && path[0] === 'hiddenInlineScripts' ? `bg_${key}` : id }
}

export const isBlank = (lock: Json | undefined): boolean =>
  lock === undefined || lock === null || (typeof lock === 'string' && lock.trim() === '')

const without = (object: JsonObject, ...keys: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)))

export interface AppValue {
  readonly value: JsonObject
  /** Sentences for the status. */
  readonly notes: readonly string[]
}

/**
 * What is stored for a CR: without what is the worker's to write, its CSS in place. The order of keys stays. Throws
 * InvalidSpec or NotSupportedByWindmill for what Windmill could not run; `field` is value or valueFrom.
 */
export function storedApp(field: string, given: Json, css: string | undefined): AppValue {
  if (!isObject(given)) throw new SyncError('InvalidSpec', `${field}: an app is an object with grid and others.`)
  refuseRaw(field, given)
  const reserved = new Set<string>()
  const kept = eachScript(without(given, 'version'), (script, { path }) => {
    refuseScript(`${field}: ${path.join('.')}`, script)
    if ('id' in script) reserved.add('inlineScript.id')
    return without(script, 'id', ...(isBlank(script['lock']) ? ['lock'] : []))
  }) as JsonObject
  if ('version' in given) reserved.add('version')
  const styled = withCss(field, kept, css)
  const names = [...reserved].sort().join(' and ')
  const left = names === '' ? [] : [`${field}: ${names} left out, which only Windmill's worker writes.`]
  return { value: styled.value, notes: [...left, ...styled.notes] }
}

/** Windmill never builds a raw app's bundle, and without one it does not run (B7). */
function refuseRaw(field: string, value: JsonObject): void {
  if (Array.isArray(value['grid']) || !('files' in value || 'runnables' in value)) return
  throw new SyncError(
    'NotSupportedByWindmill',
    `${field}: this is a raw app (files, runnables), which needs a compiled bundle that Windmill does not build; deploy it with the wmill CLI.`
  )
}

function refuseScript(where: string, { content, language, lock, id }: JsonObject): void {
  const refuse = (sentence: string): never => {
    throw new SyncError('InvalidSpec', `${where}: ${sentence}`)
  }
  if (language === 'frontend' && content === undefined) return
  if (typeof content !== 'string') refuse('an inline script needs its code as a text in content.')
  if (content === '' && typeof id === 'number') {
    refuse("this is Windmill's reduced form of an app, without code; export the app itself.")
  }
  if (lock !== undefined && lock !== null && typeof lock !== 'string') refuse('lock must be a text.')
  for (const [name, text] of Object.entries({ content, lock })) {
    if (typeof text !== 'string' || !/^\s*!inline\s/.test(text)) continue
    refuse(`${name} is a reference to a file (!inline), which would be run as code; put the file's text here.`)
  }
}

/**
 * An app has one CSS text, its theme, either here or as a resource; `css` of the value is another thing, an object of
 * classes and styles by component, which a text would break.
 */
function withCss(field: string, value: JsonObject, css: string | undefined): AppValue {
  if (css === undefined) return { value, notes: [] }
  const { theme } = value
  const before = isObject(theme) ? theme : {}
  if (before['type'] === 'inlined' && before['css'] !== css && !isBlank(before['css'])) {
    throw new SyncError('InvalidSpec', `customCss: ${field}.theme holds another CSS text; state one of the two.`)
  }
  const path = before['type'] === 'path' ? before['path'] : undefined
  const isOwn = typeof path === 'string' && path !== '' && path !== defaultTheme
  return {
    value: { ...value, theme: { type: 'inlined', css } },
    notes: isOwn ? [`customCss: takes the place of the theme ${path}, because an app has one CSS text.`] : []
  }
}

/** Windmill's own, which new apps begin with. */
const defaultTheme = 'f/app_themes/theme_0'

/** Fields of a row: `value` as it is compared, and a field per lock. */
export interface ComparableApp {
  readonly [field: string]: Json
  readonly value: Json
}

/**
 * The same for a CR's value and for one that the worker rewrote: locks stand in fields of their own, so that a stated
 * one is compared and one that the worker made is not; bun and bunnative, which the worker swaps as the code's
 * annotations say, count as one; nothing reserved. Takes whatever JSON it is given.
 */
export function comparableApp(app: Json): ComparableApp {
  const value = isObject(app) ? without(app, 'version') : app
  const locks: [string, Json][] = []
  const bare = mapScripts(value, (script, name) => {
    const lock = script['lock']
    if (lock !== undefined && !isBlank(lock)) locks.push([LOCK + name, lock])
    return {
      ...without(script, 'lock', 'id'),
      ...(script['language'] === 'bunnative' && { language: 'bun' })
    }
  })
  return { ...Object.fromEntries(locks), value: bare }
}

/** A name per script, the component's; where that is no name or several share it, the place is added. */
function namesOf(value: Json): ReadonlyMap<string, string> {
  const places: Place[] = []
  eachScript(value, (script, place) => {
    places.push(place)
    return script
  })
  const counts = new Map<string, number>()
  for (const { id } of places) counts.set(id, (counts.get(id) ?? 0) + 1)
  return new Map(
    places.map(({ path, id }) => {
      const at = path.join('.')
      return [at, id !== '' && counts.get(id) === 1 ? id : `${id}@${at}`]
    })
  )
}
