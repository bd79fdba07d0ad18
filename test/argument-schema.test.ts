/** From the code of a script to the JSON Schema of its arguments, with the installed parsers. */
import { makeAskParser, type ReadPackage, readInstalled } from '../src/windmill/argument-parsers.ts'
import { type Inferred, inferSchema, makeInferSchema } from '../src/windmill/argument-schema.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('argument schema')

type Properties = Record<string, Record<string, unknown>>

/** What differs from argument to argument: `description: ''` is everywhere, `default: null` where there is none. */
function propertiesOf(inferred: Inferred): Properties {
  assert.ok(inferred.schema, inferred.note)
  const properties = inferred.schema?.['properties'] as Properties
  const essence = ([name, property]: [string, Record<string, unknown>]): [string, Record<string, unknown>] => {
    const { description, ...rest } = property
    assert.is(description, '', name)
    if (rest['default'] === null) delete rest['default']
    return [name, rest]
  }
  return Object.fromEntries(Object.entries(properties).map(essence))
}

const text = { type: 'string', originalType: 'string' }
const resource = (name: string): object => ({ type: 'object', format: `resource-${name}` })
const choice = (...values: string[]): object => ({ type: 'string', originalType: 'enum', enum: values })
const list = (type: string, originalType: string): object => ({ type: 'array', items: { type }, originalType })

interface Case {
  readonly title: string
  readonly language: string
  readonly code: string
  readonly properties: object
  readonly required: readonly string[]
}

const main = (args: string): string => `export async function main(${args}) { return 1 }`
const python = (args: string, before = ''): string => `${before}\ndef main(${args}):\n    return 1\n`

