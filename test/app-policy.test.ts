/** The policy of an app: what it may run, with which arguments, and which files it may touch (flows-and-apps B3). */
import { createHash } from 'node:crypto'
import type { Json } from '../src/model.ts'
import { policyFor } from '../src/windmill/app-policy.ts'
import type { JsonObject } from '../src/windmill/json-values.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('app policy')

const sha = (text: string): string => createHash('sha256').update(text).digest('hex')
const principal = { onBehalfOf: 'u/iac', email: 'iac@cluster.local' }
const code = 'export async function main(x: string) { return x }\r\n'

const inline = (content = code, extra: JsonObject = {}): JsonObject => ({
  type: 'runnableByName',
  name: 'Inline',
  inlineScript: { content, language: 'deno', path: 'f/a/b/Inline', ...extra }
})
const byPath = (runType: string, path: string): JsonObject => ({ type: 'runnableByPath', runType, path })
const run = (runnable: JsonObject, fields: JsonObject = {}): JsonObject => ({
  componentInput: { type: 'runnable', runnable, fields }
})
const item = (id: string, type: string, data: JsonObject = {}): JsonObject => ({ id, data: { id, type, ...data } })
const app = (...grid: Json[]): JsonObject => ({ grid, subgrids: {}, hiddenInlineScripts: [] })
const entry = (fixed: JsonObject = {}, oneOf: JsonObject = {}, users: readonly string[] = []): JsonObject => ({
  static_inputs: fixed,
  one_of_inputs: oneOf,
  allow_user_resources: users
})
const triggerables = (value: Json, stated?: JsonObject): unknown =>
  policyFor(value, stated, principal).policy['triggerables_v2']
const select = (id: string, type: string, items: Json, extra: JsonObject = {}): JsonObject =>
  item(id, type, { configuration: { items: { type: 'static', value: items }, ...extra } })
const link = (component: string, output = 'result'): JsonObject => ({
  type: 'evalv2',
  expr: `${component}.${output}`,
  connections: [{ componentId: component, id: output }]
})

