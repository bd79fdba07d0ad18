/** The kinds that are served now: the built-in ones, and those whose CRD is in the store. */
import { BUILT_IN, CRD, kindOf } from './kinds.ts'
import type { Store } from './store.ts'
import type { Kind, Stored } from './types.ts'

export function createCatalogue(store: Store) {
  const kinds = new Map<string, Kind>(BUILT_IN.map(kind => [idOf(kind.group, kind.plural), kind]))
  const gone = new Map<string, Stored>()

  store.listen(({ kind, type, object, before }) => {
    if (kind !== CRD) return
    if (before) withdraw(before, type === 'DELETED')
    if (type === 'DELETED') return
    const served = kindOf(object)
    kinds.set(idOf(served.group, served.plural), served)
    gone.delete(served.plural)
  })

  /** A deleted CRD takes its objects along. */
  function withdraw(definition: Stored, forGood: boolean): void {
    const served = kindOf(definition)
    kinds.delete(idOf(served.group, served.plural))
    if (!forGood) return
    gone.set(served.plural, definition)
    for (const object of store.list(served)) store.remove(served, object)
  }

  return {
    find(group: string, version: string, plural: string): Kind | undefined {
      const kind = kinds.get(idOf(group, plural))
      return kind?.version === version ? kind : undefined
    },
    /** By kind, plural, singular or short name, as people name kinds. */
    named(word: string): Kind {
      const wanted = word.toLowerCase()
      for (const kind of kinds.values()) {
        if ([kind.kind.toLowerCase(), kind.plural, kind.singular, ...kind.shortNames].includes(wanted)) return kind
      }
      throw new Error(`the cluster serves no kind ${word}`)
    },
    all: (): Kind[] => [...kinds.values()],
    /** The CRD that was removed last under this plural. */
    removed: (plural: string): Stored | undefined => gone.get(plural)
  }
}

const idOf = (group: string, plural: string): string => `${plural}.${group}`

export type Catalogue = ReturnType<typeof createCatalogue>
