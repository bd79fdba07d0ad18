/** Apps at the three schemas: rows as the API leaves them, versions, policies, routes, what workers and people do to them. */
import { createHash } from 'node:crypto'
import kindFile from '../src/kinds/app.ts'
import { type AnyKind, type Input, type Json, type Kind, type Removal, type Sql, targetKey } from '../src/model.ts'
import { ensureIdentity } from '../src/windmill/identity.ts'
import { readTokens } from '../src/windmill/targets.ts'
import { applyOne, type Done, type Given, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, type Release, releases, type World } from './support/windmill.ts'

const test = suite('kind app')
const kind = kindFile as unknown as AnyKind
const view = kindFile as unknown as Kind

const sha = (text: string): string => createHash('sha256').update(text).digest('hex')
const code = 'export async function main(x: string) {\r\n  return x\r\n}\n'

const button = (id: string, content = code, extra: object = {}): object => ({
  id,
  data: {
    type: 'buttoncomponent',
    id,
    componentInput: {
      type: 'runnable',
      fields: { x: { type: 'static', value: 'fixed' } },
      runnable: { type: 'runnableByName', name: 'go', inlineScript: { language: 'deno', content, path: 'x', ...extra } }
    }
  }
})
/** Keys in an order that neither sorting nor jsonb would give. */
const app = (...grid: object[]): { grid: object[]; [key: string]: unknown } => ({
  theme: { type: 'path', path: 'f/app_themes/theme_0' },
  grid,
  subgrids: {},
  fullscreen: false,
  hiddenInlineScripts: []
})
const value = app(button('a'))

/** A database in which the service identity is a user, as a run would make it. */
const inWorld = (variant: Release, work: (world: World) => Promise<void>): Promise<void> =>
  inWindmill(variant, async world => {
    await world.database.write(tx => ensureIdentity(tx, ['w', 'other'], world.context))
    await world.sql`
      insert into usr (workspace_id, username, email, is_admin, operator, disabled)
      values ('w', 'ann', 'Ann@example.com', false, false, false), ('w', 'off', 'off@example.com', false, false, true)`
    await work(world)
  })

const apply = ({ database, context }: World, spec: Record<string, unknown>, more: Partial<Given> = {}): Promise<Done> =>
  applyOne(database, kind, { spec: { path: 'f/a/one', value, ...spec }, workspace: 'w', ...more }, context)

interface AppRow {
  readonly id: string
  readonly versions: readonly string[]
  readonly [column: string]: unknown
}

const appAt = async ({ sql }: World, path = 'f/a/one', workspace = 'w'): Promise<AppRow> => {
  const [row] = await sql<AppRow[]>`
    select *, id::text, array_to_json(versions::text[]) as versions from app
     where workspace_id = ${workspace} and path = ${path}`
  return row as AppRow
}

const versionsOf = ({ sql }: World, path = 'f/a/one'): Promise<Record<string, unknown>[]> =>
  sql`select v.*, v.id::text, v.app_id::text, v.value::text as text, v.created_at > now() - interval '1 minute' as fresh
        from app_version v join app a on a.id = v.app_id where a.path = ${path} order by v.id`

const jobsOf = ({ sql }: World, path = 'f/a/one'): Promise<Record<string, unknown>[]> =>
  sql`select b.*, b.runnable_id::text, q.tag as queue_tag, q.running, q.scheduled_for <= now() as due, q.priority as rank,
             r.ping, s.id as status, p.email, p.username, p.is_admin
        from v2_job b join v2_job_queue q on q.id = b.id join v2_job_runtime r on r.id = b.id
        left join v2_job_status s on s.id = b.id left join job_perms p on p.job_id = b.id
       where b.runnable_path = ${path} order by b.runnable_id`

const triggerables = (id = 'a', content = code): Record<string, unknown> => ({
  [`${id}:rawscript/${sha(content)}`]: { static_inputs: { x: 'fixed' }, one_of_inputs: {}, allow_user_resources: [] }
})
const policy = {
  execution_mode: 'publisher',
  on_behalf_of: 'u/iac_controller',
  on_behalf_of_email: 'iac-controller@cluster.local',
  triggerables_v2: triggerables(),
  s3_inputs: [],
  allowed_s3_keys: []
}
const isNewest = ({ variant }: World): boolean => variant === '2026-08'
const isOldest = ({ variant }: World): boolean => variant === '1.463.2'

/** Somebody deploys through Windmill's own editor. */
const deployedBy = async (world: World, who: string, text: string, path = 'f/a/one'): Promise<string> => {
  const [made] = await world.sql<{ id: string }[]>`
    with v as (insert into app_version (app_id, value, created_by)
      select id, ${text}::text::json, ${who} from app where workspace_id = 'w' and path = ${path} returning id, app_id)
    update app a set versions = array_append(versions, v.id) from v where v.app_id = a.id returning v.id::text as id`
  return made?.id ?? ''
}

const removal = (path: string, workspace = 'w'): Removal => {
  const { namespace, name, uid } = listedOf(kind)
  return { workspace, path, fields: [], live: {}, listed: { namespace, name, uid } }
}

