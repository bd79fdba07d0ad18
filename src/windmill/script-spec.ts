/** What a WindmillScript states, checked, and the row that it asks for (contract: scripts §1, §8). */
import { SyncError } from '../errors.ts'
import type { Compiled, Context, Input, Json, Ref, Row } from '../model.ts'
import { inferSchema } from './argument-schema.ts'
import { isObject, refuseDeep, refuseHalves, refuseUnstorable, roundedNotes } from './json-values.ts'
import { mainFacts } from './main-function.ts'
import { nativeAnnotation } from './script-annotations.ts'
import { comparedValue, hasColumn } from './script-fields.ts'
import { isLocked, lockFault } from './script-locks.ts'
import { HEALTHY, orderOf } from './script-read.ts'
import { refuseControl, refuseLong } from './texts.ts'

export interface ScriptSpec {
  readonly workspace?: string
  readonly path: string
  readonly language: string
  readonly content?: string
  readonly contentFrom?: { readonly configMapKeyRef: { readonly name: string; readonly key: string } }
  readonly summary?: string
  readonly description?: string
  readonly schema?: Json
  readonly lock?: string
  readonly kind?: string
  readonly tag?: string
  readonly concurrencyLimit?: number
  readonly concurrencyTimeWindowS?: number
  readonly concurrencyKey?: string
  readonly cacheSeconds?: number
  readonly cacheIgnoreS3Path?: boolean
  readonly debounceKey?: string
  readonly debounceDelayS?: number
  readonly dedicatedWorker?: boolean
  readonly wsErrorHandlerMuted?: boolean
  readonly priority?: number
  readonly timeout?: number
  readonly deleteAfterUse?: boolean
  readonly deleteAfterSecs?: number
  readonly restartUnlessCancelled?: boolean
  readonly restartedFrom?: string
  readonly visibleToRunnerOnly?: boolean
  readonly isTemplate?: boolean
  readonly hasPreprocessor?: boolean
  readonly noMainFunc?: boolean
  readonly envs?: readonly string[]
  readonly onBehalfOf?: string
  readonly labels?: readonly string[]
}

/** Where the code is, if not in the CR. */
export const contentRef = ({ contentFrom }: ScriptSpec): Ref | undefined =>
  contentFrom && { kind: 'ConfigMap', ...contentFrom.configMapKeyRef }

export function contentOf({ spec, text }: Input<ScriptSpec>): string {
  const ref = contentRef(spec)
  return ref ? text(ref) : (spec.content ?? '')
}

/** As stored: whether bun code runs natively is said by an annotation in it, whatever the CR calls it (§1.4). */
export const storedLanguage = (language: string, content: string): string =>
  language === 'bun' || language === 'bunnative' ? (nativeAnnotation(content) ? 'bunnative' : 'bun') : language

/** Fields that are columns of the same meaning, in the order of messages. */
const plain = [
  'summary',
  'description',
  'kind',
  'tag',
  'concurrencyLimit',
  'concurrencyTimeWindowS',
  'concurrencyKey',
  'cacheSeconds',
  'cacheIgnoreS3Path',
  'debounceKey',
  'debounceDelayS',
  'dedicatedWorker',
  'wsErrorHandlerMuted',
  'priority',
  'timeout',
  'deleteAfterUse',
  'deleteAfterSecs',
  'restartUnlessCancelled',
  'visibleToRunnerOnly',
  'isTemplate',
  'hasPreprocessor',
  'noMainFunc',
  'envs',
  'labels'
] as const

