/** Live versions of scripts as they are compared, their marks, and what statuses say of them. */
import { fingerprintOf } from '../fingerprint.ts'
import {
  type Context,
  type Details,
  type Fragment,
  type Json,
  type Observed,
  type Row,
  type Sql,
  type Target,
  targetKey
} from '../model.ts'
import { comparedSql, plainFields, settingsJoin } from './script-fields.ts'
import { hexOfHash } from './script-hash.ts'
import { isLocked } from './script-locks.ts'

/** What `health` says of a path where all is well: one live version, with a lock or on the way to one. */
export const HEALTHY = 'ok'
/** The lock job was cancelled or lost: without help the path would run the version before for ever (§3.4, trap 4). */
export const NO_LOCK_JOB = 'no lock, and no job that makes one'
/** Windmill's worker leaves such, and so do people who deploy at the same moment (§4.2). */
export const TWO_LIVE = 'more than one live version'

/** Digest of a schema with its order of keys, which matters where a CR gives the schema as text. */
export const orderOf = (schema: Json): string => fingerprintOf([JSON.stringify(schema)])

/** Live is the newest version that is not archived (§4.1); `j` are the targets. */
const live = `cross join lateral (
       select * from script v
        where v.workspace_id = j.workspace and v.path = j.path and not v.archived and not v.deleted
        order by v.created_at desc limit 1) s`

/** Whether a job for version `s` waits or runs. Evaluated only for versions without a lock, and then once. */
export const hasJobSql = `coalesce((s.workspace_id::text, s.hash) in (
       select b.workspace_id::text, b.runnable_id from v2_job_queue q join v2_job b on b.id = q.id
        where b.kind = 'dependencies' and b.runnable_id is not null), false)`

const isWaiting = 's.lock is null and s.lock_error_logs is null'
/** `has_preprocessor` and the like: null stands for false. */
const mark = (column: string): string => `coalesce(s.${column}, false)`

/** The person that runs act as; an e-mail that is no longer the user's is part of it, so that it counts as drift (§1.3). */
function onBehalfSql({ capabilities }: Context): string {
  const principal = `case when position('@' in s.created_by) > 0 then s.created_by else 'u/' || s.created_by end`
  const who = capabilities.has('script', 'on_behalf_of') ? `coalesce(s.on_behalf_of, ${principal})` : principal
  return `case when s.on_behalf_of_email is not null then ${who} || case when exists (
            select from usr u where u.workspace_id = s.workspace_id and u.email = s.on_behalf_of_email
               and u.username = s.created_by) then '' else ' <' || s.on_behalf_of_email || '>' end end`
}

function columnsSql(context: Context): string {
  const { capabilities } = context
  const plain = plainFields(capabilities).map(one => `${comparedSql(one, capabilities)} as "${one.field}"`)
  const noMain = capabilities.has('script', 'no_main_func')
    ? mark('no_main_func')
    : `coalesce(s.auto_kind = 'lib', false)`
  return [
    'j.workspace',
    'j.path',
    's.content',
    's.language::text as language',
    's.schema::text as schema',
    `case when j.lock then nullif(s.lock, '') end as lock`,
    ...plain,
    `${noMain} as "noMainFunc"`,
    `${mark('has_preprocessor')} as "hasPreprocessor"`,
    `${onBehalfSql(context)} as "onBehalfOf"`,
    `case when exists (select from script o where o.workspace_id = j.workspace and o.path = j.path
                          and not o.archived and not o.deleted order by o.created_at desc offset 1) then '${TWO_LIVE}'
          when ${isWaiting} and not ${hasJobSql} then '${NO_LOCK_JOB}' else '${HEALTHY}' end as health`,
    's.created_at as "editedAt"',
    's.created_by as "editedBy"'
  ].join(', ')
}

interface Read {
  readonly workspace: string
  readonly path: string
  readonly schema: string | null
  readonly lock: string | null
  readonly editedAt: Date
  readonly editedBy: string
}

/** The lock is read only where it is stated: it can be longer than all else together. */
const targetsJson = (targets: readonly Target[]): string =>
  JSON.stringify(targets.map(({ workspace, path, fields }) => ({ workspace, path, lock: fields.includes('lock') })))

