/** Random numbers and texts that are the same on every machine and in every run. */

/** Mulberry32: good enough for sizes and texts, and fast. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Normally distributed around 0 with deviation 1. */
export const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

const words =
  'customer invoice order payment report client total amount result value record batch query table column index page token header status retry event queue worker region bucket object metric window filter source target mapping schema field'.split(
    ' '
  )

/** Lines that look like code and compress like code, in one text that others are cut from. */
function makePool(bytes: number): string {
  const random = randomFrom(7)
  const word = (): string => words[Math.floor(random() * words.length)] ?? ''
  const number = (): string => String(Math.floor(random() * 1e6))
  const lines = [
    (): string => `    ${word()}_${word()} = load_${word()}("${word()}-${number()}", limit=${number()})`,
    (): string => `    if ${word()}["${word()}"] > ${number()}: raise ValueError("${word()} ${word()} ${number()}")`,
    (): string => `    for ${word()} in ${word()}.get("${word()}s", []): ${word()}.append(${word()} * ${number()})`,
    (): string => `    # ${word()} ${word()} ${word()}: the ${word()} of ${word()} ${number()} is kept until ${word()}`,
    (): string => `    print(f"{${word()}} → ${word()} ${number()}")`
  ]
  const parts: string[] = []
  for (let size = 0; size < bytes; ) {
    const line = `${lines[Math.floor(random() * lines.length)]?.() ?? ''}\n`
    parts.push(line)
    size += line.length
  }
  return parts.join('')
}

let pool = ''

/** About `length` characters of code, beginning and ending with whole lines. */
export function code(random: () => number, length: number): string {
  pool ||= makePool(2_000_000)
  const start = pool.indexOf('\n', Math.floor(random() * (pool.length - length - 200))) + 1
  return pool.slice(start, Math.max(start, pool.lastIndexOf('\n', start + length)) + 1)
}
