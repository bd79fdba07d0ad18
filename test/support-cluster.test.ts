/** The stand-in API server is believed by many tests, so its own promises are tested here. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { projectRoot } from './support/cluster/manifests.ts'
import { at } from './support/cluster/views.ts'
import { CLUSTER_UID, type Cluster, startCluster, withCluster } from './support/cluster.ts'
import { assert, rejects, suite } from './support/suite.ts'

const test = suite('the cluster of the tests')

const GADGETS = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.example.test
spec:
  group: example.test
  scope: Namespaced
  names: { kind: Gadget, plural: gadgets, singular: gadget, shortNames: [gd], categories: [toys] }
  versions:
    - name: v1
      served: true
      storage: true
      subresources: { status: {} }
      additionalPrinterColumns:
        - { name: Size, type: integer, jsonPath: .spec.size }
        - { name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status' }
        - { name: Age, type: date, jsonPath: .metadata.creationTimestamp }
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [path]
              x-kubernetes-validations:
                - { rule: '!has(self.size) || self.size < 100', message: size must stay below 100 }
              properties:
                path: { type: string, pattern: '^u/', maxLength: 20 }
                size: { type: integer, default: 3 }
                colour: { type: string, enum: [red, green] }
                note: { type: string, nullable: true }
                limits: { type: object, additionalProperties: { type: integer } }
                free: { type: object, x-kubernetes-preserve-unknown-fields: true }
                any: { x-kubernetes-preserve-unknown-fields: true }
            status:
              type: object
              properties:
                state: { type: string }
                conditions:
                  type: array
                  items:
                    type: object
                    properties: { type: { type: string }, status: { type: string } }
`

interface Reply {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  // oxlint-disable-next-line no-explicit-any -- answers are looked into, not typed
  readonly body: any
}

interface Ask {
  readonly headers?: Record<string, string>
  readonly body?: unknown
}

/** One plain request; `GET /path`. */
function ask(cluster: Cluster, line: string, { headers = {}, body }: Ask = {}): Promise<Reply> {
  const [method = '', path = ''] = line.split(' ')
  const lib = cluster.ca ? https : http
  return new Promise((resolve, reject) => {
    const options = {
      method,
      ca: cluster.ca,
      agent: false as const,
      headers: { authorization: 'Bearer admin-token', ...headers }
    }
    const request = lib.request(new URL(path, cluster.url), options, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject)
      response.on('end', () => {
        const bytes = Buffer.concat(chunks)
        const text = String(response.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes)
        const json = String(response.headers['content-type']).startsWith('application/json')
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          body: json && text ? tolerant(text) : text
        })
      })
    })
    const text = typeof body === 'string' ? body : (JSON.stringify(body) ?? '')
    // Node frames the body of a DELETE only when it is told the length.
    if (text) request.setHeader('content-length', Buffer.byteLength(text))
    request.on('error', reject).end(text)
  })
}

