/** New versions of scripts: every column, its hash, and a batch of them in one statement (contract: scripts §1, §4.3). */
import type { Context, Json, Row, Sql, Write } from '../model.ts'
import { mainFacts } from './main-function.ts'
import type { RunAs } from './run-as.ts'
import { schemaValidation } from './script-annotations.ts'
import { hasSettings, plainColumns } from './script-fields.ts'
import { scriptHash } from './script-hash.ts'
import type { Before, Lineage, Texts } from './script-lineage.ts'
import { isLocked } from './script-locks.ts'
import { type Setting, settingsOf } from './script-settings.ts'

/** A version about to be written. */
export interface NewVersion {
  readonly write: Write
  readonly workspace: string
  readonly path: string
  readonly hash: string
  readonly lineage: Lineage
  /** As stored. */
  readonly language: string
  readonly content: string
  /** Null: a worker makes it. */
  readonly lock: string | null
  readonly columns: Texts
  readonly settings: readonly Setting[]
  /** Whom it runs as, if not its caller. */
  readonly onBehalfOf?: RunAs | undefined
}

/** `u/<user>`, or the bare name where it is an e-mail address (§1.3). */
export const principalOf = (username: string): string => (username.includes('@') ? username : `u/${username}`)

export function newVersion(
  write: Write,
  lineage: Lineage,
  onBehalfOf: RunAs | undefined,
  context: Context
): Omit<NewVersion, 'hash'> {
  const { row, workspace, path } = write
  const language = row['language'] as string
  const content = row['content'] as string
  const { before } = lineage
  const plain = plainColumns(row, before?.columns, context.capabilities)
  const stated = typeof row['lock'] === 'string' && row['lock'] !== '' ? row['lock'] : null
  const lock = isLocked(language, context.capabilities) ? stated : ''
  const settings = hasSettings(context.capabilities) ? settingsOf(plain, before?.extras ?? {}) : undefined
  const columns: Record<string, string | null> = {
    ...plain,
    ...kept(before),
    content,
    language,
    lock,
    schema: schemaText(write, before),
    schema_validation: String(schemaValidation(language, content)),
    ...functionsOf({ row, language, content, kind: plain['kind'] ?? 'script', before }),
    ...identityOf(onBehalfOf, context),
    archived: 'false',
    deleted: 'false',
    runnable_settings_handle: settings?.handle ?? null
  }
  return {
    write,
    workspace,
    path,
    lineage,
    language,
    content,
    lock,
    columns: present(columns, context),
    settings: settings?.rows ?? [],
    onBehalfOf
  }
}

const known = new WeakMap<Context['capabilities'], readonly string[]>()

/** Those that this database has; every version names the same ones. */
function present(columns: Texts, { capabilities }: Context): Texts {
  let names = known.get(capabilities)
  if (!names) known.set(capabilities, (names = Object.keys(columns).filter(name => capabilities.has('script', name))))
  const found: Record<string, string | null> = {}
  for (const name of names) found[name] = columns[name] ?? null
  return found
}

/** Permissions go with the path, not with a version; what is unknown to CRs stays. */
const kept = (before: Before | undefined): Texts => ({
  extra_perms: before?.columns['extra_perms'] ?? '{}',
  modules: before?.columns['modules'] ?? null,
  job_token_scopes: before?.columns['job_token_scopes'] ?? null
})

/** The exact text, where the CR gives one: the column keeps order and spelling (§1.2). */
function schemaText({ row, guard }: Write, before: Before | undefined): string | null {
  const schema = row['schema']
  if (schema === undefined) return before?.columns['schema'] ?? null
  if (schema === null) return null
  return guard ?? JSON.stringify(schema)
}

interface Functions {
  readonly row: Row
  readonly language: string
  readonly content: string
  readonly kind: string
  readonly before: Before | undefined
}

/** Kinds that are never shown as libraries (§1). */
const neverLibraries: ReadonlySet<string> = new Set(['failure', 'trigger', 'approval'])

/** True or NULL, never false: stated, else by the code, else as it was in the same language (§1.5). */
function functionsOf({ row, language, content, kind, before }: Functions): Texts {
  const facts = kind === 'preprocessor' ? undefined : mainFacts(language, content)
  const earlier = before?.language === language ? before.columns : {}
  const wasLibrary = earlier['no_main_func'] === 'true' || earlier['auto_kind'] === 'lib'
  const noMain = truth(row['noMainFunc'], facts?.noMain, wasLibrary)
  const preprocessor = truth(row['hasPreprocessor'], facts?.hasPreprocessor, earlier['has_preprocessor'] === 'true')
  const other = earlier['auto_kind'] === 'lib' ? null : (earlier['auto_kind'] ?? null)
  return {
    no_main_func: noMain ? 'true' : null,
    auto_kind: noMain && !neverLibraries.has(kind) ? 'lib' : other,
    has_preprocessor: preprocessor ? 'true' : null
  }
}

