/** How statements are sent: several at once where none needs what another gives, and none larger than it need be. */

/**
 * Sends statements in the order given without waiting in between, and waits for all of them even after a failure, so that
 * nothing goes on in a transaction that is over. Never for work that opens a savepoint: others would get into it.
 */
export async function inOneGo<const T extends readonly unknown[]>(
  work: T
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work)
  return await Promise.all(work)
}

/** Larger ones are no faster, and the driver copies each several times. */
const MOST_CHARACTERS = 1024 * 1024

/** Lists of rows as texts of JSON, each of about a megabyte at most. */
export function* jsonPortions<T>(rows: readonly T[], toValue: (row: T) => unknown = row => row): Generator<string> {
  let texts: string[] = []
  let size = 0
  for (const row of rows) {
    const text = JSON.stringify(toValue(row))
    if (texts.length > 0 && size + text.length > MOST_CHARACTERS) {
      yield `[${texts.join()}]`
      texts = []
      size = 0
    }
    texts.push(text)
    size += text.length
  }
  if (texts.length > 0) yield `[${texts.join()}]`
}

/** Parts of a list that hold about a megabyte and `most` members at most. */
export function* portions<T>(rows: readonly T[], most: number, sizeOf: (row: T) => number): Generator<readonly T[]> {
  let from = 0
  let size = 0
  for (const [at, row] of rows.entries()) {
    const own = sizeOf(row)
    if (at > from && (at - from === most || size + own > MOST_CHARACTERS)) {
      yield rows.slice(from, at)
      from = at
      size = 0
    }
    size += own
  }
  if (from < rows.length) yield rows.slice(from)
}
