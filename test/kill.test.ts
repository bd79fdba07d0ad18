/** Killed at any moment, the next run finishes the work: 20 first runs of 2,000 objects, each killed at a random moment. */
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

test('2,000 objects: killed at 20 random moments, then a plain run: the same state', () =>
  withManifests(manifests.map(one => stringify(one)).join('---\n'), async folder => {
    const run = (url: string, during?: Parameters<typeof runMain>[2]): ReturnType<typeof runMain> =>
      runMain(['--from', folder, '-o', 'json', '--lock-timeout', '60s'], { DATABASE_URL: url }, during)
    const started = Date.now()
    const expected = await withDatabase('2026-08', async ({ url, sql }) => {
      const ended = await run(url)
      assert.is(ended.code, 0, ended.stdout.slice(0, 2000) + ended.stderr.slice(0, 2000))
      assert.is((JSON.parse(ended.stdout) as Report).counts.create, 2000)
      return stateOf(sql)
    })
    const span = Date.now() - started
    let killed = 0
    let partly = 0
    const once = (moment: number): Promise<void> =>
      withDatabase('2026-08', async ({ url, sql }) => {
        const first = await run(url, async kill => {
          await sleep(moment)
          kill('SIGKILL')
        })
        if (first.signal === 'SIGKILL') killed++
        const [some] = await sql<{ count: number }[]>`select count(*)::int from variable where workspace_id = 'demo'`
        if (some && some.count > 0 && some.count < 1400) partly++
        const second = await run(url)
        assert.is(second.code, 0, second.stderr)
        assert.is(plain(await stateOf(sql)), plain(expected), `killed after ${moment} ms`)
      })
    // Half of them anywhere, half where rows are being written.
    const moments = many(20, n => Math.round(span * (n % 2 ? Math.random() : 0.35 + Math.random() * 0.55)))
    for (let n = 0; n < moments.length; n += 2) await Promise.all(moments.slice(n, n + 2).map(once))
    assert.ok(killed > 0, 'no run was killed before its end')
    process.stdout.write(`(killed ${killed}, of them ${partly} half-way) `)
  }))

test.run()
