/** What is wrong with one object is told of that object alone. */
import { assert } from '../suite.ts'
import { problems, quiet } from './assertions.ts'
import { type Bench, edited, type Manifest, pick, type Spec } from './bench.ts'
import { none } from './expect.ts'

interface Fault {
  /** Fixture that is spoilt. */
  readonly of: string
  readonly spec: Spec
  readonly code: RegExp
  /** Names the field and what to do. */
  readonly says: RegExp
}

const flow = (...modules: readonly unknown[]): Spec => ({ value: { modules } })
const step = (id: string, more: object = {}) => ({ id, value: { type: 'identity' }, ...more })
const code = (content: string) => ({ type: 'rawscript', language: 'bun', content, input_transforms: {} })

const faults: Readonly<Record<string, Fault>> = {
  'unknown-language': { of: 'fetch', spec: { language: 'cobol' }, code: /InvalidSpec/, says: /language/ },
  nul: { of: 'fetch', spec: { content: 'a\0b' }, code: /InvalidSpec/, says: /content.*(U\+0000|NUL)/ },
  'nul-in-flow': {
    of: 'loops',
    spec: flow(step('a', { value: code('a\0b') })),
    code: /InvalidSpec/,
    says: /value.*(U\+0000|NUL)/
  },
  'nul-in-app': {
    of: 'hidden',
    spec: { value: { grid: [], note: 'a\0b' } },
    code: /InvalidSpec/,
    says: /value.*(U\+0000|NUL)/
  },
  'no-modules': { of: 'loops', spec: { value: { steps: [] } }, code: /InvalidSpec/, says: /modules/ },
  'unknown-type': {
    of: 'loops',
    spec: flow(step('a', { value: { type: 'teleport' } })),
    code: /InvalidSpec/,
    says: /value.*type|type.*teleport/
  },
  'twice-the-id': { of: 'loops', spec: flow(step('a'), step('a')), code: /InvalidSpec/, says: /id.*\ba\b|\ba\b.*id/ },
  'no-id': { of: 'loops', spec: flow({ value: { type: 'identity' } }), code: /InvalidSpec/, says: /id/ },
  'stop-without-expr': {
    of: 'loops',
    spec: flow(step('a', { stop_after_if: { skip_if_stopped: true } })),
    code: /InvalidSpec/,
    says: /expr/
  },
  'half-an-integer': { of: 'loops', spec: flow(step('a', { cache_ttl: 1.5 })), code: /InvalidSpec/, says: /cache_ttl/ },
  'reserved-type': {
    of: 'loops',
    spec: flow(step('a', { value: { type: 'flowscript', id: 1 } })),
    code: /InvalidSpec/,
    says: /flowscript/
  },
  'misnamed-preprocessor': {
    of: 'loops',
    spec: {
      value: { modules: [], preprocessor_module: { id: 'pre', value: code('export function preprocessor() {}') } }
    },
    code: /InvalidSpec/,
    says: /preprocessor/
  },
  nobody: { of: 'fetch', spec: { onBehalfOf: 'u/nobody' }, code: /UserNotFound/, says: /onBehalfOf.*nobody/ },
  'nobody-in-flow': {
    of: 'loops',
    spec: { onBehalfOf: 'nobody@example.com' },
    code: /UserNotFound/,
    says: /onBehalfOf.*nobody/
  },
  'broken-schema': { of: 'fetch', spec: { schema: '{"type": ' }, code: /InvalidSpec/, says: /schema/ },
  'broken-flow-schema': { of: 'loops', spec: { schema: 'type: [' }, code: /InvalidSpec/, says: /schema/ },
  'list-as-schema': { of: 'fetch', spec: { schema: '[1]' }, code: /InvalidSpec/, says: /schema/ },
  'raw-app': {
    of: 'hidden',
    spec: { value: { files: { '/index.tsx': '' }, runnables: {} } },
    code: /InvalidSpec|NotSupported/,
    says: /raw/i
  },
  'no-equals-sign': { of: 'fetch', spec: { envs: ['JUST_A_NAME'] }, code: /InvalidSpec/, says: /envs/ },
  'lock-without-bun': { of: 'lib-http', spec: { lock: '{}' }, code: /InvalidSpec/, says: /lock.*bun\.lock/ },
  'no-such-map': {
    of: 'fetch',
    spec: { content: undefined, contentFrom: { configMapKeyRef: { name: 'none', key: 'x' } } },
    code: /ConfigMapNotFound/,
    says: /none/
  },
  'no-such-key': {
    of: 'loops',
    spec: { value: undefined, valueFrom: { configMapKeyRef: { name: 'code', key: 'none' } } },
    code: /ConfigMapKeyNotFound/,
    says: /none/
  },
  'no-yaml': {
    of: 'hidden',
    spec: { value: undefined, valueFrom: { configMapKeyRef: { name: 'code', key: 'from_map.py' } } },
    code: /InvalidSpec/,
    says: /code.*from_map\.py/
  },
  'taken-route': {
    of: 'hidden',
    spec: { customPath: 'shop/choices' },
    code: /./,
    says: /customPath.*shop\/choices|shop\/choices/
  }
}

