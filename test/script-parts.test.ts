/** What a script's row is made of, without a database: hashes, imports, which languages are locked. */
import { hashOfHex, hexOfHash, isReserved, scriptHash, type Version } from '../src/windmill/script-hash.ts'
import { importsOf, isLockOfFile } from '../src/windmill/script-imports.ts'
import { isLocked, lockFault } from '../src/windmill/script-locks.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('script-parts')

const version: Version = {
  workspace: 'w',
  path: 'f/a/b',
  parent: null,
  columns: { content: 'x', schema: '{"b": 1, "a": 2}', tag: null, envs: ['A=1'], timeout: 3 }
}

test('the same version has the same hash, in whatever order its columns come', () => {
  const { content, ...rest } = version.columns
  assert.is(scriptHash(version), '1092813403438705026')
  assert.is(scriptHash({ ...version, columns: { ...rest, content: content ?? null } }), scriptHash(version))
})

test('whatever differs makes another hash: workspace, path, parent, each column, the text of the schema, the attempt', () => {
  const others: Version[] = [
    { ...version, workspace: 'v' },
    { ...version, path: 'f/a/c' },
    { ...version, workspace: 'wf', path: '/a/b' },
    { ...version, parent: '1' },
    { ...version, columns: { ...version.columns, content: 'y' } },
    { ...version, columns: { ...version.columns, schema: '{"a": 2, "b": 1}' } },
    { ...version, columns: { ...version.columns, tag: '' } },
    { ...version, columns: { ...version.columns, timeout: '3' } },
    { ...version, columns: { ...version.columns, envs: ['A=1', 'B=2'] } },
    { ...version, columns: { ...version.columns, more: null } }
  ]
  const hashes = [version, ...others].map(one => scriptHash(one))
  assert.is(new Set([...hashes, scriptHash(version, 1)]).size, others.length + 2)
})

test('going back to earlier content makes a third version', () => {
  const at = (content: string, parent: string | null): string =>
    scriptHash({ ...version, parent, columns: { content } })
  const a = at('a', null)
  const b = at('b', a)
  assert.is(new Set([a, b, at('a', b)]).size, 3)
})

test('hashes are shown as 16 hexadecimal digits of the two’s complement and read back', () => {
  for (const [decimal, hex] of [
    ['0', '0000000000000000'],
    ['1', '0000000000000001'],
    ['-1', 'ffffffffffffffff'],
    ['-42', 'ffffffffffffffd6'],
    ['9223372036854775807', '7fffffffffffffff'],
    ['-9223372036854775808', '8000000000000000'],
    ['1234605616436508552', '1122334455667788']
  ] as const) {
    assert.is(hexOfHash(decimal), hex)
    assert.is(hashOfHex(hex), decimal)
    assert.is(hashOfHex(`${hex.toUpperCase()}abcd`), decimal)
  }
  for (const bad of ['', '1', '112233445566778', '11223344556677zz', '11223344556677889']) {
    assert.is(hashOfHex(bad), undefined)
  }
})

test('reserved hashes are known', () => {
  for (const hash of ['0', '-42', '-43', '-44', '-45']) assert.ok(isReserved(hash))
  for (const hash of ['1', '-1', '-41', '-46']) assert.not(isReserved(hash))
})

const imported = (language: string, content: string, path = 'f/folder/script'): readonly string[] =>
  importsOf({ path, language, content })

test('imports of TypeScript: relative and absolute specifiers, normalised, without types', () => {
  for (const [code, ...paths] of [
    [`import * as a from './a'`, 'f/folder/a'],
    [`import {b} from "../other/b.ts"`, 'f/other/b'],
    [`import '/f/x/side.ts'`, 'f/x/side'],
    [`import d from '//f/x/dbl'`, 'f/x/dbl'],
    [`import e from './sub/../e'`, 'f/folder/e'],
    [`import f from '../../../../too/far'`, 'too/far'],
    [`import j from './j.js'`, 'f/folder/j.js'],
    [`import c from '/u/admin/c.tsx'`, 'u/admin/c.tsx'],
    [`import s from './twice.ts.ts'`, 'f/folder/twice.ts'],
    [`import {} from './empty'`, 'f/folder/empty'],
    [`import o, {type P} from './mixed'`, 'f/folder/mixed'],
    [`import {type U} from './inline'`, 'f/folder/inline'],
    [`import type from './named'`, 'f/folder/named'],
    [`import type, { a } from './named2'`, 'f/folder/named2'],
    [`export * from './re'`, 'f/folder/re'],
    [`export * as ns from './re'`, 'f/folder/re'],
    [`export {z} from './re'`, 'f/folder/re'],
    [`import {\n  a, // from './no'\n  b as from\n} /* from './no' */ from './lines'`, 'f/folder/lines'],
    [`import a from './one';import b from './two'`, 'f/folder/one', 'f/folder/two'],
    [`import { "odd name" as x } from './odd'`, 'f/folder/odd'],
    [`import x from './attr' with { type: 'json' }`, 'f/folder/attr']
  ] as const) {
    assert.equal(imported('bun', code), paths, code)
    assert.equal(imported('deno', code), paths)
    assert.equal(imported('bunnative', code), paths)
  }
})

