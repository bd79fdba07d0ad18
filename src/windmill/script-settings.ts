/** Limits of newer releases: rows of their own that versions point to by a hash of the content (contract: scripts §1, jobs §10). */
import { createHash } from 'node:crypto'
import type { Context, Sql } from '../model.ts'
import { hasSettings } from './script-fields.ts'

type Texts = Readonly<Record<string, string | null>>

/** One row of a table of settings. */
export interface Setting {
  readonly table: 'concurrency_settings' | 'debouncing_settings' | 'runnable_settings'
  readonly row: Texts
}

const concurrency = ['concurrency_key', 'concurrent_limit', 'concurrency_time_window_s'] as const
const debouncing = ['debounce_key', 'debounce_delay_s'] as const
/** Of debouncing, what no CR states and a version keeps from the one before. */
export const debouncingExtras = [
  'max_total_debouncing_time',
  'max_total_debounces_amount',
  'debounce_args_to_accumulate'
] as const

/**
 * The rows that stand for the limits of a version, and the handle it gets; none when it has no limits. The columns of
 * the version itself are filled as well: readers take what the handle gives and fall back to the columns, and whether
 * every reader of scripts knows the handle is not certain.
 */
export function settingsOf(
  columns: Texts,
  extras: Texts
): { readonly handle: string | null; readonly rows: Setting[] } {
  const limits = settingOf('concurrency_settings', pick(columns, concurrency))
  const delays = settingOf('debouncing_settings', { ...pick(columns, debouncing), ...pick(extras, debouncingExtras) })
  const retry = extras['retry_settings'] ?? null
  const both = settingOf('runnable_settings', {
    concurrency_settings: limits?.row['hash'] ?? null,
    debouncing_settings: delays?.row['hash'] ?? null,
    ...('retry_settings' in extras && { retry_settings: retry })
  })
  const rows = [limits, delays, both].filter(one => one !== undefined)
  return { handle: both?.row['hash'] ?? null, rows }
}

const pick = (from: Texts, names: readonly string[]): Texts =>
  Object.fromEntries(names.filter(name => name in from).map(name => [name, from[name] ?? null]))

/** The hash is only ever looked up, never recomputed: any that is the same for the same content will do. */
function settingOf(table: Setting['table'], columns: Texts): Setting | undefined {
  if (Object.values(columns).every(value => value === null)) return undefined
  const names = Object.keys(columns)
    .filter(name => columns[name] !== null)
    .sort()
  const text = JSON.stringify(['windmill-iac', table, ...names.map(name => [name, columns[name]])])
  const hash = createHash('sha256').update(text).digest().readBigInt64BE(0).toString()
  return { table, row: { hash, ...columns } }
}

/** Rows that are there already are the same. */
export async function saveSettings(sql: Sql, settings: readonly Setting[], { capabilities }: Context): Promise<void> {
  if (!hasSettings(capabilities)) return
  for (const table of ['concurrency_settings', 'debouncing_settings', 'runnable_settings'] as const) {
    const rows = new Map(settings.filter(one => one.table === table).map(({ row }) => [row['hash'], row]))
    if (rows.size === 0) continue
    const names = [...new Set([...rows.values()].flatMap(row => Object.keys(row)))]
    const isList = (name: string): boolean => capabilities.type(table, name) === '_text'
    const values = [...rows.values()].map(row =>
      Object.fromEntries(names.map(name => [name, isList(name) ? sql`${row[name] ?? null}::text::text[]` : row[name]]))
    )
    await sql`insert into ${sql(table)} ${sql(values as never, names)} on conflict (hash) do nothing`
  }
}
