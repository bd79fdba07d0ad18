/** What the leading comments of a script say about it (contract: scripts §1.2, §1.4). */

const bunWords = new Set(['npm', 'nodejs', 'native', 'nobundling'])

/**
 * Whether a `bun` script is stored as `bunnative`: the word `native` in the leading `//` lines. A line counts only when
 * all its words are annotations; the first line that does not start with `//`, even an empty one, ends the search.
 */
export function nativeAnnotation(content: string): boolean {
  return leading(content, '//').some(line => {
    const words = line.split(/\s+/).filter(word => word !== '')
    return words.every(word => bunWords.has(word)) && words.includes('native')
  })
}

/** The sign of a comment. For Go that of the newest release; older ones look for `#`, which no Go file starts with. */
const signs: Readonly<Record<string, string>> = {
  ...of('//', 'nativets bun bunnative deno go php csharp java'),
  ...of('#', 'python3 bash powershell graphql ansible nu ruby'),
  ...of('--', 'postgresql mysql bigquery snowflake mssql oracledb duckdb'),
  rust: '//!'
}

function of(sign: string, languages: string): Record<string, string> {
  return Object.fromEntries(languages.split(' ').map(language => [language, sign]))
}

/** Whether workers check arguments against the schema: a leading comment that says just `schema_validation`. */
export function schemaValidation(language: string, content: string): boolean {
  const sign = Object.hasOwn(signs, language) ? signs[language] : undefined
  return sign !== undefined && leading(content, sign).some(line => line.trimEnd() === ' schema_validation')
}

/** The first lines that start with the sign, without it. */
function leading(content: string, sign: string): readonly string[] {
  const found: string[] = []
  let start = 0
  while (content.startsWith(sign, start)) {
    const end = content.indexOf('\n', start)
    found.push(content.slice(start + sign.length, end < 0 ? undefined : end))
    if (end < 0) break
    start = end + 1
  }
  return found
}
