/** Scripts: every deploy is a new version of a path; Windmill runs the newest that has its lock. */
import { isObjectError } from '../errors.ts'
import { isSame } from '../fingerprint.ts'
import { type Compiled, type Context, type Input, type Kind, type Row, type Sql, targetKey } from '../model.ts'
import { enterpriseNote, isEnterprise } from '../windmill/edition.ts'
import { findRunAs, type RunAsFound, runAs } from '../windmill/run-as.ts'
import { deployScripts, queuesLockJob } from '../windmill/script-deploy.ts'
import { importsOf } from '../windmill/script-imports.ts'
import { failedScripts, observeScripts, scriptDetails, scriptTokens } from '../windmill/script-read.ts'
import { scriptBlockers } from '../windmill/script-referrers.ts'
import { removeScripts, retireScripts } from '../windmill/script-removal.ts'
import {
  contentOf,
  contentRef,
  desiredScript,
  enterpriseFields,
  type ScriptSpec,
  storedLanguage
} from '../windmill/script-spec.ts'
import { principalOf } from '../windmill/script-versions.ts'
import { exportScripts, listDeployed } from '../windmill/versioned-export.ts'

interface Facts {
  readonly enterprise: boolean
  readonly people: RunAsFound
  /** Live versions that could not be locked, by target key. */
  readonly failed: ReadonlyMap<string, Row>
}

async function facts(sql: Sql, inputs: readonly Input<ScriptSpec>[], context: Context): Promise<Facts> {
  const wanted = inputs.flatMap(({ workspace, spec: { onBehalfOf } }) =>
    onBehalfOf === undefined ? [] : [{ workspace, who: onBehalfOf }]
  )
  const targets = inputs.map(({ workspace, path, spec }) => ({ workspace, path, fields: Object.keys(spec) }))
  return {
    enterprise: await isEnterprise(sql),
    people: await findRunAs(sql, wanted, context),
    failed: await failedScripts(sql, targets, context)
  }
}

function compile(input: Input<ScriptSpec>, { enterprise, people, failed }: Facts, context: Context): Compiled {
  const { spec, workspace, path } = input
  const compiled = desiredScript(input, enterprise, context)
  const row: Row = {
    ...compiled.row,
    ...(spec.onBehalfOf !== undefined && {
      onBehalfOf: principalOf(runAs(people, input, spec.onBehalfOf, 'onBehalfOf').username)
    })
  }
  const notes = [...(compiled.notes ?? [])]
  const without = enterprise ? undefined : enterpriseNote(enterpriseFields(row))
  if (without !== undefined) notes.push(without)
  const unlocked = failed.get(targetKey(workspace, path))
  if (unlocked && isAsWanted(row, unlocked)) notes.push(failedNote)
  return { ...compiled, row, notes }
}

const failedNote =
  'A worker could not lock its dependencies (see lockMessage), so Windmill runs the version before it, if there is one; change the script to try again.'

/** The very version that the CR asks for is the one that failed. */
const isAsWanted = (row: Row, live: Row): boolean =>
  Object.keys(row).every(field => isSame(row[field] ?? null, live[field] ?? null))

/** Compared and shown, but no fields of a spec. */
const unstated: ReadonlySet<string> = new Set(['health', 'schemaOrder'])

/** What a missing ConfigMap means for the object is said when it is compiled. */
function neededBy(input: Input<ScriptSpec>): readonly string[] {
  try {
    const content = contentOf(input)
    return importsOf({ path: input.path, language: storedLanguage(input.spec.language, content), content })
  } catch (error) {
    if (!isObjectError(error)) throw error
    return []
  }
}

const stated = (row: Row): Row => Object.fromEntries(Object.entries(row).filter(([field]) => !unstated.has(field)))

export default {
  kind: 'WindmillScript',
  plural: 'windmillscripts',
  after: ['WindmillResource'],
  rules: 1,
  uses: {
    script: [
      'workspace_id',
      'hash',
      'path',
      'parent_hashes',
      'summary',
      'description',
      'content',
      'created_by',
      'created_at',
      'archived',
      'schema',
      'deleted',
      'is_template',
      'extra_perms',
      'lock',
      'lock_error_logs',
      'language',
      'kind',
      'tag',
      'envs',
      'on_behalf_of_email',
      'has_preprocessor'
    ],
    dependency_map: ['workspace_id', 'importer_path', 'importer_kind', 'imported_path', 'importer_node_id'],
    draft: ['workspace_id', 'path', 'typ'],
    deployment_metadata: ['workspace_id', 'path', 'script_hash'],
    v2_job: ['id', 'workspace_id', 'kind', 'runnable_id', 'runnable_path', 'script_lang', 'args'],
    v2_job_queue: ['id', 'running', 'scheduled_for', 'tag'],
    schedule: ['workspace_id', 'path', 'script_path', 'is_flow'],
    flow: ['workspace_id', 'path', 'value', 'versions', 'archived'],
    flow_version: ['id', 'workspace_id', 'path', 'value', 'schema', 'created_by'],
    app: ['workspace_id', 'path', 'policy', 'versions']
  },
  target: ({ workspace, path }) => ({ workspace, path }),
  refs: spec => {
    const ref = contentRef(spec)
    return ref ? [ref] : []
  },
  facts,
  compile,
  tokens: scriptTokens,
  observe: observeScripts,
  details: scriptDetails,
  locks: queuesLockJob,
  together: input => ({ provides: input.path, needs: neededBy(input) }),
  write: deployScripts,
  retire: retireScripts,
  remove: removeScripts,
  blockers: scriptBlockers,
  upkeep: ['health'],
  stated,
  inventory: (sql, workspaces, context) => listDeployed(sql, 'script', workspaces, context),
  exported: (sql, rows) => exportScripts(sql, rows, stated),
  // Written with the rows: their parameters are known there alone.
  audit: () => [],
  // A lock of a person does not fit other code, and nobody goes on acting for somebody whom no manifest names.
  dropped: field => field === 'lock' || field === 'onBehalfOf'
} satisfies Kind<ScriptSpec, Facts>
