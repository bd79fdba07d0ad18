/** Libraries and what imports them. */
import { assert } from '../suite.ts'
import { cleanRun, detailsOf, problems, runsAs, settled, settles } from './assertions.ts'
import { type Bench, edited, type Manifest, pick } from './bench.ts'
import { none } from './expect.ts'
import { hexOf } from './rules.ts'
import { deployed, elected, liveScripts } from './ui.ts'
import { work } from './worker.ts'

const chain = ['lib-text', 'lib-format', 'report', 'helpers', 'lib-dates', 'lib-http', 'webhook']
const world = (): readonly Manifest[] => pick(...chain, 'loops', 'linear', 'branches', 'orders')

const newText = 'def shout(text: str) -> str:\n    return text.upper() + "!"\n'
const newDates = "export function today(): string {\n  return 'today'\n}\n"

export async function relocks(bench: Bench): Promise<void> {
  const { sql, release } = bench
  await settled(bench, world())
  const manifests = edited(edited(world(), 'lib-text', { content: newText }), 'lib-dates', { content: newDates })
  assert.equal(await cleanRun(bench, manifests), { 'lib-dates': 'update', 'lib-text': 'update' })
  const [before] =
    await sql`select (select count(*) from script)::int as scripts, (select count(*) from flow_version)::int as versions`
  const done = await work(sql, { release, generation: 2 })
  for (const relock of [
    'dependencies f/sales/report',
    'dependencies f/sales/webhook',
    'flowdependencies f/sales/linear',
    'appdependencies f/sales/orders'
  ]) {
    assert.ok(done.includes(`${relock} success`), `${relock} in ${done.join(', ')}`)
  }
  const [after] =
    await sql`select (select count(*) from script)::int as scripts, (select count(*) from flow_version)::int as versions`
  // Where the worker copies, the test would be empty without copies.
  if (release !== '1.463.2') {
    assert.ok(after?.['scripts'] > before?.['scripts'])
    assert.ok(after?.['versions'] > before?.['versions'])
  }
  // Neither policy takes them for somebody's edit.
  await settles(bench, manifests, '--conflict-policy', 'db-wins')
  await settles(bench, manifests)
  for (const [name, path] of [
    ['report', 'f/sales/report'],
    ['webhook', 'f/sales/webhook']
  ] as const) {
    const [live, ...others] = await liveScripts(sql, path)
    assert.is(others.length, 0)
    assert.is((await detailsOf(sql, name))['hash'], hexOf(String(live?.['hash'])))
  }
  // The manifest still rules: a change on top of the worker's versions continues them.
  const [head] = await liveScripts(sql, 'f/sales/report')
  const next = edited(manifests, 'report', { summary: 'Changed' })
  assert.equal(await cleanRun(bench, next), { report: 'update' })
  const [live] = await liveScripts(sql, 'f/sales/report')
  assert.is((live?.['parent_hashes'] as readonly string[] | undefined)?.[0], head?.['hash'])
}

/** All of a chain change at once, and the workers are as unlucky as can be (scripts, trap 9). */
export async function togetherInAnyOrder(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const paths: Readonly<Record<string, string>> = {
    'lib-text': 'f/lib/text',
    'lib-format': 'f/lib/format',
    helpers: 'f/sales/helpers',
    report: 'f/sales/report',
    'lib-dates': 'f/lib/dates',
    'lib-http': 'f/lib/http',
    webhook: 'f/sales/webhook'
  }
  await settled(bench, world())
  const reversed = Object.values(paths).toReversed()
  const orders = [
    { first: Object.values(paths) },
    { first: reversed },
    { first: Object.values(paths), relocksLast: true },
    { first: reversed, relocksLast: true }
  ]
  for (const [round, order] of orders.entries()) {
    const mark = (text: string): string =>
      `${text}\n${text.startsWith('import {') || text.includes('export ') ? '//' : '#'} ${round}\n`
    const manifests = world().map(one => {
      const { content } = one.spec
      return typeof content === 'string' ? { ...one, spec: { ...one.spec, content: mark(content) } } : one
    })
    const done = await cleanRun(bench, manifests, '--batch-size', '2')
    const batches = await sql`
      select array_agg(path::text order by path) as paths from script where not archived and path = any(${Object.values(paths)})
       group by xmin::text order by 1`
    assert.equal(
      batches.map(one => one['paths']),
      [
        ['f/lib/dates', 'f/lib/http', 'f/sales/webhook'],
        ['f/lib/format', 'f/lib/text', 'f/sales/helpers', 'f/sales/report']
      ]
    )
    assert.equal(Object.keys(done).sort(), chain.toSorted())
    await work(sql, { release, ...order, generation: 10 + round })
    const content = (name: string): string => String(manifests.find(one => one.metadata.name === name)?.spec['content'])
    for (const [name, path] of Object.entries(paths)) {
      assert.is((await elected(sql, path))?.['content'], content(name), `what runs at ${path}`)
    }
    // A worker that locks twice leaves two live versions (1.558); the older ones are archived, nothing else is done.
    const before = await counts(sql)
    none(problems(await bench.run(manifests, '--conflict-policy', round % 2 ? 'db-wins' : 'crd-wins')))
    assert.equal(await counts(sql), before)
    await settles(bench, manifests)
    for (const [name, path] of Object.entries(paths)) none(await runsAs(sql, path, content(name)))
  }
}

