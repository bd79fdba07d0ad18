/** Whole runs: in this process for speed, or as the real command. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { stringify } from 'yaml'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import { type Answer, runCommand } from '../../src/open.ts'
import type { Report } from '../../src/report.ts'
import { declareSecretsIn, hear } from './canaries.ts'

const here = fileURLToPath(import.meta.url)

/** The project's folder, from the sources as well as from dist. */
export const projectFolder = ((): string => {
  let folder = dirname(here)
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
})()

export type Environment = Readonly<Record<string, string>>

/** Logs of in-process runs, so that tests can look through them. */
export const logged: string[] = []

/** The job in this process. Throws what the command would exit with. */
export async function runJob(
  argv: readonly string[],
  environment: Environment,
  signal = new AbortController().signal
): Promise<Report> {
  return (await runAny(argv, environment, signal)).result as Report
}

/** Any command in this process, with what it printed on the way. */
export async function runAny(
  argv: readonly string[],
  environment: Environment,
  signal = new AbortController().signal
): Promise<{ readonly result: Report | Answer; readonly printed: string }> {
  const config = readConfig(argv, environment)
  const log = createLog({ level: 'debug', text: false, write: line => logged.push(hear('log', line)) })
  const printed: string[] = []
  const print = (text: string): void => void printed.push(isRevealing(argv) ? text : hear('stdout', text))
  try {
    const result = await runCommand(config, { log, environment, signal, version: 'test', print })
    if (!isRevealing(argv)) hear('report', JSON.stringify(result))
    return { result, printed: printed.join('') }
  } catch (error) {
    hear('error', inspect(error, { depth: 10 }))
    throw error
  }
}

/** The one command that is asked for secrets. */
const isRevealing = (argv: readonly string[]): boolean => argv.some(one => one.startsWith('--with-secrets'))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** The command line that runs the compiled program, or the sources when the tests run from sources. */
export const command = (): readonly string[] =>
  extname(here) === '.ts'
    ? ['tsx', join(projectFolder, 'src/main.ts')]
    : [process.execPath, '--enable-source-maps', join(projectFolder, 'dist/src/main.js')]

/** The real command in a process of its own. `while` may look at it, or kill it. */
export async function runMain(
  argv: readonly string[],
  environment: Environment,
  during?: (kill: (signal: NodeJS.Signals) => void) => Promise<void>
): Promise<Ended> {
  const [file = '', ...rest] = command()
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(file, [...rest, ...argv], {
    env: { PATH, HOME, ...environment },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', text => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', text => (stderr += text))
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (!isRevealing(argv)) hear('stdout', stdout)
      hear('stderr', stderr)
      const termination = environment['TERMINATION_LOG']
      if (termination !== undefined && existsSync(termination))
        hear('termination log', readFileSync(termination, 'utf8'))
      resolve({ code, signal, stdout, stderr })
    })
  })
  await during?.(signal => child.kill(signal))
  return ended
}

/** A folder of manifests for as long as the body runs. */
export async function withManifests<T>(
  manifests: readonly object[] | string,
  body: (folder: string) => Promise<T>
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-manifests-'))
  try {
    putManifests(folder, manifests)
    return await body(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export function putManifests(folder: string, manifests: readonly object[] | string): void {
  const text =
    typeof manifests === 'string'
      ? manifests
      : manifests.map(one => stringify(one, { compat: 'yaml-1.1' })).join('---\n')
  declareSecretsIn(text)
  writeFileSync(join(folder, 'manifests.yaml'), text)
}

/** A CR in a few words. */
export function cr(
  kind: string,
  name: string,
  spec: object,
  metadata: object = {}
): {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace: string; [key: string]: unknown }
  spec: object
} {
  return {
    apiVersion: 'windmill.dev/v1alpha1',
    kind: `Windmill${kind}`,
    metadata: { name, namespace: 'demo', ...metadata },
    spec
  }
}
