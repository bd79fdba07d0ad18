/** Flows as they are stated: the faults with their places, what is stored, and what counts as the same flow. */
import { canonical } from '../src/fingerprint.ts'
import type { Json } from '../src/model.ts'
import type { Abilities } from '../src/windmill/flow-faults.ts'
import { comparableFlow, flowOf as wholeFlow } from '../src/windmill/flow-normal.ts'
import { flowShape } from '../src/windmill/flow-schema.ts'
import { type ReadFlow, readFlow } from '../src/windmill/flow-value.ts'
import { asWorkerStores } from './support/flow-worker.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('flow value')

const languages = ['python3', 'bun', 'bunnative', 'bash', 'postgresql']
const middle: Abilities = { generation: 'middle', languages }
const oldest: Abilities = { generation: 'oldest', languages }
const newest: Abilities = { generation: 'newest', languages: [...languages, 'dbt'] }

async function read(flow: unknown, abilities = middle, settings = {}): Promise<ReadFlow> {
  return readFlow({ flow: flow as Json, settings, root: 'value' }, await flowShape(), abilities)
}

async function failure(flow: unknown, abilities = middle, settings = {}): Promise<{ code: string; text: string }> {
  try {
    await read(flow, abilities, settings)
  } catch (error) {
    const { code, message } = error as Error & { code: string }
    return { code, text: message }
  }
  throw new Error('expected a fault')
}

const script = (id: string, more: object = {}): Record<string, unknown> => ({
  id,
  value: { type: 'rawscript', language: 'python3', content: 'def main(): pass', ...more }
})
const identity = (id: string, more: object = {}): Record<string, unknown> => ({
  id,
  value: { type: 'identity' },
  ...more
})
const flowOf = (...modules: unknown[]): Record<string, unknown> => ({ modules })

