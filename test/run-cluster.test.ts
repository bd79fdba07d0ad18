/** Whole runs against the API server of the tests: statuses, events, request log, refusals, the real command. */
import type postgres from 'postgres'
import type { Report } from '../src/report.ts'
import { type Cluster, type Manifest, type Options, withCluster } from './support/cluster.ts'
import { plain, withDatabase } from './support/database.ts'
import { cr, runJob, runMain, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('run-cluster')

const workspace = cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' })
const folder = cr('Folder', 'ops', { name: 'ops' })
const variable = (name: string, spec: object = {}, metadata: object = {}): ReturnType<typeof cr> =>
  cr('Variable', name, { path: `f/ops/${name}`, value: name, ...spec }, metadata)
const namespace = (name: string, annotations: object = {}): Manifest => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, annotations }
})
const secret = (name: string, stringData: object, ns = 'demo'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: ns },
  data: Object.fromEntries(
    Object.entries(stringData).map(([key, text]) => [key, Buffer.from(String(text)).toString('base64')])
  )
})

interface Bench {
  readonly cluster: Cluster
  readonly sql: postgres.Sql
  readonly environment: { DATABASE_URL: string; KUBECONFIG: string }
  readonly run: (...argv: string[]) => Promise<Report>
}

const withBench = (
  manifests: readonly Manifest[],
  body: (bench: Bench) => Promise<void>,
  options: Options = {}
): (() => Promise<void>) => {
  return () =>
    withDatabase('2026-08', ({ url, sql }) =>
      withCluster(options, async cluster => {
        for (const one of [namespace('windmill-system'), namespace('demo'), ...manifests]) cluster.put(one)
        const environment = { DATABASE_URL: url, KUBECONFIG: cluster.kubeconfig() }
        const run = (...argv: string[]): Promise<Report> => runJob([...argv, '--verbose'], environment)
        await body({ cluster, sql, environment, run })
      })
    )
}

type Told = {
  state?: string
  reason?: string
  message?: string
  observedGeneration?: number
  syncedAt?: string
  conditions?: { status: string; lastTransitionTime: string }[]
}
const statusOf = ({ cluster }: Bench, kind: string, name: string, ns = 'demo'): Told =>
  cluster.get(`Windmill${kind}`, ns, name)?.['status'] ?? {}

const outcome = (report: Report, name: string): Report['objects'][number] | undefined =>
  report.objects.find(one => one.name === name)

test(
  'statuses say what became of each object',
  withBench([workspace, folder, variable('a')], async bench => {
    const report = await bench.run()
    const { state, reason, observedGeneration, conditions } = statusOf(bench, 'Variable', 'a')
    assert.equal(
      { state, reason, observedGeneration, ready: conditions?.[0]?.status },
      { state: 'Synced', reason: 'Synced', observedGeneration: 1, ready: 'True' }
    )
    assert.is(report.run.cluster, '5f2c7a4e-9d1b-4c0e-8a36-0b6c1f0e7d11')
    assert.is(statusOf(bench, 'Workspace', 'demo', 'windmill-system').state, 'Synced')
  })
)

test(
  'a second run asks for metadata only and writes nothing',
  withBench([workspace, folder, variable('a'), variable('b')], async ({ cluster, run }) => {
    await run()
    cluster.forget()
    assert.is((await run()).counts.keep, 4)
    assert.equal(cluster.writes(), [])
    const lists = cluster.requests.filter(one => one.path.includes('windmill.dev'))
    assert.ok(lists.length >= 10)
    for (const one of lists) assert.match(one.accept, /PartialObjectMetadataList/)
  })
)

