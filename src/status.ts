/** Pure: an outcome becomes a status, and only a status that says something new is written. */
import { createHash } from 'node:crypto'
import { shortened } from './fingerprint.ts'
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

let last = { second: Number.NaN, text: '' }

/** Kubernetes' times have no fractions. The same second is the same text: a run tells it of thousands of objects. */
export function seconds(time: Date): string {
  const second = Math.floor(time.getTime() / 1000)
  if (second !== last.second) last = { second, text: time.toISOString().replace(/\.\d+Z$/, 'Z') }
  return last.text
}

/** Tells statuses apart by everything but the times of edits; of the object with this uid. */
export function statusDigest(uid: string, status: Status): string {
  const { state, reason, message, observedGeneration, workspace, hash, lockState, lockMessage } = status
  const { lastResult, lastRun, nextRun } = status
  const lock = [hash, lockState, lockMessage]
  const parts = [uid, state, reason, message, observedGeneration, workspace, ...lock, lastResult, lastRun, nextRun]
  const text = JSON.stringify(parts.map(part => part ?? ''))
  return shortened(createHash('sha256').update(text).digest('base64url'))
}

/** The event that a transition is worth; a first success is told by the status alone. */
export function eventOf(
  before: string | undefined,
  now: Pick<Status, 'state' | 'reason' | 'message'>
): { type: 'Normal' | 'Warning'; reason: string; message: string } | undefined {
  if (before === now.state || (before === undefined && now.state === 'Synced')) return undefined
  return { type: now.state === 'Synced' ? 'Normal' : 'Warning', reason: now.reason, message: now.message }
}
