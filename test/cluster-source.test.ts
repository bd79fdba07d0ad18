/** The cluster as a source, against a stand-in API server: complete or failed, patient, and silent about secrets. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { type AddressInfo, connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { proxyFor } from '../src/cluster/proxy.ts'
import { type ClusterOptions, openCluster } from '../src/cluster/source.ts'
import { ItemSplitter } from '../src/cluster/splitter.ts'
import { tableColumns } from '../src/cluster/table.ts'
import type { SyncError } from '../src/errors.ts'
import { markedAnnotations } from '../src/fingerprint.ts'
import { createLog, silent } from '../src/log.ts'
import { Marks } from '../src/marks.ts'
import type { Listed, Manifest, Source, Status } from '../src/model.ts'
import { selfSigned } from './support/cluster/certificate.ts'
import { type Cluster, type Options, withCluster } from './support/cluster.ts'
import { listAll, wantedOf } from './support/listing.ts'
import { assert, rejects, suite } from './support/suite.ts'

const test = suite('cluster source')

const variable = { kind: 'WindmillVariable', plural: 'windmillvariables' }
const script = { kind: 'WindmillScript', plural: 'windmillscripts' }
const root = '/apis/windmill.dev/v1alpha1'
const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }

const crd = ({ kind, plural }: typeof variable, columns: readonly object[] = tableColumns): object => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.windmill.dev` },
  spec: {
    group: 'windmill.dev',
    scope: 'Namespaced',
    names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [{ name: 'Path', type: 'string', jsonPath: '.spec.path' }, ...columns],
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: anything, status: anything } } }
      }
    ]
  }
})
const crdsWith = (columns: readonly object[]): string[] =>
  [variable, script].map(one => JSON.stringify(crd(one, columns), null, 1))
const crds = crdsWith(tableColumns)

type More = Partial<ClusterOptions>
const retry = { firstMs: 1, mostMs: 5 }

async function withSource(
  body: (source: Source, cluster: Cluster) => Promise<void>,
  more: More = {},
  options: Options = {}
): Promise<void> {
  await withCluster({ crds, ...options }, async cluster => {
    const source = await openCluster({ log: silent, environment: { KUBECONFIG: cluster.kubeconfig() }, retry, ...more })
    try {
      cluster.forget()
      await body(source, cluster)
    } finally {
      source.close()
    }
  })
}

const put = (cluster: Cluster, name: string, spec: object = { path: 'u/a/b' }, metadata: object = {}): unknown =>
  cluster.put({
    apiVersion: 'windmill.dev/v1alpha1',
    kind: variable.kind,
    metadata: { name, namespace: 'team', ...metadata },
    spec
  })

const putMany = (cluster: Cluster, count: number, spec?: object): void => {
  for (let at = 0; at < count; at++) put(cluster, `v${at}`, spec)
}

async function readAll(source: Source, wanted: readonly Listed[], total = wanted.length): Promise<Manifest[][]> {
  const chunks: Manifest[][] = []
  for await (const chunk of source.read(variable, wantedOf(wanted, total))) chunks.push([...chunk])
  return chunks
}

const codeOf = async (work: Promise<unknown>): Promise<string> => ((await rejects(work)) as SyncError).code

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cluster-source-'))
  try {
    await body(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function listening<T>(server: http.Server | https.Server, body: (port: number) => Promise<T>): Promise<T> {
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
  try {
    return await body((server.address() as AddressInfo).port)
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

/** An API server that says what the test wants, for what the stand-in is too honest to do. */
async function withAnswers(
  answer: http.RequestListener,
  body: (source: Source) => Promise<void>,
  more: More = {}
): Promise<void> {
  await listening(http.createServer(answer), port =>
    withFolder(async folder => {
      const config = kubeconfigFile(folder, { server: `http://127.0.0.1:${port}` }, { token: 't' })
      const source = await openCluster({
        log: silent,
        environment: { KUBECONFIG: config },
        retry,
        clusterId: 'x',
        ...more
      })
      await body(source)
      source.close()
    })
  )
}

function kubeconfigFile(folder: string, cluster: object, user: object, file = 'config'): string {
  const path = join(folder, file)
  const config = {
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'main', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'main'
  }
  writeFileSync(path, JSON.stringify(config))
  return path
}

// ---- listing

for (const isTable of [true, false]) {
  const form = isTable ? 'table' : 'list'
  test(`what a ${form} tells is kept compact: own annotations, no labels, the time of the last change by anybody but a status writer`, () =>
    withSource(
      async (source, cluster) => {
        put(
          cluster,
          'a',
          {},
          {
            labels: { app: 'w' },
            annotations: { 'windmill.dev/adopt': 'always', 'x/y': 'z' },
            uid: 'uid-a',
            generation: 3
          }
        )
        const times = [
          { time: '2024-03-01T00:00:00Z' },
          { time: '2024-02-01T00:00:00Z' },
          { time: '2025-01-01T00:00:00Z', subresource: 'status' }
        ]
        const managed = times.map(one => ({
          manager: 'm',
          operation: 'Update' as const,
          apiVersion: 'v1',
          fieldsType: 'FieldsV1' as const,
          fieldsV1: {},
          ...one
        }))
        cluster.amend(
          'WindmillVariable',
          { namespace: 'team', name: 'a' },
          { creationTimestamp: '2024-01-01T00:00:00Z', managedFields: managed }
        )
        const [a] = await listAll(source, variable)
        const expected = {
          kind: 'WindmillVariable',
          namespace: 'team',
          name: 'a',
          uid: 'uid-a',
          generation: 3,
          revision: '3',
          createdAt: '2024-01-01T00:00:00Z',
          changedAt: '2024-03-01T00:00:00Z',
          labels: {},
          annotations: { adopt: 'always' },
          origin: ''
        }
        // No column can tell the time of a change; whoever reads the object learns it.
        assert.equal(a, { ...expected, changedAt: isTable ? expected.createdAt : expected.changedAt })
        assert.equal((await readAll(source, [a!])).flat()[0]!.listed, expected)
        cluster.amend('WindmillVariable', { namespace: 'team', name: 'a' }, { managedFields: [managed[2]!] })
        assert.is((await listAll(source, variable))[0]!.changedAt, '2024-01-01T00:00:00Z')
      },
      {},
      { crds: isTable ? crds : crdsWith([]) }
    ))
}

test('labels are kept when asked for', () =>
  withSource(
    async (source, cluster) => {
      put(cluster, 'a', {}, { labels: { app: 'w' } })
      assert.equal((await listAll(source, variable))[0]!.labels, { app: 'w' })
    },
    { labels: true }
  ))

test('a server that sends full objects all the same is understood', () =>
  withAnswers(
    (_request, response) => {
      const items = [
        {
          metadata: { name: 'a', namespace: 'n', uid: 'u', generation: 2, creationTimestamp: 'T' },
          spec: { items: ['{"x":["\\"'] }
        }
      ]
      response.end(
        JSON.stringify({
          apiVersion: 'windmill.dev/v1alpha1',
          items,
          kind: 'WindmillVariableList',
          metadata: { continue: '' }
        })
      )
    },
    async source => {
      const [a] = await listAll(source, variable)
      assert.equal([a!.name, a!.generation, a!.changedAt], ['a', 2, 'T'])
    }
  ))

