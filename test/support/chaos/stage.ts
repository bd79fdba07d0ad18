/** A database with a workspace, foreign rows and a source of CRs, and whole runs over them in this process. */
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { readConfig } from '../../../src/config.ts'
import { annotationWarnings, loadCrds } from '../../../src/crd.ts'
import { connect, type Database } from '../../../src/database/client.ts'
import { inspect } from '../../../src/database/guard.ts'
import { SyncError } from '../../../src/errors.ts'
import { loadKindFiles } from '../../../src/kind-files.ts'
import { silent } from '../../../src/log.ts'
import type { AnyKind, Listed, Source, Status } from '../../../src/model.ts'
import { checkKinds } from '../../../src/registry.ts'
import type { Report } from '../../../src/report.ts'
import { Roster } from '../../../src/roster.ts'
import { run } from '../../../src/run.ts'
import { plain, withDatabase } from '../database.ts'
import { projectFolder, runMain, withManifests } from '../job.ts'
import type { Release } from '../windmill.ts'
import { codeThings } from './things-code.ts'
import { plainThings, workspaceKey } from './things-plain.ts'
import { schedule } from './things-schedule.ts'
import type { Cr, Fields, Scope, Table, Thing, World } from './words.ts'

export const CLUSTER = 'chaos'
/** In the order of waves. */
export const things: readonly Thing[] = [...plainThings, ...codeThings, schedule]
export function thingOf(kind: string): Thing {
  const found = things.find(one => one.kind === kind)
  if (!found) throw new Error(`there is no kind ${kind}`)
  return found
}

export interface Stage extends Table {
  readonly release: Release
  readonly url: string
  /** Statuses as they were patched last. */
  readonly statuses: Map<string, Status>
}

export const withStage = (release: Release, body: (stage: Stage) => Promise<void>): Promise<void> =>
  withDatabase(release, async ({ url }) => {
    // A single connection: what it counts as written is told before anybody asks.
    const sql = plain(url, { max: 1 })
    await furnish(sql)
    const columns = await sql<{ name: string }[]>`
      select table_name || '.' || column_name as name from information_schema.columns where table_schema = 'public'`
    const known = new Set(columns.map(one => one.name))
    const has = (table: string, column: string): boolean => known.has(`${table}.${column}`)
    const stage = { release, url, sql, has, statuses: new Map<string, Status>() }
    await addForeign(stage)
    try {
      await body(stage)
    } finally {
      await sql.end({ timeout: 1 })
    }
  })

async function furnish(sql: postgres.Sql): Promise<void> {
  await sql`insert into workspace (id, name, owner) values ('demo', 'demo', 'admin@windmill.dev')`
  await sql`insert into workspace_settings (workspace_id) values ('demo')`
  await sql`insert into workspace_key (workspace_id, kind, key) values ('demo', 'cloud', ${workspaceKey})`
  await sql`insert into group_ (workspace_id, name) values ('demo', 'all')`
  for (const name of ['alice', 'bob', 'carol']) {
    await sql`insert into usr (workspace_id, username, email) values ('demo', ${name}, ${`${name}@example.com`})`
  }
}

/** Rows that no CR ever stands for, one of each kind, and what only the foreign schedule starts. */
async function addForeign(stage: Stage): Promise<void> {
  for (const thing of things.filter(one => !one.isKept)) {
    const path = thing.paths[0]?.startsWith('f/') ? `f/foreign/${thing.kind.toLowerCase()}` : foreignNames[thing.kind]
    await thing.create(stage, path ?? '', foreignFields[thing.kind] ?? {})
  }
}

const foreignFields: Readonly<Record<string, Fields>> = {
  Resource: { resourceType: 'c_foreign' },
  Schedule: { target: 'script f/foreign/script' }
}
const foreignNames: Fields = { Folder: 'foreign', Group: 'foreign', ResourceType: 'c_foreign' }