/** Flow, and what its only fault says. */
const traps: readonly (readonly [name: string, flow: unknown, fault: string])[] = [
  ['no object', [], 'value: must be an object with modules.'],
  ['a text', 'modules', 'value: must be an object with modules.'],
  ['no modules', {}, 'value.modules: missing; it is required.'],
  [
    'a whole flow file',
    { summary: 'x', value: { modules: [] } },
    'value.modules: missing; this is a whole flow file, give only what stands below its value.'
  ],
  ['a module that is none', flowOf(7), 'value.modules[0]: must be an object.'],
  ['no id', flowOf({ value: { type: 'identity' } }), 'value.modules[0].id: missing; it is required.'],
  ['an empty id', flowOf(identity('')), 'value.modules[0].id: must not be empty.'],
  [
    'an id twice, nested',
    flowOf(identity('a'), {
      id: 'b',
      value: { type: 'branchone', default: [], branches: [{ modules: [identity('a')] }] }
    }),
    'value.modules[1].value.branches[0].modules[0].id: the same as value.modules[0].id; ids are unique in a flow.'
  ],
  [
    'the id of a failure module twice',
    { modules: [identity('f')], failure_module: identity('f') },
    'value.failure_module.id: the same as value.modules[0].id; ids are unique in a flow.'
  ],
  [
    'preprocessor id',
    { modules: [], preprocessor_module: identity('pre') },
    'value.preprocessor_module.id: must be preprocessor.'
  ],
  [
    'reserved id',
    flowOf(identity('preprocessor')),
    'value.modules[0].id: preprocessor is reserved for the preprocessor_module; choose another id.'
  ],
  [
    'reserved failure',
    flowOf(identity('failure')),
    'value.modules[0].id: failure is reserved for the failure_module; choose another id.'
  ],
  ['no value', flowOf({ id: 'a' }), 'value.modules[0].value: missing; it is required.'],
  ['no type', flowOf({ id: 'a', value: {} }), 'value.modules[0].value.type: missing; it is required.'],
  [
    'a type of nobody',
    flowOf({ id: 'a', value: { type: 'Rawscript' } }),
    'value.modules[0].value.type: no type of Windmill.'
  ],
  ['a fraction', flowOf(identity('a', { cache_ttl: 5.5 })), 'value.modules[0].cache_ttl: must be a whole number.'],
  ['a text for a number', { modules: [], concurrent_limit: '5' }, 'value.concurrent_limit: must be a whole number.'],
  [
    'a fraction as timeout',
    flowOf(identity('a', { timeout: 1.5 })),
    'value.modules[0].timeout: must be a whole number.'
  ],
  [
    'beyond i32',
    { modules: [], concurrency_time_window_s: 2 ** 31 },
    'value.concurrency_time_window_s: must be at most 2147483647.'
  ],
  ['beyond i16', { modules: [], priority: 32_768 }, 'value.priority: must be at most 32767.'],
  [
    'retry beyond u16',
    flowOf(identity('a', { retry: { constant: { attempts: 1, seconds: 65_536 } } })),
    'value.modules[0].retry.constant.seconds: must be at most 65535.'
  ],
  [
    'retry without pause',
    flowOf(identity('a', { retry: { exponential: { attempts: 3, multiplier: 2, seconds: 0 } } })),
    'value.modules[0].retry.exponential.seconds: must be at least 1 when there are attempts.'
  ],
  [
    'stop without expr',
    flowOf(identity('a', { stop_after_if: { skip_if_stopped: true } })),
    'value.modules[0].stop_after_if.expr: missing; it is required.'
  ],
  [
    'mock without enabled',
    flowOf(identity('a', { mock: { return_value: 1 } })),
    'value.modules[0].mock.enabled: missing; it is required.'
  ],
  [
    'a worker’s type',
    flowOf({ id: 'a', value: { type: 'flowscript', id: 7 } }),
    'value.modules[0].value.type: flowscript is written by Windmill itself; take the flow from its editor or export.'
  ],
  [
    'a worker’s key',
    flowOf({ id: 'a', value: { type: 'whileloopflow', modules: [], modules_node: 7 } }),
    'value.modules[0].value.modules_node: is written by Windmill itself; take the flow from its editor or export.'
  ],
  [
    'a worker’s key in a branch',
    flowOf({ id: 'a', value: { type: 'branchall', branches: [{ modules: [], modules_node: 7 }] } }),
    'value.modules[0].value.branches[0].modules_node: is written by Windmill itself; take the flow from its editor or export.'
  ],
  [
    '!inline',
    flowOf(script('a', { content: '!inline a.py' })),
    'value.modules[0].value.content: !inline names a file; put its text here.'
  ],
  [
    '!inline lock',
    flowOf(script('a', { lock: '!inline a.lock' })),
    'value.modules[0].value.lock: !inline names a file; put its text here.'
  ],
  [
    'a path of nowhere',
    flowOf({ id: 'a', value: { type: 'script', path: 'x/y/z' } }),
    'value.modules[0].value.path: must begin with u/, f/, g/ or hub/.'
  ],
  [
    'a path of nowhere, failure',
    { modules: [], failure_module: { id: 'failure', value: { type: 'flow', path: '/f/a/b' } } },
    'value.failure_module.value.path: must begin with u/, f/, g/ or hub/.'
  ],
  [
    'a hash that is none',
    flowOf({ id: 'a', value: { type: 'script', path: 'f/a/b', hash: '12' } }),
    'value.modules[0].value.hash: must be 16 hexadecimal digits.'
  ],
  [
    'a transform of nobody',
    flowOf(script('a', { input_transforms: { x: { type: 'eval', expr: '1' } } })),
    'value.modules[0].value.input_transforms.x.type: no type of Windmill.'
  ],
  [
    'a transform without expr',
    flowOf(script('a', { input_transforms: { x: { type: 'javascript' } } })),
    'value.modules[0].value.input_transforms.x.expr: missing; it is required.'
  ],
  ['a sleep that is a number', flowOf(identity('a', { sleep: 5 })), 'value.modules[0].sleep: must be an object.'],
  [
    'NUL',
    flowOf(script('a', { content: 'a\0b' })),
    'value: the text holds a NUL character, which neither Windmill nor a job can use; remove it.'
  ]
]

for (const [name, flow, expected] of traps) {
  test(`refused: ${name}`, async () => {
    assert.equal(await failure(flow), { code: 'InvalidSpec', text: expected })
  })
}

test('all faults are told at once, ten by name', async () => {
  const { text } = await failure({
    modules: [identity(''), script('b', { path: 5 }), { id: 'c', value: { type: 'x' } }]
  })
  for (const place of ['modules[0].id', 'modules[1].value.path', 'modules[2].value.type'])
    assert.ok(text.includes(place), place)
  const many = await failure({ modules: Array.from({ length: 25 }, () => identity('')) })
  assert.match(many.text, /; and 15 more faults\.$/)
})

