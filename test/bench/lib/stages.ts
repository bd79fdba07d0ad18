/** Which stage of a run a source file belongs to, for profiles. The first pattern that fits decides. */

const bySource: readonly (readonly [pattern: RegExp, stage: string])[] = [
  [/(^|\/)src\/cluster\/(list|listed|pages|splitter|table)/, 'listing and parsing'],
  [/(^|\/)src\/(publish|status)\.|(^|\/)src\/cluster\/objects/, 'statuses'],
  [/(^|\/)src\/cluster\/|client-node/, 'requests to the API server'],
  [/(^|\/)src\/(database\/)?ledger/, 'ledger'],
  [/(^|\/)src\/database\/|node_modules\/postgres\//, 'database driver and transactions'],
  [/(^|\/)src\/(survey|roster|marks|scope|tenancy|claims|registry)/, 'survey'],
  [/(^|\/)src\/(admit|crd)|node_modules\/(ajv|@marcbachmann|fast-uri)/, 'checks against the CRDs'],
  [/(^|\/)src\/(compare|plan|fingerprint)\./, 'compare and digests'],
  [/(^|\/)src\/(apply|batches|reconcile|identities|manifest|gone|prune)\./, 'applying and pruning'],
  [/(^|\/)src\/(kinds|windmill)\//, 'kinds: compiling, reading and writing rows'],
  [/(^|\/)src\//, 'the rest of the program'],
  [/node_modules\//, 'other libraries'],
  [/^node:internal\/crypto/, 'hashes and encryption'],
  [/^node:internal\/(modules|bootstrap|main|per_context|process\/pre)/, 'loading the program'],
  [/^node:/, 'sockets, streams and the rest of Node']
]

const byName: ReadonlyMap<string, string> = new Map([
  ['(idle)', 'waiting'],
  ['(garbage collector)', 'garbage collection'],
  ['(program)', 'outside of JavaScript'],
  ['(root)', 'outside of JavaScript']
])

/** Undefined for built-in functions of the language, which work for whoever calls them. */
export function stageOf(source: string, functionName: string): string | undefined {
  if (source === '') return byName.get(functionName) ?? (loaders.has(functionName) ? 'loading the program' : undefined)
  return bySource.find(([pattern]) => pattern.test(source))?.[1] ?? 'the rest of the program'
}

/** Native functions that read and compile modules. */
const loaders = new Set(['compileFunction', 'compileFunctionForCJSLoader', 'internalModuleStat', 'evaluate', 'link'])