/** All that is foreign, byte for byte and with its row versions. */
export async function foreignRows({ sql }: Stage): Promise<string> {
  const rows = await sql`
    select 'folder', x.xmin::text || x::text as row from folder x where name = 'foreign'
    union all select 'group', x.xmin::text || x::text from group_ x where name in ('foreign', 'all') and workspace_id = 'demo'
    union all select 'type', x.xmin::text || x::text from resource_type x where name = 'c_foreign'
    union all select 'variable', x.xmin::text || x::text from variable x where path like 'f/foreign/%'
    union all select 'resource', x.xmin::text || x::text from resource x where path like 'f/foreign/%'
    union all select 'script', x.xmin::text || x::text from script x where path like 'f/foreign/%'
    union all select 'flow', x.xmin::text || x::text from flow x where path like 'f/foreign/%'
    union all select 'flow', x.xmin::text || x::text from flow_version x where path like 'f/foreign/%'
    union all select 'app', x.xmin::text || x::text from app x where path like 'f/foreign/%'
    union all select 'schedule', x.xmin::text || x::text from schedule x where path like 'f/foreign/%'
    union all select 'job', x.xmin::text || x::text from v2_job x where trigger like 'f/foreign/%'
    union all select 'queue', q.xmin::text || q::text from v2_job_queue q join v2_job x using (id) where trigger like 'f/foreign/%'
    union all select 'usr', x.xmin::text || x::text from usr x where username in ('alice', 'bob', 'carol')
    order by 1, 2`
  return rows.map(row => JSON.stringify(row)).join('\n')
}

let kinds: Promise<readonly AnyKind[]> | undefined
const crds = loadCrds(`${projectFolder}/crds`)
const checks = { validate: crds.validator, warnings: annotationWarnings }

/** What goes wrong in the middle of a run. */
export interface Mishap {
  readonly kind: 'abort' | 'cut' | 'cut-all' | 'kill'
  /** At which of the write transactions, or at how many entries of the ledger. */
  readonly at: number
}

/** How a run goes. */
export interface Manner {
  readonly batchSize: number
  readonly scope: Scope
  readonly mishap?: Mishap | undefined
}

function settingsOf(stage: Stage, { settings }: World, { batchSize, scope }: Manner) {
  const { conflict, deletion, adopt } = settings
  const argv = ['--conflict-policy', conflict, '--deletion-policy', deletion]
  if (!scope.isGuarded) argv.push('--max-deletes', '100%')
  if (scope.namespace !== '') argv.push('--watch-namespaces', scope.namespace)
  if (scope.kind !== '') argv.push('--kinds', scope.kind)
  if (adopt !== '') argv.push('--adopt', adopt)
  argv.push('--batch-size', String(batchSize), '--cluster-id', CLUSTER)
  return { argv, environment: { DATABASE_URL: stage.url } }
}

/** A whole run; a mishap ends it somewhere, or is survived. Throws what the command would exit with. */
export async function runOnce(stage: Stage, world: World, manner: Manner): Promise<Report> {
  kinds ??= loadKindFiles().then(checkKinds)
  const all = await kinds
  const { scope, mishap } = manner
  const { argv, environment } = settingsOf(stage, world, manner)
  const config = readConfig(argv, environment)
  const stop = new AbortController()
  const opened = await connect(stage.url, { max: 2, applicationName: 'windmill-iac chaos' })
  try {
    const lock = await opened.lock(0, 20_000)
    const footing = await inspect(opened, all, { writes: true })
    const database = mishap ? troubled(opened, mishap, { stop, stage }) : opened
    const signal = AbortSignal.any([stop.signal, lock.signal])
    const source = sourceOf(stage, world, scope)
    return await run(config, { source, database, kinds: all, checks: async () => checks, log: silent, signal }, footing)
  } finally {
    await opened.close()
  }
}

/** The real command over manifests in files, killed as soon as the ledger has moved often enough. Gives its exit code. */
export async function killOnce(stage: Stage, world: World, manner: Manner): Promise<number> {
  const { argv, environment } = settingsOf(stage, world, manner)
  const moves = async (): Promise<number> => {
    const [row] = await stage.sql`
      select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int as count from pg_stat_user_tables where relname = 'object'`
    return Number(row?.['count'])
  }
  const before = await moves()
  const ended = await withManifests([...manifestsOf(world)], folder =>
    runMain([...argv, '--from', folder, '-o', 'json'], environment, async kill => {
      for (let tries = 0; tries < 300; tries++) {
        if ((await moves()) >= before + (manner.mishap?.at ?? 1)) break
        await sleep(5)
      }
      kill('SIGKILL')
    })
  )
  // Its connections live on until the server notices.
  for (let busy = 1; busy > 0; ) {
    const rows = await stage.sql`
      select from pg_stat_activity where datname = current_database() and application_name like 'windmill-iac%'`
    busy = rows.length
  }
  return ended.code ?? 4
}

