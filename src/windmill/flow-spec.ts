/** From the spec of a flow to the fields that are compared and the text that is stored. */
import { SyncError } from '../errors.ts'
import {
  type Compiled,
  type Context,
  type Input,
  type Json,
  type Ref,
  type Row,
  type Sql,
  targetKey
} from '../model.ts'
import { enterpriseNote, isEnterprise } from './edition.ts'
import { type CheckShape, flowShape } from './flow-schema.ts'
import type { FlowSettings } from './flow-stored.ts'
import { abilitiesOf, readFlow } from './flow-value.ts'
import { labelsOf } from './labels.ts'
import { placesJson } from './row-writer.ts'
import { findRunAs, type RunAsFound, runAs } from './run-as.ts'
import { readSchema } from './schema-text.ts'
import { inOneGo } from './statements.ts'
import { refuseControl, refuseLong } from './texts.ts'
import { documentReader, type ReadDocument } from './value-from.ts'

export interface FlowSpec extends FlowSettings {
  readonly workspace?: string
  readonly path: string
  readonly value?: Json
  readonly valueFrom?: { readonly configMapKeyRef: { readonly name: string; readonly key: string } }
  readonly summary?: string
  readonly description?: string
  readonly schema?: Json
  readonly tag?: string
  readonly wsErrorHandlerMuted?: boolean
  readonly timeout?: number
  readonly dedicatedWorker?: boolean
  readonly visibleToRunnerOnly?: boolean
  readonly onBehalfOf?: string
  readonly labels?: readonly string[]
}

export interface FlowFacts {
  readonly checkShape: CheckShape
  readonly readDocument: ReadDocument
  readonly users: RunAsFound
  readonly enterprise: boolean
  /** What a schedule at the path of a flow runs instead, by target key (contract: flows-and-apps A8). */
  readonly schedules: ReadonlyMap<string, string>
}

/** What `write` needs besides the row, which holds only what is compared; the text of `Write.guard`. */
export interface FlowTexts {
  readonly value: Json
  /** Undefined: the live version's is kept. */
  readonly schema?: string
}

/** Prefix of the fields that stand for locks that the manifest gives: `lock.<module id>`. */
export const LOCK = 'lock.'

export const flowRefs = ({ valueFrom }: FlowSpec): readonly Ref[] =>
  valueFrom ? [{ kind: 'ConfigMap', ...valueFrom.configMapKeyRef }] : []

export async function flowFacts(sql: Sql, inputs: readonly Input<FlowSpec>[], context: Context): Promise<FlowFacts> {
  const wanted = inputs.flatMap(({ spec: { onBehalfOf: who }, workspace }) =>
    who === undefined || isOurs(who, context) ? [] : [{ workspace, who }]
  )
  const [checkShape, readDocument, users, enterprise, schedules] = await inOneGo([
    flowShape(),
    documentReader(inputs.some(one => one.spec.valueFrom !== undefined)),
    findRunAs(sql, wanted, context),
    isEnterprise(sql),
    schedulesAt(sql, inputs)
  ])
  return { checkShape, readDocument, users, enterprise, schedules }
}

async function schedulesAt(sql: Sql, inputs: readonly Input<FlowSpec>[]): Promise<ReadonlyMap<string, string>> {
  const rows = await sql<{ workspace: string; path: string; other: string }[]>`
    select j.workspace, j.path, s.script_path::text as other
      from jsonb_to_recordset(${placesJson(inputs)}::text::jsonb) as j(workspace text, path text)
      join schedule s on s.workspace_id = j.workspace and s.path = j.path and s.script_path <> s.path`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), row.other]))
}

export function compileFlow(input: Input<FlowSpec>, facts: FlowFacts, context: Context): Compiled {
  const { spec, workspace, path } = input
  refuseClash(facts.schedules.get(targetKey(workspace, path)))
  refuseDedicated(spec, workspace)
  refuseLong('tag', spec.tag, context.capabilities.maxLength('flow', 'tag'))
  for (const field of ['summary', 'description', 'tag'] as const) refuseControl(field, spec[field] ?? '')
  const flow = readFlow(givenFlow(input, facts), facts.checkShape, abilitiesOf(context.capabilities))
  const schema = spec.schema === undefined ? undefined : readSchema(spec.schema)
  const labels = labelsOf('flow', spec.labels, context)
  const texts: FlowTexts = { value: flow.value, ...(schema && { schema: schema.text }) }
  const { value, unknown, locks } = flow.comparable
  return {
    row: {
      value,
      ...(Object.keys(unknown).length > 0 && { unknownKeys: unknown }),
      ...Object.fromEntries(Object.entries(locks).map(([id, lock]) => [`${LOCK}${id}`, lock])),
      ...schema?.row,
      ...plainFields(spec),
      ...onBehalfOf(input, facts, context),
      ...labels.row,
      archived: false,
      ...(context.capabilities.has('flow', 'draft_only') && { draftOnly: false })
    },
    guard: JSON.stringify(texts),
    notes: [...flow.notes, ...(schema?.notes ?? []), ...labels.notes, ...remarks(spec, facts)]
  }
}

