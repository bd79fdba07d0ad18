/** Which functions a script declares, without any parser package: contract, scripts §1.5. */
import { inferSchema } from '../src/windmill/argument-schema.ts'
import { readLiteral } from '../src/windmill/literal.ts'
import { mainFacts } from '../src/windmill/main-function.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('main function')

const declared: readonly string[] = [
  'function main() {}',
  'async function main() {}',
  'export function main() {}',
  'export async function main(a: string): Promise<{ b: string }> { return { b: a } }',
  'export async  function\n  main() {}',
  'function* main() {}',
  'export function main<T>(a: T) {}',
  'declare function main(): void;',
  'export declare function main(): void',
  'function main(a: string): void\nfunction main(a: number): void\nfunction main(a: any) {}',
  '#!/usr/bin/env bun\nfunction main() {}',
  '\uFEFFfunction main() {}',
  '/* function other( */ function main() {}',
  "import x from 'y'\nfunction main() {}",
  'const a = 1\nfunction main() {}',
  'const a = b.c\nfunction main() {}',
  'const a = { function: 1, b: [2] }\nfunction main() {}',
  'foo()\nfunction main() {}',
  'do { x() } while (y)\nfunction main() {}',
  'i++\nfunction main() {}',
  'const a = b!\nfunction main() {}',
  'const a = b as const\nfunction main() {}',
  'type A = Promise<string>\nfunction main() {}',
  'type F = () => void\nasync function main() {}',
  'type A = B extends C ? D : E\nexport function main() {}',
  'class A { static x = /}/; get main() { return 1 } }\nfunction main() {}',
  'const r = /[/{(]/g\nfunction main() {}',
  'const r = a / b / c\nfunction main() {}',
  'const r = (a) / b; const s = "/"\nfunction main() {}',
  'if (x) /}"/.test(y)\nfunction main() {}',
  'if (x) {}\n/[}"]/.test(y)\nfunction main() {}',
  'const o = {} / 2 / 1\nfunction main() {}',
  'const t = `a ${b({ c: `}${"`"}` })} } {`\nfunction main() {}',
  'const t = `\\`${1}\\${`\nfunction main() {}',
  'const s = "\\"{"; const u = \'\\\'(\'\nfunction main() {}',
  'const s = "a\\\nb{"\nfunction main() {}',
  "// it's a { comment\nfunction main() {}",
  'const a = x?.5:1\nfunction main() {}',
  'const a = x?.return / 2\nfunction main() {}',
  '@decorated class A { #main = 1 }\nfunction main() {}',
  'return_ / 1; function main() {}',
  'const größe = 1\nfunction main() {}',
  'namespace N { export function other() {} } function main() {}',
  '{ let x = 1 } function main() {}',
  'function other() { function inner() {} }\nfunction main() {}'
]

const notDeclared: readonly string[] = [
  '',
  'export const main = async () => {}',
  'export const main = function () {}',
  'const x = function main() {}',
  'const x = async function main() {}',
  'export default function main() {}',
  'export default async function main() {}',
  '(function main() {})()',
  '!function main() {}()',
  'void function main() {}()',
  'foo(function main() {})',
  'const x = y, z = function main() {}',
  'const x = y ?? function main() {}',
  'const f = () => function main() {}',
  'function other() { function main() {} }',
  '{ function main() {} }',
  'namespace N { export function main() {} }',
  'declare module "x" { function main(): void }',
  'class A { main() {} }',
  'const o = { main() {}, function: main }',
  '// function main() {}',
  '/*\nfunction main() {}\n*/',
  'const s = "function main() {}"',
  'const s = `\nfunction main() {}\n`',
  'const s = `${1}\nfunction main() {}\n`',
  'const s = `${function main() {}}`',
  'const r = /function main() {}/',
  'export { main } from "./other"',
  'import { main } from "./other"',
  'function Main() {}',
  'function mainly() {}',
  'const x = a.function\nmain()',
  'let function_ = 1; main()'
]

const place = (code: string): string => JSON.stringify(code)

test('declarations of main outside of everything count, exported or not, async or not', () => {
  for (const code of declared)
    assert.equal(mainFacts('bun', code), { noMain: false, hasPreprocessor: false }, place(code))
})

test('expressions, defaults, nested functions, texts and comments do not count', () => {
  for (const code of notDeclared) {
    assert.equal(mainFacts('bun', code), { noMain: true, hasPreprocessor: false }, place(code))
  }
})

test('a preprocessor is found by the same rules', () => {
  for (const code of declared) {
    const renamed = code.replaceAll('main', 'preprocessor')
    assert.equal(mainFacts('deno', renamed), { noMain: true, hasPreprocessor: true }, place(renamed))
  }
  for (const code of notDeclared) {
    const renamed = code.replaceAll('main', 'preprocessor')
    assert.equal(mainFacts('nativets', renamed)?.hasPreprocessor, false, place(renamed))
  }
  const both = 'export function preprocessor(e) { return {} }\nexport async function main() {}'
  assert.equal(mainFacts('bunnative', both), { noMain: false, hasPreprocessor: true })
})

