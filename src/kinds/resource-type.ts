/** Resource types: the JSON schemas of resources. */
import { SyncError } from '../errors.ts'
import {
  type Compiled,
  type Context,
  type Exported,
  type Exporting,
  type Input,
  type Json,
  type Kind,
  type Observed,
  type Removal,
  type Row,
  type Sql,
  type Target,
  targetKey
} from '../model.ts'
import { auditedEdits } from '../windmill/audit.ts'
import { isObject, refuseDeep, refuseUnstorable, roundedNotes } from '../windmill/json-values.ts'
import { sharedWorkspace } from '../windmill/resource-types.ts'
import { placesJson, rowTokens, type Shape, writeRows } from '../windmill/row-writer.ts'
import { refuseLong } from '../windmill/texts.ts'

interface Spec {
  readonly workspace?: string
  readonly name: string
  readonly schema: Json
  readonly description?: string
  readonly formatExtension?: string
  readonly fileset?: boolean
}

/** Keys of types whose name exists elsewhere too, in a place that matters. */
type Facts = ReadonlySet<string>

async function facts(sql: Sql, inputs: readonly Input<Spec>[]): Promise<Facts> {
  const rows = await sql<{ workspace: string; path: string }[]>`
    select j.workspace, j.path
      from jsonb_to_recordset(${placesJson(inputs)}::text::jsonb) as j(workspace text, path text)
     where exists (select from resource_type t
                    where t.name = j.path and t.workspace_id <> j.workspace
                      and ${sharedWorkspace} in (t.workspace_id, j.workspace))`
  return new Set(rows.map(row => targetKey(row.workspace, row.path)))
}

function compile({ spec, workspace, path }: Input<Spec>, shadowed: Facts, { capabilities }: Context): Compiled {
  const { schema, description, formatExtension, fileset } = spec
  check(spec)
  refuseLong('formatExtension', formatExtension, capabilities.maxLength('resource_type', 'format_extension'))
  const notes = [...schemaNotes(spec), ...nameNotes(path, workspace, shadowed), ...roundedNotes('schema', schema)]
  if (fileset && !hasFileset(capabilities)) notes.push('fileset: this Windmill has no such column; ignored.')
  const row: Row = {
    schema,
    ...(description !== undefined && { description }),
    ...kindOfFile(spec, hasFileset(capabilities))
  }
  return { row, notes }
}

function check({ schema, formatExtension, fileset }: Spec): void {
  refuseDeep('schema', schema)
  refuseUnstorable('schema', schema)
  if (formatExtension?.startsWith('.')) {
    throw new SyncError('InvalidSpec', 'formatExtension: give the extension without its dot.')
  }
  if (formatExtension && fileset) {
    throw new SyncError('InvalidSpec', 'formatExtension and fileset exclude each other; state one of them.')
  }
}

/** Whichever of the two is stated as given, the other cannot stay (contract: variables-and-resources §1.4). */
function kindOfFile({ formatExtension, fileset }: Spec, withFileset: boolean): Row {
  if (!withFileset) return formatExtension === undefined ? {} : { formatExtension: formatExtension || null }
  if (formatExtension) return { formatExtension, fileset: false }
  if (fileset) return { formatExtension: null, fileset: true }
  return {
    ...(formatExtension !== undefined && { formatExtension: null }),
    ...(fileset !== undefined && { fileset: false })
  }
}

const hasFileset = (capabilities: Context['capabilities']): boolean => capabilities.has('resource_type', 'is_fileset')

function schemaNotes({ schema, formatExtension, fileset }: Spec): string[] {
  const described = isObject(schema) && isObject(schema['properties'])
  return described || formatExtension || fileset
    ? []
    : ["schema: without properties Windmill's editor shows no fields."]
}

function nameNotes(name: string, workspace: string, shadowed: Facts): string[] {
  const notes: string[] = []
  if (!/^[a-z0-9]+(_[a-z0-9]+)*$/.test(name)) {
    notes.push('name: not in snake_case, so typed signatures of scripts cannot name this type.')
  }
  if (shadowed.has(targetKey(workspace, name))) {
    const where = workspace === sharedWorkspace ? 'another workspace' : `workspace ${sharedWorkspace}`
    notes.push(`name: ${where} has a type of the same name, and Windmill takes either of the two; rename one.`)
  }
  return notes
}