/** The row, without the identity; `enterprise`: whether the instance has a licence. */
export function desiredScript(input: Input<ScriptSpec>, enterprise: boolean, context: Context): Compiled {
  const { spec, path, workspace } = input
  const content = contentOf(input)
  refuseTexts({ ...spec, content })
  const language = storedLanguage(spec.language, content)
  refuseUnknown(spec, language, context)
  refuseLimits(spec, context)
  const notes: string[] = []
  const row: Record<string, Json> = { content, language, health: HEALTHY }
  for (const field of plain) {
    const value = spec[field] as Json | undefined
    if (value === undefined) continue
    if (hasColumn(field, context.capabilities)) row[field] = comparedValue({ field }, value)
    else notes.push(`${field}: this Windmill has no such column; ignored.`)
  }
  if (!enterprise) withoutLicence(row, notes)
  else if (spec.dedicatedWorker && workspace.length + path.length + 1 > 50) {
    throw new SyncError(
      'InvalidSpec',
      'dedicatedWorker: its jobs are tagged <workspace>:<path>, which may have 50 characters; shorten the path.'
    )
  }
  const lock = lockOf(spec, language, context, notes)
  const schema = schemaOf(spec, language, content, notes)
  if (spec.restartedFrom !== undefined) notes.push('restartedFrom: nothing in Windmill corresponds; ignored.')
  notes.push(...functionNotes(spec, language, content))
  return {
    row: { ...row, ...(lock !== undefined && { lock }), ...schema?.row },
    notes,
    ...(schema?.text !== undefined && { guard: schema.text })
  }
}

/** On a community instance such jobs would wait for ever, and the API refuses to mute the handler (§1). */
function withoutLicence(row: Record<string, Json>, notes: string[]): void {
  if (row['dedicatedWorker'] === true) {
    delete row['dedicatedWorker']
    notes.push('dedicatedWorker: not written without an enterprise licence, as runs would wait for ever.')
  }
  if (row['wsErrorHandlerMuted'] === true) {
    row['wsErrorHandlerMuted'] = false
    notes.push('wsErrorHandlerMuted: written as false without an enterprise licence, as Windmill refuses it.')
  }
}

/** Stated fields that only an enterprise instance looks at, and that say something. */
export const enterpriseFields = (row: Row): readonly string[] =>
  ['concurrencyLimit', 'concurrencyTimeWindowS', 'concurrencyKey', 'debounceKey', 'debounceDelayS', 'priority'].filter(
    field => row[field] !== undefined && row[field] !== null
  )

/** What PostgreSQL cannot store; manifests were checked before, ConfigMaps were not. */
function refuseTexts(spec: ScriptSpec): void {
  for (const [field, value] of Object.entries(spec)) {
    const texts = typeof value === 'string' ? [value] : Array.isArray(value) ? value : []
    for (const text of texts) {
      if (typeof text !== 'string') continue
      refuseControl(field, text)
      refuseHalves(field, text)
    }
  }
}

function refuseUnknown({ kind }: ScriptSpec, language: string, { capabilities }: Context): void {
  if (!capabilities.labels('script_lang').includes(language)) {
    throw new SyncError('NotSupportedByWindmill', `language: this Windmill does not know ${language}.`)
  }
  if (kind === 'command') {
    throw new SyncError(
      'NotSupportedByWindmill',
      'kind: Windmill no longer serves command, and one such script breaks the list of all; choose another kind.'
    )
  }
  if (kind !== undefined && !capabilities.labels('script_kind').includes(kind)) {
    throw new SyncError('NotSupportedByWindmill', `kind: this Windmill does not know ${kind}.`)
  }
}

const smallint = ['priority'] as const
const integers = [
  'concurrencyLimit',
  'concurrencyTimeWindowS',
  'cacheSeconds',
  'debounceDelayS',
  'timeout',
  'deleteAfterSecs'
] as const

