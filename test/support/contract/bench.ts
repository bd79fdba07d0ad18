/** One kind on one database, and what the steps of the contract have in common. */
import type postgres from 'postgres'
import { parse } from 'yaml'
import { checkManifest } from '../../../src/crd.ts'
import type { Report } from '../../../src/report.ts'
import { assert } from '../suite.ts'
import type { Release } from '../windmill.ts'
import { changed, otherSecrets, withText } from './changes.ts'
import { type Cr, crds, type Fields, furniture, type Secret, type Subject, targetOf } from './examples.ts'
import { hintsOf } from './hints.ts'
import { changesOf, columnsOf, contentOf, isWindmills, type Photo, photograph, putBack, writesOf } from './photo.ts'

/** One kind on one database. */
export interface Bench {
  readonly release: Release
  readonly subject: Subject
  readonly crs: readonly Cr[]
  readonly sql: postgres.Sql
  /** A run over these objects of the kind and no other kind. */
  readonly run: (crs: readonly Cr[], ...argv: string[]) => Promise<Report>
  /** The same with other Secrets. */
  readonly runWith: (secrets: readonly Secret[], crs: readonly Cr[], ...argv: string[]) => Promise<Report>
  /** Before the examples came, and with them. */
  readonly empty: Photo
  readonly emptyContent: Photo
  readonly content: Photo
}

export type Step = (bench: Bench) => Promise<void>

export const all = ['--max-deletes', '100%']
export const deleting = ['--deletion-policy', 'delete', ...all]

/** Exactly these, and nothing else, happened to the objects of the kind. */
export function expect(
  report: Report,
  counts: Partial<Report['counts']>,
  detail: Partial<Report['objects'][number]> = {}
): void {
  const told = report.objects.map(one => `${one.op} ${one.name} ${one.state} ${one.reason}: ${one.message}`).join('\n')
  const wanted = { create: 0, update: 0, adopt: 0, delete: 0, keep: 0, conflict: 0, error: 0, skip: 0, ...counts }
  assert.equal(
    report.counts,
    wanted,
    `${JSON.stringify(counts)} expected, but:\n${report.run.error?.message ?? ''}${told}`
  )
  for (const one of report.objects) {
    if (!(one.op in counts)) continue
    for (const [name, value] of Object.entries(detail)) assert.is(one[name as keyof typeof one], value, told)
  }
}

/** Runs `work` and fails if it wrote a row of the wanted tables, be it to what it was. */
export async function quietly<T>(
  sql: postgres.Sql,
  wanted: (table: string) => boolean,
  work: () => Promise<T>
): Promise<T> {
  const before = await writesOf(sql)
  const result = await work()
  const after = await writesOf(sql)
  const written = Object.keys(after).filter(table => wanted(table) && after[table] !== before[table])
  assert.equal(written, [], 'tables were written to')
  return result
}

export const everything = (): boolean => true
export const same = (expected: Photo, found: Photo, message: string): void =>
  assert.equal(changesOf(expected, found), [], message)
export const annotated = (cr: Cr, annotations: Fields): Cr => ({
  ...cr,
  metadata: { ...cr.metadata, annotations: { ...cr.metadata.annotations, ...annotations } }
})
export const other = (cr: Cr): Cr => ({ ...cr, spec: changed(cr).spec })

/** A younger CR for the same place, with other content. */
export const twinOf = (cr: Cr): Cr => {
  const metadata = { ...cr.metadata, name: `${cr.metadata.name}-twin`, creationTimestamp: '2030-01-01T00:00:00Z' }
  return other({ ...cr, metadata })
}

/** The next run, in full, finds nothing to do and writes nothing. */
export async function settled(
  { runWith, sql }: Bench,
  crs: readonly Cr[],
  secrets: readonly Secret[] = furniture
): Promise<void> {
  expect(await quietly(sql, everything, () => runWith(secrets, crs, '--refresh')), { keep: crs.length })
}

export const isWithin = (field: string, outer: string): boolean => field === outer || field.startsWith(`${outer}.`)

/** `settings.successHandler` tells of `settings.successHandler.path`, too. */
export const isMentioned = (field: string, message: string): boolean =>
  message.includes(field) || (field.split('.').length > 2 && message.includes(field.slice(0, field.lastIndexOf('.'))))

/** The CRD's field under the name that rows have for it. */
export function shownAs({ kind }: Subject, field: string): string {
  const names = hintsOf(kind.kind).shownAs ?? {}
  const found = Object.keys(names).find(name => isWithin(field, name))
  return found === undefined ? field : (names[found] ?? field)
}

/** Something of what is stated changed; where that is nothing but the place, one text more. */
export function restated(cr: Cr): Cr {
  const { spec, fields } = changed(cr)
  return { ...cr, spec: fields.length > 0 ? spec : withText(cr) }
}

/** Puts marks into columns that nobody states; the answer tells which rows lost theirs. */
export async function mark({ subject, sql }: Bench): Promise<() => Promise<readonly string[]>> {
  const looks: string[] = []
  for (const [table, wanted] of Object.entries(marksOf(subject))) {
    const columns = await columnsOf(sql, table)
    const marks = Object.entries(wanted).filter(([column]) => columns.includes(column))
    if (marks.length === 0) continue
    const rows = await rowsOf(subject, sql, table)
    await sql.unsafe(
      `update ${table} set ${marks.map(([column, value]) => `${column} = ${value}`).join(', ')} where ${rows}`
    )
    looks.push(
      `select concat_ws(' ', ${marks.map(([column]) => `${column}::text`).join(', ')}) as text from ${table} where ${rows}`
    )
  }
  const look = async (): Promise<string[]> =>
    (await Promise.all(looks.map(one => sql.unsafe<{ text: string }[]>(one)))).flat().map(row => row.text)
  const first = await look()
  return async () => {
    const now = await look()
    return first.filter((text, at) => now[at] !== text)
  }
}

