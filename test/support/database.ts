/** Real databases for tests: Windmill's tables of three releases, a fresh copy for each call. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { runScript } from '../../src/database/client.ts'
import { finalizedSql, instanceSql } from '../../src/database/embedded/instance.ts'
import { newestFacts, type PostgresServer, startPostgres } from '../../src/database/embedded.ts'
import { type SchemaFacts, schemaSql, type Table } from '../../src/database/windmill-schema.ts'
import { hasCanaries, hear } from './canaries.ts'

/** `-unfinalized`: the job tables as the migrations alone leave them; the others as a running server makes them. */
export const variants = ['1.463.2', '1.558.1', '2026-08', '1.463.2-unfinalized', '1.558.1-unfinalized'] as const
export type Variant = (typeof variants)[number]

/** Where the runner hands its server to test files: a URL that a database name is appended to. */
export const serverVariable = 'WINDMILL_IAC_TEST_SERVER'

export interface TestDatabase {
  /** For the program under test; a superuser, so it works as windmill_admin. */
  readonly url: string
  /** The plain driver as superuser, for looking and for arranging. */
  readonly sql: postgres.Sql
}

let server: Promise<Pick<PostgresServer, 'url'>> | undefined
const templates = new Map<string, Promise<void>>()
let last = 0

/** The server of the runner, or one of this process that ends with it. */
export function testServer(): Promise<Pick<PostgresServer, 'url'>> {
  const given = process.env[serverVariable]
  server ??= given ? Promise.resolve({ url: (database: string) => given + database }) : startPostgres()
  return server
}

/** Runs `work` on a new database and drops it, whatever comes. */
export async function withDatabase<T>(variant: Variant, work: (database: TestDatabase) => Promise<T>): Promise<T> {
  const { url } = await testServer()
  await template(variant)
  const name = `test_${process.pid}_${++last}`
  await runScript(url('postgres'), `create database ${name} template ${templateName(variant)}`)
  const sql = plain(url(name))
  try {
    return await work({ url: url(name), sql })
  } finally {
    await hearLedger(sql)
    await sql.end({ timeout: 1 })
    await runScript(url('postgres'), `drop database if exists ${name} with (force)`)
  }
}

/** Everything that the program wrote down for itself, and what it left in Windmill's audit log. */
async function hearLedger(sql: postgres.Sql): Promise<void> {
  if (!hasCanaries()) return
  try {
    const tables = await sql<{ name: string }[]>`
      select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables
       where schemaname = 'windmill_iac' or tablename in ('audit', 'audit_partitioned')`
    for (const { name } of tables) {
      const rows = await sql.unsafe<{ text: string }[]>(`select to_jsonb(x)::text as text from ${name} x`)
      for (const { text } of rows) hear(`table ${name}`, text, name === 'windmill_iac.deleted')
    }
  } catch {
    // The test ended the database, or its own connection.
  }
}

/** The driver without any of our care; it does not know our URL form, so it is given the parts. */
export function plain(url: string, options: Record<string, unknown> = {}): postgres.Sql {
  const [, user, , host, port, database] = /^postgres:\/\/([^:@]+)(:[^@]*)?@([^:/]*):(\d+)\/([^?]+)/.exec(url) ?? []
  if (!user || !host || !port || !database) throw new Error('not a URL of our test servers')
  return postgres({
    host: decodeURIComponent(host),
    port: Number(port),
    user,
    database,
    max: 3,
    onnotice: () => {},
    transform: { undefined: null },
    ...options
  })
}

const templateName = (variant: Variant): string => `template_${variant.replace(/\W/g, '_')}`

/** Makes the database that others are copied from: once per server, whichever process comes first. */
function template(variant: Variant): Promise<void> {
  let made = templates.get(variant)
  if (!made) templates.set(variant, (made = makeTemplate(variant)))
  return made
}

async function makeTemplate(variant: Variant): Promise<void> {
  const { url } = await testServer()
  const name = templateName(variant)
  const sql = plain(url('postgres'), { max: 1 })
  try {
    await sql`select pg_advisory_lock(${variants.indexOf(variant)})`
    const [done] = await sql`select from pg_database where datname = ${name} and datistemplate`
    if (done) return
    const final = variant.endsWith('-unfinalized') ? '' : finalizedSql()
    await sql.unsafe(`drop database if exists ${name}`)
    await sql.unsafe(`create database ${name}`)
    await runScript(url(name), `${schemaSql(factsOf(variant))}\n${instanceSql()}\n${final}`)
    await sql.unsafe(`alter database ${name} is_template true`)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** What a variant consists of. */
export function factsOf(variant: Variant): SchemaFacts {
  if (variant === '2026-08') return newestFacts()
  const raw = rawFacts(variant.replace('-unfinalized', ''))
  return variant.endsWith('-unfinalized') ? raw : finalize(raw, newestFacts())
}

/** From test/ as from dist/test/, where the compiler puts no JSON. */
function rawFacts(version: string): SchemaFacts {
  const here = dirname(fileURLToPath(import.meta.url))
  const source = here.replace(/([\\/])dist([\\/]test[\\/]support)$/, '$2')
  return JSON.parse(readFileSync(join(source, 'schema', `windmill-${version}.json`), 'utf8')) as SchemaFacts
}

/**
 * What a running server does to the job tables: legacy columns, compatibility triggers and row security go. The result
 * is the newest release's shape, less two columns that came later.
 */
function finalize(facts: SchemaFacts, newest: SchemaFacts): SchemaFacts {
  const tables: Record<string, Table> = { ...facts.tables }
  const later = ['runnable_settings_handle', 'cache_ignore_s3_path']
  for (const name of ['v2_job', 'v2_job_runtime', 'v2_job_status']) {
    const { triggers: _, ...rest } = facts.tables[name] as Table
    tables[name] = rest
  }
  for (const name of ['v2_job_queue', 'v2_job_completed']) {
    const table = newest.tables[name] as Table
    tables[name] = { ...table, columns: table.columns.filter(column => !later.includes(column.name)) }
  }
  return { ...facts, tables }
}
