/** What the contract cannot tell from a CRD and an example. A kind without a row here is tested all the same. */
import type { Release } from '../windmill.ts'

export interface Hints {
  /** An example as a release takes it. */
  readonly adapt?: (spec: Readonly<Record<string, unknown>>, release: Release) => Readonly<Record<string, unknown>>
  /** Run before the kind's examples land, when all that they depend on is there. */
  readonly arrange?: string
  /** Another value of a field, where not any value will do. `labels[]` is an item of a list. */
  readonly changed?: Readonly<Record<string, unknown>>
  /** Fields that stay as they are. */
  readonly fixed?: readonly string[]
  /** Greatest length of a text where the CRD's is for other cases. */
  readonly longest?: Readonly<Record<string, number>>
  /** The row's field for a CRD's field of another name. */
  readonly shownAs?: Readonly<Record<string, string>>
  /** Fields whose other value an older release has by lacking the column. */
  readonly unsaid?: readonly string[]
  /** Columns that a CR with nothing but what it must state leaves alone, and what somebody else put there. */
  readonly marks?: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** SQL that takes out of the way what forbids a deletion, and SQL that puts it back. */
  readonly unblock?: readonly [before: string, after: string]
  /** SQL that gives the live versions to somebody else, where the author tells what Windmill itself rewrote. */
  readonly byOthers?: string
  /** What a copy of a row must hold instead, lest it depends on the row. */
  readonly neighbour?: Readonly<Record<string, string>>
}

