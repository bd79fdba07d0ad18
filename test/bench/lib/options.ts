/** The bench's own command line. */
import { parseArgs } from 'node:util'

export interface Options {
  readonly sizes: readonly number[]
  /** Without the scenarios that take long; those that are named run all the same. */
  readonly quick: boolean
  /** Empty: all. */
  readonly scenarios: readonly string[]
  readonly runs: number
  readonly json: string | undefined
  readonly svg: string | undefined
  readonly docs: boolean
  readonly pressure: boolean
  readonly profile: boolean
  readonly rivals: boolean
  readonly tls: boolean
  readonly durable: boolean
  readonly lastApplied: boolean
}

/** Beside the page that shows them. */
export const docsPlots = 'docs/performance'

export const help = `npm run bench -- [options]
  --quick              sizes 1k,3k, one run, without scripts and shards: a minute of CPU, under two minutes
  --sizes 1k,10k,100k  numbers of CRs (default 1k,10k,100k)
  --scenarios a,b      only these (see below)
  --runs N             rounds whose medians are told (default 3)
  --json FILE          all figures
  --svg PREFIX         plots of time and memory over size: PREFIX-time.svg, PREFIX-memory.svg
  --docs               writes tables (and the plots) into docs/performance.md and README.md, between their markers
  --pressure           instead: 429s, slow pages, a far database, 256 MiB, invalid and huge objects
  --profile            instead: where time and memory of first sync, no-op and 1 % changed go (default 10k)
  --no-rivals          without the two designs for comparison
  --tls                the API server speaks TLS
  --durable            PostgreSQL on disk with fsync, instead of in memory
  --last-applied       every CR carries kubectl's last-applied annotation

Scenarios: first-sync, locked, no-op, last-applied, plan, changed, drifted, lost-ledger, deleted, and apart from
these: scripts (at most 10,000), schedules (at most 5,000), shards (at the largest size).
With --pressure: calm, refusals, slow-pages, far-database, crowded, small-heap, limit, limit-later, invalid, huge, huge-limit.
`

export function readOptions(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      sizes: { type: 'string' },
      scenarios: { type: 'string', default: '' },
      runs: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      docs: { type: 'boolean', default: false },
      pressure: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      'no-rivals': { type: 'boolean', default: false },
      tls: { type: 'boolean', default: false },
      durable: { type: 'boolean', default: false },
      'last-applied': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) return undefined
  const { quick, json, svg, docs, pressure, profile, tls, durable } = values
  // Plots and most tables of the docs are of all scenarios or none.
  const isWhole = !pressure && !profile && values.scenarios === ''
  const one = quick ? '1k' : profile ? '10k' : '100k'
  const usual = pressure || profile ? one : quick ? '1k,3k' : '1k,10k,100k'
  return {
    sizes: (values.sizes ?? usual).split(',').map(readSize),
    scenarios: values.scenarios.split(',').filter(Boolean),
    quick,
    runs: Math.max(1, Number(values.runs ?? (quick || pressure || profile ? 1 : 3))),
    json,
    svg: svg ?? (docs && isWhole ? docsPlots : undefined),
    docs,
    pressure,
    profile,
    rivals: !values['no-rivals'],
    tls,
    durable,
    lastApplied: values['last-applied']
  }
}

function readSize(text: string): number {
  const size = text.endsWith('k') ? Number(text.slice(0, -1)) * 1000 : Number(text)
  if (!Number.isInteger(size) || size < 100) throw new Error(`--sizes: ${text} is no number of CRs (at least 100)`)
  return size
}
