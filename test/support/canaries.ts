/**
 * Secret values of the tests, and whatever the program says in them: logs, reports, errors, statuses, events, ledgers.
 * Every Secret that a test hands to the program is a canary; a process in which one is heard of fails at its end.
 */
import { parseAllDocuments } from 'yaml'

/** Shorter texts stand in many sentences by chance. */
const shortest = 8
/** Secrets may hold what is no secret (a host, a switch, the region of the examples): such words are no canaries. */
const harmless = /^(true|false|null|require|localhost|postgres(ql)?|eu-west-1\w*|[a-z]{1,10}|[\d.:-]+)$/i

const canaries = new Set<string>()
const leaks: string[] = []

/** The value itself, as JSON and YAML quote it, and as Kubernetes and mail encode it. */
const formsOf = (text: string): readonly string[] => [
  text,
  JSON.stringify(text).slice(1, -1),
  Buffer.from(text).toString('base64').replace(/=+$/, ''),
  encodeURIComponent(text)
]

/** From here on nothing may say this. Texts of several lines are looked for line by line as well. */
export function declareCanary(secret: string): void {
  for (const text of [secret, ...secret.split(/\r?\n/)]) {
    if (text.trim().length < shortest || harmless.test(text)) continue
    for (const form of formsOf(text)) if (isWellFormed(form)) canaries.add(form)
  }
}

const isWellFormed = (form: string): boolean => form.length >= shortest

/** Texts of JSON in a Secret are canaries of their own. */
function declareValue(text: string): void {
  declareCanary(text)
  if (!text.startsWith('{')) return
  try {
    for (const member of Object.values(JSON.parse(text) as object)) {
      if (typeof member === 'string') declareCanary(member)
    }
  } catch {
    // No JSON: the whole is declared.
  }
}

interface Handed {
  readonly kind?: unknown
  readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown }
  readonly spec?: {
    readonly value?: unknown
    readonly isSecret?: unknown
    readonly valueFrom?: { readonly secretKeyRef?: { readonly name?: unknown; readonly key?: unknown } }
  }
  readonly data?: Readonly<Record<string, unknown>>
  readonly stringData?: Readonly<Record<string, unknown>>
}

/** Texts of Secrets that a variable asks to be stored openly: kept openly of what is deleted, and told nowhere. */
const open = new Set<string>()

const textsOf = ({ data = {}, stringData = {} }: Handed): readonly (readonly [key: string, text: string])[] => [
  ...Object.entries(data).map(([key, text]) => [key, Buffer.from(String(text), 'base64').toString('utf8')] as const),
  ...Object.entries(stringData).map(([key, text]) => [key, String(text)] as const)
]

/** Declares what is secret in an object that a test hands to the program. */
export function declareSecrets(object: unknown): void {
  const handed = (object ?? {}) as Handed
  const { kind, spec } = handed
  if (kind === 'WindmillVariable' && spec?.isSecret === true && typeof spec.value === 'string') {
    declareCanary(spec.value)
  }
  if (kind === 'Secret') for (const [, text] of textsOf(handed)) declareValue(text)
}

const isSecretive = (piece: string): boolean => /\bkind"?\s*:\s*"?Secret\b|\bisSecret\b/.test(piece)

/** The same for YAML or JSON documents; those that cannot be read hold nothing that the program could read. */
export function declareSecretsIn(text: string): void {
  const pieces = text.split(/^---$/m)
  const objects = pieces
    .filter(isSecretive)
    .flatMap(piece =>
      parseAllDocuments(piece).flatMap(document => (document.errors.length === 0 ? [document.toJS() as Handed] : []))
    )
  for (const one of objects) noteOpen(one, objects)
  // What stands openly beside is no secret.
  const beside = pieces.filter(piece => !isSecretive(piece)).join('')
  for (const one of objects) {
    const value = one?.spec?.value
    if (typeof value !== 'string' || !beside.includes(value)) declareSecrets(one)
  }
}

function noteOpen(variable: Handed, objects: readonly Handed[]): void {
  const ref = variable?.spec?.valueFrom?.secretKeyRef
  if (!ref || variable.spec?.isSecret !== false) return
  const secret = objects.find(
    one =>
      one?.kind === 'Secret' &&
      one.metadata?.name === ref.name &&
      one.metadata?.namespace === variable.metadata?.namespace
  )
  for (const [key, text] of textsOf(secret ?? {})) {
    if (key !== ref.key) continue
    for (const line of [text, ...text.split(/\r?\n/)]) for (const form of formsOf(line)) open.add(form)
  }
}

/** Searches what the program said; `where` is for the sentence about it. Gives the text back. */
export function hear(where: string, text: string, mayHoldOpen = false): string {
  for (const canary of canaries) {
    if (mayHoldOpen && open.has(canary)) continue
    const at = text.indexOf(canary)
    if (at >= 0 && leaks.length < 20)
      leaks.push(`${where}: …${text.slice(Math.max(0, at - 200), at)}<${canary.slice(0, 40)}>`)
  }
  return text
}

/** What was heard so far: for tests that want to fail at once. */
export const heard = (): readonly string[] => leaks

export const hasCanaries = (): boolean => canaries.size > 0

process.on('exit', () => {
  if (leaks.length === 0) return
  process.stderr.write(`secrets were told:\n${leaks.join('\n')}\n`)
  process.exitCode = 1
})
