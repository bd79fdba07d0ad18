/** uvu with balanced books: what uvu passes silently (style of failure listed below) fails the process here. */
import { type Callback, suite as uvuSuite } from 'uvu'
import * as assert from 'uvu/assert'

/** A suite without hooks: resources come by callback, so that nothing can fail outside a test. */
export interface Suite {
  (name: string, body: Callback): void
  run(): void
}

let declared = 0
let settled = 0
let suites = 0
let started = 0

/**
 * uvu exits 0 when a hook throws, when a suite is never run, when a test is skipped by `.only`, and when nothing is
 * found. There are no hooks and no `.only` here, and at the end of the process every declared test must have settled.
 */
export function suite(name: string): Suite {
  const inner = uvuSuite(name)
  suites++
  const add = (title: string, body: Callback): void => {
    declared++
    inner(title, async context => {
      try {
        await body(context)
      } catch (thrown) {
        // `throw null` and the like would be taken for success.
        throw thrown instanceof Error ? thrown : new Error(`thrown: ${String(thrown)}`)
      } finally {
        settled++
      }
    })
  }
  return Object.assign(add, {
    run: () => {
      started++
      inner.run()
    }
  })
}

/** Fails unless the promise rejects; gives the error to look at. */
export async function rejects(work: Promise<unknown> | (() => Promise<unknown>)): Promise<Error> {
  try {
    await (typeof work === 'function' ? work() : work)
  } catch (error) {
    return error as Error
  }
  throw new Error('expected a rejection, but the promise resolved')
}

process.on('exit', () => {
  if (declared === 0 || declared !== settled || suites !== started) {
    process.stderr.write(`unbalanced: ${suites} suites, ${started} run; ${declared} tests, ${settled} settled\n`)
    process.exitCode = 1
  }
})

export { assert }
