/** Pure: outcomes become the report: JSON for machines, text for people, one sentence for both, an exit code. */
import { createTwoFilesPatch } from 'diff'
import { exitOf, type SyncError } from './errors.ts'
import type { Difference, Json, Op, Outcome } from './model.ts'

export interface Report {
  readonly schemaVersion: 1
  readonly run: {
    readonly id: string
    readonly startedAt: string
    readonly durationMs: number
    readonly command: string
    readonly cluster: string
    readonly windmillSchema: string
    readonly exitCode: number
    /** Why the run ended early, if it did. */
    readonly error?: { readonly code: string; readonly message: string }
  }
  readonly counts: Readonly<Record<Op, number>>
  readonly objects: readonly Outcome[]
}

export interface Facts {
  readonly id: string
  readonly startedAt: Date
  readonly finishedAt: Date
  readonly command: string
  readonly cluster: string
  readonly windmillSchema: string
  readonly error: SyncError | undefined
  /** CRs that are simply kept. */
  readonly kept: number
  readonly outcomes: readonly Outcome[]
  /** `plan --exit-code`. */
  readonly exitOnChanges: boolean
}

const ops: readonly Op[] = ['create', 'update', 'adopt', 'delete', 'keep', 'conflict', 'error', 'skip']

export function makeReport(facts: Facts): Report {
  const counts = Object.fromEntries(ops.map(op => [op, 0])) as Record<Op, number>
  for (const { op } of facts.outcomes) counts[op]++
  counts.keep += facts.kept
  const objects = inOrder(facts.outcomes)
  return {
    schemaVersion: 1,
    run: {
      id: facts.id,
      startedAt: facts.startedAt.toISOString(),
      durationMs: facts.finishedAt.getTime() - facts.startedAt.getTime(),
      command: facts.command,
      cluster: facts.cluster,
      windmillSchema: facts.windmillSchema,
      exitCode: exitCodeOf(facts, counts),
      ...(facts.error && { error: { code: facts.error.code, message: facts.error.message } })
    },
    counts,
    objects
  }
}

/** In the order of kinds, names and paths. */
function inOrder(outcomes: readonly Outcome[]): readonly Outcome[] {
  // Keys are made once each: a sort asks for them over and over.
  const keyed = outcomes.map(one => ({ key: `${one.kind}/${one.namespace}/${one.name}/${one.path}`, one }))
  keyed.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)))
  return keyed.map(({ one }) => one)
}

/** Reasons that stand for a whole kind that was refused. */
const refusals: ReadonlySet<string> = new Set(['DeletionGuard', 'ListFailed', 'ListForbidden', 'CrdMissing'])

function exitCodeOf({ error, outcomes, exitOnChanges }: Facts, counts: Readonly<Record<Op, number>>): number {
  if (error) return exitOf(error.code)
  if (outcomes.some(one => refusals.has(one.reason))) return 3
  if (counts.error + counts.conflict > 0) return 1
  return exitOnChanges && changesOf(counts) > 0 ? 2 : 0
}

const changesOf = (counts: Readonly<Record<Op, number>>): number =>
  counts.create + counts.update + counts.adopt + counts.delete

/** Plan words are imperatives, outcome words participles; nobody confuses intent and result. */
const words: Readonly<Record<Op, readonly [planned: string, done: string]>> = {
  create: ['to create', 'created'],
  update: ['to update', 'updated'],
  adopt: ['to adopt', 'adopted'],
  delete: ['to delete', 'deleted'],
  keep: ['to keep', 'kept'],
  conflict: ['in conflict', 'in conflict'],
  error: ['in error', 'in error'],
  skip: ['skipped', 'skipped']
}

const wordOf = (op: Op, command: string): string => words[op][command === 'plan' ? 0 : 1]

