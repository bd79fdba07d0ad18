/** Pure: an outcome becomes a status, and only a status that says something new is written. */
import { createHash } from 'node:crypto'
import type { Details, Listed, State, Status } from './model.ts'

export interface News {
  readonly state: State
  readonly reason: string
  readonly message: string
  readonly workspace?: string | undefined
  readonly details: Details
  /** Last change of the rows by us. */
  readonly syncedAt: Date | null
  /** When Ready last turned. */
  readonly transitionedAt: Date
}

/** What the cluster should say of the object. */
export function statusOf(listed: Pick<Listed, 'generation'>, news: News): Status {
  const { state, reason, message, details } = news
  return {
    state,
    reason,
    message,
    observedGeneration: listed.generation,
    workspace: news.workspace,
    ...details,
    syncedAt: news.syncedAt ? seconds(news.syncedAt) : undefined,
    conditions: [
      {
        type: 'Ready',
        status: state === 'Synced' ? 'True' : 'False',
        reason,
        message,
        lastTransitionTime: seconds(news.transitionedAt),
        observedGeneration: listed.generation
      }
    ]
  }
}

/** Kubernetes' times have no fractions. */
export const seconds = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`

/** Tells statuses apart by everything but the times of edits; of the object with this uid. */
export function statusDigest(uid: string, status: Status): string {
  const { state, reason, message, observedGeneration, workspace, hash, lockState, lockMessage } = status
  const { lastResult, lastRun, nextRun } = status
  const lock = [hash, lockState, lockMessage]
  const parts = [uid, state, reason, message, observedGeneration, workspace, ...lock, lastResult, lastRun, nextRun]
  const text = JSON.stringify(parts.map(part => part ?? ''))
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

/** The event that a transition is worth; a first success is told by the status alone. */
export function eventOf(
  before: string | undefined,
  now: Pick<Status, 'state' | 'reason' | 'message'>
): { type: 'Normal' | 'Warning'; reason: string; message: string } | undefined {
  if (before === now.state || (before === undefined && now.state === 'Synced')) return undefined
  return { type: now.state === 'Synced' ? 'Normal' : 'Warning', reason: now.reason, message: now.message }
}