const cases: readonly Case[] = [
  {
    title: 'TypeScript: plain types, optional ones and defaults',
    language: 'bun',
    code: main('a: string, b?: number, c: boolean = true, d = 5, e = 1.5, f: bigint, g: any, h: string | undefined'),
    properties: {
      a: text,
      b: { type: 'number' },
      c: { type: 'boolean', default: true },
      d: { type: 'integer', default: 5 },
      e: { type: 'number', default: 1.5 },
      f: { type: 'integer' },
      g: { type: '' },
      h: text
    },
    required: ['a', 'f', 'g']
  },
  {
    title: 'TypeScript: choices, lists and objects',
    language: 'deno',
    code: main(
      "a: 'x' | 'y' = 'y', b: string[], c: number[] = [1, -2], d: ('p' | 'q')[], e: { k: string; n?: number[] }, f = { x: 1, y: ['s'] }, g: any[], h: { k: string }[]"
    ),
    properties: {
      a: { ...choice('x', 'y'), default: 'y' },
      b: list('string', 'string[]'),
      c: { ...list('number', 'number[]'), default: [1, -2] },
      d: { type: 'array', items: { type: 'string', enum: ['p', 'q'] }, originalType: 'enum[]' },
      e: {
        type: 'object',
        properties: { k: { description: '', ...text }, n: { description: '', ...list('number', 'number[]') } }
      },
      f: {
        type: 'object',
        properties: {
          x: { description: '', type: 'integer' },
          y: { description: '', ...list('string', 'string[]') }
        },
        default: { x: 1, y: ['s'] }
      },
      g: list('object', 'object[]'),
      h: {
        type: 'array',
        items: { type: 'object', properties: { k: { description: '', ...text } } },
        originalType: 'record[]'
      }
    },
    required: ['b', 'd', 'e', 'g', 'h']
  },
  {
    title: 'TypeScript: what Windmill knows by name, and resource types',
    language: 'nativets',
    code: `import * as wmill from 'windmill-client'
type Postgresql = object
${main('a: Date, b: wmill.S3Object, c: S3Object[], d: wmill.Base64, e: Postgresql, f: RT.Slack, g: wmill.Email, h: Sql, i: DynSelect_team, j: Date = new Date()')}`,
    properties: {
      a: { type: 'string', format: 'date-time' },
      b: resource('s3_object'),
      c: { type: 'array', items: { type: 'resource', resourceType: 's3_object' }, originalType: 'resource[]' },
      d: { type: 'string', contentEncoding: 'base64', originalType: 'bytes' },
      // A type that the script defines itself brings its members.
      e: { ...resource('postgresql'), properties: {} },
      f: resource('slack'),
      g: { type: 'string', format: 'email' },
      h: { type: 'string', format: 'sql' },
      i: { type: 'object', format: 'dynselect-team' },
      j: { type: 'string', format: 'date-time' }
    },
    required: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']
  },
  {
    title: 'TypeScript: alternatives of objects, and one or many',
    language: 'bunnative',
    code: main("a: { label: 'one'; x: string } | { label: 'two'; y: number }, b: string | string[]"),
    properties: {
      a: {
        type: 'object',
        oneOf: [
          {
            type: 'object',
            title: 'one',
            properties: { label: { description: '', ...choice('one') }, x: { description: '', ...text } }
          },
          {
            type: 'object',
            title: 'two',
            properties: { label: { description: '', ...choice('two') }, y: { description: '', type: 'number' } }
          }
        ]
      },
      b: { type: '', originalType: 'string | string[]' }
    },
    required: ['a', 'b']
  },
  {
    title: 'Python: plain types and defaults',
    language: 'python3',
    code: python(
      'a: str, b: int = 3, c: float = 1.5, d: bool = False, e="x", f: Optional[str] = None, g=f(1), h: str | None = None'
    ),
    properties: {
      a: text,
      b: { type: 'integer', default: 3 },
      c: { type: 'number', default: 1.5 },
      d: { type: 'boolean', default: false },
      e: { ...text, default: 'x' },
      f: text,
      g: { type: '', default: '<function call>' },
      h: text
    },
    required: ['a']
  },
  {
    title: 'Python: choices, collections, times, bytes, dataclasses and resource types',
    language: 'python3',
    code: python(
      'a: Literal["x", "y"], b: list[str], c: List[int], d: dict, e: datetime, f: date, g: bytes, h: postgresql, i: Point, j: Color, k: S3Object, l: Literal["x", "z"] = "x", m: list[str] = [], n = {"k": 1}',
      'class postgresql(TypedDict):\n    host: str\n@dataclass\nclass Point:\n    x: int\n    y: str\nclass Color(str, Enum):\n    RED = "red"\n'
    ),
    properties: {
      a: choice('x', 'y'),
      b: list('string', 'string[]'),
      c: list('number', 'number[]'),
      d: { type: 'object', properties: {} },
      e: { type: 'string', format: 'date-time' },
      f: { type: 'string', format: 'date' },
      g: { type: 'string', contentEncoding: 'base64', originalType: 'bytes' },
      h: resource('postgresql'),
      i: {
        type: 'object',
        format: 'resource-Point',
        properties: { x: { description: '', type: 'integer' }, y: { description: '', ...text } }
      },
      j: choice('red'),
      k: resource('s3_object'),
      l: { ...choice('x', 'z'), default: 'x' },
      m: { ...list('string', 'string[]'), default: [] },
      n: { type: 'object', properties: { k: { description: '', type: 'integer' } }, default: { k: 1 } }
    },
    required: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k']
  },
  { title: 'Python: no arguments', language: 'python3', code: python(''), properties: {}, required: [] },
  {
    title: 'Go',
    language: 'go',
    code: 'package inner\nfunc main(a string, b int, c bool, d []string, e struct{ K string }) (interface{}, error) { return a, nil }',
    properties: {
      a: text,
      b: { type: 'integer' },
      c: { type: 'boolean' },
      d: list('string', 'string[]'),
      e: { type: 'object', properties: { K: { description: '', ...text } } }
    },
    required: ['a', 'b', 'c', 'd', 'e']
  },
  {
    title: 'Bash',
    language: 'bash',
    code: '# shellcheck shell=bash\nname="$1"\ncount="${2:-3}"\n',
    properties: { name: text, count: { ...text, default: '3' } },
    required: ['name']
  },
  {
    title: 'PowerShell',
    language: 'powershell',
    code: 'param([Parameter(Mandatory=$true)][string]$Name, [int]$Count = 4, [ValidateSet("x", "y")]$Way)',
    properties: { Name: text, Count: { type: 'integer', default: 4 }, Way: choice('x', 'y') },
    required: ['Name']
  },
  {
    title: 'PostgreSQL',
    language: 'postgresql',
    code: '-- $1 id = 5\n-- $2 tags\nselect $1::int, $2::text[]',
    properties: {
      database: resource('postgresql'),
      id: { type: 'integer', default: 5 },
      tags: list('string', 'string[]')
    },
    required: ['database', 'tags']
  },
  {
    title: 'SQL that names its database has no argument for it',
    language: 'postgresql',
    code: '-- database f/shop/db\n-- $1 id\nselect $1::int',
    properties: { id: { type: 'integer' } },
    required: ['id']
  },
  {
    title: 'MySQL',
    language: 'mysql',
    code: '-- :name (text) = x\n-- :age (int)\nselect :name, :age',
    properties: { database: resource('mysql'), name: { ...text, default: 'x' }, age: { type: 'integer' } },
    required: ['database', 'age']
  },
  {
    title: 'MSSQL',
    language: 'mssql',
    code: '-- @P1 name (varchar) = x\n-- @P2 age (int)\nselect @P1, @P2',
    properties: { database: resource('ms_sql_server'), name: { ...text, default: 'x' }, age: { type: 'integer' } },
    required: ['database', 'age']
  },
  {
    title: 'BigQuery',
    language: 'bigquery',
    code: '-- @name (string) = x\n-- @ids (integer[])\nselect @name',
    properties: { database: resource('bigquery'), name: { ...text, default: 'x' }, ids: list('number', 'number[]') },
    required: ['database', 'ids']
  },
  {
    title: 'Snowflake',
    language: 'snowflake',
    code: '-- ? name (varchar)\nselect ?',
    properties: { database: resource('snowflake'), name: text },
    required: ['database', 'name']
  },
  {
    title: 'Oracle',
    language: 'oracledb',
    code: '-- :age (int) = 4\nselect :age from dual',
    properties: { database: resource('oracledb'), age: { type: 'integer', default: 4 } },
    required: ['database']
  },
  {
    title: 'DuckDB',
    language: 'duckdb',
    code: '-- $name (text) = x\n-- $age (integer)\nselect $name, $age',
    properties: { name: { ...text, default: 'x' }, age: { type: 'integer' } },
    required: ['age']
  },
  {
    title: 'GraphQL',
    language: 'graphql',
    code: 'query($a: String!, $b: Int = 5, $c: [Int!]) { x }',
    properties: {
      api: resource('graphql'),
      a: text,
      b: { type: 'integer', default: 5 },
      c: list('number', 'number[]')
    },
    required: ['api', 'a']
  },
  {
    title: 'PHP',
    language: 'php',
    code: '<?php\nclass Postgresql {}\nfunction main(string $a, int $b = 5, bool $c = true, array $d = [1], Postgresql $e) {}',
    properties: {
      a: text,
      b: { type: 'integer', default: 5 },
      c: { type: 'boolean', default: true },
      // The parser does not read default lists of PHP.
      d: list('string', 'string[]'),
      e: resource('postgresql')
    },
    required: ['a', 'd', 'e']
  },
  {
    title: 'Rust',
    language: 'rust',
    code: 'fn main(a: String, b: i32, c: Vec<String>, d: bool) -> anyhow::Result<()> { Ok(()) }',
    properties: { a: text, b: { type: 'integer' }, c: list('string', 'string[]'), d: { type: 'boolean' } },
    required: ['a', 'b', 'c', 'd']
  },
  {
    title: 'Ansible',
    language: 'ansible',
    code: '---\ninventory:\n  - resource_type: ansible_inventory\nextra_vars:\n  who:\n    type: string\n  n:\n    type: integer\n    default: 3\n---\n- name: Echo\n  hosts: 127.0.0.1\n  tasks: []\n',
    properties: {
      'inventory.ini': resource('ansible_inventory'),
      who: text,
      n: { type: 'integer', default: 3 }
    },
    required: ['inventory.ini', 'who']
  },
  {
    title: 'C#',
    language: 'csharp',
    code: 'class Script { public static int Main(string a, string[] c, double d, bool e) { return 1; } }',
    properties: { a: text, c: list('string', 'string[]'), d: { type: 'number' }, e: { type: 'boolean' } },
    required: ['a', 'c', 'd', 'e']
  },
  {
    title: 'Nu',
    language: 'nu',
    code: 'def main [ a: string, b: int = 5, c?: bool, d: list<string> ] { }',
    properties: { a: text, b: { type: 'integer', default: 5 }, c: { type: 'boolean' }, d: list('string', 'string[]') },
    required: ['a', 'd']
  },
  {
    title: 'Java: objects may be null',
    language: 'java',
    code: 'public class Main { public static Object main(String a, int b, boolean c, String[] d) { return a; } }',
    properties: { a: text, b: { type: 'integer' }, c: { type: 'boolean' }, d: list('string', 'string[]') },
    required: ['b', 'c']
  },
  {
    title: 'Ruby',
    language: 'ruby',
    code: 'def main(a, b = 5, c = "x", d = [1])\nend',
    properties: {
      a: { type: '' },
      b: { type: 'integer', default: 5 },
      c: { ...text, default: 'x' },
      d: { ...list('number', 'number[]'), default: [1] }
    },
    required: ['a']
  },
  {
    title: 'R',
    language: 'rlang',
    code: 'main <- function(a, b = 5, c = "x", d = TRUE) { a }',
    properties: {
      a: { type: '' },
      b: { type: 'integer', default: 5 },
      c: { ...text, default: 'x' },
      d: { type: 'boolean', default: true }
    },
    required: ['a']
  }
]

