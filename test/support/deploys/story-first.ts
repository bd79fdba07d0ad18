/** First run, second run, worker, and the runs after it. */
import { assert } from '../suite.ts'
import { cleanRun, detailsOf, libraries, quiet, runsAs } from './assertions.ts'
import { type Bench, type Manifest, manifestsOf, textOf } from './bench.ts'
import { none, same } from './expect.ts'
import { appDeviations } from './expect-app.ts'
import { flowDeviations } from './expect-flow.ts'
import { scriptDeviations } from './expect-script.ts'
import { isLocking } from './rules.ts'
import { deployed, elected } from './ui.ts'
import { work } from './worker.ts'

const checks = {
  WindmillScript: scriptDeviations,
  WindmillFlow: flowDeviations,
  WindmillApp: appDeviations
} as const

/** Importers with locks of their own: a worker locks them again with the libraries, which is then put right. */
const ownLocks = ['locked', 'locked-ts', 'deno-job']
const failing = ['f/ops/go_job', 'f/ops/handlers']

export async function firstToSettled(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const manifests = manifestsOf('base.yaml', 'scripts.yaml', 'flows.yaml', 'apps.yaml')
  const report = await bench.run(manifests)
  assert.is(report.counts.create, 45, report.objects.map(one => one.message).join('\n'))
  assert.is(report.run.exitCode, 0)
  none(await everyRow(bench, manifests))
  none(await otherTables(bench))
  await quiet(bench, manifests)
  await quiet(bench, manifests, '--refresh')
  none(await elections(bench, manifests))

  const done = await work(sql, { release, failing, first: libraries })
  assert.equal(
    done.filter(one => !one.endsWith(' success')),
    release === '1.463.2'
      ? ['dependencies f/ops/go_job failure']
      : ['dependencies f/ops/go_job failure', 'flowdependencies f/ops/handlers failure']
  )
  const [queued] = await sql`select count(*)::int as left from v2_job_queue`
  assert.is(queued?.['left'], 0)
  const updated = await cleanRun(bench, manifests)
  assert.equal(
    Object.keys(updated).filter(name => !ownLocks.includes(name)),
    [],
    JSON.stringify(updated)
  )
  await work(sql, { release, failing })
  const after = await bench.writes(() => bench.run(manifests))
  if (Object.keys(after.windmill).length > 0) none([JSON.stringify(after.windmill), ...after.changes])
  await quiet(bench, manifests)
  await quiet(bench, manifests, '--refresh')
  none(await lockStates(bench, manifests))
  none(await locksGiven(bench, manifests))
}

async function everyRow(bench: Bench, manifests: readonly Manifest[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const one of manifests) {
    const check = checks[one.kind as keyof typeof checks]
    if (check) found.push(...(await check(bench, manifests, one)))
  }
  return found
}

/** Worker's tables stay empty, and nothing is made that nobody asked for. */
async function otherTables({ sql, release }: Bench): Promise<readonly string[]> {
  const [counts] = await sql`
    select (select count(*) from script)::int as scripts, (select count(*) from flow)::int as flows,
           (select count(*) from app)::int as apps, (select count(*) from flow_version_lite)::int as lite,
           (select count(*) from flow_node)::int as nodes, (select count(*) from app_version_lite)::int as app_lite,
           (select count(*) from app_script)::int as app_scripts, (select count(*) from draft)::int as drafts,
           (select count(*) from dependency_map where importer_kind <> 'script')::int as maps,
           (select count(distinct hash) from script)::int as hashes,
           (select count(*) from v2_job)::int - (select count(*) from v2_job_queue)::int as jobs`
  const wanted = { scripts: 30, flows: 8, apps: 4, lite: 0, nodes: 0, app_lite: 0, app_scripts: 0, drafts: 0 }
  const all = { ...wanted, maps: 0, hashes: 30, jobs: 0 }
  const deps = release === '1.463.2' ? [] : await sql`select * from workspace_runnable_dependencies`
  return [
    ...(same(counts, all) ? [] : [`${JSON.stringify(counts)}, expected ${JSON.stringify(all)}`]),
    ...deps.map(one => `workspace_runnable_dependencies: ${JSON.stringify(one)}`)
  ]
}

/** Before any worker: what has a lock runs by path, what waits does not; flows and apps run at once. */
async function elections({ sql, release }: Bench, manifests: readonly Manifest[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const one of manifests) {
    const { path, lock, language } = one.spec as { path: string; lock?: string; language: string }
    if (one.kind === 'WindmillScript') {
      const waits = isLocking(language, release) && lock === undefined
      const runs = (await elected(sql, path))?.['content']
      if (runs !== (waits ? undefined : textOf(manifests, one))) found.push(`${path} runs ${String(runs)}`)
    }
    if (one.kind === 'WindmillFlow' && !(await deployed(sql, 'flow', path))) found.push(`${path}: no version to run`)
    if (one.kind === 'WindmillApp' && !(await deployed(sql, 'app', path))) found.push(`${path}: no version to show`)
  }
  return found
}

async function lockStates({ sql, release }: Bench, manifests: readonly Manifest[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const { kind, metadata, spec } of manifests) {
    if (!(kind in checks)) continue
    const { lockState, lockMessage = '' } = await detailsOf(sql, metadata.name)
    const path = String(spec['path'])
    const fails = failing.includes(path) && !(kind === 'WindmillFlow' && release === '1.463.2')
    const none = kind === 'WindmillScript' && !isLocking(String(spec['language']), release)
    const wanted = fails ? ['failed'] : none || kind === 'WindmillApp' ? ['none', 'done'] : ['done']
    if (!wanted.includes(String(lockState)))
      found.push(`${path}: lock state ${String(lockState)}, expected ${wanted.join(' or ')}`)
    if (fails !== String(lockMessage).includes('could not lock'))
      found.push(`${path}: lock message ${String(lockMessage)}`)
  }
  return found
}

/** After the worker: everything runs by path with its content, and locks that a manifest gives are the ones that count. */
async function locksGiven({ sql, release }: Bench, manifests: readonly Manifest[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const one of manifests.filter(({ kind }) => kind === 'WindmillScript')) {
    const { path, lock, language } = one.spec as { path: string; lock?: string; language: string }
    if (failing.includes(path)) continue
    found.push(...(await runsAs(sql, path, textOf(manifests, one))))
    if (lock === undefined || !isLocking(language, release)) continue
    const [row] = await sql`select lock from script where workspace_id = 'demo' and path = ${path} and not archived`
    if (row?.['lock'] !== lock) found.push(`${path}: lock ${String(row?.['lock'])}`)
  }
  return found
}