test('a server below a path is found', () =>
  withCluster({ crds }, async cluster =>
    withFolder(async folder => {
      const paths: string[] = []
      const rancher = http.createServer((request, response) => {
        paths.push(request.url ?? '')
        const inner = request.url?.replace('/k8s/clusters/c-1', '')
        request.pipe(http.request(cluster.url + inner, { headers: request.headers }, answer => answer.pipe(response)))
      })
      await listening(rancher, async port => {
        const config = kubeconfigFile(
          folder,
          { server: `http://127.0.0.1:${port}/k8s/clusters/c-1/` },
          { token: 'admin-token' }
        )
        const source = await openCluster({ log: silent, environment: { KUBECONFIG: config }, retry })
        assert.equal(await listAll(source, variable), [])
        assert.ok(paths.length === 2 && paths.every(path => path.startsWith('/k8s/clusters/c-1/api')))
        source.close()
      })
    })
  ))

for (const [what, body] of Object.entries({
  'an empty object': '{}',
  'a page of a proxy': '<html>Login</html>',
  'a Status': '{"kind":"Status","status":"Success"}',
  nothing: ''
})) {
  test(`${what} never passes for an empty list`, () =>
    withAnswers(
      (_request, response) => response.end(body),
      async source => assert.is(await codeOf(source.list(variable)), 'ListFailed')
    ))
}

test('requests in flight are bounded', () =>
  withSource(
    async (source, cluster) => {
      putMany(cluster, 40)
      const listed = await listAll(source, variable)
      assert.is((await readAll(source, listed)).flat().length, 40)
      await Promise.all(listed.map(one => source.version('Secret', 'team', one.name)))
      assert.ok(cluster.stats.peakInFlight <= 3, `${cluster.stats.peakInFlight}`)
      assert.ok(cluster.stats.connections <= 3)
    },
    { concurrency: 3 }
  ))

// ---- listing in every form, and its trouble

/** How a kind may be listed: what the source is told, which CRD there is, and how many pages are asked for in vain. */
const forms = {
  'as tables': { more: {}, options: { crds }, inVain: 0 },
  'as metadata, for a selector': { more: { labels: true }, options: { crds }, inVain: 0 },
  'as metadata, under an older CRD': { more: {}, options: { crds: crdsWith([]) }, inVain: 1 }
} as const

for (const [form, { more, options, inVain }] of Object.entries(forms)) {
  const withForm: typeof withSource = (body, others) => withSource(body, { ...more, ...others }, options)

  test(`${form}: a kind is listed page by page, metadata only, over few connections`, () =>
    withForm(
      async (source, cluster) => {
        putMany(cluster, 23)
        const listed = await listAll(source, variable)
        assert.equal(listed.map(one => one.name).sort(), Array.from({ length: 23 }, (_, at) => `v${at}`).sort())
        assert.is(cluster.requests.length, 3 + inVain)
        for (const [at, { path, accept, query }] of cluster.requests.entries()) {
          assert.is(path, `${root}/windmillvariables`)
          const isTable = form === 'as tables' || at < inVain
          const first = isTable ? 'application/json;as=Table' : 'application/json;as=PartialObjectMetadataList'
          assert.ok(accept.startsWith(`${first};g=meta.k8s.io;v=v1`))
          assert.is(/includeObject=None/.test(query), isTable)
          assert.match(query, /limit=10/)
        }
        assert.is(cluster.stats.connections, 1)
      },
      { pageSize: 10 }
    ))

  test(`${form}: watched namespaces are listed one by one and nothing else is asked for`, () =>
    withForm(
      async (source, cluster) => {
        for (const namespace of ['one', 'two', 'three']) put(cluster, namespace, {}, { namespace })
        const listed = await listAll(source, variable)
        assert.equal(
          listed.map(one => one.name),
          ['two', 'one']
        )
        assert.equal([...new Set(cluster.requests.map(one => one.path))].sort(), [
          `${root}/namespaces/one/windmillvariables`,
          `${root}/namespaces/two/windmillvariables`
        ])
        assert.is(cluster.requests.length, 2 * (1 + inVain))
      },
      { namespaces: ['two', 'one'] }
    ))

  test(`${form}: a listing whose token expires starts again and is complete`, () =>
    withForm(
      async (source, cluster) => {
        putMany(cluster, 25)
        cluster.expireTokens(1 + inVain)
        assert.is((await listAll(source, variable)).length, 25)
        assert.is(cluster.requests.filter(one => one.status === 410).length, 1)
      },
      { pageSize: 10 }
    ))

  test(`${form}: a listing that expires again and again is given up after three restarts`, () =>
    withForm(
      async (source, cluster) => {
        putMany(cluster, 25)
        cluster.faults.add({ path: /continue=/, times: 100, does: { status: 410 } })
        assert.is(await codeOf(source.list(variable)), 'ListFailed')
        assert.is(cluster.requests.filter(one => one.status === 410).length, 4)
      },
      { pageSize: 10 }
    ))

  for (const does of [
    'reset',
    'half',
    'truncated',
    'lost',
    { status: 500 },
    { status: 502, body: '<html>' },
    { status: 503 },
    { status: 504 },
    { status: 429, retryAfter: 0 }
  ] as const) {
    test(`${form}: a listing survives ${JSON.stringify(does)} twice, without doubles`, () =>
      withForm(
        async (source, cluster) => {
          putMany(cluster, 25)
          cluster.faults.add({ path: /continue=/, times: 2, does })
          const names = (await listAll(source, variable)).map(one => one.name)
          assert.is(new Set(names).size, 25)
          assert.is(names.length, 25)
          assert.equal(cluster.faults.pending(), [])
        },
        { pageSize: 10 }
      ))
  }

  test(`${form}: after six tries a listing has failed`, () =>
    withForm(async (source, cluster) => {
      cluster.faults.add({ times: 100, does: { status: 503 } })
      const error = (await rejects(source.list(variable))) as SyncError
      assert.is(error.code, 'ListFailed')
      assert.ok(error.transient)
      assert.match(error.message, /Listing windmillvariables in all namespaces failed \(503 ServiceUnavailable\)/)
      assert.is(cluster.requests.length, 6)
    }))

  test(`${form}: a silent server is asked again`, () =>
    withForm(
      async (source, cluster) => {
        put(cluster, 'a')
        cluster.faults.add({ does: 'hang' })
        assert.is((await listAll(source, variable)).length, 1)
        assert.is(cluster.requests.length, 2 + inVain)
      },
      { timeoutMs: 100 }
    ))

  test(`${form}: the deadline ends requests and waits`, async () => {
    for (const does of ['hang', { status: 429, retryAfter: 9 }] as const) {
      await withCluster({ crds: options.crds }, async cluster => {
        const signal = AbortSignal.timeout(300)
        const environment = { KUBECONFIG: cluster.kubeconfig() }
        const source = await openCluster({ log: silent, environment, clusterId: 'x', signal, ...more })
        cluster.faults.add({ times: 9, does })
        const start = Date.now()
        const error = (await rejects(source.list(variable))) as SyncError
        assert.is(error.code, 'Interrupted')
        assert.match(error.message, /deadline/)
        assert.ok(Date.now() - start < 2000)
        source.close()
      })
    }
  })

  test(`${form}: closing ends what is under way`, () =>
    withForm(async (source, cluster) => {
      cluster.faults.add({ does: 'hang' })
      const listing = rejects(source.list(variable))
      setTimeout(() => source.close(), 50)
      assert.is(((await listing) as SyncError).code, 'Interrupted')
    }))

  test(`${form}: a kind that is forbidden or not installed fails alone, with the remedy`, () =>
    withForm(async (source, cluster) => {
      put(cluster, 'a')
      cluster.deny('admin', { verbs: ['list'], resources: ['windmillscripts'] })
      const forbidden = (await rejects(source.list(script))) as SyncError
      assert.is(forbidden.code, 'ListForbidden')
      assert.match(forbidden.message, /verb list on windmillscripts\.windmill\.dev/)
      assert.is((await listAll(source, variable)).length, 1)
      cluster.uninstall('windmillvariables')
      const missing = (await rejects(source.list(variable))) as SyncError
      assert.is(missing.code, 'CrdMissing')
      assert.match(missing.message, /windmillvariables\.windmill\.dev/)
    }))
}

