/** Makes the service identity valid in the workspaces that this run writes to, once each. */
import type { Refused } from './admit.ts'
import type { Decided } from './compare.ts'
import { withRetries } from './database/failures.ts'
import { SyncError } from './errors.ts'
import type { AnyKind } from './model.ts'
import type { Session } from './session.ts'
import { writeAudit } from './windmill/audit.ts'
import { ensureIdentity, inspectIdentity } from './windmill/identity.ts'

/** Looks at workspaces not looked at yet, and repairs what is missing (not in a plan). */
export async function ensureIdentities(session: Session, workspaces: Iterable<string>): Promise<void> {
  const unknown = [...new Set(workspaces)].filter(one => session.workspaces.has(one) && !session.identities.has(one))
  if (unknown.length === 0) return
  const found = await session.database.read(sql => inspectIdentity(sql, unknown, session.context))
  for (const workspace of unknown) session.identities.set(workspace, found.conflicts.get(workspace) ?? '')
  const lacking = found.lacking.filter(one => !found.conflicts.has(one))
  if (session.dry || lacking.length === 0) return
  await withRetries(
    () =>
      session.database.write(async sql => {
        const entries = await ensureIdentity(sql, lacking, session.context)
        const source = { namespace: '', name: 'windmill-iac', uid: '', generation: 0 }
        await writeAudit(
          sql,
          entries.map(entry => ({ ...entry, source })),
          session.context
        )
      }),
    { signal: session.signal }
  )
  session.written.count += lacking.length
  session.log.info('service identity added', { workspaces: lacking })
}

/** Splits a batch: what may be written, and what may not because its workspace has a problem with the identity. */
export async function settleIdentities(
  session: Session,
  kind: AnyKind,
  decided: readonly Decided[]
): Promise<{ ready: readonly Decided[]; blocked: readonly Refused[] }> {
  if (kind.inWorkspace === false) return { ready: decided, blocked: [] }
  const writing = decided.filter(one => one.decision.write).map(one => one.admitted.input.workspace)
  await ensureIdentities(session, writing)
  const problem = (one: Decided): string | undefined =>
    (one.decision.write && session.identities.get(one.admitted.input.workspace)) || undefined
  const blocked = decided.flatMap(one => {
    const message = problem(one)
    const { listed, workspace, path } = one.admitted.input
    return message ? [{ listed, workspace, path, error: new SyncError('IdentityConflict', message) }] : []
  })
  return { ready: decided.filter(one => !problem(one)), blocked }
}