function refuseLimits(spec: ScriptSpec, { capabilities }: Context): void {
  refuseLong('tag', spec.tag, capabilities.maxLength('script', 'tag'))
  refuseLong('concurrencyKey', spec.concurrencyKey, capabilities.maxLength('script', 'concurrency_key'))
  refuseLong('debounceKey', spec.debounceKey, capabilities.maxLength('script', 'debounce_key'))
  refuseLong('path', spec.path, capabilities.maxLength('script', 'path'))
  for (const [at, env] of (spec.envs ?? []).entries()) {
    refuseLong(`envs[${at}]`, env, capabilities.maxLength('script', 'envs') ?? 1000)
    if (!/^[^=]+=/.test(env)) {
      throw new SyncError('InvalidSpec', `envs[${at}]: write NAME=value; without the sign every run would fail.`)
    }
  }
  for (const field of [...integers, ...smallint]) {
    const value = spec[field]
    const most = field === 'priority' ? 32_767 : 2_147_483_647
    if (value !== undefined && (!Number.isInteger(value) || value < 0 || value > most)) {
      throw new SyncError('InvalidSpec', `${field}: give a whole number from 0 to ${most}.`)
    }
  }
}

/** Undefined: nobody states it, so that a worker makes it, or there is none in this language. */
function lockOf(
  { lock }: ScriptSpec,
  language: string,
  { capabilities }: Context,
  notes: string[]
): string | undefined {
  if (lock === undefined || lock === '') return undefined
  if (!isLocked(language, capabilities)) {
    notes.push(`lock: this Windmill locks nothing for ${language}; ignored.`)
    return undefined
  }
  const fault = lockFault(language, lock)
  if (fault !== undefined) throw new SyncError('InvalidSpec', `lock: it ${fault}.`)
  return lock
}

interface Schema {
  readonly row: Row
  /** As it is to be stored. */
  readonly text: string
}

function schemaOf(spec: ScriptSpec, language: string, content: string, notes: string[]): Schema | undefined {
  if (spec.schema === undefined || spec.schema === null) {
    const { schema, note } = inferSchema(language, content)
    if (note !== undefined) notes.push(note)
    return schema && { row: { schema }, text: JSON.stringify(schema) }
  }
  const isText = typeof spec.schema === 'string'
  const schema = isText ? parsed(spec.schema) : spec.schema
  refuseDeep('schema', schema)
  if (!isObject(schema)) throw new SyncError('InvalidSpec', 'schema: give a JSON object, or its JSON text.')
  refuseUnstorable('schema', schema)
  // As text, the order of keys is part of what is wanted; otherwise the cluster has sorted them anyway.
  if (isText) return { row: { schema, schemaOrder: orderOf(schema) }, text: spec.schema }
  notes.push(...roundedNotes('schema', schema))
  const { properties } = schema
  if (isObject(properties) && Object.keys(properties).length > 1 && schema['order'] === undefined) {
    notes.push('schema: without order, the fields of the form are sorted by name; state order or give JSON text.')
  }
  return { row: { schema }, text: JSON.stringify(schema) }
}

/** The parser's own message quotes the text, but says where the fault is. */
function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    const [, line] = /\bline (\d+)/.exec((error as Error).message) ?? []
    const [, at] = /position (\d+)/.exec((error as Error).message) ?? []
    const place = line ? ` (line ${line})` : at ? ` (line ${text.slice(0, Number(at)).split('\n').length})` : ''
    throw new SyncError('InvalidSpec', `schema: the text is no JSON${place}; correct it or write it as an object.`)
  }
}

/** Wrong marks make runs call what is not there, or hide the script from lists (§1.5). */
function functionNotes(spec: ScriptSpec, language: string, content: string): readonly string[] {
  if (spec.kind === 'preprocessor' || (spec.hasPreprocessor ?? spec.noMainFunc) === undefined) return []
  const facts = mainFacts(language, content)
  if (!facts) return []
  const notes: string[] = []
  if (spec.hasPreprocessor !== undefined && spec.hasPreprocessor !== facts.hasPreprocessor) {
    notes.push(`hasPreprocessor: the code says ${facts.hasPreprocessor}; leave the field out to go by the code.`)
  }
  if (spec.noMainFunc !== undefined && spec.noMainFunc !== facts.noMain) {
    notes.push(`noMainFunc: the code says ${facts.noMain}; leave the field out to go by the code.`)
  }
  return notes
}