test('what a newer Windmill would take is told as such', async () => {
  const agent = flowOf({ id: 'a', value: { type: 'aiagent', tools: [], input_transforms: {} } })
  assert.equal(await failure(agent, oldest), {
    code: 'NotSupportedByWindmill',
    text: 'value.modules[0].value.type: this Windmill has no AI agents; upgrade it.'
  })
  assert.equal((await read(agent)).notes, [])
  const unknown = flowOf(script('a', { language: 'dbt' }))
  assert.equal(await failure(unknown), {
    code: 'NotSupportedByWindmill',
    text: 'value.modules[0].value.language: this Windmill does not know the language.'
  })
  assert.equal((await read(unknown, newest)).notes, [])
  const timed = flowOf(identity('a', { timeout: { type: 'static', value: 5 } }))
  assert.is((await failure(timed, oldest)).code, 'NotSupportedByWindmill')
  assert.equal((await read(timed)).notes, [])
  const asked = flowOf(script('a', { input_transforms: { x: { type: 'ai' } } }))
  assert.is(
    (await failure(asked)).text,
    'value.modules[0].value.input_transforms.x.type: this Windmill knows static and javascript only.'
  )
  assert.equal((await read(asked, newest)).notes, [])
})

test('what Windmill takes is taken, though the published schema is stricter', async () => {
  const flow = {
    modules: [
      { ...script('a', { lock: null }), summary: null },
      { id: 'b', value: { type: 'script', path: 'hub/1/x' }, timeout: 5, sleep: { type: 'javascript', expr: '1' } },
      { id: 'c', value: { type: 'forloopflow', iterator: { type: 'static', value: [] }, modules: [], parallelism: 3 } },
      { id: 'd', value: { type: 'branchone', branches: [{ modules: [] }], default: [] } },
      { id: 'e', value: { type: 'script', path: '' }, retry: { exponential: { random_factor: -5 } } },
      identity('f', { stop_after_if: { expr: 'true', skip_if_stopped: null }, suspend: { timeout: 60 } })
    ],
    same_worker: null
  }
  const { value, notes } = await read(flow)
  assert.equal(notes, ['value.modules[4].value.path: empty, so the step fails when it runs.'])
  assert.equal((value as { modules: object[] }).modules[5], {
    ...identity('f'),
    stop_after_if: { skip_if_stopped: false, expr: 'true' },
    suspend: { timeout: 60 }
  })
  assert.not.match(canonical(value), /null/)
})

test('a blank lock is left out, and bun’s TypeScript goes by its annotation', async () => {
  const { value, notes, comparable } = await read(
    flowOf(
      script('a', { lock: '' }),
      script('b', { lock: ' \n' }),
      script('c', { language: 'bun', content: '//native\nexport const main = () => 1', lock: 'given' }),
      script('d', { language: 'bunnative', content: 'export const main = () => 1' })
    )
  )
  assert.equal(notes, [
    'value.modules[0].value.lock, value.modules[1].value.lock: empty, so left out: Windmill makes the lock.'
  ])
  assert.equal(
    (value as { modules: { value: Record<string, unknown> }[] }).modules.map(({ value: { language, lock } }) => [
      language,
      lock
    ]),
    [
      ['python3', undefined],
      ['python3', undefined],
      ['bunnative', 'given'],
      ['bun', undefined]
    ]
  )
  assert.equal(comparable.locks, { c: 'given' })
})

test('unknown keys are kept and told, keys of newer releases too', async () => {
  const flow = { ...flowOf(script('a', { colour: 1 })), flow_env: { A: 'b' }, chat_input_enabled: true }
  const known = 'value.modules[0].value.colour: not known here; kept, but a Windmill that does not know it drops it.'
  const { value, notes, comparable } = await read(flow, oldest)
  assert.equal(value, flow)
  assert.equal(notes, [known, 'value.flow_env, value.chat_input_enabled: not known to this Windmill, which drops it.'])
  assert.equal((await read(flow, newest)).notes, [known])
  assert.equal(comparable.unknown, { 'value.modules[0].value': { colour: 1 } })
})

