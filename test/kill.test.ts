/** Killed at any moment, the next run finishes the work: 20 first runs of 2,000 objects, each killed at a random moment. */
// time limit: 400 s
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { stringify } from 'yaml'
import type { Report } from '../src/report.ts'
import { cipherKey, decrypt } from '../src/windmill/encryption.ts'
import { withDatabase } from './support/database.ts'
import { cr, runMain, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('kill')
const many = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))

const manifests = [
  cr(
    'Workspace',
    'demo',
    { id: 'demo', name: 'Demo', environment: { REGION: 'eu' } },
    { namespace: 'windmill-system' }
  ),
  ...many(20, n => cr('Folder', `f${n}`, { name: `f${n}`, owners: [`g/g${n}`] })),
  ...many(20, n => cr('Group', `g${n}`, { name: `g${n}`, summary: `Group ${n}` })),
  ...many(1300, n => cr('Variable', `v${n}`, { path: `f/f${n % 20}/v${n}`, value: `value ${n}`.repeat(20) })),
  ...many(100, n => cr('Variable', `s${n}`, { path: `f/f${n % 20}/s${n}`, value: `secret ${n}`, isSecret: true })),
  ...many(559, n =>
    cr('Resource', `r${n}`, {
      path: `f/f${n % 20}/r${n}`,
      resourceType: 'c_thing',
      value: { n, list: [n], text: 'x'.repeat(200) }
    })
  )
]

/** Everything that the manifests ask for, as the database has it: without times, and secrets as what they decrypt to. */
async function stateOf(sql: postgres.Sql): Promise<unknown> {
  const [key] = await sql<{ key: string }[]>`select key from workspace_key where workspace_id = 'demo'`
  const variables = await sql<{ path: string; value: string; is_secret: boolean }[]>`
    select path, value, is_secret from variable where workspace_id = 'demo' order by path`
  return {
    variables: variables.map(one => [
      one.path,
      one.is_secret ? decrypt(cipherKey(key?.key ?? '', ''), one.value) : one.value
    ]),
    resources:
      await sql`select path, resource_type, value, created_by from resource where workspace_id = 'demo' order by path`,
    folders: await sql`select name, owners, extra_perms from folder where workspace_id = 'demo' order by name`,
    groups: await sql`select name, summary from group_ where workspace_id = 'demo' order by name`,
    users: await sql`select username, is_admin from usr where workspace_id = 'demo'`,
    environment: await sql`select name, value from workspace_env where workspace_id = 'demo'`,
    // One audit row per object: nothing was done twice.
    audit: await sql`
      select operation, count(*)::int from audit_partitioned where workspace_id = 'demo' group by 1 order by 1`,
    ledger: await sql`
      select kind, namespace, name, path, state, base is not null as applied from windmill_iac.object order by 1, 2, 3`
  }
}

const plain = (value: unknown): string => JSON.stringify(value)

/** When to kill: after a time, or as soon as so many objects are in the ledger. */
type Moment = { readonly ms: number } | { readonly objects: number }

async function waitFor(moment: Moment, sql: postgres.Sql): Promise<void> {
  if ('ms' in moment) {
    await sleep(moment.ms)
    return
  }
  for (let tries = 0; tries < 20_000; tries++) {
    const [ledger] = await sql<{ there: boolean }[]>`select to_regclass('windmill_iac.object') is not null as there`
    const count = ledger?.there ? (await sql`select from windmill_iac.object`).length : 0
    if (count >= moment.objects) return
    await sleep(2)
  }
}

test('2,000 objects: killed at 20 random moments, then a plain run: the same state', () =>
  withManifests(manifests.map(one => stringify(one, { compat: 'yaml-1.1' })).join('---\n'), async folder => {
    // Small batches, so that there are a hundred transactions to be killed between and within.
    const run = (url: string, during?: Parameters<typeof runMain>[2]): ReturnType<typeof runMain> =>
      runMain(
        ['--from', folder, '-o', 'json', '--lock-timeout', '60s', '--batch-size', '20'],
        { DATABASE_URL: url },
        during
      )
    const started = Date.now()
    const expected = await withDatabase('2026-08', async ({ url, sql }) => {
      const ended = await run(url)
      assert.is(ended.code, 0, ended.stdout.slice(0, 2000) + ended.stderr.slice(0, 2000))
      assert.is((JSON.parse(ended.stdout) as Report).counts.create, 2000)
      return plain(await stateOf(sql))
    })
    const span = Date.now() - started
    let halfway = 0
    const once = (moment: Moment): Promise<void> =>
      withDatabase('2026-08', async ({ url, sql }) => {
        const first = await run(url, async kill => {
          await waitFor(moment, sql)
          kill('SIGKILL')
        })
        const [variables] = await sql<
          { count: number }[]
        >`select count(*)::int from variable where workspace_id = 'demo'`
        const [resources] = await sql<
          { count: number }[]
        >`select count(*)::int from resource where workspace_id = 'demo'`
        const written = (variables?.count ?? 0) + (resources?.count ?? 0)
        if (first.signal === 'SIGKILL' && written > 0 && written < 1960) halfway++
        const second = await run(url)
        assert.is(second.code, 0, second.stderr)
        assert.is(plain(await stateOf(sql)), expected, `killed at ${JSON.stringify(moment)}`)
      })
    const moments = many(20, (n): Moment => {
      const chance = Math.random()
      return n % 4 === 0 ? { ms: Math.round(span * chance) } : { objects: Math.round(2 + 1990 * chance) }
    })
    const queue = [...moments]
    const worker = async (): Promise<void> => {
      for (let next = queue.pop(); next; next = queue.pop()) await once(next)
    }
    const done = await Promise.allSettled([worker(), worker()])
    for (const one of done) if (one.status === 'rejected') throw one.reason
    assert.ok(halfway >= 5, `only ${halfway} of 20 runs were killed while they wrote`)
  }))

test.run()
