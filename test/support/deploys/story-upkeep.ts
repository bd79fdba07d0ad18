/** What happens to deployed things later on: other code, people who archive, locks that fail, jobs that get lost. */
import { assert } from '../suite.ts'
import { cleanRun, detailsOf, libraries, problems, quiet, runsAs, settled, settles } from './assertions.ts'
import { type Bench, edited, type Manifest, pick, textOf, without } from './bench.ts'
import { none } from './expect.ts'
import { deployed, elected, liveScripts } from './ui.ts'
import { work } from './worker.ts'

const codeOf = (manifests: readonly Manifest[], name: string): string =>
  textOf(manifests, manifests.find(one => one.metadata.name === name) as Manifest)

/** Scripts, flows and apps all have a ConfigMap to look after. */
export async function changedConfigMap(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('lib-text', 'from-map', 'fetch', 'loops', 'lib-format', 'helpers', 'report', 'linear', 'styled')
  await settled(bench, world)
  const changed = world.map(one =>
    one.kind !== 'ConfigMap'
      ? one
      : {
          ...one,
          data: Object.fromEntries(
            Object.entries(one.data ?? {}).map(([key, text]) => [
              key,
              text.replaceAll(/shout\(name\)|hello/g, 'changed')
            ])
          )
        }
  )
  assert.equal(await cleanRun(bench, changed), { 'from-map': 'update', linear: 'update', styled: 'update' })
  await work(sql, { release, generation: 2 })
  none(await runsAs(sql, 'f/ops/from_map', codeOf(changed, 'from-map')))
  assert.match(JSON.stringify((await deployed(sql, 'flow', 'f/sales/linear'))?.['value']), 'changed')
  assert.match(JSON.stringify((await deployed(sql, 'app', 'u/alice/styled'))?.['value']), 'changed')
  await settles(bench, changed)
}

/** Under db-wins it stays away, under crd-wins it comes back with its history. */
export async function archivedByOthers(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('fetch', 'helpers', 'loops', 'hidden')
  await settled(bench, world)
  const [head] = await liveScripts(sql, 'f/sales/helpers')
  await sql`update script set archived = true where path = 'f/sales/helpers'`
  await sql`update flow set archived = true where path = 'f/ops/loops'`
  await sql`delete from app where path = 'f/ops/hidden'`
  const writes = await bench.writes(async () => {
    const report = await bench.run(world, '--conflict-policy', 'db-wins')
    assert.is(report.counts.create + report.counts.update, 0)
  })
  assert.equal(writes.windmill, {})
  none(problems(await bench.run(world)))
  await work(sql, { release })
  none(await runsAs(sql, 'f/sales/helpers', codeOf(world, 'helpers')))
  const [live] = await liveScripts(sql, 'f/sales/helpers')
  assert.equal(live?.['parent_hashes'], [head?.['hash']])
  const [flow] = await sql`select * from flow where path = 'f/ops/loops'`
  assert.is(flow?.['archived'], false)
  assert.ok(flow?.['lock_error_logs'] == null)
  assert.ok(await deployed(sql, 'app', 'f/ops/hidden'))
  await settles(bench, world)
}

/** The path goes on with the version before, the status tells why, and a changed script tries again. */
export async function failedLock(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('helpers', 'loops')
  await settled(bench, world)
  const old = codeOf(world, 'helpers')
  const broken = edited(world, 'helpers', { content: `import nothing_like_it\n${old}` })
  await cleanRun(bench, broken)
  await work(sql, { release, failing: ['f/sales/helpers'] })
  await settles(bench, broken)
  assert.is((await elected(sql, 'f/sales/helpers'))?.['content'], old)
  const { lockState, lockMessage } = await detailsOf(sql, 'helpers')
  assert.is(lockState, 'failed')
  assert.match(String(lockMessage), 'no such package')
  // The same content as before is a third version, no old one (trap 7).
  assert.equal(await cleanRun(bench, world), { helpers: 'update' })
  await work(sql, { release })
  none(await runsAs(sql, 'f/sales/helpers', old))
  const [row] = await sql`select count(*)::int as versions from script where path = 'f/sales/helpers'`
  assert.is(row?.['versions'], 3)
  await settles(bench, world)
}

/** Without a job the path would run the version before for ever (scripts, trap 4). */
export async function lostJob(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('helpers', 'fetch')
  await cleanRun(bench, world)
  await sql`delete from v2_job_queue`
  await sql`delete from v2_job`
  await sql`delete from job_perms`
  none(problems(await bench.run(world)))
  const done = await work(sql, { release })
  assert.equal(done, ['dependencies f/sales/helpers success'])
  const [row] = await sql`select count(*)::int as versions from script where path = 'f/sales/helpers'`
  assert.is(row?.['versions'], 1)
  await settles(bench, world)
}