/** Windmill's own API refuses such a flow, and its pages mix the two up. */
function refuseClash(other: string | undefined): void {
  if (other === undefined) return
  throw new SyncError(
    'TakenBySomebodyElse',
    `path: a schedule at this path runs ${other} instead of this flow; move or delete the schedule, or choose another path.`
  )
}

/** Jobs of a dedicated flow are found by this tag, which the job tables must hold (trap 13). */
function refuseDedicated({ dedicatedWorker, path }: FlowSpec, workspace: string): void {
  if (dedicatedWorker && Array.from(`${workspace}:flow/${path}`).length > 50) {
    throw new SyncError(
      'InvalidSpec',
      'dedicatedWorker: the tag <workspace>:flow/<path> may have at most 50 characters; choose a shorter path.'
    )
  }
}

function givenFlow({ spec, text }: Input<FlowSpec>, { readDocument }: FlowFacts) {
  const { value = null, valueFrom } = spec
  if (!valueFrom) return { flow: value, settings: spec, root: 'value' }
  const { name, key } = valueFrom.configMapKeyRef
  const content = text({ kind: 'ConfigMap', name, key })
  return { flow: readDocument(content, `valueFrom: ConfigMap ${name}, key ${key}`), settings: spec, root: 'valueFrom' }
}

/** '' and 0 mean none. */
function plainFields(spec: FlowSpec): Row {
  const { summary, description, tag, timeout, wsErrorHandlerMuted, dedicatedWorker, visibleToRunnerOnly } = spec
  return {
    ...(summary !== undefined && { summary }),
    ...(description !== undefined && { description }),
    ...(tag !== undefined && { tag: tag || null }),
    ...(timeout !== undefined && { timeout: timeout || null }),
    ...(wsErrorHandlerMuted !== undefined && { wsErrorHandlerMuted }),
    ...(dedicatedWorker !== undefined && { dedicatedWorker }),
    ...(visibleToRunnerOnly !== undefined && { visibleToRunnerOnly })
  }
}

/**
 * Without one, a flow runs as its caller, whatever somebody set in Windmill: new code must never run as a person whom
 * the manifest's namespace may not name.
 */
function onBehalfOf(input: Input<FlowSpec>, { users }: FlowFacts, context: Context): Row {
  const who = input.spec.onBehalfOf
  if (who === undefined) return { onBehalfOf: null }
  const { user: username, email } = context
  const person = isOurs(who, context) ? { username, email } : runAs(users, input, who, 'onBehalfOf')
  return { onBehalfOf: identityText(`u/${person.username}`, person.email) }
}

/** The service identity joins a workspace with the first write to it: it may be named before it is there. */
const isOurs = (who: string, { user, email }: Context): boolean =>
  [user, `u/${user}`].includes(who) || who.toLowerCase() === email.toLowerCase()

/** Principal and e-mail address are a pair: contract, flows-and-apps A5. */
export const identityText = (principal: string, email: string): string => `${principal} <${email}>`

/** The pair of a text that `identityText` made. */
export function identityOf(text: string): { readonly principal: string; readonly email: string } {
  const [, principal = '', email = ''] = /^(\S*) <(.*)>$/.exec(text) ?? []
  return { principal, email }
}

function remarks(spec: FlowSpec, { enterprise }: FlowFacts): readonly string[] {
  const stated = (['concurrencyLimit', 'concurrencyTimeWindowS', 'concurrencyKey', 'priority'] as const).filter(
    field => spec[field]
  )
  const flags = (['dedicatedWorker', 'wsErrorHandlerMuted'] as const).filter(field => spec[field])
  const limits = stated.filter(field => field === 'concurrencyTimeWindowS' || field === 'concurrencyKey')
  const note = enterprise ? undefined : enterpriseNote([...stated, ...flags])
  return [
    ...(note === undefined ? [] : [note]),
    ...(limits.length > 0 && spec.concurrencyLimit === 0
      ? [`${limits.join(', ')}: without effect, because concurrencyLimit is 0.`]
      : []),
    ...(spec.timeout ? ['timeout: shown only; Windmill enforces the timeouts of modules.'] : []),
    ...(spec.dedicatedWorker ? ['dedicatedWorker: runs and the lock job wait for a worker of this flow.'] : [])
  ]
}
