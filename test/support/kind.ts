/** Runs one kind the way the pipeline does, without the pipeline: for the tests of single kinds. */
import type { Database } from '../../src/database/client.ts'
import type { AnyKind, Compiled, Context, Input, Kind, Listed, Ref, Row } from '../../src/model.ts'
import { targetKey } from '../../src/model.ts'
import { differences } from '../../src/plan.ts'
import { readTokens } from '../../src/windmill/targets.ts'

export interface Given {
  readonly spec: Record<string, unknown>
  readonly workspace: string
  /** Contents of Secrets and ConfigMaps by `name/key`. */
  readonly texts?: Readonly<Record<string, string>>
  readonly listed?: Partial<Listed>
  /** Fields of the last apply, as the ledger would remember them. */
  readonly previous?: readonly string[]
}

export interface Done {
  readonly op: 'create' | 'update' | 'keep'
  readonly compiled: Compiled
  readonly tokenBefore: string | undefined
  readonly tokenAfter: string | undefined
  /** All modelled fields as the database has them afterwards. */
  readonly row: Row
}

export function listedOf(kind: Pick<AnyKind, 'kind'>, part: Partial<Listed> = {}): Listed {
  return {
    kind: kind.kind,
    namespace: 'test',
    name: 'one',
    uid: '11111111-1111-1111-1111-111111111111',
    generation: 1,
    revision: '1',
    createdAt: '2026-01-01T00:00:00Z',
    changedAt: '2026-01-01T00:00:00Z',
    labels: {},
    annotations: {},
    origin: '',
    ...part
  }
}

/** One CR through facts, compile, observe, write and read back. Throws what the kind throws. */
export async function applyOne(database: Database, anyKind: AnyKind, given: Given, context: Context): Promise<Done> {
  const kind = anyKind as unknown as Kind
  const listed = listedOf(anyKind, given.listed)
  const { path } = kind.target(given.spec)
  const text = (ref: Ref): string => {
    const found = given.texts?.[`${ref.name}/${ref.key}`]
    if (found === undefined) throw new Error(`the test gives no ${ref.name}/${ref.key}`)
    return found
  }
  const input: Input = { listed, spec: given.spec, workspace: given.workspace, path, text }
  const { compiled, live, tokenBefore } = await database.read(async sql => {
    const facts = await kind.facts?.(sql, [input], context)
    const compiled = kind.compile(input, facts, context)
    const targets = [
      { workspace: given.workspace, path, fields: [...Object.keys(compiled.row), ...(given.previous ?? [])] }
    ]
    const tokens = await readTokens(sql, kind, targets, context)
    const [live] = await kind.observe(sql, targets, context)
    return { compiled, live, tokenBefore: tokens.get(targetKey(given.workspace, path)) }
  })
  const dropped = (given.previous ?? []).filter(field => !(field in compiled.row) && kind.dropped?.(field))
  const want = { ...compiled.row, ...Object.fromEntries(dropped.map(field => [field, null])) }
  const op = live ? (differences(want, live.row).length === 0 ? 'keep' : 'update') : 'create'
  const targets = [{ workspace: given.workspace, path, fields: Object.keys(compiled.row) }]
  const after = await database.write(async sql => {
    if (op !== 'keep') {
      const guard = compiled.guard === undefined ? {} : { guard: compiled.guard }
      const write = { op, workspace: given.workspace, path, row: want, listed, ...guard } as const
      await kind.write(sql, [live ? { ...write, live: live.row } : write], context)
    }
    return { tokens: await readTokens(sql, kind, targets, context), rows: await kind.observe(sql, targets, context) }
  })
  return {
    op,
    compiled,
    tokenBefore,
    tokenAfter: after.tokens.get(targetKey(given.workspace, path)),
    row: after.rows[0]?.row ?? {}
  }
}
