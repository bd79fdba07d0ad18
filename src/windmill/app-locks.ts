/** Locks that a worker made and nobody stated: they outlive a new version in which the code is still the same. */
import type { Row } from '../model.ts'
import { isBlank, LOCK, mapScripts } from './app-value.ts'
import type { JsonObject } from './json-values.ts'

/**
 * The text of a value to store, with the live locks of unchanged scripts: otherwise a new label on a button would
 * bring in whatever versions the dependencies have by now. `live` is a row as `comparableApp` makes it.
 */
export function withLiveLocks(text: string, live: Row | undefined): string {
  if (!live || !Object.keys(live).some(field => field.startsWith(LOCK))) return text
  const sources = new Map<string, string>()
  mapScripts(live['value'] ?? null, (script, name) => {
    sources.set(name, sourceOf(script))
    return script
  })
  const value = mapScripts(JSON.parse(text) as JsonObject, (script, name) => {
    const lock = live[LOCK + name]
    const isKept = isBlank(script['lock']) && typeof lock === 'string' && !isTurning(script)
    return isKept && sources.get(name) === sourceOf(script) ? { ...script, lock } : script
  })
  return JSON.stringify(value)
}

const sourceOf = ({ content, language }: JsonObject): string =>
  JSON.stringify([language === 'bunnative' ? 'bun' : language, content])

/** A script whose annotation asks for the other of bun and bunnative: with a lock it would stay what it is. */
function isTurning({ content, language }: JsonObject): boolean {
  if (typeof content !== 'string' || (language !== 'bun' && language !== 'bunnative')) return false
  return /^\s*\/\/.*\bnative\b/m.test(content) !== (language === 'bunnative')
}
