/** The least that a part of the work can take: bare requests and bare queries, timed without the start of the process. */

import { plain } from '../support/database.ts'
import { ask, atOnce, metadataList, metadataObject, pagesOf, statusBody, tableList } from './lib/bare-http.ts'
import { sizesOf, type Thing, thingsOf, type WorldOptions } from './lib/world.ts'

const [what = '', argument = ''] = process.argv.slice(2)
const plurals = JSON.parse(process.env['BENCH_PLURALS'] ?? '{}') as Record<string, string>

/** All kinds at once, pages of a kind one after the other, as tokens demand. */
async function lists(accept: string, query = ''): Promise<void> {
  await Promise.all(
    Object.values(plurals).map(async plural => {
      let seen = 0
      for await (const page of pagesOf(plural, accept, query)) seen += page.length
      return seen
    })
  )
}

/** So many requests to single objects, spread over the kinds as the objects are. */
async function singles(count: number, method: 'GET' | 'PATCH'): Promise<void> {
  const world = JSON.parse(process.env['BENCH_WORLD'] ?? '{}') as WorldOptions
  const all = [...sizesOf(world)].flatMap(([kind, size]) => thingsOf(kind, size))
  const some = Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)] as Thing)
  const body = statusBody({ metadata: { name: '', namespace: 'team-0', generation: 1 }, spec: {} })
  const rest = method === 'PATCH' ? { method, accept: metadataObject, body } : {}
  await timed(() =>
    atOnce(16, some, async ({ kind, namespace, name }) => {
      const path = `/apis/windmill.dev/v1alpha1/namespaces/${namespace}/${plurals[kind]}/${name}${method === 'PATCH' ? '/status' : ''}`
      JSON.parse((await ask({ path, ...rest })).toString())
    })
  )
}

/** Key and version of every row that a CR can stand for. */
const tokens = [
  ['script', 'path, hash::text, xmin::text', 'not archived'],
  ['flow', 'path, xmin::text, versions[array_upper(versions, 1)]::text', 'true'],
  ['app', 'path, xmin::text', 'true'],
  ['schedule', 'path, xmin::text', 'true'],
  ['variable', 'path, xmin::text', 'true'],
  ['resource', 'path, xmin::text', 'true'],
  ['resource_type', 'name, xmin::text', 'true'],
  ['folder', 'name, xmin::text', 'true'],
  ['group_', 'name, xmin::text', 'true']
] as const

async function queries(): Promise<void> {
  const sql = plain(process.env['DATABASE_URL'] ?? '', { max: 1 })
  await sql`select 1`
  await timed(async () => {
    const found = new Map<string, unknown>()
    for (const [table, columns, where] of tokens) {
      await sql
        .unsafe(`select workspace_id, ${columns} from ${table} where ${where}`)
        .forEach(row => found.set(`${table} ${row['workspace_id']} ${row['path'] ?? row['name']}`, row))
    }
  })
  await sql.end({ timeout: 1 })
}

async function timed(work: () => Promise<void>): Promise<void> {
  const start = performance.now()
  await work()
  process.stdout.write(`${JSON.stringify({ ms: performance.now() - start })}\n`)
}

const work: Readonly<Record<string, () => Promise<void>>> = {
  list: () => timed(() => lists(metadataList)),
  // The very pages that the program lists.
  'table-list': () => timed(() => lists(tableList, '&includeObject=None')),
  'full-list': () => timed(() => lists('application/json')),
  patch: () => singles(Number(argument), 'PATCH'),
  get: () => singles(Number(argument), 'GET'),
  tokens: queries
}
await work[what]?.()
// Kept-alive connections would hold the process for a while.
process.exit()
