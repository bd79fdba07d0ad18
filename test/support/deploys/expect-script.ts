/** What rows a WindmillScript must become: contract, scripts §1 to §3 and §7. */
import type postgres from 'postgres'
import type { Bench, Manifest, Spec } from './bench.ts'
import { textOf } from './bench.ts'
import { anything, deviations, either, type Row, recent, rule } from './expect.ts'
import { jobDeviations } from './expect-job.ts'
import { email, hexOf, importsOf, isLocking, storedLanguage, user } from './rules.ts'

const comment: Readonly<Record<string, string>> = {
  ...Object.fromEntries(['nativets', 'bun', 'bunnative', 'deno', 'php', 'csharp', 'java'].map(one => [one, '//'])),
  ...Object.fromEntries(['postgresql', 'mysql', 'mssql', 'snowflake', 'bigquery', 'duckdb'].map(one => [one, '--'])),
  go: '//',
  rust: '//!'
}

/** Whether `<sign> schema_validation` stands in the first lines of comments (scripts §1.2). */
function validatesSchema(language: string, code: string): boolean {
  const sign = comment[language] ?? '#'
  for (const line of code.split('\n')) {
    if (!line.startsWith(sign)) return false
    if (line.trimEnd() === `${sign} schema_validation`) return true
  }
  return false
}

