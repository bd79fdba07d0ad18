/** What is said to V8 while the program runs must be heard. */
import v8 from 'node:v8'
import { keepHeapSmall } from '../src/memory.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('memory')

/** MiB of the largest space for young objects while many of them live for a while. */
function youngest(): number {
  const kept: object[] = []
  let most = 0
  for (let n = 0; n < 1_500_000; n++) {
    kept[n % 200_000] = { n, list: [n] }
    if (n % 50_000 !== 0) continue
    const space = v8.getHeapSpaceStatistics().find(one => one.space_name === 'new_space')
    most = Math.max(most, (space?.space_size ?? Number.NaN) / 2 ** 20)
  }
  return most
}

test('the space for young objects stays as it is', () => {
  const before = v8.getHeapSpaceStatistics().find(one => one.space_name === 'new_space')?.space_size ?? 0
  keepHeapSmall()
  const most = youngest()
  assert.ok(most <= before / 2 ** 20 + 1, `${most} MiB after ${before / 2 ** 20}`)
  // The other way round it grows, or this test would prove nothing.
  v8.setFlagsFromString('--semi-space-growth-factor=2')
  assert.ok(youngest() > most)
})

test.run()
