/**
 * Splits a resource into its value and the texts that live in secret variables, so that no text of a Secret lies
 * unencrypted in `resource.value` (contract: variables-and-resources §3.2, §3.5, §4).
 */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'
import { isObject, type JsonObject, leavesOf, refuseDeep, refuseHalves, refuseUnstorable } from './json-values.ts'
import { propertyOf } from './resource-types.ts'
import { secretNotes } from './texts.ts'

/** What a resource is made from. */
export interface Parts {
  readonly path: string
  readonly type: string
  /** Undefined: nobody knows the type. */
  readonly schema: Json | undefined
  /** The value in the manifest. */
  readonly literal: Json | undefined
  /** The text of a Secret's key that holds the whole value. */
  readonly whole: string | undefined
  /** Fields whose text stands in a Secret's key of its own. */
  readonly fields: readonly { readonly field: string; readonly text: string }[]
}

/** A text on its way into a secret variable. */
export interface Link {
  /** Path of the variable. */
  readonly variable: string
  /** Of the resource's value, dotted, for people. */
  readonly field: string
  readonly text: string
}

export interface Split {
  /** Undefined: the CR says nothing about it. */
  readonly value: Json | undefined
  readonly links: readonly Link[]
  /** Parts of the value itself come from a Secret. */
  readonly masked: boolean
  readonly notes: readonly string[]
}

type Place = readonly string[]

/** A text that is to be linked, before it has a path. */
interface Found {
  readonly place: Place
  readonly text: string
}

/** Throws InvalidSpec. */
export function splitSecrets(parts: Parts): Split {
  const { literal, whole, fields } = parts
  if (literal !== undefined && whole !== undefined) {
    throw new SyncError('InvalidSpec', 'value and valueFrom: state at most one of them.')
  }
  refuseDeep('value', literal)
  if (whole === undefined && fields.length === 0) return { value: literal, links: [], masked: false, notes: [] }
  const base = whole === undefined ? baseOf(literal) : parseWhole(whole)
  const { inline, linked } = sortFields(parts, base)
  const links = withPaths(parts.path, [...linked, ...(whole === undefined ? [] : linkableTexts(parts, base))])
  const variables = new Map(links.map(({ key, link }) => [key, link.variable]))
  const value = {
    ...(withReferences(base, variables, []) as JsonObject),
    ...inline,
    ...fieldReferences(linked, variables)
  }
  refuseUnstorable('value', value)
  const notes = [
    ...fields.flatMap(one => secretNotes(`valuesFrom ${one.field}`, one.text)),
    ...(whole === undefined ? [] : numberNotes(parts, base))
  ]
  const masked = whole !== undefined || Object.keys(inline).length > 0
  return { value, links: links.map(one => one.link), masked, notes }
}

function baseOf(literal: Json | undefined): JsonObject {
  if (literal === undefined || isObject(literal)) return literal ?? {}
  throw new SyncError('InvalidSpec', 'value: valuesFrom adds fields to an object; make value one.')
}

/** The parser's own message quotes the text, so it is not passed on. */
function parseWhole(text: string): JsonObject {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    throw new SyncError('InvalidSpec', 'valueFrom: the text in the Secret is not JSON; it must be one JSON object.')
  }
  if (!isObject(value)) {
    throw new SyncError(
      'InvalidSpec',
      'valueFrom: the JSON in the Secret must be an object; use valuesFrom for a single text.'
    )
  }
  refuseDeep('valueFrom', value)
  return value
}

/** Numbers and booleans cannot be linked (`$var:` always gives a string), so the type's schema decides (§3.5). */
function sortFields(parts: Parts, base: JsonObject): { inline: JsonObject; linked: readonly Found[] } {
  const inline: [string, Json][] = []
  const linked: Found[] = []
  const seen = new Set(Object.keys(base))
  for (const { field, text } of parts.fields) {
    if (seen.has(field))
      throw new SyncError('InvalidSpec', `valuesFrom: the field ${field} is given twice; state it once.`)
    seen.add(field)
    const wanted = scalarField(parts, field)
    if (wanted) inline.push([field, parseScalar(field, text, wanted)])
    else linked.push({ place: [field], text })
  }
  return { inline: Object.fromEntries(inline), linked }
}

type Scalar = 'integer' | 'number' | 'boolean'

/** What the text of a field is converted to; such fields are never linked. */
export const scalarField = ({ type, schema }: Pick<Parts, 'type' | 'schema'>, field: string): Scalar | undefined =>
  scalarOf(propertyOf(schema, [field])) ?? scalarsOfTypes[type]?.[field]

/** Fields whose jobs fail with a text, for databases where nobody has put the type (contract: §3.4). */
const scalarsOfTypes: Readonly<Record<string, Readonly<Record<string, Scalar>>>> = {
  postgresql: { port: 'integer' },
  mysql: { port: 'integer', ssl: 'boolean' }
}

function scalarOf(property: JsonObject | undefined): Scalar | undefined {
  const type = property?.['type']
  const types: readonly Json[] = Array.isArray(type) ? (type as readonly Json[]) : [type ?? null]
  if (types.includes('string')) return undefined
  return (['integer', 'number', 'boolean'] as const).find(one => types.includes(one))
}

