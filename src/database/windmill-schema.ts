/** Windmill's tables as facts (what a release looks like) and as SQL (a database that looks like it). */
import { triggerSql } from './embedded/triggers.ts'

interface Column {
  readonly name: string
  readonly type: string
  readonly notNull?: boolean
  readonly default?: string
  /** `a`: always (explicit ids are refused), `d`: by default. */
  readonly identity?: string
}

type Named = Readonly<Record<string, string>>

export interface Table {
  readonly columns: readonly Column[]
  readonly primaryKey?: readonly string[]
  readonly unique?: Named
  readonly foreignKeys?: Named
  readonly checks?: Named
  readonly indexes?: Named
  readonly uniqueIndexes?: Named
  readonly rowSecurity?: boolean
  readonly triggers?: readonly string[]
}

/** One release: what its tables are, not how they came about. */
export interface SchemaFacts {
  readonly windmill: string
  /** The newest numbers of `_sqlx_migrations`. */
  readonly migrations: readonly number[]
  readonly enums: Readonly<Record<string, readonly string[]>>
  readonly tables: Readonly<Record<string, Table>>
}

export interface SchemaOptions {
  /** UTC days before and after today for which the audit table takes rows; default 7. Undefined day: inserts fail. */
  readonly auditDays?: number | 'none'
}

/** Ids that Windmill's history names for a dump that held no migration rows. */
const laterMigrations = [20_260_624_103_600, 20_260_730_080_304]

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
const entries = (named: Named | undefined): [string, string][] => Object.entries(named ?? {})

/** SQL for an empty schema at the head of the search path. One text: it is sent as a whole, in one transaction. */
export function schemaSql(facts: SchemaFacts, options: SchemaOptions = {}): string {
  const tables = Object.entries(facts.tables)
  return [
    rolesSql,
    ...Object.entries(facts.enums).map(
      ([name, labels]) =>
        `create type ${quoted(name)} as enum (${labels.map(label => `'${label.replaceAll("'", "''")}'`).join(', ')});`
    ),
    ...sequencesOf(facts).map(name => `create sequence ${quoted(name)};`),
    ...tables.map(([name, table]) => tableSql(name, table)),
    ...tables.flatMap(([name, table]) => indexesSql(name, table)),
    ...tables.flatMap(([name, table]) =>
      entries(table.foreignKeys).map(
        ([key, text]) => `alter table ${quoted(name)} add constraint ${quoted(key)} ${text};`
      )
    ),
    ...('audit_partitioned' in facts.tables ? partitionsSql(options.auditDays ?? 7) : []),
    migrationsSql(facts),
    triggerSql(facts),
    ...tables.flatMap(([name, table]) => (table.rowSecurity ? securitySql(name) : [])),
    grantsSql
  ].join('\n')
}

/** Roles belong to the whole server: other databases may be made at the same moment. */
const rolesSql = `do $$ begin
  begin create role windmill_user nologin; exception when duplicate_object or unique_violation then null; end;
  begin create role windmill_admin nologin bypassrls; exception when duplicate_object or unique_violation then null; end;
  if not pg_has_role('windmill_admin', 'windmill_user', 'MEMBER') then
    begin grant windmill_user to windmill_admin; exception when unique_violation or internal_error then null; end;
  end if;
end $$;`

function sequencesOf(facts: SchemaFacts): readonly string[] {
  const names = new Set<string>()
  for (const table of Object.values(facts.tables)) {
    for (const column of table.columns) {
      const name = /nextval\('(\w+)'::regclass\)/.exec(column.default ?? '')?.[1]
      if (name !== undefined) names.add(name)
    }
  }
  return [...names]
}

function tableSql(name: string, table: Table): string {
  const parts = table.columns.map(column => {
    const identity = column.identity && `generated ${column.identity === 'a' ? 'always' : 'by default'} as identity`
    const value = column.default !== undefined && `default ${column.default}`
    return [quoted(column.name), column.type, identity, value, column.notNull && 'not null'].filter(Boolean).join(' ')
  })
  if (table.primaryKey) parts.push(`primary key (${table.primaryKey.map(quoted).join(', ')})`)
  for (const [key, text] of [...entries(table.unique), ...entries(table.checks)])
    parts.push(`constraint ${quoted(key)} ${text}`)
  const partitioned = name === 'audit_partitioned' ? ' partition by range ("timestamp")' : ''
  return `create table ${quoted(name)} (\n  ${parts.join(',\n  ')}\n)${partitioned};`
}

function indexesSql(name: string, table: Table): readonly string[] {
  const one =
    (kind: string) =>
    ([index, text]: [string, string]): string =>
      `create ${kind} ${quoted(index)} on ${quoted(name)} using ${text};`
  return [...entries(table.uniqueIndexes).map(one('unique index')), ...entries(table.indexes).map(one('index'))]
}

/** As Windmill makes them: one partition per UTC day and no default one. */
function partitionsSql(days: number | 'none'): readonly string[] {
  if (days === 'none') return []
  const midnight = (offset: number): string => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10)
  return Array.from({ length: 2 * days + 1 }, (_, index) => {
    const [from, to] = [midnight(index - days), midnight(index - days + 1)]
    return `create table "audit_${from.replaceAll('-', '')}" partition of audit_partitioned for values from ('${from} 00:00:00+00') to ('${to} 00:00:00+00');`
  })
}

function migrationsSql(facts: SchemaFacts): string {
  const numbers = facts.migrations.length > 0 ? facts.migrations : laterMigrations
  return `create table _sqlx_migrations (version bigint primary key, description text not null,
  installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null, execution_time bigint not null);
insert into _sqlx_migrations (version, description, success, checksum, execution_time) values
  ${numbers.map(number => `(${number}, 'from the facts', true, '', 0)`).join(', ')};`
}

const securitySql = (name: string): readonly string[] => [
  `alter table ${quoted(name)} enable row level security;`,
  `create policy admin_policy on ${quoted(name)} to windmill_admin using (true);`
]

const grantsSql = `do $$ begin
  execute format('grant usage on schema %I to windmill_user, windmill_admin', current_schema());
  execute format('grant all on all tables in schema %I to windmill_user, windmill_admin', current_schema());
  execute format('grant all on all sequences in schema %I to windmill_user, windmill_admin', current_schema());
end $$;`
