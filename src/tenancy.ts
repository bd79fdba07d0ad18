/** Who may write where, and which policies hold: annotations of the object beat the namespace's, which beat settings. */
import { SyncError } from './errors.ts'
import type { Adopt, ConflictPolicy, DeletionPolicy, Listed, Policies } from './model.ts'

export type NamespaceMapping =
  | { readonly mode: 'namespace-as-workspace' }
  | { readonly mode: 'fixed'; readonly workspace: string }
  | { readonly mode: 'map'; readonly map: ReadonlyMap<string, string> }

export interface TenancyRules {
  readonly mapping: NamespaceMapping
  readonly adminNamespaces: ReadonlySet<string>
  readonly policies: Policies
  /** Our annotations of the Namespace objects (without prefix), by name. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>
}

/** The workspace that a namespace's CRs go to unless they say otherwise; undefined when the mapping has none. */
export function mappedWorkspace(namespace: string, mapping: NamespaceMapping): string | undefined {
  if (mapping.mode === 'fixed') return mapping.workspace
  if (mapping.mode === 'map') return mapping.map.get(namespace)
  return namespace
}

/** Throws WorkspaceNotAllowed (architecture §5) unless the CR's namespace may write to the workspace. */
export function workspaceFor(namespace: string, stated: string | undefined, rules: TenancyRules): string {
  const mapped = mappedWorkspace(namespace, rules.mapping)
  const workspace = stated ?? mapped
  if (workspace === undefined) {
    throw new SyncError(
      'WorkspaceNotAllowed',
      `Namespace ${namespace} is mapped to no workspace; add it to --namespace-mapping or set spec.workspace.`
    )
  }
  if (!isAllowed(namespace, workspace, rules)) {
    throw new SyncError(
      'WorkspaceNotAllowed',
      `Namespace ${namespace} may not write to workspace ${workspace}; a cluster administrator can allow it with the ` +
        `annotation windmill.dev/workspaces: ${workspace} on the Namespace.`
    )
  }
  return workspace
}

export function isAllowed(namespace: string, workspace: string, rules: TenancyRules): boolean {
  if (rules.adminNamespaces.has(namespace) || mappedWorkspace(namespace, rules.mapping) === workspace) return true
  const granted = rules.namespaces.get(namespace)?.['workspaces'] ?? ''
  return granted.split(',').some(one => one.trim() === workspace)
}

const conflictPolicies: readonly ConflictPolicy[] = ['crd-wins', 'db-wins', 'last-write-wins']
const deletionPolicies: readonly DeletionPolicy[] = ['delete', 'soft-delete', 'ignore']
const adoptions: readonly Adopt[] = ['never', 'identical', 'always']

export interface ResolvedPolicies extends Policies {
  /** The deletion policy stands on the object itself. */
  readonly ownDeletion: boolean
  /** The conflict policy that stands on the object itself. */
  readonly ownConflict: ConflictPolicy | null
}

/** Throws InvalidSpec for an annotation whose value is no policy: guessing could delete. */
export function policiesFor(listed: Pick<Listed, 'namespace' | 'annotations'>, rules: TenancyRules): ResolvedPolicies {
  const namespace = rules.namespaces.get(listed.namespace) ?? {}
  const pick = <T extends string>(name: string, values: readonly T[], fallback: T | undefined): T | undefined => {
    for (const [where, annotations] of [['object', listed.annotations] as const, ['namespace', namespace] as const]) {
      const value = annotations[name]
      if (value === undefined || value === '') continue
      if (values.includes(value as T)) return value as T
      throw new SyncError(
        'InvalidSpec',
        `The ${where}'s annotation windmill.dev/${name} must be one of ${values.join(', ')}.`
      )
    }
    return fallback
  }
  return {
    conflict: pick('conflict-policy', conflictPolicies, rules.policies.conflict) as ConflictPolicy,
    deletion: pick('deletion-policy', deletionPolicies, rules.policies.deletion) as DeletionPolicy,
    adopt: pick('adopt', adoptions, rules.policies.adopt),
    ownDeletion: (listed.annotations['deletion-policy'] ?? '') !== '',
    ownConflict: (listed.annotations['conflict-policy'] as ConflictPolicy | undefined) || null
  }
}
