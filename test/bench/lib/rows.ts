/** How the rivals map CRs to Windmill's tables: the plain row of each kind, without versions, jobs, audit or encryption. */
import { createHash } from 'node:crypto'
import { canonical } from '../../../src/fingerprint.ts'
import type { Json } from '../../../src/model.ts'

type Spec = Readonly<Record<string, unknown>>

export interface Mapping {
  readonly table: string
  readonly key: readonly string[]
  /** SQL type by column; json and jsonb are compared by value. */
  readonly columns: Readonly<Record<string, string>>
  readonly row: (spec: Spec, workspace: string) => Readonly<Record<string, string | null>>
}

const text = (value: unknown): string | null =>
  value === undefined ? null : typeof value === 'string' ? value : JSON.stringify(value)
const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))
const who = 'iac_controller'

/** One row per path whatever the content: right would be a new version per change, which is more work. */
const hashOf = (workspace: string, path: string): string =>
  createHash('sha256').update(`${workspace}/${path}`).digest().readBigInt64BE().toString()

const byPath = { workspace_id: 'text', path: 'text' }
const pathKey = ['workspace_id', 'path']

export const mappings: Readonly<Record<string, Mapping>> = {
  WindmillFolder: {
    table: 'folder',
    key: ['workspace_id', 'name'],
    columns: {
      workspace_id: 'text',
      name: 'text',
      display_name: 'text',
      summary: 'text',
      owners: 'text[]',
      extra_perms: 'jsonb'
    },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      name: text(spec['name']),
      display_name: text(spec['name']),
      summary: text(spec['summary']),
      owners: '{}',
      extra_perms: '{}'
    })
  },
  WindmillGroup: {
    table: 'group_',
    key: ['workspace_id', 'name'],
    columns: { workspace_id: 'text', name: 'text', summary: 'text' },
    row: (spec, workspace) => ({ workspace_id: workspace, name: text(spec['name']), summary: text(spec['summary']) })
  },
  WindmillResourceType: {
    table: 'resource_type',
    key: ['workspace_id', 'name'],
    columns: { workspace_id: 'text', name: 'text', schema: 'jsonb', description: 'text' },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      name: text(spec['name']),
      schema: json(spec['schema']),
      description: text(spec['description'])
    })
  },
  WindmillVariable: {
    table: 'variable',
    key: pathKey,
    columns: { ...byPath, value: 'text', is_secret: 'boolean', description: 'text' },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      path: text(spec['path']),
      value: text(spec['value']),
      is_secret: spec['valueFrom'] === undefined ? 'false' : 'true',
      description: text(spec['description'])
    })
  },
  WindmillResource: {
    table: 'resource',
    key: pathKey,
    columns: { ...byPath, value: 'jsonb', resource_type: 'text', description: 'text' },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      path: text(spec['path']),
      value: json(spec['value']),
      resource_type: text(spec['resourceType']),
      description: text(spec['description'])
    })
  },
  WindmillScript: {
    table: 'script',
    key: ['workspace_id', 'hash'],
    columns: {
      workspace_id: 'text',
      hash: 'bigint',
      path: 'text',
      summary: 'text',
      description: 'text',
      content: 'text',
      language: 'script_lang',
      schema: 'json',
      lock: 'text',
      tag: 'text',
      timeout: 'int',
      created_by: 'text'
    },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      hash: hashOf(workspace, String(spec['path'])),
      path: text(spec['path']),
      summary: text(spec['summary']),
      description: text(spec['description']),
      content: text(spec['content'] ?? ''),
      language: text(spec['language']),
      schema: json(spec['schema']),
      lock: text(spec['lock']),
      tag: text(spec['tag']),
      timeout: text(spec['timeout']),
      created_by: who
    })
  },
  WindmillFlow: {
    table: 'flow',
    key: pathKey,
    columns: { ...byPath, summary: 'text', description: 'text', value: 'jsonb', schema: 'json', edited_by: 'text' },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      path: text(spec['path']),
      summary: text(spec['summary']),
      description: text(spec['description']),
      value: json(spec['value']),
      schema: json(spec['schema']),
      edited_by: who
    })
  },
  WindmillSchedule: {
    table: 'schedule',
    key: pathKey,
    columns: {
      ...byPath,
      schedule: 'text',
      timezone: 'text',
      script_path: 'text',
      is_flow: 'boolean',
      args: 'jsonb',
      enabled: 'boolean',
      summary: 'text',
      edited_by: 'text',
      email: 'text',
      permissioned_as: 'text'
    },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      path: text(spec['path']),
      schedule: text(spec['schedule']),
      timezone: text(spec['timezone'] ?? 'UTC'),
      script_path: text(spec['scriptPath']),
      is_flow: text(spec['isFlow'] ?? false),
      args: json(spec['args'] ?? {}),
      enabled: text(spec['enabled'] ?? true),
      summary: text(spec['summary']),
      edited_by: who,
      email: 'iac-controller@cluster.local',
      permissioned_as: `u/${who}`
    })
  },
  WindmillApp: {
    table: 'app',
    key: pathKey,
    columns: { ...byPath, summary: 'text', policy: 'jsonb', versions: 'bigint[]' },
    row: (spec, workspace) => ({
      workspace_id: workspace,
      path: text(spec['path']),
      summary: text(spec['summary'] ?? ''),
      policy: json(spec['policy']),
      versions: '{}'
    })
  }
}

export type Values = Readonly<Record<string, string | null>>

/** As both sides are compared: JSON by value, everything else as its text. */
export function sameRow({ columns }: Mapping, wanted: Values, live: Values): boolean {
  return Object.entries(columns).every(([column, type]) => {
    const [a, b] = [wanted[column] ?? null, live[column] ?? null]
    if (a === b) return true
    if (a === null || b === null || !type.startsWith('json')) return false
    return canonical(JSON.parse(a) as Json) === canonical(JSON.parse(b) as Json)
  })
}

export const selectList = ({ columns }: Mapping): string =>
  Object.entries(columns)
    .map(([column, type]) => (type === 'text' ? column : `${column}::text`))
    .join(', ')

/** A statement for so many rows, with one text parameter per value. */
export function upsertSql({ table, key, columns }: Mapping, rows: number): string {
  const names = Object.keys(columns)
  const types = Object.values(columns)
  let last = 0
  const values = Array.from({ length: rows }, () => `(${types.map(type => `$${++last}::text::${type}`).join(', ')})`)
  const updates = names.filter(name => !key.includes(name)).map(name => `${name} = excluded.${name}`)
  return `insert into ${table} (${names.join(', ')}) values ${values.join(', ')} on conflict (${key.join(', ')}) do update set ${updates.join(', ')}`
}

/** In an order that suits the references between kinds. */
export const orderedKinds: readonly string[] = Object.keys(mappings)

/** Where the value of a variable, or the content of a script, comes from. */
export function sourceOf(
  spec: Spec
): { readonly plural: 'secrets' | 'configmaps'; readonly name: string; readonly key: string } | undefined {
  const from = (spec['valueFrom'] ?? spec['contentFrom']) as Record<string, { name: string; key: string }> | undefined
  const secret = from?.['secretKeyRef']
  const config = from?.['configMapKeyRef']
  if (secret) return { plural: 'secrets', ...secret }
  return config && { plural: 'configmaps', ...config }
}

export const filled = (spec: Spec, value: string): Spec => ({
  ...spec,
  [spec['contentFrom'] === undefined ? 'value' : 'content']: value
})
