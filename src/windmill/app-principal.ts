/** Whom an app runs as: the user or group that its policy states, else the service identity. */
import { SyncError } from '../errors.ts'
import { type Context, type Json, type Sql, targetKey } from '../model.ts'
import type { Principal } from './app-policy.ts'
import type { JsonObject } from './json-values.ts'
import { findRunAs, type RunAsFound, runAs } from './run-as.ts'
import { findPrincipals } from './users.ts'

/** An app's policy as its CR states it. */
export interface StatedPolicy {
  readonly workspace: string
  readonly policy: JsonObject | undefined
}

export interface Principals {
  readonly users: RunAsFound
  /** As `targetKey(workspace, 'g/…')`. */
  readonly groups: ReadonlySet<string>
}

const stated = (value: Json | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

const wishOf = (policy: JsonObject | undefined): string | undefined =>
  stated(policy?.['on_behalf_of']) ?? stated(policy?.['on_behalf_of_email'])

const isOurs = (who: string, { user, email }: Context): boolean =>
  [user, `u/${user}`].includes(who) || who.toLowerCase() === email.toLowerCase()

/** All users and groups that the policies may mean, whatever their number. */
export async function findPrincipalsOf(sql: Sql, apps: readonly StatedPolicy[], context: Context): Promise<Principals> {
  const wanted = apps.flatMap(({ workspace, policy }) => {
    const who = wishOf(policy)
    return who === undefined || isOurs(who, context) ? [] : [{ workspace, who }]
  })
  const [groups, people] = [wanted.filter(isGroup), wanted.filter(one => !isGroup(one))]
  return { users: await findRunAs(sql, people, context), groups: await findPrincipals(sql, groups) }
}

const isGroup = ({ who }: { readonly who: string }): boolean => who.startsWith('g/')

/** Throws UserNotFound, ReferenceNotFound or InvalidSpec; whoever runs the app needs an enabled user (trap 21). */
export function principalOf({ workspace, policy }: StatedPolicy, found: Principals, context: Context): Principal {
  for (const name of ['on_behalf_of', 'on_behalf_of_email'] as const) {
    if (!['string', 'undefined'].includes(typeof policy?.[name]) && policy?.[name] !== null) {
      throw new SyncError('InvalidSpec', `policy.${name}: must be a text.`)
    }
  }
  const who = wishOf(policy)
  const email = stated(policy?.['on_behalf_of_email'])
  if (who === undefined) return named(context.user, context.email)
  if (isGroup({ who })) return groupOf({ workspace, who, email }, found)
  const field = stated(policy?.['on_behalf_of']) === undefined ? 'policy.on_behalf_of_email' : 'policy.on_behalf_of'
  const user = isOurs(who, context)
    ? { username: context.user, email: context.email }
    : runAs(found.users, workspace, who, field)
  if (email !== undefined && email.toLowerCase() !== user.email.toLowerCase()) {
    throw new SyncError('InvalidSpec', `policy.on_behalf_of_email: is not the address of ${who}; leave it out.`)
  }
  return named(user.username, user.email)
}

/** Usernames that look like an address stand for themselves (B3). */
const named = (username: string, email: string): Principal => ({
  onBehalfOf: username.includes('@') ? username : `u/${username}`,
  email
})

function groupOf(
  { workspace, who, email }: { readonly workspace: string; readonly who: string; readonly email: string | undefined },
  { groups }: Principals
): Principal {
  if (!groups.has(targetKey(workspace, who))) {
    throw new SyncError(
      'ReferenceNotFound',
      `policy.on_behalf_of: workspace ${workspace} has no group ${who.slice(2)}; make it first or name another one.`
    )
  }
  if (email !== undefined) return { onBehalfOf: who, email }
  throw new SyncError(
    'InvalidSpec',
    `policy.on_behalf_of_email: state the address that jobs on behalf of ${who} are to bear.`
  )
}
