/** Reads and writes workspace_settings: only columns that change are named, and shared JSON is merged key by key. */
import { canonical } from '../fingerprint.ts'
import type { Capabilities, Context, Json, Row, Sql, Write } from '../model.ts'
import { aiColumns, observeAi } from './workspace-ai.ts'
import {
  decode,
  encode,
  normal,
  operatorDefaults,
  operatorKeys,
  placeOf,
  plainFields,
  settingColumns
} from './workspace-fields.ts'
import { isObject, SETTINGS } from './workspace-spec.ts'

export type Columns = Readonly<Record<string, Json>>

/** The columns as one JSON object, for a query that has workspace_settings as `s`. */
export const columnsSql = (capabilities: Capabilities): string =>
  `jsonb_build_object(${settingColumns(capabilities)
    .map(column => `'${column}', s."${column}"`)
    .join(', ')})`

/** What the columns say in the CR's words. `asked`: row fields that somebody compares. */
export function settingsRow(columns: Columns, capabilities: Capabilities, asked: ReadonlySet<string>): Row {
  const row: Record<string, Json> = {}
  for (const name of plainFields) {
    const place = placeOf(name, capabilities)
    if (place) row[SETTINGS + name] = normal(name, decode(place, storedAt(columns, place)))
  }
  const shown = isObject(columns['operator_settings']) ? columns['operator_settings'] : undefined
  for (const [field, key] of Object.entries(operatorKeys)) {
    row[`${SETTINGS}operatorSettings.${field}`] = shown ? shown[key] === true : null
  }
  return { ...row, ...observeAi(columns, capabilities, asked) }
}

function storedAt(columns: Columns, { column, key }: { column: string; key?: string }): Json | undefined {
  const stored = columns[column]
  if (key === undefined) return stored
  return isObject(stored) ? stored[key] : undefined
}

/** How a column is to change: its new value, or keys to set and drop in the jsonb that it has. */
type Patch = { readonly all: Json } | { readonly set: Record<string, Json>; readonly drop: string[] }
export type Patches = Readonly<Record<string, Patch>>

/** Writes what differs; tells what it changed, by workspace. */
export async function writeSettings(
  sql: Sql,
  writes: readonly Write[],
  { capabilities }: Context
): Promise<ReadonlyMap<string, Patches>> {
  const stating = writes.filter(({ row }) => Object.keys(row).some(field => field.startsWith(SETTINGS)))
  if (stating.length === 0) return new Map()
  const current = await lockColumns(sql, stating, capabilities)
  const changes = new Map<string, Patches>()
  for (const { path, row } of stating) {
    const patches = patchesOf(row, current.get(path) ?? {}, capabilities)
    if (Object.keys(patches).length > 0) changes.set(path, patches)
  }
  // Every update that names the rate limit notifies, changed or not: it goes alone, and to those whose limit changes.
  const limit = 'public_app_execution_limit_per_minute'
  const columns = new Set([...changes.values()].flatMap(patches => Object.keys(patches)))
  await update(
    sql,
    changes,
    [...columns].filter(column => column !== limit),
    capabilities
  )
  await update(sql, changes, columns.has(limit) ? [limit] : [], capabilities)
  return changes
}

async function lockColumns(
  sql: Sql,
  writes: readonly Write[],
  capabilities: Capabilities
): Promise<ReadonlyMap<string, Columns>> {
  const rows = await sql<{ id: string; columns: Columns }[]>`
    select s.workspace_id as id, ${sql.unsafe(columnsSql(capabilities))} as columns from workspace_settings s
     where s.workspace_id in (select jsonb_array_elements_text(${JSON.stringify(writes.map(one => one.path))}::text::jsonb))
     order by s.workspace_id for update of s`
  return new Map(rows.map(({ id, columns }) => [id, columns]))
}

type Drafts = Record<string, { all?: Json; set: Record<string, Json>; drop: string[] }>

function patchesOf(row: Row, current: Columns, capabilities: Capabilities): Patches {
  const drafts: Drafts = {}
  const at = (column: string): Drafts[string] => (drafts[column] ??= { set: {}, drop: [] })
  for (const name of plainFields) {
    const place = placeOf(name, capabilities)
    const value = row[SETTINGS + name]
    if (!place || value === undefined) continue
    const stored = encode(place, normal(name, value))
    if (place.key === undefined) at(place.column).all = stored
    else if (stored === null || stored === false) at(place.column).drop.push(place.key)
    else at(place.column).set[place.key] = stored
  }
  patchOperator(drafts, row, current, capabilities)
  for (const [column, value] of Object.entries(aiColumns(row, current, capabilities))) at(column).all = value
  for (const column of ['error_handler', 'success_handler']) settleHandler(drafts, column, row)
  settleInvitation(drafts, row, current)
  return changed(drafts, current)
}

