/** All CRs of a kind as a listing told them, packed: about a hundred bytes each, whatever their number. */
import { type Listed, objectKey } from './model.ts'

/** As many CRs are packed together; whoever wants one of them unpacks them all. */
const BLOCK = 512

/** Some CRs in columns: texts with one line per CR. */
export interface Block {
  readonly namespaces: string
  readonly names: string
  readonly uids: string
  readonly revisions: string
  readonly created: string
  /** '' where it is the same as `created` for all. */
  readonly changed: string
}

const columns = ['namespace', 'name', 'uid', 'revision', 'createdAt', 'changedAt'] as const

const none: Readonly<Record<string, never>> = Object.freeze({})

export class Roster {
  readonly kind: string
  readonly #blocks: Block[] = []
  /** CRs of the block that is being filled, column by column. */
  #open: Record<Column, string[]> = emptyColumns()
  /** Those of which there is more to tell than fits into a line: annotations, labels, a place in a file. */
  readonly #whole = new Map<number, Listed>()
  readonly #namespaces = new Set<string>()
  #size = 0
  #unpacked: { readonly block: number; readonly rows: readonly Listed[] } | undefined
  #positions: ReadonlyMap<string, number> | undefined
  /** Where the next question is expected to go. */
  #next = 0

  constructor(kind: string) {
    this.kind = kind
  }

  /** All must be of the roster's kind. */
  static of(kind: string, all: readonly Listed[]): Roster {
    const roster = new Roster(kind)
    for (const one of all) roster.add(one)
    return roster
  }

  get size(): number {
    return this.#size
  }

  get namespaces(): ReadonlySet<string> {
    return this.#namespaces
  }

