/** What was really deleted in the last 30 days: manifests that the prune stage kept, back to rows. */
import { parse } from 'yaml'
import { SyncError } from './errors.ts'
import { ENCRYPTED } from './manifest.ts'
import type { Kind, Row, Sql } from './model.ts'

/** A row that is gone. */
export interface Kept {
  readonly id: string
  readonly workspace: string
  readonly path: string
  /** Of the CR that made it. */
  readonly name: string | null
  readonly namespace: string | null
  readonly row: Row
}

interface Stored extends Omit<Kept, 'row'> {
  readonly manifest: string
}

/** Throws LedgerMissing where nothing was ever kept. */
export async function requireKept(sql: Sql): Promise<void> {
  const [found] = await sql<{ present: boolean }[]>`select to_regclass('windmill_iac.deleted') is not null as present`
  if (found?.present) return
  throw new SyncError('LedgerMissing', 'There is no ledger windmill_iac in this database, so nothing was kept.')
}

/** Which deletions there are of a kind: the newest of each place. */
export async function listKept(
  sql: Sql,
  kind: string,
  workspaces: readonly string[]
): Promise<readonly { id: string; workspace: string; path: string }[]> {
  return sql<{ id: string; workspace: string; path: string }[]>`
    select distinct on (workspace collate "C", path collate "C") id, workspace, path
      from windmill_iac.deleted
     where kind = ${kind} and deleted_at > now() - interval '30 days'
       and workspace in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
     order by workspace collate "C", path collate "C", id desc`
}

export async function readKept(sql: Sql, kind: Kind, ids: readonly string[]): Promise<readonly Kept[]> {
  const rows = await sql<Stored[]>`
    select d.id, d.workspace, d.path, d.name, d.namespace, d.manifest
      from windmill_iac.deleted d
     where d.id in (select jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb)::bigint)
     order by d.workspace collate "C", d.path collate "C"`
  return rows.map(({ manifest, ...kept }) => ({ ...kept, row: rowOf(kind, manifest) }))
}

/** The fields of the spec are those of the row; secret ones stand in the annotation. */
function rowOf(kind: Kind, manifest: string): Row {
  const { metadata, spec } = parse(manifest) as {
    readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
    readonly spec: Record<string, Row[string]>
  }
  const { workspace: _, [kind.pathField ?? 'path']: __, ...fields } = spec
  const sealed = metadata.annotations?.[ENCRYPTED]
  return { ...fields, ...(sealed !== undefined && (JSON.parse(sealed) as Row)) }
}
