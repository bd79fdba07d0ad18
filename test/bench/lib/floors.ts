/** Runs the floors and the rivals, each in a process of its own like the program. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster, Counts } from './cluster.ts'
import type { BenchDatabase } from './database.ts'
import { benchFile, measure } from './measure.ts'
import type { Measured } from './program.ts'
import type { WorldOptions } from './world.ts'

export interface Bare {
  readonly cluster: Cluster
  readonly database: BenchDatabase
  readonly plurals: Readonly<Record<string, string>>
  readonly scratch: string
  readonly world: WorldOptions
}

function environment({ cluster, database, plurals, scratch, world }: Bare): Record<string, string> {
  const ca = join(scratch, 'ca.pem')
  if (cluster.ca) writeFileSync(ca, cluster.ca)
  return {
    BENCH_SERVER: cluster.url,
    BENCH_PLURALS: JSON.stringify(plurals),
    BENCH_WORLD: JSON.stringify(world),
    DATABASE_URL: database.url,
    ...(cluster.ca && { BENCH_CA: ca })
  }
}

export type FloorName = 'list' | 'table-list' | 'full-list' | 'patch' | 'get' | 'tokens'

/** Milliseconds of the bare work alone. */
export async function floor(bare: Bare, name: FloorName, count = 0): Promise<number> {
  if (count === 0 && (name === 'patch' || name === 'get')) return 0
  const usage = await measure({
    file: benchFile('floor'),
    args: [name, String(count)],
    env: environment(bare),
    folder: join(bare.scratch, 'out')
  })
  if (usage.code !== 0) throw new Error(`floor ${name}: ${usage.stderr.slice(-800)}`)
  return (JSON.parse(usage.stdout) as { ms: number }).ms
}

export const rivals = {
  'rival-controller': 'per object, 4 workers',
  'rival-content': 'full list, contents compared'
} as const
export type Rival = keyof typeof rivals

export async function runRival(bare: Bare, rival: Rival): Promise<Measured> {
  const { cluster, database, scratch } = bare
  await cluster.order({ do: 'counts', reset: true })
  const { result: usage, work } = await database.counted('rival', () =>
    measure({ file: benchFile(rival), env: environment(bare), folder: join(scratch, 'out') })
  )
  const traffic = await cluster.order<Counts>({ do: 'counts', reset: true })
  const failed = usage.code !== 0
  const written = failed ? -1 : (JSON.parse(usage.stdout) as { written: number }).written
  return { usage, work, traffic, counts: { written }, errors: failed ? [faultOf(usage.stderr)] : [] }
}

/** The line that names the error, out of Node's report of a crash. */
const faultOf = (stderr: string): string => /^\w*Error: .*$/m.exec(stderr)?.[0] ?? stderr.slice(-300)