test('Retry-After is obeyed', () =>
  withSource(
    async (source, cluster) => {
      put(cluster, 'a')
      cluster.faults.add({ does: { status: 429, retryAfter: 1 } })
      const start = Date.now()
      assert.is((await listAll(source, variable)).length, 1)
      assert.ok(Date.now() - start >= 950)
    },
    { retry: {} }
  ))

// ---- tables

test('a table tells what a list of metadata tells, and the marks are the same', () =>
  withCluster({ crds }, async cluster => {
    const texts = ['', 'null', 'a "b"\n\\ ü😀 {x} %d', 'x<none>', ' <', '0', 'true']
    for (const [index, text] of texts.entries()) {
      const annotations = Object.fromEntries(markedAnnotations.map(name => [`windmill.dev/${name}`, text]))
      put(cluster, `all-${index}`, {}, { annotations })
      const [some] = Object.entries(annotations).slice(index % markedAnnotations.length)
      put(cluster, `one-${index}`, {}, { annotations: Object.fromEntries([some!]), labels: { a: 'b' } })
    }
    put(cluster, 'none')
    put(
      cluster,
      'others',
      {},
      { namespace: 'b', annotations: { 'windmill.dev/unknown': 'x', 'example.com/adopt': 'y' } }
    )
    put(cluster, 'none', { path: 'u/a/other' })
    const list = async (labels: boolean): Promise<readonly Listed[]> => {
      const source = await openCluster({
        log: silent,
        environment: { KUBECONFIG: cluster.kubeconfig() },
        retry,
        labels
      })
      cluster.forget()
      const listed = await listAll(source, variable)
      source.close()
      assert.is(cluster.requests[0]!.accept.startsWith('application/json;as=Table'), !labels)
      assert.is(cluster.requests.length, 1)
      return listed
    }
    const [table, metadata] = [await list(false), await list(true)]
    const known = ({ annotations: { unknown: _unknown, ...annotations }, ...one }: Listed): Listed => ({
      ...one,
      annotations,
      labels: {},
      changedAt: one.createdAt
    })
    assert.equal(table, metadata.map(known))
    assert.is(table.find(one => one.name === 'none')!.revision, '2')
    assert.ok(metadata.some(one => one.annotations['unknown'] === 'x'))
    assert.equal(table.map(markOf), metadata.map(markOf))
    assert.ok(new Set(table.map(markOf)).size >= texts.length)
  }))

const markOf = (listed: Listed): string => {
  const policies = { conflict: 'crd-wins', deletion: 'delete', adopt: undefined }
  const rules = {
    mapping: { mode: 'namespace' },
    policies,
    namespaces: new Map(),
    runAs: 'members',
    adminNamespaces: new Set()
  }
  return `${listed.uid} ${new Marks({ rules, windmillSchema: '2026-08' } as never, { rules: 1 } as never).of(listed, ['v1'])}`
}

interface Table {
  kind: string
  metadata: object
  columnDefinitions: Record<string, unknown>[] | null
  rows: { cells: unknown[]; object: null }[] | null
}

/** As the API server makes it of our CRDs; the second row has the annotation `adopt`. */
function honestTable(): Required<Table> & { columnDefinitions: object[]; rows: object[] } {
  const name = { name: 'Name', type: 'string', format: 'name', description: 'Name must be unique.', priority: 0 }
  const ours = tableColumns.map(({ jsonPath: _path, ...one }) => ({ ...one, format: '', priority: 1 }))
  const cells = ['n', 'u', 1, '2026-03-01T08:00:00Z', ...markedAnnotations.map(() => null)]
  return {
    kind: 'Table',
    metadata: { resourceVersion: '1' },
    columnDefinitions: [name, ...ours],
    rows: [
      { cells: ['a', ...cells], object: null },
      { cells: ['b', ...cells.with(6, 'always')], object: null }
    ]
  }
}

const honestList = JSON.stringify({
  kind: 'PartialObjectMetadataList',
  metadata: {},
  items: ['a', 'b'].map(name => ({
    metadata: { name, namespace: 'n', uid: 'u', generation: 1, creationTimestamp: '2026-03-01T08:00:00Z' }
  }))
})

const inCell =
  (at: number, value: unknown) =>
  ({ rows }: Table): void =>
    void (rows![1]!.cells[at] = value)

const spoiled: Readonly<Record<string, (table: Table) => void>> = {
  'a column is missing': ({ columnDefinitions, rows }) => {
    columnDefinitions!.pop()
    for (const { cells } of rows!) cells.pop()
  },
  'a column shows another path': table => (table.columnDefinitions![2]!['description'] = 'For windmill-iac: .spec.x'),
  'a column is of another type': table => (table.columnDefinitions![3]!['type'] = 'string'),
  'a column is there twice': ({ columnDefinitions, rows }) => {
    columnDefinitions!.push(columnDefinitions![2]!)
    for (const { cells } of rows!) cells.push('v')
  },
  'another column is called Name': ({ columnDefinitions, rows }) => {
    columnDefinitions!.push({ ...columnDefinitions![0]!, format: '' })
    for (const { cells } of rows!) cells.push('v')
  },
  'columns are not told': table => (table.columnDefinitions = []),
  'columns are null': table => (table.columnDefinitions = null),
  'there are no rows and other columns': table => Object.assign(table, { columnDefinitions: [], rows: [] }),
  'rows are null': table => (table.rows = null),
  'there are no rows at all': table => delete (table as Partial<Table>).rows,
  'rows are an object': table => Object.assign(table, { rows: {} }),
  'a row is short': table => table.rows![1]!.cells.pop(),
  'a name is empty': inCell(0, ''),
  'a namespace is missing': inCell(1, null),
  'a uid stands for nothing': inCell(2, '<no value>'),
  'a generation is missing': inCell(3, null),
  'a generation is text': inCell(3, '1'),
  'a time is an age': inCell(4, '3d'),
  'an annotation may be null, or a text that says so': inCell(5, '<no value>'),
  'an annotation is what kubectl prints for nothing': inCell(7, '<none>'),
  'an annotation is no text': inCell(5, true)
}

