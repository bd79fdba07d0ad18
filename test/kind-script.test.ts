/** Scripts at the three schemas: rows column by column, lineage, locks and their jobs, importers, the contract's traps. */
import { SyncError } from '../src/errors.ts'
import kindFile from '../src/kinds/script.ts'
import { type AnyKind, type Kind, type Row, type Sql, targetKey, type Write } from '../src/model.ts'
import { hexOfHash } from '../src/windmill/script-hash.ts'
import { readTokens } from '../src/windmill/targets.ts'
import { applyOne, type Done, type Given, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, type Release, releases, type World } from './support/windmill.ts'

const test = suite('kind script')
const kind = kindFile as unknown as AnyKind
const view = kindFile as unknown as Kind

type Spec = Record<string, unknown>
type Found = Record<string, unknown>

/** The service identity is a member; alice and bob may be acted for. */
const inWorkspace = (variant: Release, work: (world: World) => Promise<void>): Promise<void> =>
  inWindmill(variant, async world => {
    await world.sql`
      insert into usr (workspace_id, username, email, is_admin)
      select w, u, e, u = 'iac_controller' from unnest('{w,other}'::text[]) w,
             (values ('iac_controller', 'iac-controller@cluster.local'), ('alice', 'alice@example.com'),
                     ('bob', 'bob@example.com')) as p(u, e)`
    await work(world)
  })

const apply = ({ database, context }: World, spec: Spec, more: Partial<Given> = {}): Promise<Done> =>
  applyOne(database, kind, { spec, workspace: 'w', ...more }, context)

const code = 'def main(x: int):\n    return x\n'
const schema = { type: 'object', properties: { x: { type: 'integer' } }, required: ['x'] }
const python = { path: 'f/a/b', language: 'python3', content: code, schema }
const lock = '# py: 3.11\nrequests==2.32.5'

const isNewest = ({ variant }: Pick<World, 'variant'>): boolean => variant === '2026-08'
const isOldest = ({ variant }: Pick<World, 'variant'>): boolean => variant === '1.463.2'
const newer = (world: World, values: Found): Found => (isNewest(world) ? values : {})

/** All versions of a path, newest first; bigints as texts, columns that hold nothing left out. */
async function versions({ sql }: World, path = 'f/a/b', workspace = 'w'): Promise<readonly Found[]> {
  const rows = await sql`
    select to_jsonb(s) || jsonb_build_object('hash', hash::text, 'parent_hashes', parent_hashes::text[],
             'schema', schema::text, 'created_at', created_at::text) as row
      from script s where workspace_id = ${workspace} and path = ${path} order by created_at desc`
  return [...rows].map(({ row }) =>
    Object.fromEntries(Object.entries(row as Found).filter(([, value]) => value !== null))
  )
}

const liveOf = async (world: World, path = 'f/a/b'): Promise<readonly Found[]> =>
  (await versions(world, path)).filter(one => one['archived'] === false)

const liveHash = async (world: World, path = 'f/a/b'): Promise<string> =>
  String((await liveOf(world, path))[0]?.['hash'])

/** Jobs in the queue, with their permissions. */
async function jobs({ sql }: World, path?: string): Promise<readonly Found[]> {
  const rows = await sql`
    select j.kind::text, j.runnable_id::text, j.runnable_path, j.script_lang::text, j.tag, q.tag as queued, j.args,
           j.created_by, j.permissioned_as, j.permissioned_as_email, j.trigger, q.running, j.priority,
           p.username, p.is_admin, r.ping, (q.scheduled_for > now()) as later
      from v2_job j join v2_job_queue q using (id) join job_perms p on p.job_id = j.id join v2_job_runtime r on r.id = j.id
     where ${path ?? null}::text is null or j.runnable_path = ${path ?? null}::text
     order by j.runnable_path, j.id`
  return [...rows]
}

/** What a worker does with all lock jobs in the queue. */
async function lockAll({ sql }: World, failing = false): Promise<void> {
  await sql`
    update script s set lock = case when ${failing} then lock else 'locked' end,
           lock_error_logs = case when ${failing} then E'log\nCould not resolve x\nhttps://me:secret@pypi.example.com' end
      from v2_job_queue q join v2_job j using (id)
     where j.kind = 'dependencies' and s.workspace_id = j.workspace_id and s.hash = j.runnable_id`
  await clearQueue({ sql } as World)
}

async function clearQueue({ sql }: World): Promise<void> {
  await sql`delete from v2_job_queue`
  await sql`delete from job_perms`
}

const write = (world: World, writes: readonly Write[]): Promise<void> =>
  world.database.write(sql => view.write(sql, writes, world.context))

/** A write as the engine makes it of a CR. */
async function writeOf({ database, context }: World, spec: Spec, op: Write['op'] = 'create'): Promise<Write> {
  const listed = listedOf(kind)
  const input = { listed, spec, workspace: 'w', path: String(spec['path']), text: () => '' }
  return database.read(async sql => {
    const compiled = view.compile(input, await view.facts?.(sql, [input], context), context)
    const target = { workspace: 'w', path: input.path, fields: Object.keys(compiled.row) }
    const [live] = op === 'update' ? await view.observe(sql, [target], context) : []
    const guard = compiled.guard === undefined ? {} : { guard: compiled.guard }
    return {
      op,
      workspace: 'w',
      path: input.path,
      row: compiled.row,
      listed,
      ...guard,
      ...(live && { live: live.row })
    }
  })
}

const removal = (path: string, workspace = 'w') => {
  const { namespace, name, uid } = listedOf(kind)
  return { workspace, path, fields: [], live: {}, listed: { namespace, name, uid } }
}

const retire = ({ database, context }: World): Promise<void> =>
  database.write(async sql => view.retire?.(sql, [removal('f/a/b')], context))
const remove = ({ database, context }: World): Promise<void> =>
  database.write(async sql => view.remove?.(sql, [removal('f/a/b')], context))

const details = async ({ database, context }: World, path = 'f/a/b') =>
  (await database.read(async sql => view.details?.(sql, [{ workspace: 'w', path, fields: [] }], context)))?.get(
    targetKey('w', path)
  )

const audits = async ({ sql, variant }: World): Promise<readonly Found[]> => {
  const table = variant === '2026-08' ? sql`audit_partitioned` : sql`audit`
  const rows = await sql`
    select operation, action_kind::text as action, resource, parameters from ${table}
     where operation like 'scripts.%' order by id`
  return [...rows]
}

const insertScript = async ({ sql }: World, row: Found): Promise<void> => {
  const whole = {
    workspace_id: 'w',
    path: 'f/a/b',
    summary: '',
    description: '',
    content: code,
    created_by: 'alice',
    ...row
  }
  await sql`insert into script ${sql(whole as never)}`
}

const depends = async ({ sql }: World, importer = 'f/a/b'): Promise<readonly string[]> => {
  const rows = await sql<{ imported: string }[]>`
    select imported_path as imported from dependency_map where importer_path = ${importer} order by 1`
  return [...rows].map(row => row.imported)
}

const full = {
  path: 'f/a/b',
  language: 'python3',
  content: `# schema_validation\n${code}\ndef preprocessor(event):\n    return event\n`,
  summary: 'A summary',
  description: 'Dätä\n🔑',
  schema,
  lock,
  kind: 'approval',
  tag: 'gpu',
  concurrencyLimit: 2,
  concurrencyTimeWindowS: 60,
  concurrencyKey: 'key-$workspace',
  cacheSeconds: 300,
  cacheIgnoreS3Path: true,
  debounceKey: 'd',
  debounceDelayS: 5,
  dedicatedWorker: false,
  wsErrorHandlerMuted: false,
  priority: 10,
  timeout: 900,
  deleteAfterUse: true,
  deleteAfterSecs: 86_400,
  restartUnlessCancelled: true,
  visibleToRunnerOnly: true,
  isTemplate: true,
  envs: ['A=1', 'B="x,\\y"'],
  onBehalfOf: 'alice@example.com',
  labels: ['crm', 'a "b" {c}']
}

