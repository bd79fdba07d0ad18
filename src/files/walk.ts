/** The manifest files below a directory, in an order that does not depend on the file system. */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface Found {
  /** With the directory's own path in front, as a person would type it. */
  readonly files: readonly string[]
  /** What is there and cannot be looked at: a manifest may be hidden in it. */
  readonly unreadable: readonly { readonly path: string; readonly code: string }[]
  /** Folders whose ConfigMaps or Secrets kustomize makes: what lies in them is its input, not manifests. */
  readonly inputs: readonly string[]
}

/** Node's name for an error, such as ENOENT. */
export function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : 'unknown'
}

const isManifest = (name: string): boolean => /\.(ya?ml|json)$/i.test(name) && !/^kustomization\.ya?ml$/i.test(name)

const isGenerator = (path: string): boolean =>
  /[\\/]kustomization\.ya?ml$/i.test(path) && /^(configMap|secret)Generator:/m.test(readFileSync(path, 'utf8'))

/** A file is its own result. Links are followed, everything is visited once, hidden names are skipped. */
export function findManifests(root: string): Found {
  const files: string[] = []
  const unreadable: { path: string; code: string }[] = []
  const inputs: string[] = []
  const seen = new Set<string>()

  const visit = (path: string, isNamed: boolean): void => {
    try {
      const real = realpathSync(path)
      if (seen.has(real)) return
      const stat = statSync(real)
      if (stat.isDirectory()) {
        seen.add(real)
        const names = readdirSync(path).sort()
        if (names.some(name => isGenerator(join(path, name)))) inputs.push(path)
        else for (const name of names) if (!name.startsWith('.')) visit(join(path, name), isManifest(name))
      } else if (stat.isFile() && isNamed) {
        seen.add(real)
        files.push(path)
      }
    } catch (error) {
      // A dangling link or a closed directory; links that go in circles end here too.
      const code = codeOf(error)
      if (isNamed || code === 'EACCES' || code === 'EPERM') unreadable.push({ path, code })
    }
  }
  visit(root, true)
  return { files, unreadable, inputs }
}