/** Name, value, expected triggerables_v2. */
const runs: readonly (readonly [name: string, value: Json, expected: JsonObject])[] = [
  ['an app that runs nothing', app(item('a', 'textcomponent')), {}],
  ['an input that is no runnable', app(item('a', 'textcomponent', { componentInput: { type: 'static' } })), {}],
  [
    'inline code, hashed byte for byte',
    app(item('a', 'buttoncomponent', run(inline()))),
    { [`a:rawscript/${sha(code)}`]: entry() }
  ],
  [
    'inline code with letters beyond ASCII',
    app(item('a', 'buttoncomponent', run(inline('# Grüße 🦀\n')))),
    { [`a:rawscript/${sha('# Grüße 🦀\n')}`]: entry() }
  ],
  [
    'a named runnable without a script yet',
    app(item('a', 'buttoncomponent', run({ type: 'runnableByName', name: 'x' }))),
    { [`a:rawscript/${sha('')}`]: entry() }
  ],
  [
    'the newer names of both kinds of runnables',
    app(
      item('a', 'buttoncomponent', run({ ...inline('x'), type: 'inline' })),
      item('b', 'buttoncomponent', run({ type: 'path', runType: 'script', path: 'f/a/s' }))
    ),
    { [`a:rawscript/${sha('x')}`]: entry(), 'b:script/f/a/s': entry() }
  ],
  ['a script', app(item('a', 'displaycomponent', run(byPath('script', 'f/a/s')))), { 'a:script/f/a/s': entry() }],
  ['a flow', app(item('a', 'displaycomponent', run(byPath('flow', 'f/a/f')))), { 'a:flow/f/a/f': entry() }],
  [
    'a script of the hub, which counts as a script',
    app(item('a', 'displaycomponent', run(byPath('hubscript', 'hub/1/x')))),
    { 'a:script/hub/1/x': entry() }
  ],
  ['a runnable of no known type', app(item('a', 'displaycomponent', run({ type: 'other', path: 'f/a/b' }))), {}],
  ['a path of no known type', app(item('a', 'displaycomponent', run(byPath('app', 'f/a/b')))), {}],
  [
    'code for the browser, which gets an entry too',
    app(item('a', 'buttoncomponent', run(inline('x', { language: 'frontend' })))),
    { [`a:rawscript/${sha('x')}`]: entry() }
  ],
  [
    'components in subgrids',
    {
      grid: [item('t', 'tabscomponent')],
      subgrids: { 't-0': [item('a', 'x', run(byPath('flow', 'f/a/f')))], 't-1': [] }
    },
    { 'a:flow/f/a/f': entry() }
  ],
  ...(
    [
      ['tablecomponent', 'actionButtons'],
      ['aggridcomponent', 'actions'],
      ['aggridcomponentee', 'actions'],
      ['aggridinfinitecomponent', 'actions'],
      ['aggridinfinitecomponentee', 'actions'],
      ['menucomponent', 'menuItems']
    ] as const
  ).map(
    ([type, member]) =>
      [
        `what the ${member} of a ${type} run`,
        app(
          item('a', type, {
            ...run(byPath('script', 'f/a/rows')),
            [member]: [
              { id: 'a_0', type: 'buttoncomponent', ...run(inline('x'), { n: { type: 'static', value: 1 } }) },
              { id: 'a_1', type: 'buttoncomponent', componentInput: { type: 'static' } },
              null
            ]
          })
        ),
        { 'a:script/f/a/rows': entry(), [`a_0:rawscript/${sha('x')}`]: entry({ n: 1 }) }
      ] as const
  ),
  ['actions that are no list', app(item('a', 'aggridcomponent', { actions: { type: 'evalv2' } })), {}],
  [
    'actions of a component that has none',
    app(item('a', 'textcomponent', { actions: [{ id: 'b', ...run(byPath('flow', 'f/a/f')) }] })),
    {}
  ],
  [
    'hidden scripts by their slot, deleted ones counted',
    {
      grid: [],
      hiddenInlineScripts: [
        { ...inline('zero'), fields: { q: { type: 'static', value: null } } },
        { hidden: true },
        null,
        { ...byPath('flow', 'f/a/f'), fields: {} }
      ]
    },
    { [`bg_0:rawscript/${sha('zero')}`]: entry({ q: null }), 'bg_3:flow/f/a/f': entry() }
  ],
  [
    'static inputs of any value, and nothing else',
    app(
      item(
        'a',
        'buttoncomponent',
        run(byPath('script', 'f/a/s'), {
          text: { type: 'static', value: 'x' },
          list: { type: 'static', value: [1, { a: null }] },
          none: { type: 'static' },
          zero: { type: 'static', value: 0 },
          typed: { type: 'user', value: 'typed' },
          linked: link('b')
        })
      )
    ),
    { 'a:script/f/a/s': entry({ text: 'x', list: [1, { a: null }], zero: 0 }) }
  ],
  [
    'fields in which users may name resources',
    app(
      item(
        'a',
        'buttoncomponent',
        run(byPath('script', 'f/a/s'), {
          db: { type: 'user', allowUserResources: true },
          other: { type: 'user', allowUserResources: false }
        })
      )
    ),
    { 'a:script/f/a/s': entry({}, {}, ['db']) }
  ],
  ...(
    [
      ['selectcomponent', [{ label: 'A', value: 'a' }, { value: '' }, { label: 'no value' }, 'b'], ['a']],
      ['resourceselectcomponent', [{ value: '$res:f/a/r' }], ['$res:f/a/r']],
      ['multiselectcomponent', ['a', '', 2], ['a', '', 2]],
      ['multiselectcomponentv2', ['a', 'b'], ['a', 'b']]
    ] as const
  ).map(
    ([type, items, expected]) =>
      [
        `the choices of a ${type}`,
        app(select('s', type, items), item('a', 'buttoncomponent', run(byPath('flow', 'f/a/f'), { x: link('s') }))),
        { 'a:flow/f/a/f': entry({}, { x: expected }) }
      ] as const
  ),
  [
    'no choices where users may make their own, are not connected just so, or nothing is listed',
    app(
      select('own', 'selectcomponent', [{ value: 'a' }], { create: { type: 'static', value: true } }),
      select('fixed', 'selectcomponent', [{ value: 'a' }], { create: { type: 'static', value: false } }),
      item('eval', 'selectcomponent', { configuration: { items: { type: 'evalv2', expr: '[]' } } }),
      select('text', 'textinputcomponent', [{ value: 'a' }]),
      select('odd', 'selectcomponent', 'a'),
      item(
        'a',
        'buttoncomponent',
        run(byPath('flow', 'f/a/f'), {
          own: link('own'),
          fixed: link('fixed'),
          eval: link('eval'),
          text: link('text'),
          odd: link('odd'),
          gone: link('gone'),
          other: { ...link('fixed'), expr: 'fixed.result + 1' },
          two: {
            ...link('fixed'),
            connections: [...(link('fixed')['connections'] as Json[]), { componentId: 'b', id: 'x' }]
          },
          user: { ...link('fixed'), type: 'user' }
        })
      )
    ),
    { 'a:flow/f/a/f': entry({}, { fixed: ['a'] }) }
  ],
  [
    'a resource select whose create flag means nothing',
    app(
      select('s', 'resourceselectcomponent', [{ value: 'r' }], { create: { type: 'static', value: true } }),
      item('a', 'buttoncomponent', run(byPath('flow', 'f/a/f'), { x: link('s') }))
    ),
    { 'a:flow/f/a/f': entry({}, { x: ['r'] }) }
  ],
  ['no app at all', null, {}],
  ['a list', [1, 2], {}],
  [
    'an app whose parts are anything',
    {
      grid: [null, 1, { id: 1, data: {} }, { id: 'a' }, { id: 'a', data: [] }],
      subgrids: [1],
      hiddenInlineScripts: 'x'
    },
    {}
  ],
  [
    'subgrids that are no lists',
    { grid: 'x', subgrids: { a: null, b: { id: 'x' } }, hiddenInlineScripts: { a: null } },
    {}
  ]
]

