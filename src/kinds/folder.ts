/** Folders: who may read and write the items below `f/<name>/`. */
import { SyncError } from '../errors.ts'
import {
  type Context,
  type Exported,
  type Exporting,
  type Input,
  type Json,
  type Kind,
  type Row,
  type Sql,
  type Target,
  targetKey
} from '../model.ts'
import { auditedEdits } from '../windmill/audit.ts'
import { type FolderRow, insertFolders, liveOwners, readFolders, updateFolders } from '../windmill/folders.ts'
import { itemsBelow } from '../windmill/items.ts'
import { labelsOf, labelsRead } from '../windmill/labels.ts'
import { rowTokens } from '../windmill/row-writer.ts'
import { findRunAs, isKnown, type RunAsFound, runAs } from '../windmill/run-as.ts'
import { findPrincipals } from '../windmill/users.ts'

interface Spec {
  readonly workspace?: string
  readonly name: string
  readonly displayName?: string
  readonly summary?: string
  readonly owners?: readonly string[]
  readonly extraPerms?: Readonly<Record<string, boolean>>
  readonly labels?: readonly string[]
  readonly defaultPermissionedAs?: readonly { readonly pathGlob: string; readonly permissionedAs: string }[]
}

interface Facts {
  /** Owners that the live row has, by target; only of folders that state permissions but no owners. */
  readonly owners: ReadonlyMap<string, readonly string[]>
  /** Users and groups that exist, as `targetKey(workspace, 'u/…')`. */
  readonly known: ReadonlySet<string>
  /** Users that code may come to run as by default. */
  readonly runAs: RunAsFound
}

