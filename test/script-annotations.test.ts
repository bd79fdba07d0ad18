/** Leading comments of scripts: contract, scripts §1.2 and §1.4. */
import { nativeAnnotation, schemaValidation } from '../src/windmill/script-annotations.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('script annotations')

const isNative: readonly (readonly [code: string, native: boolean])[] = [
  ['//native\nexport function main() {}', true],
  ['// native', true],
  ['//  native  \r\n', true],
  ['//npm native\n', true],
  ['// a comment\n//native\n', true],
  ['//\n//native', true],
  ['', false],
  ['//nativets', false],
  ['// native code', false],
  ['///native', false],
  ['// Native', false],
  ['\n//native', false],
  [' //native', false],
  ['//npm\n\n//native', false],
  ['//npm\nimport x from "y"\n//native', false],
  ['/*\n//native\n*/', false],
  ['//nodejs nobundling', false]
]

test('native counts in the leading lines of comments only, and only among other annotations', () => {
  for (const [code, expected] of isNative) assert.is(nativeAnnotation(code), expected, JSON.stringify(code))
})

const isChecked: readonly (readonly [language: string, code: string, checked: boolean])[] = [
  ['bun', '// schema_validation\n', true],
  ['bun', '// something\n// schema_validation  \r\nx', true],
  ['bun', '//schema_validation', false],
  ['bun', '//  schema_validation', false],
  ['bun', '// schema_validation yes', false],
  ['bun', '\n// schema_validation', false],
  ['bun', '# schema_validation', false],
  ['nativets', '// schema_validation', true],
  ['php', '// schema_validation', true],
  ['go', '// schema_validation', true],
  ['python3', '# a\n# schema_validation\nimport x', true],
  ['python3', '#\n\n# schema_validation', false],
  ['bash', '#!/bin/bash\n# schema_validation', true],
  ['postgresql', '-- schema_validation\nselect 1', true],
  ['duckdb', '-- schema_validation', true],
  ['rust', '//! schema_validation', true],
  ['rust', '// schema_validation', false],
  ['unknown', '# schema_validation', false],
  ['constructor', '# schema_validation', false]
]

test('schema_validation stands alone in a line of the leading comments, in the sign of the language', () => {
  for (const [language, code, expected] of isChecked) {
    assert.is(schemaValidation(language, code), expected, `${language}: ${JSON.stringify(code)}`)
  }
})

test.run()
