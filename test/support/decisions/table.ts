/** The decision table of the design: every row of it, as what happened before a run and what the run is to do. */
import type { Hand } from './hands.ts'

/** Policies, and for last-write-wins which side was edited last: each has a namespace of its own. */
export const columns = [
  { name: 'crd', policy: 'crd-wins', specTime: '2020-01-01T00:00:00Z' },
  { name: 'db', policy: 'db-wins', specTime: '2030-01-01T00:00:00Z' },
  { name: 'newer', policy: 'last-write-wins', specTime: '2030-01-01T00:00:00Z' },
  { name: 'older', policy: 'last-write-wins', specTime: '2020-01-01T00:00:00Z' }
] as const
export type Column = (typeof columns)[number]

/** `ann`: as first applied; `bob`: as the CR is edited; `cyd`: as a person makes it in Windmill. */
export interface Situation {
  /** Created by a run, with the value ann. */
  readonly created: boolean
  /** Afterwards the ledger knows nothing of it, or takes it for another cluster's. */
  readonly ledger?: 'lost' | 'other'
  readonly hand?: 'bob' | 'cyd' | 'remove'
  /** What the CR says then; undefined: it is gone. `twin`: another CR says it. */
  readonly cr?: 'ann' | 'bob'
  readonly twin?: boolean
  readonly deletion?: 'delete' | 'soft-delete' | 'ignore'
  /** By column: op, state, reason and what the row holds afterwards. */
  readonly expected: readonly string[] | ((hand: Hand) => readonly string[])
}

const all = (cell: string): readonly string[] => columns.map(() => cell)

const goneAs = {
  Deleted: 'delete  Deleted -',
  Archived: 'delete Released Archived ann off',
  Released: 'delete Released Released ann'
} as const
const editedAs = { ...goneAs, Archived: 'delete Released Archived cyd off', Released: 'delete Released Released cyd' }
const left = 'conflict Conflict ChangedInDatabase cyd'

export const situations: Readonly<Record<string, Situation>> = {
  new: { created: false, cr: 'ann', expected: all('create Synced Synced ann') },
  identical: { created: true, ledger: 'lost', cr: 'ann', expected: all('adopt Synced Synced ann') },
  foreign: {
    created: true,
    ledger: 'lost',
    hand: 'cyd',
    cr: 'ann',
    expected: [
      'adopt Synced Synced ann',
      'conflict Conflict ExistsAlready cyd',
      'adopt Synced Synced ann',
      'conflict Conflict DatabaseIsNewer cyd'
    ]
  },
  steady: { created: true, cr: 'ann', expected: all('keep Synced Synced ann') },
  edited: { created: true, cr: 'bob', expected: all('update Synced Synced bob') },
  same: { created: true, hand: 'bob', cr: 'bob', expected: all('keep Synced Synced bob') },
  drift: {
    created: true,
    hand: 'cyd',
    cr: 'ann',
    expected: [
      'update Synced Synced ann',
      'skip OutOfSync ChangedInDatabase cyd',
      'skip OutOfSync ChangedInDatabase cyd',
      'skip OutOfSync ChangedInDatabase cyd'
    ]
  },
  both: {
    created: true,
    hand: 'cyd',
    cr: 'bob',
    expected: [
      'update Synced Synced bob',
      'conflict Conflict BothChanged cyd',
      'update Synced Synced bob',
      'conflict Conflict BothChanged cyd'
    ]
  },
  removed: {
    created: true,
    hand: 'remove',
    cr: 'ann',
    expected: [
      'create Synced Synced ann',
      'conflict Conflict DeletedInDatabase -',
      'conflict Conflict DeletedInDatabase -',
      'conflict Conflict DeletedInDatabase -'
    ]
  },
  'removed-edited': {
    created: true,
    hand: 'remove',
    cr: 'bob',
    expected: [
      'create Synced Synced bob',
      'conflict Conflict DeletedInDatabase -',
      'create Synced Synced bob',
      'create Synced Synced bob'
    ]
  },
  transfer: { created: true, cr: 'ann', twin: true, deletion: 'delete', expected: all('keep Synced Synced ann') },
  other: { created: true, ledger: 'other', cr: 'bob', expected: all('conflict Conflict OwnedByAnotherCluster ann') },
  'gone-delete': { created: true, deletion: 'delete', expected: hand => all(goneAs[hand.gone.delete]) },
  'gone-soft': { created: true, deletion: 'soft-delete', expected: hand => all(goneAs[hand.gone['soft-delete']]) },
  'gone-ignore': { created: true, deletion: 'ignore', expected: all(goneAs.Released) },
  'gone-edited-delete': {
    created: true,
    hand: 'cyd',
    deletion: 'delete',
    expected: hand => [editedAs[hand.gone.delete], left, left, left]
  },
  'gone-edited-soft': {
    created: true,
    hand: 'cyd',
    deletion: 'soft-delete',
    expected: hand => [editedAs[hand.gone['soft-delete']], left, left, left]
  },
  'gone-edited-ignore': { created: true, hand: 'cyd', deletion: 'ignore', expected: all(editedAs.Released) },
  'gone-removed': {
    created: true,
    hand: 'remove',
    deletion: 'delete',
    expected: all('delete Released Released -')
  }
}
