/** Who is asking, and may they. */
import { forbidden, unauthorized } from './refusal.ts'
import type { Rule, Target, User } from './types.ts'

const within = (list: readonly string[] | undefined, word: string): boolean =>
  list === undefined || list.includes('*') || list.includes(word)

function covers(rule: Rule, { verb, plural, subresource, namespace, name }: Target): boolean {
  const resource = subresource ? `${plural}/${subresource}` : plural
  return (
    within(rule.verbs, verb) &&
    within(rule.resources, resource) &&
    within(rule.namespaces, namespace) &&
    (rule.names === undefined || rule.names.includes(name))
  )
}

export function createAccess(users: Readonly<Record<string, string | User>>) {
  const byToken = new Map<string, User>()
  for (const [token, user] of Object.entries(users))
    byToken.set(token, typeof user === 'string' ? { name: user } : user)
  const extra: { user: string; rule: Rule }[] = []

  function may(user: User, target: Target): boolean {
    const denied = [
      ...(user.deny ?? []),
      ...extra.filter(({ user: name }) => name === user.name).map(({ rule }) => rule)
    ]
    if (denied.some(rule => covers(rule, target))) return false
    return user.allow === undefined || user.allow.some(rule => covers(rule, target))
  }

  return {
    authenticate(header: string | undefined): User {
      const user = byToken.get(/^Bearer (.+)$/i.exec(header ?? '')?.[1] ?? '')
      if (!user) throw unauthorized()
      return user
    },
    authorize(user: User, target: Target): void {
      if (!may(user, target)) throw forbidden(user.name, target)
    },
    control: {
      /** From now on; the returned function takes it back. */
      deny(user: string, rule: Rule): () => void {
        const entry = { user, rule }
        extra.push(entry)
        return () => void extra.splice(extra.indexOf(entry), 1)
      },
      /** Sets or replaces a user, or with undefined withdraws the token (the next request gets 401). */
      setUser(token: string, user: string | User | undefined): void {
        if (user === undefined) byToken.delete(token)
        else byToken.set(token, typeof user === 'string' ? { name: user } : user)
      }
    }
  }
}
