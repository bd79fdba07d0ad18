/**
 * Lists as Tables without objects: printer columns of our CRDs carry all that a listing needs, a tenth of the bytes and
 * of the parsing. What a Table cannot tell for certain makes it unfit, and the metadata is listed instead.
 */
import type { IncomingMessage } from 'node:http'
import { markedAnnotations } from '../fingerprint.ts'
import type { Listed } from '../model.ts'
import type { Client } from './client.ts'
import { Truncated } from './failure.ts'
import { isFields } from './fields.ts'
import { group, isResource, type ListedOptions, toListed } from './listed.ts'
import { continueOf, isList, metadataOnly, type Page, type PageRequest, pagePath, parsed } from './pages.ts'
import { ItemSplitter } from './splitter.ts'

/** A printer column as CRDs state it. */
export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer'
  readonly jsonPath: string
  /** A Table does not tell a column's path, but repeats its description: this is how we know that a column is ours. */
  readonly description: string
}

const column = (name: string, path: string, type: Column['type'] = 'string'): Column => ({
  name,
  type,
  jsonPath: path,
  description: `For windmill-iac: ${path}`
})

const capitalized = (name: string): string => name.replaceAll(/\b[a-z]/g, first => first.toUpperCase())

/** Rows have no object, so not even a namespace: everything is a column. A `date` would be printed as an age. */
export const tableColumns: readonly Column[] = [
  column('Namespace', '.metadata.namespace'),
  column('UID', '.metadata.uid'),
  column('Generation', '.metadata.generation', 'integer'),
  column('Created', '.metadata.creationTimestamp'),
  ...markedAnnotations.map(name =>
    column(capitalized(name), `.metadata.annotations.${group.replaceAll('.', '\\.')}/${name}`)
  )
]

/** A whole answer that tells less than a list of metadata would; the message says why. */
export class Unfit extends Error {}

/** A server that knows no Tables answers with what it would have been asked for otherwise. */
const accept = `application/json;as=Table;g=meta.k8s.io;v=v1, ${metadataOnly.list}`

/** Throws Unfit when the answer is complete, but other than our CRDs make it. */
export async function fetchTable(
  client: Client,
  request: PageRequest,
  options: ListedOptions
): Promise<Pick<Page<Listed>, 'items' | 'token'>> {
  const path = pagePath(request, { includeObject: 'None' })
  return client.call({ method: 'GET', path, accept }, response => readTable(response, options))
}

async function readTable(
  response: IncomingMessage,
  options: ListedOptions
): Promise<Pick<Page<Listed>, 'items' | 'token'>> {
  const answer = new Answer(options)
  // A server that knows no Tables sends objects, of whose size nothing is known: those are cut out one by one.
  const splitter = new ItemSplitter(buffer => answer.take(parsed(() => JSON.parse(buffer.toString()))))
  let page: Buffer[] | undefined
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (page) page.push(chunk)
    else if (!splitter.begun && chunk.toString('latin1', 0, tableStart.length) === tableStart) page = [chunk]
    else splitter.push(chunk)
  }
  if (!page) return { items: answer.items, token: answer.end(parsed(() => splitter.end())) }
  const table = parsed(() => JSON.parse(Buffer.concat(page).toString()))
  if (!isFields(table)) throw new Truncated('the answer is no complete list')
  for (const part of [table['columnDefinitions'], table['rows']])
    if (Array.isArray(part)) for (const one of part as readonly unknown[]) answer.take(one)
  return { items: answer.items, token: answer.end(table) }
}

/** How the API server begins a Table. Its rows are small, so a page is parsed as a whole, at half the cost. */
const tableStart = '{"kind":"Table",'

type ReadRow = (cells: readonly unknown[]) => Listed

/** A Table or a list, as it comes in: definitions of columns, rows and objects, one after the other. */
class Answer {
  readonly items: Listed[] = []
  private readonly options: ListedOptions
  private readonly definitions: unknown[] = []
  private readRow: ReadRow | undefined
  private objects = 0
  /** Thrown at the end only: whether an answer is complete comes first. */
  private unfit: Unfit | undefined

  constructor(options: ListedOptions) {
    this.options = options
  }

