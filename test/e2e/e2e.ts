/**
 * The main scenarios against a real cluster and a real Windmill database: `npm run test:e2e`, with KUBECONFIG (rights to
 * make a namespace and to grant the rights of cronjob.yaml; the CRDs installed) and DATABASE_URL. See docs/operations.md.
 */
import * as assert from 'uvu/assert'
import { cr } from '../support/job.ts'
import { openStage, type Ran, type Stage } from './stage.ts'

const kinds = [
  'Workspace',
  'Group',
  'Folder',
  'ResourceType',
  'Variable',
  'Resource',
  'Script',
  'Flow',
  'App',
  'Schedule'
]

type Objects = ReturnType<typeof cr>[]

function world({ namespace, workspace }: Stage): Objects {
  const secretKeyRef = { name: 'material', key: 'password' }
  const schema = { type: 'object', properties: { host: { type: 'string' }, password: { type: 'string' } } }
  const hello = { type: 'script', path: 'f/ops/hello', input_transforms: {} }
  const make = (kind: string, name: string, spec: object): Objects[number] => cr(kind, name, spec, { namespace })
  return [
    make('Workspace', 'home', { id: workspace, name: 'End-to-end test' }),
    make('Group', 'people', { name: 'people', summary: 'Who may do what' }),
    make('Folder', 'ops', { name: 'ops', owners: ['g/people'] }),
    make('ResourceType', 'service', { name: 'c_service', schema }),
    make('Variable', 'plain', { path: 'f/ops/plain', value: 'one' }),
    make('Variable', 'secret', { path: 'f/ops/secret', valueFrom: { secretKeyRef } }),
    make('Resource', 'service', {
      path: 'f/ops/service',
      resourceType: 'c_service',
      value: { host: 'a.example.com' },
      valuesFrom: [{ field: 'password', secretKeyRef }]
    }),
    make('Script', 'hello', {
      path: 'f/ops/hello',
      language: 'bash',
      content: 'echo hello',
      schema: { type: 'object' }
    }),
    make('Flow', 'steps', {
      path: 'f/ops/steps',
      summary: 'Says hello',
      value: { modules: [{ id: 'a', value: hello }] },
      schema: { type: 'object' }
    }),
    make('App', 'page', { path: 'f/ops/page', summary: 'Page', value: { grid: [], subgrids: {} } }),
    make('Schedule', 'yearly', { path: 'f/ops/yearly', schedule: '0 0 0 1 1 *', scriptPath: 'f/ops/hello', args: {} })
  ]
}

const sound = ({ code, report, stderr }: Ran, counts: Readonly<Record<string, number>>): void => {
  const told = `${JSON.stringify(report.objects, undefined, 1)}\n${stderr}`
  const found = Object.fromEntries(Object.entries(report.counts).filter(([, count]) => count > 0))
  assert.equal(found, counts, told)
  assert.is(code, report.run.exitCode, told)
}

/** `kind/name` → version, of every object in the namespace. */
async function versionsOf(stage: Stage): Promise<Readonly<Record<string, string | undefined>>> {
  const found = await Promise.all(
    kinds.map(async kind =>
      (await stage.list(kind)).map(one => [`${kind}/${one.metadata?.name}`, one.metadata?.resourceVersion] as const)
    )
  )
  return Object.fromEntries(found.flat())
}

/** The row versions of everything in the workspace that a run could have written, our ledger included. */
async function marksOf({ database, workspace }: Stage): Promise<readonly string[]> {
  const tables = ['variable', 'resource', 'resource_type', 'script', 'flow', 'app', 'schedule', 'folder', 'group_']
  const parts = [...tables, 'workspace_settings'].map(
    table => `select '${table} ' || xmin || ctid as mark from ${table} where workspace_id = $1`
  )
  const all = [...parts, `select 'ledger ' || xmin || ctid as mark from windmill_iac.object where workspace = $1`]
  const rows = await database.read(sql =>
    sql.unsafe<{ mark: string }[]>(`${all.join(' union all ')} order by 1`, [workspace])
  )
  return rows.map(one => one.mark)
}

