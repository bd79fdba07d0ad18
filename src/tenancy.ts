/** Who may write where, and which policies hold: annotations of the object beat the namespace's, which beat settings. */
import type { Config } from './config.ts'
import { SyncError } from './errors.ts'
import type { Account, Adopt, ConflictPolicy, DeletionPolicy, Listed, Policies } from './model.ts'

export type NamespaceMapping =
  | { readonly mode: 'namespace-as-workspace' }
  | { readonly mode: 'fixed'; readonly workspace: string }
  | { readonly mode: 'map'; readonly map: ReadonlyMap<string, string> }

/** Whom CRs may let code run as: plain members of the workspace, its admins too, or superadmins as well. */
export type RunAsRule = 'members' | 'admins' | 'anyone'

export interface TenancyRules {
  readonly mapping: NamespaceMapping
  readonly runAs: RunAsRule
  readonly userPaths: 'allow' | 'deny'
  /** Username of the service identity, which everything runs as unless a CR says otherwise. */
  readonly user: string
  readonly adminNamespaces: ReadonlySet<string>
  readonly policies: Policies
  /** Our annotations of the Namespace objects (without prefix), by name. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>
}

/** Who may write where, and which policies hold; `namespaces` is filled once the CRs are listed. */
export const rulesOf = (config: Config, namespaces: TenancyRules['namespaces']): TenancyRules => ({
  mapping: config.namespaceMapping,
  runAs: config.runAs,
  userPaths: config.userPaths,
  user: config.user,
  adminNamespaces: new Set(config.adminNamespaces),
  policies: { conflict: config.conflictPolicy, deletion: config.deletionPolicy, adopt: config.adopt },
  namespaces
})

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

/** Throws PathNotAllowed for a path of a user where those are not open to namespaces. */
export function checkPath(namespace: string, path: string, rules: TenancyRules): void {
  if (isPathAllowed(namespace, path, rules)) return
  throw new SyncError(
    'PathNotAllowed',
    `Namespace ${namespace} may not use paths of users (--user-paths deny): choose a path in a folder, f/<folder>/<name>.`
  )
}

export const isPathAllowed = (namespace: string, path: string, rules: TenancyRules): boolean =>
  rules.userPaths === 'allow' || !path.startsWith('u/') || rules.adminNamespaces.has(namespace)

/** Why CRs of a namespace may not make code run as a user; undefined when they may. */
export function runAsRefusal(namespace: string, account: Account, rules: TenancyRules): string | undefined {
  const { username, email, admin, superadmin } = account
  if (username === rules.user || rules.runAs === 'anyone' || rules.adminNamespaces.has(namespace)) return undefined
  const named = (rules.namespaces.get(namespace)?.['run-as'] ?? '').split(',').map(one => one.trim())
  if (named.some(one => one === username || one === `u/${username}` || one.toLowerCase() === email.toLowerCase())) {
    return undefined
  }
  const allow = `a cluster administrator can allow it with the annotation windmill.dev/run-as: ${username} on the Namespace.`
  if (superadmin)
    return `${username} is a superadmin of the instance, as whom namespace ${namespace} may not act; ${allow}`
  if (admin && rules.runAs === 'members') {
    return `${username} is an admin of the workspace, as whom namespace ${namespace} may not act; ${allow}`
  }
  return undefined
}

const conflictPolicies: readonly ConflictPolicy[] = ['crd-wins', 'db-wins', 'last-write-wins']
const deletionPolicies: readonly DeletionPolicy[] = ['delete', 'force-delete', 'soft-delete', 'ignore']
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
