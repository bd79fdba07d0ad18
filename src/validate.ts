/** Manifests against everything that can be told without a cluster and without a database. */
import { readFileSync } from 'node:fs'
import type { Config } from './config.ts'
import { type Crds, checkManifest } from './crd.ts'
import { isObjectError, SyncError } from './errors.ts'
import { isFields, type Piece, piecesOf } from './files/documents.ts'
import { type ManifestRules, newShelf, type Shelf, shelfKey, shelve } from './files/manifests.ts'
import { codeOf, findManifests } from './files/walk.ts'
import type { Log } from './log.ts'
import { type AnyKind, type Kind, type Manifest, objectKey, targetKey } from './model.ts'
import { engineView } from './session.ts'
import { checkPath, mappedWorkspace, policiesFor, rulesOf } from './tenancy.ts'

export interface ValidateJob {
  readonly kinds: readonly AnyKind[]
  readonly crds: Crds
  readonly log: Log
}

interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

interface Message extends Place {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly message: string
}

/** What is found on the way. */
interface Findings {
  readonly faults: Message[]
  readonly warnings: Message[]
  files: number
  objects: number
}

/** A custom resource of the set whose spec is sound, with its place. */
interface Sound {
  readonly manifest: Manifest
  readonly spec: unknown
  readonly at: (path: string) => Place
  readonly start: Place
}

/** Text or JSON of all faults, and exit code 0 or 1. Throws ConfigInvalid for inputs that are not there. */
export function validateInputs(config: Config, job: ValidateJob): { text: string; exitCode: number } {
  const found: Findings = { faults: [], warnings: [], files: 0, objects: 0 }
  const shelf = newShelf()
  const pieces = new Map<string, Piece>()
  for (const [file, text] of readInputs(config.inputs, found)) {
    found.files++
    for (const piece of piecesOf(text)) {
      pieces.set(`${file}:${piece.line}`, piece)
      shelve(shelf, piece, file, rulesFor(job))
    }
  }
  if (found.files === 0)
    throw new SyncError('ConfigInvalid', 'validate: there are no manifest files (.yaml, .yml, .json)')
  for (const { error, origin, kind, namespace, name } of shelf.strays) {
    found.faults.push({ ...placeIn(error.message, origin), kind, namespace, name })
  }
  const sound = [...shelf.manifests.values()].flatMap(manifest =>
    checkOne(manifest, pieces, { config, job, shelf, found })
  )
  for (const one of sound) checkReferences(one, shelf, job, found)
  checkTargets(sound, { config, job, found })
  found.objects = shelf.manifests.size + new Set(shelf.strays.map(one => one.origin)).size
  const exitCode = found.faults.length > 0 ? 1 : 0
  const format = config.output ?? (process.stdout.isTTY ? 'text' : 'json')
  return { text: format === 'json' ? jsonOf(found) : textOf(found), exitCode }
}

const rulesFor = ({ kinds, log }: ValidateJob): ManifestRules => ({
  log,
  kinds: new Map(kinds.map(one => [one.kind, one.plural])),
  namespace: 'default'
})

function* readInputs(inputs: readonly string[], found: Findings): Generator<readonly [file: string, text: string]> {
  const seen = new Set<string>()
  const missing: string[] = []
  for (const input of inputs) {
    const files = input === '-' ? ['-'] : filesOf(input, found, missing)
    for (const file of files) {
      if (seen.has(file)) continue
      seen.add(file)
      try {
        const bytes = readFileSync(file === '-' ? 0 : file)
        yield [file === '-' ? '<stdin>' : file, new TextDecoder('utf-8', { fatal: true }).decode(bytes)]
      } catch (error) {
        const code = codeOf(error)
        const why = code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'it is no UTF-8' : code
        found.faults.push({ ...wholeFile(file), message: `cannot be read (${why}).` })
      }
    }
  }
  if (missing.length > 0) throw new SyncError('ConfigInvalid', missing.join('\n'))
}

const wholeFile = (file: string): Omit<Message, 'message'> => ({
  file,
  line: 1,
  column: 1,
  kind: '',
  namespace: '',
  name: ''
})

function filesOf(input: string, found: Findings, missing: string[]): readonly string[] {
  const { files, unreadable, inputs } = findManifests(input)
  for (const { path, code } of unreadable) {
    if (path === input)
      missing.push(`validate ${path}: there is no such file or folder, or it cannot be read (${code})`)
    else found.faults.push({ ...wholeFile(path), message: `cannot be read (${code}).` })
  }
  for (const folder of inputs) {
    const message = `kustomize builds this folder: left out. Check its output: kubectl kustomize ${folder} | windmill-iac validate -`
    found.warnings.push({ ...wholeFile(folder), message })
  }
  return files
}

/** Messages of the file source begin with `file:line:column: ` or `file:line: `. */
function placeIn(message: string, origin: string): Place & { readonly message: string } {
  const [, file = origin, start = '1'] = /^(.*):(\d+)$/.exec(origin) ?? []
  const rest = message.startsWith(`${file}:`) ? message.slice(file.length + 1) : ''
  const [, line = start, column = '1', says = message] = /^(\d+):(?:(\d+):)? ([\s\S]*)$/.exec(rest) ?? []
  return { file, line: Number(line), column: Number(column), message: says }
}

interface Setting {
  readonly config: Config
  readonly job: ValidateJob
  readonly shelf: Shelf
  readonly found: Findings
}

