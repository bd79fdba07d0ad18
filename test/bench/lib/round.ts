/** One round over one size: every scenario once, each followed by its floors and rivals, so that all see the same machine. */
import { alone, oneKind } from './alone.ts'
import { copyFloor, save } from './copy.ts'
import type { BenchDatabase } from './database.ts'
import { type Bare, type Rival, rivals, runRival } from './floors.ts'
import type { Options } from './options.ts'
import { type Measured, runProgram } from './program.ts'
import { type Bench, type Expected, type Floors, type FloorWanted, floorsOf, problemOf, sampleOf } from './sample.ts'
import { shards } from './shards.ts'
import { lockAll } from './worker.ts'
import { plainWorld, type WorldOptions } from './world.ts'

export const scenarioNames = [
  'first-sync',
  'locked',
  'no-op',
  'last-applied',
  'plan',
  'changed',
  'drifted',
  'lost-ledger',
  'deleted',
  'scripts',
  'schedules',
  'shards'
] as const
export type ScenarioName = (typeof scenarioNames)[number]

/** These have a world of their own; all others begin with one first sync, and go on from there. */
const apart: readonly string[] = ['scripts', 'schedules', 'shards'] satisfies readonly ScenarioName[]

const isRoundWanted = ({ scenarios }: Options): boolean =>
  scenarios.length === 0 || scenarios.some(name => !apart.includes(name))

const wants = ({ options: { scenarios, quick } }: Bench, name: ScenarioName): boolean =>
  scenarios.length === 0 ? !(quick && leftOutIfQuick.includes(name)) : scenarios.includes(name)

const leftOutIfQuick: readonly string[] = ['scripts', 'shards'] satisfies readonly ScenarioName[]

export async function round(bench: Bench, size: number, number: number): Promise<void> {
  const { options, plurals } = bench
  if (isRoundWanted(options)) await mixed(bench, size, number)
  for (const name of Object.keys(alone) as (keyof typeof alone)[])
    if (wants(bench, name) && plurals[alone[name].kind] !== undefined && isItsSize(options, name, size))
      await oneKind(bench, name, size)
  // What two processes gain shows at the largest size.
  if (wants(bench, 'shards') && size === Math.max(...options.sizes)) await shards(bench, size, number)
}

/** Not twice for two sizes that are both more than there ever are; a quick bench looks at the largest alone. */
const isItsSize = ({ sizes, quick }: Options, name: keyof typeof alone, size: number): boolean => {
  const count = (of: number): number => Math.min(of, alone[name].most)
  return size === (quick ? Math.max(...sizes) : sizes.find(one => count(one) === count(size)))
}

/** All kinds, in the proportions of an instance. */
async function mixed(bench: Bench, size: number, number: number): Promise<void> {
  const { cluster, server, plurals, options } = bench
  const world = { ...plainWorld(size, plurals), lastApplied: options.lastApplied }
  bench.say(`size ${size}, round ${number + 1}: making CRs`)
  await cluster.order({ do: 'world', world, plurals })
  const database = await server.make()
  const others = options.rivals ? (Object.keys(rivals) as Rival[]) : []
  const databases = new Map<Rival, BenchDatabase>()
  for (const rival of others) databases.set(rival, await server.make())
  try {
    await new Round(bench, world, number, { database, databases }).run()
  } finally {
    for (const one of [database, ...databases.values()]) await one.drop()
  }
}

interface Databases {
  readonly database: BenchDatabase
  readonly databases: ReadonlyMap<Rival, BenchDatabase>
}

/** Kinds that are pruned in the bench: nothing else refers to them in a way that holds back a deletion. */
const prunable = [
  'WindmillScript',
  'WindmillFlow',
  'WindmillApp',
  'WindmillSchedule',
  'WindmillVariable',
  'WindmillResource'
]

class Round {
  private readonly bench: Bench
  private readonly world: WorldOptions
  private readonly size: number
  private readonly number: number
  private readonly bases: Databases

  constructor(bench: Bench, world: WorldOptions, number: number, bases: Databases) {
    this.bench = bench
    this.world = world
    this.size = world.size
    this.number = number
    this.bases = bases
  }

  async run(): Promise<void> {
    await this.firstSync()
    await this.locked()
    if (this.wants('no-op')) await this.noOp('no-op')
    if (this.wants('last-applied') && !this.bench.options.lastApplied) await this.lastApplied()
    if (this.wants('plan') || this.wants('changed')) await this.changed()
    if (this.wants('drifted')) await this.drifted()
    if (this.wants('lost-ledger')) await this.lostLedger()
    if (this.wants('deleted')) await this.deleted()
  }

  private wants(name: ScenarioName): boolean {
    return wants(this.bench, name)
  }

  private get bare(): Bare {
    const { cluster, plurals, program } = this.bench
    return { cluster, plurals, scratch: program.folder, database: this.bases.database, world: this.world }
  }

  private floors(names: readonly FloorWanted[]): Promise<Floors> {
    return floorsOf(this.bare, names)
  }

  private async ours(
    name: string,
    expected: Expected,
    floors: readonly FloorWanted[] = [],
    args?: readonly string[]
  ): Promise<void> {
    const measured = await this.measured(name, args)
    this.tell(name, measured, expected, await this.floors(floors))
  }

  private async measured(name: string, args?: readonly string[]): Promise<Measured> {
    const { bench, bases } = this
    bench.say(`size ${this.size}, round ${this.number + 1}: ${name}`)
    await bases.database.tidy()
    return runProgram(bench.program, { ...bench, database: bases.database, ...(args && { args }) })
  }

