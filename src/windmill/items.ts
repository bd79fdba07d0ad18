/** What still lives below a folder or names a group, over all tables that hold items. */
import { type Context, type Sql, targetKey } from '../model.ts'

export interface Place {
  readonly workspace: string
  /** `f/<folder>` or `g/<group>`. */
  readonly root: string
}

/** What people call the rows of a table; archived scripts and flows do not count. */
const nouns: Readonly<Record<string, string>> = {
  script: 'scripts',
  flow: 'flows',
  app: 'apps',
  raw_app: 'raw apps',
  resource: 'resources',
  variable: 'variables',
  schedule: 'schedules',
  http_trigger: 'triggers',
  websocket_trigger: 'triggers',
  kafka_trigger: 'triggers',
  nats_trigger: 'triggers',
  postgres_trigger: 'triggers',
  mqtt_trigger: 'triggers',
  sqs_trigger: 'triggers',
  gcp_trigger: 'triggers',
  azure_trigger: 'triggers',
  email_trigger: 'triggers'
}

type Found = ReadonlyMap<string, readonly string[]>

/**
 * Nouns of the items whose path begins with a place, by `targetKey(workspace, root)`. One scan per table, whatever the
 * number of places; segments are compared, so `_` is no wildcard (contract: workspaces-and-permissions §3).
 */
export async function itemsBelow(sql: Sql, places: readonly Place[], { capabilities }: Context): Promise<Found> {
  const tables = Object.keys(nouns).filter(table => capabilities.has(table, 'path'))
  return search(sql, places, tables, table => {
    const live = table === 'script' || table === 'flow' ? sql`where not t.archived` : sql``
    return sql`
      select ${table}::text as kind, t.workspace_id::text as workspace,
             split_part(t.path, '/', 1) || '/' || split_part(t.path, '/', 2) as root from ${sql(table)} t ${live}`
  })
}

/** Nouns of the items and folders that grant something to a group, by `targetKey(workspace, root)`. */
export async function grantsTo(sql: Sql, places: readonly Place[], { capabilities }: Context): Promise<Found> {
  const tables = Object.keys(nouns).filter(table => capabilities.has(table, 'extra_perms'))
  const granted = sql`jsonb_object_keys(case jsonb_typeof(t.extra_perms) when 'object' then t.extra_perms else '{}' end)`
  return search(sql, places, [...tables, 'folder'], table => {
    const live = table === 'script' || table === 'flow' ? sql`and not t.archived` : sql``
    const owners = sql`union all select 'folder', t.workspace_id::text, unnest(t.owners)::text from folder t`
    return sql`
      select ${table}::text as kind, t.workspace_id::text as workspace, ${granted} as root
        from ${sql(table)} t where t.extra_perms <> '{}' ${live} ${table === 'folder' ? owners : sql``}`
  })
}

/** Which of the places turn up in the tables; `part` gives kind, workspace and root of a table's rows. */
async function search(
  sql: Sql,
  places: readonly Place[],
  tables: readonly string[],
  part: (table: string) => ReturnType<Sql>
): Promise<Found> {
  const found = new Map<string, string[]>()
  if (places.length === 0 || tables.length === 0) return found
  const parts = tables.map(part)
  const rows = parts.slice(1).reduce((all, one) => sql`${all} union all ${one}`, parts[0] as ReturnType<Sql>)
  const hits = await sql<{ kind: string; workspace: string; root: string }[]>`
    select distinct r.kind, r.workspace, r.root from (${rows}) r
      join jsonb_array_elements(${JSON.stringify(places)}::text::jsonb) j
        on j->>'workspace' = r.workspace and j->>'root' = r.root`
  for (const { kind, workspace, root } of hits) {
    const key = targetKey(workspace, root)
    found.set(key, [...new Set([...(found.get(key) ?? []), nouns[kind] ?? 'folders'])].sort())
  }
  return found
}