/** Against its CRD, our annotations, and what its kind can tell from the spec alone. */
function checkOne(manifest: Manifest, pieces: ReadonlyMap<string, Piece>, setting: Setting): readonly Sound[] {
  const { job, found } = setting
  const { kind, namespace, name, origin } = manifest.listed
  const piece = pieces.get(origin)
  const [, file = origin] = /^(.*):\d+$/.exec(origin) ?? []
  const start = { file, line: piece?.line ?? 1, column: piece?.column ?? 1 }
  const at = (sentence: string): Place => ({ ...start, ...piece?.placeOf?.(keysOf(sentence)) })
  const object = isFields(piece?.value) ? piece.value : { kind, spec: manifest.spec }
  const checked = checkManifest(job.crds, object)
  const own = checked.faults.length > 0 ? [] : ownFaults(manifest, checked.spec, setting)
  for (const message of [...checked.faults, ...own]) {
    found.faults.push({ ...at(message), kind, namespace, name, message: `${message.replace(/\.$/, '')}.` })
  }
  for (const message of checked.warnings) found.warnings.push({ ...at(message), kind, namespace, name, message })
  return checked.faults.length + own.length > 0 ? [] : [{ manifest, spec: checked.spec, at, start }]
}

function ownFaults({ listed }: Manifest, spec: unknown, { config, job, shelf }: Setting): readonly string[] {
  const kind = kindOf(job, listed.kind)
  const rules = rulesOf(config, shelf.namespaces)
  const checks = [
    (): unknown => policiesFor(listed, rules),
    (): unknown => kind && checkPath(listed.namespace, kind.target(spec).path, rules),
    (): unknown => kind?.check?.(spec)
  ]
  return checks.flatMap(check => {
    try {
      check()
      return []
    } catch (error) {
      if (!isObjectError(error)) throw error
      return [error.message]
    }
  })
}

function kindOf({ kinds }: ValidateJob, name: string): Kind | undefined {
  const kind = kinds.find(one => one.kind === name)
  return kind && engineView(kind)
}

/** `spec.settings.gitSync.repositories[0]["odd key"]: …` → its keys; sentences of kinds leave `spec.` out. */
function keysOf(sentence: string): readonly string[] {
  const [path = ''] = /^[A-Za-z_$][\w$-]*(?:\.[A-Za-z_$][\w$-]*|\[(?:\d+|"(?:[^"\\]|\\.)*")\])*/.exec(sentence) ?? []
  const keys = [...path.matchAll(/\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|[A-Za-z_$][\w$-]*/g)].map(
    ([whole, quoted, index]) => quoted ?? index ?? whole
  )
  return ['spec', 'metadata', 'apiVersion', 'kind'].includes(keys[0] ?? '') ? keys : ['spec', ...keys]
}

/** A Secret or ConfigMap that is part of the set must have the keys; others cannot be looked into. */
function checkReferences({ manifest, spec, start }: Sound, shelf: Shelf, job: ValidateJob, found: Findings): void {
  const { kind, namespace, name } = manifest.listed
  for (const ref of kindOf(job, kind)?.refs?.(spec) ?? []) {
    const material = shelf.materials.get(shelfKey(ref.kind, namespace, ref.name))
    if (!material || material.data.has(ref.key)) continue
    const message = `${ref.kind} ${ref.name} has no key ${ref.key}; add it or correct the reference.`
    found.faults.push({ ...start, kind, namespace, name, message })
  }
}

/** Two objects for one row: only one of them could be applied. */
function checkTargets(sound: readonly Sound[], { config, job, found }: Omit<Setting, 'shelf'>): void {
  const first = new Map<string, Sound>()
  for (const one of sound) {
    const { kind, namespace, name } = one.manifest.listed
    const target = kindOf(job, kind)?.target(one.spec)
    if (!target) continue
    const workspace = target.workspace ?? mappedWorkspace(namespace, config.namespaceMapping)
    if (workspace === undefined) {
      const message = `Namespace ${namespace} is mapped to no workspace; add it to --namespace-mapping or set spec.workspace.`
      found.faults.push({ ...one.start, kind, namespace, name, message })
      continue
    }
    const key = `${kind} ${targetKey(workspace, target.path)}`
    const other = first.get(key)
    if (!other) {
      first.set(key, one)
      continue
    }
    const whose = `${objectKey(other.manifest.listed.namespace, other.manifest.listed.name)} at ${other.start.file}:${other.start.line}`
    const message = `stands for the same ${target.path} in workspace ${workspace} as ${whose}; remove one of the two.`
    found.faults.push({ ...one.start, kind, namespace, name, message })
  }
}

const byPlace = (a: Message, b: Message): number =>
  a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1

function jsonOf({ faults, warnings, files, objects }: Findings): string {
  const valid = faults.length === 0
  const sorted = { faults: [...faults].sort(byPlace), warnings: [...warnings].sort(byPlace) }
  return `${JSON.stringify({ schemaVersion: 1, valid, files, objects, ...sorted })}\n`
}

function textOf({ faults, warnings, files, objects }: Findings): string {
  const line =
    (what: string) =>
    (one: Message): string => {
      const whose = one.kind === '' ? '' : `${one.kind} ${objectKey(one.namespace, one.name)}: `
      return `${one.file}:${one.line}:${one.column}: ${what}${whose}${one.message}`
    }
  const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`
  return [
    ...[...warnings].sort(byPlace).map(line('warning: ')),
    ...[...faults].sort(byPlace).map(line('')),
    `${count(objects, 'object')} in ${count(files, 'file')}: ${faults.length === 0 ? 'valid' : count(faults.length, 'fault')}${warnings.length > 0 ? `, ${count(warnings.length, 'warning')}` : ''}.`,
    ''
  ].join('\n')
}