for (const [name, value, expected] of runs) {
  test(`entries of ${name}`, () => {
    assert.equal(triggerables(value), expected)
  })
}

const upload = (s3: Json): JsonObject =>
  item('u', 's3fileinputcomponent', { configuration: { type: { selected: 's3', configuration: { s3 } } } })
const rule = (members: JsonObject = {}): JsonObject => ({
  allow_workspace_resource: true,
  allowed_resources: [],
  allow_user_resources: false,
  file_key_regex: '^.*$',
  ...members
})
const template = (expr: string, connections: Json = []): JsonObject => ({
  pathTemplate: { type: 'evalv2', expr, connections }
})
const byForm = rule({ file_key_regex: '' })
const file = { type: 'object', format: 'resource-s3_object' }

/** Name, value, expected s3_inputs. */
const uploads: readonly (readonly [name: string, value: Json, expected: Json])[] = [
  ['no upload', app(), []],
  ['nothing configured', app(item('u', 's3fileinputcomponent')), [rule()]],
  ['an empty resource', app(upload({ resource: { type: 'static', value: '' } })), [rule()]],
  [
    'a fixed resource',
    app(upload({ resource: { type: 'static', value: '$res:f/a/s3' } })),
    [rule({ allow_workspace_resource: false, allowed_resources: ['f/a/s3'] })]
  ],
  [
    'a resource out of a select',
    app(
      upload({ resource: link('s') }),
      select('s', 'resourceselectcomponent', [{ value: '$res:f/a/x' }, { value: 1 }])
    ),
    [rule({ allow_workspace_resource: false, allowed_resources: ['f/a/x'] })]
  ],
  [
    'any resource of the user',
    app(upload({ resource: { ...link('s'), allowUserResources: true } })),
    [rule({ allow_workspace_resource: false, allow_user_resources: true })]
  ],
  [
    'a fixed key, escaped',
    app(upload({ pathTemplate: { type: 'static', value: 'a+b/(c).$' } })),
    [rule({ file_key_regex: '^a\\+b/\\(c\\)\\.\\$$' })]
  ],
  ['a key with the name', app(upload(template('`in.d/${file.name}`'))), [rule({ file_key_regex: '^in\\.d/[^/]+$' })]],
  ['a key with more', app(upload(template('`${ctx.email}/${file.name}`'))), [rule()]],
  ['a key that is computed', app(upload(template('a.result + "x"'))), [rule()]],
  ['a key that is connected', app(upload(template('`${file.name}`', [{ componentId: 'a', id: 'b' }]))), [rule()]],
  ['a key that begins outside of its quotes', app(upload(template("${file.name}'x'"))), [rule()]],
  [
    'a form by its schema',
    app(item('f', 'schemaformcomponent', { componentInput: { type: 'static', value: { properties: { f: file } } } })),
    [byForm]
  ],
  [
    'a form by its script',
    app(item('f', 'formcomponent', run(inline('x', { schema: { properties: { f: file } } })))),
    [byForm]
  ],
  [
    'a form by the schema of what it runs, and an upload',
    app(
      upload({}),
      item(
        'f',
        'formbuttoncomponent',
        run({
          ...byPath('flow', 'f/a/f'),
          schema: { properties: { n: { type: 'string' }, l: { type: 'array', items: { resourceType: 's3object' } } } }
        })
      )
    ),
    [rule(), byForm]
  ],
  [
    'a form without files, a button with one',
    app(
      item('f', 'formcomponent', run(inline('x', { schema: { properties: { f: { type: 'object' } } } }))),
      item('b', 'buttoncomponent', run(inline('x', { schema: { properties: { f: file } } })))
    ),
    []
  ]
]

