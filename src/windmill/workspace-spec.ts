/** The spec of a WindmillWorkspace, and what can be told from it alone. */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'

/** Explicit null clears a field; an absent one is left as it is. */
export interface Settings {
  readonly [field: string]: Json | undefined
}

export interface WorkspaceSpec {
  readonly id: string
  readonly name: string
  readonly owner?: string | null
  /** The RFC's word for settings.autoInviteDomain. */
  readonly domain?: string | null
  readonly settings?: Settings | null
  readonly environment?: { readonly [name: string]: string | null } | null
}

/** Prefixes of a row's field names, as below the CRD's spec. */
export const SETTINGS = 'settings.'
export const ENVIRONMENT = 'environment.'

export const invalid = (sentence: string): SyncError => new SyncError('InvalidSpec', sentence)

/** The database's own check. */
export const workspaceId = /^\w+(-\w+)*$/

/** Windmill's rules for ids (contract: workspaces-and-permissions §1.1); a Kubernetes name may break them. */
export function checkId(id: string): void {
  if (id === 'global') throw invalid('spec.id global is reserved by Windmill; choose another id.')
  if (id.startsWith('wm-fork-')) {
    throw invalid(
      'Ids that begin with wm-fork- are reserved for the forks that Windmill makes; choose another spec.id.'
    )
  }
  if (id.length > 50) throw invalid('spec.id has more than 50 characters, which Windmill does not allow; shorten it.')
  if (id.includes('.')) {
    throw invalid('spec.id has a dot, which Windmill does not allow in a workspace id; write - or _ instead.')
  }
  if (!workspaceId.test(id)) {
    throw invalid('spec.id may have letters, digits, _ and single hyphens between them, nothing else; change it.')
  }
}

/** Empty text means none, as in manifests that state every field. */
export const textOf = (value: Json | undefined): string | null =>
  typeof value === 'string' && value !== '' ? value : null

/** Both spellings may be stated as long as they agree. */
export function oneOfTwo(
  [nameA, a]: readonly [string, Json | undefined],
  [nameB, b]: readonly [string, Json | undefined]
): Json | undefined {
  if (a === undefined || b === undefined) return a === undefined ? b : a
  if (textOf(a) === textOf(b)) return a
  throw invalid(`${nameA} and ${nameB} mean the same and differ; state one of them.`)
}

export const isObject = (value: unknown): value is { readonly [key: string]: Json } =>
  value !== null && typeof value === 'object' && !Array.isArray(value)

export const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every(one => typeof one === 'string')
