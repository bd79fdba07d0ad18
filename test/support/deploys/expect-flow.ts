/** What rows a WindmillFlow must become: contract, flows-and-apps A1, A2, A4 and A7. */
import type { Bench, Manifest, Spec } from './bench.ts'
import { valueOf } from './bench.ts'
import { anything, deviations, either, type Row, recent, rule, same } from './expect.ts'
import { jobDeviations } from './expect-job.ts'
import { auditDeviations } from './expect-script.ts'
import { email, storedLanguage, user } from './rules.ts'

/** These live inside the value, never in columns (trap 1). */
const inside = {
  concurrencyLimit: 'concurrent_limit',
  concurrencyTimeWindowS: 'concurrency_time_window_s',
  concurrencyKey: 'concurrency_key',
  cacheSeconds: 'cache_ttl',
  priority: 'priority'
}

export function flowValue(manifests: readonly Manifest[], one: Manifest): Spec {
  const settings = Object.entries(inside).filter(([field]) => one.spec[field] !== undefined)
  return { ...valueOf(manifests, one), ...Object.fromEntries(settings.map(([field, key]) => [key, one.spec[field]])) }
}

const schemaRule = (stated: unknown) =>
  typeof stated === 'string' ? rule(`the text ${stated}`, (_, row) => row['schema_text'] === stated) : (stated ?? null)

/** A stored value: as stated, but what a worker would drop or turn may be dropped or turned already. */
const valueRule = (value: Spec) => rule(JSON.stringify(value), given => same(turned(given), turned(value)))

const turned = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, inner: unknown) => {
      if (key === 'note_for_people') return undefined
      const { language, content } = (inner ?? {}) as { language?: unknown; content?: unknown }
      if (typeof language !== 'string' || typeof content !== 'string') return inner
      return { ...(inner as object), language: storedLanguage(language, content) }
    })
  )

export function flowRow(manifests: readonly Manifest[], one: Manifest): Row {
  const { spec } = one
  const acting = spec['onBehalfOf'] !== undefined
  return {
    workspace_id: 'demo',
    path: spec['path'],
    summary: spec['summary'] ?? '',
    description: spec['description'] ?? '',
    value: valueRule(flowValue(manifests, one)),
    edited_by: acting ? 'alice' : user,
    edited_at: recent,
    archived: false,
    schema: schemaRule(spec['schema']),
    schema_text: anything,
    extra_perms: {},
    dependency_job: rule('the uuid of its job', (value, row) => value !== null && value === row['job']),
    job: anything,
    draft_only: null,
    tag: spec['tag'] ?? null,
    ws_error_handler_muted: false,
    dedicated_worker: either(null, false),
    timeout: spec['timeout'] ?? null,
    visible_to_runner_only: spec['visibleToRunnerOnly'] ?? false,
    concurrency_key: null,
    versions: rule('exactly its one version', (value, row) => same(value, [row['version']])),
    version: anything,
    on_behalf_of_email: acting ? 'alice@example.com' : null,
    on_behalf_of: acting ? 'u/alice' : null,
    lock_error_logs: '',
    labels: spec['labels'] ?? null
  }
}

/** A flow that has just been made: its rows, its version, its job and its records. */
export async function flowDeviations(
  bench: Bench,
  manifests: readonly Manifest[],
  one: Manifest
): Promise<readonly string[]> {
  const { sql, release } = bench
  const path = String(one.spec['path'])
  const [row] = await sql`
    select f.*, f.schema::text as schema_text,
           (select max(id) from flow_version v where v.workspace_id = 'demo' and v.path = f.path) as version,
           (select max(id::text) from v2_job j where j.workspace_id = 'demo' and j.runnable_path = f.path and kind = 'flowdependencies') as job
      from flow f where workspace_id = 'demo' and path = ${path}`
  const versions = await sql`
    select *, schema::text as schema_text from flow_version where workspace_id = 'demo' and path = ${path}`
  if (!row || versions.length !== 1) return [`${path}: ${versions.length} versions`]
  return [
    ...deviations(`flow ${path}`, row, flowRow(manifests, one)),
    ...deviations(`flow_version ${path}`, versions[0], {
      id: row['version'],
      workspace_id: 'demo',
      path,
      value: valueRule(flowValue(manifests, one)),
      schema: schemaRule(one.spec['schema']),
      schema_text: anything,
      // The editor shows the author of the version; runs go by the flow's.
      created_by: either(row['edited_by'], user),
      created_at: recent
    }),
    // 1.463 gives the first job the tag of the flow (jobs §4, flows-and-apps A4).
    ...(await jobDeviations(bench, path, 'flowdependencies', {
      ...versionJob('flowdependencies', path, row['version']),
      tag: (release === '1.463.2' && one.spec['tag']) || 'dependency'
    })),
    ...(await auditDeviations(bench, 'flows.create', path, { action: 'create', flow: path })),
    ...(await metadataDeviations(bench, path, row))
  ]
}

export const versionJob = (kind: string, path: string, version: unknown, args: object = {}): Row => ({
  kind,
  runnable_id: version,
  runnable_path: path,
  script_lang: null,
  args,
  tag: 'dependency',
  priority: null,
  created_by: user,
  permissioned_as: `u/${user}`,
  permissioned_as_email: email
})

/** Newer Windmill's deployment status reads it (flows-and-apps A1). */
async function metadataDeviations({ sql, release }: Bench, path: string, row: Row): Promise<readonly string[]> {
  const rows = await sql`select * from deployment_metadata where workspace_id = 'demo' and path = ${path}`
  if (rows.length !== (release === '2026-08' ? 1 : 0)) return [`deployment_metadata of ${path}: ${rows.length} rows`]
  const [one] = rows
  return one && (one['flow_version'] !== row['version'] || one['job_id'] !== row['job'])
    ? [`deployment_metadata of ${path}: ${JSON.stringify(one)}`]
    : []
}
