/** What the ledger says of the CRs at work: read for a window of them, forgotten after it. */
import type { Database } from './database/client.ts'
import type { Found, LedgerReader, Tally } from './database/ledger-read.ts'
import { type Entry, objectKey, type Target, targetKey } from './model.ts'

/** The entries of one kind that are at hand. */
export interface KindLedger {
  /** Of this cluster's CRs, by namespace/name. */
  readonly byObject: Map<string, Entry>
  /** Of this cluster by target, also those whose CR is gone; a released one is not owned. */
  readonly byTarget: Map<string, Entry>
  /** Targets that another cluster owns. */
  readonly others: Set<string>
}

type Place = Pick<Target, 'workspace' | 'path'>

export class Ledger {
  readonly reader: LedgerReader
  /** As it was when the run began. */
  readonly tallies: readonly Tally[]
  readonly #database: Pick<Database, 'read'>
  readonly #kinds = new Map<string, KindLedger>()

  constructor(database: Pick<Database, 'read'>, reader: LedgerReader, tallies: readonly Tally[]) {
    this.#database = database
    this.reader = reader
    this.tallies = tallies
  }

  of(kind: string): KindLedger {
    let found = this.#kinds.get(kind)
    if (!found) this.#kinds.set(kind, (found = { byObject: new Map(), byTarget: new Map(), others: new Set() }))
    return found
  }

  /** Whether nobody had anything of the kind when the run began. */
  wasEmpty(kind: string): boolean {
    return !this.tallies.some(one => one.kind === kind)
  }

  /** Sums over this cluster's entries. */
  count(kind: string, number: 'named' | 'owned' | 'detached', counts: (one: Tally) => boolean = () => true): number {
    const some = this.tallies.filter(one => one.kind === kind && !one.foreign && counts(one))
    return some.reduce((sum, one) => sum + one[number], 0)
  }

  /** Where this cluster owns something of the kind. */
  workspaces(kind: string): readonly string[] {
    const some = this.tallies.filter(one => one.kind === kind && !one.foreign && one.owned > 0)
    return [...new Set(some.map(one => one.workspace))]
  }

  /** Reads what is said of these CRs and targets, and is not at hand yet. */
  async load(
    kind: string,
    wanted: { readonly objects: readonly Pick<Entry, 'namespace' | 'name'>[]; readonly targets: readonly Place[] }
  ): Promise<void> {
    const { byObject, byTarget } = this.of(kind)
    const objects = wanted.objects.filter(one => !byObject.has(objectKey(one.namespace ?? '', one.name ?? '')))
    const targets = wanted.targets.filter(one => !byTarget.has(targetKey(one.workspace, one.path)))
    if (objects.length === 0 && targets.length === 0) return
    const found = await this.#database.read(async sql => [
      await this.reader.ofObjects(sql, kind, objects),
      await this.reader.atTargets(sql, kind, targets)
    ])
    for (const one of found) this.#add(kind, one)
  }

  #add(kind: string, { entries, foreign }: Found): void {
    const { byObject, byTarget, others } = this.of(kind)
    for (const entry of entries) {
      const key = entry.name === null ? undefined : objectKey(entry.namespace ?? '', entry.name)
      if (key !== undefined && !byObject.has(key)) byObject.set(key, entry)
      const target = entry.path === null ? undefined : targetKey(entry.workspace ?? '', entry.path)
      if (target !== undefined && !byTarget.has(target)) byTarget.set(target, entry)
    }
    for (const one of foreign) others.add(targetKey(one.workspace, one.path))
  }

  /** The window is done. */
  forget(kind: string): void {
    this.#kinds.delete(kind)
  }

  /** Keeps what is at hand true to the database: the CR has this entry now, and left its old target behind. */
  remember(entry: Entry): void {
    const { byObject, byTarget } = this.of(entry.kind)
    const key = objectKey(entry.namespace ?? '', entry.name ?? '')
    const before = byObject.get(key)
    if (before?.path != null && (before.workspace !== entry.workspace || before.path !== entry.path)) {
      const left = targetKey(before.workspace ?? '', before.path)
      const holder = byTarget.get(left)
      if (holder?.name === entry.name && holder?.namespace === entry.namespace)
        byTarget.set(left, { ...before, name: null })
    }
    const target = targetKey(entry.workspace ?? '', entry.path ?? '')
    const ousted = byTarget.get(target)
    if (ousted?.name != null && objectKey(ousted.namespace ?? '', ousted.name) !== key) {
      byObject.delete(objectKey(ousted.namespace ?? '', ousted.name))
    }
    byTarget.set(target, entry)
    byObject.set(key, entry)
  }
}
