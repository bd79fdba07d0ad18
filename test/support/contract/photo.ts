/** The whole database as texts: to compare, to count writes, and to put it back as it was. */
import type postgres from 'postgres'

/** Rows of every table that has any, byte for byte, sorted. */
export type Photo = ReadonlyMap<string, readonly string[]>

/** What only ever grows and is no part of an object: also jobs, old versions and what versions share. */
const journal =
  /^(windmill_iac\.|public\.(audit|notify_event|resource_version|trashbin|v2_job|job_perms|(app|flow)_version$|deployment_metadata$|(runnable|concurrency|debouncing)_settings$))/
/** The identity of the program itself comes with the first write to a workspace, and stays. */
const identity = /^\{.*"(username|usr)": "iac_controller"/
/** When something happened is no content, and a key that was drawn by lot neither. */
const noContent = (table: string): string => (table === 'public.workspace_key' ? 'key' : 'edited_at,created_at')
/** What has versions is what its last one says; which number that has, and how many there were, is no content. */
const content: Readonly<Record<string, string>> = {
  // Marks that are unset and those that are false mean the same.
  'public.script': `case when not archived then (select jsonb_object_agg(e.key, e.value) from jsonb_each(
    to_jsonb(x) - '{hash,parent_hashes,created_at}'::text[]) e where e.value not in ('null', 'false'))::text end`,
  'public.app': `(to_jsonb(x) - '{id,versions}'::text[] || jsonb_build_object('live', (
    select v.value::jsonb from app_version v where v.id = x.versions[array_upper(x.versions, 1)])))::text`,
  'public.flow': `(to_jsonb(x) - '{versions,dependency_job,edited_at}'::text[] || jsonb_build_object('live', (
    select jsonb_build_array(v.value, v.schema) from flow_version v where v.id = x.versions[array_upper(x.versions, 1)])))::text`
}

export const isWindmills = (table: string): boolean => !table.startsWith('windmill_iac.')

async function tablesOf(sql: postgres.Sql): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`
    select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname in ('public', 'windmill_iac') order by 1`
  return rows.map(row => row.name)
}

async function look(
  sql: postgres.Sql,
  tables: readonly string[],
  row: (table: string) => string = () => 'x::text'
): Promise<Photo> {
  const parts = tables.map(table => `select '${table}' as name, ${row(table)} as text from ${table} x`)
  const rows = await sql.unsafe<{ name: string; text: string }[]>(`${parts.join(' union all ')} order by 1, 2`)
  const photo = new Map<string, string[]>()
  for (const { name, text } of rows) photo.set(name, [...(photo.get(name) ?? []), text])
  return photo
}

export const photograph = async (sql: postgres.Sql): Promise<Photo> => look(sql, await tablesOf(sql))

/** What the rows say, without times and journals. */
export async function contentOf(sql: postgres.Sql): Promise<Photo> {
  const tables = (await tablesOf(sql)).filter(table => !journal.test(table))
  const photo = await look(
    sql,
    tables,
    table => content[table] ?? `(to_jsonb(x) - '{${noContent(table)}}'::text[])::text`
  )
  return new Map([...photo].map(([table, rows]) => [table, rows.filter(row => row !== null && !identity.test(row))]))
}

const without = (photo: Photo, other: Photo): Map<string, readonly string[]> => {
  const left = new Map<string, readonly string[]>()
  for (const [table, rows] of photo) {
    const there = new Set(other.get(table))
    const more = rows.filter(row => !there.has(row))
    if (more.length > 0) left.set(table, more)
  }
  return left
}

/** Lines such as `+ public.variable (demo,…)`; empty when both are the same. */
export function changesOf(before: Photo, after: Photo): readonly string[] {
  const lines = (sign: string, photo: Photo): string[] =>
    [...photo].flatMap(([table, rows]) => rows.map(row => `${sign} ${table} ${row.slice(0, 400)}`))
  return [...lines('-', without(before, after)), ...lines('+', without(after, before))]
}

/** Puts tables back as they were on a photo, untouched rows staying what they are; all tables unless told. */
export async function putBack(
  sql: postgres.Sql,
  photo: Photo,
  wanted: (table: string) => boolean = () => true
): Promise<void> {
  const now = await photograph(sql)
  const surplus = without(now, photo)
  const missing = without(photo, now)
  const tables = [...new Set([...surplus.keys(), ...missing.keys()])].filter(wanted)
  await sql.begin(async sql => {
    await sql`set local session_replication_role = replica`
    for (const table of tables) {
      const [gone, back] = [surplus.get(table) ?? [], missing.get(table) ?? []]
      if (gone.length > 0) await sql.unsafe(`delete from ${table} x where x::text = any($1::text[])`, [[...gone]])
      if (back.length > 0) {
        const columns = await columnsOf(sql, table)
        await sql.unsafe(
          `insert into ${table} (${columns.join(', ')}) overriding system value
           select ${columns.map(column => `(t.r).${column}`).join(', ')} from (select unnest($1::text[])::${table} as r) t`,
          [[...back]]
        )
      }
    }
  })
}

/** Those that can be written. */
export async function columnsOf(
  sql: postgres.Sql | postgres.TransactionSql,
  table: string
): Promise<readonly string[]> {
  const rows = await sql<{ name: string }[]>`
    select quote_ident(attname) as name from pg_attribute
     where attrelid = ${table}::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum`
  return rows.map(row => row.name)
}

/** Rows ever inserted, updated or deleted, by table; also those that were written as they were. */
export async function writesOf(sql: postgres.Sql): Promise<Readonly<Record<string, number>>> {
  // A closed connection reports its numbers just before its process ends.
  for (let busy = 1; busy > 0; ) {
    const [row] = await sql<{ busy: number }[]>`
      select count(*)::int as busy from pg_stat_activity
       where datname = current_database() and application_name like 'windmill-iac%'`
    busy = row?.busy ?? 0
  }
  await sql`select pg_stat_force_next_flush()`
  const rows = await sql<{ name: string; writes: number }[]>`
    select schemaname || '.' || relname as name, (n_tup_ins + n_tup_upd + n_tup_del)::int as writes
      from pg_stat_user_tables where n_tup_ins + n_tup_upd + n_tup_del > 0`
  return Object.fromEntries(rows.map(row => [row.name, row.writes]))
}
