/** `--database embedded`: a real PostgreSQL with Windmill's tables for as long as our process lives. */
import { readFileSync } from 'node:fs'
import { runScript } from './client.ts'
import { finalizedSql, instanceSql } from './embedded/instance.ts'
import { type PostgresServer, startPostgres } from './embedded/server.ts'
// Only so that the compiler copies the file beside the program: importing JSON warns on Node 20.
import type _facts from './embedded/windmill-2026-08.json'
import { type SchemaFacts, schemaSql } from './windmill-schema.ts'

export type { PostgresServer } from './embedded/server.ts'
export { startPostgres } from './embedded/server.ts'

export interface EmbeddedDatabase {
  readonly url: string
  readonly stop: () => Promise<void>
}

/** The newest release that we know. */
export const newestFacts = (): SchemaFacts =>
  JSON.parse(readFileSync(new URL('./embedded/windmill-2026-08.json', import.meta.url), 'utf8')) as SchemaFacts &
    Partial<typeof _facts>

export async function startEmbedded(): Promise<EmbeddedDatabase> {
  const server = await startPostgres()
  try {
    await createWindmill(server, 'windmill', `${schemaSql(newestFacts())}\n${instanceSql()}\n${finalizedSql()}`)
    return { url: server.url('windmill'), stop: server.stop }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** A new database with what the SQL makes. */
async function createWindmill(server: Pick<PostgresServer, 'url'>, name: string, sql: string): Promise<void> {
  await runScript(server.url('postgres'), `create database ${name}`)
  await runScript(server.url(name), sql)
}