/** At a path of its own, so that only its fault is in its way. */
const spoilt = (name: string, { of, spec }: Fault): Manifest => {
  const one = pick(of).at(-1) as Manifest
  const [whole] = edited([one], of, { path: `f/bad/${name.replaceAll('-', '_')}`, ...spec })
  return { ...(whole as Manifest), metadata: { name, namespace: 'demo' } }
}

const unsupported: Readonly<Record<string, string>> = { '1.463.2': 'duckdb', '1.558.1': 'rlang' }

export async function badInput(bench: Bench): Promise<void> {
  const bad = Object.entries(faults).map(([name, fault]) => spoilt(name, fault))
  const language = unsupported[bench.release]
  const later = language ? [spoilt('later', { ...(faults['nul'] as Fault), spec: { language } })] : []
  const good = pick('lib-http', 'fetch', 'loops', 'hidden', 'select')
  const report = await bench.run([...good, ...bad, ...later])
  const said = new Map(report.objects.map(one => [one.name, one]))
  const found = Object.entries(faults).flatMap(([name, fault]) => {
    const one = said.get(name)
    const told = `${one?.op} ${one?.reason}: ${one?.message}`
    const right = one && /error|conflict/.test(one.op) && fault.code.test(one.reason) && fault.says.test(one.message)
    return right ? [] : [`${name}: ${told}`]
  })
  const late = said.get('later')
  if (language && late?.reason !== 'NotSupportedByWindmill') found.push(`later: ${late?.reason}: ${late?.message}`)
  none([...found, ...problems(report).filter(one => good.some(other => one.includes(` ${other.metadata.name}:`)))])
  assert.is(report.run.exitCode, 1)
  assert.is(report.counts.create, good.filter(one => one.kind !== 'ConfigMap').length)
  const [rows] = await bench.sql`
    select (select count(*) from script where path like 'f/bad/%')::int + (select count(*) from flow where path like 'f/bad/%')::int
         + (select count(*) from app where path like 'f/bad/%')::int as bad`
  assert.is(rows?.['bad'], 0)
  await quiet(bench, [...good, ...bad, ...later])
}

/** Somebody made scripts, flows and apps at our paths before us. */
export async function foreignRows(bench: Bench): Promise<void> {
  const { sql } = bench
  const names = ['fetch', 'loops', 'hidden']
  await bench.run(pick())
  await sql`
    insert into script (workspace_id, hash, path, summary, description, content, created_by, lock, language)
    values ('demo', 77, 'f/sales/fetch', '', '', 'theirs', 'bob', '', 'nativets')`
  await sql`
    insert into flow (workspace_id, path, summary, description, value, edited_by, versions)
    values ('demo', 'f/ops/loops', '', '', '{"modules": []}', 'bob', '{}')`
  await sql`
    insert into flow_version (id, workspace_id, path, value, created_by)
    values (nextval('flow_version_id_seq'), 'demo', 'f/ops/loops', '{"modules": []}', 'bob')`
  await sql`update flow set versions = (select array_agg(id) from flow_version)`
  await sql`insert into app (workspace_id, path, policy, versions) values ('demo', 'f/ops/hidden', '{}', '{}')`
  await sql`insert into app_version (app_id, value, created_by) select id, '{}', 'bob' from app`
  await sql`update app set versions = (select array_agg(id) from app_version)`
  const writes = await bench.writes(async () => {
    const report = await bench.run(pick(...names), '--conflict-policy', 'db-wins')
    assert.equal(Object.fromEntries(report.objects.map(one => [one.name, one.reason])), {
      fetch: 'ExistsAlready',
      hidden: 'ExistsAlready',
      loops: 'ExistsAlready'
    })
    assert.is(report.run.exitCode, 1)
  })
  assert.equal(writes.windmill, {})
  const report = await bench.run(pick(...names))
  assert.is(report.counts.adopt, 3, problems(report).join('\n'))
  const [live] = await sql`select parent_hashes from script where path = 'f/sales/fetch' and not archived`
  assert.equal(live?.['parent_hashes'], ['77'])
}
