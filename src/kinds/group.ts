/** Groups and who is in them. */
import { SyncError } from '../errors.ts'
import {
  type AuditEntry,
  type Context,
  type Exported,
  type Exporting,
  type Input,
  type Json,
  type Kind,
  type Row,
  type Sql,
  targetKey
} from '../model.ts'
import { auditedEdits } from '../windmill/audit.ts'
import {
  deleteGroups,
  exceedsFreeGroups,
  groupTokens,
  instanceGroups,
  ownGroups,
  readGroups,
  writeGroups
} from '../windmill/groups.ts'
import { grantsTo, itemsBelow } from '../windmill/items.ts'
import { findUsers } from '../windmill/users.ts'

interface Spec {
  readonly workspace?: string
  readonly name: string
  readonly summary?: string
  readonly members?: readonly string[]
}

interface Facts {
  /** Usernames by `targetKey(workspace, member)`. */
  readonly users: ReadonlyMap<string, readonly string[]>
  readonly instanceGroups: ReadonlySet<string>
  readonly tooMany: boolean
}

/** In groups that Windmill made for itself, each member stands alone: `members.<username>`. */
const MEMBER = 'members.'

async function facts(sql: Sql, inputs: readonly Input<Spec>[], context: Context): Promise<Facts> {
  const members = inputs.flatMap(({ spec, workspace }) => (spec.members ?? []).map(who => ({ workspace, who })))
  return {
    users: await findUsers(sql, members),
    instanceGroups: await instanceGroups(
      sql,
      inputs.map(one => one.path)
    ),
    tooMany: await exceedsFreeGroups(sql, inputs, context)
  }
}

/** Members as usernames. Who has not joined stays pending; a `usr` row is never invented (§4). */
function resolve({ spec, workspace }: Input<Spec>, { users }: Facts, { user }: Context) {
  const asked = new Map((spec.members ?? []).map(who => [who.includes('@') ? who.toLowerCase() : who, who]))
  const found = [...asked.values()].map(who => users.get(targetKey(workspace, who)) ?? [])
  const names = [...new Set(found.flat())].sort()
  return {
    names: names.filter(name => name !== user),
    pending: found.filter(one => one.length === 0).length,
    ambiguous: found.some(one => one.length > 1),
    itself: names.includes(user)
  }
}

type Resolved = ReturnType<typeof resolve>

/**
 * The stated members are the members. Groups of Windmill's own also get members from Windmill, so there each stated one
 * is a field of its own: added, taken out again once it is stated no more, and nobody else is touched.
 */
function membersRow({ spec, path }: Input<Spec>, { names }: Resolved): Row {
  if (!spec.members) return {}
  if (path === 'all') {
    throw new SyncError('InvalidSpec', 'Group all holds every user of the workspace: remove members.')
  }
  return ownGroups.has(path) ? Object.fromEntries(names.map(name => [MEMBER + name, true])) : { members: names }
}

function notesOf({ spec, path }: Input<Spec>, facts: Facts, resolved: Resolved, { user }: Context): readonly string[] {
  const { pending, ambiguous, itself } = resolved
  const own = ownGroups.has(path)
  const notes: readonly (readonly [boolean, string])[] = [
    [pending === 1, '1 member has not joined the workspace yet: it is added once it has.'],
    [pending > 1, `${pending} members have not joined the workspace yet: they are added once they have.`],
    [ambiguous, 'An e-mail address belongs to several users of the workspace: all of them are members.'],
    [itself, `${user} is the identity of this program and not managed as a member.`],
    [
      own && spec.members !== undefined,
      `Group ${path} is Windmill's own: members are added, those that others added stay.`
    ],
    [facts.instanceGroups.has(path), 'A group of the instance has the same name: its members count here too.'],
    [
      facts.tooMany && !own,
      'This instance has more than 3 groups, which the Community Edition does not let one create.'
    ]
  ]
  return notes.filter(([holds]) => holds).map(([, text]) => text)
}

/** Members of a row, in either form. */
function membersOf(row: Row | undefined): ReadonlySet<string> {
  const single = Object.entries(row ?? {}).flatMap(([field, value]) =>
    field.startsWith(MEMBER) && value === true ? [field.slice(MEMBER.length)] : []
  )
  return new Set([...((row?.members ?? []) as readonly string[]), ...single])
}

function memberEntries(path: string, before: ReadonlySet<string>, after: ReadonlySet<string>): readonly AuditEntry[] {
  const entry = (operation: string, user: string): AuditEntry => ({
    operation,
    action: 'update',
    resource: path,
    parameters: { user }
  })
  return [
    ...[...after].filter(user => !before.has(user)).map(user => entry('group.adduser', user)),
    ...[...before].filter(user => !after.has(user)).map(user => entry('group.removeuser', user))
  ]
}

