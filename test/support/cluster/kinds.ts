/** Which kinds there are: the few core ones, and whatever a CustomResourceDefinition describes. */
import type { Column, Fields, Kind, Schema, Stored } from './types.ts'

const core = (kind: string, plural: string, more: Partial<Kind>): Kind => ({
  group: '',
  version: 'v1',
  kind,
  plural,
  singular: kind.toLowerCase(),
  shortNames: [],
  categories: [],
  namespaced: true,
  status: false,
  custom: false,
  generations: false,
  columns: [],
  ...more
})

const AGE: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }

const text = (name: string, jsonPath: string): Column => ({ name, type: 'string', jsonPath })

export const NAMESPACE = core('Namespace', 'namespaces', {
  shortNames: ['ns'],
  namespaced: false,
  status: true,
  columns: [text('Status', '.status.phase'), AGE]
})

export const SECRET = core('Secret', 'secrets', { columns: [text('Type', '.type'), AGE] })

export const CONFIG_MAP = core('ConfigMap', 'configmaps', { shortNames: ['cm'], columns: [AGE] })

export const EVENT = core('Event', 'events', {
  shortNames: ['ev'],
  columns: [
    { name: 'Last Seen', type: 'date', jsonPath: '.lastTimestamp' },
    text('Type', '.type'),
    text('Reason', '.reason'),
    text('Object', '.involvedObject.name'),
    text('Message', '.message')
  ]
})

export const CRD = core('CustomResourceDefinition', 'customresourcedefinitions', {
  group: 'apiextensions.k8s.io',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  namespaced: false,
  status: true,
  generations: true,
  columns: [{ name: 'Created At', type: 'string', jsonPath: '.metadata.creationTimestamp' }]
})

export const BUILT_IN: readonly Kind[] = [NAMESPACE, SECRET, CONFIG_MAP, EVENT, CRD]

interface Definition {
  group: string
  scope: string
  names: { kind: string; plural: string; singular?: string; shortNames?: string[]; categories?: string[] }
  versions: {
    name: string
    storage: boolean
    subresources?: { status?: Fields }
    additionalPrinterColumns?: Column[]
    schema: { openAPIV3Schema: Schema }
  }[]
}

/** Serves the storage version alone: nothing here converts between versions. */
export function kindOf(definition: Stored): Kind {
  const { group, scope, names, versions } = definition['spec'] as Definition
  const version = versions.find(({ storage }) => storage) ?? versions[0]
  if (!version) throw new Error(`CRD ${definition.metadata.name} has no version`)
  return {
    group,
    version: version.name,
    kind: names.kind,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    namespaced: scope === 'Namespaced',
    status: version.subresources?.status !== undefined,
    custom: true,
    generations: true,
    columns: version.additionalPrinterColumns ?? [AGE],
    schema: version.schema.openAPIV3Schema
  }
}

/** The answer that `kubectl wait --for condition=established` looks for. */
export function established(definition: Fields, now: string): Fields {
  const spec = definition['spec'] as Definition
  const met = (type: string, reason: string, message: string): Fields => ({
    type,
    status: 'True',
    reason,
    message,
    lastTransitionTime: now
  })
  return {
    acceptedNames: spec.names,
    storedVersions: spec.versions.filter(({ storage }) => storage).map(({ name }) => name),
    conditions: [
      met('NamesAccepted', 'NoConflicts', 'no conflicts found'),
      met('Established', 'InitialNamesAccepted', 'the initial names have been accepted')
    ]
  }
}
