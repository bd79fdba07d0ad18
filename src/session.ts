/** What all stages of one run share. */
import type { Claims } from './claims.ts'
import type { Config } from './config.ts'
import type { Database } from './database/client.ts'
import type { Ledger } from './ledger.ts'
import type { Log } from './log.ts'
import type { Marks } from './marks.ts'
import type { AnyKind, Context, Entry, Kind, Outcome, Source } from './model.ts'
import { objectKey } from './model.ts'
import type { Publisher } from './publish.ts'
import type { TenancyRules } from './tenancy.ts'

/** What `run` is given: everything that has a life outside of it. */
export interface World {
  readonly source: Source
  readonly database: Database
  readonly kinds: readonly AnyKind[]
  /** Loaded when the first changed CR turns up: a run without one needs no validator. */
  readonly checks: () => Promise<Checks>
  readonly log: Log
  /** Aborted by SIGTERM or the deadline: finish what is in flight, start nothing. */
  readonly signal: AbortSignal
}

/** What can be told about a CR without a cluster and without a database. */
export interface Checks {
  readonly validate: (kind: string) => Validate
  /** Sentences about annotations of our group (names without prefix) that nothing reads. */
  readonly warnings: (annotations: readonly string[]) => readonly string[]
}

/** Checks a spec against its CRD: defaults applied, every fault a sentence. */
type Validate = (spec: unknown) => { readonly spec: unknown; readonly faults: readonly string[] }

export interface Session extends World {
  readonly config: Config
  /** `plan`: nothing is written anywhere. */
  readonly dry: boolean
  /** Batches at work at once: as many as there are connections. */
  readonly connections: number
  readonly context: Context
  /** What the database said of its schema. */
  readonly windmillSchema: string
  readonly ledger: Ledger
  readonly rules: TenancyRules
  /** For work that holds large texts: two at a time, whatever the number of kinds. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>
  /** Filled once the CRs are listed; `rules` looks at it. */
  readonly namespaces: Map<string, Readonly<Record<string, string>>>
  readonly outcomes: Outcomes
  readonly publisher: Publisher
  /** Claims on targets by kind. */
  readonly claims: (kind: string) => Claims
  /** What a CR's mark is, by kind; good once the annotations of its namespace are known. */
  readonly marks: (kind: AnyKind) => Marks
  /** Ids of the workspaces that exist (in a plan: or will). */
  readonly workspaces: Set<string>
  /** Why a workspace cannot be written to, by id; absent: not looked at yet; '': fine. */
  readonly identities: Map<string, string>
  /** What CRs own that a plan would place somewhere else: there, they would be gone. */
  readonly left: Entry[]
  /** Number of targets by kind that a plan would newly own: the guard counts as after a real run. */
  readonly gained: Map<string, number>
  /** Dependency jobs that this run may still queue. */
  readonly lockJobs: { left: number }
  /** Number of rows, ledger entries and statuses written: 0 means the world was as wanted. */
  readonly written: { count: number }
}

/** What became of the CRs of this run. Those whose marks stand still are only counted. */
export class Outcomes {
  readonly #told = new Map<string, Outcome>()
  readonly #added: Outcome[] = []
  #quiet = 0

  /** CRs that were found as they should be without being read; negative when something else is said of them after all. */
  keep(count: number): void {
    this.#quiet += count
  }

  /** The last word on an object counts. */
  set(outcome: Outcome): void {
    this.#told.set(keyOf(outcome), outcome)
  }

  has(object: Pick<Outcome, 'kind' | 'namespace' | 'name'>): boolean {
    return this.#told.has(keyOf(object))
  }

  /** About something that is no listed CR: a whole kind, a broken file, a row whose CR is gone. */
  add(outcome: Outcome): void {
    this.#added.push(outcome)
  }

  all(): readonly Outcome[] {
    return [...this.#told.values(), ...this.#added]
  }

  kept(): number {
    return this.#quiet
  }
}

const keyOf = ({ kind, namespace, name }: Pick<Outcome, 'kind' | 'namespace' | 'name'>): string =>
  `${kind}/${objectKey(namespace, name)}`

/** One of a sort for each key, made when it is asked for. */
export function byKey<K, T>(make: (key: K) => T): (key: K) => T {
  const known = new Map<K, T>()
  return key => {
    let found = known.get(key)
    if (found === undefined) known.set(key, (found = make(key)))
    return found
  }
}

/** The engine's view of a kind: it passes specs and facts through without looking. */
export const engineView = (kind: AnyKind): Kind => kind as unknown as Kind

/** Whether the ledger says that the entry's target is held for a CR (rather than given up). */
export const isOwned = (entry: Entry | undefined): entry is Entry =>
  entry !== undefined && entry.path !== null && entry.state !== 'Released'