function tolerant(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const PATH = '/apis/example.test/v1/namespaces/default/gadgets'
const MERGE = { 'content-type': 'application/merge-patch+json' }
const gadget = (name: string, spec: object = { path: 'u/a' }) => ({
  apiVersion: 'example.test/v1',
  kind: 'Gadget',
  metadata: { name },
  spec
})

const withGadgets = (body: (cluster: Cluster) => Promise<void>): Promise<void> => withCluster({ crds: [GADGETS] }, body)

const many = (cluster: Cluster, count: number): void => {
  for (let index = 0; index < count; index++) cluster.put(gadget(`g${String(index).padStart(4, '0')}`))
}

const names = (reply: Reply): string[] =>
  reply.body.items.map((item: { metadata: { name: string } }) => item.metadata.name)

test('a new object is pruned, completed and versioned', () =>
  withGadgets(async cluster => {
    const spec = {
      path: 'u/a',
      colour: null,
      note: null,
      nonsense: 1,
      limits: { a: 1, b: null },
      free: { z: null, a: { b: 2 } },
      any: [{ a: 1 }]
    }
    const { status, body } = await ask(cluster, `POST ${PATH}`, {
      body: { ...gadget('one', spec), status: { state: 'Mine' } }
    })
    assert.is(status, 201)
    const { any, free: kept, ...rest } = body.spec
    assert.equal(rest, { limits: { a: 1 }, note: null, path: 'u/a', size: 3 })
    assert.equal([any, kept], [[{ a: 1 }], { a: { b: 2 }, z: null }])
    assert.is(body.status, undefined, 'a status is not written through the object')
    assert.is(body.metadata.generation, 1)
    assert.match(body.metadata.uid, /^[0-9a-f-]{36}$/)
    assert.match(body.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.is((await ask(cluster, `POST ${PATH}`, { body: gadget('one') })).body.reason, 'AlreadyExists')
    const free = await ask(cluster, `GET ${PATH}/one`)
    assert.match(free.text, '"free":{"a":{"b":2},"z":null}', 'keys come back sorted')
  }))

test('what breaks the schema is a 422 that names every fault', () =>
  withGadgets(async cluster => {
    const { status, body } = await ask(cluster, `POST ${PATH}`, {
      body: gadget('bad', { size: 'big', colour: 'blue', limits: { a: 'x' } })
    })
    assert.is(status, 422)
    assert.is(body.reason, 'Invalid')
    const fields = body.details.causes.map((cause: { field: string }) => cause.field)
    assert.equal(fields.sort(), ['spec.colour', 'spec.limits.a', 'spec.path', 'spec.size'])
    assert.match(body.message, 'Gadget.example.test "bad" is invalid')
    const ruled = await ask(cluster, `POST ${PATH}`, { body: gadget('big', { path: 'u/a', size: 100 }) })
    assert.match(ruled.body.message, 'size must stay below 100')
    assert.is(
      (await ask(cluster, `POST ${PATH}`, { body: gadget('long', { path: `u/${'x'.repeat(20)}` }) })).status,
      422
    )
    assert.is((await ask(cluster, `POST ${PATH}`, { body: gadget('Upper') })).status, 422)
    const strict = await ask(cluster, `POST ${PATH}?fieldValidation=Strict`, {
      body: gadget('typo', { path: 'u/a', pth: 1 })
    })
    assert.match(strict.body.message, 'strict decoding error: unknown field "spec.pth"')
    const warned = await ask(cluster, `POST ${PATH}`, { body: gadget('typo', { path: 'u/a', pth: 1 }) })
    assert.match(String(warned.headers['warning']), 'unknown field')
  }))

test('generation moves with the spec alone, the version with any change, and nothing with none', () =>
  withGadgets(async cluster => {
    const marks = async (): Promise<[number, string]> => {
      const { metadata } = (await ask(cluster, `GET ${PATH}/one`)).body
      return [metadata.generation, metadata.resourceVersion]
    }
    cluster.put(gadget('one'))
    const [, first] = await marks()
    const patched = (path: string, body: unknown): Promise<Reply> =>
      ask(cluster, `PATCH ${PATH}/one${path}`, { headers: MERGE, body })
    await patched('', { metadata: { annotations: { a: 'b' } } })
    const [afterNote, second] = await marks()
    assert.is(afterNote, 1)
    assert.ok(Number(second) > Number(first))
    await patched('/status', {
      status: { state: 'Synced' },
      spec: { path: 'u/other' },
      metadata: { labels: { no: 'way' } }
    })
    const [afterStatus, third] = await marks()
    assert.is(afterStatus, 1)
    assert.ok(third !== second)
    await patched('/status', { status: { state: 'Synced' } })
    await patched('', { spec: { path: 'u/a' }, status: { state: 'Ignored' } })
    assert.equal(await marks(), [1, third], 'writes that change nothing leave no trace')
    await patched('', { spec: { size: 4 } })
    assert.is((await marks())[0], 2)
    const one = cluster.get('gd', 'default', 'one')!
    assert.equal(one['status'], { state: 'Synced' })
    assert.is(one.metadata.labels, undefined)
    assert.equal(one['spec'], { path: 'u/a', size: 4 })
  }))

test('managedFields tell who wrote what, and status apart from spec', () =>
  withGadgets(async cluster => {
    await ask(cluster, `POST ${PATH}?fieldManager=alice`, { body: gadget('one', { path: 'u/a', colour: 'red' }) })
    const headers = { ...MERGE, 'user-agent': 'bob/1.0 (linux)' }
    await ask(cluster, `PATCH ${PATH}/one`, { headers, body: { spec: { colour: 'green' } } })
    await ask(cluster, `PATCH ${PATH}/one/status?fieldManager=iac`, { headers, body: { status: { state: 'Synced' } } })
    const told = cluster
      .get('Gadget', 'default', 'one')!
      .metadata.managedFields!.map(entry => [entry.manager, entry.operation, entry.subresource, entry.fieldsV1])
    assert.equal(told, [
      ['alice', 'Update', undefined, { 'f:spec': { 'f:path': {}, 'f:size': {} } }],
      ['bob', 'Update', undefined, { 'f:spec': { 'f:colour': {} } }],
      ['iac', 'Update', 'status', { 'f:status': { 'f:state': {} } }]
    ])
  }))

test('stale versions, foreign uids and wrong content types are refused', () =>
  withGadgets(async cluster => {
    const one = cluster.put(gadget('one'))
    const { resourceVersion } = one.metadata
    const put = (version: string | undefined): Promise<Reply> =>
      ask(cluster, `PUT ${PATH}/one`, {
        body: { ...gadget('one', { path: 'u/b' }), metadata: { name: 'one', resourceVersion: version } }
      })
    assert.is((await put(undefined)).status, 422)
    assert.is((await put(resourceVersion)).status, 200)
    assert.equal([(await put(resourceVersion)).status, (await put(resourceVersion)).body.reason], [409, 'Conflict'])
    const stale = await ask(cluster, `PATCH ${PATH}/one/status`, {
      headers: MERGE,
      body: { metadata: { resourceVersion }, status: { state: 'x' } }
    })
    assert.is(stale.status, 409)
    const foreign = await ask(cluster, `PATCH ${PATH}/one/status`, {
      headers: MERGE,
      body: { metadata: { uid: 'x' }, status: { state: 'x' } }
    })
    assert.is(foreign.status, 409)
    for (const type of ['application/json', 'application/strategic-merge-patch+json']) {
      assert.is((await ask(cluster, `PATCH ${PATH}/one`, { headers: { 'content-type': type }, body: {} })).status, 415)
    }
    const operations = [
      { op: 'replace', path: '/spec/path', value: 'u/c' },
      { op: 'add', path: '/spec/limits', value: { a: 1 } }
    ]
    const headers = { 'content-type': 'application/json-patch+json' }
    assert.equal((await ask(cluster, `PATCH ${PATH}/one`, { headers, body: operations })).body.spec, {
      limits: { a: 1 },
      path: 'u/c',
      size: 3
    })
    assert.is((await ask(cluster, `PATCH ${PATH}/none`, { headers: MERGE, body: {} })).status, 404)
    assert.is((await ask(cluster, `DELETE ${PATH}/one`, { body: { preconditions: { uid: 'x' } } })).status, 409)
    const gone = await ask(cluster, `DELETE ${PATH}/one`)
    assert.equal([gone.body.kind, gone.body.status, gone.body.details.uid], ['Status', 'Success', one.metadata.uid])
    assert.is((await ask(cluster, `DELETE ${PATH}/one`)).status, 404)
  }))

test('apply patches create and update; dry runs and finalizers do what they should', () =>
  withGadgets(async cluster => {
    const headers = { 'content-type': 'application/apply-patch+yaml' }
    const free = { path: 'u/a', free: { a: null } }
    const nulled = await ask(cluster, `PATCH ${PATH}/two?fieldManager=me`, { headers, body: gadget('two', free) })
    const again = await ask(cluster, `PATCH ${PATH}/two?fieldManager=me`, { headers, body: gadget('two', free) })
    assert.equal([again.body.spec.free, again.body.metadata], [{ a: null }, nulled.body.metadata])
    const apply = (query: string, size: number): Promise<Reply> =>
      ask(cluster, `PATCH ${PATH}/one?${query}`, { headers, body: { ...gadget('one', { path: 'u/a', size }) } })
    assert.is((await apply('', 1)).status, 422)
    assert.is((await apply('fieldManager=me&dryRun=All', 1)).status, 201)
    assert.is(cluster.get('gd', 'default', 'one'), undefined)
    assert.is((await apply('fieldManager=me', 1)).status, 201)
    assert.is((await apply('fieldManager=me', 2)).body.metadata.generation, 2)
    await ask(cluster, `PATCH ${PATH}/one`, {
      headers: MERGE,
      body: { metadata: { finalizers: ['example.test/hold'] } }
    })
    assert.type((await ask(cluster, `DELETE ${PATH}/one`)).body.metadata.deletionTimestamp, 'string')
    await ask(cluster, `PATCH ${PATH}/one`, { headers: MERGE, body: { metadata: { finalizers: null } } })
    assert.is((await ask(cluster, `GET ${PATH}/one`)).status, 404)
  }))

test('pages of one listing show one moment', () =>
  withGadgets(async cluster => {
    many(cluster, 7)
    const first = await ask(cluster, `GET ${PATH}?limit=3`)
    assert.equal(names(first), ['g0000', 'g0001', 'g0002'])
    assert.is(first.body.metadata.remainingItemCount, 4)
    assert.equal(
      Object.keys(first.body),
      ['apiVersion', 'items', 'kind', 'metadata'],
      'custom lists end with their metadata'
    )
    cluster.remove('gd', 'default', 'g0004')
    cluster.put(gadget('g0003a'))
    const second = await ask(cluster, `GET ${PATH}?limit=3&continue=${first.body.metadata.continue}`)
    assert.equal(names(second), ['g0003', 'g0004', 'g0005'])
    assert.is(second.body.metadata.resourceVersion, first.body.metadata.resourceVersion)
    const third = await ask(cluster, `GET ${PATH}?limit=3&continue=${second.body.metadata.continue}`)
    assert.equal([names(third), third.body.metadata.continue], [['g0006'], ''])
    assert.equal(names(await ask(cluster, 'GET /apis/example.test/v1/gadgets?limit=3&resourceVersion=0')).length, 7)
  }))

test('an expired token is a 410 with a way to go on, which shows another moment', () =>
  withGadgets(async cluster => {
    many(cluster, 6)
    cluster.expireTokens(2)
    const first = await ask(cluster, `GET ${PATH}?limit=2`)
    const second = await ask(cluster, `GET ${PATH}?limit=2&continue=${first.body.metadata.continue}`)
    assert.equal(names(second), ['g0002', 'g0003'])
    const third = await ask(cluster, `GET ${PATH}?limit=2&continue=${second.body.metadata.continue}`)
    assert.equal([third.status, third.body.reason], [410, 'Expired'])
    cluster.put(gadget('g0009'))
    const rest = await ask(cluster, `GET ${PATH}?limit=9&continue=${third.body.metadata.continue}`)
    assert.equal(names(rest), ['g0004', 'g0005', 'g0009'])
    assert.is((await ask(cluster, `GET ${PATH}?limit=2&continue=nonsense`)).status, 400)
  }))

test('selectors choose, and unknown field labels are refused', () =>
  withGadgets(async cluster => {
    for (const [name, labels] of Object.entries({ a: { team: 'x', tier: '1' }, b: { team: 'y' }, c: {} })) {
      cluster.put({ ...gadget(name), metadata: { name, labels } })
    }
    const chosen = async (selector: string): Promise<string> =>
      names(await ask(cluster, `GET ${PATH}?${selector}`)).join()
    const labelled = (selector: string): Promise<string> => chosen(`labelSelector=${encodeURIComponent(selector)}`)
    assert.equal(
      [await labelled('team=x'), await labelled('team!=x'), await labelled('team'), await labelled('!team')],
      ['a', 'b,c', 'a,b', 'c']
    )
    assert.equal([await labelled('team in (x, y),tier=1'), await labelled('team notin (x)')], ['a', 'b,c'])
    assert.is(await chosen('fieldSelector=metadata.name%3Db'), 'b')
    assert.is((await ask(cluster, `GET ${PATH}?fieldSelector=spec.path%3Db`)).status, 400)
  }))

test('metadata alone, tables, and nothing else than what can be had', () =>
  withGadgets(async cluster => {
    cluster.put({ ...gadget('one'), status: { conditions: [{ type: 'Ready', status: 'True' }] } })
    const as = (kind: string): Ask => ({ headers: { accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` } })
    const list = (await ask(cluster, `GET ${PATH}`, as('PartialObjectMetadataList'))).body
    assert.equal(
      [list.kind, list.apiVersion, Object.keys(list.items[0])],
      ['PartialObjectMetadataList', 'meta.k8s.io/v1', ['kind', 'apiVersion', 'metadata']]
    )
    const patched = await ask(cluster, `PATCH ${PATH}/one`, {
      headers: { ...MERGE, ...as('PartialObjectMetadata').headers },
      body: { spec: { size: 9 } }
    })
    assert.equal(
      [patched.body.kind, patched.body.spec, patched.body.metadata.generation],
      ['PartialObjectMetadata', undefined, 2]
    )
    assert.is((await ask(cluster, `GET ${PATH}`, as('PartialObjectMetadata'))).status, 406)
    assert.is((await ask(cluster, `GET ${PATH}`, { headers: { accept: 'application/xml' } })).status, 406)
    const table = (await ask(cluster, `GET ${PATH}`, as('Table'))).body
    assert.equal(
      table.columnDefinitions.map((column: { name: string }) => column.name),
      ['Name', 'Size', 'Ready', 'Age']
    )
    assert.equal(table.rows[0].cells.slice(0, 3), ['one', 9, 'True'])
    assert.is(at({ metadata: { annotations: { 'a.b/c': 'x' } } }, ".metadata.annotations['a.b/c']"), 'x')
  }))

test('tokens name users; what a user may not do is a 403 in words', () =>
  withCluster(
    {
      crds: [GADGETS],
      users: {
        'admin-token': 'admin',
        weak: { name: 'weak', allow: [{ verbs: ['get', 'list'], namespaces: ['default'] }] }
      }
    },
    async cluster => {
      const weak = { headers: { authorization: 'Bearer weak' } }
      assert.is((await ask(cluster, `GET ${PATH}`, { headers: { authorization: 'Bearer other' } })).status, 401)
      assert.is((await ask(cluster, `GET ${PATH}`, weak)).status, 200)
      const all = await ask(cluster, 'GET /apis/example.test/v1/gadgets', weak)
      assert.is(all.status, 403)
      assert.is(
        all.body.message,
        'gadgets.example.test is forbidden: User "weak" cannot list resource "gadgets" in API group "example.test" at the cluster scope'
      )
      const back = cluster.deny('admin', { verbs: ['patch'], resources: ['gadgets/status'] })
      const denied = await ask(cluster, `PATCH ${PATH}/one/status`, { headers: MERGE, body: {} })
      assert.match(
        denied.body.message,
        'cannot patch resource "gadgets/status" in API group "example.test" in the namespace "default"'
      )
      back()
      assert.is((await ask(cluster, `PATCH ${PATH}/one/status`, { headers: MERGE, body: {} })).status, 404)
      cluster.setUser('admin-token', undefined)
      assert.is((await ask(cluster, `GET ${PATH}`)).status, 401)
      assert.equal(cluster.requests.map(({ user, status }) => [user, status])[1], ['weak', 200])
    }
  ))

test('a CRD that goes takes its objects along, and a path without a kind is a 404 that is not JSON', () =>
  withGadgets(async cluster => {
    cluster.put(gadget('one'))
    cluster.uninstall('gadgets')
    const missing = await ask(cluster, `GET ${PATH}`)
    assert.equal([missing.status, missing.text], [404, '404 page not found\n'])
    cluster.install('gadgets')
    assert.equal(names(await ask(cluster, `GET ${PATH}`)), [])
  }))

test('a CRD that a real server would refuse is refused', () =>
  withGadgets(async cluster => {
    const faulty = async (from: string, to: string): Promise<string> =>
      (await rejects(async () => cluster.apply(GADGETS.replaceAll('gadgets', 'widgets').replace(from, to)))).message
    assert.match(await faulty('colour: { type: string,', 'colour: {'), 'properties[colour].type: Required value')
    assert.match(await faulty('default: 3', 'default: x'), 'must validate')
    assert.match(await faulty('!has(self.size)', '!has(self.sise)'), "undefined field 'sise'")
    assert.match(await faulty('!has(self.size)', '!has(self.size'), 'compilation failed')
    const unseen = GADGETS.replace('{ type: object, x-kub', '{ x-kub').replace('!has(self.size)', '!has(self.free)')
    assert.match((await rejects(async () => cluster.apply(unseen))).message, "undefined field 'free'")
  }))

test('faults strike where, when and as often as declared', () =>
  withGadgets(async cluster => {
    many(cluster, 3)
    const get = (): Promise<Reply> => ask(cluster, `GET ${PATH}?limit=2`)
    const code = async (work: Promise<unknown>): Promise<unknown> =>
      ((await rejects(work)) as NodeJS.ErrnoException).code
    cluster.faults.add({
      method: 'GET',
      path: /gadgets\?limit/,
      after: 1,
      times: 2,
      does: { status: 429, retryAfter: 7 }
    })
    const statuses = [await get(), await get(), await get(), await get()].map(({ status, headers }) => [
      status,
      headers['retry-after']
    ])
    assert.equal(statuses, [
      [200, undefined],
      [429, '7'],
      [429, '7'],
      [200, undefined]
    ])
    assert.equal(cluster.faults.pending(), [])
    cluster.faults.add({ does: { status: 503 } }, { does: 'reset' }, { does: 'half' }, { does: 'truncated' })
    assert.is((await get()).body.reason, 'ServiceUnavailable')
    assert.is(await code(get()), 'ECONNRESET')
    assert.is(await code(get()), 'ECONNRESET')
    assert.type((await get()).body, 'string', 'JSON that stops half way')
    cluster.faults.add({ method: 'PATCH', does: 'lost' })
    assert.is(
      await code(ask(cluster, `PATCH ${PATH}/g0001`, { headers: MERGE, body: { spec: { size: 7 } } })),
      'ECONNRESET'
    )
    assert.equal(cluster.get('gd', 'default', 'g0001')!['spec'], { path: 'u/a', size: 7 }, 'only the answer was lost')
    cluster.faults.add({ does: { delay: 60 } })
    const before = Date.now()
    await get()
    assert.ok(Date.now() - before >= 55)
  }))

test('a hanging request does not keep the cluster from closing', async () => {
  const cluster = await startCluster({ crds: [GADGETS] })
  cluster.faults.add({ does: 'hang' })
  const hanging = rejects(ask(cluster, `GET ${PATH}`))
  while (cluster.requests.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  await cluster.close()
  assert.is(((await hanging) as NodeJS.ErrnoException).code, 'ECONNRESET')
  await rejects(ask(cluster, `GET ${PATH}`))
})

test('big answers are compressed for those who ask', () =>
  withGadgets(async cluster => {
    for (let index = 0; index < 20; index++)
      cluster.put(gadget(`g${index}`, { path: 'u/a', free: { text: 'x'.repeat(10_000) } }))
    const zipped = await ask(cluster, `GET ${PATH}`, { headers: { 'accept-encoding': 'gzip' } })
    assert.equal([zipped.headers['content-encoding'], names(zipped).length], ['gzip', 20])
    assert.is((await ask(cluster, `GET ${PATH}`)).headers['content-encoding'], undefined)
    assert.is(
      (await ask(cluster, `GET ${PATH}/g1`, { headers: { 'accept-encoding': 'gzip' } })).headers['content-encoding'],
      undefined
    )
    const big = gadget('big', { path: 'u/a', free: { text: 'x'.repeat(1_600_000) } })
    assert.equal([(await ask(cluster, `POST ${PATH}`, { body: big })).status], [500])
    assert.is((await ask(cluster, `POST ${PATH}`, { body: 'x'.repeat(3_200_000) })).status, 413)
  }))

test('watches tell what happened since, and what happens', () =>
  withGadgets(async cluster => {
    const { resourceVersion } = cluster.put(gadget('one')).metadata
    cluster.put(gadget('two'))
    setTimeout(() => cluster.remove('gd', 'default', 'one'), 20)
    const { text } = await ask(cluster, `GET ${PATH}?watch=1&resourceVersion=${resourceVersion}&timeoutSeconds=1`)
    const lines = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.equal(
      lines.map(({ type, object }) => [type, object.metadata.name]),
      [
        ['ADDED', 'two'],
        ['DELETED', 'one']
      ]
    )
  }))

test('core kinds: Secrets, ConfigMaps, Events, and a namespace that must exist', () =>
  withGadgets(async cluster => {
    const v1 = '/api/v1/namespaces/default'
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { a: 'b' } }
    const made = await ask(cluster, `POST ${v1}/secrets`, { body: secret })
    assert.equal([made.body.data, made.body.type, made.body.metadata.generation], [{ a: 'Yg==' }, 'Opaque', undefined])
    assert.is(
      (await ask(cluster, `POST ${v1}/configmaps`, { body: { metadata: { name: 'c' }, data: { a: 1 } } })).status,
      400
    )
    const about = (namespace: string): object => ({
      metadata: { name: 'e.1' },
      involvedObject: { kind: 'Gadget', name: 'one', namespace },
      reason: 'Synced'
    })
    assert.is((await ask(cluster, `POST ${v1}/events`, { body: about('other') })).status, 422)
    assert.is((await ask(cluster, `POST ${v1}/events`, { body: about('default') })).status, 201)
    assert.is(cluster.events().length, 1)
    assert.is(names(await ask(cluster, `GET ${v1}/events?fieldSelector=involvedObject.name%3Done`)).length, 1)
    assert.is((await ask(cluster, 'GET /api/v1/namespaces/kube-system')).body.metadata.uid, CLUSTER_UID)
    const nowhere = await ask(cluster, 'POST /apis/example.test/v1/namespaces/nowhere/gadgets', { body: gadget('x') })
    assert.is(nowhere.body.message, 'namespaces "nowhere" not found')
    const items = (await ask(cluster, `GET ${v1}/secrets`)).body.items
    assert.equal(
      items.map((item: { kind?: string }) => item.kind),
      [undefined],
      'items of core lists have no kind'
    )
    cluster.put({ ...gadget('there'), metadata: { name: 'there', namespace: 'other' } })
    assert.is((await ask(cluster, 'DELETE /api/v1/namespaces/other')).status, 200)
    assert.is(cluster.get('gd', 'other', 'there'), undefined)
  }))

test('tests may put what they like: times, statuses, and objects that no schema lets in', () =>
  withGadgets(async cluster => {
    const creationTimestamp = '2026-01-02T03:04:05Z'
    const one = cluster.put({
      ...gadget('one'),
      metadata: { name: 'one', creationTimestamp, generation: 5 },
      status: { state: 'Error' }
    })
    assert.equal(
      [one.metadata.creationTimestamp, one.metadata.generation, one['status']],
      [creationTimestamp, 5, { state: 'Error' }]
    )
    await rejects(async () => cluster.put(gadget('bad', {})))
    assert.equal(cluster.put(gadget('bad', { odd: 1 }), { raw: true })['spec'], { odd: 1 })
    cluster.amend('gd', { namespace: 'default', name: 'one' }, { uid: 'u-1' })
    assert.equal(
      [cluster.get('gd', 'default', 'one')!.metadata.uid, cluster.get('gd', 'default', 'one')!.metadata.generation],
      ['u-1', 5]
    )
    cluster.apply(
      'apiVersion: example.test/v1\nkind: Gadget\nmetadata: { name: two, namespace: b }\nspec: { path: u/b }\n---\n# nothing\n'
    )
    assert.equal(
      cluster.list('gadgets').map(({ metadata }) => metadata.name),
      ['two', 'bad', 'one']
    )
    cluster.forget()
    await ask(cluster, `GET ${PATH}`)
    assert.equal(cluster.writes(), [])
    assert.equal(
      cluster.requests.map(({ method, path }) => `${method} ${path}`),
      [`GET ${PATH}`]
    )
  }))

test('HTTPS with a certificate that its own CA vouches for', () =>
  withCluster({ crds: [GADGETS], tls: true }, async cluster => {
    assert.is((await ask(cluster, 'GET /version')).body.major, '1')
    const { ca: _ca, ...unknown } = cluster
    await rejects(ask({ ...unknown, ca: 'none' }, 'GET /version'))
  }))

test('discovery names all kinds of the project, plain and aggregated', () =>
  withCluster({}, async cluster => {
    const kinds = (await ask(cluster, 'GET /apis/windmill.dev/v1alpha1')).body.resources
    assert.is(kinds.filter((kind: { categories?: string[] }) => kind.categories?.includes('windmill')).length, 10)
    assert.ok(
      (await ask(cluster, 'GET /apis')).body.groups.some((group: { name: string }) => group.name === 'windmill.dev')
    )
    const headers = { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json' }
    const aggregated = await ask(cluster, 'GET /apis', { headers })
    assert.match(String(aggregated.headers['content-type']), 'as=APIGroupDiscoveryList')
    const group = aggregated.body.items.find(
      (item: { metadata: { name: string } }) => item.metadata.name === 'windmill.dev'
    )
    assert.is(group.versions[0].resources.length, 10)
    assert.is((await ask(cluster, 'GET /openapi/v3/apis/windmill.dev/v1alpha1')).status, 200)
  }))

const kubectl = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map(folder => join(folder, 'kubectl'))
  .find(existsSync)

test(
  kubectl ? 'the real kubectl works against it' : 'kubectl is not installed: its requests were played by hand above',
  async () => {
    if (!kubectl) return
    const crds = join(projectRoot(), 'crds')
    assert.ok(readdirSync(crds).length > 0)
    await withCluster({ crds: [GADGETS], tls: true }, async cluster => {
      const config = cluster.kubeconfig()
      const run = async (...words: string[]): Promise<string> =>
        (await promisify(execFile)(kubectl, ['--kubeconfig', config, `--cache-dir=${dirname(config)}`, ...words]))
          .stdout
      assert.match(await run('apply', '-f', crds), 'windmillvariables.windmill.dev created')
      cluster.put(gadget('one'))
      assert.match(await run('get', 'toys', '-A'), /^NAMESPACE +NAME +SIZE +READY +AGE\ndefault +one +3 /)
      assert.match(await run('annotate', 'gd', 'one', 'example.test/a=b'), 'annotated')
      assert.match(await run('create', 'secret', 'generic', 's', '--from-literal=a=b'), 'created')
      assert.equal(cluster.get('Secret', 'default', 's')!['data'], { a: 'Yg==' })
      assert.match(await run('describe', 'gd', 'one'), 'Path:  u/a')
      assert.match(await run('wait', '--for=condition=established', 'crd/gadgets.example.test'), 'condition met')
      assert.match(await run('delete', 'gd', 'one'), 'deleted')
      assert.is(cluster.get('gd', 'default', 'one'), undefined)
      await rejects(run('get', 'gd', 'one'))
    })
  }
)

test.run()
