/** Whether a script has the functions `main` and `preprocessor`, by the rules of Windmill's server (contract: scripts §1.5). */
import { scanTypeScript, type Token } from './typescript-tokens.ts'

export interface MainFacts {
  readonly noMain: boolean
  readonly hasPreprocessor: boolean
}

const typescript = new Set(['bun', 'bunnative', 'deno', 'nativets'])

/**
 * Needs no parser package. `undefined` for the languages in which Windmill believes what it is told. TypeScript that
 * cannot be parsed has neither mark, as Windmill stores NULL for both; found out here are unclosed brackets and texts.
 */
export function mainFacts(language: string, content: string): MainFacts | undefined {
  if (language === 'python3') {
    return {
      noMain: !/(?:^|\n)def main\(/.test(content),
      hasPreprocessor: /(?:^|\n)def preprocessor\(/.test(content)
    }
  }
  if (!typescript.has(language)) return undefined
  const names = declaredFunctions(content)
  return names
    ? { noMain: !names.has('main'), hasPreprocessor: names.has('preprocessor') }
    : { noMain: false, hasPreprocessor: false }
}

/** Where in `export async function name` the scan is. In an expression, or after `export default`, nothing is declared. */
type State = 'outside' | 'statement' | 'expression' | 'declared'

/** Names of the function declarations outside of all brackets, or nothing when the code is not whole. */
function declaredFunctions(content: string): ReadonlySet<string> | undefined {
  const names = new Set<string>()
  let state: State = 'outside'
  let before: Token | undefined
  const isWhole = scanTypeScript(content, token => {
    if (state === 'declared' && token.kind === 'word') names.add(token.text)
    state = nextState(state, before, token)
    before = token
  })
  return isWhole ? names : undefined
}

function nextState(state: State, before: Token | undefined, token: Token): State {
  // After the word `function` comes a name, or the sign of a generator before it.
  if (state === 'declared') return token.text === '*' ? 'declared' : 'outside'
  const begins = state === 'statement' || (state !== 'expression' && startsStatement(before, token))
  switch (token.text) {
    case 'export':
      return 'statement'
    case 'declare':
    case 'async':
      return begins ? 'statement' : 'expression'
    case 'default':
      return 'expression'
    case 'function':
      return begins ? 'declared' : 'outside'
    default:
      return 'outside'
  }
}

/**
 * Whether a word outside of brackets begins a statement. After something complete it does: it cannot go on an
 * expression. `>` and `void` end a type (`type A = Promise<string>`) when a new line follows.
 */
function startsStatement(before: Token | undefined, token: Token): boolean {
  if (before === undefined || before.complete || [';', ')', '}'].includes(before.text)) return true
  return token.afterNewline && (before.text === '>' || before.text === 'void')
}