  add(listed: Listed): void {
    const isPacked = fits(listed)
    if (!isPacked || !isPlain(listed)) this.#whole.set(this.#size, listed)
    for (const column of columns) this.#open[column].push(isPacked ? listed[column] : '')
    this.#namespaces.add(listed.namespace)
    this.#size++
    this.#positions = undefined
    this.#unpacked = undefined
    if (this.#size % BLOCK !== 0) return
    this.#blocks.push(pack(this.#open))
    this.#open = emptyColumns()
  }

  addAll(other: Roster): void {
    for (const one of other) this.add(one)
  }

  at(position: number): Listed {
    const found = this.#whole.get(position) ?? this.#rows(Math.floor(position / BLOCK))[position % BLOCK]
    if (!found) throw new RangeError(`no CR at ${position}`)
    return found
  }

  #rows(block: number): readonly Listed[] {
    if (this.#unpacked?.block === block) return this.#unpacked.rows
    const [packed] = this.slice(block, block + 1)
    const rows = packed ? unpack(this.kind, packed) : []
    this.#unpacked = { block, rows }
    return rows
  }

  /** Number of blocks, the one that is being filled included. */
  get blocks(): number {
    return Math.ceil(this.#size / BLOCK)
  }

  /** Position of the first CR of a block. */
  startOf(block: number): number {
    return block * BLOCK
  }

  /** Blocks as they are packed. A CR that does not fit into columns has empty lines. */
  slice(from: number, to: number): readonly Block[] {
    const packed = this.#blocks.slice(from, to)
    return to > this.#blocks.length && this.#size > this.#blocks.length * BLOCK ? [...packed, pack(this.#open)] : packed
  }

  /** CRs of which there is more to tell than fits into columns, by position. */
  get whole(): ReadonlyMap<number, Listed> {
    return this.#whole
  }

  /** Undefined when there is no such CR. Whoever asks for all in their order needs no index for it. */
  positionOf(namespace: string, name: string): number | undefined {
    if (this.#positions === undefined && this.#next < this.#size) {
      const next = this.at(this.#next)
      if (next.name === name && next.namespace === namespace) return this.#next++
    }
    this.#positions ??= this.#index()
    return this.#positions.get(objectKey(namespace, name))
  }

  #index(): ReadonlyMap<string, number> {
    const found = new Map<string, number>()
    let position = 0
    for (const { namespaces, names } of this.slice(0, this.blocks)) {
      const spaces = namespaces.split('\n')
      for (const [at, name] of names.split('\n').entries()) found.set(objectKey(spaces[at] ?? '', name), position++)
    }
    for (const [at, { namespace, name }] of this.#whole) found.set(objectKey(namespace, name), at)
    return found
  }

  *[Symbol.iterator](): Generator<Listed> {
    for (let position = 0; position < this.#size; position++) yield this.at(position)
  }
}

type Column = (typeof columns)[number]

function pack({
  namespace,
  name,
  uid,
  revision,
  createdAt,
  changedAt
}: Readonly<Record<Column, readonly string[]>>): Block {
  return {
    namespaces: namespace.join('\n'),
    names: name.join('\n'),
    uids: uid.join('\n'),
    revisions: revision.join('\n'),
    created: createdAt.join('\n'),
    changed: changedAt.every((one, at) => one === createdAt[at]) ? '' : changedAt.join('\n')
  }
}

function unpack(kind: string, block: Block): readonly Listed[] {
  const [namespaces, names, uids, revisions, created] = [
    block.namespaces,
    block.names,
    block.uids,
    block.revisions,
    block.created
  ].map(text => text.split('\n'))
  const changed = block.changed === '' ? created : block.changed.split('\n')
  return (names ?? []).map((name, at) => ({
    kind,
    namespace: namespaces?.[at] ?? '',
    name,
    uid: uids?.[at] ?? '',
    generation: Number(revisions?.[at]),
    revision: revisions?.[at] ?? '',
    createdAt: created?.[at] ?? '',
    changedAt: changed?.[at] ?? '',
    labels: none,
    annotations: none,
    origin: ''
  }))
}

const emptyColumns = (): Record<Column, string[]> => ({
  namespace: [],
  name: [],
  uid: [],
  revision: [],
  createdAt: [],
  changedAt: []
})

/** Whether the CR can be told in lines of columns. */
export const fits = (listed: Listed): boolean => columns.every(column => !listed[column].includes('\n'))

/** Whether that is all there is to tell. */
const isPlain = ({ revision, generation, origin, annotations, labels }: Listed): boolean =>
  String(generation) === revision && origin === '' && !hasAny(annotations) && !hasAny(labels)

/** Without making a list of the names: it is asked for every CR. */
export function hasAny(record: Readonly<Record<string, string>>): boolean {
  for (const _ in record) return true
  return false
}

/** Some of the CRs of a roster. */
export class Positions {
  readonly #marks: Uint8Array
  #count = 0

  constructor(size: number) {
    this.#marks = new Uint8Array(size)
  }

  get size(): number {
    return this.#count
  }

  add(position: number): void {
    if (!this.has(position)) this.#count++
    this.#marks[position] = 1
  }

  has(position: number): boolean {
    return this.#marks[position] === 1
  }

  *[Symbol.iterator](): Generator<number> {
    for (let at = this.#marks.indexOf(1); at >= 0; at = this.#marks.indexOf(1, at + 1)) yield at
  }
}

/** CRs of a roster that are to be read. */
export class Wanted {
  readonly roster: Roster
  readonly #positions: Positions

  constructor(roster: Roster, positions: Positions) {
    this.roster = roster
    this.#positions = positions
  }

  /** All must be in the roster. */
  static of(roster: Roster, listed: Iterable<Listed>): Wanted {
    const positions = new Positions(roster.size)
    for (const { namespace, name } of listed) {
      const position = roster.positionOf(namespace, name)
      if (position !== undefined) positions.add(position)
    }
    return new Wanted(roster, positions)
  }

  get size(): number {
    return this.#positions.size
  }

  /** Undefined when that CR is not wanted. */
  positionOf(namespace: string, name: string): number | undefined {
    const position = this.roster.positionOf(namespace, name)
    return position !== undefined && this.#positions.has(position) ? position : undefined
  }

  /** Those that are not among some others. */
  without(others: Positions): Wanted {
    const rest = new Positions(this.roster.size)
    for (const position of this.#positions) if (!others.has(position)) rest.add(position)
    return new Wanted(this.roster, rest)
  }

  *[Symbol.iterator](): Generator<Listed> {
    for (const position of this.#positions) yield this.roster.at(position)
  }
}
