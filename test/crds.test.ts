/** The CRDs, the validator that is built on them, and the examples: three views of one thing. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Environment } from '@marcbachmann/cel-js'
import { parse, parseAllDocuments } from 'yaml'
import { tableColumns } from '../src/cluster/table.ts'
import { annotationWarnings, checkManifest, loadCrds } from '../src/crd.ts'
import type { Rule, Schema } from '../src/crd-schema.ts'
import { markedAnnotations } from '../src/fingerprint.ts'
import { projectFolder } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('crds')

type Fields = Record<string, unknown>
interface Node extends Schema {
  readonly pattern?: string
  readonly maxLength?: number
  readonly maxItems?: number
  readonly maxProperties?: number
  readonly properties?: Readonly<Record<string, Node>>
  readonly additionalProperties?: Node
  readonly items?: Node
}
interface Crd {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly group: string
    readonly scope: string
    readonly names: Readonly<Record<'kind' | 'listKind' | 'plural' | 'singular', string>> & {
      readonly shortNames: readonly string[]
      readonly categories: readonly string[]
    }
    readonly versions: readonly {
      readonly name: string
      readonly served: boolean
      readonly storage: boolean
      readonly subresources: unknown
      readonly additionalPrinterColumns: readonly {
        readonly name: string
        readonly type: string
        readonly jsonPath: string
        readonly description?: string
        readonly priority?: number
      }[]
      readonly schema: { readonly openAPIV3Schema: Node }
    }[]
  }
}
interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: Fields
  readonly stringData?: Readonly<Record<string, string>>
  readonly data?: Readonly<Record<string, string>>
}

const folder = join(projectFolder, 'crds')
const crds = loadCrds(folder)
const stems = readdirSync(folder)
  .map(file => file.replace(/\.yaml$/, ''))
  .sort()
const read = (path: string): string => readFileSync(join(projectFolder, path), 'utf8')
const all: readonly (readonly [stem: string, crd: Crd])[] = stems.map(stem => [
  stem,
  parse(read(`crds/${stem}.yaml`)) as Crd
])
const kindOf = (crd: Crd): string => crd.spec.names.kind
const rootOf = (crd: Crd): Node => crd.spec.versions[0]?.schema.openAPIV3Schema ?? {}
const partOf = (crd: Crd, part: 'spec' | 'status'): Node => rootOf(crd).properties?.[part] ?? {}

function childrenOf(node: Node): readonly (readonly [name: string, child: Node])[] {
  const own = Object.entries(node.properties ?? {})
  return [
    ...own,
    ...(node.additionalProperties ? [['*', node.additionalProperties] as const] : []),
    ...(node.items ? [['[]', node.items] as const] : [])
  ]
}

/** Every node with its place, such as `spec.valuesFrom.[].field`. */
function nodesOf(node: Node, place: string): readonly (readonly [place: string, node: Node])[] {
  return [
    [place, node],
    ...childrenOf(node).flatMap(([name, child]) => nodesOf(child, place === '' ? name : `${place}.${name}`))
  ]
}

const everyNode = all.flatMap(([stem, crd]) =>
  nodesOf(rootOf(crd), '').map(([place, node]) => ({ at: `${stem}: ${place}`, place, node, crd }))
)
const places = (found: readonly { at: string }[]): readonly string[] => found.map(({ at }) => at)
const preserves = (node: Node): boolean => node['x-kubernetes-preserve-unknown-fields'] === true

// --- Names and structure -------------------------------------------------------------------------------------------

const shortNames: Readonly<Record<string, string>> = {
  app: 'wapp wa',
  flow: 'wflow wf',
  folder: 'wfolder',
  group: 'wgroup wg',
  resource: 'wres wr',
  'resource-type': 'wrt',
  schedule: 'wsched',
  script: 'wscript ws',
  variable: 'wvar wv',
  workspace: 'wworkspace wws'
}

test('names are those of the RFC, and follow from one another', () => {
  assert.equal(stems, Object.keys(shortNames).sort())
  for (const [stem, { metadata, spec }] of all) {
    const kind = `Windmill${stem
      .split('-')
      .map(part => part.charAt(0).toUpperCase() + part.slice(1))
      .join('')}`
    assert.equal(metadata.name, `${spec.names.plural}.windmill.dev`)
    assert.equal([spec.group, spec.scope], ['windmill.dev', 'Namespaced'], stem)
    assert.equal(spec.names, {
      kind,
      listKind: `${kind}List`,
      plural: `${kind.toLowerCase()}s`,
      singular: kind.toLowerCase(),
      shortNames: shortNames[stem]?.split(' ') ?? [],
      categories: ['windmill']
    })
    assert.is(spec.versions.length, 1)
    const { name, served, storage, subresources } = spec.versions[0] ?? {}
    assert.equal(
      { name, served, storage, subresources },
      { name: 'v1alpha1', served: true, storage: true, subresources: { status: {} } }
    )
  }
  const names = all.flatMap(([, { spec }]) => [spec.names.plural, spec.names.singular, ...spec.names.shortNames])
  assert.is(new Set(names).size, names.length)
})

const keywords =
  'description type format properties required items additionalProperties enum default nullable pattern minLength maxLength ' +
  'minItems maxItems maxProperties minimum maximum x-kubernetes-preserve-unknown-fields x-kubernetes-validations ' +
  'x-kubernetes-list-type x-kubernetes-list-map-keys'

test('schemas use nothing that a structural schema forbids', () => {
  const allowed = new Set(keywords.split(' '))
  const strange = everyNode.flatMap(({ at, node }) =>
    Object.keys(node)
      .filter(key => !allowed.has(key))
      .map(key => `${at}: ${key}`)
  )
  assert.equal(strange, [])
})

test('every node has a type, unless any JSON may stand there', () => {
  assert.equal(places(everyNode.filter(({ node }) => !node.type && !preserves(node))), [])
  assert.equal(places(everyNode.filter(({ node }) => preserves(node) && node.type && node.type !== 'object')), [])
  assert.equal(places(everyNode.filter(({ node }) => preserves(node) && childrenOf(node).length > 0)), [])
  const shaped = everyNode.filter(
    ({ place, node }) => node.type === 'object' && !preserves(node) && place !== 'metadata'
  )
  assert.equal(places(shaped.filter(({ node }) => !node.properties === !node.additionalProperties)), [])
  assert.equal(places(everyNode.filter(({ node }) => (node.type === 'array') !== (node.items !== undefined))), [])
})

