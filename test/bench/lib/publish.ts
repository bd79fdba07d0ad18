/** Where the figures go: JSON, plots, and the places in the docs that quote them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectFolder } from '../../support/job.ts'
import { type Series, svg } from './plot.ts'
import type { Line } from './summary.ts'

export function writePlots(prefix: string, lines: readonly Line[]): readonly string[] {
  const named = (scenario: string, who: string): Line[] =>
    lines.filter(line => line.scenario === scenario && line.who === who).toSorted((a, b) => a.size - b.size)
  const others = [...new Set(lines.map(line => line.who))].filter(who => who !== 'ours')
  const series = (pick: (line: Line) => number | undefined, floors: boolean): Series[] => {
    const points = (some: readonly Line[], of: (line: Line) => number | undefined): Series['points'] =>
      some.flatMap(line => {
        const value = of(line)
        return value === undefined ? [] : [[line.size, value] as const]
      })
    return ['no-op', 'first-sync'].flatMap(scenario => [
      { name: `${scenario}, windmill-iac`, points: points(named(scenario, 'ours'), pick) },
      ...(floors
        ? [
            {
              name: `${scenario}, floor`,
              dashed: true,
              points: points(named(scenario, 'ours'), line => line.floorMs && line.floorMs / 1000)
            }
          ]
        : []),
      ...(scenario === 'no-op'
        ? others.map(who => ({ name: `${scenario}, ${who}`, points: points(named(scenario, who), pick) }))
        : [])
    ])
  }
  const xLabel = 'number of CRs'
  const files: readonly (readonly [string, string])[] = [
    [
      `${prefix}-time.svg`,
      svg({ title: 'Time of a run', xLabel, yLabel: 'seconds', series: series(line => line.wallMs / 1000, true) })
    ],
    [
      `${prefix}-memory.svg`,
      svg({ title: 'Peak memory of the process', xLabel, yLabel: 'MiB', series: series(line => line.peakMiB, false) })
    ]
  ]
  for (const [file, content] of files) if (content !== '') writeFileSync(file, content)
  return files.map(([file]) => file)
}

/** Puts texts between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` (or `bench` alone) of the project's pages. */
export function writeDocs(texts: Readonly<Record<string, string>>): readonly string[] {
  const changed: string[] = []
  for (const page of ['docs/performance.md', 'README.md']) {
    const file = join(projectFolder, page)
    if (!existsSync(file)) continue
    const before = readFileSync(file, 'utf8')
    const after = Object.entries(texts).reduce((page, [name, text]) => between(page, name, text), before)
    if (after === before) continue
    writeFileSync(file, after)
    changed.push(page)
  }
  return changed
}

function between(page: string, name: string, text: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [page.indexOf(open), page.indexOf(close)]
  return from < 0 || to < from ? page : `${page.slice(0, from + open.length)}\n${text}\n${page.slice(to)}`
}
