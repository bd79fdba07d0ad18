/** Fields of a script that are columns of their own: where they stand, how they are read, written and compared. */
import type { Capabilities, Json, Row } from '../model.ts'

export interface Field {
  readonly field: string
  readonly column: string
  readonly as: 'text' | 'int' | 'bool' | 'texts'
  /** Stored where nobody says anything; default NULL. */
  readonly empty?: string
  /** '' and 0 mean that there is none: compared and stored as null. */
  readonly emptyIsNone?: true
  /** Newer releases keep it in a table of settings, whose columns have the same names. */
  readonly settings?: 'cs' | 'ds'
}

const all: readonly Field[] = [
  { field: 'summary', column: 'summary', as: 'text', empty: '' },
  { field: 'description', column: 'description', as: 'text', empty: '' },
  { field: 'kind', column: 'kind', as: 'text', empty: 'script' },
  { field: 'tag', column: 'tag', as: 'text', emptyIsNone: true },
  { field: 'envs', column: 'envs', as: 'texts', emptyIsNone: true },
  { field: 'concurrencyLimit', column: 'concurrent_limit', as: 'int', emptyIsNone: true, settings: 'cs' },
  {
    field: 'concurrencyTimeWindowS',
    column: 'concurrency_time_window_s',
    as: 'int',
    emptyIsNone: true,
    settings: 'cs'
  },
  { field: 'concurrencyKey', column: 'concurrency_key', as: 'text', emptyIsNone: true, settings: 'cs' },
  { field: 'debounceKey', column: 'debounce_key', as: 'text', emptyIsNone: true, settings: 'ds' },
  { field: 'debounceDelayS', column: 'debounce_delay_s', as: 'int', emptyIsNone: true, settings: 'ds' },
  { field: 'cacheSeconds', column: 'cache_ttl', as: 'int', emptyIsNone: true },
  { field: 'cacheIgnoreS3Path', column: 'cache_ignore_s3_path', as: 'bool' },
  { field: 'dedicatedWorker', column: 'dedicated_worker', as: 'bool' },
  { field: 'wsErrorHandlerMuted', column: 'ws_error_handler_muted', as: 'bool', empty: 'false' },
  { field: 'priority', column: 'priority', as: 'int' },
  { field: 'timeout', column: 'timeout', as: 'int', emptyIsNone: true },
  { field: 'deleteAfterUse', column: 'delete_after_use', as: 'bool' },
  { field: 'deleteAfterSecs', column: 'delete_after_secs', as: 'int' },
  { field: 'restartUnlessCancelled', column: 'restart_unless_cancelled', as: 'bool' },
  { field: 'visibleToRunnerOnly', column: 'visible_to_runner_only', as: 'bool' },
  { field: 'isTemplate', column: 'is_template', as: 'bool', empty: 'false' },
  { field: 'labels', column: 'labels', as: 'texts', emptyIsNone: true }
]

type Known = Pick<Capabilities, 'has'>

const found = new WeakMap<Known, readonly Field[]>()

/** Those that this database has a column for. */
export function plainFields(known: Known): readonly Field[] {
  let fields = found.get(known)
  if (!fields) found.set(known, (fields = all.filter(one => known.has('script', one.column))))
  return fields
}

const byName = new Map(all.map(one => [one.field, one]))

/** Whether the column of a CRD's field exists; true for fields that are no column of their own. */
export function hasColumn(field: string, { has }: Known): boolean {
  const column = byName.get(field)?.column
  return column === undefined || has('script', column)
}

/** Whether limits also stand in tables that versions point to (contract: scripts §1). */
export const hasSettings = ({ has }: Known): boolean =>
  has('script', 'runnable_settings_handle') &&
  ['runnable_settings', 'concurrency_settings', 'debouncing_settings'].every(table => has(table, 'hash'))

/** Joins what the handle of `s` points to; goes with `columnSql`. */
export const settingsJoin = (known: Known): string =>
  hasSettings(known)
    ? `left join runnable_settings rs on rs.hash = s.runnable_settings_handle
       left join concurrency_settings cs on cs.hash = rs.concurrency_settings
       left join debouncing_settings ds on ds.hash = rs.debouncing_settings`
    : ''

/** The value of a column of `s` as workers see it: what the handle points to, else the column itself. */
export function columnSql({ column, settings }: Field, known: Known): string {
  if (!settings || !hasSettings(known)) return `s."${column}"`
  return `case when ${settings}.hash is not null then ${settings}."${column}" else s."${column}" end`
}

/** The value as it is compared. */
export function comparedSql(field: Field, known: Known): string {
  const value = columnSql(field, known)
  if (field.as === 'bool') return `coalesce(${value}, false)`
  if (field.as === 'texts') return `case when cardinality(${value}) > 0 then to_jsonb(${value}) end`
  if (field.as === 'int') return field.emptyIsNone ? `nullif(${value}, 0)` : value
  return field.emptyIsNone ? `nullif(${value}::text, '')` : `${value}::text`
}

/** A stated value as it is compared. */
export function comparedValue({ field }: { readonly field: string }, value: Json): Json {
  const emptyIsNone = byName.get(field)?.emptyIsNone ?? false
  const isEmpty = value === '' || value === 0 || (Array.isArray(value) && value.length === 0)
  return emptyIsNone && isEmpty ? null : value
}

/** A compared value as the text of its column; null stands for NULL. */
export function storedText({ as, empty }: Field, value: Json): string | null {
  if (value === null) return empty ?? null
  if (as === 'texts') return arrayText(value as readonly string[])
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** A list as PostgreSQL writes it. */
export const arrayText = (items: readonly string[]): string =>
  `{${items.map(item => `"${item.replace(/[\\"]/g, '\\$&')}"`).join(',')}}`

/** What a new version takes of the row: stated fields win, then the version before, then nothing. */
export function plainColumns(
  row: Row,
  before: Readonly<Record<string, string | null>> | undefined,
  known: Known
): Record<string, string | null> {
  const columns: Record<string, string | null> = {}
  for (const field of plainFields(known)) {
    const stated = row[field.field]
    columns[field.column] =
      stated === undefined ? (before?.[field.column] ?? field.empty ?? null) : storedText(field, stated)
  }
  return columns
}