/** What needs more jobs than a run may queue waits for the next run, and libraries are never torn from their importers. */
export async function boundedJobs(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick(
    'lib-text',
    'lib-format',
    'helpers',
    'report',
    'loops',
    'linear',
    'fetch',
    'hidden',
    'approve',
    'poll'
  )
  const [argv, seen] = [['--max-lock-jobs', '3'], new Set<string>()]
  for (let round = 0; round < 6; round++) {
    const report = await bench.run(world, ...argv)
    for (const one of report.objects) if (one.op === 'create') seen.add(one.name)
    await work(sql, { release, first: libraries, generation: round })
  }
  assert.equal(
    [...seen].sort((a, b) => a.localeCompare(b)),
    world
      .filter(one => one.kind !== 'ConfigMap')
      .map(one => one.metadata.name)
      .toSorted((a, b) => a.localeCompare(b))
  )
  await settles(bench, world)
}

/** A policy that leaves rows where they are: nothing of Windmill's is written. */
export async function ignored(bench: Bench): Promise<void> {
  const world = pick('helpers', 'fetch', 'loops', 'hidden')
  await settled(bench, world)
  const argv = ['--deletion-policy', 'ignore', '--max-deletes', '100%']
  await bench.run(world, ...argv)
  const rest = without(world, 'helpers', 'loops', 'hidden')
  const writes = await bench.writes(async () => none(problems(await bench.run(rest, ...argv))))
  assert.equal(writes.windmill, {})
  await quiet(bench, rest, ...argv)
  const back = await bench.writes(async () => none(problems(await bench.run(world, ...argv))))
  assert.equal(back.windmill, {})
}

/** Nobody else sees to those who import a script that comes with its lock (scripts §7, trap 21). */
export async function ownLock(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const all = pick('lib-text', 'lib-format', 'report', 'helpers', 'loops', 'linear')
  const world = edited(all, 'lib-text', { lock: '# py: 3.11\n' })
  await settled(bench, world)
  const [hash] = await sql`select hash::text from script where path = 'f/lib/format' and not archived`
  const content = `${codeOf(world, 'lib-text')}# changed\n`
  const changed = edited(world, 'lib-text', { content })
  assert.equal(await cleanRun(bench, changed), { 'lib-text': 'update' })
  none(await runsAs(sql, 'f/lib/text', content))
  const jobs = await sql`
    select j.kind, j.runnable_path as path, j.runnable_id::text as runnable, j.args from v2_job j join v2_job_queue using (id) order by 1, 2`
  assert.equal(
    jobs.map(one => `${one['kind']} ${one['path']}`),
    ['dependencies f/lib/format', 'flowdependencies f/sales/linear']
  )
  assert.is(jobs[0]?.['runnable'], hash?.['hash'])
  for (const { args } of jobs as unknown as readonly { args: Readonly<Record<string, unknown>> }[]) {
    assert.is(args['common_dependency_path'], 'f/lib/text')
    assert.equal(args['already_visited'], ['f/lib/text'])
  }
  const done = await work(sql, { release, generation: 2 })
  assert.ok(done.includes('dependencies f/sales/report success'), done.join())
  await settles(bench, changed)

  // Together with an importer: that one gets its job and no relock of its version before.
  const format = `${codeOf(world, 'lib-format')}# too\n`
  const both = edited(edited(changed, 'lib-text', { content: `${content}# again\n` }), 'lib-format', {
    content: format
  })
  assert.equal(await cleanRun(bench, both), { 'lib-format': 'update', 'lib-text': 'update' })
  await work(sql, { release, generation: 3, relocksLast: true })
  none(await runsAs(sql, 'f/lib/format', format))
  await settles(bench, both)
}

/** A deploy is what people drafted for; newer Windmill keeps a draft for each of them (scripts §7, flows-and-apps A1). */
export async function drafts(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const world = pick('helpers', 'loops', 'hidden')
  await settled(bench, world)
  const paths = { script: 'f/sales/helpers', flow: 'f/ops/loops', app: 'f/ops/hidden' }
  for (const [type, path] of Object.entries(paths)) {
    await sql.unsafe(
      release === '2026-08'
        ? `insert into draft (workspace_id, path, typ, value, email) values
             ('demo', '${path}', '${type}', '{}', null), ('demo', '${path}', '${type}', '{}', 'bob@example.com')`
        : `insert into draft (workspace_id, path, typ, value) values ('demo', '${path}', '${type}', '{}')`
    )
  }
  await quiet(bench, world)
  const value = { grid: [], subgrids: {}, fullscreen: true, hiddenInlineScripts: [] }
  const changed = ['helpers', 'loops', 'hidden'].reduce((all, name) => edited(all, name, { summary: 'New' }), world)
  await cleanRun(bench, edited(changed, 'hidden', { value }))
  const left =
    await sql`select path, ${release === '2026-08' ? sql`email` : sql`null`} as email from draft order by path`
  assert.equal(
    left.map(one => [one['path'], one['email']]),
    release === '2026-08'
      ? Object.values(paths)
          .toSorted((a, b) => a.localeCompare(b))
          .map(path => [path, 'bob@example.com'])
      : []
  )
}