const hints: Readonly<Record<string, Hints>> = {
  WindmillWorkspace: {
    /** The oldest release wants the filters beside the repositories, too. */
    adapt: (spec, release) => {
      const settings = spec['settings'] as Record<string, object>
      if (release !== '1.463.2' || !settings['gitSync']) return spec
      const gitSync = { ...settings['gitSync'], include_path: ['f/**'], include_type: ['script'] }
      return { ...spec, settings: { ...settings, gitSync } }
    },
    changed: {
      name: (name: string) => `${name} 2`,
      'settings.deployTo': 'admins'
    },
    // Another provider comes beside the first, which stays.
    fixed: ['settings.aiProvider'],
    shownAs: { domain: 'settings.autoInviteDomain' },
    marks: {
      workspace: { owner: `'mark@example.com'`, premium: 'true' },
      workspace_settings: {
        slack_name: `'marked'`,
        customer_id: `'marked'`,
        webhook: `'https://marked.example.com'`,
        color: `'#111111'`,
        default_app: `'f/marked/app'`,
        default_scripts: `'{"hidden": ["marked"]}'`,
        operator_settings: `'{"runs": false}'`,
        auto_invite_domain: `'marked.example.com'`,
        large_file_storage: `'{"type": "S3Storage", "s3_resource_path": "$res:f/marked/s3"}'`,
        error_handler_muted_on_cancel: 'true'
      }
    }
  },
  WindmillGroup: {
    arrange: `
      insert into usr (workspace_id, username, email, is_admin)
      select 'demo', name, name || '@example.com', false from unnest('{alice,bob,carol}'::text[]) as name`,
    changed: { members: ['bob', 'carol@example.com'] },
    marks: { group_: { extra_perms: `'{"u/mark": true}'` } }
  },
  WindmillFolder: {
    marks: {
      folder: {
        summary: `'marked'`,
        owners: `'{u/mark}'`,
        extra_perms: `'{"u/mark": true, "g/mark": false}'`,
        labels: `'{marked}'`,
        default_permissioned_as: `'[{"path_glob": "**", "permissioned_as": "u/mark"}]'`
      }
    }
  },
  WindmillResourceType: {
    unsaid: ['fileset'],
    marks: { resource_type: { description: `'marked'`, created_by: `'mark'`, format_extension: `'md'` } }
  },
  WindmillVariable: {
    longest: { value: 5_000, description: 255 },
    shownAs: { valueFrom: 'value' },
    marks: {
      variable: { description: `'marked'`, extra_perms: `'{"u/mark": true}'`, labels: `'{marked}'` }
    }
  },
  WindmillSchedule: {
    changed: {
      schedule: '15 4 * * 1-5',
      timezone: 'America/New_York',
      onFailure: 'f/ops/on_success',
      onRecovery: 'f/ops/on_error',
      onSuccess: 'script/f/ops/on_error',
      'retryConfig.exponentialDelay': 20,
      'retry.exponential.seconds': 3,
      'retry.exponential.random_factor': 20
    },
    fixed: ['scriptPath', 'isFlow', 'runAs', 'dynamicSkip', 'tag', 'paused'],
    shownAs: { retryConfig: 'retry' },
    marks: {
      schedule: {
        summary: `'marked'`,
        extra_perms: `'{"u/mark": true}'`,
        on_success: `'script/f/marked/handler'`,
        on_success_extra_args: `'{"marked": true}'`,
        ws_error_handler_muted: 'true',
        labels: `'{marked}'`,
        description: `'marked'`
      }
    }
  },
  WindmillResource: {
    shownAs: { valueFrom: 'linked', valuesFrom: 'linked' },
    neighbour: { value: `'{}'` },
    marks: {
      resource: { description: `'marked'`, extra_perms: `'{"u/mark": true}'`, labels: `'{marked}'` }
    }
  },
  WindmillApp: {
    // Free JSON of its own rules: who may run the app, and what it is.
    changed: { policy: { execution_mode: 'publisher' } },
    shownAs: { valueFrom: 'value', customCss: 'value' },
    marks: {
      app: { extra_perms: `'{"u/mark": true}'`, labels: `'{marked}'`, custom_path: `'marked/' || id` }
    },
    unblock: [
      `update workspace_settings set default_app = null where default_app = 'f/crm/customers'`,
      `update workspace_settings set default_app = 'f/crm/customers' where workspace_id = 'demo'`
    ],
    byOthers: `update app_version set created_by = 'somebody'`,
    neighbour: { id: `nextval('app_id_seq')`, versions: `'{}'`, custom_path: 'null' }
  },
  WindmillFlow: {
    arrange: `
      insert into usr (workspace_id, username, email, is_admin) values ('demo', 'zoe', 'zoe@example.com', false)`,
    changed: {
      onBehalfOf: 'u/zoe',
      value: (value: object) => ({ ...value, same_worker: true })
    },
    // The newest release has it in an index, which takes no longer texts.
    longest: { summary: 500 },
    shownAs: {
      concurrencyLimit: 'value',
      concurrencyTimeWindowS: 'value',
      concurrencyKey: 'value',
      cacheSeconds: 'value',
      priority: 'value',
      // A member that no Windmill knows is added.
      valueFrom: 'unknownKeys'
    },
    marks: {
      flow: {
        description: `'marked'`,
        tag: `'marked'`,
        extra_perms: `'{"u/mark": true}'`,
        labels: `'{marked}'`,
        timeout: '7',
        ws_error_handler_muted: 'true',
        dedicated_worker: 'true',
        visible_to_runner_only: 'true'
      }
    },
    byOthers: `update flow_version set created_by = 'somebody'`,
    neighbour: { versions: `'{}'` }
  },
  WindmillScript: {
    arrange: `
      insert into usr (workspace_id, username, email, is_admin) values ('demo', 'zoe', 'zoe@example.com', false)`,
    changed: {
      language: 'python3',
      onBehalfOf: 'u/zoe',
      schema: (value: object | string) =>
        typeof value === 'string' ? value.replace('{', '{"title": "other", ') : { ...value, title: 'other' }
    },
    // The newest release has it in an index, which takes no longer texts.
    longest: { summary: 500 },
    shownAs: { contentFrom: 'content' },
    marks: {
      script: {
        description: `'marked'`,
        tag: `'marked'`,
        extra_perms: `'{"u/mark": true}'`,
        labels: `'{marked}'`,
        timeout: '7',
        cache_ttl: '7',
        delete_after_use: 'true',
        is_template: 'true'
      }
    },
    neighbour: { hash: 'hash + 1' }
  }
}

export const hintsOf = (kind: string): Hints => hints[kind] ?? {}
