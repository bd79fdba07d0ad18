/** Command line and environment → one frozen Config, or all faults at once. The only reader of the environment. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { SyncError } from './errors.ts'
import type { Adopt, ConflictPolicy, DeletionPolicy } from './model.ts'
import type { MaxDeletes } from './plan.ts'
import { type Command, commands, type Setting, settings } from './settings.ts'
import type { NamespaceMapping, RunAsRule } from './tenancy.ts'

export interface Requirement {
  readonly key: string
  readonly op: 'in' | 'notin' | 'exists' | 'absent'
  readonly values: readonly string[]
}

export interface Config {
  readonly command: Command | 'help' | 'version'
  readonly from: string | undefined
  /** A connection string, `embedded`, or undefined (init --print needs none). */
  readonly database: string | undefined
  readonly context: string | undefined
  readonly conflictPolicy: ConflictPolicy
  readonly deletionPolicy: DeletionPolicy
  readonly adopt: Adopt | undefined
  readonly namespaceMapping: NamespaceMapping
  readonly watchNamespaces: readonly string[] | undefined
  readonly adminNamespaces: readonly string[]
  readonly runAs: RunAsRule
  readonly userPaths: 'allow' | 'deny'
  readonly kinds: readonly string[] | undefined
  readonly selector: readonly Requirement[] | undefined
  readonly maxDeletes: MaxDeletes
  /** 0: no limit. */
  readonly maxLockJobs: number
  readonly concurrency: number
  readonly batchSize: number
  /** Milliseconds. */
  readonly lockTimeout: number
  readonly deadline: number | undefined
  readonly shard: { readonly index: number; readonly count: number }
  readonly user: string
  readonly email: string
  readonly clusterId: string | undefined
  readonly output: 'text' | 'json' | undefined
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly refresh: boolean
  readonly status: 'all' | 'changes' | 'none'
  readonly verbose: boolean
  readonly exitCode: boolean
  readonly diff: boolean
  readonly print: boolean
  /** `validate`: files, folders, or `-`. */
  readonly inputs: readonly string[]
  /** `export`: what to write, and where. */
  readonly workspace: readonly string[] | undefined
  readonly path: readonly string[] | undefined
  readonly namespace: string | undefined
  readonly to: string | undefined
  readonly withSecrets: string | undefined
  readonly force: boolean
  readonly all: boolean
  readonly deleted: boolean
  readonly salt: string
  /** Where the last sentence and the first failures go; Kubernetes shows it. */
  readonly terminationLog: string
}

type Environment = Readonly<Record<string, string | undefined>>
type Values = Record<string, unknown>

const camel = (option: string): string => option.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
const isFlag = (one: Setting): boolean => one.value === undefined

/** Two connections were as fast as more when measured; a few more help where the database is far away. */
export const connectionsFor = ({ concurrency }: Pick<Config, 'concurrency'>): number =>
  Math.min(4, Math.max(2, Math.floor(concurrency / 8)))

/** Throws one ConfigInvalid that lists every fault. */
export function readConfig(argv: readonly string[], environment: Environment): Config {
  const faults: string[] = []
  const { given, command, inputs } = readArguments(argv, faults)
  if (given['help'] || given['version']) return finish({}, given['help'] ? 'help' : 'version', environment, faults)
  const values: Values = {}
  for (const one of settings) readSetting(one, { given, environment, command }, values, faults)
  for (const name of Object.keys(environment)) {
    if (name.startsWith('IAC_') && !settings.some(one => 'variable' in one && one.variable === name)) {
      faults.push(`${name}: no such setting`)
    }
  }
  if (command !== 'validate') readDatabase(values, environment, command, faults)
  if (command === 'export') checkExport(values, faults)
  values['inputs'] = inputs
  if (faults.length > 0) throw new SyncError('ConfigInvalid', faults.join('\n'))
  return finish(values, command, environment, faults)
}