async function counts(sql: Bench['sql']): Promise<unknown> {
  const [row] =
    await sql`select (select count(*) from script)::int as scripts, (select count(*) from v2_job)::int as jobs`
  return row
}

/** Windmill itself lets them win, so the next run must not take them for mere relocks (scripts, trap 9). */
export async function lateRelocks(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const library = edited(edited(world(), 'lib-text', { content: newText }), 'lib-dates', { content: newDates })
  await settled(bench, world())
  await cleanRun(bench, library)
  const begun = await work(sql, { release, limit: 2, relocksLast: true, generation: 2 })
  assert.equal(begun.toSorted(), ['dependencies f/lib/dates success', 'dependencies f/lib/text success'])
  // Copies of what is live now are waiting to be locked, when a newer deploy comes.
  const value = { modules: [{ id: 'new', value: { type: 'identity' } }] }
  const format = `${String(library.find(one => one.metadata.name === 'lib-format')?.spec['content'])}# new\n`
  const flow = edited(edited(library, 'lib-format', { content: format }), 'linear', { value, valueFrom: undefined })
  const newer = edited(flow, 'orders', { value: { grid: [], subgrids: {}, fullscreen: true, hiddenInlineScripts: [] } })
  assert.equal(await cleanRun(bench, newer), { 'lib-format': 'update', linear: 'update', orders: 'update' })
  await work(sql, { release, relocksLast: true, generation: 3 })
  if (release === '1.558.1')
    assert.not.match(JSON.stringify((await deployed(sql, 'flow', 'f/sales/linear'))?.['value']), '"new"')
  none(problems(await bench.run(newer)))
  await work(sql, { release, generation: 4 })
  none(problems(await bench.run(newer)))
  none(await runsAs(sql, 'f/lib/format', format))
  assert.match(JSON.stringify((await deployed(sql, 'flow', 'f/sales/linear'))?.['value']), '"new"')
  assert.match(JSON.stringify((await deployed(sql, 'app', 'f/sales/orders'))?.['value']), '"fullscreen":true')
  await settles(bench, newer)
}

/** A late old job would put the old value back (flows-and-apps, trap 7). */
export async function canceledPredecessor(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const value = (x: number) => ({
    modules: [
      {
        id: 'a',
        value: {
          type: 'rawscript',
          language: 'bun',
          content: `export function main() { return ${x} }\n`,
          input_transforms: {}
        }
      }
    ]
  })
  await cleanRun(bench, edited(pick('loops'), 'loops', { value: value(1) }))
  const manifests = edited(pick('loops'), 'loops', { value: value(2) })
  assert.equal(await cleanRun(bench, manifests), { loops: 'update' })
  const jobs = await sql`
    select canceled_by, canceled_reason, j.id = f.dependency_job as current from v2_job_queue q join v2_job j using (id)
      join flow f on f.path = j.runnable_path order by j.created_at`
  assert.equal(
    jobs.map(one => [one['current'], one['canceled_by'] !== null, one['canceled_reason']]),
    [
      [false, true, 're-deployment'],
      [true, false, null]
    ]
  )
  const done = await work(sql, { release })
  assert.equal(done.toSorted(), ['flowdependencies f/ops/loops canceled', 'flowdependencies f/ops/loops success'])
  const live = await deployed(sql, 'flow', 'f/ops/loops')
  assert.match(JSON.stringify(live?.['value']), 'return 2')
  await settles(bench, manifests)
}
