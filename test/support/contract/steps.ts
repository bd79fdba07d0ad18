/** What every kind promises, whatever it is. Each step begins with a world where all its examples are in sync. */
import type { Report } from '../../../src/report.ts'
import { assert } from '../suite.ts'
import {
  addNeighbours,
  all,
  annotated,
  deletedManifests,
  deleting,
  drift,
  everything,
  expect,
  isMentioned,
  isWithin,
  ledgerOf,
  losingLedger,
  mark,
  only,
  openManifest,
  other,
  photographOfOthers,
  quietly,
  restated,
  type Step,
  same,
  settled,
  shownAs,
  twinOf,
  withoutRows
} from './bench.ts'
import { bare, changed, oddOf, oddSecrets, otherSecrets, reversed } from './changes.ts'
import type { Cr } from './examples.ts'
import { hintsOf } from './hints.ts'
import { changesOf, contentOf, isWindmills, photograph, putBack } from './photo.ts'

export const steps: Readonly<Record<string, Step>> = {
  'a second run keeps everything and writes to no table, not even in a full comparison': async bench => {
    const { crs, run, sql } = bench
    // The first run after the photo was put back may settle marks.
    await run(crs)
    for (const argv of [[], ['--refresh']]) {
      expect(await quietly(sql, everything, () => run(crs, ...argv)), { keep: crs.length })
    }
  },

  'every stated field that changes is written, or the message says that it is ignored': async bench => {
    const { crs, runWith, sql, subject, release } = bench
    const others = crs.map(other)
    const planned = await quietly(sql, everything, () => runWith(otherSecrets, others, 'plan', '--diff'))
    expect(planned, { update: crs.length })
    for (const cr of crs) {
      const told = planned.objects.find(one => one.name === cr.metadata.name)
      const shown = told?.diff?.map(one => one.field) ?? []
      for (const field of changed(cr).fields) {
        if (hintsOf(subject.kind.kind).unsaid?.includes(field) && release !== '2026-08') continue
        const name = shownAs(subject, field)
        const isShown = shown.some(one => isWithin(one, name) || isWithin(name, one))
        assert.ok(
          isShown || isMentioned(name, told?.message ?? ''),
          `${cr.metadata.name}: nothing is said of ${field} (under another name? then see shownAs in hints.ts), only of ${shown.join()}; ${told?.message}`
        )
      }
    }
    expect(await runWith(otherSecrets, others), { update: crs.length }, { state: 'Synced' })
    await settled(bench, others, otherSecrets)
  },

  'what a CR does not state stays as somebody else made it': async bench => {
    const { crs, run, runWith, sql } = bench
    const least = crs.map(cr => ({ ...cr, spec: bare(cr) }))
    await run(least)
    const marked = await mark(bench)
    expect(await quietly(sql, isWindmills, () => run(least)), { keep: crs.length })
    expect(await runWith(otherSecrets, least.map(restated)), { update: crs.length }, { state: 'Synced' })
    assert.equal(await marked(), [], 'marks are gone')
  },

  'what was changed in Windmill is corrected, or left and reported, as the policy says': async bench => {
    const { crs, run, sql, content } = bench
    await drift(bench)
    for (const policy of ['db-wins', 'last-write-wins']) {
      const leave = (): Promise<Report> => run(crs, '--conflict-policy', policy)
      expect(
        await quietly(sql, isWindmills, leave),
        { skip: crs.length },
        { state: 'OutOfSync', reason: 'ChangedInDatabase' }
      )
    }
    if (!bench.subject.kind.retained) {
      const gone = (): Promise<Report> => run([], '--conflict-policy', 'db-wins', ...deleting)
      const report = await quietly(sql, isWindmills, gone)
      expect(report, { conflict: crs.length }, { reason: 'ChangedInDatabase' })
    }
    expect(await run(crs), { update: crs.length }, { state: 'Synced' })
    same(content, await contentOf(sql), 'the drift was not wholly corrected')
    await settled(bench, crs)
  },

  'what was deleted in Windmill is created again, unless the policy leaves it': async bench => {
    const { crs, run, sql, content, empty } = bench
    await putBack(sql, empty, isWindmills)
    const gone = await contentOf(sql)
    const left = await run(crs, '--conflict-policy', 'db-wins')
    expect(left, { conflict: crs.length }, { state: 'Conflict', reason: 'DeletedInDatabase' })
    same(gone, await contentOf(sql), 'something was written')
    expect(await run(crs), { create: crs.length }, { state: 'Synced' })
    same(content, await contentOf(sql), 'what came back is not what was deleted')
    await settled(bench, crs)
  },

  'a change is noticed in whichever table it was made': async bench => {
    const { crs, run, sql, content } = bench
    const example = await photograph(sql)
    const changes = await photographOfOthers(bench)
    const tables = [...changes.keys()].filter(table => content.has(table))
    for (const table of tables) {
      if (changesOf(only(example, table), only(changes, table)).length === 0) continue
      await putBack(sql, changes, one => one === table)
      const report = await run(crs)
      assert.ok(report.counts.update > 0, `a change of ${table} was not noticed`)
      same(content, await contentOf(sql), `a change of ${table} was not wholly corrected`)
    }
  },

  'after a lost ledger all is adopted without a write to Windmill': async bench => {
    const { crs, run, sql } = bench
    await losingLedger(sql, async () => {
      expect(await quietly(sql, isWindmills, () => run(crs)), { adopt: crs.length }, { state: 'Synced' })
      expect(await quietly(sql, everything, () => run(crs)), { keep: crs.length })
    })
    await losingLedger(sql, async () => {
      const never = (): Promise<Report> => run(crs, '--adopt', 'never')
      expect(await quietly(sql, isWindmills, never), { conflict: crs.length }, { reason: 'ExistsAlready' })
    })
  },

  'rows of nobody with other content are taken over only where that is allowed': async bench => {
    const { crs, run, sql, content } = bench
    await drift(bench)
    await losingLedger(sql, async () => {
      for (const adoption of ['never', 'identical']) {
        const refused = (): Promise<Report> => run(crs, '--adopt', adoption)
        expect(await quietly(sql, isWindmills, refused), { conflict: crs.length }, { reason: 'ExistsAlready' })
      }
      expect(await run(crs, '--adopt', 'always'), { adopt: crs.length }, { state: 'Synced' })
      same(content, await contentOf(sql), 'adopted, but not as wanted')
      await settled(bench, crs)
    })
  },

  'another cluster touches nothing of it': async bench => {
    const { crs, run, sql } = bench
    const ours = await ledgerOf(sql)
    const foreign = ['--cluster-id', 'another', ...deleting]
    const claim = (): Promise<Report> => run(crs.map(other), ...foreign)
    expect(await quietly(sql, isWindmills, claim), { conflict: crs.length }, { reason: 'OwnedByAnotherCluster' })
    expect(await quietly(sql, isWindmills, () => run([], ...foreign)), {})
    assert.equal(await ledgerOf(sql), ours)
    expect(await quietly(sql, isWindmills, () => run(crs)), { keep: crs.length })
  },

  'a CR that cannot be read keeps its row and its claim, and is kept once it is repaired': async bench => {
    const { crs, run, sql } = bench
    const broken = crs.map(cr => ({ ...cr, spec: { ...cr.spec, noSuchField: 1 } }))
    const fail = (): Promise<Report> => run(broken, ...deleting)
    expect(await quietly(sql, isWindmills, fail), { error: crs.length }, { reason: 'InvalidSpec' })
    const [first] = crs as readonly [Cr, ...Cr[]]
    const young = (): Promise<Report> => run([twinOf(first), ...broken], ...deleting)
    expect(await quietly(sql, isWindmills, young), { error: crs.length, conflict: 1 })
    const [owned] = await sql`
      select count(*)::int as count from windmill_iac.object
       where kind = ${bench.subject.kind.kind} and name is not null and path is not null and base is not null`
    assert.is(owned?.['count'], crs.length)
    expect(await quietly(sql, isWindmills, () => run(crs)), { keep: crs.length }, { state: 'Synced' })
    expect(await quietly(sql, everything, () => run(crs)), { keep: crs.length })
  },

  'of two CRs for one target the younger waits, and takes over without a deletion': async bench => {
    const { crs, run, sql } = bench
    const [first, ...rest] = crs as readonly [Cr, ...Cr[]]
    const twin = twinOf(first)
    const delay = (): Promise<Report> => run([twin, ...crs], ...deleting)
    const report = await quietly(sql, isWindmills, delay)
    expect(report, { keep: crs.length, conflict: 1 })
    assert.is(report.objects.find(one => one.op === 'conflict')?.reason, 'ClaimedTwice')
    expect(await run([twin, ...rest], ...deleting), { keep: rest.length, update: 1 })
    expect(await quietly(sql, everything, () => run([twin, ...rest], '--refresh', ...deleting)), { keep: crs.length })
  },

  'odd and large values come back as they were, whatever the order of keys': async bench => {
    const { crs, runWith, sql } = bench
    const odd = crs.map((cr, at) => ({ ...cr, spec: oddOf(cr, at === 0) }))
    const report = await runWith(oddSecrets, odd)
    assert.is(report.counts.update + report.counts.keep, crs.length, JSON.stringify(report.objects))
    await settled(bench, odd, oddSecrets)
    expect(await quietly(sql, everything, () => runWith(oddSecrets, odd.map(reversed), '--refresh')), {
      keep: crs.length
    })
  },

  'a CR that is gone releases its row, which stays byte for byte, and comes back to it': async bench => {
    const { crs, run, sql, subject } = bench
    if (subject.kind.retire && !subject.kind.retained) {
      expect(await run([], ...all), { delete: crs.length }, { state: 'Released', reason: 'Archived' })
      // A row that was archived is still there; a script without a live version is made anew.
      const { counts } = await run(crs)
      assert.is(counts.adopt + counts.create, crs.length)
    } else {
      const release = (): Promise<Report> => run([], ...all)
      expect(
        await quietly(sql, isWindmills, release),
        { delete: crs.length },
        { state: 'Released', reason: 'Released' }
      )
      expect(await quietly(sql, isWindmills, () => run(crs)), { adopt: crs.length }, { state: 'Synced' })
    }
    await settled(bench, crs)
  },

  'what is deleted is exactly what was created': async bench => {
    const { crs, run, sql, subject, content, emptyContent } = bench
    const doomed = crs.map(cr => annotated(cr, { 'windmill.dev/deletion-policy': 'delete' }))
    expect(await quietly(sql, isWindmills, () => run(doomed)), { keep: crs.length })
    if (!subject.kind.remove) {
      expect(await run([], ...all), { delete: crs.length }, { state: 'Released' })
      const left = await contentOf(sql)
      for (const [table, rows] of content) assert.is(left.get(table)?.length, rows.length, `rows of ${table} are gone`)
      expect(await run(crs), { adopt: crs.length }, { state: 'Synced' })
      await settled(bench, crs)
      return
    }
    const neighbours = await addNeighbours(bench)
    const [unblock = '', block = ''] = hintsOf(subject.kind.kind).unblock ?? []
    await sql.unsafe(unblock)
    expect(await run([], ...all), { delete: crs.length }, { state: '', reason: 'Deleted' })
    await sql.unsafe(block)
    const left = await contentOf(sql)
    for (const row of neighbours) assert.ok([...left.values()].flat().includes(row), `the neighbour is gone: ${row}`)
    same(emptyContent, withoutRows(left, neighbours), 'the delete left or took something else')
    const manifests = await deletedManifests(sql)
    assert.is(manifests.length, crs.length)
    const back = crs.map(cr => openManifest(manifests, cr) ?? cr)
    expect(await run(back), { create: crs.length }, { state: 'Synced' })
    same(content, withoutRows(await contentOf(sql), neighbours), 'what came back is not what was deleted')
    await settled(bench, back)
  }
}
