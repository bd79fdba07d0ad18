/** Whose word counts: the object's annotation, then the Namespace's, then the setting; for every kind. */
import type { Report } from '../src/report.ts'
import { isWindmills, writesOf } from './support/contract/photo.ts'
import { hands } from './support/decisions/hands.ts'
import {
  crOf,
  editAll,
  editByHand,
  forEach,
  furniture,
  type Home,
  inHome,
  oneOfEach,
  saidOf,
  told,
  valuesOf
} from './support/decisions/home.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('policies')
const release = '2026-08'

/** `own` has the annotation itself, `theirs` has that of its Namespace, `set` has neither. */
const names = ['own', 'theirs', 'set'] as const

function threeOfEach(annotation: string, [own, theirs]: readonly [string, string], value: string): readonly object[] {
  const annotated = (policy: string): object => ({ annotations: { [`windmill.dev/${annotation}`]: policy } })
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ruled', ...annotated(theirs) } },
    ...oneOfEach('own', value, { namespace: 'ruled', ...annotated(own) }),
    ...oneOfEach('theirs', value, { namespace: 'ruled' }),
    ...oneOfEach('set', value, { namespace: 'free' })
  ]
}

const inRules = (work: (home: Home) => Promise<void>): (() => Promise<void>) => {
  return () => inHome(release, ['ruled', 'free'], work)
}

const said = (report: Report): readonly unknown[] => names.map(name => saidOf(report, name))

for (const [own, theirs, set] of [
  ['db-wins', 'crd-wins', 'db-wins'],
  ['crd-wins', 'db-wins', 'crd-wins']
] as const) {
  test(
    `conflict-policy: ${own} of the object beats ${theirs} of the Namespace beats ${set} of the setting`,
    inRules(async ({ sql, run }) => {
      await run([...furniture, ...threeOfEach('conflict-policy', [own, theirs], 'ann')])
      await editAll(sql, release, names)
      const edited = [...furniture, ...threeOfEach('conflict-policy', [own, theirs], 'bob')]
      const report = await run(edited, '--conflict-policy', set)
      const words = { 'db-wins': 'conflict BothChanged', 'crd-wins': 'update Synced' }
      assert.equal(
        said(report),
        [own, theirs, set].map(policy => forEach(words[policy])),
        told(report)
      )
      for (const [at, name] of names.entries()) {
        assert.equal(await valuesOf(sql, name), forEach([own, theirs, set][at] === 'db-wins' ? 'cyd' : 'bob'))
      }
    })
  )
}

for (const [own, theirs, set] of [
  ['ignore', 'delete', 'soft-delete'],
  ['delete', 'ignore', 'delete'],
  ['soft-delete', 'ignore', 'delete']
] as const) {
  test(
    `deletion-policy: ${own} of the object beats ${theirs} of the Namespace beats ${set} of the setting`,
    inRules(async ({ run }) => {
      const setting = ['--deletion-policy', set, '--max-deletes', '100%']
      await run([...furniture, ...threeOfEach('deletion-policy', [own, theirs], 'ann')], ...setting)
      // What holds is remembered: the last Namespace and setting that the objects were seen under.
      const report = await run(furniture, '--max-deletes', '100%')
      const expected = [own, theirs, set].map((policy, at) =>
        forEach(hand => {
          // A workspace is retained whatever holds for all; only its own word counts.
          const isRetained = hand.kind === 'Workspace' && at > 0
          return `delete ${policy === 'ignore' || isRetained ? 'Released' : hand.gone[policy]}`
        })
      )
      assert.equal(said(report), expected, told(report))
    })
  )
}

for (const [own, theirs, set] of [
  ['always', 'never', 'identical'],
  ['never', 'always', 'never'],
  ['identical', 'never', 'always']
] as const) {
  test(
    `adopt: ${own} of the object beats ${theirs} of the Namespace beats ${set} of the setting`,
    inRules(async ({ sql, run }) => {
      const manifests = [...furniture, ...threeOfEach('adopt', [own, theirs], 'ann')]
      await run(manifests)
      await sql`delete from windmill_iac.object where namespace in ('ruled', 'free')`
      await editAll(sql, release, names)
      const report = await run(manifests, '--adopt', set)
      const wordsOf = (policy: string): string => (policy === 'always' ? 'adopt Synced' : 'conflict ExistsAlready')
      assert.equal(
        said(report),
        [own, theirs, set].map(policy => forEach(wordsOf(policy))),
        told(report)
      )
      for (const { reason, message, name } of report.objects) {
        if (reason !== 'ExistsAlready') continue
        assert.match(message, `adopt is ${[own, theirs, set][names.indexOf(name as 'own')]}`)
      }
    })
  )
}