/** What the API reads from the code (scripts §1.5); null: nothing is known, or it is not so. */
function functionsOf({ language, kind = 'script', ...spec }: Spec, code: string) {
  const stated = { lib: spec['noMainFunc'] === true, preprocessor: spec['hasPreprocessor'] === true }
  if (kind === 'preprocessor') return stated
  if (language === 'python3')
    return { lib: !/^def main\(/m.test(code), preprocessor: /^def preprocessor\(/m.test(code) }
  if (!['bun', 'bunnative', 'deno', 'nativets'].includes(String(language))) return stated
  const declares = (name: string): boolean => new RegExp(`^(export )?(async )?function ${name}\\(`, 'm').test(code)
  return { lib: !declares('main'), preprocessor: declares('preprocessor') }
}

const orNull = (value: unknown): unknown => value ?? null
const trueOrNull = (value: boolean): true | null => (value ? true : null)
const falseMayBeNull = (value: unknown) => (value === true ? true : either(null, false))

/** The lock at insert (scripts §3.1): null waits for a worker. */
function lockOf(spec: Spec, bench: Bench): string | null {
  if (!isLocking(String(spec['language']), bench.release)) return ''
  return (spec['lock'] as string | undefined) ?? null
}

/** The JSON of a schema as stated; one that is inferred is only looked at for its form (its content: infer tests). */
function schemaRule(spec: Spec) {
  const stated = spec['schema']
  if (typeof stated === 'string') return rule(`the text ${stated}`, (_, row) => row['schema_text'] === stated)
  if (stated !== undefined) return stated
  return rule('null or a JSON Schema with the order of its fields', value => {
    const { type, properties, order } = (value ?? {}) as { type?: unknown; properties?: object; order?: unknown[] }
    return value === null || (type === 'object' && Object.keys(properties ?? {}).length === order?.length)
  })
}

/** Newer Windmill keeps limits in rows of their own, which must say it; the old columns may say it too, or nothing. */
const limit = (column: string, value: unknown) =>
  rule(`${String(value)} by the column or the settings`, (given, row) => {
    const settings = row['settings'] as Row | null
    if (settings === null) return given === (value ?? null)
    return (settings[column] ?? null) === (value ?? null) && (given === null || given === value)
  })

export interface Lineage {
  readonly parents?: readonly string[] | null
  readonly permissions?: object
}

export function scriptRow(bench: Bench, spec: Spec, code: string, lineage: Lineage = {}): Row {
  const language = storedLanguage(String(spec['language']), code)
  const kind = (spec['kind'] as string | undefined) ?? 'script'
  const { lib, preprocessor } = functionsOf(spec, code)
  const acting = spec['onBehalfOf'] !== undefined
  const envs = spec['envs'] as readonly string[] | undefined
  return {
    workspace_id: 'demo',
    hash: rule('a hash of its own', value => !['0', '-42', '-43', '-44', '-45'].includes(String(value))),
    path: spec['path'],
    parent_hashes: lineage.parents ?? null,
    summary: spec['summary'] ?? '',
    description: spec['description'] ?? '',
    content: code,
    created_by: acting ? 'alice' : user,
    created_at: recent,
    archived: false,
    schema: schemaRule(spec),
    schema_text: anything,
    settings: anything,
    deleted: false,
    is_template: spec['isTemplate'] ?? false,
    extra_perms: lineage.permissions ?? {},
    lock: lockOf({ ...spec, language }, bench),
    lock_error_logs: null,
    language,
    kind,
    tag: orNull(spec['tag']),
    draft_only: null,
    envs: envs?.length ? envs : null,
    concurrent_limit: limit('concurrent_limit', spec['concurrencyLimit']),
    concurrency_time_window_s: limit('concurrency_time_window_s', spec['concurrencyTimeWindowS']),
    concurrency_key: limit('concurrency_key', spec['concurrencyKey']),
    debounce_key: limit('debounce_key', spec['debounceKey']),
    debounce_delay_s: limit('debounce_delay_s', spec['debounceDelayS']),
    runnable_settings_handle: spec['concurrencyLimit'] || spec['debounceKey'] ? anything : null,
    cache_ttl: orNull(spec['cacheSeconds']),
    cache_ignore_s3_path: orNull(spec['cacheIgnoreS3Path']),
    dedicated_worker: falseMayBeNull(spec['dedicatedWorker']),
    // The API of the community edition refuses true.
    ws_error_handler_muted: false,
    priority: orNull(spec['priority']),
    timeout: orNull(spec['timeout']),
    delete_after_use: falseMayBeNull(spec['deleteAfterUse']),
    delete_after_secs: orNull(spec['deleteAfterSecs']),
    restart_unless_cancelled: falseMayBeNull(spec['restartUnlessCancelled']),
    visible_to_runner_only: falseMayBeNull(spec['visibleToRunnerOnly']),
    no_main_func: trueOrNull(lib),
    auto_kind: lib && !['failure', 'trigger', 'approval'].includes(kind) ? 'lib' : null,
    codebase: null,
    has_preprocessor: trueOrNull(preprocessor),
    on_behalf_of_email: acting ? 'alice@example.com' : null,
    on_behalf_of: acting ? 'u/alice' : null,
    schema_validation: validatesSchema(String(spec['language']), code),
    assets: null,
    modules: null,
    labels: orNull(spec['labels'])
  }
}

/** All versions of a path, newest first, with the settings that their handle leads to. */
export async function versionsOf(sql: postgres.Sql, path: string): Promise<readonly Row[]> {
  const [{ handled } = { handled: false }] = await sql<{ handled: boolean }[]>`
    select to_regclass('public.runnable_settings') is not null as handled`
  const settings = handled
    ? sql`(select to_jsonb(c) || to_jsonb(d) from (select 1) one
             left join runnable_settings r on r.hash = s.runnable_settings_handle
             left join concurrency_settings c on c.hash = r.concurrency_settings
             left join debouncing_settings d on d.hash = r.debouncing_settings)`
    : sql`null`
  return sql`select s.*, s.schema::text as schema_text, ${settings} as settings from script s
              where workspace_id = 'demo' and path = ${path} order by created_at desc`
}

/** A script that has just been made: its row, job, imports and records. */
export async function scriptDeviations(
  bench: Bench,
  manifests: readonly Manifest[],
  one: Manifest
): Promise<readonly string[]> {
  const { spec } = one
  const { sql } = bench
  const path = String(spec['path'])
  const code = textOf(manifests, one)
  const versions = await versionsOf(sql, path)
  const [row] = versions
  if (!row || versions.length > 1) return [`${path}: ${versions.length} versions`]
  return [
    ...deviations(`script ${path}`, row, scriptRow(bench, spec, code)),
    ...(await jobDeviations(
      bench,
      path,
      'dependencies',
      row['lock'] === null ? scriptJob(bench, spec, row) : undefined
    )),
    ...(await mapDeviations(bench, row, spec)),
    ...(await recordDeviations(bench, row))
  ]
}

/** The dependency job (scripts §3.4). */
export function scriptJob(bench: Bench, spec: Spec, row: Row, args: object = {}): Row {
  const newest = bench.release === '2026-08'
  const sent = String(spec['language'])
  const language = row['language'] === 'bunnative' ? 'bun' : sent === 'bunnative' ? 'bun' : sent
  const own = (spec['tag'] as string | undefined) ?? ''
  return {
    kind: 'dependencies',
    runnable_id: row['hash'],
    runnable_path: row['path'],
    script_lang: language,
    args,
    tag: own === '' || own.includes('$args[') ? language : own.replaceAll('$workspace', 'demo'),
    priority: newest ? 0 : null,
    created_by: user,
    permissioned_as: `u/${user}`,
    permissioned_as_email: email
  }
}

/** A worker writes the map for what it locks; for the rest it is ours to write (scripts §3.6). */
async function mapDeviations({ sql, release }: Bench, row: Row, { language }: Spec): Promise<readonly string[]> {
  const path = String(row['path'])
  const rows = await sql`
    select importer_kind, importer_node_id, imported_path from dependency_map
     where workspace_id = 'demo' and importer_path = ${path} and importer_kind = 'script' order by imported_path`
  const imported = row['lock'] === null ? [] : importsOf(String(language), String(row['content']), path, release)
  const found = rows.map(one => one['imported_path']).join(', ')
  return found === imported.join(', ') ? [] : [`dependency_map of ${path}: ${found}, expected ${imported.join(', ')}`]
}

/** Audit row, and the row that newer Windmill's deployment status reads. */
async function recordDeviations(bench: Bench, row: Row): Promise<readonly string[]> {
  const { sql, release } = bench
  const path = String(row['path'])
  const hash = hexOf(String(row['hash']))
  const metadata = await sql`select * from deployment_metadata where workspace_id = 'demo' and path = ${path}`
  const waits = release === '2026-08' && row['lock'] === null
  return [
    ...(await auditDeviations(bench, 'scripts.create', path, { action: 'create', workspace: 'demo', hash })),
    ...(metadata.length === (waits ? 1 : 0) ? [] : [`deployment_metadata of ${path}: ${metadata.length} rows`]),
    ...(waits && (metadata[0]?.['script_hash'] !== row['hash'] || !metadata[0]?.['job_id'])
      ? [`deployment_metadata of ${path}: ${JSON.stringify(metadata[0])}`]
      : [])
  ]
}

/** The one audit row of a change: who, what and with which parameters. */
export async function auditDeviations(
  { sql, release }: Pick<Bench, 'sql' | 'release'>,
  operation: string,
  resource: string,
  { action, ...parameters }: Row
): Promise<readonly string[]> {
  const table = release === '2026-08' ? sql`audit_partitioned` : sql`audit`
  const rows = await sql`
    select username, action_kind, parameters from ${table}
     where workspace_id = 'demo' and operation = ${operation} and resource = ${resource}`
  const [row] = rows
  const where = `audit ${operation} ${resource}`
  if (!row || rows.length > 1) return [`${where}: ${rows.length} rows`]
  const given = row['parameters'] as Row
  const wrong = Object.entries(parameters).filter(([name, value]) => given[name] !== value)
  return [
    ...(row['action_kind'] === action && row['username'] === user ? [] : [`${where}: ${JSON.stringify(row)}`]),
    ...wrong.map(([name, value]) => `${where}: ${name} is ${String(given[name])}, expected ${String(value)}`)
  ]
}
