/** Values of apps: what is stored, what is refused, and that a worker's rewriting is no difference. */
import { canonical } from '../src/fingerprint.ts'
import type { Json } from '../src/model.ts'
import { withLiveLocks } from '../src/windmill/app-locks.ts'
import { comparableApp, storedApp } from '../src/windmill/app-value.ts'
import { isObject, type JsonObject } from '../src/windmill/json-values.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('app value')

const script = (members: JsonObject = {}): JsonObject => ({ content: 'x', language: 'python3', ...members })
const button = (id: string, inlineScript: Json): JsonObject => ({
  id,
  data: { id, type: 'buttoncomponent', componentInput: { type: 'runnable', runnable: { inlineScript } } }
})
const app = (inlineScript: Json = script()): JsonObject => ({ grid: [button('a', inlineScript)], subgrids: {} })

test('the order of keys stays as it is', () => {
  const text = '{"zeta":1,"grid":[{"id":"b","data":{"z":1,"a":{"y":2,"b":3}}}],"alpha":{"order":["z","a"]},"css":{}}'
  assert.is(JSON.stringify(storedApp('value', JSON.parse(text), undefined).value), text)
})

test('locks stay where they stand; empty ones go, since they are worse than none (trap 8)', () => {
  const given = app(script({ lock: 'a==1', path: 'p' }))
  assert.is(canonical(storedApp('value', given, undefined).value), canonical(given))
  for (const lock of ['', ' \n', null]) {
    const { value, notes } = storedApp('value', app(script({ lock })), undefined)
    assert.is(canonical(value), canonical(app()))
    assert.equal(notes, [])
  }
})

test('what only the worker writes is left out and it is said', () => {
  const { value, notes } = storedApp('value', { ...app(script({ id: 7 })), version: 3 }, undefined)
  assert.equal(value, app())
  assert.equal(notes, ["value: inlineScript.id and version left out, which only Windmill's worker writes."])
})

test('the CSS becomes the theme of the app, where its editor keeps it; `css` is another thing', () => {
  const css = '.x { color: red }'
  const { value, notes } = storedApp('value', { ...app(), css: { buttoncomponent: {} } }, css)
  assert.equal(value['theme'], { type: 'inlined', css })
  assert.equal(value['css'], { buttoncomponent: {} })
  assert.equal(notes, [])
  const themed = (theme: Json) => storedApp('value', { ...app(), theme }, css)
  assert.equal(themed({ type: 'path', path: 'f/app_themes/theme_0' }).notes, [])
  assert.equal(themed({ type: 'path', path: 'f/a/dark' }).notes, [
    'customCss: takes the place of the theme f/a/dark, because an app has one CSS text.'
  ])
  assert.equal(themed({ type: 'inlined', css }).value['theme'], { type: 'inlined', css })
  assert.throws(() => themed({ type: 'inlined', css: 'other' }), /^.*customCss: value\.theme holds another CSS text/)
  assert.equal(storedApp('value', app(), '').value['theme'], { type: 'inlined', css: '' })
})

test('what Windmill could not run is refused, with the place', () => {
  const at = 'value: grid\\.0\\.data\\.componentInput\\.runnable\\.inlineScript: '
  const cases: readonly (readonly [value: Json, message: string, code?: string])[] = [
    [[], 'value: an app is an object'],
    ['text', 'value: an app is an object'],
    [null, 'value: an app is an object'],
    [{ files: { '/index.tsx': '' }, runnables: {} }, 'value: this is a raw app', 'NotSupportedByWindmill'],
    [{ runnables: {} }, 'value: this is a raw app', 'NotSupportedByWindmill'],
    [app({ language: 'python3' }), `${at}an inline script needs its code`],
    [app({ content: 1, language: 'frontend' }), `${at}an inline script needs its code`],
    [app(script({ content: '!inline button.py' })), `${at}content is a reference to a file`],
    [app(script({ lock: '!inline button.lock' })), `${at}lock is a reference to a file`],
    [app(script({ lock: { a: 1 } })), `${at}lock must be a text`],
    [app(script({ content: '', id: 12 })), `${at}this is Windmill's reduced form`],
    [{ grid: [], hiddenInlineScripts: [{ inlineScript: {} }] }, 'value: hiddenInlineScripts\\.0\\.inlineScript: ']
  ]
  for (const [value, message, code = 'InvalidSpec'] of cases) {
    try {
      storedApp('value', value, undefined)
      assert.unreachable(JSON.stringify(value))
    } catch (error) {
      assert.is((error as { code?: string }).code, code)
      assert.match((error as Error).message, new RegExp(`^${message}`))
    }
  }
  assert.equal(storedApp('value', app({ language: 'frontend' }), undefined).notes, [])
  assert.equal(storedApp('value', { grid: [], files: {} }, undefined).notes, [])
})

test('locks are compared apart, by the component that they belong to', () => {
  const value = {
    grid: [
      button('a', script({ lock: 'one' })),
      button('b', script({ lock: '' })),
      { id: 't', data: { actionButtons: [{ id: 't_0', x: { inlineScript: script({ lock: 'two' }) } }] } }
    ],
    hiddenInlineScripts: [null, { inlineScript: script({ lock: 'three' }) }],
    unusedInlineScripts: [{ name: 'old', inlineScript: script({ lock: 'four' }) }]
  }
  const { value: bare, ...locks } = comparableApp(value)
  assert.equal(locks, {
    'lock.a': 'one',
    'lock.t_0': 'two',
    'lock.bg_1': 'three',
    'lock.@unusedInlineScripts.0.inlineScript': 'four'
  })
  assert.not(JSON.stringify(bare).includes('lock'))
  const twice = { grid: [button('a', script({ lock: '1' })), button('a', script())] }
  const place = 'grid.0.data.componentInput.runnable.inlineScript'
  assert.equal({ ...comparableApp(twice), value: null }, { [`lock.a@${place}`]: '1', value: null })
})

