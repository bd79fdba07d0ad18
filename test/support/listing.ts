import type { Listed, Source } from '../../src/model.ts'

/** A kind's CRs, unpacked. */
export const listAll = async (source: Source, kind: Parameters<Source['list']>[0]): Promise<readonly Listed[]> => [
  ...(await source.list(kind))
]
