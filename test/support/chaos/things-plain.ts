/** Kinds whose rows are plain: folders, groups, resource types, variables, resources, the workspace. */
import { cipherKey, decrypt, encrypt } from '../../../src/windmill/encryption.ts'
import type { Fields, Table, Thing } from './words.ts'

export const workspaceKey = 'k'.repeat(64)
const key = cipherKey(workspaceKey, '')

/** Names of Secrets. */
export const secretNames = ['s-one', 's-two']
export const words = ['one', 'two', 'three', 'four']

/** Items live below these two; a third folder is always empty. */
const roots = ['f/fa', 'f/fb']
export const pathsOf = (letter: string): readonly string[] =>
  roots.flatMap(root => [1, 2].map(n => `${root}/${letter}${n}`))

const texts = (rows: readonly Readonly<Record<string, string | null>>[]): readonly (readonly [string, Fields])[] =>
  rows.map(({ at, ...fields }) => [
    at ?? '',
    Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, value ?? '']))
  ])

const folder: Thing = {
  kind: 'Folder',
  paths: ['fa', 'fb', 'fc'],
  always: {},
  maybe: { displayName: words, summary: words },
  specOf: (name, fields) => ({ name, ...fields }),
  knowsTime: () => true,
  look: async ({ sql }) =>
    texts(
      await sql`select name as at, display_name as "displayName", summary from folder where workspace_id = 'demo' and name in ('fa', 'fb', 'fc')`
    ),
  create: ({ sql }, name, { displayName = name, summary = '' }) => sql`
    insert into folder (workspace_id, name, display_name, summary, owners, extra_perms, edited_at)
    values ('demo', ${name}, ${displayName}, ${summary}, '{u/bob}', '{"u/bob": true}', now())`,
  edit: ({ sql }, name, { displayName, summary }) => sql`
    update folder set display_name = coalesce(${displayName ?? null}, display_name),
           summary = coalesce(${summary ?? null}, summary), edited_at = now()
     where workspace_id = 'demo' and name = ${name}`,
  drop: ({ sql }, name) => sql`delete from folder where workspace_id = 'demo' and name = ${name}`,
  isNeeded: (name, rows) =>
    [...rows].some(([key, { archived }]) => key.split(' ')[1]?.startsWith(`f/${name}/`) && archived !== 'true')
}

const people = ['', 'alice', 'alice,bob', 'bob,carol']

const putMembers = async ({ sql }: Table, group: string, members: string): Promise<void> => {
  await sql`delete from usr_to_group where workspace_id = 'demo' and group_ = ${group}`
  for (const usr of members.split(',').filter(Boolean))
    await sql`insert into usr_to_group (workspace_id, group_, usr) values ('demo', ${group}, ${usr})`
}

const group: Thing = {
  kind: 'Group',
  paths: ['ga', 'gb', 'gc'],
  always: {},
  maybe: { summary: words, members: people },
  specOf: (name, { members, ...fields }) => ({
    name,
    ...fields,
    ...(members !== undefined && { members: members.split(',').filter(Boolean) })
  }),
  knowsTime: () => false,
  look: async ({ sql }) =>
    texts(
      await sql`
        select name as at, summary, (select coalesce(string_agg(usr, ',' order by usr), '') from usr_to_group u
           where u.workspace_id = g.workspace_id and u.group_ = g.name and usr <> 'iac_controller') as members
          from group_ g where workspace_id = 'demo' and name in ('ga', 'gb', 'gc')`
    ),
  async create(table, name, { summary = '', members = '' }) {
    await table.sql`insert into group_ (workspace_id, name, summary) values ('demo', ${name}, ${summary})`
    await putMembers(table, name, members)
  },
  async edit(table, name, { summary, members }) {
    if (summary !== undefined)
      await table.sql`update group_ set summary = ${summary} where workspace_id = 'demo' and name = ${name}`
    if (members !== undefined) await putMembers(table, name, members)
  },
  async drop({ sql }, name) {
    await sql`delete from usr_to_group where workspace_id = 'demo' and group_ = ${name}`
    await sql`delete from group_ where workspace_id = 'demo' and name = ${name}`
  }
}

