/** Which CR owns a target when several name it: the oldest does. */
import { type Listed, objectKey, targetKey } from './model.ts'

/** Older by creation, then by namespace/name, so that every run decides alike. */
export function isOlder(a: Listed, b: Listed): boolean {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt
  return objectKey(a.namespace, a.name) < objectKey(b.namespace, b.name)
}

/** The claims of one kind. */
export class Claims {
  readonly #owners = new Map<string, Listed>()

  /**
   * Enters a claim. `won`: the claimant owns the target; `loser` is the one that had it before, `owner` who has it now.
   */
  enter(workspace: string, path: string, claimant: Listed): { won: boolean; owner: Listed; loser?: Listed } {
    const key = targetKey(workspace, path)
    const holder = this.#owners.get(key)
    if (holder && !isSame(holder, claimant) && !isOlder(claimant, holder)) return { won: false, owner: holder }
    this.#owners.set(key, claimant)
    return holder && !isSame(holder, claimant)
      ? { won: true, owner: claimant, loser: holder }
      : { won: true, owner: claimant }
  }

  has(workspace: string, path: string): boolean {
    return this.#owners.has(targetKey(workspace, path))
  }
}

function isSame(a: Listed, b: Listed): boolean {
  return a.namespace === b.namespace && a.name === b.name
}
