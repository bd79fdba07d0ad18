/** Somebody else edits a script, a flow and an app. */
import { assert } from '../suite.ts'
import { cleanRun, quiet, runsAs, settled, settles } from './assertions.ts'
import { type Bench, type Manifest, pick, textOf, valueOf } from './bench.ts'
import { deviations, none, type Row, rule, same } from './expect.ts'
import { appJob } from './expect-app.ts'
import { versionJob } from './expect-flow.ts'
import { auditDeviations, scriptJob, scriptRow, versionsOf } from './expect-script.ts'
import { hexOf } from './rules.ts'
import { deployed, editApp, editFlow, editScript } from './ui.ts'
import { work } from './worker.ts'

const world = (): readonly Manifest[] => pick('helpers', 'fetch', 'loops', 'hidden')

interface Edits {
  readonly first: Row
  readonly script: string
  readonly fetch: string
  readonly flow: string
  readonly app: string
}

async function edit({ sql }: Bench): Promise<Edits> {
  const [first] = await sql`select hash::text from script where path = 'f/sales/helpers' and not archived`
  await sql`update script set extra_perms = '{"u/bob": true}' where path = 'f/sales/helpers'`
  return {
    first: first ?? {},
    script: await editScript(sql, 'f/sales/helpers', { content: 'def main():\n    return "bob"\n' }),
    fetch: await editScript(sql, 'f/sales/fetch', { summary: 'by bob' }),
    flow: await editFlow(sql, 'f/ops/loops', 'Loops in loops', { modules: [{ id: 'z', value: { type: 'identity' } }] }),
    app: await editApp(sql, 'f/ops/hidden', { grid: [], subgrids: {}, hiddenInlineScripts: [] })
  }
}

export async function left(bench: Bench): Promise<void> {
  const manifests = world()
  await settled(bench, manifests)
  await edit(bench)
  const policy = ['--conflict-policy', 'db-wins']
  const writes = await bench.writes(async () => {
    const report = await bench.run(manifests, ...policy)
    const said = Object.fromEntries(report.objects.map(one => [one.name, `${one.state} ${one.reason}`]))
    const outOfSync = 'OutOfSync ChangedInDatabase'
    assert.equal(said, {
      helpers: outOfSync,
      loops: outOfSync,
      hidden: outOfSync,
      ...('fetch' in said && { fetch: said['fetch'] })
    })
  })
  assert.equal(writes.windmill, {})
  await quiet(bench, manifests, ...policy)
}

export async function corrected(bench: Bench): Promise<void> {
  const { sql, release } = bench
  const manifests = world()
  await settled(bench, manifests)
  const [app] = await sql`select id from app where path = 'f/ops/hidden'`
  const edits = await edit(bench)
  // A summary that the manifest does not state stays.
  assert.equal(await cleanRun(bench, manifests), { helpers: 'update', loops: 'update', hidden: 'update' })
  none([
    ...(await scriptLineage(bench, manifests, edits)),
    ...(await flowLineage(bench, manifests, edits)),
    ...(await appLineage(bench, manifests, edits, app?.['id']))
  ])
  await work(sql, { release })
  await settles(bench, manifests)
  none(await runsAs(sql, 'f/sales/helpers', codeOf(manifests, 'helpers')))
}

const find = (manifests: readonly Manifest[], name: string): Manifest =>
  manifests.find(one => one.metadata.name === name) as Manifest
const codeOf = (manifests: readonly Manifest[], name: string): string => textOf(manifests, find(manifests, name))

