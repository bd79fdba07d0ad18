/** Labels: a column that only newer releases have, on several tables. */
import type { Context, Json } from '../model.ts'
import type { Column } from './row-writer.ts'

export const labelsColumn: Column = { field: 'labels', column: 'labels', as: 'texts' }

/** The field of a desired row, or the note that there is no place for it. No labels are stored as NULL. */
export function labelsOf(
  table: string,
  labels: readonly string[] | undefined,
  { capabilities }: Context
): { readonly row: { readonly labels?: Json }; readonly notes: readonly string[] } {
  if (labels === undefined) return { row: {}, notes: [] }
  if (!capabilities.has(table, 'labels')) {
    return { row: {}, notes: ['labels: this Windmill has no such column; ignored.'] }
  }
  return { row: { labels: labels.length > 0 ? labels : null }, notes: [] }
}

/** As read: an empty list counts as none. */
export const labelsRead = (labels: readonly string[] | null): Json => (labels && labels.length > 0 ? labels : null)
