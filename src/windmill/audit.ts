/** Audit rows, as Windmill's API leaves one per change: contract, workspaces-and-permissions §6. */
import { type AuditEntry, type Context, type Edit, type Listed, type Sql, type Target, targetKey } from '../model.ts'

export interface AuditRecord extends AuditEntry {
  /** '' for a change to the instance as a whole. */
  readonly workspace: string
  /** The CR that the change came from; '' and 0 stand for what is not known. */
  readonly source: Pick<Listed, 'namespace' | 'name' | 'uid' | 'generation'>
}

/** The workspace that Windmill writes for changes to the instance. */
const instance = 'global'

type Table = 'audit' | 'audit_partitioned'

/**
 * Writes the records in one statement and says which table took them. Newer Windmill has a second table whose partition
 * for today may be missing; which of the two it shows is unknown, so the old one is the fallback. A record must never
 * cost the change that it is about: each try has a savepoint of its own, and when none succeeds there is no record.
 */
export async function writeAudit(
  sql: Sql,
  records: readonly AuditRecord[],
  context: Context
): Promise<Table | undefined> {
  if (records.length === 0) return undefined
  const rows = JSON.stringify(records.map(rowOf))
  for (const table of ['audit_partitioned', 'audit'] as const) {
    if (!context.capabilities.has(table, 'operation')) continue
    try {
      await sql.savepoint(inner => insert(inner, table, rows, context))
      return table
    } catch {
      // The data counts more than its record.
    }
  }
  return undefined
}

function rowOf({ workspace, operation, action, resource, parameters, source }: AuditRecord) {
  const { namespace, name, uid, generation } = source
  const from = {
    source: 'kubernetes',
    ...(namespace !== '' && { namespace }),
    ...(name !== '' && { name }),
    ...(uid !== '' && { uid }),
    ...(generation > 0 && { generation })
  }
  return { workspace: workspace || instance, operation, action, resource, parameters: { ...from, ...parameters } }
}

/** Too long a text would abort the statement (trap 18); cut in SQL, where a character is never cut in half. */
async function insert(sql: Sql, table: Table, rows: string, { capabilities, user, email }: Context): Promise<void> {
  const [column, value] = capabilities.has(table, 'email') ? [sql`, email`, sql`, left(${email}, 255)`] : [sql``, sql``]
  await sql`
    insert into ${sql(table)} (workspace_id, username, operation, action_kind, resource, parameters ${column})
    select j->>'workspace', left(${user}, 255), left(j->>'operation', 50), (j->>'action')::action_kind,
           left(j->>'resource', 255), j->'parameters' ${value}
      from jsonb_array_elements(${rows}::text::jsonb) j`
}

/** How far back edits are looked for: the Community Edition keeps 14 days, the Enterprise Edition a year of them. */
const searchedDays = 30

/**
 * The newest recorded edit of each target by anybody; only official images record any (contract: §6). `prefix` is what
 * the operations of the kind begin with; `whole`: any of them counts that has the target's workspace.
 */
export async function auditedEdits(
  sql: Sql,
  targets: readonly Target[],
  { prefix, whole = false }: { readonly prefix: string; readonly whole?: boolean },
  { capabilities }: Context
): Promise<ReadonlyMap<string, Edit>> {
  const newest = new Map<string, Edit>()
  const places = JSON.stringify(targets.map(({ workspace, path }) => ({ workspace, path })))
  for (const table of ['audit', 'audit_partitioned'] as const) {
    if (targets.length === 0 || !capabilities.has(table, 'operation')) continue
    const rows = await sql<(Edit & Pick<Target, 'workspace' | 'path'>)[]>`
      select distinct on (j.workspace, j.path) j.workspace, j.path, a.timestamp as at, a.username as by
        from jsonb_to_recordset(${places}::text::jsonb) as j(workspace text, path text)
        join ${sql(table)} a on a.workspace_id = j.workspace and ${whole ? sql`true` : sql`a.resource = j.path`}
       where a.timestamp > now() - make_interval(days => ${searchedDays}) and a.action_kind <> 'execute'
         and starts_with(a.operation, ${prefix})
       order by j.workspace, j.path, a.timestamp desc`
    for (const { workspace, path, at, by } of rows) {
      const key = targetKey(workspace, path)
      if (at.getTime() >= (newest.get(key)?.at.getTime() ?? 0)) newest.set(key, { at, by })
    }
  }
  return newest
}
