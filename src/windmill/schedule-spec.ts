/** The spec of a schedule, and the fields of its row. */
import type { Json } from '../model.ts'
import type { RetryConfig, RetryWish } from './retry.ts'

type Free = { readonly [key: string]: Json }

export interface ScheduleSpec {
  readonly workspace?: string
  readonly path: string
  readonly schedule: string
  readonly timezone?: string
  readonly scriptPath: string
  readonly isFlow?: boolean
  readonly args?: Free
  readonly enabled?: boolean
  readonly paused?: boolean
  readonly summary?: string
  readonly description?: string
  readonly runAs?: string
  readonly onFailure?: string
  readonly onFailureExtraArgs?: Free
  readonly onFailureTimes?: number
  readonly onFailureExact?: boolean
  readonly onRecovery?: string
  readonly onRecoveryExtraArgs?: Free
  readonly onRecoveryTimes?: number
  readonly onSuccess?: string
  readonly onSuccessExtraArgs?: Free
  readonly wsErrorHandlerMuted?: boolean
  readonly retryConfig?: RetryConfig
  readonly retry?: RetryWish
  readonly noFlowOverlap?: boolean
  readonly dynamicSkip?: string
  readonly tag?: string
  readonly labels?: readonly string[]
}

/** Handlers, with their fields. */
export const handlers = ['onFailure', 'onRecovery', 'onSuccess'] as const
export type Handler = (typeof handlers)[number]

/**
 * Whether the job for the next occurrence is in the queue and pinned to the newest version: true, false, or `outdated`.
 * Not a field of the CR, but of the row: so that a missing job is a difference like any other.
 */
export const ARMED = 'armed'
/** Why Windmill disabled the schedule by itself. */
export const ERROR = 'error'
/** Until when somebody paused the schedule in Windmill; always null in a desired row. */
export const PAUSED = 'pausedUntil'

/** A change of one of these needs another job (contract: schedules §9); handlers and the like are read when it runs. */
export const rearming: readonly string[] = [
  'schedule',
  'timezone',
  'scriptPath',
  'isFlow',
  'args',
  'retry',
  'tag',
  'dynamicSkip',
  'runAs',
  'enabled',
  PAUSED,
  ARMED
]

/** A change of one of these moves the time of the next occurrence. */
export const retiming: readonly string[] = ['schedule', 'timezone', 'enabled', PAUSED]

/** Path of the script or flow, without the prefix that some write. */
export const bareTarget = ({ scriptPath }: ScheduleSpec): string => scriptPath.replace(/^(script|flow)\//, '')

/** What decides how runs behave does not outlive its manifest; words about the schedule do. */
const lasting: readonly string[] = ['summary', 'description', 'labels']
export const isDropped = (field: string): boolean => !lasting.includes(field)
