/**
 * The seeds of one test file. As many as fit into a minute on two cores are played by default; CHAOS_SEEDS=1-200 plays
 * more, CHAOS_SEEDS=17 one alone. A seed decides everything but the moment at which a killed run or connection dies.
 */
import { suite } from '../suite.ts'
import { play } from './play.ts'

/** More than a few say no more. */
const shown = 20

export function chaos(part: number, parts: number): void {
  const test = suite(`chaos, part ${part} of ${parts}`)
  const [from = 1, to = from] = (process.env['CHAOS_SEEDS'] ?? '1-100').split('-').map(Number)
  const seeds = Array.from({ length: to - from + 1 }, (_, at) => from + at).filter(seed => seed % parts === part - 1)
  test(`${seeds.length} seeds: after whatever happened, rows, ledger and statuses are what the rules say`, async () => {
    const failures: string[] = []
    for (const seed of seeds) {
      try {
        await play(seed)
      } catch (error) {
        failures.push((error as Error).message)
      }
    }
    if (failures.length === 0) return
    const error = new Error(
      `${failures.length} of ${seeds.length} seeds failed\n${failures.slice(0, shown).join('\n\n')}`
    )
    error.stack = error.message
    throw error
  })
  test.run()
}