test("Windmill's parser sees the same", () => {
  for (const code of [...declared, ...notDeclared]) {
    const { noMain, note } = inferSchema('bun', code)
    if (note === undefined) assert.is(mainFacts('bun', code)?.noMain, noMain, place(code))
  }
  const understood = [...declared, ...notDeclared].filter(code => inferSchema('bun', code).note === undefined)
  assert.ok(understood.length > 60, `${understood.length} of the codes are TypeScript`)
})

test('code that is not whole has neither mark', () => {
  for (const code of [
    'export const main = (',
    'function other() {',
    'const a = [1)',
    '}',
    'const s = "no end\nfunction other() {}',
    "const s = 'no end",
    'const s = `no end',
    'const s = `${1',
    '/* no end',
    'const r = /no end\nfunction other() {}',
    'const r = /[/'
  ]) {
    assert.equal(mainFacts('bun', code), { noMain: false, hasPreprocessor: false }, place(code))
  }
})

test('Python: a line that starts with the definition, exactly', () => {
  const facts = (code: string): readonly (boolean | undefined)[] => {
    const found = mainFacts('python3', code)
    return [found?.noMain, found?.hasPreprocessor]
  }
  assert.equal(facts('def main(a):\n  pass'), [false, false])
  assert.equal(facts('import x\r\ndef main():\r\n  pass\r\ndef preprocessor(e):\r\n  pass'), [false, true])
  assert.equal(facts('async def main(a):\n  pass'), [true, false])
  assert.equal(facts('def main (a):\n  pass'), [true, false])
  assert.equal(facts('class A:\n  def main(self):\n    pass'), [true, false])
  assert.equal(facts('x = 1 # def main('), [true, false])
  assert.equal(facts('x = "\u2028def main("'), [true, false])
  // The server looks at lines, not at code.
  assert.equal(facts('"""\ndef main(\n"""'), [false, false])
  assert.equal(facts(''), [true, false])
})

test('other languages are what they are said to be', () => {
  for (const language of ['go', 'bash', 'postgresql', 'php', 'toString', '']) {
    assert.is(mainFacts(language, 'function main() {}'), undefined)
  }
})

test('long code takes time in proportion, and deep code no stack', () => {
  const long = `${'const a = { b: [`c ${d / 2}`, /e/] };\n'.repeat(20_000)}export function main() {}`
  assert.equal(mainFacts('bun', long), { noMain: false, hasPreprocessor: false })
  const deep = `const a = ${'['.repeat(200_000)}${']'.repeat(200_000)}\nfunction main() {}`
  assert.is(mainFacts('bun', deep)?.noMain, false)
  const many = 200_000
  for (const filler of ['a', '1', ' ', '\n', '"', '`', '=[/[', '=/', '${', '/*', '//', '\\', '@#', '=/a/', '`${`']) {
    const code = filler.repeat(many / filler.length)
    const facts = mainFacts('bun', code)
    assert.is(facts?.hasPreprocessor, false, place(filler))
    readLiteral(code)
    readLiteral(`[${code}]`)
    readLiteral(`"${code}"`)
  }
})

test('a literal is read as JavaScript would read it', () => {
  for (const [source, value] of [
    ['1', 1],
    ['-2.5e3', -2500],
    ['+.5', 0.5],
    ['0x1F', 31],
    ['1_000', 1000],
    ['5n', 5],
    ['"a\\n\\x41\\u{1F600}\\u00e9\\"\\q"', 'a\nA😀é"q'],
    ["'a\\\nb'", 'ab'],
    ['`a $b \\${c}`', 'a $b ${c}'],
    ['[1,, [true, null,],]', [1, undefined, [true, null]]],
    [
      '{a: 1, "b-c": [{}], 3: "x", \'d\': false, if: undefined,}',
      { 3: 'x', a: 1, 'b-c': [{}], d: false, if: undefined }
    ],
    [' /* a */ ( {a: // b\n (1)} ) ', { a: 1 }],
    ['{__proto__: {a: 1}, b: 2}', { b: 2 }],
    ['[1, Infinity]', [1, Number.POSITIVE_INFINITY]]
  ] as const) {
    assert.equal(readLiteral(source), value, source)
  }
})

test('what would have to be run is not read', () => {
  for (const source of [
    '',
    'a',
    'f()',
    '1 + 1',
    '[...a]',
    '{a}',
    '{[a]: 1}',
    '{a() {}}',
    '{get a() { return 1 }}',
    '`${a}`',
    '!0',
    'new Date()',
    '/a/',
    '() => 1',
    '1; f()',
    '{a: 1',
    '[1 2]',
    '"a',
    '-"1"',
    '"\\u{ffffff}"',
    'toString',
    '__proto__',
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  ]) {
    assert.is(readLiteral(source), undefined, source.slice(0, 30))
  }
})

test.run()
