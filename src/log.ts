/** The log: one event per line on stderr, a constant message plus fields, so that machines can count and people can read. */
import { writeSync } from 'node:fs'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** `message` is constant; whatever varies goes into `fields`, and values of secrets go nowhere. */
type Write = (message: string, fields?: object) => void
export type Log = Readonly<Record<LogLevel, Write>>

export interface LogOptions {
  readonly level: LogLevel
  /** Readable text instead of JSON; default: stderr is a terminal. */
  readonly text?: boolean | undefined
  /** Default: stderr, written at once, because what waits in a stream is lost when the process ends. */
  readonly write?: ((line: string) => void) | undefined
}

const colours: Readonly<Record<LogLevel, number>> = { debug: 90, info: 36, warn: 33, error: 31 }

export function createLog({ level, text = process.stderr.isTTY, write = toStderr }: LogOptions): Log {
  const line = text ? readable : json
  const at = (own: LogLevel): Write =>
    logLevels.indexOf(own) < logLevels.indexOf(level)
      ? () => {}
      : (message, fields) => write(`${line(own, message, fields ?? {})}\n`)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** For callers that do not care, and for tests. */
export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function json(level: LogLevel, message: string, fields: object): string {
  return safeJson({ time: new Date().toISOString(), level, message, ...fields })
}

function readable(level: LogLevel, message: string, fields: object): string {
  const time = new Date().toISOString().slice(11, 19)
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'string' && isPlain(value) ? value : safeJson(value)}`)
  return `${time} \u001b[${colours[level]}m${level.padEnd(5)}\u001b[0m ${[message, ...parts].join(' ')}`
}

/** Anything else is quoted, so that no value can forge a line or move the cursor. */
const isPlain = (value: string): boolean => /^[\w./:@%+-]+$/.test(value)

/** A log line must never be the reason why a run fails. */
function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value, plain) ?? 'null'
  } catch {
    return JSON.stringify({ level: 'error', message: 'log fields cannot be written as JSON' })
  }
}

/** Errors lose their stack and cause on purpose: drivers put rows and bodies there. */
function plain(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Error)
    return { name: value.name, code: (value as { code?: unknown }).code, message: value.message }
  if (value instanceof Map) return Object.fromEntries(value)
  return value instanceof Set ? [...value] : value
}

/** A pipe whose reader is slow answers EAGAIN; waiting is right, losing the line is not, and waiting for ever neither. */
function toStderr(line: string): void {
  let rest: Uint8Array = Buffer.from(line)
  for (let refused = 0; rest.length > 0 && refused < 1000; ) {
    try {
      rest = rest.subarray(writeSync(2, rest))
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'EAGAIN') return
      refused++
      Atomics.wait(pause, 0, 0, 5)
    }
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4))