function* manifestsOf(world: World): Iterable<object> {
  const apiVersion = 'windmill.dev/v1alpha1'
  const ours = (annotations: Fields): Fields =>
    Object.fromEntries(Object.entries(annotations).map(([name, value]) => [`windmill.dev/${name}`, value]))
  for (const [name, annotations] of world.namespaces) {
    yield { apiVersion: 'v1', kind: 'Namespace', metadata: { name, annotations: ours(annotations) } }
    for (const [secret, text] of world.secrets)
      yield { apiVersion: 'v1', kind: 'Secret', metadata: { name: secret, namespace: name }, stringData: { text } }
  }
  for (const cr of world.crs.values()) {
    const { namespace, name, createdAt: creationTimestamp } = cr
    const metadata = { namespace, name, creationTimestamp, annotations: ours(cr.annotations) }
    yield { apiVersion, kind: `Windmill${cr.kind}`, metadata, spec: specOf(cr) }
  }
}

/** The database of a run to which something happens. */
function troubled(
  database: Database,
  mishap: Mishap,
  { stop, stage }: { stop: AbortController; stage: Stage }
): Database {
  let count = 0
  return {
    ...database,
    write: work =>
      database.write(async sql => {
        const isNow = ++count === mishap.at
        const result = await work(sql)
        if (isNow && mishap.kind === 'abort') stop.abort('chaos')
        if (isNow && mishap.kind === 'cut') {
          const [own] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
          await stage.sql`select pg_terminate_backend(${own?.pid ?? 0})`
        }
        if (isNow && mishap.kind === 'cut-all') {
          await stage.sql`
            select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name like 'windmill-iac%'`
        }
        return result
      })
  }
}

/** A cluster in memory: what an API server would list. */
function sourceOf(stage: Stage, world: World, { namespace }: Scope): Source {
  const plural = (kind: string): string => kind.replace(/^Windmill/, '')
  const of = (kind: string): readonly Cr[] =>
    [...world.crs.values()].filter(cr => cr.kind === plural(kind) && (namespace === '' || cr.namespace === namespace))
  return {
    id: CLUSTER,
    list: async ({ kind }) => Roster.of(kind, of(kind).map(listedOf)),
    strays: () => [],
    async *read(kind, wanted) {
      const names = new Set([...wanted].map(one => `${one.namespace}/${one.name}`))
      const found = of(kind.kind).filter(cr => names.has(`${cr.namespace}/${cr.name}`))
      if (found.length > 0) yield found.map(cr => ({ listed: listedOf(cr), spec: specOf(cr) }))
    },
    namespaces: async names => new Map(names.flatMap(name => [[name, world.namespaces.get(name) ?? {}] as const])),
    version: async (_kind, _namespace, name) => world.secrets.get(name),
    material: async (kind, _namespace, name) => {
      const text = world.secrets.get(name)
      if (text === undefined) throw new SyncError(`${kind}NotFound`, `There is no ${kind} ${name}.`)
      return { version: text, data: new Map([['text', Buffer.from(text)]]) }
    },
    patchStatus: async ({ kind, namespace, name }, status) => {
      stage.statuses.set(`${plural(kind)} ${namespace}/${name}`, status)
      return true
    },
    emit: async () => {},
    close: () => {}
  }
}

export function specOf(cr: Cr): Readonly<Record<string, unknown>> {
  const spec = { ...(cr.kind !== 'Workspace' && { workspace: 'demo' }), ...thingOf(cr.kind).specOf(cr.path, cr.fields) }
  return cr.isInvalid ? { ...spec, nonsense: 1 } : spec
}

export function listedOf(cr: Cr): Listed {
  return {
    kind: `Windmill${cr.kind}`,
    namespace: cr.namespace,
    name: cr.name,
    uid: cr.uid,
    generation: 1,
    revision: JSON.stringify(specOf(cr)),
    createdAt: cr.createdAt,
    changedAt: cr.isNewer ? '2099-01-01T00:00:00Z' : cr.createdAt,
    labels: {},
    annotations: cr.annotations,
    origin: ''
  }
}
