/** Looks at rows and ledger, and compares them with what the model expects. */
import { isPaused, type Outcome } from './model.ts'
import { CLUSTER, type Stage, things } from './stage.ts'
import { type Claim, type Fields, keyOf, type World } from './words.ts'

export async function lookAtRows(stage: Stage): Promise<ReadonlyMap<string, Fields>> {
  const rows = new Map<string, Fields>()
  const all = await Promise.all(things.map(async thing => [thing, await thing.look(stage)] as const))
  for (const [{ kind }, found] of all) {
    for (const [path, fields] of found) {
      const key = keyOf(kind, path)
      if (rows.has(key)) throw new Error(`${key} is there twice`)
      rows.set(key, fields)
    }
  }
  return rows
}

interface Entry {
  readonly kind: string
  readonly path: string
  readonly cluster: string
  readonly namespace: string
  readonly name: string | null
  readonly state: string
  readonly base: string | null
  readonly deletion: string
  readonly conflict: string | null
}

/** What the ledger says of targets; `base` is opaque there, so it comes from what is known of the digest. */
export async function lookAtClaims(
  { sql }: Stage,
  known: readonly ReadonlyMap<string, Claim>[]
): Promise<ReadonlyMap<string, Claim>> {
  const [there] = await sql`select to_regclass('windmill_iac.object') is not null as there`
  if (!there?.['there']) return new Map()
  const entries = await sql<Entry[]>`
    select substr(kind, 9) as kind, path, cluster, namespace, name, state, base, deletion_policy as deletion, conflict_policy as conflict
      from windmill_iac.object where path is not null`
  return new Map(
    entries.map(one => {
      const key = keyOf(one.kind, one.path)
      const digest = one.base ?? ''
      const same = known.map(claims => claims.get(key)).find(claim => claim?.digest === digest)
      const fresh = known.map(claims => claims.get(key)).find(claim => claim?.digest === '')
      const claim: Claim = {
        owner: one.name === null ? '' : `${one.kind} ${one.namespace}/${one.name}`,
        namespace: one.namespace,
        isOther: one.cluster !== CLUSTER,
        isReleased: one.state === 'Released',
        base: (same ?? fresh)?.base ?? {},
        digest,
        deletion: one.deletion,
        conflict: one.conflict ?? ''
      }
      return [key, claim] as const
    })
  )
}

const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

/** What is said of the part that the model fixes: defaults of new rows are not its business. */
export const agrees = (found: Fields | undefined, wanted: Fields | undefined): boolean =>
  found === undefined || wanted === undefined
    ? found === wanted
    : Object.entries(wanted).every(([field, value]) => (found[field] ?? '') === value)

export function rowFaults(found: ReadonlyMap<string, Fields>, wanted: ReadonlyMap<string, Fields>): readonly string[] {
  return [...new Set([...found.keys(), ...wanted.keys()])].flatMap(key =>
    agrees(found.get(key), wanted.get(key))
      ? []
      : [`row ${key}: is ${shown(found.get(key))}, must be ${shown(wanted.get(key))}`]
  )
}

type Claims = ReadonlyMap<string, Claim>

export function claimFaults(found: Claims, wanted: Claims, before: Claims): readonly string[] {
  const gist = (claim: Claim | undefined): string =>
    claim === undefined
      ? 'nothing'
      : claim.isReleased
        ? 'released'
        : claim.isOther
          ? 'another cluster'
          : [claim.owner || 'nobody', claim.deletion, claim.conflict].join(', ')
  return [...new Set([...found.keys(), ...wanted.keys()])].flatMap(key => {
    const [is, must] = [gist(found.get(key)), gist(wanted.get(key))]
    const said = is === must ? [] : [`ledger ${key}: says ${is}, must say ${must}`]
    return [...said, ...baseFaults(key, found.get(key), wanted.get(key), before.get(key))]
  })
}

