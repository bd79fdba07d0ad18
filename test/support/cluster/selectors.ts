/** Label and field selectors. */
import { badRequest } from './refusal.ts'
import type { Kind, Stored } from './types.ts'
import { apiVersionOf, isFields, textOf } from './types.ts'

type Test = (object: Stored) => boolean

const SETS = /^(!?)\s*([^\s=!,()]+)\s*(?:(==|=|!=)\s*([^\s,()]*)|\s(in|notin)\s*\(([^)]*)\))?$/

export function labelTest(selector: string): Test | undefined {
  if (!selector) return undefined
  const tests = selector.split(/,(?![^(]*\))/).map(part => oneLabel(part.trim()))
  return object => tests.every(test => test(object.metadata.labels ?? {}))
}

function oneLabel(part: string): (labels: Record<string, string>) => boolean {
  const match = SETS.exec(part)
  if (!match) throw badRequest(`unable to parse requirement: found '${part}', expected: identifier`)
  const [, not, key = '', equals, value = '', word, set = ''] = match
  const values = set.split(',').map(item => item.trim())
  if (equals) return labels => (labels[key] === value) === (equals !== '!=')
  if (word === 'in') return labels => labels[key] !== undefined && values.includes(labels[key])
  if (word === 'notin') return labels => labels[key] === undefined || !values.includes(labels[key])
  return labels => Object.hasOwn(labels, key) === (not !== '!')
}

/** The field labels that the real server knows; for custom kinds only the two of every object. */
const EXTRA: Readonly<Record<string, RegExp>> = {
  Secret: /^type$/,
  Namespace: /^status\.phase$/,
  Event:
    /^(type|reason|reportingComponent|source|involvedObject\.(kind|namespace|name|uid|apiVersion|resourceVersion|fieldPath))$/
}

export function fieldTest(selector: string, kind: Kind): Test | undefined {
  if (!selector) return undefined
  const tests = selector.split(',').map(part => {
    const [, path = '', equals, value = ''] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part.trim()) ?? []
    if (!equals) throw badRequest(`invalid selector: '${part}'; can't understand '${part}'`)
    const known =
      path === 'metadata.name' || (path === 'metadata.namespace' && kind.namespaced) || EXTRA[kind.kind]?.test(path)
    if (!known) {
      throw badRequest(
        `Unable to find "${apiVersionOf(kind)}, Resource=${kind.plural}" that match label selector "", field selector "${selector}": field label not supported: ${path}`
      )
    }
    return (object: Stored) => (textAt(object, path) === value) === (equals !== '!=')
  })
  return object => tests.every(test => test(object))
}

function textAt(object: unknown, path: string): string {
  let value = object
  for (const part of path.split('.')) value = isFields(value) ? value[part] : undefined
  return value === undefined || value === null ? '' : textOf(value)
}
