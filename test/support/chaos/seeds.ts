/** The seeds of one test file; CHAOS_SEEDS=from-to plays others. */
import { suite } from '../suite.ts'
import { play } from './play.ts'

/** More than a few say no more. */
const shown = 20

export function chaos(part: number, parts: number): void {
  const test = suite(`chaos, part ${part} of ${parts}`)
  const [from = 1, to = from] = (process.env['CHAOS_SEEDS'] ?? '1-60').split('-').map(Number)
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
