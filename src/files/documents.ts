/** A file's text → its documents as plain objects with their places, each with every fault it has. */
import {
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
  type YAMLError
} from 'yaml'

export type Fields = Record<string, unknown>
export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export interface Fault {
  readonly line: number
  readonly column: number
  /** A clause without a full stop; quotes nothing, because a manifest may hold secrets. */
  readonly says: string
}

/** One object of a file; those of a `kind: List` come one by one. */
export interface Piece {
  readonly line: number
  readonly column: number
  /** Undefined when it could not be built; with `faults` it may be incomplete. */
  readonly value: unknown
  /** Is the text broken, or is it only a value that cannot be taken as it is? */
  readonly broken: boolean
  readonly faults: readonly Fault[]
  /** Where the value at a path of keys and indexes stands, or the nearest thing around it. */
  readonly placeOf?: (path: readonly string[]) => { readonly line: number; readonly column: number }
}

/** `prettyErrors` and `logLevel` are off because both quote lines of the file. */
const reading = { prettyErrors: false, logLevel: 'silent', intAsBigInt: true, merge: true, stringKeys: true } as const

export function piecesOf(text: string): readonly Piece[] {
  return split(text.replace(/^\uFEFF/, '')).flatMap(({ text: part, line }) => piecesOfPart(part, line))
}

/** The parser reads on to the end of the file when a quote is not closed; a line with `---` ends a document in any case. */
function split(text: string): { readonly text: string; readonly line: number }[] {
  const parts: { text: string; line: number }[] = []
  let line = 1
  for (const part of text.split(/^(?=---(?:\s|$))/m)) {
    const before = parts.at(-1)
    // Directives belong to the document below their `---`.
    if (before && /^%/m.test(before.text) && /^(?:\s*(?:[#%].*)?(?:\n|$))*$/.test(before.text)) before.text += part
    else parts.push({ text: part, line })
    line += part.split('\n').length - 1
  }
  return parts
}

type Parsed = ReturnType<typeof parseAllDocuments>[number]

interface Part {
  readonly document: Parsed
  readonly placeOf: (offset: number) => { line: number; column: number }
}

function piecesOfPart(text: string, firstLine: number): readonly Piece[] {
  const lines = new LineCounter()
  const placeOf = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line) + firstLine - 1, column: Math.max(1, col) }
  }
  const documents = parseAllDocuments(text, { ...reading, lineCounter: lines })
  return [...documents].flatMap(document => piecesOfDocument({ document, placeOf }))
}

function piecesOfDocument({ document, placeOf }: Part): readonly Piece[] {
  const problems: readonly YAMLError[] = [...document.errors, ...document.warnings]
  const faults = problems.map(one => ({ ...placeOf(one.pos[0]), says: sentence(one.code) }))
  const { contents } = document
  const start = placeOf(contents?.range?.[0] ?? document.range?.[0] ?? 0)
  if (faults.length > 0) return [{ ...start, value: build(document), broken: true, faults }]
  // Nothing but comments.
  if (contents === null || (isScalar(contents) && contents.value === null)) return []
  const value = build(document)
  if (value === undefined) {
    const says = 'its aliases cannot be resolved, or repeat too much'
    return [{ ...start, value, broken: true, faults: [{ ...start, says }] }]
  }
  return unpack(value, contents, { document, placeOf })
}

/** Undefined where aliases are unknown or a bomb. */
function build(document: Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch {
    return undefined
  }
}

/** Typed lists leave apiVersion and kind of their items out. */
function unpack(value: unknown, node: Node, part: Part): readonly Piece[] {
  const items = isMap(node) ? node.get('items', true) : undefined
  if (!isFields(value) || !String(value['kind']).endsWith('List') || !Array.isArray(value['items']) || !isSeq(items)) {
    return [piece(value, node, part)]
  }
  const { apiVersion, kind } = value
  const own = kind === 'List' ? {} : { apiVersion, kind: String(kind).replace(/List$/, '') }
  return value['items'].flatMap((item: unknown, index) => {
    const at = items.items[index] as Node | undefined
    return unpack(isFields(item) ? { ...own, ...item } : item, at && !isAlias(at) ? at : node, part)
  })
}

function piece(value: unknown, node: Node, { placeOf }: Part): Piece {
  const start = placeOf(node.range?.[0] ?? 0)
  const faults: Fault[] = []
  const plain = toPlain(value, [], (path, says) => {
    const offset = nodeAt(node, path)?.range?.[0]
    faults.push({ ...(offset === undefined ? start : placeOf(offset)), says: `${path.join('.')}: ${says}` })
  })
  for (const { offset, says } of ambiguous(node)) faults.push({ ...placeOf(offset), says })
  const place = (path: readonly string[]): { line: number; column: number } => {
    const offset = nodeAt(node, path)?.range?.[0]
    return offset === undefined ? start : placeOf(offset)
  }
  return { ...start, value: plain, broken: false, faults, placeOf: place }
}

/** Where YAML 1.1, which kubectl reads, and 1.2 differ, the same file would make other rows here than through a cluster. */
function ambiguous(node: Node): readonly { offset: number; says: string }[] {
  const found: { offset: number; says: string }[] = []
  visit(node, {
    Scalar: (key, { type, source = '', range }) => {
      if (key === 'key' || type !== 'PLAIN') return
      const offset = range?.[0] ?? 0
      if (/^(?:yes|no|on|off)$/i.test(source)) {
        found.push({ offset, says: `kubectl reads ${source} as a boolean; write true or false, or quote it` })
      } else if (/^[-+]?0[0-7_]+$/.test(source)) {
        found.push({
          offset,
          says: 'kubectl reads a number that begins with 0 as octal; write it in decimal, or quote it'
        })
      }
    }
  })
  return found
}

type Report = (path: readonly string[], says: string) => void

/** BigInts back to numbers where nothing is lost: JSON has one number type, and a rounded id is another id. */
function toPlain(value: unknown, path: readonly string[], report: Report): unknown {
  if (typeof value === 'bigint') {
    if (Number.isSafeInteger(Number(value))) return Number(value)
    report(path, 'the integer is beyond 2^53 and would lose digits; quote it if it is meant as text')
    return null
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    report(path, 'this number has no place in JSON')
    return null
  }
  if (Array.isArray(value)) return value.map((member, index) => toPlain(member, [...path, String(index)], report))
  if (!isFields(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, toPlain(member, [...path, name], report)])
  )
}

