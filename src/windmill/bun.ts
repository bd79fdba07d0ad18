/** Which of the two names of TypeScript on bun a text has: contract, scripts §1.4. */

const annotations: ReadonlySet<string> = new Set(['npm', 'nodejs', 'native', 'nobundling'])

/** `bunnative` for a text whose leading comment has the annotation `native`, else `bun`; a line counts only when all its words are annotations. */
export function bunLanguage(content: string): 'bun' | 'bunnative' {
  for (const line of content.split('\n')) {
    if (!line.startsWith('//')) break
    const words = line.slice(2).trim().split(/\s+/)
    if (words.every(word => annotations.has(word)) && words.includes('native')) return 'bunnative'
  }
  return 'bun'
}
