/** Audit rows, as Windmill's API leaves one per change: contract, workspaces-and-permissions §6. */
import type { AuditEntry, Context, Listed, Sql } from '../model.ts'

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
