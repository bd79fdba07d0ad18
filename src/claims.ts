/** Which CR owns a target when several name it: the oldest does. */
import { type Listed, objectKey, targetKey } from './model.ts'

type Owner = Pick<Listed, 'namespace' | 'name' | 'createdAt'>

/** Older by creation, then by namespace/name, so that every run decides alike. */
export function isOlder(a: Owner, b: Owner): boolean {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt
  return objectKey(a.namespace, a.name) < objectKey(b.namespace, b.name)
}

/**
 * Why a target is kept for its owner of old: `pending`, the owner's spec is still to be read in this run; `silent`, the
 * owner is listed but will not be read; `unseen`, the owner is out of sight and its age unknown, so it never loses.
 */
export type Hold = 'pending' | 'silent' | 'unseen'

export type Claim =
  | { readonly won: true; readonly owner: Owner; readonly loser?: Listed }
  | { readonly won: false; readonly owner: Owner; readonly against?: Hold }

/** The claims of one kind. */
export class Claims {
  readonly #owners = new Map<string, Listed>()
  readonly #reserved = new Map<string, { owner: Owner; hold: Hold }>()

  /** Enters a claim. `owner` is who has the target now, `loser` who had it before. */
  enter(workspace: string, path: string, claimant: Listed): Claim {
    const key = targetKey(workspace, path)
    const reserved = this.#reserved.get(key)
    if (reserved && !isSame(reserved.owner, claimant)) {
      const { owner, hold } = reserved
      if (hold === 'unseen' || !isOlder(claimant, owner)) return { won: false, owner, against: hold }
      this.#reserved.delete(key)
    }
    const holder = this.#owners.get(key)
    if (holder && !isSame(holder, claimant) && !isOlder(claimant, holder)) return { won: false, owner: holder }
    this.#owners.set(key, claimant)
    return holder && !isSame(holder, claimant)
      ? { won: true, owner: claimant, loser: holder }
      : { won: true, owner: claimant }
  }

  /** Keeps a target for the CR that owns it by the ledger: nobody younger gets it before that CR was heard. */
  reserve(workspace: string, path: string, owner: Owner, hold: Hold): void {
    this.#reserved.set(targetKey(workspace, path), { owner, hold })
  }

  /** The owner is being heard now: from here on only what it claims counts. */
  withdraw(workspace: string, path: string, owner: Owner): void {
    const key = targetKey(workspace, path)
    const reserved = this.#reserved.get(key)
    if (reserved?.hold === 'pending' && isSame(reserved.owner, owner)) this.#reserved.delete(key)
  }

  /** All that can be read was read: nobody is worth waiting for any more. */
  settle(): void {
    for (const one of this.#reserved.values()) if (one.hold === 'pending') one.hold = 'silent'
  }

  has(workspace: string, path: string): boolean {
    return this.#owners.has(targetKey(workspace, path))
  }
}

function isSame(a: Owner, b: Owner): boolean {
  return a.namespace === b.namespace && a.name === b.name
}
