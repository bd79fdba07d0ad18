/** From the spec of a schedule to its row: what must hold, what is approximated, and what has no effect. */
import { SyncError } from '../errors.ts'
import { canonical } from '../fingerprint.ts'
import { type Compiled, type Context, type Input, type Json, type Row, targetKey } from '../model.ts'
import { checkTimezone, normaliseCron } from './cron.ts'
import { checksTags, isListed } from './custom-tags.ts'
import { enterpriseNote } from './edition.ts'
import { refuseDeep, refuseUnstorable, roundedNotes } from './json-values.ts'
import { labelsOf } from './labels.ts'
import { checkRetry, type Retry, retryOf } from './retry.ts'
import { runAs } from './run-as.ts'
import { placeAt, type ScheduleFacts, targetOf } from './schedule-facts.ts'
import {
  ARMED,
  bareTarget,
  ERROR,
  type Handler,
  handlers,
  PAUSED,
  rearming,
  type ScheduleSpec
} from './schedule-spec.ts'
import { refuseLong } from './texts.ts'

type Given = Input<ScheduleSpec>

/** Part of a row, and what is to be said about it. */
interface Part {
  readonly row: Row
  readonly notes?: readonly (string | undefined)[]
  readonly unsettled?: boolean
}

export function compileSchedule(input: Given, facts: ScheduleFacts, context: Context): Compiled {
  checkTarget(input, facts)
  checkPlace(input, facts)
  const off = isArchived(input, facts)
  const on = (input.spec.enabled ?? true) && !input.spec.paused && !off
  const parts: readonly Part[] = [
    whenOf(input, facts),
    { row: { enabled: on, [ARMED]: on, [PAUSED]: null, [ERROR]: null } },
    { row: {}, notes: [off ? 'The workspace is archived, so the schedule stays off.' : undefined] },
    jsonOf(input),
    handlersOf(input, facts),
    identityPart(input, facts, context),
    retryPart(input, context),
    tagPart(input, facts, context),
    skipPart(input, facts, context),
    wordsOf(input, context),
    {
      row: {},
      notes: [
        ...effectNotes(input),
        facts.enterprise ? undefined : enterpriseNote(licensed(input.spec)),
        faultNote(input, facts)
      ]
    }
  ]
  const row = Object.assign({}, ...parts.map(one => one.row)) as Row
  if (on) checkStopped(input, row, facts)
  return {
    row,
    notes: parts.flatMap(one => one.notes ?? []).filter(note => note !== undefined),
    unsettled: parts.some(one => one.unsettled)
  }
}

const live = ({ workspace, path }: Given, facts: ScheduleFacts) => facts.live.get(targetKey(workspace, path))
const isArchived = (input: Given, facts: ScheduleFacts): boolean => live(input, facts)?.archived ?? false

/** Windmill looks for the target when it arms only: a schedule without one is disabled at its first occurrence (contract: §3). */
function checkTarget({ spec, workspace }: Given, facts: ScheduleFacts): void {
  const path = bareTarget(spec)
  const { script, flow } = placeAt(workspace, path, facts)
  const [mine, other, noun, otherNoun] = spec.isFlow
    ? [flow, script, 'flow', 'script']
    : [script, flow, 'script', 'flow']
  if (mine === 'there') return
  if (other === 'there') {
    const fix = spec.isFlow ? 'leave out isFlow' : 'set isFlow to true'
    throw missing(
      `scriptPath: workspace ${workspace} has no ${noun} ${path}, but a ${otherNoun} of that path; ${fix} if that is meant.`
    )
  }
  if (mine === 'archived') {
    throw missing(`scriptPath: the ${noun} ${path} is archived; bring it back, or name another one.`)
  }
  throw missing(
    `scriptPath: workspace ${workspace} has no ${noun} ${path}; create it, and if a manifest is to create it, see its status.`
  )
}

const missing = (sentence: string): SyncError => new SyncError('ReferenceNotFound', sentence)
const invalid = (sentence: string): SyncError => new SyncError('InvalidSpec', sentence)

/** A flow's own path is kept for the schedule of that flow (contract: §3). */
function checkPlace({ spec, workspace, path }: Given, facts: ScheduleFacts): void {
  if (path.length > 246)
    throw invalid('path: jobs of a schedule name it, and have room for 246 characters of its path.')
  if (placeAt(workspace, path, facts).flow === null) return
  if (spec.isFlow && bareTarget(spec) === path) return
  throw invalid(
    `path: there is a flow at ${path}, so a schedule of that path must start that flow; choose another path.`
  )
}

function whenOf({ spec }: Given, { nextAfter }: ScheduleFacts): Part {
  const { expression, notes } = normaliseCron(spec.schedule)
  const timezone = spec.timezone ?? 'UTC'
  refuseLong('schedule', expression, 255)
  checkTimezone(timezone)
  if (!nextAfter(expression, timezone, new Date())) {
    throw invalid('schedule: there is no such day, so it would never run; correct day of month and month.')
  }
  return { row: { schedule: expression, timezone, scriptPath: bareTarget(spec), isFlow: spec.isFlow ?? false }, notes }
}

