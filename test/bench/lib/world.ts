/** The CRs of the bench: the same for the same size and seed, so that server, rivals and edits know them without talking. */
import { code, normal, randomFrom } from './random.ts'

export interface WorldOptions {
  readonly size: number
  /** Kinds that the program reconciles; the shares of the others go to these. */
  readonly kinds: readonly string[]
  /** kubectl's annotation holds the whole object once more, except where it would be too long for kubectl. */
  readonly lastApplied: boolean
  /** Share of CRs that break a rule of their CRD. */
  readonly invalid: number
  /** One object of 900 KB in every 500. */
  readonly huge: boolean
  /** Only this kind (for 5,000 schedules, or scripts alone); all others become as few as they can be. */
  readonly mostly?: string | undefined
}

/** Everything in order. */
export const plainWorld = (size: number, plurals: Readonly<Record<string, string>>): WorldOptions => ({
  size,
  kinds: Object.keys(plurals),
  lastApplied: false,
  invalid: 0,
  huge: false
})

/** One CR before it is written out. */
export interface Thing {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  /** Counts within the kind. */
  readonly ordinal: number
}

export const namespaces: readonly string[] = Array.from({ length: 10 }, (_, index) => `team-${index}`)
/** Per namespace, at least. */
const folders = 3

interface Shape {
  readonly share: number
  readonly spec: (ordinal: number, random: () => number, world: Sizes) => object
}

/** Number of objects by kind. */
type Sizes = ReadonlyMap<string, number>

const pad = (ordinal: number): string => String(ordinal).padStart(6, '0')
const folderOf = (ordinal: number): string => `area_${Math.floor(ordinal / namespaces.length) % folders}`
export const namespaceOf = (ordinal: number): string => namespaces[ordinal % namespaces.length] ?? ''

const pathOf = (stem: string, ordinal: number): string => `f/${folderOf(ordinal)}/${stem}_${pad(ordinal)}`
const scriptPath = (ordinal: number): string => pathOf('script', ordinal)

/** In the same namespace, as both counts go round the namespaces. */
const someScript = (ordinal: number, sizes: Sizes): number => {
  const scripts = sizes.get('WindmillScript') ?? 0
  return scripts > 0 ? ordinal % (scripts - (scripts % namespaces.length) || scripts) : 0
}

const languages = [
  'python3',
  'python3',
  'python3',
  'python3',
  'python3',
  'bun',
  'bun',
  'bun',
  'bash',
  'postgresql'
] as const

const heads: Readonly<Record<string, string>> = {
  python3: 'import requests\n\n\ndef main(day: str, limit: int = 100):\n',
  bun: 'import axios from "axios"\n\nexport async function main(day: string, limit: number = 100) {\n/*\n',
  bash: 'day="$1"\nlimit="$2"\ncat <<EOF\n',
  postgresql: '-- $1 day\n-- $2 limit\nselect 1;\n/*\n'
}
const tails: Readonly<Record<string, string>> = {
  python3: '    return day\n',
  bun: '*/\n  return day\n}\n',
  bash: 'EOF\n',
  postgresql: '*/\n'
}

const argumentSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  required: ['day'],
  order: ['day', 'limit'],
  properties: { day: { type: 'string', description: 'Day of the report' }, limit: { type: 'integer', default: 100 } }
}

/** Median 4.4 KB, mean 8 KB, one in 1,500 above 150 KB, none above 500 KB. */
const scriptLength = (random: () => number): number =>
  Math.min(500_000, Math.max(200, Math.round(4400 * Math.exp(1.1 * normal(random)))))

function script(ordinal: number, random: () => number): object {
  const language = languages[ordinal % languages.length] ?? 'python3'
  const content = (heads[language] ?? '') + code(random, scriptLength(random)) + (tails[language] ?? '')
  return {
    path: scriptPath(ordinal),
    language,
    summary: `Script number ${ordinal}`,
    description: code(random, 200),
    ...(ordinal % 500 === 499
      ? { contentFrom: { configMapKeyRef: { name: `code-${ordinal % 10}`, key: 'main' } } }
      : { content }),
    ...(ordinal % 10 !== 9 && { schema: argumentSchema }),
    ...(language === 'python3' && ordinal % 4 === 0 && { lock: 'requests==2.32.5\ncertifi==2025.8.3\n' }),
    ...(ordinal % 7 === 0 && { tag: 'batch', timeout: 900 })
  }
}

