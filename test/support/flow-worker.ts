/** What a worker does to a flow's value after its dependency job: contract, flows-and-apps A4 and C1. */
import type postgres from 'postgres'

type Value = Record<string, unknown>

const words = (text: string): readonly string[] => text.split(' ')
const known: Readonly<Record<string, readonly string[]>> = {
  flow: words(
    'modules failure_module preprocessor_module same_worker concurrent_limit skip_expr priority cache_ttl early_return ' +
      'concurrency_time_window_s concurrency_key chat_input_enabled'
  ),
  module: words(
    'id value summary stop_after_if stop_after_all_iters_if suspend mock retry sleep cache_ttl timeout priority skip_if ' +
      'delete_after_use continue_on_error apply_preprocessor'
  ),
  rawscript: words(
    'type content language input_transforms lock path tag concurrent_limit is_trigger concurrency_time_window_s ' +
      'custom_concurrency_key assets'
  ),
  script: ['type', 'path', 'input_transforms', 'hash', 'tag_override', 'is_trigger'],
  flowStep: ['type', 'path', 'input_transforms'],
  forloopflow: ['type', 'iterator', 'modules', 'skip_failures', 'parallel', 'parallelism'],
  whileloopflow: ['type', 'modules', 'skip_failures'],
  branchone: ['type', 'branches', 'default'],
  branchall: ['type', 'branches', 'parallel'],
  identity: ['type'],
  branch: ['modules', 'expr', 'summary', 'skip_failure', 'parallel']
}

const only = (value: Value, keys: readonly string[] = []): Value =>
  Object.fromEntries(Object.entries(value).filter(([key, one]) => keys.includes(key) && one !== undefined))

const sortedTransforms = ({ input_transforms: given = {} }: Value): Value =>
  Object.fromEntries(
    Object.entries(given as Record<string, Value>)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, only(one, one['type'] === 'static' ? ['type', 'value'] : ['type', 'expr'])])
  )

/** As it stores the value: locks made, defaults written, unknown keys gone; modules outside `modules` are only parsed. */
export function asWorkerStores(flow: Value, lock = 'made by the worker'): Value {
  const list = (modules: unknown, locks: boolean): Value[] =>
    ((modules ?? []) as Value[]).map(one => moduleOf(one, locks))
  const moduleOf = (one: Value, locks: boolean): Value => ({
    continue_on_error: null,
    ...only(one, known['module']),
    ...(typeof one['timeout'] === 'number' && { timeout: { type: 'static', value: one['timeout'] } }),
    ...(one['retry'] !== undefined && { retry: retryOf(one['retry'] as Value) }),
    value: valueOf(one['value'] as Value, locks)
  })
  const retryOf = ({ constant, exponential, ...rest }: Value): Value => ({
    ...only(rest, ['retry_if']),
    constant: { attempts: 0, seconds: 0, ...(constant as Value) },
    exponential: { attempts: 0, multiplier: 1, seconds: 0, random_factor: null, ...(exponential as Value) }
  })
  const branchOf = (one: Value, locks: boolean): Value => ({
    expr: '',
    skip_failure: true,
    parallel: true,
    ...only(one, known['branch']),
    modules: list(one['modules'], locks)
  })
  const valueOf = (value: Value, locks: boolean): Value => {
    const type = value['type'] as string
    const kept = only(value, known[type === 'flow' ? 'flowStep' : type])
    if (type === 'rawscript') return { ...kept, input_transforms: sortedTransforms(value), ...scriptOf(value, locks) }
    if (type === 'script' || type === 'flow') return { ...kept, input_transforms: sortedTransforms(value) }
    if (type === 'forloopflow')
      return { skip_failures: true, parallel: false, ...kept, modules: list(value['modules'], locks) }
    if (type === 'whileloopflow') return { skip_failures: false, ...kept, modules: list(value['modules'], locks) }
    if (!type.startsWith('branch')) return kept
    const branches = ((value['branches'] ?? []) as Value[]).map(one => branchOf(one, locks))
    if (type === 'branchall') return { parallel: true, ...kept, branches }
    return { ...kept, branches, default: list(value['default'], locks) }
  }
  const scriptOf = ({ language, content, lock: given }: Value, locks: boolean): Value => {
    if (!locks) return given === undefined ? {} : { lock: given }
    const isNative = String(content).startsWith('//native\n')
    const right = isNative ? 'bunnative' : 'bun'
    const isFlipped = (language === 'bun' || language === 'bunnative') && language !== right
    return {
      language: isFlipped ? right : language,
      lock: isFlipped || !(given as string | undefined)?.trim() ? lock : given
    }
  }
  const outer = (['failure_module', 'preprocessor_module'] as const).filter(key => flow[key])
  return {
    same_worker: false,
    ...only(flow, known['flow']),
    modules: list(flow['modules'], true),
    ...Object.fromEntries(outer.map(key => [key, moduleOf(flow[key] as Value, false)]))
  }
}

/** Takes the dependency job of a flow and does with its rows what a worker does. */
export async function workOn(
  sql: postgres.Sql,
  { workspace, path }: { readonly workspace: string; readonly path: string }
): Promise<void> {
  const [flow] = await sql`
    select v.id::text as version, v.value, f.dependency_job::text as job, to_jsonb(f) ? 'lock_error_logs' as logs
      from flow f join flow_version v on v.id = f.versions[array_upper(f.versions, 1)]
     where f.workspace_id = ${workspace} and f.path = ${path}`
  if (!flow) throw new Error(`there is no flow ${path}`)
  const { version, job } = flow as unknown as { version: string; job: string }
  const stored = JSON.stringify(asWorkerStores(flow['value'] as Value))
  await sql`update flow set value = ${stored}::text::jsonb where workspace_id = ${workspace} and path = ${path}`
  await sql`update flow_version set value = ${stored}::text::jsonb where id = ${version}`
  await sql`insert into flow_version_lite (id, value) values (${version}, '{"modules": []}')`
  if (flow['logs'])
    await sql`update flow set lock_error_logs = null where workspace_id = ${workspace} and path = ${path}`
  await sql`delete from v2_job_queue where id = ${job}`
  await sql`
    insert into v2_job_completed (id, workspace_id, duration_ms, result, started_at, completed_at, status)
    values (${job}, ${workspace}, 5, '{"status": "Successful lock file generation"}', now(), now(), 'success')`
}
