/** Rows against expectations, column by column: what is not expected fails as well as what is wrong. */
import { isDeepStrictEqual } from 'node:util'

export type Row = Readonly<Record<string, unknown>>

/** A wrong value is told by a sentence. */
export class Rule {
  readonly says: string
  readonly holds: (value: unknown, row: Row) => boolean
  constructor(says: string, holds: (value: unknown, row: Row) => boolean) {
    this.says = says
    this.holds = holds
  }
}

export const rule = (says: string, holds: (value: unknown, row: Row) => boolean): Rule => new Rule(says, holds)

export const anything = rule('anything', () => true)
export const recent = rule(
  'a time of just now',
  value => value instanceof Date && Date.now() - value.getTime() < 300_000
)
export const either = (...values: readonly unknown[]): Rule =>
  rule(`one of ${values.map(text).join(', ')}`, value => values.some(one => same(value, one)))

const text = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value)).slice(0, 600)
/** The driver gives subclasses of arrays and rows. */
const plain = (value: unknown): unknown =>
  value === undefined || value instanceof Date ? value : JSON.parse(JSON.stringify(value))
export const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(plain(a), plain(b))

/** Sentences about every column that is not as expected. Columns that the release lacks are not asked for. */
export function deviations(where: string, row: Row | undefined, expected: Row): readonly string[] {
  if (!row) return [`${where}: there is no row`]
  return Object.entries(row).flatMap(([column, value]) => {
    if (!(column in expected)) return [`${where}: nobody expects a column ${column} (${text(value)})`]
    const wanted = expected[column]
    if (wanted instanceof Rule) {
      return wanted.holds(value, row) ? [] : [`${where}.${column}: ${text(value)}, expected ${wanted.says}`]
    }
    return same(value, wanted) ? [] : [`${where}.${column}: ${text(value)}, expected ${text(wanted)}`]
  })
}

/** Fails with all sentences at once. */
export function none(sentences: readonly string[]): void {
  if (sentences.length > 0) throw new Error(`${sentences.length} deviations:\n  ${sentences.join('\n  ')}`)
}
