/** Workspaces at the three schemas: their rows, settings that are merged and never blanked, the archive, the traps. */

import { readCatalogue } from '../src/database/capabilities.ts'
import { instanceSql } from '../src/database/embedded/instance.ts'
import type { SyncError } from '../src/errors.ts'
import workspace from '../src/kinds/workspace.ts'
import { type AnyKind, type Compiled, type Input, type Kind, type Row, targetKey, type Write } from '../src/model.ts'
import { differences } from '../src/plan.ts'
import { applyOne, type Done, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, type Release, releases, type World } from './support/windmill.ts'

const test = suite('kind workspace')
const anyKind = workspace as unknown as AnyKind
const kind = workspace as unknown as Kind

type Spec = Record<string, unknown>
type Annotations = Readonly<Record<string, string>>

const apply = (
  { database, context }: World,
  spec: Spec,
  annotations: Annotations = {},
  previous: readonly string[] = []
): Promise<Done> =>
  applyOne(database, anyKind, { spec, workspace: String(spec['id']), listed: { annotations }, previous }, context)

const settle = (world: World, settings: Spec, id = 'w'): Promise<Done> => apply(world, { id, name: id, settings })

const refused = async (world: World, spec: Spec, annotations: Annotations = {}): Promise<SyncError> =>
  (await rejects(apply(world, spec, annotations))) as SyncError

const inputOf = (spec: Spec, annotations: Annotations = {}): Input => ({
  listed: listedOf(anyKind, { annotations }),
  spec,
  workspace: String(spec['id']),
  path: String(spec['id']),
  text: () => ''
})

/** Several CRs in one batch, as a run has them. */
async function applyAll({ database, context }: World, specs: readonly Spec[]): Promise<readonly Compiled[]> {
  const inputs = specs.map(spec => inputOf(spec))
  const { compiled, live } = await database.read(async sql => {
    const facts = await kind.facts?.(sql, inputs, context)
    const made = inputs.map(input => kind.compile(input, facts, context))
    const targets = inputs.map((input, at) => ({
      workspace: input.path,
      path: input.path,
      fields: Object.keys(made[at]?.row ?? {})
    }))
    return {
      compiled: made,
      live: new Map((await kind.observe(sql, targets, context)).map(one => [one.path, one.row]))
    }
  })
  const writes: Write[] = inputs.map(({ path, listed }, at) => {
    const [row, there] = [compiled[at]?.row ?? {}, live.get(path)]
    return { op: there ? 'update' : 'create', workspace: path, path, row, listed, ...(there && { live: there }) }
  })
  await database.write(sql => kind.write(sql, writes, context))
  return compiled
}

const columnsOf = async ({ sql }: World, id = 'w'): Promise<Record<string, unknown>> => {
  const [row] = await sql`select * from workspace_settings where workspace_id = ${id}`
  return { ...row }
}

/** The columns of that name that this release has. */
async function pick(world: World, names: readonly string[], id = 'w'): Promise<Record<string, unknown>> {
  const row = await columnsOf(world, id)
  return Object.fromEntries(names.filter(name => name in row).map(name => [name, row[name]]))
}

const by = <T>(release: Release, values: Record<Release, T>): T => values[release]
const isNewest = (world: World): boolean => world.variant === '2026-08'
const fieldsOf = (row: Row, names: readonly string[]): Row =>
  Object.fromEntries(names.map(name => [name, row[name] ?? null]))

const notices = async ({ sql }: World): Promise<readonly unknown[]> =>
  (await sql`select channel, payload from notify_event order by id`).map(row => [row['channel'], row['payload']])

const minimal = { id: 'team-a', name: 'Team A' }

/** Scenarios share one database for each release, emptied before each: making databases is what takes the time. */
function scenarios(group: string, all: Readonly<Record<string, (world: World) => Promise<void>>>): void {
  for (const variant of releases) {
    test(`${variant}: ${group}`, () =>
      inWindmill(variant, async world => {
        for (const [title, body] of Object.entries(all)) {
          await empty(world)
          try {
            await body(world)
          } catch (error) {
            if (error instanceof Error) error.message = `${title}: ${error.message}`
            throw error
          }
        }
      }))
  }
}

/** Tables that scenarios write to. */
const filled =
  'workspace workspace_settings workspace_key workspace_env workspace_invite usr usr_to_group group_ folder resource variable script flow schedule v2_job v2_job_queue job_perms http_trigger password global_settings'.split(
    ' '
  )

/** As `inWindmill` gives it. (To truncate them all takes ten times as long.) */
async function empty({ sql }: World): Promise<void> {
  await sql.unsafe(`
    set session_replication_role = replica;
    ${filled.map(table => `delete from ${table};`).join(' ')}
    reset session_replication_role;
    drop table if exists alerts;
    ${instanceSql()}
    insert into workspace (id, name, owner) values ('w', 'w', 'admin@windmill.dev'), ('other', 'other', 'admin@windmill.dev');
    insert into workspace_settings (workspace_id) values ('w'), ('other');
    insert into workspace_key (workspace_id, kind, key) select id, 'cloud', repeat('k', 64) from workspace where id <> 'admins';
    insert into group_ (workspace_id, name) values ('w', 'all'), ('other', 'all')`)
}

