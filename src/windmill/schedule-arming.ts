/**
 * Arming: an enabled schedule fires only while a job for its next occurrence is in the queue, and nothing but whoever
 * saves it (and the worker that runs it) puts one there (contract: schedules §1, §3–§5).
 */
import { SyncError } from '../errors.ts'
import { type Context, type Sql, targetKey } from '../model.ts'
import { loadNextAfter, type NextAfter, normaliseCron } from './cron.ts'
import { isEnterprise } from './edition.ts'
import { readTagRules } from './job-tags.ts'
import { dropJobs, type Job, pushJobs } from './jobs.ts'
import { placesJson } from './row-writer.ts'
import { identityOf, jobOf, type Schedule, type ScheduleTarget, type Surroundings, Unarmable } from './schedule-jobs.ts'
import { ofSchedules } from './schedule-queue.ts'
import { findKnown, findTargets, type Runnable, runnableKey } from './schedule-targets.ts'

export type { Runnable } from './schedule-targets.ts'

export interface Arming {
  readonly workspace: string
  readonly path: string
  /** Whether the time of the queued job still holds: what decides about it did not change. A due job keeps its time anyhow. */
  readonly keepTime: boolean
}

/** A job that no worker has begun. */
interface Queued {
  readonly id: string
  readonly workspace: string
  readonly path: string
  readonly scheduledFor: Date
}

/**
 * Makes the queue what the rows of these schedules say: enabled ones get a new job in place of a queued one, disabled
 * ones none. Running jobs are left alone. Throws for a schedule that cannot be armed.
 */
export async function settleSchedules(sql: Sql, schedules: readonly Arming[], context: Context): Promise<void> {
  if (schedules.length === 0) return
  const keep = new Set(schedules.filter(one => one.keepTime).map(one => targetKey(one.workspace, one.path)))
  const locked = await lockSchedules(
    sql,
    sql`join ${placesOf(sql, schedules)} on s.workspace_id = j.workspace and s.path = j.path`,
    context
  )
  const off = locked.filter(one => !one.enabled)
  await replaceJobs(
    sql,
    locked.filter(one => one.enabled),
    context,
    {
      keepsTime: one => keep.has(keyOf(one)),
      isStrict: true
    }
  )
  await clearJobs(sql, off, context)
}

/**
 * After a new version of scripts or flows: the queued jobs of all enabled schedules that point there, ours or not, are
 * pushed again with that version, at the time they had. A schedule of somebody else that cannot be armed stays as it is:
 * nothing of it is lost, and Windmill says what is wrong when its time comes.
 */
export async function rearmSchedulesOf(sql: Sql, runnables: readonly Runnable[], context: Context): Promise<void> {
  if (runnables.length === 0) return
  const locked = await lockSchedules(sql, sql`${pointingTo(sql, runnables)} and s.enabled`, context)
  await replaceJobs(sql, locked, context, { keepsTime: () => true, isStrict: false })
}

/** When scripts or flows are archived or deleted: schedules that point there would only fail (contract: §5). */
export async function disarmSchedulesOf(sql: Sql, runnables: readonly Runnable[], context: Context): Promise<void> {
  if (runnables.length === 0) return
  const locked = await lockSchedules(sql, pointingTo(sql, runnables), context)
  await disableSchedules(sql, locked, context)
}

/** Disables and clears; rows that are disabled already are only cleared. */
export async function disableSchedules(
  sql: Sql,
  schedules: readonly { readonly workspace: string; readonly path: string }[],
  context: Context
): Promise<void> {
  if (schedules.length === 0) return
  await sql`
    update schedule s set enabled = false, edited_at = now()
      from ${placesOf(sql, schedules)}
     where s.workspace_id = j.workspace and s.path = j.path and s.enabled`
  await clearJobs(sql, schedules, context)
}

/** Takes the jobs out of the queue that no worker has begun. */
export async function clearJobs(
  sql: Sql,
  schedules: readonly { readonly workspace: string; readonly path: string }[],
  context: Context
): Promise<void> {
  if (schedules.length === 0) return
  const queued = await lockQueued(sql, schedules)
  await dropJobs(
    sql,
    queued.map(one => one.id),
    context
  )
}

