/** A scanner for TypeScript that knows just enough to tell code from comments, texts, templates and regular expressions. */

export interface Token {
  readonly kind: 'word' | 'literal' | 'sign'
  /** '' for literals and members (`.name`). */
  readonly text: string
  /** Something that an operator may follow and an operand may not: a slash after it divides. */
  readonly complete: boolean
  readonly afterNewline: boolean
}

/** What an opening bracket was, for what may follow its end. */
interface Bracket {
  readonly closes: string
  /** Of a template: its text goes on after the end. */
  readonly template: boolean
  /** `if (…)` and blocks are no operands: a slash after them begins a regular expression. */
  readonly completes: boolean
}

interface Scan {
  readonly source: string
  readonly open: Bracket[]
  readonly onTopLevel: (token: Token) => void
  at: number
  last: Token | undefined
  newline: boolean
}

const blank = /[^\S\n\r\u2028\u2029]+/y
const newline = /[\n\r\u2028\u2029]+/y
const lineComment = /\/\/[^\n\r\u2028\u2029]*/y
const word = /[#@]?[\p{ID_Start}$_\\][\p{ID_Continue}\p{Join_Control}$\\]*/uy
const number = /(?:0[xXoObB][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)n?/y
const sign = /=>|\+\+|--|\?\.(?!\d)|[^]/uy

/** Words after which an operand comes, so that a slash begins a regular expression. */
const expecting = new Set(
  (
    'return typeof instanceof in of new delete void throw case do else await yield extends default export ' +
    'if while for with switch'
  ).split(' ')
)
/** Signs before the brace of a block; after others it begins an object. `>` ends a type: `f(): Promise<string> {`. */
const beforeBlocks = new Set([';', '{', '}', ')', '=>', '>'])
const statementHeads = new Set(['if', 'while', 'for', 'with'])
const closing: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' }

/** Calls back for each token outside of all brackets. False: a bracket, text, template or comment has no end. */
export function scanTypeScript(source: string, onTopLevel: (token: Token) => void): boolean {
  const hashbang = source.startsWith('#!') ? (/^[^\n\r]*/.exec(source)?.[0].length ?? 0) : 0
  const start = source.startsWith('\uFEFF') ? 1 : hashbang
  const scan: Scan = { source, open: [], onTopLevel, at: start, last: undefined, newline: true }
  while (scan.at < source.length) if (!step(scan)) return false
  return scan.open.length === 0
}

function step(scan: Scan): boolean {
  const first = scan.source[scan.at]
  if (taken(scan, blank) !== undefined) return true
  if (taken(scan, newline) !== undefined) {
    scan.newline = true
    return true
  }
  if (first === '/' && taken(scan, lineComment) !== undefined) return true
  if (first === '/' && scan.source[scan.at + 1] === '*') return skipComment(scan)
  if (first === '"' || first === "'") return skipText(scan, first)
  if (first === '`') return skipTemplate(scan)
  if (first === '/' && !scan.last?.complete) return skipRegularExpression(scan)
  if (taken(scan, number) !== undefined) return literal(scan)
  const name = taken(scan, word)
  if (name === undefined) return takeSign(scan)
  const isMember = scan.last?.text === '.' || scan.last?.text === '?.'
  if (isMember) return literal(scan)
  emit(scan, { kind: 'word', text: name, complete: !expecting.has(name) })
  return true
}

function skipComment(scan: Scan): boolean {
  const end = scan.source.indexOf('*/', scan.at + 2)
  if (end < 0) return false
  if (/[\n\r\u2028\u2029]/.test(scan.source.slice(scan.at, end))) scan.newline = true
  scan.at = end + 2
  return true
}

function skipText(scan: Scan, quote: string): boolean {
  for (let i = scan.at + 1; i < scan.source.length; i++) {
    const here = scan.source[i]
    if (here === '\\') i += scan.source.startsWith('\r\n', i + 1) ? 2 : 1
    else if (here === '\n' || here === '\r') return false
    else if (here === quote) {
      scan.at = i + 1
      return literal(scan)
    }
  }
  return false
}

/** In `[…]` a slash is an ordinary character. Flags are left: they count as a word, which changes nothing. */
function skipRegularExpression(scan: Scan): boolean {
  let inClass = false
  for (let i = scan.at + 1; i < scan.source.length; i++) {
    const here = scan.source[i]
    if (here === '\n' || here === '\r') return false
    if (here === '\\') i++
    else if (here === '/' && !inClass) {
      scan.at = i + 1
      return literal(scan)
    } else if (here === '[') inClass = true
    else if (here === ']') inClass = false
  }
  return false
}

/** From a backtick, or from the end of a hole, to the next hole or the end. */
function skipTemplate(scan: Scan): boolean {
  for (let i = scan.at + 1; i < scan.source.length; i++) {
    const here = scan.source[i]
    if (here === '\\') i++
    else if (here === '`') {
      scan.at = i + 1
      return literal(scan)
    } else if (here === '$' && scan.source[i + 1] === '{') {
      scan.at = i + 2
      scan.open.push({ closes: '}', template: true, completes: true })
      scan.last = undefined
      return true
    }
  }
  return false
}

function takeSign(scan: Scan): boolean {
  const text = taken(scan, sign) ?? ''
  const closes = closing[text]
  if (closes !== undefined) {
    const completes = isOperand(scan, text)
    emit(scan, { kind: 'sign', text, complete: false }, { closes, template: false, completes })
    return true
  }
  if (text !== ')' && text !== ']' && text !== '}') {
    emit(scan, { kind: 'sign', text, complete: isPostfix(scan, text) })
    return true
  }
  const bracket = scan.open.pop()
  if (bracket?.closes !== text) return false
  if (bracket.template) {
    scan.at--
    return skipTemplate(scan)
  }
  emit(scan, { kind: 'sign', text, complete: bracket.completes })
  return true
}

/** `a++`, and `a!` of TypeScript: still something complete. On a new line they belong to what follows. */
function isPostfix({ last, newline: fresh }: Scan, text: string): boolean {
  return (text === '++' || text === '--' || text === '!') && !fresh && last?.complete === true
}

/** Whether what the bracket encloses is an operand: not the head of a statement, not a block. */
function isOperand({ last }: Scan, text: string): boolean {
  if (text === '(') return !(last?.kind === 'word' && statementHeads.has(last.text))
  if (text === '[' || last === undefined) return text === '['
  if (last.kind === 'word') return expecting.has(last.text) && last.text !== 'else' && last.text !== 'do'
  return !last.complete && !beforeBlocks.has(last.text)
}

function literal(scan: Scan): boolean {
  emit(scan, { kind: 'literal', text: '', complete: true })
  return true
}

function emit(scan: Scan, token: Omit<Token, 'afterNewline'>, opens?: Bracket): void {
  scan.last = { ...token, afterNewline: scan.newline }
  scan.newline = false
  if (scan.open.length === 0) scan.onTopLevel(scan.last)
  if (opens) scan.open.push(opens)
}

function taken(scan: Scan, pattern: RegExp): string | undefined {
  pattern.lastIndex = scan.at
  const found = pattern.exec(scan.source)?.[0]
  if (found !== undefined) scan.at += found.length
  return found
}
