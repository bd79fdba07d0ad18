/** Which scripts of the workspace a script imports: rows of `dependency_map` (contract: scripts §3.6). */
import { tsModules } from './ts-modules.ts'

export interface Importer {
  readonly path: string
  readonly language: string
  readonly content: string
}

/** The only languages whose imports Windmill follows. */
const typescript: ReadonlySet<string> = new Set(['bun', 'bunnative', 'deno'])

/** Paths of the scripts that the code imports, sorted, each once; a path need not exist. */
export function importsOf({ path, language, content }: Importer): readonly string[] {
  const found = typescript.has(language)
    ? tsImports(path, content)
    : language === 'python3'
      ? pythonImports(path, content)
      : []
  return [...new Set(found)].filter(one => one !== '').sort()
}

/** Locks that Windmill's command line made from a file beside the script must not be made anew: they get no rows. */
export function isLockOfFile(language: string, lock: string): boolean {
  if (language === 'python3') return lock.startsWith('# from requirements.txt')
  return (language === 'bun' || language === 'bunnative') && lock.includes('generatedFromPackageJson')
}

function tsImports(path: string, content: string): readonly string[] {
  return tsModules(content).flatMap(module => {
    if (module.startsWith('/')) return [module.replace(/^\/+/, '').replace(/\.ts$/, '')]
    if (!/^\.\.?\//.test(module)) return []
    return [normalized(`${path}/../${module}`).replace(/\.ts$/, '')]
  })
}

/** `a/b/../c` is `a/c`; what would leave the root stays in it. */
function normalized(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.' && part !== '') parts.push(part)
  }
  return parts.join('/')
}

/** Statements at the beginning of a line, before `main` is defined: what comes later is not looked at. */
function pythonImports(path: string, content: string): readonly string[] {
  const head = content.split(/^(?:async[ \t]+)?def[ \t]+main\b/m, 1)[0] ?? ''
  return statementsOf(head).flatMap(statement => {
    const plain = /^import\s+(.+)$/s.exec(statement)
    if (plain) return (plain[1] ?? '').split(',').flatMap(name => absolute(name.trim().split(/\s/)[0] ?? ''))
    const from = /^from\s*(\.*)\s*([\w.]*)\s*\bimport\b\s*\(?([^)]*)/s.exec(statement)
    if (!from) return []
    const [, dots = '', module = '', names = ''] = from
    return dots === '' ? absolute(module) : relative(path, dots.length, module, names)
  })
}

const absolute = (module: string): readonly string[] => (/^[fu]\./.test(module) ? [module.replaceAll('.', '/')] : [])

/** One dot is the folder of the script, each further one the folder above. */
function relative(path: string, level: number, module: string, names: string): readonly string[] {
  const folder = path.split('/').slice(0, -level)
  if (module !== '') return [[...folder, ...module.split('.')].join('/')]
  const named = names.split(',').map(name => name.trim().split(/\s/)[0] ?? '')
  return named.filter(name => /^\w+$/.test(name)).map(name => [...folder, name].join('/'))
}

/** Statements of the outermost level that begin with `import` or `from`, without comments and texts. */
function statementsOf(code: string): readonly string[] {
  const bare = code
    .replace(/("""|''')(?:\\[\s\S]|(?!\1)[\s\S])*\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|#[^\n]*/g, found =>
      found.startsWith('#') ? '' : '""'
    )
    .replace(/\\\r?\n/g, ' ')
  const joined = bare.replace(/\([^()]*\)/g, inner => inner.replace(/\s+/g, ' '))
  return joined.split('\n').flatMap(line =>
    /^(?:import|from)\b/.test(line)
      ? line
          .split(';')
          .map(one => one.trim())
          .filter(one => /^(?:import|from)\b/.test(one))
      : []
  )
}