function parseScalar(field: string, text: string, wanted: Scalar): number | boolean {
  const number = Number(text)
  if (wanted === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  if (wanted === 'integer' && /^-?(0|[1-9]\d*)$/.test(text) && Number.isSafeInteger(number)) return number
  if (wanted === 'number' && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) && Number.isFinite(number))
    return number
  const hint = 'blanks and line ends count'
  throw new SyncError(
    'InvalidSpec',
    `valuesFrom ${field}: the resource type asks for a ${wanted}, the text in the Secret is none (${hint}).`
  )
}

/** Words in the name of a field that make Windmill's own editor treat it as a secret, and their rank (§3.2). */
const hints = { secret: 10, password: 5, private: 4, key: 3, token: 2, pass: 1 } as const

/** Fields without such a name that Windmill's editor links all the same. */
const linkedByType: Readonly<Record<string, string>> = { git_repository: 'url', discord_webhook: 'webhook_url' }

export function rankOfName(name: string): number {
  const lower = name.toLowerCase()
  return Math.max(0, ...Object.entries(hints).flatMap(([word, rank]) => (lower.includes(word) ? [rank] : [])))
}

const isEditorsChoice = (type: string, place: Place): boolean =>
  place.length === 1 && Object.hasOwn(linkedByType, type) && linkedByType[type] === place[0]

/** Only what the type's schema knows and does not mark may be seen by every reader. */
function isOpen(parts: Parts, place: Place): boolean {
  const property = propertyOf(parts.schema, place)
  return property !== undefined && property['password'] !== true && !isEditorsChoice(parts.type, place)
}

/** Windmill would replace such a text by something else when the resource is read (§3.1). */
const isReplaced = (text: string): boolean => text.startsWith('$')

/** Texts of a whole value that go into variables, the most secret first. */
function linkableTexts(parts: Parts, base: JsonObject): readonly Found[] {
  const found: Found[] = []
  for (const { place, value, list } of leavesOf(base)) {
    if (typeof value !== 'string') continue
    const harmless = place.every(name => rankOfName(name) === 0)
    if (harmless && isOpen(parts, list ?? place) && !isReplaced(value)) continue
    if (list) throw secretInList(list)
    found.push({ place, text: value })
  }
  const rank = ({ place }: Found): number => {
    if (isEditorsChoice(parts.type, place)) return 100
    const named = rankOfName(place.at(-1) ?? '')
    return named === 0 && propertyOf(parts.schema, place)?.['password'] === true ? 0.5 : named
  }
  return found.sort((a, b) => rank(b) - rank(a) || (a.place.join('.') < b.place.join('.') ? -1 : 1))
}

/** Windmill 1.558 resolves nothing inside lists, so a secret there would have to lie open (§3.1, trap 16). */
const secretInList = (place: Place): SyncError =>
  new SyncError(
    'InvalidSpec',
    `valueFrom: the list ${shown(place)} holds texts, and Windmill resolves no secret inside a list; ` +
      'put the list into value, or let the schema of the resource type name it as a property that is no secret.'
  )

interface Keyed {
  readonly key: string
  readonly link: Link
}

/** The first one shares the path of the resource: Windmill shows, renames and deletes the two together (§4). */
function withPaths(path: string, found: readonly Found[]): readonly Keyed[] {
  const taken = new Map<string, string>()
  return found.map(({ place, text }, index) => {
    const field = shown(place)
    refuseHalves(field, text)
    const variable = index === 0 ? path : furtherVariable(path, place)
    if (variable.length > 255) {
      throw new SyncError(
        'InvalidSpec',
        `${field}: the path of its secret variable would exceed 255 characters; shorten the field or the path.`
      )
    }
    const other = taken.get(variable)
    if (other !== undefined) {
      throw new SyncError(
        'InvalidSpec',
        `${other} and ${field}: both need the secret variable ${variable}; rename one of the fields.`
      )
    }
    taken.set(variable, field)
    return { key: keyOf(place), link: { variable, field, text } }
  })
}

/** Where the secrets after the first one are kept. */
export const furtherVariable = (path: string, place: Place): string =>
  `${path}_${place.map(name => name.replace(/[^A-Za-z0-9_-]/gu, '_')).join('_')}`

const keyOf = (place: Place): string => JSON.stringify(place)

/** Keys may be as long as a Secret; a message may not. */
const shown = (place: Place): string => {
  const name = place.join('.')
  return name.length > 100 ? `${name.slice(0, 100)}…` : name
}

const fieldReferences = (linked: readonly Found[], variables: ReadonlyMap<string, string>): JsonObject =>
  Object.fromEntries(linked.map(({ place }) => [place[0] ?? '', `$var:${variables.get(keyOf(place))}`]))

function withReferences(value: Json, variables: ReadonlyMap<string, string>, place: Place): Json {
  if (typeof value === 'string') {
    const variable = variables.get(keyOf(place))
    return variable === undefined ? value : `$var:${variable}`
  }
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, withReferences(member ?? null, variables, [...place, key])])
  )
}

/** A number cannot be linked; one that looks like a secret is at least pointed out. */
function numberNotes({ schema }: Parts, base: JsonObject): readonly string[] {
  const open = leavesOf(base).filter(({ place, value }) => {
    const named = place.some(name => rankOfName(name) > 0) || propertyOf(schema, place)?.['password'] === true
    return typeof value === 'number' && named
  })
  const names = [...new Set(open.map(leaf => shown(leaf.place)))].sort()
  return names.length > 0 ? [`valueFrom ${names.join(', ')}: numbers are stored unencrypted; make them texts.`] : []
}
