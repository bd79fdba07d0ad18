/** Objects of a kind, written out one after the other in one buffer, so that any page of a list is a slice of it. */
import { tableRow, type Version, type Written } from './objects.ts'
import type { Thing } from './world.ts'

type Form = 'full' | 'metadata' | 'table' | 'table-metadata'

interface Texts {
  readonly bytes: Buffer
  /** Where each object begins; one more for the end. */
  readonly starts: Float64Array
}

export interface Shelf {
  readonly count: number
  readonly find: (namespace: string, name: string) => number | undefined
  readonly one: (form: 'full' | 'metadata', index: number) => Buffer
  /** Objects from one to before another, separated by commas. */
  readonly slice: (form: Form, from: number, to: number) => Buffer
}

export function fill(
  things: readonly Thing[],
  versionOf: (thing: Thing) => Version,
  write: (thing: Thing, version: Version) => Written
): Shelf {
  const chunks = { full: new Joined(), metadata: new Joined(), table: new Joined() }
  for (const thing of things) {
    const { full, metadata } = write(thing, versionOf(thing))
    chunks.full.add(full)
    chunks.metadata.add(metadata)
    chunks.table.add(tableRow(thing, versionOf(thing), 'null'))
  }
  const texts = new Map<Form, Texts>([
    ['full', chunks.full.end()],
    ['metadata', chunks.metadata.end()],
    ['table', chunks.table.end()]
  ])
  const places = new Map(things.map((thing, index) => [`${thing.namespace}/${thing.name}`, index]))
  const one = (form: Form, index: number): Buffer => slice(form, index, index + 1)
  /** Rows with metadata are made when somebody asks for one. */
  const textsOf = (form: Form): Texts => {
    const found = texts.get(form)
    if (found) return found
    const rows = new Joined()
    for (const [index, thing] of things.entries())
      rows.add(tableRow(thing, versionOf(thing), one('metadata', index).toString()))
    const made = rows.end()
    texts.set(form, made)
    return made
  }
  const slice = (form: Form, from: number, to: number): Buffer => {
    const { bytes, starts } = textsOf(form)
    return to > from ? bytes.subarray(starts[from], (starts[to] ?? 1) - 1) : Buffer.alloc(0)
  }
  return { count: things.length, find: (namespace, name) => places.get(`${namespace}/${name}`), one, slice }
}

/** Joins with commas; parts become bytes in groups, because a buffer per object would be slow. */
class Joined {
  private readonly buffers: Buffer[] = []
  private readonly lengths: number[] = []
  private waiting: string[] = []
  private size = 0

  add(text: string): void {
    this.lengths.push(Buffer.byteLength(text) + 1)
    this.waiting.push(text, ',')
    this.size += text.length
    if (this.size > 4_000_000) this.flush()
  }

  end(): Texts {
    this.flush()
    const starts = new Float64Array(this.lengths.length + 1)
    for (const [index, length] of this.lengths.entries()) starts[index + 1] = (starts[index] ?? 0) + length
    return { bytes: Buffer.concat(this.buffers), starts }
  }

  private flush(): void {
    this.buffers.push(Buffer.from(this.waiting.join('')))
    this.waiting = []
    this.size = 0
  }
}