const withTables = (answer: () => string, status = 200): Promise<readonly [Listed[], readonly string[], number]> => {
  const lines: string[] = []
  let asked = 0
  let listed: readonly Listed[] = []
  const log = createLog({ level: 'debug', text: false, write: line => void lines.push(line) })
  const listener: http.RequestListener = (request, response) => {
    asked++
    const isTable = request.headers.accept?.startsWith('application/json;as=Table') === true
    response.writeHead(isTable ? status : 200).end(isTable ? answer() : honestList)
  }
  const body = async (source: Source): Promise<void> => void (listed = await listAll(source, variable))
  return withAnswers(listener, body, { log }).then(
    () => [[...listed], lines.filter(line => line.includes('no list as a table')), asked] as const
  )
}

test('an honest table is taken', async () => {
  const [listed, lines, asked] = await withTables(() => JSON.stringify(honestTable()))
  assert.equal(
    listed.map(one => [one.name, one.annotations]),
    [
      ['a', {}],
      ['b', { adopt: 'always' }]
    ]
  )
  assert.equal([lines, asked], [[], 1])
})

test('a table in which columns stand elsewhere is taken', async () => {
  const table = honestTable()
  table.columnDefinitions.reverse()
  for (const { cells } of table.rows) cells.reverse()
  const [listed, lines] = await withTables(() => JSON.stringify(table))
  assert.equal(
    listed.map(one => [one.namespace, one.name, one.uid, one.generation, one.annotations['adopt']]),
    [
      ['n', 'a', 'u', 1, undefined],
      ['n', 'b', 'u', 1, 'always']
    ]
  )
  assert.equal(lines, [])
})

test('a table without rows is an empty list', async () => {
  const [listed, , asked] = await withTables(() => JSON.stringify({ ...honestTable(), rows: [] }))
  assert.equal([listed, asked], [[], 1])
})

for (const [what, spoil] of Object.entries(spoiled)) {
  test(`where ${what}, the metadata is listed, and one line says so`, async () => {
    const table = honestTable()
    spoil(table)
    const [listed, lines, asked] = await withTables(() => JSON.stringify(table))
    assert.equal(
      listed.map(one => [one.name, one.uid, one.revision, one.annotations]),
      [
        ['a', 'u', '1', {}],
        ['b', 'u', '1', {}]
      ]
    )
    assert.equal([lines.length, asked], [1, 2])
  })
}

for (const status of [400, 406]) {
  test(`where a table is refused with ${status}, the metadata is listed`, async () => {
    const [listed, lines, asked] = await withTables(() => '{}', status)
    assert.equal([listed.length, lines.length, asked], [2, 1, 2])
  })
}

test('half a table and half a list are neither', async () => {
  const { rows, ...table } = honestTable()
  const mixed = { ...table, rows: [...rows, { metadata: { name: 'c' } }] }
  assert.is(await codeOf(withTables(() => JSON.stringify(mixed))), 'ListFailed')
})

test('a CRD that loses its columns between two pages is listed from the start', () =>
  withCluster({ crds }, async cluster => {
    putMany(cluster, 25)
    let pages = 0
    const through: http.RequestListener = (request, response) => {
      if (++pages === 2) cluster.apply(crdsWith([])[0]!)
      const headers = { ...request.headers, authorization: 'Bearer admin-token' }
      http.get(cluster.url + request.url, { headers }, inner => inner.pipe(response))
    }
    const list = async (source: Source): Promise<void> => {
      const names = (await listAll(source, variable)).map(one => one.name)
      assert.equal([names.length, new Set(names).size], [25, 25])
    }
    await withAnswers(through, list, { pageSize: 10 })
    assert.is(pages, 5)
  }))

// ---- reading

const isList = (one: { path: string }): boolean => one.path.endsWith('/windmillvariables')

test('few CRs are read one by one, many by full lists', () =>
  withSource(async (source, cluster) => {
    putMany(cluster, 300, { path: 'u/a/b', value: 'x' })
    const listed = await listAll(source, variable)
    for (const [count, lists, gets] of [
      [50, 0, 50],
      [60, 0, 60],
      [61, 3, 0],
      [300, 3, 0],
      [0, 0, 0]
    ] as const) {
      cluster.forget()
      const wanted = listed.slice(listed.length - count)
      const read = (await readAll(source, wanted, listed.length)).flat()
      assert.equal(read.map(one => one.listed.name).sort(), wanted.map(one => one.name).sort())
      assert.ok(read.every(one => (one.spec as { value: string }).value === 'x' && one.listed.revision === '1'))
      assert.ok(cluster.requests.filter(isList).length <= lists, `${count}`)
      assert.is(cluster.requests.filter(one => !isList(one)).length, gets)
      assert.not.ok(cluster.requests.some(one => /PartialObject/.test(one.accept)))
    }
  }))

for (const count of [10, 100]) {
  test(`of ${count} CRs, those that vanished or were made anew are left out, changed ones come as they are now`, () =>
    withSource(async (source, cluster) => {
      putMany(cluster, count)
      const listed = await listAll(source, variable)
      cluster.remove('WindmillVariable', 'team', 'v1')
      cluster.remove('WindmillVariable', 'team', 'v2')
      put(cluster, 'v2')
      put(cluster, 'v3', { path: 'u/new/path' })
      const read = (await readAll(source, listed)).flat()
      assert.is(read.length, count - 2)
      assert.not.ok(read.some(one => one.listed.name === 'v1' || one.listed.name === 'v2'))
      const changed = read.find(one => one.listed.name === 'v3')
      assert.equal(
        [changed!.spec, changed!.listed.generation, changed!.listed.revision],
        [{ path: 'u/new/path' }, 2, '2']
      )
    }))
}

test('chunks hold at most 500 objects, or 4 MiB and one object', () =>
  withSource(async (source, cluster) => {
    putMany(cluster, 1100)
    assert.equal(
      (await readAll(source, await listAll(source, variable))).map(one => one.length),
      [500, 500, 100]
    )
    for (let at = 0; at < 1100; at++) cluster.remove('WindmillVariable', 'team', `v${at}`)
    putMany(cluster, 20, { value: 'x'.repeat(1_000_000) })
    assert.equal(
      (await readAll(source, await listAll(source, variable))).map(one => one.length),
      [5, 5, 5, 5]
    )
  }))

