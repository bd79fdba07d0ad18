/** A database with what objects of all kinds stand on, runs over it, and edits as Windmill records them. */
import type postgres from 'postgres'
import type { Report } from '../../../src/report.ts'
import { plain, withDatabase } from '../database.ts'
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
  withDatabase(release, ({ url }) =>
    withManifests([], async folder => {
      // One connection, whose numbers of written rows are told before they are asked for.
      const sql = plain(url, { max: 1 })
      const allowed = ['--admin-namespaces', ['windmill-system', ...namespaces].join(), '--max-lock-jobs', '0']
      const run: Home['run'] = (manifests, ...argv) => {
        putManifests(folder, manifests.map(one => JSON.stringify(one)).join('\n---\n'))
        return runJob([...argv, ...allowed, '--from', folder, '--verbose'], { DATABASE_URL: url })
      }
      try {
        const first = await run(furniture)
        assert.is(first.run.exitCode, 0, told(first))
        await sql`
          insert into usr (workspace_id, username, email, is_admin)
          select ${home}, name, name || '@example.com', false from unnest('{ann,bob,cyd,alice}'::text[]) as name`
        await work({ sql, url, run })
      } finally {
        await sql.end({ timeout: 1 })
      }
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

/** A CR of that kind for the place of the same name. */
export const crOf = (hand: Hand, name: string, value: string, metadata: object = {}): ReturnType<typeof cr> =>
  cr(hand.kind, name, hand.spec(hand.place(name), value), { namespace: 'team', ...metadata })

/** One of each kind. */
export const oneOfEach = (name: string, value: string, metadata: object = {}): readonly object[] =>
  hands.map(hand => crOf(hand, name, value, metadata))

/** What one run said of the object of that name, per kind: op and reason; whom nothing is said of was kept. */
export const saidOf = (report: Report, name: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    hands.map(hand => {
      const one = report.objects.find(other => other.kind === `Windmill${hand.kind}` && other.name === name)
      return [hand.kind, one ? `${one.op} ${one.reason}` : 'keep Synced']
    })
  )

export const forEach = <T>(value: T | ((hand: Hand) => T)): Readonly<Record<string, T>> =>
  Object.fromEntries(
    hands.map(hand => [hand.kind, typeof value === 'function' ? (value as (hand: Hand) => T)(hand) : value])
  )

/** The value that each kind's row has; undefined: there is none. */
export async function valuesOf(sql: postgres.Sql, name: string): Promise<Readonly<Record<string, string | undefined>>> {
  const rows = await rowsOf(sql)
  return forEach(hand => rows.get(keyOf(hand, hand.place(name)))?.value)
}

/** A person edits the objects of that name of all kinds. */
export async function editAll(
  sql: postgres.Sql,
  release: Release,
  names: readonly string[],
  value = 'cyd'
): Promise<void> {
  for (const hand of hands) {
    await editByHand(sql, release, hand, { paths: names.map(hand.place), value, at: new Date() })
  }
}
