/** The decision table of the design, as data: every situation under every policy. */
import { digestOf } from '../src/fingerprint.ts'
import type { Adopt, ConflictPolicy, DeletionPolicy, Policies, Row } from '../src/model.ts'
import { decide, decideRemoval, differences, guardDeletes, type Situation } from '../src/plan.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('plan')

const want: Row = { value: 'new' }
const old: Row = { value: 'old' }
const edited: Row = { value: 'edited', other: 'theirs' }
const policies = (conflict: ConflictPolicy, adopt?: Adopt): Policies => ({ conflict, deletion: 'soft-delete', adopt })
const base = (row: Row): Situation['base'] => ({ base: digestOf(row), fields: Object.keys(row) })

const situations: Readonly<Record<string, Omit<Situation, 'policies' | 'specTime' | 'rowTime'>>> = {
  'new': { want, owner: 'nobody', base: undefined, live: undefined },
  'existing, identical': { want, owner: 'nobody', base: undefined, live: { ...want, other: 'theirs' } },
  "existing, somebody else's": { want, owner: 'nobody', base: undefined, live: edited },
  steady: { want, owner: 'us', base: base(want), live: { ...want, other: 'theirs' } },
  'CR edited': { want, owner: 'us', base: base(old), live: old },
  'both came to the same': { want, owner: 'us', base: base(old), live: want },
  'database edited': { want, owner: 'us', base: base(want), live: edited },
  'both edited': { want, owner: 'us', base: base(old), live: edited },
  'deleted in the database': { want, owner: 'us', base: base(want), live: undefined },
  'deleted in the database, CR edited': { want, owner: 'us', base: base(old), live: undefined },
  "another cluster's": { want, owner: 'other', base: undefined, live: want }
}

type Expected = readonly [crdWins: string, dbWins: string, specNewer: string, rowNewer: string]

/** op, what is written, state. */
const table: Readonly<Record<string, Expected>> = {
  'new': ['create create Synced', 'create create Synced', 'create create Synced', 'create create Synced'],
  'existing, identical': ['adopt - Synced', 'adopt - Synced', 'adopt - Synced', 'adopt - Synced'],
  "existing, somebody else's": [
    'adopt update Synced',
    'conflict - Conflict',
    'adopt update Synced',
    'conflict - Conflict'
  ],
  steady: ['keep - Synced', 'keep - Synced', 'keep - Synced', 'keep - Synced'],
  'CR edited': ['update update Synced', 'update update Synced', 'update update Synced', 'update update Synced'],
  'both came to the same': ['keep - Synced', 'keep - Synced', 'keep - Synced', 'keep - Synced'],
  'database edited': ['update update Synced', 'skip - OutOfSync', 'skip - OutOfSync', 'skip - OutOfSync'],
  'both edited': ['update update Synced', 'conflict - Conflict', 'update update Synced', 'conflict - Conflict'],
  'deleted in the database': [
    'create create Synced',
    'conflict - Conflict',
    'conflict - Conflict',
    'conflict - Conflict'
  ],
  'deleted in the database, CR edited': [
    'create create Synced',
    'conflict - Conflict',
    'create create Synced',
    'create create Synced'
  ],
  "another cluster's": ['conflict - Conflict', 'conflict - Conflict', 'conflict - Conflict', 'conflict - Conflict']
}

const columns = [
  { name: 'crd-wins', policy: 'crd-wins', specTime: 1, rowTime: 2 },
  { name: 'db-wins', policy: 'db-wins', specTime: 2, rowTime: 1 },
  { name: 'last-write-wins, spec newer', policy: 'last-write-wins', specTime: 2, rowTime: 1 },
  { name: 'last-write-wins, row newer', policy: 'last-write-wins', specTime: 1, rowTime: 2 }
] as const

const shown = (situation: Situation): string => {
  const { op, write, state } = decide(situation)
  return `${op} ${write ?? '-'} ${state}`
}

for (const [name, situation] of Object.entries(situations)) {
  for (const [index, column] of columns.entries()) {
    test(`${name}, ${column.name}`, () => {
      const { specTime, rowTime, policy } = column
      assert.is(shown({ ...situation, specTime, rowTime, policies: policies(policy) }), table[name]?.[index])
    })
  }
}

test('the table and the situations name the same cases', () => {
  assert.equal(Object.keys(table).sort(), Object.keys(situations).sort())
})

test('a row whose time is unknown counts as older than the manifest', () => {
  const both = situations['both edited'] as Situation
  assert.is(
    shown({ ...both, policies: policies('last-write-wins'), specTime: undefined, rowTime: undefined }),
    'update update Synced'
  )
})

const adoptions: readonly (readonly [Adopt, string, string])[] = [
  ['never', 'conflict - Conflict', 'conflict - Conflict'],
  ['identical', 'adopt - Synced', 'conflict - Conflict'],
  ['always', 'adopt - Synced', 'adopt update Synced']
]
for (const [adopt, identical, different] of adoptions) {
  for (const conflict of ['crd-wins', 'db-wins', 'last-write-wins'] as const) {
    test(`adopt ${adopt} beats ${conflict}`, () => {
      const times = { specTime: 1, rowTime: 2, policies: policies(conflict, adopt) }
      assert.is(shown({ ...(situations['existing, identical'] as Situation), ...times }), identical)
      assert.is(shown({ ...(situations["existing, somebody else's"] as Situation), ...times }), different)
    })
  }
}