const truth = (stated: Json | undefined, byCode: boolean | undefined, before: boolean): boolean =>
  typeof stated === 'boolean' ? stated : (byCode ?? before)

/**
 * With an e-mail, runs act as `created_by`, who must be that person: the two are written as a pair (§1.3, trap 14).
 * Newer Windmill has a column for whom it acts as, and the e-mail beside it.
 */
const identityOf = (onBehalfOf: RunAs | undefined, { user }: Context): Texts => ({
  created_by: onBehalfOf?.username ?? user,
  on_behalf_of_email: onBehalfOf?.email ?? null,
  on_behalf_of: onBehalfOf ? principalOf(onBehalfOf.username) : null
})

/** Gives every version a hash that nobody has; one look for all of them unless hashes are taken. */
export async function withHashes(
  sql: Sql,
  versions: readonly Omit<NewVersion, 'hash'>[]
): Promise<readonly NewVersion[]> {
  const attempts = versions.map(() => 0)
  for (;;) {
    const hashes = versions.map(({ workspace, path, lineage, columns }, at) =>
      scriptHash({ workspace, path, parent: lineage.parent?.hash ?? null, columns }, attempts[at])
    )
    const rows = await sql<{ hash: string }[]>`
      select distinct s.hash::text from unnest(${`{${hashes.join()}}`}::bigint[]) h
       cross join workspace w join script s on s.workspace_id = w.id and s.hash = h`
    const taken = new Set(rows.map(row => row.hash))
    const again = hashes.flatMap((hash, at) => {
      const isTaken = taken.has(hash)
      taken.add(hash)
      return isTaken ? [at] : []
    })
    if (again.length === 0) return versions.map((version, at) => ({ ...version, hash: hashes[at] ?? '' }))
    for (const at of again) attempts[at] = (attempts[at] ?? 0) + 1
  }
}

/** Far below what the protocol can number. */
const MOST_PARAMETERS = 60_000

/**
 * Many rows in one statement: for rows as wide as these faster than one text of JSON. Columns that say the same for all
 * of them are given once. Everything goes as text, which PostgreSQL reads as it reads literals: the driver would make
 * dates without microseconds of times, and expects booleans and lists where columns are such.
 */
export async function insertVersions(sql: Sql, versions: readonly NewVersion[], context: Context): Promise<void> {
  const rows = versions.map(rowOf)
  const [first] = rows
  if (!first) return
  const names = Object.keys(first)
  const own = names.filter((name, at) => at < KEYS || rows.some(row => row[name] !== first[name]))
  const size = Math.floor((MOST_PARAMETERS - names.length) / own.length)
  for (let from = 0; from < rows.length; from += size) {
    const parameters: (string | null)[] = []
    const give = (value: string | null | undefined): string => `$${parameters.push(value ?? null)}`
    const values = rows.slice(from, from + size).map(row => `(${own.map(name => give(row[name])).join()})`)
    const columns = names.map(name => {
      const value = own.includes(name) ? `v."${name}"` : give(first[name])
      return `${value}::"${context.capabilities.type('script', name)}"`
    })
    await sql.unsafe(
      `insert into script (${quoted(names)}) select ${columns.join()} from (values ${values.join()}) v(${quoted(own)})`,
      parameters
    )
  }
  await announce(sql, versions, context)
}

const quoted = (names: readonly string[]): string => names.map(name => `"${name}"`).join()

/** Number of the first columns of a row that tell one from another. */
const KEYS = 3

const rowOf = ({ workspace, path, hash, lineage, columns }: NewVersion): Texts => ({
  workspace_id: workspace,
  path,
  hash,
  parent_hashes: lineage.parent?.hashes ?? null,
  created_at: lineage.createdAt,
  ...columns
})

/** For some releases only an update tells other processes of a version that has its lock from the start (§6). */
async function announce(sql: Sql, versions: readonly NewVersion[], { capabilities }: Context): Promise<void> {
  if (!capabilities.hasTrigger('script', 'script_update') || capabilities.hasTrigger('script', 'script_insert')) return
  const locked = versions.filter(one => one.lock !== null).map(({ workspace, hash }) => ({ workspace, hash }))
  if (locked.length === 0) return
  await sql`
    update script s set lock = s.lock
      from jsonb_to_recordset(${JSON.stringify(locked)}::text::jsonb) as j(workspace text, hash bigint)
     where s.workspace_id = j.workspace and s.hash = j.hash`
}
