/** The job that a schedule's next occurrence is: contract, schedules §4–§6 and jobs §4–§9. */
import type { Json } from '../model.ts'
import { languageTag, type TagRules, tagFor } from './job-tags.ts'
import { hexOf, type Job } from './jobs.ts'
import { isObject, type JsonObject } from './json-values.ts'

/** A row of `schedule`, locked. */
export interface Schedule {
  readonly workspace: string
  readonly path: string
  readonly schedule: string
  readonly timezone: string
  /** Not `v2`: another syntax, which this program does not evaluate. */
  readonly cronVersion: string | null
  readonly enabled: boolean
  readonly scriptPath: string
  readonly isFlow: boolean
  readonly args: Json
  readonly retry: Json
  readonly tag: string | null
  readonly dynamicSkip: string | null
  readonly pausedUntil: Date | null
  readonly editedBy: string
  readonly email: string
  /** Only newer releases have it; null elsewhere. */
  readonly permissionedAs: string | null
  /** E-mail address of the user that `permissionedAs` names. */
  readonly userEmail: string | null
  /** The transaction's time. */
  readonly now: Date
}

/** The newest version of what a schedule starts, with what its job takes from it. */
export interface ScheduleTarget {
  readonly workspace: string
  readonly path: string
  readonly isFlow: boolean
  /** Hash of a script, version id of a flow, as decimal text. */
  readonly version: string
  /** When that version was made. */
  readonly since: Date
  readonly language: string | null
  readonly tag: string | null
  readonly timeout: number | null
  readonly dedicated: boolean | null
  /** `created_by` of a script, `edited_by` of a flow: whoever its runs act as when `onBehalfOfEmail` is set. */
  readonly author: string
  readonly onBehalfOfEmail: string | null
  readonly onBehalfOf: string | null
  readonly cacheTtl: Json
  readonly priority: Json
  readonly concurrentLimit: Json
  readonly concurrencyTimeWindowS: Json
  readonly concurrencyKey: Json
  /** Of a flow: ids of the top-level modules and of the failure module. */
  readonly modules: readonly string[]
  readonly failureModule: string | null
  readonly chatInput: Json
}

export interface Surroundings {
  readonly tagRules: TagRules
  readonly enterprise: boolean
}

/** Why a schedule cannot be armed: a clause that follows the name of the schedule. */
export class Unarmable extends Error {
  override readonly name = 'Unarmable'
}

export interface Identity {
  readonly permissionedAs: string
  readonly email: string
}

const asPrincipal = (username: string): string => (/^[ug]\/|@/.test(username) ? username : `u/${username}`)

/** Whoever the target acts on behalf of, else whoever the schedule belongs to (contract: §6). */
export function identityOf(schedule: Schedule, target: ScheduleTarget): Identity {
  if (target.onBehalfOfEmail) {
    return { email: target.onBehalfOfEmail, permissionedAs: asPrincipal(target.onBehalfOf ?? target.author) }
  }
  const { permissionedAs, editedBy, email, userEmail } = schedule
  return {
    permissionedAs: permissionedAs ?? asPrincipal(editedBy),
    email: permissionedAs ? (userEmail ?? email) : email
  }
}

/** Throws Unarmable for what Windmill's own push would fail at. */
export function jobOf(
  schedule: Schedule,
  target: ScheduleTarget,
  at: Date,
  { tagRules, enterprise }: Surroundings
): Job {
  const { workspace, path, scriptPath, isFlow } = schedule
  const args = schedule.args ?? {}
  if (!isObject(args)) throw new Unarmable('its args are no object')
  if (schedule.retry !== null && !isObject(schedule.retry)) throw new Unarmable('its retry is no object')
  const wrapped = !!schedule.dynamicSkip || (!isFlow && schedule.retry !== null)
  const job: Job = {
    workspace,
    ...identityOf(schedule, target),
    kind: wrapped ? 'singlestepflow' : isFlow ? 'flow' : 'script',
    runnable: wrapped ? null : target.version,
    path: scriptPath,
    language: wrapped || isFlow ? null : target.language,
    tag: tagOf(schedule, target, tagRules, wrapped),
    args: args as { readonly [name: string]: Json },
    createdBy: `schedule-${path.replaceAll('/', '-')}`,
    scheduledFor: at,
    trigger: path,
    timeout: isFlow ? null : target.timeout,
    cacheTtl: schedule.dynamicSkip ? null : whole(target.cacheTtl),
    ...(enterprise && { priority: whole(target.priority) }),
    ...(enterprise && !wrapped && concurrencyOf(schedule, target, tagRules)),
    ...(wrapped && wrapperOf(schedule, target, at)),
    ...(!wrapped && isFlow && { flowStatus: flowStatus(target.modules, target) })
  }
  return fitting(job)
}

