/** Settings: what is given, what is assumed, and every fault at once. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '../src/config.ts'
import { SyncError } from '../src/errors.ts'
import { helpText } from '../src/help.ts'
import { matches, selectKinds, shardOf } from '../src/scope.ts'
import { settings } from '../src/settings.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('config')
const url = { DATABASE_URL: 'postgres://x' }

const faultsOf = (argv: readonly string[], environment: Record<string, string> = url): string => {
  try {
    readConfig(argv, environment)
  } catch (error) {
    assert.instance(error, SyncError)
    assert.is((error as SyncError).code, 'ConfigInvalid')
    return (error as SyncError).message
  }
  return ''
}

test('defaults are those of the design', () => {
  const config = readConfig([], url)
  assert.is(config.command, 'reconcile')
  assert.is(config.conflictPolicy, 'crd-wins')
  assert.is(config.deletionPolicy, 'soft-delete')
  assert.is(config.adopt, undefined)
  assert.equal(config.namespaceMapping, { mode: 'namespace-as-workspace' })
  assert.equal(config.adminNamespaces, ['windmill-system'])
  assert.equal(config.maxDeletes, { percent: 20, explicit: false })
  assert.equal(config.shard, { index: 0, count: 1 })
  assert.is(config.lockTimeout, 300_000)
  assert.is(config.user, 'iac_controller')
  assert.is(config.email, 'iac-controller@cluster.local')
  assert.is(config.salt, '')
})

test('options beat variables, an empty variable counts as unset', () => {
  const environment = { ...url, IAC_CONFLICT_POLICY: 'db-wins', IAC_MAX_DELETES: '', POD_NAMESPACE: 'ops' }
  assert.is(readConfig([], environment).conflictPolicy, 'db-wins')
  assert.is(readConfig(['--conflict-policy', 'last-write-wins'], environment).conflictPolicy, 'last-write-wins')
  assert.equal(readConfig([], environment).maxDeletes, { percent: 20, explicit: false })
  assert.equal(readConfig([], environment).adminNamespaces, ['ops', 'windmill-system'])
  assert.equal(readConfig(['--max-deletes=7'], environment).maxDeletes, { count: 7, explicit: true })
})

test('all faults are named at once', () => {
  const faults = faultsOf(['plam', '--frum', 'x', '--shard=3/3', '--email', 'a@b', '--batch-size'], {
    IAC_KIND: 'x',
    IAC_ADOPT: 'maybe',
    IAC_REFRESH: 'perhaps'
  }).split('\n')
  for (const start of [
    'plam:',
    '--frum:',
    '--shard:',
    '--email:',
    '--batch-size:',
    'IAC_KIND:',
    'IAC_ADOPT:',
    'IAC_REFRESH:',
    '--database,'
  ]) {
    assert.ok(
      faults.some(fault => fault.startsWith(start)),
      `${start} in ${faults.join(' | ')}`
    )
  }
})

test('options of one command are refused by another', () => {
  assert.match(faultsOf(['--exit-code']), /only for plan/)
  assert.is(faultsOf(['plan', '--exit-code', '--diff']), '')
  assert.match(faultsOf(['plan', '--print']), /only for init/)
})

test('DATABASE_URL_FILE is read, and named when it cannot be', () => {
  const folder = mkdtempSync(join(tmpdir(), 'iac-config-'))
  try {
    writeFileSync(join(folder, 'url'), 'postgres://file/db\n')
    assert.is(readConfig([], { DATABASE_URL_FILE: join(folder, 'url') }).database, 'postgres://file/db')
    assert.match(
      faultsOf([], { DATABASE_URL_FILE: join(folder, 'none') }),
      /DATABASE_URL_FILE: cannot be read \(ENOENT\)/
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('init --print needs no database', () => assert.is(readConfig(['init', '--print'], {}).print, true))

const durations: readonly (readonly [string, number])[] = [
  ['90', 90_000],
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['15s', 15_000]
]
for (const [text, ms] of durations) {
  test(`duration ${text}`, () => assert.is(readConfig(['--deadline', text], url).deadline, ms))
}

test('namespace mappings', () => {
  const mapping = (text: string): unknown => readConfig(['--namespace-mapping', text], url).namespaceMapping
  assert.equal(mapping('fixed:main'), { mode: 'fixed', workspace: 'main' })
  assert.equal(mapping('map:a=one, b=two'), {
    mode: 'map',
    map: new Map([
      ['a', 'one'],
      ['b', 'two']
    ])
  })
  for (const wrong of ['fixed:', 'fixed:a.b', 'map:a', 'map:a=b=c', 'other']) {
    assert.match(faultsOf(['--namespace-mapping', wrong]), /--namespace-mapping: must be/)
  }
})

test('selectors take what kubectl takes', () => {
  const chosen = (text: string, labels: Record<string, string>): boolean =>
    matches(labels, readConfig(['--selector', text], url).selector)
  assert.ok(chosen('team=crm,tier in (a, b)', { team: 'crm', tier: 'b' }))
  assert.not.ok(chosen('team=crm,tier in (a, b)', { team: 'crm', tier: 'c' }))
  assert.ok(chosen('team!=crm', {}))
  assert.ok(chosen('tier notin (a)', { tier: 'b' }))
  assert.ok(chosen('team', { team: '' }))
  assert.not.ok(chosen('!team', { team: '' }))
  assert.match(faultsOf(['--selector', 'team=>x']), /--selector: must be/)
})

test('kinds go by kind, short form or plural; an unknown one is named with the known', () => {
  const kinds = [
    { kind: 'WindmillVariable', plural: 'windmillvariables' },
    { kind: 'WindmillFolder', plural: 'windmillfolders' }
  ]
  for (const name of ['variable', 'WindmillVariable', 'windmillvariables']) {
    assert.equal(selectKinds(kinds, [name]), [kinds[0]])
  }
  assert.throws(() => selectKinds(kinds, ['variables2']), /variables2 is no kind \(variable, folder\)/)
})

test('a workspace is in the same one shard in every process', () => {
  const counts = [0, 0, 0]
  for (let n = 0; n < 3000; n++) counts[shardOf(`ws-${n}`, 3)]!++
  assert.ok(
    counts.every(count => count > 800),
    counts.join()
  )
  assert.is(shardOf('demo', 3), shardOf('demo', 3))
})

test('help names every option and variable', () => {
  const text = helpText('1.2.3')
  for (const one of settings) {
    assert.ok(text.includes(`--${one.option}`), one.option)
    if ('variable' in one) assert.ok(text.includes(`$${one.variable}`), one.variable)
  }
})

test.run()