const targetsSql = 'jsonb_to_recordset($1::text::jsonb) as j(workspace text, path text, lock boolean)'

async function read(
  sql: Sql,
  targets: readonly Target[],
  context: Context,
  only = 'true'
): Promise<readonly Observed[]> {
  const rows = await sql.unsafe<Read[]>(
    `select ${columnsSql(context)} from ${targetsSql} ${live} ${settingsJoin(context.capabilities)} where ${only}`,
    [targetsJson(targets)]
  )
  const withLock = new Set(
    targets.filter(one => one.fields.includes('lock')).map(one => targetKey(one.workspace, one.path))
  )
  return rows.map(({ workspace, path, editedAt, editedBy, schema, lock, ...rest }) => {
    const parsed = schema === null ? null : (JSON.parse(schema) as Json)
    const stated = withLock.has(targetKey(workspace, path)) ? { lock } : {}
    const row: Row = { ...(rest as unknown as Row), schema: parsed, schemaOrder: orderOf(parsed), ...stated }
    return { workspace, path, editedAt, editedBy, row, locked: lockedBecause(workspace, path) }
  })
}

/** Windmill itself keeps this script, which fetches from its hub (§5). */
export const isHubSync = (workspace: string, path: string): boolean =>
  workspace === 'admins' && path === 'u/admin/hub_sync'

const lockedBecause = (workspace: string, path: string): string | undefined =>
  isHubSync(workspace, path) ? 'Windmill itself keeps this script, which fetches from its hub.' : undefined

export const observeScripts = (sql: Sql, targets: readonly Target[], context: Context): Promise<readonly Observed[]> =>
  read(sql, targets, context)

/** Those whose live version could not be locked. */
export async function failedScripts(
  sql: Sql,
  targets: readonly Target[],
  context: Context
): Promise<ReadonlyMap<string, Row>> {
  const found = await read(sql, targets, context, 's.lock_error_logs is not null')
  return new Map(found.map(({ workspace, path, row }) => [targetKey(workspace, path), row]))
}

/**
 * Every live version of a path and its `xmin`; for one that waits for its lock also whether a job is on its way. More
 * than one is a mishap that is mended as soon as it is seen.
 */
export const scriptTokens = (sql: Sql, targets: Fragment): Fragment => sql`
  select j.workspace, j.path, s.hash::text || ':' || s.xmin::text || ${sql.unsafe(
    `case when ${isWaiting} then case when ${hasJobSql} then ':waiting' else ':stuck' end else '' end`
  )} as token
    from ${targets}
    join script s on s.workspace_id = j.workspace and s.path = j.path and not s.archived and not s.deleted`

interface LockRead {
  readonly workspace: string
  readonly path: string
  readonly hash: string
  readonly language: string
  readonly hasLock: boolean
  readonly failure: string | null
}

export async function scriptDetails(
  sql: Sql,
  targets: readonly Target[],
  context: Context
): Promise<ReadonlyMap<string, Details>> {
  const rows = await sql.unsafe<LockRead[]>(
    `select j.workspace, j.path, s.hash::text as hash, s.language::text as language, s.lock is not null as "hasLock",
            left(s.lock_error_logs, 4000) as failure
       from ${targetsSql} ${live}`,
    [targetsJson(targets)]
  )
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), detailsOf(row, context)]))
}

function detailsOf({ hash, language, hasLock, failure }: LockRead, { capabilities }: Context): Details {
  const shown = { hash: hexOfHash(hash) }
  if (failure !== null) return { ...shown, lockState: 'failed', lockMessage: firstLines(failure) }
  if (!hasLock) return { ...shown, lockState: 'pending' }
  return { ...shown, lockState: isLocked(language, capabilities) ? 'done' : 'none' }
}

/** Registries are sometimes named with a password in their URL. */
function firstLines(log: string): string {
  const lines = log.split(/\r?\n/).map(line => line.trimEnd())
  const text = lines
    .filter(line => line !== '')
    .slice(0, 5)
    .join('\n')
  return text.replace(/\/\/[^\s/@]+@/g, '//***@').slice(0, 1000)
}
