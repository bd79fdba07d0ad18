/** What the ledger keeps of the past: deleted objects and runs. */
import type { Entry, Sql } from '../model.ts'

/** Keeps what is about to be deleted for 30 days. */
export async function saveDeleted(
  sql: Sql,
  cluster: string,
  deleted: readonly { entry: Entry; manifest: string }[]
): Promise<void> {
  const rows = deleted.map(({ entry: { kind, namespace, name, workspace, path }, manifest }) => ({
    kind,
    namespace,
    name,
    workspace,
    path,
    manifest
  }))
  await sql`delete from windmill_iac.deleted where deleted_at < now() - interval '30 days'`
  await sql`
    insert into windmill_iac.deleted (cluster, kind, namespace, name, workspace, path, manifest)
    select ${cluster}, r.*
      from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
        as r(kind text, namespace text, name text, workspace text, path text, manifest text)`
}

/** The last 100 runs that changed anything. */
export async function saveRun(
  sql: Sql,
  run: {
    id: string
    cluster: string
    command: string
    startedAt: Date
    durationMs: number
    exitCode: number
    counts: object
    message: string
  }
): Promise<void> {
  await sql`
    insert into windmill_iac.run (id, cluster, command, started_at, duration_ms, exit_code, counts, message)
    values (${run.id}, ${run.cluster}, ${run.command}, ${run.startedAt}, ${run.durationMs}, ${run.exitCode},
            ${JSON.stringify(run.counts)}::text::jsonb, ${run.message})`
  await sql`
    delete from windmill_iac.run
     where id in (select id from windmill_iac.run order by started_at desc offset 100)`
}

/**
 * PostgreSQL would do it by itself, but up to a minute later. Until then it takes the ledger for almost empty, and a run
 * that comes right after a first sync compares each row with each other: 100 s for 3,000 CRs, and a thousand times that
 * for 100,000. Whoever does not own the table is told nothing, and PostgreSQL does nothing.
 */
export async function refreshStatistics(sql: Sql): Promise<void> {
  await sql`analyze windmill_iac.object`
}
