/** One contract for every kind there is, fed from examples/: a new kind is tested without a new test. */
import pLimit from 'p-limit'
import type postgres from 'postgres'
import type { Report } from '../../../src/report.ts'
import { plain, withDatabase } from '../database.ts'
import { putManifests, runJob, withManifests } from '../job.ts'
import { suite } from '../suite.ts'
import type { Release } from '../windmill.ts'
import { type Bench, everything, expect, quietly } from './bench.ts'
import { type Cr, furniture, type Secret, type Subject, subjectsOf } from './examples.ts'
import { hintsOf } from './hints.ts'
import { contentOf, photograph, putBack } from './photo.ts'
import { steps } from './steps.ts'

/** Every kind on a database of its own of this release; two at a time, because half of a run is waiting. */
export async function contract(release: Release): Promise<void> {
  const test = suite(`kinds at ${release}`)
  const limit = pLimit(2)
  for (const subject of await subjectsOf(release)) {
    const kept = limit(() => withDatabase(release, ({ url }) => honour(subject, release, url)))
    // Whatever fails is told by the test, which may come to it later.
    kept.catch(() => {})
    test(`${subject.kind.kind} keeps the contract of all kinds`, () => kept)
  }
  test.run()
}

async function honour(subject: Subject, release: Release, url: string): Promise<void> {
  const sql = plain(url, { max: 1 })
  try {
    await withManifests([], async folder => keep(await create(subject, release, { sql, url, folder })))
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** All steps that fail are told together. */
async function keep(bench: Bench): Promise<void> {
  const synced = await photograph(bench.sql)
  const failures: string[] = []
  for (const [title, step] of Object.entries(steps)) {
    await putBack(bench.sql, synced)
    try {
      await step(bench)
    } catch (error) {
      const { message, details = '' } = error as Error & { details?: string }
      failures.push(`${title}: ${message}\n${details}`)
    }
  }
  if (failures.length > 0) throw new Error(failures.join('\n\n'))
}

/** The first step: what the kind comes after is made, then its examples; whole runs, over all kinds. */
async function create(
  subject: Subject,
  release: Release,
  { sql, url, folder }: { sql: postgres.Sql; url: string; folder: string }
): Promise<Bench> {
  const { kind, crs, before } = subject
  const start = (secrets: readonly Secret[], objects: readonly Cr[], argv: readonly string[] = []): Promise<Report> => {
    // JSON is YAML.
    putManifests(folder, [...secrets, ...objects].map(one => JSON.stringify(one)).join('\n---\n'))
    return runJob([...argv, '--from', folder, '--verbose'], { DATABASE_URL: url })
  }
  if (crs.length === 0) throw new Error(`examples/ has no ${kind.kind}`)
  expect(await start(furniture, before), { create: before.length }, { state: 'Synced' })
  await sql.unsafe(hintsOf(kind.kind).arrange ?? '')
  const [empty, emptyContent] = [await photograph(sql), await contentOf(sql)]
  const objects = [...before, ...crs]
  expect(await start(furniture, objects), { create: crs.length, keep: before.length }, { state: 'Synced' })
  expect(await quietly(sql, everything, () => start(furniture, objects)), { keep: objects.length })
  const alone = ['--kinds', kind.kind]
  return {
    release,
    subject,
    crs,
    sql,
    run: (crs, ...argv) => start(furniture, crs, [...argv, ...alone]),
    runWith: (secrets, crs, ...argv) => start(secrets, crs, [...argv, ...alone]),
    empty,
    emptyContent,
    content: await contentOf(sql)
  }
}