/** Users and groups that the CR names. */
const namesOf = ({ owners = [], extraPerms = {}, defaultPermissionedAs = [] }: Spec): readonly string[] => {
  const all = [...owners, ...Object.keys(extraPerms), ...defaultPermissionedAs.map(rule => rule.permissionedAs)]
  return [...new Set(all)].filter(name => /^[ug]\//.test(name)).sort()
}

/** Users whom new items of the folder are to run as. */
const actorsOf = ({ defaultPermissionedAs = [] }: Spec): readonly string[] =>
  defaultPermissionedAs.map(rule => rule.permissionedAs).filter(who => !who.startsWith('g/'))

async function facts(sql: Sql, inputs: readonly Input<Spec>[], context: Context): Promise<Facts> {
  const unowned = inputs.filter(({ spec }) => spec.extraPerms && !spec.owners)
  const named = inputs.flatMap(({ spec, workspace }) => namesOf(spec).map(who => ({ workspace, who })))
  const actors = inputs.flatMap(({ spec, workspace }) => actorsOf(spec).map(who => ({ workspace, who })))
  return {
    owners: await liveOwners(sql, unowned),
    known: await findPrincipals(sql, named),
    runAs: await findRunAs(sql, actors, context)
  }
}

/**
 * An owner has write permission, else not even he sees the folder (contract: workspaces-and-permissions §3, trap 7). So
 * that entry of the permissions is part of being an owner here, on both sides of every comparison: it comes with an
 * owner, goes with an owner, and `extraPerms` holds the other entries only.
 */
function permissions({ spec, workspace, path }: Input<Spec>, facts: Facts): Row {
  const owners = spec.owners ?? facts.owners.get(targetKey(workspace, path)) ?? []
  const refused = owners.find(owner => spec.extraPerms?.[owner] === false)
  if (refused !== undefined) {
    const remedy = spec.owners ? 'remove one of the two' : 'list the wanted owners in owners, without it'
    throw notOwner(refused, remedy)
  }
  const others = Object.entries(spec.extraPerms ?? {}).filter(([who]) => !owners.includes(who))
  return {
    ...(spec.owners && { owners: [...new Set(spec.owners)].sort() }),
    ...(spec.extraPerms && { extraPerms: Object.fromEntries(others) })
  }
}

const notOwner = (who: string, remedy: string): SyncError =>
  new SyncError('InvalidSpec', `extraPerms says false for ${who}, but an owner always may write: ${remedy}.`)

/** Columns that came with newer releases; what is stated without a column is ignored. */
function newer(
  { labels, defaultPermissionedAs: rules }: Spec,
  context: Context
): { row: Row; notes: readonly string[] } {
  const labelled = labelsOf('folder', labels, context)
  if (!rules) return labelled
  if (context.capabilities.has('folder', 'default_permissioned_as')) {
    return { row: { ...labelled.row, defaultPermissionedAs: rules.map(rule => ({ ...rule })) }, notes: labelled.notes }
  }
  return {
    ...labelled,
    notes: [...labelled.notes, 'defaultPermissionedAs: this Windmill has no such column; ignored.']
  }
}

/** Whoever is not known may still come: the order of manifests and sign-ups must not matter. */
function unknownNote({ spec, workspace }: Input<Spec>, { known }: Facts, { user }: Context): string | undefined {
  const unknown = namesOf(spec).filter(who => !known.has(targetKey(workspace, who)) && who !== `u/${user}`)
  if (unknown.length === 0) return undefined
  const shown = unknown.slice(0, 5).join(', ')
  const rest = unknown.length > 5 ? ` and ${unknown.length - 5} more` : ''
  return unknown.length === 1
    ? `${shown} is not known in this workspace yet.`
    : `${shown}${rest} are not known in this workspace yet.`
}

function check({ owners = [], extraPerms = {} }: Spec): void {
  const refused = owners.find(owner => extraPerms[owner] === false)
  if (refused !== undefined) throw notOwner(refused, 'remove one of the two')
}

/** Windmill makes these in each new workspace (contract: workspaces-and-permissions §1.2). */
const ownFolders = ['app_themes', 'app_custom', 'app_groups', 'slack_bot']

async function inventory(sql: Sql, workspaces: readonly string[]) {
  return sql<{ workspace: string; path: string; own: boolean }[]>`
    select workspace_id as workspace, name as path,
           name in (select jsonb_array_elements_text(${JSON.stringify(ownFolders)}::text::jsonb)) as own
      from folder
     where workspace_id in (select jsonb_array_elements_text(${JSON.stringify(workspaces)}::text::jsonb))
     order by workspace_id, name collate "C"`
}

const isEmpty = (value: Json | undefined): boolean =>
  value !== null && typeof value === 'object' && Object.keys(value).length === 0

async function exported(_sql: Sql, rows: readonly Exporting[]): Promise<readonly Exported[]> {
  return rows.map(({ path, row }) => ({
    spec: {
      displayName: row['displayName'] === path.slice(0, 100) ? null : row['displayName'],
      summary: row['summary'] || null,
      owners: isEmpty(row['owners']) ? null : row['owners'],
      extraPerms: isEmpty(row['extraPerms']) ? null : row['extraPerms'],
      labels: row['labels'],
      defaultPermissionedAs: isEmpty(row['defaultPermissionedAs']) ? null : row['defaultPermissionedAs']
    }
  }))
}

function removable(removals: readonly Target[]): { workspace: string; root: string }[] {
  return removals.map(({ workspace, path }) => ({ workspace, root: `f/${path}` }))
}

const rowOf = (
  { displayName, summary, owners, extraPerms, labels, rules }: FolderRow,
  { capabilities }: Context
): Row => ({
  displayName,
  summary,
  owners: [...new Set(owners)].sort(),
  extraPerms,
  ...(capabilities.has('folder', 'labels') && { labels: labelsRead(labels) }),
  ...(capabilities.has('folder', 'default_permissioned_as') && { defaultPermissionedAs: rules })
})

export default {
  kind: 'WindmillFolder',
  plural: 'windmillfolders',
  pathField: 'name',
  after: ['WindmillWorkspace', 'WindmillGroup'],
  rules: 1,
  uses: {
    folder: ['workspace_id', 'name', 'display_name', 'owners', 'extra_perms', 'summary', 'edited_at', 'created_by'],
    usr: ['workspace_id', 'username', 'email'],
    group_: ['workspace_id', 'name'],
    instance_group: ['name']
  },
  target: ({ workspace, name }) => ({ workspace, path: name }),
  check,
  inventory,
  exported,
  facts,
  compile(input, facts, context) {
    const { displayName, summary } = input.spec
    const { row, notes } = newer(input.spec, context)
    for (const who of actorsOf(input.spec)) {
      if (isKnown(facts.runAs, input.workspace, who)) runAs(facts.runAs, input, who, 'defaultPermissionedAs')
    }
    const unknown = unknownNote(input, facts, context)
    return {
      row: {
        ...(displayName !== undefined && { displayName }),
        ...(summary !== undefined && { summary }),
        ...permissions(input, facts),
        ...row
      },
      notes: unknown === undefined ? notes : [...notes, unknown],
      unsettled: unknown !== undefined
    }
  },
  tokens: (sql, targets) => rowTokens(sql, 'folder', targets),
  async observe(sql, targets, context) {
    const rows = await readFolders(sql, targets, context)
    return rows.map(row => ({
      workspace: row.workspace,
      path: row.path,
      row: rowOf(row, context),
      editedAt: row.editedAt
    }))
  },
  edits: (sql, targets, context) => auditedEdits(sql, targets, { prefix: 'folder.' }, context),
  async write(sql, writes, context) {
    await insertFolders(
      sql,
      writes.filter(write => write.op === 'create'),
      context
    )
    await updateFolders(
      sql,
      writes.filter(write => write.op === 'update'),
      context
    )
  },
  async remove(sql, removals) {
    await sql`
      delete from folder t using jsonb_array_elements(${JSON.stringify(removable(removals))}::text::jsonb) j
       where t.workspace_id = j->>'workspace' and 'f/' || t.name = j->>'root'`
  },
  /** Windmill deletes a folder and leaves its items to admins alone (contract: workspaces-and-permissions §3). */
  async blockers(sql, removals, context) {
    const found = await itemsBelow(sql, removable(removals), context)
    const why = removals.flatMap(({ workspace, path }) => {
      const nouns = found.get(targetKey(workspace, `f/${path}`))
      const text = `Folder f/${path} still holds ${nouns?.join(', ')}: move or delete them first.`
      return nouns ? [[targetKey(workspace, path), text] as const] : []
    })
    return new Map(why)
  },
  audit({ op, path }) {
    if (op === 'retire') return []
    return [{ operation: `folder.${op}`, action: op, resource: path }]
  }
} satisfies Kind<Spec, Facts>