scenarios('creation', {
  "a new workspace has every row of Windmill's own, and a second run keeps it": async world => {
    const { variant } = world
    const { sql } = world
    const done = await apply(world, minimal)
    assert.is(done.op, 'create')
    const [row] = await sql`select * from workspace where id = 'team-a'`
    const lineage = by(variant, {
      '1.463.2': {},
      '1.558.1': { parent_workspace_id: null },
      '2026-08': { parent_workspace_id: null, is_dev_workspace: false, dev_workspace_label: null }
    })
    assert.equal(
      { ...row },
      {
        id: 'team-a',
        name: 'Team A',
        owner: 'iac-controller@cluster.local',
        deleted: false,
        premium: false,
        ...lineage
      }
    )
    const [key] = await sql`select kind, key from workspace_key where workspace_id = 'team-a'`
    assert.is(key?.['kind'], 'cloud')
    assert.match(key?.['key'], /^[A-Za-z0-9]{64}$/)
    const [usr] =
      await sql`select username, email, is_admin, operator, disabled, role from usr where workspace_id = 'team-a'`
    assert.equal(
      { ...usr },
      {
        username: 'iac_controller',
        email: 'iac-controller@cluster.local',
        is_admin: true,
        operator: false,
        disabled: false,
        role: null
      }
    )
    const groups = await sql`select name, summary, extra_perms from group_ where workspace_id = 'team-a' order by name`
    assert.equal(
      groups.map(one => ({ ...one })),
      [
        { name: 'all', summary: 'The group that always contains all users of this workspace', extra_perms: {} },
        ...(isNewest(world)
          ? [
              {
                name: 'wm_deployers',
                summary: 'Members can preserve the original author when deploying to this workspace',
                extra_perms: {}
              }
            ]
          : [])
      ]
    )
    const members = await sql`select group_, usr from usr_to_group where workspace_id = 'team-a'`
    assert.equal(
      members.map(one => ({ ...one })),
      [{ group_: 'all', usr: 'iac_controller' }]
    )
    const folders = await sql`
        select name, display_name, owners, extra_perms, summary, created_by, edited_at is not null as edited
          from folder where workspace_id = 'team-a' order by name`
    const folder = {
      owners: [],
      extra_perms: { 'g/all': false },
      summary: null,
      created_by: 'iac_controller',
      edited: true
    }
    assert.equal(
      folders.map(one => ({ ...one })),
      [
        { name: 'app_custom', display_name: 'App Custom Components', ...folder },
        { name: 'app_groups', display_name: 'App Groups', ...folder },
        { name: 'app_themes', display_name: 'App Themes', ...folder }
      ]
    )
    const resources =
      await sql`select path, resource_type, value, description, extra_perms, created_by from resource where workspace_id = 'team-a'`
    assert.equal(
      resources.map(one => ({ ...one })),
      [
        {
          path: 'f/app_themes/theme_0',
          resource_type: 'app_theme',
          value: { name: 'Default Theme', value: '' },
          description: 'The default app theme',
          extra_perms: {},
          created_by: 'iac_controller'
        }
      ]
    )
    const { slack_email, operator_settings, color } = await columnsOf(world, 'team-a')
    assert.equal(
      [slack_email, color, Object.values(operator_settings as object).every(Boolean)],
      ['missing@email.xyz', null, true]
    )
    const again = await apply(world, minimal)
    assert.is(again.op, 'keep')
    assert.is(again.tokenBefore, done.tokenAfter)
    assert.ok(again.tokenBefore)
  },
  'several new workspaces in one batch, each with a key of its own': async world => {
    await applyAll(
      world,
      ['n1', 'n2', 'n3'].map(id => ({ id, name: id, owner: 'Ann@Example.com', environment: { A: id } }))
    )
    const rows = await world.sql`
        select w.id, w.owner, e.value, (select count(*)::int from usr u where u.workspace_id = w.id) as users,
               (select count(*)::int from folder f where f.workspace_id = w.id) as folders
          from workspace w join workspace_env e on e.workspace_id = w.id order by w.id`
    assert.equal(
      rows.map(row => ({ ...row })),
      ['n1', 'n2', 'n3'].map(id => ({ id, owner: 'ann@example.com', value: id, users: 1, folders: 3 }))
    )
    const [keys] = await world.sql`select count(distinct key)::int as n from workspace_key where workspace_id like 'n_'`
    assert.is(keys?.['n'], 3)
  },
  "the service identity's name in other hands stops a new workspace": async world => {
    await world.sql`insert into password (email, login_type, username) values ('human@example.com', 'password', 'iac_controller')`
    const error = await refused(world, minimal)
    assert.is(error.code, 'IdentityConflict')
    assert.match(error.message, /^The username iac_controller belongs to human@example\.com/)
    assert.is((await world.sql`select from workspace where id = 'team-a'`).length, 0)
  },
  'owners are addresses; bare names are looked up, nobody is an error': async world => {
    const { sql } = world
    const owned = async (owner: string): Promise<unknown> =>
      (await apply(world, { id: 'w', name: 'w', owner })).row['owner']
    assert.is(await owned('Ann@Example.com'), 'ann@example.com')
    assert.is(await owned('admin'), 'admin@windmill.dev')
    await sql`update password set username = null where email = 'admin@windmill.dev'`
    assert.is(await owned('admin'), 'admin@windmill.dev', 'a fresh Windmill has no username for it')
    await sql`insert into usr (workspace_id, username, email) values ('other', 'cleo', 'c@example.com')`
    assert.is(await owned('cleo'), 'c@example.com')
    await sql`insert into usr (workspace_id, username, email) values ('w', 'cleo', 'another@example.com')`
    assert.match((await refused(world, { id: 'w', name: 'w', owner: 'cleo' })).message, /several users/)
    const nobody = await refused(world, { id: 'w', name: 'w', owner: 'nobody' })
    assert.equal(
      [nobody.code, nobody.message],
      ['UserNotFound', 'spec.owner nobody is no user of this Windmill instance; state the e-mail address.']
    )
    // Unstated: kept.
    const kept = await apply(world, { id: 'w', name: 'Other name' })
    assert.equal(fieldsOf(kept.row, ['name', 'owner']), { name: 'Other name', owner: 'c@example.com' })
    const long = await refused(world, { id: 'w', name: 'w', owner: `${'a'.repeat(40)}@example.com` })
    assert.match(long.message, /more than 50 characters/)
  },
  'ids that Windmill does not take are refused with a sentence (trap 21)': async world => {
    for (const [id, what] of [
      ['a.b', /has a dot/],
      ['a--b', /single hyphens/],
      ['-a', /single hyphens/],
      ['a-', /single hyphens/],
      ['a b', /single hyphens/],
      ['x'.repeat(51), /more than 50/],
      ['global', /reserved/],
      ['wm-fork-x', /forks/]
    ] as const) {
      const error = await refused(world, { id, name: 'x' })
      assert.is(error.code, 'InvalidSpec', id)
      assert.match(error.message, what, id)
    }
  }
})

