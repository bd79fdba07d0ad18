/** Where exported manifests go: one stream, or a file per object; Secrets go to a file of their own that only its owner reads. */
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { SyncError } from './errors.ts'

export interface Sink {
  /** `place`: the file below --to. */
  readonly manifest: (place: string, text: string) => void
  readonly secret: (text: string) => void
  /** Puts the file of Secrets in place. */
  readonly finish: () => void
  /** Leaves no file of Secrets behind. */
  readonly abandon: () => void
}

export interface SinkOptions {
  readonly to: string | undefined
  readonly withSecrets: string | undefined
  readonly force: boolean
  readonly print: (text: string) => void
}

/** Refuses before anything is read from the database. */
export function openSink({ to, withSecrets, force, print }: SinkOptions): Sink {
  if (to !== undefined) checkFolder(to)
  const secrets = withSecrets === undefined ? undefined : openSecretFile(withSecrets, force)
  let printed = 0
  return {
    manifest: (place, text) => {
      if (to !== undefined) writeBelow(to, place, text)
      else print(printed++ === 0 ? text : `---\n${text}`)
    },
    secret: text => secrets?.write(text),
    finish: () => secrets?.finish(),
    abandon: () => secrets?.abandon()
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown reason'

function checkFolder(to: string): void {
  try {
    mkdirSync(to, { recursive: true })
    if (statSync(to).isDirectory()) return
  } catch (error) {
    throw new SyncError('ConfigInvalid', `--to ${to}: cannot be made (${codeOf(error)}).`)
  }
  throw new SyncError('ConfigInvalid', `--to ${to}: is no folder.`)
}

function writeBelow(to: string, place: string, text: string): void {
  const file = join(to, place)
  // Paths were checked against the CRD, which lets no dots through; this holds whatever becomes of that.
  if (relative(resolve(to), resolve(file)).startsWith('..')) {
    throw new SyncError('InvalidSpec', 'The path leads out of the folder of --to.')
  }
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  } catch (error) {
    throw new SyncError('ConfigInvalid', `--to ${file}: cannot be written (${codeOf(error)}).`)
  }
}

/** Written beside and put in place at the end: what is there before stays until all is well, and a link is not followed. */
function openSecretFile(file: string, force: boolean) {
  const exists = `--with-secrets ${file}: is there already; --force replaces it.`
  if (existsSync(file) && !force) throw new SyncError('ConfigInvalid', exists)
  const part = `${file}.${process.pid}.part`
  const failed = (error: unknown): SyncError =>
    new SyncError('ConfigInvalid', `--with-secrets ${file}: cannot be written (${codeOf(error)}).`)
  let descriptor: number
  try {
    descriptor = openSync(part, 'wx', 0o600)
  } catch (error) {
    throw failed(error)
  }
  let written = 0
  return {
    write: (text: string): void => {
      try {
        let rest = Buffer.from(written++ === 0 ? text : `---\n${text}`)
        while (rest.length > 0) rest = rest.subarray(writeSync(descriptor, rest))
      } catch (error) {
        throw failed(error)
      }
    },
    finish: (): void => {
      closeSync(descriptor)
      try {
        if (force) renameSync(part, file)
        else linkSync(part, file)
        if (!force) unlinkSync(part)
      } catch (error) {
        unlinkSync(part)
        throw codeOf(error) === 'EEXIST' ? new SyncError('ConfigInvalid', exists) : failed(error)
      }
    },
    abandon: (): void => {
      try {
        closeSync(descriptor)
        unlinkSync(part)
      } catch {
        // In place already.
      }
    }
  }
}