test(
  'only changed specs are read and only changed statuses are written',
  withBench([workspace, folder, variable('a'), variable('b')], async ({ cluster, run }) => {
    await run()
    cluster.put(variable('b', { value: 'new' }))
    cluster.forget()
    const report = await run()
    assert.is(outcome(report, 'b')?.op, 'update')
    assert.equal(
      cluster.writes().map(one => `${one.method} ${one.path}`),
      ['PATCH /apis/windmill.dev/v1alpha1/namespaces/demo/windmillvariables/b/status']
    )
    const reads = cluster.requests.filter(one => /windmillvariables\/\w+$/.test(one.path))
    assert.equal(
      reads.map(one => one.path.split('/').at(-1)),
      ['b']
    )
  })
)

test(
  'labels and foreign annotations are no reason to look',
  withBench([workspace, folder, variable('a')], async ({ cluster, run }) => {
    await run()
    cluster.put(variable('a', {}, { labels: { x: 'y' }, annotations: { 'example.com/z': '1' } }))
    cluster.forget()
    assert.is((await run()).counts.keep, 3)
    assert.equal(
      cluster.requests.filter(one => /windmillvariables\/a/.test(one.path)),
      []
    )
  })
)

test(
  'an object in error says why and how to mend it, once',
  withBench(
    [workspace, variable('a', { valueFrom: { secretKeyRef: { name: 's', key: 'k' } }, value: undefined })],
    async bench => {
      const { cluster, run } = bench
      const report = await run()
      assert.is(report.run.exitCode, 1)
      const before = statusOf(bench, 'Variable', 'a')
      assert.is(before.state, 'Error')
      assert.is(before.reason, 'SecretNotFound')
      assert.is(cluster.events('demo').length, 1)
      cluster.forget()
      await run()
      assert.equal(cluster.writes(), [], 'nothing new to say')
      cluster.put(secret('s', { k: 'first' }))
      await run()
      const after = statusOf(bench, 'Variable', 'a')
      assert.is(after.state, 'Synced')
      assert.is.not(after.conditions?.[0]?.lastTransitionTime, undefined)
      assert.is(cluster.events('demo').length, 2)
    }
  )
)

test(
  'a changed Secret is noticed by its version',
  withBench(
    [
      workspace,
      secret('s', { k: 'first' }),
      variable('a', { valueFrom: { secretKeyRef: { name: 's', key: 'k' } }, value: undefined })
    ],
    async ({ cluster, run, sql }) => {
      await run()
      const [before] = await sql<{ value: string }[]>`select value from variable where path = 'f/ops/a'`
      assert.is((await run()).counts.keep, 2)
      cluster.put(secret('s', { k: 'second' }))
      assert.is(outcome(await run(), 'a')?.op, 'update')
      const [after] = await sql<{ value: string }[]>`select value from variable where path = 'f/ops/a'`
      assert.is.not(after?.value, before?.value)
    }
  )
)

test(
  'a status that could not be written is written by the next run, and the data is there all the same',
  withBench([workspace, variable('a')], async bench => {
    const { cluster, run, sql } = bench
    const allow = cluster.deny('admin', { verbs: ['patch'], resources: ['windmillvariables/status'] })
    const report = await run()
    assert.is(report.run.exitCode, 0)
    assert.is((await sql`select from variable where path = 'f/ops/a'`).length, 1)
    assert.is(statusOf(bench, 'Variable', 'a').state, undefined)
    allow()
    cluster.forget()
    assert.is((await run()).counts.keep, 2)
    assert.is(statusOf(bench, 'Variable', 'a').state, 'Synced')
    cluster.forget()
    await run()
    assert.equal(cluster.writes(), [])
  })
)

test(
  'a kind that may not be listed is its own error, nothing of it is pruned, the others go on',
  withBench([workspace, folder, variable('a')], async ({ cluster, run, sql }) => {
    await run()
    const allow = cluster.deny('admin', { verbs: ['list'], resources: ['windmillvariables'] })
    cluster.put(cr('Folder', 'more', { name: 'more' }))
    const report = await run()
    assert.is(report.run.exitCode, 3)
    assert.is(report.objects.find(one => one.kind === 'WindmillVariable')?.reason, 'ListForbidden')
    assert.is(outcome(report, 'more')?.op, 'create')
    assert.is((await sql`select from variable where path = 'f/ops/a'`).length, 1)
    allow()
    assert.is((await run()).counts.keep, 4)
  })
)

