/** Workspaces as manifests: the settings that are not as in a new workspace. */
import type { Context, Exported, Exporting, Json, Row, Sql } from '../model.ts'
import { operatorDefaults, operatorKeys } from './workspace-fields.ts'
import { ENVIRONMENT, isObject, SETTINGS, textOf } from './workspace-spec.ts'

/** `admins` is Windmill's own, forks come and go with their branch (contract: workspaces-and-permissions §1). */
export async function listWorkspaces(sql: Sql, workspaces: readonly string[]) {
  return sql<{ workspace: string; path: string; own: boolean }[]>`
    select id as workspace, id as path, id = 'admins' or starts_with(id, 'wm-fork-') as own
      from workspace
     where id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
     order by id collate "C"`
}

export async function exportWorkspaces(
  _sql: Sql,
  rows: readonly Exporting[],
  context: Context
): Promise<readonly Exported[]> {
  return rows.map(({ row }) => {
    const settings = settingsOf(row, context)
    const environment = environmentOf(row)
    return {
      spec: {
        name: row['name'],
        owner: row['owner'] || null,
        settings: Object.keys(settings).length > 0 ? settings : null,
        environment: Object.keys(environment).length > 0 ? environment : null
      },
      ...(row['archived'] === true && { annotations: { archived: 'true' } }),
      ...(typeof row['missingRows'] === 'string' && {
        changes: `The workspace lacks ${row['missingRows']}: applying the manifest adds it.`
      })
    }
  })
}

const isNothing = (value: Json | undefined): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === '' ||
  (typeof value === 'object' && Object.keys(value).length === 0)

const aiParts = ['aiProvider', 'aiModels', 'codeCompletionEnabled', 'codeCompletionModel']

function settingsOf(row: Row, context: Context): Record<string, Json> {
  const settings: Record<string, Json> = {}
  for (const [field, value] of Object.entries(row)) {
    const name = field.startsWith(SETTINGS) ? field.slice(SETTINGS.length) : ''
    if (name !== '' && !name.includes('.') && !isNothing(value)) settings[name] = value
  }
  // Without a resource there is no AI, whatever else was left behind.
  if (settings['openaiResourcePath'] === undefined) for (const name of aiParts) delete settings[name]
  const path = row[`${SETTINGS}successHandler.path`]
  const extraArgs = row[`${SETTINGS}successHandler.extraArgs`]
  if (textOf(path) !== null) {
    settings['successHandler'] = { path: path ?? null, ...(isObject(extraArgs) && { extraArgs }) }
  }
  const operators = operatorsOf(row, context)
  if (Object.keys(operators).length > 0) settings['operatorSettings'] = operators
  return settings
}

/** Which pages differ from what new workspaces show. */
function operatorsOf(row: Row, { capabilities }: Context): Record<string, Json> {
  const defaults = operatorDefaults(capabilities)
  const shown = Object.entries(operatorKeys).flatMap(([field, key]) => {
    const value = row[`${SETTINGS}operatorSettings.${field}`]
    const usual = defaults[key] ?? false
    return typeof value === 'boolean' && value !== usual ? [[field, value] as const] : []
  })
  return Object.fromEntries(shown)
}

function environmentOf(row: Row): Record<string, Json> {
  const all = Object.entries(row).flatMap(([field, value]) =>
    field.startsWith(ENVIRONMENT) && typeof value === 'string'
      ? [[field.slice(ENVIRONMENT.length), value] as const]
      : []
  )
  return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)))
}
