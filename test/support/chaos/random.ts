/** Chance that comes out the same for the same seed. */

export interface Chance {
  /** A whole number from 0 up to, but not including, `below`. */
  readonly below: (below: number) => number
  readonly pick: <T>(from: readonly T[]) => T
  /** True once in so many times. */
  readonly once: (inSoMany: number) => boolean
}

/** The mulberry32 generator. */
export function chanceOf(seed: number): Chance {
  let state = (seed * 0x9e_37_79_b1) >>> 0
  const next = (): number => {
    state = (state + 0x6d_2b_79_f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    below,
    pick: from => {
      if (from.length === 0) throw new Error('nothing to pick from')
      return from[below(from.length)] as (typeof from)[number]
    },
    once: inSoMany => below(inSoMany) === 0
  }
}
