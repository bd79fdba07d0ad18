/** Rows as the manifests of the CRs that would make them. */
import { stringify } from 'yaml'
import type { Schema } from './crd-schema.ts'
import type { Entry, Json, Kind, Row } from './model.ts'

/** Where secrets of a kept manifest stand, as the database holds them: JSON, ciphertext by field. */
export const ENCRYPTED = 'windmill.dev/encrypted'

/** Kubectl reads YAML 1.1, where yes and 12:30 are no texts; blocks keep their lines. */
const writing = {
  compat: 'yaml-1.1',
  lineWidth: 0,
  blockQuote: 'literal',
  aliasDuplicateObjects: false
} as const

export const yamlOf = (document: object): string => stringify(document, writing)

/** YAML that kubectl reads back; secrets stay encrypted and apart, so that applying it cannot store ciphertext as a value. */
export function manifestText(
  kind: Pick<Kind, 'kind' | 'pathField' | 'inWorkspace' | 'secrets' | 'stated'>,
  entry: Pick<Entry, 'namespace' | 'name' | 'workspace' | 'path'>,
  row: Row
): string {
  const secret = new Set(kind.secrets?.(row) ?? [])
  const open = Object.entries(kind.stated?.(row) ?? row).filter(([field]) => !secret.has(field))
  const sealed = Object.fromEntries([...secret].sort().map(field => [field, row[field]]))
  return yamlOf(
    crOf({
      kind: kind.kind,
      name: entry.name,
      namespace: entry.namespace,
      annotations: secret.size > 0 ? { [ENCRYPTED]: JSON.stringify(sealed) } : {},
      spec: { ...headOf(kind, entry), ...nested(Object.fromEntries(open)) }
    })
  )
}

/** The part of a spec that says where the object is. */
export const headOf = (
  kind: Pick<Kind, 'pathField' | 'inWorkspace'>,
  { workspace, path }: { readonly workspace: string | null; readonly path: string | null }
): Record<string, Json> => ({
  ...(kind.inWorkspace !== false && { workspace }),
  [kind.pathField ?? 'path']: path
})

interface Cr {
  readonly kind: string
  readonly name: string | null
  readonly namespace: string | null
  /** With prefix. */
  readonly annotations: Readonly<Record<string, string>>
  readonly spec: object
}

export const crOf = ({ kind, name, namespace, annotations, spec }: Cr): object => ({
  apiVersion: 'windmill.dev/v1alpha1',
  kind,
  metadata: { name, namespace, ...(Object.keys(annotations).length > 0 && { annotations }) },
  spec
})

/** A spec from the fields of a row: `settings.webhook` goes below `settings`, nulls are left out. */
export function nested(row: Row): Record<string, unknown> {
  const spec: Record<string, unknown> = {}
  for (const field of Object.keys(row).sort()) {
    const value = row[field]
    if (value !== null && value !== undefined) place(spec, field.split('.'), value)
  }
  return spec
}

function place(spec: Record<string, unknown>, [head = '', ...rest]: readonly string[], value: Json): void {
  if (rest.length === 0) {
    spec[head] = value
    return
  }
  const below = spec[head]
  const inner = below !== null && typeof below === 'object' ? (below as Record<string, unknown>) : {}
  spec[head] = inner
  place(inner, rest, value)
}

/** What people scroll through comes after what they look for. */
const last = ['schema', 'value', 'valuesFrom', 'valueFrom', 'content']

/** Fields in the order of the CRD, long ones last, wherever the CRD names fields; free JSON stays as it is. */
export function inOrder(value: unknown, schema: Schema | undefined): unknown {
  if (Array.isArray(value)) return value.map(item => inOrder(item, schema?.items))
  if (value === null || typeof value !== 'object' || !schema?.properties) return value
  const known = Object.keys(schema.properties)
  const rank = (name: string): number => {
    const late = last.indexOf(name)
    return late >= 0 ? known.length + 1 + late : known.includes(name) ? known.indexOf(name) : known.length
  }
  const members = Object.entries(value).sort(([a], [b]) => rank(a) - rank(b))
  return Object.fromEntries(members.map(([name, member]) => [name, inOrder(member, schema.properties?.[name])]))
}