for (const variant of releases) {
  test(`${variant}: a new app has every column as the contract says; a second run writes nothing`, () =>
    inWorld(variant, async world => {
      const done = await apply(world, { summary: 'Sümmary', customPath: 'one/two' })
      assert.is(done.op, 'create')
      assert.equal(done.compiled.notes, [])
      const { id, versions, ...row } = await appAt(world)
      assert.equal(row, {
        workspace_id: 'w',
        path: 'f/a/one',
        summary: 'Sümmary',
        policy,
        extra_perms: {},
        custom_path: 'one/two',
        ...(isNewest(world) ? { labels: null } : { draft_only: null })
      })
      const [version, ...others] = await versionsOf(world)
      assert.is(others.length, 0)
      const { created_at: _, value: _parsed, ...stored } = version ?? {}
      assert.equal(stored, {
        id: versions[0],
        app_id: id,
        text: JSON.stringify(value),
        created_by: 'iac_controller',
        fresh: true,
        ...(isOldest(world) ? {} : { raw_app: false })
      })
      assert.is(versions.length, 1)
      assert.is((await world.sql`select from app_version_lite`).length, 0)
      assert.is((await world.sql`select from app_script`).length, 0)
      const again = await apply(world, { summary: 'Sümmary', customPath: 'one/two' })
      assert.is(again.op, 'keep')
      assert.is(again.tokenBefore, done.tokenAfter)
      assert.is(again.tokenAfter, done.tokenAfter)
      assert.is((await jobsOf(world)).length, 1)
    }))

  test(`${variant}: each deploy has its lock job, bound to the version, with no language (traps 5, 6)`, () =>
    inWorld(variant, async world => {
      await apply(world, {})
      await apply(world, { value: app(button('b')) })
      const { versions } = await appAt(world)
      assert.is(versions.length, 2)
      const jobs = await jobsOf(world)
      assert.equal(
        jobs.map(one => [one['runnable_id'], one['args']]),
        [
          [versions[0], {}],
          [versions[1], { parent_path: 'f/a/one' }]
        ]
      )
      const tag = isOldest(world) ? 'deno' : 'dependency'
      for (const job of jobs) {
        const shown = Object.fromEntries(Object.keys(expectedJob).map(key => [key, job[key]]))
        assert.equal(shown, { ...expectedJob, tag, queue_tag: tag })
      }
      const audits = await world.sql`
        select operation, count(*)::int as n from audit where operation like 'jobs.run%' group by 1`
      const partitioned = isNewest(world)
        ? await world.sql`select operation, count(*)::int as n from audit_partitioned where operation like 'jobs.run%' group by 1`
        : []
      assert.equal([...audits, ...partitioned], [{ operation: 'jobs.run.app_dependencies', n: 2 }])
    }))

  test(`${variant}: tags of jobs carry the workspace where the instance says so`, () =>
    inWorld(variant, async world => {
      await world.sql`insert into global_settings (name, value) values ('default_tags_per_workspace', 'true')
        on conflict (name) do update set value = excluded.value`
      await apply(world, {})
      assert.equal(
        (await jobsOf(world)).map(one => one['queue_tag']),
        [isOldest(world) ? 'deno-w' : 'dependency-w']
      )
    }))

  test(`${variant}: an update keeps the app, its id and what is not stated (traps 22, 24)`, () =>
    inWorld(variant, async world => {
      const labels = isNewest(world) ? { labels: ['one', 'two'] } : {}
      await apply(world, { summary: 'before', customPath: 'kept', ...labels })
      await world.sql`update app set extra_perms = '{"g/ops": true}'`
      const before = await appAt(world)
      const done = await apply(world, { value: app(button('b')) })
      assert.is(done.op, 'update')
      assert.is.not(done.tokenAfter, done.tokenBefore)
      const after = await appAt(world)
      assert.equal({ ...after, versions: after.versions.slice(0, 1), policy: before['policy'] }, { ...before })
      assert.is(after.versions.length, 2)
      assert.equal(after['policy'], { ...policy, triggerables_v2: triggerables('b') })
      const texts = (await versionsOf(world)).map(one => one['text'])
      assert.equal(texts, [JSON.stringify(value), JSON.stringify(app(button('b')))])
    }))

  test(`${variant}: a policy alone makes a version, since servers keep policies by version (trap 19)`, () =>
    inWorld(variant, async world => {
      await apply(world, {})
      await apply(world, { policy: { execution_mode: 'anonymous' } })
      const { versions, policy: stored } = await appAt(world)
      assert.is(versions.length, 2)
      assert.equal(stored, { ...policy, execution_mode: 'anonymous' })
      const texts = (await versionsOf(world)).map(one => one['text'])
      assert.equal(texts, [JSON.stringify(value), JSON.stringify(value)])
      assert.is((await jobsOf(world)).length, 2)
    }))

  test(`${variant}: a summary, a route and labels stand in the app's row and need no version`, () =>
    inWorld(variant, async world => {
      await apply(world, { summary: 'before' })
      const labels = ['one', 'two']
      const done = await apply(world, { summary: 'after', customPath: 'new', labels })
      assert.is(done.op, 'update')
      const row = await appAt(world)
      assert.is(row.versions.length, 1)
      assert.equal([row['summary'], row['custom_path']], ['after', 'new'])
      assert.is((await jobsOf(world)).length, 1)
      if (isNewest(world)) assert.equal(row['labels'], labels)
      else assert.equal(done.compiled.notes, ['labels: this Windmill has no such column; ignored.'])
      await apply(world, { customPath: '', ...(isNewest(world) && { labels: [] }) })
      const { custom_path: route, labels: left = null, summary } = await appAt(world)
      assert.equal([route, left, summary], [null, null, 'after'])
    }))

  test(`${variant}: drafts at the path go as with the API (trap 27)`, () =>
    inWorld(variant, async world => {
      const { sql } = world
      const draft = async (typ: string, path: string, email: string | null = null): Promise<void> => {
        if (isNewest(world)) {
          await sql`insert into draft (workspace_id, path, typ, value, email) values ('w', ${path}, ${typ}, '{}', ${email})`
        } else await sql`insert into draft (workspace_id, path, typ, value) values ('w', ${path}, ${typ}, '{}')`
      }
      const left = async (): Promise<unknown> =>
        (await sql`select path || ' ' || typ::text as text from draft order by 1`).map(one => one['text'])
      await draft('app', 'f/a/one')
      await draft('flow', 'f/a/one')
      await draft('app', 'f/a/two')
      if (isNewest(world)) {
        await sql`insert into password (email, login_type) values ('ann@example.com', 'password')`
        await draft('app', 'f/a/one', 'ann@example.com')
        await draft('raw_app', 'f/a/one')
      }
      await apply(world, {})
      const own = isNewest(world) ? ['f/a/one app'] : []
      assert.equal(await left(), [...own, 'f/a/one flow', 'f/a/two app'])
    }))

  test(`${variant}: what was only a draft is deployed`, () =>
    inWorld(variant, async world => {
      if (isNewest(world)) return
      await apply(world, {})
      await world.sql`update app set draft_only = true`
      const done = await apply(world, {})
      assert.is(done.op, 'update')
      const row = await appAt(world)
      assert.is(row['draft_only'], null)
      assert.is(row.versions.length, 2)
    }))

  test(`${variant}: an app without a version is not found by Windmill, and gets one`, () =>
    inWorld(variant, async world => {
      await world.sql`
        insert into app (workspace_id, path, policy, versions) values ('w', 'f/a/one', ${JSON.stringify(policy)}::text::jsonb, '{}')`
      const done = await apply(world, {})
      assert.is(done.op, 'update')
      assert.is((await appAt(world)).versions.length, 1)
    }))

  test(`${variant}: an app that is as wanted already is adopted without a write`, () =>
    inWorld(variant, async world => {
      await apply(world, {})
      // As the worker leaves it: reserved keys in another order, a lock.
      const locked = JSON.parse(JSON.stringify(app(button('a', code, { lock: 'made by a worker' })))) as Json
      await world.sql`update app_version set value = ${JSON.stringify(locked)}::text::json, created_by = 'ann'`
      const done = await apply(world, {})
      assert.is(done.op, 'keep')
      assert.is(done.tokenAfter, done.tokenBefore)
      assert.is((await appAt(world)).versions.length, 1)
    }))

  test(`${variant}: a worker's locks, its flip of bun and its own versions are no drift (traps 3, 23)`, () =>
    inWorld(variant, async world => {
      const spec = {
        value: app(button('a', '//native\nx', { language: 'bun' }), button('b', 'y', { language: 'python3' }))
      }
      await apply(world, spec)
      const rewritten = app(
        button('a', '//native\nx', { lock: '{}', language: 'bunnative' }),
        button('b', 'y', { language: 'python3', lock: 'a==1' })
      )
      await world.sql`update app_version set value = ${JSON.stringify(rewritten)}::text::json`
      const done = await apply(world, spec)
      assert.is(done.op, 'keep')
      const relocked = JSON.stringify(rewritten).replace('a==1', 'a==2')
      await deployedBy(world, 'iac_controller', relocked)
      const after = await apply(world, spec)
      assert.is(after.op, 'keep')
      assert.is.not(after.tokenAfter, done.tokenAfter)
    }))

  test(`${variant}: a lock that the CR states is stored, compared, and put back`, () =>
    inWorld(variant, async world => {
      const spec = { value: app(button('a', code, { lock: 'mine' }), button('b', code, { lock: '' })) }
      await apply(world, spec)
      const stored = JSON.parse(String((await versionsOf(world))[0]?.['text'])) as { grid: Json[] }
      assert.equal(JSON.stringify(stored.grid[0]), JSON.stringify(button('a', code, { lock: 'mine' })))
      // trap 8
      assert.equal(JSON.stringify(stored.grid[1]), JSON.stringify(button('b')))
      const relocked = app(button('a', code, { lock: 'other' }), button('b', code, { lock: 'made' }))
      await deployedBy(world, 'iac_controller', JSON.stringify(relocked))
      const done = await apply(world, spec)
      assert.is(done.op, 'update')
      assert.is((await appAt(world)).versions.length, 3)
      assert.is((await apply(world, spec)).op, 'keep')
    }))

  test(`${variant}: locks that a worker made outlive a change of anything but their code`, () =>
    inWorld(variant, async world => {
      const native = '//native\nexport async function main() {}'
      const scripts = (last: string, extra: object = {}): object[] => [
        button('a', 'same'),
        button('b', last),
        button('c', 'x', { language: 'bun' }),
        button('d', native, { language: 'bun' }),
        button('e', native, { language: 'bunnative' }),
        button('f', 'mine', extra)
      ]
      await apply(world, { value: app(...scripts('old')) })
      const locked = JSON.parse(JSON.stringify(app(...scripts('old')))) as { grid: Json[] }
      const text = JSON.stringify(locked).replaceAll('"path":"x"', '"path":"x","lock":"made"')
      await world.sql`update app_version set value = ${text}::text::json`
      await apply(world, { value: app(...scripts('new', { lock: 'stated' })) })
      const [, after] = await versionsOf(world)
      const locks = [...String(after?.['text']).matchAll(/"id":"(\w)","data"|"lock":"(\w+)"/g)].map(
        one => one[1] ?? one[2]
      )
      assert.equal(locks, ['a', 'made', 'b', 'c', 'made', 'd', 'e', 'made', 'f', 'stated'])
      assert.is((await apply(world, { value: app(...scripts('new', { lock: 'stated' })) })).op, 'keep')
    }))

  test(`${variant}: a version that somebody deployed is drift, and so is a policy that somebody changed`, () =>
    inWorld(variant, async world => {
      await apply(world, {})
      await deployedBy(world, 'ann', JSON.stringify(app(button('a', 'other'))))
      assert.is((await apply(world, {})).op, 'update')
      await world.sql`update app set policy = policy || '{"execution_mode": "anonymous"}'`
      const done = await apply(world, {})
      assert.is(done.op, 'update')
      assert.equal((await appAt(world))['policy'], policy)
      assert.is((await appAt(world)).versions.length, 4)
    }))

  test(`${variant}: only a version that our user made counts as deployed by us`, () =>
    inWorld(variant, async world => {
      await apply(world, {})
      const target = { workspace: 'w', path: 'f/a/one', fields: ['value'] }
      const look = async () => (await world.database.read(tx => view.observe(tx, [target], world.context)))[0]
      const { asDeployed, editedBy, editedAt } = (await look()) ?? {}
      assert.equal(
        { asDeployed, editedBy, dated: editedAt instanceof Date },
        { asDeployed: ['value'], editedBy: 'iac_controller', dated: true }
      )
      await deployedBy(world, 'ann', '{"grid": []}')
      const after = await look()
      assert.is(after?.asDeployed, undefined)
      assert.is(after?.editedBy, 'ann')
    }))

  test(`${variant}: the status tells the version and how far its locks are`, () =>
    inWorld(variant, async world => {
      const look = async (): Promise<unknown> => {
        const targets = [
          { workspace: 'w', path: 'f/a/one', fields: [] },
          { workspace: 'w', path: 'f/a/none', fields: [] }
        ]
        const found = await world.database.read(async tx => view.details?.(tx, targets, world.context))
        assert.is(found?.has(targetKey('w', 'f/a/none')), false)
        return found?.get(targetKey('w', 'f/a/one'))
      }
      await apply(world, {})
      const [hash] = (await appAt(world)).versions
      assert.equal(await look(), { hash, lockState: 'pending' })
      await world.sql`update v2_job_queue set running = true`
      assert.equal(await look(), { hash, lockState: 'pending' })
      await complete(world, 'success')
      assert.equal(await look(), { hash, lockState: 'done' })
      await complete(world, 'failure', 'no: https://me:pw@host/x token=abc\n\n  second\r\n3\n4\n5\n6')
      assert.equal(await look(), {
        hash,
        lockState: 'failed',
        lockMessage: 'no: https://***@host/x token=***\n  second\n3\n4\n5'
      })
      await complete(world, 'canceled', '', 're-deployment')
      assert.equal(await look(), { hash, lockState: 'failed', lockMessage: 're-deployment' })
      await world.sql`delete from v2_job_completed`
      await world.sql`delete from v2_job`
      assert.equal(await look(), { hash, lockState: 'none' })
      await world.sql`insert into app_version_lite (id, value) values (${hash ?? ''}, '{}')`
      assert.equal(await look(), { hash, lockState: 'done' })
      const next = await deployedBy(world, 'ann', '{}')
      assert.equal(await look(), { hash: next, lockState: 'none' })
      await world.sql`update app set versions = '{}'`
      assert.equal(await look(), { lockState: 'none' })
    }))

  test(`${variant}: a route is unique on the instance, or in the workspace where the instance says so`, () =>
    inWorld(variant, async world => {
      const { sql } = world
      await apply(world, { customPath: 'taken' })
      const here = await rejects(apply(world, { path: 'f/a/two', customPath: 'taken' }))
      assert.is((here as { code?: string }).code, 'TakenBySomebodyElse')
      assert.is(
        here.message,
        'customPath: the app f/a/one has the route taken already; choose another one or take it away there.'
      )
      const elsewhere = await rejects(apply(world, { customPath: 'taken' }, { workspace: 'other' }))
      assert.match(elsewhere.message, /^customPath: an app of another workspace has the route taken already/)
      assert.is((await apply(world, { customPath: 'taken' })).op, 'keep')
      await sql`insert into global_settings (name, value) values ('app_workspaced_route', 'true')`
      await apply(world, { customPath: 'taken' }, { workspace: 'other' })
      await rejects(apply(world, { path: 'f/a/two', customPath: 'taken' }))
      assert.is((await sql`select from app where custom_path = 'taken'`).length, 2)
    }))

  test(`${variant}: hundreds of apps take a constant number of statements, each its own version`, () =>
    inWorld(variant, async world => {
      const many = async (count: number, round: number): Promise<number> => {
        const inputs = Array.from({ length: count }, (_, n) =>
          inputOf({
            path: `f/${count}/app_${n}`,
            value: app(button('a', `${round}-${n}`)),
            customPath: `${count}/${n}`
          })
        )
        return batch(world, inputs)
      }
      const few = await many(3, 1)
      assert.ok(few > 10, `${few}`)
      assert.is(await many(300, 1), few)
      const update = await many(3, 2)
      assert.is(await many(300, 2), update)
      const rows = await world.sql<{ path: string; versions: number; text: string; runnable: string; last: string }[]>`
        select a.path, array_length(a.versions, 1) as versions, v.value::text as text, v.id::text as last,
               (select max(b.runnable_id)::text from v2_job b where b.runnable_path = a.path) as runnable
          from app a join app_version v on v.id = a.versions[2] and v.app_id = a.id where a.path like 'f/300/%'`
      assert.is(rows.length, 300)
      for (const row of rows) {
        assert.is(row.versions, 2)
        assert.is(row.runnable, row.last)
        assert.ok(row.text.includes(`"content":"2-${row.path.slice('f/300/app_'.length)}"`), row.path)
      }
    }))

  test(`${variant}: a delete takes the app with all that Windmill would leave behind, and nobody else's`, () =>
    inWorld(variant, async world => {
      const { sql, database, context } = world
      await apply(world, {})
      await apply(world, { path: 'f/a/two' })
      const places = ['f/a/one', 'f/a/two']
      const ids = await Promise.all(places.map(async path => (await appAt(world, path)).versions[0] ?? ''))
      for (const [at, path] of places.entries()) {
        const id = ids[at] ?? ''
        await sql`insert into app_version_lite (id, value) values (${id}, '{}')`
        await sql`insert into deployment_metadata (workspace_id, path, app_version) values ('w', ${path}, ${id})`
        await sql`insert into deployment_metadata (workspace_id, path, flow_version) values ('w', ${path}, ${id})`
        await sql`insert into favorite (usr, workspace_id, path, favorite_kind) values ('ann', 'w', ${path}, 'app')`
        await sql`insert into draft (workspace_id, path, typ, value) values ('w', ${path}, 'app', '{}')`
        for (const importer of ['app', 'flow'] as const) {
          await sql`insert into dependency_map (workspace_id, importer_path, importer_kind, imported_path)
            values ('w', ${path}, ${importer}, 'f/a/lib')`
        }
        if (!isOldest(world)) {
          await sql`insert into app_bundles (app_version_id, w_id, file_type, data) values (${id}, 'w', 'js', '')`
        }
      }
      await database.write(async tx => view.remove?.(tx, [removal('f/a/one')], context))
      const left = async (table: string): Promise<unknown> =>
        (await sql`select path from ${sql(table)} where path like 'f/a/%' order by path`).map(one => one['path'])
      assert.equal(await left('app'), ['f/a/two'])
      assert.equal(await left('draft'), ['f/a/two'])
      assert.equal(await left('favorite'), places)
      assert.equal(await left('deployment_metadata'), ['f/a/one', 'f/a/two', 'f/a/two'])
      assert.equal(
        (await sql`select id::text from app_version_lite`).map(one => one['id']),
        ids.slice(1)
      )
      assert.equal(
        (await sql`select importer_path || ' ' || importer_kind::text as text from dependency_map order by 1`).map(
          one => one['text']
        ),
        ['f/a/one flow', 'f/a/two app', 'f/a/two flow']
      )
      assert.is((await jobsOf(world)).length, 0)
      assert.is((await sql`select from v2_job where runnable_path = 'f/a/one'`).length, 0)
      assert.is((await jobsOf(world, 'f/a/two')).length, 1)
      if (!isOldest(world)) assert.is((await sql`select from app_bundles`).length, 1)
      if (!isNewest(world)) return
      const [trash, ...more] = await sql`select * from trashbin`
      assert.is(more.length, 0)
      assert.equal(
        [trash?.['item_kind'], trash?.['item_path'], trash?.['deleted_by'], trash?.['item_data'].app.path],
        ['app', 'f/a/one', 'iac_controller', 'f/a/one']
      )
      assert.equal(trash?.['item_data'].versions[0].value, value)
      assert.is(trash?.['item_data'].drafts.length, 1)
    }))

  test(`${variant}: what a workspace or Windmill itself needs is not deleted (trap 25)`, () =>
    inWorld(variant, async world => {
      const { sql, database, context } = world
      await sql`insert into workspace (id, name, owner) values ('admins', 'admins', 'x') on conflict do nothing`
      await sql`insert into app (workspace_id, path, policy, versions) values ('admins', 'g/all/setup_app', '{}', '{}')
        on conflict do nothing`
      await apply(world, {})
      await apply(world, { path: 'f/a/two' })
      await sql`update workspace_settings set default_app = 'f/a/one' where workspace_id = 'w'`
      const removals = [removal('f/a/one'), removal('f/a/two'), removal('g/all/setup_app', 'admins')]
      const blocked = await database.read(async tx => view.blockers?.(tx, removals, context))
      assert.equal(
        [...(blocked ?? [])],
        [
          [targetKey('w', 'f/a/one'), 'Workspace w shows it as its default app; choose another one there first.'],
          [targetKey('admins', 'g/all/setup_app'), "The app g/all/setup_app of workspace admins is Windmill's own."]
        ]
      )
      const target = { workspace: 'admins', path: 'g/all/setup_app', fields: [] }
      const [seen] = await database.read(tx => view.observe(tx, [target], context))
      assert.is(seen?.locked, "The app g/all/setup_app of workspace admins is Windmill's own.")
    }))
}

