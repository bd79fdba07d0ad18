/** Every setting there is: option, variable, default, meaning. Help, parsing and the README's table come from here. */

import {
  duration,
  email,
  mapping,
  maxDeletes,
  names,
  namespace,
  oneOf,
  type Parse,
  selector,
  shard,
  userName,
  whole
} from './setting-values.ts'

export interface Setting {
  /** Long option without dashes. */
  readonly option: string
  readonly short?: string
  readonly variable?: string
  /** What stands for the value in the help; none: a flag. */
  readonly value?: string
  readonly fallback?: string
  /** How the default is described when it is no plain value. */
  readonly fallbackText?: string
  readonly help: string
  /** Commands that take it; absent: all that work on a database. */
  readonly commands?: readonly string[]
  /** Throws an Error whose message says what would be right. */
  readonly parse?: Parse
}

export const settings = [
  {
    option: 'from',
    variable: 'IAC_FROM',
    value: 'DIR',
    fallbackText: 'the cluster',
    help: 'take CRs, Secrets and ConfigMaps from YAML files instead of a cluster; statuses are printed, not patched'
  },
  {
    option: 'database',
    variable: 'DATABASE_URL',
    value: 'URL',
    fallbackText: 'required',
    help: "Windmill's PostgreSQL (also DATABASE_URL_FILE); `embedded` starts a throw-away one with Windmill's tables"
  },
  {
    option: 'context',
    variable: 'IAC_CONTEXT',
    value: 'NAME',
    fallbackText: "the kubeconfig's current one",
    help: 'context of the kubeconfig'
  },
  {
    option: 'conflict-policy',
    variable: 'IAC_CONFLICT_POLICY',
    value: 'POLICY',
    fallback: 'crd-wins',
    help: 'crd-wins, db-wins or last-write-wins: who wins where the database was edited',
    parse: oneOf('crd-wins', 'db-wins', 'last-write-wins')
  },
  {
    option: 'deletion-policy',
    variable: 'IAC_DELETION_POLICY',
    value: 'POLICY',
    fallback: 'soft-delete',
    help: 'delete, force-delete (although something refers to it), soft-delete or ignore: what becomes of rows whose CR is gone',
    parse: oneOf('delete', 'force-delete', 'soft-delete', 'ignore')
  },
  {
    option: 'adopt',
    variable: 'IAC_ADOPT',
    value: 'WHEN',
    fallbackText: 'by conflict policy',
    help: 'never, identical or always: existing rows that nobody manages',
    parse: oneOf('never', 'identical', 'always')
  },
  {
    option: 'namespace-mapping',
    variable: 'IAC_NAMESPACE_MAPPING',
    value: 'RULE',
    fallback: 'namespace-as-workspace',
    help: 'also fixed:<workspace> or map:<namespace>=<workspace>,…',
    parse: mapping
  },
  {
    option: 'watch-namespaces',
    variable: 'IAC_WATCH_NAMESPACES',
    value: 'NAMES',
    fallbackText: 'all',
    help: 'comma-separated; other namespaces are not looked at and never pruned',
    parse: names
  },
  {
    option: 'admin-namespaces',
    variable: 'IAC_ADMIN_NAMESPACES',
    value: 'NAMES',
    fallbackText: "the job's own, windmill-system",
    help: 'CRs in these may name any workspace',
    parse: names
  },
  {
    option: 'run-as',
    variable: 'IAC_RUN_AS',
    value: 'WHOM',
    fallback: 'members',
    help: 'members, admins or anyone: as whom CRs may let code run, besides those that their Namespace allows',
    parse: oneOf('members', 'admins', 'anyone')
  },
  {
    option: 'user-paths',
    variable: 'IAC_USER_PATHS',
    value: 'RULE',
    fallback: 'allow',
    help: 'allow or deny: whether CRs outside of the admin namespaces may use paths of a user (u/…)',
    parse: oneOf('allow', 'deny')
  },
  {
    option: 'kinds',
    variable: 'IAC_KINDS',
    value: 'KINDS',
    fallbackText: 'all',
    help: 'comma-separated, such as variable,resource; other kinds are never pruned',
    parse: names
  },
  {
    option: 'selector',
    variable: 'IAC_SELECTOR',
    value: 'LABELS',
    fallbackText: 'all',
    help: 'label selector; CRs outside of it are never pruned',
    parse: selector
  },
  {
    option: 'max-deletes',
    variable: 'IAC_MAX_DELETES',
    value: 'LIMIT',
    fallback: '20%',
    help: 'count or per cent of the owned objects of a kind (below 10 owned objects: 5)',
    parse: maxDeletes
  },
  {
    option: 'max-lock-jobs',
    variable: 'IAC_MAX_LOCK_JOBS',
    value: 'N',
    fallback: '1000',
    help: 'dependency jobs that one run queues for workers; what needs more waits for the next run; 0: no limit',
    parse: whole(0, 1_000_000)
  },
  {
    option: 'concurrency',
    variable: 'IAC_CONCURRENCY',
    value: 'N',
    fallback: '16',
    help: 'requests to the API server at once; a quarter of it, 2 to 4, are database connections',
    parse: whole(1, 256)
  },
  {
    option: 'batch-size',
    variable: 'IAC_BATCH_SIZE',
    value: 'N',
    fallback: '500',
    help: 'objects per transaction',
    parse: whole(1, 5000)
  },
  {
    option: 'lock-timeout',
    variable: 'IAC_LOCK_TIMEOUT',
    value: 'TIME',
    fallback: '5m',
    help: 'wait for another run',
    parse: duration
  },
  {
    option: 'deadline',
    variable: 'IAC_DEADLINE',
    value: 'TIME',
    fallbackText: 'none',
    help: 'stop starting new work after this time',
    parse: duration
  },
  {
    option: 'shard',
    variable: 'IAC_SHARD',
    value: 'I/N',
    fallback: '0/1',
    help: 'only workspaces of this shard (by hash), for several jobs side by side',
    parse: shard
  },
  {
    option: 'user',
    variable: 'IAC_USER',
    value: 'NAME',
    fallback: 'iac_controller',
    help: 'username of the service identity in Windmill',
    parse: userName
  },
  {
    option: 'email',
    variable: 'IAC_EMAIL',
    value: 'ADDRESS',
    fallback: 'iac-controller@cluster.local',
    help: 'e-mail address of the service identity',
    parse: email
  },
  {
    option: 'cluster-id',
    variable: 'IAC_CLUSTER_ID',
    value: 'ID',
    fallbackText: 'UID of namespace kube-system',
    help: 'tells clusters that share a database apart'
  },
  {
    option: 'output',
    short: 'o',
    variable: 'IAC_OUTPUT',
    value: 'FORMAT',
    fallbackText: 'text on a terminal, else json',
    help: 'report on stdout: text or json',
    parse: oneOf('text', 'json')
  },
  {
    option: 'log-level',
    variable: 'IAC_LOG_LEVEL',
    value: 'LEVEL',
    fallback: 'info',
    help: 'debug, info, warn or error; logs go to stderr',
    parse: oneOf('debug', 'info', 'warn', 'error')
  },
  { option: 'refresh', variable: 'IAC_REFRESH', help: 'compare everything in full, ignore all marks' },
  {
    option: 'status',
    variable: 'IAC_STATUS',
    value: 'WHICH',
    fallback: 'all',
    help: 'all, changes (of this run only) or none: which statuses are patched',
    parse: oneOf('all', 'changes', 'none')
  },
  { option: 'verbose', short: 'v', variable: 'IAC_VERBOSE', help: 'list kept objects in the report too' },
  {
    option: 'workspace',
    value: 'IDS',
    fallbackText: 'all',
    help: 'comma-separated',
    commands: ['export'],
    parse: names
  },
  {
    option: 'path',
    value: 'GLOBS',
    fallbackText: 'all',
    help: 'comma-separated paths or names; `*` and `?` stay within a part, `**` goes over parts: `f/crm/**`',
    commands: ['export'],
    parse: names
  },
  {
    option: 'namespace',
    value: 'NAME',
    fallbackText: 'by the namespace mapping',
    help: 'namespace of all exported objects',
    commands: ['export'],
    parse: namespace
  },
  {
    option: 'to',
    value: 'DIR',
    fallbackText: 'stdout, as one stream',
    help: 'write one file per object: <kind>/<workspace>/<path>.yaml',
    commands: ['export']
  },
  {
    option: 'with-secrets',
    value: 'FILE',
    fallbackText: 'references only',
    help: 'decrypt secrets into this file of Secret manifests (mode 0600)',
    commands: ['export']
  },
  { option: 'force', help: 'replace the file of --with-secrets', commands: ['export'] },
  { option: 'all', help: "also what Windmill itself makes (group all, the hub's types …)", commands: ['export'] },
  { option: 'deleted', help: 'what was deleted in the last 30 days instead of what is there', commands: ['export'] },
  { option: 'exit-code', help: 'exit with 2 when changes are pending', commands: ['plan'] },
  {
    option: 'diff',
    help: 'show the changes: unified for text, field by field for data, secrets masked',
    commands: ['plan']
  },
  { option: 'print', help: 'print the SQL for an administrator instead of running it', commands: ['init'] },
  { option: 'help', short: 'h', help: 'this text' },
  { option: 'version', help: 'the version' }
] as const satisfies readonly Setting[]

export const commands = {
  reconcile: 'make the database follow the CRs (the default)',
  plan: 'the same, with zero writes anywhere',
  validate: 'check manifests (files, folders, - for stdin) without a cluster and without a database',
  export: 'write the database as manifests that re-import without a change; reads only',
  init: 'create (or print the SQL of) the ledger schema and a least-privilege role'
} as const

export type Command = keyof typeof commands
