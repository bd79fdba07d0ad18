/** Whole runs over flows: what workers and people do in between, renames, swaps, deletes, flows that come back. */
import type postgres from 'postgres'
import type { Report } from '../src/report.ts'
import { withDatabase } from './support/database.ts'
import { workOn } from './support/flow-worker.ts'
import { cr, putManifests, runJob, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'
import { type Release, releases } from './support/windmill.ts'

const test = suite('runs over flows')

const workspace = cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' })
const folder = cr('Folder', 'ops', { name: 'ops' })

const script = (id: string, content = id): object => ({
  id,
  value: { type: 'rawscript', language: 'python3', content }
})
const flow = (name: string, spec: object = {}, metadata: object = {}): ReturnType<typeof cr> =>
  cr('Flow', name, { path: `f/ops/${name}`, summary: name, value: { modules: [script(name)] }, ...spec }, metadata)

interface Bench {
  readonly sql: postgres.Sql
  readonly run: (flows: readonly object[], ...argv: string[]) => Promise<Report>
}

const inRuns = (release: Release, body: (bench: Bench) => Promise<void>): (() => Promise<void>) => {
  return () =>
    withDatabase(release, ({ url, sql }) =>
      withManifests([], manifests =>
        body({
          sql,
          run: (flows, ...argv) => {
            putManifests(manifests, [workspace, folder, ...flows])
            return runJob(['reconcile', ...argv, '--from', manifests, '--verbose'], { DATABASE_URL: url })
          }
        })
      )
    )
}

/** What became of the flows, by name. */
const opsOf = (report: Report): Record<string, string> =>
  Object.fromEntries(
    report.objects.filter(one => one.kind === 'WindmillFlow').map(one => [one.name, `${one.op} ${one.reason}`])
  )

interface Live {
  readonly versions: number
  readonly archived: boolean
  readonly content: string
}

async function flowsOf(sql: postgres.Sql): Promise<Record<string, Live>> {
  const rows = await sql<(Live & { path: string })[]>`
    select f.path, cardinality(f.versions) as versions, f.archived, v.value->'modules'->0->'value'->>'content' as content
      from flow f join flow_version v on v.id = f.versions[array_upper(f.versions, 1)] order by f.path`
  return Object.fromEntries(rows.map(({ path, ...live }) => [path, live]))
}

async function editAs(sql: postgres.Sql, who: string, path: string, content: string): Promise<void> {
  await sql`
    with made as (
      insert into flow_version (workspace_id, path, value, schema, created_by)
      select v.workspace_id, v.path, jsonb_set(v.value, '{modules,0,value,content}', to_jsonb(${content}::text)), v.schema, ${who}
        from flow f join flow_version v on v.id = f.versions[array_upper(f.versions, 1)] where f.path = ${path} returning id)
    update flow set versions = array_append(versions, (select id from made)), edited_by = ${who} where path = ${path}`
}

const live = (content: string, versions = 1, archived = false): Live => ({ versions, archived, content })

for (const release of releases) {
  test(
    `${release}: a worker's rewriting is no drift even where it drops keys, a person's edit is`,
    inRuns(release, async ({ sql, run }) => {
      const odd = flow('a', { value: { modules: [script('a')], colour: 'red', flow_env: { A: 'b' } } })
      assert.equal(opsOf(await run([odd])), { a: 'create Synced' })
      await workOn(sql, { workspace: 'demo', path: 'f/ops/a' })
      assert.equal(opsOf(await run([odd])), { a: 'keep Synced' })
      assert.equal(opsOf(await run([odd], '--refresh')), { a: 'keep Synced' })
      assert.equal(await flowsOf(sql), { 'f/ops/a': live('a') })
      await editAs(sql, 'ann', 'f/ops/a', 'edited')
      const left = await run([odd], '--conflict-policy', 'db-wins')
      assert.equal(opsOf(left), { a: 'skip ChangedInDatabase' })
      assert.equal(opsOf(await run([odd])), { a: 'update Synced' })
      assert.equal(await flowsOf(sql), { 'f/ops/a': live('a', 3) })
      await workOn(sql, { workspace: 'demo', path: 'f/ops/a' })
      assert.equal(opsOf(await run([odd], '--refresh')), { a: 'keep Synced' })
      // A key that only others know is a change of the flow, though no release here knows it.
      const other = flow('a', { value: { modules: [script('a')], colour: 'blue', flow_env: { A: 'b' } } })
      assert.equal(opsOf(await run([other])), { a: 'update Synced' })
      const none = flow('a')
      assert.equal(opsOf(await run([none])), { a: 'update Synced' })
      assert.equal(opsOf(await run([none], '--refresh')), { a: 'keep Synced' })
    })
  )

  test(
    `${release}: a renamed flow is made at its new path and archived at the old one, and two may swap`,
    inRuns(release, async ({ sql, run }) => {
      await run([flow('a'), flow('b')])
      const away = flow('a', { path: 'f/ops/new' })
      assert.equal(opsOf(await run([away, flow('b')])), { a: 'create Synced', '': 'delete Archived' })
      assert.equal(await flowsOf(sql), { 'f/ops/a': live('a', 1, true), 'f/ops/b': live('b'), 'f/ops/new': live('a') })
      const swapped = [flow('a', { path: 'f/ops/b' }), flow('b', { path: 'f/ops/new' })]
      await run(swapped)
      assert.equal(await flowsOf(sql), {
        'f/ops/a': live('a', 1, true),
        'f/ops/b': live('a', 2),
        'f/ops/new': live('b', 2)
      })
      assert.equal(opsOf(await run(swapped, '--refresh')), { a: 'keep Synced', b: 'keep Synced' })
    })
  )

  test(
    `${release}: a flow that comes back revives its row, a deleted one is made anew`,
    inRuns(release, async ({ sql, run }) => {
      await run([flow('a'), flow('b')])
      assert.is((await run([flow('b')], '--max-deletes', '100%')).counts.delete, 1)
      assert.equal((await flowsOf(sql))['f/ops/a'], live('a', 1, true))
      const doomed = flow('a', {}, { annotations: { 'windmill.dev/deletion-policy': 'delete' } })
      assert.equal(opsOf(await run([doomed, flow('b')])), { a: 'adopt Synced' })
      assert.equal((await flowsOf(sql))['f/ops/a'], live('a', 2))
      await run([flow('b')], '--max-deletes', '100%')
      assert.equal(await flowsOf(sql), { 'f/ops/b': live('b') })
      assert.equal(opsOf(await run([flow('a'), flow('b')])), { a: 'create Synced' })
    })
  )

  test(
    `${release}: a flow with a fault is an Error that names it, all else lands`,
    inRuns(release, async ({ sql, run }) => {
      const bad = [
        flow('language', {
          value: { modules: [{ id: 'a', value: { type: 'rawscript', language: 'cobol', content: '' } }] }
        }),
        flow('user', { onBehalfOf: 'u/nobody' }),
        flow('schema', { schema: '{' }),
        flow('twice', { value: { modules: [script('a'), script('a')] } })
      ]
      const report = await run([...bad, flow('good')])
      assert.equal(opsOf(report), {
        good: 'create Synced',
        language: 'error NotSupportedByWindmill',
        schema: 'error InvalidSpec',
        twice: 'error InvalidSpec',
        user: 'error UserNotFound'
      })
      assert.match(
        report.objects.find(one => one.name === 'twice')?.message ?? '',
        /value\.modules\[1\]\.id: the same as/
      )
      assert.equal(await flowsOf(sql), { 'f/ops/good': live('good') })
    })
  )
}

test.run()
