/** Retries of schedules: Windmill's JSON, made from the short form or checked in its own (contract: schedules §8). */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'
import { isObject } from './json-values.ts'

/** Windmill cuts every delay here, and refuses to start a job whose last retry would wait longer. In seconds. */
const LONGEST = 21_600

/** The short form: the first delay, doubling, up to a greatest one; in seconds. */
export interface RetryConfig {
  readonly attempts?: number
  readonly exponentialDelay?: number
  readonly maxDelay?: number
}

/** Windmill's own form; what is missing counts as 0. */
export interface RetryWish {
  readonly constant?: { readonly attempts?: number; readonly seconds?: number }
  readonly exponential?: {
    readonly attempts?: number
    readonly multiplier?: number
    readonly seconds?: number
    readonly random_factor?: number
  }
  readonly retry_if?: { readonly expr: string }
}

export interface Retry {
  /** For the column `retry`; null: no retries. */
  readonly value: Json
  readonly notes: readonly string[]
}

/** Constant retries come first; then retry p (from 0, over all) waits `multiplier × seconds^(p+1)`. */
interface Plan {
  readonly constant: { readonly attempts: number; readonly seconds: number }
  readonly exponential: { readonly attempts: number; readonly multiplier: number; readonly seconds: number }
}

const jsonOf = ({ constant, exponential }: Plan, random: number | null = null): { [key: string]: Json } => ({
  constant: { ...constant },
  exponential: { ...exponential, random_factor: random }
})

/**
 * The doubling series as closely as Windmill can: no delay beyond the cap, all attempts kept, and the least relative
 * error over all delays. What differs is said.
 */
export function retryOf(config: RetryConfig): Retry {
  const key = [config.attempts, config.exponentialDelay, config.maxDelay].join()
  const known = made.get(key)
  if (known) return known
  const retry = makeRetry(config)
  made.set(key, retry)
  return retry
}

/** Thousands of schedules share a few forms, and the search takes a while when there are many attempts. */
const made = new Map<string, Retry>()

function makeRetry({ attempts = 0, exponentialDelay, maxDelay }: RetryConfig): Retry {
  if (attempts === 0) return { value: null, notes: [] }
  const cap = Math.min(maxDelay ?? LONGEST, LONGEST)
  const first = Math.min(exponentialDelay ?? 5, cap)
  const doubling = exponentialDelay !== undefined
  const wish = Array.from({ length: attempts }, (_, p) => Math.min(doubling ? first * 2 ** p : first, cap))
  const best = closest(wish, cap)
  const delays = delaysOf(best)
  const differs = delays.some((delay, p) => delay !== wish[p])
  const beyond =
    (exponentialDelay ?? 0) * (doubling ? 2 ** (attempts - 1) : 1) > LONGEST && (maxDelay ?? Infinity) > LONGEST
  return {
    value: jsonOf(best),
    notes: [
      ...(differs
        ? [`retryConfig: retries wait ${spoken(delays)} seconds, as close as Windmill comes to ${spoken(wish)}.`]
        : []),
      ...(beyond ? [`retryConfig: Windmill waits at most ${LONGEST} seconds.`] : [])
    ]
  }
}

/** Every split into constant retries and those after them, flat or doubling; the first of the best. */
function closest(wish: readonly number[], cap: number): Plan {
  const none = { attempts: 0, seconds: 0 }
  const flat: Plan = {
    constant: { attempts: wish.length, seconds: middle(wish) },
    exponential: { ...none, multiplier: 1 }
  }
  if (cap === 0 || wish[0] === 0 || wish.every(delay => delay === wish[0])) return flat
  let best = { plan: flat, error: errorOf(flat, wish) }
  for (let k = 0; k < wish.length; k++) {
    const constant = k === 0 ? none : { attempts: k, seconds: middle(wish.slice(0, k)) }
    for (const exponential of tailsOf(wish, k, cap)) {
      const plan = { constant, exponential }
      const error = errorOf(plan, wish)
      if (error < best.error - 1e-9) best = { plan, error }
    }
  }
  return best.plan
}