/** Only objects: Windmill fails at every push of anything else (contract, trap 3). */
function jsonOf({ spec }: Given): Part {
  const fields = ['args', 'onFailureExtraArgs', 'onRecoveryExtraArgs', 'onSuccessExtraArgs'] as const
  const stated = fields.filter(field => spec[field] !== undefined)
  for (const field of stated) {
    refuseDeep(field, spec[field])
    refuseUnstorable(field, spec[field] as Json)
  }
  return {
    row: pick(spec, stated),
    notes: stated.flatMap(field => roundedNotes(field, spec[field] as Json))
  }
}

function pick(spec: ScheduleSpec, fields: readonly (keyof ScheduleSpec)[]): Row {
  return Object.fromEntries(fields.filter(one => spec[one] !== undefined).map(one => [one, spec[one] as Json]))
}

function handlersOf(input: Given, facts: ScheduleFacts): Part {
  const made = handlers
    .filter(field => input.spec[field] !== undefined)
    .map(field => handlerOf(field, input.spec[field] as string, input, facts))
  const plain = pick(input.spec, ['onFailureTimes', 'onFailureExact', 'onRecoveryTimes'])
  return {
    row: Object.assign({}, plain, ...made.map(one => one.row)) as Row,
    notes: made.flatMap(one => one.notes ?? []),
    unsettled: made.some(one => one.unsettled)
  }
}

/** A bare path becomes what stands there; nothing is guessed (contract: §9). */
function handlerOf(field: Handler, wish: string, { workspace }: Given, facts: ScheduleFacts): Part {
  if (wish === '') return { row: { [field]: null } }
  if (wish.startsWith('hub/')) return { row: { [field]: `script/${wish}` } }
  const [, prefix, path = ''] = /^(?:(script|flow)\/)?(.*)$/.exec(wish) ?? []
  const { script, flow } = placeAt(workspace, path, facts)
  if (prefix !== undefined) {
    const isThere = path.startsWith('hub/') || (prefix === 'flow' ? flow : script) === 'there'
    const note = isThere ? undefined : `${field}: workspace ${workspace} has no ${prefix} ${path} yet.`
    return { row: { [field]: wish }, notes: [note], unsettled: !isThere }
  }
  if (script === 'there' && flow === 'there') {
    throw invalid(`${field}: both a script and a flow stand at ${path}; write script/${path} or flow/${path}.`)
  }
  if (script !== 'there' && flow !== 'there') {
    throw missing(
      `${field}: workspace ${workspace} has neither a script nor a flow ${path}; create it, or name another one.`
    )
  }
  return { row: { [field]: script === 'there' ? `script/${path}` : `flow/${path}` } }
}

/**
 * Without a wish the runs of a new schedule act as the service user, who administers the workspace; a row that runs as
 * somebody else goes on so, as long as this namespace may make code run as that user.
 */
function identityPart(input: Given, facts: ScheduleFacts, context: Context): Part {
  const { spec, workspace } = input
  const limit = context.capabilities.maxLength('schedule', 'email')
  if (spec.runAs !== undefined) {
    const { username, email } = runAs(facts.users, input, spec.runAs, 'runAs')
    refuseLong('runAs: the e-mail address of the user', email, limit)
    return { row: { runAs: `u/${username}` } }
  }
  const now = live(input, facts)?.runsAs
  if (now && now !== `u/${context.user}`) {
    const isKnown = (facts.users.users.get(targetKey(workspace, now)) ?? []).length > 0
    if (isKnown) runAs(facts.users, input, now, 'The schedule in Windmill runs as somebody else, state runAs')
    return { row: {} }
  }
  refuseLong('--email', context.email, limit)
  return { row: {}, notes: [`runAs: not stated, so runs act as ${context.user}, an admin of the workspace.`] }
}

function retryPart({ spec }: Given, { capabilities }: Context): Part {
  const made: Retry | undefined = spec.retry ? checkRetry(spec.retry) : spec.retryConfig && retryOf(spec.retryConfig)
  if (!made) return { row: {} }
  const isOld = spec.retry?.retry_if !== undefined && !capabilities.has('schedule', 'dynamic_skip')
  return {
    row: { retry: made.value },
    notes: [
      ...made.notes,
      isOld ? 'retry.retry_if: this Windmill may be too old to know it; then all failures are retried.' : undefined
    ]
  }
}