scenarios('settings', {
  'every plain setting goes where this release keeps it, comes back alike, and null clears it': async world => {
    const settings = {
      webhook: 'https://example.com/hook?a="b"&c=ü',
      deployUiSettings: { include_type: ['script'], include_path: ['f/**'] },
      defaultApp: 'f/apps/home',
      defaultScripts: {
        order: ['bun', 'python3'],
        hidden: [],
        default_script_content: { bun: 'export "x" \'y\' 🗂\n' }
      },
      gitSync: {
        include_path: ['f/**'],
        include_type: ['script', 'resourcetype'],
        repositories: [
          {
            script_path: 'hub/28160/sync',
            git_repo_resource_path: '$res:f/git/repo-1',
            use_individual_branch: null,
            group_by_folder: false
          }
        ]
      },
      largeFileStorage: { s3_resource_path: 'f/store/s3', type: 'S3Storage', public_resource: false },
      color: '#1A2b3c',
      muteCriticalAlerts: true
    }
    const done = await settle(world, settings)
    assert.is(done.op, 'update')
    assert.equal(
      await pick(world, [
        'webhook',
        'deploy_ui',
        'default_app',
        'default_scripts',
        'git_sync',
        'large_file_storage',
        'color',
        'mute_critical_alerts'
      ]),
      {
        webhook: settings.webhook,
        deploy_ui: settings.deployUiSettings,
        default_app: 'f/apps/home',
        default_scripts: settings.defaultScripts,
        git_sync: settings.gitSync,
        large_file_storage: {
          type: 'S3Storage',
          s3_resource_path: '$res:f/store/s3',
          public_resource: false,
          secondary_storage: {}
        },
        color: '#1A2b3c',
        mute_critical_alerts: true
      }
    )
    const again = await settle(world, settings)
    assert.equal([again.op, again.tokenBefore], ['keep', done.tokenAfter])
    const off = Object.fromEntries(
      Object.keys(settings).map(name => [name, name === 'muteCriticalAlerts' ? false : null])
    )
    const cleared = await settle(world, off)
    assert.is(cleared.op, 'update')
    assert.equal(
      await pick(world, [
        'webhook',
        'deploy_ui',
        'default_app',
        'default_scripts',
        'git_sync',
        'large_file_storage',
        'color',
        'mute_critical_alerts'
      ]),
      {
        webhook: null,
        deploy_ui: null,
        default_app: null,
        default_scripts: null,
        git_sync: null,
        large_file_storage: null,
        color: null,
        mute_critical_alerts: false
      }
    )
    assert.is((await settle(world, off)).op, 'keep')
  },
  'settings that only newer releases have are written there and noted elsewhere': async world => {
    const { variant } = world
    const settings = {
      ducklake: {
        ducklakes: {
          main: { catalog: { resource_type: 'postgresql', resource_path: 'f/db/pg' }, storage: { path: 'lake' } }
        }
      },
      datatable: { datatables: { main: { database: { resource_type: 'postgresql', resource_path: 'f/db/pg' } } } },
      publicAppExecutionLimitPerMinute: 7,
      errorHandlerFallbackToInstanceAlerts: true
    }
    const done = await settle(world, settings)
    const names = [
      'ducklake',
      'datatable',
      'public_app_execution_limit_per_minute',
      'error_handler_fallback_to_instance_alerts'
    ]
    const older = (ignored: string): string => `This version of Windmill has no place for ${ignored}; ignored.`
    const rest =
      'settings.datatable, settings.errorHandlerFallbackToInstanceAlerts, settings.publicAppExecutionLimitPerMinute'
    assert.equal(
      await pick(world, names),
      by<Record<string, unknown>>(variant, {
        '1.463.2': {},
        '1.558.1': { ducklake: settings.ducklake },
        '2026-08': {
          ducklake: settings.ducklake,
          datatable: settings.datatable,
          public_app_execution_limit_per_minute: 7,
          error_handler_fallback_to_instance_alerts: true
        }
      })
    )
    assert.equal(
      done.compiled.notes ?? [],
      by(variant, {
        '1.463.2': [
          older(
            'settings.datatable, settings.ducklake, settings.errorHandlerFallbackToInstanceAlerts, settings.publicAppExecutionLimitPerMinute'
          )
        ],
        '1.558.1': [older(rest)],
        '2026-08': []
      })
    )
    assert.is((await settle(world, settings)).op, 'keep')
  },
  'settings are merged, never blanked': async world => {
    const { sql } = world
    await sql`update workspace_settings set webhook = 'x', color = '#000000', slack_team_id = 't', plan = 'p', customer_id = 'c',
                       default_scripts = '{"order": ["go"]}', git_sync = '{"repositories": [], "include_path": [], "include_type": []}' where workspace_id = 'w'`
    const before = await columnsOf(world)
    const done = await settle(world, { color: '#ffffff' })
    assert.is(done.op, 'update')
    assert.equal(await columnsOf(world), { ...before, color: '#ffffff' })
    assert.equal(Object.keys(done.compiled.row).sort(), ['archived', 'missingRows', 'name', 'settings.color'])
  },
  'drift is corrected, and a stale read overwrites nothing that is not stated': async world => {
    await settle(world, { color: '#111111', webhook: 'a' })
    await world.sql`update workspace_settings set color = '#222222', default_app = 'f/a/b' where workspace_id = 'w'`
    const done = await settle(world, { color: '#111111', webhook: 'a' })
    assert.is(done.op, 'update')
    assert.equal(await pick(world, ['color', 'webhook', 'default_app']), {
      color: '#111111',
      webhook: 'a',
      default_app: 'f/a/b'
    })
    await world.database.write(async sql => {
      const live = { name: 'w', 'settings.webhook': 'stale', 'settings.defaultApp': null }
      await kind.write(
        sql,
        [
          {
            op: 'update',
            workspace: 'w',
            path: 'w',
            row: { 'settings.color': '#333333' },
            live,
            listed: listedOf(anyKind)
          }
        ],
        world.context
      )
    })
    assert.equal(await pick(world, ['color', 'webhook', 'default_app']), {
      color: '#333333',
      webhook: 'a',
      default_app: 'f/a/b'
    })
  },
  'operator settings are merged key by key, and null brings the default back': async world => {
    const before = (await columnsOf(world))['operator_settings'] as Record<string, boolean>
    await settle(world, { operatorSettings: { runs: false, auditLogs: false } })
    assert.equal((await columnsOf(world))['operator_settings'], { ...before, runs: false, audit_logs: false })
    const kept = await settle(world, { operatorSettings: { auditLogs: false } })
    assert.is(kept.op, 'keep')
    await world.sql`update workspace_settings set operator_settings = null where workspace_id = 'w'`
    await settle(world, { operatorSettings: { workers: false } })
    assert.equal((await columnsOf(world))['operator_settings'], { ...before, workers: false })
    await settle(world, { operatorSettings: null })
    assert.equal((await columnsOf(world))['operator_settings'], before)
    const error = await refused(world, { id: 'w', name: 'w', settings: { operatorSettings: { audit_logs: true } } })
    assert.match(error.message, /unknown key audit_logs; known are .*auditLogs/)
  },
  'JSON text and plain paths stand for objects': async world => {
    const object = gitSync({})
    const done = await settle(world, { gitSync: JSON.stringify(object), largeFileStorage: 'f/store/s3' })
    assert.equal(await pick(world, ['git_sync', 'large_file_storage']), {
      git_sync: object,
      large_file_storage: { type: 'S3Storage', s3_resource_path: '$res:f/store/s3', secondary_storage: {} }
    })
    assert.ok(
      done.compiled.notes?.includes(
        'settings.largeFileStorage: a plain path is taken for an S3 resource; state an object for other storages.'
      )
    )
    assert.is(
      (
        await settle(world, {
          gitSync: object,
          largeFileStorage: { type: 'S3Storage', s3_resource_path: 'f/store/s3' }
        })
      ).op,
      'keep'
    )
    assert.match(
      (
        await refused(world, {
          id: 'w',
          name: 'w',
          settings: { gitSync: '{"repositories": [], "include_path": ["\\u0000"]}' }
        })
      ).message,
      /NUL|include_/
    )
  },
  'shapes that Windmill cannot read are refused by field and fix': async world => {
    const { variant } = world
    const bad: readonly (readonly [Spec, RegExp])[] = [
      [{ webhook: 'a', webhookEditor: 'b' }, /settings\.webhookEditor and settings\.webhook mean the same/],
      [{ deployUiSettings: { include_path: [] } }, /include_type/],
      [{ color: 'red' }, /colour such as/],
      [{ defaultApp: 'home' }, /path of an app/],
      [{ gitSync: {} }, /repositories/],
      [{ gitSync: 'no json' }, /JSON text/],
      [{ gitSync: gitSync({ git_repo_resource_path: 'f/git/repo' }) }, /\$res:f\/folder\/name/],
      [{ gitSync: gitSync({ git_repo_resource_path: '$res:f/repo' }) }, /\$res:f\/folder\/name/],
      [{ gitSync: gitSync({ script_path: '' }) }, /script_path/],
      [{ gitSync: gitSync({ settings: { include_path: [] } }) }, /settings needs/],
      [{ gitSync: gitSync({ exclude_types_override: ['resource_type'] }) }, /exclude_types_override may list/],
      [{ largeFileStorage: { type: 'Tape' } }, /largeFileStorage\.type must be one of S3Storage/],
      [{ largeFileStorage: { type: 'S3Storage' } }, /s3_resource_path must be the path/],
      [
        {
          largeFileStorage: {
            type: 'S3Storage',
            s3_resource_path: 'f/a/b',
            advanced_permissions: [{ pattern: '*', allow: 'fly' }]
          }
        },
        /advanced_permissions/
      ],
      [
        {
          largeFileStorage: {
            type: 'S3Storage',
            s3_resource_path: 'f/a/b',
            secondary_storage: { x: { type: 'S3Storage' } }
          }
        },
        /s3_resource_path/
      ]
    ]
    const newer: typeof bad = [
      [
        {
          ducklake: {
            ducklakes: { a: { catalog: { resource_type: 'oracle', resource_path: 'x' }, storage: { path: '' } } }
          }
        },
        /each needs catalog/
      ],
      [{ autoAddInstanceGroupsRoles: { a: 'king' } }, /admin, developer, operator/]
    ]
    for (const [settings, message] of variant === '1.463.2' ? bad : [...bad, ...newer]) {
      const error = await refused(world, { id: 'w', name: 'w', settings })
      assert.is(error.code, 'InvalidSpec')
      assert.match(error.message, message)
    }
    if (variant !== '1.463.2') return
    assert.match(
      (await refused(world, { id: 'w', name: 'w', settings: { gitSync: { repositories: [] } } })).message,
      /in this version/
    )
    assert.match(
      (
        await refused(world, {
          id: 'w',
          name: 'w',
          settings: { largeFileStorage: { type: 'GoogleCloudStorage', gcs_resource_path: 'f/a/b' } }
        })
      ).message,
      /must be one of/
    )
  },
  'muting alerts acknowledges those that are there': async world => {
    const { sql, database } = world
    await sql`create table alerts (id serial primary key, workspace_id text, acknowledged boolean, acknowledged_workspace boolean)`
    await sql`grant all on alerts to windmill_admin`
    await sql`insert into alerts (workspace_id) values ('w'), ('other')`
    const context = { ...world.context, capabilities: await database.read(readCatalogue) }
    await settle({ ...world, context }, { muteCriticalAlerts: true })
    const rows = await sql`select workspace_id, acknowledged, acknowledged_workspace from alerts order by 1`
    assert.equal(
      rows.map(row => Object.values(row)),
      [
        ['other', null, null],
        ['w', true, true]
      ]
    )
  }
})

