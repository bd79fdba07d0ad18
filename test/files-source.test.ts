/** A directory of manifests as a source: what is read, and that nothing broken passes for "not there". */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { SyncError } from '../src/errors.ts'
import { openDirectory } from '../src/files/source.ts'
import { silent } from '../src/log.ts'
import type { Manifest, Source } from '../src/model.ts'
import { listAll, wantedOf } from './support/listing.ts'
import { assert, rejects, suite } from './support/suite.ts'

const test = suite('files source')

const variable = { kind: 'WindmillVariable', plural: 'windmillvariables' }
const script = { kind: 'WindmillScript', plural: 'windmillscripts' }
const kinds = new Map([variable, script].map(one => [one.kind, one.plural]))

async function withFiles(
  files: Record<string, string | Uint8Array>,
  body: (source: Source, dir: string) => unknown
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'files-source-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, name)), { recursive: true })
      writeFileSync(join(dir, name), text)
    }
    await body(await openDirectory(dir, { log: silent, kinds }), dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const cr = (name: string, spec = 'path: u/a/b', more = ''): string =>
  `apiVersion: windmill.dev/v1alpha1\nkind: WindmillVariable\nmetadata:\n  name: ${name}\n${more}spec:\n  ${spec}\n`

async function readAll(source: Source, kind = variable): Promise<Manifest[]> {
  const listed = await listAll(source, kind)
  const chunks: Manifest[] = []
  for await (const chunk of source.read(kind, wantedOf(listed))) chunks.push(...chunk)
  return chunks
}
const names = async (source: Source): Promise<string[]> => (await listAll(source, variable)).map(one => one.name)
const faults = (source: Source, dir: string): string[] =>
  source.strays().map(one => one.error.message.replaceAll(`${dir}/`, ''))

test('files of all kinds are found in a fixed order, hidden ones and kustomizations are not', () =>
  withFiles(
    {
      'b.yml': cr('b'),
      'a/z.yaml': cr('az'),
      'a/c.json': JSON.stringify(
        { apiVersion: 'windmill.dev/v1alpha1', kind: 'WindmillVariable', metadata: { name: 'ac' }, spec: {} },
        null,
        '\t'
      ),
      '.git/x.yaml': '{{{',
      '.hidden.yaml': '{{{',
      'kustomization.yaml': 'resources: [b.yml]',
      'readme.md': '{{{',
      'deploy.yaml': 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n'
    },
    async source => {
      assert.equal(await names(source), ['ac', 'az', 'b'])
      assert.equal(source.strays(), [])
    }
  ))

test('a folder whose ConfigMaps kustomize makes is its input: left out, and refused by itself', async () => {
  const files = {
    'a.yaml': cr('a'),
    'built/kustomization.yaml': 'resources: [b.yaml]\nconfigMapGenerator:\n- name: code\n  files: [x.py]\n',
    'built/b.yaml': cr('b'),
    'built/deeper/c.yaml': cr('c')
  }
  await withFiles(files, async (source, dir) => {
    assert.equal(await names(source), ['a'])
    const error = await rejects(openDirectory(join(dir, 'built'), { log: silent, kinds }))
    assert.match(error.message, /kustomize builds this folder.*kubectl kustomize/)
  })
})

test('several documents, lists and typed lists are unpacked, each with its own line', () =>
  withFiles(
    {
      'all.yaml': [
        '# only a comment',
        '---',
        cr('one').trim(),
        '---',
        '---',
        'apiVersion: v1',
        'kind: List',
        'items:',
        '- apiVersion: windmill.dev/v1alpha1',
        '  kind: WindmillVariable',
        '  metadata: {name: two, namespace: team}',
        '- apiVersion: windmill.dev/v1alpha1',
        '  kind: WindmillVariableList',
        '  items:',
        '  - metadata: {name: three}',
        '    spec: {path: u/a/c}',
        ''
      ].join('\n')
    },
    async (source, dir) => {
      const all = await listAll(source, variable)
      assert.equal(
        all.map(one => `${one.namespace}/${one.name} ${one.origin.replace(`${dir}/`, '')}`),
        ['default/one all.yaml:3', 'team/two all.yaml:14', 'default/three all.yaml:20']
      )
      assert.equal(source.strays(), [])
    }
  ))

test('what is listed: generation and time as stated, our annotations without prefix, a revision that follows the spec', () =>
  withFiles(
    {
      'a.yaml': cr(
        'a',
        'path: u/a/b\n  value: x',
        '  generation: 7\n  creationTimestamp: "2024-01-02T03:04:05Z"\n  labels: {app: w}\n  annotations: {windmill.dev/adopt: always, other/x: y}\n'
      ),
      'b.yaml': cr('b', 'value: x\n  path: u/a/b'),
      'c.yaml': cr('c', 'value: y\n  path: u/a/b')
    },
    async source => {
      const [a, b, c] = await listAll(source, variable)
      const { origin: _, revision, ...rest } = a!
      assert.equal(rest, {
        kind: 'WindmillVariable',
        namespace: 'default',
        name: 'a',
        uid: '',
        generation: 7,
        createdAt: '2024-01-02T03:04:05Z',
        changedAt: '2024-01-02T03:04:05Z',
        labels: { app: 'w' },
        annotations: { adopt: 'always' }
      })
      assert.is(revision, b!.revision)
      assert.is.not(b!.revision, c!.revision)
      assert.equal(
        (await readAll(source)).map(one => one.spec),
        [
          { path: 'u/a/b', value: 'x' },
          { path: 'u/a/b', value: 'x' },
          { path: 'u/a/b', value: 'y' }
        ]
      )
    }
  ))

test('a broken document leaves the others of its file alone and says where it is', () =>
  withFiles(
    {
      'quote.yaml': `${cr('first')}---\n${cr('broken', 'value: "no end')}---\n${cr('last')}`,
      'twice.yaml': cr('twice', 'value: a\n  value: b'),
      'tab.yaml': `${cr('fine')}---\napiVersion: windmill.dev/v1alpha1\nkind: WindmillScript\nmetadata:\n\tname: x\n`,
      'template.yaml': cr('tpl', 'value: {{ .Values.x }}'),
      'tag.yaml': cr('tag', 'value: !Ref x')
    },
    async (source, dir) => {
      assert.equal((await names(source)).sort(), ['fine', 'first', 'last'])
      const strays = source.strays()
      assert.equal([...new Set(strays.map(one => `${one.kind} ${one.name}`))].sort(), [
        'WindmillScript ',
        'WindmillVariable broken',
        'WindmillVariable tag',
        'WindmillVariable tpl',
        'WindmillVariable twice'
      ])
      assert.ok(strays.every(one => one.error.code === 'InvalidManifest'))
      const all = faults(source, dir)
      assert.ok(all.includes('twice.yaml:7:3: the key stands twice in one mapping.'), all.join('\n'))
      assert.ok(
        all.some(one => one.startsWith('quote.yaml:14:') || one.startsWith('quote.yaml:13:')),
        all.join('\n')
      )
      assert.ok(
        all.some(one => one.startsWith('tab.yaml:11:')),
        all.join('\n')
      )
    }
  ))

test('messages never quote the file, for it may hold secrets', () =>
  withFiles(
    {
      'a.yaml':
        'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  a: "hunter2\\q"\n hunter2: hunter2\n',
      'b.yaml': 'hunter2',
      'c.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: t}\ndata: {password: hunter2}\n',
      'd.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: u}\nstringData: {password: 12345678901234567890}\n',
      'e.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: v}\nstringData: {password: *hunter2}\n'
    },
    async (source, dir) => {
      const all = faults(source, dir)
      assert.ok(all.length >= 5)
      assert.not.match(all.join('\n'), /hunter2|1234567/)
      assert.match(all.join('\n'), /data\.password is no base64/)
      assert.is(
        (await rejects(source.material('Secret', 'default', 't'))).message.replaceAll(`${dir}/`, ''),
        'Reading Secret default/t failed: its manifest at c.yaml:1 is broken.'
      )
    }
  ))

test('things that are no usable manifest are strays of the narrowest kind that is sure', () =>
  withFiles(
    {
      'a.yaml': 'just text',
      'b.yaml': 'apiVersion: windmill.dev/v1alpha1\nkind: WindmillScrpt\nmetadata: {name: a}\n',
      'c.yaml': 'apiVersion: windmill.dev/v1alpha1\nkind: WindmillScript\nmetadata: {}\n',
      'd.yaml': 'apiVersion: windmill.dev/v1alpha1\nkind: WindmillScript\nmetadata: {name: a, namespace: Bad_One}\n',
      'e.yaml': 'apiVersion: windmill.dev/v2\nkind: WindmillScript\nmetadata: {name: a}\n',
      'f.yaml': 'kind: WindmillScript\nmetadata: {name: a}\n',
      'g.yaml': '- 1\n- 2\n',
      'h.yaml':
        'apiVersion: windmill.dev/v1alpha1\nkind: WindmillScript\nmetadata: {name: h, annotations: {windmill.dev/reconcile: true}}\n',
      'i.yaml': 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: "no end\n',
      'j.yaml': new Uint8Array([0x61, 0x3a, 0x20, 0xff, 0xfe]),
      'k.yaml': `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
        .split('')
        .map((one, at) => `${one}: &${one} [${Array(10).fill(`*${'abcdefg'[at]}`).join(',')}]`)
        .join('\n')}\n`
    },
    async (source, dir) => {
      assert.equal(await listAll(source, script), [])
      const told = source
        .strays()
        .map(one => `${one.origin.replace(`${dir}/`, '').split('.')[0]} ${one.kind} ${one.error.code}`)
      assert.equal([...new Set(told)].sort(), [
        'a  InvalidManifest',
        'b  UnknownKind',
        'c WindmillScript InvalidManifest',
        'd WindmillScript InvalidManifest',
        'e WindmillScript InvalidManifest',
        'f WindmillScript InvalidManifest',
        'g  InvalidManifest',
        'h WindmillScript InvalidManifest',
        'i Deployment InvalidManifest',
        'j  InvalidManifest',
        'k  InvalidManifest'
      ])
      assert.match(
        faults(source, dir).join('\n'),
        /b\.yaml:1:1: WindmillScrpt is no kind of windmill\.dev; there are WindmillVariable, WindmillScript\./
      )
    }
  ))

test('an object that is declared twice counts nowhere, and both places are named', () =>
  withFiles(
    {
      'a.yaml': cr('x'),
      'b.yaml': `${cr('y')}---\n${cr('x')}---\n${cr('x')}`,
      'ns.yaml': 'apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n'
    },
    async (source, dir) => {
      assert.equal(await names(source), ['y'])
      assert.equal(faults(source, dir), [
        'a.yaml:1: WindmillVariable default/x is declared twice, also at b.yaml:8; none of them counts.',
        'b.yaml:8:1: WindmillVariable default/x is declared twice, also at a.yaml:1; none of them counts.',
        'b.yaml:15:1: WindmillVariable default/x is declared twice, also at a.yaml:1; none of them counts.'
      ])
      assert.is((await source.namespaces(['x'])).size, 1)
    }
  ))

test('integers that would lose digits are refused with their field and place, all others are numbers', () =>
  withFiles(
    {
      'a.yaml': cr('a', 'ok: 9007199254740991\n  hex: 0x10\n  float: 1.5\n  text: "9007199254740993"'),
      'b.yaml': cr('b', 'list:\n  - {id: 1}\n  - {id: 9007199254740993}'),
      'c.yaml': cr('c', 'x: .inf')
    },
    async (source, dir) => {
      assert.equal(
        (await readAll(source)).map(one => one.spec),
        [{ ok: 9007199254740991, hex: 16, float: 1.5, text: '9007199254740993' }]
      )
      assert.equal(
        source.strays().map(one => one.error.code),
        ['InvalidSpec', 'InvalidSpec']
      )
      assert.match(faults(source, dir)[0]!, /^b\.yaml:8:10: spec\.list\.1\.id: the integer is beyond 2\^53/)
    }
  ))

test('anchors and merge keys work, directives and Windows line ends too', () =>
  withFiles(
    {
      'a.yaml': `%YAML 1.2\n---\n${cr('a', 'base: &b {x: 1}\n  more: {<<: *b, y: 2}')}...\n---\n${cr('b')}`.replaceAll(
        '\n',
        '\r\n'
      )
    },
    async source => {
      assert.equal(
        source.strays().map(one => one.error.message),
        []
      )
      const [a, b] = await readAll(source)
      assert.equal(a!.spec, { base: { x: 1 }, more: { x: 1, y: 2 } })
      assert.equal(b!.spec, { path: 'u/a/b' })
    }
  ))

test('Secrets, ConfigMaps and Namespaces of the files stand in for those of a cluster', () =>
  withFiles(
    {
      'all.yaml': [
        'apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\ndata: {a: eA==, b: eQ==}\nstringData: {b: "é"}',
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {t: text}\nbinaryData: {b: //8=}',
        'apiVersion: v1\nkind: Namespace\nmetadata: {name: team, annotations: {windmill.dev/workspaces: "w1,w2", x/y: z}}'
      ].join('\n---\n')
    },
    async source => {
      const secret = await source.material('Secret', 'team', 's')
      assert.equal(
        [...secret.data].map(([key, bytes]) => [key, Buffer.from(bytes).toString()]),
        [
          ['a', 'x'],
          ['b', 'é']
        ]
      )
      assert.is(await source.version('Secret', 'team', 's'), secret.version)
      const map = await source.material('ConfigMap', 'default', 'c')
      assert.equal(
        [...map.data].map(([key, bytes]) => [key, Buffer.from(bytes).toString('hex')]),
        [
          ['t', '74657874'],
          ['b', 'ffff']
        ]
      )
      assert.equal([...(await source.namespaces(['team', 'none']))], [['team', { workspaces: 'w1,w2' }]])
      assert.is(await source.version('Secret', 'default', 's'), undefined)
      const error = await rejects(source.material('Secret', 'default', 's'))
      assert.ok(error instanceof SyncError)
      assert.is(error.code, 'SecretNotFound')
    }
  ))

test('links are followed once, circles end, and a dangling manifest is a stray', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'files-source-'))
  try {
    mkdirSync(join(dir, 'a'))
    writeFileSync(join(dir, 'a/x.yaml'), cr('x'))
    symlinkSync('..', join(dir, 'a/up'))
    symlinkSync('a', join(dir, 'b'))
    symlinkSync('a/x.yaml', join(dir, 'again.yaml'))
    symlinkSync('nowhere', join(dir, 'gone.yaml'))
    symlinkSync('loop', join(dir, 'loop'))
    const source = await openDirectory(dir, { log: silent, kinds })
    assert.equal(await names(source), ['x'])
    assert.equal(faults(source, dir), ['gone.yaml: cannot be read (ENOENT).'])
    const one = await openDirectory(join(dir, 'a/x.yaml'), { log: silent, kinds, namespace: 'own' })
    assert.equal(
      (await listAll(one, variable)).map(listed => listed.namespace),
      ['own']
    )
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('what kubectl reads otherwise is refused rather than read our way', () =>
  withFiles(
    { 'a.yaml': cr('a', 'value: {country: no, mode: 0644, on: "yes", text: \'off\', plain: yess}') },
    (source, dir) => {
      assert.equal(faults(source, dir), [
        'a.yaml:6:20: kubectl reads no as a boolean; write true or false, or quote it.',
        'a.yaml:6:30: kubectl reads a number that begins with 0 as octal; write it in decimal, or quote it.'
      ])
    }
  ))

test('a directory that is not there is a wrong setting', async () => {
  const error = await rejects(openDirectory('/nonexistent/x', { log: silent, kinds }))
  assert.is((error as SyncError).code, 'ConfigInvalid')
})

test('only watched namespaces are listed; statuses and events go nowhere', () =>
  withFiles({ 'a.yaml': cr('a'), 'b.yaml': cr('b', 'path: x', '  namespace: team\n') }, async (_source, dir) => {
    const source = await openDirectory(dir, { log: silent, kinds, namespaces: ['team'] })
    assert.equal(await names(source), ['b'])
    const [listed] = await listAll(source, variable)
    assert.is(
      await source.patchStatus(listed!, {
        state: 'Synced',
        reason: 'Synced',
        message: '',
        observedGeneration: 1,
        conditions: []
      }),
      true
    )
    await source.emit(listed!, { type: 'Normal', reason: 'Synced', message: 'x' })
    source.close()
  }))

test.run()