function tailsOf(wish: readonly number[], k: number, cap: number): readonly Plan['exponential'][] {
  const attempts = wish.length - k
  const flat = { attempts, multiplier: middle(wish.slice(k)), seconds: 1 }
  const greatest = Math.floor(cap / 2 ** wish.length)
  if (greatest < 1) return [flat]
  const ideal = middle(wish.slice(k).map((delay, at) => delay / 2 ** (k + at + 1)))
  const around = [Math.floor(ideal), Math.ceil(ideal)].map(one => Math.min(Math.max(one, 1), greatest))
  return [...around.map(multiplier => ({ attempts, multiplier, seconds: 2 })), flat]
}

/** The whole number with the least relative error to all; delays differ by factors, so their logarithms are averaged. */
function middle(delays: readonly number[]): number {
  if (delays.some(delay => delay === 0)) return 0
  const mean = delays.reduce((sum, delay) => sum + Math.log(delay), 0) / delays.length
  const exact = Math.exp(mean)
  return Math.abs(exact - Math.round(exact)) < 1e-6 ? Math.round(exact) : exact < 1 ? exact : nearest(exact, mean)
}

const nearest = (exact: number, mean: number): number => {
  const [low, high] = [Math.floor(exact), Math.ceil(exact)]
  return mean - Math.log(low) <= Math.log(high) - mean ? low : high
}

const errorOf = (plan: Plan, wish: readonly number[]): number =>
  delaysOf(plan).reduce((sum, delay, p) => sum + Math.log(delay / (wish[p] ?? 1)) ** 2, 0)

/** As Windmill computes them, in 16 bits: the power saturates, the product wraps. */
function delaysOf({ constant, exponential }: Plan): readonly number[] {
  const all = constant.attempts + exponential.attempts
  return Array.from({ length: all }, (_, p) => delayAt({ constant, exponential }, p))
}

function delayAt({ constant, exponential }: Plan, p: number): number {
  if (p < constant.attempts) return constant.seconds
  const power = Math.min(exponential.seconds ** (p + 1), 65_535)
  return (exponential.multiplier * power) % 65_536
}

/** `1, 2, 4 and 8`; equal neighbours are counted. */
function spoken(delays: readonly number[]): string {
  const runs: { delay: number; count: number }[] = []
  for (const delay of delays) {
    const last = runs.at(-1)
    if (last?.delay === delay) last.count++
    else runs.push({ delay, count: 1 })
  }
  const texts = runs.map(({ delay, count }) =>
    count > 2 ? `${count} times ${delay}` : Array(count).fill(delay).join(', ')
  )
  return texts.length > 1 ? `${texts.slice(0, -1).join(', ')} and ${texts.at(-1)}` : texts.join('')
}

/** Windmill's own form, complete; refused where Windmill would refuse to start the job. */
export function checkRetry({ constant = {}, exponential = {}, retry_if }: RetryWish): Retry {
  const plan: Plan = {
    constant: { attempts: constant.attempts ?? 0, seconds: constant.seconds ?? 0 },
    exponential: {
      attempts: exponential.attempts ?? 0,
      multiplier: exponential.multiplier ?? 1,
      seconds: exponential.seconds ?? 0
    }
  }
  const all = plan.constant.attempts + plan.exponential.attempts
  if (all === 0) return { value: null, notes: [] }
  const last = delayAt(plan, all - 1)
  if (last > LONGEST) {
    throw new SyncError(
      'InvalidSpec',
      `retry: the last retry would wait ${last} seconds, and Windmill starts no job that may wait longer than ${LONGEST}; lower attempts, multiplier or seconds.`
    )
  }
  const { multiplier, seconds } = plan.exponential
  const wraps = plan.exponential.attempts > 0 && multiplier * Math.min(seconds ** all, 65_535) > 65_535
  return {
    value: {
      ...jsonOf(plan, exponential.random_factor ?? null),
      ...(retry_if && { retry_if: { expr: retry_if.expr } })
    },
    notes: wraps ? [`retry: Windmill computes delays in 16 bits, so the last retry waits ${last} seconds only.`] : []
  }
}

/** A stored value in the form that ours have, so that equal retries compare as equal; what is none stays as it is. */
export function retryRead(stored: Json): Json {
  if (!isObject(stored)) return stored
  const { constant = {}, exponential = {}, retry_if } = stored
  if (!isObject(constant) || !isObject(exponential)) return stored
  return {
    ...stored,
    constant: { attempts: 0, seconds: 0, ...constant },
    exponential: { attempts: 0, multiplier: 1, seconds: 0, random_factor: null, ...exponential },
    ...(retry_if !== undefined && { retry_if })
  }
}