for (const variant of releases) {
  test(`${variant}: every column of a minimal script is as the contract says`, () =>
    inWorkspace(variant, async world => {
      const done = await apply(world, { path: 'f/a/b', language: 'python3', content: code })
      assert.is(done.op, 'create')
      const [row, ...others] = await versions(world)
      assert.equal(others, [])
      const { hash, created_at, schema: inferred, ...rest } = row ?? {}
      assert.match(String(hash), /^-?\d+$/)
      assert.match(String(created_at), /^20/)
      assert.ok(inferred === undefined || JSON.parse(inferred as string).type === 'object')
      assert.equal(rest, {
        workspace_id: 'w',
        path: 'f/a/b',
        summary: '',
        description: '',
        content: code,
        created_by: 'iac_controller',
        archived: false,
        deleted: false,
        is_template: false,
        extra_perms: {},
        language: 'python3',
        kind: 'script',
        ws_error_handler_muted: false,
        ...(isOldest(world) ? {} : { schema_validation: false })
      })
      const again = await apply(world, { path: 'f/a/b', language: 'python3', content: code })
      assert.is(again.op, 'keep')
      assert.is(again.tokenBefore, done.tokenAfter)
    }))

  test(`${variant}: every column of a full script is as the contract says`, () =>
    inWorkspace(variant, async world => {
      const done = await apply(world, full)
      const [row] = await versions(world)
      const { hash: _, created_at: __, runnable_settings_handle: handle, ...rest } = row ?? {}
      assert.equal(rest, {
        workspace_id: 'w',
        path: 'f/a/b',
        summary: 'A summary',
        description: 'Dätä\n🔑',
        content: full.content,
        created_by: 'alice',
        archived: false,
        schema: JSON.stringify(schema),
        deleted: false,
        is_template: true,
        extra_perms: {},
        lock,
        language: 'python3',
        kind: 'approval',
        tag: 'gpu',
        envs: full.envs,
        concurrent_limit: 2,
        concurrency_time_window_s: 60,
        concurrency_key: 'key-$workspace',
        cache_ttl: 300,
        dedicated_worker: false,
        ws_error_handler_muted: false,
        priority: 10,
        timeout: 900,
        delete_after_use: true,
        restart_unless_cancelled: true,
        visible_to_runner_only: true,
        has_preprocessor: true,
        on_behalf_of_email: 'alice@example.com',
        ...(isOldest(world) ? {} : { schema_validation: true }),
        ...newer(world, {
          cache_ignore_s3_path: true,
          debounce_key: 'd',
          debounce_delay_s: 5,
          delete_after_secs: 86_400,
          labels: full.labels,
          on_behalf_of: 'u/alice'
        })
      })
      const missing = isNewest(world)
        ? []
        : ['cacheIgnoreS3Path', 'debounceKey', 'debounceDelayS', 'deleteAfterSecs', 'labels']
      assert.equal(
        done.compiled.notes?.filter(note => note.includes('no such column')),
        missing.map(field => `${field}: this Windmill has no such column; ignored.`)
      )
      const limits = isNewest(world) ? ', debounceKey, debounceDelayS' : ''
      assert.equal(
        done.compiled.notes?.filter(note => note.includes('enterprise')),
        [
          `concurrencyLimit, concurrencyTimeWindowS, concurrencyKey${limits}, priority: have an effect in Windmill's enterprise edition only.`
        ]
      )
      assert.is(handle !== undefined, isNewest(world))
      assert.is((await apply(world, full)).op, 'keep')
      assert.equal(await jobs(world), [])
      assert.is((await details(world))?.lockState, 'done')
    }))

  test(`${variant}: unstated fields, permissions and identity come from the version before, content does not`, () =>
    inWorkspace(variant, async world => {
      await apply(world, full)
      await world.sql`update script set extra_perms = '{"u/bob": true}'`
      const done = await apply(world, { ...python, summary: 'Other' })
      assert.is(done.op, 'update')
      const [row, before] = await versions(world)
      const kept =
        'description tag envs concurrent_limit concurrency_time_window_s concurrency_key cache_ttl priority timeout delete_after_use restart_unless_cancelled visible_to_runner_only is_template kind created_by on_behalf_of_email on_behalf_of labels debounce_key debounce_delay_s delete_after_secs cache_ignore_s3_path runnable_settings_handle extra_perms'
      for (const column of kept.split(' ')) assert.equal(row?.[column], before?.[column], column)
      assert.is(before?.['archived'], true)
      assert.equal(row?.['extra_perms'], { 'u/bob': true })
      assert.equal([row?.['summary'], row?.['lock'], row?.['has_preprocessor']], ['Other', undefined, undefined])
      if (!isOldest(world)) assert.is(row?.['schema_validation'], false)
    }))

  test(`${variant}: A → B → A makes three hashes and one line of history (trap 7)`, () =>
    inWorkspace(variant, async world => {
      for (const content of [code, `${code}# b\n`, code]) await apply(world, { ...python, content })
      const [third, second, first] = await versions(world)
      assert.is(new Set([third?.['hash'], second?.['hash'], first?.['hash']]).size, 3)
      assert.equal(third?.['parent_hashes'], [second?.['hash'], first?.['hash']])
      assert.equal(second?.['parent_hashes'], [first?.['hash']])
      assert.is(first?.['parent_hashes'], undefined)
      assert.equal(
        [third, second, first].map(one => one?.['archived']),
        [false, true, true]
      )
    }))

  test(`${variant}: history is cut to twenty parents`, () =>
    inWorkspace(variant, async world => {
      const parents = Array.from({ length: 20 }, (_, at) => String(at + 100))
      await insertScript(world, { hash: '99', parent_hashes: `{${parents.join()}}`, language: 'python3', lock: '' })
      await apply(world, python)
      const [row] = await versions(world)
      assert.equal(row?.['parent_hashes'], ['99', ...parents.slice(0, 19)])
    }))

  test(`${variant}: the dependency job has every column as the contract says`, () =>
    inWorkspace(variant, async world => {
      await apply(world, python)
      const job = (hash: string, args: Found): Found => ({
        kind: 'dependencies',
        runnable_id: hash,
        runnable_path: 'f/a/b',
        script_lang: 'python3',
        tag: 'python3',
        queued: 'python3',
        args,
        created_by: 'iac_controller',
        permissioned_as: 'u/iac_controller',
        permissioned_as_email: 'iac-controller@cluster.local',
        trigger: null,
        running: false,
        priority: isNewest(world) ? 0 : null,
        username: 'iac_controller',
        is_admin: true,
        ping: null,
        later: false
      })
      const first = await liveHash(world)
      assert.equal(await jobs(world), [job(first, {})])
      assert.is((await details(world))?.lockState, 'pending')
      assert.is((await details(world))?.hash, hexOfHash(first))
      await lockAll(world)
      assert.is((await details(world))?.lockState, 'done')
      assert.is((await apply(world, python)).op, 'keep')
      await apply(world, { ...python, summary: 'new', onBehalfOf: 'bob' })
      assert.equal(await jobs(world), [job(await liveHash(world), { parent_path: 'f/a/b' })])
      if (!isNewest(world)) return
      const [noted] = await world.sql`
        select d.script_hash::text, d.path, d.job_id = j.id as same from deployment_metadata d, v2_job j
         where j.runnable_id = d.script_hash order by j.created_at desc limit 1`
      assert.equal({ ...noted }, { script_hash: await liveHash(world), path: 'f/a/b', same: true })
    }))

  test(`${variant}: tags of dependency jobs: the script's own, never with arguments, else the language's`, () =>
    inWorkspace(variant, async world => {
      await world.sql`insert into global_settings (name, value) values ('default_tags_per_workspace', 'true')`
      const native = '//native\nexport async function main() {}\n'
      const bun = 'export async function main() {}\n'
      for (const [name, spec] of Object.entries({
        a: { language: 'python3', content: code, tag: 'gpu-$workspace' },
        b: { language: 'python3', content: code, tag: 'gpu-$args[x]' },
        c: { language: 'python3', content: code },
        d: { language: 'bun', content: native, tag: 'gpu' },
        e: { language: 'bunnative', content: native },
        f: { language: 'bunnative', content: bun },
        g: { language: 'go', content: 'package inner\nfunc main() {}' },
        // After an empty line it is no annotation (trap 19).
        h: { language: 'bunnative', content: `\n${native}` }
      })) {
        await apply(world, { path: `f/tags/${name}`, schema, ...spec })
      }
      assert.equal(
        (await jobs(world)).map(job => [job['runnable_path'], job['script_lang'], job['queued']].join(' ')),
        [
          'f/tags/a python3 gpu-w',
          'f/tags/b python3 python3-w',
          'f/tags/c python3 python3-w',
          `f/tags/d bun ${isNewest(world) ? 'bun-w' : 'gpu'}`,
          'f/tags/e bun bun-w',
          'f/tags/f bun bun-w',
          'f/tags/g go go-w',
          'f/tags/h bun bun-w'
        ]
      )
      const stored = await world.sql`select path, language::text from script where path like 'f/tags/_' order by path`
      assert.is(stored.map(row => row['language']).join(), 'python3,python3,python3,bunnative,bunnative,bun,go,bun')
    }))

  test(`${variant}: all languages of the enum: those that are locked wait, the others have an empty lock (trap 1)`, () =>
    inWorkspace(variant, async world => {
      const waiting = 'python3 deno go bun php rust ansible csharp'.split(' ')
      const later = isOldest(world) ? [] : ['nu', 'java', 'ruby', ...(isNewest(world) ? ['powershell', 'rlang'] : [])]
      const known = world.context.capabilities.labels('script_lang').filter(one => one !== 'bunnative')
      for (const language of known) await apply(world, { path: `f/all/${language}`, language, content: 'x', schema })
      const rows = await world.sql`select language::text, lock from script order by 1`
      assert.equal(
        [...rows].filter(row => row['lock'] === null).map(row => row['language'] as string),
        [...waiting, ...later].sort()
      )
      assert.ok(rows.every(row => row['lock'] === null || row['lock'] === ''))
      assert.is((await jobs(world)).length, waiting.length + later.length)
      const state = async (language: string) => (await details(world, `f/all/${language}`))?.lockState
      assert.equal([await state('bash'), await state('go')], ['none', 'pending'])
      for (const language of ['rlang', 'dbt', 'duckdb'].filter(one => !known.includes(one as never))) {
        const error = await rejects(apply(world, { path: 'f/a/x', language, content: 'x' }))
        assert.is((error as { code?: string }).code, 'NotSupportedByWindmill')
        assert.match(error.message, new RegExp(`does not know ${language}`))
      }
    }))

  test(`${variant}: a lock without a job or an error is pushed again for the same version (trap 4)`, () =>
    inWorkspace(variant, async world => {
      const first = await apply(world, python)
      const hash = await liveHash(world)
      await clearQueue(world)
      const done = await apply(world, python)
      assert.is(done.op, 'update')
      assert.is.not(done.tokenBefore, first.tokenAfter)
      assert.equal(
        (await versions(world)).map(one => one['hash']),
        [hash]
      )
      assert.equal(
        (await jobs(world)).map(job => job['runnable_id']),
        [hash]
      )
      assert.is((await apply(world, python)).op, 'keep')
      await clearQueue(world)
      await apply(world, { ...python, summary: 'changed at the same time' })
      assert.is((await versions(world)).length, 2)
      assert.is((await jobs(world)).length, 1)
    }))

  test(`${variant}: a lock that failed is told, left alone, and tried again with the next change (trap 5)`, () =>
    inWorkspace(variant, async world => {
      await apply(world, python)
      await lockAll(world, true)
      const done = await apply(world, python)
      assert.is(done.op, 'keep')
      assert.match(done.compiled.notes?.join() ?? '', /could not lock its dependencies/)
      assert.equal(await details(world), {
        hash: hexOfHash(await liveHash(world)),
        lockState: 'failed',
        lockMessage: 'log\nCould not resolve x\nhttps://***@pypi.example.com'
      })
      const next = await apply(world, { ...python, summary: 'again' })
      assert.equal(
        next.compiled.notes?.filter(note => note.includes('could not lock')),
        []
      )
      const [row] = await versions(world)
      assert.equal([row?.['lock'], row?.['lock_error_logs']], [undefined, undefined])
      assert.is((await jobs(world)).length, 1)
    }))

  test(`${variant}: two live rows are healed by a version that follows the newest`, () =>
    inWorkspace(variant, async world => {
      await apply(world, { ...python, lock })
      const [mine] = await versions(world)
      await insertScript(world, {
        hash: '77',
        parent_hashes: `{${String(mine?.['hash'])}}`,
        created_at: new Date(Date.now() + 60_000),
        language: 'python3',
        schema: JSON.stringify(schema),
        lock
      })
      const done = await apply(world, { ...python, lock })
      assert.is(done.op, 'update')
      assert.match(String((await world.sql`select count(*) from script where not archived`)[0]?.['count']), /^1$/)
      const [newest] = await versions(world)
      assert.equal([newest?.['archived'], newest?.['parent_hashes']], [false, ['77', mine?.['hash']]])
      assert.is((await apply(world, { ...python, lock })).op, 'keep')
    }))

  test(`${variant}: a deploy by a person between comparing and writing becomes history, not a second live row (trap 22)`, () =>
    inWorkspace(variant, async world => {
      await apply(world, python)
      const planned = await writeOf(world, { ...python, summary: 'ours' }, 'update')
      const before = await liveHash(world)
      const person = world.sql.begin(async tx => {
        await tx`update script set archived = true where hash = ${before}`
        await tx`insert into script (workspace_id, hash, path, parent_hashes, summary, description, content, created_by, created_at, tag)
                 values ('w', 5, 'f/a/b', array[${before}::bigint], 'theirs', '', 'x', 'alice', clock_timestamp(), 'theirs')`
        await tx`select pg_sleep(0.2)`
      })
      await world.sql`select pg_sleep(0.05)`
      await write(world, [planned])
      await person
      const rows = await versions(world)
      assert.equal(
        rows.map(row => [row['summary'], row['archived'], row['parent_hashes'] ?? []]),
        [
          ['ours', false, ['5', before]],
          ['theirs', true, [before]],
          ['', true, []]
        ]
      )
      assert.is(rows[0]?.['tag'], 'theirs')
    }))

  test(`${variant}: a new version is newer than all of its path, whatever their clocks said (trap 8)`, () =>
    inWorkspace(variant, async world => {
      await insertScript(world, { hash: '1', language: 'python3', lock: '', created_at: '2040-01-01T00:00:00.000001Z' })
      await insertScript(world, { hash: '2', language: 'python3', lock: '', archived: true, created_at: '2040-06-01' })
      await apply(world, python)
      const [row] = await versions(world)
      assert.match(String(row?.['created_at']), /^2040-06-01 00:00:00\.000001/)
      assert.equal(row?.['parent_hashes'], ['1'])
      await apply(world, { ...python, summary: 'x' })
      assert.match(String((await versions(world))[0]?.['created_at']), /^2040-06-01 00:00:00\.000002/)
    }))

  test(`${variant}: what comes back after an archive continues its history; a follower elsewhere forbids it`, () =>
    inWorkspace(variant, async world => {
      await apply(world, { ...full, onBehalfOf: 'alice' })
      await world.sql`update script set extra_perms = '{"u/bob": true}'`
      const first = await liveHash(world)
      await retire(world)
      assert.equal([...(await world.database.read(sql => view.observe(sql, [removal('f/a/b')], world.context)))], [])
      const done = await apply(world, python)
      assert.is(done.op, 'create')
      const [row] = await versions(world)
      assert.equal(
        [row?.['parent_hashes'], row?.['extra_perms'], row?.['tag'], row?.['created_by'], row?.['on_behalf_of_email']],
        [[first], { 'u/bob': true }, 'gpu', 'iac_controller', undefined]
      )
      assert.is((await audits(world)).at(-1)?.['operation'], 'scripts.update')
      await world.sql`update script set path = 'f/a/moved' where hash = ${String(row?.['hash'])}`
      await apply(world, python)
      const [fresh] = await liveOf(world)
      assert.equal([fresh?.['parent_hashes'], fresh?.['extra_perms']], [undefined, {}])
    }))

  test(`${variant}: a version that Windmill made when it locked anew is no drift (trap 24)`, () =>
    inWorkspace(variant, async world => {
      await apply(world, python)
      await lockAll(world)
      const ours = await liveHash(world)
      await world.sql`
        insert into script select (jsonb_populate_record(s, jsonb_build_object('hash', 4711, 'lock', 'other lock',
               'parent_hashes', jsonb_build_array(s.hash), 'created_at', now() + interval '1 second'))).* from script s`
      await world.sql`update script set archived = true where hash = ${ours}`
      const done = await apply(world, python)
      assert.is(done.op, 'keep')
      assert.is((await details(world))?.hash, '0000000000001267')
      const stated = await apply(world, { ...python, lock })
      assert.is(stated.op, 'update')
      assert.is((await liveOf(world))[0]?.['lock'], lock)
    }))

  test(`${variant}: two paths swap their scripts in one batch`, () =>
    inWorkspace(variant, async world => {
      const other = { ...python, path: 'f/a/c', content: `${code}# c\n` }
      await apply(world, python)
      await apply(world, other)
      await write(world, [
        await writeOf(world, { ...other, path: 'f/a/b' }, 'update'),
        await writeOf(world, { ...python, path: 'f/a/c' }, 'update')
      ])
      assert.equal(
        [(await liveOf(world))[0]?.['content'], (await liveOf(world, 'f/a/c'))[0]?.['content']],
        [other.content, code]
      )
      assert.is((await liveOf(world)).length + (await liveOf(world, 'f/a/c')).length, 2)
    }))

  test(`${variant}: 500 scripts of 8 KB take as many statements as two, and one more per megabyte`, () =>
    inWorkspace(variant, async world => {
      const content = `${code}# ${'x'.repeat(8000)}\n`
      const many = async (count: number, prefix: string): Promise<readonly Write[]> => {
        const one = await writeOf(world, { ...python, content })
        return Array.from({ length: count }, (_, at) => ({ ...one, path: `f/${prefix}/s${at}` }))
      }
      const two = await statementsOf(world, await many(2, 'few'))
      const all = await statementsOf(world, await many(500, 'many'))
      assert.is(all, two + 3)
      assert.ok(all < 40, String(all))
      const [row] = await world.sql`
        select count(*)::int as scripts, count(distinct hash)::int as hashes,
               (select count(*)::int from v2_job_queue) as jobs from script`
      assert.equal({ ...row }, { scripts: 502, hashes: 502, jobs: 502 })
      const targets = Array.from({ length: 500 }, (_, at) => ({ workspace: 'w', path: `f/many/s${at}`, fields: [] }))
      const tokens = await world.database.read(sql => readTokens(sql, view, targets, world.context))
      assert.is(tokens.size, 500)
    }))

  test(`${variant}: code comes from a ConfigMap, exactly as it is there`, () =>
    inWorkspace(variant, async world => {
      const ref = { name: 'code', key: 'a.py' }
      const { content: _, ...rest } = python
      const spec = { ...rest, contentFrom: { configMapKeyRef: ref } }
      assert.equal(view.refs?.(spec), [{ kind: 'ConfigMap', ...ref }])
      const text = `\uFEFF${code}\r\n\t Grüße 🦀 \\n $1 \n\n`
      await apply(world, spec, { texts: { 'code/a.py': text } })
      assert.is((await liveOf(world))[0]?.['content'], text)
      assert.is((await apply(world, spec, { texts: { 'code/a.py': text } })).op, 'keep')
      assert.is((await apply(world, spec, { texts: { 'code/a.py': `${text} ` } })).op, 'update')
      const error = await rejects(apply(world, spec, { texts: { 'code/a.py': 'a\0b' } }))
      assert.match(error.message, /NUL/)
    }))

  test(`${variant}: a schema as text keeps its spelling, and its order counts (trap 17)`, () =>
    inWorkspace(variant, async world => {
      const text = '{ "type": "object",\n  "properties": {"z": {"default": 1.0}, "a": {}} }'
      const spec = { ...python, schema: text }
      await apply(world, spec)
      assert.is((await liveOf(world))[0]?.['schema'], text)
      assert.is((await apply(world, spec)).op, 'keep')
      assert.is((await apply(world, { ...python, schema: JSON.stringify(JSON.parse(text)) })).op, 'keep')
      assert.is(
        (await apply(world, { ...python, schema: { properties: { a: {}, z: { default: 1 } }, type: 'object' } })).op,
        'keep'
      )
      const turned = await apply(world, {
        ...python,
        schema: '{"type": "object", "properties": {"a": {}, "z": {"default": 1}}}'
      })
      assert.is(turned.op, 'update')
      for (const [bad, message] of [
        ['{"a": 1,\n"b" 2}', /schema: the text is no JSON/],
        ['[]', /give a JSON object/],
        ['"x"', /give a JSON object/],
        ['', /no JSON/]
      ] as const) {
        const error = await rejects(apply(world, { ...python, schema: bad }))
        assert.is((error as { code?: string }).code, 'InvalidSpec')
        assert.match(error.message, message)
      }
    }))

  test(`${variant}: main and preprocessor functions are read from the code; what is stated wins`, () =>
    inWorkspace(variant, async world => {
      const marks = async (path: string): Promise<Found> => {
        const [row = {}] = await liveOf(world, path)
        return {
          noMain: isNewest(world) ? row['auto_kind'] : row['no_main_func'],
          preprocessor: row['has_preprocessor']
        }
      }
      const library = isNewest(world) ? 'lib' : true
      const lib = { ...python, path: 'f/m/lib', content: 'def helper(x):\n    return x\n' }
      assert.equal((await apply(world, lib)).row['noMainFunc'], true)
      assert.equal(await marks('f/m/lib'), { noMain: library, preprocessor: undefined })
      await apply(world, { ...lib, content: code })
      assert.equal(await marks('f/m/lib'), { noMain: undefined, preprocessor: undefined })
      const said = await apply(world, { ...lib, content: code, noMainFunc: true, hasPreprocessor: true })
      assert.equal(await marks('f/m/lib'), { noMain: library, preprocessor: true })
      assert.is(said.compiled.notes?.length, 2)
      assert.is((await apply(world, { ...lib, content: code, noMainFunc: true, hasPreprocessor: true })).op, 'keep')
      await apply(world, { path: 'f/m/sh', language: 'bash', content: 'echo', schema, noMainFunc: true })
      await apply(world, { path: 'f/m/sh', language: 'bash', content: 'echo 2', schema })
      assert.equal(await marks('f/m/sh'), { noMain: library, preprocessor: undefined })
      await apply(world, { ...lib, path: 'f/m/f', kind: 'failure' })
      assert.equal((await marks('f/m/f'))['noMain'], isNewest(world) ? undefined : true)
    }))

  test(`${variant}: whom a script acts for is a pair: taken from the workspace, kept, cleared when dropped (trap 14)`, () =>
    inWorkspace(variant, async world => {
      const pair = async (): Promise<unknown[]> => {
        const [row = {}] = await liveOf(world)
        return [row['created_by'], row['on_behalf_of_email'], ...(isNewest(world) ? [row['on_behalf_of']] : [])]
      }
      const acts = (name: string): unknown[] => [name, `${name}@example.com`, ...(isNewest(world) ? [`u/${name}`] : [])]
      const nobody = ['iac_controller', undefined, ...(isNewest(world) ? [undefined] : [])]
      for (const who of ['alice', 'u/alice', 'alice@example.com', 'Alice@Example.com']) {
        const done = await apply(world, { ...python, onBehalfOf: who })
        assert.is(done.row['onBehalfOf'], 'u/alice')
        assert.equal(await pair(), acts('alice'))
      }
      assert.is((await versions(world)).length, 1)
      await apply(world, { ...python, onBehalfOf: 'u/bob' })
      assert.equal(await pair(), acts('bob'))
      await apply(world, { ...python, summary: 'kept' })
      assert.equal(await pair(), acts('bob'))
      await world.sql`update usr set email = 'robert@example.com' where username = 'bob'`
      const done = await apply(world, { ...python, onBehalfOf: 'u/bob' })
      assert.is(done.op, 'update')
      assert.is((await pair())[1], 'robert@example.com')
      await apply(world, { ...python }, { previous: ['onBehalfOf'] })
      assert.equal(await pair(), nobody)
      await world.sql`update usr set disabled = true where username = 'alice'`
      for (const who of ['alice', 'carol', 'g/all']) {
        const error = await rejects(apply(world, { ...python, onBehalfOf: who }))
        assert.is((error as { code?: string }).code, 'UserNotFound')
      }
    }))

  test(`${variant}: code of a CR does not take over somebody whom its namespace may not act as`, () =>
    inWorkspace(variant, async world => {
      await apply(world, { ...python, onBehalfOf: 'alice' })
      const context = { ...world.context, mayRunAs: () => 'not here.' }
      const error = await rejects(
        applyOne(world.database, kind, { spec: { ...python, onBehalfOf: 'alice' }, workspace: 'w' }, context)
      )
      assert.is((error as { code?: string }).code, 'RunAsNotAllowed')
      await applyOne(world.database, kind, { spec: { ...python, content: 'import os' }, workspace: 'w' }, context)
      const [row] = await liveOf(world)
      assert.equal([row?.['created_by'], row?.['on_behalf_of_email']], ['iac_controller', undefined])
    }))

  test(`${variant}: without a licence nothing is written that would do harm (trap 13), with one it is`, () =>
    inWorkspace(variant, async world => {
      const spec = { ...python, lock, dedicatedWorker: true, wsErrorHandlerMuted: true }
      const done = await apply(world, spec)
      const [row] = await liveOf(world)
      assert.equal([row?.['dedicated_worker'], row?.['ws_error_handler_muted']], [undefined, false])
      assert.equal(
        done.compiled.notes?.map(note => note.split(':')[0]),
        ['dedicatedWorker', 'wsErrorHandlerMuted']
      )
      assert.is((await apply(world, spec)).op, 'keep')
      await world.sql`insert into global_settings (name, value) values ('license_key', '"x"') on conflict (name) do update set value = excluded.value`
      await apply(world, spec)
      const [licensed] = await liveOf(world)
      assert.equal([licensed?.['dedicated_worker'], licensed?.['ws_error_handler_muted']], [true, true])
      assert.equal(
        (await jobs(world)).map(job => job['queued']),
        isNewest(world) ? ['w:f/a/b'] : []
      )
      const error = await rejects(apply(world, { ...spec, path: `f/a/${'x'.repeat(50)}` }))
      assert.match(error.message, /dedicatedWorker/)
    }))

  test(`${variant}: bad input is that object's error`, () =>
    inWorkspace(variant, async world => {
      for (const [part, errorCode, message] of [
        [{ kind: 'command' }, 'NotSupportedByWindmill', /command/],
        [{ language: 'klingon' }, 'NotSupportedByWindmill', /klingon/],
        [{ content: 'a\0b' }, 'InvalidSpec', /content.*NUL/],
        [{ content: 'a\ud800b' }, 'InvalidSpec', /content.*surrogate/],
        [{ summary: 'a\0b' }, 'InvalidSpec', /summary.*NUL/],
        [{ envs: ['A=1', 'B'] }, 'InvalidSpec', /envs\[1\].*NAME=value/],
        [{ envs: ['=x'] }, 'InvalidSpec', /envs\[0\]/],
        [{ tag: 'x'.repeat(51) }, 'InvalidSpec', /tag.*50/],
        [{ concurrencyKey: 'x'.repeat(256) }, 'InvalidSpec', /concurrencyKey.*255/],
        [{ timeout: -1 }, 'InvalidSpec', /timeout/],
        [{ timeout: 2 ** 31 }, 'InvalidSpec', /timeout/],
        [{ cacheSeconds: 1.5 }, 'InvalidSpec', /cacheSeconds/],
        [{ priority: 40_000 }, 'InvalidSpec', /priority/],
        [{ language: 'bun', lock: '{"dependencies": {}}' }, 'InvalidSpec', /\/\/bun\.lock/],
        [{ onBehalfOf: 'nobody' }, 'UserNotFound', /nobody/]
      ] as const) {
        const error = await rejects(apply(world, { ...python, ...part }))
        assert.is((error as { code?: string }).code, errorCode, JSON.stringify(part))
        assert.match(error.message, message)
      }
      assert.equal(await versions(world), [])
      const notes = (
        await apply(world, {
          path: 'f/a/b',
          language: 'bash',
          content: 'echo',
          schema,
          lock: 'x',
          restartedFrom: '',
          tag: ''
        })
      ).compiled.notes
      assert.equal(notes, [
        'lock: this Windmill locks nothing for bash; ignored.',
        'restartedFrom: nothing in Windmill corresponds; ignored.'
      ])
    }))

  test(`${variant}: audit rows carry the API's names and the hash`, () =>
    inWorkspace(variant, async world => {
      await apply(world, python)
      const first = hexOfHash(await liveHash(world))
      await apply(world, { ...python, onBehalfOf: 'bob' })
      const second = hexOfHash(await liveHash(world))
      const from = { source: 'kubernetes', namespace: 'test', name: 'one', uid: listedOf(kind).uid, generation: 1 }
      assert.equal(await audits(world), [
        {
          operation: 'scripts.create',
          action: 'create',
          resource: 'f/a/b',
          parameters: { ...from, workspace: 'w', hash: first }
        },
        { operation: 'scripts.update', action: 'update', resource: 'f/a/b', parameters: { ...from, hash: second } },
        ...(isNewest(world)
          ? [
              {
                operation: 'scripts.on_behalf_of',
                action: 'update',
                resource: 'f/a/b',
                parameters: { ...from, on_behalf_of: 'u/bob', action: 'update' }
              }
            ]
          : [])
      ])
    }))

  test(`${variant}: Windmill is told of every change of what a path runs (§6)`, () =>
    inWorkspace(variant, async world => {
      if (!isNewest(world)) return
      const told = async (): Promise<readonly string[]> => {
        const rows = await world.sql<{ payload: string }[]>`
          delete from notify_event where channel = 'notify_runnable_version_change' returning payload`
        return [...rows].map(row => row.payload)
      }
      await apply(world, { ...python, lock })
      assert.equal(await told(), ['w:script:f/a/b:script'])
      await apply(world, python, { previous: ['lock'] })
      assert.equal(await told(), ['w:script:f/a/b:script'])
      await retire(world)
      assert.equal(await told(), ['w:script:f/a/b:script'])
      await apply(world, python)
      await remove(world)
      assert.equal(await told(), ['w:script:f/a/b:script'])
    }))

  test(`${variant}: where only an update is announced, a version with a lock is updated once (§6)`, () =>
    inWorkspace(variant, async world => {
      await world.sql`create table touched (hash bigint)`
      await world.sql.unsafe(`
        drop trigger if exists script_insert_trigger on script;
        create function touched() returns trigger language plpgsql security definer as $$ begin insert into touched values (new.hash); return new; end $$;
        drop trigger if exists script_update_trigger on script;
        create trigger script_update_trigger after update of lock on script for each row execute function touched()`)
      const { capabilities } = world.context
      const hasTrigger = (table: string, prefix: string): boolean => table === 'script' && prefix === 'script_update'
      const context = { ...world.context, capabilities: { ...capabilities, hasTrigger } }
      await applyOne(world.database, kind, { spec: { ...python, lock }, workspace: 'w' }, context)
      await applyOne(world.database, kind, { spec: { ...python, path: 'f/a/waits' }, workspace: 'w' }, context)
      const rows = [...(await world.sql`select hash::text from touched`)]
      assert.equal(
        rows.map(row => row['hash']),
        [await liveHash(world)]
      )
    }))

  test(`${variant}: a lock of a person makes rows of the imports, and imports the CLI locked get none (trap 21)`, () =>
    inWorkspace(variant, async world => {
      const importing = { ...python, content: `from f.lib.one import x\nfrom .two import y\n${code}` }
      await world.sql`
        insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path)
        values ('w', 'f/a/b', 'script', 'f/old/x'), ('w', 'f/a/b', 'flow', 'f/kept/x'), ('other', 'f/a/b', 'script', 'f/kept/y')`
      if (isNewest(world))
        await world.sql`insert into lock_hash (workspace_id, path, lockfile_hash) values ('w', 'f/a/b', 1), ('w', 'f/x/y', 1)`
      await apply(world, { ...importing, lock })
      assert.equal(await depends(world), ['f/a/two', 'f/kept/x', 'f/kept/y', 'f/lib/one'])
      if (isNewest(world)) {
        assert.equal([...(await world.sql`select path from lock_hash`)], [{ path: 'f/x/y' }])
      }
      await apply(world, { ...importing, lock: `# from requirements.txt\n${lock}` })
      assert.equal(await depends(world), ['f/kept/x', 'f/kept/y'])
      await apply(world, { ...importing, lock })
      await apply(world, importing, { previous: ['lock'] })
      assert.equal(await depends(world), ['f/kept/x', 'f/kept/y'])
      assert.is((await jobs(world)).length, 1)
    }))

  test(`${variant}: who imports a script that needs no job is locked anew: scripts, flows, apps, and nobody else (trap 10)`, () =>
    inWorkspace(variant, async world => {
      await importers(world)
      await apply(world, { ...python, path: 'f/lib/one', lock })
      const found = (await jobs(world)).map(({ kind, runnable_path, script_lang, queued, args, later }) => ({
        kind,
        runnable_path,
        script_lang,
        queued,
        args,
        later
      }))
      const common = { common_dependency_path: 'f/lib/one', already_visited: ['f/lib/one'] }
      const relative = isOldest(world) ? {} : { triggered_by_relative_import: true }
      const later = isNewest(world)
      assert.equal(found, [
        {
          kind: 'appdependencies',
          runnable_path: 'f/i/app',
          script_lang: null,
          queued: 'dependency',
          args: { ...common, ...relative, parent_path: 'f/i/app', components_to_relock: ['c1'] },
          later
        },
        {
          kind: 'flowdependencies',
          runnable_path: 'f/i/flow',
          script_lang: null,
          queued: 'dependency',
          args: { ...common, ...relative, parent_path: 'f/i/flow', nodes_to_relock: ['a', 'b'] },
          later
        },
        {
          kind: 'dependencies',
          runnable_path: 'f/i/live',
          script_lang: 'python3',
          queued: isNewest(world) ? 'dependency' : 'python3',
          args: { ...common, ...newer(world, { triggered_by_relative_import: true }) },
          later
        }
      ])
      const [flow] = await world.sql`
        select (select runnable_id from v2_job where kind = 'flowdependencies') = versions[array_upper(versions, 1)] as same,
               (select count(*)::int from flow_version) as versions from flow where path = 'f/i/flow'`
      assert.equal({ ...flow }, isOldest(world) ? { same: true, versions: 1 } : { same: false, versions: 2 })
      await clearQueue(world)
      await apply(world, { ...python, path: 'f/lib/one', lock, summary: 'only a word' })
      assert.equal(await jobs(world), [])
      await apply(world, { ...python, path: 'f/lib/one', lock: `${lock}\nmore==1` })
      assert.is((await jobs(world)).length, 3)
    }))

  test(`${variant}: importer and imported deployed together: old content cannot win (trap 9)`, () =>
    inWorkspace(variant, async world => {
      const imported = { ...python, path: 'f/lib/one' }
      const importer = { ...python, path: 'f/i/live', content: `from f.lib.one import x\n${code}` }
      await apply(world, imported)
      await apply(world, importer)
      await world.sql`
        insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path)
        values ('w', 'f/i/live', 'script', 'f/lib/one')`
      await clearQueue(world)
      await write(world, [
        await writeOf(world, { ...importer, summary: 'n' }, 'update'),
        await writeOf(world, { ...imported, summary: 'n' }, 'update')
      ])
      assert.equal(await depends(world, 'f/i/live'), [])
      assert.equal(
        (await jobs(world)).map(job => job['runnable_path']),
        ['f/i/live', 'f/lib/one']
      )
      const input = (spec: Spec) => ({
        listed: listedOf(kind),
        spec,
        workspace: 'w',
        path: String(spec['path']),
        text: () => ''
      })
      assert.equal(view.together?.(input(importer)), { provides: 'f/i/live', needs: ['f/lib/one'] })
      // With a lock of its own, the imported script sends no second job to an importer of the same batch.
      await clearQueue(world)
      await write(world, [
        await writeOf(world, { ...importer, lock }, 'update'),
        await writeOf(world, { ...imported, lock }, 'update')
      ])
      assert.equal(await jobs(world), [])
      assert.equal(await depends(world, 'f/i/live'), ['f/lib/one'])
    }))

  test(`${variant}: the queued job of a schedule gets the new version, and none once the script is retired (trap 12)`, () =>
    inWorkspace(variant, async world => {
      const { sql } = world
      await apply(world, { ...python, lock })
      const who = isNewest(world) ? { permissioned_as: 'u/alice' } : {}
      const schedule = {
        workspace_id: 'w',
        path: 'f/s/one',
        edited_by: 'alice',
        schedule: '0 0 3 * * *',
        script_path: 'f/a/b',
        email: 'alice@example.com',
        cron_version: 'v2',
        ...who
      }
      await sql`insert into schedule ${sql(schedule)}`
      const pinned = async (): Promise<unknown[]> =>
        [...(await jobs(world, 'f/a/b'))].filter(job => job['trigger'] === 'f/s/one').map(job => job['runnable_id'])
      await apply(world, { ...python, lock, summary: 'second' })
      assert.equal(await pinned(), [await liveHash(world)])
      await apply(world, { ...python, lock, summary: 'third' })
      assert.equal(await pinned(), [await liveHash(world)])
      await retire(world)
      assert.equal(await pinned(), [])
      assert.is((await sql`select enabled from schedule`)[0]?.['enabled'], false)
    }))

  test(`${variant}: traces of earlier versions and drafts go, captures stay`, () =>
    inWorkspace(variant, async world => {
      const { sql } = world
      await furnish(world)
      await apply(world, python)
      const count = async (table: string): Promise<number> =>
        Number(
          (
            await sql.unsafe(
              `select count(*) from ${table} where ${table === 'asset' ? 'usage_path' : 'path'} = 'f/a/b'`
            )
          )[0]?.['count']
        )
      if (!isOldest(world)) assert.is(await count('asset'), 1)
      assert.is(await count('draft'), isNewest(world) ? 2 : 1)
      assert.is(await count('capture_config'), 2)
    }))

  test(`${variant}: retiring archives all live rows, forgets imports and jobs, and says so once (trap 10)`, () =>
    inWorkspace(variant, async world => {
      const { sql } = world
      await apply(world, python)
      const hash = await liveHash(world)
      await insertScript(world, { hash: '3', language: 'python3', lock: '', created_at: '2020-01-01' })
      await sql`
        insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path)
        values ('w', 'f/a/b', 'script', 'f/x/y'), ('w', 'f/x/y', 'script', 'f/a/b')`
      await furnish(world)
      await retire(world)
      assert.equal(
        (await versions(world)).map(row => row['archived']),
        [true, true]
      )
      assert.equal(await jobs(world), [])
      assert.equal([await depends(world), await depends(world, 'f/x/y')], [[], ['f/a/b']])
      const [entry] = (await audits(world)).slice(-1)
      assert.equal(
        [entry?.['operation'], entry?.['action'], entry?.['resource']],
        ['scripts.archive', 'delete', hexOfHash(hash)]
      )
      assert.equal((await world.sql`select count(*)::int as n from draft`)[0]?.['n'], isNewest(world) ? 3 : 2)
    }))

  test(`${variant}: removing deletes all versions and what hangs on them, and nothing of others`, () =>
    inWorkspace(variant, async world => {
      const { sql } = world
      await apply(world, python)
      await apply(world, { ...python, summary: 'x' })
      await apply(world, { ...python, path: 'f/a/bc' })
      await furnish(world)
      await sql`insert into deployment_metadata (workspace_id, path, script_hash) values ('w', 'f/a/b', 9)`
      await sql`insert into deployment_metadata (workspace_id, path, flow_version) values ('w', 'f/a/b', 9)`
      await sql`
        insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path)
        values ('w', 'f/a/b', 'script', 'f/x/y'), ('w', 'f/x/y', 'script', 'f/a/b')`
      await remove(world)
      assert.equal(await versions(world), [])
      assert.is((await versions(world, 'f/a/bc')).length, 1)
      assert.equal(
        (await jobs(world)).map(job => job['runnable_path']),
        ['f/a/bc']
      )
      assert.equal([await depends(world), await depends(world, 'f/x/y')], [[], ['f/a/b']])
      const left = await sql`
        select (select count(*)::int from draft where path = 'f/a/b') as drafts,
               (select count(*)::int from capture_config) as captures,
               (select count(*)::int from deployment_metadata where path = 'f/a/b') as metadata`
      assert.equal({ ...left[0] }, { drafts: 1, captures: 1, metadata: 1 })
      const [entry] = (await audits(world)).slice(-1)
      assert.equal([entry?.['operation'], entry?.['resource']], ['scripts.delete', 'f/a/b'])
      if (!isNewest(world)) return
      const [trash] = await sql`
        select item_kind, item_path, deleted_by, jsonb_array_length(item_data->'scripts') as scripts,
               jsonb_array_length(item_data->'drafts') as drafts from trashbin`
      assert.equal(
        { ...trash },
        { item_kind: 'script', item_path: 'f/a/b', deleted_by: 'iac_controller', scripts: 2, drafts: 2 }
      )
    }))

  test(`${variant}: a script in use is not deleted; those that go together hold nobody back`, () =>
    inWorkspace(variant, async world => {
      const { sql, database, context } = world
      for (const name of ['a', 'b', 'c', 'd', 'e', 'g', 'h', 'i'])
        await apply(world, { ...python, path: `f/use/${name}` })
      await sql`
        insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path)
        values ('w', 'f/use/a', 'script', 'f/use/b'), ('w', 'f/use/h', 'script', 'f/use/c')`
      const who = isNewest(world) ? { permissioned_as: 'u/alice' } : {}
      const schedule = {
        workspace_id: 'w',
        edited_by: 'alice',
        schedule: '0 0 * * * *',
        email: 'alice@example.com',
        ...who
      }
      await sql`insert into schedule ${sql([
        { ...schedule, path: 'f/s/runs', script_path: 'f/use/d', is_flow: false, on_failure: null },
        { ...schedule, path: 'f/s/flow', script_path: 'f/use/i', is_flow: true, on_failure: 'script/f/use/e' }
      ])}`
      const value = {
        modules: [
          {
            id: 'a',
            value: { type: 'forloopflow', modules: [{ id: 'b', value: { type: 'script', path: 'f/use/g' } }] }
          }
        ]
      }
      await sql`insert into flow (workspace_id, path, summary, description, value, edited_by) values ('w', 'f/f/one', '', '', ${value as never}, 'alice')`
      await sql`insert into app (workspace_id, path, versions, policy) values ('w', 'f/p/one', '{}', ${{ triggerables_v2: { 'x:script/f/use/i': {} } } as never})`
      const asked = (...names: string[]) =>
        database.read(async tx =>
          view.blockers?.(
            tx,
            names.map(name => removal(`f/use/${name}`)),
            context
          )
        )
      assert.equal(await asked('a'), new Map())
      assert.equal(await asked('a', 'b'), new Map())
      assert.equal(
        [...((await asked('a', 'b', 'c', 'd', 'e', 'g', 'i')) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)),
        [
          [targetKey('w', 'f/use/c'), 'The script f/use/h still refers to it; change or delete that first.'],
          [targetKey('w', 'f/use/d'), 'The schedule f/s/runs still refers to it; change or delete that first.'],
          [targetKey('w', 'f/use/e'), 'The schedule f/s/flow still refers to it; change or delete that first.'],
          [targetKey('w', 'f/use/g'), 'The flow f/f/one still refers to it; change or delete that first.'],
          [targetKey('w', 'f/use/i'), 'The app f/p/one still refers to it; change or delete that first.']
        ]
      )
      const hub = await database.read(async tx => view.blockers?.(tx, [removal('u/admin/hub_sync', 'admins')], context))
      assert.match(hub?.get(targetKey('admins', 'u/admin/hub_sync')) ?? '', /Windmill itself/)
    }))

  test(`${variant}: limits of newer releases are rows that versions share, and columns too`, () =>
    inWorkspace(variant, async world => {
      if (!isNewest(world)) return
      const { sql } = world
      const limits = { concurrencyLimit: 2, concurrencyTimeWindowS: 60, concurrencyKey: 'k' }
      await apply(world, { ...python, ...limits })
      await apply(world, { ...python, path: 'f/a/c', ...limits })
      const read = async (path: string): Promise<Found> => {
        const [row] = await sql`
          select s.runnable_settings_handle is not null as handle, c.concurrent_limit, c.concurrency_key, d.debounce_key,
                 d.max_total_debounces_amount as most, d.debounce_args_to_accumulate as args, r.retry_settings as retry,
                 s.concurrent_limit as legacy
            from script s left join runnable_settings r on r.hash = s.runnable_settings_handle
            left join concurrency_settings c on c.hash = r.concurrency_settings
            left join debouncing_settings d on d.hash = r.debouncing_settings where s.path = ${path} and not archived`
        return { ...row }
      }
      const first = {
        handle: true,
        concurrent_limit: 2,
        concurrency_key: 'k',
        debounce_key: null,
        most: null,
        args: null,
        retry: null,
        legacy: 2
      }
      assert.equal([await read('f/a/b'), await read('f/a/c')], [first, first])
      assert.equal((await sql`select count(*)::int as n from runnable_settings`)[0]?.['n'], 1)
      // As the API writes it: the handle alone, with what no CR states.
      await sql`insert into debouncing_settings (hash, debounce_key, max_total_debounces_amount, debounce_args_to_accumulate) values (5, 'theirs', 7, '{x,"y z"}')`
      await sql`insert into concurrency_settings (hash, concurrent_limit) values (6, 9)`
      await sql`insert into runnable_settings (hash, debouncing_settings, concurrency_settings, retry_settings) values (7, 5, 6, 8)`
      await sql`update script set runnable_settings_handle = 7, concurrent_limit = null, concurrency_key = null, concurrency_time_window_s = null where path = 'f/a/c'`
      assert.is(
        (await apply(world, { ...python, path: 'f/a/c', concurrencyLimit: 9, debounceKey: 'theirs' })).op,
        'keep'
      )
      await apply(world, { ...python, path: 'f/a/c', concurrencyLimit: 3 })
      assert.equal(await read('f/a/c'), {
        handle: true,
        concurrent_limit: 3,
        concurrency_key: null,
        debounce_key: 'theirs',
        most: 7,
        args: ['x', 'y z'],
        retry: '8',
        legacy: 3
      })
      await apply(world, { ...python, concurrencyLimit: 0, concurrencyTimeWindowS: 0, concurrencyKey: '' })
      assert.equal((await read('f/a/b'))['handle'], false)
    }))

  test(`${variant}: a hash that is taken anywhere is stepped over (trap 6)`, () =>
    inWorkspace(variant, async world => {
      await apply(world, python)
      const hash = await liveHash(world)
      await world.sql`delete from script`
      await insertScript(world, { hash, workspace_id: 'other', language: 'python3', lock: '' })
      await apply(world, python)
      assert.is.not(await liveHash(world), hash)
    }))

  test(`${variant}: what somebody else changed is drift, field by field`, () =>
    inWorkspace(variant, async world => {
      await apply(world, full)
      for (const [column, value, field] of [
        ['content', `'x'`, 'content'],
        ['summary', `'x'`, 'summary'],
        ['schema', `'{"type": "object"}'`, 'schema'],
        ['lock', `'x'`, 'lock'],
        ['tag', `''`, 'tag'],
        ['envs', `'{A=2}'`, 'envs'],
        ['concurrent_limit', '5', 'concurrencyLimit'],
        ['cache_ttl', 'null', 'cacheSeconds'],
        ['delete_after_use', 'null', 'deleteAfterUse'],
        ['created_by', `'bob'`, 'onBehalfOf'],
        ['language', `'bash'`, 'language'],
        ['kind', `'script'`, 'kind']
      ] as const) {
        const handle = isNewest(world) ? ', runnable_settings_handle = null' : ''
        await world.sql.unsafe(`update script set ${column} = ${value}${handle} where not archived`)
        const plan = await writeOf(world, full, 'update')
        const live = plan.live as Row
        const differing = Object.keys(plan.row).filter(
          name => JSON.stringify(plan.row[name]) !== JSON.stringify(live[name])
        )
        assert.equal(differing, [field])
        await write(world, [plan])
        assert.is((await apply(world, full)).op, 'keep')
      }
    }))
}

