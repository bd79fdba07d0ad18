/** Cuts a window of admitted CRs into batches; what belongs together stays in one, so that one transaction writes it. */
import type { Admitted } from './admit.ts'
import { type AnyKind, targetKey } from './model.ts'
import { engineView } from './session.ts'

/** Groups keep the order of their first member; a group larger than a batch is a batch of its own. */
export function batchesOf(
  kind: AnyKind,
  admitted: readonly Admitted[],
  size: number
): readonly (readonly Admitted[])[] {
  const batches: Admitted[][] = []
  let open: Admitted[] = []
  for (const group of groupsOf(kind, admitted)) {
    if (open.length > 0 && open.length + group.length > size) {
      batches.push(open)
      open = []
    }
    open.push(...group)
  }
  if (open.length > 0) batches.push(open)
  return batches
}

/** Connected parts: whoever needs what another one of the window provides stands with it. */
function groupsOf(kind: AnyKind, admitted: readonly Admitted[]): readonly (readonly Admitted[])[] {
  const { together } = engineView(kind)
  if (!together) return admitted.map(one => [one])
  const ties = admitted.map(({ input }) => together(input))
  const places = new Map(admitted.map(({ input }, at) => [targetKey(input.workspace, ties[at]?.provides ?? ''), at]))
  const leads = admitted.map((_, at) => at)
  const leadOf = (at: number): number => {
    let lead = at
    while (leads[lead] !== lead) lead = leads[lead] = leads[leads[lead] as number] as number
    return lead
  }
  for (const [at, { input }] of admitted.entries()) {
    for (const needed of ties[at]?.needs ?? []) {
      const other = places.get(targetKey(input.workspace, needed))
      if (other === undefined) continue
      const [first, second] = [leadOf(at), leadOf(other)].sort((a, b) => a - b) as [number, number]
      leads[second] = first
    }
  }
  const groups = new Map<number, Admitted[]>()
  for (const [at, one] of admitted.entries()) {
    const lead = leadOf(at)
    groups.set(lead, [...(groups.get(lead) ?? []), one])
  }
  return [...groups.values()]
}
