/** Variables as manifests: secrets by reference, and those of a resource left to its manifest. */
import { type Context, type Exported, type Exporting, type Sql, targetKey } from '../model.ts'
import { resourcesStating } from './resource-export.ts'

/**
 * Texts of jobs that expire, and what the Slack connect flow made, are Windmill's own (contract:
 * variables-and-resources §3.4, trap 22).
 */
export async function listVariables(sql: Sql, workspaces: readonly string[], { capabilities }: Context) {
  const lasting = capabilities.has('variable', 'expires_at') ? sql`expires_at is null` : sql`true`
  return sql<{ workspace: string; path: string; own: boolean }[]>`
    select workspace_id as workspace, path, starts_with(path, 'f/slack_bot/') as own
      from variable
     where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
       and ${lasting} and path not like 'u/%/secret\\_arg/%'
     order by workspace_id, path collate "C"`
}

export async function exportVariables(sql: Sql, rows: readonly Exporting[]): Promise<readonly Exported[]> {
  const secret = rows.filter(one => one.live && one.row['isSecret'] === true)
  const stating = await resourcesStating(sql, secret)
  return rows.map(one => {
    const resource = stating.get(targetKey(one.workspace, one.path))
    if (resource === undefined) return exportOne(one)
    return { leave: `The manifest of resource ${resource} states this variable.`, loss: false }
  })
}

function exportOne({ row, secret }: Exporting): Exported {
  const { labels } = row
  const description = row['description'] || null
  const value = typeof row['value'] === 'string' ? row['value'] : ''
  if (row['isSecret'] !== true) return { spec: { value, description, labels } }
  if (value === '') {
    return { leave: 'The variable is secret and holds no ciphertext; save it once in Windmill.', loss: true }
  }
  return {
    spec: { description, labels, valueFrom: { secretKeyRef: { name: secret, key: 'value' } } },
    secrets: [{ key: 'value', ciphertext: value, field: 'value' }]
  }
}
