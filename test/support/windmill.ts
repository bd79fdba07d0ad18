/** A database of a release with two workspaces, opened as the program opens it: for tests of single kinds. */
import type postgres from 'postgres'
import { readCatalogue } from '../../src/database/capabilities.ts'
import { connect, type Database } from '../../src/database/client.ts'
import type { Context } from '../../src/model.ts'
import { withDatabase } from './database.ts'

export const releases = ['1.463.2', '1.558.1', '2026-08'] as const
export type Release = (typeof releases)[number]

export interface World {
  readonly variant: Release
  /** As the program sees it. */
  readonly database: Database
  /** As a superuser, for looking and for arranging. */
  readonly sql: postgres.Sql
  readonly context: Context
}

/** Workspaces `w` and `other`, each with its group `all` and nobody in it. */
export async function inWindmill(variant: Release, work: (world: World) => Promise<void>): Promise<void> {
  await withDatabase(variant, async ({ url, sql }) => {
    for (const id of ['w', 'other']) {
      await sql`insert into workspace (id, name, owner) values (${id}, ${id}, 'admin@windmill.dev')`
      await sql`insert into workspace_settings (workspace_id) values (${id})`
      await sql`insert into workspace_key (workspace_id, kind, key) values (${id}, 'cloud', ${'k'.repeat(64)})`
      await sql`insert into group_ (workspace_id, name) values (${id}, 'all')`
    }
    const database = await connect(url)
    try {
      const capabilities = await database.read(readCatalogue)
      const user = 'iac_controller'
      const email = 'iac-controller@cluster.local'
      await work({
        variant,
        database,
        sql,
        context: { capabilities, user, email, salt: '', linkedBy: () => undefined }
      })
    } finally {
      await database.close()
    }
  })
}