/** A small generator of its own: the same values every time. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296
    return state / 4294967296
  }
}

/** Any JSON, apps and ruins of apps among it. */
function anyJson(next: () => number, depth = 0): Json {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  const kind = depth > 5 ? 0 : Math.floor(next() * 7)
  if (kind === 0) return pick<Json>([null, true, 0, -1.5, '', 'a', 'bun', '!inline', 'grid'])
  if (kind === 1) return Array.from({ length: Math.floor(next() * 4) }, () => anyJson(next, depth + 1))
  if (kind === 2) {
    const languages = ['bun', 'bunnative', 'python3', 'frontend', 'deno', 7]
    return {
      inlineScript: pick<Json>([
        null,
        'x',
        { content: pick<Json>(['x', '', null]), language: pick(languages), lock: pick<Json>([null, '', ' ', 'l', 1]) },
        { language: pick(languages), id: 4, lock: anyJson(next, depth + 2) }
      ]),
      ...(next() < 0.5 && { id: pick(['a', 'b', 'c']) })
    }
  }
  const keys = ['id', 'grid', 'subgrids', 'hiddenInlineScripts', 'data', 'version', 'lock', '__proto__', '3', 'x']
  const members = Array.from({ length: Math.floor(next() * 5) }, () => [pick(keys), anyJson(next, depth + 1)] as const)
  return Object.fromEntries(members)
}

/** What the worker does to a version in place (B5): locks, and the language as the code's annotation says. */
function byWorker(node: Json, next: () => number): Json {
  if (Array.isArray(node)) return (node as readonly Json[]).map(one => byWorker(one, next))
  if (!isObject(node)) return node
  return Object.fromEntries(
    Object.entries(node).map(([key, member]) => {
      if (key !== 'inlineScript' || !isObject(member)) return [key, byWorker(member ?? null, next)]
      const { content, language, lock } = member
      const isBlank = lock === undefined || lock === null || (typeof lock === 'string' && lock.trim() === '')
      if (typeof content !== 'string' || typeof language !== 'string' || language === 'frontend' || !isBlank) {
        return [key, member]
      }
      const isBun = language === 'bun' || language === 'bunnative'
      const chosen = isBun && next() < 0.5 ? (language === 'bun' ? 'bunnative' : 'bun') : language
      return [key, { lock: 'made by a worker', ...member, language: chosen, ...(next() < 0.5 && { lock: 'made' }) }]
    })
  )
}

test('a value that the worker rewrote compares equal; the form is stable; nothing throws', () => {
  const next = random(20261)
  let rewritten = 0
  for (let round = 0; round < 3_000; round++) {
    const value = anyJson(next)
    const { value: bare, ...locks } = comparableApp(value)
    const again = comparableApp(bare)
    assert.is(canonical(again), canonical({ value: bare }))
    const reworked = byWorker(value, next)
    if (canonical(reworked) !== canonical(value)) rewritten++
    const { value: other, ...all } = comparableApp(reworked)
    assert.is(canonical(other), canonical(bare))
    for (const [name, lock] of Object.entries(locks)) assert.equal(all[name], lock, name)
  }
  assert.ok(rewritten > 100, `${rewritten}`)
})

test('what is stored of a value compares as that value does', () => {
  const next = random(77)
  let stored = 0
  for (let round = 0; round < 3_000; round++) {
    const value = anyJson(next)
    try {
      const kept = storedApp('value', value, undefined).value
      assert.is(canonical(comparableApp(kept)), canonical(comparableApp(value)))
      assert.is(canonical(storedApp('value', kept, undefined).value), canonical(kept))
      stored++
    } catch (error) {
      if (!['InvalidSpec', 'NotSupportedByWindmill'].includes((error as { code?: string }).code ?? '')) throw error
    }
  }
  assert.ok(stored > 100, `${stored}`)
})

test('live locks are added to a value and change nothing else of it', () => {
  const next = random(5)
  let added = 0
  for (let round = 0; round < 3_000; round++) {
    const value = anyJson(next)
    const live = comparableApp(next() < 0.8 ? byWorker(value, next) : anyJson(next))
    const text = withLiveLocks(JSON.stringify(value), live)
    if (text !== JSON.stringify(value)) added++
    const after = comparableApp(JSON.parse(text) as Json)
    assert.is(canonical(after.value), canonical(comparableApp(value).value))
    for (const [name, lock] of Object.entries(comparableApp(value))) {
      if (name !== 'value') assert.equal(after[name], lock, name)
    }
  }
  assert.ok(added > 50, `${added}`)
})

test('a change of code, language, place or anything else is a change', () => {
  const mark = (value: Json): string => canonical(comparableApp(value).value)
  const base = mark(app())
  assert.is.not(mark(app(script({ content: 'y' }))), base)
  assert.is.not(mark(app(script({ language: 'bun' }))), base)
  assert.is.not(mark({ ...app(), fullscreen: true }), base)
  assert.is.not(mark({ ...app(), grid: [button('b', script())] }), base)
})

test('a value deeper than anything real is compared as it is', () => {
  let deep: Json = { inlineScript: script({ lock: 'x' }) }
  for (let level = 0; level < 3_000; level++) deep = [deep]
  assert.is(Object.keys(comparableApp(deep)).join(), 'value')
})

test.run()
