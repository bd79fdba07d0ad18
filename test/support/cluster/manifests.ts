/** Manifests from YAML text, a file, or a folder of files. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { Manifest } from './types.ts'

/** Anything with a line break is text, anything else a path. CRDs come first, then namespaces. */
export function readManifests(source: string): Manifest[] {
  const rank = ({ kind }: Manifest): number => (kind === 'CustomResourceDefinition' ? 0 : kind === 'Namespace' ? 1 : 2)
  return manifestsOf(source).sort((left, right) => rank(left) - rank(right))
}

function manifestsOf(source: string): Manifest[] {
  if (source.includes('\n')) return documents(source, 'the text')
  if (!statSync(source).isDirectory()) return documents(readFileSync(source, 'utf8'), source)
  const files = readdirSync(source).filter(file => /\.(ya?ml|json)$/.test(file))
  return files.sort().flatMap(file => documents(readFileSync(join(source, file), 'utf8'), join(source, file), true))
}

/** In a folder, files that are no manifests (values of a chart) are passed over. */
function documents(text: string, origin: string, inFolder = false): Manifest[] {
  const values = parseAllDocuments(text, { logLevel: 'error' }).map(document => {
    if (document.errors[0]) throw new Error(`${origin}: ${document.errors[0].message}`)
    return document.toJS() as (Manifest & { items?: Manifest[] }) | null
  })
  return values.flatMap(value => {
    if (value === null || (inFolder && !(value.apiVersion && value.kind))) return []
    if (!value.apiVersion || !value.kind) throw new Error(`${origin}: a document without apiVersion or kind`)
    return value.kind.endsWith('List') && value.items ? value.items : [value]
  })
}

/** The folder with our package.json, from the sources as from dist. */
export function projectRoot(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string }
      if (name === 'windmill-iac') return folder
    } catch {
      // no package.json here: further up
    }
  }
  throw new Error('no package.json of windmill-iac above the tests')
}
