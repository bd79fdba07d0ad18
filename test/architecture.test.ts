/** Who may import whom, and that kinds, CRDs and examples are one to one. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { loadKindFiles } from '../src/kind-files.ts'
import type { AnyKind } from '../src/model.ts'
import { checkKinds, wavesOf } from '../src/registry.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('architecture')

/** The project's folder, from the sources as well as from dist. */
const root = ((): string => {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
})()
const src = join(root, 'src')

/** Layers, lowest first; a file may import from its own layer and below. */
const layers: readonly (readonly [layer: number, pattern: RegExp])[] = [
  [0, /^(model|errors|fingerprint|places|roster)\.ts$/],
  [1, /^windmill\//],
  [2, /^kinds\//],
  [2, /^(cluster|files|database)\//],
  [
    2,
    /^(config|settings|help|setting-values|log|registry|kind-files|crd|crd-[a-z]+|tenancy|claims|scope|plan|status|memory)\.ts$/
  ],
  [
    3,
    /^(session|ledger|marks|publish|survey|admit|compare|apply|reconcile|batches|identities|gone|prune|manifest|report|export(-[a-z]+)?|validate)\.ts$/
  ],
  [4, /^(begin|run)\.ts$/],
  [5, /^(main|open|commands)\.ts$/]
]

/** Packages and the only files that may load them at run time. */
const owners: Readonly<Record<string, RegExp>> = {
  postgres: /^database\//,
  '@kubernetes/client-node': /^cluster\//,
  '@marcbachmann/cel-js': /^crd/,
  ajv: /^(crd|windmill\/flow-schema)/,
  croner: /^windmill\/cron\.ts$/,
  diff: /^report\.ts$/,
  'windmill-yaml-validator': /^windmill\/flow-schema\.ts$/,
  'windmill-utils-internal': /^windmill\/argument-types\.ts$/
}

/** Who may load packages past the import lines, where the table above does not see it. */
const requirers = /^(database\/embedded\/binaries|windmill\/argument-(parsers|types))\.ts$/

interface Import {
  readonly from: string
  readonly what: string
  readonly typeOnly: boolean
}

const files = (readdirSync(src, { recursive: true }) as string[]).filter(name => name.endsWith('.ts')).sort()

const imports: readonly Import[] = files.flatMap(from => {
  const text = readFileSync(join(src, from), 'utf8')
  const found = text.matchAll(
    /^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(['"]([^'"]+)['"]\)/gm
  )
  return [...found].map(([, type, fixed, lazy]) => ({ from, what: fixed ?? lazy ?? '', typeOnly: type !== undefined }))
})

const layerOf = (file: string): number | undefined => layers.find(([, pattern]) => pattern.test(file))?.[0]
const targetOf = ({ from, what }: Import): string => relative(src, resolve(src, dirname(from), what))

test('every file has a layer', () => {
  assert.equal(
    files.filter(file => layerOf(file) === undefined),
    []
  )
})

test('imports point down only', () => {
  const wrong = imports
    .filter(one => one.what.startsWith('.') && !one.typeOnly && one.what.endsWith('.ts'))
    .filter(one => (layerOf(targetOf(one)) ?? 0) > (layerOf(one.from) ?? 0))
  assert.equal(
    wrong.map(one => `${one.from} → ${one.what}`),
    []
  )
})

test('no kind knows another kind, and nothing but the folder reader knows kinds', () => {
  const wrong = imports.filter(one => one.what.startsWith('.') && targetOf(one).startsWith('kinds/'))
  assert.equal(
    wrong.map(one => `${one.from} → ${one.what}`),
    []
  )
})

test('kinds import words and Windmill facts only', () => {
  const wrong = imports.filter(
    one =>
      one.from.startsWith('kinds/') &&
      !one.typeOnly &&
      !/^\.\.\/(model|errors|fingerprint|windmill\/[\w-]+)\.ts$/.test(one.what)
  )
  assert.equal(
    wrong.map(one => `${one.from} → ${one.what}`),
    []
  )
})

test('the engine names no kind', () => {
  const engine = files.filter(file =>
    /^(session|ledger|marks|publish|survey|admit|compare|apply|reconcile|identities|gone|prune|report|run|plan|status|claims|tenancy)\.ts$/.test(
      file
    )
  )
  const naming = engine.filter(file =>
    /Windmill(Workspace|Group|Folder|ResourceType|Variable|Resource|Script|Flow|App|Schedule)\b/.test(
      readFileSync(join(src, file), 'utf8')
    )
  )
  assert.equal(naming, [])
})

test('each library has one owner', () => {
  const wrong = imports.filter(({ from, what, typeOnly }) => {
    const name = what.startsWith('@') ? what.split('/').slice(0, 2).join('/') : (what.split('/')[0] ?? '')
    return !typeOnly && owners[name] !== undefined && !owners[name].test(from)
  })
  assert.equal(
    wrong.map(one => `${one.from} → ${one.what}`),
    []
  )
})

test('packages are required by those who may', () => {
  const requiring = files.filter(file => readFileSync(join(src, file), 'utf8').includes('createRequire'))
  assert.equal(
    requiring.filter(file => !requirers.test(file)),
    []
  )
})

test('nothing needs the folder that the design came from', () => {
  const naming = files.filter(file => /\.\.\/shared|\/work\//.test(readFileSync(join(src, file), 'utf8')))
  assert.equal(naming, [])
})

interface Crd {
  readonly spec: { readonly names: { readonly kind: string; readonly plural: string } }
}

test('kinds, CRDs and examples are one to one', async () => {
  const kinds = await loadKindFiles()
  const stem = (file: string): string => file.replace(/\.[a-z]+$/, '')
  const crds = readdirSync(join(root, 'crds')).filter(file => file.endsWith('.yaml'))
  const byStem = new Map(crds.map(file => [stem(file), parse(readFileSync(join(root, 'crds', file), 'utf8')) as Crd]))
  for (const { file, exported } of kinds) {
    const crd = byStem.get(stem(file))
    assert.ok(crd, `src/kinds/${file} needs crds/${stem(file)}.yaml`)
    const { kind, plural } = exported as AnyKind
    assert.equal({ kind, plural }, { kind: crd.spec.names.kind, plural: crd.spec.names.plural }, file)
  }
  const known = new Set(kinds.map(one => (one.exported as AnyKind).kind))
  for (const [name, crd] of byStem) {
    assert.ok(known.has(crd.spec.names.kind), `crds/${name}.yaml needs src/kinds/${name}.ts`)
    assert.ok(existsSync(join(root, 'examples', `${name}.yaml`)), `crds/${name}.yaml needs examples/${name}.yaml`)
  }
  assert.is(known.size, byStem.size)
})

const kind = (name: string, after: readonly string[] = []): AnyKind =>
  ({ kind: name, plural: `${name}s`, after, compile: () => ({ row: {} }), write: async () => {} }) as unknown as AnyKind

test('waves follow what comes after what, equal input gives equal output', () => {
  const kinds = [kind('D', ['B', 'C']), kind('C', ['A']), kind('B', ['A']), kind('A')]
  const expected = [['A'], ['B', 'C'], ['D']]
  assert.equal(
    wavesOf(kinds).map(wave => wave.map(one => one.kind)),
    expected
  )
  assert.equal(
    wavesOf([...kinds].reverse()).map(wave => wave.map(one => one.kind)),
    expected
  )
})

test('the real kinds go workspace, group, folder, type, variable, resource', async () => {
  const waves = wavesOf(checkKinds(await loadKindFiles())).map(wave => wave.map(one => one.kind))
  const place = (name: string): number => waves.findIndex(wave => wave.includes(name))
  const order = [
    'WindmillWorkspace',
    'WindmillGroup',
    'WindmillFolder',
    'WindmillResourceType',
    'WindmillVariable',
    'WindmillResource'
  ]
  for (const name of order) assert.ok(place(name) >= 0, name)
  assert.ok(place('WindmillResource') > place('WindmillVariable'))
  assert.ok(place('WindmillFolder') > place('WindmillGroup'))
  assert.ok(place('WindmillVariable') > place('WindmillFolder'))
  assert.ok(place('WindmillResource') > place('WindmillResourceType'))
  assert.ok(place('WindmillGroup') > place('WindmillWorkspace'))
})

test('a circle, a double name, an unknown predecessor and a file without a kind fail loudly', () => {
  assert.throws(() => wavesOf([kind('A', ['B']), kind('B', ['A'])]), /circle: A, B/)
  const modules = (...kinds: unknown[]): { file: string; exported: unknown }[] =>
    kinds.map((exported, index) => ({ file: `${index}.ts`, exported }))
  assert.throws(() => checkKinds(modules(kind('A'), kind('A'))), /twice/)
  assert.throws(() => checkKinds(modules(kind('A', ['Z']))), /comes after Z/)
  assert.throws(() => checkKinds(modules(undefined)), /no default export/)
})

test.run()
