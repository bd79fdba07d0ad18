/** The archive: a flag that hides a workspace, and what has to stop with it (contract: workspaces-and-permissions §1.3). */
import type { Context, Sql } from '../model.ts'

/** Tables of triggers that this Windmill may have; those it has are looked up. */
const triggers = ['http', 'websocket', 'kafka', 'nats', 'postgres', 'mqtt', 'sqs', 'gcp', 'azure', 'email', 'native']

/**
 * The flag alone stops nothing (contract, trap 10). Unarchiving brings none of this back: nobody remembers what was
 * enabled. An http_trigger of 1.463 and 1.558 has no switch: its routes go on answering.
 */
export async function archiveWorkspaces(sql: Sql, workspaces: readonly string[], context: Context): Promise<void> {
  if (workspaces.length === 0) return
  const rows = await sql<{ id: string }[]>`
    update workspace set deleted = true
     where not deleted and id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
    returning id`
  if (rows.length === 0) return
  const ids = JSON.stringify(rows.map(row => row.id))
  await sql`
    update schedule set enabled = false, edited_at = now()
     where enabled and workspace_id in (select jsonb_array_elements_text(${ids}::text::jsonb))`
  await removeScheduledJobs(sql, ids)
  await disableTriggers(sql, ids, context)
}

/** As Windmill clears a schedule (contract: schedules §3), for all schedules of the workspaces; running jobs go on. */
async function removeScheduledJobs(sql: Sql, ids: string): Promise<void> {
  await sql`
    with waiting as (
      select q.id from v2_job_queue q join v2_job j on j.id = q.id
       where q.workspace_id in (select jsonb_array_elements_text(${ids}::text::jsonb))
         and j.trigger_kind = 'schedule' and j.flow_step_id is null and not q.running
         for update of q),
    queued as (delete from v2_job_queue where id in (select id from waiting) returning id),
    jobs as (delete from v2_job where id in (select id from queued)),
    perms as (delete from job_perms where job_id in (select id from queued))
    delete from concurrency_key where job_id in (select id from queued)`
}

async function disableTriggers(sql: Sql, ids: string, { capabilities }: Context): Promise<void> {
  for (const kind of triggers) {
    const table = `${kind}_trigger`
    const where = sql`workspace_id in (select jsonb_array_elements_text(${ids}::text::jsonb))`
    if (capabilities.type(table, 'mode') === 'trigger_mode') {
      await sql`update ${sql(table)} set mode = 'disabled' where mode <> 'disabled' and ${where}`
    } else if (capabilities.type(table, 'enabled') === 'bool') {
      await sql`update ${sql(table)} set enabled = false where enabled and ${where}`
    }
  }
}
