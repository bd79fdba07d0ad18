/** Resources as manifests: which secret variables a manifest states as fields of its resource. */
import {
  type Context,
  type Exported,
  type Exporting,
  type Json,
  LINKED,
  type Row,
  type Sql,
  targetKey
} from '../model.ts'
import { isObject } from './json-values.ts'
import { furtherVariable, scalarField } from './linked-secrets.ts'
import { isPublic, openSecrets } from './resource-rules.ts'
import { propertyOf, readTypes } from './resource-types.ts'
import { placesJson } from './row-writer.ts'

const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

interface Resource {
  readonly workspace: string
  readonly path: string
  readonly type: string
  readonly value: Json
  /** Of the resource type; undefined: unknown type. */
  readonly schema: Json | undefined
}

/** A secret variable that a resource refers to. */
interface Variable {
  readonly ciphertext: string
  /** Made by a resource of ours, says its description. */
  readonly generated: boolean
}

/** A field of a resource that is stated by reference to a Secret. */
interface Fold {
  readonly field: string
  readonly variable: string
  readonly ciphertext: string
}

/** Fields whose text is `$var:` and a variable. */
const referringFields = (value: Json): readonly { field: string; variable: string }[] =>
  Object.entries(isObject(value) ? value : {}).flatMap(([field, text]) =>
    typeof text === 'string' && text.startsWith('$var:') ? [{ field, variable: text.slice(5) }] : []
  )

const isFieldName = (field: string): boolean => /^[A-Za-z0-9_-]{1,100}$/.test(field)

/**
 * The fields that a manifest can state in `valuesFrom` so that applying it makes the very same variables: the first at
 * the path of the resource (which is how Windmill's own editor links, contract: variables-and-resources §3.2), further
 * ones only where we made them.
 */
function foldsOf(resource: Resource, variables: ReadonlyMap<string, Variable>): readonly Fold[] {
  const { path, type, value } = resource
  if (isPublic(path, type)) return []
  const folds = referringFields(value).flatMap(({ field, variable }) => {
    const found = variables.get(variable)
    const first = variable === path
    const further = variable === furtherVariable(path, [field]) && found?.generated
    const fits = isFieldName(field) && scalarField(resource, field) === undefined && (first || further)
    return found && fits ? [{ field, variable, ciphertext: found.ciphertext }] : []
  })
  const main = folds.find(one => one.variable === path)
  if (!main) return []
  const others = folds.filter(one => one.variable !== path).sort((a, b) => (a.field < b.field ? -1 : 1))
  return [main, ...others]
}

/** What the resources refer to at paths of their own, by target key of the resource. */
async function readVariables(
  sql: Sql,
  resources: readonly Resource[]
): Promise<ReadonlyMap<string, ReadonlyMap<string, Variable>>> {
  const wanted = resources.flatMap(({ workspace, path, value }) =>
    referringFields(value)
      .filter(one => one.variable === path || one.variable.startsWith(`${path}_`))
      .map(one => ({ workspace, path: one.variable }))
  )
  if (wanted.length === 0) return new Map()
  const rows = await sql<{ workspace: string; path: string; ciphertext: string; generated: boolean }[]>`
    select v.workspace_id as workspace, v.path, v.value as ciphertext,
           starts_with(v.description, 'Managed by WindmillResource ') as generated
      from jsonb_to_recordset(${placesJson(wanted)}::text::jsonb) as j(workspace text, path text)
      join variable v on v.workspace_id = j.workspace and v.path = j.path
     where v.is_secret and v.account is null and not v.is_oauth and v.value <> '' and v.value not like '$%'`
  const found = new Map(rows.map(row => [targetKey(row.workspace, row.path), row]))
  return new Map(
    resources.map(({ workspace, path, value }) => {
      const own = referringFields(value).flatMap(({ variable }) => {
        const row = found.get(targetKey(workspace, variable))
        return row ? [[variable, row] as const] : []
      })
      return [targetKey(workspace, path), new Map(own)]
    })
  )
}

/** What is kept of a deleted resource brings its variables along. */
const keptVariables = (row: Row): ReadonlyMap<string, Variable> =>
  new Map(
    Object.entries(row).flatMap(([field, value]) =>
      field.startsWith(LINKED) && typeof value === 'string'
        ? [[field.slice(LINKED.length), { ciphertext: value, generated: true }] as const]
        : []
    )
  )

async function withSchemas<T extends Omit<Resource, 'schema'>>(
  sql: Sql,
  resources: readonly T[]
): Promise<readonly (T & { schema: Json | undefined })[]> {
  const types = await readTypes(
    sql,
    resources.map(({ workspace, type }) => ({ workspace, name: type }))
  )
  return resources.map(one => ({ ...one, schema: types.get(targetKey(one.workspace, one.type)) }))
}

