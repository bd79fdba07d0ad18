/**
 * The design that a controller's tutorial leads to: every object on its own (GET, SELECT, compare, UPSERT, PATCH), four
 * workers. It writes the plain row only, no versions, jobs, audit, ledger or encryption, and prunes nothing: less than ours.
 */
import { plain } from '../support/database.ts'
import { ask, atOnce, type Item, metadataList, pagesOf, statusBody } from './lib/bare-http.ts'
import { filled, type Mapping, mappings, orderedKinds, sameRow, selectList, sourceOf, upsertSql } from './lib/rows.ts'

const workers = 4
const plurals = JSON.parse(process.env['BENCH_PLURALS'] ?? '{}') as Record<string, string>
const sql = plain(process.env['DATABASE_URL'] ?? '', { max: workers, connection: { application_name: 'rival' } })
let written = 0

async function specOf(item: Item): Promise<Item['spec']> {
  const from = sourceOf(item.spec)
  if (!from) return item.spec
  const { data } = JSON.parse(
    (await ask({ path: `/api/v1/namespaces/${item.metadata.namespace}/${from.plural}/${from.name}` })).toString()
  ) as { data: Record<string, string> }
  const value = data[from.key] ?? ''
  return filled(item.spec, from.plural === 'secrets' ? Buffer.from(value, 'base64').toString() : value)
}

async function reconcile(path: string, mapping: Mapping): Promise<void> {
  const item = JSON.parse((await ask({ path, sockets: workers })).toString()) as Item
  const wanted = mapping.row(await specOf(item), item.metadata.namespace)
  const where = mapping.key
    .map((column, index) => `${column} = $${index + 1}::text::${mapping.columns[column]}`)
    .join(' and ')
  const keys = mapping.key.map(column => wanted[column] ?? null)
  const [live] = await sql.unsafe<Record<string, string>[]>(
    `select ${selectList(mapping)} from ${mapping.table} where ${where}`,
    keys
  )
  if (!live || !sameRow(mapping, wanted, live)) {
    await sql.unsafe(
      upsertSql(mapping, 1),
      Object.keys(mapping.columns).map(column => wanted[column] ?? null)
    )
    written++
  }
  if (item.status?.observedGeneration === item.metadata.generation) return
  await ask({ method: 'PATCH', path: `${path}/status`, body: statusBody(item), sockets: workers })
}

for (const kind of orderedKinds) {
  const [plural, mapping] = [plurals[kind], mappings[kind]]
  if (plural === undefined || !mapping) continue
  const paths: string[] = []
  for await (const page of pagesOf(plural, metadataList)) {
    for (const { metadata } of page)
      paths.push(`/apis/windmill.dev/v1alpha1/namespaces/${metadata.namespace}/${plural}/${metadata.name}`)
  }
  await atOnce(workers, paths, path => reconcile(path, mapping))
}
await sql.end({ timeout: 5 })
process.stdout.write(`${JSON.stringify({ written })}\n`)
process.exit()
