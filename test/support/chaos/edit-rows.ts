/** What happens in the database meanwhile: people in Windmill's pages, workers, other clusters, a lost ledger. */
import type postgres from 'postgres'
import { asWorkerStores } from '../flow-worker.ts'
import { pushNext } from '../worker.ts'
import { lookAtRows } from './check.ts'
import type { Deed } from './edit-crs.ts'
import { thingOf, things } from './stage.ts'
import type { State } from './state.ts'
import { type Fields, keyOf, nameOf } from './words.ts'

async function anyRow(state: State): Promise<readonly [kind: string, path: string, fields: Fields] | undefined> {
  const rows = [...(await lookAtRows(state.stage))].sort(([a], [b]) => (a < b ? -1 : 1))
  if (rows.length === 0) return undefined
  const [key, fields] = state.chance.pick(rows)
  const [kind = '', path = ''] = key.split(' ')
  return [kind, path, fields]
}

const editRow: Deed = async state => {
  const found = await anyRow(state)
  if (!found) return undefined
  const [kind, path] = found
  const thing = thingOf(kind)
  const choices = Object.entries({ ...thing.always, ...thing.maybe })
  const [field, values] = state.chance.pick(choices)
  const change = { [field]: state.chance.pick(values) }
  await thing.edit(state.stage, path, change)
  return `bob edits ${kind} ${path}: ${JSON.stringify(change)}`
}

/** Of all rows those that a CR stands for are the interesting ones. */
const editOurs: Deed = async state => {
  const rows = await lookAtRows(state.stage)
  const ours = [...state.crs.values()].filter(cr => rows.has(keyOf(cr.kind, cr.path)))
  if (ours.length === 0) return undefined
  const cr = state.chance.pick(ours)
  const thing = thingOf(cr.kind)
  const stated = Object.keys(cr.fields)
  if (stated.length === 0) return undefined
  const field = state.chance.pick(stated)
  const change = { [field]: state.chance.pick({ ...thing.always, ...thing.maybe }[field] ?? ['']) }
  await thing.edit(state.stage, cr.path, change)
  const isDeleted = state.chance.once(2)
  if (isDeleted) state.crs.delete(nameOf(cr))
  if (isDeleted) state.stage.statuses.delete(nameOf(cr))
  return `bob edits ${cr.kind} ${cr.path}: ${JSON.stringify(change)}${isDeleted ? `, and ${nameOf(cr)} is deleted` : ''}`
}

const dropRow: Deed = async state => {
  const found = await anyRow(state)
  if (!found) return undefined
  const [kind, path] = found
  if (thingOf(kind).isKept) return undefined
  await thingOf(kind).drop(state.stage, path)
  return `bob deletes ${kind} ${path}`
}

const createRow: Deed = async state => {
  const thing = state.chance.pick(things)
  const path = state.chance.pick(thing.paths)
  const rows = await lookAtRows(state.stage)
  if (rows.has(keyOf(thing.kind, path))) return undefined
  const fields = Object.fromEntries(
    Object.entries(thing.always).map(([field, values]) => [field, state.chance.pick(values)])
  )
  if (thing.lacks?.(fields, rows)) return undefined
  await thing.create(state.stage, path, fields)
  return `bob creates ${thing.kind} ${path} ${JSON.stringify(fields)}`
}

const archive: Deed = async state => {
  const rows = [...(await lookAtRows(state.stage)).keys()].filter(key => /^(Script|Flow) /.test(key)).sort()
  if (rows.length === 0) return undefined
  const [kind = '', path = ''] = state.chance.pick(rows).split(' ')
  const table = state.stage.sql(kind.toLowerCase())
  await state.stage
    .sql`update ${table} set archived = true where workspace_id = 'demo' and path = ${path} and not archived`
  return `bob archives ${kind} ${path}`
}

async function finish(sql: postgres.Sql, id: string, status: string): Promise<void> {
  await sql`
    insert into v2_job_completed (id, workspace_id, duration_ms, result, started_at, status)
    values (${id}, 'demo', 1, '{}', now(), ${status}::job_status)`
  await sql`delete from v2_job_queue where id = ${id}`
  await sql`delete from job_perms where job_id = ${id}`
}

/** A worker does some of the dependency jobs that wait. */
const lock: Deed = async state => {
  const { sql } = state.stage
  const jobs = await sql<{ id: string; kind: string; runnable: string; path: string }[]>`
    select j.id, j.kind::text, j.runnable_id::text as runnable, j.runnable_path as path
      from v2_job j join v2_job_queue q using (id)
     where j.workspace_id = 'demo' and j.kind in ('dependencies', 'flowdependencies', 'appdependencies')
     order by j.runnable_path, q.scheduled_for`
  const done: string[] = []
  for (const { id, kind, runnable, path } of jobs) {
    if (state.chance.once(3)) continue
    const failed = kind === 'dependencies' && state.chance.once(6)
    if (failed)
      await sql`update script set lock_error_logs = 'no such package' where workspace_id = 'demo' and hash = ${runnable}`
    else if (kind === 'dependencies')
      await sql`update script set lock = 'made by a worker' where workspace_id = 'demo' and hash = ${runnable} and lock is null`
    else if (kind === 'flowdependencies') await storeFlow(state, runnable, path)
    await finish(sql, id, failed ? 'failure' : 'success')
    done.push(`${path}${failed ? ' in vain' : ''}`)
  }
  return done.length === 0 ? undefined : `a worker locks ${done.join(', ')}`
}

