/** Apps: what people see and click, who may, and as whom its code runs. */
import type { Compiled, Context, Input, Json, Kind, Ref, Row, Sql } from '../model.ts'
import { policyFor } from '../windmill/app-policy.ts'
import { findPrincipalsOf, type Principals, principalOf, type StatedPolicy } from '../windmill/app-principal.ts'
import { findRoutes, type Routes, refuseTakenRoute } from '../windmill/app-routes.ts'
import { appDetails, appTokens, neededApps, observeApps } from '../windmill/app-rows.ts'
import { deleteApps, makesVersion, writeApps } from '../windmill/app-store.ts'
import { comparableApp, storedApp } from '../windmill/app-value.ts'
import { type JsonObject, refuseDeep, refuseUnstorable, roundedNotes } from '../windmill/json-values.ts'
import { labelsOf } from '../windmill/labels.ts'
import { refuseLong } from '../windmill/texts.ts'
import { documentReader, type ReadDocument } from '../windmill/value-from.ts'
import { exportApps, listDeployed } from '../windmill/versioned-export.ts'

interface Spec {
  readonly workspace?: string
  readonly path: string
  readonly value?: JsonObject
  readonly valueFrom?: { readonly configMapKeyRef: { readonly name: string; readonly key: string } }
  readonly summary?: string
  readonly policy?: JsonObject
  readonly customCss?: string
  readonly customPath?: string
  readonly labels?: readonly string[]
}

interface Facts {
  readonly read: ReadDocument
  readonly principals: Principals
  readonly routes: Routes
}

const refsOf = ({ valueFrom }: Spec): readonly Ref[] =>
  valueFrom ? [{ kind: 'ConfigMap', name: valueFrom.configMapKeyRef.name, key: valueFrom.configMapKeyRef.key }] : []

const statedPolicy = ({ spec, workspace, listed }: Input<Spec>): StatedPolicy => ({
  workspace,
  listed,
  policy: spec.policy
})

async function facts(sql: Sql, inputs: readonly Input<Spec>[], context: Context): Promise<Facts> {
  return {
    read: await documentReader(inputs.some(one => one.spec.valueFrom)),
    principals: await findPrincipalsOf(sql, inputs.map(statedPolicy), context),
    routes: await findRoutes(
      sql,
      inputs.map(({ workspace, path, listed, spec }) => ({ workspace, path, listed, route: spec.customPath })),
      context
    )
  }
}

/** The value that the CR gives, and what to call it in messages. */
function given({ spec, text }: Input<Spec>, read: ReadDocument): readonly [field: string, value: Json] {
  const [ref] = refsOf(spec)
  const [field, value] = ref
    ? (['valueFrom', read(text(ref), `valueFrom: ConfigMap ${ref.name}, key ${ref.key}`)] as const)
    : (['value', spec.value ?? null] as const)
  refuseDeep(field, value)
  refuseUnstorable(field, value)
  return [field, value]
}

function compile(input: Input<Spec>, { read, principals, routes }: Facts, context: Context): Compiled {
  const { spec, workspace, path } = input
  const { summary, customCss, customPath, policy: stated } = spec
  refuseLong('summary', summary, context.capabilities.maxLength('app', 'summary'))
  if (summary !== undefined) refuseUnstorable('summary', summary)
  if (customCss !== undefined) refuseUnstorable('customCss', customCss)
  if (stated !== undefined) {
    refuseDeep('policy', stated)
    refuseUnstorable('policy', stated)
  }
  const [field, value] = given(input, read)
  const stored = storedApp(field, value, customCss)
  const { policy, notes } = policyFor(stored.value, stated, principalOf(statedPolicy(input), principals, context))
  refuseTakenRoute({ workspace, path, route: customPath }, routes)
  const labels = labelsOf('app', spec.labels, context)
  const row: Row = {
    ...(summary !== undefined && { summary }),
    ...comparableApp(stored.value),
    policy,
    // An empty route is none: Windmill's check would refuse it (trap 15).
    ...(customPath !== undefined && { customPath: customPath || null }),
    ...labels.row
  }
  return {
    row,
    notes: [...stored.notes, ...notes, ...roundedNotes(field, value), ...labels.notes],
    guard: JSON.stringify(stored.value)
  }
}

export default {
  kind: 'WindmillApp',
  plural: 'windmillapps',
  after: ['WindmillFlow'],
  rules: 1,
  uses: {
    app: ['id', 'workspace_id', 'path', 'summary', 'policy', 'versions', 'extra_perms', 'custom_path'],
    app_version: ['id', 'app_id', 'value', 'created_by', 'created_at'],
    app_version_lite: ['id'],
    draft: ['workspace_id', 'path', 'typ'],
    deployment_metadata: ['workspace_id', 'path', 'app_version'],
    dependency_map: ['workspace_id', 'importer_path', 'importer_kind'],
    v2_job: ['id', 'workspace_id', 'kind', 'runnable_id', 'runnable_path', 'parent_job', 'created_at'],
    v2_job_queue: ['id'],
    v2_job_completed: ['id', 'status', 'result', 'canceled_reason'],
    workspace_settings: ['workspace_id', 'default_app'],
    global_settings: ['name', 'value']
  },
  target: ({ workspace, path }) => ({ workspace, path }),
  refs: refsOf,
  facts,
  compile,
  tokens: (sql, targets) => appTokens(sql, targets),
  observe: observeApps,
  details: (sql, targets) => appDetails(sql, targets),
  rewritten: ['value'],
  inventory: (sql, workspaces, context) => listDeployed(sql, 'app', workspaces, context),
  exported: exportApps,
  locks: makesVersion,
  write: writeApps,
  remove: (sql, removals, context) => deleteApps(sql, removals, context),
  blockers: (sql, removals) => neededApps(sql, removals),
  audit({ op, path }) {
    if (op === 'retire') return []
    return [{ operation: `apps.${op}`, action: op, resource: path }]
  }
} satisfies Kind<Spec, Facts>