/** The deepest node on the way, so that values behind an alias point to where the alias stands. */
function nodeAt(node: Node, path: readonly string[]): Node | undefined {
  let at = node
  for (const name of path) {
    if (!isCollection(at)) return at
    const pairOrItem = isSeq(at)
      ? at.items[Number(name)]
      : at.items.find(one => isPair(one) && isScalar(one.key) && String(one.key.value) === name)
    const next = (isPair(pairOrItem) ? pairOrItem.value : pairOrItem) as Node | null | undefined
    if (!next) return at
    at = next
  }
  return at
}

const sentences: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'the alias is not valid',
  BAD_DQ_ESCAPE: 'a quoted text has an invalid escape',
  BAD_INDENT: 'the indentation is wrong',
  BLOCK_AS_IMPLICIT_KEY: 'a nested mapping must not begin on the line of its key',
  DUPLICATE_KEY: 'the key stands twice in one mapping',
  MISSING_CHAR: 'a quote, bracket, comma or colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a key must stand on one line (is a colon missing?)',
  NON_STRING_KEY: 'a key must be text (is this an unfilled template?)',
  TAB_AS_INDENT: 'tabs must not indent',
  TAG_RESOLVE_FAILED: 'the tag is unknown, or its value does not fit',
  UNEXPECTED_TOKEN: 'something unexpected stands here'
}

const sentence = (code: string): string => sentences[code] ?? `YAML error ${code}`
