/** Schedules: when scripts and flows run by themselves, and the job in the queue without which they do not. */
import { canonical } from '../fingerprint.ts'
import type { AuditEntry, Context, Kind, Removal, Row, Sql, Write } from '../model.ts'
import { clearJobs, disableSchedules, settleSchedules } from '../windmill/schedule-arming.ts'
import { compileSchedule } from '../windmill/schedule-compile.ts'
import { readFacts, type ScheduleFacts } from '../windmill/schedule-facts.ts'
import { ARMED, ERROR, isDropped, PAUSED, rearming, retiming, type ScheduleSpec } from '../windmill/schedule-spec.ts'
import { isNewsOfSchedule, scheduleDetails } from '../windmill/schedule-status.ts'
import { deleteSchedules, readSchedules, scheduleTokens, writeSchedules } from '../windmill/schedule-store.ts'
import { listSchedules } from '../windmill/versioned-export.ts'

/** The stated fields that differ from the row as it was read; all of them in a new row. */
const changedBy = ({ row, live }: Write): readonly string[] =>
  Object.keys(row).filter(field => !live || canonical(row[field]) !== canonical(live[field]))

/** Rows first, then their jobs: what only concerns the queue touches no row. */
async function write(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  const changes = writes.map(one => ({ one, fields: changedBy(one) }))
  const rows = changes.filter(({ one, fields }) => one.op === 'create' || fields.some(field => field !== ARMED))
  await writeSchedules(
    sql,
    rows.map(({ one }) => one),
    context
  )
  const jobs = changes.filter(
    ({ one, fields }) => one.op === 'create' || fields.some(field => rearming.includes(field))
  )
  await settleSchedules(
    sql,
    jobs.map(({ one, fields }) => ({
      workspace: one.workspace,
      path: one.path,
      keepTime: one.op === 'update' && !fields.some(field => retiming.includes(field))
    })),
    context
  )
}

const switching: readonly string[] = ['enabled', ARMED, ERROR, PAUSED]

/** As the API names them (contract: schedules §3); a job alone is no change of the schedule. */
function audit(change: Write | (Removal & { readonly op: 'delete' | 'retire' })): readonly AuditEntry[] {
  if (change.op === 'create' || change.op === 'update') return auditOf(change)
  if (change.op === 'retire') return [switched(change.path, false)]
  return [{ operation: 'schedule.delete', action: 'delete', resource: change.path }]
}

function auditOf(change: Write): readonly AuditEntry[] {
  const { op, path, row } = change
  const fields = changedBy(change)
  const schedule = textAt(row, 'schedule')
  if (op === 'create') {
    const parameters = { schedule, script_path: textAt(row, 'scriptPath') }
    return [{ operation: 'schedule.create', action: 'create', resource: path, parameters }]
  }
  if (fields.every(field => field === ARMED)) return []
  if (fields.every(field => switching.includes(field))) return [switched(path, row['enabled'] === true)]
  return [{ operation: 'schedule.edit', action: 'update', resource: path, parameters: { schedule } }]
}

const textAt = (row: Row, field: string): string => {
  const value = row[field]
  return typeof value === 'string' ? value : ''
}

const switched = (resource: string, enabled: boolean): AuditEntry => ({
  operation: 'schedule.setenabled',
  action: 'update',
  resource,
  parameters: { enabled: String(enabled) }
})

const stated = ({ [ARMED]: _armed, [ERROR]: _error, [PAUSED]: _paused, ...row }: Row): Row => row

export default {
  kind: 'WindmillSchedule',
  plural: 'windmillschedules',
  after: ['WindmillScript', 'WindmillFlow'],
  rules: 1,
  uses: {
    schedule: [
      'workspace_id',
      'path',
      'edited_by',
      'edited_at',
      'schedule',
      'timezone',
      'enabled',
      'script_path',
      'is_flow',
      'args',
      'email',
      'error',
      'on_failure',
      'on_failure_times',
      'on_failure_exact',
      'on_failure_extra_args',
      'on_recovery',
      'on_recovery_times',
      'on_recovery_extra_args',
      'on_success',
      'on_success_extra_args',
      'ws_error_handler_muted',
      'retry',
      'summary',
      'no_flow_overlap',
      'tag',
      'paused_until',
      'cron_version'
    ],
    script: ['workspace_id', 'path', 'hash', 'archived', 'created_at', 'language', 'tag'],
    flow: ['workspace_id', 'path', 'versions', 'archived', 'edited_by', 'tag'],
    flow_version: ['id', 'value', 'created_at'],
    flow_version_lite: ['id', 'value'],
    v2_job: ['id', 'workspace_id', 'trigger', 'trigger_kind', 'runnable_id', 'runnable_path', 'raw_flow'],
    v2_job_queue: ['id', 'scheduled_for', 'running', 'suspend_until'],
    v2_job_completed: ['id', 'status', 'started_at', 'completed_at']
  },
  target: ({ workspace, path }) => ({ workspace, path }),
  facts: readFacts,
  compile: compileSchedule,
  tokens: scheduleTokens,
  observe: readSchedules,
  write,
  async remove(sql, removals, context) {
    await deleteSchedules(sql, removals)
    await clearJobs(sql, removals, context)
  },
  retire: disableSchedules,
  audit,
  stated,
  inventory: async (sql, workspaces) => listSchedules(sql, workspaces),
  /** Runs act as the service user without a word; what stopped or paused one is no field. */
  exported: async (_sql, rows, { user }) =>
    rows.map(({ row, live }) => {
      if (!live) return { stated: row }
      const { runAs, ...others } = stated(row)
      const own = runAs === `u/${user}` || runAs === undefined
      return { stated: own ? others : { ...others, runAs }, loose: [ERROR, PAUSED] }
    }),
  dropped: isDropped,
  details: scheduleDetails,
  isNews: isNewsOfSchedule,
  upkeep: [ARMED]
} satisfies Kind<ScheduleSpec, ScheduleFacts>