  take(item: unknown): void {
    if (this.unfit) return
    if (isFields(item) && Array.isArray(item['cells'])) this.takeRow(item['cells'])
    else if (isResource(item)) {
      this.objects++
      this.items.push(toListed(item.metadata, this.options))
    } else if (this.readRow) this.unfit = new Unfit('a row has no cells')
    else this.definitions.push(item)
  }

  /** Gives the token of the next page. */
  end(envelope: unknown): string {
    if (isFields(envelope) && envelope['kind'] === 'Table') {
      if (this.objects > 0) throw new Truncated('the answer is half a table and half a list')
      // Where rows are no list, but null or nothing, nobody can say that there are none.
      if (!Array.isArray(envelope['rows'])) throw new Unfit('the rows are no list')
      // Without rows nothing has looked at the columns yet.
      if (!this.unfit && !this.readRow) this.reader()
      if (this.unfit) throw this.unfit
      return continueOf(envelope)
    }
    if (!isList(envelope)) throw new Truncated('the answer is no list')
    if (this.objects !== this.items.length || this.definitions.length > 0 || this.unfit)
      throw new Truncated('an item has no metadata')
    return continueOf(envelope)
  }

  private takeRow(cells: readonly unknown[]): void {
    const read = (this.readRow ??= this.reader())
    if (!read) return
    try {
      this.items.push(read(cells))
    } catch (error) {
      if (!(error instanceof Unfit)) throw error
      this.unfit = error
    }
  }

  private reader(): ReadRow | undefined {
    const places = placesOf(this.definitions)
    if (!places) this.unfit = new Unfit('the columns are not those of our CRDs')
    return places && rowReader(places, this.definitions.length, this.options)
  }
}

/** Positions of the name and of our columns among a Table's; undefined when one is missing, changed, or there twice. */
function placesOf(definitions: readonly unknown[]): readonly number[] | undefined {
  const all = definitions.map(one => (isFields(one) ? one : {}))
  const places = [{ name: 'Name', type: 'string', description: undefined }, ...tableColumns].map(wanted => {
    const found = all.flatMap((one, index) => (one['name'] === wanted.name ? [index] : []))
    const [place = -1] = found
    const one = all[place]
    const isOurs =
      wanted.description === undefined ? one?.['format'] === 'name' : one?.['description'] === wanted.description
    return found.length === 1 && one?.['type'] === wanted.type && isOurs ? place : -1
  })
  return places.includes(-1) ? undefined : places
}

function rowReader(places: readonly number[], width: number, { kind, shared }: ListedOptions): ReadRow {
  const [name = 0, namespace = 0, uid = 0, generation = 0, created = 0, ...annotations] = places
  const options = { kind, labels: false, shared }
  return cells => {
    if (cells.length !== width) throw new Unfit('a row has not as many cells as the table has columns')
    return toListed(
      {
        name: textIn(cells[name], /^[^<]/),
        namespace: textIn(cells[namespace], /^[^<]/),
        uid: textIn(cells[uid], /^[^<]/),
        generation: generationIn(cells[generation]),
        creationTimestamp: textIn(cells[created], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        annotations: annotationsIn(cells, annotations)
      },
      options
    )
  }
}

function textIn(cell: unknown, form: RegExp): string {
  if (typeof cell !== 'string' || !form.test(cell)) throw new Unfit('a cell has no value of its column')
  return cell
}

function generationIn(cell: unknown): number {
  if (!Number.isSafeInteger(cell) || (cell as number) < 1) throw new Unfit('a generation is no number')
  return cell as number
}

const noAnnotations: Readonly<Record<string, string>> = Object.freeze({})

/** What is absent is null; an empty text is a value. Words such as `<no value>` stand for nothing, or for themselves. */
function annotationsIn(cells: readonly unknown[], places: readonly number[]): Readonly<Record<string, string>> {
  let found: Record<string, string> | undefined
  for (const [index, place] of places.entries()) {
    const cell = cells[place]
    if (cell === null) continue
    if (typeof cell !== 'string' || cell.startsWith('<')) throw new Unfit('a cell of an annotation can mean two things')
    found ??= {}
    found[`${group}/${markedAnnotations[index]}`] = cell
  }
  return found ?? noAnnotations
}
