/** What a namespace may not do: other workspaces, other namespaces' Secrets, other people's identities, odd paths and texts. */
import type postgres from 'postgres'
import type { Report } from '../src/report.ts'
import { runAsRefusal, type TenancyRules } from '../src/tenancy.ts'
import { withDatabase } from './support/database.ts'
import { cr, putManifests, runJob, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('tenancy')

const admin = { namespace: 'windmill-system' }
const world: readonly object[] = [
  cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, admin),
  cr('Workspace', 'other', { id: 'other', name: 'Other' }, admin),
  cr('Folder', 'ops', { name: 'ops' }),
  cr('Folder', 'theirs', { workspace: 'other', name: 'theirs' }, admin),
  cr('Variable', 'theirs', { workspace: 'other', path: 'f/theirs/token', value: 'theirs' }, admin),
  cr('ResourceType', 'mail', { workspace: 'admins', name: 'c_mail', schema: { type: 'object' } }, admin)
]
const namespace = (name: string, annotations: Readonly<Record<string, string>> = {}): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, annotations }
})
const variable = (name: string, spec: object = {}, metadata: object = {}): object =>
  cr('Variable', name, { path: `f/ops/${name}`, value: name, ...spec }, metadata)

type Run = (manifests: readonly object[], ...argv: string[]) => Promise<Report>

const inWorld = (body: (run: Run, sql: postgres.Sql) => Promise<void>): (() => Promise<void>) => {
  return () =>
    withDatabase('2026-08', ({ url, sql }) =>
      withManifests([], folder =>
        body((manifests, ...argv) => {
          putManifests(folder, manifests)
          return runJob(['reconcile', '--from', folder, '--verbose', ...argv], { DATABASE_URL: url })
        }, sql)
      )
    )
}

const told = (report: Report, name: string): Report['objects'][number] => {
  const found = report.objects.find(one => one.name === name && one.namespace === 'demo')
  if (!found) throw new Error(`nothing is told of ${name}`)
  return found
}

/** All that other tenants have. */
const others = (sql: postgres.Sql): Promise<unknown> =>
  sql`
    select (select json_agg(v order by path) from variable v where workspace_id <> 'demo') as variables,
           (select json_agg(f order by workspace_id, name) from folder f where workspace_id <> 'demo') as folders,
           (select json_agg(t order by workspace_id, name) from resource_type t where workspace_id <> 'demo') as types,
           (select json_agg(w order by id) from workspace w) as workspaces`

test(
  'attempts to reach beyond the own workspace are each refused, and leave everything of others as it was',
  inWorld(async (run, sql) => {
    await run(world)
    const before = await others(sql)
    const attempts: readonly (readonly [manifest: object, name: string, reason: string])[] = [
      [variable('foreign', { workspace: 'other', path: 'f/theirs/token' }), 'foreign', 'WorkspaceNotAllowed'],
      [variable('admins', { workspace: 'admins' }), 'admins', 'WorkspaceNotAllowed'],
      [
        cr('ResourceType', 'override', { workspace: 'admins', name: 'c_mail', schema: {} }),
        'override',
        'WorkspaceNotAllowed'
      ],
      [cr('Workspace', 'takeover', { id: 'other', name: 'Mine' }), 'takeover', 'WorkspaceNotAllowed'],
      [
        cr('Folder', 'opened', { workspace: 'other', name: 'theirs', owners: ['g/all'] }),
        'opened',
        'WorkspaceNotAllowed'
      ],
      [
        cr('Group', 'joined', { workspace: 'other', name: 'staff', members: ['mallory'] }),
        'joined',
        'WorkspaceNotAllowed'
      ],
      [
        variable('forged', { workspace: 'other' }, { annotations: { 'windmill.dev/workspaces': 'other' } }),
        'forged',
        'WorkspaceNotAllowed'
      ],
      [variable('case', { workspace: 'OTHER' }), 'case', 'WorkspaceNotAllowed'],
      [variable('blank', { workspace: ' other' }), 'blank', 'InvalidSpec'],
      [
        variable('elsewhere', { value: undefined, valueFrom: { secretKeyRef: { name: 'theirs', key: 'k' } } }),
        'elsewhere',
        'SecretNotFound'
      ],
      [
        variable('slash', {
          value: undefined,
          valueFrom: { secretKeyRef: { name: 'windmill-system/theirs', key: 'k' } }
        }),
        'slash',
        'InvalidSpec'
      ],
      [
        variable('namespaced', {
          value: undefined,
          valueFrom: { secretKeyRef: { name: 'theirs', key: 'k', namespace: 'windmill-system' } }
        }),
        'namespaced',
        'InvalidSpec'
      ]
    ]
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'theirs', namespace: 'windmill-system' },
      stringData: { k: 'canary-theirs' }
    }
    const report = await run([...world, secret, ...attempts.map(([manifest]) => manifest), variable('good')])
    for (const [, name, reason] of attempts) assert.is(told(report, name).reason, reason, name)
    assert.is(told(report, 'good').op, 'create')
    assert.is(report.run.exitCode, 1)
    assert.not.match(JSON.stringify(report), 'canary-theirs')
    assert.equal(await others(sql), before)
    assert.equal(
      [...(await sql`select path from variable where workspace_id = 'demo' order by path`)],
      [{ path: 'f/ops/good' }]
    )
  })
)

