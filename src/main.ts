#!/usr/bin/env node
/** The process: arguments and environment in, report and exit code out. */
import { readFileSync, writeFileSync, writeSync } from 'node:fs'
import { type Config, readConfig } from './config.ts'
import { exitOf, SyncError } from './errors.ts'
import { createLog } from './log.ts'
import { runCommand } from './open.ts'
import type { Report } from './report.ts'

async function main(): Promise<number> {
  const config = readConfig(process.argv.slice(2), process.env)
  if (config.command === 'version') return print(`${version()}\n`)
  if (config.command === 'help') return print((await import('./help.ts')).helpText(version()))
  const log = createLog({ level: config.logLevel })
  const result = await runCommand(config, {
    log,
    environment: process.env,
    signal: stopSignal(config),
    version: version(),
    print
  })
  if ('text' in result) return print(result.text) || result.exitCode
  const { sentenceOf, terminationMessage, textOf } = await import('./report.ts')
  const format = config.output ?? (process.stdout.isTTY ? 'text' : 'json')
  for (const text of format === 'text' ? [textOf(result, config)] : jsonOf(result, config)) print(text)
  leaveMessage(config.terminationLog, terminationMessage(result))
  if (format === 'json') log.info('run ended', { ...result.run, counts: result.counts, summary: sentenceOf(result) })
  return result.run.exitCode
}

/** How many objects become text at once: a first sync may tell of a hundred thousand. */
const PORTION = 1000

/** One line, in portions. Kept objects are counted; they are listed only with --verbose. */
function* jsonOf({ objects, ...rest }: Report, { verbose }: Config): Generator<string> {
  const shown = objects.filter(one => verbose || one.op !== 'keep')
  yield `${JSON.stringify(rest).slice(0, -1)},"objects":[`
  for (let from = 0; from < shown.length; from += PORTION) {
    const some = shown.slice(from, from + PORTION).map(one => JSON.stringify(one))
    yield `${from > 0 ? ',' : ''}${some.join()}`
  }
  yield ']}\n'
}

/** A longer one would fire at once. */
const longestTimer = 2 ** 31 - 1

/** SIGTERM, SIGINT and the deadline: what is in flight is finished, nothing new is begun. */
function stopSignal({ deadline }: Config): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => controller.abort(name))
  if (deadline === undefined) return controller.signal
  const timer = setTimeout(() => controller.abort('deadline'), Math.min(deadline, longestTimer))
  timer.unref()
  return controller.signal
}

/** Written at once: what waits in a pipe is lost when a process ends. */
function print(text: string): number {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
  return 0
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** Kubernetes shows this file in the pod's status; elsewhere there is none. */
function leaveMessage(file: string, message: string): void {
  try {
    writeFileSync(file, message, { flag: 'r+' })
  } catch {
    // Not in a pod.
  }
}

/** A fault of the program itself: where, but not its message, which may quote a value. */
function describe(error: unknown): string {
  if (error instanceof SyncError) return `${error.code}: ${error.message}`
  const frames = error instanceof Error ? (error.stack ?? '').split('\n').filter(line => /^\s+at /.test(line)) : []
  return [
    `Unexpected ${error instanceof Error ? error.name : 'fault'}; please report it with these lines:`,
    ...frames
  ].join('\n')
}

try {
  process.exitCode = await main()
} catch (error) {
  const text = describe(error)
  writeSync(2, `windmill-iac: ${text}\n`)
  leaveMessage(process.env['TERMINATION_LOG'] ?? '/dev/termination-log', text)
  process.exitCode = error instanceof SyncError ? exitOf(error.code) : 4
}