test('a script whose ConfigMap is missing needs nobody, and its error is told when it is compiled', () => {
  const spec = { ...python, content: undefined, contentFrom: { configMapKeyRef: { name: 'code', key: 'a.py' } } }
  const text = (): string => {
    throw new SyncError('ConfigMapNotFound', 'ConfigMap code was not found.')
  }
  const input = { listed: listedOf(kind), spec, workspace: 'w', path: 'f/a/b', text }
  assert.equal(view.together?.(input), { provides: 'f/a/b', needs: [] })
})

/** A live, an archived, a waiting and a vanished importer of f/lib/one, and a flow and an app. */
async function importers(world: World): Promise<void> {
  const { sql } = world
  await insertScript(world, { hash: '11', path: 'f/i/live', language: 'python3', lock: 'x' })
  await insertScript(world, { hash: '12', path: 'f/i/archived', language: 'python3', lock: 'x', archived: true })
  await insertScript(world, { hash: '13', path: 'f/i/waiting', language: 'python3' })
  await sql`insert into flow (workspace_id, path, summary, description, value, edited_by) values ('w', 'f/i/flow', '', '', '{"modules": []}', 'alice')`
  await sql`with v as (insert into flow_version (workspace_id, path, value, created_by) values ('w', 'f/i/flow', '{"modules": []}', 'alice') returning id)
            select 1 from v`
  await sql`update flow set versions = array[(select id from flow_version)]`
  await sql`insert into app (workspace_id, path, versions, policy) values ('w', 'f/i/app', '{5}', '{}')`
  await sql`
    insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path, importer_node_id)
    select 'w', p, k::importer_kind, 'f/lib/one', n from (values
      ('f/i/live', 'script', ''), ('f/i/archived', 'script', ''), ('f/i/waiting', 'script', ''), ('f/i/gone', 'script', ''),
      ('f/i/flow', 'flow', 'a'), ('f/i/flow', 'flow', 'b'), ('f/i/app', 'app', 'c1')) as r(p, k, n)`
}