scenarios('handlers', {
  'an error handler is text or jsonb, whichever the column is (trap 11)': async world => {
    const settings = {
      errorHandler: 'script/f/ops/alert',
      errorHandlerExtraArgs: {
        channel: '#ops',
        slack: '$res:f/slack_bot/bot_token',
        email_recipients: ['a@example.com']
      },
      errorHandlerMutedOnCancel: true
    }
    const done = await settle(world, settings)
    const names = ['error_handler', 'error_handler_extra_args', 'error_handler_muted_on_cancel']
    const older = {
      error_handler: 'script/f/ops/alert',
      error_handler_extra_args: settings.errorHandlerExtraArgs,
      error_handler_muted_on_cancel: true
    }
    assert.equal(
      await pick(world, names),
      isNewest(world)
        ? {
            error_handler: {
              path: 'script/f/ops/alert',
              extra_args: settings.errorHandlerExtraArgs,
              muted_on_cancel: true
            }
          }
        : older
    )
    const [group] =
      await world.sql`select summary, extra_perms from group_ where workspace_id = 'w' and name = 'error_handler'`
    assert.equal(
      { ...group },
      { summary: 'The group the error handler acts on behalf of', extra_perms: { 'u/iac_controller': true } }
    )
    assert.equal([(await settle(world, settings)).op, done.compiled.notes], ['keep', []])
    // Unstated keys stay.
    await settle(world, { errorHandler: 'flow/f/ops/other' })
    const moved = { ...older, error_handler: 'flow/f/ops/other' }
    assert.equal(
      await pick(world, names),
      isNewest(world)
        ? {
            error_handler: {
              path: 'flow/f/ops/other',
              extra_args: settings.errorHandlerExtraArgs,
              muted_on_cancel: true
            }
          }
        : moved
    )
    const off = await settle(world, { errorHandler: null })
    assert.equal(
      await pick(world, names),
      isNewest(world)
        ? { error_handler: null }
        : { error_handler: null, error_handler_extra_args: null, error_handler_muted_on_cancel: false }
    )
    assert.equal([off.op, (await settle(world, { errorHandler: null })).op], ['update', 'keep'])
  },
  'a bare handler gets script/ or flow/ by what is there (trap 14)': async world => {
    const { sql } = world
    const early = await settle(world, { errorHandler: 'f/ops/alert' })
    assert.is(early.row['settings.errorHandler'], 'script/f/ops/alert')
    assert.equal(early.compiled.notes, [
      'settings.errorHandler: nothing is at f/ops/alert yet; it is taken for a script.'
    ])
    assert.is(early.compiled.unsettled, true)
    await sql`insert into flow (workspace_id, path, summary, description, value, edited_by) values ('w', 'f/ops/alert', '', '', '{}', 'x')`
    const flow = await settle(world, { errorHandler: 'f/ops/alert' })
    assert.equal(
      [flow.op, flow.row['settings.errorHandler'], flow.compiled.notes, flow.compiled.unsettled],
      ['update', 'flow/f/ops/alert', [], undefined]
    )
    await sql`insert into script (workspace_id, hash, path, summary, description, content, created_by, language) values ('w', 1, 'f/ops/alert', '', '', '', 'x', 'bun')`
    assert.is((await settle(world, { errorHandler: 'f/ops/alert' })).row['settings.errorHandler'], 'script/f/ops/alert')
    await sql`update script set archived = true`
    assert.is((await settle(world, { errorHandler: 'f/ops/alert' })).row['settings.errorHandler'], 'flow/f/ops/alert')
    assert.is((await settle(world, { errorHandler: 'hub/1/slack' })).row['settings.errorHandler'], 'script/hub/1/slack')
    assert.is((await refused(world, { id: 'w', name: 'w', settings: { errorHandler: 'nowhere' } })).code, 'InvalidSpec')
  },
  'arguments of a handler need one where they share its column': async world => {
    const done = await settle(world, { errorHandlerMutedOnCancel: true, errorHandlerExtraArgs: { a: 1 } })
    if (!isNewest(world)) {
      assert.equal(await pick(world, ['error_handler_extra_args', 'error_handler_muted_on_cancel']), {
        error_handler_extra_args: { a: 1 },
        error_handler_muted_on_cancel: true
      })
      return
    }
    assert.equal([done.op, done.compiled.unsettled], ['keep', true])
    assert.equal(done.compiled.notes, [
      'settings.errorHandlerExtraArgs: ignored, because the workspace has no errorHandler.',
      'settings.errorHandlerMutedOnCancel: ignored, because the workspace has no errorHandler.'
    ])
    assert.is((await settle(world, { errorHandlerMutedOnCancel: false })).op, 'keep')
    await world.sql`update workspace_settings set error_handler = '{"path": "script/f/a/b", "other": 12345678901234567890}' where workspace_id = 'w'`
    await settle(world, { errorHandlerMutedOnUserPath: true })
    const [kept] = await world.sql`select error_handler::text as text from workspace_settings where workspace_id = 'w'`
    assert.is(kept?.['text'], '{"path": "script/f/a/b", "other": 12345678901234567890, "muted_on_user_path": true}')
    await settle(world, { errorHandlerMutedOnUserPath: false })
    const [less] = await world.sql`select error_handler::text as text from workspace_settings where workspace_id = 'w'`
    assert.is(less?.['text'], '{"path": "script/f/a/b", "other": 12345678901234567890}')
  },
  'a handler that is switched off takes no arguments': async world => {
    const error = await refused(world, {
      id: 'w',
      name: 'w',
      settings: { errorHandler: null, errorHandlerExtraArgs: { a: 1 } }
    })
    assert.is(
      error.message,
      'settings.errorHandlerExtraArgs is stated although settings.errorHandler is switched off; remove one of the two.'
    )
    const mail = await refused(world, {
      id: 'w',
      name: 'w',
      settings: { errorHandler: 'script/f/a/b', errorHandlerExtraArgs: { email_recipients: ['nobody'] } }
    })
    assert.match(mail.message, /email_recipients must be a list of e-mail addresses/)
  },
  'a success handler, where Windmill has one': async world => {
    const settings = { successHandler: { path: 'script/f/ops/ok', extraArgs: { b: [1, null], a: 'ü' } } }
    const done = await settle(world, settings)
    if (!isNewest(world)) {
      assert.equal(done.compiled.notes, ['This version of Windmill has no place for settings.successHandler; ignored.'])
      return
    }
    assert.equal((await columnsOf(world))['success_handler'], {
      path: 'script/f/ops/ok',
      extra_args: { a: 'ü', b: [1, null] }
    })
    assert.is((await world.sql`select from group_ where workspace_id = 'w' and name = 'success_handler'`).length, 1)
    assert.is((await settle(world, settings)).op, 'keep')
    await settle(world, { successHandler: null })
    assert.is((await columnsOf(world))['success_handler'], null)
  }
})

