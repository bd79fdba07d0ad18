/** `npm start`: the job over examples/ on a PostgreSQL of its own, three times: first, again, after one change. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { startEmbedded } from '../src/database/embedded.ts'
import { plain } from './support/database.ts'
import { command, projectFolder } from './support/job.ts'

const say = (text: string): void => void process.stdout.write(`${text}\n`)

/** Writes to any table since the counters were reset: what "writes nothing" is about. */
async function writesOf(sql: postgres.Sql): Promise<number> {
  await sql`select pg_stat_force_next_flush()`
  const [row] = await sql<{ writes: number }[]>`
    select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int as writes from pg_stat_user_tables`
  return row?.writes ?? 0
}

const database = await startEmbedded().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(5)
})
const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-demo-'))
const sql = plain(database.url)
let failed = false

async function run(title: string, ...options: string[]): Promise<void> {
  say(`\n${title}\n$ windmill-iac reconcile --from examples ${options.join(' ')}`.trimEnd())
  const before = await writesOf(sql)
  const [file = '', ...rest] = command()
  const { status } = spawnSync(
    file,
    [...rest, 'reconcile', '--from', folder, '-o', 'text', '--log-level', 'warn', ...options],
    {
      env: { ...process.env, DATABASE_URL: database.url },
      stdio: ['ignore', 'inherit', 'inherit']
    }
  )
  say(`rows written in the database: ${(await writesOf(sql)) - before}; exit code ${status}`)
  failed ||= status !== 0
}

try {
  // The kustomize example is input for kustomize; a plain folder of manifests is what is shown here.
  const isShown = (path: string): boolean => !path.endsWith('kustomize')
  cpSync(join(projectFolder, 'examples'), folder, { recursive: true, filter: isShown })
  await run('First run: everything in examples/ is new.')
  await run('Second run: nothing has changed, so nothing is written.')
  const file = join(folder, 'variable.yaml')
  const text = readFileSync(file, 'utf8')
  const changed = text.replace(/^( {2}description:).*$/m, '$1 changed by the demo')
  if (changed === text) throw new Error('examples/variable.yaml has no description to change')
  writeFileSync(file, changed)
  await run('Third run: one description was edited in the manifest.')
} finally {
  await sql.end({ timeout: 1 })
  rmSync(folder, { recursive: true, force: true })
  await database.stop()
}
process.exitCode = failed ? 1 : 0
