import { checkRetry, retryOf, retryRead } from '../src/windmill/retry.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('retries')

interface Stored {
  readonly constant: { readonly attempts: number; readonly seconds: number }
  readonly exponential: { readonly attempts: number; readonly multiplier: number; readonly seconds: number }
}

/** Windmill's arithmetic, spelled out step by step: u16 with a saturating power and a wrapping product. */
function delays(value: unknown): number[] {
  const { constant, exponential } = value as Stored
  const out: number[] = Array<number>(constant.attempts).fill(constant.seconds)
  for (let p = constant.attempts; p < constant.attempts + exponential.attempts; p++) {
    let power = 1
    for (let i = 0; i <= p; i++) power = Math.min(power * exponential.seconds, 65_535)
    out.push((power * exponential.multiplier) & 0xffff)
  }
  return out
}

test('an even first delay that doubles is exact', () => {
  const { value, notes } = retryOf({ attempts: 3, exponentialDelay: 10, maxDelay: 300 })
  assert.equal(delays(value), [10, 20, 40])
  assert.equal(notes, [])
})

test('an odd first delay is kept as one constant retry, and what follows is near', () => {
  const { value, notes } = retryOf({ attempts: 3, exponentialDelay: 5, maxDelay: 60 })
  assert.equal(delays(value), [5, 12, 24])
  assert.match(notes.join(), /wait 5, 12 and 24 seconds, as close as Windmill comes to 5, 10 and 20/)
  assert.equal(delays(retryOf({ attempts: 2, exponentialDelay: 7 }).value), [7, 14])
})

test('all attempts are kept and no delay exceeds the cap or the six hours of Windmill', () => {
  for (const attempts of [1, 2, 3, 5, 9, 14, 15, 16, 40, 1000]) {
    for (const exponentialDelay of [0, 1, 2, 3, 7, 10, 60, 299, 3600, 30_000, 2_147_483_647]) {
      for (const maxDelay of [0, 1, 5, 299, 300, 3600, 21_600, 90_000, undefined]) {
        const { value, notes } = retryOf({ attempts, exponentialDelay, ...(maxDelay !== undefined && { maxDelay }) })
        const made = delays(value)
        const cap = Math.min(maxDelay ?? 21_600, 21_600)
        const what = JSON.stringify({ attempts, exponentialDelay, maxDelay, made: made.slice(0, 20) })
        assert.is(made.length, attempts, what)
        assert.ok(
          made.every(delay => delay <= cap),
          what
        )
        const wish = made.map((_, p) => Math.min(exponentialDelay * 2 ** p, cap))
        const isExact = wish.every((delay, p) => delay === made[p])
        assert.is(
          notes.some(note => note.includes('as close as')),
          !isExact,
          what
        )
        assert.not(JSON.stringify(value).includes('null,'), what)
      }
    }
  }
})

test('without a first delay all retries wait five seconds, or the greatest delay if that is less', () => {
  assert.equal(delays(retryOf({ attempts: 3 }).value), [5, 5, 5])
  assert.equal(delays(retryOf({ attempts: 2, maxDelay: 3 }).value), [3, 3])
})

test('no attempts are no retries, and never a JSON null inside', () => {
  assert.is(retryOf({ attempts: 0, exponentialDelay: 5 }).value, null)
  assert.is(retryOf({}).value, null)
  assert.is(checkRetry({}).value, null)
  assert.is(checkRetry({ constant: { attempts: 0, seconds: 5 } }).value, null)
})

test("Windmill's own form is completed and kept", () => {
  const { value, notes } = checkRetry({
    constant: { attempts: 2, seconds: 5 },
    exponential: { attempts: 3, multiplier: 1, seconds: 2, random_factor: 10 },
    retry_if: { expr: 'result.again' }
  })
  assert.equal(value, {
    constant: { attempts: 2, seconds: 5 },
    exponential: { attempts: 3, multiplier: 1, seconds: 2, random_factor: 10 },
    retry_if: { expr: 'result.again' }
  })
  assert.equal(delays(value), [5, 5, 8, 16, 32])
  assert.equal(notes, [])
})

test('a last delay of more than six hours is refused, as Windmill would refuse the job', () => {
  const exponential = (attempts: number, seconds: number, multiplier = 1): unknown =>
    checkRetry({ exponential: { attempts, seconds, multiplier } }).value
  exponential(14, 2)
  assert.throws(() => exponential(15, 2), /wait 32768 seconds/)
  exponential(4, 10)
  assert.throws(() => exponential(5, 10), /wait 65535 seconds/)
  exponential(2, 60)
  assert.throws(() => exponential(3, 60), /lower attempts/)
  assert.throws(() => checkRetry({ constant: { attempts: 1, seconds: 21_601 } }), /21600/)
})

test('where 16 bits run over, what Windmill really waits is said', () => {
  const { value, notes } = checkRetry({ exponential: { attempts: 1, seconds: 30_000, multiplier: 5 } })
  assert.equal(delays(value), [18_928])
  assert.match(notes.join(), /16 bits, so the last retry waits 18928 seconds only/)
})

test('a stored retry with missing members equals the complete one', () => {
  const { value } = checkRetry({ constant: { attempts: 3, seconds: 10 } })
  assert.equal(retryRead({ constant: { attempts: 3, seconds: 10 } }), value)
  assert.is(retryRead(null), null)
  assert.is(retryRead('odd'), 'odd')
})

test.run()