test(
  'what a cluster administrator grants on the Namespace holds, and only while it stands there',
  inWorld(async run => {
    const foreign = variable('foreign', { workspace: 'other', path: 'f/theirs/mine' })
    const granted = await run([...world, foreign, namespace('demo', { 'windmill.dev/workspaces': 'x, other' })])
    assert.is(told(granted, 'foreign').op, 'create')
    const revoked = await run([...world, foreign, namespace('demo')])
    assert.is(told(revoked, 'foreign').reason, 'WorkspaceNotAllowed')
  })
)

test(
  'annotations that belong on a Namespace mean nothing on a CR, and that is said',
  inWorld(async run => {
    const annotations = { 'windmill.dev/workspaces': 'other', 'windmill.dev/run-as': 'root' }
    const report = await run([...world, variable('a', {}, { annotations })])
    assert.is(told(report, 'a').op, 'create')
    for (const name of Object.keys(annotations)) {
      assert.match(told(report, 'a').message, `${name} counts on a Namespace only; ignored.`)
    }
  })
)

test(
  'paths that try to be other paths are refused by name of the field',
  inWorld(async (run, sql) => {
    const paths = [
      'f/ops/../../other/f/theirs/token',
      'f/ops/a/',
      'f//a',
      'F/ops/a',
      'f/ops/a\n',
      'f/ops/\u0430', // a Cyrillic letter that looks like a
      'f/ops/a\u200b',
      'f/ops/%2e%2e',
      'f/ops/a b',
      "f/ops/a'; drop table variable; --",
      'f/ops',
      'g/all/x',
      `f/ops/${'a'.repeat(300)}`,
      ''
    ]
    const report = await run([...world, ...paths.map((path, at) => variable(`p${at}`, { path }))])
    for (const [at, path] of paths.entries()) {
      assert.is(told(report, `p${at}`).reason, 'InvalidSpec', path)
      assert.match(told(report, `p${at}`).message, /spec\.path/, path)
    }
    const [count] = await sql`select count(*)::int as count from variable where workspace_id = 'demo'`
    assert.is(count?.['count'], 0)
  })
)

test(
  'texts and JSON that look like SQL, or like parts of JavaScript, are values and nothing else',
  inWorld(async (run, sql) => {
    const text = `'); drop table variable; -- \\' $1 \${x} {"a":1} \\u0000 %s`
    const value = JSON.parse(
      '{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}, "\'; --": "$var:x", "a.b": {"$1": [null]}}'
    ) as object
    const manifests = [
      variable('text', { value: text, description: text }),
      cr('Resource', 'json', { path: 'f/ops/json', resourceType: 'c_mail', value, description: text }),
      cr('Folder', 'odd', { name: 'odd', displayName: text, summary: text }),
      cr('Group', 'odd', { name: 'odd', summary: text })
    ]
    const report = await run([...world, ...manifests])
    assert.is(report.run.exitCode, 0, JSON.stringify(report.objects))
    const [row] = await sql`
      select v.value, v.description, r.value::text as json, f.display_name, g.summary
        from variable v, resource r, folder f, group_ g
       where v.path = 'f/ops/text' and r.path = 'f/ops/json' and f.name = 'odd' and g.name = 'odd' and g.workspace_id = 'demo'`
    assert.equal(
      [row?.['value'], row?.['description'], row?.['display_name'], row?.['summary']],
      [text, text, text, text]
    )
    assert.equal(Object.keys(JSON.parse(String(row?.['json'])) as object).sort(), Object.keys(value).sort())
    assert.is(({} as Record<string, unknown>)['polluted'], undefined)
    assert.is((await run([...world, ...manifests], '--refresh')).counts.keep, world.length + manifests.length)
  })
)

test(
  "paths of users are closed to namespaces where the operator says so, but not to administrators'",
  inWorld(async run => {
    const mine = variable('mine', { path: 'u/ann/token' })
    const theirs = cr('Variable', 'admins', { workspace: 'demo', path: 'u/bob/token', value: 'x' }, admin)
    assert.is(told(await run([...world, mine]), 'mine').op, 'create')
    const report = await run([...world, mine, theirs], '--user-paths', 'deny')
    assert.is(told(report, 'mine').reason, 'PathNotAllowed')
    assert.is(report.objects.find(one => one.name === 'admins')?.op, 'create')
  })
)

