/** Variables: plain or encrypted texts. */
import { SyncError } from '../errors.ts'
import type { Compiled, Context, Input, Json, Kind, Observed, Ref, Row, Sql, Target } from '../model.ts'
import { auditedEdits } from '../windmill/audit.ts'
import { deleteVariables, trashVariables } from '../windmill/discard.ts'
import { maxPlainCharacters } from '../windmill/encryption.ts'
import { labelsColumn, labelsOf, labelsRead } from '../windmill/labels.ts'
import { oauthLocked, oauthNotes } from '../windmill/oauth.ts'
import { heldBack } from '../windmill/references.ts'
import { placesJson, rowTokens, type Shape, writeRows } from '../windmill/row-writer.ts'
import { holdKeys, openSecretStore, proveKeys, type SecretStore, secretStoreUses } from '../windmill/secret-store.ts'
import { refuseControl, refuseLong, secretNotes } from '../windmill/texts.ts'
import { exportVariables, listVariables } from '../windmill/variable-export.ts'

interface Spec {
  readonly workspace?: string
  readonly path: string
  readonly value?: string
  readonly valueFrom?: { readonly secretKeyRef: { readonly name: string; readonly key: string } }
  readonly description?: string
  readonly isSecret?: boolean
  readonly isOauth?: boolean
  readonly accountId?: number
  readonly labels?: readonly string[]
}

/** What comes from a Secret is a secret unless the CR says otherwise. */
const isSecret = (spec: Spec): boolean => spec.isSecret ?? spec.valueFrom !== undefined

const refOf = ({ valueFrom }: Spec): Ref | undefined => valueFrom && { kind: 'Secret', ...valueFrom.secretKeyRef }

function compile(input: Input<Spec>, store: SecretStore, context: Context): Compiled {
  const { spec, workspace, path } = input
  const generator = context.linkedBy(workspace, path)
  if (generator !== undefined) {
    throw new SyncError(
      'TakenBySomebodyElse',
      `${generator} generates the secret variable at this path; choose another path or remove the secret there.`
    )
  }
  const secret = isSecret(spec)
  const { text, notes } = valueOf(input, secret)
  refuseLong('description', spec.description, context.capabilities.maxLength('variable', 'description'))
  const labels = labelsOf('variable', spec.labels, context)
  const row: Row = {
    // The two always go together: Windmill would hand out ciphertext as the value, or fail to decrypt a plain one.
    value: secret ? store.seal(workspace, 'value', text) : text,
    isSecret: secret,
    ...(spec.description !== undefined && { description: spec.description }),
    ...labels.row
  }
  return {
    row,
    notes: [...notes, ...labels.notes, ...oauthNotes(spec)],
    ...(secret && { guard: store.guard(workspace) }),
    ...(spec.valueFrom && { masked: ['value'] })
  }
}

/** The plain text of the value, checked as far as it is stored plain. */
function valueOf({ spec, text }: Input<Spec>, secret: boolean): { text: string; notes: readonly string[] } {
  const ref = refOf(spec)
  if ((ref === undefined) === (spec.value === undefined)) {
    throw new SyncError('InvalidSpec', 'value and valueFrom: state exactly one of them.')
  }
  const value = ref ? text(ref) : (spec.value ?? '')
  // Legal inside a ciphertext, but no job could use it: an environment ends at it.
  refuseControl('value', value)
  if (!secret) refuseLong('value', value, maxPlainCharacters)
  const plain = 'isSecret is false: the text from the Secret is stored unencrypted, for all who may see the variable.'
  return { text: value, notes: ref ? [...(secret ? [] : [plain]), ...secretNotes('value', value)] : [] }
}

const hasTimes = ({ capabilities }: Context): boolean =>
  capabilities.has('variable', 'edited_at') && capabilities.has('variable', 'edited_by')

function shapeFor(context: Context): Shape {
  const times = hasTimes(context)
  return {
    table: 'variable',
    key: 'path',
    columns: [
      { field: 'value', column: 'value', as: 'text' },
      { field: 'isSecret', column: 'is_secret', as: 'boolean', empty: 'false' },
      { field: 'description', column: 'description', as: 'text', empty: "''" },
      ...(context.capabilities.has('variable', 'labels') ? [labelsColumn] : [])
    ],
    created: times ? { edited_by: 'j.who' } : {},
    updated: times ? { edited_at: 'now()', edited_by: 'j.who' } : {},
    only: 't.account is null and not t.is_oauth'
  }
}

interface Stored {
  readonly workspace: string
  readonly path: string
  readonly value: string
  readonly secret: boolean
  readonly description: string
  readonly labels: readonly string[] | null
  readonly oauth: boolean
  readonly at: Date | null
  readonly by: string | null
}

async function observe(sql: Sql, targets: readonly Target[], context: Context): Promise<readonly Observed[]> {
  const labels = context.capabilities.has('variable', 'labels') ? sql`array_to_json(v.labels)` : sql`null`
  const times = hasTimes(context) ? sql`v.edited_at as at, v.edited_by as by` : sql`null as at, null as by`
  const rows = await sql<Stored[]>`
    select v.workspace_id as workspace, v.path, v.value, v.is_secret as secret, v.description, ${labels} as labels,
           (v.account is not null or v.is_oauth) as oauth, ${times}
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join variable v on v.workspace_id = j.workspace and v.path = j.path`
  return rows.map(({ workspace, path, value, secret, description, labels, oauth, at, by }) => ({
    workspace,
    path,
    row: { value, isSecret: secret, description, labels: labelsRead(labels) },
    editedAt: at,
    editedBy: by,
    locked: oauth ? oauthLocked : undefined
  }))
}

const operations = { create: 'create', update: 'update', delete: 'delete', retire: 'delete' } as const

export default {
  kind: 'WindmillVariable',
  plural: 'windmillvariables',
  after: ['WindmillFolder'],
  rules: 1,
  uses: {
    variable: ['workspace_id', 'path', 'value', 'is_secret', 'description', 'account', 'is_oauth', 'extra_perms'],
    resource: ['workspace_id', 'path', 'value'],
    ...secretStoreUses
  },
  target: ({ workspace, path }) => ({ workspace, path }),
  inventory: listVariables,
  exported: exportVariables,
  refs: spec => [refOf(spec)].filter(ref => ref !== undefined),
  facts: (sql, inputs, context) =>
    openSecretStore(
      sql,
      inputs.filter(one => isSecret(one.spec)).map(one => one.workspace),
      context
    ),
  compile,
  tokens: (sql, targets) => rowTokens(sql, 'variable', targets),
  observe,
  edits: (sql, targets, context) => auditedEdits(sql, targets, { prefix: 'variables.' }, context),
  preflight: proveKeys,
  async write(sql, writes, context) {
    await holdKeys(sql, writes, context)
    await writeRows(sql, shapeFor(context), writes, context.user)
  },
  async remove(sql, removals, context) {
    await trashVariables(sql, removals, context)
    await deleteVariables(sql, removals, context)
  },
  blockers: (sql, removals) =>
    heldBack(
      sql,
      removals.map(({ workspace, path }) => ({ workspace, path, text: `$var:${path}` })),
      []
    ),
  audit: ({ op, path }) => [{ operation: `variables.${operations[op]}`, action: operations[op], resource: path }],
  secrets: (row: Row): readonly string[] => (row['isSecret'] === (true as Json) ? ['value'] : [])
} satisfies Kind<Spec, SecretStore>
