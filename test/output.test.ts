/** What people and machines get to see: statuses, events, reports, exit codes. */

import { SyncError } from '../src/errors.ts'
import type { Op, Outcome } from '../src/model.ts'
import { type Facts, makeReport, sentenceOf, terminationMessage, textOf } from '../src/report.ts'
import { eventOf, statusDigest, statusOf } from '../src/status.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('output')

const outcome = (op: Op, part: Partial<Outcome> = {}): Outcome => ({
  op,
  kind: 'WindmillVariable',
  namespace: 'demo',
  name: op,
  workspace: 'demo',
  path: `f/x/${op}`,
  state: 'Synced',
  reason: 'Synced',
  message: 'In sync with Windmill.',
  ...part
})

const facts = (outcomes: readonly Outcome[], part: Partial<Facts> = {}): Facts => ({
  id: '1',
  startedAt: new Date('2026-01-01T00:00:00Z'),
  finishedAt: new Date('2026-01-01T00:00:01.250Z'),
  command: 'reconcile',
  cluster: 'c',
  windmillSchema: 's',
  error: undefined,
  kept: 0,
  outcomes,
  exitOnChanges: false,
  ...part
})

const error = outcome('error', { state: 'Error', reason: 'InvalidSpec', message: 'spec.path: is wrong' })

const codes: readonly (readonly [string, Facts, number])[] = [
  ['nothing', facts([]), 0],
  ['changes', facts([outcome('create'), outcome('update')]), 0],
  ['out of sync by policy', facts([outcome('skip', { state: 'OutOfSync' })]), 0],
  ['an error', facts([outcome('create'), error]), 1],
  ['a conflict', facts([outcome('conflict', { state: 'Conflict' })]), 1],
  ['a plan with changes', facts([outcome('create')], { command: 'plan', exitOnChanges: true }), 2],
  ['a plan without changes', facts([outcome('keep')], { command: 'plan', exitOnChanges: true }), 0],
  ['a plan with an error', facts([error, outcome('create')], { command: 'plan', exitOnChanges: true }), 1],
  ['the guard', facts([error, outcome('error', { reason: 'DeletionGuard' })]), 3],
  ['a kind that cannot be listed', facts([outcome('error', { reason: 'ListForbidden' })]), 3],
  ['a wrong key', facts([], { error: new SyncError('WrongEncryptionKey', 'x') }), 3],
  ['an interruption', facts([error], { error: new SyncError('Interrupted', 'x') }), 4],
  ['a lost database', facts([], { error: new SyncError('DatabaseFailed', 'x') }), 4]
]
for (const [name, given, code] of codes) {
  test(`exit code of ${name}`, () => assert.is(makeReport(given).run.exitCode, code))
}

test('the report has its stable form', () => {
  const report = makeReport(facts([outcome('create'), error], { kept: 40 }))
  assert.equal(Object.keys(report), ['schemaVersion', 'run', 'counts', 'objects'])
  assert.is(report.schemaVersion, 1)
  assert.equal(report.counts, { create: 1, update: 0, adopt: 0, delete: 0, keep: 40, conflict: 0, error: 1, skip: 0 })
  assert.equal(Object.keys(report.objects[0] ?? {}), [
    'op',
    'kind',
    'namespace',
    'name',
    'workspace',
    'path',
    'state',
    'reason',
    'message'
  ])
  assert.is(report.run.durationMs, 1250)
})

test('people get a line per object that was not kept, and one sentence', () => {
  const report = makeReport(facts([outcome('create'), outcome('keep'), error], { kept: 3 }))
  const text = textOf(report, { diff: false, verbose: false })
  assert.is(text.split('\n').length, 4)
  assert.match(text, /InvalidSpec: spec\.path: is wrong/)
  assert.match(text, /reconcile: 1 created, 4 kept, 1 in error in 1\.3 s\.\n$/)
  assert.match(sentenceOf({ ...report, run: { ...report.run, command: 'plan' } }), /1 to create, 4 to keep/)
})

test('differences: unified for text, a line per side for data', () => {
  const diff = [
    { field: 'content', from: 'a\nb\nc', to: 'a\nB\nc' },
    { field: 'value', from: { port: 1 }, to: { port: 2 } },
    { field: 'labels', from: undefined, to: ['x'] }
  ]
  const text = textOf(makeReport(facts([outcome('update', { diff })])), { diff: true, verbose: false })
  assert.match(text, /\n {4}-b\n {4}\+B\n/)
  assert.match(text, /\n {4}- value: \{"port":1\}\n {4}\+ value: \{"port":2\}\n/)
  assert.match(text, /\n {4}\+ labels: \["x"\]\n/)
})

test('the termination message holds the first failures and fits', () => {
  const many = Array.from({ length: 500 }, (_, n) => outcome('error', { name: `n${n}`, message: 'x'.repeat(900) }))
  const message = terminationMessage(makeReport(facts(many)))
  assert.ok(Buffer.byteLength(message) <= 4096)
  assert.match(message, /^reconcile: 500 in error/)
})

const news = {
  state: 'Synced',
  reason: 'Synced',
  message: 'In sync with Windmill.',
  workspace: 'demo',
  details: {},
  syncedAt: new Date('2026-01-01T00:00:00.123Z'),
  transitionedAt: new Date('2026-01-01T00:00:00.123Z')
} as const

test('a status is what kstatus wants, with times as Kubernetes writes them', () => {
  const status = statusOf({ generation: 7 }, news)
  assert.is(status.observedGeneration, 7)
  assert.is(status.syncedAt, '2026-01-01T00:00:00Z')
  assert.equal(status.conditions, [
    {
      type: 'Ready',
      status: 'True',
      reason: 'Synced',
      message: 'In sync with Windmill.',
      lastTransitionTime: '2026-01-01T00:00:00Z',
      observedGeneration: 7
    }
  ])
  assert.is(statusOf({ generation: 7 }, { ...news, state: 'OutOfSync' }).conditions[0]?.status, 'False')
})

test('statuses differ by everything but times, and by the object they are of', () => {
  const digest = statusDigest('u', statusOf({ generation: 1 }, news))
  assert.is(statusDigest('u', statusOf({ generation: 1 }, { ...news, syncedAt: new Date() })), digest)
  assert.is.not(statusDigest('v', statusOf({ generation: 1 }, news)), digest)
  assert.is.not(statusDigest('u', statusOf({ generation: 2 }, news)), digest)
  assert.is.not(statusDigest('u', statusOf({ generation: 1 }, { ...news, message: 'x' })), digest)
  const withDetails = (details: object): string => statusDigest('u', statusOf({ generation: 1 }, { ...news, details }))
  for (const details of [
    { hash: 'a' },
    { lockState: 'done' },
    { lockMessage: 'm' },
    { lastResult: 'success' },
    { nextRun: 't' }
  ]) {
    assert.is.not(withDetails(details), digest, JSON.stringify(details))
  }
  assert.is(withDetails({ lastModifiedInDb: 't' }), digest)
})

test('events are for transitions; a first success is none', () => {
  const synced = { state: 'Synced', reason: 'Synced', message: 'm' } as const
  const failed = { state: 'Error', reason: 'InvalidSpec', message: 'm' } as const
  assert.is(eventOf(undefined, synced), undefined)
  assert.is(eventOf('Synced', synced), undefined)
  assert.is(eventOf('Error', failed), undefined)
  assert.equal(eventOf(undefined, failed), { type: 'Warning', reason: 'InvalidSpec', message: 'm' })
  assert.equal(eventOf('Synced', failed)?.type, 'Warning')
  assert.equal(eventOf('Error', synced)?.type, 'Normal')
})

test.run()