test(
  'a folder lets new items run as a user only whom its namespace may act as',
  inWorld(async (run, sql) => {
    await run(world)
    await sql`
      insert into usr (workspace_id, username, email, is_admin) values
        ('demo', 'ann', 'ann@example.com', false), ('demo', 'boss', 'boss@example.com', true)`
    const asked = (who: string, name: string): object =>
      cr('Folder', name, { name, defaultPermissionedAs: [{ pathGlob: '**', permissionedAs: who }] })
    const manifests = [...world, asked('u/ann', 'plain'), asked('u/boss', 'boss'), asked('g/all', 'group')]
    const report = await run(manifests)
    assert.is(told(report, 'plain').op, 'create')
    assert.is(told(report, 'group').op, 'create')
    assert.is(told(report, 'boss').reason, 'RunAsNotAllowed')
    assert.match(told(report, 'boss').message, /boss is an admin of the workspace.*windmill\.dev\/run-as: boss/)
    const granted = await run([...manifests, namespace('demo', { 'windmill.dev/run-as': 'u/boss' })])
    assert.is(told(granted, 'boss').op, 'create')
  })
)

test(
  'scripts, flows and apps run as a member of the workspace, as more only where that is allowed',
  inWorld(async (run, sql) => {
    await run(world)
    await sql`
      insert into usr (workspace_id, username, email, is_admin) values
        ('demo', 'ann', 'ann@example.com', false), ('demo', 'boss', 'boss@example.com', true),
        ('demo', 'root', 'root@example.com', false)`
    await sql`
      insert into password (email, login_type, super_admin, verified) values ('root@example.com', 'password', true, true)`
    const kinds = {
      Script: (who: string) => ({ language: 'bash', content: 'echo', onBehalfOf: who }),
      Flow: (who: string) => ({ value: { modules: [] }, onBehalfOf: who }),
      App: (who: string) => ({
        value: { grid: [], subgrids: {} },
        policy: { execution_mode: 'publisher', on_behalf_of: `u/${who}` }
      })
    }
    const all = (who: string): object[] =>
      Object.entries(kinds).map(([kind, spec]) =>
        cr(kind, `${kind.toLowerCase()}-${who}`, { path: `f/ops/${kind.toLowerCase()}_${who}`, ...spec(who) })
      )
    const people = ['ann', 'boss', 'root', 'nobody']
    const manifests = [...world, ...people.flatMap(all)]
    const report = await run(manifests)
    for (const kind of ['script', 'flow', 'app']) {
      assert.is(told(report, `${kind}-ann`).op, 'create', kind)
      assert.is(told(report, `${kind}-boss`).reason, 'RunAsNotAllowed', kind)
      assert.is(told(report, `${kind}-root`).reason, 'RunAsNotAllowed', kind)
      assert.match(told(report, `${kind}-root`).message, 'superadmin', kind)
      assert.is(told(report, `${kind}-nobody`).reason, 'UserNotFound', kind)
    }
    const granted = await run([...manifests, namespace('demo', { 'windmill.dev/run-as': 'boss,root@example.com' })])
    for (const kind of ['script', 'flow', 'app']) {
      assert.is(told(granted, `${kind}-boss`).op, 'create', kind)
      assert.is(told(granted, `${kind}-root`).op, 'create', kind)
    }
    const revoked = await run(manifests)
    assert.is(told(revoked, 'script-boss').reason, 'RunAsNotAllowed')
  })
)

test('whom code may run as follows from the rule, the Namespace and who it is', () => {
  const rules = (part: Partial<TenancyRules>): TenancyRules => ({
    mapping: { mode: 'namespace-as-workspace' },
    runAs: 'members',
    userPaths: 'allow',
    user: 'iac_controller',
    adminNamespaces: new Set(['windmill-system']),
    policies: { conflict: 'crd-wins', deletion: 'soft-delete', adopt: undefined },
    namespaces: new Map(),
    ...part
  })
  const person = (username: string, admin: boolean, superadmin: boolean) => ({
    username,
    email: `${username}@example.com`,
    admin,
    superadmin
  })
  const [ann, boss, root] = [
    person('ann', false, false),
    person('boss', true, false),
    person('root', false, true)
  ] as const
  const us = person('iac_controller', true, false)
  const named = (text: string) => ({ namespaces: new Map([['demo', { 'run-as': text }]]) })
  const table: readonly (readonly [Partial<TenancyRules>, string, readonly string[]])[] = [
    [{}, 'demo', ['ann', 'iac_controller']],
    [{ runAs: 'admins' }, 'demo', ['ann', 'boss', 'iac_controller']],
    [{ runAs: 'anyone' }, 'demo', ['ann', 'boss', 'root', 'iac_controller']],
    [{}, 'windmill-system', ['ann', 'boss', 'root', 'iac_controller']],
    [named('boss'), 'demo', ['ann', 'boss', 'iac_controller']],
    [named('x, ROOT@example.com'), 'demo', ['ann', 'root', 'iac_controller']],
    [named('*'), 'demo', ['ann', 'iac_controller']],
    [named('root'), 'another', ['ann', 'iac_controller']]
  ]
  for (const [part, where, allowed] of table) {
    const found = [ann, boss, root, us].filter(one => runAsRefusal(where, one, rules(part)) === undefined)
    assert.equal(
      found.map(one => one.username),
      allowed,
      JSON.stringify([part, where])
    )
  }
})

test.run()
