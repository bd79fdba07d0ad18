/** All rows of the decision table × all policies × all kinds, on one database, through whole runs. */
import type postgres from 'postgres'
import type { Report } from '../../../src/report.ts'
import { seconds } from '../../../src/status.ts'
import { quietly } from '../contract/bench.ts'
import { isWindmills } from '../contract/photo.ts'
import { cr } from '../job.ts'
import { assert, suite } from '../suite.ts'
import type { Release } from '../windmill.ts'
import { type Hand, hands, type Live } from './hands.ts'
import { editByHand, furniture, inHome, keyOf, rowsOf, told } from './home.ts'
import { type Column, columns, type Situation, situations } from './table.ts'

/** One object: a situation of a kind in a column. */
interface Cell {
  readonly hand: Hand
  readonly column: Column
  readonly title: string
  readonly situation: Situation
  readonly name: string
  readonly path: string
  readonly expected: string
}

const cells: readonly Cell[] = hands.flatMap(hand =>
  Object.entries(situations).flatMap(([title, situation]) =>
    columns.map((column, at): Cell => {
      const name = `${title}-${column.name}`
      const { expected } = situation
      const row = typeof expected === 'function' ? expected(hand) : expected
      return { hand, column, title, situation, name, path: hand.place(name), expected: row[at] ?? '' }
    })
  )
)

const namespaces = columns.map(one => one.name)

function crOf(cell: Pick<Cell, 'hand' | 'path' | 'name' | 'column' | 'situation'>, value: string): object {
  const { hand, path, name, column, situation } = cell
  const policy = situation.deletion && { 'windmill.dev/deletion-policy': situation.deletion }
  const metadata = { name, namespace: column.name, creationTimestamp: column.specTime, annotations: { ...policy } }
  return cr(hand.kind, name, hand.spec(path, value), metadata)
}

/** The manifests once everything happened. */
const finally_ = cells.flatMap(cell => {
  const { situation, name } = cell
  if (!situation.cr) return []
  return [crOf(situation.twin ? { ...cell, name: `${name}-twin` } : cell, situation.cr)]
})

interface Decided {
  readonly sql: postgres.Sql
  readonly editedAt: Date
  /** Rows by kind and path, before the runs and after. */
  readonly before: ReadonlyMap<string, Live>
  readonly after: ReadonlyMap<string, Live>
  readonly reports: ReadonlyMap<string, Report>
}

/** Between the first runs and those that decide: what people and mishaps do. */
async function happen(sql: postgres.Sql, release: Release, at: Date): Promise<void> {
  for (const hand of hands) {
    const paths = (wanted: Situation['hand']): string[] =>
      cells.filter(one => one.hand === hand && one.situation.hand === wanted).map(one => one.path)
    for (const value of ['bob', 'cyd'] as const) {
      await editByHand(sql, release, hand, { paths: paths(value), value, at })
    }
    await hand.remove(sql, paths('remove'))
  }
  const named = (ledger: Situation['ledger']): string[] =>
    cells.filter(one => one.situation.ledger === ledger).map(one => one.name)
  await sql`delete from windmill_iac.object where name = any(${named('lost')})`
  await sql`update windmill_iac.object set cluster = 'another' where name = any(${named('other')})`
}

const inDecisions = (release: Release, work: (decided: Decided) => Promise<void>): Promise<void> =>
  inHome(release, namespaces, async ({ sql, run }) => {
    const created = cells.filter(one => one.situation.created).map(one => crOf(one, 'ann'))
    const first = await run([...furniture, ...created])
    assert.is(first.counts.create, created.length, told(first))
    const editedAt = new Date()
    await happen(sql, release, editedAt)
    const before = await rowsOf(sql)
    const reports = new Map<string, Report>()
    const decide = async ({ name, policy }: Column): Promise<Report> =>
      run(finally_, '--max-deletes', '100%', '--watch-namespaces', name, '--conflict-policy', policy)
    for (const column of columns) reports.set(column.name, await decide(column))
    const after = await rowsOf(sql)
    await work({ sql, editedAt, before, after, reports })
    for (const column of columns) await isQuietFromThenOn(sql, () => decide(column), reports.get(column.name))
  })