test('what is no import of a script of the workspace is left out', () => {
  for (const code of [
    `import type {T} from './types'`,
    `import type T from './types'`,
    `import type * as T from './types'`,
    `export type {V} from './types'`,
    `import g from 'lodash'`,
    `import n from 'f/foo/bar'`,
    `import h from '.'`,
    `import i from '..'`,
    `const k = await import('./dynamic')`,
    `const l = require('./required')`,
    `import m = require('./required')`,
    `// import a from './comment'`,
    `/* import a from './comment' */`,
    `const t = \`import a from './template'\``,
    `const t = \`\${"}"} \${\`import x from './nested'\`}\nimport a from './template'\``,
    `const s = "import a from './text'"`,
    `const r = /import a from '.\\/regex'/`,
    `const r = /[/']/\nconst s = "'import a from './text'"`,
    `function f() {\n import a from './inside'\n}`,
    `export const from = './text'`,
    `export default from('./text')`,
    `meta.import\n('./call')`,
    `export function a() {}\nconst from = 1`,
    `import {`,
    `import a from './unfinished`,
    ``
  ]) {
    assert.equal(imported('bun', code), [], code)
  }
})

test('code before and after does not hide an import', () => {
  const code = `const r = 4 / 2 / 1; const q = a ? /'/ : b\nconst t = \`\${{a: '}'}}\`\nclass A { x = '{' }\nimport late from './late'\nexport async function main() {}`
  assert.equal(imported('bun', code), ['f/folder/late'])
})

test('imports of Python: modules of the workspace and relative ones, before main is defined', () => {
  for (const [code, ...paths] of [
    ['import f.a.b', 'f/a/b'],
    ['import f.a.b as x, os, u.me.tool', 'f/a/b', 'u/me/tool'],
    ['from f.a.b import c, d', 'f/a/b'],
    ['from u.admin.lib import (\n  one, # two\n  three\n)', 'u/admin/lib'],
    ['from .x import y', 'f/folder/x'],
    ['from .x.y import z', 'f/folder/x/y'],
    ['from ..other.x import y', 'f/other/x'],
    ['from . import x, y as z', 'f/folder/x', 'f/folder/y'],
    ['from . import (x,\n  y)', 'f/folder/x', 'f/folder/y'],
    ['import os; import f.a.b', 'f/a/b'],
    ['from f.a.b \\\n  import c', 'f/a/b'],
    ['"""text\nimport f.no.no\n"""\nimport f.a.b', 'f/a/b'],
    ["x = '''import f.no.no'''\nimport f.a.b  # import f.no.no", 'f/a/b'],
    ['import f.a.b\ndef main():\n  pass\nimport f.after.main', 'f/a/b'],
    ['import f.a.b\r\ndef main(x: str):\r\n  pass', 'f/a/b']
  ] as const) {
    assert.equal(imported('python3', code), paths, code)
  }
  for (const code of [
    'import foo.a.b',
    'import os',
    'from future import x',
    '# import f.a.b',
    'def g():\n  import f.a.b',
    'if x:\n  from f.a.b import c',
    'def main():\n  pass\nimport f.a.b',
    'async def main():\n  pass\nimport f.a.b',
    'important = f.a.b',
    ''
  ]) {
    assert.equal(imported('python3', code), [], code)
  }
})

test('other languages import nothing, and a path is named once', () => {
  assert.equal(imported('nativets', `import a from './a'`), [])
  assert.equal(imported('bash', '. ./a'), [])
  assert.equal(imported('bun', `import b from './b'\nimport a from './a'\nimport { c } from './b.ts'`), [
    'f/folder/a',
    'f/folder/b'
  ])
})

test('locks that the command line made from a file are told', () => {
  assert.ok(isLockOfFile('bun', '{"generatedFromPackageJson": true}\n//bun.lock\n'))
  assert.ok(isLockOfFile('python3', '# from requirements.txt\nx==1'))
  assert.not(isLockOfFile('python3', 'x==1\n# from requirements.txt'))
  assert.not(isLockOfFile('python3', 'generatedFromPackageJson'))
  assert.not(isLockOfFile('bun', '# from requirements.txt'))
})

const old =
  'python3 deno go bash postgresql nativets bun mysql bigquery snowflake graphql powershell mssql php bunnative rust ansible csharp oracledb'
const middle = `${old} nu java duckdb ruby`
const newest = `${middle} rlang dbt`
const labels = (names: string) => ({ labels: () => names.split(' ') })

test('languages are locked as the contract’s table says', () => {
  const always = 'python3 bun bunnative deno go rust php ansible csharp'.split(' ')
  const never = 'nativets bash postgresql mysql bigquery snowflake mssql oracledb graphql duckdb dbt klingon'.split(' ')
  for (const names of [old, middle, newest]) {
    for (const language of always) assert.ok(isLocked(language, labels(names)), language)
    for (const language of never) assert.not(isLocked(language, labels(names)), language)
  }
  for (const language of ['nu', 'java', 'ruby']) {
    assert.equal(
      [old, middle, newest].map(names => isLocked(language, labels(names))),
      [false, true, true]
    )
  }
  for (const language of ['powershell', 'rlang']) {
    assert.equal(
      [old, middle, newest].map(names => isLocked(language, labels(names))),
      [false, false, true]
    )
  }
})

test('a lock of bun names its lock file', () => {
  assert.is(lockFault('bun', '{"dependencies": {}}\n//bun.lock\n<empty>'), undefined)
  assert.is(lockFault('bunnative', '{}\r\n//bun.lock\r\n{}'), undefined)
  assert.is(lockFault('bun', '{}\n//bun.lockb\nAAAA'), undefined)
  assert.match(lockFault('bun', '{"dependencies": {}}') ?? '', /holds no line/)
  assert.match(lockFault('bun', '{"x": "//bun.lock"}') ?? '', /holds no line/)
  assert.is(lockFault('python3', 'x==1'), undefined)
})

test.run()
