/** What a measured run comes to: its figures, the floors beside them, and whether it did what it should. */
import type { Cluster } from './cluster.ts'
import type { Server } from './database.ts'
import { type Bare, type FloorName, floor } from './floors.ts'
import type { Usage } from './measure.ts'
import type { Options } from './options.ts'
import type { Measured, Program } from './program.ts'

/** One measured run. */
export interface Sample {
  readonly scenario: string
  readonly size: number
  /** `ours` or a rival. */
  readonly who: string
  /** Objects that the run had to do something about. */
  readonly touched: number
  readonly wallMs: number
  readonly cpuMs: number | undefined
  /** From the start of the process to its first request to the API server. */
  readonly firstRequestMs?: number | undefined
  readonly peakMiB: number | undefined
  /** Of several processes at once, each one. */
  readonly each?: readonly Pick<Usage, 'wallMs' | 'cpuMs' | 'peakMiB'>[] | undefined
  readonly requests: number
  readonly patches: number
  readonly receivedMiB: number
  readonly connections: number
  readonly statements: number
  readonly transactions: number
  readonly serverMs: number
  readonly rowsWritten: number
  readonly walMiB: number
  /** Milliseconds by floor; the run's floor is their sum. */
  readonly floors: Readonly<Record<string, number>>
  /** What the floor `list` would be, were the lists read as Tables like the program does it. */
  readonly tableMs?: number | undefined
  /** '' when the run did exactly what it should have. */
  readonly problem: string
}

export interface Bench {
  readonly options: Options
  readonly cluster: Cluster
  readonly server: Server
  readonly program: Program
  readonly plurals: Readonly<Record<string, string>>
  readonly say: (text: string) => void
  readonly report: (sample: Sample) => void
}

export type FloorWanted = readonly [name: FloorName, count?: number]
export type Floors = Pick<Sample, 'floors' | 'tableMs'>

/** Where lists are a floor, the same lists as Tables are measured beside it. */
export async function floorsOf(bare: Bare, wanted: readonly FloorWanted[]): Promise<Floors> {
  const floors: Record<string, number> = {}
  for (const [name, count] of wanted) floors[name] = await floor(bare, name, count)
  return { floors, ...(floors['list'] !== undefined && { tableMs: await floor(bare, 'table-list') }) }
}

export interface Expected {
  readonly op: string
  readonly count: number
  /** Where others than those counted had to be touched. */
  readonly touched?: number
  /** Nothing may be written anywhere. */
  readonly quiet?: boolean
}

export function sampleOf(
  scenario: string,
  size: number,
  who: string,
  measured: Measured
): Omit<Sample, 'floors' | 'tableMs' | 'problem' | 'touched'> {
  const { usage, work, traffic } = measured
  return {
    scenario,
    size,
    who,
    wallMs: usage.wallMs,
    cpuMs: usage.cpuMs,
    ...(traffic.firstAt > 0 && { firstRequestMs: traffic.firstAt - usage.startedAt }),
    peakMiB: usage.peakMiB,
    requests: traffic.requests,
    patches: traffic.patches,
    receivedMiB: traffic.bytesOut / 2 ** 20,
    connections: traffic.connections,
    ...work
  }
}

export function problemOf({ usage, counts, errors, work, traffic }: Measured, { op, count, quiet }: Expected): string {
  if (errors.length > 0) return errors.join('; ')
  const problems = [
    usage.code === 0 ? '' : `exit ${usage.code}`,
    counts[op] === count ? '' : `${op}: ${counts[op]} instead of ${count}`,
    quiet && work.rowsWritten > 0 ? `${work.rowsWritten} rows written` : '',
    quiet && traffic.patches > 0 ? `${traffic.patches} statuses patched` : ''
  ]
  return problems.filter(Boolean).join('; ')
}