const expectedJob = {
  workspace_id: 'w',
  kind: 'appdependencies',
  script_lang: null,
  raw_code: null,
  raw_flow: null,
  raw_lock: null,
  created_by: 'iac_controller',
  permissioned_as: 'u/iac_controller',
  permissioned_as_email: 'iac-controller@cluster.local',
  parent_job: null,
  trigger: null,
  trigger_kind: null,
  same_worker: false,
  visible_to_owner: true,
  cache_ttl: null,
  timeout: null,
  priority: null,
  running: false,
  due: true,
  rank: null,
  ping: null,
  status: null,
  email: 'iac-controller@cluster.local',
  username: 'iac_controller',
  is_admin: true,
  tag: '',
  queue_tag: ''
} as const

/** The one lock job comes to its end. */
async function complete({ sql }: World, status: string, message = '', reason: string | null = null): Promise<void> {
  await sql`delete from v2_job_queue`
  await sql`delete from v2_job_completed`
  await sql`
    insert into v2_job_completed (id, workspace_id, duration_ms, started_at, completed_at, status, canceled_reason, result)
    select id, workspace_id, 1, now(), now(), ${status}::text::job_status, ${reason},
           ${JSON.stringify(message ? { error: { message } } : {})}::text::jsonb from v2_job`
}

