/** Samples of several rounds → medians, ratios, Markdown tables. */
import { cpus, totalmem } from 'node:os'
import { alone } from './alone.ts'
import type { Sample } from './sample.ts'

export interface Line extends Sample {
  readonly runs: number
  readonly floorMs: number | undefined
  /** The same with lists read as Tables. */
  readonly tableFloorMs: number | undefined
  /** Fastest and slowest. */
  readonly spread: readonly [number, number]
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

const known = (values: readonly (number | undefined)[]): number | undefined => {
  const found = values.filter(value => value !== undefined)
  return found.length === 0 ? undefined : median(found)
}

/** Rounds of the same work become one line, each number the median of its own. */
export function linesOf(samples: readonly Sample[]): readonly Line[] {
  const groups = new Map<string, Sample[]>()
  for (const sample of samples) {
    const key = `${sample.size} ${sample.scenario} ${sample.who}`
    groups.set(key, [...(groups.get(key) ?? []), sample])
  }
  return [...groups.values()].map(lineOf)
}

function lineOf(group: readonly Sample[]): Line {
  const first = group[0] as Sample
  const of = (pick: (sample: Sample) => number): number => median(group.map(pick))
  const floors = Object.fromEntries(
    Object.keys(first.floors).map(name => [name, of(sample => sample.floors[name] ?? 0)])
  )
  const parts = Object.values(floors)
  const floorMs = parts.length === 0 ? undefined : parts.reduce((sum, part) => sum + part, 0)
  const tableMs = known(group.map(sample => sample.tableMs))
  const walls = group.map(sample => sample.wallMs)
  return {
    scenario: first.scenario,
    size: first.size,
    who: first.who,
    touched: first.touched,
    runs: group.length,
    wallMs: median(walls),
    cpuMs: known(group.map(sample => sample.cpuMs)),
    firstRequestMs: known(group.map(sample => sample.firstRequestMs)),
    peakMiB: known(group.map(sample => sample.peakMiB)),
    each: first.each?.map((_, index) => {
      const all = group.map(sample => sample.each?.[index])
      return {
        wallMs: known(all.map(one => one?.wallMs)) ?? Number.NaN,
        cpuMs: known(all.map(one => one?.cpuMs)),
        peakMiB: known(all.map(one => one?.peakMiB))
      }
    }),
    requests: of(sample => sample.requests),
    patches: of(sample => sample.patches),
    receivedMiB: of(sample => sample.receivedMiB),
    connections: of(sample => sample.connections),
    statements: of(sample => sample.statements),
    transactions: of(sample => sample.transactions),
    serverMs: of(sample => sample.serverMs),
    rowsWritten: of(sample => sample.rowsWritten),
    walMiB: of(sample => sample.walMiB),
    floors,
    floorMs,
    tableMs,
    tableFloorMs:
      floorMs === undefined || tableMs === undefined ? undefined : floorMs - (floors['list'] ?? 0) + tableMs,
    spread: [Math.min(...walls), Math.max(...walls)],
    problem: group.map(sample => sample.problem).find(problem => problem !== '') ?? ''
  }
}

const titles: Readonly<Record<string, string>> = {
  'first-sync': 'first sync',
  locked: 'after it: all dependencies locked, told in statuses',
  'no-op': 'no-op',
  'last-applied': 'no-op, every CR with kubectl’s annotation',
  plan: 'plan, 1 % changed',
  changed: '1 % changed',
  drifted: '1 % drifted',
  'lost-ledger': 'ledger lost: everything adopted again',
  'scripts, first sync': 'scripts alone (at most 10,000): first sync',
  'scripts, no-op': 'scripts alone: no-op',
  'schedules, first sync': 'schedules alone (at most 5,000): first sync',
  'schedules, no-op': 'schedules alone: no-op',
  deleted: '10 % deleted'
}

export const titleOf = (scenario: string): string => titles[scenario] ?? scenario

const seconds = (ms: number): string => (ms >= 9950 ? (ms / 1000).toFixed(0) : (ms / 1000).toFixed(ms < 995 ? 2 : 1))
const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
const or = (value: number | undefined, show: (value: number) => string): string =>
  value === undefined ? 'unknown' : show(value)
const mib = (value: number): string => (value < 10 ? value.toFixed(1) : value.toFixed(0))

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, index) => (index < 1 ? '---' : '--:')), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')

