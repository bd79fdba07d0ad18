/** What a status says of a schedule besides its state: contract, schedules §10. */
import { type Details, type Sql, type Target, targetKey } from '../model.ts'
import { placesJson } from './row-writer.ts'
import { nextOf, readQueue } from './schedule-queue.ts'
import { lastRun } from './schedule-store.ts'

interface Read {
  readonly workspace: string
  readonly path: string
  readonly last: Date | null
  readonly result: string | null
}

const seconds = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`

/** For all schedules at once. */
export async function scheduleDetails(sql: Sql, targets: readonly Target[]): Promise<ReadonlyMap<string, Details>> {
  const rows = await sql<Read[]>`
    select s.workspace_id as workspace, s.path, l.at as last, l.status as result
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join schedule s on s.workspace_id = j.workspace and s.path = j.path
      left join ${lastRun(sql)} l on true`
  const queue = await readQueue(sql, targets)
  return new Map(
    rows.map(({ workspace, path, last, result }) => {
      const key = targetKey(workspace, path)
      const next = nextOf(queue.get(key))
      const details = {
        ...(next && { nextRun: seconds(next) }),
        ...(last && { lastRun: seconds(last) }),
        ...(result !== null && { lastResult: result })
      }
      return [key, details]
    })
  )
}

/** A day: schedules that run more often have a time in their status that is at most so old. In milliseconds. */
const PATIENCE = 24 * 3_600_000

/**
 * Whether a status that says `before` must be written again to say `after`. Times move with every run, and thousands of
 * schedules would be written in every run for nothing; so a next run that was passed and went on by less than a day is
 * what everybody expects. Another result is news; so is a next run that came or went, that moved although it was not
 * reached yet, or that went on by a day or more.
 */
export function isNewsOfSchedule(before: Details, after: Details, now: Date): boolean {
  if (before.lastResult !== after.lastResult) return true
  const [old, next] = [before.nextRun, after.nextRun]
  if (old === undefined || next === undefined) return old !== next
  if (old === next) return false
  return Date.parse(old) > now.getTime() || Date.parse(next) - Date.parse(old) >= PATIENCE
}