scenarios('AI', {
  'the five AI fields, merged into what is there': async world => {
    const { variant } = world
    const { sql } = world
    if (world.variant !== '1.463.2') {
      await sql`update workspace_settings set ai_config = '{"providers": {"mistral": {"models": ["m"], "resource_path": "f/ai/mistral"}}, "custom_prompts": {"ask": "be nice"}}' where workspace_id = 'w'`
    }
    const settings = { openaiResourcePath: '$res:f/ai/openai', codeCompletionEnabled: true }
    const done = await settle(world, settings)
    const names = ['ai_config', 'ai_resource', 'ai_models', 'code_completion_model']
    const gpt = { model: 'gpt-4o', provider: 'openai' }
    const config = {
      custom_prompts: { ask: 'be nice' },
      providers: {
        mistral: { models: ['m'], resource_path: 'f/ai/mistral' },
        openai: { models: ['gpt-4o'], resource_path: 'f/ai/openai' }
      },
      default_model: gpt,
      code_completion_model: gpt
    }
    const older = {
      ai_resource: { provider: 'openai', path: 'f/ai/openai' },
      ai_models: ['gpt-4o'],
      code_completion_model: 'gpt-4o'
    }
    const isOld = variant === '1.463.2'
    assert.equal(await pick(world, names), isOld ? older : { ai_config: config })
    assert.equal([(await settle(world, settings)).op, done.compiled.notes], ['keep', []])
    // Models and provider of the CR; what it does not state stays.
    const more = {
      aiProvider: 'anthropic',
      openaiResourcePath: 'f/ai/claude',
      aiModels: ['c1', 'c2'],
      codeCompletionModel: 'c2'
    }
    await settle(world, more)
    assert.is((await settle(world, more)).op, 'keep')
    assert.equal(
      await pick(world, names),
      isOld
        ? {
            ai_resource: { provider: 'anthropic', path: 'f/ai/claude' },
            ai_models: ['c1', 'c2'],
            code_completion_model: 'c2'
          }
        : {
            ai_config: {
              ...config,
              providers: { ...config.providers, anthropic: { models: ['c1', 'c2'], resource_path: 'f/ai/claude' } },
              default_model: { model: 'c1', provider: 'anthropic' },
              code_completion_model: { model: 'c2', provider: 'anthropic' }
            }
          }
    )
    await settle(world, { codeCompletionEnabled: false })
    assert.is((await settle(world, { codeCompletionEnabled: false })).op, 'keep')
    const off = await settle(world, { aiProvider: null })
    assert.equal(
      await pick(world, names),
      isOld
        ? { ai_resource: null, ai_models: ['c1', 'c2'], code_completion_model: null }
        : { ai_config: { custom_prompts: { ask: 'be nice' } } }
    )
    assert.equal([off.op, (await settle(world, { aiProvider: null })).op], ['update', 'keep'])
  },
  'a model of an AI provider that is replaced goes with it': async world => {
    await settle(world, { openaiResourcePath: 'f/ai/openai', aiModels: ['gpt-9'], codeCompletionEnabled: true })
    const next = { aiProvider: 'mistral', openaiResourcePath: 'f/ai/m', codeCompletionEnabled: true }
    const done = await settle(world, next)
    assert.equal(fieldsOf(done.row, ['settings.aiModels', 'settings.codeCompletionModel']), {
      'settings.aiModels': ['codestral-latest'],
      'settings.codeCompletionModel': 'codestral-latest'
    })
    assert.is((await settle(world, next)).op, 'keep')
  },
  'the whole AI configuration': async world => {
    const { variant } = world
    const aiConfig = {
      providers: { openai: { models: ['gpt-4o'], resource_path: '$res:f/ai/openai' } },
      default_model: { provider: 'openai', model: 'gpt-4o' },
      code_completion_model: null,
      max_tokens_per_model: { 'openai:gpt-4o': 4096 }
    }
    const done = await settle(world, { aiConfig })
    if (variant === '1.463.2') {
      assert.equal(done.compiled.notes, ['This version of Windmill has no place for settings.aiConfig; ignored.'])
      return
    }
    assert.equal((await columnsOf(world))['ai_config'], {
      providers: { openai: { models: ['gpt-4o'], resource_path: 'f/ai/openai' } },
      default_model: { provider: 'openai', model: 'gpt-4o' },
      max_tokens_per_model: { 'openai:gpt-4o': 4096 }
    })
    assert.is((await settle(world, { aiConfig })).op, 'keep')
    assert.is(
      (await refused(world, { id: 'w', name: 'w', settings: { aiConfig, aiProvider: 'openai' } })).message,
      'settings.aiConfig is the whole configuration; remove settings.aiProvider.'
    )
    const observed = await world.database.read(sql =>
      kind.observe(sql, [{ workspace: 'w', path: 'w', fields: [] }], world.context)
    )
    assert.not('settings.aiProvider' in (observed[0]?.row ?? {}), 'an export states the configuration once')
    await settle(world, { aiConfig: null })
    assert.is((await columnsOf(world))['ai_config'], null)
  },
  'an AI provider that this release does not know is refused (trap 13)': async world => {
    const { variant } = world
    const ai = (settings: Spec): Promise<SyncError> => refused(world, { id: 'w', name: 'w', settings })
    assert.match(
      (await ai({ aiProvider: 'clippy', openaiResourcePath: 'f/a/b' })).message,
      /^settings\.aiProvider must be one of openai, /
    )
    assert.match((await ai({ aiProvider: 'openai' })).message, /^settings\.openaiResourcePath is missing/)
    assert.match((await ai({ codeCompletionEnabled: true })).message, /^settings\.openaiResourcePath is missing/)
    assert.match((await ai({ aiProvider: 'customai', openaiResourcePath: 'f/a/b' })).message, /aiModels is needed/)
    const bedrock = { aiProvider: 'aws_bedrock', openaiResourcePath: 'f/a/b', aiModels: ['m'] }
    if (isNewest(world)) assert.is((await settle(world, bedrock)).row['settings.aiProvider'], 'aws_bedrock')
    else assert.match((await ai(bedrock)).message, /in this version/)
    assert.match(
      (await ai({ aiProvider: null, codeCompletionEnabled: true })).message,
      /switched off .*remove settings\.codeCompletionEnabled/
    )
    if (variant === '1.463.2')
      assert.match((await ai({ aiProvider: 'googleai', openaiResourcePath: 'f/a/b' })).message, /in this version/)
    else {
      assert.match(
        (await ai({ aiConfig: { providers: { clippy: { models: [], resource_path: 'f/a/b' } } } })).message,
        /Each name/
      )
      assert.match(
        (await ai({ aiConfig: { providers: { openai: { resource_path: 'f/a/b' } } } })).message,
        /needs models/
      )
    }
  }
})

