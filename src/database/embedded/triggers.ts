/** What Windmill's triggers do, in our own SQL: enough that a writer cannot tell the difference. */
import type { SchemaFacts } from '../windmill-schema.ts'
import { jobTriggers } from './job-triggers.ts'

interface Trigger {
  /** Such as `after insert or update of "key"`. */
  readonly on: string
  readonly when?: string
  /** Statements of a PL/pgSQL function that returns its row afterwards. */
  readonly body: string
  /** Runs with the rights of the table's owner. */
  readonly definer?: boolean
}

export type Triggers = Readonly<Record<string, Trigger>>

/** By `table.trigger`. `$notify(channel, payload)` becomes what the release does: NOTIFY, or a row in notify_event. */
const common: Triggers = {
  'script.script_insert_trigger': {
    on: 'after insert',
    when: 'new.lock is not null',
    body: `$notify('notify_runnable_version_change', new.workspace_id || ':script:' || new.path || ':' || new.kind)`
  },
  'script.script_update_trigger': {
    on: 'after update of lock',
    body: `$notify('notify_runnable_version_change', new.workspace_id || ':script:' || new.path || ':' || new.kind)`
  },
  'flow.flow_versions_append_trigger': {
    on: 'after update',
    when: 'new.versions[array_upper(new.versions, 1)] is distinct from old.versions[array_upper(old.versions, 1)]',
    body: `$notify('notify_runnable_version_change', new.workspace_id || ':flow:' || new.path || ':flow')`
  },
  'app.app_policy_change_trigger': {
    on: 'after update of policy',
    when: 'old.policy is distinct from new.policy',
    body: `$notify('notify_app_policy_change', new.workspace_id || ':' || new.path)`
  },
  'app.app_policy_delete_trigger': {
    on: 'after delete',
    body: `$notify('notify_app_policy_change', old.workspace_id || ':' || old.path)`
  },
  'workspace.workspace_premium_change_trigger': {
    on: 'after update of premium',
    when: 'old.premium is distinct from new.premium',
    body: `$notify('notify_workspace_premium_change', new.id)`
  },
  'workspace_settings.webhook_change_trigger': {
    on: 'after update of webhook',
    when: 'old.webhook is distinct from new.webhook',
    body: `$notify('notify_webhook_change', new.workspace_id)`
  },
  'workspace_settings.workspace_rate_limit_change_trigger': {
    on: 'after update of public_app_execution_limit_per_minute',
    body: `$notify('notify_workspace_rate_limit_change', new.workspace_id)`
  },
  'workspace_key.workspace_key_change_trigger': {
    on: 'after insert or delete or update of key',
    body: `$notify('notify_workspace_key_change', coalesce(new.workspace_id, old.workspace_id))`
  },
  'workspace_env.workspace_envs_change_trigger': {
    on: 'after insert or delete or update of name, value',
    body: `$notify('notify_workspace_envs_change', new.workspace_id)`
  },
  'config.notify_config_change': { on: 'after insert or update', body: `$notify('notify_config_change', new.name)` },
  'global_settings.notify_global_setting_change': {
    on: 'after insert or update',
    body: `$notify('notify_global_setting_change', new.name)`
  },
  'global_settings.notify_global_setting_delete': {
    on: 'after delete',
    body: `$notify('notify_global_setting_change', old.name)`
  },
  'token.token_invalidation_trigger': {
    on: 'after delete',
    when: `old.label = 'session'`,
    body: `$notify('notify_token_invalidation', old.token)`
  },
  'http_trigger.http_trigger_change_trigger': {
    on: 'after insert or update or delete',
    body: `$notify('notify_http_trigger_change', coalesce(new.workspace_id, old.workspace_id) || ':' || coalesce(new.path, old.path))`
  },
  // Keeps ordinary users from changing routes; we write as windmill_admin or as the owner.
  'http_trigger.check_route_path_change': { on: 'before update', body: 'null' },
  'token.token_scopes_update_trigger': { on: 'after update of scopes', body: 'null' }
}

const versionBody = `if new.resource_type not in ('state', 'cache') then
    insert into resource_version (workspace_id, path, resource_type, value, created_by)
    values (new.workspace_id, new.path, new.resource_type, new.value,
            coalesce(nullif(current_setting('session.user', true), ''), new.created_by));
  end if`

/** The newest release: other bodies, and triggers that no earlier one has. */
const newest: Triggers = {
  'resource.record_resource_version_insert_trigger': { on: 'after insert', definer: true, body: versionBody },
  'resource.record_resource_version_update_trigger': {
    on: 'after update',
    when: 'old.value is distinct from new.value',
    definer: true,
    body: versionBody
  },
  'workspace_env.workspace_envs_change_trigger': {
    on: 'after insert or delete or update of name, value',
    body: `$notify('notify_workspace_envs_change', coalesce(new.workspace_id, old.workspace_id))`
  },
  'token.token_invalidation_trigger': {
    on: 'after delete',
    when: `old.label = 'session'`,
    body: `$notify('notify_token_invalidation', old.token_prefix)`
  },
  'global_settings.audit_logs_s3_anchor_trigger': {
    on: 'after insert or update of value',
    when: `new.name = 'store_audit_logs_s3' and new.value = 'true'::jsonb`,
    body: `insert into background_task_state (name) values ('audit_logs_s3_export') on conflict do nothing`
  }
}

/** Not among the facts; only its name and key are known. */
const stateTable = `create table background_task_state (name text primary key, value jsonb, updated_at timestamptz not null default now());`

/** All triggers that the facts name; one that we know nothing about does nothing, but is there. */
export function triggerSql(facts: SchemaFacts): string {
  const events = 'notify_event' in facts.tables
  const known: Triggers = { ...common, ...(events ? newest : {}), ...jobTriggers }
  const lines = events ? [stateTable] : []
  for (const [table, { triggers }] of Object.entries(facts.tables)) {
    for (const name of triggers ?? []) lines.push(one(table, name, known[`${table}.${name}`], events))
  }
  return lines.join('\n')
}

function one(table: string, name: string, trigger: Trigger | undefined, events: boolean): string {
  const { on, when, body, definer } = trigger ?? { on: 'after update', body: 'null' }
  const notify = events ? 'insert into notify_event (channel, payload) values ($1)' : 'perform pg_notify($1)'
  const statements = body.replace(/^\$notify\((.*)\)$/s, (_, args: string) => notify.replace('$1', () => args))
  const rights = definer || (events && body.startsWith('$notify')) ? ' security definer' : ''
  return `create function "${table}_${name}"() returns trigger language plpgsql${rights} as $trigger$
begin
  ${statements};
  if tg_op = 'DELETE' then return old; end if;
  return new;
end $trigger$;
create trigger "${name}" ${on} on "${table}" for each row ${when ? `when (${when}) ` : ''}execute function "${table}_${name}"();`
}