  private tell(name: string, measured: Measured, expected: Expected, floors: Floors): void {
    const touched = expected.quiet ? 0 : (expected.touched ?? expected.count)
    this.bench.report({
      ...sampleOf(name, this.size, 'ours', measured),
      touched,
      ...floors,
      problem: problemOf(measured, expected)
    })
  }

  private async rivals(name: string, touched: number): Promise<void> {
    for (const [rival, database] of this.bases.databases) {
      this.bench.say(`size ${this.size}, round ${this.number + 1}: ${name}, ${rivals[rival]}`)
      await database.tidy()
      const measured = await runRival({ ...this.bare, database }, rival)
      const { written } = measured.counts
      const problem =
        measured.errors.join('; ') || (written === touched ? '' : `${written} written instead of ${touched}`)
      this.bench.report({ ...sampleOf(name, this.size, rivals[rival], measured), touched, floors: {}, problem })
    }
  }

  private async firstSync(): Promise<void> {
    const { bench, bases, size } = this
    const measured = await this.measured('first-sync')
    if (this.wants('first-sync')) {
      const { floors } = await this.floors([['full-list'], ['patch', size]])
      const saved = await save(bases.database)
      const empty = await bench.server.make()
      const copy = await copyFloor(saved, empty)
      await empty.drop()
      this.tell('first-sync', measured, { op: 'create', count: size }, { floors: { ...floors, copy } })
    }
    if (this.wants('first-sync') || this.wants('no-op') || this.wants('changed')) await this.rivals('first-sync', size)
    await bench.cluster.order({ do: 'settle' })
  }

  /** What follows every first sync: workers lock all dependencies, and statuses say so. All later runs meet an idle queue. */
  private async locked(): Promise<void> {
    const { bases, size, bench } = this
    const count = await lockAll(bases.database)
    const expected = { op: 'keep', count: size, touched: count }
    if (this.wants('locked')) await this.ours('locked', expected, [['full-list'], ['tokens'], ['patch', count]])
    else await this.measured('locked')
    await bench.cluster.order({ do: 'settle' })
  }

  private async noOp(name: 'no-op' | 'last-applied'): Promise<void> {
    await this.ours(name, { op: 'keep', count: this.size, quiet: true }, [['list'], ['tokens']])
    if (name === 'no-op') await this.rivals(name, 0)
  }

  private async lastApplied(): Promise<void> {
    const { cluster } = this.bench
    await cluster.order({ do: 'last-applied', on: true })
    await this.noOp('last-applied')
    await cluster.order({ do: 'last-applied', on: false })
  }

  private async changed(): Promise<void> {
    const { cluster } = this.bench
    const count = await cluster.order<number>({ do: 'change', share: 0.01, offset: this.number })
    if (this.wants('plan')) await this.planned(count)
    await this.ours('changed', { op: 'update', count }, [['list'], ['tokens'], ['get', count], ['patch', count]])
    await this.rivals('changed', count)
    await cluster.order({ do: 'settle' })
  }

  private async planned(count: number): Promise<void> {
    const measured = await this.measured('plan', ['plan'])
    const { rowsWritten } = measured.work
    const floors = await this.floors([['list'], ['tokens'], ['get', count]])
    const problem = [
      problemOf(measured, { op: 'update', count }),
      rowsWritten > 0 ? `${rowsWritten} rows written` : '',
      measured.traffic.patches > 0 ? 'statuses patched' : ''
    ]
    this.bench.report({
      ...sampleOf('plan', this.size, 'ours', measured),
      touched: count,
      ...floors,
      problem: problem.filter(Boolean).join('; ')
    })
  }

  private async drifted(): Promise<void> {
    const count = await drift(this.bases.database, Object.keys(this.bench.plurals))
    await this.ours('drifted', { op: 'update', count }, [['list'], ['tokens'], ['get', count]])
  }

  private async lostLedger(): Promise<void> {
    await this.bases.database.sql.unsafe('drop schema windmill_iac cascade')
    await this.ours('lost-ledger', { op: 'adopt', count: this.size }, [['full-list']])
  }

  private async deleted(): Promise<void> {
    const { cluster } = this.bench
    const count = await cluster.order<number>({ do: 'delete', share: 0.1, offset: 3, kinds: prunable })
    await this.ours('deleted', { op: 'delete', count }, [['list'], ['tokens']])
  }
}

const drifts = [
  ['WindmillScript', 'script', 'summary', 'not archived'],
  ['WindmillFlow', 'flow', 'summary', 'true'],
  ['WindmillApp', 'app', 'summary', 'true'],
  ['WindmillSchedule', 'schedule', 'summary', 'true'],
  ['WindmillVariable', 'variable', 'description', 'true'],
  ['WindmillResource', 'resource', 'description', 'true']
] as const

/** Somebody edits one row in a hundred by hand. */
async function drift({ sql }: BenchDatabase, kinds: readonly string[]): Promise<number> {
  let count = 0
  for (const [kind, table, column, where] of drifts) {
    if (!kinds.includes(kind)) continue
    const stem = kind.replace('Windmill', '').toLowerCase()
    const edited = await sql.unsafe(`
      update ${table} set ${column} = coalesce(${column}, '') || ' by hand'
       where ${where} and path ~ '^f/area_[0-9]+/${stem}_[0-9]*50$' returning 1`)
    count += edited.length
  }
  return count
}