function inputOf(
  spec: Record<string, unknown>,
  name = String(spec['path']),
  createdAt = '2026-01-01T00:00:00Z'
): Input {
  const path = String(spec['path'])
  return { listed: listedOf(kind, { name, createdAt }), spec: { value, ...spec }, workspace: 'w', path, text: () => '' }
}

/** A batch through the kind; gives how many statements it took. */
async function batch({ database, context }: World, inputs: readonly Input[]): Promise<number> {
  let count = 0
  const targetsOf = (): { workspace: string; path: string; fields: string[] }[] =>
    inputs.map(({ workspace, path }) => ({ workspace, path, fields: [] }))
  await database.write(async tx => {
    const sql = counting(tx, () => count++)
    const facts = await view.facts?.(sql, inputs, context)
    const compiled = inputs.map(input => view.compile(input, facts, context))
    const live = new Map(
      (await view.observe(sql, targetsOf(), context)).map(one => [targetKey(one.workspace, one.path), one.row])
    )
    await readTokens(sql, view, targetsOf(), context)
    await view.details?.(sql, targetsOf(), context)
    const writes = inputs.map(({ workspace, path, listed }, at) => {
      const { row = {}, guard = '' } = compiled[at] ?? {}
      const there = live.get(targetKey(workspace, path))
      const write = { workspace, path, row, guard, listed }
      return there ? ({ ...write, op: 'update', live: there } as const) : ({ ...write, op: 'create' } as const)
    })
    await view.write(sql, writes, context)
  })
  return count
}

