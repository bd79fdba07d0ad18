/** Reads a JavaScript literal as data. It is never run: the text comes from people who may not act as this program. */

/** Far below what overflows a stack; a default value made by people comes nowhere near it. */
const DEPTH = 64

interface Reader {
  readonly text: string
  at: number
}

class NotLiteral extends Error {}

const constants: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  null: null,
  undefined,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY
}

const gap = /(?:\s|\/\*[^]*?\*\/|\/\/[^\n\r\u2028\u2029]*)/y
const word = /[\p{ID_Start}$_][\p{ID_Continue}$]*/uy
const number = /0x[\da-f_]+n?|0o[0-7_]+n?|0b[01_]+n?|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:e[+-]?\d+)?n?/iy
const text = /"(?:[^"\\\n\r]|\\[^])*"|'(?:[^'\\\n\r]|\\[^])*'|`(?:[^`\\$]|\$(?!\{)|\\[^])*`/y

/**
 * The value of a literal: numbers, texts, templates without holes, `true`, `null`, `undefined`, lists and objects of
 * such, with comments and brackets around. `undefined` for anything that would have to be run.
 */
export function readLiteral(source: string): unknown {
  const reader: Reader = { text: source, at: 0 }
  try {
    const value = readValue(reader, DEPTH)
    skip(reader)
    return reader.at === source.length ? value : undefined
  } catch (error) {
    if (error instanceof NotLiteral || error instanceof RangeError) return undefined
    throw error
  }
}

function readValue(reader: Reader, depth: number): unknown {
  if (depth === 0) throw new NotLiteral()
  if (took(reader, '(')) {
    const value = readValue(reader, depth - 1)
    expect(reader, ')')
    return value
  }
  if (took(reader, '[')) return readList(reader, depth)
  if (took(reader, '{')) return readObject(reader, depth)
  if (took(reader, '-')) return -readNumber(reader)
  if (took(reader, '+')) return readNumber(reader)
  const quoted = next(reader, text)
  if (quoted !== undefined) return unquoted(quoted)
  const name = next(reader, word)
  if (name === undefined) return readNumber(reader)
  if (!Object.hasOwn(constants, name)) throw new NotLiteral()
  return constants[name]
}

function readList(reader: Reader, depth: number): unknown[] {
  const items: unknown[] = []
  while (!took(reader, ']')) {
    if (took(reader, ',')) {
      items.push(undefined)
      continue
    }
    items.push(readValue(reader, depth - 1))
    if (!took(reader, ',')) {
      expect(reader, ']')
      break
    }
  }
  return items
}

function readObject(reader: Reader, depth: number): object {
  const members = new Map<string, unknown>()
  while (!took(reader, '}')) {
    const key = readKey(reader)
    expect(reader, ':')
    const value = readValue(reader, depth - 1)
    // In a literal this key sets the prototype, which is no member.
    if (key !== '__proto__') members.set(key, value)
    if (!took(reader, ',')) {
      expect(reader, '}')
      break
    }
  }
  return Object.fromEntries(members)
}

function readKey(reader: Reader): string {
  const quoted = next(reader, text)
  if (quoted?.startsWith('`')) throw new NotLiteral()
  return quoted === undefined ? (next(reader, word) ?? String(readNumber(reader))) : unquoted(quoted)
}

/** Big integers become numbers, as JSON has no others. */
function readNumber(reader: Reader): number {
  const digits = next(reader, number)
  if (digits === undefined) throw new NotLiteral()
  return Number(digits.replaceAll('_', '').replace(/n$/, ''))
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', v: '\v', 0: '\0' }

function unquoted(quoted: string): string {
  return quoted
    .slice(1, -1)
    .replace(/\\(u\{[\da-fA-F]+\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|\r\n|[^])/g, (_, escape: string) => unescaped(escape))
}

/** What follows a backslash. Throws a RangeError for a code point that does not exist. */
function unescaped(escape: string): string {
  if (escape.length > 2) return String.fromCodePoint(Number.parseInt(escape.replace(/[ux{}]/g, ''), 16))
  return /^[\n\r\u2028\u2029]/.test(escape) ? '' : (escapes[escape] ?? escape)
}

function took(reader: Reader, sign: string): boolean {
  skip(reader)
  if (!reader.text.startsWith(sign, reader.at)) return false
  reader.at += sign.length
  return true
}

function expect(reader: Reader, sign: string): void {
  if (!took(reader, sign)) throw new NotLiteral()
}

function skip(reader: Reader): void {
  while (matched(reader, gap) !== undefined);
}

function next(reader: Reader, pattern: RegExp): string | undefined {
  skip(reader)
  return matched(reader, pattern)
}

function matched(reader: Reader, pattern: RegExp): string | undefined {
  pattern.lastIndex = reader.at
  const found = pattern.exec(reader.text)?.[0]
  if (found !== undefined) reader.at += found.length
  return found
}
