import type { Listed, Source } from '../../src/model.ts'
import { Roster, Wanted } from '../../src/roster.ts'
import { listedOf } from './kind.ts'

/** A kind's CRs, unpacked. */
export const listAll = async (source: Source, kind: Parameters<Source['list']>[0]): Promise<readonly Listed[]> => [
  ...(await source.list(kind))
]

/** Some CRs as a run wants them, among so many of their kind. */
export function wantedOf(listed: readonly Listed[], total = listed.length): Wanted {
  const others = Array.from({ length: Math.max(0, total - listed.length) }, (_, at) => ({
    ...filler,
    name: `other-${at}`
  }))
  return Wanted.of(Roster.of(filler.kind, [...listed, ...others]), listed)
}

const filler = listedOf({ kind: 'WindmillVariable' }, { namespace: 'others', uid: 'other' })
