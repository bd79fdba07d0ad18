/** What a run meets on a bad day: refusals, slow pages, a far or crowded database, little memory, broken and huge objects. */
import { plain } from '../../support/database.ts'
import type { Faults } from './cluster.ts'
import type { BenchDatabase } from './database.ts'
import { delayed } from './latency.ts'
import { canLimit, killedBy, usualNodeArgs } from './measure.ts'
import { type Measured, runProgram, type Start } from './program.ts'
import { type Bench, sampleOf } from './sample.ts'
import type { Line } from './summary.ts'
import { plainWorld, type WorldOptions } from './world.ts'

interface Trial {
  readonly name: string
  readonly title: string
  readonly world?: Partial<WorldOptions>
  readonly faults?: Faults
  readonly nodeArgs?: readonly string[]
  readonly limitMiB?: number
  /** The first sync runs without the limit, as one with more memory would be started by hand. */
  readonly limitLater?: boolean
  /** What stands between the program and the database, as long as the body runs. */
  readonly between?: (database: BenchDatabase, body: (url: string) => Promise<void>) => Promise<void>
  /** Share of objects that must end in Error. */
  readonly errors?: number
}

/** Directory of the socket from `postgres://user@%2Fdir:5432/name`. */
const socketOf = (url: string): string => `${decodeURIComponent(/@([^:/]*):/.exec(url)?.[1] ?? '')}/.s.PGSQL.5432`
const nameOf = (url: string): string => url.slice(url.lastIndexOf('/') + 1)

async function far(database: BenchDatabase, body: (url: string) => Promise<void>): Promise<void> {
  const proxy = await delayed(socketOf(database.url), 100)
  try {
    // TCP wants the password that only the socket may do without; the proxy ends at the socket.
    await body(`postgres://postgres@127.0.0.1:${proxy.port}/${nameOf(database.url)}?sslmode=disable`)
  } finally {
    proxy.close()
  }
}