/**
 * The resource that states a secret variable as a field of its own, by target key of the variable: such variables need
 * no manifest.
 */
export async function resourcesStating(
  sql: Sql,
  variables: readonly { readonly workspace: string; readonly path: string }[]
): Promise<ReadonlyMap<string, string>> {
  const candidates = variables.flatMap(({ workspace, path }) =>
    [path, ...stems(path)].map(one => ({ workspace, path: one }))
  )
  if (candidates.length === 0) return new Map()
  const rows = await sql<Omit<Resource, 'schema'>[]>`
    select distinct r.workspace_id as workspace, r.path, r.resource_type as type, r.value
      from jsonb_to_recordset(${placesJson(candidates)}::text::jsonb) as j(workspace text, path text)
      join resource r on r.workspace_id = j.workspace and r.path = j.path`
  const resources = await withSchemas(sql, rows)
  const referred = await readVariables(sql, resources)
  const stating = new Map<string, string>()
  for (const resource of resources) {
    const { workspace, path } = resource
    const folds = foldsOf(resource, referred.get(targetKey(workspace, path)) ?? new Map())
    for (const { variable } of folds) stating.set(targetKey(workspace, variable), path)
  }
  return stating
}

/** `f/a/db_user_name` may belong to `f/a/db` or `f/a/db_user`. */
function stems(path: string): readonly string[] {
  const found: string[] = []
  for (let at = path.indexOf('_', path.lastIndexOf('/') + 2); at > 0; at = path.indexOf('_', at + 1)) {
    found.push(path.slice(0, at))
  }
  return found
}

export async function exportResources(
  sql: Sql,
  rows: readonly Exporting[],
  _context: Context
): Promise<readonly Exported[]> {
  const resources = await withSchemas(
    sql,
    rows.map(one => ({
      workspace: one.workspace,
      path: one.path,
      type: textOf(one.row['resourceType']),
      value: one.row['value'] ?? null,
      given: one
    }))
  )
  const variables = await readVariables(
    sql,
    resources.filter(one => one.given.live)
  )
  return resources.map(resource => {
    const { workspace, path, given } = resource
    const own = given.live ? variables.get(targetKey(workspace, path)) : keptVariables(given.row)
    return exportOne(resource, given, foldsOf(resource, own ?? new Map()))
  })
}

function exportOne(resource: Resource, { row, secret }: Exporting, folds: readonly Fold[]): Exported {
  const { path, type, value, schema } = resource
  if (value !== null && !isObject(value)) {
    return { leave: 'The value is no object, which a custom resource cannot state.', loss: true }
  }
  const open = openSecrets(value, place => propertyOf(schema, place)?.['password'] === true)
  const inside = open.find(
    ({ place, value }) => place.length !== 1 || typeof value !== 'string' || !isFieldName(place[0] ?? '')
  )
  const names = [...new Set(open.map(leaf => leaf.place.join('.')))].join(', ')
  if (inside || (open.length > 0 && isPublic(path, type))) {
    const why = `The value holds ${names} unencrypted, where no reference to a Secret can stand`
    return { leave: `${why}; move it into a secret variable in Windmill first.`, loss: true }
  }
  const texts = open.map(leaf => ({ field: leaf.place[0] ?? '', text: String(leaf.value) }))
  const stated = [...folds, ...texts].map(one => one.field)
  const rest = Object.fromEntries(Object.entries(value ?? {}).filter(([field]) => !stated.includes(field)))
  const ref = (field: string): Json => ({ field, secretKeyRef: { name: secret, key: field } })
  return {
    spec: {
      resourceType: type,
      description: row['description'] || null,
      labels: row['labels'],
      // Nothing but references needs no value; an empty object alone is one.
      value: stated.length > 0 && Object.keys(rest).length === 0 ? null : value && rest,
      valuesFrom: stated.length > 0 ? stated.map(ref) : null
    },
    secrets: [
      ...folds.map(one => ({ key: one.field, ciphertext: one.ciphertext, field: LINKED + one.variable })),
      ...texts.map(one => ({ key: one.field, text: one.text, field: 'value' }))
    ],
    ...(open.length > 0 && {
      changes: `The value holds ${names} unencrypted: applying the manifest moves it into a secret variable.`
    })
  }
}

/** Rows of jobs and of the server are none that people declare (contract: §3.4); the slack bot's are Windmill's own. */
export async function listResources(sql: Sql, workspaces: readonly string[]) {
  return sql<{ workspace: string; path: string; own: boolean }[]>`
    select workspace_id as workspace, path,
           path = 'f/app_themes/theme_0' or starts_with(path, 'f/slack_bot/') as own
      from resource
     where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
       and resource_type not in ('state', 'cache')
     order by workspace_id, path collate "C"`
}
