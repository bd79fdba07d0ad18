/** Windmill's editions: several fields only mean something in the enterprise edition. */
import type { Sql } from '../model.ts'

/** An instance with a licence key. A key given to the servers by other means than the settings is not seen. */
export async function isEnterprise(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ licensed: boolean }[]>`
    select exists (select from global_settings
                    where name = 'license_key' and jsonb_typeof(value) = 'string' and value <> '""') as licensed`
  return row?.licensed ?? false
}

/** One sentence about stated fields that have no effect without a licence; undefined when there is none of them. */
export function enterpriseNote(fields: readonly string[]): string | undefined {
  if (fields.length === 0) return undefined
  return `${fields.join(', ')}: ${fields.length === 1 ? 'has' : 'have'} an effect in Windmill's enterprise edition only.`
}
