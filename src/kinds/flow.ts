/** Flows: steps of scripts, other flows, loops and branches; every deploy is a version of its own. */
import type { Kind } from '../model.ts'
import { deployAudit, deployFlows } from '../windmill/flow-deploy.ts'
import { flowBlockers } from '../windmill/flow-referrers.ts'
import { archiveFlows, deleteFlows } from '../windmill/flow-removal.ts'
import { flowDetails, flowTokens, observeFlows, statedFlow } from '../windmill/flow-rows.ts'
import { compileFlow, type FlowFacts, type FlowSpec, flowFacts, flowRefs, LOCK } from '../windmill/flow-spec.ts'
import { listDeployed, withoutLocks } from '../windmill/versioned-export.ts'

export default {
  kind: 'WindmillFlow',
  plural: 'windmillflows',
  after: ['WindmillScript'],
  rules: 1,
  uses: {
    flow: [
      'workspace_id',
      'path',
      'summary',
      'description',
      'value',
      'schema',
      'edited_by',
      'edited_at',
      'archived',
      'dependency_job',
      'tag',
      'ws_error_handler_muted',
      'dedicated_worker',
      'timeout',
      'visible_to_runner_only',
      'versions',
      'on_behalf_of_email'
    ],
    flow_version: ['id', 'workspace_id', 'path', 'value', 'schema', 'created_by', 'created_at'],
    draft: ['workspace_id', 'path', 'typ'],
    deployment_metadata: ['workspace_id', 'path', 'script_hash', 'app_version', 'flow_version'],
    dependency_map: ['workspace_id', 'importer_path', 'importer_kind'],
    schedule: ['workspace_id', 'path', 'script_path', 'is_flow'],
    app: ['workspace_id', 'path', 'versions'],
    app_version: ['id', 'value'],
    v2_job_queue: ['id', 'canceled_by', 'canceled_reason'],
    v2_job_completed: ['id', 'status', 'result']
  },
  target: ({ workspace, path }) => ({ workspace, path }),
  refs: flowRefs,
  facts: flowFacts,
  compile: compileFlow,
  tokens: flowTokens,
  observe: observeFlows,
  write: deployFlows,
  remove: deleteFlows,
  retire: archiveFlows,
  blockers: flowBlockers,
  details: flowDetails,
  stated: statedFlow,
  inventory: (sql, workspaces, context) => listDeployed(sql, 'flow', workspaces, context),
  exported: async (_sql, rows) => rows.map(({ row, live }) => ({ stated: live ? statedFlow(withoutLocks(row)) : row })),
  rewritten: ['value', 'unknownKeys'],
  locks: () => true,
  /** A lock that nobody gives is Windmill's to make. */
  dropped: field => field === 'unknownKeys' || field.startsWith(LOCK),
  audit(change, context) {
    const { op, path, workspace } = change
    if (op === 'create' || op === 'update') return deployAudit({ op, path, row: change.row }, context)
    const operation = op === 'retire' ? 'flows.archive' : 'flows.delete'
    return [{ operation, action: 'delete', resource: path, parameters: { workspace } }]
  }
} satisfies Kind<FlowSpec, FlowFacts>