scenarios('invitations and deployment', {
  'auto-invite columns or object, by two names, and off means off': async world => {
    const names = ['auto_invite_domain', 'auto_invite_operator', 'auto_add', 'auto_invite']
    const done = await apply(world, {
      id: 'w',
      name: 'w',
      domain: 'Example.com',
      settings: { autoInviteOperator: true }
    })
    assert.is(done.row['settings.autoInviteDomain'], 'example.com')
    assert.equal(
      await pick(world, names),
      isNewest(world)
        ? { auto_invite: { enabled: true, domain: 'example.com', operator: true, mode: 'invite' } }
        : { auto_invite_domain: 'example.com', auto_invite_operator: true, auto_add: false }
    )
    const more = await settle(world, { autoAdd: true, autoInviteDomain: '*' })
    assert.equal([more.op, (await settle(world, { autoAdd: true, autoInviteDomain: '*' })).op], ['update', 'keep'])
    assert.equal(
      await pick(world, names),
      isNewest(world)
        ? { auto_invite: { enabled: true, domain: '*', operator: true, mode: 'add' } }
        : { auto_invite_domain: '*', auto_invite_operator: true, auto_add: true }
    )
    const off = await settle(world, { autoInviteDomain: null })
    assert.equal(
      await pick(world, names),
      isNewest(world)
        ? { auto_invite: { enabled: false, operator: false, mode: 'invite' } }
        : { auto_invite_domain: null, auto_invite_operator: null, auto_add: null }
    )
    assert.equal([off.op, (await settle(world, { autoInviteDomain: null })).op], ['update', 'keep'])
    assert.match(
      (await refused(world, { id: 'w', name: 'w', domain: 'a.org', settings: { autoInviteDomain: 'b.org' } })).message,
      /mean the same and differ/
    )
    assert.match((await refused(world, { id: 'w', name: 'w', domain: 'gmail.com' })).message, /public mail provider/)
  },
  'a new workspace without invitations keeps NULL': async world => {
    await apply(world, {
      ...minimal,
      settings: { autoInviteDomain: null, autoInviteOperator: false, autoAdd: false, errorHandler: null }
    })
    const { auto_invite = null, error_handler } = await columnsOf(world, 'team-a')
    assert.equal([auto_invite, error_handler], [null, null])
  },
  'instance groups that join by themselves': async world => {
    const { variant } = world
    const settings = { autoAddInstanceGroups: ['devs', 'ops "x"'], autoAddInstanceGroupsRoles: { devs: 'developer' } }
    const done = await settle(world, settings)
    const row = await columnsOf(world)
    if (variant === '1.463.2')
      assert.match(
        (done.compiled.notes ?? []).join(),
        /no place for settings\.autoAddInstanceGroups, settings\.autoAddInstanceGroupsRoles/
      )
    if (variant === '1.558.1')
      assert.equal(
        [row['auto_add_instance_groups'], row['auto_add_instance_groups_roles']],
        [settings.autoAddInstanceGroups, settings.autoAddInstanceGroupsRoles]
      )
    if (variant === '2026-08') {
      const stored = {
        enabled: false,
        operator: false,
        mode: 'invite',
        instance_groups: settings.autoAddInstanceGroups,
        instance_groups_roles: settings.autoAddInstanceGroupsRoles
      }
      assert.equal(row['auto_invite'], stored)
    }
    assert.is((await settle(world, settings)).op, 'keep')
  },
  'saving auto-invite acts at once on the accounts that exist': async world => {
    const { variant } = world
    const { sql } = world
    await sql`insert into password (email, login_type, username) values
        ('ann@example.com', 'password', null), ('bob.x@example.com', 'password', 'bobby'), ('ann@other.org', 'password', null), ('a.nn@example.com', 'password', null)`
    await sql`insert into usr (workspace_id, username, email) values ('w', 'ann', 'someone@else.org')`
    await settle(world, { autoInviteDomain: 'example.com', autoInviteOperator: true })
    const invites =
      await sql`select email, is_admin, operator from workspace_invite where workspace_id = 'w' order by email`
    assert.equal(
      invites.map(row => Object.values(row)),
      [
        ['a.nn@example.com', false, true],
        ['ann@example.com', false, true],
        ['bob.x@example.com', false, true]
      ]
    )
    await settle(world, { autoInviteDomain: 'example.com', autoInviteOperator: true, autoAdd: true })
    const users =
      await sql`select username, email, is_admin, operator from usr where workspace_id = 'w' and email like '%example.com' order by email`
    assert.equal(
      users.map(row => Object.values(row)),
      [
        ['ann2', 'a.nn@example.com', false, true],
        ['ann3', 'ann@example.com', false, true],
        ['bobby', 'bob.x@example.com', false, true]
      ]
    )
    const members = await sql`select usr from usr_to_group where workspace_id = 'w' and group_ = 'all' order by usr`
    assert.equal(
      members.map(row => row['usr']),
      ['ann2', 'ann3', 'bobby', 'iac_controller']
    )
    if (variant !== '1.463.2') {
      const [via] = await sql`select added_via from usr where username = 'bobby'`
      assert.equal(via?.['added_via'], { source: 'domain', domain: 'example.com' })
    }
    assert.is((await sql`select from workspace_invite where workspace_id = 'w'`).length, 0)
  },
  'a domain that does not change invites nobody again': async world => {
    await world.sql`insert into password (email, login_type) values ('odd@localhost', 'password'), ('a..b@example.com', 'password')`
    await settle(world, { autoInviteDomain: '*' })
    const invited = await world.sql`select email from workspace_invite where workspace_id = 'w'`
    assert.equal(
      invited.map(row => row['email']),
      ['admin@windmill.dev'],
      'an address that Windmill refuses in a workspace is passed over'
    )
    await world.sql`insert into password (email, login_type) values ('late@example.com', 'password')`
    await settle(world, { autoInviteDomain: '*', color: '#123456' })
    assert.is((await world.sql`select from workspace_invite where email = 'late@example.com'`).length, 0)
  },
  'deployTo is a column or the parent (trap 12)': async world => {
    const done = await settle(world, { deployTo: { workspace: 'other' } })
    assert.is(done.row['settings.deployTo'], 'other')
    const [row] = await world.sql`select * from workspace where id = 'w'`
    if (isNewest(world)) assert.equal([row?.['parent_workspace_id'], row?.['is_dev_workspace']], ['other', true])
    else assert.is((await columnsOf(world))['deploy_to'], 'other')
    assert.is((await settle(world, { deployTo: 'other' })).op, 'keep')
    await settle(world, { deployTo: null })
    assert.is((await apply(world, { id: 'w', name: 'w', settings: { deployTo: null } })).row['settings.deployTo'], null)
    assert.match(
      (await refused(world, { id: 'w', name: 'w', settings: { deployTo: 'w' } })).message,
      /names the workspace itself/
    )
    assert.match(
      (await refused(world, { id: 'w', name: 'w', settings: { deployTo: { a: 1, b: 2 } } })).message,
      /must be the id of a workspace/
    )
  }
})

