/** V8's profiles of the bundled program, summed by stage: positions are mapped back to source files. */
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { fileURLToPath } from 'node:url'
import { stageOf } from './stages.ts'

interface Frame {
  readonly functionName: string
  readonly url: string
  /** Both from 0. */
  readonly lineNumber: number
  readonly columnNumber: number
}

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: Frame; readonly children?: readonly number[] }[]
  readonly samples: readonly number[]
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[]
}

interface HeapNode {
  readonly callFrame: Frame
  readonly selfSize: number
  readonly children: readonly HeapNode[]
}

/** Milliseconds, or bytes, by stage. */
export type ByStage = ReadonlyMap<string, number>

/** Source files by place in the bundle; the maps lie beside its files. */
function placer(): (frame: Frame) => string {
  const maps = new Map<string, SourceMap | undefined>()
  const mapOf = (url: string): SourceMap | undefined => {
    if (!maps.has(url)) {
      const file = url.startsWith('file:') ? `${fileURLToPath(url)}.map` : ''
      maps.set(
        url,
        existsSync(file) ? new SourceMap(JSON.parse(readFileSync(file, 'utf8')) as SourceMapPayload) : undefined
      )
    }
    return maps.get(url)
  }
  return ({ url, lineNumber, columnNumber }) => {
    const found = mapOf(url)?.findEntry(lineNumber, columnNumber)
    return found && 'originalSource' in found ? found.originalSource : url
  }
}

/** Self time by stage. */
export function cpuByStage(file: string): ByStage {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
  const place = placer()
  const stages = new Map<number, string>()
  const byId = new Map(nodes.map(node => [node.id, node]))
  const walk = (id: number, caller: string): void => {
    const node = byId.get(id)
    if (!node) return
    const stage = stageOf(place(node.callFrame), node.callFrame.functionName) ?? caller
    stages.set(id, stage)
    for (const child of node.children ?? []) walk(child, stage)
  }
  walk(nodes[0]?.id ?? 0, 'outside of JavaScript')
  const sums = new Map<string, number>()
  for (const [index, id] of samples.entries()) {
    const stage = stages.get(id) ?? 'outside of JavaScript'
    sums.set(stage, (sums.get(stage) ?? 0) + (timeDeltas[index] ?? 0) / 1000)
  }
  return sums
}

/** Bytes that are alive at the end, by the stage that made them; estimated from samples. */
export function heapByStage(file: string): ByStage {
  const { head } = JSON.parse(readFileSync(file, 'utf8')) as { head: HeapNode }
  const place = placer()
  const sums = new Map<string, number>()
  const walk = (node: HeapNode, caller: string): void => {
    const stage = stageOf(place(node.callFrame), node.callFrame.functionName) ?? caller
    sums.set(stage, (sums.get(stage) ?? 0) + node.selfSize)
    for (const child of node.children) walk(child, stage)
  }
  walk(head, 'outside of JavaScript')
  return sums
}
