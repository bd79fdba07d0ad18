/** What the target database has: read once from the catalogue, which shows more than information_schema lets one see. */
import type { Capabilities, Sql } from '../model.ts'

/** Capabilities, and what only the guard asks for. */
export interface Catalogue extends Capabilities {
  /** Columns that an INSERT must name: NOT NULL with neither default nor identity. */
  readonly required: (table: string) => readonly string[]
  /** The schema that Windmill's tables are in; '' when there are none on the search path. */
  readonly schema: string
}

interface Column {
  readonly table: string
  readonly name: string
  readonly type: string
  readonly length: number | null
  readonly required: boolean
}

/** All in one snapshot. The schema is the one that `script` is found in, whatever it is called. */
export async function readCatalogue(sql: Sql): Promise<Catalogue> {
  const schema = sql`(select relnamespace from pg_class where oid = to_regclass('script'))`
  const [columns, triggers, labels, [home]] = await Promise.all([
    sql<Column[]>`
      select c.relname as table, a.attname as name, t.typname as type,
             case when t.typname in ('varchar', 'bpchar') and a.atttypmod > 4 then a.atttypmod - 4 end as length,
             a.attnotnull and not a.atthasdef and a.attidentity = '' as required
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        join pg_type t on t.oid = a.atttypid
       where c.relnamespace = ${schema} and c.relkind in ('r', 'p') and not c.relispartition
         and a.attnum > 0 and not a.attisdropped`,
    sql<{ table: string; name: string }[]>`
      select c.relname as table, g.tgname as name
        from pg_trigger g join pg_class c on c.oid = g.tgrelid
       where c.relnamespace = ${schema} and not g.tgisinternal and g.tgenabled <> 'D'`,
    sql<{ type: string; label: string }[]>`
      select t.typname as type, e.enumlabel as label
        from pg_enum e join pg_type t on t.oid = e.enumtypid
       where t.typnamespace = ${schema} order by e.enumsortorder`,
    sql<{ name: string }[]>`select nspname as name from pg_namespace where oid = ${schema}`
  ])
  return catalogueOf({ columns, triggers, labels, schema: home?.name ?? '' })
}

interface Found {
  readonly columns: readonly Column[]
  readonly triggers: readonly { readonly table: string; readonly name: string }[]
  readonly labels: readonly { readonly type: string; readonly label: string }[]
  readonly schema: string
}

function catalogueOf({ columns, triggers, labels, schema }: Found): Catalogue {
  const tables = new Map<string, Map<string, Column>>()
  for (const column of columns) {
    const table = tables.get(column.table) ?? new Map<string, Column>()
    tables.set(column.table, table.set(column.name, column))
  }
  const enums = new Map<string, string[]>()
  for (const { type, label } of labels) enums.set(type, [...(enums.get(type) ?? []), label])
  return {
    schema,
    has: (table, column) => (column === undefined ? tables.has(table) : tables.get(table)?.has(column) === true),
    type: (table, column) => tables.get(table)?.get(column)?.type ?? '',
    maxLength: (table, column) => tables.get(table)?.get(column)?.length ?? undefined,
    labels: name => enums.get(name) ?? [],
    hasTrigger: (table, prefix) => triggers.some(one => one.table === table && one.name.startsWith(prefix)),
    required: table => [...(tables.get(table)?.values() ?? [])].filter(one => one.required).map(one => one.name)
  }
}
