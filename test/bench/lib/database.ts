/** The bench's PostgreSQL: databases made from a template, and counting of what a client does in them. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type postgres from 'postgres'
import { runScript } from '../../../src/database/client.ts'
import { finalizedSql, instanceSql } from '../../../src/database/embedded/instance.ts'
import { newestFacts, startPostgres } from '../../../src/database/embedded.ts'
import { schemaSql } from '../../../src/database/windmill-schema.ts'
import { plain } from '../../support/database.ts'
import { namespaces } from './world.ts'

export interface Work {
  /** Without those that open and close transactions. */
  readonly statements: number
  readonly transactions: number
  /** Time that the server spent on statements, commits included, summed over connections. */
  readonly serverMs: number
  readonly rowsWritten: number
  readonly walMiB: number
}

export interface BenchDatabase {
  readonly url: string
  readonly sql: postgres.Sql
  /** Of clients whose application name begins like this, while `body` runs. */
  readonly counted: <T>(application: string, body: () => Promise<T>) => Promise<{ result: T; work: Work }>
  /** Statistics for the planner, and no checkpoint in the middle of a measurement. */
  readonly tidy: () => Promise<void>
  readonly drop: () => Promise<void>
}

export interface Server {
  readonly make: () => Promise<BenchDatabase>
  readonly stop: () => Promise<void>
}

/** The log has a line per step of a statement: its command tag, the application, the time; no text, so it costs next to nothing. */
const settings = {
  log_duration: 'on',
  log_line_prefix: `'%i|%a|%d|'`,
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '1h'
}

export async function startServer(durable: boolean): Promise<Server> {
  const server = await startPostgres({ settings, durable })
  await runScript(server.url('postgres'), 'create database empty_windmill')
  const workspaces = namespaces.map(id => workspaceSql(id)).join('\n')
  await runScript(
    server.url('empty_windmill'),
    `${schemaSql(newestFacts())}\n${instanceSql()}\n${finalizedSql()}\n${workspaces}`
  )
  const admin = plain(server.url('postgres'), { max: 1, connection: { application_name: 'bench' } })
  const [found] = await admin<{ place: string }[]>`select current_setting('data_directory') as place`
  const log = join(dirname(found?.place ?? ''), 'log')
  let last = 0
  return {
    make: async () => {
      const name = `bench_${++last}`
      await admin.unsafe(`create database ${name} template empty_windmill`)
      return open(server.url(name), name, { log, admin })
    },
    stop: async () => {
      await admin.end({ timeout: 1 })
      await server.stop()
    }
  }
}

const workspaceSql = (id: string): string => `
insert into workspace (id, name, owner) values ('${id}', '${id}', 'admin@windmill.dev');
insert into workspace_settings (workspace_id) values ('${id}');
insert into workspace_key (workspace_id, kind, key) values ('${id}', 'cloud', '${'k'.repeat(64)}');
insert into group_ (workspace_id, name) values ('${id}', 'all');
insert into usr (workspace_id, username, email, is_admin) values ('${id}', 'admin', 'admin@windmill.dev', true);`

function open(url: string, name: string, { log, admin }: { log: string; admin: postgres.Sql }): BenchDatabase {
  const sql = plain(url, { max: 2, connection: { application_name: 'bench' } })
  return {
    url,
    sql,
    counted: async (application, body) => {
      const before = await totals(sql)
      const from = sizeOf(log)
      const result = await body()
      const after = await totals(sql)
      return {
        result,
        work: {
          ...statementsIn(log, from, { application, database: name }),
          transactions: after.transactions - before.transactions,
          rowsWritten: after.rows - before.rows,
          walMiB: (after.wal - before.wal) / 2 ** 20
        }
      }
    },
    tidy: async () => {
      await sql.unsafe('vacuum analyze')
      await sql.unsafe('checkpoint')
    },
    drop: async () => {
      await sql.end({ timeout: 1 })
      await admin.unsafe(`drop database if exists ${name} with (force)`)
    }
  }
}

interface Totals {
  readonly transactions: number
  readonly rows: number
  readonly wal: number
}

/** Clients have ended, and told the server what they did as they did so. */
async function totals(sql: postgres.Sql): Promise<Totals> {
  await sql`select pg_stat_force_next_flush()`
  const [row] = await sql<{ transactions: number; rows: number; wal: number }[]>`
    select (xact_commit + xact_rollback)::float8 as transactions,
           (tup_inserted + tup_updated + tup_deleted)::float8 as rows,
           pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal
      from pg_stat_database where datname = current_database()`
  return row ?? { transactions: 0, rows: 0, wal: 0 }
}

function sizeOf(log: string): number {
  const file = openSync(log, 'r')
  try {
    return fstatSync(file).size
  } finally {
    closeSync(file)
  }
}

/** Parsing and binding are logged as steps of their own; what opens and closes transactions is no work. */
const noWork = /^(PARSE|BIND|BEGIN|COMMIT|ROLLBACK|SET|RESET|DISCARD|SHOW|authentication|idle|startup)\b/i

interface Client {
  readonly application: string
  readonly database: string
}

function statementsIn(log: string, from: number, client: Client): Pick<Work, 'statements' | 'serverMs'> {
  const file = openSync(log, 'r')
  const chunk = Buffer.alloc(1 << 20)
  const sum = { statements: 0, serverMs: 0 }
  let rest = ''
  const look = (line: string): void => {
    const [tag = '', who = '', where, what = ''] = line.split('|')
    const [, ms] = /duration: ([\d.]+) ms/.exec(what) ?? []
    if (ms === undefined || where !== client.database || !who.startsWith(client.application)) return
    sum.serverMs += Number(ms)
    if (!noWork.test(tag)) sum.statements++
  }
  try {
    for (let at = from; ; ) {
      const read = readSync(file, chunk, 0, chunk.length, at)
      if (read === 0) return sum
      at += read
      const lines = (rest + chunk.toString('latin1', 0, read)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) look(line)
    }
  } finally {
    closeSync(file)
  }
}
