/** The worker's part in an app's life: contract, flows-and-apps B5. */
import { createHash } from 'node:crypto'
import type { Row } from './expect.ts'
import { importsOf, isLocking, isNative, lockText } from './rules.ts'
import { type Job, LockFailure, mapImports, pushRelock, type Shift } from './worker-base.ts'

interface Inline {
  readonly content?: string
  readonly language: string
  readonly lock?: string
}

interface Walk {
  readonly shift: Shift
  readonly job: Job
  readonly imports: { readonly node: string; readonly path: string }[]
  readonly codes: { readonly content: string; readonly lock: string | null }[]
  readonly paths: { readonly path: string; readonly isFlow: boolean }[]
}

export async function lockApp(shift: Shift, job: Job): Promise<void> {
  const { sql, release } = shift
  const [version] = await sql`select app_id, value from app_version where id = ${job.runnable}`
  if (!version) return
  const walk: Walk = { shift, job, imports: [], codes: [], paths: [] }
  const value = rewrite(version['value'], '', walk)
  if (release !== '1.463.2') await index(walk)
  await mapImports(sql, 'app', job, walk.imports)
  const app = String(version['app_id'])
  for (const { content, lock } of walk.codes) {
    const sha256 = createHash('sha256').update(content).digest('hex')
    const digest = createHash('sha256').update(`${app}\0${content}\0${lock}`).digest('hex')
    await sql`
      insert into app_script (app, hash, lock, code, code_sha256) values (${app}, ${digest}, ${lock}, ${content}, ${sha256})
      on conflict (hash) do nothing`
  }
  const text = JSON.stringify(value)
  await sql`
    insert into app_version_lite (id, value) values (${job.runnable}, ${text}::text::jsonb)
    on conflict (id) do update set value = excluded.value`
  await sql`update app_version set value = ${text}::text::json where id = ${job.runnable}`
  if (release === '1.463.2' || job.args['triggered_by_relative_import'] !== true) return
  await sql`update app set versions = array_append(versions, ${job.runnable}::bigint) where id = ${app}`
}

export async function relockApp({ sql, release }: Shift, path: string, args: Row): Promise<void> {
  const [live] = await sql`
    select versions[array_upper(versions, 1)]::text as id from app where workspace_id = 'demo' and path = ${path}`
  if (!live) return
  let runnable = String(live['id'])
  if (release !== '1.463.2') {
    const [copy] = await sql`
      insert into app_version (app_id, value, created_by, raw_app)
      select app_id, value, created_by, raw_app from app_version where id = ${runnable} returning id`
    runnable = String(copy?.['id'])
  }
  await pushRelock(sql, { kind: 'appdependencies', runnable, path, language: null, args })
}

async function index({ shift: { sql }, job, paths }: Walk): Promise<void> {
  await sql`delete from workspace_runnable_dependencies where workspace_id = 'demo' and app_path = ${job.path}`
  for (const { path, isFlow } of paths) {
    await sql`
      insert into workspace_runnable_dependencies (app_path, runnable_path, runnable_is_flow, workspace_id)
      values (${job.path}, ${path}, ${isFlow}, 'demo') on conflict do nothing`
  }
}

/** Locks every inline script with code in a known language; the rest passes as it is. */
function rewrite(value: unknown, node: string, walk: Walk): unknown {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(one => rewrite(one, node, walk))
  const object = value as Row
  const here = typeof object['id'] === 'string' ? object['id'] : node
  if (object['type'] === 'runnableByPath') {
    walk.paths.push({ path: String(object['path']), isFlow: object['runType'] === 'flow' })
  }
  return Object.fromEntries(
    Object.entries(object).map(([key, inner]) => [
      key,
      key === 'inlineScript' ? lockInline(inner as Inline, here, walk) : rewrite(inner, here, walk)
    ])
  )
}

function lockInline(script: Inline, node: string, { shift, job, imports, codes }: Walk): Inline {
  const { content, language: given, lock: locked } = script
  if (given === 'frontend') return script
  if (content === undefined) throw new LockFailure(`${node} has no content`)
  for (const path of importsOf(given, content, `${job.path}/app`, shift.release)) imports.push({ node, path })
  const language = given.startsWith('bun') ? (isNative(content) ? 'bunnative' : 'bun') : given
  const again = (job.args['components_to_relock'] as readonly string[] | undefined)?.includes(node)
  const fresh = isLocking(language, shift.release) ? lockText(language, shift.generation) : ''
  const lock = locked?.trim() && !again ? locked : fresh
  codes.push({ content, lock })
  return shift.failing.includes(job.path) ? script : { ...script, language, lock }
}
