/** `npm run bench`: the bundled program against an API server and a PostgreSQL of the bench's own, with the floors beside. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadKindFiles } from '../../src/kind-files.ts'
import { checkKinds } from '../../src/registry.ts'
import { startCluster } from './lib/cluster.ts'
import { startServer } from './lib/database.ts'
import { docsPlots, help, type Options, readOptions } from './lib/options.ts'
import { pressure, pressureTable } from './lib/pressure.ts'
import { type Profile, profile, profileTable } from './lib/profile.ts'
import { unpack } from './lib/program.ts'
import { writeDocs, writePlots } from './lib/publish.ts'
import { round } from './lib/round.ts'
import type { Bench, Sample } from './lib/sample.ts'
import {
  growthTable,
  type Line,
  linesOf,
  machine,
  rivalTable,
  scenarioTable,
  shardTable,
  targetTable,
  titleOf
} from './lib/summary.ts'
import { shapedKinds } from './lib/world.ts'

const print = (text: string): void => void process.stdout.write(`${text}\n`)
const say = (text: string): void => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`)

/** The registry decides what there is; workspaces are not made by CRs here. */
async function benchKinds(): Promise<Record<string, string>> {
  const kinds = checkKinds(await loadKindFiles()).filter(({ kind }) => shapedKinds.includes(kind))
  return Object.fromEntries(kinds.map(({ kind, plural }) => [kind, plural]))
}

async function main(options: Options): Promise<boolean> {
  const scratch = mkdtempSync(join(tmpdir(), 'windmill-iac-bench-'))
  const plurals = await benchKinds()
  const missing = shapedKinds.filter(kind => plurals[kind] === undefined)
  if (missing.length > 0) say(`not there yet, left out: ${missing.join(', ')}`)
  const cluster = await startCluster({ tls: options.tls })
  const server = await startServer(options.durable).catch((error: unknown) => {
    cluster.stop()
    throw error
  })
  const samples: Sample[] = []
  const profiles: Profile[] = []
  const report = (sample: Sample): void => {
    samples.push(sample)
    const { scenario, who, wallMs, peakMiB, problem } = sample
    say(
      `  ${scenario}, ${who}: ${(wallMs / 1000).toFixed(2)} s, ${peakMiB?.toFixed(0) ?? '?'} MiB${problem && `  (!) ${problem}`}`
    )
  }
  const bench: Bench = { options, cluster, server, plurals, program: unpack(scratch), say, report }
  try {
    if (options.profile) profiles.push(...(await profile(bench, Math.max(...options.sizes))))
    else if (options.pressure) await pressure(bench)
    else
      for (const size of options.sizes)
        for (let number = 0; number < options.runs; number++) await round(bench, size, number)
  } finally {
    cluster.stop()
    await server.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
  const lines = linesOf(samples)
  tell(options, samples, textsOf(options, { lines, profiles }))
  return lines.every(line => line.problem === '')
}

const plotLinks = `![Time of a run over the number of CRs](performance-time.svg)

![Peak memory over the number of CRs](performance-memory.svg)`

const command = `npm run bench${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(' ')}` : ''}`

function tell(options: Options, samples: readonly Sample[], texts: Readonly<Record<string, string>>): void {
  const lines = linesOf(samples)
  for (const [name, text] of Object.entries(texts)) if (name !== 'bench') print(`\n${text}`)
  for (const line of lines) if (line.problem) print(`\n(!) ${line.size} ${line.scenario}, ${line.who}: ${line.problem}`)
  if (options.json)
    writeFileSync(
      options.json,
      `${JSON.stringify({ machine: machine(), command, at: new Date().toISOString(), lines, samples }, null, 1)}\n`
    )
  if (options.svg) print(`\nwritten: ${writePlots(options.svg, lines).join(', ')}`)
  if (options.docs) print(`written: ${writeDocs(texts).join(', ') || 'no page has the markers'}`)
}

interface Found {
  readonly lines: readonly Line[]
  readonly profiles: readonly Profile[]
}

/** Texts by the marker of their place in the docs: none of a table that this run did not fill. */
function textsOf(options: Options, { lines, profiles }: Found): Record<string, string> {
  const origin = `${machine()}; medians of ${options.runs}; ${new Date().toISOString().slice(0, 10)}; \`${command}\``
  const largest = Math.max(...options.sizes)
  const count = `${largest.toLocaleString('en-US')} CRs`
  if (options.pressure) return { 'bench:pressure': `${pressureTable(lines)}\n\n${count}. ${origin}` }
  if (options.profile) return { 'bench:profile': `${profileTable(profiles, titleOf)}\n\n${count}. ${origin}` }
  const texts: Record<string, string> = {}
  if (options.scenarios.length === 0) {
    const targets = targetTable(lines)
    texts['bench:scenarios'] = `${scenarioTable(lines, largest)}\n\n${count}. ${origin}`
    texts['bench:growth'] = growthTable(lines)
    texts['bench:targets'] = targets
    texts['bench'] = `${targets}\n\n${origin}`
    if (options.svg === docsPlots) texts['bench:plots'] = plotLinks
    if (options.rivals) texts['bench:rivals'] = rivalTable(lines, largest)
  } else if (lines.some(line => line.who === 'ours')) texts['scenarios'] = scenarioTable(lines, largest)
  const shards = shardTable(lines)
  if (shards) texts['bench:shards'] = `${shards}\n\n${count}. ${origin}`
  return texts
}

const options = readOptions(process.argv.slice(2))
if (!options) print(help)
else if (!(await main(options))) process.exitCode = 1
