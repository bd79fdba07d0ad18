/** Deploys a batch of scripts in one transaction, in the order of the contract: scripts §4.3, §7. */
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
import { NO_LOCK_JOB } from './script-read.ts'
import { saveSettings } from './script-settings.ts'
import { forgetImports, noteImports, wipeTraces } from './script-side.ts'
import { insertVersions, type NewVersion, newVersion, principalOf, withHashes } from './script-versions.ts'

/** New versions for all that differ; a version that only lacks its job gets that alone. */
export async function deployScripts(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  if (writes.length === 0) return
  await lockPaths(sql, writes)
  const waiting = writes.filter(write => lacksJobOnly(write, context))
  await pushAgain(sql, places(waiting), context)
  const versions = await makeVersions(
    sql,
    writes.filter(write => !waiting.includes(write)),
    context
  )
  if (versions.length === 0) return
  const deployed = places(versions)
  await wipeTraces(sql, deployed, context)
  await saveSettings(
    sql,
    versions.flatMap(one => one.settings),
    context
  )
  await insertVersions(sql, versions, context)
  await deleteDrafts(sql, 'script', deployed, context)
  await forgetImports(sql, deployed)
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
  const people = await findPeople(sql, writes, context)
  const heads = await archiveLive(sql, writes)
  const lineages = await readLineages(sql, writes, heads, context)
  const made = writes.map((write, at) =>
    newVersion(write, lineages.get(targetKey(write.workspace, write.path)) as Lineage, people[at], context)
  )
  return withHashes(sql, made)
}

/** The identity pair of each that states one, looked up again: it must hold at the moment of the deploy (§1.3). */
async function findPeople(
  sql: Sql,
  writes: readonly Write[],
  context: Context
): Promise<readonly (RunAs | undefined)[]> {
  const wanted = writes.flatMap(({ workspace, row }) => {
    const who = row['onBehalfOf']
    return typeof who === 'string' ? [{ workspace, who }] : []
  })
  const found = await findRunAs(sql, wanted, context)
  return writes.map(({ workspace, row }) => {
    const who = row['onBehalfOf']
    return typeof who === 'string' ? runAs(found, workspace, who, 'onBehalfOf') : undefined
  })
}

/** Everything else is as wanted, and the language is one that a worker locks. */
function lacksJobOnly({ op, row, live }: Write, { capabilities }: Context): boolean {
  if (op !== 'update' || live?.['health'] !== NO_LOCK_JOB || !isLocked(String(live['language']), capabilities))
    return false
  return Object.keys(row).every(field => field === 'health' || isSame(field, row, live))
}

const isSame = (field: string, a: Row, b: Row): boolean => canonical(a[field] ?? null) === canonical(b[field] ?? null)

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
  if (!onBehalfOf || !context.capabilities.has('script', 'on_behalf_of')) return [deploy]
  const told = { on_behalf_of: principalOf(onBehalfOf.username), action }
  return [deploy, { ...common, operation: 'scripts.on_behalf_of', parameters: told }]
}
