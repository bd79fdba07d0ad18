/** Deploys a batch of scripts in one transaction, in the order of the contract: scripts §4.3, §7. */
import { isObjectError } from '../errors.ts'
import { canonical } from '../fingerprint.ts'
import { type Context, type Row, type Sql, targetKey, type Write } from '../model.ts'
import { type AuditRecord, writeAudit } from './audit.ts'
import { deleteDrafts } from './drafts.ts'
import { findRunAs, type RunAs, runAs } from './run-as.ts'
import { rearmSchedulesOf } from './schedule-arming.ts'
import { hexOfHash } from './script-hash.ts'
import { type Lockable, pushAgain, pushLockJobs, relockImporters } from './script-jobs.ts'
import { archiveLive, type Lineage, lockPaths, type Place, readLineages } from './script-lineage.ts'
import { isLocked } from './script-locks.ts'
import { NO_LOCK_JOB, TWO_LIVE } from './script-read.ts'
import { saveSettings } from './script-settings.ts'
import { forgetImports, noteImports, wipeTraces } from './script-side.ts'
import { archiveSurplus } from './script-surplus.ts'
import { insertVersions, type NewVersion, newVersion, principalOf, withHashes } from './script-versions.ts'
import { inOneGo } from './statements.ts'

/** New versions for all that differ; a version that only lacks its job gets that alone. */
export async function deployScripts(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  if (writes.length === 0) return
  await lockPaths(sql, writes)
  const waiting = writes.filter(write => lacksJobOnly(write, context))
  await pushAgain(sql, places(waiting), context)
  const doubled = writes.filter(write => isDoubledOnly(write))
  await archiveSurplus(sql, doubled, context)
  const versions = await makeVersions(
    sql,
    writes.filter(write => !waiting.includes(write) && !doubled.includes(write)),
    context
  )
  if (versions.length === 0) return
  const deployed = places(versions)
  const settings = versions.flatMap(one => one.settings)
  await inOneGo([
    wipeTraces(sql, deployed, context),
    saveSettings(sql, settings, context),
    deleteDrafts(sql, 'script', deployed, context),
    forgetImports(sql, deployed)
  ])
  await insertVersions(sql, versions, context)
  await noteImports(
    sql,
    versions.filter(one => !needsJob(one, context)),
    context
  )
  await writeAudit(
    sql,
    versions.flatMap(one => auditOf(one, context)),
    context
  )
  await pushLockJobs(sql, versions.filter(one => needsJob(one, context)).map(lockable), context)
  const settled = versions.filter(one => !needsJob(one, context) && hasNewCode(one.write))
  await relockImporters(sql, places(settled), deployed, context)
  await rearmSchedulesOf(
    sql,
    deployed.map(one => ({ ...one, isFlow: false })),
    context
  )
}

const places = (all: readonly Place[]): readonly Place[] => all.map(({ workspace, path }) => ({ workspace, path }))

async function makeVersions(sql: Sql, writes: readonly Write[], context: Context): Promise<readonly NewVersion[]> {
  if (writes.length === 0) return []
  const heads = await archiveLive(sql, writes)
  const lineages = await readLineages(sql, writes, heads, context)
  const paired = writes.map(write => ({
    write,
    lineage: lineages.get(targetKey(write.workspace, write.path)) as Lineage
  }))
  const people = await findPeople(sql, paired, context)
  return withHashes(
    sql,
    paired.map(({ write, lineage }, at) => newVersion(write, lineage, people[at], context))
  )
}

interface Paired {
  readonly write: Write
  readonly lineage: Lineage
}

/**
 * Whom each version acts for, looked up at the moment of the deploy (§1.3): whom the CR names, else the one whom the
 * version before acted for, provided that this namespace could have named that user. Otherwise nobody: code of a CR
 * must not take over the rights of somebody whom its author may not act as.
 */
