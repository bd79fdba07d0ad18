/** Two processes at once, each with half of the workspaces, against one that does everything. */
import type { BenchDatabase } from './database.ts'
import type { Usage } from './measure.ts'
import { runAtOnce, told } from './program.ts'
import type { Bench, Sample } from './sample.ts'
import { plainWorld } from './world.ts'

const ways: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'one process': [['reconcile']],
  'two shards': [
    ['reconcile', '--shard', '0/2'],
    ['reconcile', '--shard', '1/2']
  ]
}

/** Both ways go through the same: everything, nothing, one CR in a hundred; each on a database of its own. */
export async function shards(bench: Bench, size: number, number: number): Promise<void> {
  const { cluster, plurals } = bench
  await cluster.order({ do: 'world', world: plainWorld(size, plurals), plurals })
  const databases = new Map<string, BenchDatabase>()
  const step = async (name: string, op: string, count: number): Promise<void> => {
    for (const [who, processes] of Object.entries(ways)) {
      const database = databases.get(who) ?? (await ready(bench))
      databases.set(who, database)
      bench.say(`size ${size}, round ${number + 1}: ${name}, ${who}`)
      await database.tidy()
      const { usages, work, traffic } = await runAtOnce(bench.program, { cluster, database }, processes)
      bench.report({
        scenario: `shards, ${name}`,
        size,
        who,
        touched: op === 'keep' ? 0 : count,
        ...together(usages),
        ...work,
        requests: traffic.requests,
        patches: traffic.patches,
        receivedMiB: traffic.bytesOut / 2 ** 20,
        connections: traffic.connections,
        floors: {},
        problem: problemOf(usages, op, count)
      })
    }
  }
  try {
    await step('first sync', 'create', size)
    await cluster.order({ do: 'settle' })
    await step('no-op', 'keep', size)
    const changed = await cluster.order<number>({ do: 'change', share: 0.01, offset: number })
    await step('1 % changed', 'update', changed)
  } finally {
    for (const database of databases.values()) await database.drop()
  }
}

/** The ledger is made before, as for an Indexed Job: of two that make it at once, one fails. */
async function ready({ server, cluster, program }: Bench): Promise<BenchDatabase> {
  const database = await server.make()
  const { usages } = await runAtOnce(program, { cluster, database }, [['init']])
  if (usages[0]?.code !== 0) throw new Error(`init: ${usages[0]?.stderr.slice(-500)}`)
  return database
}

type Together = Pick<Sample, 'wallMs' | 'cpuMs' | 'peakMiB' | 'each'>

/** As long as the last of them; CPU is the sum, memory that of the largest. */
function together(usages: readonly Usage[]): Together {
  const known = (values: readonly (number | undefined)[]): readonly number[] | undefined =>
    values.every(value => value !== undefined) ? values : undefined
  const ends = usages.map(one => one.startedAt + one.wallMs)
  const peaks = known(usages.map(one => one.peakMiB))
  return {
    wallMs:
      usages.length === 1
        ? (usages[0]?.wallMs ?? 0)
        : Math.max(...ends) - Math.min(...usages.map(one => one.startedAt)),
    cpuMs: known(usages.map(one => one.cpuMs))?.reduce((sum, one) => sum + one, 0),
    peakMiB: peaks && Math.max(...peaks),
    each: usages.map(({ wallMs, cpuMs, peakMiB }) => ({ wallMs, cpuMs, peakMiB }))
  }
}

/** Together they must have done exactly the work of one. */
function problemOf(usages: readonly Usage[], op: string, count: number): string {
  const all = usages.map(usage => ({ code: usage.code, ...told(usage) }))
  const done = all.reduce((sum, { counts }) => sum + (counts[op] ?? 0), 0)
  const errors = all.flatMap(one => one.errors)
  if (errors.length > 0) return errors.join('; ')
  const codes = all.map(one => one.code)
  const failed = codes.some(code => code !== 0) ? `exit ${codes.join(' and ')}` : ''
  return [failed, done === count ? '' : `${op}: ${done} instead of ${count}`].filter(Boolean).join('; ')
}