test('messages name the fields that differ, and never their values', () => {
  const drift = { ...(situations['database edited'] as Situation), specTime: 1, rowTime: 2 }
  const { message } = decide({ ...drift, policies: policies('db-wins') })
  assert.match(message, /value/)
  assert.not.match(message, /edited'|"edited|theirs/)
})

test('messages name who edited the row, where that is known, in one line', () => {
  const told = (name: string, rowBy: string | undefined, conflict: ConflictPolicy = 'db-wins'): string =>
    decide({ ...(situations[name] as Situation), specTime: 1, rowTime: 2, rowBy, policies: policies(conflict) }).message
  assert.is(told('database edited', 'alice'), 'Changed in Windmill by alice (value); the policy db-wins leaves it.')
  assert.is(told('database edited', undefined), 'Changed in Windmill (value); the policy db-wins leaves it.')
  assert.match(told('both edited', 'alice'), /in Windmill by alice \(value\)/)
  assert.match(told('both edited', 'alice', 'last-write-wins'), /by alice \(value\); Windmill's side is newer/)
  assert.match(told("existing, somebody else's", 'alice'), /\(value\), last edited by alice; the policy db-wins/)
  assert.match(told('database edited', `a\n\u2028b${'x'.repeat(300)}`), /by a bx{57}… \(value\)/)
  assert.is(told('database edited', ' \n '), told('database edited', undefined))
})

test('a field that the CR does not state never makes a difference', () => {
  assert.equal(differences({ a: 1 }, { a: 1, b: 2 }), [])
  assert.equal(differences({ a: { x: 1, y: 2 } }, { a: { y: 2, x: 1 } }), [])
  assert.equal(differences({ a: null }, {}), [])
  assert.equal(differences({ b: 2, a: 1 }, { a: 3 }), [
    { field: 'a', from: 3, to: 1 },
    { field: 'b', from: undefined, to: 2 }
  ])
})

const removals: readonly (readonly [DeletionPolicy, ConflictPolicy, boolean | undefined, string, string])[] = [
  // policy, conflict policy, untouched, a kind that can remove and retire, a kind that only releases
  ['delete', 'crd-wins', true, 'remove', 'release'],
  ['delete', 'crd-wins', false, 'remove', 'release'],
  ['delete', 'db-wins', true, 'remove', 'release'],
  ['delete', 'db-wins', false, 'leave', 'leave'],
  ['delete', 'last-write-wins', false, 'leave', 'leave'],
  ['soft-delete', 'crd-wins', true, 'retire', 'release'],
  ['soft-delete', 'crd-wins', false, 'retire', 'release'],
  ['soft-delete', 'db-wins', false, 'leave', 'leave'],
  ['ignore', 'crd-wins', true, 'release', 'release'],
  ['ignore', 'db-wins', false, 'release', 'release'],
  ['delete', 'crd-wins', undefined, 'release', 'release']
]
for (const [policy, conflict, untouched, able, unable] of removals) {
  test(`CR gone: ${policy}, ${conflict}, ${untouched === undefined ? 'no row' : untouched ? 'untouched' : 'edited'}`, () => {
    assert.is(decideRemoval({ policy, conflict, untouched, can: { remove: true, retire: true } }), able)
    assert.is(decideRemoval({ policy, conflict, untouched, can: { remove: false, retire: false } }), unable)
  })
}

const byDefault = { percent: 20, explicit: false }
const guards: readonly (readonly [string, Parameters<typeof guardDeletes>[0], boolean])[] = [
  ['nothing to delete', { owned: 0, listed: 0, deletes: 0, max: byDefault }, true],
  ['five of nine', { owned: 9, listed: 4, deletes: 5, max: byDefault }, true],
  ['six of nine', { owned: 9, listed: 3, deletes: 6, max: byDefault }, false],
  ['two of ten', { owned: 10, listed: 8, deletes: 2, max: byDefault }, true],
  ['three of ten', { owned: 10, listed: 7, deletes: 3, max: byDefault }, false],
  ['all of three: the kind lists empty', { owned: 3, listed: 0, deletes: 3, max: byDefault }, false],
  ['all of three, allowed by count', { owned: 3, listed: 0, deletes: 3, max: { count: 3, explicit: true } }, true],
  [
    'all of three, allowed by per cent',
    { owned: 3, listed: 0, deletes: 3, max: { percent: 100, explicit: true } },
    true
  ],
  ['a count that does not suffice', { owned: 30, listed: 20, deletes: 10, max: { count: 9, explicit: true } }, false],
  ['none at all', { owned: 30, listed: 29, deletes: 1, max: { count: 0, explicit: true } }, false],
  ['an explicit per cent of few', { owned: 5, listed: 4, deletes: 1, max: { percent: 10, explicit: true } }, false]
]
for (const [name, input, passes] of guards) {
  test(`guard: ${name}`, () => {
    const verdict = guardDeletes(input)
    assert.is(verdict === undefined, passes)
    if (verdict !== undefined) assert.match(verdict, /--max-deletes/)
  })
}

test('what nobody edits is mended under every policy, unless something else was edited as well', () => {
  const wanted: Row = { ...want, armed: true }
  const ask = (live: Row, conflict: ConflictPolicy, owner: Situation['owner'] = 'us'): string => {
    const known = owner === 'us' ? base(want) : undefined
    const situation = { want: wanted, owner, base: known, live, policies: policies(conflict), upkeep: ['armed'] }
    const { op, write } = decide({ ...situation, specTime: undefined, rowTime: undefined })
    return `${op} ${write ?? '-'}`
  }
  for (const conflict of ['crd-wins', 'db-wins', 'last-write-wins'] as const) {
    assert.is(ask({ ...want, armed: false }, conflict), 'update update')
    assert.is(ask({ ...want, armed: false }, conflict, 'nobody'), 'adopt update')
    assert.is(ask({ ...want, armed: true }, conflict), 'keep -')
  }
  assert.is(ask({ value: 'edited', armed: false }, 'db-wins'), 'skip -')
})

test.run()
