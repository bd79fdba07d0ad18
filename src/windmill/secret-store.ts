/** Keys of workspaces: sealing secrets, holding the key while they are written, proving it before the first write. */
import { createHash } from 'node:crypto'
import { SyncError } from '../errors.ts'
import type { Context, Sql, Write } from '../model.ts'
import { cipherKey, decrypt, encrypt, maxSecretBytes, newWorkspaceKey } from './encryption.ts'

/** Columns that every user of this file needs. */
export const secretStoreUses = {
  workspace_key: ['workspace_id', 'kind', 'key'],
  global_settings: ['name', 'value']
} as const

export interface SecretStore {
  /** Ciphertext of a text; throws the object's error when it cannot be had. `field` is named in errors. */
  readonly seal: (workspace: string, field: string, text: string) => string
  /** Mark of the key in use, for `Write.guard`. */
  readonly guard: (workspace: string) => string
}

/**
 * What stays the same during a run. A key that a workspace lacks is made up once per run, so that all batches encrypt
 * with the same one; it reaches the database with the first secret (§2.5).
 */
interface Memory {
  readonly newKeys: Map<string, string>
  readonly external: Map<string, boolean>
}
const memories = new WeakMap<Context, Memory>()

function memoryOf(context: Context): Memory {
  let memory = memories.get(context)
  if (!memory) memories.set(context, (memory = { newKeys: new Map(), external: new Map() }))
  return memory
}

interface KeyRow {
  readonly workspace: string
  readonly key: string | null
  /** There are secrets that a new key could not read. */
  readonly orphans: boolean
}

/** Looks up what is needed to seal secrets of these workspaces; they need not exist (a plan). */
export async function openSecretStore(sql: Sql, workspaces: readonly string[], context: Context): Promise<SecretStore> {
  const wanted = [...new Set(workspaces)]
  await learnExternal(sql, wanted, context)
  const { external, newKeys } = memoryOf(context)
  const keys = new Map<string, { cipher: Buffer; mark: string } | 'orphans'>()
  for (const row of await readKeys(sql, wanted)) {
    if (row.key === null && row.orphans) {
      keys.set(row.workspace, 'orphans')
      continue
    }
    const key = row.key ?? newKeys.get(row.workspace) ?? newWorkspaceKey()
    if (row.key === null) newKeys.set(row.workspace, key)
    keys.set(row.workspace, { cipher: cipherKey(key, context.salt), mark: markOf(key) })
  }
  return {
    seal: (workspace, field, text) => {
      const key = keys.get(workspace)
      if (external.get(workspace)) throw externalBackend(workspace)
      if (!key || key === 'orphans') throw keyMissing(workspace)
      if (Buffer.byteLength(text) > maxSecretBytes) {
        throw new SyncError(
          'InvalidSpec',
          `${field}: a secret may have at most ${maxSecretBytes} bytes of UTF-8; store less.`
        )
      }
      return encrypt(key.cipher, text)
    },
    guard: workspace => {
      const key = keys.get(workspace)
      return key && key !== 'orphans' ? key.mark : ''
    }
  }
}

/** Gives the text of a ciphertext, or undefined where it cannot be read (another key or salt, an external backend). */
export async function openCiphertexts(
  sql: Sql,
  workspaces: readonly string[],
  { salt }: Pick<Context, 'salt'>
): Promise<(workspace: string, ciphertext: string) => string | undefined> {
  const rows = await readKeys(sql, [...new Set(workspaces)])
  const ciphers = new Map(
    rows.flatMap(({ workspace, key }) => (key === null ? [] : [[workspace, cipherKey(key, salt)] as const]))
  )
  return (workspace, ciphertext) => {
    const cipher = ciphers.get(workspace)
    return cipher && decrypt(cipher, ciphertext)
  }
}

async function readKeys(sql: Sql, workspaces: readonly string[]): Promise<readonly KeyRow[]> {
  if (workspaces.length === 0) return []
  return sql<KeyRow[]>`
    select w.id as workspace, k.key,
           k.key is null and exists (select from variable v where v.workspace_id = w.id and v.is_secret) as orphans
      from jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb) as w(id)
      left join workspace_key k on k.workspace_id = w.id and k.kind = 'cloud'`
}

/**
 * Whether an external backend holds the secrets (contract: variables-and-resources §2.7): the instance says so, or a
 * secret's value is a marker (`$vault:…`; base64 never has a `$`).
 */