/** The same transaction, every statement that is sent counted. */
function counting(sql: Sql, tick: () => void): Sql {
  const sent = new Set<object>()
  // The driver sends a statement when it is awaited; what is part of another statement never is.
  const counted = <T extends object>(query: T): T => {
    const handle: unknown = Reflect.get(query, 'handle')
    if (typeof handle !== 'function') throw new Error('the driver has changed')
    const send = (): unknown => {
      if (!sent.has(query)) tick()
      sent.add(query)
      return Reflect.apply(handle, query, []) as unknown
    }
    return Object.assign(query, { handle: send })
  }
  return new Proxy(sql, {
    apply: (target, self, parameters) => {
      const query: unknown = Reflect.apply(target, self, parameters)
      const isStatement = Array.isArray(parameters[0]) && 'raw' in (parameters[0] as object)
      return isStatement ? counted(query as object) : query
    },
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (name === 'unsafe') {
        return (...parameters: unknown[]) => counted(Reflect.apply(member as () => object, target, parameters))
      }
      return member
    }
  })
}

test('two CRs of one batch that want the same route: the older one gets it; two may swap theirs', () =>
  inWorld('2026-08', async world => {
    const compile = (inputs: readonly Input[]): Promise<readonly (string | undefined)[]> =>
      world.database.read(async tx => {
        const facts = await view.facts?.(tx, inputs, world.context)
        return inputs.map(input => {
          try {
            view.compile(input, facts, world.context)
            return undefined
          } catch (error) {
            return (error as Error).message
          }
        })
      })
    const young = inputOf({ path: 'f/a/young', customPath: 'x' }, 'a', '2026-02-01T00:00:00Z')
    const old = inputOf({ path: 'f/a/old', customPath: 'x' }, 'b', '2026-01-01T00:00:00Z')
    const refused = 'customPath: the app f/a/old has the route x already; choose another one or take it away there.'
    assert.equal(await compile([young, old]), [refused, undefined])
    assert.equal(await compile([old, young]), [undefined, refused])
    await batch(world, [inputOf({ path: 'f/a/p', customPath: 'p' }), inputOf({ path: 'f/a/q', customPath: 'q' })])
    const swapped = [inputOf({ path: 'f/a/p', customPath: 'q' }), inputOf({ path: 'f/a/q', customPath: 'p' })]
    await batch(world, swapped)
    assert.equal(
      (await world.sql`select path, custom_path from app where workspace_id = 'w' order by path`).map(one => ({
        ...one
      })),
      [
        { path: 'f/a/p', custom_path: 'q' },
        { path: 'f/a/q', custom_path: 'p' }
      ]
    )
    assert.match(
      (await compile([swapped[0] as Input, inputOf({ path: 'f/a/r', customPath: 'p' })]))[1] ?? '',
      /f\/a\/q/
    )
  }))

