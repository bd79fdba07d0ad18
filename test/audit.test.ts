/** Audit rows at the three schemas, with and without a place for today, and that they never cost the data. */
import { type AuditRecord, writeAudit } from '../src/windmill/audit.ts'
import { assert, suite } from './support/suite.ts'
import { inWindmill, releases, type World } from './support/windmill.ts'

const test = suite('audit')

const source = { namespace: 'team-a', name: 'vars', uid: 'u-1', generation: 7 }
const record: AuditRecord = { workspace: 'w', operation: 'folder.create', action: 'create', resource: 'data', source }

const write = ({ database, context }: World, records: readonly AuditRecord[]) =>
  database.write(async sql => writeAudit(sql, records, context))

const rowsOf = async ({ sql }: World, table: string): Promise<readonly Record<string, unknown>[]> => {
  const rows = await sql`select *, timestamp > now() - interval '1 minute' as fresh from ${sql(table)} order by id`
  return rows.map(row =>
    Object.fromEntries(Object.entries(row).filter(([column]) => !['id', 'timestamp'].includes(column)))
  )
}

for (const variant of releases) {
  const usual = variant === '2026-08' ? 'audit_partitioned' : 'audit'

  test(`${variant}: a row has every column as the contract says`, () =>
    inWindmill(variant, async world => {
      assert.is(await write(world, [record, { ...record, action: 'delete', parameters: { user: 'ann' } }]), usual)
      const expected = {
        workspace_id: 'w',
        username: 'iac_controller',
        operation: 'folder.create',
        resource: 'data',
        fresh: true,
        ...(variant !== '1.463.2' && { email: 'iac-controller@cluster.local', span: null })
      }
      const parameters = { source: 'kubernetes', namespace: 'team-a', name: 'vars', uid: 'u-1', generation: 7 }
      assert.equal(await rowsOf(world, usual), [
        { ...expected, action_kind: 'create', parameters },
        { ...expected, action_kind: 'delete', parameters: { ...parameters, user: 'ann' } }
      ])
      if (usual !== 'audit') assert.equal(await rowsOf(world, 'audit'), [])
    }))

  test(`${variant}: trap 18, too long texts are cut between characters`, () =>
    inWindmill(variant, async world => {
      await write(world, [{ ...record, operation: 'o'.repeat(60), resource: '🗂'.repeat(300) }])
      const [row] = await rowsOf(world, usual)
      assert.equal([row?.operation, row?.resource], ['o'.repeat(50), '🗂'.repeat(255)])
    }))

  test(`${variant}: changes to the instance belong to the workspace global, unknown sources say less`, () =>
    inWindmill(variant, async world => {
      await write(world, [
        { ...record, workspace: '', source: { namespace: '', name: 'windmill-iac', uid: '', generation: 0 } }
      ])
      const [row] = await rowsOf(world, usual)
      assert.equal([row?.workspace_id, row?.parameters], ['global', { source: 'kubernetes', name: 'windmill-iac' }])
    }))

  test(`${variant}: when no table takes the record, the change still lands`, () =>
    inWindmill(variant, async world => {
      const { database, sql, context } = world
      await sql`alter table audit add constraint none check (operation = 'never') not valid`
      if (variant === '2026-08')
        await sql`alter table audit_partitioned add constraint none check (operation = 'never') not valid`
      const took = await database.write(async inner => {
        await inner`insert into group_ (workspace_id, name) values ('w', 'before')`
        const table = await writeAudit(inner, [record], context)
        await inner`insert into group_ (workspace_id, name) values ('w', 'after')`
        return table
      })
      assert.is(took, undefined)
      const names = await sql`select name from group_ where workspace_id = 'w' order by name`
      assert.equal(
        names.map(row => row.name),
        ['after', 'all', 'before']
      )
    }))
}

test('trap 18: without a partition for today the old table takes the record, and the change lands', () =>
  inWindmill('2026-08', async world => {
    const { database, sql, context } = world
    const today = new Date().toISOString().slice(0, 10).replaceAll('-', '')
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')
    for (const day of [today, tomorrow]) await sql`drop table ${sql(`audit_${day}`)}`
    const took = await database.write(async inner => {
      await inner`insert into group_ (workspace_id, name) values ('w', 'g')`
      return writeAudit(inner, [record, record], context)
    })
    assert.is(took, 'audit')
    assert.is((await rowsOf(world, 'audit')).length, 2)
    assert.equal(await rowsOf(world, 'audit_partitioned'), [])
    const [row] = await sql`select count(*)::int as count from group_ where name = 'g'`
    assert.is(row?.count, 1)
  }))

test('nothing to record is no statement, and a missing table is passed over', () =>
  inWindmill('1.463.2', async world => {
    assert.is(await write(world, []), undefined)
    const none = { ...world.context, capabilities: { ...world.context.capabilities, has: () => false } }
    assert.is(await world.database.write(sql => writeAudit(sql, [record], none)), undefined)
  }))

test.run()
