/** Resources: connections and settings for scripts, their secrets kept in linked secret variables. */
import { SyncError } from '../errors.ts'
import {
  type Compiled,
  type Context,
  type Input,
  type Json,
  type Kind,
  LINKED,
  type Observed,
  type Ref,
  type Row,
  type Sql,
  type Target,
  targetKey,
  type Write
} from '../model.ts'
import { auditedEdits } from '../windmill/audit.ts'
import { labelsColumn, labelsOf, labelsRead } from '../windmill/labels.ts'
import { type Split, splitSecrets } from '../windmill/linked-secrets.ts'
import {
  type Declared,
  dropLinked,
  type Existing,
  isGeneratedBy,
  nameOf,
  putLinked,
  readDeclared,
  readExisting,
  refuseTaken,
  taken,
  type Wanted
} from '../windmill/linked-variables.ts'
import { oauthNotes } from '../windmill/oauth.ts'
import { heldBack } from '../windmill/references.ts'
import { exportResources, listResources } from '../windmill/resource-export.ts'
import {
  auditResource,
  changedLinks,
  droppedLinks,
  linkedOf,
  namesOf,
  withDoomedLinks
} from '../windmill/resource-links.ts'
import { holdsOpenSecret, refuseSpecial, unknownType, valueNotes } from '../windmill/resource-rules.ts'
import { addAppFolders, deleteResources, nameAuthor, recordVersions } from '../windmill/resource-store.ts'
import { linkedRows, resourceTokens } from '../windmill/resource-tokens.ts'
import { readTypes, type Types } from '../windmill/resource-types.ts'
import { placesJson, type Shape, writeRows } from '../windmill/row-writer.ts'
import { holdKeys, openSecretStore, proveKeys, type SecretStore, secretStoreUses } from '../windmill/secret-store.ts'

interface KeyRef {
  readonly name: string
  readonly key: string
}

interface Spec {
  readonly workspace?: string
  readonly path: string
  readonly resourceType: string
  readonly description?: string
  readonly value?: Json
  readonly valueFrom?: { readonly secretKeyRef: KeyRef }
  readonly valuesFrom?: readonly { readonly field: string; readonly secretKeyRef: KeyRef }[]
  readonly isOauth?: boolean
  readonly labels?: readonly string[]
}

const refTo = (ref: KeyRef): Ref => ({ kind: 'Secret', name: ref.name, key: ref.key })

const refsOf = ({ valueFrom, valuesFrom = [] }: Spec): readonly Ref[] =>
  [...(valueFrom ? [valueFrom] : []), ...valuesFrom].map(one => refTo(one.secretKeyRef))

interface Facts {
  readonly types: Types
  readonly store: SecretStore
  readonly existing: Existing
  readonly declared: Declared
  /** Which CR of this batch comes first at a variable's path, where the ledger knows none. */
  readonly first: ReadonlyMap<string, string>
}

async function facts(sql: Sql, inputs: readonly Input<Spec>[], context: Context): Promise<Facts> {
  const types = await readTypes(
    sql,
    inputs.map(({ workspace, spec }) => ({ workspace, name: spec.resourceType }))
  )
  const secretive = inputs.filter(one => refsOf(one.spec).length > 0)
  const store = await openSecretStore(
    sql,
    secretive.map(one => one.workspace),
    context
  )
  const wanted: Wanted[] = []
  const first = new Map<string, string>()
  for (const input of [...secretive].sort(byAge)) {
    for (const path of linkedPaths(input, types)) {
      const key = targetKey(input.workspace, path)
      wanted.push({ workspace: input.workspace, path, resource: input.path })
      if (!first.has(key)) first.set(key, nameOf(input.listed))
    }
  }
  const [existing, declared] = [await readExisting(sql, wanted), await readDeclared(sql, wanted, context)]
  return { types, store, existing, declared, first }
}

const byAge = ({ listed: a }: Input, { listed: b }: Input): number =>
  a.createdAt < b.createdAt || (a.createdAt === b.createdAt && nameOf(a) < nameOf(b)) ? -1 : 1

/** What is wrong with the object is said when it is compiled. */
function linkedPaths(input: Input<Spec>, types: Types): readonly string[] {
  try {
    return split(input, types).links.map(link => link.variable)
  } catch (error) {
    if (error instanceof SyncError) return []
    throw error
  }
}

function split({ spec, workspace, path, text }: Input<Spec>, types: Types): Split {
  const { resourceType, value, valueFrom, valuesFrom = [] } = spec
  return splitSecrets({
    path,
    type: resourceType,
    schema: types.get(targetKey(workspace, resourceType)),
    literal: value,
    whole: valueFrom && text(refTo(valueFrom.secretKeyRef)),
    fields: valuesFrom.map(one => ({ field: one.field, text: text(refTo(one.secretKeyRef)) }))
  })
}

function compile(input: Input<Spec>, facts: Facts, context: Context): Compiled {
  const { spec, workspace, path } = input
  const { resourceType, description } = spec
  const isSecretive = refsOf(spec).length > 0
  refuseSpecial(spec, isSecretive)
  const { value, links, masked, notes } = split(input, facts.types)
  for (const { variable } of links) claim({ workspace, path: variable, resource: path }, input, facts, context)
  const labels = labelsOf('resource', spec.labels, context)
  const row: Row = {
    resourceType,
    ...(description !== undefined && { description }),
    ...(value !== undefined && { value }),
    ...labels.row,
    ...Object.fromEntries(
      links.map(({ variable, field, text }) => [LINKED + variable, facts.store.seal(workspace, field, text)])
    )
  }
  const isKnown = facts.types.has(targetKey(workspace, resourceType))
  return {
    row,
    notes: [
      ...(isKnown ? [] : [unknownType(isSecretive)]),
      ...notes,
      ...valueNotes(resourceType, spec.value, value),
      ...labels.notes,
      ...oauthNotes(spec)
    ],
    // Once the type is there, its schema decides which fields are secret.
    ...(!isKnown && isSecretive && { unsettled: true }),
    ...(links.length > 0 && { guard: facts.store.guard(workspace) }),
    ...((masked || links.length > 0) && { masked: ['value'] })
  }
}