test('a route that somebody took between comparing and writing is refused when it is written', () =>
  inWorld('2026-08', async world => {
    const { database, context, sql } = world
    const input = inputOf({ path: 'f/a/late', customPath: 'late' })
    const { row, guard = '' } = await database.read(async tx =>
      view.compile(input, await view.facts?.(tx, [input], context), context)
    )
    await sql`
      insert into app (workspace_id, path, policy, versions, custom_path) values ('other', 'f/z/z', '{}', '{}', 'late')`
    const write = { op: 'create', workspace: 'w', path: 'f/a/late', row, guard, listed: input.listed } as const
    const error = await rejects(database.write(tx => view.write(tx, [write], context)))
    assert.is((error as { code?: string }).code, 'TakenBySomebodyElse')
    assert.is((await sql`select from app where workspace_id = 'w'`).length, 0)
  }))

test('a policy may name whom the app runs as: an enabled user of the workspace, or a group with its address (trap 21)', () =>
  inWorld('2026-08', async world => {
    const as = async (stated: object): Promise<unknown> => {
      const { compiled } = await apply(world, { policy: stated })
      const { on_behalf_of: who, on_behalf_of_email: email } = compiled.row['policy'] as Record<string, string>
      return [who, email]
    }
    const ann = ['u/ann', 'Ann@example.com']
    assert.equal(await as({ on_behalf_of: 'u/ann' }), ann)
    assert.equal(await as({ on_behalf_of: 'ann', on_behalf_of_email: 'ann@EXAMPLE.com' }), ann)
    assert.equal(await as({ on_behalf_of_email: 'ann@example.com' }), ann)
    assert.equal(await as({ on_behalf_of: '', on_behalf_of_email: null }), ['u/iac_controller', world.context.email])
    assert.equal(await as({ on_behalf_of: 'u/iac_controller' }), ['u/iac_controller', world.context.email])
    assert.equal(await as({ on_behalf_of: 'g/all' }), ['g/all', 'group-all@windmill.dev'])
    const cases: readonly (readonly [stated: object, code: string, message: RegExp])[] = [
      [{ on_behalf_of: 'u/off' }, 'UserNotFound', /^policy\.on_behalf_of: u\/off is no enabled user/],
      [{ on_behalf_of: 'nobody' }, 'UserNotFound', /^policy\.on_behalf_of: nobody /],
      [{ on_behalf_of_email: 'x@y.z' }, 'UserNotFound', /^policy\.on_behalf_of_email: x@y\.z /],
      [
        { on_behalf_of: 'ann', on_behalf_of_email: 'x@y.z' },
        'InvalidSpec',
        /^policy\.on_behalf_of_email: .*leave it out/
      ],
      [{ on_behalf_of: 'g/none' }, 'ReferenceNotFound', /^policy\.on_behalf_of: .* no group none/],
      [
        { on_behalf_of: 'g/all', on_behalf_of_email: 'ann@example.com' },
        'InvalidSpec',
        /^policy\.on_behalf_of_email: /
      ],
      [{ on_behalf_of: 7 }, 'InvalidSpec', /^policy\.on_behalf_of: must be a text/],
      [{ on_behalf_of_email: [] }, 'InvalidSpec', /^policy\.on_behalf_of_email: must be a text/]
    ]
    for (const [stated, code, message] of cases) {
      const error = await rejects(apply(world, { policy: stated }))
      assert.is((error as { code?: string }).code, code)
      assert.match(error.message, message)
    }
  }))

