/** Error and success handlers: Windmill wants to be told whether the path is a script's or a flow's. */
import type { Json } from '../model.ts'
import { pathPattern } from './workspace-shapes.ts'
import { invalid, isObject, textOf } from './workspace-spec.ts'

export interface Handler {
  readonly kind: 'script' | 'flow'
  readonly path: string
}

/** The success handler is stated as an object with its arguments, the error handler as text. */
export const handlerPath = (stated: Json | undefined): Json | undefined => (isObject(stated) ? stated['path'] : stated)

/** A handler stated without `script/` or `flow/`: it would fail when it fires (contract, trap 14). */
export function bareHandler(stated: Json | undefined): string | undefined {
  const path = textOf(handlerPath(stated))
  return path !== null && pathPattern.test(path) ? path : undefined
}

/** Throws InvalidSpec for what is no path of a script or flow. */
export function parseHandler(field: string, path: string): Handler | { readonly bare: string } {
  if (pathPattern.test(path)) return { bare: path }
  if (path.startsWith('hub/')) return { kind: 'script', path }
  const [, kind, rest] = /^(script|flow)\/(.+)$/.exec(path) ?? []
  const fits = rest !== undefined && (pathPattern.test(rest) || (kind === 'script' && rest.startsWith('hub/')))
  if (fits) return { kind: kind as Handler['kind'], path: rest }
  throw invalid(`settings.${field} must be script/<path>, flow/<path> or a path such as f/folder/name.`)
}
