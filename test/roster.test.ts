import type { Listed } from '../src/model.ts'
import { Positions, Roster } from '../src/roster.ts'
import { listedOf } from './support/kind.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('roster')

const listed = (at: number, more: Partial<Listed> = {}): Listed =>
  listedOf(
    { kind: 'WindmillVariable' },
    {
      namespace: `team-${at % 3}`,
      name: `v-${at}`,
      uid: `uid-${at}`,
      generation: at + 1,
      revision: String(at + 1),
      ...more
    }
  )

test('what goes in comes out, in its order, however many there are', () => {
  for (const count of [0, 1, 511, 512, 513, 1300]) {
    const all = Array.from({ length: count }, (_, at) => listed(at))
    const roster = Roster.of('WindmillVariable', all)
    assert.is(roster.size, count)
    assert.equal([...roster], all)
    assert.is(roster.blocks, Math.ceil(count / 512))
  }
})

test('what does not fit into lines is kept whole', () => {
  const odd = [
    listed(0, { annotations: { adopt: 'always' } }),
    listed(1, { labels: { app: 'x' } }),
    listed(2, { origin: 'a.yaml:1', revision: 'digest', generation: 0 }),
    listed(3, { name: 'two\nlines' }),
    listed(4, { changedAt: '2026-02-02T00:00:00Z' }),
    listed(5)
  ]
  const roster = Roster.of('WindmillVariable', odd)
  assert.equal([...roster], odd)
  assert.equal([...roster.whole.keys()], [0, 1, 2, 3])
  const [block] = roster.slice(0, 1)
  // As many lines as CRs, whatever is in them.
  assert.equal(block?.names.split('\n'), ['v-0', 'v-1', 'v-2', '', 'v-4', 'v-5'])
})

test('a CR is found by its name, also after more have come', () => {
  const roster = Roster.of('WindmillVariable', [listed(0), listed(1)])
  assert.is(roster.positionOf('team-1', 'v-1'), 1)
  assert.is(roster.positionOf('team-1', 'v-4'), undefined)
  for (let at = 2; at < 600; at++) roster.add(listed(at))
  assert.is(roster.positionOf('team-1', 'v-4'), 4)
  assert.is(roster.positionOf('team-2', 'v-599'), 599)
  assert.equal([...roster.namespaces].sort(), ['team-0', 'team-1', 'team-2'])
  assert.is(roster.at(599).uid, 'uid-599')
  assert.throws(() => roster.at(600), /no CR at 600/)
})

test('rosters are joined', () => {
  const roster = Roster.of('WindmillVariable', [listed(0)])
  roster.addAll(Roster.of('WindmillVariable', [listed(1, { annotations: { adopt: 'never' } }), listed(2)]))
  assert.equal(
    [...roster].map(one => [one.name, one.annotations]),
    [
      ['v-0', {}],
      ['v-1', { adopt: 'never' }],
      ['v-2', {}]
    ]
  )
})

test('positions are counted once and told in order', () => {
  const some = new Positions(1000)
  for (const at of [999, 0, 7, 7]) some.add(at)
  assert.equal([...some], [0, 7, 999])
  assert.is(some.size, 3)
  assert.is(some.has(8), false)
})

test.run()
