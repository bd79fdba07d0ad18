/** The worker's part in a flow's life: contract, flows-and-apps A4. */
import { createHash } from 'node:crypto'
import type { Row } from './expect.ts'
import { importsOf, isLocking, isNative, lockText } from './rules.ts'
import { type Job, LockFailure, mapImports, pushRelock, type Shift } from './worker-base.ts'

type Value = Record<string, unknown>

interface Import {
  readonly node: string
  readonly path: string
}

/** What a walk through a flow comes by. */
interface Walk {
  readonly shift: Shift
  readonly job: Job
  readonly imports: Import[]
  readonly steps: { readonly path: string; readonly isFlow: boolean }[]
  readonly codes: { readonly content: string; readonly lock: string | null }[]
  failed: boolean
}

export async function lockFlow(shift: Shift, job: Job): Promise<void> {
  const { sql, release } = shift
  const [version] = await sql`select value from flow_version where workspace_id = 'demo' and id = ${job.runnable}`
  if (!version) throw new LockFailure(`no version ${job.runnable}`)
  const walk: Walk = { shift, job, imports: [], steps: [], codes: [], failed: false }
  const value = rewriteFlow(version['value'] as Value, walk)
  if (walk.failed && release !== '1.463.2') {
    await sql`update flow set lock_error_logs = ${`could not lock\n${job.path}`} where workspace_id = 'demo' and path = ${job.path}`
    throw new LockFailure(job.path)
  }
  if (release !== '1.463.2') {
    await sql`update flow set lock_error_logs = null where workspace_id = 'demo' and path = ${job.path}`
    await index(walk)
  }
  await mapImports(sql, 'flow', job, walk.imports)
  const text = JSON.stringify(value)
  await sql`update flow set value = ${text}::text::jsonb where workspace_id = 'demo' and path = ${job.path}`
  await sql`update flow_version set value = ${text}::text::jsonb where id = ${job.runnable}`
  await writeLite(walk, text)
  await append(shift, job)
}

/** A version that the worker made for a relock becomes the live one at the end. */
async function append({ sql, release }: Shift, { args, path, runnable }: Job): Promise<void> {
  if (release === '1.463.2' || args['triggered_by_relative_import'] !== true) return
  await sql`update flow set versions = array_append(versions, ${runnable}::bigint) where workspace_id = 'demo' and path = ${path}`
}

/** Since 1.558 a relock works on a copy of the live version. */
export async function relockFlow({ sql, release }: Shift, path: string, args: Row): Promise<void> {
  const [live] = await sql`
    select versions[array_upper(versions, 1)]::text as id from flow where workspace_id = 'demo' and path = ${path}`
  if (!live) return
  let runnable = String(live['id'])
  if (release !== '1.463.2') {
    const [copy] = await sql`
      insert into flow_version (workspace_id, path, value, schema, created_by)
      select workspace_id, path, value, schema, created_by from flow_version where id = ${runnable} returning id`
    runnable = String(copy?.['id'])
  }
  await pushRelock(sql, { kind: 'flowdependencies', runnable, path, language: null, args })
}

async function index({ shift: { sql }, job, steps }: Walk): Promise<void> {
  await sql`delete from workspace_runnable_dependencies where workspace_id = 'demo' and flow_path = ${job.path}`
  for (const { path, isFlow } of steps) {
    await sql`
      insert into workspace_runnable_dependencies (flow_path, runnable_path, runnable_is_flow, workspace_id)
      values (${job.path}, ${path}, ${isFlow}, 'demo') on conflict do nothing`
  }
}

async function writeLite({ shift: { sql }, job, codes }: Walk, text: string): Promise<void> {
  for (const { content, lock } of codes) {
    const digest = createHash('sha256').update(`${content}\0${lock}`).digest('hex')
    await sql`
      insert into flow_node (workspace_id, path, hash_v2, code, lock) values ('demo', ${job.path}, ${digest}, ${content}, ${lock})
      on conflict (path, workspace_id, hash_v2) do nothing`
  }
  await sql`
    insert into flow_version_lite (id, value) values (${job.runnable}, ${text}::text::jsonb)
    on conflict (id) do update set value = excluded.value`
}

const flowKeys =
  `same_worker concurrent_limit concurrency_time_window_s concurrency_key skip_expr cache_ttl early_return
  priority chat_input_enabled flow_env`.split(/\s+/)