/** A tag that is not allowed lets the first job run and then disables the schedule (contract, trap 5). */
function tagPart(input: Given, facts: ScheduleFacts, context: Context): Part {
  const { spec, workspace } = input
  const target = targetOf(input, facts)
  const row: Row = spec.tag === undefined ? {} : { tag: spec.tag || null }
  const ownTag = spec.isFlow && !spec.dynamicSkip ? undefined : spec.tag
  const tag = ownTag || target?.tag
  if (!tag || target?.dedicated || !checksTags(context)) return { row }
  const field = ownTag ? 'tag' : `scriptPath: the tag of ${bareTarget(spec)}`
  if (facts.tags.superadmins.has(emailOf(input, facts, context))) return { row }
  if (facts.tags.listed === undefined) {
    return {
      row,
      notes: [
        `${field}: Windmill disables the schedule unless ${tag} is one of its custom tags, of which its settings list none.`
      ]
    }
  }
  if (isListed(tag, workspace, facts.tags.listed)) return { row }
  throw invalid(
    `${field}: ${tag} is none of Windmill's custom tags for workspace ${workspace}, so Windmill would disable the schedule; add it there, or name another one.`
  )
}

function emailOf(input: Given, facts: ScheduleFacts, context: Context): string {
  if (input.spec.runAs !== undefined) return runAs(facts.users, input, input.spec.runAs, 'runAs').email
  return live(input, facts)?.email ?? context.email
}

function skipPart({ spec, workspace }: Given, facts: ScheduleFacts, { capabilities }: Context): Part {
  if (spec.dynamicSkip === undefined) return { row: {} }
  if (!capabilities.has('schedule', 'dynamic_skip')) {
    return { row: {}, notes: ['dynamicSkip: this Windmill has no such column; ignored.'] }
  }
  const { script } = placeAt(workspace, spec.dynamicSkip, facts)
  if (script === 'there') return { row: { dynamicSkip: spec.dynamicSkip } }
  const what = script === 'archived' ? 'is archived' : `is no script of workspace ${workspace}`
  throw missing(`dynamicSkip: ${spec.dynamicSkip} ${what}; create it, or name another one.`)
}

function wordsOf({ spec }: Given, context: Context): Part {
  const labels = labelsOf('schedule', spec.labels, context)
  const hasDescription = context.capabilities.has('schedule', 'description')
  const ignored = spec.description !== undefined && !hasDescription
  return {
    row: {
      ...pick(spec, [
        'summary',
        'wsErrorHandlerMuted',
        'noFlowOverlap',
        ...(hasDescription ? (['description'] as const) : [])
      ]),
      ...labels.row
    },
    notes: [...labels.notes, ignored ? 'description: this Windmill has no such column; ignored.' : undefined]
  }
}

/** Windmill takes these and does nothing with them (contract, trap 4). */
function effectNotes({ spec }: Given): readonly (string | undefined)[] {
  const plainFlow = spec.isFlow && !spec.dynamicSkip
  const retries = spec.retry ? 'retry' : 'retryConfig'
  return [
    spec.noFlowOverlap && !spec.isFlow
      ? 'noFlowOverlap: has an effect for flows only; runs of a script never overlap.'
      : undefined,
    plainFlow && spec.tag ? 'tag: Windmill ignores it for a flow, which has its own.' : undefined,
    plainFlow && (spec.retry || spec.retryConfig)
      ? `${retries}: Windmill ignores it for a flow; set retries on its steps.`
      : undefined
  ]
}

const licensed = (spec: ScheduleSpec): readonly string[] => [
  ...handlers.filter(field => spec[field]),
  ...((spec.onFailureTimes ?? 1) > 1 ? ['onFailureTimes'] : [])
]

/** A worker could not push the next occurrence, but left the schedule on (newer releases). */
function faultNote(input: Given, facts: ScheduleFacts): string | undefined {
  const now = live(input, facts)
  return now?.error && now.enabled ? `Windmill could not start the last run: ${cause(now.error)}.` : undefined
}

/** The first line, without what sentences end with. */
const cause = (error: string): string => (error.trim().split('\n', 1)[0] ?? '').slice(0, 200).replace(/[\s.]+$/, '')

/**
 * Windmill disables a schedule that it could not arm. It is enabled again once something happened that may have removed
 * the cause: an occurrence that went well before, an edit of the manifest, a new version of the target. Otherwise every
 * run would enable it, and every occurrence disable it again.
 */
function checkStopped(input: Given, row: Row, facts: ScheduleFacts): void {
  const key = targetKey(input.workspace, input.path)
  const [now, stopped] = [facts.live.get(key), facts.stopped.get(key)]
  if (!now?.error || !stopped) return
  const since = now.editedAt?.getTime() ?? 0
  const { changedAt, annotations } = input.listed
  const moved = [changedAt, annotations['sync-requested-at'] ?? ''].some(one => Date.parse(one) > since)
  const renewed = (targetOf(input, facts)?.since.getTime() ?? 0) > since
  const edited = rearming.some(
    field =>
      field in row && ![ARMED, 'enabled'].includes(field) && canonical(row[field]) !== canonical(stopped.row[field])
  )
  if (now.worked || moved || renewed || edited) return
  throw new SyncError(
    'DisabledByWindmill',
    `Windmill disabled the schedule: ${cause(now.error)}. Remove the cause; then edit the manifest, give it the annotation windmill.dev/sync-requested-at with the time, or enable the schedule in Windmill.`
  )
}
