/**
 * Lists as Tables (`as=Table`, includeObject=None or Metadata) against metadata-only lists, with and without kubectl's
 * annotation: `npm run build && node dist/test/bench/table-listing.js [CRs]`. The finding is in docs/performance.md.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ItemSplitter } from '../../src/cluster/splitter.ts'
import { type Counts, startCluster } from './lib/cluster.ts'
import { measure } from './lib/measure.ts'
import { rowPlaces as at } from './lib/objects.ts'
import { median } from './lib/summary.ts'

/** The whole of one kind, its pages one after the other. */
const ways = {
  'metadata only': { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1', query: '' },
  'Table, includeObject=None': { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1', query: '&includeObject=None' },
  'Table, includeObject=Metadata': {
    accept: 'application/json;as=Table;g=meta.k8s.io;v=v1',
    query: '&includeObject=Metadata'
  }
} as const
type Way = keyof typeof ways

interface Row {
  readonly cells: readonly unknown[]
  readonly object: { readonly metadata: Meta } | null
}
interface Meta {
  readonly namespace?: string
  readonly name: string
  readonly uid: string
  readonly generation: number
}

/** What the program keeps of an object, from either form: the work after parsing is the same. */
function keep(item: Row & { readonly metadata?: Meta }): readonly unknown[] {
  const metadata = item.metadata ?? item.object?.metadata
  if (metadata) return [metadata.namespace, metadata.name, metadata.uid, metadata.generation]
  return [at.namespace, at.name, at.uid, at.generation].map(place => item.cells[place])
}

/** The child: lists one way, cutting and parsing items as the program does, and says what parsing alone took. */
async function list(base: string, way: Way): Promise<void> {
  const { accept, query } = ways[way]
  const agent = new http.Agent({ keepAlive: true })
  const kept: (readonly unknown[])[] = []
  let parsing = 0
  const start = performance.now()
  for (let token = ''; ; ) {
    const url = `${base}/apis/windmill.dev/v1alpha1/windmillscripts?limit=500${query}${token && `&continue=${token}`}`
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get(url, { agent, headers: { accept } }, resolve).on('error', reject)
    })
    const splitter = new ItemSplitter(item => {
      const row = JSON.parse(item.toString()) as Row
      // The definitions of a Table's columns are a list of objects as well.
      if ('cells' in row || 'metadata' in row) kept.push(keep(row))
    })
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const before = performance.now()
      splitter.push(chunk)
      parsing += performance.now() - before
    }
    token = (splitter.end() as { metadata: { continue?: string } }).metadata.continue ?? ''
    if (token === '') break
  }
  process.stdout.write(JSON.stringify({ ms: performance.now() - start, parsing, kept: kept.length }))
  agent.destroy()
}

interface Result {
  readonly ms: number
  readonly parsing: number
  readonly peakMiB: number
  readonly mib: number
}

async function compare(size: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-table-'))
  const cluster = await startCluster({ tls: false })
  const plurals = { WindmillScript: 'windmillscripts' }
  const rows: string[] = []
  try {
    for (const lastApplied of [false, true]) {
      const world = { size, kinds: Object.keys(plurals), lastApplied, invalid: 0, huge: false }
      await cluster.order({ do: 'world', world, plurals })
      await cluster.order({ do: 'settle' })
      const results = new Map<Way, Result[]>()
      for (let run = 0; run < 5; run++) {
        for (const way of Object.keys(ways) as Way[]) {
          await cluster.order({ do: 'counts', reset: true })
          const usage = await measure({ file: fileURLToPath(import.meta.url), args: [cluster.url, way], folder })
          if (usage.code !== 0) throw new Error(usage.stderr)
          const { bytesOut } = await cluster.order<Counts>({ do: 'counts', reset: true })
          const told = JSON.parse(usage.stdout) as { ms: number; parsing: number; kept: number }
          if (told.kept !== size) throw new Error(`${way}: ${told.kept} objects instead of ${size}`)
          const result = { ...told, peakMiB: usage.peakMiB ?? Number.NaN, mib: bytesOut / 2 ** 20 }
          results.set(way, [...(results.get(way) ?? []), result])
        }
      }
      for (const [way, all] of results) rows.push(line(lastApplied, way, all.slice(1)))
    }
  } finally {
    cluster.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  process.stdout.write(
    `| ${size} scripts | list | MiB | time, ms | of it parsing, ms | peak RSS, MiB |\n| --- | --- | --: | --: | --: | --: |\n`
  )
  process.stdout.write(`${rows.join('\n')}\n`)
}

const line = (lastApplied: boolean, way: Way, all: readonly Result[]): string => {
  const of = (pick: (result: Result) => number): string => median(all.map(pick)).toFixed(0)
  const figures = [of(one => one.mib), of(one => one.ms), of(one => one.parsing), of(one => one.peakMiB)]
  return `| ${lastApplied ? 'with' : 'without'} last-applied | ${way} | ${figures.join(' | ')} |`
}

const [base = '20k', way] = process.argv.slice(2)
if (base.startsWith('http')) await list(base, way as Way)
else await compare(Number(base.replace(/k$/, '000')))
