/** Where time and memory of the bundled program go: the same runs under V8's profilers, told by stage. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from '../../support/job.ts'
import { usualNodeArgs } from './measure.ts'
import { type ByStage, cpuByStage, heapByStage } from './profile-read.ts'
import { runProgram } from './program.ts'
import type { Bench } from './sample.ts'
import { plainWorld } from './world.ts'

export interface Profile {
  readonly scenario: string
  readonly cpu: ByStage
  readonly heap: ByStage
}

export const profiled = ['first-sync', 'no-op', 'changed'] as const

/** The bundle once more, with maps to the sources beside its files. */
function mapped(scratch: string): string {
  const out = join(scratch, 'mapped')
  execFileSync(process.execPath, [join(projectFolder, '.ci/bundle.mjs'), out, '--maps'], { cwd: projectFolder })
  return join(out, 'bin/src/main.js')
}

/** CPU and heap are profiled in runs of their own: sampling of allocations slows down what it looks at. */
export async function profile(bench: Bench, size: number): Promise<readonly Profile[]> {
  const { cluster, server, plurals, program, options } = bench
  const main = mapped(program.folder)
  await cluster.order({ do: 'world', world: plainWorld(size, plurals), plurals })
  const found: Profile[] = []
  const [database, other] = [await server.make(), await server.make()]
  const under = async (
    on: typeof database,
    scenario: string,
    flags: readonly string[],
    ending: string
  ): Promise<string> => {
    const folder = join(program.folder, `${scenario}${ending}`)
    mkdirSync(folder)
    await on.tidy()
    const nodeArgs = [...usualNodeArgs, ...flags, '--diagnostic-dir', folder]
    const { errors } = await runProgram({ folder: program.folder, main }, { cluster, database: on, nodeArgs })
    const [file] = readdirSync(folder).filter(name => name.endsWith(ending))
    if (errors.length > 0 || file === undefined) throw new Error(`profile of ${scenario}: ${errors[0] ?? 'no file'}`)
    return join(folder, file)
  }
  try {
    for (const scenario of profiled) {
      if (scenario === 'changed') await cluster.order({ do: 'change', share: 0.01, offset: 0 })
      bench.say(`size ${size}: profile of ${scenario}`)
      const cpu = await under(database, scenario, ['--cpu-prof', '--cpu-prof-interval', '500'], '.cpuprofile')
      const heap = await under(other, scenario, ['--heap-prof', '--heap-prof-interval', '65536'], '.heapprofile')
      if (options.scenarios.length === 0 || options.scenarios.includes(scenario))
        found.push({ scenario, cpu: cpuByStage(cpu), heap: heapByStage(heap) })
      await cluster.order({ do: 'settle' })
    }
  } finally {
    for (const one of [database, other]) await one.drop()
  }
  return found
}

/** Smaller ones are summed up: they come and go with chance. */
const least = 0.01

export function profileTable(profiles: readonly Profile[], titleOf: (scenario: string) => string): string {
  const share = (sums: ByStage, stage: string): number => (sums.get(stage) ?? 0) / (total(sums) || 1)
  const total = (sums: ByStage): number => [...sums.values()].reduce((sum, one) => sum + one, 0)
  const section = (head: string, of: (one: Profile) => ByStage, show: (sums: ByStage) => string): string => {
    const all = profiles.map(of)
    const stages = [...new Set(all.flatMap(sums => [...sums.keys()]))]
    const weight = (stage: string): number => Math.max(...all.map(sums => share(sums, stage)))
    const shown = stages.filter(stage => weight(stage) >= least).toSorted((a, b) => weight(b) - weight(a))
    const percent = (value: number): string => (value < 0.005 ? '' : `${(value * 100).toFixed(0)} %`)
    const rest = all.map(sums => stages.reduce((sum, one) => (shown.includes(one) ? sum : sum + share(sums, one)), 0))
    const rows = shown.map(stage => [stage, ...all.map(sums => percent(share(sums, stage)))])
    if (rest.some(value => value >= 0.005)) rows.push(['less than 1 % each', ...rest.map(percent)])
    const names = profiles.map(({ scenario }) => titleOf(scenario))
    const lines = [[head, ...names], ['---', ...names.map(() => '--:')], ...rows, ['all', ...all.map(show)]]
    return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n')
  }
  const time = section(
    'share of the time',
    one => one.cpu,
    sums => `${(total(sums) / 1000).toFixed(1)} s`
  )
  const memory = section(
    'alive at the end, by who made it',
    one => one.heap,
    sums => `${(total(sums) / 2 ** 20).toFixed(0)} MiB`
  )
  return `${time}\n\n${memory}`
}
