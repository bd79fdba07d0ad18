/** Names of the modules that TypeScript code imports, read without a parser: declarations stand at the outermost level. */

interface Token {
  readonly kind: 'word' | 'text' | 'sign'
  readonly text: string
}

/** Modules of `import` and `export … from` declarations; those of types alone and dynamic ones are left out. */
export function tsModules(code: string): readonly string[] {
  const tokens = tokensOf(code)
  const found: string[] = []
  let depth = 0
  for (let at = 0; at < tokens.length; at++) {
    const { kind, text } = tokens[at] as Token
    if (kind === 'sign') depth += opening.has(text) ? 1 : closing.has(text) ? -1 : 0
    if (depth !== 0 || kind !== 'word' || (text !== 'import' && text !== 'export')) continue
    if (tokens[at - 1]?.text === '.') continue
    const declared = declarationAt(tokens, at)
    if (!declared) continue
    if (declared.module !== undefined) found.push(declared.module)
    at = declared.end
  }
  return found
}

const opening: ReadonlySet<string> = new Set(['{', '(', '['])
const closing: ReadonlySet<string> = new Set(['}', ')', ']'])

/** Where the declaration ends, and its module unless it imports types alone; undefined when it is something else. */
function declarationAt(
  tokens: readonly Token[],
  at: number
): { readonly end: number; readonly module?: string } | undefined {
  const isImport = tokens[at]?.text === 'import'
  const first = tokens[at + 1]
  if (isImport && first?.kind === 'text') return { end: at + 1, module: first.text }
  const isTypes = first?.text === 'type' && isClause(tokens[at + 2], tokens[at + 3])
  for (let next = at + 1; next < tokens.length; next++) {
    const { kind, text } = tokens[next] as Token
    const module = tokens[next + 1]
    if (kind === 'word' && text === 'from' && module?.kind === 'text' && next > at + 1) {
      return { end: next + 1, ...(!isTypes && { module: module.text }) }
    }
    if (kind === 'sign' && !'{},*'.includes(text)) return undefined
    if (kind === 'word' && !isImport && declares.has(text) && tokens[next - 1]?.text === 'export') return undefined
  }
  return undefined
}

/** After `type`: whether names follow, so that it is no name itself (`import type from './a'`, `import type, { b } …`). */
function isClause(first: Token | undefined, second: Token | undefined): boolean {
  if (first?.text === '{' || first?.text === '*') return true
  return first?.kind === 'word' && (first.text !== 'from' || second?.text === 'from')
}

/** Words after `export` that begin a declaration of its own. */
const declares: ReadonlySet<string> = new Set(
  'default const let var function async class abstract interface enum namespace module declare import'.split(' ')
)

const pattern =
  /\s+|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|"((?:\\[\s\S]|[^"\\\n])*)"|'((?:\\[\s\S]|[^'\\\n])*)'|([\p{ID_Start}$_#@][\p{ID_Continue}$\u200c\u200d]*)|\d[\w.]*|[\s\S]/uy

/** Words, texts and signs; comments, numbers, templates and regular expressions leave nothing or a stand-in. */
function tokensOf(code: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  while (at < code.length) {
    pattern.lastIndex = at
    const [all = '', double, single, word] = pattern.exec(code) ?? []
    if (all === '') break
    if (all === '`') at = templateEnd(code, at + 1)
    else if (all === '/' && !endsValue(tokens.at(-1))) at = regexEnd(code, at + 1)
    else at += all.length
    if (double !== undefined || single !== undefined) tokens.push({ kind: 'text', text: double ?? single ?? '' })
    else if (word !== undefined) tokens.push({ kind: 'word', text: word })
    else if (/^\d/.test(all) || all === '`') tokens.push({ kind: 'sign', text: '0' })
    else if (!/^(?:\s|\/[/*])/.test(all)) tokens.push({ kind: 'sign', text: all })
  }
  return tokens
}

/** A slash after a value divides; anywhere else it begins a regular expression. */
function endsValue(last: Token | undefined): boolean {
  if (!last) return false
  if (last.kind === 'word')
    return !/^(?:return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield)$/.test(last.text)
  return last.kind === 'text' || last.text === ')' || last.text === ']' || last.text === '}' || last.text === '0'
}

function regexEnd(code: string, from: number): number {
  let inClass = false
  for (let at = from; at < code.length; at++) {
    const sign = code[at]
    if (sign === '\n') return at
    if (sign === '\\') at++
    else if (sign === '[') inClass = true
    else if (sign === ']') inClass = false
    else if (sign === '/' && !inClass) return at + 1
  }
  return code.length
}

/** Behind the closing backtick; what stands in `${ }` may hold templates again. */
function templateEnd(code: string, from: number): number {
  for (let at = from; at < code.length; at++) {
    if (code[at] === '\\') at++
    else if (code[at] === '`') return at + 1
    else if (code[at] === '$' && code[at + 1] === '{') at = expressionEnd(code, at + 2) - 1
  }
  return code.length
}

function expressionEnd(code: string, from: number): number {
  let depth = 1
  for (let at = from; at < code.length; at++) {
    const sign = code[at]
    if (sign === '{') depth++
    else if (sign === '}' && --depth === 0) return at + 1
    else if (sign === '`') at = templateEnd(code, at + 1) - 1
    else if (sign === '"' || sign === "'") at = textEnd(code, at + 1, sign) - 1
  }
  return code.length
}

function textEnd(code: string, from: number, quote: string): number {
  for (let at = from; at < code.length; at++) {
    if (code[at] === '\\') at++
    else if (code[at] === quote || code[at] === '\n') return at + 1
  }
  return code.length
}
