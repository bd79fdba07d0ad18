/** The one place that checks a CR: what the API server would say at admission, and what it would not. */
import { copySpec, isObject } from './crd-copy.ts'
import { type CheckRules, rulesOf } from './crd-rules.ts'
import { type Schema, schemaFiles } from './crd-schema.ts'
import { type CheckTypes, typesOf } from './crd-types.ts'
import { nearest, unknownField } from './crd-words.ts'

interface Checked {
  /** A deep copy with defaults applied and meaningless nulls dropped. Usable only when there are no faults. */
  readonly spec: unknown
  /** All faults at once, as sentences that name the field and the repair, never a value. */
  readonly faults: readonly string[]
}

export interface Crds {
  /** Such as `WindmillVariable`, sorted. */
  readonly kinds: () => readonly string[]
  /** The schema of `spec` of a kind. */
  readonly schema: (kind: string) => Schema
  /** Throws for an unknown kind; gives the same function again for the same kind. */
  readonly validator: (kind: string) => (spec: unknown) => Checked
}

/** Nothing is read before a kind is asked for, and then that kind's file alone. */
export function loadCrds(directory: URL | string): Crds {
  const files = schemaFiles(directory)
  const made = new Map<string, (spec: unknown) => Checked>()
  const validator = (kind: string): ((spec: unknown) => Checked) => {
    let found = made.get(kind)
    if (!found) made.set(kind, (found = validatorOf(files.specOf(kind))))
    return found
  }
  return { kinds: files.kinds, schema: files.specOf, validator }
}

function validatorOf(schema: Schema): (spec: unknown) => Checked {
  const types: CheckTypes = typesOf(schema)
  const rules: CheckRules = rulesOf(schema)
  return given => {
    if (given === undefined || given === null) return { spec: given, faults: ['spec: missing; it is required'] }
    const { spec, faults } = copySpec(given, schema)
    const all = [...faults, ...types(spec)]
    const broken = rules(spec)
    // A rule that cannot be evaluated speaks of a field whose type is wrong, which was said already.
    const clear = all.length > 0 ? broken.filter(({ unclear }) => !unclear) : broken
    return { spec, faults: [...all, ...clear.map(({ sentence }) => sentence)] }
  }
}

/** Everything that can be told about a manifest without a cluster and without a database. */
export function checkManifest(crds: Crds, object: unknown): Checked & { readonly warnings: readonly string[] } {
  if (!isObject(object)) return { spec: undefined, faults: ['the manifest must be an object'], warnings: [] }
  const { apiVersion, kind, metadata } = object
  const faults: string[] = []
  if (apiVersion !== 'windmill.dev/v1alpha1') faults.push('apiVersion: must be windmill.dev/v1alpha1')
  for (const name of Object.keys(object)) {
    if (!topFields.includes(name)) faults.push(unknownField('', name, topFields).replaceAll(/(^| )\./g, '$1'))
  }
  if (typeof kind !== 'string' || !crds.kinds().includes(kind)) {
    const meant = typeof kind === 'string' ? nearest(kind, crds.kinds()) : undefined
    faults.push(
      `kind: unknown; ${meant === undefined ? `known are ${crds.kinds().join(', ')}` : `did you mean ${meant}?`}`
    )
    return { spec: undefined, faults, warnings: [] }
  }
  const checked = crds.validator(kind)(object['spec'])
  const annotations =
    isObject(metadata) && isObject(metadata['annotations']) ? Object.keys(metadata['annotations']) : []
  const ours = annotations.filter(name => name.startsWith(PREFIX)).map(name => name.slice(PREFIX.length))
  return { spec: checked.spec, faults: [...faults, ...checked.faults], warnings: annotationWarnings(ours) }
}

const PREFIX = 'windmill.dev/'
const topFields = ['apiVersion', 'kind', 'metadata', 'spec', 'status']

/** What only cluster administrators may say: it counts on a Namespace, never on a CR. */
const ofNamespaces: readonly string[] = ['workspaces', 'run-as']

/** The annotations that mean something on a CR, without prefix. */
const known: readonly string[] = [
  'conflict-policy',
  'deletion-policy',
  'adopt',
  'reconcile',
  'sync-requested-at',
  'archived',
  'max-deletes'
]

/** Sentences about annotations of our group (names without the prefix) that nothing reads. */
export function annotationWarnings(names: readonly string[]): readonly string[] {
  return names
    .filter(name => !known.includes(name))
    .map(name => {
      if (ofNamespaces.includes(name))
        return `metadata.annotations: ${PREFIX}${name} counts on a Namespace only; ignored.`
      const meant = nearest(name, known)
      const hint = meant === undefined ? `known are ${known.join(', ')}.` : `did you mean ${PREFIX}${meant}?`
      return `metadata.annotations: ${PREFIX}${name.slice(0, 60)} is unknown and ignored; ${hint}`
    })
}
