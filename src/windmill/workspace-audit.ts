/** Which entries of Windmill's audit log a change of a workspace stands for (contract: workspaces-and-permissions §6). */
import { canonical } from '../fingerprint.ts'
import type { AuditEntry, Json, Row } from '../model.ts'
import { ENVIRONMENT, SETTINGS, textOf } from './workspace-spec.ts'

/** Fields without an operation of their own (colour, operator settings …) leave no entry in Windmill either. */
const operations: readonly (readonly [prefix: string, operation: string])[] = [
  ['webhook', 'workspaces.edit_webhook'],
  ['deployTo', 'workspaces.edit_deploy_to'],
  ['ai', 'workspaces.edit_copilot_config'],
  ['openaiResourcePath', 'workspaces.edit_copilot_config'],
  ['codeCompletion', 'workspaces.edit_copilot_config'],
  ['largeFileStorage', 'workspaces.edit_large_file_storage_config'],
  ['ducklake', 'workspaces.edit_ducklake_config'],
  ['datatable', 'workspaces.edit_datatable_config'],
  ['gitSync', 'workspaces.edit_git_sync_config'],
  ['deployUiSettings', 'workspaces.edit_deploy_ui_config'],
  ['defaultApp', 'workspaces.edit_default_app'],
  ['defaultScripts', 'workspaces.edit_default_scripts'],
  ['errorHandler', 'workspaces.edit_error_handler'],
  ['successHandler', 'workspaces.edit_success_handler'],
  ['autoInvite', 'workspaces.edit_auto_invite_domain'],
  ['autoAdd', 'workspaces.edit_auto_invite_domain']
]

/** Windmill's resource of these entries is the caller's address. */
export function auditOf(row: Row, live: Row | undefined, caller: string): readonly AuditEntry[] {
  const changed = Object.keys(row).filter(field => differs(row[field], live?.[field]))
  const is = (field: string): boolean => changed.includes(field)
  const entries: AuditEntry[] = []
  const note = (operation: string, action: AuditEntry['action'], resource = caller): void => {
    if (!entries.some(one => one.operation === operation && one.action === action))
      entries.push({ operation, action, resource })
  }
  if (!live) note('workspaces.create', 'create', textOf(row['name']) ?? '')
  else if (is('owner')) note('workspaces.update', 'update')
  else if (is('name')) note('workspace.change_workspace_name', 'update')
  if (is('archived') && (live || row['archived'] === true)) {
    note(row['archived'] === true ? 'workspaces.archive' : 'workspaces.unarchive', 'update')
  }
  for (const field of changed) {
    const name = field.startsWith(SETTINGS) ? field.slice(SETTINGS.length) : ''
    const operation = operations.find(([prefix]) => name.startsWith(prefix))?.[1]
    if (operation) note(operation, 'update')
    if (!field.startsWith(ENVIRONMENT)) continue
    if (row[field] === null) note('workspace.delete_environment_variable', 'delete')
    else note('workspace.set_environment_variable', 'create')
  }
  return entries
}

/** What a new workspace has anyway (null, false, nothing) is no change. */
function differs(wanted: Json | undefined, live: Json | undefined): boolean {
  const empty = live === undefined && ['null', 'false', '[]', '{}'].includes(canonical(wanted))
  return !empty && canonical(wanted ?? null) !== canonical(live ?? null)
}