/** A row that only stops being managed is still there. */
const isReleased = ({ op, reason }: Outcome): boolean => op === 'delete' && reason === 'Released'
const wordFor = (one: Outcome, command: string): string =>
  isReleased(one) ? (command === 'plan' ? 'to release' : 'released') : wordOf(one.op, command)

/** One sentence with the counts and the time. */
export function sentenceOf({ run, counts, objects }: Report): string {
  const released = objects.filter(isReleased).length
  const parts = ops.flatMap(op => {
    const count = op === 'delete' ? counts.delete - released : counts[op]
    const gone =
      op === 'delete' && released > 0 ? [`${released} ${run.command === 'plan' ? 'to release' : 'released'}`] : []
    return [...(count > 0 ? [`${count} ${wordOf(op, run.command)}`] : []), ...gone]
  })
  const what = parts.length > 0 ? parts.join(', ') : 'nothing to do'
  const end = run.error ? ` Ended early: ${run.error.message}` : ''
  return `${run.command}: ${what} in ${(run.durationMs / 1000).toFixed(1)} s.${end}`
}

/** The report for people: a line per object that was not simply kept, then the sentence. */
export function textOf(report: Report, options: { readonly diff: boolean; readonly verbose: boolean }): string {
  const shown = report.objects.filter(one => one.op !== 'keep' || options.verbose)
  const place = (one: Outcome): string => (one.name ? `${one.namespace}/${one.name}` : '-')
  const target = (one: Outcome): string => (one.path ? `${one.workspace}:${one.path}` : one.workspace)
  const rows = shown.map(one => [wordFor(one, report.run.command), one.kind, place(one), target(one)])
  const widths = [0, 1, 2, 3].map(column => Math.max(0, ...rows.map(row => row[column]?.length ?? 0)))
  const lines = shown.flatMap((one, index) => {
    const cells = (rows[index] ?? []).map((cell, column) => cell.padEnd(widths[column] ?? 0))
    const line = `${cells.join('  ')}  ${telling(one)}`.trimEnd()
    return options.diff && one.diff ? [line, ...one.diff.flatMap(diffLines)] : [line]
  })
  return `${[...lines, sentenceOf(report)].join('\n')}\n`
}

/** What the word at the beginning does not say yet: notes, or reason and message. */
function telling({ state, reason, message }: Outcome): string {
  if (state === 'Synced') return message.replace(/^In sync with Windmill\. ?/, '')
  return message === '' ? '' : `${reason}: ${message}`
}

/** Unified for text of several lines, one line per side for everything else. */
function diffLines({ field, from, to }: Difference): readonly string[] {
  if (isText(from) || isText(to)) {
    const patch = createTwoFilesPatch(field, field, textSide(from), textSide(to), '', '', {
      context: 3,
      maxEditLength: 2000
    })
    const body = patch?.split('\n').slice(1, -1) ?? [`${field}: too different to show`]
    return body.map(line => `    ${line}`)
  }
  const side = (sign: string, value: Json | undefined): readonly string[] =>
    value === undefined ? [] : [`    ${sign} ${field}: ${shorten(JSON.stringify(value))}`]
  return [...side('-', from), ...side('+', to)]
}

const isText = (value: Json | undefined): value is string => typeof value === 'string' && value.includes('\n')
const textSide = (value: Json | undefined): string => (typeof value === 'string' ? value : '')
const shorten = (text: string): string =>
  text.length > 300 ? `${text.slice(0, 300)}… (${text.length} characters)` : text

/** What /dev/termination-log gets: the sentence and the first failures, at most 4,096 bytes. */
export function terminationMessage(report: Report): string {
  const failures = report.objects
    .filter(one => one.op === 'error' || one.op === 'conflict')
    .slice(0, 10)
    .map(one => `${one.kind} ${one.name ? `${one.namespace}/${one.name}` : ''} ${one.reason}: ${one.message}`)
  return Buffer.from([sentenceOf(report), ...failures].join('\n'))
    .subarray(0, 4096)
    .toString()
}