test('a value out of a ConfigMap, as YAML or JSON, keeps the order of its keys', () =>
  inWorld('1.558.1', async world => {
    const spec = { path: 'f/a/one', valueFrom: { configMapKeyRef: { name: 'apps', key: 'one' } } }
    assert.equal(view.refs?.(spec), [{ kind: 'ConfigMap', name: 'apps', key: 'one' }])
    const from = (text: string, workspace = 'w'): Promise<Done> =>
      applyOne(world.database, kind, { spec, workspace, texts: { 'apps/one': text } }, world.context)
    const json = '{"zeta": 1, "grid": [], "alpha": {"b": 1, "a": 2}}'
    assert.is((await from(json)).op, 'create')
    assert.is((await versionsOf(world))[0]?.['text'], JSON.stringify(JSON.parse(json)))
    assert.is((await from('alpha:\n  a: 2\n  b: 1\nzeta: 1\ngrid: []\n')).op, 'keep')
    for (const text of [
      'grid: [',
      '- 1',
      '',
      'grid: []\ngrid: []',
      'grid: [{id: a, data: {inlineScript: {content: !inline x.ts}}}]'
    ]) {
      const error = await rejects(from(text))
      assert.is((error as { code?: string }).code, 'InvalidSpec', text)
      assert.match(error.message, /^valueFrom: ConfigMap apps, key one: /)
    }
    const raw = await rejects(from('files: {}\nrunnables: {}\n'))
    assert.match(raw.message, /^valueFrom: this is a raw app/)
  }))