export const types = ['c_one', 'c_two', 'c_three']
const schema = (word: string) => ({ type: 'object', properties: { [word]: { type: 'string' } } })

const resourceType: Thing = {
  kind: 'ResourceType',
  paths: types,
  always: { schema: words },
  maybe: { description: words },
  specOf: (name, { schema: word = '', ...fields }) => ({ name, ...fields, schema: schema(word) }),
  knowsTime: () => true,
  look: async ({ sql }) =>
    texts(
      await sql`
        select name as at, (select string_agg(k, ',') from jsonb_object_keys(schema->'properties') k) as schema, description
          from resource_type where workspace_id = 'demo' and name like 'c\\_%' and name <> 'c_foreign'`
    ),
  create: ({ sql }, name, { schema: word = 'one', description = '' }) => sql`
    insert into resource_type (workspace_id, name, schema, description, edited_at, created_by)
    values ('demo', ${name}, ${sql.json(schema(word))}, ${description}, now(), 'bob')`,
  edit: ({ sql }, name, { schema: word, description }) => sql`
    update resource_type set schema = coalesce(${word === undefined ? null : JSON.stringify(schema(word))}::text::jsonb, schema),
           description = coalesce(${description ?? null}, description), edited_at = now()
     where workspace_id = 'demo' and name = ${name}`,
  drop: ({ sql }, name) => sql`delete from resource_type where workspace_id = 'demo' and name = ${name}`,
  isNeeded: (name, rows) => [...rows].some(([key, row]) => key.startsWith('Resource ') && row['resourceType'] === name)
}

const stored = (value: string): readonly [text: string, isSecret: boolean] => {
  const secret = value.startsWith('secret ')
  return secret ? [encrypt(key, value), true] : [value, false]
}

const variable: Thing = {
  kind: 'Variable',
  paths: pathsOf('v'),
  always: { value: [...words, 'secret one', 'secret two', 'secret three'] },
  maybe: { description: words },
  specOf: (path, { value = '', ...fields }) => ({ path, value, isSecret: value.startsWith('secret '), ...fields }),
  knowsTime: ({ has }) => has('variable', 'edited_at'),
  look: async ({ sql }) => {
    const rows = await sql<{ at: string; value: string; description: string; hidden: boolean }[]>`
      select path as at, value, description, is_secret as hidden from variable where workspace_id = 'demo' and path ~ '^f/f[ab]/v'`
    return rows.map(({ at, value, description, hidden }) => [
      at,
      { description, value: hidden ? (decrypt(key, value) ?? 'not to be decrypted') : value }
    ])
  },
  create: ({ sql }, path, { value = 'one', description = '' }) => {
    const [text, isSecret] = stored(value)
    return sql`insert into variable (workspace_id, path, value, is_secret, description) values ('demo', ${path}, ${text}, ${isSecret}, ${description})`
  },
  edit: ({ sql, has }, path, { value, description }) => {
    const [text, isSecret] = value === undefined ? [null, null] : stored(value)
    return sql`
      update variable set value = coalesce(${text}, value), is_secret = coalesce(${isSecret}, is_secret),
             description = coalesce(${description ?? null}, description)
             ${has('variable', 'edited_at') ? sql`, edited_at = now(), edited_by = 'bob'` : sql``}
       where workspace_id = 'demo' and path = ${path}`
  },
  drop: ({ sql }, path) => sql`delete from variable where workspace_id = 'demo' and path = ${path}`,
  isNeeded: (path, rows) =>
    [...rows].some(([key, row]) => key.startsWith('Resource ') && row['value'] === `$var:${path}`)
}

