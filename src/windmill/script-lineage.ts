/** What a new version follows: one writer per path, the live rows archived, the parent and its place in time (contract: scripts §4). */
import { type Context, type Sql, targetKey } from '../model.ts'
import { placesJson } from './row-writer.ts'
import { columnSql, hasSettings, plainFields, settingsJoin } from './script-fields.ts'
import { debouncingExtras } from './script-settings.ts'

export interface Place {
  readonly workspace: string
  readonly path: string
}

/** Texts of columns, as they can be written again. */
export type Texts = Readonly<Record<string, string | null>>

export interface Lineage {
  /** Later than every version that the path ever had: the newest is elected (§4.3). */
  readonly createdAt: string
  /** The version that the new one follows, and the array text of its `parent_hashes`; none where history would branch. */
  readonly parent?: { readonly hash: string; readonly hashes: string }
  /** The version that lends what the CR does not state. */
  readonly before?: Before
}

export interface Before {
  readonly language: string
  readonly columns: Texts
  /** What the settings hold beyond the columns of a script. */
  readonly extras: Texts
}

const placesSql = 'jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text)'

/**
 * Waits for whoever deploys to these paths: newer Windmill takes the same advisory lock, older ones hold the row that
 * they replace. In sorted order, so that two writers never wait for each other.
 */
export async function lockPaths(sql: Sql, places: readonly Place[]): Promise<void> {
  await sql.unsafe(
    `select pg_advisory_xact_lock(hashtext(k.key)) from (
       select distinct j.workspace || '/' || j.path collate "C" as key from ${placesSql} order by 1 offset 0) k`,
    [placesJson(places)]
  )
  await sql.unsafe(
    `select from script s join ${placesSql} on s.workspace_id = j.workspace and s.path = j.path
      where not s.archived order by s.workspace_id, s.path, s.hash for update of s`,
    [placesJson(places)]
  )
}

/** Naming `lock` makes Windmill's trigger tell every process that the path has changed (§6). */
export async function archiveLive(sql: Sql, places: readonly Place[]): Promise<ReadonlyMap<string, string>> {
  const rows = await sql.unsafe<(Place & { hash: string })[]>(
    `with gone as (
       update script s set archived = true, lock = s.lock from ${placesSql}
        where s.workspace_id = j.workspace and s.path = j.path and not s.archived
       returning j.workspace, j.path, s.hash, s.created_at)
     select distinct on (workspace, path) workspace, path, hash::text from gone order by workspace, path, created_at desc`,
    [placesJson(places)]
  )
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), row.hash]))
}

/** Columns beyond the fields that a version may take over from its parent. */
const others = [
  'extra_perms',
  'created_by',
  'on_behalf_of_email',
  'on_behalf_of',
  'has_preprocessor',
  'no_main_func',
  'auto_kind',
  'schema',
  'modules',
  'job_token_scopes'
]

interface ParentRow extends Place {
  readonly createdAt: string
  /** Null where the new version follows none. */
  readonly hash: string | null
  readonly hashes: string | null
  readonly deleted: boolean
  readonly language: string | null
  readonly columns: Texts
  readonly extras: Texts | null
}

/**
 * What the versions to come follow, once the live ones are archived: the live one, else the newest of the path. One
 * that some version follows already is no parent, since history stays a line (§4.2 c); after a rename the follower
 * stands at another path, so for retired paths it is looked for all over.
 */
export async function readLineages(
  sql: Sql,
  places: readonly Place[],
  heads: ReadonlyMap<string, string>,
  context: Context
): Promise<ReadonlyMap<string, Lineage>> {
  const asked = places.map(({ workspace, path }) => ({ workspace, path, head: heads.get(targetKey(workspace, path)) }))
  const rows = await sql.unsafe<ParentRow[]>(lineageSql(context), [JSON.stringify(asked)])
  return new Map(
    rows.map(row => {
      const key = targetKey(row.workspace, row.path)
      return [key, lineageOf(row, heads.has(key))]
    })
  )
}

function lineageSql({ capabilities }: Context): string {
  const fields = plainFields(capabilities).map(one => `'${one.column}', (${columnSql(one, capabilities)})::text`)
  const more = others.filter(one => capabilities.has('script', one)).map(one => `'${one}', s."${one}"::text`)
  return `
    select j.workspace, j.path, p.hash::text as hash, (array[p.hash] || p.parent_hashes[1:19])::text as hashes,
           greatest(clock_timestamp(), n.created_at + interval '1 microsecond')::text as "createdAt",
           s.deleted, s.language::text as language,
           jsonb_build_object(${[...fields, ...more].join(', ')}) as columns, ${extrasSql(capabilities)} as extras
      from jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, head bigint)
      left join lateral (
           select v.hash, v.created_at from script v where v.workspace_id = j.workspace and v.path = j.path
            order by v.created_at desc limit 1) n on true
      left join script s on s.workspace_id = j.workspace and s.hash = coalesce(j.head, n.hash)
      left join lateral (
           select v.hash, v.parent_hashes from script v
            where v.workspace_id = j.workspace and v.hash in (s.hash, n.hash) and not case
                  when j.head is not null
                  then exists (select from script c where c.workspace_id = v.workspace_id and c.path = v.path
                                                      and c.parent_hashes[1] = v.hash)
                  else (v.workspace_id::text, v.hash) in (
                         select c.workspace_id::text, c.parent_hashes[1] from script c
                          where c.parent_hashes[1] is not null) end
            order by v.hash = s.hash desc limit 1) p on true
      ${settingsJoin(capabilities)}`
}

/** Settings that no column of a script has a place for. */
function extrasSql(capabilities: Context['capabilities']): string {
  if (!hasSettings(capabilities)) return 'null::jsonb'
  const known = debouncingExtras.filter(one => capabilities.has('debouncing_settings', one))
  const retry = capabilities.has('runnable_settings', 'retry_settings')
    ? [`'retry_settings', rs.retry_settings::text`]
    : []
  return `jsonb_build_object(${[...known.map(one => `'${one}', ds."${one}"::text`), ...retry].join(', ')})`
}

function lineageOf(row: ParentRow, wasLive: boolean): Lineage {
  const { createdAt, hash, hashes } = row
  const parent = hash !== null && hashes !== null ? { hash, hashes } : undefined
  return { createdAt, ...(parent && { parent }), ...((parent ?? wasLive) && { before: beforeOf(row, wasLive) }) }
}

/** A deleted version has nothing left to lend but its permissions, and a retired one lends nobody's identity. */
function beforeOf({ deleted, language, columns, extras }: ParentRow, wasLive: boolean): Before {
  const { created_by: _author, on_behalf_of_email: _email, on_behalf_of: _principal, ...rest } = columns
  if (deleted) return { language: '', columns: { extra_perms: columns['extra_perms'] ?? null }, extras: {} }
  return { language: language ?? '', columns: wasLive ? columns : rest, extras: extras ?? {} }
}
