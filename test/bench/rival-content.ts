/**
 * The design that a script for this job usually begins as: list everything with specs, read all rows with their contents,
 * compare in memory, write what differs in batches. As careful with batches, connections and concurrency as ours; it
 * writes the plain row only, no versions, jobs, audit, ledger or encryption, and prunes nothing: less than ours.
 */
import { plain } from '../support/database.ts'
import { ask, atOnce, type Item, pagesOf, statusBody } from './lib/bare-http.ts'
import {
  filled,
  type Mapping,
  mappings,
  orderedKinds,
  sameRow,
  selectList,
  sourceOf,
  upsertSql,
  type Values
} from './lib/rows.ts'

const plurals = JSON.parse(process.env['BENCH_PLURALS'] ?? '{}') as Record<string, string>
const sql = plain(process.env['DATABASE_URL'] ?? '', { max: 2, connection: { application_name: 'rival' } })
const sources = new Map<string, Promise<Record<string, string>>>()
let written = 0

/** Every Secret and ConfigMap once. */
function dataOf(path: string): Promise<Record<string, string>> {
  let found = sources.get(path)
  if (!found)
    sources.set(
      path,
      (found = ask({ path }).then(body => (JSON.parse(body.toString()) as { data: Record<string, string> }).data))
    )
  return found
}

async function specOf(item: Item): Promise<Item['spec']> {
  const from = sourceOf(item.spec)
  if (!from) return item.spec
  const data = await dataOf(`/api/v1/namespaces/${item.metadata.namespace}/${from.plural}/${from.name}`)
  const value = data[from.key] ?? ''
  return filled(item.spec, from.plural === 'secrets' ? Buffer.from(value, 'base64').toString() : value)
}

async function reconcile(plural: string, mapping: Mapping): Promise<void> {
  const items: Item[] = []
  for await (const page of pagesOf(plural, 'application/json')) items.push(...page)
  const keyOf = (row: Values): string => mapping.key.map(column => row[column]).join('\0')
  const live = new Map<string, Values>()
  await sql
    .unsafe<Record<string, string>[]>(`select ${selectList(mapping)} from ${mapping.table}`)
    .forEach(row => live.set(keyOf(row), row))
  const different: Values[] = []
  for (const item of items) {
    const wanted = mapping.row(await specOf(item), item.metadata.namespace)
    const found = live.get(keyOf(wanted))
    if (!found || !sameRow(mapping, wanted, found)) different.push(wanted)
  }
  const batches = Array.from({ length: Math.ceil(different.length / 500) }, (_, index) =>
    different.slice(index * 500, index * 500 + 500)
  )
  await atOnce(2, batches, rows =>
    sql.unsafe(
      upsertSql(mapping, rows.length),
      rows.flatMap(row => Object.keys(mapping.columns).map(column => row[column] ?? null))
    )
  )
  written += different.length
  await atOnce(
    16,
    items.filter(item => item.status?.observedGeneration !== item.metadata.generation),
    item =>
      ask({
        method: 'PATCH',
        path: `/apis/windmill.dev/v1alpha1/namespaces/${item.metadata.namespace}/${plural}/${item.metadata.name}/status`,
        body: statusBody(item)
      })
  )
}

for (const kind of orderedKinds) {
  const [plural, mapping] = [plurals[kind], mappings[kind]]
  if (plural !== undefined && mapping) await reconcile(plural, mapping)
}
await sql.end({ timeout: 5 })
process.stdout.write(`${JSON.stringify({ written })}\n`)
process.exit()
