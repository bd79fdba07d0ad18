/** Trouble on demand: what goes wrong with which request, declared by the test. */

export interface Fault {
  readonly method?: string
  /** Against path and query, such as `/apis/windmill.dev/v1alpha1/windmillflows?limit=500`. */
  readonly path?: RegExp
  /** How many matching requests pass before the fault strikes. */
  readonly after?: number
  /** How often it strikes; 1 unless told. */
  readonly times?: number
  readonly does: /** An error answer; nothing is done. 429 carries Retry-After (seconds; 1 unless told, '' for none). */
    | { readonly status: number; readonly retryAfter?: number | string; readonly body?: string }
    /** The connection is cut before anything is done. */
    | 'reset'
    /** The work is done, and the connection is cut before the answer. */
    | 'lost'
    /** The work is done, half of the answer goes out, and the connection is cut. */
    | 'half'
    /** The list says that it ended, but its JSON stops half way. */
    | 'truncated'
    /** No answer, ever. */
    | 'hang'
    /** A late answer. */
    | { readonly delay: number }
}

export function createFaults() {
  const active: { fault: Fault; seen: number; struck: number }[] = []

  return {
    add(...faults: Fault[]): void {
      for (const fault of faults) active.push({ fault, seen: 0, struck: 0 })
    },
    clear(): void {
      active.length = 0
    },
    /** Faults that have not struck as often as declared: a test that proves something leaves none. */
    pending: (): Fault[] => active.filter(({ fault, struck }) => struck < (fault.times ?? 1)).map(({ fault }) => fault),
    strike(method: string, path: string): Fault['does'] | undefined {
      let does: Fault['does'] | undefined
      for (const entry of active) {
        const { fault } = entry
        if (fault.method !== undefined && fault.method !== method) continue
        if (fault.path && path.search(fault.path) < 0) continue
        if (entry.seen++ < (fault.after ?? 0) || entry.struck >= (fault.times ?? 1) || does) continue
        entry.struck++
        does = fault.does
      }
      return does
    }
  }
}

export type Faults = ReturnType<typeof createFaults>
