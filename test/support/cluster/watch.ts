/** Watches: the changes since a version, then those to come, one JSON line each. */
import type { Pager } from './pages.ts'
import { fieldTest, labelTest } from './selectors.ts'
import type { Change, Store } from './store.ts'
import type { Call, Kind, Stored } from './types.ts'
import { type Form, viewOne } from './views.ts'

interface Watched {
  readonly kind: Kind
  readonly namespace: string
  readonly form: Form
}

const GONE = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason: 'Expired', code: 410 }

export async function* watch(store: Store, pager: Pager, watched: Watched, call: Call): AsyncIterable<string> {
  const { kind, namespace, form } = watched
  const { query, signal } = call
  const labels = labelTest(query.get('labelSelector') ?? '')
  const fields = fieldTest(query.get('fieldSelector') ?? '', kind)
  const matches = (object: Stored | undefined): boolean =>
    object !== undefined && (!labels || labels(object)) && (!fields || fields(object))

  const line = (type: string, object: Stored): string =>
    `${JSON.stringify({ type, object: viewOne(object, kind, form, query) })}\n`

  /** What an object's change means to somebody who sees only the objects that match. */
  function told(change: Change): string[] {
    if (change.kind.plural !== kind.plural || change.kind.group !== kind.group) return []
    if (namespace && change.object.metadata.namespace !== namespace) return []
    const was = matches(change.before)
    const is = change.type !== 'DELETED' && matches(change.object)
    if (is) return [line(was ? 'MODIFIED' : 'ADDED', change.object)]
    return was ? [line('DELETED', change.object)] : []
  }

  const queue: Change[] = []
  let wake = (): void => {}
  const stop = store.listen(change => {
    queue.push(change)
    wake()
  })
  const ended = AbortSignal.any([signal, AbortSignal.timeout(Number(query.get('timeoutSeconds') ?? 1800) * 1000)])
  ended.addEventListener('abort', () => wake())
  try {
    const from = query.get('resourceVersion') ?? ''
    const past = from && from !== '0' ? store.since(Number(from)) : []
    if (!past) {
      yield `${JSON.stringify({ type: 'ERROR', object: { ...GONE, message: `too old resource version: ${from}` } })}\n`
      return
    }
    if (!from || from === '0') {
      for (const object of pager.page(kind, namespace, new URLSearchParams()).items)
        if (matches(object)) yield line('ADDED', object)
    }
    for (const change of past) yield* told(change)
    while (!ended.aborted) {
      for (const change of queue.splice(0)) yield* told(change)
      if (queue.length === 0 && !ended.aborted) await new Promise<void>(resolve => (wake = resolve))
    }
  } finally {
    stop()
  }
}