/** Fields of single members that were taken out. */
const droppedMembers = (row: Row): readonly string[] =>
  Object.keys(row).filter(field => field.startsWith(MEMBER) && row[field] === null)

function auditWrite(path: string, op: 'create' | 'update', row: Row, live: Row | undefined): readonly AuditEntry[] {
  const before = membersOf(live)
  const exact = row.members !== undefined
  const after = new Set([...(exact ? [] : before), ...membersOf(row)])
  for (const field of droppedMembers(row)) after.delete(field.slice(MEMBER.length))
  const summary = (row: Row | undefined): Json => row?.summary ?? null
  const edited = op === 'update' && row.summary !== undefined && summary(row) !== summary(live)
  return [
    ...(op === 'create' ? [{ operation: 'group.create', action: op, resource: path } as const] : []),
    ...(edited ? [{ operation: 'group.edit', action: 'update', resource: path } as const] : []),
    ...memberEntries(path, before, after)
  ]
}

async function inventory(sql: Sql, workspaces: readonly string[]) {
  return sql<{ workspace: string; path: string; own: boolean }[]>`
    select workspace_id as workspace, name as path,
           name in (select jsonb_array_elements_text(${JSON.stringify([...ownGroups, 'success_handler'])}::text::jsonb)) as own
      from group_
     where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
     order by workspace_id, name collate "C"`
}

/** A group without members leaves them to whoever adds some. */
async function exported(_sql: Sql, rows: readonly Exporting[]): Promise<readonly Exported[]> {
  return rows.map(({ row }) => {
    const members = [...membersOf(row)].sort()
    return { spec: { summary: row['summary'] || null, members: members.length > 0 ? members : null } }
  })
}

export default {
  kind: 'WindmillGroup',
  plural: 'windmillgroups',
  pathField: 'name',
  after: ['WindmillWorkspace'],
  rules: 1,
  uses: {
    group_: ['workspace_id', 'name', 'summary', 'extra_perms'],
    usr_to_group: ['workspace_id', 'group_', 'usr'],
    usr: ['workspace_id', 'username', 'email'],
    instance_group: ['name']
  },
  target: ({ workspace, name }) => ({ workspace, path: name }),
  inventory,
  exported,
  facts,
  compile(input, facts, context) {
    const resolved = resolve(input, facts, context)
    const { summary } = input.spec
    return {
      row: { ...(summary !== undefined && { summary }), ...membersRow(input, resolved) },
      notes: notesOf(input, facts, resolved, context),
      unsettled: resolved.pending > 0
    }
  },
  tokens: groupTokens,
  async observe(sql, targets, { user }) {
    const rows = await readGroups(sql, targets)
    return rows.map(({ workspace, path, summary, members }) => {
      const others = members.filter(name => name !== user).sort()
      const single = ownGroups.has(path)
        ? Object.fromEntries(others.map(name => [MEMBER + name, true]))
        : { members: others }
      return { workspace, path, row: path === 'all' ? { summary } : { summary, ...single } }
    })
  },
  edits: (sql, targets, context) => auditedEdits(sql, targets, { prefix: 'group.' }, context),
  write: (sql, writes, context) => writeGroups(sql, writes, MEMBER, context),
  remove: (sql, removals) => deleteGroups(sql, removals, MEMBER),
  dropped: field => field.startsWith(MEMBER),
  /** Windmill cleans no reference to a group that goes (contract: workspaces-and-permissions §4, trap 9). */
  async blockers(sql, removals, context) {
    const places = removals
      .filter(({ path }) => !ownGroups.has(path))
      .map(({ workspace, path }) => ({ workspace, path, root: `g/${path}` }))
    const [below, granted] = [await itemsBelow(sql, places, context), await grantsTo(sql, places, context)]
    const why = places.flatMap(({ workspace, path, root }) => {
      const key = targetKey(workspace, root)
      const users = [...new Set([...(below.get(key) ?? []), ...(granted.get(key) ?? [])])].sort()
      const text = `Group ${root} is still named by ${users.join(', ')}: take it out there first.`
      return users.length > 0 ? [[targetKey(workspace, path), text] as const] : []
    })
    return new Map(why)
  },
  audit(change) {
    const { path } = change
    if (!('fields' in change)) return auditWrite(path, change.op, change.row, change.live)
    if (change.op === 'retire') return []
    if (!ownGroups.has(path)) return [{ operation: 'group.delete', action: 'delete', resource: path }]
    const ours = change.fields.filter(field => field.startsWith(MEMBER) && change.live[field] === true)
    return memberEntries(path, new Set(ours.map(field => field.slice(MEMBER.length))), new Set())
  }
} satisfies Kind<Spec, Facts>
