/** Lists in pages: every page of one listing shows the same moment, until the server forgets that moment. */
import { badRequest, expired } from './refusal.ts'
import { fieldTest, labelTest } from './selectors.ts'
import { keyOfObject, type Store } from './store.ts'
import type { Kind, Stored } from './types.ts'

export interface Page {
  readonly items: readonly Stored[]
  readonly revision: string
  readonly next: string
  readonly remaining?: number
}

interface Token {
  v: 'meta.k8s.io/v1'
  /** -1: "give me the rest as it is now", the way out of an expired listing. */
  rv: number
  start: string
}

const write = (token: Token): string => Buffer.from(JSON.stringify(token)).toString('base64url')

function read(text: string): Token {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Token
    if (token.v === 'meta.k8s.io/v1') return token
  } catch {
    // falls through: whatever it was, it is not ours
  }
  throw badRequest('continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)')
}

const MOMENTS = 16

export function createPager(store: Store) {
  const moments = new Map<string, readonly Stored[]>()
  let countdown: number | undefined

  function remember(key: string, items: readonly Stored[]): void {
    moments.set(key, items)
    if (moments.size > MOMENTS) moments.delete(moments.keys().next().value!)
  }

  /** Where a listing goes on, and in which moment. */
  function resume(
    kind: Kind,
    namespace: string,
    text: string
  ): { all: readonly Stored[]; revision: number; start: string } {
    const { rv, start } = text ? read(text) : { rv: -1, start: '' }
    if (rv === -1) return { all: store.list(kind, namespace), revision: store.revision(), start }
    const all = moments.get(`${rv} ${kind.plural} ${namespace}`)
    if (!all) throw expired(write({ v: 'meta.k8s.io/v1', rv: -1, start }))
    return { all, revision: rv, start }
  }

  function page(kind: Kind, namespace: string, query: URLSearchParams): Page {
    const token = query.get('continue') ?? ''
    const version = query.get('resourceVersion') ?? ''
    if (token && version && version !== '0')
      throw badRequest('specifying resource version is not allowed when using continue')
    const { all, revision, start } = resume(kind, namespace, token)
    const labels = labelTest(query.get('labelSelector') ?? '')
    const fields = fieldTest(query.get('fieldSelector') ?? '', kind)
    // From the watch cache (resourceVersion=0) the server answers everything, whatever the limit.
    const limit = (version === '0' ? 0 : Number(query.get('limit') ?? 0)) || Number.POSITIVE_INFINITY
    const items: Stored[] = []
    let at = start ? after(all, start) : 0
    for (; at < all.length && items.length < limit; at++) {
      const object = all[at]!
      if ((!labels || labels(object)) && (!fields || fields(object))) items.push(object)
    }
    if (at >= all.length) return { items, revision: String(revision), next: '' }
    remember(`${revision} ${kind.plural} ${namespace}`, all)
    const next = write({ v: 'meta.k8s.io/v1', rv: revision, start: keyOfObject(all[at - 1]!) })
    tick()
    return { items, revision: String(revision), next, ...(!labels && !fields && { remaining: all.length - at }) }
  }

  function tick(): void {
    if (countdown === undefined || --countdown > 0) return
    countdown = undefined
    moments.clear()
  }

  return {
    page,
    /** All outstanding tokens expire: now, or when so many more tokens have been handed out. */
    expire(pages = 0): void {
      countdown = pages > 0 ? pages : undefined
      if (pages === 0) moments.clear()
    }
  }
}

/** The first index behind a key, by halving. */
function after(all: readonly Stored[], key: string): number {
  let low = 0
  let high = all.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (keyOfObject(all[middle]!) <= key) low = middle + 1
    else high = middle
  }
  return low
}

export type Pager = ReturnType<typeof createPager>
