/** One kind alone: scripts, which the design's target of a first sync is about, and schedules, each armed with a job. */
import { copyFloor, save } from './copy.ts'
import type { Bare } from './floors.ts'
import { runProgram } from './program.ts'
import { type Bench, floorsOf, problemOf, sampleOf } from './sample.ts'
import { plainWorld, type WorldOptions } from './world.ts'

interface Alone {
  readonly kind: string
  /** There are never more of them, whatever the size of the round. */
  readonly most: number
}

export const alone = {
  scripts: { kind: 'WindmillScript', most: 10_000 },
  schedules: { kind: 'WindmillSchedule', most: 5000 }
} as const satisfies Readonly<Record<string, Alone>>

/** The first sync, then a run that finds everything as it should be. */
export async function oneKind(bench: Bench, name: keyof typeof alone, round: number): Promise<void> {
  const { cluster, server, plurals, program, options } = bench
  const { kind, most } = alone[name]
  const size = Math.min(most, round)
  const world: WorldOptions = { ...plainWorld(size, plurals), lastApplied: options.lastApplied, mostly: kind }
  await cluster.order({ do: 'world', world, plurals })
  const [database, empty] = [await server.make(), await server.make()]
  const bare: Bare = { cluster, plurals, scratch: program.folder, database, world }
  try {
    bench.say(`${size} ${name}: first sync`)
    await database.tidy()
    const first = await runProgram(program, { cluster, database })
    const { floors } = await floorsOf(bare, [['full-list'], ['patch', size]])
    bench.report({
      ...sampleOf(`${name}, first sync`, size, 'ours', first),
      touched: size,
      floors: { ...floors, copy: await copyFloor(await save(database), empty) },
      problem: problemOf(first, { op: 'create', count: size })
    })
    await cluster.order({ do: 'settle' })
    await database.tidy()
    bench.say(`${size} ${name}: no-op`)
    const again = await runProgram(program, { cluster, database })
    bench.report({
      ...sampleOf(`${name}, no-op`, size, 'ours', again),
      touched: 0,
      ...(await floorsOf(bare, [['list'], ['tokens']])),
      problem: problemOf(again, { op: 'keep', count: size, quiet: true })
    })
  } finally {
    for (const one of [database, empty]) await one.drop()
  }
}