test(
  'a CRD that is missing is its own error too',
  withBench([workspace, folder, variable('a')], async ({ cluster, run }) => {
    await run()
    cluster.uninstall('windmillvariables')
    const report = await run()
    assert.is(report.objects.find(one => one.kind === 'WindmillVariable')?.reason, 'CrdMissing')
    assert.is(report.counts.delete, 0)
  })
)

test(
  'a namespace writes to its own workspace and to those that its annotation grants',
  withBench(
    [
      workspace,
      cr('Workspace', 'other', { id: 'other', name: 'Other' }, { namespace: 'windmill-system' }),
      variable('a', { workspace: 'other' })
    ],
    async ({ cluster, run }) => {
      assert.is(outcome(await run(), 'a')?.reason, 'WorkspaceNotAllowed')
      cluster.put(namespace('demo', { 'windmill.dev/workspaces': 'third, other' }))
      assert.is(outcome(await run(), 'a')?.op, 'create')
      cluster.put(namespace('demo'))
      assert.is(
        outcome(await run(), 'a')?.reason,
        'WorkspaceNotAllowed',
        'a grant that was taken back holds for kept objects too'
      )
    }
  )
)

test(
  'policies of the namespace hold for its objects',
  withBench([workspace, folder, variable('a'), variable('b')], async ({ cluster, run, sql }) => {
    cluster.put(namespace('demo', { 'windmill.dev/deletion-policy': 'delete' }))
    await run()
    cluster.remove('WindmillVariable', 'demo', 'a')
    assert.is(outcome(await run(), 'a')?.reason, 'Deleted')
    assert.equal(
      (await sql`select path from variable where workspace_id = 'demo'`).map(one => one['path']),
      ['f/ops/b']
    )
  })
)

test(
  'a CR that was made again keeps its row',
  withBench([workspace, folder, variable('a'), variable('b')], async bench => {
    const { cluster, run, sql } = bench
    await run()
    const [before] = await sql`select xmin::text from variable where path = 'f/ops/a'`
    cluster.remove('WindmillVariable', 'demo', 'a')
    cluster.put(variable('a'))
    const report = await run()
    assert.is(report.counts.keep, 4)
    const [after] = await sql`select xmin::text from variable where path = 'f/ops/a'`
    assert.equal(after, before)
    assert.is(statusOf(bench, 'Variable', 'a').state, 'Synced', 'the new object has its status')
  })
)

test(
  'a CR in error that was made again is noted once',
  withBench(
    [workspace, variable('a', { valueFrom: { secretKeyRef: { name: 's', key: 'k' } }, value: undefined })],
    async ({ cluster, run, sql }) => {
      await run()
      const again = cluster.get('WindmillVariable', 'demo', 'a') as Manifest
      cluster.remove('WindmillVariable', 'demo', 'a')
      cluster.put({ ...again, metadata: { name: 'a', namespace: 'demo' } })
      await run()
      const [before] = await sql`select uid, updated_at from windmill_iac.object where name = 'a'`
      await run()
      const [after] = await sql`select uid, updated_at from windmill_iac.object where name = 'a'`
      assert.equal(after, before)
      assert.is(
        after?.['uid'],
        (cluster.get('WindmillVariable', 'demo', 'a') as { metadata: { uid: string } }).metadata.uid
      )
    }
  )
)