test('a full list that expires half way is finished by single reads, and nothing comes twice', () =>
  withSource(
    async (source, cluster) => {
      putMany(cluster, 100)
      const listed = await listAll(source, variable)
      cluster.faults.add({ path: /continue=/, after: 2, does: { status: 410 } })
      const names = (await readAll(source, listed)).flat().map(one => one.listed.name)
      assert.equal([names.length, new Set(names).size], [100, 100])
      assert.is(cluster.requests.filter(one => !isList(one)).length, 40)
    },
    { pageSize: 20 }
  ))

test('reading in watched namespaces stays in them', () =>
  withSource(
    async (source, cluster) => {
      for (let at = 0; at < 60; at++) put(cluster, `v${at}`, { at }, { namespace: at % 2 === 0 ? 'one' : 'two' })
      const listed = await listAll(source, variable)
      cluster.forget()
      assert.is((await readAll(source, listed)).flat().length, 60)
      assert.equal([...new Set(cluster.requests.map(one => one.path))].sort(), [
        `${root}/namespaces/one/windmillvariables`,
        `${root}/namespaces/two/windmillvariables`
      ])
    },
    { namespaces: ['one', 'two', 'three'] }
  ))

test('a reader that stops early leaves nothing behind', () =>
  withSource(async (source, cluster) => {
    putMany(cluster, 1100)
    const listed = await listAll(source, variable)
    for await (const chunk of source.read(variable, wantedOf(listed))) {
      assert.is(chunk.length, 500)
      break
    }
  }))

test('items are cut right at any chunk border', () => {
  const random = (most: number): number => Math.floor(Math.random() * most)
  const text = (): string =>
    Array.from({ length: random(12) }, () => '\\"{}[],:é☃𝄞\n \t\\x'[random(17)] ?? 'x').join('')
  const value = (depth: number): unknown => {
    const pick = random(depth > 3 ? 4 : 6)
    if (pick < 2) return text()
    if (pick === 2) return random(1000)
    if (pick === 3) return null
    if (pick === 4) return Array.from({ length: random(4) }, () => value(depth + 1))
    return Object.fromEntries(Array.from({ length: random(4) }, () => [text(), value(depth + 1)]))
  }
  for (let round = 0; round < 3000; round++) {
    const items = random(10) === 0 ? null : Array.from({ length: random(5) }, () => ({ a: value(0), b: value(0) }))
    const head = { kind: 'XList', metadata: { continue: text(), n: [{ x: [] }] } }
    const list = random(2) === 0 ? { ...head, items } : { items, ...head }
    const bytes = Buffer.from(JSON.stringify(list, null, random(3)))
    const cut: unknown[] = []
    const splitter = new ItemSplitter(item => cut.push(JSON.parse(item.toString())))
    for (let at = 0; at < bytes.length; ) {
      const size = random(3) === 0 ? random(4) : random(bytes.length)
      const chunk = Buffer.from(bytes.subarray(at, at + size))
      splitter.push(chunk)
      // The socket reuses its memory.
      chunk.fill(0x7b)
      at += size
    }
    assert.equal(splitter.end(), { ...list, items: items && [] })
    assert.equal(cut, items ?? [])
    const half = new ItemSplitter(() => {})
    half.push(bytes.subarray(0, random(bytes.length - 1)))
    assert.throws(() => half.end())
  }
})

// ---- single objects

test('Secrets and ConfigMaps are read whole only when their content is wanted', () =>
  withSource(async (source, cluster) => {
    cluster.put({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace: 'team' },
      data: { a: '/+8=' },
      stringData: { b: 'é' }
    })
    cluster.put({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'c', namespace: 'team' },
      data: { t: 'é' },
      binaryData: { b: '/+8=' }
    })
    const version = await source.version('Secret', 'team', 's')
    assert.match(cluster.requests[0]!.accept, /^application\/json;as=PartialObjectMetadata;/)
    const secret = await source.material('Secret', 'team', 's')
    assert.is(secret.version, version)
    assert.equal(
      [...secret.data].map(([key, bytes]) => [key, Buffer.from(bytes).toString('hex')]),
      [
        ['a', 'ffef'],
        ['b', 'c3a9']
      ]
    )
    const map = await source.material('ConfigMap', 'team', 'c')
    assert.equal(
      [...map.data].map(([key, bytes]) => [key, Buffer.from(bytes).toString('hex')]),
      [
        ['t', 'c3a9'],
        ['b', 'ffef']
      ]
    )
    assert.not.ok(cluster.requests.some(one => one.path.endsWith('/secrets')))
  }))

test('material that is not there or not allowed says so; its version is just unknown', () =>
  withSource(async (source, cluster) => {
    assert.is(await codeOf(source.material('Secret', 'team', 's')), 'SecretNotFound')
    assert.is(await codeOf(source.material('ConfigMap', 'team', 's')), 'ConfigMapNotFound')
    assert.is(await source.version('Secret', 'team', 's'), undefined)
    cluster.faults.add({ path: /secrets/, times: 12, does: { status: 500 } })
    assert.is(await codeOf(source.material('Secret', 'team', 's')), 'SecretNotFound')
    assert.is(await source.version('Secret', 'team', 's'), undefined)
    cluster.deny('admin', { resources: ['secrets', 'configmaps'] })
    assert.is(await codeOf(source.material('Secret', 'team', 's')), 'SecretForbidden')
    assert.is(await codeOf(source.material('ConfigMap', 'team', 's')), 'ConfigMapForbidden')
    assert.is(await source.version('Secret', 'team', 's'), undefined)
  }))

test('no error and no log line holds a token or what a body said', async () => {
  const lines: string[] = []
  const log = createLog({ level: 'debug', text: false, write: line => lines.push(line) })
  await withSource(
    async (source, cluster) => {
      const said: string[] = []
      for (const status of [400, 403, 404, 409, 422, 500]) {
        const body = JSON.stringify({
          kind: 'Status',
          reason: 'hunter2 hunter2',
          message: 'hunter2',
          details: { causes: [{ field: 'x hunter2', message: 'hunter2' }] }
        })
        cluster.faults.add({ times: 6, path: /secrets/, does: { status, body } })
        const error = (await rejects(source.material('Secret', 'team', 's'))) as SyncError
        said.push(error.message, JSON.stringify(error), String(error.cause), error.stack ?? '')
        cluster.faults.clear()
      }
      assert.not.match([...said, ...lines].join('\n'), /hunter2|admin-token/)
      assert.ok(lines.some(line => /request is tried again/.test(line)))
    },
    { log }
  )
})

