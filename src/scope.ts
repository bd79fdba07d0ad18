/** What a run is about: kinds, labels, namespaces, shard. Whatever is out of scope is never pruned. */
import { createHash } from 'node:crypto'
import type { Config, Requirement } from './config.ts'
import { SyncError } from './errors.ts'
import type { AnyKind, Entry } from './model.ts'

/** Whether labels meet all requirements of a selector. */
export function matches(
  labels: Readonly<Record<string, string>>,
  selector: readonly Requirement[] | undefined
): boolean {
  return (selector ?? []).every(({ key, op, values }) => {
    const value = labels[key]
    if (op === 'exists') return value !== undefined
    if (op === 'absent') return value === undefined
    const among = value !== undefined && values.includes(value)
    return op === 'in' ? among : !among
  })
}

/** The kinds that `--kinds` names: `variable`, `WindmillVariable` or `windmillvariables`. */
export function selectKinds<K extends Pick<AnyKind, 'kind' | 'plural'>>(
  kinds: readonly K[],
  wanted: readonly string[] | undefined
): readonly K[] {
  if (!wanted) return kinds
  const named = (kind: K): string[] =>
    [kind.kind, kind.kind.replace(/^Windmill/, ''), kind.plural].map(one => one.toLowerCase())
  const unknown = wanted.filter(one => !kinds.some(kind => named(kind).includes(one.toLowerCase())))
  if (unknown.length > 0) {
    const known = kinds.map(kind => kind.kind.replace(/^Windmill/, '').toLowerCase()).join(', ')
    throw new SyncError('ConfigInvalid', unknown.map(one => `--kinds: ${one} is no kind (${known})`).join('\n'))
  }
  return kinds.filter(kind => wanted.some(one => named(kind).includes(one.toLowerCase())))
}

/** The shard of a workspace: the same in every run and every process. */
export function shardOf(workspace: string, count: number): number {
  return count === 1 ? 0 : createHash('sha256').update(workspace).digest().readUInt32BE(0) % count
}

export const isInShard = (workspace: string, { shard }: Pick<Config, 'shard'>): boolean =>
  shardOf(workspace, shard.count) === shard.index

/** Whether a ledger entry belongs to what this run lists, so that its CR's absence means something. */
export function inScope(
  entry: Pick<Entry, 'namespace' | 'workspace'>,
  config: Pick<Config, 'watchNamespaces' | 'shard'>
): boolean {
  return isWatched(entry.namespace ?? '', config) && isInShard(entry.workspace ?? '', config)
}

export const isWatched = (namespace: string, { watchNamespaces }: Pick<Config, 'watchNamespaces'>): boolean =>
  watchNamespaces === undefined || watchNamespaces.includes(namespace)