for (const [name, value, expected] of uploads) {
  test(`uploads: ${name}`, () => {
    assert.equal(policyFor(value, undefined, principal).policy['s3_inputs'], expected)
  })
}

test('files that are shown may be read, whatever component shows them', () => {
  const shown = (id: string, type: string, source: Json, extra: JsonObject = {}): JsonObject =>
    item(id, type, { configuration: { source, ...extra } })
  const value = app(
    shown('a', 'imagecomponent', { type: 'uploadS3', value: { s3: 'a/b.png', storage: 'second' } }),
    shown('b', 'pdfcomponent', { type: 'static', value: 's3://a/b.pdf' }),
    shown('c', 'downloadcomponent', { type: 'static', value: { s3: 'c.zip' } }),
    shown(
      'd',
      'imagecomponent',
      { type: 'static', value: 'd.png' },
      {
        sourceKind: { type: 'static', value: 's3 (workspace storage)' }
      }
    ),
    shown('e', 'imagecomponent', { type: 'static', value: 'https://example.com/e.png' }),
    shown('f', 'imagecomponent', { type: 'evalv2', expr: 'a.b' }),
    shown('g', 'textcomponent', { type: 'static', value: 's3://g' }),
    item('h', 'imagecomponent')
  )
  assert.equal(policyFor(value, undefined, principal).policy['allowed_s3_keys'], [
    { s3_path: 'a/b.png', storage: 'second' },
    { s3_path: 'a/b.pdf' },
    { s3_path: 'c.zip' },
    { s3_path: 'd.png' }
  ])
})

test('a policy that nobody stated: publisher, complete, nothing null', () => {
  const { policy, notes } = policyFor(app(), undefined, principal)
  assert.equal(policy, {
    execution_mode: 'publisher',
    on_behalf_of: 'u/iac',
    on_behalf_of_email: 'iac@cluster.local',
    triggerables_v2: {},
    s3_inputs: [],
    allowed_s3_keys: []
  })
  assert.equal(notes, [])
})

const button = app(item('a', 'buttoncomponent', run(inline(), { n: { type: 'static', value: 1 } })))
const now = `a:rawscript/${sha(code)}`

test('only the mode is stated: the rest is computed', () => {
  const { policy, notes } = policyFor(button, { execution_mode: 'anonymous', sandbox: true }, principal)
  assert.equal(policy, {
    execution_mode: 'anonymous',
    sandbox: true,
    on_behalf_of: 'u/iac',
    on_behalf_of_email: 'iac@cluster.local',
    triggerables_v2: { [now]: entry({ n: 1 }) },
    s3_inputs: [],
    allowed_s3_keys: []
  })
  assert.equal(notes, [])
})

test('a stale hash is set right, what the entry says is kept (trap 18)', () => {
  const stated = { [`a:rawscript/${sha('old')}`]: { static_inputs: { n: 7 }, one_of_inputs: {}, tag: 'gpu' } }
  assert.equal(triggerables(button, { execution_mode: 'viewer', triggerables_v2: stated }), {
    [now]: { static_inputs: { n: 7 }, one_of_inputs: {}, allow_user_resources: [], tag: 'gpu' }
  })
})

test('an entry that fits stands, and so do entries of others', () => {
  const stated = {
    [now]: entry({ n: 2 }),
    [`a:rawscript/${sha('old')}`]: entry(),
    'z:script/f/a/b': entry(),
    [`gone:rawscript/${sha('x')}`]: entry()
  }
  assert.equal(triggerables(button, { triggerables_v2: stated }), stated)
})

test('members that Windmill requires are filled in, with what the component has (traps 17, 20)', () => {
  const stated = { triggerables_v2: { [now]: {}, 'z:script/f/a/b': {} }, allowed_s3_keys: null, s3_inputs: null }
  const { policy } = policyFor(button, stated, principal)
  assert.equal(policy['triggerables_v2'], { [now]: entry({ n: 1 }), 'z:script/f/a/b': entry() })
  assert.equal(policy['allowed_s3_keys'], [])
  assert.is(policy['s3_inputs'], null)
})

