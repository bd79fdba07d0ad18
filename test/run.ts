/** Runs test files, each in a process of its own, on one database server; believes no file whose books do not balance. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, extname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startPostgres } from '../src/database/embedded.ts'
import { serverVariable } from './support/database.ts'

const self = fileURLToPath(import.meta.url)
const folder = dirname(self)
/** `.js` when compiled, `.ts` under a loader. */
const suffix = `.test${extname(self)}`
const atOnce = Math.min(2, availableParallelism())
const usualLimitS = 120

interface Verdict {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly seconds: number
  /** Empty when all is well. */
  readonly trouble: string
  readonly output: string
}

const running = new Set<ChildProcess>()

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith(suffix) && process.argv.slice(2).every(pattern => name.includes(pattern)))
  .toSorted()

if (files.length === 0) {
  process.stderr.write(`no test file matches ${process.argv.slice(2).join(' ') || `*${suffix}`} in ${folder}\n`)
  process.exitCode = 1
} else {
  const server = await startPostgres()
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= server.stop())
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      for (const child of running) killAll(child)
      void stop().finally(() => process.kill(process.pid, signal))
    })
  }
  try {
    process.exitCode = summary(await runAll(server.url('')))
  } finally {
    await stop()
  }
}

async function runAll(server: string): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = []
  const queue = [...files]
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const verdict = await runFile(file, server)
      verdicts.push(verdict)
      show(verdict)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return verdicts
}

/** A file may ask for more time: a comment `time limit: 300 s` near its top. */
function limitOf(path: string): number {
  const asked = /time limit: (\d+) s/.exec(readFileSync(path, 'utf8').slice(0, 1000))?.[1]
  return asked === undefined ? usualLimitS : Number(asked)
}

async function runFile(file: string, server: string): Promise<Verdict> {
  const path = join(folder, file)
  const limit = limitOf(path)
  const began = performance.now()
  const child = spawn(process.execPath, [...process.execArgv, path], {
    // A group of its own, so that whatever the file starts can be ended with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, [serverVariable]: server, NO_COLOR: '1', FORCE_COLOR: undefined }
  })
  running.add(child)
  const output: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
  let late = false
  const timer = setTimeout(() => {
    late = true
    killAll(child)
  }, limit * 1000)
  const code = await ended(child)
  clearTimeout(timer)
  running.delete(child)
  killAll(child)
  const text = Buffer.concat(output).toString('utf8')
  const seconds = (performance.now() - began) / 1000
  return { file, seconds, output: text, ...judge(text, late ? `hangs: killed after ${limit} s` : code) }
}

/** Ends at `exit`, not `close`: a grandchild may hold the pipes open for ever. */
function ended(child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    child.once('error', error => resolve(`cannot be started: ${error.message}`))
    child.once('exit', (code, signal) => {
      const verdict = code === 0 ? '' : `ended with ${signal ?? code}`
      const drained = setTimeout(resolve, 500, verdict)
      child.once('close', () => {
        clearTimeout(drained)
        resolve(verdict)
      })
    })
  })
}

/** The exit code alone proves nothing: a runner that ran no test ends with 0. */
function judge(text: string, trouble: string): Pick<Verdict, 'passed' | 'failed' | 'trouble'> {
  const count = (word: string): number => Number(new RegExp(`^\\s+${word}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? -1)
  const [total, passed, skipped] = [count('Total'), count('Passed'), count('Skipped')]
  const balanced = total > 0 && passed === total && skipped === 0
  if (balanced && !trouble) return { passed, failed: 0, trouble: '' }
  const books = `total ${total}, passed ${passed}, skipped ${skipped}`
  return {
    passed: Math.max(0, passed),
    failed: Math.max(1, total - passed),
    trouble: trouble || `books do not balance: ${books}`
  }
}

/** The group is gone already when the file left nothing behind. */
function killAll(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {}
}

function show({ file, passed, seconds, trouble, output }: Verdict): void {
  const time = `${seconds.toFixed(1)} s`
  if (!trouble) process.stdout.write(`ok    ${file.slice(0, -suffix.length)} (${passed} tests, ${time})\n`)
  else
    process.stdout.write(
      `FAIL  ${relative(process.cwd(), join(folder, file))}: ${trouble} (${time})\n${output.trimEnd()}\n`
    )
}

function summary(verdicts: readonly Verdict[]): number {
  const sum = (pick: (verdict: Verdict) => number): number =>
    verdicts.reduce((total, verdict) => total + pick(verdict), 0)
  const failed = sum(verdict => verdict.failed)
  process.stdout.write(`${sum(verdict => verdict.passed)} passed, ${failed} failed\n`)
  return failed === 0 && verdicts.every(verdict => !verdict.trouble) ? 0 : 1
}
