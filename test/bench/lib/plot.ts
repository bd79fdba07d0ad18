/** Line plots with logarithmic axes, as SVG: readable in light and dark, without any package. */

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  readonly dashed?: boolean
}

export interface Plot {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly series: readonly Series[]
}

const [width, height] = [820, 440]
const frame = { left: 70, right: 290, top: 40, bottom: 50 }
const colours = ['#0969da', '#bc4c00', '#1a7f37', '#8250df', '#cf222e', '#6e7781']

/** Powers of ten around the values. */
function axis(
  values: readonly number[],
  from: number,
  to: number
): { at: (value: number) => number; ticks: readonly number[] } {
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9)
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9))
  const at = (value: number): number => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)) }
}

const escape = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
const short = (value: number): string => (value >= 1000 ? `${value / 1000}k` : String(Number(value.toPrecision(3))))
const text = (x: number, y: number, words: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(words)}</text>`

export function svg({ title, xLabel, yLabel, series }: Plot): string {
  const drawn = series.filter(one => one.points.length > 0)
  const points = drawn.flatMap(one => one.points)
  if (points.length === 0) return ''
  const x = axis(
    points.map(([value]) => value),
    frame.left,
    width - frame.right
  )
  const y = axis(
    points.map(([, value]) => value),
    height - frame.bottom,
    frame.top
  )
  const [right, bottom] = [width - frame.right, height - frame.bottom]
  const grid = [
    ...x.ticks.map(tick => `<path d="M${x.at(tick).toFixed(1)} ${frame.top}V${bottom}"/>`),
    ...y.ticks.map(tick => `<path d="M${frame.left} ${y.at(tick).toFixed(1)}H${right}"/>`)
  ]
  const labels = [
    ...x.ticks.map(tick => text(x.at(tick), bottom + 18, short(tick), 'text-anchor="middle"')),
    ...y.ticks.map(tick => text(frame.left - 8, y.at(tick) + 4, short(tick), 'text-anchor="end"')),
    text((frame.left + right) / 2, height - 10, xLabel, 'text-anchor="middle"'),
    text(
      16,
      (frame.top + bottom) / 2,
      yLabel,
      `text-anchor="middle" transform="rotate(-90 16 ${(frame.top + bottom) / 2})"`
    ),
    text(frame.left, 22, title, 'font-weight="600"')
  ]
  const lines = drawn.map((one, index) => {
    const colour = colours[index % colours.length] ?? '#000'
    const path = one.points
      .map(([px, py], at) => `${at === 0 ? 'M' : 'L'}${x.at(px).toFixed(1)} ${y.at(py).toFixed(1)}`)
      .join('')
    const dots = one.points.map(
      ([px, py]) => `<circle cx="${x.at(px).toFixed(1)}" cy="${y.at(py).toFixed(1)}" r="3" fill="${colour}"/>`
    )
    const legend = frame.top + 10 + index * 20
    return [
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"${one.dashed ? ' stroke-dasharray="5 4"' : ''}/>`,
      ...dots,
      `<path d="M${right + 14} ${legend}h18" stroke="${colour}" stroke-width="2"${one.dashed ? ' stroke-dasharray="5 4"' : ''}/>`,
      text(right + 38, legend + 4, one.name)
    ].join('')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">
<style>text{fill:#1f2328}.g{stroke:#d0d7de}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.g{stroke:#30363d}}</style>
<g class="g" fill="none">${grid.join('')}</g>
<g>${labels.join('')}</g>
<g>${lines.join('\n')}</g>
</svg>
`
}