test('modules that no worker locks are told of', async () => {
  const flow = {
    modules: [],
    failure_module: script('failure'),
    preprocessor_module: script('preprocessor', { language: 'bash' })
  }
  assert.equal((await read(flow)).notes, [
    'value.failure_module: Windmill locks no such module, its dependencies are resolved at every run; give a lock.'
  ])
  assert.equal((await read(flow, newest)).notes, [])
  assert.equal((await read({ ...flow, failure_module: script('failure', { lock: 'x' }) })).notes, [])
})

test('settings of the spec go inside the value; a contradiction is a fault', async () => {
  const settings = {
    concurrencyLimit: 5,
    concurrencyTimeWindowS: 60,
    concurrencyKey: 'k',
    cacheSeconds: 9,
    priority: 3
  }
  const inside = { concurrent_limit: 5, concurrency_time_window_s: 60, concurrency_key: 'k', cache_ttl: 9, priority: 3 }
  assert.equal((await read({ modules: [] }, middle, settings)).value, { modules: [], ...inside })
  assert.equal((await read({ modules: [], ...inside }, middle, settings)).value, { modules: [], ...inside })
  assert.equal((await read({ modules: [], ...inside }, middle)).value, { modules: [], ...inside })
  assert.equal((await read({ modules: [] }, middle, { concurrencyLimit: 0, cacheSeconds: 0 })).value, { modules: [] })
  assert.equal(
    await failure({ modules: [], ...inside }, middle, { concurrencyLimit: 4, priority: 3, cacheSeconds: 0 }),
    {
      code: 'InvalidSpec',
      text: 'concurrencyLimit and value.concurrent_limit say different things; state one of the two; cacheSeconds and value.cache_ttl say different things; state one of the two.'
    }
  )
})