test('annotations of namespaces: single reads while few, a list when many, nothing when forbidden', async () => {
  const warnings: string[] = []
  const log = { ...silent, warn: (message: string) => void warnings.push(message) }
  await withSource(
    async (source, cluster) => {
      const names = Array.from({ length: 30 }, (_, at) => `n${at}`)
      for (const name of names)
        cluster.put({
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name, annotations: { 'windmill.dev/workspaces': `w-${name}`, 'x/y': 'z' } }
        })
      const few = await source.namespaces(['n1', 'n2', 'n1', 'none'])
      assert.equal(
        ['n1', 'n2', 'none'].map(name => [name, few.get(name)]),
        [
          ['n1', { workspaces: 'w-n1' }],
          ['n2', { workspaces: 'w-n2' }],
          ['none', undefined]
        ]
      )
      assert.is(cluster.requests.length, 3)
      cluster.forget()
      assert.is((await source.namespaces(names)).size, 30)
      assert.equal(
        cluster.requests.map(one => one.path),
        ['/api/v1/namespaces']
      )
      assert.ok(cluster.requests.every(one => /PartialObjectMetadataList/.test(one.accept)))
      cluster.deny('admin', { verbs: ['list'], resources: ['namespaces'] })
      assert.is((await source.namespaces(names)).size, 30)
      assert.equal(warnings, [])
      cluster.deny('admin', { resources: ['namespaces'] })
      assert.is((await source.namespaces(names)).size, 0)
      assert.is(warnings.length, 1)
    },
    { log }
  )
})

// ---- writing

const status: Status = {
  state: 'Synced',
  reason: 'Synced',
  message: 'It is.',
  observedGeneration: 1,
  workspace: 'w',
  hash: 'abc',
  syncedAt: '2024-01-01T00:00:00Z',
  conditions: [
    {
      type: 'Ready',
      status: 'True',
      reason: 'Synced',
      message: 'It is.',
      lastTransitionTime: '2024-01-01T00:00:00Z',
      observedGeneration: 1
    }
  ]
}

test('a status is one merge patch that also removes what is no more', () =>
  withSource(async (source, cluster) => {
    put(cluster, 'a')
    const [listed] = await listAll(source, variable)
    cluster.forget()
    assert.is(await source.patchStatus(listed!, status), true)
    assert.equal(cluster.get('WindmillVariable', 'team', 'a')!['status'], status)
    const { hash: _hash, syncedAt: _syncedAt, ...less } = status
    assert.is(await source.patchStatus(listed!, { ...less, syncedAt: undefined }), true)
    assert.equal(cluster.get('WindmillVariable', 'team', 'a')!['status'], less)
    const [first, second] = cluster.requests
    assert.equal(
      [first!.method, first!.path, first!.contentType],
      ['PATCH', `${root}/namespaces/team/windmillvariables/a/status`, 'application/merge-patch+json']
    )
    assert.match(first!.accept, /as=PartialObjectMetadata;/)
    assert.equal(Object.keys(JSON.parse(first!.body) as object), ['status'])
    assert.equal((JSON.parse(second!.body) as { status: Status }).status.hash, null)
    assert.is((await listAll(source, variable))[0]!.revision, listed!.revision)
  }))

test('a status is written in spite of trouble, or the reason is told', () =>
  withSource(async (source, cluster) => {
    put(cluster, 'a')
    const [listed] = await listAll(source, variable)
    for (const does of ['lost', 'reset', { status: 409 }, { status: 503 }] as const) {
      cluster.faults.add({ method: 'PATCH', does })
      assert.is(await source.patchStatus(listed!, status), true)
    }
    assert.equal(cluster.faults.pending(), [])
    const invalid = async (...fields: readonly string[]): Promise<SyncError> => {
      const details = { name: 'a', causes: fields.map(field => ({ field })) }
      const body = JSON.stringify({ kind: 'Status', reason: 'Invalid', details })
      cluster.faults.add({ method: 'PATCH', does: { status: 422, body } })
      return (await rejects(source.patchStatus(listed!, status))) as SyncError
    }
    const ours = await invalid('status.reason')
    assert.is(ours.code, 'WriteRejected')
    assert.match(ours.message, /422 Invalid; invalid: status\.reason\): the CustomResourceDefinition in the cluster/)
    assert.match((await invalid()).message, /the CustomResourceDefinition in the cluster is another/)
    // As kube-apiserver 1.30 answers about an object that was stored before the rule existed.
    const theirs = await invalid('spec.path', '<nil>')
    assert.match(theirs.message, /422 Invalid; invalid: spec\.path\): the object breaks the CustomResourceDefinition/)
    const allow = cluster.deny('admin', { resources: ['windmillvariables/status'] })
    assert.is(await codeOf(source.patchStatus(listed!, status)), 'ClusterNotAllowed')
    allow()
    cluster.remove('WindmillVariable', 'team', 'a')
    assert.is(await source.patchStatus(listed!, status), false)
  }))

test("an event tells what it is about; its failure is nobody's trouble", () =>
  withSource(async (source, cluster) => {
    put(cluster, 'a')
    const [listed] = await listAll(source, variable)
    await source.emit(listed!, { type: 'Warning', reason: 'Conflict', message: 'Two want it.' })
    const [event] = cluster.events('team')
    assert.match(event!.metadata.name, /^a\.[0-9a-f]{16}$/)
    assert.equal(event!['involvedObject'], {
      apiVersion: 'windmill.dev/v1alpha1',
      kind: 'WindmillVariable',
      namespace: 'team',
      name: 'a',
      uid: listed!.uid
    })
    assert.equal(
      [event!['type'], event!['reason'], event!['message'], event!['reportingComponent']],
      ['Warning', 'Conflict', 'Two want it.', 'windmill-iac']
    )
    cluster.forget()
    cluster.faults.add({ method: 'POST', does: 'lost' })
    await source.emit(listed!, { type: 'Normal', reason: 'Synced', message: 'x' })
    assert.is(cluster.requests.length, 1)
    cluster.faults.add({ method: 'POST', does: { status: 429, retryAfter: 0 } })
    await source.emit(listed!, { type: 'Normal', reason: 'Synced', message: 'x' })
    assert.is(cluster.requests.length, 3)
    cluster.deny('admin', { resources: ['events'] })
    await source.emit(listed!, { type: 'Normal', reason: 'Synced', message: 'x' })
  }))

// ---- which cluster, and who we are

test('the cluster is known by the uid of kube-system, or by a given name', async () => {
  await withSource(async source => assert.is(source.id, '5f2c7a4e-9d1b-4c0e-8a36-0b6c1f0e7d11'))
  await withSource(
    async (source, cluster) => {
      assert.is(source.id, 'mine')
      assert.is(cluster.requests.length, 0)
    },
    { clusterId: 'mine' }
  )
  await withCluster({ crds }, async cluster => {
    cluster.deny('admin', { resources: ['namespaces'] })
    const error = (await rejects(
      openCluster({ log: silent, environment: { KUBECONFIG: cluster.kubeconfig() } })
    )) as SyncError
    assert.is(error.code, 'ClusterNotAllowed')
    assert.match(error.message, /IAC_CLUSTER_ID/)
  })
})

