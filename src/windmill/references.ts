/** Who refers to a variable or resource: Windmill stores references as whole texts inside resources (contract: §3.1). */
import type { Removal, Sql } from '../model.ts'
import { targetKey } from '../model.ts'

/** A text that stands for a target, such as `$var:f/a/b`. */
export interface Reference {
  readonly workspace: string
  readonly text: string
  /** Path of the removal that the text stands for. */
  readonly path: string
}

interface Edge {
  readonly workspace: string
  /** Path of the resource that refers. */
  readonly from: string
  readonly text: string
}

/** One pass over the resources of the workspaces, however many texts are asked for. */
async function edgesTo(sql: Sql, references: readonly Omit<Reference, 'path'>[]): Promise<readonly Edge[]> {
  return sql<Edge[]>`
    with wanted as (
         select distinct w.workspace, w.text
           from jsonb_to_recordset(${JSON.stringify(references)}::text::jsonb) as w(workspace text, text text))
    select distinct r.workspace_id as workspace, r.path as "from", s.text
      from resource r
     cross join lateral (
           select found #>> '{}' as text
             from jsonb_path_query(r.value, 'strict $.** ? (@ starts with "$")', '{}', true) as found) s
      join wanted w on w.workspace = r.workspace_id and w.text = s.text
     where r.workspace_id in (select workspace from wanted)
     order by 1, 2, 3`
}

/** Those of the variables that no resource refers to. */
export async function unreferenced<T extends { readonly workspace: string; readonly path: string }>(
  sql: Sql,
  variables: readonly T[]
): Promise<readonly T[]> {
  const edges = await edgesTo(
    sql,
    variables.map(({ workspace, path }) => ({ workspace, text: `$var:${path}` }))
  )
  const named = new Set(edges.map(edge => targetKey(edge.workspace, edge.text)))
  return variables.filter(({ workspace, path }) => !named.has(targetKey(workspace, `$var:${path}`)))
}

/**
 * Why targets must stay, by target key. A resource that is itself removed in the same breath holds nobody back,
 * unless it has to stay.
 */
export async function heldBack(
  sql: Sql,
  references: readonly Reference[],
  removedResources: readonly Pick<Removal, 'workspace' | 'path'>[]
): Promise<ReadonlyMap<string, string>> {
  const blocked = new Map<string, string>()
  if (references.length === 0) return blocked
  const edges = await edgesTo(sql, references)
  const targets = new Map<string, string[]>()
  for (const { workspace, text, path } of references) {
    const key = targetKey(workspace, text)
    targets.set(key, [...(targets.get(key) ?? []), path])
  }
  const going = new Set(removedResources.map(one => targetKey(one.workspace, one.path)))
  for (let found = true; found; ) {
    found = false
    for (const { workspace, from, text } of edges) {
      const referrer = targetKey(workspace, from)
      if (going.has(referrer) && !blocked.has(referrer)) continue
      for (const path of targets.get(targetKey(workspace, text)) ?? []) {
        const target = targetKey(workspace, path)
        if (blocked.has(target) || target === referrer) continue
        blocked.set(target, `Resource ${from} still refers to it (${text}); change that first.`)
        found = true
      }
    }
  }
  return blocked
}