scenarios('environment, archive and repair', {
  'environment variables are set, corrected, dropped, and those of others stay': async world => {
    const { sql } = world
    await sql`insert into workspace_env (workspace_id, name, value) values ('w', 'THEIRS', 'x'), ('w', 'B', 'old')`
    const spec = { id: 'w', name: 'w', environment: { A: 'ä "quoted" \'\n🗂', B: 'new', EMPTY: '' } }
    const done = await apply(world, spec)
    const values = async (): Promise<unknown> =>
      (await sql`select name, value from workspace_env where workspace_id = 'w' order by name`).map(row =>
        Object.values(row)
      )
    assert.equal(await values(), [
      ['A', spec.environment.A],
      ['B', 'new'],
      ['EMPTY', ''],
      ['THEIRS', 'x']
    ])
    const again = await apply(world, spec)
    assert.equal([again.op, again.tokenBefore], ['keep', done.tokenAfter])
    await sql`update workspace_env set value = 'drift' where name = 'B'`
    const drifted = await apply(world, spec)
    assert.equal([drifted.op, drifted.tokenBefore === done.tokenAfter], ['update', false])
    const less = await apply(world, { id: 'w', name: 'w', environment: { A: 'a' } }, {}, Object.keys(done.compiled.row))
    assert.is(less.op, 'update')
    assert.equal(await values(), [
      ['A', 'a'],
      ['THEIRS', 'x']
    ])
    assert.not(kind.dropped?.('settings.color'))
    const long = await refused(world, { id: 'w', name: 'w', environment: { LONG: 'secret'.repeat(200) } })
    assert.not.match(long.message, /secretsecret/)
  },
  'the archive stops what the flag alone would not (trap 10)': async world => {
    const { sql } = world
    await busy(world, 'w')
    await busy(world, 'other')
    const done = await apply(world, { id: 'w', name: 'w' }, { archived: 'true' })
    assert.is(done.row['archived'], true)
    const left = async (id: string): Promise<unknown> => {
      const [schedule] = await sql`select enabled from schedule where workspace_id = ${id}`
      const jobs = await sql`select id::text from v2_job_queue where workspace_id = ${id} order by id`
      const all = await sql`select id::text from v2_job where workspace_id = ${id} order by id`
      const perms = await sql`select job_id::text as id from job_perms where workspace_id = ${id} order by job_id`
      const ends = (rows: readonly Record<string, unknown>[]): string =>
        rows.map(row => String(row['id']).slice(-1)).join('')
      return [schedule?.['enabled'], ends(jobs), ends(all), ends(perms)]
    }
    // 1: waiting for its schedule; 2: of a schedule, running; 3: somebody's own.
    assert.equal(await left('w'), [false, '23', '23', '23'])
    assert.equal(await left('other'), [true, '123', '123', '123'])
    if (isNewest(world)) {
      const modes = await sql`select workspace_id, mode::text from http_trigger order by workspace_id`
      assert.equal(
        modes.map(row => Object.values(row)),
        [
          ['other', 'enabled'],
          ['w', 'disabled']
        ]
      )
    }
    assert.is((await apply(world, { id: 'w', name: 'w' }, { archived: 'true' })).op, 'keep')
    const back = await apply(world, { id: 'w', name: 'w' })
    assert.is(back.row['archived'], false)
    assert.equal(await left('w'), [false, '23', '23', '23'], 'nobody remembers what was enabled')
  },
  'retiring archives, but never admins': async world => {
    const { namespace, name, uid } = listedOf(anyKind)
    const removals = ['w', 'admins'].map(id => ({
      workspace: id,
      path: id,
      fields: [],
      live: {},
      listed: { namespace, name, uid }
    }))
    await world.database.write(async sql => kind.retire?.(sql, removals, world.context))
    const rows = await world.sql`select id, deleted from workspace order by id`
    assert.equal(
      rows.map(row => Object.values(row)),
      [
        ['admins', false],
        ['other', false],
        ['w', true]
      ]
    )
    assert.is(kind.remove, undefined)
    assert.is(kind.retained, true)
  },
  'a workspace without its rows is repaired, and a key is never touched (trap 3)': async world => {
    const { sql } = world
    const [key] = await sql`select key from workspace_key where workspace_id = 'w'`
    await settle(world, { color: '#000000' })
    const [same] = await sql`select key from workspace_key where workspace_id = 'w'`
    assert.equal(same, key)
    await sql`delete from usr_to_group`
    await sql`delete from group_ where workspace_id = 'other'`
    await sql`delete from workspace_settings where workspace_id = 'other'`
    await sql`delete from workspace_key where workspace_id = 'other'`
    const fixed = await apply(world, { id: 'other', name: 'other' })
    assert.equal([fixed.op, fixed.row['missingRows']], ['update', null])
    const [made] = await sql`select key from workspace_key where workspace_id = 'other'`
    assert.match(made?.['key'], /^[A-Za-z0-9]{64}$/)
    assert.is((await apply(world, { id: 'other', name: 'other' })).op, 'keep')
  },
  'no new key where secrets were encrypted with a lost one (trap 3)': async world => {
    const { sql } = world
    await sql`insert into variable (workspace_id, path, value, is_secret) values ('w', 'f/a/secret', 'AAAA', true)`
    await sql`delete from workspace_key where workspace_id = 'w'`
    const done = await settle(world, { color: '#000000' })
    assert.is((await sql`select from workspace_key where workspace_id = 'w'`).length, 0)
    assert.equal(done.compiled.notes, [
      'The workspace has secrets but no row in workspace_key, so nobody can read them; restore the key from a backup.'
    ])
    assert.is((await settle(world, { color: '#000000' })).op, 'keep')
  },
  'notes name what an edition or Windmill itself limits, and stand still (traps 19, 20)': async world => {
    const settings = { defaultApp: 'f/a/b', deployTo: 'other', color: '#000000' }
    const done = await settle(world, settings)
    assert.equal(done.compiled.notes, [
      'Only the enterprise edition of Windmill honours settings.defaultApp, settings.deployTo.'
    ])
    const third = await apply(world, minimal)
    const limit = 'Without an enterprise licence Windmill allows 2 workspaces besides admins; this instance has more.'
    assert.equal(third.compiled.notes, [limit])
    assert.equal((await apply(world, minimal)).compiled.notes, [limit])
    const admins = await apply(world, { id: 'admins', name: 'Admins', settings: { color: '#ff0000' } })
    assert.is(
      admins.compiled.notes?.[0],
      "admins is Windmill's own workspace; only what is stated here is changed in it."
    )
    assert.match(
      (await refused(world, { id: 'admins', name: 'Admins' }, { archived: 'true' })).message,
      /cannot be archived/
    )
    await world.sql`insert into global_settings (name, value) values ('license_key', '"client.1.x"')`
    assert.equal((await settle(world, settings)).compiled.notes, [])
  }
})

const gitSync = (repository: Spec): Spec => ({
  include_path: ['f/**'],
  include_type: ['script'],
  repositories: [{ script_path: 'f/git/sync', git_repo_resource_path: '$res:f/git/repo', ...repository }]
})

/** A schedule with a waiting (1) and a running (2) job, a job of a person (3), and a route. */
async function busy({ sql, variant }: World, id: string): Promise<void> {
  const runAs = variant === '2026-08' ? sql`, permissioned_as` : sql``
  const value = variant === '2026-08' ? sql`, 'u/x'` : sql``
  await sql`insert into schedule (workspace_id, path, edited_by, schedule, script_path, is_flow, enabled, email ${runAs})
            values (${id}, 'f/a/s', 'x', '0 0 * * * *', 'f/a/x', false, true, 'x@example.com' ${value})`
  const uuid = (n: number): string => `00000000-0000-0000-0000-0000000000${id === 'w' ? 1 : 2}${n}`
  for (const [n, running, scheduled] of [
    [1, false, true],
    [2, true, true],
    [3, false, false]
  ] as const) {
    await sql`insert into v2_job (id, workspace_id, trigger, trigger_kind) values (${uuid(n)}, ${id}, ${scheduled ? 'f/a/s' : null}, ${scheduled ? 'schedule' : null})`
    await sql`insert into v2_job_queue (id, workspace_id, scheduled_for, running) values (${uuid(n)}, ${id}, now(), ${running})`
    await sql`insert into job_perms (job_id, email, username, is_admin, is_operator, groups, folders, workspace_id)
              values (${uuid(n)}, 'x@example.com', 'x', false, false, '{}', '{}', ${id})`
  }
  if (variant !== '2026-08') return
  await sql`insert into http_trigger (path, route_path, route_path_key, script_path, is_flow, workspace_id, edited_by, http_method, permissioned_as)
            values ('f/a/t', 'r', 'r', 'f/a/x', false, ${id}, 'x', 'get', 'u/x')`
}