test('without any configuration the remedy is named at once', () =>
  withFolder(async folder => {
    for (const environment of [
      {},
      { HOME: folder },
      { KUBECONFIG: join(folder, 'none') },
      { KUBERNETES_SERVICE_HOST: '10.0.0.1', HOME: folder }
    ]) {
      const error = (await rejects(openCluster({ log: silent, environment, accountDirectory: folder }))) as SyncError
      assert.is(error.code, 'ClusterUnreachable')
      assert.match(error.message, /KUBECONFIG/)
    }
    writeFileSync(join(folder, 'empty'), '')
    writeFileSync(join(folder, 'broken'), 'users:\n- name: u\n  user: {token: "hunter2\n')
    for (const file of ['empty', 'broken']) {
      const error = (await rejects(
        openCluster({ log: silent, environment: { KUBECONFIG: join(folder, file) } })
      )) as SyncError
      assert.is(error.code, 'ClusterUnreachable')
      assert.not.match(error.message, /hunter2/)
    }
  }))

test('several kubeconfig files: the first that names something wins, --context chooses, relative paths count from the file', () =>
  withCluster({ crds, users: { 'token-a': 'anna', 'token-b': 'bert' } }, async cluster =>
    withFolder(async folder => {
      mkdirSync(join(folder, 'sub'))
      writeFileSync(join(folder, 'sub/token'), 'token-b\n')
      const first = join(folder, 'first')
      writeFileSync(first, JSON.stringify({ users: [{ name: 'u', user: { token: 'token-a' } }] }))
      const second = kubeconfigFile(folder, { server: cluster.url }, { token: 'wrong' }, 'second')
      const third = join(folder, 'sub/third')
      writeFileSync(
        third,
        JSON.stringify({
          users: [{ name: 'bert', user: { tokenFile: 'token', token: 'wrong' } }],
          contexts: [
            { name: 'other', context: { cluster: 'c', user: 'bert' } },
            { name: 'lost', context: { cluster: 'nowhere', user: 'u' } }
          ],
          'current-context': 'lost'
        })
      )
      const environment = { KUBECONFIG: [first, second, join(folder, 'none'), third].join(delimiter) }
      for (const [context, user] of [
        [undefined, 'anna'],
        ['other', 'bert']
      ] as const) {
        const source = await openCluster({ log: silent, environment, context })
        assert.is(cluster.requests.at(-1)!.user, user)
        source.close()
      }
      const unknown = await rejects(openCluster({ log: silent, environment, context: 'none' }))
      assert.match(unknown.message, /has no context none; choose one with --context: .*main/)
      assert.match(
        (await rejects(openCluster({ log: silent, environment, context: 'lost' }))).message,
        /leads to no cluster/
      )
    })
  ))

test('in a pod the account is used, not a mounted home; a rotated token is read again at the first 401', () =>
  withCluster({ crds, tls: true, users: { old: 'pod' } }, async cluster =>
    withFolder(async folder => {
      mkdirSync(join(folder, '.kube'))
      writeFileSync(join(folder, '.kube/config'), cluster.kubeconfigText('home-token'))
      writeFileSync(join(folder, 'ca.crt'), cluster.ca!)
      writeFileSync(join(folder, 'token'), 'old\n')
      const environment = {
        HOME: folder,
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: new URL(cluster.url).port
      }
      const source = await openCluster({ log: silent, environment, accountDirectory: folder, retry })
      cluster.setUser('old', undefined)
      cluster.setUser('new', 'pod')
      writeFileSync(join(folder, 'token'), 'new\n')
      cluster.forget()
      await Promise.all(Array.from({ length: 5 }, () => source.list(variable)))
      assert.ok(cluster.requests.filter(one => one.status === 401).length <= 5)
      assert.is(cluster.requests.filter(one => one.status === 200).length, 5)
      cluster.setUser('new', undefined)
      cluster.forget()
      const error = (await rejects(source.list(variable))) as SyncError
      assert.is(error.code, 'ClusterNotAllowed')
      assert.is(cluster.requests.length, 2)
      source.close()
    })
  ))

test('a command that gives credentials runs once for many requests, is told what for, and never quoted', () =>
  withCluster({ crds, users: { secret: 'exec' } }, async cluster =>
    withFolder(async folder => {
      const runs = join(folder, 'runs')
      const program = `
        require('fs').appendFileSync(process.argv[1], process.env.KUBERNETES_EXEC_INFO + '\\n')
        console.log(JSON.stringify({ status: { token: 'secret' } }))`
      const exec = {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: process.execPath,
        args: ['-e', program, runs],
        env: [{ name: 'X', value: 'y' }]
      }
      const config = kubeconfigFile(folder, { server: cluster.url }, { exec })
      const source = await openCluster({ log: silent, environment: { KUBECONFIG: config }, retry })
      await Promise.all(Array.from({ length: 20 }, () => source.list(variable)))
      source.close()
      const told = readFileSync(runs, 'utf8').trim().split('\n')
      assert.is(told.length, 1)
      assert.match(told[0]!, /"apiVersion":"client.authentication.k8s.io\/v1","kind":"ExecCredential"/)

      const failing = { ...exec, args: ['-e', 'console.error("hunter2"); process.exit(1)'] }
      kubeconfigFile(folder, { server: cluster.url }, { exec: failing })
      const error = (await rejects(openCluster({ log: silent, environment: { KUBECONFIG: config } }))) as SyncError
      assert.is(error.code, 'ClusterNotAllowed')
      assert.not.match(`${error.message} ${String(error.cause)}`, /hunter2/)
    })
  ))

test('an unreachable server is tried a few times and named', () =>
  withFolder(async folder => {
    const config = kubeconfigFile(folder, { server: 'http://127.0.0.1:1' }, { token: 't' })
    const error = (await rejects(openCluster({ log: silent, environment: { KUBECONFIG: config }, retry }))) as SyncError
    assert.is(error.code, 'ClusterUnreachable')
    assert.match(error.message, /ECONNREFUSED/)
  }))

// ---- TLS and proxies

test('a custom CA is trusted, an unknown one is not, and the name can be another', () =>
  withCluster({ crds, tls: true }, async cluster =>
    withFolder(async folder => {
      writeFileSync(join(folder, 'ca.pem'), cluster.ca!)
      const open = async (fields: object): Promise<void> => {
        const config = kubeconfigFile(folder, { server: cluster.url, ...fields }, { token: 'admin-token' })
        const source = await openCluster({ log: silent, environment: { KUBECONFIG: config }, retry })
        await listAll(source, variable)
        source.close()
      }
      await open({ 'certificate-authority': 'ca.pem' })
      await open({ 'certificate-authority-data': Buffer.from(cluster.ca!).toString('base64') })
      await open({ 'certificate-authority': 'ca.pem', 'tls-server-name': 'localhost' })
      await open({ 'insecure-skip-tls-verify': true })
      cluster.forget()
      for (const fields of [{}, { 'certificate-authority': 'ca.pem', 'tls-server-name': 'other.example' }]) {
        const error = (await rejects(open(fields))) as SyncError
        assert.is(error.code, 'ClusterUnreachable')
        assert.match(error.message, /TLS/)
      }
      assert.is(cluster.requests.length, 0)
    })
  ))