/** Lengths of columns that a longer value would abort the whole statement for. */
function fitting(job: Job): Job {
  if (job.tag.length > 50) throw new Unarmable(`its tag becomes longer than 50 characters (${job.tag})`)
  if (job.permissionedAs.length > 55)
    throw new Unarmable('the name of the user it runs as is longer than 50 characters')
  if (job.createdBy.length > 255) throw new Unarmable('its path is longer than 246 characters')
  return job
}

function tagOf(
  { workspace, scriptPath, isFlow, tag, args }: Schedule,
  target: ScheduleTarget,
  rules: TagRules,
  wrapped: boolean
): string {
  if (target.dedicated && !wrapped) return `${workspace}:${isFlow ? 'flow/' : ''}${scriptPath}`
  // A plain flow ignores the schedule's tag (contract, trap 4).
  const explicit = (isFlow && !wrapped ? null : tag) || target.tag
  const fallback = wrapped || isFlow ? 'flow' : languageTag(target.language ?? 'flow')
  return tagFor(rules, {
    workspace,
    explicit,
    fallback,
    args: isObject(args) ? (args as { [name: string]: Json }) : {}
  })
}

const whole = (value: Json): number | null =>
  typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? value : null

function concurrencyOf(
  { workspace, scriptPath, isFlow, args }: Schedule,
  target: ScheduleTarget,
  rules: TagRules
): Pick<Job, 'concurrency'> {
  const limit = whole(target.concurrentLimit)
  if (!limit) return {}
  const own = typeof target.concurrencyKey === 'string' ? target.concurrencyKey : ''
  const explicit = own || `${workspace}/${isFlow ? 'flow' : 'script'}/${scriptPath}`
  const key = tagFor(rules, {
    workspace,
    explicit,
    fallback: '',
    args: isObject(args) ? (args as { [name: string]: Json }) : {}
  })
  return { concurrency: { limit, windowS: whole(target.concurrencyTimeWindowS), key } }
}

type Module = JsonObject & { readonly id: string }

/** A flow around one step: for retries of a script, and for a script that may skip the run. */
function wrapperOf(schedule: Schedule, target: ScheduleTarget, at: Date): Pick<Job, 'rawFlow' | 'flowStatus'> {
  const { dynamicSkip } = schedule
  const modules = [...(dynamicSkip ? [skipModule(dynamicSkip, at)] : []), mainModule(schedule, target)]
  const cacheTtl = dynamicSkip ? null : whole(target.cacheTtl)
  return {
    rawFlow: { modules, ...(cacheTtl !== null && { cache_ttl: cacheTtl }) },
    flowStatus: flowStatus(
      modules.map(one => one.id),
      { failureModule: null, chatInput: null }
    )
  }
}

function mainModule({ scriptPath, isFlow, args, retry, tag }: Schedule, { version }: ScheduleTarget): Module {
  const inputs = Object.entries(isObject(args) ? args : {}).map(([name, value]) => [
    name,
    { type: 'static', value: value ?? null }
  ])
  const input_transforms = Object.fromEntries(inputs) as JsonObject
  const again = retry === null ? {} : { retry }
  if (isFlow) {
    return {
      id: 'a',
      value: { type: 'flow', input_transforms, path: scriptPath },
      ...again,
      pass_flow_input_directly: true
    }
  }
  const pinned = {
    type: 'script',
    input_transforms,
    path: scriptPath,
    hash: hexOf(version),
    ...(tag && { tag_override: tag })
  }
  return { id: 'a', value: pinned, ...again, apply_preprocessor: false }
}

function skipModule(path: string, at: Date): Module {
  const scheduled = at.toISOString().replace(/(\.000)?Z$/, '+00:00')
  return {
    id: 'skip_validation',
    value: { type: 'script', input_transforms: { scheduled_for: { type: 'static', value: scheduled } }, path },
    stop_after_if: {
      expr: 'result !== true',
      skip_if_stopped: true,
      error_message: 'Skipped: the script that decides about this run did not return true.'
    }
  }
}

/** What a worker begins a flow with (contract: jobs §8). */
function flowStatus(
  modules: readonly string[],
  { failureModule, chatInput }: Pick<ScheduleTarget, 'failureModule' | 'chatInput'>
): Json {
  const waiting = (id: string): Json => ({ type: 'WaitingForPriorSteps', id })
  return {
    step: 0,
    modules: modules.map(waiting),
    failure_module: waiting(failureModule ?? 'failure'),
    preprocessor_module: null,
    cleanup_module: {},
    ...(chatInput !== null && { chat_input_enabled: chatInput })
  }
}