/** Of 100 connections 3 are reserved; others hold all but five. */
async function crowded(database: BenchDatabase, body: (url: string) => Promise<void>): Promise<void> {
  const [used] = await database.sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity where backend_type = 'client backend'`
  const idle = Array.from({ length: 100 - 3 - 5 - (used?.count ?? 0) }, () => plain(database.url, { max: 1 }))
  try {
    await Promise.all(idle.map(sql => sql`select 1`))
    await body(database.url)
  } finally {
    await Promise.all(idle.map(sql => sql.end({ timeout: 1 })))
  }
}

const trials: readonly Trial[] = [
  { name: 'calm', title: 'nothing wrong, for comparison' },
  { name: 'refusals', title: 'one request in 50 refused (429, Retry-After 1 s)', faults: { tooMany: 0.02 } },
  { name: 'slow-pages', title: 'every page 200 ms late', faults: { slowMs: 200 } },
  { name: 'far-database', title: 'database 100 ms away', between: far },
  { name: 'crowded', title: 'five connections left in the database', between: crowded },
  { name: 'small-heap', title: '--max-old-space-size=128', nodeArgs: [...usualNodeArgs, '--max-old-space-size=128'] },
  { name: 'limit', title: 'control group of 256 MiB', limitMiB: 256 },
  {
    name: 'limit-later',
    title: 'control group of 256 MiB after a first sync without',
    limitMiB: 256,
    limitLater: true
  },
  { name: 'invalid', title: '1 % of the CRs invalid', world: { invalid: 0.01 }, errors: 0.01 },
  { name: 'huge', title: 'one object of 900 KB per page', world: { huge: true } },
  { name: 'huge-limit', title: 'the same in a control group of 256 MiB', world: { huge: true }, limitMiB: 256 }
]

const steps = ['first sync', 'no-op', '1 % changed'] as const
type Step = (typeof steps)[number]

/** A line per trial and size. */
export function pressureTable(lines: readonly Line[]): string {
  const shown = new Map<string, (string | undefined)[]>()
  const sizes = new Set(lines.map(line => line.size))
  for (const { scenario, size, wallMs, peakMiB, problem } of lines) {
    const at = scenario.lastIndexOf(': ')
    const title = scenario.slice(0, at) + (sizes.size > 1 ? `, ${size.toLocaleString('en-US')} CRs` : '')
    const cells = shown.get(title) ?? steps.map(() => undefined)
    const time = `${(wallMs / 1000).toFixed(2)}${problem && ' (!)'}`
    cells[steps.indexOf(scenario.slice(at + 2) as Step)] = `${time} | ${peakMiB?.toFixed(0) ?? 'unknown'}`
    shown.set(title, cells)
  }
  const rows = [...shown].map(([title, cells]) => `| ${title} | ${cells.map(cell => cell ?? ' | ').join(' | ')} |`)
  return [
    `| | ${steps.map(step => `${step}, s | MiB`).join(' | ')} |`,
    `| --- | ${steps.map(() => '--: | --:').join(' | ')} |`,
    ...rows
  ].join('\n')
}

/** Every trial is a first sync, a no-op and one change in a hundred. */
export async function pressure(bench: Bench): Promise<void> {
  const { options } = bench
  for (const size of options.sizes) {
    for (const trial of trials) {
      if (options.scenarios.length > 0 && !options.scenarios.includes(trial.name)) continue
      if (trial.limitMiB !== undefined && !canLimit())
        bench.say(`${trial.title}: no control group can be made here, left out`)
      else await attempt(bench, trial, size)
    }
  }
}

async function attempt(bench: Bench, trial: Trial, size: number): Promise<void> {
  const { cluster, server, plurals, program } = bench
  const world: WorldOptions = { ...plainWorld(size, plurals), ...trial.world }
  bench.say(`${size}: ${trial.title}`)
  await cluster.order({ do: 'world', world, plurals })
  const database = await server.make()
  const between = trial.between ?? ((_, body) => body(database.url))
  const step = async (name: Step, expected: readonly [op: string, count: number]): Promise<void> => {
    await database.tidy()
    await cluster.order({ do: 'faults', faults: trial.faults ?? {} })
    await between(database, async url => {
      const start: Start = {
        cluster,
        database,
        url,
        limitMiB: trial.limitLater && name === 'first sync' ? undefined : trial.limitMiB,
        ...(trial.nodeArgs && { nodeArgs: trial.nodeArgs })
      }
      const measured = await runProgram(program, start)
      const problem = problemOf(measured, trial, expected)
      bench.report({
        ...sampleOf(`${trial.title}: ${name}`, size, 'ours', measured),
        touched: expected[1],
        floors: {},
        problem
      })
    })
    await cluster.order({ do: 'faults', faults: {} })
  }
  try {
    await step('first sync', ['create', size])
    await cluster.order({ do: 'settle' })
    await step('no-op', ['keep', size])
    const changed = await cluster.order<number>({ do: 'change', share: 0.01, offset: 0 })
    await step('1 % changed', ['update', changed])
  } finally {
    await database.drop()
  }
}

/** With invalid objects the exit code must be 1 and the others must be done; else everything must be. */
function problemOf({ usage, counts, errors }: Measured, trial: Trial, [op, count]: readonly [string, number]): string {
  if (usage.signal !== null) return killedBy(usage)
  const found = counts[op] ?? 0
  if (trial.errors === undefined)
    return (
      errors[0] ?? (found === count && usage.code === 0 ? '' : `${killedBy(usage)}, ${op} ${found} instead of ${count}`)
    )
  const bad = counts['error'] ?? 0
  const all = Object.values(counts).reduce((sum, one) => sum + one, 0)
  const enough = usage.code === 1 && bad > 0 && bad < all * trial.errors * 2 + 20
  return enough ? '' : `${killedBy(usage)}, ${bad} errors of ${all}`
}