test('2026-08: only a webhook or limit that changes is notified', () =>
  inWindmill('2026-08', async world => {
    await world.sql`delete from notify_event`
    await settle(world, { webhook: 'a', publicAppExecutionLimitPerMinute: 5 })
    assert.equal(await notices(world), [
      ['notify_webhook_change', 'w'],
      ['notify_workspace_rate_limit_change', 'w']
    ])
    await applyAll(world, [
      { id: 'w', name: 'w', settings: { webhook: 'a', publicAppExecutionLimitPerMinute: 5, color: '#000000' } },
      { id: 'other', name: 'other', settings: { webhook: 'b', publicAppExecutionLimitPerMinute: 6 } }
    ])
    assert.equal((await notices(world)).slice(2), [
      ['notify_webhook_change', 'other'],
      ['notify_workspace_rate_limit_change', 'other']
    ])
  }))

test('2026-08: parents and children of one batch, in any order; one dev workspace each (trap 22)', () =>
  inWindmill('2026-08', async world => {
    await applyAll(world, [
      { id: 'a-dev', name: 'a', settings: { deployTo: 'prod' } },
      { id: 'b-dev', name: 'b', settings: { deployTo: 'prod' } },
      { id: 'deep', name: 'c', settings: { deployTo: 'a-dev' } },
      { id: 'prod', name: 'p' }
    ])
    const rows =
      await world.sql`select id, parent_workspace_id, is_dev_workspace from workspace where parent_workspace_id is not null order by id`
    assert.equal(
      rows.map(row => Object.values(row)),
      [
        ['a-dev', 'prod', true],
        ['b-dev', 'prod', false],
        ['deep', 'a-dev', false]
      ]
    )
    assert.is((await apply(world, { id: 'b-dev', name: 'b', settings: { deployTo: 'prod' } })).op, 'keep')
    const missing = await refused(world, { id: 'w', name: 'w', settings: { deployTo: 'nowhere' } })
    assert.equal([missing.code, /nowhere does not exist/.test(missing.message)], ['ReferenceNotFound', true])
    const circle = await refused(world, { id: 'prod', name: 'p', settings: { deployTo: 'deep' } })
    assert.match(circle.message, /circle \(prod → deep → a-dev → prod\)/)
    const both = await rejects(
      applyAll(world, [
        { id: 'w', name: 'w', settings: { deployTo: 'other' } },
        { id: 'other', name: 'other', settings: { deployTo: 'w' } }
      ])
    )
    assert.match(both.message, /circle/)
  }))

test('2026-08: a dev workspace whose place was taken stays in the archive (trap 22)', () =>
  inWindmill('2026-08', async world => {
    const dev = { id: 'w', name: 'w', settings: { deployTo: 'other' } }
    await apply(world, dev)
    await apply(world, dev, { archived: 'true' })
    await apply(world, { id: 'next', name: 'n', settings: { deployTo: 'other' } })
    const error = await refused(world, dev)
    assert.is(
      error.message,
      'The workspace cannot be unarchived: next is the dev workspace of other now; archive that one first.'
    )
    await apply(world, { id: 'next', name: 'n', settings: { deployTo: 'other' } }, { archived: 'true' })
    assert.is((await apply(world, dev)).row['archived'], false)
  }))

test('audit entries are named after what really differs, with the caller as resource', () => {
  const audit = (row: Row, live?: Row): unknown => {
    const change = {
      op: live ? 'update' : 'create',
      workspace: 'w',
      path: 'w',
      row,
      listed: listedOf(anyKind),
      ...(live && { live })
    } as Write
    const entries = (
      workspace.audit as (
        change: Write,
        context: unknown
      ) => readonly { operation: string; action: string; resource: string }[]
    )(change, { email: 'me@x.org' })
    return entries.map(({ operation, action, resource }) => `${operation} ${action} ${resource}`)
  }
  assert.equal(
    audit({
      name: 'N',
      archived: false,
      missingRows: null,
      'settings.webhook': 'a',
      'settings.autoAdd': false,
      'environment.A': '1'
    }),
    [
      'workspaces.create create N',
      'workspaces.edit_webhook update me@x.org',
      'workspace.set_environment_variable create me@x.org'
    ]
  )
  const live = {
    name: 'N',
    owner: 'o',
    archived: false,
    'settings.webhook': 'a',
    'settings.gitSync': { b: 1, a: 2 },
    'environment.A': '1'
  }
  assert.equal(
    audit({ name: 'M', archived: false, 'settings.webhook': 'a', 'settings.gitSync': { a: 2, b: 1 } }, live),
    ['workspace.change_workspace_name update me@x.org']
  )
  assert.equal(audit({ name: 'M', owner: 'x', archived: true, 'environment.A': null }, live), [
    'workspaces.update update me@x.org',
    'workspaces.archive update me@x.org',
    'workspace.delete_environment_variable delete me@x.org'
  ])
  const each: Record<string, string> = {
    deployTo: 'edit_deploy_to',
    aiProvider: 'edit_copilot_config',
    openaiResourcePath: 'edit_copilot_config',
    codeCompletionEnabled: 'edit_copilot_config',
    aiConfig: 'edit_copilot_config',
    largeFileStorage: 'edit_large_file_storage_config',
    ducklake: 'edit_ducklake_config',
    gitSync: 'edit_git_sync_config',
    deployUiSettings: 'edit_deploy_ui_config',
    defaultApp: 'edit_default_app',
    defaultScripts: 'edit_default_scripts',
    errorHandlerMutedOnCancel: 'edit_error_handler'
  }
  for (const [field, operation] of Object.entries(each)) {
    assert.equal(audit({ [`settings.${field}`]: 'new' }, {}), [`workspaces.${operation} update me@x.org`])
  }
  assert.equal(
    audit({ 'settings.color': '#000000', 'settings.operatorSettings.runs': false }, {}),
    [],
    'Windmill leaves none either'
  )
})

test('1.463.2: a changed webhook waits for a restart of the servers, which is said', () =>
  inWindmill('1.463.2', async world => {
    const note = 'settings.webhook: the servers of this version of Windmill notice a change only when they restart.'
    assert.equal((await settle(world, { webhook: 'x' })).compiled.notes, [note])
    const [rounded = ''] = (await settle(world, { defaultScripts: { n: 2 ** 60 } })).compiled.notes ?? []
    assert.match(rounded, /^settings\.defaultScripts: integers beyond 2\^53 are rounded/)
  }))

test('everything that a CRD with defaults states and an export shows lives in one row', () =>
  inWindmill('2026-08', async world => {
    const done = await apply(world, { ...minimal, settings: { webhookEditor: 'x', webhook: 'x' } })
    assert.equal(differences(done.compiled.row, done.row), [])
    assert.is(done.row['settings.webhook'], 'x')
    assert.is(targetKey('team-a', 'team-a'), 'team-a\0team-a')
    assert.equal(kind.target(minimal), { workspace: 'team-a', path: 'team-a' })
  }))

test.run()
