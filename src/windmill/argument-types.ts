/** The types of Windmill's argument parsers as JSON Schema, by Windmill's own library. */
import { createRequire } from 'node:module'

/** A property of an argument schema, filled in place. */
export type Property = Record<string, unknown>

type Describe = (type: unknown, property: Property) => void

const require = createRequire(import.meta.url)
let library: { readonly argSigToJsonSchemaType: Describe } | undefined

/**
 * Loaded when first needed, and only as CommonJS: its ES modules do not load in Node. The bundle puts the library's one
 * file in the place of this module (.ci/bundle.mjs).
 */
export const describeType: Describe = (type, property) => {
  library ??= require('windmill-utils-internal') as { argSigToJsonSchemaType: Describe }
  library.argSigToJsonSchemaType(type, property)
}
