/** Validate: every fault of a set of manifests at once, each with its place, without a cluster and a database. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Answer } from '../src/open.ts'
import { command, logged, projectFolder, runAny } from './support/job.ts'
import { assert, rejects, suite } from './support/suite.ts'

const test = suite('validate')
const canary = 'canary-77aa'

interface Told {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly kind: string
  readonly name: string
  readonly message: string
}

interface Verdict {
  readonly exitCode: number
  readonly valid: boolean
  readonly files: number
  readonly objects: number
  readonly faults: readonly Told[]
  readonly warnings: readonly Told[]
  readonly text: string
}

async function validate(paths: readonly string[], ...argv: string[]): Promise<Verdict> {
  const { text, exitCode } = (await runAny(['validate', ...paths, '-o', 'json', ...argv], {})).result as Answer
  return { ...(JSON.parse(text) as Omit<Verdict, 'text' | 'exitCode'>), text, exitCode }
}

/** A folder with these files for as long as the body runs. */
async function withFiles(
  files: Readonly<Record<string, string>>,
  body: (folder: string) => Promise<void>
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-validate-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    await body(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const head = (kind: string, name: string, namespace = 'demo'): string =>
  `apiVersion: windmill.dev/v1alpha1\nkind: Windmill${kind}\nmetadata: { name: ${name}, namespace: ${namespace} }\n`

test('the examples are valid', async () => {
  const verdict = await validate([join(projectFolder, 'examples')])
  assert.equal(verdict.faults, [])
  assert.is(verdict.exitCode, 0)
  assert.ok(verdict.objects > 30)
})

test('each fault has file, line and column, and all of them are told', () =>
  withFiles(
    {
      'a.yaml': `${head('Variable', 'one')}spec:\n  path: nowhere\n  valeu: ${canary}\n  labels:\n    - ok\n    - 5\n---\n${head('Resource', 'two')}spec:\n  path: f/a/b\n  resourceType: state\n`,
      'b/c.yml': `${head('Folder', 'three')}spec:\n  name: ops\n  owners: [u/alice]\n  extraPerms:\n    u/alice: false\n`
    },
    async folder => {
      const { faults, exitCode, text, objects, files } = await validate([folder])
      const places = faults.map(one => `${one.file.slice(folder.length + 1)}:${one.line}:${one.column} ${one.name}`)
      assert.equal(places, [
        'a.yaml:5:3 one',
        'a.yaml:5:9 one',
        'a.yaml:6:10 one',
        'a.yaml:9:7 one',
        'a.yaml:16:17 two',
        'b/c.yml:8:5 three'
      ])
      assert.is(exitCode, 1)
      assert.equal([objects, files], [3, 2])
      assert.not.match(text + logged.join(''), canary)
    }
  ))

test('two objects for one row are a fault that names the other one', () =>
  withFiles(
    {
      'a.yaml': `${head('Variable', 'one')}spec: { path: f/a/b, value: x }\n`,
      'b.yaml': `${head('Variable', 'two', 'other')}spec: { workspace: demo, path: f/a/b, value: y }\n---\n${head('Resource', 'one')}spec: { path: f/a/b, resourceType: x }\n`
    },
    async folder => {
      const { faults } = await validate([folder])
      assert.is(faults.length, 1)
      assert.match(faults[0]?.message ?? '', /same f\/a\/b in workspace demo as demo\/one at .*a\.yaml:1/)
      assert.equal((await validate([join(folder, 'a.yaml')])).faults, [])
      const mapped = await validate([folder], '--namespace-mapping', 'map:other=demo')
      assert.match(mapped.faults.map(one => one.message).join(), /Namespace demo is mapped to no workspace/)
    }
  ))

test('the same object twice, a broken document, an unknown kind and a foreign one', () =>
  withFiles(
    {
      'a.yaml': `${head('Group', 'g')}spec: { name: g }\n---\n${head('Group', 'g')}spec: { name: g }\n---\n${head('Varible', 'v')}spec: {}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: x }\n---\n"open: ${canary}\n`
    },
    async folder => {
      const { faults, text, exitCode } = await validate([folder])
      assert.is(faults.filter(one => one.message.includes('declared twice')).length, 2)
      assert.is(faults.filter(one => one.message.includes('WindmillVarible')).length, 1)
      assert.ok(faults.some(one => one.line >= 20 && one.message.includes('missing')))
      assert.not.ok(faults.some(one => one.message.startsWith(folder)))
      assert.is(exitCode, 1)
      assert.not.match(text, canary)
    }
  ))

test('annotations are checked: unknown ones are warned about, policies must be some', () =>
  withFiles(
    {
      'a.yaml': `apiVersion: windmill.dev/v1alpha1\nkind: WindmillGroup\nmetadata:\n  name: g\n  namespace: demo\n  annotations:\n    windmill.dev/conflict-polcy: db-wins\n    windmill.dev/deletion-policy: perhaps\nspec: { name: g }\n`
    },
    async folder => {
      const { faults, warnings } = await validate([folder])
      assert.match(warnings[0]?.message ?? '', /did you mean windmill\.dev\/conflict-policy/)
      assert.is(faults.length, 1)
      assert.match(faults[0]?.message ?? '', /deletion-policy must be one of/)
    }
  ))

test('a Secret of the set must have the key, one that is elsewhere may', () =>
  withFiles(
    {
      'a.yaml': `${head('Variable', 'v')}spec:\n  path: f/a/b\n  valueFrom: { secretKeyRef: { name: s, key: k } }\n---\n${head('Variable', 'w')}spec:\n  path: f/a/c\n  valueFrom: { secretKeyRef: { name: elsewhere, key: k } }\n`,
      'secret.yaml': `apiVersion: v1\nkind: Secret\nmetadata: { name: s, namespace: demo }\nstringData: { other: ${canary} }\n`
    },
    async folder => {
      const { faults, text } = await validate([folder])
      assert.equal(
        faults.map(one => one.message),
        ['Secret s has no key k; add it or correct the reference.']
      )
      assert.not.match(text, canary)
    }
  ))

test('paths of users are refused where the settings say so', () =>
  withFiles({ 'a.yaml': `${head('Variable', 'v')}spec: { path: u/alice/x, value: x }\n` }, async folder => {
    assert.is((await validate([folder])).exitCode, 0)
    assert.match((await validate([folder], '--user-paths', 'deny')).faults[0]?.message ?? '', /--user-paths deny/)
  }))

test('text names the place first, so that editors jump to it; stdin is read; no database is asked for', () => {
  const [file = '', ...rest] = command()
  const input = `${head('Variable', 'v')}spec:\n  path: nope\n  value: x\n`
  const { stdout, status } = spawnSync(file, [...rest, 'validate', '-', '-o', 'text'], { input, encoding: 'utf8' })
  assert.is(status, 1)
  assert.match(stdout, /^<stdin>:5:9: WindmillVariable demo\/v: spec\.path: .*\n1 object in 1 file: 1 fault\.\n$/)
})

test('a folder that kustomize builds is left out with a warning', () =>
  withFiles(
    {
      'a.yaml': `${head('Group', 'g')}spec: { name: g }\n`,
      'k/kustomization.yaml': 'configMapGenerator:\n  - name: x\n',
      'k/broken.yaml': 'a: ['
    },
    async folder => {
      const { faults, warnings } = await validate([folder])
      assert.equal(faults, [])
      assert.match(warnings[0]?.message ?? '', /kubectl kustomize/)
    }
  ))

test('wrong usage names all faults', async () => {
  assert.match((await rejects(runAny(['validate'], {}))).message, /needs files or folders/)
  const error = await rejects(
    runAny(['validate', '/no/such', '/nor/this', '--namespace-mapping', 'x', '--to', 'y'], {})
  )
  for (const part of ['--namespace-mapping:', '--to: only for export']) assert.ok(error.message.includes(part), part)
  const missing = await rejects(runAny(['validate', '/no/such', '/nor/this'], {}))
  assert.is(missing.message.split('\n').length, 2)
  await withFiles({ 'readme.txt': 'x' }, async folder => {
    assert.match((await rejects(runAny(['validate', folder], {}))).message, /no manifest files/)
  })
})

test.run()