const mostOf = (scenario: string): number =>
  Object.entries(alone).find(([name]) => scenario.startsWith(`${name},`))?.[1].most ?? Number.POSITIVE_INFINITY

/** Every scenario of one size, with its floor beside. */
export function scenarioTable(lines: readonly Line[], size: number): string {
  const rows = lines
    .filter(line => line.who === 'ours' && line.size === Math.min(size, mostOf(line.scenario)))
    .map(line => [
      titleOf(line.scenario),
      seconds(line.wallMs),
      or(line.floorMs, seconds),
      or(line.floorMs, floor => (line.wallMs / floor).toFixed(1)),
      line.tableFloorMs === undefined ? '' : (line.wallMs / line.tableFloorMs).toFixed(1),
      or(line.cpuMs, seconds),
      or(line.peakMiB, mib),
      whole(line.requests),
      mib(line.receivedMiB),
      whole(line.statements),
      whole(line.rowsWritten) + (line.problem ? ' (!)' : '')
    ])
  return table(
    [
      '',
      'time, s',
      'floor, s',
      'ratio',
      'with Tables',
      'CPU, s',
      'peak RSS, MiB',
      'requests',
      'received, MiB',
      'statements',
      'rows written'
    ],
    rows
  )
}

/** Against the two other designs. */
export function rivalTable(lines: readonly Line[], size: number): string {
  const here = lines.filter(line => line.size === size)
  const rows = here
    .filter(line => line.who === 'ours' || here.some(other => other.scenario === line.scenario && other.who === 'ours'))
    .filter(line => here.some(other => other.scenario === line.scenario && other.who !== 'ours'))
    .toSorted(
      (a, b) => here.findIndex(one => one.scenario === a.scenario) - here.findIndex(one => one.scenario === b.scenario)
    )
    .map(line => {
      const ours = here.find(one => one.scenario === line.scenario && one.who === 'ours')
      return [
        `${titleOf(line.scenario)}: ${line.who === 'ours' ? '**windmill-iac**' : line.who}`,
        seconds(line.wallMs),
        ours ? `${(line.wallMs / ours.wallMs).toFixed(1)} ×` : '',
        or(line.cpuMs, seconds),
        or(line.peakMiB, mib),
        whole(line.requests),
        mib(line.receivedMiB),
        whole(line.statements) + (line.problem ? ' (!)' : '')
      ]
    })
  return table(['', 'time, s', '', 'CPU, s', 'peak RSS, MiB', 'requests', 'received, MiB', 'statements'], rows)
}

/** Several processes at once against one; '' when that was not measured. */
export function shardTable(lines: readonly Line[]): string {
  const rows = lines
    .filter(line => line.each !== undefined)
    .map(({ scenario, who, wallMs, each = [], requests, receivedMiB, statements, problem }) => [
      `${scenario.replace('shards, ', '')}: ${who}`,
      seconds(wallMs),
      each.map(one => or(one.cpuMs, seconds)).join(' + '),
      each.map(one => or(one.peakMiB, mib)).join(' + '),
      whole(requests),
      mib(receivedMiB),
      whole(statements) + (problem ? ' (!)' : '')
    ])
  const head = ['', 'time, s', 'CPU, s', 'peak RSS, MiB', 'requests', 'received, MiB', 'statements']
  return rows.length === 0 ? '' : table(head, rows)
}

/** How time per object and memory go with the number of objects. */
export function growthTable(lines: readonly Line[]): string {
  const rows = lines
    .filter(line => line.who === 'ours' && (line.scenario === 'no-op' || line.scenario === 'first-sync'))
    .toSorted((a, b) => (a.scenario < b.scenario ? 1 : a.scenario > b.scenario ? -1 : a.size - b.size))
    .map(line => [
      `${titleOf(line.scenario)}, ${whole(line.size)} CRs`,
      seconds(line.wallMs),
      ((line.wallMs * 1000) / line.size).toFixed(0),
      or(line.floorMs, floor => (line.wallMs / floor).toFixed(1)),
      or(line.peakMiB, mib)
    ])
  return table(['', 'time, s', 'µs per CR', 'ratio to the floor', 'peak RSS, MiB'], rows)
}