test(
  'last-write-wins with a row whose time nobody knows: the manifest counts as newer, however old it is',
  inRules(async ({ sql, run }) => {
    const old = { namespace: 'free', creationTimestamp: '2020-01-01T00:00:00Z' }
    const untimed = hands.filter(one => one.forgetTime !== undefined || ['Workspace', 'Group'].includes(one.kind))
    await run([...furniture, ...untimed.map(hand => crOf(hand, 'set', 'ann', old))])
    for (const hand of untimed) {
      await hand.edit(sql, { paths: [hand.place('set')], value: 'cyd', at: new Date() }, release)
      await sql.unsafe(hand.forgetTime ?? '')
    }
    const edited = [...furniture, ...untimed.map(hand => crOf(hand, 'set', 'bob', old))]
    const report = await run(edited, '--conflict-policy', 'last-write-wins')
    assert.is(report.counts.update, untimed.length, told(report))
    for (const { op, message } of report.objects) {
      if (op === 'update')
        assert.match(message, /^Changed both in the manifest and in Windmill \(\w.*\); the manifest was newer/)
    }
  })
)

test(
  'an edit that only the audit knows of counts with its time and its author',
  inRules(async ({ sql, run }) => {
    const group = hands.find(one => one.kind === 'Group')
    if (!group) throw new Error('no hand for groups')
    const metadata = { namespace: 'free', creationTimestamp: '2020-01-01T00:00:00Z' }
    await run([...furniture, crOf(group, 'set', 'ann', metadata)])
    await editByHand(sql, release, group, { paths: [group.place('set')], value: 'cyd', at: new Date() })
    // Of other groups, of reading, and of long ago: no edits of this one.
    await sql`
      insert into audit (workspace_id, username, operation, action_kind, resource, timestamp) values
        ('demo', 'mallory', 'group.adduser', 'update', 'set2', now()),
        ('demo', 'mallory', 'folder.update', 'update', 'set', now()),
        ('demo', 'mallory', 'group.look', 'execute', 'set', now()),
        ('other', 'mallory', 'group.adduser', 'update', 'set', now())`
    const edited = [...furniture, crOf(group, 'set', 'bob', metadata)]
    const report = await run(edited, '--conflict-policy', 'last-write-wins')
    assert.is(
      report.objects.find(one => one.name === 'set')?.message,
      "Changed both in the manifest and in Windmill by alice (members); Windmill's side is newer and was left, the manifest lost."
    )
  })
)

test(
  'a paused object is left alone by every kind, still owned, and followed again afterwards',
  inRules(async ({ sql, run }) => {
    const free = { namespace: 'free' }
    const paused = { ...free, annotations: { 'windmill.dev/reconcile': 'disabled' } }
    await run([...furniture, ...oneOfEach('own', 'ann', free)])
    await editAll(sql, release, ['own'])
    const before = await writesOf(sql)
    const twins = hands.map(hand => {
      const { metadata, ...rest } = crOf(hand, 'own', 'bob', { ...free, creationTimestamp: '2030-01-01T00:00:00Z' })
      return { ...rest, metadata: { ...metadata, name: 'twin' } }
    })
    const report = await run([...furniture, ...oneOfEach('own', 'bob', paused), ...twins])
    assert.equal(saidOf(report, 'own'), forEach('skip Disabled'), told(report))
    assert.equal(saidOf(report, 'twin'), forEach('conflict ClaimedTwice'), told(report))
    const after = await writesOf(sql)
    assert.equal(
      Object.keys(after).filter(table => isWindmills(table) && after[table] !== before[table]),
      []
    )
    assert.equal(saidOf(await run([...furniture, ...oneOfEach('own', 'bob', free)]), 'own'), forEach('update Synced'))
    assert.equal(await valuesOf(sql, 'own'), forEach('bob'))
  })
)

test.run()
