/** Secrets never show: what is listened to, and runs that try to make the program say one. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type postgres from 'postgres'
import { heard } from './support/canaries.ts'
import { type Manifest, type Stored, withCluster } from './support/cluster.ts'
import { withDatabase } from './support/database.ts'
import { cr, runJob, runMain, withManifests } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('canaries')

/** A process of its own, in which a secret is told; its exit code, and what it said at its end. */
function processThat(says: string): { code: number | null; stderr: string } {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  const module = pathToFileURL(join(fileURLToPath(new URL('.', import.meta.url)), `support/canaries${extension}`)).href
  const script = `
    import { declareSecretsIn, declareCanary, hear } from ${JSON.stringify(module)}
    declareSecretsIn('kind: ConfigMap\\ndata: {a: open-to-all}\\n---\\nkind: Secret\\nstringData:\\n  k: "first line\\\\nsecret \\\\"two\\\\""\\n  json: \\'{"pin": "pin-98765"}\\'\\n  on: "true"\\n')
    declareSecretsIn('kind: WindmillVariable\\nspec: {path: f/a/b, isSecret: true, value: inline-secret}')
    hear('test', ${JSON.stringify(says)})`
  const ended = spawnSync(process.execPath, [...process.execArgv, '--input-type=module', '-e', script], {
    encoding: 'utf8'
  })
  return { code: ended.status, stderr: ended.stderr }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const telling: Readonly<Record<string, string>> = {
  'as it is': 'log: pin-98765!',
  'one line of several': 'a secret "two" b',
  'quoted by JSON': JSON.stringify({ m: 'first line\nsecret "two"' }),
  'in base64': base64('{"pin": "pin-98765"}'),
  'in a URL': `https://x/${encodeURIComponent('secret "two"')}`,
  'of a variable': 'inline-secret'
}
for (const [title, says] of Object.entries(telling)) {
  test(`a process in which a secret is told fails: ${title}`, () => {
    const { code, stderr } = processThat(says)
    assert.is(code, 1, stderr)
    assert.match(stderr, /secrets were told:\ntest: /)
  })
}

test('a process that says anything else does not', () => {
  const { code, stderr } = processThat('open-to-all, true, Secret, k, json, pin, secret')
  assert.is(code, 0, stderr)
})

const secret = (name: string, texts: Readonly<Record<string, string>>): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'demo' },
  data: Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, base64(text)]))
})

const ref = { secretKeyRef: { name: 's', key: 'k' } }
/** Everything that takes a secret; `edition` changes what the manifests say. */
const manifests = (edition: string): readonly Manifest[] => [
  cr('Workspace', 'demo', { id: 'demo', name: 'Demo' }, { namespace: 'windmill-system' }),
  cr('Folder', 'ops', { name: 'ops' }),
  cr('ResourceType', 'api', {
    name: 'c_api',
    schema: { type: 'object', properties: { token: { type: 'string', password: true }, host: { type: 'string' } } }
  }),
  secret('s', {
    k: `tell-nobody-${edition}`,
    json: `{"token": "json-token-${edition}", "host": "h-${edition}"}`
  }),
  cr('Variable', 'inline', { path: 'f/ops/inline', value: `inline-pass-${edition}`, isSecret: true }),
  cr('Variable', 'sealed', { path: 'f/ops/sealed', valueFrom: ref }),
  // Its owner wants it to be open: so it is in Windmill, and in what is kept of it once it is deleted; nowhere else.
  cr('Variable', 'open', {
    path: 'f/ops/open',
    valueFrom: { secretKeyRef: { name: 's', key: 'open' } },
    isSecret: false
  }),
  cr('Resource', 'fields', {
    path: 'f/ops/fields',
    resourceType: 'c_api',
    value: { host: 'h' },
    valuesFrom: [{ field: 'token', ...ref }]
  }),
  cr('Resource', 'whole', {
    path: 'f/ops/whole',
    resourceType: 'c_api',
    valueFrom: { secretKeyRef: { name: 's', key: 'json' } }
  }),
  cr('Resource', 'untyped', {
    path: 'f/ops/untyped',
    resourceType: 'c_unknown',
    valueFrom: { secretKeyRef: { name: 's', key: 'json' } }
  })
]

const loud = ['-o', 'text', '--log-level', 'debug', '--verbose', '--max-deletes', '100%']