async function learnExternal(sql: Sql, workspaces: readonly string[], context: Context): Promise<void> {
  const { external } = memoryOf(context)
  const unknown = workspaces.filter(one => !external.has(one))
  if (unknown.length === 0) return
  const rows = await sql<{ workspace: string; external: boolean }[]>`
    select w.id as workspace,
           exists (select from global_settings
                    where name = 'secret_backend' and jsonb_typeof(value -> 'type') = 'string' and value ->> 'type' <> 'Database')
        or exists (select from variable v where v.workspace_id = w.id and v.is_secret and v.value like '$%') as external
      from jsonb_array_elements_text(${JSON.stringify(unknown)}::text::jsonb) as w(id)`
  for (const row of rows) external.set(row.workspace, row.external)
}

/**
 * Called first in every transaction that writes secrets. Holding the key makes a rotation wait for our commit and then
 * re-encrypt our rows; a key that changed since `compile` would make them unreadable (contract: §2.5).
 */
export async function holdKeys(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  const marks = new Map<string, Set<string>>()
  for (const { workspace, guard } of writes) {
    if (guard !== undefined) marks.set(workspace, (marks.get(workspace) ?? new Set()).add(guard))
  }
  if (marks.size === 0) return
  await addKeys(sql, marks, context)
  const found = await sql<{ workspace: string; key: string }[]>`
    select workspace_id as workspace, key
      from workspace_key
     where kind = 'cloud'
       and workspace_id in (select jsonb_array_elements_text(${JSON.stringify([...marks.keys()])}::text::jsonb))
     order by workspace_id
       for share`
  const current = new Map(found.map(row => [row.workspace, markOf(row.key)]))
  for (const [workspace, used] of marks) {
    const mark = current.get(workspace)
    if (mark === undefined) throw keyMissing(workspace)
    if (used.size === 1 && used.has(mark)) continue
    throw new SyncError(
      'WorkspaceKeyChanged',
      `The encryption key of workspace ${workspace} changed while its secrets were being written; the next run tries again.`
    )
  }
}

/** Gives workspaces without a key and without secrets the one that their first secrets were sealed with. */
async function addKeys(sql: Sql, marks: ReadonlyMap<string, ReadonlySet<string>>, context: Context): Promise<void> {
  const { newKeys } = memoryOf(context)
  const lacking = [...marks].flatMap(([workspace, used]) => {
    const key = newKeys.get(workspace)
    return key !== undefined && used.has(markOf(key)) ? [{ workspace, key }] : []
  })
  if (lacking.length === 0) return
  await sql`
    insert into workspace_key (workspace_id, kind, key)
    select n.workspace, 'cloud', n.key
      from jsonb_to_recordset(${JSON.stringify(lacking)}::text::jsonb) as n(workspace text, key text)
     where not exists (select from variable v where v.workspace_id = n.workspace and v.is_secret)
        on conflict do nothing`
}

/** How many secrets of a workspace are tried: a wrong key passes for one text in some hundred by chance (§2.4). */
const SAMPLE = 20

/**
 * Throws when existing secrets show that key and salt are not those of the servers (contract: §2.6). A workspace
 * without secrets proves nothing and passes, as does one whose secrets are elsewhere.
 */
export async function proveKeys(sql: Sql, workspaces: readonly string[], context: Context): Promise<void> {
  if (workspaces.length === 0) return
  const rows = await sql<{ workspace: string; key: string; values: readonly string[] }[]>`
    select w.id as workspace, k.key, s.values
      from jsonb_array_elements_text(${JSON.stringify([...new Set(workspaces)])}::text::jsonb) as w(id)
      join workspace_key k on k.workspace_id = w.id and k.kind = 'cloud'
     cross join lateral (
           select json_agg(v.value) as values
             from (select value from variable
                    where workspace_id = w.id and is_secret and value <> '' and value not like '$%' and account is null
                    order by path
                    limit ${SAMPLE}) v) s
     where s.values is not null
     order by w.id`
  const wrong = rows.filter(({ key, values }) => {
    const cipher = cipherKey(key, context.salt)
    return values.every(value => decrypt(cipher, value) === undefined)
  })
  if (wrong.length === 0) return
  throw new SyncError(
    'WrongEncryptionKey',
    `No existing secret of ${wrong.map(row => row.workspace).join(', ')} can be decrypted; SECRET_SALT must equal that of the Windmill servers (unset if they have none).`
  )
}

const markOf = (key: string): string => createHash('sha256').update('mark\0').update(key).digest('base64url')

const externalBackend = (workspace: string): SyncError =>
  new SyncError(
    'ExternalSecretBackend',
    `Windmill keeps the secrets of workspace ${workspace} in an external secret backend, where only Windmill can write them; set this secret there.`
  )

const keyMissing = (workspace: string): SyncError =>
  new SyncError(
    'WorkspaceKeyMissing',
    `Workspace ${workspace} has secrets but no encryption key any more; restore its row in workspace_key before new secrets are written.`
  )
