/** The program under measurement: its bundle alone in a folder, as in the image, with no packages beside it. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from '../../support/job.ts'
import { type Cluster, type Counts } from './cluster.ts'
import type { BenchDatabase, Work } from './database.ts'
import { measure, type Usage } from './measure.ts'

export interface Program {
  readonly folder: string
  readonly main: string
}

export function unpack(scratch: string): Program {
  const folder = join(scratch, 'app')
  cpSync(join(projectFolder, 'dist/bundle'), folder, { recursive: true })
  // Floors and rivals write there too.
  mkdirSync(join(scratch, 'out'), { recursive: true })
  return { folder: scratch, main: join(folder, 'bin/src/main.js') }
}

/** What one run needed on all sides. */
export interface Measured {
  readonly usage: Usage
  readonly work: Work
  readonly traffic: Counts
  /** From the report. */
  readonly counts: Readonly<Record<string, number>>
  readonly errors: readonly string[]
}

export interface Start {
  readonly cluster: Cluster
  readonly database: BenchDatabase
  readonly args?: readonly string[]
  readonly nodeArgs?: readonly string[]
  /** Instead of the database's own address. */
  readonly url?: string
  readonly limitMiB?: number | undefined
}

/** All statements of a run, and all lock jobs at once: the measured work must be the whole work. */
const usualArgs = ['-o', 'json', '--max-lock-jobs', '0', '--log-level', 'warn']

export async function runProgram(program: Program, start: Start): Promise<Measured> {
  const { usages, work, traffic } = await runAtOnce(program, start, [start.args ?? ['reconcile']])
  const [usage] = usages as [Usage]
  return { usage, work, traffic, ...told(usage) }
}

/** Processes side by side on one cluster and database, each with arguments of its own. */
export async function runAtOnce(
  program: Program,
  start: Omit<Start, 'args'>,
  processes: readonly (readonly string[])[]
): Promise<{ readonly usages: readonly Usage[]; readonly work: Work; readonly traffic: Counts }> {
  const { cluster, database } = start
  const kubeconfig = join(program.folder, 'kubeconfig')
  writeFileSync(kubeconfig, cluster.kubeconfig)
  await cluster.order({ do: 'counts', reset: true })
  const one = (args: readonly string[], index: number): Promise<Usage> => {
    const folder = join(program.folder, index === 0 ? 'out' : `out-${index}`)
    mkdirSync(folder, { recursive: true })
    return measure({
      file: program.main,
      args: [...args, ...usualArgs],
      env: { KUBECONFIG: kubeconfig, DATABASE_URL: start.url ?? database.url },
      folder,
      limitMiB: start.limitMiB,
      ...(start.nodeArgs && { nodeArgs: start.nodeArgs })
    })
  }
  const { result: usages, work } = await database.counted('windmill-iac', () => Promise.all(processes.map(one)))
  return { usages, work, traffic: await cluster.order<Counts>({ do: 'counts', reset: true }) }
}

/** The report is one line; its objects may be many. */
export function told({ stdout, stderr, code, signal }: Usage): Pick<Measured, 'counts' | 'errors'> {
  try {
    const { counts, objects, run } = JSON.parse(stdout) as {
      counts: Record<string, number>
      run: { error?: { code: string; message: string } }
      objects: { op: string; kind: string; name: string; reason: string; message: string }[]
    }
    const bad = objects.filter(({ op }) => op === 'error' || op === 'conflict')
    const errors = bad.slice(0, 3).map(one => `${one.kind} ${one.name} ${one.reason}: ${one.message}`)
    return { counts, errors: run.error ? [`${run.error.code}: ${run.error.message}`, ...errors] : errors }
  } catch {
    return { counts: {}, errors: [`no report (exit ${code}, ${signal ?? 'no signal'}): ${stderr.trim().slice(-500)}`] }
  }
}