/** Where the column is NULL the keys that are not stated get the default that they seem to have. */
function patchOperator(drafts: Drafts, row: Row, current: Columns, capabilities: Capabilities): void {
  const prefix = `${SETTINGS}operatorSettings.`
  const stated = Object.entries(operatorKeys).filter(([field]) => prefix + field in row)
  if (stated.length === 0) return
  const base = isObject(current['operator_settings']) ? {} : operatorDefaults(capabilities)
  const set = Object.fromEntries(stated.map(([field, key]) => [key, row[prefix + field] ?? false]))
  drafts['operator_settings'] = { set: { ...base, ...set }, drop: [] }
}

/** No handler: NULL, with everything that hung on it. */
function settleHandler(drafts: Drafts, column: string, row: Row): void {
  const field = column === 'error_handler' ? 'settings.errorHandler' : 'settings.successHandler.path'
  const draft = drafts[column]
  if (draft && row[field] === null) draft.all = null
}

/** Contract: workspaces-and-permissions §2.7; `enabled`, `operator` and `mode` are always there, as in the migration. */
function settleInvitation(drafts: Drafts, row: Row, current: Columns): void {
  const off = row['settings.autoInviteDomain'] === null
  if (off && drafts['auto_invite_domain']) {
    for (const column of ['auto_invite_operator', 'auto_add']) drafts[column] = { all: null, set: {}, drop: [] }
  }
  const draft = drafts['auto_invite']
  if (!draft) return
  const present = isObject(current['auto_invite']) ? current['auto_invite'] : {}
  const { set } = draft
  const domain = off ? undefined : (set['domain'] ?? present['domain'])
  set['enabled'] = typeof domain === 'string'
  set['operator'] ??= draft.drop.includes('operator') ? false : (present['operator'] ?? false)
  set['mode'] ??= present['mode'] ?? 'invite'
  draft.drop.splice(0, draft.drop.length, ...draft.drop.filter(key => key !== 'operator'))
  // New workspaces have NULL: nothing to say is not said.
  const nothing = !set['enabled'] && !set['operator'] && set['mode'] === 'invite' && Object.keys(set).length === 3
  if (nothing && !isObject(current['auto_invite'])) delete drafts['auto_invite']
}

const same = (a: Json | undefined, b: Json | undefined): boolean => canonical(a ?? null) === canonical(b ?? null)

/** Leaves out what the column has already. */
function changed(drafts: Drafts, current: Columns): Patches {
  const patches: Record<string, Patch> = {}
  for (const [column, { all, set, drop }] of Object.entries(drafts)) {
    if (all !== undefined) {
      if (!same(all, current[column])) patches[column] = { all }
      continue
    }
    const stored = isObject(current[column]) ? current[column] : {}
    const news = Object.entries(set).filter(([key, value]) => !same(value, stored[key]))
    const gone = drop.filter(key => key in stored)
    if (news.length + gone.length > 0) patches[column] = { set: Object.fromEntries(news), drop: gone }
  }
  return patches
}

/** One statement for all workspaces; a column that a workspace does not change is set to itself. */
async function update(
  sql: Sql,
  changes: ReadonlyMap<string, Patches>,
  columns: readonly string[],
  capabilities: Capabilities
): Promise<void> {
  const rows = [...changes].filter(([, patches]) => columns.some(column => column in patches))
  if (rows.length === 0) return
  const assignments = columns.map(column => {
    const value = valueSql(column, capabilities.type('workspace_settings', column))
    return `"${column}" = case when j.patches ? '${column}' then ${value} else t."${column}" end`
  })
  await sql`
    update workspace_settings t set ${sql.unsafe(assignments.join(', '))}
      from jsonb_to_recordset(${JSON.stringify(rows.map(([id, patches]) => ({ id, patches })))}::text::jsonb)
           as j(id text, patches jsonb)
     where t.workspace_id = j.id`
}

/** The new value of a column, by its type; JSON null becomes SQL NULL. */
function valueSql(column: string, type: string): string {
  const patch = `(j.patches->'${column}')`
  const all = `nullif(${patch}->'all', 'null'::jsonb)`
  switch (type) {
    case 'jsonb':
      return `case when ${patch} ? 'all' then ${all}
        else (coalesce(t."${column}", '{}'::jsonb) || (${patch}->'set'))
             - array(select jsonb_array_elements_text(${patch}->'drop')) end`
    case 'json':
      return `(${all})::json`
    case '_text':
    case '_varchar':
      return `case when ${patch}->'all' <> 'null'::jsonb then array(select jsonb_array_elements_text(${patch}->'all')) end`
    default:
      return `(${patch}->>'all')::${type}`
  }
}