async function storeFlow({ stage: { sql, has } }: State, version: string, path: string): Promise<void> {
  const [row] = await sql`
    select v.value, f.versions[array_upper(f.versions, 1)] = v.id as live from flow_version v
      left join flow f on f.workspace_id = v.workspace_id and f.path = v.path where v.id = ${version}`
  if (!row) return
  const text = JSON.stringify(asWorkerStores(row['value'] as Record<string, unknown>))
  await sql`update flow_version set value = ${text}::text::jsonb where id = ${version}`
  if (row['live'])
    await sql`update flow set value = ${text}::text::jsonb where workspace_id = 'demo' and path = ${path}`
  if (has('flow', 'lock_error_logs'))
    await sql`update flow set lock_error_logs = null where workspace_id = 'demo' and path = ${path}`
}

interface Due {
  readonly id: string
  readonly kind: string
  readonly path: string
  readonly trigger: string
  readonly email: string
  readonly permissionedAs: string
}

/** An occurrence comes, and the next one is queued. */
const fire: Deed = async state => {
  const { sql } = state.stage
  const jobs = await sql<Due[]>`
    select j.id, j.kind::text, j.runnable_path as path, j.trigger, j.permissioned_as_email as email, j.permissioned_as as "permissionedAs"
      from v2_job j join v2_job_queue q using (id)
      join schedule s on s.workspace_id = j.workspace_id and s.path = j.trigger
     where j.workspace_id = 'demo' and j.trigger_kind = 'schedule' and j.trigger not like 'f/foreign/%'
     order by j.trigger`
  const rows = await lookAtRows(state.stage)
  const able = jobs.filter(job => {
    const row = rows.get(`Schedule ${job.trigger}`) ?? {}
    return row['target']?.endsWith(` ${job.path}`) && !thingOf('Schedule').lacks?.(row, rows)
  })
  if (able.length === 0) return undefined
  const job = state.chance.pick(able)
  await finish(sql, job.id, state.chance.once(4) ? 'failure' : 'success')
  const rest = { workspace: 'demo', runnable: null, rawFlow: null, flowStatus: null, username: null }
  await pushNext(sql, { ...job, ...rest })
  return `schedule ${job.trigger} fires`
}

/** A job disappears from the queue, as after a restored backup. */
const loseJob: Deed = async state => {
  const { sql } = state.stage
  const jobs = await sql<{ id: string; path: string }[]>`
    select q.id, coalesce(j.trigger, j.runnable_path) as path from v2_job_queue q join v2_job j using (id)
     where j.workspace_id = 'demo' and coalesce(j.trigger, j.runnable_path) not like 'f/foreign/%' and j.kind in ('dependencies', 'script', 'flow')
     order by 2, j.kind`
  if (jobs.length === 0) return undefined
  const job = state.chance.pick(jobs)
  await sql`delete from v2_job_queue where id = ${job.id}`
  return `the job of ${job.path} is lost`
}

const hasLedger = async ({ stage: { sql } }: State): Promise<boolean> => {
  const [row] = await sql`select to_regclass('windmill_iac.object') is not null as there`
  return row?.['there'] === true
}

const loseLedger: Deed = async state => {
  if (!state.chance.once(3) || !(await hasLedger(state))) return undefined
  await state.stage.sql.unsafe('drop schema windmill_iac cascade')
  return 'the ledger is lost'
}

/** Another cluster takes a row that is there and nobody's. */
const claimElsewhere: Deed = async state => {
  const found = await anyRow(state)
  if (!found || !(await hasLedger(state))) return undefined
  const [kind, path] = found
  const { count } = await state.stage.sql`
    insert into windmill_iac.object (cluster, kind, namespace, name, workspace, path, state, reason, message)
    values ('other', ${`Windmill${kind}`}, 'demo', ${`other-${++state.born}`}, 'demo', ${path}, 'Synced', 'Synced', '')
    on conflict do nothing`
  return count === 0 ? undefined : `another cluster takes ${kind} ${path}`
}

const releaseElsewhere: Deed = async state => {
  if (!(await hasLedger(state))) return undefined
  const { count } = await state.stage.sql`delete from windmill_iac.object where cluster = 'other'`
  return count === 0 ? undefined : 'the other cluster lets everything go'
}

export const rowDeeds: readonly Deed[] = [
  editRow,
  editRow,
  editOurs,
  editOurs,
  editOurs,
  dropRow,
  createRow,
  createRow,
  archive,
  lock,
  lock,
  lock,
  fire,
  fire,
  loseJob,
  loseLedger,
  claimElsewhere,
  releaseElsewhere
]
