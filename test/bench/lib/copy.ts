/** The copy floor: COPY of what a run wrote, into the same tables of another database. */
import { runScript } from '../../../src/database/client.ts'
import { initScript } from '../../../src/database/ledger-schema.ts'
import { plain } from '../../support/database.ts'
import type { BenchDatabase } from './database.ts'

export interface Saved {
  readonly tables: readonly string[]
  readonly mib: number
}

/** Beside the data directory, which goes away with the server. */
const fileOf = (table: string): string => `../copy-${table.replace(/\W/g, '-')}`

/** Every table that holds rows, into files of the server. */
export async function save({ sql }: BenchDatabase): Promise<Saved> {
  const found = await sql<{ name: string }[]>`
    select quote_ident(schemaname) || '.' || quote_ident(s.relname) as name from pg_stat_user_tables s
      join pg_class c on c.oid = s.relid and c.relkind = 'r'
     where schemaname in ('public', 'windmill_iac') order by 1`
  const [place] = await sql<{ folder: string }[]>`select current_setting('data_directory') as folder`
  const tables: string[] = []
  let bytes = 0
  for (const { name } of found) {
    const [any] = await sql.unsafe(`select 1 from ${name} limit 1`)
    if (!any) continue
    await sql.unsafe(`copy ${name} to '${place?.folder}/${fileOf(name)}'`)
    const [file] = await sql<{ size: number }[]>`select size::float8 as size from pg_stat_file(${fileOf(name)})`
    tables.push(name)
    bytes += file?.size ?? 0
  }
  return { tables, mib: bytes / 2 ** 20 }
}

/**
 * Milliseconds of COPY on one connection, from files of the server. No bytes travel, and foreign keys and triggers are
 * off, so the floor is rather too low than too high.
 */
export async function copyFloor(saved: Saved, database: BenchDatabase): Promise<number> {
  await runScript(database.url, initScript())
  const sql = plain(database.url, { max: 1 })
  try {
    const [place] = await sql<{ folder: string }[]>`select current_setting('data_directory') as folder`
    await sql.unsafe('set session_replication_role = replica')
    await sql.unsafe(`truncate ${saved.tables.join(', ')} cascade`)
    await sql.unsafe('checkpoint')
    const start = performance.now()
    for (const name of saved.tables) await sql.unsafe(`copy ${name} from '${place?.folder}/${fileOf(name)}'`)
    return performance.now() - start
  } finally {
    await sql.end({ timeout: 1 })
  }
}
