/** The schemas in crds/: which kinds there are, and the schema of each, read when it is first needed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

export interface Rule {
  readonly rule: string
  readonly message: string
}

/** A node of a structural schema, as far as ours use the language. */
export interface Schema {
  readonly description?: string
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  readonly nullable?: boolean
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema
  readonly items?: Schema
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-list-type'?: 'map' | 'set' | 'atomic'
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-validations'?: readonly Rule[]
}

interface Definition {
  readonly spec: {
    readonly versions: readonly {
      readonly name: string
      readonly schema: { readonly openAPIV3Schema: Schema & { readonly properties: { readonly spec: Schema } } }
    }[]
  }
}

export interface SchemaFiles {
  /** Such as `WindmillVariable`, sorted. Reads the names of the files only. */
  readonly kinds: () => readonly string[]
  /** The schema of `spec`. Throws for a kind without a file. Parses that one file, once. */
  readonly specOf: (kind: string) => Schema
}

/** The file of kind WindmillResourceType is resource-type.yaml: no file has to be parsed to find the one of a kind. */
const stemOf = (kind: string): string =>
  kind
    .replace(/^Windmill/, '')
    .replace(/(?<=.)[A-Z]/g, '-$&')
    .toLowerCase()
const kindOf = (stem: string): string =>
  `Windmill${stem.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase())}`

/** The bundle holds every file as JSON as well, which is read a hundred times as fast. */
function readDefinition(file: string): Definition {
  const json = `${file}.json`
  return (
    existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : parse(readFileSync(`${file}.yaml`, 'utf8'))
  ) as Definition
}

export function schemaFiles(directory: URL | string): SchemaFiles {
  const root = typeof directory === 'string' ? directory : fileURLToPath(directory)
  const read = new Map<string, Schema>()
  let names: readonly string[] | undefined
  const kinds = (): readonly string[] => {
    names ??= readdirSync(root)
      .filter(name => name.endsWith('.yaml'))
      .map(name => kindOf(name.slice(0, -'.yaml'.length)))
      .sort()
    return names
  }
  const specOf = (kind: string): Schema => {
    const known = read.get(kind)
    if (known) return known
    // Also keeps a kind out of a manifest from naming a file anywhere else.
    if (!kinds().includes(kind)) throw new Error(`${root} has no CustomResourceDefinition of ${kind}`)
    const definition = readDefinition(join(root, stemOf(kind)))
    const version = definition.spec.versions[0]
    if (!version) throw new Error(`the CustomResourceDefinition of ${kind} has no version`)
    const schema = version.schema.openAPIV3Schema.properties.spec
    read.set(kind, schema)
    return schema
  }
  return { kinds, specOf }
}
