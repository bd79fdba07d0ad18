/** What exported objects are called: namespaces and names that follow from workspace and path alone. */
import { createHash } from 'node:crypto'
import type { NamespaceMapping } from './tenancy.ts'

export interface Naming {
  readonly mapping: NamespaceMapping
  /** Of all objects, if given. */
  readonly namespace: string | undefined
  readonly adminNamespaces: readonly string[]
}

/** Leaves room for the prefixes of Secrets in the 253 characters of a name. */
const LONGEST = 220

const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/**
 * The namespace whose objects go to the workspace by the mapping. Where there is none (`my_workspace` is no name of a
 * namespace) an admin namespace, whose objects may name any workspace: `shared` with other workspaces.
 */
export function namespaceFor(
  workspace: string,
  naming: Naming
): { readonly namespace: string; readonly shared: boolean } {
  const { mapping, namespace, adminNamespaces } = naming
  if (namespace !== undefined) return { namespace, shared: true }
  const mapped =
    mapping.mode === 'map'
      ? [...mapping.map].find(([, target]) => target === workspace)?.[0]
      : mapping.mode === 'namespace-as-workspace' || mapping.workspace === workspace
        ? workspace
        : undefined
  if (mapped !== undefined && label.test(mapped)) return { namespace: mapped, shared: false }
  return { namespace: adminNamespaces[0] ?? 'windmill-system', shared: true }
}

/**
 * A DNS-1123 subdomain. `f/crm/nightly_report` is f.crm.nightly-report; whatever this loses (capitals, hyphens of a path,
 * underscores of a workspace, length) comes back as a hash after `--`, which no other name has, so that two objects never
 * share a name. `prefixed`: objects of several workspaces share the namespace.
 */
export function nameFor(workspace: string, path: string, prefixed: boolean): string {
  const own = path === workspace ? [] : path.split('/')
  const ids = prefixed || own.length === 0 ? [workspace] : []
  const full = [...ids, ...own].join('/')
  const parts = [...ids, ...own.map(part => part.replaceAll('_', '-'))]
  const plain = parts.join('.')
  const clean = parts.every(part => label.test(part) && !part.includes('--')) && !own.join('').includes('-')
  if (clean && plain.length <= LONGEST) return plain
  const slug = parts
    .map(part =>
      part
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-')
        .replace(/^-+|-+$/g, '')
    )
    .filter(part => part !== '')
    .join('.')
  const hash = createHash('sha256').update(full).digest('hex').slice(0, 10)
  return `${slug.slice(0, LONGEST - 12).replace(/[-.]+$/, '') || 'x'}--${hash}`
}

/** `*` and `?` stay within a part of a path, `**` goes over parts. */
export function globs(patterns: readonly string[] | undefined): (path: string) => boolean {
  if (!patterns) return () => true
  const tests = patterns.map(pattern => {
    const source = pattern.replace(/\*\*|[*?]|[^*?]+/g, part => {
      if (part === '**') return '.*'
      if (part === '*') return '[^/]*'
      return part === '?' ? '[^/]' : part.replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    })
    return new RegExp(`^${source}$`, 's')
  })
  return path => tests.some(one => one.test(path))
}