/** A resource may keep a secret in a variable at its own path. */
const resource: Thing = {
  kind: 'Resource',
  paths: pathsOf('r'),
  always: { resourceType: types, value: [...words, '$var:f/fa/v1', '$var:f/fb/v2'] },
  maybe: { description: words, secret: secretNames },
  implied: ({ secret = '' }) => ({ secret }),
  specOf: (path, { value = '', secret, ...fields }) => ({
    path,
    ...fields,
    value: { text: value },
    ...(secret !== undefined && { valuesFrom: [{ field: 'password', secretKeyRef: { name: secret, key: 'text' } }] })
  }),
  knowsTime: () => true,
  async look({ sql }) {
    const rows = await sql<Readonly<Record<string, string | null>>[]>`
      select r.path as at, resource_type as "resourceType", r.value->>'text' as value, r.description,
             r.value->>'password' = '$var:' || r.path as linked, v.value as cipher, v.description as author
        from resource r left join variable v on v.workspace_id = r.workspace_id and v.path = r.path
       where r.workspace_id = 'demo' and r.path ~ '^f/f[ab]/r'`
    return texts(
      rows.map(({ linked, cipher, author, ...row }) => ({
        ...row,
        secret: linked ? (cipher ? (decrypt(key, cipher) ?? 'not to be decrypted') : 'gone') : '',
        ...(!linked && author && { orphan: author })
      }))
    )
  },
  lacks: ({ secret = '' }, _rows, at) =>
    secret !== '' &&
    at?.live['orphan'] !== undefined &&
    (at.base['secret'] ?? '') === '' &&
    at.live['orphan'] !== `Managed by WindmillResource ${at.cr.namespace}/${at.cr.name}`,
  create: ({ sql }, path, { resourceType = 'c_one', value = 'one', description = '' }) => sql`
    insert into resource (workspace_id, path, resource_type, value, description, edited_at, created_by)
    values ('demo', ${path}, ${resourceType}, ${sql.json({ text: value })}, ${description}, now(), 'bob')`,
  async edit({ sql, has }, path, { resourceType, value, description, secret }) {
    if (secret !== undefined) {
      await sql`
        update variable v set value = ${encrypt(key, secret)} ${has('variable', 'edited_at') ? sql`, edited_at = now(), edited_by = 'bob'` : sql``}
          from resource r where v.workspace_id = 'demo' and v.path = ${path} and r.workspace_id = 'demo' and r.path = v.path
           and r.value->>'password' = '$var:' || r.path`
      return
    }
    await sql`
      update resource set resource_type = coalesce(${resourceType ?? null}, resource_type),
             value = value || ${value === undefined ? '{}' : JSON.stringify({ text: value })}::text::jsonb,
             description = coalesce(${description ?? null}, description), edited_at = now()
       where workspace_id = 'demo' and path = ${path}`
  },
  async drop({ sql }, path) {
    await sql`delete from variable where workspace_id = 'demo' and path = ${path}`
    await sql`delete from resource where workspace_id = 'demo' and path = ${path}`
  }
}

const workspace: Thing = {
  kind: 'Workspace',
  paths: ['demo'],
  always: { name: words },
  maybe: { color: ['#111111', '#222222'], level: words },
  clears: ['level'],
  specOf: (id, { name, color, level }) => ({
    id,
    name,
    ...(color !== undefined && { settings: { color } }),
    ...(level !== undefined && { environment: { LEVEL: level } })
  }),
  knowsTime: () => false,
  look: async ({ sql }) =>
    texts(
      await sql`
        select w.id as at, w.name, s.color, coalesce(e.value, '') as level from workspace w
          join workspace_settings s on s.workspace_id = w.id
          left join workspace_env e on e.workspace_id = w.id and e.name = 'LEVEL' where w.id = 'demo'`
    ),
  create: async () => undefined,
  async edit({ sql }, id, { name, color, level }) {
    if (name !== undefined) await sql`update workspace set name = ${name} where id = ${id}`
    if (color !== undefined) await sql`update workspace_settings set color = ${color} where workspace_id = ${id}`
    if (level !== undefined)
      await sql`
        insert into workspace_env (workspace_id, name, value) values (${id}, 'LEVEL', ${level})
        on conflict (workspace_id, name) do update set value = excluded.value`
  },
  drop: async () => undefined,
  isKept: true
}

export const plainThings: readonly Thing[] = [workspace, group, resourceType, folder, variable, resource]