test('the real command: the same rows from a folder and through a kubeconfig', async () => {
  const manifests = [
    namespace('demo'),
    namespace('windmill-system'),
    workspace,
    folder,
    secret('s', { k: 'v' }),
    variable('a', { description: 'ä "quoted"\nlines', labels: ['x'] }),
    variable('s', { value: undefined, valueFrom: { secretKeyRef: { name: 's', key: 'k' } } })
  ]
  const rows = async (sql: postgres.Sql): Promise<unknown> =>
    await sql`select workspace_id, path, is_secret, description, extra_perms, labels, case when is_secret then length(value)::text else value end as value from variable order by 1, 2`
  await withManifests(manifests, directory =>
    withDatabase('2026-08', one =>
      withDatabase('2026-08', two =>
        withCluster({}, async cluster => {
          cluster.apply(directory)
          const [files, kube] = await Promise.all([
            runMain(['reconcile', '--from', directory, '-o', 'json'], { DATABASE_URL: one.url }),
            runMain(['-o', 'json'], { DATABASE_URL: two.url, KUBECONFIG: cluster.kubeconfig() })
          ])
          assert.is(files.code, 0, files.stderr)
          assert.is(kube.code, 0, kube.stderr)
          const [a, b] = [files, kube].map(one => JSON.parse(one.stdout) as Report)
          assert.is(a?.schemaVersion, 1)
          assert.equal(a?.counts, b?.counts)
          assert.equal(JSON.parse(JSON.stringify(await rows(one.sql))), JSON.parse(JSON.stringify(await rows(two.sql))))
        })
      )
    )
  )
})

test('an unreachable cluster and an unreachable database are exit code 4, with a sentence', async () => {
  const nowhere = await runMain(['--from', '.'], {
    DATABASE_URL: 'postgres://u:canary-password@127.0.0.1:1/x?connect_timeout=1'
  })
  assert.is(nowhere.code, 4)
  assert.match(nowhere.stderr, /127\.0\.0\.1:1/)
  assert.not.match(nowhere.stderr, /canary/)
  await withDatabase('2026-08', async ({ url }) => {
    const config = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x'
    })
    await withManifests(config, async directory => {
      const ended = await runMain([], { DATABASE_URL: url, KUBECONFIG: `${directory}/manifests.yaml` })
      assert.is(ended.code, 4)
      assert.match(ended.stderr, /ClusterUnreachable/)
    })
  })
})

test('wrong usage is exit code 5 and names every fault', async () => {
  const ended = await runMain(['recocile', '--nope'], {})
  assert.is(ended.code, 5)
  for (const word of [/recocile/, /--nope/, /DATABASE_URL/]) assert.match(ended.stderr, word)
})

test('help and version need nothing', async () => {
  const [help, version] = await Promise.all([runMain(['--help'], {}), runMain(['--version'], {})])
  assert.is(help.code, 0)
  assert.match(help.stdout, /--deletion-policy/)
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
})

test('init --print prints SQL that an administrator can run twice, and a role that it makes can do the job', async () => {
  const printed = await runMain(['init', '--print'], {})
  assert.is(printed.code, 0)
  await withDatabase('2026-08', async ({ url, sql }) => {
    const role = `iac_test_${process.pid}`
    const script = printed.stdout
      .replaceAll(/\brole windmill_iac\b/g, `role ${role}`)
      .replaceAll(/to windmill_iac;/g, `to ${role};`)
      .replaceAll("'windmill_iac')", `'${role}')`)
    const one = plain(url, { max: 1 })
    await one.unsafe(script)
    await one.unsafe(script)
    await one.end()
    try {
      const restricted = url.replace(/\/\/[^@]+@/, `//${role}@`)
      await withManifests([workspace, folder, variable('a')], async directory => {
        const report = await runJob(['--from', directory], { DATABASE_URL: restricted })
        assert.is(report.counts.create, 3)
        assert.is((await runJob(['--from', directory], { DATABASE_URL: restricted })).counts.keep, 3)
      })
    } finally {
      await sql.unsafe(`drop owned by ${role}; drop role ${role}`)
    }
  })
})

test.run()
