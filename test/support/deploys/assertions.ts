/** What stories ask again and again. */
import type postgres from 'postgres'
import type { Report } from '../../../src/report.ts'
import { assert } from '../suite.ts'
import type { Bench, Manifest } from './bench.ts'
import { none } from './expect.ts'
import { elected, liveScripts } from './ui.ts'
import { work } from './worker.ts'

/** Sentences about everything that went wrong. */
export const problems = (report: Report): readonly string[] =>
  report.objects
    .filter(one => ['error', 'conflict'].includes(one.op))
    .map(one => `${one.kind} ${one.name || one.path}: ${one.reason}: ${one.message}`)

/** Ops of what was not merely kept, by name. */
export const ops = (report: Report): Readonly<Record<string, string>> =>
  Object.fromEntries(report.objects.filter(one => one.op !== 'keep').map(one => [one.name || one.path, one.op]))

/** A run without an error; gives what it did. */
export async function cleanRun(bench: Bench, manifests: readonly Manifest[], ...argv: string[]) {
  const report = await bench.run(manifests, ...argv)
  none(problems(report))
  assert.is(report.run.exitCode, 0)
  return ops(report)
}

/** No table is written any more, neither Windmill's nor ours. */
export async function quiet(bench: Bench, manifests: readonly Manifest[], ...argv: string[]): Promise<void> {
  const writes = await bench.writes(() => bench.run(manifests, ...argv))
  if (Object.keys({ ...writes.windmill, ...writes.ours }).length === 0) return
  none([JSON.stringify({ ...writes.windmill, ...writes.ours }), ...writes.changes])
}

/** One run may note what changed in the ledger; Windmill's tables are left alone, and then there is quiet. */
export async function settles(bench: Bench, manifests: readonly Manifest[], ...argv: string[]): Promise<void> {
  const writes = await bench.writes(async () => {
    const report = await bench.run(manifests, ...argv)
    none([...problems(report), ...report.objects.filter(one => one.state !== 'Synced').map(one => one.message)])
  })
  if (Object.keys(writes.windmill).length > 0) none([JSON.stringify(writes.windmill), ...writes.changes])
  await quiet(bench, manifests, ...argv)
}

/** In the order of their imports. */
export const libraries = ['f/lib/text', 'f/lib/dates', 'f/lib/http', 'f/sales/helpers', 'f/lib/format'] as const

/** A world that was deployed and locked: libraries first, so that nothing is locked twice. */
export async function settled(bench: Bench, manifests: readonly Manifest[]): Promise<void> {
  await cleanRun(bench, manifests)
  await work(bench.sql, { release: bench.release, first: libraries })
  await settles(bench, manifests)
}

export const detailsOf = async (sql: postgres.Sql, name: string): Promise<Readonly<Record<string, unknown>>> => {
  const [row] = await sql`select details from windmill_iac.object where name = ${name}`
  return (row?.['details'] ?? {}) as Readonly<Record<string, unknown>>
}

/** Exactly one live row, which is also the one that runs by path. */
export async function runsAs(sql: postgres.Sql, path: string, content: string): Promise<readonly string[]> {
  const live = await liveScripts(sql, path)
  const runs = await elected(sql, path)
  return [
    ...(live.length === 1 ? [] : [`${path}: ${live.length} live rows`]),
    ...(live[0]?.['content'] === content ? [] : [`${path}: live is ${String(live[0]?.['content'])}`]),
    ...(runs?.['content'] === content ? [] : [`${path}: what runs is ${String(runs?.['content'])}`]),
    ...(runs?.['hash'] === live[0]?.['hash'] ? [] : [`${path}: what runs is not what is live`])
  ]
}