test('client certificates are shown', async () => {
  const [server, client] = [selfSigned(), selfSigned()]
  const listener: http.RequestListener = (_request, response) => {
    response.end(JSON.stringify({ kind: 'List', metadata: {}, items: [] }))
  }
  await listening(
    https.createServer({ ...server, ca: client.cert, requestCert: true, rejectUnauthorized: true }, listener),
    port =>
      withFolder(async folder => {
        writeFileSync(join(folder, 'client.pem'), client.cert)
        const user = {
          'client-certificate': 'client.pem',
          'client-key-data': Buffer.from(client.key).toString('base64')
        }
        const ca = Buffer.from(server.cert).toString('base64')
        for (const [one, expected] of [
          [user, 0],
          [{}, 1]
        ] as const) {
          const config = kubeconfigFile(
            folder,
            { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': ca },
            one
          )
          const source = await openCluster({ log: silent, environment: { KUBECONFIG: config }, clusterId: 'x', retry })
          const failed = await source.list(variable).then(
            () => 0,
            () => 1
          )
          assert.is(failed, expected)
          source.close()
        }
      })
  )
})

interface Proxied {
  readonly port: number
  readonly asked: { readonly authority: string; readonly auth: string | undefined }[]
}

/** Leads every CONNECT to the same server, whatever name was asked for. */
async function withProxy(target: string, status: number, body: (proxy: Proxied) => Promise<void>): Promise<void> {
  const asked: Proxied['asked'] = []
  const server = http.createServer((_request, response) => response.writeHead(405).end())
  server.on('connect', (request, socket) => {
    asked.push({ authority: request.url ?? '', auth: request.headers['proxy-authorization'] })
    if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\n\r\n`)
    const through = connectSocket(Number(new URL(target).port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      through.pipe(socket).pipe(through)
    })
    through.on('error', () => socket.destroy())
    socket.on('error', () => through.destroy())
    return undefined
  })
  await listening(server, port => body({ port, asked }))
}

test('proxies: proxy-url and the environment, with TLS inside and few connections', () =>
  withCluster({ crds, tls: true }, async cluster =>
    withProxy(cluster.url, 200, async ({ port, asked }) =>
      withFolder(async folder => {
        const fields = {
          server: 'https://api.cluster.test:6443',
          'certificate-authority-data': Buffer.from(cluster.ca!).toString('base64'),
          'tls-server-name': 'localhost'
        }
        const open = async (cluster: object, environment: object): Promise<void> => {
          const config = kubeconfigFile(folder, cluster, { token: 'admin-token' })
          const source = await openCluster({
            log: silent,
            environment: { KUBECONFIG: config, ...environment },
            concurrency: 2,
            retry: { ...retry, tries: 2 }
          })
          await Promise.all(Array.from({ length: 6 }, () => source.list(variable)))
          source.close()
        }
        await open({ ...fields, 'proxy-url': `http://127.0.0.1:${port}` }, { NO_PROXY: '*' })
        await open(fields, { HTTPS_PROXY: `http://me:p%40ss@127.0.0.1:${port}`, NO_PROXY: 'other.test,10.0.0.0/8' })
        assert.ok(asked.length <= 4)
        assert.ok(asked.every(one => one.authority === 'api.cluster.test:6443'))
        assert.is(asked.at(-1)!.auth, `Basic ${Buffer.from('me:p@ss').toString('base64')}`)
        const before = asked.length
        assert.is(
          await codeOf(open(fields, { HTTPS_PROXY: `http://127.0.0.1:${port}`, NO_PROXY: '.cluster.test' })),
          'ClusterUnreachable'
        )
        assert.is(asked.length, before)
      })
    )
  ))

test('a proxy that refuses is told apart from the cluster, and its password is not told', () =>
  withProxy('http://127.0.0.1:1', 407, async ({ port, asked }) =>
    withFolder(async folder => {
      const config = kubeconfigFile(
        folder,
        { server: 'https://api.cluster.test', 'proxy-url': `http://me:hunter2@127.0.0.1:${port}` },
        { token: 't' }
      )
      const error = (await rejects(openCluster({ log: silent, environment: { KUBECONFIG: config } }))) as SyncError
      assert.is(error.code, 'ClusterUnreachable')
      assert.match(error.message, /the proxy answered 407 to CONNECT/)
      assert.not.match(error.message, /hunter2/)
      assert.is(asked.length, 1)
    })
  ))

test('which servers the environment sends through a proxy', () => {
  const through = (server: string, environment: object): boolean =>
    proxyFor(new URL(server), undefined, { HTTPS_PROXY: 'proxy:3128', ...environment }) !== undefined
  assert.ok(through('https://api.test', {}))
  assert.not.ok(through('http://api.test', {}))
  for (const list of ['api.test', 'test', '.test', '*.test', 'x, API.test ', 'api.test:6443', '*'])
    assert.not.ok(through('https://api.test:6443', { NO_PROXY: list }), list)
  for (const list of ['pi.test', 'est', '.api.test', 'api.test:443', '10.0.0.0/8', ''])
    assert.ok(through('https://api.test:6443', { NO_PROXY: list }), list)
  for (const list of ['10.1.2.3', '10.0.0.0/8', '10.1.2.3:443'])
    assert.not.ok(through('https://10.1.2.3', { no_proxy: list }), list)
  for (const list of ['10.1.2.4', '10.2.0.0/16', 'fd00::/8', '10.0.0.0/99'])
    assert.ok(through('https://10.1.2.3', { NO_PROXY: list }), list)
  assert.not.ok(through('https://[fd00::1]:6443', { NO_PROXY: 'fd00::/8' }))
  for (const server of ['https://localhost:6443', 'https://127.0.0.1:6443', 'https://[::1]:6443'])
    assert.not.ok(through(server, {}))
  assert.throws(() => proxyFor(new URL('https://a'), 'socks5://x:1', {}), /SOCKS/)
})

// ---- the log

test('log lines are JSON with a level, or text that no value can forge', () => {
  const lines: string[] = []
  const write = (line: string): void => void lines.push(line)
  const log = createLog({ level: 'info', text: false, write })
  log.debug('no')
  log.warn('yes', { n: 1, error: Object.assign(new Error('boom'), { code: 'X', detail: 'hunter2' }), big: 1n })
  const { time, ...rest } = JSON.parse(lines[0]!) as Record<string, unknown>
  assert.match(String(time), /^\d{4}-/)
  assert.equal(rest, {
    level: 'warn',
    message: 'yes',
    n: 1,
    error: { name: 'Error', code: 'X', message: 'boom' },
    big: '1'
  })
  const circle: { self?: unknown } = {}
  circle.self = circle
  log.error('still', circle)
  createLog({ level: 'debug', text: true, write }).info('hello', { a: 'plain', b: 'two\nlines\u001b[2J', c: undefined })
  assert.is(lines.length, 3)
  assert.ok(lines[2]!.includes('hello a=plain b="two\\nlines\\u001b[2J"\n'))
  assert.is(lines[2]!.split('\n').length, 2)
})

test.run()