const mainTable = ({ kind }: Subject): string => Object.keys(kind.uses)[0] ?? ''

const marksOf = (subject: Subject): NonNullable<ReturnType<typeof hintsOf>['marks']> =>
  hintsOf(subject.kind.kind).marks ?? { [mainTable(subject)]: { extra_perms: `'{"u/mark": true}'` } }

const keyOf = ({ kind }: Subject, columns: readonly string[]): string =>
  [kind.pathField ?? 'path', 'id'].find(one => columns.includes(one)) ?? ''

/** A condition for the rows of a table that the examples stand for. */
async function rowsOf(subject: Subject, sql: postgres.Sql, table: string): Promise<string> {
  const columns = await columnsOf(sql, table)
  const names = ['workspace_id', keyOf(subject, columns)].filter(one => columns.includes(one))
  const places = subject.crs.map(cr => {
    const { workspace, path } = targetOf(subject, cr)
    return `(${names.map(name => `'${name === 'workspace_id' ? workspace : path}'`).join(', ')})`
  })
  return `(${names.join(', ')}) in (${places.join(', ')})`
}

/** The database as it is when all CRs and Secrets are others: taken once. */
const others = new WeakMap<Bench, Promise<Photo>>()

export function photographOfOthers(bench: Bench): Promise<Photo> {
  const take = async (): Promise<Photo> => {
    const { crs, runWith, sql } = bench
    const before = await photograph(sql)
    await runWith(otherSecrets, crs.map(other))
    await sql.unsafe(hintsOf(bench.subject.kind.kind).byOthers ?? '')
    const photo = await photograph(sql)
    await putBack(sql, before)
    return photo
  }
  const known = others.get(bench) ?? take()
  others.set(bench, known)
  return known
}

/** As if somebody had changed every field through Windmill: other content, the ledger as it was. */
export async function drift(bench: Bench): Promise<void> {
  await putBack(bench.sql, await photographOfOthers(bench), isWindmills)
}

export const only = (photo: Photo, table: string): Photo => new Map([[table, photo.get(table) ?? []]])

/** Runs `work` without the ledger, which is back afterwards. */
export async function losingLedger(sql: postgres.Sql, work: () => Promise<void>): Promise<void> {
  await sql`alter schema windmill_iac rename to set_aside`
  try {
    await work()
  } finally {
    await sql`drop schema if exists windmill_iac cascade`
    await sql`alter schema set_aside rename to windmill_iac`
  }
}

export const ledgerOf = async (sql: postgres.Sql): Promise<readonly unknown[]> => [
  ...(await sql`select o::text as row from windmill_iac.object o where cluster = 'files' order by id`)
]

/** Copies of the examples' rows beside them, made by somebody else; their contents. */
export async function addNeighbours({ subject, sql }: Bench): Promise<readonly string[]> {
  const before = await contentOf(sql)
  const table = mainTable(subject)
  const columns = await columnsOf(sql, table)
  const key = keyOf(subject, columns)
  const values = { [key]: `${key} || '_neighbour'`, ...hintsOf(subject.kind.kind).neighbour } as Record<string, string>
  await sql.unsafe(`
    insert into ${table} (${columns.join(', ')})
    select ${columns.map(column => values[column] ?? column).join(', ')} from ${table}
     where ${await rowsOf(subject, sql, table)}`)
  return [...(await contentOf(sql))].flatMap(([name, rows]) => rows.filter(row => !before.get(name)?.includes(row)))
}

export const withoutRows = (photo: Photo, rows: readonly string[]): Photo =>
  new Map([...photo].map(([table, all]) => [table, all.filter(row => !rows.includes(row))]))

export async function deletedManifests(sql: postgres.Sql): Promise<readonly Cr[]> {
  const rows = await sql<{ manifest: string }[]>`select manifest from windmill_iac.deleted`
  return rows.map(({ manifest }) => {
    const parsed = parse(manifest) as Cr
    if (!sealedOf(parsed)) assert.equal(checkManifest(crds, parsed).faults, [], manifest)
    return parsed
  })
}

const sealedOf = ({ metadata }: Cr): string | undefined =>
  metadata.annotations?.['windmill.dev/encrypted'] as string | undefined

/** The kept manifest of a deleted CR; undefined if secrets are missing from it, which stand encrypted beside it. */
export function openManifest(manifests: readonly Cr[], { metadata }: Cr): Cr | undefined {
  const found = manifests.find(
    one => one.metadata.name === metadata.name && one.metadata.namespace === metadata.namespace
  )
  if (!found) throw new Error(`${metadata.name} was deleted without a manifest`)
  const sealed = sealedOf(found)
  if (sealed === undefined) return found
  for (const text of Object.values(JSON.parse(sealed) as Record<string, string>)) {
    assert.not.ok(JSON.stringify(found.spec).includes(text), 'ciphertext stands in the spec')
  }
  return undefined
}
