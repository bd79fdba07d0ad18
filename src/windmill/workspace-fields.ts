/** Where each settings field of a WindmillWorkspace is kept, at whatever Windmill the database belongs to. */
import type { Capabilities, Json } from '../model.ts'
import { textOf } from './workspace-spec.ts'

interface Field {
  readonly type: 'text' | 'json' | 'bool' | 'int' | 'texts' | 'map'
  /** The column that holds this field alone. */
  readonly column: string
  /** Where newer versions keep it: a key of a jsonb column that several fields share. */
  readonly within?: readonly [column: string, key: string]
  /** Only the enterprise edition honours it. */
  readonly enterprise?: true
}

/** Contract: workspaces-and-permissions §2 and §2.1. Fields of AI and operator settings have files or functions of their own. */
const fields: { readonly [name: string]: Field } = {
  webhook: { type: 'text', column: 'webhook' },
  deployUiSettings: { type: 'json', column: 'deploy_ui', enterprise: true },
  defaultApp: { type: 'text', column: 'default_app', enterprise: true },
  defaultScripts: { type: 'json', column: 'default_scripts' },
  gitSync: { type: 'json', column: 'git_sync', enterprise: true },
  deployTo: { type: 'text', column: 'deploy_to', enterprise: true },
  errorHandler: { type: 'text', column: 'error_handler', within: ['error_handler', 'path'] },
  errorHandlerExtraArgs: { type: 'json', column: 'error_handler_extra_args', within: ['error_handler', 'extra_args'] },
  errorHandlerMutedOnCancel: {
    type: 'bool',
    column: 'error_handler_muted_on_cancel',
    within: ['error_handler', 'muted_on_cancel']
  },
  errorHandlerMutedOnUserPath: {
    type: 'bool',
    column: 'error_handler_muted_on_user_path',
    within: ['error_handler', 'muted_on_user_path']
  },
  errorHandlerFallbackToInstanceAlerts: { type: 'bool', column: 'error_handler_fallback_to_instance_alerts' },
  'successHandler.path': { type: 'text', column: 'success_handler', within: ['success_handler', 'path'] },
  'successHandler.extraArgs': {
    type: 'json',
    column: 'success_handler_extra_args',
    within: ['success_handler', 'extra_args']
  },
  largeFileStorage: { type: 'json', column: 'large_file_storage' },
  autoInviteDomain: { type: 'text', column: 'auto_invite_domain', within: ['auto_invite', 'domain'] },
  autoInviteOperator: { type: 'bool', column: 'auto_invite_operator', within: ['auto_invite', 'operator'] },
  autoAdd: { type: 'bool', column: 'auto_add', within: ['auto_invite', 'mode'] },
  autoAddInstanceGroups: {
    type: 'texts',
    column: 'auto_add_instance_groups',
    within: ['auto_invite', 'instance_groups']
  },
  autoAddInstanceGroupsRoles: {
    type: 'map',
    column: 'auto_add_instance_groups_roles',
    within: ['auto_invite', 'instance_groups_roles']
  },
  color: { type: 'text', column: 'color' },
  muteCriticalAlerts: { type: 'bool', column: 'mute_critical_alerts', enterprise: true },
  ducklake: { type: 'json', column: 'ducklake' },
  datatable: { type: 'json', column: 'datatable' },
  publicAppExecutionLimitPerMinute: { type: 'int', column: 'public_app_execution_limit_per_minute' }
}

export const plainFields: readonly string[] = Object.keys(fields)
export const enterpriseFields: readonly string[] = plainFields.filter(name => fields[name]?.enterprise)

interface Place {
  readonly column: string
  /** Absent: the column is the field. */
  readonly key?: string
}

const TABLE = 'workspace_settings'

/** Undefined: this Windmill has no place for the field in workspace_settings. */
export function placeOf(name: string, capabilities: Capabilities): Place | undefined {
  const field = fields[name]
  if (!field) return undefined
  // error_handler is text in older versions and jsonb in newer ones, under the same name (contract, trap 11).
  const [column, key] = field.within ?? []
  if (column && key && capabilities.type(TABLE, column) === 'jsonb') return { column, key }
  return capabilities.has(TABLE, field.column) ? { column: field.column } : undefined
}

/** The one form of a value that wishes and live rows are compared in: what Windmill takes for the same is the same. */
export function normal(name: string, value: Json | undefined): Json {
  const type = fields[name]?.type
  if (type === 'text') return textOf(value)
  return value ?? (type === undefined ? null : nothing[type])
}

const nothing = { text: null, json: null, int: null, bool: false, texts: [], map: {} } as const

/** `mode` of auto_invite is a word where older versions have the flag auto_add. */
export const decode = ({ key }: Place, stored: Json | undefined): Json | undefined =>
  key === 'mode' ? stored === 'add' : stored

export const encode = ({ key }: Place, value: Json): Json =>
  key === 'mode' ? (value === true ? 'add' : 'invite') : value

/** Keys of one jsonb by the CRD's names; a missing key means false (contract: workspaces-and-permissions §2.1). */
export const operatorKeys: { readonly [field: string]: string } = {
  runs: 'runs',
  schedules: 'schedules',
  resources: 'resources',
  variables: 'variables',
  assets: 'assets',
  triggers: 'triggers',
  auditLogs: 'audit_logs',
  groups: 'groups',
  folders: 'folders',
  workers: 'workers'
}

/** The column's default, which lacks `assets` before the versions that keep the error handler in jsonb. */
export function operatorDefaults(capabilities: Capabilities): { readonly [key: string]: boolean } {
  const keys = Object.values(operatorKeys).filter(key => key !== 'assets' || isNewest(capabilities))
  return Object.fromEntries(keys.map(key => [key, true]))
}

/** The generation of 2026: handlers and auto-invite in jsonb. */
export const isNewest = (capabilities: Capabilities): boolean => capabilities.type(TABLE, 'error_handler') === 'jsonb'

const aiColumns = ['ai_config', 'ai_resource', 'ai_models', 'code_completion_model']

/** Every column of workspace_settings that this kind reads. */
export function settingColumns(capabilities: Capabilities): readonly string[] {
  const placed = plainFields.flatMap(name => placeOf(name, capabilities)?.column ?? [])
  const others = ['operator_settings', ...aiColumns].filter(column => capabilities.has(TABLE, column))
  return [...new Set([...placed, ...others])]
}