function flow(ordinal: number, random: () => number, sizes: Sizes): object {
  const inline = (id: string): object => ({
    id,
    summary: `Step ${id}`,
    value: {
      type: 'rawscript',
      language: 'python3',
      content: (heads['python3'] ?? '') + code(random, 500 + random() * 2000) + (tails['python3'] ?? ''),
      input_transforms: { day: { type: 'javascript', expr: 'flow_input.day' }, limit: { type: 'static', value: 10 } }
    }
  })
  const call = (sizes.get('WindmillScript') ?? 0) > 0 && {
    id: 'z',
    value: {
      type: 'script',
      path: scriptPath(someScript(ordinal, sizes)),
      input_transforms: { day: { type: 'javascript', expr: 'results.a' } }
    }
  }
  const steps = Array.from({ length: 2 + Math.floor(random() * 5) }, (_, index) => inline('abcdefgh'[index] ?? 'x'))
  return {
    path: pathOf('flow', ordinal),
    summary: `Flow number ${ordinal}`,
    description: code(random, 200),
    value: { modules: [...steps, ...(call ? [call] : [])] },
    schema: argumentSchema
  }
}

function variable(ordinal: number, random: () => number): object {
  const rest = { path: pathOf('variable', ordinal), description: `Variable number ${ordinal}` }
  if (ordinal % 4 !== 0) return { ...rest, value: code(random, 100 + random() * 1500), isSecret: false }
  // Twenty keys to a Secret, as Secrets made by other tools hold them.
  const group = Math.floor(ordinal / (4 * namespaces.length * 20))
  return { ...rest, valueFrom: { secretKeyRef: { name: `credentials-${group}`, key: `key-${ordinal}` } } }
}

const resource = (ordinal: number, random: () => number, sizes: Sizes): object => ({
  path: pathOf('resource', ordinal),
  resourceType: sizes.has('WindmillResourceType') ? `c_service_${ordinal % namespaces.length}` : 'postgresql',
  description: code(random, 150),
  value: {
    host: `host-${ordinal}.example.com`,
    port: 1024 + (ordinal % 60_000),
    options: { region: 'eu-west-1', tags: ['a', 'b'], note: code(random, 200 + random() * 1500) }
  }
})

const schedule = (ordinal: number, _: () => number, sizes: Sizes): object => ({
  path: pathOf('schedule', ordinal),
  schedule: `0 ${ordinal % 60} ${ordinal % 24} * * *`,
  timezone: ['Europe/Paris', 'America/New_York', 'UTC'][ordinal % 3],
  scriptPath: scriptPath(someScript(ordinal, sizes)),
  isFlow: false,
  args: { day: 'yesterday', limit: ordinal % 500 },
  enabled: true,
  summary: `Schedule number ${ordinal}`
})

const app = (ordinal: number, random: () => number): object => ({
  path: pathOf('app', ordinal),
  summary: `App number ${ordinal}`,
  value: {
    grid: Array.from({ length: 10 }, (_, index) => ({
      id: 'abcdefghij'[index],
      '12': { x: 0, y: index, w: 12, h: 2, fixed: false },
      data: {
        id: 'abcdefghij'[index],
        type: 'textcomponent',
        componentInput: { type: 'static', fieldType: 'textarea', value: code(random, 700) },
        configuration: {},
        customCss: {}
      }
    })),
    subgrids: {},
    fullscreen: false,
    hiddenInlineScripts: [],
    unusedInlineScripts: [],
    theme: { type: 'path', path: 'f/app_themes/theme_0' }
  },
  policy: { execution_mode: 'viewer', triggerables_v2: {}, s3_inputs: [], allowed_s3_keys: [] }
})

