/** What rows a WindmillApp must become: contract, flows-and-apps B1 to B5. */
import { createHash } from 'node:crypto'
import type { Bench, Manifest, Spec } from './bench.ts'
import { dataOf, valueOf } from './bench.ts'
import { anything, deviations, type Row, recent, rule, same } from './expect.ts'
import { versionJob } from './expect-flow.ts'
import { jobDeviations } from './expect-job.ts'
import { auditDeviations } from './expect-script.ts'
import { user } from './rules.ts'

/** The policy of policies.yaml with the digests of the inline scripts as they are stored (trap 18). */
function policyOf(path: string, value: Spec): Row {
  const { triggerables_v2, ...rest } = (dataOf('policies.yaml') as Readonly<Record<string, Row>>)[path] as Row
  const digest = (id: string): string => createHash('sha256').update(codeAt(value, id)).digest('hex')
  const named = Object.entries(triggerables_v2 as Row).map(([key, entry]) => [
    key.replace(/sha256\((\w+)\)/, (_, id: string) => digest(id)),
    entry
  ])
  return { ...rest, triggerables_v2: Object.fromEntries(named) }
}

/** The inline script of a component, wherever it stands. */
function codeAt(value: unknown, id: string): string {
  const hidden = /^bg_(\d+)$/.exec(id)
  if (hidden) {
    const scripts = (value as { hiddenInlineScripts: readonly { inlineScript: { content: string } }[] })
      .hiddenInlineScripts
    return scripts[Number(hidden[1])]?.inlineScript.content ?? ''
  }
  if (value === null || typeof value !== 'object') return ''
  const { id: own, componentInput: input } = value as {
    id?: unknown
    componentInput?: { runnable?: { inlineScript?: { content: string } } }
  }
  const code = own === id ? input?.runnable?.inlineScript?.content : undefined
  return (
    code ??
    Object.values(value)
      .map(inner => codeAt(inner, id))
      .find(found => found !== '') ??
    ''
  )
}

/** A given null counts as left out; a computed one states its author, whatever the mode. */
const policyRule = (policy: Row) =>
  rule(JSON.stringify(policy), given => {
    const { on_behalf_of: who, on_behalf_of_email: mail, ...rest } = given as Row
    const { on_behalf_of: wanted, on_behalf_of_email: wantedMail, ...more } = policy
    const author = wanted === undefined || (who === wanted && mail === wantedMail)
    return author && same(rest, more)
  })

/** As stated, with the CSS somewhere inside. */
const valueRule = (value: Spec, css: unknown) =>
  rule(JSON.stringify(value), given =>
    css === undefined ? same(given, value) : JSON.stringify(given).includes(JSON.stringify(css).slice(1, -1))
  )

/** In 1.463 the tag is that of Deno, by accident (jobs §4). */
export const appJob = ({ release }: Bench, path: string, version: unknown, args: object = {}): Row => ({
  ...versionJob('appdependencies', path, version, args),
  tag: release === '1.463.2' ? 'deno' : 'dependency'
})

/** An app that has just been made: its rows, its version, its job and its records. */
export async function appDeviations(
  bench: Bench,
  manifests: readonly Manifest[],
  one: Manifest
): Promise<readonly string[]> {
  const { sql } = bench
  const { spec } = one
  const path = String(spec['path'])
  const value = valueOf(manifests, one)
  const [row] = await sql`select * from app where workspace_id = 'demo' and path = ${path}`
  const versions = await sql`select * from app_version where app_id = ${String(row?.['id'] ?? 0)}`
  const [version] = versions
  if (!row || !version || versions.length !== 1) return [`${path}: ${versions.length} versions`]
  const metadata = await sql`select from deployment_metadata where workspace_id = 'demo' and path = ${path}`
  return [
    ...deviations(`app ${path}`, row, {
      id: anything,
      workspace_id: 'demo',
      path,
      summary: spec['summary'] ?? '',
      policy: policyRule(policyOf(path, value)),
      versions: [version['id']],
      extra_perms: {},
      draft_only: null,
      custom_path: spec['customPath'] ?? null,
      labels: spec['labels'] ?? null
    }),
    ...deviations(`app_version ${path}`, version, {
      id: anything,
      app_id: row['id'],
      value: valueRule(value, spec['customCss']),
      created_by: user,
      created_at: recent,
      raw_app: false
    }),
    ...(await jobDeviations(bench, path, 'appdependencies', appJob(bench, path, version['id']))),
    ...(await auditDeviations(bench, 'apps.create', path, { action: 'create' })),
    ...(metadata.length === 0 ? [] : [`deployment_metadata of ${path}: ${metadata.length} rows`])
  ]
}
