/** Values that stand in a ConfigMap, as YAML or JSON text. */
import { SyncError } from '../errors.ts'
import type { Json } from '../model.ts'

/** Parses such texts; made once per batch, because the parser is loaded only where one is needed. */
export type ReadDocument = (text: string, where: string) => { readonly [key: string]: Json }

/** `needed: false` gives a reader that is never to be called. */
export async function documentReader(needed: boolean): Promise<ReadDocument> {
  if (!needed) return () => ({})
  // Of a CommonJS module that is loaded late, the bundle has nothing but the default export.
  const { parseDocument } = (await import('yaml')).default
  return (text, where) => {
    const fail = (why: string): SyncError => new SyncError('InvalidSpec', `${where}: ${why}.`)
    const document = parseDocument(text, { logLevel: 'silent', uniqueKeys: true, version: '1.2' })
    const [fault] = [...document.errors, ...document.warnings]
    if (fault) {
      const line = fault.linePos?.[0].line
      throw fail(`no valid YAML or JSON${line === undefined ? '' : ` (line ${line})`}: ${reasonOf(fault.code)}`)
    }
    const value = parsed(() => document.toJS({ maxAliasCount: 100 }) as Json, fail)
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw fail('must be a mapping')
    return value as { readonly [key: string]: Json }
  }
}

function parsed(work: () => Json, fail: (why: string) => SyncError): Json {
  try {
    return work()
  } catch {
    throw fail('uses too many aliases')
  }
}

/** The parser's messages quote the text; its codes do not. */
const reasonOf = (code: string): string => code.toLowerCase().replaceAll('_', ' ')