for (const { title, language, code, properties, required } of cases) {
  test(title, () => {
    const inferred = inferSchema(language, code)
    assert.equal(propertiesOf(inferred), properties)
    const { $schema, type, order, required: given } = inferred.schema ?? {}
    assert.equal(given, required)
    assert.equal(order, Object.keys(properties), 'arguments in the order of the code')
    assert.equal({ $schema, type }, { $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object' })
    assert.is(inferred.note, undefined)
    const again = makeInferSchema(makeAskParser(readInstalled))(language, code)
    assert.is(JSON.stringify(again), JSON.stringify(inferred), 'another instance says the same, in the same order')
  })
}

test('dbt has the arguments of every dbt project', () => {
  assert.equal(Object.keys(propertiesOf(inferSchema('dbt', ''))), [
    'select',
    'exclude',
    'vars',
    'full_refresh',
    'dbt_command'
  ])
})

test('default values of TypeScript are read, never run', () => {
  const probe = globalThis as { ranCode?: string }
  const code = `export function main(
    a = { x: (globalThis.ranCode = 'object', 1) }, b = [globalThis.ranCode = 'list'], c = globalThis.ranCode = 'plain',
    d = [(() => { globalThis.ranCode = 'function' })()], e = { f: process.exit(3) }, g = [...[1]], h = { y }, i = [1]
  ) {}`
  const inferred = inferSchema('bun', code)
  assert.is(probe.ranCode, undefined)
  assert.equal(inferred.schema?.['required'], [], 'a value that is not known is still there')
  assert.equal(propertiesOf(inferred)['i'], { ...list('number', 'number[]'), default: [1] })
  assert.is(propertiesOf(inferred)['b']?.['default'], undefined)
})

test('an argument named like a part of JavaScript is an argument', () => {
  const inferred = inferSchema('bun', main('__proto__: string, constructor: number, toString: { __proto__: string }'))
  assert.equal(inferred.schema?.['order'], ['__proto__', 'constructor', 'toString'])
  assert.equal(Object.keys(inferred.schema?.['properties'] ?? {}), ['__proto__', 'constructor', 'toString'])
  assert.is(({} as { description?: string }).description, undefined)
})

test('a script without main has no arguments, and the parser says so', () => {
  const { schema, noMain, hasPreprocessor } = inferSchema('bun', 'export const main = () => 1')
  assert.equal(
    { noMain, hasPreprocessor, properties: schema?.['properties'] },
    {
      noMain: true,
      hasPreprocessor: false,
      properties: {}
    }
  )
  assert.is(inferSchema('python3', 'x = 1').noMain, true)
  assert.is(inferSchema('php', '<?php function other() {}').noMain, true)
})

test('a preprocessor is seen; languages without one say nothing', () => {
  const both = inferSchema('bun', `export function preprocessor(event: object) {}\n${main('a: string')}`)
  assert.equal([both.noMain, both.hasPreprocessor], [false, true])
  assert.is(inferSchema('python3', 'def preprocessor(event):\n  pass\ndef main(a):\n  pass').hasPreprocessor, true)
  const bash = inferSchema('bash', 'a="$1"')
  assert.equal([bash.noMain, bash.hasPreprocessor], [undefined, undefined])
})

test('code that cannot be parsed gives a note and no schema', () => {
  const note = 'schema: not inferred from the code, because it cannot be parsed.'
  for (const [language, code] of [
    ['bun', 'export function main('],
    ['python3', 'def main(:'],
    ['go', 'package x\nfunc Other() {}'],
    ['rust', 'fn main('],
    ['php', '<?php function('],
    ['ansible', 'a: ['],
    ['nu', 'def foo [] {}']
  ] as const) {
    assert.equal(inferSchema(language, code), { note }, language)
  }
})

test('a language without a parser gives a note', () => {
  for (const language of ['cobol', '__proto__', '']) {
    assert.equal(inferSchema(language, 'x'), {
      note: `schema: not inferred from the code, because Windmill has no argument parser for the language ${language}.`
    })
  }
})

test('empty code never throws', () => {
  const languages = [...new Set(cases.map(one => one.language)), 'dbt']
  for (const language of languages) {
    const { schema, note } = inferSchema(language, '')
    assert.is((schema === undefined) !== (note === undefined), true, language)
  }
})

test('a crash of a parser concerns one script only', () => {
  const infer = makeInferSchema(makeAskParser(readInstalled))
  const deep = `export function main(a = ${'['.repeat(50_000)}${']'.repeat(50_000)}) {}`
  for (const [language, crashing, fine] of [
    ['ruby', 'def main(', 'def main(a)\nend'],
    ['bun', deep, main('a: string')],
    ['ansible', '', '---\n---\n- name: x\n  hosts: y\n']
  ] as const) {
    for (let i = 0; i < 3; i++) {
      assert.is(
        infer(language, crashing + ' '.repeat(i)).note,
        'schema: not inferred from the code, because it cannot be parsed.'
      )
      assert.ok(infer(language, fine + ' '.repeat(i)).schema, language)
    }
  }
})

const missing: ReadPackage = name => {
  throw Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' })
}

test('a package that is not installed is named, and looked for once', () => {
  let looked = 0
  const infer = makeInferSchema(
    makeAskParser(name => {
      looked++
      return missing(name)
    })
  )
  const note =
    'schema: not inferred from the code, because the optional package windmill-parser-wasm-ts is not installed.'
  assert.equal(infer('bun', main('a: string')), { note })
  assert.equal(infer('deno', main('b: string')), { note })
  assert.is(looked, 1)
  assert.is(
    infer('mysql', 'select 1').note,
    'schema: not inferred from the code, because the optional package windmill-parser-wasm-regex is not installed.'
  )
})

test('one language needs its own package only', () => {
  const infer = makeInferSchema(makeAskParser(name => (name.endsWith('-py') ? readInstalled(name) : missing(name))))
  assert.ok(infer('python3', python('a: str')).schema)
  assert.ok(infer('bun', main('a: string')).note)
})

test('a package of another build is refused with a note', () => {
  const note = 'schema: not inferred from the code, because this version of windmill-parser-wasm-py is not understood.'
  const { glue, wasm } = readInstalled('windmill-parser-wasm-py')
  for (const files of [
    { glue: 'not JavaScript at all (', wasm },
    { glue: '', wasm },
    { glue: glue.replace('function parse_python', 'function parse_other'), wasm },
    { glue, wasm: wasm.slice(0, 1000) },
    { glue: 'export function initSync() {}\nexport function parse_python() { return "no JSON" }', wasm },
    { glue: 'export function initSync() {}\nexport function parse_python() { return "{}" }', wasm }
  ]) {
    const infer = makeInferSchema(makeAskParser(() => files))
    assert.equal(infer('python3', python('a: str')), { note })
  }
})

test('results are remembered by language and code, and not without end', () => {
  let asked = 0
  const infer = makeInferSchema(() => {
    asked++
    return { said: '{"args":[]}' }
  })
  assert.is(infer('bash', 'a'), infer('bash', 'a'))
  assert.is(asked, 1)
  infer('go', 'a')
  assert.is(asked, 2)
  for (let i = 0; i < 1000; i++) infer('bash', `echo ${i}`)
  infer('bash', 'a')
  assert.is(asked, 1003)
})

test.run()
