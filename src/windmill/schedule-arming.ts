/** Stand-in until the schedules' own work lands. */
import type { Context, Sql } from '../model.ts'

export interface Runnable {
  readonly workspace: string
  readonly path: string
  readonly isFlow: boolean
}

export async function rearmSchedulesOf(_sql: Sql, _runnables: readonly Runnable[], _context: Context): Promise<void> {}
export async function disarmSchedulesOf(_sql: Sql, _runnables: readonly Runnable[], _context: Context): Promise<void> {}
