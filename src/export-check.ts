/** Proves before it is written that a manifest makes the row that it was made from: by the very code that will read it. */
import { isObjectError } from './errors.ts'
import type { Context, Input, Json, Kind, Listed, Row, Sql } from './model.ts'
import { targetKey } from './model.ts'
import { differences } from './plan.ts'
import type { Checks } from './session.ts'

/** A manifest that is still to be proven. */
export interface Candidate {
  readonly listed: Listed
  readonly workspace: string
  readonly path: string
  /** All modelled fields as the database has them; undefined when the row is gone. */
  readonly row: Row | undefined
  readonly spec: Readonly<Record<string, unknown>>
  /** The spec with what was left out because new objects mostly have it: stated where this one would not. */
  readonly full: Readonly<Record<string, unknown>>
  /** Texts of the Secret's keys, as far as they were decrypted. */
  readonly texts: ReadonlyMap<string, string>
  /** Fields of the row whose text is not known here. */
  readonly sealed: ReadonlySet<string>
  /** Fields of the row that may come back otherwise; 'all': that was said already. */
  readonly loose: readonly string[] | 'all'
}

/** The spec that may be written, or why there is none. Each note names a field that had to be left out, and why. */
export type Proven =
  | { readonly spec: Readonly<Record<string, unknown>>; readonly notes: readonly string[] }
  | { readonly leave: string }

interface Tools {
  readonly kind: Kind
  readonly checks: Checks
  readonly context: Context
  readonly sql: Sql
  /** Fields of the spec that the CRD requires. */
  readonly required: readonly string[]
}

/** More fields than this cannot be left out one by one. */
const ROUNDS = 20

/** What is wrong with one candidate: the first place in the spec to blame, if there is one. */
interface Complaint {
  readonly sentence: string
  /** Such as `settings.gitSync`, or a field of the row. */
  readonly fields: readonly string[]
}

/** A field that would come back otherwise is left out of the spec, unless the object is nothing without it. */
export async function prove(candidates: readonly Candidate[], tools: Tools): Promise<readonly Proven[]> {
  const specs = candidates.map(one => one.spec)
  const notes = candidates.map((): string[] => [])
  const proven: (Proven | undefined)[] = candidates.map(() => undefined)
  for (let round = 0; proven.some(one => one === undefined); round++) {
    const open = candidates.flatMap((one, index) =>
      proven[index] ? [] : [{ ...one, spec: specs[index] ?? {}, index }]
    )
    const complaints = await complaintsOf(open, tools, (index, note) => notes[index]?.push(note))
    for (const { index, spec, row, full } of open) {
      const complaint = complaints.get(index)
      const unsaid = complaint?.fields.find(field => !(field in spec) && field in full)
      if (unsaid !== undefined && round < ROUNDS) {
        specs[index] = { ...spec, [unsaid]: full[unsaid] }
        continue
      }
      const less = complaint && round < ROUNDS ? without(spec, complaint, row, tools.required) : undefined
      if (!complaint) proven[index] = { spec, notes: notes[index] ?? [] }
      else if (!less) proven[index] = { leave: complaint.sentence }
      else {
        specs[index] = less.spec
        notes[index]?.push(`${less.field} is left out: ${complaint.sentence}`)
      }
    }
  }
  return proven.filter(one => one !== undefined)
}

type Open = Candidate & { readonly index: number }

type Note = (index: number, sentence: string) => void

