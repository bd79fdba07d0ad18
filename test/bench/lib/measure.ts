/** Runs a program and tells what it needed: wall time, CPU, peak memory of that process alone. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Usage {
  /** From the start of the process to its end. */
  readonly wallMs: number
  readonly cpuMs: number | undefined
  /** MiB; undefined elsewhere than on Linux, or when the process was killed. */
  readonly peakMiB: number | undefined
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
  /** When it was started, milliseconds since 1970. */
  readonly startedAt: number
}

export interface Command {
  readonly file: string
  readonly args?: readonly string[]
  readonly nodeArgs?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Folder for what it prints: a pipe that fills up would slow it down. */
  readonly folder: string
  /** Real memory limit in MiB, where a control group can be made. */
  readonly limitMiB?: number | undefined
}

const preload = new URL('../exit-usage.js', import.meta.url).href

/** As the image starts it. */
export const usualNodeArgs: readonly string[] = []

export async function measure(command: Command): Promise<Usage> {
  const { file, args = [], nodeArgs = usualNodeArgs, env = {}, folder } = command
  const [out, err] = [openSync(join(folder, 'stdout'), 'w'), openSync(join(folder, 'stderr'), 'w')]
  const group = command.limitMiB === undefined ? undefined : makeGroup(command.limitMiB)
  const node = [process.execPath, ...nodeArgs, '--import', preload, file, ...args]
  // A shell moves itself into the group, then becomes the program.
  const argv = group ? ['/bin/sh', '-c', 'echo $$ > "$0" && exec "$@"', group.procs, ...node] : node
  const startedAt = Date.now()
  const start = process.hrtime.bigint()
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', ...env },
    stdio: ['ignore', out, err, 'pipe']
  })
  let told = ''
  child.stdio[3]?.on('data', (text: Buffer) => (told += text.toString()))
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (...end) => resolve(end))
  })
  const wallMs = Number(process.hrtime.bigint() - start) / 1e6
  closeSync(out)
  closeSync(err)
  group?.remove()
  const usage = told === '' ? {} : (JSON.parse(told) as { cpuMs?: number; peakKiB?: number })
  return {
    wallMs,
    cpuMs: usage.cpuMs,
    peakMiB: usage.peakKiB === undefined ? undefined : usage.peakKiB / 1024,
    code,
    signal,
    stdout: readFileSync(join(folder, 'stdout'), 'utf8'),
    stderr: readFileSync(join(folder, 'stderr'), 'utf8'),
    startedAt
  }
}

interface Group {
  readonly procs: string
  readonly remove: () => void
}

/** A control group of version 2 or 1 with a memory limit; throws where we may not make one. */
export function makeGroup(limitMiB: number): Group {
  const name = `windmill-iac-bench-${process.pid}-${Date.now()}`
  const bytes = String(limitMiB * 2 ** 20)
  const tries = [
    { root: '/sys/fs/cgroup/memory', limits: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'] },
    { root: '/sys/fs/cgroup', limits: ['memory.max'] }
  ]
  for (const { root, limits } of tries) {
    const folder = join(root, name)
    try {
      mkdirSync(folder)
    } catch {
      continue
    }
    try {
      for (const [index, limit] of limits.entries()) {
        try {
          writeFileSync(join(folder, limit), bytes)
        } catch (error) {
          // Without accounting of swap the second one is not there.
          if (index === 0) throw error
        }
      }
      return { procs: join(folder, 'cgroup.procs'), remove: () => removeGroup(folder) }
    } catch {
      removeGroup(folder)
    }
  }
  throw new Error('no control group with a memory limit can be made here (needs root, or a delegated group)')
}

function removeGroup(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Left behind empty: a process of it has not quite ended.
  }
}

export const canLimit = (): boolean => {
  try {
    makeGroup(1024).remove()
    return true
  } catch {
    return false
  }
}

export const killedBy = (usage: Usage): string =>
  usage.signal
    ? `killed by ${usage.signal} (${constants.signals[usage.signal as NodeJS.Signals]})`
    : `exit ${usage.code}`

/** A program of this folder. */
export const benchFile = (name: string): string => fileURLToPath(new URL(`../${name}.js`, import.meta.url))