/** A small deterministic source of chance. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function randomFlow(seed: number): Record<string, unknown> {
  const roll = chance(seed)
  let last = 0
  const maybe = (key: string, value: unknown): object => (roll(3) === 0 ? { [key]: value } : {})
  const transform = (): object =>
    roll(2) === 0
      ? { type: 'static', ...maybe('value', [null, 5, { a: null, b: [1] }, 'ü'][roll(4)]) }
      : { type: 'javascript', expr: 'flow_input.x' }
  const inputs = (): object => maybe('input_transforms', { z: transform(), a: transform() })
  const list = (depth: number): object[] => Array.from({ length: roll(4) }, () => module(depth))
  const values: ((depth: number) => object)[] = [
    () => ({ type: 'identity' }),
    () => ({ type: 'script', path: 'f/a/b', ...inputs(), ...maybe('hash', '00000000000000ff') }),
    () => ({ type: 'flow', path: 'f/a/c', ...inputs() }),
    () => ({
      type: 'rawscript',
      language: ['python3', 'bun', 'bunnative', 'bash'][roll(4)],
      content: ['//native\nx', 'x'][roll(2)],
      ...inputs(),
      ...maybe('lock', ['given', ''][roll(2)]),
      ...maybe('tag', 'x')
    }),
    depth => ({
      type: 'forloopflow',
      iterator: transform(),
      modules: list(depth),
      ...maybe('parallel', roll(2) === 0),
      ...maybe('skip_failures', roll(2) === 0),
      ...maybe('parallelism', 2)
    }),
    depth => ({ type: 'whileloopflow', modules: list(depth), ...maybe('skip_failures', roll(2) === 0) }),
    depth => ({
      type: 'branchone',
      default: list(depth),
      branches: [{ modules: list(depth), ...maybe('expr', 'true') }]
    }),
    depth => ({
      type: 'branchall',
      branches: [{ modules: list(depth), ...maybe('skip_failure', roll(2) === 0) }],
      ...maybe('parallel', roll(2) === 0)
    })
  ]
  const module = (depth: number): object => ({
    id: `m${++last}`,
    value: { ...values[roll(depth > 2 ? 4 : values.length)]?.(depth + 1), ...maybe('unheard_of', { a: 1 }) },
    ...maybe('summary', 'S'),
    ...maybe('timeout', roll(100)),
    ...maybe(
      'retry',
      [{ constant: { attempts: 2, seconds: 1 } }, { exponential: { attempts: 1, seconds: 5 } }, {}][roll(3)]
    ),
    ...maybe('stop_after_if', { expr: 'x', ...maybe('skip_if_stopped', roll(2) === 0) }),
    ...maybe('suspend', { required_events: 1, timeout: 60 }),
    ...maybe('continue_on_error', roll(2) === 0),
    ...maybe('mock', { enabled: true }),
    ...maybe('unheard_of', [1])
  })
  return {
    modules: list(0),
    ...maybe('failure_module', { id: 'failure', value: values[3]?.(3) }),
    ...maybe('cache_ttl', 5),
    ...maybe('unheard_of', true)
  }
}

test('a worker’s rewriting changes nothing that is compared, and comparing is idempotent', async () => {
  let scripts = 0
  for (let seed = 1; seed <= 600; seed++) {
    const given = await read(randomFlow(seed))
    const rewritten = asWorkerStores(given.value as Record<string, unknown>) as Json
    const there = comparableFlow(rewritten)
    assert.is(canonical(there.value), canonical(given.comparable.value), `seed ${seed}`)
    assert.equal(there.unknown, {})
    for (const [id, lock] of Object.entries(given.comparable.locks)) assert.is(there.locks[id], lock, `seed ${seed}`)
    scripts += Object.keys(there.locks).length
    const again = await read(wholeFlow(given.comparable))
    assert.is(canonical({ ...again.comparable }), canonical({ ...given.comparable }), `seed ${seed}`)
    for (const one of [given.value, rewritten]) {
      const once = comparableFlow(one).value
      assert.is(canonical(comparableFlow(once).value), canonical(once), `seed ${seed}`)
    }
  }
  assert.ok(scripts > 500, `only ${scripts} locked scripts were tried`)
})

test('every change that means something is a difference', async () => {
  const base = {
    modules: [
      script('a', { input_transforms: { x: { type: 'static', value: 1 } } }),
      { id: 'l', value: { type: 'forloopflow', iterator: { type: 'static', value: [] }, modules: [] } }
    ]
  }
  const same = comparableFlow(base as Json)
  const changed = (
    change: (flow: {
      modules: { id: string; value: Record<string, unknown>; [key: string]: unknown }[]
      [key: string]: unknown
    }) => void
  ): string => {
    const copy = structuredClone(base) as never
    change(copy)
    return canonical(comparableFlow(copy).value)
  }
  const [first, second] = [0, 1] as const
  const at = (flow: { modules: { value: Record<string, unknown> }[] }, n: number): Record<string, unknown> =>
    flow.modules[n]?.value ?? {}
  const changes = [
    changed(flow => Object.assign(at(flow, first), { content: 'def main(): return 1' })),
    changed(flow => Object.assign(at(flow, first), { language: 'bash' })),
    changed(flow => Object.assign(at(flow, first), { input_transforms: { x: { type: 'static', value: 2 } } })),
    changed(flow =>
      Object.assign(at(flow, first), { input_transforms: { x: { type: 'static', value: { a: null } } } })
    ),
    changed(flow => Object.assign(at(flow, second), { skip_failures: false })),
    changed(flow => Object.assign(at(flow, second), { parallel: true })),
    changed(flow => Object.assign(flow.modules[0] ?? {}, { id: 'b' })),
    changed(flow => Object.assign(flow.modules[0] ?? {}, { summary: '' })),
    changed(flow => flow.modules.reverse()),
    changed(flow => Object.assign(flow, { same_worker: true })),
    changed(flow => Object.assign(flow, { cache_ttl: 1 }))
  ]
  assert.is(new Set([canonical(same.value), ...changes]).size, changes.length + 1)
})

test('garbage in the database is compared without a complaint', () => {
  const garbage: Json[] = [
    null,
    7,
    'x',
    [],
    [null],
    {},
    { modules: null },
    { modules: [null, 7, [], { id: 1, value: [] }, { value: { type: 'branchone', branches: [null, 1], default: {} } }] }
  ]
  const odd = JSON.parse(
    '{"modules":[{"id":"__proto__","value":{"type":"constructor","__proto__":{"a":1},"input_transforms":{"__proto__":5}}}],"__proto__":{"x":1},"failure_module":"no"}'
  ) as Json
  for (const one of [...garbage, odd]) {
    const once = comparableFlow(one)
    assert.is(canonical(comparableFlow(once.value).value), canonical(once.value))
  }
  assert.ok(Object.hasOwn(comparableFlow(odd).unknown['value'] ?? {}, '__proto__'))
})

test.run()