/** The targets of the design, and what was measured. */
export function targetTable(lines: readonly Line[]): string {
  const find = (scenario: string, size: number): Line | undefined =>
    lines.find(line => line.who === 'ours' && line.scenario === scenario && line.size === size)
  const sizes = [...new Set(lines.filter(line => line.scenario === 'no-op').map(line => line.size))].toSorted(
    (a, b) => a - b
  )
  const largest = sizes.at(-1) ?? 0
  const smallest = sizes[0] ?? 0
  const rows: string[][] = []
  const ratio = (part: number | undefined, floor: number | undefined): number | undefined =>
    part !== undefined && floor ? part / floor : undefined
  const most: Most = (what, value, limit, unit) => {
    const shown = value === undefined ? 'unknown' : `${value.toFixed(value < 10 ? 2 : 0)}${unit}`
    rows.push([what, `≤ ${limit}${unit}`, shown, value === undefined ? '' : value <= limit ? 'met' : '**missed**'])
  }
  const told = (what: string, value: number | undefined): void =>
    void rows.push([what, '', or(value, one => `${one.toFixed(2)} ×`), ''])
  const noOp = find('no-op', largest)
  const changed = find('changed', largest)
  const { most: many } = alone.scripts
  const scripts = find('scripts, first sync', Math.min(largest, many))
  const first = scripts ?? find('first-sync', Math.min(largest, many))
  const what = `first sync, ${whole(first?.size ?? 0)}${scripts ? ' scripts' : ''}`
  most(`no-op, ${whole(largest)}: time to (list floor + token query)`, ratio(noOp?.wallMs, noOp?.floorMs), 1.3, ' ×')
  told('the same with the list floor read as Tables, as the program lists', ratio(noOp?.wallMs, noOp?.tableFloorMs))
  most(`no-op, ${whole(largest)}: peak RSS`, noOp?.peakMiB, 128, ' MiB')
  most(`no-op, ${whole(largest)}: rows and statuses written`, noOp && noOp.rowsWritten + noOp.patches, 0, '')
  most('start of the process to its first request', noOp?.firstRequestMs, 250, ' ms')
  const changedFloor =
    noOp && changed ? noOp.wallMs + (changed.floors['get'] ?? 0) + (changed.floors['patch'] ?? 0) : undefined
  most(
    `1 % changed of ${whole(largest)}: time to (no-op + floors of the changed part)`,
    ratio(changed?.wallMs, changedFloor),
    1.3,
    ' ×'
  )
  most(`${what}: time of the database to copy floor`, ratio(first?.serverMs, first?.floors['copy']), 3, ' ×')
  most(`${what}: time to (full list + copy + patch floors)`, ratio(first?.wallMs, first?.floorMs), 1.3, ' ×')
  most(`${what}: peak RSS`, first?.peakMiB, 200, ' MiB')
  if (sizes.length > 1) growthTargets(most, { sizes, smallest, largest, find })
  return table(['', 'target', 'measured', ''], rows)
}

type Most = (what: string, value: number | undefined, limit: number, unit: string) => void

interface Growth {
  readonly sizes: readonly number[]
  readonly smallest: number
  readonly largest: number
  readonly find: (scenario: string, size: number) => Line | undefined
}

/** Against the size before the largest: at small ones the start of the process would hide what grows. */
function growthTargets(most: Most, { sizes, largest, find }: Growth): void {
  const before = sizes.at(-2) ?? 0
  for (const scenario of ['no-op', 'first-sync']) {
    const [small, large] = [find(scenario, before), find(scenario, largest)]
    if (!small || !large) continue
    most(
      `${titleOf(scenario)}: time per CR at ${whole(largest)} to that at ${whole(before)}`,
      large.wallMs / largest / (small.wallMs / before),
      1.15,
      ' ×'
    )
    most(
      `${titleOf(scenario)}: peak RSS at ${whole(largest)} to that at ${whole(before)}`,
      small.peakMiB && large.peakMiB && large.peakMiB / small.peakMiB,
      1.5,
      ' ×'
    )
  }
}

export const machine = (): string =>
  `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, ${process.platform}`
