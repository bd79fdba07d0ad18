/** Whom an app runs as: the user or group that its policy states, else the service identity. */
import { SyncError } from '../errors.ts'
import { type Context, type Input, type Json, type Sql, targetKey } from '../model.ts'
import type { Principal } from './app-policy.ts'
import type { JsonObject } from './json-values.ts'
import { findRunAs, type RunAsFound, runAs } from './run-as.ts'
import { findPrincipals } from './users.ts'

/** An app's policy as its CR states it. */
export interface StatedPolicy extends Pick<Input, 'workspace' | 'listed'> {
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

/**
 * Throws UserNotFound, RunAsNotAllowed, ReferenceNotFound or InvalidSpec. Whoever runs the app needs an enabled user (trap
 * 21), and the address is never any other than his own: Windmill knows superadmins by theirs.
 */
export function principalOf(app: StatedPolicy, found: Principals, context: Context): Principal {
  const { policy } = app
  for (const name of ['on_behalf_of', 'on_behalf_of_email'] as const) {
    if (!['string', 'undefined'].includes(typeof policy?.[name]) && policy?.[name] !== null) {
      throw new SyncError('InvalidSpec', `policy.${name}: must be a text.`)
    }
  }
  const who = wishOf(policy)
  const email = stated(policy?.['on_behalf_of_email'])
  if (who === undefined) return named(context.user, context.email)
  if (isGroup({ who })) return matching(groupOf(app.workspace, who, found), email, who)
  const field = stated(policy?.['on_behalf_of']) === undefined ? 'policy.on_behalf_of_email' : 'policy.on_behalf_of'
  const user = isOurs(who, context)
    ? { username: context.user, email: context.email }
    : runAs(found.users, app, who, field)
  return matching(named(user.username, user.email), email, who)
}

function matching(principal: Principal, email: string | undefined, who: string): Principal {
  if (email === undefined || email.toLowerCase() === principal.email.toLowerCase()) return principal
  throw new SyncError('InvalidSpec', `policy.on_behalf_of_email: is not the address of ${who}; leave it out.`)
}

/** Usernames that look like an address stand for themselves (B3). */
const named = (username: string, email: string): Principal => ({
  onBehalfOf: username.includes('@') ? username : `u/${username}`,
  email
})

/** Windmill makes up an address for what a group runs. */
function groupOf(workspace: string, who: string, { groups }: Principals): Principal {
  const name = who.slice(2)
  if (groups.has(targetKey(workspace, who))) return { onBehalfOf: who, email: `group-${name}@windmill.dev` }
  throw new SyncError(
    'ReferenceNotFound',
    `policy.on_behalf_of: workspace ${workspace} has no group ${name}; make it first or name another one.`
  )
}