test('the older form of entries is taken over', () => {
  const stated = {
    triggerables: { [now]: { n: 3 }, 'script/f/a/b': { x: 1 } },
    triggerables_v2: { [now]: entry({ n: 4 }) }
  }
  const { policy } = policyFor(button, stated, principal)
  assert.equal(policy['triggerables_v2'], { [now]: entry({ n: 4 }), 'script/f/a/b': entry({ x: 1 }) })
  assert.not('triggerables' in policy)
})

test('a component without an entry is pointed out, unless an entry covers all or viewers run as themselves', () => {
  const note = (stated: JsonObject): readonly string[] => policyFor(button, stated, principal).notes
  assert.equal(note({ triggerables_v2: {} }), [
    'policy.triggerables_v2: no entry for a, which Windmill will therefore not run.'
  ])
  assert.equal(note({ triggerables_v2: { [`rawscript/${sha(code)}`]: entry() } }), [])
  assert.equal(note({ execution_mode: 'viewer', triggerables_v2: {} }), [])
})

test('a database explorer needs the entries that the editor made', () => {
  const explorer = app(item('d', 'dbexplorercomponent', { configuration: {} }), item('a', 'x', run(inline())))
  for (const stated of [undefined, { execution_mode: 'viewer' }]) {
    assert.throws(() => policyFor(explorer, stated, principal), /^.*database explorer \(d\).*triggerables_v2/)
  }
  const stated = {
    [`d:rawscript/${sha('select')}`]: entry(),
    [`d_count:rawscript/${sha('count')}`]: entry(),
    [`a:rawscript/${sha('old')}`]: entry()
  }
  assert.equal(triggerables(explorer, { triggerables_v2: stated }), {
    [`d:rawscript/${sha('select')}`]: entry(),
    [`d_count:rawscript/${sha('count')}`]: entry(),
    [now]: entry()
  })
  assert.equal(policyFor(explorer, { triggerables_v2: { [now]: entry() } }, principal).notes, [
    'policy.triggerables_v2: no entry for d, which Windmill will therefore not run.'
  ])
})

test('what Windmill could not read is refused by name', () => {
  const cases: readonly (readonly [stated: JsonObject, message: RegExp])[] = [
    [{ execution_mode: 'everybody' }, /^policy\.execution_mode: must be publisher, viewer or anonymous\.$/],
    [{ execution_mode: 1 }, /^policy\.execution_mode: /],
    [{ triggerables_v2: [] }, /^policy\.triggerables_v2: must be an object\.$/],
    [{ triggerables_v2: { [now]: null } }, /^policy\.triggerables_v2: a:rawscript.*must be an object\.$/],
    [{ triggerables_v2: { [now]: { static_inputs: [] } } }, /static_inputs: must be an object\.$/],
    [{ triggerables_v2: { [now]: { one_of_inputs: 1 } } }, /one_of_inputs: must be an object\.$/],
    [{ triggerables_v2: { [now]: { allow_user_resources: 'x' } } }, /allow_user_resources must be a list\.$/],
    [{ triggerables: 'x' }, /^policy\.triggerables: must be an object\.$/],
    [{ triggerables: { 'script/a': 1 } }, /^policy\.triggerables: script\/a: must be an object\.$/],
    [{ s3_inputs: {} }, /^policy\.s3_inputs: .*allowed_resources.*file_key_regex\.$/],
    [{ s3_inputs: [{ allowed_resources: [] }] }, /^policy\.s3_inputs: .*allow_user_resources/],
    [{ allowed_s3_keys: [{}] }, /^policy\.allowed_s3_keys: .*s3_path\.$/],
    [{ allowed_s3_keys: 'x' }, /^policy\.allowed_s3_keys: /]
  ]
  for (const [stated, message] of cases) {
    try {
      policyFor(button, stated, principal)
      assert.unreachable(JSON.stringify(stated))
    } catch (error) {
      assert.is((error as { code?: string }).code, 'InvalidSpec')
      assert.match((error as Error).message, message)
    }
  }
})

test('the policy of a policy is the policy', () => {
  for (const [, value] of [...runs, ...uploads]) {
    const { policy } = policyFor(value, undefined, principal)
    assert.equal(policyFor(value, policy, principal).policy, policy)
  }
})

test.run()