// "must not specify anything other than name and generateName, but metadata is implicitly specified"
test('metadata says nothing but its type, or the API server refuses the CRD', () => {
  for (const [stem, crd] of all) assert.equal(rootOf(crd).properties?.['metadata'], { type: 'object' }, stem)
})

test('required fields exist, lists of words are closed, keys of lists are required', () => {
  for (const { at, node } of everyNode) {
    for (const name of node.required ?? []) assert.ok(node.properties?.[name], `${at}: ${name}`)
    if (node.enum) assert.is(new Set(node.enum).size, node.enum.length, at)
    // A null is none of the words of an enum; the API server would refuse it in spite of `nullable`.
    if (node.enum) assert.not(node.nullable, at)
    for (const key of node['x-kubernetes-list-map-keys'] ?? [])
      assert.ok(node.items?.required?.includes(key), `${at}: ${key}`)
    assert.is(node['x-kubernetes-list-type'] === 'map', node['x-kubernetes-list-map-keys'] !== undefined, at)
  }
  for (const [stem, crd] of all)
    assert.equal(Object.keys(rootOf(crd).properties ?? {}), ['apiVersion', 'kind', 'metadata', 'spec', 'status'], stem)
})

test('free JSON is where Windmill has free JSON, and nowhere else', () => {
  const settings =
    'aiConfig datatable defaultScripts deployTo deployUiSettings ducklake errorHandlerExtraArgs gitSync largeFileStorage successHandler.extraArgs'
  assert.equal(
    places(everyNode.filter(({ node }) => preserves(node))),
    [
      ...['policy', 'value'].map(name => `app: spec.${name}`),
      ...['schema', 'value'].map(name => `flow: spec.${name}`),
      'resource: spec.value',
      'resource-type: spec.schema',
      ...['args', 'onFailureExtraArgs', 'onRecoveryExtraArgs', 'onSuccessExtraArgs'].map(
        name => `schedule: spec.${name}`
      ),
      'script: spec.schema',
      ...settings.split(' ').map(name => `workspace: spec.settings.${name}`)
    ].sort((a, b) => places(everyNode).indexOf(a) - places(everyNode).indexOf(b))
  )
})

