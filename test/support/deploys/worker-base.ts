/** What the parts of the simulated worker share: jobs, relocks, the map of imports, copies of rows. */
import { randomUUID } from 'node:crypto'
import type postgres from 'postgres'
import type { Release } from '../windmill.ts'
import type { Row } from './expect.ts'

export interface WorkerOptions {
  readonly release: Release
  /** These paths first, in this order: workers are many, and any order may happen. */
  readonly first?: readonly string[]
  /** Relocks wait until everything else is done, so that several of one importer meet. */
  readonly relocksLast?: boolean
  /** Goes home after so many jobs. */
  readonly limit?: number
  /** Paths whose dependencies cannot be had. */
  readonly failing?: readonly string[]
  /** Told apart from locks of other times. */
  readonly generation?: number
}

/** What a job is done with. */
export interface Shift extends Required<WorkerOptions> {
  readonly sql: postgres.TransactionSql
}

export interface Job {
  readonly id: string
  readonly kind: string
  readonly runnable: string
  readonly path: string
  readonly language: string | null
  readonly args: Row
}

export class LockFailure extends Error {}

/** A job that the worker itself queues: to lock again what imports something that changed. */
export async function pushRelock(
  sql: postgres.TransactionSql,
  job: Pick<Job, 'kind' | 'runnable' | 'path' | 'language' | 'args'>
): Promise<void> {
  const id = randomUUID()
  const tag = job.language ?? 'dependency'
  await sql`
    insert into v2_job (id, workspace_id, tag, created_by, permissioned_as, permissioned_as_email, kind, runnable_id,
           runnable_path, script_lang, args)
    values (${id}, 'demo', ${tag}, 'iac_controller', 'u/iac_controller', 'iac-controller@cluster.local', ${job.kind},
            ${job.runnable}, ${job.path}, ${job.language}, ${sql.json(job.args as never)})`
  await sql`insert into v2_job_queue (id, workspace_id, running, scheduled_for, tag) values (${id}, 'demo', false, now(), ${tag})`
  await sql`insert into v2_job_runtime (id, ping) values (${id}, null)`
}

/** Makes the rows of an importer equal to what it imports (scripts §3.6). */
export async function mapImports(
  sql: postgres.TransactionSql,
  kind: 'script' | 'flow' | 'app',
  job: Job,
  imports: readonly { readonly node: string; readonly path: string }[]
): Promise<void> {
  const from = job.args['parent_path']
  if (typeof from === 'string' && from !== job.path) {
    await sql`
      update dependency_map set importer_path = ${job.path}
       where workspace_id = 'demo' and importer_kind = ${kind} and importer_path = ${from}`
  }
  await sql`
    delete from dependency_map d where workspace_id = 'demo' and importer_kind = ${kind} and importer_path = ${job.path}
       and not exists (select from jsonb_to_recordset(${JSON.stringify(imports)}::text::jsonb) as j(node text, path text)
                        where j.node = d.importer_node_id and j.path = d.imported_path)`
  for (const { node, path } of imports) {
    await sql`
      insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path, importer_node_id)
      values ('demo', ${job.path}, ${kind}, ${path}, ${node}) on conflict do nothing`
  }
}

/** Copies a row with other values in some columns: what `insert … select` of a clone does, for any release. */
export async function cloneRow(
  sql: postgres.TransactionSql | postgres.Sql,
  table: string,
  where: { readonly [column: string]: string },
  change: Row
): Promise<Row> {
  const [column = '', value = ''] = Object.entries(where)[0] ?? []
  const [row] = await sql`
    insert into ${sql(table)}
    select (jsonb_populate_record(x, ${JSON.stringify(change)}::text::jsonb)).* from ${sql(table)} x
     where ${sql(column)} = ${value} returning *`
  if (!row) throw new Error(`nothing to copy in ${table}`)
  return row
}
