/** The manifests of examples/, sorted out: those of one kind, those it depends on, and the Secrets that they name. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { type Crds, loadCrds } from '../../../src/crd.ts'
import { loadKindFiles } from '../../../src/kind-files.ts'
import type { AnyKind } from '../../../src/model.ts'
import { checkKinds } from '../../../src/registry.ts'
import { projectFolder } from '../job.ts'
import type { Release } from '../windmill.ts'
import { hintsOf } from './hints.ts'

export type Fields = Readonly<Record<string, unknown>>

export interface Cr {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace: string; readonly annotations?: Fields } & Fields
  readonly spec: Fields
}

/** A Secret or ConfigMap: the only other things here whose content matters. */
export interface Secret {
  readonly kind: string
  readonly stringData?: Readonly<Record<string, string>>
  readonly data?: Readonly<Record<string, string>>
}

export interface Subject {
  readonly kind: AnyKind
  /** Its examples as this release takes them. */
  readonly crs: readonly Cr[]
  /** Examples of all kinds that it comes after. */
  readonly before: readonly Cr[]
}

export const crds: Crds = loadCrds(join(projectFolder, 'crds'))

const documentsOf = (stem: string): readonly unknown[] =>
  parseAllDocuments(readFileSync(join(projectFolder, 'examples', `${stem}.yaml`), 'utf8')).map(
    one => one.toJS() as unknown
  )

/** Namespaces, Secrets and ConfigMaps of the examples. */
export const furniture = ['namespaces', 'secrets', 'configmaps'].flatMap(documentsOf) as readonly Secret[]

/** Without a policy of its own, which would make it an exception in every step. */
function plainly(cr: Cr): Cr {
  const { 'windmill.dev/deletion-policy': _, ...annotations } = cr.metadata.annotations ?? {}
  return { ...cr, metadata: { ...cr.metadata, annotations } }
}

/** Every kind there is, with its examples. */
export async function subjectsOf(release: Release): Promise<readonly Subject[]> {
  const files = await loadKindFiles()
  const kinds = checkKinds(files)
  const examples = new Map(
    kinds.map((kind, at) => {
      const stem = (files[at]?.file ?? '').replace(/\.[jt]s$/, '')
      const { adapt } = hintsOf(kind.kind)
      const crs = (documentsOf(stem) as readonly Cr[]).filter(one => one.kind === kind.kind)
      return [kind.kind, crs.map(plainly).map(cr => (adapt ? { ...cr, spec: adapt(cr.spec, release) } : cr))]
    })
  )
  const crsOf = (kind: string): readonly Cr[] => examples.get(kind) ?? []
  return kinds.map(kind => ({
    kind,
    crs: crsOf(kind.kind),
    before: [...predecessors(kind, kinds)].flatMap(crsOf)
  }))
}

function predecessors(kind: AnyKind, kinds: readonly AnyKind[], found = new Set<string>()): ReadonlySet<string> {
  for (const name of kind.after) {
    if (found.has(name)) continue
    found.add(name)
    const before = kinds.find(one => one.kind === name)
    if (before) predecessors(before, kinds, found)
  }
  return found
}

/** Where a CR points to. */
export function targetOf({ kind }: Subject, { spec, metadata }: Cr): { workspace: string; path: string } {
  const { workspace, path } = (kind as unknown as { target: (spec: Fields) => ReturnType<AnyKind['target']> }).target(
    spec
  )
  return { workspace: workspace ?? metadata.namespace, path }
}
