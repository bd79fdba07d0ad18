/** A row as the manifest of the CR that would make it. */
import { stringify } from 'yaml'
import type { Entry, Json, Kind, Row } from './model.ts'

/** Where secrets of a manifest stand, as the database holds them: JSON, ciphertext by field. */
const ENCRYPTED = 'windmill.dev/encrypted'

/** YAML that kubectl reads back; secrets stay encrypted and apart, so that applying it cannot store ciphertext as a value. */
export function manifestText(
  kind: Pick<Kind, 'kind' | 'pathField' | 'inWorkspace' | 'secrets' | 'stated'>,
  entry: Pick<Entry, 'namespace' | 'name' | 'workspace' | 'path'>,
  row: Row
): string {
  const secret = new Set(kind.secrets?.(row) ?? [])
  const spec: Record<string, unknown> = {
    ...(kind.inWorkspace !== false && { workspace: entry.workspace }),
    [kind.pathField ?? 'path']: entry.path
  }
  const stated = kind.stated?.(row) ?? row
  for (const field of Object.keys(stated).sort()) {
    const value = stated[field]
    if (value !== null && value !== undefined && !secret.has(field)) place(spec, field.split('.'), value)
  }
  const sealed = Object.fromEntries([...secret].sort().map(field => [field, row[field]]))
  const manifest = {
    apiVersion: 'windmill.dev/v1alpha1',
    kind: kind.kind,
    metadata: {
      name: entry.name,
      namespace: entry.namespace,
      ...(secret.size > 0 && { annotations: { [ENCRYPTED]: JSON.stringify(sealed) } })
    },
    spec
  }
  return stringify(manifest, { compat: 'yaml-1.1', lineWidth: 0, blockQuote: 'literal', aliasDuplicateObjects: false })
}

/** `settings.webhook` goes below `settings`. */
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
