/** What every Windmill instance holds before anybody works with it. */
import { randomBytes } from 'node:crypto'

/** Steps that a running server notes once it has brought the job tables to their final shape. */
const finalized = ['v2_finalize_disable_sync_III', 'v2_finalize_job_queue', 'v2_finalize_job_completed']

/**
 * The workspace `admins` as the migrations make it (no user in it), and the first superadmin. Nobody can log in: the
 * account has no password.
 */
export function instanceSql(): string {
  const folders = [
    ['app_themes', 'App Themes'],
    ['app_custom', 'App Custom Components'],
    ['app_groups', 'App Groups']
  ]
  return `
insert into workspace (id, name, owner) values ('admins', 'Admins', 'admin@windmill.dev');
insert into workspace_settings (workspace_id) values ('admins');
insert into workspace_key (workspace_id, kind, key) values ('admins', 'cloud', '${randomBytes(32).toString('hex')}');
insert into group_ (workspace_id, name, summary) values ('admins', 'all', 'The group that always contains all users of this workspace');
insert into folder (workspace_id, name, display_name, owners, extra_perms) values
  ${folders.map(([name, title]) => `('admins', '${name}', '${title}', '{}', '{"g/all": false}')`).join(', ')};
insert into password (email, login_type, super_admin, verified, name, username)
  values ('admin@windmill.dev', 'password', true, true, 'Admin', 'admin');
insert into global_settings (name, value) values ('automate_username_creation', 'true'), ('base_url', '"http://localhost"');`
}

export const finalizedSql = (): string =>
  `insert into windmill_migrations (name) values ${finalized.map(name => `('${name}')`).join(', ')};`