/** Drafts, captures and assets of a script and of a flow at the same path. */
async function furnish(world: World): Promise<void> {
  const { sql } = world
  await sql`insert into draft (workspace_id, path, typ, value) values ('w', 'f/a/b', 'script', '{}'), ('w', 'f/a/b', 'flow', '{}')`
  if (isNewest(world)) {
    await sql`insert into password (email, login_type, super_admin, verified) values ('alice@example.com', 'password', false, true)`
    await sql`insert into draft (workspace_id, path, typ, value, email) values ('w', 'f/a/b', 'script', '{}', 'alice@example.com')`
  }
  await sql`
    insert into capture_config (workspace_id, path, is_flow, trigger_kind, owner, email)
    select 'w', 'f/a/b', f, 'webhook', 'alice', 'alice@example.com' from unnest('{t,f}'::bool[]) f`
  if (isOldest(world)) return
  await sql`
    insert into asset (workspace_id, path, kind, usage_access_type, usage_path, usage_kind)
    values ('w', 'u/x/y', 'resource', 'r', 'f/a/b', 'script'), ('w', 'u/x/y', 'resource', 'r', 'f/a/b', 'flow')`
}

/** How many statements a batch takes; parts of statements are not sent. */
async function statementsOf(world: World, writes: readonly Write[]): Promise<number> {
  let count = 0
  const counting = (sql: Sql): Sql =>
    new Proxy(sql, {
      apply: (tag, self, parts) => counted(Reflect.apply(tag as never, self, parts)),
      get: (tag, name) => {
        const member = Reflect.get(tag, name) as unknown
        if (name === 'unsafe')
          return (...parts: unknown[]) => counted((member as (...parts: unknown[]) => object)(...parts))
        if (name !== 'savepoint') return member
        return (work: (inner: Sql) => unknown) =>
          (member as (work: (inner: Sql) => unknown) => object)(inner => work(counting(inner)))
      }
    })
  // Only statements that are sent are waited for.
  const counted = <T extends object>(query: T): T =>
    new Proxy(query, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown
        if (name === 'then') count++
        return typeof member === 'function' ? (member as () => unknown).bind(target) : member
      }
    })
  await world.database.write(sql => view.write(counting(sql), writes, world.context))
  return count
}

test.run()
