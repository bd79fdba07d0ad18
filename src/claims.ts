/** Which CR owns a target when several name it: the oldest does. */
import { type Listed, objectKey, targetKey } from './model.ts'

type Owner = Pick<Listed, 'namespace' | 'name' | 'createdAt'>

/** Older by creation, then by namespace/name, so that every run decides alike. */
export function isOlder(a: Owner, b: Owner): boolean {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt
  return objectKey(a.namespace, a.name) < objectKey(b.namespace, b.name)
}

/**
 * How the owner of old stands to this run: `quiet`, it is as it was; `pending`, its spec is still to be read in this run;
 * `silent`, it is listed but will not be read; `unseen`, it is out of sight and its age unknown, so it never loses.
 */
export type Standing = 'quiet' | 'pending' | 'silent' | 'unseen'
export type Hold = Exclude<Standing, 'quiet'>

/** Whoever owns a target by the ledger. */
export interface Holder {
  readonly owner: Owner
  readonly standing: Standing
}

export type Claim =
  | { readonly won: true; readonly owner: Owner; readonly loser?: Owner }
  | { readonly won: false; readonly owner: Owner; readonly against?: Hold }

/** What the CRs of one kind that were heard in this run stand for. */
export class Claims {
  readonly #owners = new Map<string, Owner>()
  /** Targets whose owner of old has lost them to an older CR. */
  readonly #overcome = new Set<string>()
  readonly #heard = new Set<string>()
  #settled = false

  /**
   * Enters a claim. `owner` is who has the target now, `loser` who had it before. `holder` is who owns it by the ledger:
   * nobody younger gets it before that one was heard.
   */
  enter(workspace: string, path: string, claimant: Owner, by?: Holder): Claim {
    const key = targetKey(workspace, path)
    const holder = by && !isSame(by.owner, claimant) && !this.#overcome.has(key) ? by : undefined
    if (holder && holder.standing !== 'quiet') {
      const { owner, standing } = holder
      if (standing === 'unseen' || !isOlder(claimant, owner)) return { won: false, owner, against: standing }
    }
    const present = this.#owners.get(key) ?? (holder?.standing === 'quiet' ? holder.owner : undefined)
    const other = present && !isSame(present, claimant) ? present : undefined
    if (other && !isOlder(claimant, other)) return { won: false, owner: other }
    if (holder) this.#overcome.add(key)
    // No more than is asked for: this is kept for every CR of a first sync.
    const { namespace, name, createdAt } = claimant
    this.#owners.set(key, { namespace, name, createdAt })
    return other ? { won: true, owner: claimant, loser: other } : { won: true, owner: claimant }
  }

  /** The CR is being heard now: from here on only what it claims counts. */
  hear({ namespace, name }: Pick<Owner, 'namespace' | 'name'>): void {
    this.#heard.add(objectKey(namespace, name))
  }

  hasHeard({ namespace, name }: Owner): boolean {
    return this.#heard.has(objectKey(namespace, name))
  }

  /** All that can be read was read: nobody is worth waiting for any more. */
  settle(): void {
    this.#settled = true
  }

  get settled(): boolean {
    return this.#settled
  }

  has(workspace: string, path: string): boolean {
    return this.#owners.has(targetKey(workspace, path))
  }
}

function isSame(a: Owner, b: Owner): boolean {
  return a.namespace === b.namespace && a.name === b.name
}
