/** Paths that change, and objects that go and come back. */
import { assert } from '../suite.ts'
import { cleanRun, problems, quiet, runsAs, settled, settles } from './assertions.ts'
import { type Bench, edited, type Manifest, pick, textOf, without } from './bench.ts'
import { none } from './expect.ts'
import { deployed, liveScripts } from './ui.ts'
import { work } from './worker.ts'

const codeOf = (manifests: readonly Manifest[], name: string): string =>
  textOf(manifests, manifests.find(one => one.metadata.name === name) as Manifest)

export async function renames(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('lib-text', 'report', 'lib-format', 'helpers', 'loops', 'hidden')
  await settled(bench, world)
  let moved = edited(world, 'helpers', { path: 'f/sales/moved' })
  moved = edited(edited(moved, 'loops', { path: 'f/ops/moved' }), 'hidden', { path: 'f/ops/moved' })
  const done = await cleanRun(bench, moved)
  for (const name of ['helpers', 'loops', 'hidden']) assert.ok(done[name], `${name} in ${JSON.stringify(done)}`)
  await work(sql, { release })
  assert.is((await liveScripts(sql, 'f/sales/helpers')).length, 0)
  none(await runsAs(sql, 'f/sales/moved', codeOf(world, 'helpers')))
  const flows = await sql`select path, archived from flow order by path`
  assert.equal(
    flows.filter(one => !one['archived']).map(one => one['path']),
    ['f/ops/moved']
  )
  assert.ok(await deployed(sql, 'flow', 'f/ops/moved'))
  assert.ok(await deployed(sql, 'app', 'f/ops/moved'))
  await settles(bench, moved)
}

export async function swaps(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('fetch', 'helpers', 'loops', 'retries')
  await settled(bench, world)
  const paths = { fetch: 'f/sales/helpers', helpers: 'f/sales/fetch', loops: 'f/sales/retries', retries: 'f/ops/loops' }
  const swapped = Object.entries(paths).reduce((all, [name, path]) => edited(all, name, { path }), world)
  await cleanRun(bench, swapped)
  await work(sql, { release })
  none([
    ...(await runsAs(sql, 'f/sales/helpers', codeOf(world, 'fetch'))),
    ...(await runsAs(sql, 'f/sales/fetch', codeOf(world, 'helpers')))
  ])
  assert.match(JSON.stringify((await deployed(sql, 'flow', 'f/sales/retries'))?.['value']), 'whileloopflow')
  assert.match(JSON.stringify((await deployed(sql, 'flow', 'f/ops/loops'))?.['value']), 'early_return')
  const flows = await sql`select path, summary, archived from flow order by path`
  assert.equal(
    flows.map(one => [one['path'], one['summary'], one['archived']]),
    [
      ['f/ops/loops', 'Tries again', false],
      ['f/sales/retries', 'Loops in loops', false]
    ]
  )
  await settles(bench, swapped)
}

/** Soft deletion, and a library that changes while its importer is away (scripts, trap 10). */
export async function returns(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('lib-text', 'lib-format', 'helpers', 'report', 'loops', 'hidden', 'fetch')
  await settled(bench, world)
  const [head] = await liveScripts(sql, 'f/sales/report')
  const [app] = await sql`select id from app where path = 'f/ops/hidden'`
  const rest = without(world, 'report', 'loops', 'hidden')
  none(problems(await bench.run(rest, '--max-deletes', '100%')))
  assert.is((await liveScripts(sql, 'f/sales/report')).length, 0)
  const [flow] = await sql`select archived from flow where path = 'f/ops/loops'`
  assert.is(flow?.['archived'], true)
  const [map] = await sql`select count(*)::int as rows from dependency_map where importer_path = 'f/sales/report'`
  assert.is(map?.['rows'], 0)
  const changed = edited(rest, 'helpers', { content: `${codeOf(rest, 'helpers')}# changed\n` })
  assert.equal(await cleanRun(bench, changed), { helpers: 'update' })
  await work(sql, { release, generation: 2 })
  assert.is((await liveScripts(sql, 'f/sales/report')).length, 0, 'an archived importer rose from the dead')
  await settles(bench, changed)

  none(problems(await bench.run(world)))
  await work(sql, { release, generation: 3 })
  none(await runsAs(sql, 'f/sales/report', codeOf(world, 'report')))
  const [live] = await liveScripts(sql, 'f/sales/report')
  // The parent, or an ancestor where a worker has locked it anew since.
  assert.ok((live?.['parent_hashes'] as readonly string[] | null)?.includes(String(head?.['hash'])))
  const [back] = await sql`select archived from flow where path = 'f/ops/loops'`
  assert.is(back?.['archived'], false)
  const [same] = await sql`select id from app where path = 'f/ops/hidden'`
  assert.is(same?.['id'], app?.['id'])
  await settles(bench, world)
}

export async function deletions(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const names = ['lib-dates', 'webhook', 'lib-http', 'branches', 'orders']
  await settled(bench, pick(...names))
  // Jobs that still wait: they must not come back to a deleted flow.
  await cleanRun(bench, edited(pick(...names), 'branches', { summary: 'Changed' }))
  const argv = ['--deletion-policy', 'delete', '--max-deletes', '100%']
  const world = without(pick(...names), 'webhook', 'branches', 'orders')
  none(problems(await bench.run(pick(...names), ...argv)))
  none(problems(await bench.run(world, ...argv)))
  for (const [table, column] of [
    ['script', 'path'],
    ['flow', 'path'],
    ['flow_version', 'path'],
    ['app', 'path'],
    ['flow_node', 'path'],
    ['deployment_metadata', 'path'],
    ['draft', 'path'],
    ['dependency_map', 'importer_path']
  ] as const) {
    const rows = await sql`
      select ${sql(column)} as path from ${sql(table)} where ${sql(column)} in ('f/sales/webhook', 'f/sales/branches', 'f/sales/orders')`
    assert.equal(
      rows.map(one => `${table} ${one['path']}`),
      []
    )
  }
  await work(sql, { release })
  const [left] = await sql`select count(*)::int as rows from v2_job_queue`
  assert.is(left?.['rows'], 0)
  await quiet(bench, world, ...argv)
  none(problems(await bench.run(pick(...names), ...argv)))
  await work(sql, { release })
  none(await runsAs(sql, 'f/sales/webhook', codeOf(pick(...names), 'webhook')))
}
