/** What faults suggest. No function here is given a value that may be secret. */
import { below } from './places.ts'

/** Script_path, scriptpath and scriptPath are one name to a person. */
const loose = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '')

/** The known name that was probably meant, if one is near enough to be worth a question. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > 60) return undefined
  const wanted = loose(name)
  const allowed = Math.max(1, Math.floor(wanted.length / 3))
  let best: string | undefined
  let least = allowed + 1
  for (const candidate of known) {
    const far = distance(wanted, loose(candidate), least)
    if (far < least) [best, least] = [candidate, far]
  }
  return best
}

/** Levenshtein's distance with swapped neighbours counting once; may stop at `enough`. */
function distance(a: string, b: string, enough: number): number {
  if (Math.abs(a.length - b.length) >= enough) return enough
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const steps = [(last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1)]
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) steps.push((before[j - 2] ?? 0) + 1)
      row.push(Math.min(...steps))
    }
    before = last
    last = row
  }
  return last[b.length] ?? enough
}

/** `unknown field; did you mean spec.scriptPath?`, or what there is to choose from. */
export function unknownField(path: string, name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  const place = below(path, name)
  if (meant !== undefined) return `${place}: unknown field; did you mean ${below(path, meant)}?`
  const choice =
    known.length <= 12 ? `known here: ${known.join(', ')}` : 'see the field list of the kind (kubectl explain)'
  return `${place}: unknown field; ${choice}`
}
