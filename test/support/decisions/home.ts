/** A database with what objects of all kinds stand on, runs over it, and edits as Windmill records them. */
import type postgres from 'postgres'
import type { Report } from '../../../src/report.ts'
import { withDatabase } from '../database.ts'
import { cr, putManifests, runJob, withManifests } from '../job.ts'
import { assert } from '../suite.ts'
import type { Release } from '../windmill.ts'
import { type Edit, type Hand, hands, home, type Live } from './hands.ts'

export interface Home {
  readonly sql: postgres.Sql
  readonly url: string
  /** A run over these manifests and no others. */
  readonly run: (manifests: readonly object[], ...argv: string[]) => Promise<Report>
}

/** The workspace, folders, and what schedules start; in a namespace of their own. */
export const furniture: readonly object[] = [
  cr('Workspace', 'home', { id: home, name: 'Demo' }),
  cr('Folder', 'ops', { workspace: home, name: 'ops' }),
  cr('Folder', 'times', { workspace: home, name: 'times' }),
  cr('Script', 'target', { workspace: home, path: 'f/ops/target', language: 'bash', content: 'echo 1' })
].map(one => ({ ...one, metadata: { ...one.metadata, namespace: 'windmill-system' } }))

/** With the furniture in place, and ann, bob, cyd and alice as members. */
export const inHome = (
  release: Release,
  namespaces: readonly string[],
  work: (home: Home) => Promise<void>
): Promise<void> =>
  withDatabase(release, ({ url, sql }) =>
    withManifests([], async folder => {
      const allowed = ['--admin-namespaces', ['windmill-system', ...namespaces].join(), '--max-lock-jobs', '0']
      const run: Home['run'] = (manifests, ...argv) => {
        putManifests(folder, manifests.map(one => JSON.stringify(one)).join('\n---\n'))
        const limit = argv.includes('--max-deletes') ? [] : ['--max-deletes', '100%']
        return runJob([...argv, ...allowed, ...limit, '--from', folder, '--verbose'], { DATABASE_URL: url })
      }
      const first = await run(furniture)
      assert.is(first.run.exitCode, 0, told(first))
      await sql`
        insert into usr (workspace_id, username, email, is_admin)
        select ${home}, name, name || '@example.com', false from unnest('{ann,bob,cyd,alice}'::text[]) as name`
      await work({ sql, url, run })
    })
  )

/** The edit, and what official images record of it. */
export async function editByHand(sql: postgres.Sql, release: Release, hand: Hand, edit: Edit): Promise<void> {
  await hand.edit(sql, edit, release)
  const rows = edit.paths.map(path => {
    const [operation, resource] = hand.audit(path)
    const workspace_id = hand.kind === 'Workspace' ? path : home
    return { workspace_id, username: 'alice', operation, action_kind: 'update', resource, timestamp: edit.at }
  })
  await sql`insert into ${sql(release === '2026-08' ? 'audit_partitioned' : 'audit')} ${sql(rows)}`
}

export const keyOf = (hand: Hand, path: string): string => `${hand.kind} ${path}`

/** All live rows by kind and path. */
export async function rowsOf(sql: postgres.Sql): Promise<ReadonlyMap<string, Live>> {
  const found = await Promise.all(hands.map(async hand => ({ hand, rows: await hand.rows(sql) })))
  return new Map(found.flatMap(({ hand, rows }) => rows.map(row => [keyOf(hand, row.path), row] as const)))
}

/** What went wrong, for the message of a failed assertion. */
export const told = ({ objects, run }: Report): string =>
  [
    run.error?.message,
    ...objects
      .filter(one => one.op === 'error' || one.op === 'conflict')
      .map(one => JSON.stringify(one))
      .slice(0, 5)
  ].join('\n')
