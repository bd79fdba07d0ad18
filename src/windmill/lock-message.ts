/** Errors of lock jobs as a status may show them. */

const LINES = 5
const LENGTH = 500

/** The first lines, without passwords in addresses and without values that are called secret. */
export function lockMessage(text: string): string {
  const lines = text.split('\n').map(one => one.trimEnd())
  const shown = lines.filter(one => one !== '').slice(0, LINES)
  const safe = shown
    .join('\n')
    .replace(/\/\/[^\s/@]+@/g, '//***@')
    .replace(/\b(\w*(?:token|password|passwd|secret|api_?key)\w*["']?\s*[=:]\s*)["']?[^\s"',;&]+/gi, '$1***')
  return safe.length > LENGTH ? `${safe.slice(0, LENGTH).trimEnd()} …` : safe
}
