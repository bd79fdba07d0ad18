/** The SQL of our own schema `windmill_iac`: what it consists of, and what an administrator may run in our stead. */

/** Each entry is one version of the schema; entries are only ever appended. */
export const migrations: readonly string[] = [
  `
create table windmill_iac.meta (
  key text primary key,
  value text not null
);
create table windmill_iac.object (
  id bigint generated always as identity primary key,
  cluster text not null,
  kind text not null,
  namespace text,
  name text,
  uid text not null default '',
  workspace text,
  path text,
  fingerprint text not null default '',
  base text,
  fields text[] not null default '{}',
  token text not null default '',
  refs text[] not null default '{}',
  deletion_policy text not null default 'soft-delete',
  own_policy boolean not null default false,
  state text not null,
  reason text not null,
  message text not null,
  reported text not null default '',
  synced_at timestamptz,
  transitioned_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (kind, workspace, path),
  unique (cluster, kind, namespace, name)
);
comment on table windmill_iac.object is
  'Which custom resource owns which Windmill row. name null: the CR is gone (Released) or moved on; path null: the CR owns nothing.';
create table windmill_iac.deleted (
  id bigint generated always as identity primary key,
  cluster text not null,
  kind text not null,
  namespace text,
  name text,
  workspace text not null,
  path text not null,
  manifest text not null,
  deleted_at timestamptz not null default now()
);
comment on table windmill_iac.deleted is 'What we deleted, as CR YAML, kept for 30 days; secrets stay encrypted.';
create index on windmill_iac.deleted (deleted_at);
create table windmill_iac.run (
  id text primary key,
  cluster text not null,
  command text not null,
  started_at timestamptz not null,
  duration_ms integer not null,
  exit_code integer not null,
  counts jsonb not null,
  message text not null
);
comment on table windmill_iac.run is 'The last 100 runs that changed anything.';
create index on windmill_iac.run (started_at);
`,
  `
alter table windmill_iac.object
  add column deployed jsonb not null default '{}',
  add column details jsonb not null default '{}',
  add column conflict_policy text;
comment on column windmill_iac.object.deployed is 'Digests of fields that Windmill rewrites, as they were deployed.';
comment on column windmill_iac.object.details is 'What the status says besides: live version, lock, next run.';
`
]

/** Idempotent statements that bring an empty database or any older version to the newest one. */
export function migrationSql(from: number): string {
  const steps = migrations
    .slice(from)
    .map((text, index) => `${text.trim()}\ninsert into windmill_iac.migration (version) values (${from + index + 1});`)
  const head =
    from === 0
      ? [
          'create schema if not exists windmill_iac;',
          'create table if not exists windmill_iac.migration (version integer primary key, applied_at timestamptz not null default now());'
        ]
      : []
  return [...head, ...steps].join('\n')
}

/** Rights on the ledger for the roles that the job works as. */
export function grantSql(role: string): string {
  return [
    `grant usage on schema windmill_iac to ${role};`,
    `grant select, insert, update, delete on all tables in schema windmill_iac to ${role};`
  ].join('\n')
}

/** Everything that an administrator has to run once: ledger, least-privilege role, rights. Safe to run again. */
export function initScript(role = 'windmill_iac'): string {
  return `-- windmill-iac: the ledger schema and a role that may do nothing else than Windmill's own servers may.
-- Run it as the owner of Windmill's database (or a superuser), in Windmill's database. Safe to run again.
begin;
do $$
begin
  if not exists (select from pg_roles where rolname = '${role}') then
    create role ${role} login noinherit;  -- then: alter role ${role} password '…';
  end if;
end $$;
grant windmill_admin to ${role};
create schema if not exists windmill_iac;
create table if not exists windmill_iac.migration (version integer primary key, applied_at timestamptz not null default now());
${migrations
  .map(
    (text, index) => `do $ledger$
begin
  if not exists (select from windmill_iac.migration where version = ${index + 1}) then
${text.trim()}
insert into windmill_iac.migration (version) values (${index + 1});
  end if;
end $ledger$;`
  )
  .join('\n')}
${grantSql('windmill_admin')}
${grantSql(role)}
commit;
`
}