async function complaintsOf(open: readonly Open[], tools: Tools, note: Note): Promise<ReadonlyMap<number, Complaint>> {
  const complaints = new Map<number, Complaint>()
  const inputs: { input: Input; one: Open }[] = []
  for (const one of open) {
    const { spec, faults } = tools.checks.validate(tools.kind.kind)(one.spec)
    if (faults.length > 0) complaints.set(one.index, complaintOf(`${faults.join('; ')}.`))
    else if (one.row) inputs.push({ input: inputOf(one, spec), one })
  }
  if (inputs.length === 0) return complaints
  const { kind, sql, context } = tools
  const facts = await kind.facts?.(
    sql,
    inputs.map(one => one.input),
    context
  )
  const compiled: { one: Open; want: Row }[] = []
  for (const { input, one } of inputs) {
    try {
      compiled.push({ one, want: kind.compile(input, facts, context).row })
    } catch (error) {
      if (!isObjectError(error)) throw error
      complaints.set(one.index, complaintOf(error.message))
    }
  }
  const lives = await liveRows(compiled, tools)
  for (const { one, want } of compiled) {
    const live = lives.get(targetKey(one.workspace, one.path)) ?? {}
    const { loose, index } = one
    if (loose === 'all') continue
    const all = differences(want, live)
      .map(({ field }) => field)
      .filter(field => !one.sealed.has(field))
    const fields = all.filter(field => !loose.includes(field))
    const sentence = `${fields.join(', ')} would come back otherwise.`
    if (fields.length > 0) complaints.set(index, { sentence, fields: fields.slice(0, 1) })
    else if (all.length > 0) note(index, `Applying the manifest changes ${all.join(', ')}.`)
  }
  return complaints
}

function inputOf({ listed, workspace, path, texts }: Open, spec: unknown): Input {
  return { listed, spec, workspace, path, text: ({ key }) => texts.get(key) ?? 'unknown here' }
}

/** As a run would compare: some fields are read only where somebody states them. */
async function liveRows(
  compiled: readonly { readonly one: Open; readonly want: Row }[],
  { kind, sql, context }: Tools
): Promise<ReadonlyMap<string, Row>> {
  const unread = ({ one, want }: { one: Open; want: Row }): boolean =>
    Object.keys(want).some(field => !(field in (one.row ?? {})))
  const targets = compiled
    .filter(unread)
    .map(({ one, want }) => ({ workspace: one.workspace, path: one.path, fields: Object.keys(want) }))
  const again = targets.length > 0 ? await kind.observe(sql, targets, context) : []
  return new Map([
    ...compiled.map(({ one }) => [targetKey(one.workspace, one.path), one.row ?? {}] as const),
    ...again.map(({ workspace, path, row }) => [targetKey(workspace, path), row] as const)
  ])
}

/** Sentences name the field that they are about, mostly at their start. */
function complaintOf(sentence: string): Complaint {
  const [start = ''] = /^[A-Za-z]\w*/.exec(sentence) ?? []
  const dotted = [...sentence.matchAll(/\b[A-Za-z]\w*(?:\.[A-Za-z]\w*)+/g)].map(([name]) => name)
  return { sentence, fields: [...dotted, start].map(field => field.replace(/^spec\./, '')) }
}

/** An object without these says something else, or nothing. */
export const substance = [
  'value',
  'valueFrom',
  'valuesFrom',
  'isSecret',
  'content',
  'contentFrom',
  'schema',
  'language'
]

function without(
  spec: Readonly<Record<string, unknown>>,
  { fields }: Complaint,
  row: Row = {},
  required: readonly string[]
): { spec: Readonly<Record<string, unknown>>; field: string } | undefined {
  for (const field of fields) {
    const [top = '', second] = field.split('.')
    if (!(top in spec) || required.includes(top) || substance.includes(top)) continue
    const inner = spec[top]
    const grouped = Object.keys(row).some(name => name.startsWith(`${top}.`))
    if (!grouped || second === undefined) {
      const { [top]: _, ...rest } = spec
      return { spec: rest, field: top }
    }
    if (!isGroup(inner) || !(second in inner)) continue
    const { [second]: _, ...rest } = inner
    return { spec: { ...spec, [top]: rest }, field: `${top}.${second}` }
  }
  return undefined
}

const isGroup = (value: unknown): value is Record<string, Json> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