function claim(wanted: Wanted, { listed }: Input, facts: Facts, context: Context): void {
  refuseTaken(wanted, facts, listed, context)
  const other = facts.first.get(targetKey(wanted.workspace, wanted.path))
  if (other !== undefined && other !== nameOf(listed) && !isGeneratedBy(wanted, listed, context))
    throw taken(wanted.path, other)
}

interface Stored {
  readonly workspace: string
  readonly path: string
  readonly row: { readonly resourceType: string; readonly description: string | null; readonly value: Json }
  readonly labels: readonly string[] | null
  readonly at: Date | null
}

async function observe(sql: Sql, targets: readonly Target[], context: Context): Promise<readonly Observed[]> {
  const rows = await sql<Stored[]>`
    select r.workspace_id as workspace, r.path, r.edited_at as at,
           json_build_object('resourceType', r.resource_type, 'description', r.description, 'value', r.value) as row,
           ${context.capabilities.has('resource', 'labels') ? sql`array_to_json(r.labels)` : sql`null`} as labels
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join resource r on r.workspace_id = j.workspace and r.path = j.path`
  const variables = await linkedRows(sql, targets, context)
  const linked = new Map(targets.map(one => [targetKey(one.workspace, one.path), linkedOf(one.fields)]))
  return rows.map(({ workspace, path, row, labels, at }) => {
    const paths = linked.get(targetKey(workspace, path)) ?? []
    const found = paths.map(one => [one, variables.get(targetKey(workspace, one))] as const)
    const secrets = Object.fromEntries(found.map(([one, variable]) => [LINKED + one, variable?.value ?? null]))
    const times = [at, ...found.map(([, variable]) => variable?.at ?? null)].filter(one => one !== null)
    const newest = times.length > 0 ? new Date(Math.max(...times.map(one => one.getTime()))) : null
    return { workspace, path, row: { ...row, labels: labelsRead(labels), ...secrets }, editedAt: newest }
  })
}

function shapeFor({ capabilities }: Context): Shape {
  return {
    table: 'resource',
    key: 'path',
    columns: [
      { field: 'resourceType', column: 'resource_type', as: 'text' },
      { field: 'description', column: 'description', as: 'text' },
      // Like the API: JSON null, never SQL NULL (contract: variables-and-resources §1.2, trap 13).
      { field: 'value', column: 'value', as: 'jsonb', empty: "'null'" },
      ...(capabilities.has('resource', 'labels') ? [labelsColumn] : [])
    ],
    created: { edited_at: 'now()', created_by: 'j.who' },
    updated: { edited_at: 'now()' }
  }
}

async function write(sql: Sql, writes: readonly Write[], context: Context): Promise<void> {
  await holdKeys(sql, writes, context)
  await nameAuthor(sql, context)
  await addAppFolders(sql, writes, context)
  await putLinked(
    sql,
    writes.flatMap(one => changedLinks(one, context)),
    context
  )
  await writeRows(sql, shapeFor(context), writes, context.user)
  await recordVersions(sql, writes, context)
  await dropLinked(
    sql,
    writes.flatMap(one => droppedLinks(one).map(path => ({ workspace: one.workspace, path }))),
    context
  )
}

/** The two kinds of secrets that a row shows: ciphertexts, and literals that somebody put into the value. */
function secrets(row: Row): readonly string[] {
  const linked = Object.keys(row).filter(field => field.startsWith(LINKED))
  return holdsOpenSecret(row['value']) ? [...linked, 'value'] : linked
}

export default {
  kind: 'WindmillResource',
  plural: 'windmillresources',
  after: ['WindmillVariable', 'WindmillResourceType', 'WindmillFolder'],
  rules: 1,
  uses: {
    resource: [
      'workspace_id',
      'path',
      'value',
      'description',
      'resource_type',
      'extra_perms',
      'edited_at',
      'created_by'
    ],
    variable: ['workspace_id', 'path', 'value', 'is_secret', 'description', 'extra_perms', 'account', 'is_oauth'],
    resource_type: ['workspace_id', 'name', 'schema'],
    folder: ['workspace_id', 'name', 'display_name', 'owners', 'extra_perms', 'created_by', 'edited_at'],
    ...secretStoreUses
  },
  target: ({ workspace, path }) => ({ workspace, path }),
  check: spec => refuseSpecial(spec, refsOf(spec).length > 0),
  inventory: listResources,
  exported: exportResources,
  refs: refsOf,
  facts,
  compile,
  tokens: resourceTokens,
  observe,
  edits: (sql, targets, context) => auditedEdits(sql, targets, { prefix: 'resources.' }, context),
  write,
  remove: async (sql, removals, context) =>
    deleteResources(sql, await withDoomedLinks(sql, removals, context), context),
  preflight: proveKeys,
  blockers: (sql, removals) => heldBack(sql, removals.flatMap(namesOf), removals),
  audit: auditResource,
  secrets,
  dropped: field => field.startsWith(LINKED)
} satisfies Kind<Spec, Facts>