async function valueOf({ database, workspace }: Stage, path: string): Promise<string | undefined> {
  const [row] = await database.read(
    sql => sql<{ value: string }[]>`select value from variable where workspace_id = ${workspace} and path = ${path}`
  )
  return row?.value
}

const encoded = (text: string): string => Buffer.from(text).toString('base64')

async function stateOf(stage: Stage, kind: string, name: string): Promise<string> {
  const { status, metadata } = await stage.read(kind, name)
  assert.is(status?.observedGeneration, metadata?.generation, `${kind}/${name}`)
  return `${status?.state} ${status?.reason}`
}

const steps: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  'invalid manifests are refused at the door': async stage => {
    const { namespace } = stage
    const refused = async (kind: string, spec: object, message: RegExp): Promise<void> => {
      const error: unknown = await stage.create(cr(kind, 'invalid', spec, { namespace })).then(
        () => undefined,
        (thrown: unknown) => thrown
      )
      assert.match(String((error as { body?: unknown } | undefined)?.body), message)
    }
    await refused('Variable', { path: 'f/ops/x' }, /give exactly one of value and valueFrom/)
    await refused('Variable', { path: 'nowhere', value: 'x' }, /each part of letters, digits, _ and -/)
    await refused('Script', { path: 'f/ops/x', language: 'cobol', content: 'x' }, /supported values/)
  },

  'a first run creates everything and says so in each status': async stage => {
    const { namespace } = stage
    await stage.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'material', namespace },
      data: { password: encoded('first') }
    } as Parameters<Stage['create']>[0])
    const objects = world(stage)
    for (const object of objects) await stage.create(object)
    const plan = await stage.run('plan', '--exit-code')
    assert.ok(plan.report.counts.create > 0 && plan.report.counts.keep === 0)
    sound(await stage.run('reconcile'), { create: objects.length })
    for (const kind of kinds) {
      for (const { metadata, status } of await stage.list(kind)) {
        const name = `${kind}/${metadata?.name}`
        assert.is(status?.state, 'Synced', `${name}: ${JSON.stringify(status)}`)
        assert.is(status?.observedGeneration, metadata?.generation, name)
        assert.is(status?.conditions.find(one => one.type === 'Ready')?.status, 'True', name)
      }
    }
    assert.is(await valueOf(stage, 'f/ops/plain'), 'one')
    assert.not.match((await valueOf(stage, 'f/ops/secret')) ?? 'first', /first/)
  },

  'a second run writes nothing, and lists tables': async stage => {
    const before = [await versionsOf(stage), await marksOf(stage)]
    const ran = await stage.run('reconcile', '--log-level', 'debug')
    sound(ran, { keep: world(stage).length })
    assert.not.match(ran.stderr, 'no list as a table')
    assert.equal([await versionsOf(stage), await marksOf(stage)], before)
    assert.is((await stage.run('plan', '--exit-code')).code, 0)
    // A selector asks for labels, which no table holds: the other way to list must come to the same.
    sound(await stage.run('reconcile', '--selector', '!nothing-has-this-label'), { keep: world(stage).length })
    assert.equal([await versionsOf(stage), await marksOf(stage)], before)
  },

  'an edited manifest changes its row alone': async stage => {
    const others = await versionsOf(stage)
    await stage.edit('Variable', 'plain', { spec: { value: 'two' } })
    const plan = await stage.run('plan', '--exit-code', '--diff')
    assert.is(plan.code, 2)
    sound(await stage.run('reconcile'), { update: 1, keep: world(stage).length - 1 })
    assert.is(await valueOf(stage, 'f/ops/plain'), 'two')
    assert.is(await stateOf(stage, 'Variable', 'plain'), 'Synced Synced')
    const now = await versionsOf(stage)
    assert.equal({ ...now, 'Variable/plain': '' }, { ...others, 'Variable/plain': '' })
  },

  'a changed Secret reaches what refers to it': async stage => {
    const { namespace } = stage
    const before = await valueOf(stage, 'f/ops/secret')
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'material', namespace } }
    await stage.replace({ ...secret, data: { password: encoded('second') } } as Parameters<Stage['replace']>[0])
    const { report } = await stage.run('reconcile')
    assert.equal([report.counts.error, report.counts.update > 0], [0, true])
    assert.is.not(await valueOf(stage, 'f/ops/secret'), before)
  },

  'drift is corrected, or told where the database wins': async stage => {
    const { database, workspace } = stage
    await database.write(
      async sql => sql`update variable set value = 'drifted' where workspace_id = ${workspace} and path = 'f/ops/plain'`
    )
    const left = await stage.run('reconcile', '--conflict-policy', 'db-wins')
    sound(left, { skip: 1, keep: world(stage).length - 1 })
    assert.is(await stateOf(stage, 'Variable', 'plain'), 'OutOfSync ChangedInDatabase')
    assert.equal(await stage.events('plain'), ['ChangedInDatabase'])
    sound(await stage.run('reconcile'), { update: 1, keep: world(stage).length - 1 })
    assert.is(await valueOf(stage, 'f/ops/plain'), 'two')
    assert.is(await stateOf(stage, 'Variable', 'plain'), 'Synced Synced')
  },

  'of two objects for one row the older keeps it; a missing Secret costs only its object': async stage => {
    const { namespace } = stage
    const secretKeyRef = { name: 'missing', key: 'k' }
    await stage.create(cr('Variable', 'twin', { path: 'f/ops/plain', value: 'three' }, { namespace }))
    await stage.create(cr('Variable', 'lost', { path: 'f/ops/lost', valueFrom: { secretKeyRef } }, { namespace }))
    const ran = await stage.run('reconcile')
    sound(ran, { conflict: 1, error: 1, keep: world(stage).length })
    assert.is(ran.code, 1)
    assert.is(await stateOf(stage, 'Variable', 'twin'), 'Conflict ClaimedTwice')
    assert.is(await stateOf(stage, 'Variable', 'lost'), 'Error SecretNotFound')
    assert.is(await valueOf(stage, 'f/ops/plain'), 'two')
    const before = await versionsOf(stage)
    assert.is((await stage.run('reconcile')).code, 1)
    assert.equal(await versionsOf(stage), before, 'nothing new is no status')
    await stage.remove('Variable', 'twin')
    await stage.remove('Variable', 'lost')
    sound(await stage.run('reconcile'), { keep: world(stage).length })
  },

  'what is gone goes by its deletion policy, behind the guard': async stage => {
    await stage.edit('Variable', 'plain', { metadata: { ...inPlace(stage, 'plain'), annotations: deletes } })
    sound(await stage.run('reconcile'), { keep: world(stage).length })
    await stage.remove('Variable', 'plain')
    sound(await stage.run('reconcile'), { delete: 1, keep: world(stage).length - 1 })
    assert.is(await valueOf(stage, 'f/ops/plain'), undefined)
    await stage.remove('Variable', 'secret')
    const held = await stage.run('reconcile')
    assert.is(held.code, 3, 'the last object of a kind')
    assert.match(held.stderr, 'deletions held back')
    const { report } = await stage.run('reconcile', '--max-deletes', '100%')
    assert.is(report.run.exitCode, 0)
    assert.ok((await valueOf(stage, 'f/ops/secret')) !== undefined, 'released, not deleted')
  }
}

const deletes = { 'windmill.dev/deletion-policy': 'delete' }
const inPlace = ({ namespace }: Stage, name: string): object => ({ name, namespace })

async function main({ KUBECONFIG, DATABASE_URL }: NodeJS.ProcessEnv): Promise<void> {
  if (!KUBECONFIG || !DATABASE_URL) {
    process.stderr.write('test:e2e needs KUBECONFIG and DATABASE_URL: a cluster and a Windmill database for tests.\n')
    process.exitCode = 5
    return
  }
  const stage = await openStage(DATABASE_URL)
  process.stdout.write(`namespace ${stage.namespace}, workspace ${stage.workspace}\n`)
  try {
    // Each step goes on where the one before ended.
    for (const [title, step] of Object.entries(steps)) {
      const began = performance.now()
      await step(stage)
      process.stdout.write(`ok    ${title} (${((performance.now() - began) / 1000).toFixed(1)} s)\n`)
    }
  } finally {
    await stage.close()
  }
}

await main(process.env)