const keyOf = ({ workspace, path }: { workspace: string; path: string }): string => targetKey(workspace, path)

const placesOf = (sql: Sql, places: readonly { workspace: string; path: string }[]) =>
  sql`jsonb_to_recordset(${placesJson(places)}::text::jsonb) as j(workspace text, path text)`

const pointingTo = (sql: Sql, runnables: readonly Runnable[]) => sql`
  join (select distinct workspace, path, "isFlow"
          from jsonb_to_recordset(${JSON.stringify(runnables)}::text::jsonb) as r(workspace text, path text, "isFlow" boolean)) j
    on s.workspace_id = j.workspace and s.script_path = j.path and s.is_flow = j."isFlow"`

/** Rows first, in one order, so that neither workers nor other writers can push the same occurrence (contract, trap 9). */
async function lockSchedules(
  sql: Sql,
  joined: ReturnType<typeof placesOf>,
  { capabilities }: Context
): Promise<readonly Schedule[]> {
  const principal = capabilities.has('schedule', 'permissioned_as') ? sql`s.permissioned_as` : sql`null::text`
  const skip = capabilities.has('schedule', 'dynamic_skip') ? sql`nullif(s.dynamic_skip, '')` : sql`null`
  return sql<Schedule[]>`
    select s.workspace_id as workspace, s.path, s.schedule, s.timezone, s.cron_version as "cronVersion", s.enabled,
           s.script_path as "scriptPath", s.is_flow as "isFlow", s.args, s.retry, nullif(s.tag, '') as tag,
           ${skip} as "dynamicSkip", s.paused_until as "pausedUntil", s.edited_by as "editedBy", s.email,
           ${principal} as "permissionedAs", now() as now,
           (select u.email from usr u where u.workspace_id = s.workspace_id
               and 'u/' || u.username = ${principal} limit 1) as "userEmail"
      from schedule s ${joined}
     order by s.workspace_id, s.path
       for update of s`
}

/** A flow that waits for an approval has a row that is not running either, but it has begun. */
async function lockQueued(
  sql: Sql,
  schedules: readonly { readonly workspace: string; readonly path: string }[]
): Promise<readonly Queued[]> {
  return sql<Queued[]>`
    select q.id::text, o.workspace_id as workspace, o.trigger as path, q.scheduled_for as "scheduledFor"
      from v2_job_queue q
      join v2_job o on o.id = q.id
     where ${ofSchedules(sql, schedules)} and o.flow_step_id is null and not q.running and q.suspend_until is null
     order by q.scheduled_for
       for update of q`
}

/** Schedules that a run is going on of, which pushes the next occurrence itself. */
async function findAlive(sql: Sql, schedules: readonly Schedule[]): Promise<ReadonlySet<string>> {
  if (schedules.length === 0) return new Set()
  const rows = await sql<{ workspace: string; path: string }[]>`
    select distinct s.workspace_id as workspace, s.path
      from v2_job_queue q
      join v2_job o on o.id = q.id
      join schedule s on s.workspace_id = o.workspace_id and s.path = o.trigger and s.script_path = o.runnable_path
     where ${ofSchedules(sql, schedules)} and o.parent_job is null and (q.running or q.suspend_until is not null)`
  return new Set(rows.map(keyOf))
}

function grouped(jobs: readonly Queued[]): ReadonlyMap<string, readonly Queued[]> {
  const groups = new Map<string, Queued[]>()
  for (const job of jobs) {
    const group = groups.get(keyOf(job))
    if (group) group.push(job)
    else groups.set(keyOf(job), [job])
  }
  return groups
}

interface Manner {
  readonly keepsTime: (schedule: Schedule) => boolean
  /** Whether a schedule that cannot be armed is an error, or passed over. */
  readonly isStrict: boolean
}

