/** The kinds there are: checked, and sorted into waves by what each comes after. */
import type { AnyKind } from './model.ts'

/** Throws for what a program error in a kind's file would otherwise make silently wrong. */
export function checkKinds(
  modules: readonly { readonly file: string; readonly exported: unknown }[]
): readonly AnyKind[] {
  const kinds = modules.map(({ file, exported }) => {
    const kind = exported as Partial<AnyKind> | undefined
    if (!kind || typeof kind !== 'object' || !kind.kind || !kind.plural || !kind.compile || !kind.write) {
      throw new Error(`src/kinds/${file} has no default export that is a kind`)
    }
    return kind as AnyKind
  })
  for (const kind of kinds) {
    if (kinds.filter(other => other.kind === kind.kind || other.plural === kind.plural).length > 1) {
      throw new Error(`kind ${kind.kind} is there twice`)
    }
    const unknown = kind.after.filter(name => !kinds.some(other => other.kind === name))
    if (unknown.length > 0) throw new Error(`kind ${kind.kind} comes after ${unknown.join(', ')}, which is no kind`)
  }
  return kinds
}

/** Waves: every kind stands in a later wave than all it comes after. Throws on a circle. */
export function wavesOf(kinds: readonly AnyKind[]): readonly (readonly AnyKind[])[] {
  const waves: AnyKind[][] = []
  let left = [...kinds].sort((a, b) => (a.kind < b.kind ? -1 : 1))
  const here = new Set(kinds.map(kind => kind.kind))
  const placed = new Set<string>()
  while (left.length > 0) {
    const wave = left.filter(kind => kind.after.every(name => placed.has(name) || !here.has(name)))
    if (wave.length === 0)
      throw new Error(`kinds come after each other in a circle: ${left.map(one => one.kind).join(', ')}`)
    for (const kind of wave) placed.add(kind.kind)
    left = left.filter(kind => !wave.includes(kind))
    waves.push(wave)
  }
  return waves
}