test('the CSS stands in the value that is stored', () =>
  inWorld('1.558.1', async world => {
    const css = '.x { color: "ü" }\n'
    await apply(world, { customCss: css })
    const stored = JSON.parse(String((await versionsOf(world))[0]?.['text'])) as Record<string, Json>
    assert.equal(stored, { ...JSON.parse(JSON.stringify(value)), theme: { type: 'inlined', css } })
    assert.is((await apply(world, { customCss: css })).op, 'keep')
    assert.is((await apply(world, { customCss: `${css}/**/` })).op, 'update')
  }))

test('notes are told, and what the worker writes is not taken over', () =>
  inWorld('2026-08', async world => {
    const lite = { ...app(button('a', code, { id: 12 })), version: 7, big: 2 ** 60 }
    const { compiled } = await apply(world, { value: lite, policy: { triggerables_v2: {} } })
    assert.equal(compiled.notes, [
      "value: inlineScript.id and version left out, which only Windmill's worker writes.",
      'policy.triggerables_v2: no entry for a, which Windmill will therefore not run.',
      'value: integers beyond 2^53 are rounded.'
    ])
    assert.not(String((await versionsOf(world))[0]?.['text']).includes('"version"'))
  }))

test('what Windmill could not store or run is refused with the name of the field', () =>
  inWorld('2026-08', async world => {
    let deep: unknown = {}
    for (let level = 0; level < 200; level++) deep = [deep]
    const cases: readonly (readonly [spec: Record<string, unknown>, message: RegExp])[] = [
      [{ summary: 'x'.repeat(1001) }, /^summary: .* 1000 characters/],
      [{ summary: 'a\0b' }, /^summary: .* NUL/],
      [{ value: { grid: [], deep } }, /^value: more than 100 levels/],
      [{ value: app(button('a', 'a\0b')) }, /^value: .* NUL/],
      [{ value: app(button('a', '\ud800')) }, /^value: .* surrogate/],
      [{ policy: { x: 'a\0b' } }, /^policy: .* NUL/],
      [{ policy: { deep } }, /^policy: more than 100 levels/],
      [{ policy: { execution_mode: 'all' } }, /^policy\.execution_mode: /],
      [{ customCss: 'a\0b' }, /^customCss: .* NUL/],
      [{ value: app(button('a', '!inline a.ts')) }, /^value: grid\.0\..*!inline/],
      [{ value: app({ id: 'd', data: { type: 'dbexplorercomponent' } }) }, /^policy: .*database explorer \(d\)/]
    ]
    for (const [spec, message] of cases) {
      const error = await rejects(apply(world, spec))
      assert.is((error as { code?: string }).code, 'InvalidSpec')
      assert.match(error.message, message)
    }
    assert.is((await world.sql`select from app where workspace_id = 'w'`).length, 0)
  }))

test('rows that are no apps are looked at without a fault', () =>
  inWorld('2026-08', async world => {
    await apply(world, {})
    for (const text of [
      'null',
      '[]',
      '"x"',
      '{"grid": {"inlineScript": {"lock": 1, "content": [1]}}}',
      '{"a": "\\u0000"}'
    ]) {
      await deployedBy(world, 'ann', text)
      assert.is((await apply(world, {})).op, 'update', text)
    }
    await world.sql`update app set policy = 'null'`
    assert.is((await apply(world, {})).op, 'update')
    await deployedBy(world, 'ann', '{"a": "\\u0000"}')
    await world.database.write(async tx => view.remove?.(tx, [removal('f/a/one')], world.context))
    assert.is((await world.sql`select from app where workspace_id = 'w'`).length, 0)
  }))

test('audit entries carry the names and kinds of the API (trap 14)', () => {
  const base = { workspace: 'w', path: 'f/a/one', row: {}, listed: listedOf(kind) }
  const entry = (action: string) => [{ operation: `apps.${action}`, action, resource: 'f/a/one' }]
  assert.equal(view.audit({ op: 'create', ...base }, {} as never), entry('create'))
  assert.equal(view.audit({ op: 'update', ...base }, {} as never), entry('update'))
  assert.equal(view.audit({ op: 'delete', ...removal('f/a/one') }, {} as never), entry('delete'))
  assert.equal(view.audit({ op: 'retire', ...removal('f/a/one') }, {} as never), [])
})

test.run()
