/** Parents and dev workspaces: what `deploy_to` became in newer versions (contract: workspaces-and-permissions §2.6). */
import { SyncError } from '../errors.ts'
import type { Capabilities, Context, Sql, Write } from '../model.ts'
import type { WorkspaceFacts } from './workspace-facts.ts'
import { placeOf } from './workspace-fields.ts'
import { invalid } from './workspace-spec.ts'

const DEPLOY_TO = 'settings.deployTo'

export const hasLineage = ({ has }: Capabilities): boolean => has('workspace', 'is_dev_workspace')

/** Where settings.deployTo is the parent, not a column of its own. */
export const isParent = (capabilities: Capabilities): boolean =>
  placeOf('deployTo', capabilities) === undefined && hasLineage(capabilities)

/** The target may be another CR of the same run: what the batch declares counts as there, with the parent it declares. */
export function checkLineage(id: string, target: string, facts: WorkspaceFacts): void {
  if (!facts.workspaces.has(target) && !facts.declared.has(target)) {
    throw new SyncError(
      'ReferenceNotFound',
      `settings.deployTo: workspace ${target} does not exist; declare it with a WindmillWorkspace or create it in Windmill.`
    )
  }
  const chain = [id, target]
  for (let next = parentOf(target, facts); next !== null; next = parentOf(next, facts)) {
    if (chain.includes(next)) {
      throw invalid(`settings.deployTo makes a circle (${[...chain, next].join(' → ')}); remove one of these links.`)
    }
    chain.push(next)
  }
}

function parentOf(id: string, facts: WorkspaceFacts): string | null {
  const wanted = facts.declared.get(id)?.parent
  return wanted === undefined ? (facts.workspaces.get(id)?.parent ?? null) : wanted
}

/** A parent has at most one dev workspace that is not archived (contract, trap 22). */
export function checkUnarchive(id: string, archived: boolean, facts: WorkspaceFacts): void {
  const own = facts.workspaces.get(id)
  if (archived || !own?.deleted || !own.isDev || parentOf(id, facts) !== own.parent) return
  for (const other of facts.workspaces.values()) {
    if (other.id !== id && other.isDev && !other.deleted && other.parent === own.parent) {
      throw invalid(
        `The workspace cannot be unarchived: ${other.id} is the dev workspace of ${other.parent} now; archive that one first.`
      )
    }
  }
}

/**
 * Two statements, because a dev workspace's parent must be a root, and parents of this very batch count. Whoever is no
 * dev workspace becomes a plain child; links that do not change keep their kind.
 */
export async function writeLineage(sql: Sql, writes: readonly Write[], { capabilities }: Context): Promise<void> {
  const wanted = writes.flatMap(({ path, row }) =>
    DEPLOY_TO in row ? [{ id: path, parent: row[DEPLOY_TO] ?? null }] : []
  )
  if (wanted.length === 0 || !isParent(capabilities)) return
  const changed = await sql<{ id: string }[]>`
    update workspace w set parent_workspace_id = j.parent, is_dev_workspace = false
      from jsonb_to_recordset(${JSON.stringify(wanted)}::text::jsonb) as j(id text, parent text)
     where w.id = j.id and w.parent_workspace_id is distinct from j.parent
    returning w.id`
  await sql`
    update workspace w set is_dev_workspace = true
      from (select c.id, row_number() over (partition by p.id order by c.id) as place
              from workspace c join workspace p on p.id = c.parent_workspace_id
             where c.id in (select jsonb_array_elements_text(${JSON.stringify(changed.map(one => one.id))}::text::jsonb))
               and not c.deleted and p.parent_workspace_id is null
               and not exists (select from workspace d
                                where d.parent_workspace_id = p.id and d.is_dev_workspace and not d.deleted)) one
     where w.id = one.id and one.place = 1`
}
