/** The JSON Schema of a script's arguments, inferred from its code as Windmill's UI does it (it is never done by the server). */
import { createHash } from 'node:crypto'
import type { Json } from '../model.ts'
import { type AskParser, makeAskParser, readInstalled } from './argument-parsers.ts'
import { describeType, type Property } from './argument-types.ts'

type Schema = { readonly [key: string]: Json }

export interface Inferred {
  /** Absent: could not be inferred, and `note` says why. */
  readonly schema?: Schema
  /** One stable sentence for the status message. */
  readonly note?: string
  /** What the parser says about the functions of the script, where it says something. */
  readonly noMain?: boolean
  readonly hasPreprocessor?: boolean
}

export type InferSchema = (language: string, content: string) => Inferred

interface Language {
  /** The package is `windmill-parser-wasm-` and this. */
  readonly parser: string
  readonly question: string
  /** The resource that such a script is run against: argument name and resource type. */
  readonly against?: readonly [argument: string, type: string]
}

const regex = (question: string, against?: readonly [string, string]): Language =>
  against === undefined ? { parser: 'regex', question } : { parser: 'regex', question, against }
const typescript: Language = { parser: 'ts', question: 'parse_deno' }

const languages: Readonly<Record<string, Language>> = {
  bun: typescript,
  bunnative: typescript,
  deno: typescript,
  nativets: typescript,
  python3: { parser: 'py', question: 'parse_python' },
  go: { parser: 'go', question: 'parse_go' },
  bash: regex('parse_bash'),
  powershell: regex('parse_powershell'),
  postgresql: regex('parse_sql', ['database', 'postgresql']),
  mysql: regex('parse_mysql', ['database', 'mysql']),
  mssql: regex('parse_mssql', ['database', 'ms_sql_server']),
  bigquery: regex('parse_bigquery', ['database', 'bigquery']),
  snowflake: regex('parse_snowflake', ['database', 'snowflake']),
  oracledb: regex('parse_oracledb', ['database', 'oracledb']),
  duckdb: regex('parse_duckdb'),
  graphql: regex('parse_graphql', ['api', 'graphql']),
  php: { parser: 'php', question: 'parse_php' },
  rust: { parser: 'rust', question: 'parse_rust' },
  ansible: { parser: 'yaml', question: 'parse_ansible' },
  dbt: { parser: 'yaml', question: 'parse_dbt' },
  csharp: { parser: 'csharp', question: 'parse_csharp' },
  nu: { parser: 'nu', question: 'parse_nu' },
  java: { parser: 'java', question: 'parse_java' },
  ruby: { parser: 'ruby', question: 'parse_ruby' },
  rlang: { parser: 'r', question: 'parse_r' }
}

/** Argument, as the parsers write it. */
interface Argument {
  readonly name: string
  readonly typ: unknown
  readonly otyp?: string | null
  readonly default?: Json
  readonly has_default?: boolean
}

interface Signature {
  readonly type?: string
  readonly args: readonly Argument[]
  readonly auto_kind?: string | null
  /** Older parsers. */
  readonly no_main_func?: boolean | null
  readonly has_preprocessor?: boolean | null
}

/** How many results are remembered: a script is looked at several times in a run, mostly soon after the first time. */
const REMEMBERED = 512

/** With the packages that are installed beside the program. Never throws; equal input gives equal output. */
export const inferSchema: InferSchema = makeInferSchema(makeAskParser(readInstalled))

/** For another source of parsers. */
export function makeInferSchema(ask: AskParser): InferSchema {
  const remembered = new Map<string, Inferred>()
  return (language, content) => {
    const key = createHash('sha256').update(`${language}\0${content}`).digest('base64')
    const known = remembered.get(key)
    if (known) return known
    const inferred = infer(ask, language, content)
    const [oldest] = remembered.keys()
    if (oldest !== undefined && remembered.size >= REMEMBERED) remembered.delete(oldest)
    remembered.set(key, inferred)
    return inferred
  }
}

const none = (why: string): Inferred => ({ note: `schema: not inferred from the code, because ${why}.` })

function infer(ask: AskParser, name: string, content: string): Inferred {
  const language = Object.hasOwn(languages, name) ? languages[name] : undefined
  if (!language) return none(`Windmill has no argument parser for the language ${name}`)
  const parser = `windmill-parser-wasm-${language.parser}`
  // The UI does the same: some parsers crash on nothing.
  const code = content === '' ? ' ' : content
  const answer = ask(parser, language.question, code)
  if ('failed' in answer) return none(failures[answer.failed](parser))
  try {
    const signature = JSON.parse(answer.said ?? '') as Signature
    if (signature.type === 'Invalid') return none('it cannot be parsed')
    const inline = language.against?.[0] === 'database' && namesDatabase(ask, parser, code)
    return { schema: schemaOf([...(inline ? [] : against(language)), ...signature.args]), ...functionsOf(signature) }
  } catch {
    return none(failures.unusable(parser))
  }
}

const failures = {
  'not-installed': (parser: string) => `the optional package ${parser} is not installed`,
  unusable: (parser: string) => `this version of ${parser} is not understood`,
  crashed: () => 'it cannot be parsed'
}

/** A query with a line like `-- database f/folder/name` has no argument for it. */
function namesDatabase(ask: AskParser, parser: string, code: string): boolean {
  const answer = ask(parser, 'parse_db_resource', code)
  return 'said' in answer && answer.said !== undefined
}

function against({ against }: Language): readonly Argument[] {
  return against ? [{ name: against[0], typ: { resource: against[1] } }] : []
}

function functionsOf(signature: Signature): Pick<Inferred, 'noMain' | 'hasPreprocessor'> {
  const { has_preprocessor: preprocessor, no_main_func: without, auto_kind: kind } = signature
  const noMain = without ?? (preprocessor == null && kind == null ? undefined : kind === 'lib')
  return {
    ...(noMain === undefined ? {} : { noMain }),
    ...(preprocessor == null ? {} : { hasPreprocessor: preprocessor })
  }
}

/** `order` keeps the order of the arguments where that of the keys gets lost. Of equal names the last counts. */
function schemaOf(args: readonly Argument[]): Schema {
  const properties = new Map(args.map(one => [one.name, propertyOf(one)]))
  const required = new Set(args.filter(one => one.has_default !== true).map(one => one.name))
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: Object.fromEntries(properties),
    required: [...required],
    order: [...properties.keys()]
  }
  // Drops what is undefined, as sending it to Windmill does.
  return JSON.parse(JSON.stringify(schema)) as Schema
}

function propertyOf(argument: Argument): Property {
  const property: Property = { description: '', type: '' }
  describeType(argument.typ, property)
  const written = argument.otyp ?? ''
  // `string | string[]`: debouncing collects such arguments and looks at the type as written.
  if (written.includes('[') && written.includes('|')) property['originalType'] = written
  property['default'] = argument.default
  return property
}
