/** What a new version follows: one writer per path, the live rows archived, the parent and its place in time (contract: scripts §4). */
import { type Context, type Sql, targetKey } from '../model.ts'
import { placesJson } from './row-writer.ts'
import { columnSql, hasSettings, plainFields, settingsJoin } from './script-fields.ts'
import { debouncingExtras } from './script-settings.ts'
import { inOneGo } from './statements.ts'

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
  const advisory = sql.unsafe(
    `select pg_advisory_xact_lock(hashtext(k.key)) from (
       select distinct j.workspace || '/' || j.path collate "C" as key from ${placesSql} order by 1 offset 0) k`,
    [placesJson(places)]
  )
  const rows = sql.unsafe(
    `select from script s join ${placesSql} on s.workspace_id = j.workspace and s.path = j.path
      where not s.archived order by s.workspace_id, s.path, s.hash for update of s`,
    [placesJson(places)]
  )
  await inOneGo([advisory, rows])
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

/** The versions of a path in short. */
interface History extends Place {
  readonly createdAt: string
  /** The live version (as was), else the newest; null for a new path. */
  readonly lender: string | null
  readonly newest: string | null
  /** Whether another version of the path follows the one or the other. */
  readonly lenderFollowed: boolean
  readonly newestFollowed: boolean
}

/**
 * What the versions to come follow, once the live ones are archived: the live one, else the newest of the path. One
 * that some version follows already is no parent, since history stays a line (§4.2 c).
 */
export async function readLineages(
  sql: Sql,
  places: readonly Place[],
  heads: ReadonlyMap<string, string>,
  context: Context
): Promise<ReadonlyMap<string, Lineage>> {
  const histories = await readHistories(sql, places, heads)
  const isLive = (one: Place): boolean => heads.has(keyOf(one))
  const moved = await followedElsewhere(
    sql,
    histories.filter(one => one.lender !== null && !isLive(one))
  )
  const chosen = histories.map(one => ({ ...one, parent: parentOf(one, isLive(one), moved) }))
  const lent = await readLenders(
    sql,
    chosen.filter(one => one.parent !== null || isLive(one)),
    context
  )
  return new Map(
    chosen.map(({ createdAt, parent, ...place }) => {
      const found = lent.get(keyOf(place))
      const follows = parent !== null && found?.hashes ? { parent: { hash: parent, hashes: found.hashes } } : {}
      return [keyOf(place), { createdAt, ...follows, ...(found && { before: beforeOf(found, isLive(place)) }) }]
    })
  )
}

const keyOf = ({ workspace, path }: Place): string => targetKey(workspace, path)

function parentOf(one: History, isLive: boolean, moved: ReadonlySet<string>): string | null {
  const { lender, newest, lenderFollowed, newestFollowed } = one
  if (!isLive) return newestFollowed || moved.has(keyOf(one)) ? null : newest
  if (!lenderFollowed) return lender
  return newestFollowed ? null : newest
}

/** One look at all versions of each path. The order of the inner query makes even fresh databases use the right index. */
async function readHistories(
  sql: Sql,
  places: readonly Place[],
  heads: ReadonlyMap<string, string>
): Promise<readonly History[]> {
  const asked = places.map(one => ({ workspace: one.workspace, path: one.path, head: heads.get(keyOf(one)) }))
  return sql.unsafe<History[]>(
    `select h.workspace, h.path, h.lender::text, h.newest::text,
            greatest(clock_timestamp(), h.at + interval '1 microsecond')::text as "createdAt",
            coalesce(h.lender = any(h.followed), false) as "lenderFollowed",
            coalesce(h.newest = any(h.followed), false) as "newestFollowed"
       from (select j.workspace, j.path, coalesce(j.head, (array_agg(v.hash order by v.created_at desc))[1]) as lender,
                    (array_agg(v.hash order by v.created_at desc))[1] as newest, max(v.created_at) as at,
                    array_agg(v.parent) as followed
               from jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, head bigint)
               left join lateral (
                    select s.hash, s.created_at, s.parent_hashes[1] as parent from script s
                     where s.workspace_id = j.workspace and s.path = j.path order by s.created_at desc offset 0) v on true
              group by j.workspace, j.path, j.head) h`,
    [JSON.stringify(asked)]
  )
}

/** After a rename, the follower of a retired version stands at another path. */
async function followedElsewhere(sql: Sql, retired: readonly History[]): Promise<ReadonlySet<string>> {
  if (retired.length === 0) return new Set()
  const rows = await sql.unsafe<Place[]>(
    `select j.workspace, j.path
       from jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, newest bigint)
      where (j.workspace, j.newest) in (
            select s.workspace_id::text, s.parent_hashes[1] from script s where s.parent_hashes[1] is not null)`,
    [JSON.stringify(retired)]
  )
  return new Set(rows.map(keyOf))
}

interface Lender extends Place {
  /** Array text of the `parent_hashes` of whoever follows the parent. */
  readonly hashes: string | null
  readonly deleted: boolean
  readonly language: string
  readonly columns: Texts
  readonly extras: Texts | null
}

async function readLenders(
  sql: Sql,
  wanted: readonly (Place & { readonly lender: string | null; readonly parent: string | null })[],
  { capabilities }: Context
): Promise<ReadonlyMap<string, Lender>> {
  if (wanted.length === 0) return new Map()
  const fields = plainFields(capabilities).map(one => `'${one.column}', (${columnSql(one, capabilities)})::text`)
  const more = others.filter(one => capabilities.has('script', one)).map(one => `'${one}', s."${one}"::text`)
  const version = (columns: string, hash: string): string => `
    select ${columns} from script v
     where v.workspace_id = j.workspace and v.path = j.path and v.hash = ${hash} order by v.created_at desc limit 1`
  const rows = await sql.unsafe<Lender[]>(
    `select j.workspace, j.path, (${version('array[v.hash] || v.parent_hashes[1:19]', 'j.parent')})::text as hashes,
            s.deleted, s.language::text as language,
            jsonb_build_object(${[...fields, ...more].join(', ')}) as columns, ${extrasSql(capabilities)} as extras
       from jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, lender bigint, parent bigint)
      cross join lateral (${version('*', 'j.lender')}) s
      ${settingsJoin(capabilities)}`,
    [JSON.stringify(wanted)]
  )
  return new Map(rows.map(row => [keyOf(row), row]))
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

/** A deleted version has nothing left to lend but its permissions, and a retired one lends nobody's identity. */
function beforeOf({ deleted, language, columns, extras }: Lender, wasLive: boolean): Before {
  const { created_by: _author, on_behalf_of_email: _email, on_behalf_of: _principal, ...rest } = columns
  if (deleted) return { language: '', columns: { extra_perms: columns['extra_perms'] ?? null }, extras: {} }
  return { language, columns: wasLive ? columns : rest, extras: extras ?? {} }
}
