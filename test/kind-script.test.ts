/** Scripts at the three schemas: rows column by column, lineage, locks and their jobs, importers, removal, the contract's traps. */
import kindFile from '../src/kinds/script.ts'
import { type AnyKind, type Kind, type Removal, targetKey, type Write } from '../src/model.ts'
import { hexOfHash } from '../src/windmill/script-hash.ts'
import { applyOne, type Done, type Given, listedOf } from './support/kind.ts'
import { assert, rejects, suite } from './support/suite.ts'
import { inWindmill, releases, type Release, type World } from './support/windmill.ts'

const test = suite('kind script')
const kind = kindFile as unknown as AnyKind
const view = kindFile as unknown as Kind

/** The service identity is a member; `alice` and `bob` may be acted for. */
const inWorkspace = (variant: Release, work: (world: World) => Promise<void>): Promise<void> =>
  inWindmill(variant, async world => {
    await world.sql`
      insert into usr (workspace_id, username, email, is_admin)
      select w, u, e, u = 'iac_controller' from unnest('{w,other}'::text[]) w,
             (values ('iac_controller', 'iac-controller@cluster.local'), ('alice', 'alice@example.com'), ('bob', 'bob@example.com')) as p(u, e)`
    await work(world)
  })

type Spec = Record<string, unknown>

const apply = (
  { database, context }: World,
  spec: Spec,
  more: Partial<Given> = {}
): Promise<Done> => applyOne(database, kind, { spec, workspace: 'w', ...more }, context)

const python = 'def main(x: int):\n    return x\n'
const bash = 'echo 1\n'
const base = { path: 'f/a/b', language: 'python3', content: python, schema: { type: 'object', properties: {} } }

const isNewest = ({ variant }: World): boolean => variant === '2026-08'
const isOldest = ({ variant }: World): boolean => variant === '1.463.2'

/** All versions of a path, newest first; bigint as text. */
async function versions({ sql }: World, path = 'f/a/b', workspace = 'w'): Promise<Record<string, any>[]> {
  const rows = await sql`
    select *, hash::text as hash, parent_hashes::text[] as parent_hashes, schema::text as schema, created_at::text as at
      from script where workspace_id = ${workspace} and path = ${path} order by created_at desc`
  return rows as unknown as Record<string, any>[]
}

for (const variant of releases) {
  test(`${variant}: smoke`, () =>
    inWorkspace(variant, async world => {
      const done = await apply(world, base)
      console.log(done.op, done.compiled, done.row, done.tokenAfter)
      console.log(await versions(world))
      const again = await apply(world, base)
      console.log(again.op)
      const third = await apply(world, { ...base, content: python + '\n' })
      console.log(third.op, third.tokenAfter)
      console.log((await versions(world)).map(v => [v.hash, v.parent_hashes, v.archived, v.lock, v.at]))
    }))
}
test.run()
