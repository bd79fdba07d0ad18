/** Windmill's own argument parsers: optional npm packages of WebAssembly, loaded when a language first needs one. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { compileFunction } from 'node:vm'
import { readLiteral } from './literal.ts'

/** Only this much is needed; Node's types leave it to those of browsers. */
declare const WebAssembly: { readonly Module: new (bytes: Uint8Array) => object }

/** The two files of a package: the JavaScript that wasm-bindgen made, and the module. */
export interface PackageFiles {
  readonly glue: string
  readonly wasm: Uint8Array
}

/** Throws an error with the code MODULE_NOT_FOUND when the package is not installed. */
export type ReadPackage = (name: string) => PackageFiles

/** What a parser said, or why nothing was said: no package, a package of unknown build, a crash on this code. */
export type Answer =
  | { readonly said: string | undefined }
  | { readonly failed: 'not-installed' | 'unusable' | 'crashed' }

/** Calls a function of a package. Never throws. */
export type AskParser = (name: string, question: string, code: string) => Answer

type Functions = Readonly<Record<string, (code: string) => string | undefined>>
type Module = () => Functions

/** Found beside the program (also in a bundle) or by NODE_PATH. */
export const readInstalled: ReadPackage = name => {
  const glue = createRequire(import.meta.url).resolve(name)
  return { glue: readFileSync(glue, 'utf8'), wasm: readFileSync(glue.replace(/\.js$/, '_bg.wasm')) }
}

/**
 * Instances are kept until one crashes: a panic in WebAssembly leaves memory and stack pointer as they were in the
 * middle of the work, so the next call gets a new instance of the compiled module.
 */
export function makeAskParser(read: ReadPackage): AskParser {
  const modules = new Map<string, Module | 'not-installed' | 'unusable'>()
  const instances = new Map<string, Functions>()
  return (name, question, code) => {
    const module = modules.get(name) ?? compiled(read, name)
    modules.set(name, module)
    if (typeof module === 'string') return { failed: module }
    let functions = instances.get(name)
    if (functions === undefined) {
      functions = instantiated(module)
      if (functions?.[question] === undefined) return { failed: 'unusable' }
      instances.set(name, functions)
    }
    try {
      return { said: functions[question]?.(code) }
    } catch {
      instances.delete(name)
      return { failed: 'crashed' }
    }
  }
}

function instantiated(module: Module): Functions | undefined {
  try {
    return module()
  } catch {
    return undefined
  }
}

function compiled(read: ReadPackage, name: string): Module | 'not-installed' | 'unusable' {
  try {
    const { glue, wasm } = read(name)
    const make = compileGlue(glue)
    const module = new WebAssembly.Module(wasm)
    return () => {
      const { initSync, ...functions } = make(evaluateLiteral, refuse)
      initSync({ module })
      return functions
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND' ? 'not-installed' : 'unusable'
  }
}

type Glue = Functions & { readonly initSync: (options: { readonly module: object }) => void }

/**
 * The glue as a function that makes a fresh copy each time (a module of Node exists once, and keeps its instance), in
 * which `eval` and `Function` are ours: the TypeScript parser evaluates default values, such as `a = {b: f()}`, by a
 * plain JavaScript `eval`. Whoever may write a script would run code in this program, with its database at hand.
 */
function compileGlue(glue: string): (evaluate: typeof evaluateLiteral, refused: typeof refuse) => Glue {
  const names = [...glue.matchAll(/^export function (\w+)/gm)].map(([, name]) => name)
  const body = glue
    .replace(/^export default .*$/gm, '')
    .replace(/^export \{[^}]*\};?/gm, '')
    .replace(/^export (?=function )/gm, '')
    .replaceAll('import.meta', '({})')
  const all = [...new Set([...names, 'initSync'])].join(', ')
  return compileFunction(`${body}\nreturn { ${all} }`, ['eval', 'Function']) as ReturnType<typeof compileGlue>
}

/** The parser asks for `let x = <source of the default value>; x`. What is no literal counts as unknown. */
function evaluateLiteral(source: string): unknown {
  const [, literal] = /^let x = ([^]*); x$/.exec(source) ?? []
  return literal === undefined ? undefined : readLiteral(literal)
}

function refuse(): never {
  throw new Error('code is not run here')
}