/** What was applied last is remembered anew exactly when the rules say so. */
function baseFaults(key: string, found?: Claim, wanted?: Claim, before?: Claim): readonly string[] {
  if (!found || !wanted || found.isReleased || found.isOther) return []
  if (wanted.digest !== '' && wanted.digest !== found.digest) return [`ledger ${key}: forgot what was applied last`]
  const isOld = wanted.digest === '' && found.digest === before?.digest
  return isOld && JSON.stringify(sorted(before.base)) !== JSON.stringify(sorted(wanted.base))
    ? [`ledger ${key}: remembers ${shown(before.base)} as applied, not ${shown(wanted.base)}`]
    : []
}

const sorted = (fields: Fields): unknown => Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))

/** States that the cluster was told. */
export function stateFaults(stage: Stage, world: World, { states }: Outcome): readonly string[] {
  return [...world.crs.keys()].flatMap(name => {
    const [is, must] = [stage.statuses.get(name)?.state, states.get(name)]
    const reason = stage.statuses.get(name)
    return must === undefined || is === must
      ? []
      : [`status of ${name}: is ${is} (${reason?.reason}: ${reason?.message}), must be ${must}`]
  })
}

/** Duties that hold whatever was done before. */
export async function dutyFaults(
  { sql, statuses }: Stage,
  rows: ReadonlyMap<string, Fields>,
  world: World
): Promise<readonly string[]> {
  const versions = await sql<{ path: string }[]>`
    select path from script where workspace_id = 'demo' and not archived group by path having count(*) > 1`
  const jobless = await sql<{ path: string }[]>`
    select path from script s where workspace_id = 'demo' and not archived and lock is null and lock_error_logs is null
       and not exists (select from v2_job j join v2_job_queue q using (id)
                        where j.workspace_id = 'demo' and j.kind = 'dependencies' and j.runnable_id = s.hash)`
  const armed = await sql<{ path: string; jobs: number; pinned: boolean }[]>`
    select s.path, count(q.id)::int as jobs, coalesce(bool_and(j.runnable_path = s.script_path and j.runnable_id = case when s.is_flow
             then (select versions[array_upper(versions, 1)] from flow f where f.workspace_id = 'demo' and f.path = s.script_path)
             else (select hash from script c where c.workspace_id = 'demo' and c.path = s.script_path and not archived) end) filter (where q.id is not null), true) as pinned
      from schedule s
      left join (v2_job j join v2_job_queue q on q.id = j.id) on j.trigger = s.path and j.trigger_kind = 'schedule' and j.workspace_id = 'demo'
     where s.workspace_id = 'demo' and s.path not like 'f/foreign/%' group by s.path, s.script_path, s.is_flow`
  // A CR that is in Error or paused leaves its row as it is, whatever that is.
  const ours = new Set(
    [...world.claims]
      .filter(([, { owner }]) => statuses.get(owner)?.state === 'Synced' && !isPaused(world.crs.get(owner)))
      .map(([key]) => key)
  )
  return [
    ...versions.map(({ path }) => `script ${path} has two live versions`),
    ...jobless
      .filter(({ path }) => ours.has(`Script ${path}`))
      .map(({ path }) => `script ${path} waits for a lock that nobody makes`),
    ...armed.flatMap(({ path, jobs, pinned }) => {
      const row = rows.get(`Schedule ${path}`) ?? {}
      if (!ours.has(`Schedule ${path}`) || isStranded(row, rows)) return []
      const must = row['enabled'] === 'true' ? 1 : 0
      if (jobs !== must) return [`schedule ${path} has ${jobs} jobs, must have ${must}`]
      return pinned ? [] : [`the job of schedule ${path} starts an old version`]
    })
  ]
}

/** Starts something that is not there: nobody can arm it. */
function isStranded({ target = '' }: Fields, rows: ReadonlyMap<string, Fields>): boolean {
  const [noun = '', path = ''] = target.split(' ')
  const row = rows.get(keyOf(noun === 'flow' ? 'Flow' : 'Script', path))
  return row === undefined || row['archived'] === 'true'
}