/** The next run says the same of whoever is in dispute, keeps all others, and writes nothing. */
async function isQuietFromThenOn(sql: postgres.Sql, decide: () => Promise<Report>, last: Report | undefined) {
  const again = await quietly(sql, isWindmills, decide)
  const disputes = (report: Report | undefined): readonly string[] =>
    (report?.objects ?? [])
      .filter(one => one.op === 'conflict' || one.op === 'skip')
      .map(one => `${one.kind} ${one.namespace}/${one.name} ${one.reason} ${one.message}`)
      .sort()
  assert.equal(disputes(again), disputes(last))
  const { create, update, adopt, delete: gone, error } = again.counts
  assert.equal({ create, update, adopt, gone, error }, { create: 0, update: 0, adopt: 0, gone: 0, error: 0 })
}

type Told = Report['objects'][number]

/** `op state reason value`, and `off` for what is archived or disabled. Whom nothing is said of was kept. */
function found(
  { hand, column, name, situation, path }: Cell,
  { reports, after }: Decided
): readonly [string, Told | undefined] {
  const wanted = situation.twin ? `${name}-twin` : name
  const one = reports
    .get(column.name)
    ?.objects.find(other => other.kind === `Windmill${hand.kind}` && other.name === wanted)
  const live = after.get(keyOf(hand, path))
  const words = [one?.op ?? 'keep', one ? one.state : 'Synced', one ? one.reason : 'Synced', live?.value ?? '-']
  return [[...words, ...(live && !live.active ? ['off'] : [])].join(' '), one]
}

/** Messages name the field and whoever changed it, and no value of either side. */
function checkMessage({ hand, situation }: Cell, { message, reason }: Told): void {
  if (
    situation.hand !== 'cyd' ||
    !['ChangedInDatabase', 'BothChanged', 'ExistsAlready', 'DatabaseIsNewer'].includes(reason)
  )
    return
  assert.match(message, /\bby alice\b/)
  if (situation.cr) assert.ok(message.includes(hand.field), message)
  assert.not.match(message, /\b(ann|bob|cyd)\b/)
}

function checkCell(cell: Cell, decided: Decided): void {
  const [shown, one] = found(cell, decided)
  assert.is(shown, cell.expected, one?.message)
  if (one) checkMessage(cell, one)
  const [was, is] = [decided.before, decided.after].map(rows => rows.get(keyOf(cell.hand, cell.path)))
  const isWritten = /^(create|update)|^adopt .* ann$|Deleted|Archived/.test(shown) && was?.value !== is?.value
  if (!isWritten && !shown.endsWith('off')) assert.is(is?.mark, was?.mark, 'the row was written')
  if (shown.startsWith('update') && cell.title === 'both')
    assert.match(one?.message ?? '', /^(In sync|.*manifest was newer)/)
}

async function checkTimes(hand: Hand, { sql, editedAt }: Decided): Promise<void> {
  const rows = await sql<{ name: string; at: string | null }[]>`
    select name, details->>'lastModifiedInDb' as at from windmill_iac.object
     where kind = ${`Windmill${hand.kind}`} and reason in ('ChangedInDatabase', 'BothChanged') and name is not null`
  assert.ok(rows.length >= 5)
  for (const { name, at } of rows) assert.is(at, seconds(editedAt), name)
}

/** One test per kind: all cells that differ are told together. */
export async function decisions(release: Release): Promise<void> {
  const test = suite(`decisions at ${release}`)
  let failed: unknown
  const faults = new Map<Hand, string[]>()
  await inDecisions(release, async decided => {
    for (const hand of hands) faults.set(hand, [])
    for (const cell of cells) {
      try {
        checkCell(cell, decided)
      } catch (error) {
        const { message, details } = error as Error & { details?: string }
        faults.get(cell.hand)?.push(`${cell.name}: ${message} ${details ?? ''}`)
      }
    }
    for (const hand of hands)
      await checkTimes(hand, decided).catch((error: Error) => faults.get(hand)?.push(error.message))
  }).catch((error: unknown) => (failed = error))
  for (const hand of hands) {
    test(`${hand.kind}: ${Object.keys(situations).length} situations under ${columns.length} policies`, () => {
      if (!faults.has(hand)) throw failed
      assert.equal(faults.get(hand), [])
    })
  }
  test('whoever was decided about is left in peace by the next runs', () => {
    if (failed !== undefined) throw failed
  })
  test.run()
}