async function findPeople(
  sql: Sql,
  paired: readonly Paired[],
  context: Context
): Promise<readonly (RunAs | undefined)[]> {
  const wanted = paired.flatMap(({ write, lineage }) => {
    const who = personOf(write.row, lineage)
    return who === undefined ? [] : [{ workspace: write.workspace, who }]
  })
  const found = await findRunAs(sql, wanted, context)
  return paired.map(({ write, lineage }) => {
    const who = personOf(write.row, lineage)
    if (who === undefined) return undefined
    try {
      return runAs(found, write, who, 'onBehalfOf')
    } catch (error) {
      if (typeof write.row['onBehalfOf'] === 'string' || !isObjectError(error)) throw error
      return undefined
    }
  })
}

function personOf({ onBehalfOf }: Row, { before }: Lineage): string | undefined {
  if (onBehalfOf !== undefined) return typeof onBehalfOf === 'string' ? onBehalfOf : undefined
  const { on_behalf_of_email: email, on_behalf_of: principal, created_by: author } = before?.columns ?? {}
  return email == null ? undefined : (principal ?? author ?? undefined)
}

/** Everything else is as wanted, and the language is one that a worker locks. */
function lacksJobOnly({ op, row, live }: Pick<Write, 'op' | 'row' | 'live'>, { capabilities }: Context): boolean {
  if (op !== 'update' || live?.['health'] !== NO_LOCK_JOB || !isLocked(live['language'] as string, capabilities))
    return false
  return isOtherwiseSame(row, live)
}

/** The newest version is as wanted; older ones are live beside it. */
const isDoubledOnly = ({ op, row, live }: Write): boolean =>
  op === 'update' && live?.['health'] === TWO_LIVE && isOtherwiseSame(row, live)

const isOtherwiseSame = (row: Row, live: Row): boolean =>
  Object.keys(row).every(field => field === 'health' || isSame(field, row, live))

const isSame = (field: string, a: Row, b: Row): boolean => canonical(a[field] ?? null) === canonical(b[field] ?? null)

/** Whether a deploy leaves the lock to a worker. */
export function queuesLockJob(write: Pick<Write, 'op' | 'row' | 'live'>, { capabilities }: Context): boolean {
  const { language, lock } = write.row
  return isLocked(language as string, capabilities) && (typeof lock !== 'string' || lock === '')
}

/** Newer Windmill runs the job for dedicated workers too, which it makes start again (§3.1). */
function needsJob(version: Pick<NewVersion, 'lock' | 'columns'>, { capabilities }: Context): boolean {
  if (version.lock === null) return true
  return capabilities.has('script', 'runnable_settings_handle') && version.columns['dedicated_worker'] === 'true'
}

/** Who imports a script has to do with its code and its lock alone. */
const hasNewCode = ({ row, live }: Write): boolean =>
  !live || ['content', 'language', 'lock'].some(field => field in row && !isSame(field, row, live))

const lockable = ({ workspace, path, hash, language, lineage, columns }: NewVersion): Lockable => ({
  workspace,
  path,
  hash,
  language,
  tag: columns['tag'] ?? null,
  dedicated: columns['dedicated_worker'] === 'true',
  follows: lineage.parent !== undefined
})

function auditOf(version: NewVersion, context: Context): readonly AuditRecord[] {
  const { workspace, path, hash, lineage, write, onBehalfOf } = version
  const action = lineage.parent ? 'update' : 'create'
  const common = { workspace, action, resource: path, source: write.listed } as const
  const parameters = { ...(action === 'create' && { workspace }), hash: hexOfHash(hash) }
  const deploy: AuditRecord = { ...common, operation: `scripts.${action}`, parameters }
  const isStated = typeof write.row['onBehalfOf'] === 'string'
  if (!onBehalfOf || !isStated || !context.capabilities.has('script', 'on_behalf_of')) return [deploy]
  const told = { on_behalf_of: principalOf(onBehalfOf.username), action }
  return [deploy, { ...common, operation: 'scripts.on_behalf_of', parameters: told }]
}
