/** The worker's part in a script's life: the lock, the imports, the importers. Contract: scripts §3.5, §3.6. */
import { randomBytes } from 'node:crypto'
import type { Row } from './expect.ts'
import { importsOf, lockText } from './rules.ts'
import { relockApp } from './worker-app.ts'
import { cloneRow, type Job, LockFailure, mapImports, pushRelock, type Shift } from './worker-base.ts'
import { relockFlow } from './worker-flow.ts'

export const newHash = (): string => String(randomBytes(8).readBigInt64BE())

export async function lockScript(shift: Shift, given: Job): Promise<void> {
  const { sql, generation, failing } = shift
  const job = await pulled(shift, given)
  const [row] = await sql`select * from script where workspace_id = 'demo' and hash = ${job.runnable}`
  if (!row || row['deleted']) throw new LockFailure(`no script ${job.runnable}`)
  if (job.language === null) throw new Error(`the dependency job of ${job.path} has no language`)
  if (failing.includes(job.path)) {
    await sql`update script set lock_error_logs = ${`could not lock\n${job.path}: no such package`} where hash = ${job.runnable}`
    return fail(job)
  }
  const lock = lockText(String(row['language']), generation)
  await (row['lock'] === null || shift.release !== '1.558.1' ? fill(shift, job, lock) : fork(shift, row, lock))
  const imports = importsOf(job.language, String(row['content']), job.path, shift.release)
  await mapImports(
    sql,
    'script',
    job,
    imports.map(path => ({ node: '', path }))
  )
  await relockImporters(shift, job)
}

/** In a function of its own: the error of a job is no error of the worker's transaction. */
function fail(job: Job): never {
  throw new LockFailure(job.path)
}

/** Newer Windmill copies the newest live version when a relock is pulled: the copy waits for its lock. */
async function pulled({ sql, release }: Shift, job: Job): Promise<Job> {
  if (release !== '2026-08' || job.args['triggered_by_relative_import'] !== true) return job
  const [live] = await sql`
    select hash, parent_hashes from script where workspace_id = 'demo' and path = ${job.path} and not archived
     order by created_at desc limit 1`
  if (!live) return job
  const runnable = newHash()
  await copyVersion(sql, live, { hash: runnable, lock: null })
  return { ...job, runnable }
}

async function copyVersion(sql: Shift['sql'], old: Row, change: Row): Promise<void> {
  const [{ now } = { now: '' }] = await sql<{ now: string }[]>`select clock_timestamp()::text as now`
  const parents = [old['hash'], ...((old['parent_hashes'] as readonly string[] | null) ?? [])]
  await cloneRow(
    sql,
    'script',
    { hash: String(old['hash']) },
    {
      parent_hashes: parents,
      archived: false,
      created_at: now,
      ...change
    }
  )
  await sql`update script set archived = true where hash = ${String(old['hash'])}`
}

async function fill({ sql, release }: Shift, { runnable, path }: Job, lock: string): Promise<void> {
  await sql`update script set lock = ${lock} where workspace_id = 'demo' and hash = ${runnable}`
  if (release !== '2026-08') return
  await sql`
    insert into lock_hash (workspace_id, path, lockfile_hash) values ('demo', ${path}, 1)
    on conflict (workspace_id, path) do update set lockfile_hash = lock_hash.lockfile_hash + 1`
}

/** From 1.536 to 1.558 a version that has a lock already is copied instead (trap 3). */
const fork = ({ sql }: Shift, row: Row, lock: string): Promise<void> => copyVersion(sql, row, { hash: newHash(), lock })

/** Everything that imports this path is locked again, by the version that runs by path (trap 9). */
async function relockImporters(shift: Shift, job: Job): Promise<void> {
  const { sql } = shift
  const visited = [...((job.args['already_visited'] as readonly string[] | undefined) ?? []), job.path]
  const importers = await sql`
    select importer_kind as kind, importer_path as path, array_agg(importer_node_id::text) as nodes from dependency_map
     where workspace_id = 'demo' and imported_path = ${job.path} and importer_path <> all (${visited}) group by 1, 2 order by 1, 2`
  for (const { kind, path, nodes } of importers as unknown as readonly {
    kind: string
    path: string
    nodes: string[]
  }[]) {
    const args = { common_dependency_path: job.path, already_visited: visited, triggered_by_relative_import: true }
    if (kind === 'script') await relockScript(shift, path, args)
    if (kind === 'flow') await relockFlow(shift, path, { ...args, nodes_to_relock: nodes })
    if (kind === 'app') await relockApp(shift, path, { ...args, components_to_relock: nodes })
  }
}

async function relockScript({ sql, release }: Shift, path: string, args: Row): Promise<void> {
  const [elected] = await sql`
    select hash, language::text from script
     where workspace_id = 'demo' and path = ${path} and not deleted and lock is not null and lock_error_logs is null
     order by created_at desc limit 1`
  if (!elected) return
  const { triggered_by_relative_import: marked, ...rest } = args
  await pushRelock(sql, {
    kind: 'dependencies',
    runnable: String(elected['hash']),
    path,
    language: String(elected['language']),
    args: release === '2026-08' ? { ...rest, triggered_by_relative_import: marked } : rest
  })
}
