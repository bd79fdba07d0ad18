/** Schedules alone: their sync arms each of them with a job, which nothing else in the bench does so often. */
import type { Bare } from './floors.ts'
import { runProgram } from './program.ts'
import { type Bench, floorsOf, problemOf, sampleOf } from './sample.ts'
import { plainWorld, type WorldOptions } from './world.ts'

/** Schedules alone, at most 5,000 of them: first the sync that arms them, then a run that finds them armed. */
export async function schedules(bench: Bench, most: number): Promise<void> {
  const { cluster, server, plurals, program, options } = bench
  const size = Math.min(5000, most)
  const world: WorldOptions = {
    ...plainWorld(size, plurals),
    lastApplied: options.lastApplied,
    mostly: 'WindmillSchedule'
  }
  await cluster.order({ do: 'world', world, plurals })
  const database = await server.make()
  const bare: Bare = { cluster, plurals, scratch: program.folder, database, world }
  try {
    bench.say(`${size} schedules: first sync`)
    await database.tidy()
    const first = await runProgram(program, { cluster, database })
    const floors = await floorsOf(bare, [['full-list'], ['patch', size]])
    bench.report({
      ...sampleOf('schedules, first sync', size, 'ours', first),
      touched: size,
      ...floors,
      problem: problemOf(first, { op: 'create', count: size })
    })
    await cluster.order({ do: 'settle' })
    await database.tidy()
    bench.say(`${size} schedules: no-op`)
    const again = await runProgram(program, { cluster, database })
    const least = await floorsOf(bare, [['list'], ['tokens']])
    bench.report({
      ...sampleOf('schedules, no-op', size, 'ours', again),
      touched: 0,
      ...least,
      problem: problemOf(again, { op: 'keep', count: size, quiet: true })
    })
  } finally {
    await database.drop()
  }
}
