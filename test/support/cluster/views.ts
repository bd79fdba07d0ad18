/** How an answer looks: the whole object, its metadata alone, or the table that kubectl prints. */
import type { Page } from './pages.ts'
import { badRequest, notAcceptable } from './refusal.ts'
import type { Column, Fields, Kind, Stored } from './types.ts'
import { apiVersionOf, isFields, textOf } from './types.ts'

export type Form = 'whole' | 'metadata' | 'metadata-list' | 'table'

const FORMS: Readonly<Record<string, Form>> = {
  PartialObjectMetadata: 'metadata',
  PartialObjectMetadataList: 'metadata-list',
  Table: 'table'
}

export interface Clause {
  readonly type: string
  readonly parameters: Readonly<Record<string, string>>
}

/** The clauses of an Accept header, in the order of preference (q is taken as the order). */
export const clausesOf = (accept: string): Clause[] =>
  accept.split(',').map(clause => {
    const [type = '', ...parameters] = clause.split(';').map(part => part.trim())
    return { type, parameters: Object.fromEntries(parameters.map(text => text.split('=', 2) as [string, string])) }
  })

const ANY = ['', '*/*', 'application/*', 'application/json']

export function formOf(accept: string): Form {
  for (const { type, parameters } of clausesOf(accept)) {
    if (!ANY.includes(type)) continue
    const { as, g, v } = parameters
    if (!as) return 'whole'
    const form = g === 'meta.k8s.io' && (v === 'v1' || v === 'v1beta1') ? FORMS[as] : undefined
    if (form) return form
  }
  throw notAcceptable(
    `only the following media types are accepted: application/json, application/json;as=Table;g=meta.k8s.io;v=v1, application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1`
  )
}

const META = 'meta.k8s.io/v1'

/** metav1.ObjectMeta has no room for what is not one of its fields, and neither has the store. */
const partial = ({ metadata }: Stored): Fields => ({ kind: 'PartialObjectMetadata', apiVersion: META, metadata })

export function viewOne(object: Stored, kind: Kind, form: Form, query: URLSearchParams): Fields | Stored {
  if (form === 'whole') return object
  if (form === 'metadata') return partial(object)
  if (form === 'table') return table([object], kind, { resourceVersion: object.metadata.resourceVersion }, query)
  throw notAcceptable(
    `you requested PartialObjectMetadataList, but the requested object is not a list (*unstructured.Unstructured)`
  )
}

export function viewPage(page: Page, kind: Kind, form: Form, query: URLSearchParams): string {
  const metadata: Fields = { resourceVersion: page.revision }
  if (page.next) metadata['continue'] = page.next
  if (page.next && page.remaining !== undefined) metadata['remainingItemCount'] = page.remaining
  if (form === 'table') return JSON.stringify(table(page.items, kind, metadata, query))
  if (form === 'metadata-list') {
    return JSON.stringify({
      kind: 'PartialObjectMetadataList',
      apiVersion: META,
      metadata,
      items: page.items.map(partial)
    })
  }
  if (form === 'metadata')
    throw notAcceptable(
      'you requested PartialObjectMetadata, but the requested object is a list (*unstructured.UnstructuredList)'
    )
  const apiVersion = apiVersionOf(kind)
  // Lists of custom objects are maps with sorted keys: their metadata, with the continue token, comes last.
  if (kind.custom) {
    return JSON.stringify({
      apiVersion,
      items: page.items,
      kind: `${kind.kind}List`,
      metadata: { continue: '', ...metadata }
    })
  }
  const items = page.items.map(({ apiVersion: _version, kind: _kind, ...item }) => item)
  return JSON.stringify({ kind: `${kind.kind}List`, apiVersion, metadata, items })
}

const NAME: Fields = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name must be unique within a namespace.',
  priority: 0
}

const INCLUDES = ['None', 'Metadata', 'Object']

function table(items: readonly Stored[], kind: Kind, metadata: Fields, query: URLSearchParams): Fields {
  const include = query.get('includeObject') || 'Metadata'
  if (!INCLUDES.includes(include)) throw badRequest(`unrecognized includeObject value: ${JSON.stringify(include)}`)
  const rows = items.map(object => ({
    cells: [object.metadata.name, ...kind.columns.map(column => cell(object, column))],
    object: include === 'None' ? null : include === 'Object' ? object : partial(object)
  }))
  const columns = kind.columns.map(({ name, type, format = '', description, priority = 0, jsonPath }) => ({
    name,
    type,
    format,
    description: description || `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    priority
  }))
  return { kind: 'Table', apiVersion: META, metadata, columnDefinitions: [NAME, ...columns], rows }
}

/** As the convertor of apiextensions-apiserver does it: a missing key is null, a null in a string column a word. */
function cell(object: Stored, { type, jsonPath }: Column): unknown {
  const value = at(object, jsonPath)
  if (value === undefined) return null
  if (type === 'string') return value === null ? '<no value>' : textOf(value)
  if (type === 'date') return typeof value === 'string' ? ago(value) : null
  if (type === 'boolean') return typeof value === 'boolean' ? value : null
  if (typeof value !== 'number') return null
  return type === 'integer' ? Math.trunc(value) : value
}

/** Just enough JSONPath for printer columns: names, quoted names, indexes, and `[?(@.type=="Ready")]`. */
export function at(object: unknown, path: string): unknown {
  let value: unknown = object
  const steps = path.matchAll(
    /\.((?:\\.|[^.[\\])+)|\[\?\(@\.([\w.]+)\s*==\s*["']([^"']*)["']\)\]|\[['"]?([^'"\]]+)['"]?\]/g
  )
  for (const [, name, key, wanted, quoted] of steps) {
    if (key !== undefined)
      value = Array.isArray(value) ? value.find(item => String(at(item, `.${key}`)) === wanted) : undefined
    else if (Array.isArray(value)) value = value[Number(name ?? quoted)]
    else value = isFields(value) ? value[(name ?? quoted ?? '').replaceAll('\\', '')] : undefined
  }
  return value
}

const UNITS: readonly (readonly [string, number])[] = [
  ['y', 31_536_000],
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1]
]

/** 3d, 5h, 42s: rougher than the real one, which mixes two units in some ranges. */
function ago(time: string): string {
  const passed = Math.max(0, Math.floor((Date.now() - Date.parse(time)) / 1000))
  if (Number.isNaN(passed)) return '<invalid>'
  const [unit, size] = UNITS.find(([, seconds]) => passed >= seconds * 2) ?? (['s', 1] as const)
  return `${Math.floor(passed / size)}${unit}`
}