async function scriptLineage(bench: Bench, manifests: readonly Manifest[], { first, script }: Edits) {
  const { sql } = bench
  const path = 'f/sales/helpers'
  const versions = await versionsOf(sql, path)
  const [row] = versions
  const { spec } = find(manifests, 'helpers')
  const parents = [script, String(first['hash'])]
  const wanted = scriptRow(bench, spec, codeOf(manifests, 'helpers'), { parents, permissions: { 'u/bob': true } })
  const waits =
    await sql`select * from v2_job where runnable_path = ${path} and kind = 'dependencies' order by created_at desc`
  const job = scriptJob(bench, spec, row ?? {}, { parent_path: path })
  const picked = Object.fromEntries(Object.entries(waits[0] ?? {}).filter(([column]) => column in job))
  const hash = hexOf(String(row?.['hash']))
  return [
    // The lock of the same code may be carried over.
    ...deviations(path, row, { ...wanted, lock: rule('a lock or null', () => true) }),
    ...(versions.slice(1).every(one => one['archived']) && versions.length === 3
      ? []
      : [`${path}: predecessors are live`]),
    ...(row?.['lock'] === null ? deviations(`job of ${path}`, picked, job) : []),
    ...(await auditDeviations(bench, 'scripts.update', path, { action: 'update', hash }))
  ]
}

async function flowLineage(bench: Bench, manifests: readonly Manifest[], { flow }: Edits) {
  const { sql } = bench
  const path = 'f/ops/loops'
  const live = await deployed(sql, 'flow', path)
  const versions = live?.['versions'] as readonly string[]
  const [row] = await sql`select *, value as content from flow where path = ${path}`
  const [job] =
    await sql`select * from v2_job where runnable_path = ${path} and kind = 'flowdependencies' order by created_at desc`
  const wanted = versionJob('flowdependencies', path, live?.['id'], { parent_path: path })
  const picked = Object.fromEntries(Object.entries(job ?? {}).filter(([column]) => column in wanted))
  const ids = await sql`select id from flow_version where path = ${path} order by id`
  return [
    ...(same(
      versions,
      ids.map(one => one['id'])
    ) && versions.at(-2) === flow
      ? []
      : [`${path}: versions ${versions.join()}`]),
    ...(row?.['edited_by'] === 'iac_controller' && row['dependency_job'] === job?.['id']
      ? []
      : [`${path}: ${row?.['edited_by']}`]),
    ...(sameModules(live?.['value'], valueOf(manifests, find(manifests, 'loops'))) ? [] : [`${path}: value of bob`]),
    ...(same(live?.['value'], row?.['value']) ? [] : [`${path}: flow.value is not the version's`]),
    ...deviations(`job of ${path}`, picked, wanted),
    ...(await auditDeviations(bench, 'flows.update', path, { action: 'create', flow: path }))
  ]
}

/** Locks and defaults apart. */
const sameModules = (a: unknown, b: unknown): boolean => idsOf(a) === idsOf(b)
const idsOf = (value: unknown): string =>
  [...JSON.stringify(value).matchAll(/"id":"(\w+)"/g)]
    .map(([, id]) => id)
    .sort((a = '', b = '') => a.localeCompare(b))
    .join()

async function appLineage(bench: Bench, manifests: readonly Manifest[], { app }: Edits, id: unknown) {
  const { sql } = bench
  const path = 'f/ops/hidden'
  const live = await deployed(sql, 'app', path)
  const versions = live?.['versions'] as readonly string[]
  const [row] = await sql`select id from app where path = ${path}`
  const [job] =
    await sql`select * from v2_job where runnable_path = ${path} and kind = 'appdependencies' order by created_at desc`
  const wanted = appJob(bench, path, live?.['id'], { parent_path: path })
  const picked = Object.fromEntries(Object.entries(job ?? {}).filter(([column]) => column in wanted))
  const scripts = (live?.['value'] as { hiddenInlineScripts?: readonly unknown[] } | undefined)?.hiddenInlineScripts
    ?.length
  return [
    ...(row?.['id'] === id ? [] : [`${path}: made anew (trap 22)`]),
    ...(versions.length === 3 && versions[1] === app ? [] : [`${path}: versions ${versions.join()}`]),
    ...(scripts === (valueOf(manifests, find(manifests, 'hidden'))['hiddenInlineScripts'] as unknown[]).length
      ? []
      : [`${path}: value of bob`]),
    ...deviations(`job of ${path}`, picked, wanted),
    ...(await auditDeviations(bench, 'apps.update', path, { action: 'update' }))
  ]
}
