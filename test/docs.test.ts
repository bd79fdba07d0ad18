/** Documentation that can rot: tables that mirror code are compared with it. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { type Setting, settings } from '../src/settings.ts'
import { projectFolder } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('docs')
const read = (path: string): string => readFileSync(join(projectFolder, path), 'utf8')

/** The lines between two marks. */
const section = (text: string, name: string): string =>
  new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(text)?.[1] ?? ''

function settingsTable(): string {
  const rows = settings
    .filter(one => one.option !== 'help' && one.option !== 'version')
    .map((one: Setting) => {
      const option = `${one.short ? `\`-${one.short}\`, ` : ''}\`--${one.option}${one.value ? ` ${one.value}` : ''}\``
      const fallback = one.fallback ? `\`${one.fallback}\`` : (one.fallbackText ?? (one.value ? '' : 'off'))
      const help = one.commands ? `${one.help} (\`${one.commands.join('`, `')}\`)` : one.help
      return `| ${option} | ${one.variable ? `\`${one.variable}\`` : '–'} | ${fallback} | ${help} |`
    })
  return ['| option | variable | default | meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n')
}

interface Crd {
  readonly spec: {
    readonly names: { readonly kind: string; readonly plural: string; readonly shortNames: readonly string[] }
  }
}

const crds = readdirSync(join(projectFolder, 'crds'))
  .sort()
  .map(file => ({ file, crd: parse(read(`crds/${file}`)) as Crd }))

function kindsTable(): string {
  const rows = crds.map(({ file, crd: { spec } }) => {
    const names = spec.names.shortNames.map(name => `\`${name}\``).join(', ')
    return `| ${spec.names.kind} | ${names} | [examples/${file}](examples/${file}) |`
  })
  return ['| kind | short names | example |', '| --- | --- | --- |', ...rows, ''].join('\n')
}

/** `UPDATE_DOCS=1 npm test docs` writes the tables instead of comparing them. */
function check(path: string, name: string, table: string): void {
  const text = read(path)
  if (process.env['UPDATE_DOCS']) {
    writeFileSync(join(projectFolder, path), text.replace(section(text, name), table))
    return
  }
  assert.is(section(text, name), table)
}

test('the table of settings is that of the program', () => {
  check('docs/configuration.md', 'settings', settingsTable())
})

test('the table of kinds is that of the CRDs', () => {
  check('README.md', 'kinds', kindsTable())
})

test('documents link to files that are there', () => {
  for (const file of ['README.md', ...readdirSync(join(projectFolder, 'docs')).map(name => `docs/${name}`)]) {
    if (!file.endsWith('.md')) continue
    for (const [, target = ''] of read(file).matchAll(/\]\(([^)#:]+)\)/g)) {
      assert.ok(existsSync(join(projectFolder, file, '..', target)), `${file} links to ${target}`)
    }
  }
})

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}
interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly rules?: readonly Rule[]
  readonly spec?: {
    readonly jobTemplate: {
      readonly spec: { readonly template: { readonly spec: PodSpec }; readonly podFailurePolicy: unknown }
    }
  }
}
interface PodSpec {
  readonly containers: readonly {
    readonly env: readonly { readonly name: string; readonly value?: string }[]
    readonly image: string
    readonly args: readonly string[]
  }[]
}

const objects = parseAllDocuments(read('cronjob.yaml')).map(one => one.toJS() as Manifest)
const role = (name: string): readonly Rule[] =>
  objects.find(one => one.kind === 'ClusterRole' && one.metadata.name === name)?.rules ?? []

test('the cluster role has the verbs for every CRD, and no Secret', () => {
  const plurals = crds.map(({ crd }) => crd.spec.names.plural).sort()
  const [read, patch] = role('windmill-iac')
  assert.equal([...(read?.resources ?? [])].sort(), plurals)
  assert.equal(read?.verbs, ['get', 'list'])
  assert.equal(
    [...(patch?.resources ?? [])].sort(),
    plurals.map(plural => `${plural}/status`)
  )
  assert.equal(patch?.verbs, ['patch'])
  assert.not.ok(role('windmill-iac').some(rule => rule.resources.includes('secrets')))
  assert.equal(
    role('windmill-iac-references').map(rule => rule.verbs),
    [['get']]
  )
  const bound = objects.filter(one => one.kind === 'ClusterRoleBinding').map(one => one.metadata.name)
  assert.equal(bound, ['windmill-iac'])
})

test('the CronJob, the hook and the indexed Job run the released image with settings that exist', () => {
  const hook = parse(read('examples/helm-hook.yaml')) as {
    extraDeploy: readonly { spec: { template: { spec: PodSpec } } }[]
  }
  const indexed = parse(read('examples/indexed-job.yaml')) as {
    spec: { completions: number; completionMode: string; template: { spec: PodSpec } }
  }
  const cron = objects.find(one => one.kind === 'CronJob')?.spec?.jobTemplate.spec.template.spec
  const { version } = JSON.parse(read('package.json')) as { version: string }
  for (const pod of [cron, hook.extraDeploy[0]?.spec.template.spec, indexed.spec.template.spec]) {
    const [container] = pod?.containers ?? []
    assert.ok(container?.image.endsWith(`:${version}`), container?.image)
    for (const { name } of container?.env ?? []) {
      const known =
        ['DATABASE_URL', 'POD_NAMESPACE', 'SECRET_SALT', 'SHARD_INDEX'].includes(name) ||
        settings.some(one => 'variable' in one && one.variable === name)
      assert.ok(known, name)
    }
    for (const arg of container?.args ?? []) {
      if (arg.startsWith('--'))
        assert.ok(
          settings.some(one => `--${one.option}` === arg),
          arg
        )
    }
  }
})

test('the indexed Job gives each of its pods a shard of its own', () => {
  const { spec } = parse(read('examples/indexed-job.yaml')) as {
    spec: { completions: number; completionMode: string; template: { spec: PodSpec } }
  }
  const env = spec.template.spec.containers[0]?.env ?? []
  const names = env.map(one => one.name)
  assert.is(spec.completionMode, 'Indexed')
  assert.ok(names.indexOf('SHARD_INDEX') < names.indexOf('IAC_SHARD'), 'filled in only from what stands before')
  assert.is(env.find(one => one.name === 'IAC_SHARD')?.value, `$(SHARD_INDEX)/${spec.completions}`)
})

test('exit codes that are not worth a retry fail the Job at once', () => {
  const text = JSON.stringify(objects.find(one => one.kind === 'CronJob')?.spec?.jobTemplate.spec.podFailurePolicy)
  assert.match(text, /"FailJob".*\[1,3,5\]/)
})

// Kubernetes 1.30 refuses the whole CronJob otherwise; 1.34 fills the status in.
test('conditions of pods state their status', () => {
  for (const file of ['cronjob.yaml', 'examples/helm-hook.yaml', 'examples/indexed-job.yaml']) {
    const text = parseAllDocuments(read(file))
      .map(one => JSON.stringify(one.toJS()))
      .join('')
    const conditions = text.match(/"onPodConditions":\[[^\]]*\]/g)
    assert.equal(conditions, ['"onPodConditions":[{"type":"DisruptionTarget","status":"True"}]'], file)
  }
})

test.run()