function shapeFor({ capabilities }: Context): Shape {
  return {
    table: 'resource_type',
    key: 'name',
    columns: [
      { field: 'schema', column: 'schema', as: 'jsonb' },
      { field: 'description', column: 'description', as: 'text' },
      { field: 'formatExtension', column: 'format_extension', as: 'text' },
      ...(hasFileset(capabilities)
        ? [{ field: 'fileset', column: 'is_fileset', as: 'boolean', empty: 'false' } as const]
        : [])
    ],
    created: { edited_at: 'now()', created_by: 'j.who' },
    updated: { edited_at: 'now()' }
  }
}

interface Stored {
  readonly workspace: string
  readonly path: string
  readonly schema: Json
  readonly description: string | null
  readonly formatExtension: string | null
  readonly fileset: boolean
  readonly editedAt: Date | null
}

async function observe(sql: Sql, targets: readonly Target[], { capabilities }: Context): Promise<readonly Observed[]> {
  const rows = await sql<Stored[]>`
    select t.workspace_id as workspace, t.name as path, t.schema, t.description, t.format_extension as "formatExtension",
           ${hasFileset(capabilities) ? sql`t.is_fileset` : sql`false`} as fileset, t.edited_at as "editedAt"
      from jsonb_to_recordset(${placesJson(targets)}::text::jsonb) as j(workspace text, path text)
      join resource_type t on t.workspace_id = j.workspace and t.name = j.path`
  return rows.map(({ workspace, path, editedAt, ...row }) => ({ workspace, path, row, editedAt }))
}

async function remove(sql: Sql, removals: readonly Removal[]): Promise<void> {
  await sql`
    delete from resource_type t
     using jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)
     where t.workspace_id = j.workspace and t.name = j.path`
}

/** Windmill deletes a type in use without a word; its resources then have an unknown type (contract: §5). */
async function blockers(sql: Sql, removals: readonly Removal[]): Promise<ReadonlyMap<string, string>> {
  const rows = await sql<{ workspace: string; path: string; holder: string }[]>`
    select distinct on (j.workspace, j.path) j.workspace, j.path, r.workspace_id || ': ' || r.path as holder
      from jsonb_to_recordset(${placesJson(removals)}::text::jsonb) as j(workspace text, path text)
      join resource r on r.resource_type = j.path and (r.workspace_id = j.workspace or j.workspace = ${sharedWorkspace})
     order by j.workspace, j.path, r.workspace_id, r.path`
  const sentence = (holder: string): string => `Resources have this type (${holder}); delete or change them first.`
  return new Map(rows.map(row => [targetKey(row.workspace, row.path), sentence(row.holder)]))
}

/** In `admins` a job of Windmill's keeps the types of the hub; types that people make there start with c_ (contract: §5). */
async function inventory(sql: Sql, workspaces: readonly string[]) {
  return sql<{ workspace: string; path: string; own: boolean }[]>`
    select workspace_id as workspace, name as path,
           workspace_id = ${sharedWorkspace} and not starts_with(name, 'c_') as own
      from resource_type
     where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
     order by workspace_id, name collate "C"`
}

async function exported(_sql: Sql, rows: readonly Exporting[]): Promise<readonly Exported[]> {
  return rows.map(({ row: { description, formatExtension, fileset, schema } }) => ({
    spec: {
      description: description || null,
      formatExtension: formatExtension || null,
      fileset: fileset === true || null,
      schema
    }
  }))
}

const operations = { create: 'create', update: 'update', delete: 'delete', retire: 'delete' } as const

export default {
  kind: 'WindmillResourceType',
  plural: 'windmillresourcetypes',
  pathField: 'name',
  after: ['WindmillWorkspace'],
  rules: 1,
  uses: {
    resource_type: ['workspace_id', 'name', 'schema', 'description', 'edited_at', 'created_by', 'format_extension'],
    resource: ['workspace_id', 'path', 'resource_type']
  },
  target: ({ workspace, name }) => ({ workspace, path: name }),
  check,
  inventory,
  exported,
  facts,
  compile,
  tokens: (sql, targets) => rowTokens(sql, 'resource_type', targets),
  observe,
  edits: (sql, targets, context) => auditedEdits(sql, targets, { prefix: 'resource_types.' }, context),
  write: (sql, writes, context) => writeRows(sql, shapeFor(context), writes, context.user),
  remove,
  blockers,
  audit: ({ op, path }) => [{ operation: `resource_types.${operations[op]}`, action: operations[op], resource: path }]
} satisfies Kind<Spec, Facts>
