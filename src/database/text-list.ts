/** One-dimensional PostgreSQL arrays in their text form, such as `{a,"b c",NULL}`. */

export function listText(value: unknown): string {
  if (!Array.isArray(value)) return String(value)
  const members = value.map(one => (one === null || one === undefined ? 'NULL' : `"${quoted(String(one))}"`))
  return `{${members.join(',')}}`
}

const quoted = (text: string): string => text.replace(/[\\"]/g, '\\$&')

/** A quoted member (group 1) or a bare one (group 2), and what ends it. */
const member = /(?:"((?:[^"\\]|\\.)*)"|([^",{}]+))[,}]/gs

export function parseList(text: string): readonly (string | null)[] {
  const found: (string | null)[] = []
  for (const [, inQuotes, bare] of text.matchAll(member)) {
    if (inQuotes !== undefined) found.push(inQuotes.replace(/\\(.)/gs, '$1'))
    else found.push(bare === 'NULL' ? null : (bare ?? ''))
  }
  return found
}
