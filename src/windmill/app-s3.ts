/** What an app may upload to and download from object storage, as its components tell: flows-and-apps B3.8. */
import type { Json } from '../model.ts'
import { at, choicesOf, type Item, textAt } from './app-components.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** One entry per upload component, and one for all forms with a file among their fields. */
export function s3Inputs(items: readonly Item[]): readonly JsonObject[] {
  const uploads = items
    .filter(one => one.type === 's3fileinputcomponent')
    .map(one => uploadOf(at(one.data, 'configuration', 'type', 'configuration', 's3'), items))
  const byForm = {
    allow_workspace_resource: true,
    allowed_resources: [],
    allow_user_resources: false,
    file_key_regex: ''
  }
  return items.some(hasFileField) ? [...uploads, byForm] : uploads
}

function uploadOf(config: Json | undefined, items: readonly Item[]): JsonObject {
  const resource = at(config, 'resource')
  const isStatic = textAt(resource, 'type') === 'static'
  const named = at(resource, 'value')
  const choices = isStatic ? [named] : (choicesOf({ resource }, items)['resource'] ?? [])
  return {
    allow_workspace_resource: !resource || (isStatic && !named),
    allowed_resources: (choices as readonly Json[]).flatMap(one =>
      typeof one === 'string' && one !== '' ? [one.replace(/^\$res:/, '')] : []
    ),
    allow_user_resources: textAt(resource, 'type') === 'evalv2' && Boolean(at(resource, 'allowUserResources')),
    file_key_regex: keyPattern(at(config, 'pathTemplate'))
  }
}

/** Keys that the template may make; all, where that cannot be told from the template alone. */
function keyPattern(template: Json | undefined): string {
  const any = '^.*$'
  const fixed = textAt(template, 'value')
  if (textAt(template, 'type') === 'static') return fixed === undefined ? any : `^${escaped(fixed)}$`
  const expr = textAt(template, 'expr')
  const connections = at(template, 'connections')
  if (textAt(template, 'type') !== 'evalv2' || expr === undefined) return any
  if (Array.isArray(connections) && connections.length > 0) return any
  const parts = expr.split(fileName)
  // The name stands within the quotes, and nothing else is filled in.
  if (!parts[0] || !parts.at(-1)) return any
  if (!/^(['"`])[^'"`]*\1$/.test(parts.join('')) || parts.some(part => part.includes('${'))) return any
  return `^${parts.join('\0').slice(1, -1).split('\0').map(escaped).join('[^/]+')}$`
}

const fileName = '${file.name}'

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

const forms = new Set(['schemaformcomponent', 'formbuttoncomponent', 'formcomponent'])

function hasFileField({ type, data }: Item): boolean {
  if (!forms.has(type)) return false
  const input = at(data, 'componentInput')
  const runnable = at(input, 'runnable')
  const holder =
    type === 'schemaformcomponent'
      ? at(input, 'value')
      : at(isInline(runnable) ? at(runnable, 'inlineScript') : runnable, 'schema')
  const properties = at(holder, 'properties')
  return isObject(properties) && Object.values(properties).some(isFile)
}

/** Whether the code stands in the app itself, under either of its two names. */
export const isInline = (runnable: Json | undefined): boolean =>
  ['runnableByName', 'inline'].includes(textAt(runnable, 'type') ?? '')

function isFile(property: Json | undefined): boolean {
  const type = textAt(property, 'type')
  if (type === 'object') return textAt(property, 'format') === 'resource-s3_object'
  return type === 'array' && ['s3object', 's3_object'].includes(textAt(property, 'items', 'resourceType') ?? '')
}

const viewers = new Set(['imagecomponent', 'pdfcomponent', 'downloadcomponent'])

/** Files that components show or offer whatever the user does. */
export function s3Keys(items: readonly Item[]): readonly JsonObject[] {
  return items.flatMap(({ type, data }) => (viewers.has(type) ? keyOf(at(data, 'configuration')) : []))
}

function keyOf(configuration: Json | undefined): readonly JsonObject[] {
  const source = at(configuration, 'source')
  const [type, value] = [textAt(source, 'type'), at(source, 'value')]
  if (type !== 'static' && type !== 'uploadS3') return []
  const path = textAt(value, 's3')
  const storage = textAt(value, 'storage')
  if (path !== undefined) return [{ s3_path: path, ...(storage !== undefined && { storage }) }]
  if (type !== 'static' || typeof value !== 'string') return []
  const kind = at(configuration, 'sourceKind')
  const isKey = textAt(kind, 'type') === 'static' && textAt(kind, 'value') === 's3 (workspace storage)'
  return isKey || value.startsWith('s3://') ? [{ s3_path: value.replace('s3://', '') }] : []
}