const moduleKeys = `id summary stop_after_if stop_after_all_iters_if suspend mock sleep cache_ttl timeout priority
  delete_after_use continue_on_error skip_if apply_preprocessor pass_flow_input_directly`.split(/\s+/)

const kept = (value: Value, keys: readonly string[]): Value =>
  Object.fromEntries(keys.filter(key => value[key] != null).map(key => [key, value[key]]))

/** Known keys with their defaults, as a value comes out of the worker's own types. */
function rewriteFlow(value: Value, walk: Walk): Value {
  const rest = kept(value, flowKeys)
  if (rest['same_worker'] === false) delete rest['same_worker']
  const aside = ['failure_module', 'preprocessor_module'].filter(key => value[key] != null)
  return {
    ...rest,
    modules: modulesOf(value['modules'], walk),
    ...Object.fromEntries(aside.map(key => [key, rewriteModule(value[key] as Value, undefined)]))
  }
}

const modulesOf = (modules: unknown, walk: Walk | undefined): Value[] =>
  ((modules ?? []) as readonly Value[]).map(one => rewriteModule(one, walk))

function rewriteModule(module: Value, walk: Walk | undefined): Value {
  const retry = module['retry'] as Value | undefined
  return {
    ...kept(module, moduleKeys),
    ...(retry && {
      retry: {
        constant: { attempts: 0, seconds: 0, ...(retry['constant'] as Value) },
        exponential: {
          attempts: 0,
          multiplier: 1,
          seconds: 0,
          random_factor: null,
          ...(retry['exponential'] as Value)
        },
        ...kept(retry, ['retry_if'])
      }
    }),
    value: rewriteValue(module['value'] as Value, String(module['id']), walk)
  }
}

function rewriteValue(value: Value, id: string, walk: Walk | undefined): Value {
  const { type, input_transforms: inputs } = value
  const transforms = { input_transforms: sorted((inputs ?? {}) as Value) }
  switch (type) {
    case 'rawscript':
      return { ...rewriteCode(value, id, walk), ...transforms }
    case 'script':
    case 'flow': {
      const path = String(value['path'])
      if (!path.startsWith('hub/')) walk?.steps.push({ path, isFlow: type === 'flow' })
      return { type, ...kept(value, ['path', 'hash', 'tag_override', 'is_trigger']), ...transforms }
    }
    case 'forloopflow':
      return {
        type,
        ...kept(value, ['iterator', 'parallelism']),
        modules: modulesOf(value['modules'], walk),
        skip_failures: value['skip_failures'] ?? true,
        parallel: value['parallel'] ?? false
      }
    case 'whileloopflow':
      return { type, modules: modulesOf(value['modules'], walk), skip_failures: value['skip_failures'] ?? false }
    case 'branchone':
      return { type, branches: branchesOf(value, walk, false), default: modulesOf(value['default'], walk) }
    case 'branchall':
      return { type, branches: branchesOf(value, walk, true), parallel: value['parallel'] ?? true }
    default:
      return { type }
  }
}

const branchesOf = (value: Value, walk: Walk | undefined, skips: boolean): Value[] =>
  (value['branches'] as readonly Value[]).map(branch => ({
    ...kept(branch, ['summary']),
    expr: branch['expr'] ?? '',
    modules: modulesOf(branch['modules'], walk),
    skip_failure: branch['skip_failure'] ?? skips,
    parallel: branch['parallel'] ?? true
  }))

const sorted = (value: Value): Value => Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))

function rewriteCode(value: Value, id: string, walk: Walk | undefined): Value {
  const keys = `content language lock path tag concurrent_limit concurrency_time_window_s custom_concurrency_key is_trigger`
  const rest = { type: 'rawscript', ...kept(value, keys.split(' ')) }
  if (!walk) return rest
  const { shift, job } = walk
  const content = String(value['content'])
  const given = String(value['language'])
  const language = given.startsWith('bun') ? (isNative(content) ? 'bunnative' : 'bun') : given
  for (const path of importsOf(given, content, `${job.path}/flow`, shift.release)) walk.imports.push({ node: id, path })
  const nodes = job.args['nodes_to_relock'] as readonly string[] | undefined
  const blank = !value['lock'] || language !== given || (nodes?.includes(id) ?? false)
  if (blank && shift.failing.includes(job.path)) {
    walk.failed = true
    return rest
  }
  const fresh = isLocking(language, shift.release) ? lockText(language, shift.generation) : ''
  const lock = blank ? fresh : String(value['lock'])
  walk.codes.push({ content, lock })
  return { ...rest, language, lock }
}