/** Clears and pushes. What is passed over keeps its queued job. */
async function replaceJobs(sql: Sql, schedules: readonly Schedule[], context: Context, manner: Manner): Promise<void> {
  if (schedules.length === 0) return
  const queued = grouped(await lockQueued(sql, schedules))
  const alive = await findAlive(
    sql,
    schedules.filter(one => !queued.has(keyOf(one)))
  )
  const wanting = schedules.filter(one => !alive.has(keyOf(one)))
  const made = await makeJobs(sql, wanting, { queued, context, manner })
  await dropJobs(
    sql,
    made.flatMap(({ schedule }) => queued.get(keyOf(schedule)) ?? []).map(one => one.id),
    context
  )
  await pushJobs(
    sql,
    made.map(one => one.job),
    context
  )
  await forgetErrors(
    sql,
    made.map(one => one.schedule)
  )
}

interface Made {
  readonly schedule: Schedule
  readonly job: Job
}

async function makeJobs(
  sql: Sql,
  schedules: readonly Schedule[],
  { queued, context, manner }: { queued: ReadonlyMap<string, readonly Queued[]>; context: Context; manner: Manner }
): Promise<readonly Made[]> {
  const runnables = schedules.map(one => ({ workspace: one.workspace, path: one.scriptPath, isFlow: one.isFlow }))
  const targets = await findTargets(sql, runnables, context)
  const targetOf = (one: Schedule): ScheduleTarget | undefined =>
    targets.get(runnableKey({ workspace: one.workspace, path: one.scriptPath, isFlow: one.isFlow }))
  const identities = schedules.flatMap(one => {
    const target = targetOf(one)
    return target ? [{ workspace: one.workspace, ...identityOf(one, target) }] : []
  })
  const isKnown = await findKnown(sql, identities)
  const around: Surroundings = { tagRules: await readTagRules(sql), enterprise: await isEnterprise(sql) }
  const nextAfter = await loadNextAfter()
  const make = (schedule: Schedule): Job => {
    const target = targetOf(schedule)
    if (!target) throw new Unarmable(`${schedule.scriptPath} is not there`)
    const at = timeOf(schedule, { queued: queued.get(keyOf(schedule)), keeps: manner.keepsTime(schedule), nextAfter })
    const job = jobOf(schedule, target, at, around)
    if (!isKnown(schedule.workspace, job))
      throw new Unarmable(`${job.permissionedAs}, who it runs as, is no enabled user`)
    return job
  }
  return schedules.flatMap(schedule => {
    try {
      return [{ schedule, job: make(schedule) }]
    } catch (error) {
      if (!(error instanceof Unarmable)) throw error
      if (!manner.isStrict) return []
      throw new SyncError('WriteRejected', `Schedule ${schedule.path} cannot be armed: ${error.message}.`)
    }
  })
}

/** The time of the queued job where it holds or is due: clearing must not lose an occurrence (contract: §9). */
function timeOf(
  { schedule, timezone, cronVersion, pausedUntil, now }: Schedule,
  { queued, keeps, nextAfter }: { queued: readonly Queued[] | undefined; keeps: boolean; nextAfter: NextAfter }
): Date {
  const [first] = queued ?? []
  if (first && (keeps || first.scheduledFor <= now)) return first.scheduledFor
  if (cronVersion === null || cronVersion === 'v1')
    throw new Unarmable('its cron expression is in the syntax of another version')
  const from = pausedUntil && pausedUntil > now ? pausedUntil : now
  const next = evaluate(schedule, timezone, from, nextAfter)
  if (!next) throw new Unarmable('its cron expression has no next occurrence')
  return next
}

/** A row of somebody else may hold what the library reads in another way than Windmill, or not at all. */
function evaluate(schedule: string, timezone: string, from: Date, nextAfter: NextAfter): Date | undefined {
  try {
    return nextAfter(normaliseCron(schedule).expression, timezone, from)
  } catch {
    throw new Unarmable('its cron expression or time zone cannot be read')
  }
}

/** As every push of Windmill does (contract: §4). */
async function forgetErrors(sql: Sql, schedules: readonly Schedule[]): Promise<void> {
  if (schedules.length === 0) return
  await sql`
    update schedule s set error = null, paused_until = case when s.paused_until > now() then s.paused_until end
      from ${placesOf(sql, schedules)}
     where s.workspace_id = j.workspace and s.path = j.path and (s.error is not null or s.paused_until <= now())`
}