function readArguments(
  argv: readonly string[],
  faults: string[]
): { given: Values; command: Command; inputs: readonly string[] } {
  const options = Object.fromEntries(
    settings.map((one: Setting) => [
      one.option,
      { type: isFlag(one) ? 'boolean' : 'string', ...(one.short && { short: one.short }) } as const
    ])
  )
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true })
  const given: Values = {}
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const known = settings.find((one: Setting) => one.option === token.name) as Setting | undefined
    if (!known) faults.push(`${token.rawName}: no such option`)
    else if (isFlag(known) && token.value !== undefined) faults.push(`${token.rawName}: takes no value`)
    else if (!isFlag(known) && token.value === undefined) faults.push(`${token.rawName}: needs a value`)
    else given[token.name] = token.value ?? true
  }
  const [command = 'reconcile', ...rest] = positionals
  if (!Object.hasOwn(commands, command))
    faults.push(`${command}: no such command (${Object.keys(commands).join(', ')})`)
  if (command === 'validate') {
    if (rest.length === 0 && !given['help']) faults.push('validate: needs files or folders, or - for stdin')
    return { given, command, inputs: rest }
  }
  for (const extra of rest) faults.push(`${extra}: unexpected argument`)
  return { given, command: (Object.hasOwn(commands, command) ? command : 'reconcile') as Command, inputs: [] }
}

interface Origin {
  readonly given: Values
  readonly environment: Environment
  readonly command: Command
}

/** Options beat variables beat defaults; an empty variable counts as unset. */
function readSetting(one: Setting, { given, environment, command }: Origin, values: Values, faults: string[]): void {
  const option = given[one.option]
  if (option !== undefined && one.commands && !one.commands.includes(command)) {
    faults.push(`--${one.option}: only for ${one.commands.join(', ')}`)
  }
  const variable = one.variable && environment[one.variable] !== '' ? environment[one.variable] : undefined
  const [where, text] = option === undefined ? [one.variable ?? '', variable] : [`--${one.option}`, option]
  const key = camel(one.option)
  if (isFlag(one)) {
    if (typeof text === 'string' && !/^(true|false|1|0)$/.test(text)) faults.push(`${where}: must be true or false`)
    values[key] = text === true || text === 'true' || text === '1'
    return
  }
  const chosen = typeof text === 'string' ? text : one.fallback
  if (chosen === undefined) return
  try {
    values[key] = one.parse ? one.parse(chosen) : chosen
    if (text === undefined && one.option === 'max-deletes')
      values[key] = { ...(values[key] as object), explicit: false }
  } catch (error) {
    faults.push(`${where}: ${(error as Error).message}`)
  }
}

function readDatabase(values: Values, environment: Environment, command: Command, faults: string[]): void {
  const file = environment['DATABASE_URL_FILE']
  if (values['database'] === undefined && file) {
    try {
      values['database'] = readFileSync(file, 'utf8').trim()
    } catch (error) {
      faults.push(`DATABASE_URL_FILE: cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown reason'})`)
      return
    }
  }
  if (!values['database'] && !(command === 'init' && values['print'])) {
    faults.push('--database, DATABASE_URL or DATABASE_URL_FILE: required (`--database embedded` for a first try)')
  }
}

function checkExport(values: Values, faults: string[]): void {
  if (values['force'] && values['withSecrets'] === undefined) faults.push('--force: only with --with-secrets')
  if (values['withSecrets'] === '-') faults.push('--with-secrets: must be a file; secrets are never printed')
}

function finish(
  values: Values,
  command: Config['command'],
  environment: Environment,
  faults: readonly string[]
): Config {
  if (faults.length > 0) throw new SyncError('ConfigInvalid', faults.join('\n'))
  const own = environment['POD_NAMESPACE']
  const config = {
    adminNamespaces: own ? [own, 'windmill-system'] : ['windmill-system'],
    ...values,
    command,
    salt: environment['SECRET_SALT'] ?? '',
    terminationLog: environment['TERMINATION_LOG'] ?? '/dev/termination-log'
  }
  return Object.freeze(config) as unknown as Config
}