/** Every namespace has its folders, whatever the size, because the paths of all others begin with them. */
const shapes: Readonly<Record<string, Shape>> = {
  WindmillFolder: {
    share: 1,
    spec: ordinal => ({
      name: folderOf(ordinal) + (ordinal >= namespaces.length * folders ? `_${ordinal}` : ''),
      summary: `Folder number ${ordinal}`
    })
  },
  WindmillGroup: { share: 0.5, spec: ordinal => ({ name: `group_${ordinal}`, summary: `Group number ${ordinal}` }) },
  WindmillResourceType: {
    share: 0.5,
    spec: ordinal => ({ name: `c_service_${ordinal}`, description: `Type number ${ordinal}`, schema: argumentSchema })
  },
  WindmillVariable: { share: 12, spec: variable },
  WindmillResource: { share: 10, spec: resource },
  WindmillScript: { share: 60, spec: script },
  WindmillFlow: { share: 10, spec: flow },
  WindmillApp: { share: 1, spec: app },
  WindmillSchedule: { share: 5, spec: schedule }
}

/** Kinds that the bench can make. */
export const shapedKinds: readonly string[] = Object.keys(shapes)

const stems: Readonly<Record<string, readonly string[]>> = {
  WindmillScript: ['sync-customers', 'nightly-report', 'send-invoices', 'cleanup-orders', 'refresh-metrics'],
  WindmillFlow: ['onboard-customer', 'close-month'],
  WindmillVariable: ['setting', 'endpoint'],
  WindmillResource: ['database', 'api']
}

/** Others refer to them by name, in each namespace. */
const leasts: Readonly<Record<string, number>> = {
  WindmillFolder: namespaces.length * folders,
  WindmillResourceType: namespaces.length,
  WindmillScript: namespaces.length
}

/** How many of each kind there are. */
export function sizesOf({ size, kinds, mostly }: WorldOptions): Sizes {
  const present = Object.entries(shapes).filter(([kind]) => kinds.includes(kind))
  const shareOf = (kind: string, { share }: Shape): number => (mostly === undefined || kind === mostly ? share : 0)
  const all = present.reduce((sum, [kind, shape]) => sum + shareOf(kind, shape), 0)
  const least = (kind: string): number => leasts[kind] ?? (mostly === undefined ? 1 : 0)
  const sizes = new Map(
    present.map(([kind, shape]) => [kind, Math.max(least(kind), Math.floor((size * shareOf(kind, shape)) / all))])
  )
  const largest = mostly ?? present.toSorted(([, a], [, b]) => b.share - a.share)[0]?.[0] ?? ''
  const rest = size - [...sizes.values()].reduce((sum, count) => sum + count, 0)
  sizes.set(largest, Math.max(0, (sizes.get(largest) ?? 0) + rest))
  return sizes
}

/** All CRs of a kind in the order of a list: by namespace and name. */
export function thingsOf(kind: string, count: number): readonly Thing[] {
  const names = stems[kind] ?? [kind.replace('Windmill', '').toLowerCase()]
  const things = Array.from({ length: count }, (_, ordinal) => ({
    kind,
    namespace: namespaceOf(ordinal),
    name: `${names[ordinal % names.length]}-${pad(ordinal)}`,
    ordinal
  }))
  return things.sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1))
}

/** Makes specs; `generation` 1 is the first, and each has other contents. */
export function specMaker(options: WorldOptions): (thing: Thing, generation: number) => object {
  const sizes = sizesOf(options)
  const every = options.invalid > 0 ? Math.round(1 / options.invalid) : 0
  return ({ kind, ordinal }, generation) => {
    const random = randomFrom(ordinal * 31 + generation * 1_000_003 + kind.length * 7919)
    const spec = shapes[kind]?.spec(ordinal, random, sizes) ?? {}
    const later = generation > 1 ? changed(kind, spec, generation) : spec
    if (every > 0 && ordinal % every === every - 1) return { ...later, path: 'nowhere', name: '!' }
    const huge = options.huge && ordinal % 500 === 7 && kind === 'WindmillScript'
    return huge
      ? { ...later, content: `${heads['python3']}${code(random, 900_000)}${tails['python3']}`, language: 'python3' }
      : later
  }
}

/** Every kind has a text that an edit can change, also where its other fields do not depend on chance. */
function changed(kind: string, spec: object, generation: number): object {
  const field =
    kind === 'WindmillVariable' || kind === 'WindmillResource' || kind === 'WindmillResourceType'
      ? 'description'
      : 'summary'
  return { ...spec, [field]: `Edited ${generation - 1} times` }
}