/** The real command in every voice it has: text and JSON, with differences, debug logs, a termination message. */
async function everyVoice(folder: string, url: string, ...argv: string[]): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), 'windmill-iac-voices-'))
  try {
    const file = join(place, 'log')
    writeFileSync(file, '')
    const environment = { DATABASE_URL: url, TERMINATION_LOG: file }
    await runMain(['plan', '--diff', '--from', folder, ...loud, ...argv], environment)
    await runMain(['plan', '--diff', '--from', folder, '-o', 'json', '--verbose', ...argv], environment)
    const ended = await runMain(['--from', folder, ...loud, ...argv], environment)
    assert.ok(ended.stderr.length > 0)
    // Finished, so that everything there is to say was said.
    assert.ok(ended.code === 0 || ended.code === 1, `${ended.code}: ${ended.stderr.slice(-1000)}`)
  } finally {
    rmSync(place, { recursive: true })
  }
  assert.equal(heard(), [])
}

/** Somebody gives each secret the value of another: ciphertext that Windmill can read. */
const editSecrets = (sql: postgres.Sql): Promise<unknown> =>
  sql`
    update variable v set description = 'edited', value = case when not is_secret then 'edited' else (
      select o.value from variable o where o.is_secret and o.path <> v.path order by o.path limit 1) end`

test('created, changed, drifted, in conflict, deleted: no voice of the command tells a secret', () =>
  withDatabase('2026-08', ({ url, sql }) =>
    withManifests(manifests('one'), one =>
      withManifests(manifests('two'), two =>
        withManifests(manifests('one').slice(0, 4), none =>
          (async () => {
            await everyVoice(one, url)
            await everyVoice(two, url)
            await editSecrets(sql)
            await sql`update resource set value = '{"edited": true}'`
            await everyVoice(two, url, '--conflict-policy', 'db-wins')
            await everyVoice(one, url, '--conflict-policy', 'db-wins')
            await everyVoice(one, url, '--conflict-policy', 'last-write-wins')
            await everyVoice(one, url)
            await everyVoice(one, url, '--deletion-policy', 'delete', '--refresh')
            await everyVoice(none, url)
          })()
        )
      )
    )
  ))

/** What quotes rows: a check that fails, a trigger that complains, a type that cannot be read. */
const quoting: Readonly<Record<string, string>> = {
  'a check that fails': `
    alter table variable add constraint odd check (path not like 'f/ops/%');
    alter table resource add constraint odd check (path not like 'f/ops/%')`,
  'a trigger that complains': `
    create function complain() returns trigger language plpgsql as
      $$ begin raise exception 'cannot take %', new.value using detail = row_to_json(new)::text, hint = new.value; end $$;
    create trigger complain before insert on variable for each row execute function complain();
    create trigger complain before insert on resource for each row execute function complain()`,
  'a column of another type': 'alter table variable alter column value type int using 0'
}
for (const [title, spoil] of Object.entries(quoting)) {
  test(`errors of the database that quote rows are not passed on: ${title}`, () =>
    withDatabase('2026-08', async ({ url, sql }) => {
      const first = manifests('one').slice(0, 3)
      await withManifests(first, folder => runJob(['--from', folder], { DATABASE_URL: url }))
      await sql.unsafe(spoil)
      await withManifests(manifests('one'), async folder => {
        await everyVoice(folder, url)
        await runJob(['--from', folder], { DATABASE_URL: url }).catch(() => undefined)
      })
      assert.equal(heard(), [])
    }))
}

const statusesOf = (told: readonly Stored[]): string => JSON.stringify(told.map(one => one['status']))

test('statuses and events tell of drift and refusals of secrets, and never the secret', () =>
  withDatabase('2026-08', ({ url, sql }: { url: string; sql: postgres.Sql }) =>
    withCluster({}, async cluster => {
      const environment = { DATABASE_URL: url, KUBECONFIG: cluster.kubeconfig() }
      for (const one of manifests('one')) cluster.put(one)
      await runJob([], environment)
      await editSecrets(sql)
      for (const one of manifests('two')) cluster.put(one)
      await runJob(['--conflict-policy', 'db-wins'], environment)
      cluster.put(secret('s', { k: 'long-secret '.repeat(2000), open: 'open-by-choice', json: 'not-json-at-all' }))
      await runJob([], environment)
      assert.match(
        statusesOf(cluster.list('WindmillVariable')),
        /InvalidSpec/,
        statusesOf(cluster.list('WindmillVariable'))
      )
      assert.match(statusesOf(cluster.list('WindmillResource')), /InvalidSpec/)
      assert.ok(cluster.events('demo').length > 0)
      cluster.hearStatuses()
      assert.equal(heard(), [])
    })
  ))

test.run()
