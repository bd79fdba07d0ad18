/** A directory of manifests as the source of CRs: for CI, tests and a first try, without a cluster. */
import { readFileSync, statSync } from 'node:fs'
import { SyncError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Manifest, Material, Ref, Source } from '../model.ts'
import { Roster, type Wanted } from '../roster.ts'
import { type ManifestRules, newShelf, type Shelf, shelfKey, shelve } from './manifests.ts'
import { codeOf, findManifests } from './walk.ts'

export interface FilesOptions {
  readonly log: Log
  /** Plural by kind. */
  readonly kinds: ReadonlyMap<string, string>
  /** Of objects that state none; default `default`. */
  readonly namespace?: string | undefined
  /** Empty or absent: all. */
  readonly namespaces?: readonly string[] | undefined
}

const chunkObjects = 500

/** Takes a single file too. Everything is read at once: files are for hundreds of objects, and faults should all come first. */
export async function openDirectory(dir: string, options: FilesOptions): Promise<Source> {
  checkReadable(dir)
  const { documents, found } = { documents: await import('./documents.ts'), found: findManifests(dir) }
  const rules: ManifestRules = { log: options.log, kinds: options.kinds, namespace: options.namespace ?? 'default' }
  const shelf = newShelf()
  for (const { path, code } of found.unreadable) shelf.strays.push(unreadable(path, code))
  for (const file of found.files) {
    const text = readText(shelf, file)
    for (const piece of text === undefined ? [] : documents.piecesOf(text)) shelve(shelf, piece, file, rules)
  }
  options.log.debug('manifests read', {
    files: found.files.length,
    objects: shelf.manifests.size,
    strays: shelf.strays.length
  })
  for (const path of found.inputs) {
    if (path === dir) throw new SyncError('ConfigInvalid', builtByKustomize(dir))
    options.log.warn('folder left out, kustomize builds it', { directory: path })
  }
  if (found.files.length === 0) options.log.warn('no manifest files found', { directory: dir })
  return sourceOf(shelf, options)
}

const builtByKustomize = (dir: string): string =>
  `--from ${dir}: kustomize builds this folder's ConfigMaps or Secrets; build it first: kubectl kustomize ${dir} > manifests.yaml`

function checkReadable(dir: string): void {
  try {
    statSync(dir)
  } catch (error) {
    const says = `there is no such directory, or it cannot be read (${codeOf(error)})`
    throw new SyncError('ConfigInvalid', `--from ${dir}: ${says}.`)
  }
}

const unreadable = (path: string, why: string): Shelf['strays'][number] => ({
  kind: '',
  namespace: '',
  name: '',
  origin: path,
  error: new SyncError('InvalidManifest', `${path}: cannot be read (${why}).`)
})

/** Bytes that are no UTF-8 would become replacement characters in somebody's script. */
function readText(shelf: Shelf, file: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    const code = codeOf(error)
    shelf.strays.push(unreadable(file, code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'it is no UTF-8' : code))
    return undefined
  }
}

function sourceOf(shelf: Shelf, { namespaces = [] }: FilesOptions): Source {
  const watched = ({ namespace }: { readonly namespace: string }): boolean =>
    namespaces.length === 0 || namespace === '' || namespaces.includes(namespace)
  const manifests = [...shelf.manifests.values()].filter(one => watched(one.listed))
  return {
    id: 'files',
    list: async ({ kind }) =>
      Roster.of(
        kind,
        manifests.map(one => one.listed).filter(listed => listed.kind === kind)
      ),
    strays: () => shelf.strays.filter(watched),
    read: (_kind, wanted) => read(shelf, wanted),
    namespaces: async names =>
      new Map(
        names.flatMap(name => (shelf.namespaces.has(name) ? [[name, shelf.namespaces.get(name) ?? {}] as const] : []))
      ),
    version: async (...which) => shelf.materials.get(shelfKey(...which))?.version,
    material: async (...which) => materialOf(shelf, ...which),
    patchStatus: async () => true,
    emit: async () => {},
    close: () => {}
  }
}

async function* read(shelf: Shelf, wanted: Wanted): AsyncGenerator<readonly Manifest[]> {
  const found = [...wanted].flatMap(
    ({ kind, namespace, name }) => shelf.manifests.get(shelfKey(kind, namespace, name)) ?? []
  )
  for (let at = 0; at < found.length; at += chunkObjects) yield found.slice(at, at + chunkObjects)
}

function materialOf(shelf: Shelf, kind: Ref['kind'], namespace: string, name: string): Material {
  const found = shelf.materials.get(shelfKey(kind, namespace, name))
  if (found) return found
  const broken = shelf.strays.find(one => one.kind === kind && one.namespace === namespace && one.name === name)
  const why = broken ? `its manifest at ${broken.origin} is broken` : 'no manifest declares it'
  throw new SyncError(`${kind}NotFound`, `Reading ${kind} ${namespace}/${name} failed: ${why}.`)
}