test('every field is described in sentences, with its form where it has one', () => {
  const own = everyNode.filter(({ place }) => place !== 'metadata')
  assert.equal(places(own.filter(({ node }) => !/^[A-Z][\s\S]{5,}\.$/.test(node.description ?? ''))), [])
  const unexplained = everyNode.filter(
    ({ node }) =>
      (node.pattern !== undefined ||
        /matches\('\^\[uf\]/.test(JSON.stringify(node['x-kubernetes-validations'] ?? ''))) &&
      !node.description?.includes('Form: ')
  )
  // What a username or an owner may be is told by the whole description.
  assert.equal(
    unexplained
      .map(({ place }) => place)
      .filter(place => !['spec.onBehalfOf', 'spec.runAs', 'spec.owner'].includes(place)),
    []
  )
})

test('patterns mean the same to Go (RE2) and to JavaScript', () => {
  for (const { at, node } of everyNode) {
    if (node.pattern === undefined) continue
    assert.ok(new RegExp(node.pattern, 'u'), at)
    assert.match(node.pattern, /^\^.*\$$/)
    // Look-arounds, back references, and classes that differ between the two.
    assert.not.match(node.pattern, /\(\?|\\[1-9kpPbBdDhvzZAQ]|\[\[:|\\u/)
  }
})

test('every text of the spec that is stored in a short column is as short', () => {
  const facts = JSON.parse(read('src/database/embedded/windmill-2026-08.json')) as {
    enums: Record<string, string[]>
    tables: Record<string, { columns: { name: string; type: string }[] }>
  }
  const columns: Readonly<Record<string, string>> = {
    'app.path': 'app.path',
    'app.summary': 'app.summary',
    'flow.path': 'flow.path',
    'flow.tag': 'flow.tag',
    'folder.name': 'folder.name',
    'folder.displayName': 'folder.display_name',
    'group.name': 'group_.name',
    'resource.path': 'resource.path',
    'resource.resourceType': 'resource.resource_type',
    'resource-type.name': 'resource_type.name',
    'resource-type.formatExtension': 'resource_type.format_extension',
    'schedule.path': 'schedule.path',
    'schedule.schedule': 'schedule.schedule',
    'schedule.timezone': 'schedule.timezone',
    'schedule.scriptPath': 'schedule.script_path',
    'schedule.onFailure': 'schedule.on_failure',
    'schedule.onRecovery': 'schedule.on_recovery',
    'schedule.onSuccess': 'schedule.on_success',
    'schedule.summary': 'schedule.summary',
    'schedule.tag': 'schedule.tag',
    'schedule.dynamicSkip': 'schedule.dynamic_skip',
    'script.path': 'script.path',
    'script.tag': 'script.tag',
    'script.concurrencyKey': 'script.concurrency_key',
    'script.debounceKey': 'script.debounce_key',
    'variable.path': 'variable.path',
    'variable.value': 'variable.value',
    'variable.description': 'variable.description',
    'workspace.id': 'workspace.id',
    'workspace.name': 'workspace.name',
    'workspace.owner': 'workspace.owner'
  }
  const wrong = Object.entries(columns).filter(([field, column]) => {
    const [stem, name] = field.split('.') as [string, string]
    const [table, columnName] = column.split('.') as [string, string]
    const crd = all.find(([other]) => other === stem)?.[1]
    const type = facts.tables[table]?.columns.find(one => one.name === columnName)?.type
    return `character varying(${crd && partOf(crd, 'spec').properties?.[name]?.maxLength})` !== type
  })
  assert.equal(wrong, [])
  const languages = crds.schema('WindmillScript').properties?.['language']?.enum ?? []
  assert.equal([...languages].sort(), [...(facts.enums['script_lang'] ?? [])].sort())
})

const columnsOf = (crd: Crd) => crd.spec.versions[0]?.additionalPrinterColumns ?? []
const shownColumns = (crd: Crd): ReturnType<typeof columnsOf> => columnsOf(crd).slice(0, -tableColumns.length)

test('every CRD ends with the columns that a listing reads, seen by people with -o wide only', () => {
  const expected = tableColumns.map(({ name, type, jsonPath, description }) => ({
    name,
    type,
    jsonPath,
    description,
    priority: 1
  }))
  for (const [stem, crd] of all) {
    assert.equal(columnsOf(crd).slice(-tableColumns.length), expected, stem)
    // A second column of the same name would make every Table unfit.
    const names = ['Name', ...columnsOf(crd).map(({ name }) => name)]
    assert.is(new Set(names).size, names.length, stem)
  }
})

test('the annotations that a listing reads are those that mean something on a CR, but for one that nothing reads', () => {
  assert.equal(annotationWarnings([...markedAnnotations]), [])
  assert.ok(
    annotationWarnings(['no-such'])
      .join()
      .endsWith(`known are ${[...markedAnnotations, 'max-deletes'].join(', ')}.`)
  )
})

test('printer columns show fields that exist, in one order', () => {
  for (const [stem, crd] of all) {
    const columns = shownColumns(crd)
    const names = columns.map(({ name }) => name)
    assert.equal(names.slice(0, 2), ['Workspace', 'Path'], stem)
    assert.equal(names.slice(-4), ['State', 'Reason', 'Synced', 'Age'], stem)
    for (const { name, type, jsonPath } of columns) {
      if (jsonPath === '.metadata.creationTimestamp') continue
      const node = jsonPath
        .slice(1)
        .split('.')
        .reduce<Node | undefined>((at, field) => at?.properties?.[field], rootOf(crd))
      assert.ok(node, `${stem}: ${name} ${jsonPath}`)
      assert.is(type, name === 'Synced' ? 'date' : node?.type)
    }
  }
})

test('the status has what the job writes', () => {
  for (const [stem, crd] of all) {
    const fields = Object.keys(partOf(crd, 'status').properties ?? {})
    const common = [
      'state',
      'reason',
      'message',
      'syncedAt',
      'observedGeneration',
      'hash',
      'lastModifiedInDb',
      'workspace'
    ]
    const lock = ['lockState', 'lockMessage']
    const more = { script: lock, flow: lock, app: lock, schedule: ['nextRun', 'lastRun', 'lastResult'] }[stem] ?? []
    assert.equal(fields, [...common, ...more, 'conditions'], stem)
  }
})

// --- Rules ---------------------------------------------------------------------------------------------------------

const base: Readonly<Record<string, Fields>> = {
  WindmillApp: { path: 'f/a/b', value: {} },
  WindmillFlow: { path: 'f/a/b', value: {} },
  WindmillFolder: { name: 'a' },
  WindmillGroup: { name: 'a' },
  WindmillResource: { path: 'f/a/b', resourceType: 'c_x' },
  WindmillResourceType: { name: 'c_x', schema: {} },
  WindmillSchedule: { path: 'f/a/b', schedule: '0 * * * *', scriptPath: 'f/a/b' },
  WindmillScript: { path: 'f/a/b', language: 'bun', content: '' },
  WindmillVariable: { path: 'f/a/b', value: '' },
  WindmillWorkspace: { id: 'a', name: 'A' }
}
const secretKeyRef = { name: 'some-secret', key: 'some.key' }
const configMapKeyRef = { name: 'some-map', key: 'some.key' }
/** A field that is undefined is taken away from the base. */
const specOf = (kind: string, more: Fields): Fields =>
  Object.fromEntries(Object.entries({ ...base[kind], ...more }).filter(([, value]) => value !== undefined))

interface Case {
  readonly accepts: readonly Fields[]
  readonly rejects: readonly Fields[]
}
const paths: Case = {
  accepts: ['u/me/x', 'f/A_b-1/x', 'f/a/b/c/d', `f/a/${'x'.repeat(251)}`].map(path => ({ path })),
  rejects: ['', 'x', 'f/a', 'g/a/b', 'f//b', 'f/a/', '/f/a/b', 'f/a/b.py', 'f/a/b c', 'f/é/b', 'f/a/b\n', 'F/a/b'].map(
    path => ({ path })
  )
}
const settings = (...all: Fields[]): readonly Fields[] => all.map(one => ({ settings: one }))

/** By the beginning of the rule's message; for every kind that has it. */
const cases: Readonly<Record<string, Case>> = {
  'must be u/<user>/<name> or f/<folder>/<name>': paths,
  'give exactly one of value and valueFrom': {
    accepts: [{}, { value: undefined, valueFrom: { secretKeyRef, configMapKeyRef } }],
    rejects: [{ value: undefined }, { valueFrom: { secretKeyRef, configMapKeyRef } }]
  },
  'value of a secret variable may have at most 11247 bytes': {
    accepts: [
      { isSecret: true, value: 'x'.repeat(11247) },
      { value: 'x'.repeat(15000) },
      { isSecret: false, value: 'x'.repeat(11248) }
    ],
    rejects: [{ isSecret: true, value: 'x'.repeat(11248) }]
  },
  'give at most one of value and valueFrom': {
    accepts: [{}, { value: {} }, { valueFrom: { secretKeyRef } }],
    rejects: [{ value: {}, valueFrom: { secretKeyRef } }]
  },
  'valuesFrom goes with value, not with valueFrom': {
    accepts: [
      { value: {}, valuesFrom: [{ field: 'a', secretKeyRef }] },
      { valuesFrom: [{ field: 'a', secretKeyRef }] }
    ],
    rejects: [{ valueFrom: { secretKeyRef }, valuesFrom: [{ field: 'a', secretKeyRef }] }]
  },
  'cache and state are written by Windmill itself': {
    accepts: [{ resourceType: 'cached' }],
    rejects: [{ resourceType: 'cache' }, { resourceType: 'state' }]
  },
  'a type is either a file (formatExtension) or a set of files (fileset)': {
    accepts: [
      { formatExtension: 'json' },
      { formatExtension: 'json', fileset: false },
      { formatExtension: '', fileset: true }
    ],
    rejects: [{ formatExtension: 'json', fileset: true }]
  },
  'each key must be u/<user> or g/<group>': {
    accepts: [{ extraPerms: {} }, { extraPerms: { 'u/me': true, 'g/my team': false, 'u/me@example.com': true } }],
    rejects: [{ extraPerms: { me: true } }, { extraPerms: { 'g/all': true, 'g/a/b': true } }]
  },
  'group all holds every user of the workspace': {
    accepts: [{ name: 'all' }, { members: ['me'] }],
    rejects: [{ name: 'all', members: [] }]
  },
  'global is reserved by Windmill': { accepts: [{ id: 'globals' }], rejects: [{ id: 'global' }] },
  'ids that start with wm-fork- are reserved': { accepts: [{ id: 'a-wm-fork' }], rejects: [{ id: 'wm-fork-a' }] },
  'webhook and webhookEditor are the same setting': {
    accepts: settings(
      { webhook: 'https://a' },
      { webhookEditor: null },
      { webhook: 'https://a', webhookEditor: 'https://a' }
    ),
    rejects: settings(
      { webhook: 'https://a', webhookEditor: 'https://b' },
      { webhook: 'https://a', webhookEditor: null }
    )
  },
  'aiConfig replaces': {
    accepts: settings({ aiConfig: {} }, { aiProvider: 'openai', aiModels: ['a'] }, { aiConfig: null }),
    rejects: settings(
      { aiConfig: {}, aiProvider: 'openai' },
      { aiConfig: null, codeCompletionEnabled: true },
      { aiConfig: {}, aiModels: [] }
    )
  },
  'domain and settings.autoInviteDomain are the same setting': {
    accepts: [
      { domain: 'a.b' },
      ...settings({ autoInviteDomain: '*' }),
      { domain: 'a.b', settings: { autoInviteDomain: 'a.b' } }
    ],
    rejects: [
      { domain: 'a.b', settings: { autoInviteDomain: 'b.c' } },
      { domain: 'a.b', settings: { autoInviteDomain: null } }
    ]
  },
  'each name must start with a letter': {
    accepts: [{ environment: { A_1: '', [`_${'x'.repeat(254)}`]: 'x' } }],
    rejects: ['1', 'A-B', 'x'.repeat(256), '', 'é'].map(name => ({ environment: { [name]: 'x' } }))
  },
  'give exactly one of content and contentFrom': {
    accepts: [{}, { content: undefined, contentFrom: { configMapKeyRef } }],
    rejects: [{ content: undefined }, { contentFrom: { configMapKeyRef } }]
  },
  'a script without a main function must be of kind script': {
    accepts: [{ noMainFunc: true }, { noMainFunc: false, kind: 'failure' }],
    rejects: [{ noMainFunc: true, kind: 'failure' }]
  },
  'give at most one of retry and retryConfig': {
    accepts: [{ retry: {} }, { retryConfig: {} }],
    rejects: [{ retry: {}, retryConfig: {} }]
  },
  'onFailureTimes and onFailureExact go with onFailure': {
    accepts: [{ onFailure: 'f/a/b', onFailureTimes: 2, onFailureExact: true }],
    rejects: [{ onFailureTimes: 2 }, { onFailureExact: false }]
  },
  'onRecoveryTimes goes with onRecovery': {
    accepts: [{ onRecovery: 'f/a/b', onRecoveryTimes: 2 }],
    rejects: [{ onRecoveryTimes: 2 }]
  },
  'scriptPath names a script although isFlow is true': {
    accepts: [{ scriptPath: 'script/f/a/b' }, { scriptPath: 'f/a/b', isFlow: true }],
    rejects: [{ scriptPath: 'script/f/a/b', isFlow: true }]
  },
  'scriptPath names a flow although isFlow is not true': {
    accepts: [{ scriptPath: 'flow/f/a/b', isFlow: true }, { scriptPath: 'f/a/b' }],
    rejects: [{ scriptPath: 'flow/f/a/b' }]
  }
}

const allRules = everyNode.flatMap(({ at, place, node, crd }) =>
  (node['x-kubernetes-validations'] ?? []).map(rule => ({ at, place, node, crd, rule }))
)
const isTransition = ({ rule }: Rule): boolean => rule.includes('oldSelf')
/** The kinds differ in where a value may come from; each takes its own reference. */
const refsFor = (kind: string, text: Fields): Fields => {
  const keep = kind === 'WindmillVariable' || kind === 'WindmillResource' ? 'secretKeyRef' : 'configMapKeyRef'
  const other = keep === 'secretKeyRef' ? 'configMapKeyRef' : 'secretKeyRef'
  return JSON.parse(JSON.stringify(text), (key, value: unknown) =>
    key === other ? undefined : key === 'value' && value === '' && keep === 'configMapKeyRef' ? {} : value
  ) as Fields
}

test('every rule accepts and rejects what it is made for', () => {
  const used = new Set<string>()
  for (const { at, crd, rule } of allRules.filter(one => !isTransition(one.rule))) {
    const found = Object.entries(cases).find(([message]) => rule.message.startsWith(message))
    assert.ok(found, `${at}: "${rule.message}" has no cases`)
    used.add(found?.[0] ?? '')
    const kind = kindOf(crd)
    const check = (more: Fields): readonly string[] => crds.validator(kind)(refsFor(kind, specOf(kind, more))).faults
    for (const more of found?.[1].accepts ?? [])
      assert.equal(check(more), [], `${kind} ${rule.rule} ${JSON.stringify(more).slice(0, 200)}`)
    for (const more of found?.[1].rejects ?? []) {
      const faults = check(more)
      assert.ok(
        faults.some(fault => fault.endsWith(`: ${rule.message}`)),
        `${kind} ${rule.rule} ${JSON.stringify(more).slice(0, 200)}: ${faults.join()}`
      )
    }
  }
  assert.equal(
    Object.keys(cases).filter(message => !used.has(message)),
    []
  )
})

test('the id of a workspace cannot be changed', () => {
  const transitions = allRules.filter(one => isTransition(one.rule))
  assert.equal(
    transitions.map(({ at, rule }) => `${at} ${rule.rule}`),
    ['workspace: spec.id self == oldSelf']
  )
  const environment = new Environment().registerVariable('self', 'dyn').registerVariable('oldSelf', 'dyn')
  const rule = environment.parse(transitions[0]?.rule.rule ?? '')
  assert.equal([rule({ self: 'a', oldSelf: 'a' }), rule({ self: 'a', oldSelf: 'b' })], [true, false])
})

test('rules read typed fields only, and what they read is bounded', () => {
  for (const { at, node, rule } of allRules) {
    for (const [reference] of rule.rule.matchAll(/\bself(?:\.[A-Za-z]\w*)+(?!\w|\()/g)) {
      let target: Node | undefined = node
      for (const name of reference.split('.').slice(1)) target = target?.properties?.[name]
      assert.ok(target?.type, `${at}: ${reference} is unknown to the API server's CEL`)
    }
    // The API server estimates what a rule may cost at most and refuses a CRD whose rules might be dear.
    const sized = /\bself\.(\w+)\)? (?:<=|==)|size\(self\.(\w+)\)|self\.(\w+)\.(?:startsWith|matches)/.exec(rule.rule)
    const name = sized?.slice(1).find(Boolean)
    const text = name === undefined ? node : node.properties?.[name]
    if (text?.type === 'string' && !text.enum) assert.ok(text.maxLength, `${at}: ${rule.rule}`)
    if (rule.rule.includes('.all(')) assert.ok(node.maxItems ?? node.maxProperties, at)
  }
})

test('defaults are valid, and stand where the RFC has them', () => {
  const defaults = everyNode.filter(({ node }) => node.default !== undefined).map(({ at, node }) => [at, node.default])
  assert.equal(Object.fromEntries(defaults), {
    'schedule: spec.enabled': true,
    'schedule: spec.isFlow': false,
    'schedule: spec.paused': false,
    'schedule: spec.timezone': 'UTC',
    'script: spec.kind': 'script'
  })
  for (const kind of crds.kinds()) {
    const checked = crds.validator(kind)(specOf(kind, {}))
    assert.equal(checked.faults, [], kind)
    assert.equal(crds.validator(kind)(checked.spec), checked, kind)
  }
})

// --- Manifests that must be accepted -------------------------------------------------------------------------------

const rfc: readonly (readonly [kind: string, spec: Fields])[] = [
  [
    'WindmillScript',
    {
      workspace: 'demo',
      path: 'u/admin/hello',
      language: 'python3',
      content: 'def main():\n  pass\n',
      summary: 'Hello',
      description: 'Says hello',
      schema: { type: 'object', properties: { name: { type: 'string' } } },
      lock: '',
      kind: 'command',
      tag: 'default',
      concurrencyLimit: 0,
      concurrencyTimeWindowS: 0,
      cacheSeconds: 0,
      dedicatedWorker: false,
      wsErrorHandlerMuted: false,
      priority: 100,
      timeout: 0,
      deleteAfterUse: false,
      restartedFrom: 'abc',
      envs: ['A=b', 'C']
    }
  ],
  [
    'WindmillFlow',
    {
      workspace: 'demo',
      path: 'f/flows/main',
      value: { modules: [] },
      summary: '',
      description: '',
      schema: {},
      tag: '',
      wsErrorHandlerMuted: true,
      concurrencyLimit: 1,
      concurrencyTimeWindowS: 10,
      cacheSeconds: 60,
      priority: 1,
      timeout: 300,
      dedicatedWorker: true,
      visibleToRunnerOnly: true
    }
  ],
  [
    'WindmillApp',
    {
      workspace: 'demo',
      path: 'f/apps/main',
      value: { grid: [] },
      summary: 'App',
      policy: { execution_mode: 'viewer' },
      customCss: '.a {}'
    }
  ],
  [
    'WindmillVariable',
    { workspace: 'demo', path: 'u/admin/v', value: 'x', description: 'd', isSecret: true, isOauth: false, accountId: 0 }
  ],
  [
    'WindmillVariable',
    { path: 'f/a/v', valueFrom: { secretKeyRef: { name: 'my.secret-1', key: 'A_KEY.txt' } }, isSecret: true }
  ],
  [
    'WindmillResource',
    {
      workspace: 'demo',
      path: 'f/a/r',
      resourceType: 'postgresql',
      description: 'd',
      value: { port: 5432, list: [null, { a: null }] },
      isOauth: true
    }
  ],
  ['WindmillResource', { path: 'f/a/r', resourceType: 'postgresql', valueFrom: { secretKeyRef } }],
  ['WindmillResourceType', { workspace: 'admins', name: 'my_type', schema: { properties: {} }, description: 'd' }],
  [
    'WindmillSchedule',
    {
      workspace: 'demo',
      path: 'f/a/s',
      schedule: '0 * * * *',
      scriptPath: 'f/a/b',
      timezone: 'Europe/Berlin',
      isFlow: true,
      args: { a: 1 },
      enabled: false,
      onFailure: 'f/a/h',
      onFailureExtraArgs: { a: 1 },
      onRecovery: 'f/a/h',
      onRecoveryExtraArgs: {},
      onSuccess: 'f/a/h',
      onSuccessExtraArgs: {},
      wsErrorHandlerMuted: true,
      retryConfig: { attempts: 3, exponentialDelay: 5, maxDelay: 1 },
      noFlowOverlap: true,
      tag: 't',
      paused: true
    }
  ],
  [
    'WindmillFolder',
    {
      workspace: 'demo',
      name: 'data_2',
      displayName: 'Data',
      owners: ['u/admin', 'g/all', 'u/admin'],
      extraPerms: { 'u/me': true, 'g/all': false }
    }
  ],
  [
    'WindmillGroup',
    { workspace: 'demo', name: 'data-team', summary: 's', members: ['admin', 'me@example.com', 'admin'] }
  ],
  [
    'WindmillWorkspace',
    {
      id: 'my-team_2',
      name: 'My team',
      owner: 'admin',
      domain: 'example.com',
      settings: {
        webhookEditor: 'https://example.com',
        deployUiSettings: {},
        aiProvider: 'openai',
        codeCompletionEnabled: true,
        defaultApp: 'f/a/b',
        defaultScripts: {},
        gitSync: { repositories: [] },
        deployTo: { workspace: 'prod' },
        errorHandler: 'f/a/h',
        errorHandlerExtraArgs: {},
        errorHandlerMutedOnCancel: true,
        openaiResourcePath: 'u/admin/openai',
        largeFileStorage: { type: 'S3Storage' },
        autoInviteDomain: 'example.com',
        autoInviteOperator: true
      }
    }
  ],
  [
    'WindmillWorkspace',
    {
      id: 'a',
      name: 'b',
      owner: 'me@example.com',
      settings: { deployTo: 'prod', gitSync: '', largeFileStorage: 'f/a/s3', errorHandler: '', defaultApp: '' }
    }
  ]
]
const filled: Readonly<Record<string, Fields>> = {
  WindmillScript: { kind: 'script' },
  WindmillSchedule: { enabled: true, isFlow: false, paused: false, timezone: 'UTC' }
}

test('manifests of the RFC are accepted as they are', () => {
  for (const [kind, spec] of rfc) {
    assert.equal(crds.validator(kind)(spec), { spec: { ...filled[kind], ...spec }, faults: [] }, kind)
  }
  assert.equal(new Set(rfc.map(([kind]) => kind)).size, all.length)
})

const exampleFiles = readdirSync(join(projectFolder, 'examples')).filter(
  file => file.endsWith('.yaml') && !['helm-hook.yaml', 'indexed-job.yaml'].includes(file)
)
const documents = exampleFiles.flatMap(file =>
  parseAllDocuments(read(`examples/${file}`)).map(document => {
    assert.equal(document.errors, [], file)
    return { file, manifest: document.toJS() as Manifest }
  })
)
const examples = documents.filter(({ manifest }) => manifest.apiVersion === 'windmill.dev/v1alpha1')
const ofCore = (kind: string): readonly Manifest[] =>
  documents.map(one => one.manifest).filter(one => one.apiVersion === 'v1' && one.kind === kind)

test('examples validate, stand in the file of their kind, and have a name and a place of their own', () => {
  for (const { file, manifest } of examples) {
    const { faults, warnings } = checkManifest(crds, manifest)
    assert.equal({ faults, warnings }, { faults: [], warnings: [] }, `${file}: ${manifest.metadata.name}`)
    assert.is(
      `Windmill${file.replace('.yaml', '').replace(/(^|-)(.)/g, (_, __, letter: string) => letter.toUpperCase())}`,
      manifest.kind
    )
  }
  const names = documents.map(
    ({ manifest }) => `${manifest.kind} ${manifest.metadata.namespace}/${manifest.metadata.name}`
  )
  const targets = examples.map(({ manifest }) => `${manifest.kind} ${workspaceOf(manifest)} ${targetOf(manifest)}`)
  for (const list of [names, targets])
    assert.equal(
      list.filter((one, index) => list.indexOf(one) !== index),
      []
    )
})

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
const workspaceOf = ({ metadata, spec }: Manifest): string => textOf(spec['workspace'] ?? metadata.namespace)
const targetOf = ({ spec }: Manifest): string => textOf(spec['path'] ?? spec['id'] ?? spec['name'])

/** The places of the schema that a value states; `null` states its place alone. */
function statedIn(value: unknown, node: Node | undefined, place: string): readonly string[] {
  if (!node) return []
  const below = (key: string, member: unknown): readonly string[] => {
    if (node.items) return statedIn(member, node.items, `${place}.[]`)
    return node.properties?.[key]
      ? statedIn(member, node.properties[key], `${place}.${key}`)
      : statedIn(member, node.additionalProperties, `${place}.*`)
  }
  if (typeof value !== 'object' || value === null || preserves(node)) return [place]
  return [place, ...Object.entries(value).flatMap(([key, member]) => below(key, member))]
}

test('examples show every field of every kind', () => {
  for (const [stem, crd] of all) {
    const shown = new Set(
      examples
        .filter(one => one.file === `${stem}.yaml`)
        .flatMap(({ manifest }) => statedIn(manifest.spec, partOf(crd, 'spec'), 'spec'))
    )
    const missing = nodesOf(partOf(crd, 'spec'), 'spec')
      .map(([place]) => place)
      .filter(place => !shown.has(place))
    assert.equal(missing, [], stem)
  }
})

test('what examples refer to is in the examples', () => {
  const keys = (kind: string): Set<string> =>
    new Set(
      ofCore(kind).flatMap(one =>
        Object.keys({ ...one.data, ...one.stringData }).map(
          key => `${one.metadata.namespace} ${one.metadata.name} ${key}`
        )
      )
    )
  const found = { secretKeyRef: keys('Secret'), configMapKeyRef: keys('ConfigMap') }
  const namespaces = new Map(
    ofCore('Namespace').map(one => [one.metadata.name, one.metadata.annotations?.['windmill.dev/workspaces'] ?? ''])
  )
  const declared = (kind: string): Set<string> =>
    new Set(
      examples
        .filter(one => one.manifest.kind === kind)
        .map(({ manifest }) => `${workspaceOf(manifest)} ${targetOf(manifest)}`)
    )
  const [folders, workspaces] = [
    declared('WindmillFolder'),
    new Set(examples.flatMap(({ manifest }) => (manifest.kind === 'WindmillWorkspace' ? [targetOf(manifest)] : [])))
  ]
  const runnables = new Set([...declared('WindmillScript'), ...declared('WindmillFlow')])
  for (const { manifest } of examples) {
    const { kind, metadata, spec } = manifest
    JSON.stringify(spec, (key, value: { name: string; key: string }) => {
      if (key === 'secretKeyRef' || key === 'configMapKeyRef')
        assert.ok(
          found[key].has(`${metadata.namespace} ${value.name} ${value.key}`),
          `${kind} ${metadata.name}: ${value.name} ${value.key}`
        )
      return value
    })
    assert.ok(namespaces.has(metadata.namespace ?? ''), metadata.name)
    if (kind === 'WindmillWorkspace') continue
    const workspace = workspaceOf(manifest)
    assert.ok(workspace === 'admins' || workspaces.has(workspace), workspace)
    assert.ok(
      [metadata.namespace, namespaces.get(metadata.namespace ?? '')].includes(workspace) ||
        metadata.namespace === 'windmill-system',
      metadata.name
    )
    if (spec['path']) assert.ok(folders.has(`${workspace} ${targetOf(manifest).split('/')[1]}`), targetOf(manifest))
    for (const name of ['scriptPath', 'onFailure', 'onRecovery', 'onSuccess', 'dynamicSkip']) {
      if (spec[name])
        assert.ok(
          runnables.has(`${workspace} ${textOf(spec[name]).replace(/^(script|flow)\//, '')}`),
          `${metadata.name} ${name}`
        )
    }
  }
})

test('the kustomize example names what its generator makes, from files that are there', () => {
  const folder = 'examples/kustomize'
  const kustomization = parse(read(`${folder}/kustomization.yaml`)) as {
    resources: readonly string[]
    configurations: readonly string[]
    configMapGenerator: readonly { name: string; files: readonly string[] }[]
  }
  const keys = new Map(
    kustomization.configMapGenerator.map(one => [one.name, one.files.map(file => file.split('/').pop() ?? '')])
  )
  for (const { files } of kustomization.configMapGenerator)
    for (const file of files) assert.ok(read(`${folder}/${file}`).length > 0, file)
  for (const file of kustomization.resources) {
    for (const document of parseAllDocuments(read(`${folder}/${file}`))) {
      const { kind, spec } = document.toJS() as Manifest
      assert.equal(crds.validator(kind)(spec).faults, [])
      const { name, key } = (spec['contentFrom'] as { configMapKeyRef: { name: string; key: string } }).configMapKeyRef
      assert.ok(keys.get(name)?.includes(key), `${name} ${key}`)
    }
  }
  const { nameReference } = parse(read(`${folder}/${kustomization.configurations[0]}`)) as {
    nameReference: readonly { fieldSpecs: readonly { kind: string; path: string }[] }[]
  }
  assert.equal(
    nameReference.flatMap(one => one.fieldSpecs.map(({ kind, path }) => `${kind} ${path}`)),
    [
      'WindmillScript spec/contentFrom/configMapKeyRef/name',
      'WindmillFlow spec/valueFrom/configMapKeyRef/name',
      'WindmillApp spec/valueFrom/configMapKeyRef/name'
    ]
  )
})

// --- The validator -------------------------------------------------------------------------------------------------

const faultsOf = (kind: string, more: Fields): readonly string[] => crds.validator(kind)(specOf(kind, more)).faults

test('faults name the field and the repair, all at once', () => {
  assert.equal(
    faultsOf('WindmillVariable', {
      path: 'x',
      value: 5,
      valueForm: {},
      wholly: 1,
      description: 'a\0',
      labels: ['', 'x'.repeat(101)]
    }),
    [
      'spec.valueForm: unknown field; did you mean spec.valueFrom?',
      'spec.wholly: unknown field; known here: workspace, path, value, valueFrom, description, isSecret, isOauth, accountId, labels',
      'spec.description: holds the character U+0000, which PostgreSQL cannot store; remove it',
      'spec.value: must be a text, but is a number; put it in quotes',
      'spec.labels[0]: must not be empty',
      'spec.labels[1]: must have at most 100 characters',
      'spec.path: must be u/<user>/<name> or f/<folder>/<name> (more parts allowed), each part of letters, digits, _ and -'
    ]
  )
})

const sentences: readonly (readonly [kind: string, more: Fields, fault: string])[] = [
  [
    'WindmillScript',
    { language: 'pyhton3' },
    'spec.language: must be one of python3, deno, go, bash, powershell, postgresql, mysql, bigquery, snowflake, mssql, oracledb, duckdb, graphql, nativets, bun, bunnative, php, rust, ansible, csharp, nu, java, ruby, rlang, dbt; did you mean python3?'
  ],
  ['WindmillScript', { priority: 0 }, 'spec.priority: must be at least 1'],
  ['WindmillScript', { priority: 101 }, 'spec.priority: must be at most 100'],
  ['WindmillScript', { priority: 1.5 }, 'spec.priority: must be a whole number, but is a number'],
  ['WindmillScript', { timeout: 2 ** 31 }, 'spec.timeout: must be at most 2147483647'],
  ['WindmillScript', { deleteAfterUse: 'yes' }, 'spec.deleteAfterUse: must be true or false, but is a text'],
  [
    'WindmillScript',
    { concurrency_limit: 1 },
    'spec.concurrency_limit: unknown field; did you mean spec.concurrencyLimit?'
  ],
  [
    'WindmillScript',
    { nothing_like_it: 1 },
    'spec.nothing_like_it: unknown field; see the field list of the kind (kubectl explain)'
  ],
  [
    'WindmillScript',
    { contentFrom: {}, content: undefined },
    'spec.contentFrom.configMapKeyRef: missing; it is required'
  ],
  [
    'WindmillScript',
    { content: 'a\ud800' },
    'spec.content: holds half of a surrogate pair, which is no character; repair the text'
  ],
  [
    'WindmillScript',
    { schema: { a: [2 ** 53] } },
    'spec.schema.a[0]: is an integer beyond 2^53, which would be rounded on the way; write it as a string'
  ],
  ['WindmillFlow', { value: [] }, 'spec.value: must be an object, but is a list'],
  ['WindmillFlow', { value: { x: Number.NaN } }, 'spec.value.x: is no finite number'],
  [
    'WindmillFlow',
    { value: { x: new Date(0) } },
    'spec.value.x: is no JSON value; write a text, number, boolean, list or object'
  ],
  [
    'WindmillFlow',
    { value: { 'a b': '\0' } },
    'spec.value["a b"]: holds the character U+0000, which PostgreSQL cannot store; remove it'
  ],
  ['WindmillResource', { valuesFrom: [] }, 'spec.valuesFrom: must have an entry; leave the field out instead'],
  [
    'WindmillResource',
    {
      valuesFrom: [
        { field: 'a', secretKeyRef },
        { field: 'a', secretKeyRef }
      ]
    },
    'spec.valuesFrom[1]: repeats field of spec.valuesFrom[0]; remove one of them'
  ],
  [
    'WindmillResource',
    { valuesFrom: [{ field: 'a', secretKeyRef: { name: 'A', key: 'b' } }] },
    'spec.valuesFrom[0].secretKeyRef.name: must match ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$: lower-case letters, digits, - and dots'
  ],
  ['WindmillFolder', { name: 'a-b' }, 'spec.name: must match ^[A-Za-z0-9_]+$: letters, digits and _'],
  [
    'WindmillFolder',
    { extraPerms: { 'g/all': 'yes' } },
    'spec.extraPerms["g/all"]: must be true or false, but is a text'
  ],
  [
    'WindmillGroup',
    { members: Array.from({ length: 10001 }, () => 'me') },
    'spec.members: must have at most 10000 entries'
  ],
  [
    'WindmillWorkspace',
    { id: 'a.b' },
    'spec.id: must match ^\\w+(-\\w+)*$: letters, digits and _, single hyphens only inside'
  ],
  [
    'WindmillWorkspace',
    { settings: { operatorSettings: { audit_logs: true } } },
    'spec.settings.operatorSettings.audit_logs: unknown field; did you mean spec.settings.operatorSettings.auditLogs?'
  ],
  ['WindmillVariable', { value: 'x'.repeat(15001) }, 'spec.value: must have at most 15000 characters'],
  [
    'WindmillSchedule',
    { schedule: '* * *' },
    'spec.schedule: must match ^\\s*(@[a-z]+|\\S+(\\s+\\S+){4,5})\\s*$: five cron fields (minute, hour, day of month, month, day of week), or six with seconds before them, or a nickname such as @daily'
  ]
]

test('each kind of fault has its sentence', () => {
  for (const [kind, more, fault] of sentences) assert.equal(faultsOf(kind, more), [fault])
})

test('characters are counted, not their halves', () => {
  assert.equal(faultsOf('WindmillGroup', { name: 'a', summary: '😀' }), [])
  assert.equal(faultsOf('WindmillVariable', { value: '😀'.repeat(15000) }), [])
  assert.is(faultsOf('WindmillVariable', { value: '😀'.repeat(15001) }).length, 1)
})

test('a spec that is none is one fault', () => {
  const check = crds.validator('WindmillGroup')
  assert.equal(check(undefined).faults, ['spec: missing; it is required'])
  assert.equal(check(null).faults, ['spec: missing; it is required'])
  assert.equal(check('text').faults, ['spec: must be an object, but is a text'])
  assert.equal(check([]).faults, ['spec: must be an object, but is a list'])
})

test('nulls mean something in nullable fields and in free JSON only', () => {
  const given = {
    id: 'a',
    name: 'A',
    owner: null,
    environment: { A: null, B: 'b' },
    settings: { color: null, autoAdd: null, aiConfig: { a: null }, gitSync: null, successHandler: null }
  }
  const expected = {
    id: 'a',
    name: 'A',
    environment: { B: 'b' },
    settings: { color: null, aiConfig: { a: null }, gitSync: null, successHandler: null }
  }
  assert.equal(crds.validator('WindmillWorkspace')(given), { spec: expected, faults: [] })
  assert.equal(faultsOf('WindmillSchedule', { timezone: null, enabled: null }), [])
  assert.equal(
    (crds.validator('WindmillSchedule')(specOf('WindmillSchedule', { timezone: null })).spec as Fields)['timezone'],
    'UTC'
  )
  assert.equal(faultsOf('WindmillWorkspace', { name: null }), ['spec.name: missing; it is required'])
})

// The API server refuses a no-break space where a pattern asks for \\s, and takes it where one asks for \\S.
test('white space is what Go takes for it', () => {
  const cron = 'spec.schedule: must match '
  assert.match(faultsOf('WindmillSchedule', { schedule: '0\u00a00\u00a0*\u00a0*\u00a0*' })[0] ?? '', cron)
  assert.match(faultsOf('WindmillSchedule', { schedule: '0\v0\v*\v*\v*' })[0] ?? '', cron)
  for (const schedule of ['0 0 * * *\n', '\t0\t0 *\f* \r*'])
    assert.equal(faultsOf('WindmillSchedule', { schedule }), [], JSON.stringify(schedule))
  for (const member of ['a\u00a0b', '\ufeffa', 'a\vb'])
    assert.equal(faultsOf('WindmillGroup', { members: [member] }), [], JSON.stringify(member))
  for (const member of ['a b', 'a\t', 'a/b'])
    assert.is(faultsOf('WindmillGroup', { members: [member] }).length, 1, JSON.stringify(member))
})

test('the spec is a copy, and a key __proto__ stays a key', () => {
  const value = JSON.parse('{"__proto__": {"a": [1]}, "constructor": 2}') as Fields
  const given = Object.freeze(specOf('WindmillResource', { value }))
  const { spec, faults } = crds.validator('WindmillResource')(given)
  assert.equal(faults, [])
  const copied = (spec as { value: Fields }).value
  assert.is(JSON.stringify(copied), JSON.stringify(value))
  assert.is(Object.getPrototypeOf(copied), Object.prototype)
  assert.is.not(copied, value)
  assert.ok(
    faultsOf('WindmillResource', { constructor: 1, toString: 2 }).every(fault => fault.includes('unknown field'))
  )
})

test('deep and broken input ends with a few sentences, not with a crash', () => {
  let deep: unknown = 1
  for (let i = 0; i < 20_000; i++) deep = { a: deep }
  assert.match(faultsOf('WindmillFlow', { value: { deep } }).join(), /is nested more than 200 levels deep/)
  assert.is(faultsOf('WindmillFlow', { value: { all: Array.from({ length: 1000 }, () => '\0') } }).length, 50)
})

test('no fault repeats a value', () => {
  const secret = 'hunter2'
  const wrong = [secret, `${secret}\0`, [secret], { [`x`]: secret }, 7_654_321]
  for (const [, crd] of all) {
    const fields = Object.keys(partOf(crd, 'spec').properties ?? {})
    for (const value of wrong) {
      const faults = crds
        .validator(kindOf(crd))(Object.fromEntries(fields.map(name => [name, value])))
        .faults.join()
      assert.not.match(faults, /hunter2|7654321/)
    }
  }
})

test('one kind can be loaded while the files of all others are broken', () => {
  const broken = mkdtempSync(join(tmpdir(), 'windmill-iac-crds-'))
  try {
    cpSync(folder, broken, { recursive: true })
    for (const stem of stems) if (stem !== 'resource-type') writeFileSync(join(broken, `${stem}.yaml`), '{')
    const found = loadCrds(broken)
    assert.equal(found.kinds(), crds.kinds())
    assert.equal(found.validator('WindmillResourceType')(base['WindmillResourceType']).faults, [])
    assert.is(found.validator('WindmillResourceType'), found.validator('WindmillResourceType'))
    assert.throws(() => found.validator('WindmillVariable'))
    assert.throws(() => found.validator('Windmill/../x'), /no CustomResourceDefinition/)
  } finally {
    rmSync(broken, { recursive: true })
  }
})

test('a manifest is more than its spec', () => {
  const manifest = {
    apiVersion: 'windmill.dev/v1alpha1',
    kind: 'WindmillGroup',
    metadata: { name: 'a' },
    spec: { name: 'a' }
  }
  assert.equal(checkManifest(crds, { ...manifest, status: {} }), { spec: { name: 'a' }, faults: [], warnings: [] })
  assert.equal(checkManifest(crds, { ...manifest, apiVersion: 'windmill.dev/v1', spce: {} }).faults, [
    'apiVersion: must be windmill.dev/v1alpha1',
    'spce: unknown field; did you mean spec?'
  ])
  assert.equal(checkManifest(crds, { ...manifest, kind: 'WindmillGroups' }).faults, [
    'kind: unknown; did you mean WindmillGroup?'
  ])
  assert.match(checkManifest(crds, { ...manifest, kind: 5 }).faults.join(), /^kind: unknown; known are WindmillApp, /)
  assert.equal(checkManifest(crds, 'x').faults, ['the manifest must be an object'])
  const annotations = {
    'windmill.dev/adopt': 'always',
    'example.com/adpot': 'x',
    'windmill.dev/deletionPolicy': 'delete'
  }
  assert.equal(checkManifest(crds, { ...manifest, metadata: { name: 'a', annotations } }).warnings, [
    'metadata.annotations: windmill.dev/deletionPolicy is unknown and ignored; did you mean windmill.dev/deletion-policy?'
  ])
})

test('annotations that nothing reads are told', () => {
  assert.equal(
    annotationWarnings([
      'conflict-policy',
      'deletion-policy',
      'adopt',
      'reconcile',
      'sync-requested-at',
      'archived',
      'max-deletes'
    ]),
    []
  )
  assert.equal(annotationWarnings(['workspaces']), [
    'metadata.annotations: windmill.dev/workspaces counts on a Namespace only; ignored.'
  ])
  assert.match(
    annotationWarnings(['nothing-like-it']).join(),
    /windmill.dev\/nothing-like-it is unknown and ignored; known are conflict-policy, /
  )
})

test.run()
