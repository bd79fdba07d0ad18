/** CRs as an API server stores and answers them: metadata with everything that real objects carry, and their lists. */
import { createHash } from 'node:crypto'
import { tableColumns } from '../../../src/cluster/table.ts'
import { markedAnnotations } from '../../../src/fingerprint.ts'
import { specMaker, type Thing, type WorldOptions } from './world.ts'

export interface Version {
  readonly generation: number
  /** The generation that the status speaks of, if there is one (which adds an entry to managedFields). */
  readonly settled: number | undefined
}

/** kubectl refuses longer annotations. */
const longestAnnotations = 262_144
const apiVersion = 'windmill.dev/v1alpha1'

const hex = (text: string): string => createHash('sha1').update(text).digest('hex')
export const uidOf = (thing: Thing): string => {
  const h = hex(`${thing.kind}/${thing.namespace}/${thing.name}`)
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-4${h.slice(13, 16)}-a${h.slice(17, 20)}-${h.slice(20, 32)}`
}

/** Which fields a manager set, as the API server writes it: every field a key of its own. */
function fieldsOf(value: unknown, depth = 0): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth > 3) return {}
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [`f:${key}`, fieldsOf(inner, depth + 1)]))
}

const statusFields = {
  'f:status': {
    'f:conditions': {
      '.': {},
      'k:{"type":"Ready"}': {
        '.': {},
        'f:lastTransitionTime': {},
        'f:message': {},
        'f:observedGeneration': {},
        'f:reason': {},
        'f:status': {},
        'f:type': {}
      }
    },
    'f:hash': {},
    'f:message': {},
    'f:observedGeneration': {},
    'f:reason': {},
    'f:state': {},
    'f:syncedAt': {},
    'f:workspace': {}
  }
}

const created = '2026-03-01T08:00:00Z'
const patched = '2026-03-01T09:30:00Z'
const timeOf = (generation: number): string =>
  generation === 1 ? created : `2026-03-${String(Math.min(28, generation)).padStart(2, '0')}T08:00:00Z`

function metadataOf(thing: Thing, version: Version, spec: object, options: WorldOptions): object {
  const { namespace, name, ordinal, kind } = thing
  const labels = {
    'app.kubernetes.io/managed-by': 'kustomize',
    'app.kubernetes.io/part-of': 'automation',
    team: namespace,
    'example.com/cost-center': String(1000 + (ordinal % 40))
  }
  const applied = options.lastApplied ? lastApplied({ kind, namespace, name, labels, spec }) : {}
  const manager = options.lastApplied ? 'kubectl-client-side-apply' : 'kustomize-controller'
  const annotationFields = options.lastApplied
    ? { 'f:annotations': { '.': {}, 'f:kubectl.kubernetes.io/last-applied-configuration': {} } }
    : {}
  const labelFields = {
    'f:labels': { '.': {}, ...Object.fromEntries(Object.keys(labels).map(key => [`f:${key}`, {}])) }
  }
  return {
    ...(options.lastApplied && { annotations: applied }),
    creationTimestamp: created,
    generation: version.generation,
    labels,
    managedFields: [
      {
        apiVersion,
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:metadata': { ...annotationFields, ...labelFields }, 'f:spec': { '.': {}, ...fieldsOf(spec) } },
        manager,
        operation: options.lastApplied ? 'Update' : 'Apply',
        time: timeOf(version.generation)
      },
      ...(version.settled !== undefined
        ? [
            {
              apiVersion,
              fieldsType: 'FieldsV1',
              fieldsV1: statusFields,
              manager: 'windmill-iac',
              operation: 'Update',
              subresource: 'status',
              time: patched
            }
          ]
        : [])
    ],
    name,
    namespace,
    resourceVersion: String(1_000_000 + ordinal * 10 + version.generation + (version.settled !== undefined ? 5 : 0)),
    uid: uidOf(thing)
  }
}

function lastApplied(object: { kind: string; namespace: string; name: string; labels: object; spec: object }): object {
  const { kind, namespace, name, labels, spec } = object
  const text = `${JSON.stringify({ apiVersion, kind, metadata: { annotations: {}, labels, name, namespace }, spec })}\n`
  return text.length > longestAnnotations ? {} : { 'kubectl.kubernetes.io/last-applied-configuration': text }
}

const statusOf = ({ namespace }: Thing, generation: number): object => ({
  conditions: [
    {
      lastTransitionTime: patched,
      message: 'In sync with Windmill.',
      observedGeneration: generation,
      reason: 'Synced',
      status: 'True',
      type: 'Ready'
    }
  ],
  hash: '0123456789abcdef',
  message: 'In sync with Windmill.',
  observedGeneration: generation,
  reason: 'Synced',
  state: 'Synced',
  syncedAt: patched,
  workspace: namespace
})

export interface Written {
  readonly full: string
  readonly metadata: string
}

/** Makes the JSON texts of an object: whole, and as PartialObjectMetadata. */
export function writer(options: WorldOptions): (thing: Thing, version: Version) => Written {
  const specOf = specMaker(options)
  return (thing, version) => {
    const spec = specOf(thing, version.generation)
    const metadata = JSON.stringify(metadataOf(thing, version, spec, options))
    const status = version.settled !== undefined ? `,"status":${JSON.stringify(statusOf(thing, version.settled))}` : ''
    return {
      full: `{"apiVersion":"${apiVersion}","kind":"${thing.kind}","metadata":${metadata},"spec":${JSON.stringify(spec)}${status}}`,
      metadata: `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":${metadata}}`
    }
  }
}

/** What a Table's row holds of an object: the name, what CRDs show to people (the same for all kinds here), and our columns. */
export function tableRow(thing: Thing, version: Version, object: string): string {
  const cells = [
    thing.name,
    thing.namespace,
    `f/area/${thing.name}`,
    'Synced',
    'Synced',
    '12d',
    '30d',
    thing.namespace,
    uidOf(thing),
    version.generation,
    created,
    ...markedAnnotations.map(() => null)
  ]
  return `{"cells":${JSON.stringify(cells)},"object":${object}}`
}

/** Where a row tells what is kept of an object. */
export const rowPlaces = { name: 0, namespace: 7, uid: 8, generation: 9 } as const

const shown = ['Name', 'Workspace', 'Path', 'State', 'Reason', 'Synced', 'Age']
export const tableDefinitions = JSON.stringify([
  ...shown.map(name => ({
    name,
    type: name === 'Synced' || name === 'Age' ? 'date' : 'string',
    format: name === 'Name' ? 'name' : '',
    description: `${name} of the object.`,
    priority: 0
  })),
  ...tableColumns.map(({ name, type, description }) => ({ name, type, format: '', description, priority: 1 }))
])
