/** What the type and the place of a resource forbid, and what deserves a note (contract: variables-and-resources §3.1, §3.4). */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'
import { isObject, type Leaf, leavesOf, roundedNotes } from './json-values.ts'
import { rankOfName } from './linked-secrets.ts'

/** Rows that belong to jobs and to the server; a bad `cache` row even breaks the clean-up of the whole instance. */
const ownTypes: ReadonlySet<string> = new Set(['state', 'cache'])

const publicPlaces = ['f/app_themes/', 'f/app_custom/'] as const

/** Readable without login. */
export const isPublic = (path: string, type: string): boolean =>
  type === 'json_schema' || publicPlaces.some(place => path.startsWith(place))

export function refuseSpecial(
  spec: { readonly path: string; readonly resourceType: string },
  hasSecrets: boolean
): void {
  const { path, resourceType } = spec
  if (ownTypes.has(resourceType)) {
    throw new SyncError(
      'InvalidSpec',
      `resourceType: Windmill itself writes resources of type ${resourceType}; choose another.`
    )
  }
  if (isPublic(path, resourceType) && hasSecrets) {
    const what = resourceType === 'json_schema' ? 'resources of type json_schema' : 'resources in this folder'
    throw new SyncError(
      'InvalidSpec',
      `valueFrom, valuesFrom: ${what} can be read without login; put no secrets there.`
    )
  }
}

/** Worth a word, not an error: jobs get the resource all the same (contract: §3.3). */
export const unknownType = (isSecretive: boolean): string =>
  isSecretive
    ? 'resourceType: neither the workspace nor admins has this type, so every text of a Secret counts as secret.'
    : 'resourceType: neither the workspace nor admins had this type when the resource was compared.'

export function valueNotes(type: string, literal: Json | undefined, value: Json | undefined): readonly string[] {
  if (value === undefined) return []
  const notes = [...roundedNotes('value', value)]
  if (literal !== undefined && hasIdleReference(literal)) {
    notes.push('value: $var: and $res: count only as the whole text of a field outside of lists.')
  }
  const fields = isObject(value) ? value : {}
  if ((type === 'postgresql' || type === 'mysql') && typeof fields['port'] === 'string') {
    notes.push('value: port is a text; SQL jobs need a number.')
  }
  if (type === 'ai_agent' && fields['on_behalf_of'] === undefined) {
    notes.push('value: Windmill itself adds on_behalf_of to an ai_agent; state it with a valid identity.')
  }
  return notes
}

/** References are resolved only as whole texts, and by 1.558 not inside lists. */
function hasIdleReference(value: Json): boolean {
  return leavesOf(value).some(leaf => {
    if (typeof leaf.value !== 'string' || !/\$(var|res):/.test(leaf.value)) return false
    return leaf.list !== undefined || !isReference(leaf.value)
  })
}

const isReference = (text: string): boolean => /^\$(var|res):[^\s]+$/.test(text) && text.indexOf('$', 1) < 0

/** A literal under a name of secrets: whoever wrote it, it is not for reports. */
export const holdsOpenSecret = (value: Json | undefined): boolean => openSecrets(value).length > 0

/** All such literals; `isSecret` may know more places than the names tell. */
export function openSecrets(
  value: Json | undefined,
  isSecret: (place: readonly string[]) => boolean = () => false
): readonly Leaf[] {
  if (value === undefined) return []
  return leavesOf(value).filter(leaf => {
    if (leaf.value === null || leaf.value === '' || typeof leaf.value === 'boolean') return false
    if (typeof leaf.value === 'string' && isReference(leaf.value)) return false
    return leaf.place.some(name => rankOfName(name) > 0) || isSecret(leaf.place)
  })
}
