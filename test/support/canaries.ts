/**
 * Secret values of the tests, and whatever the program says in them: logs, reports, errors, statuses, events, ledgers.
 * Every Secret that a test hands to the program is a canary; a process in which one is heard of fails at its end.
 */
import { parseAllDocuments } from 'yaml'

/** Shorter texts stand in many sentences by chance. */
const shortest = 8
/** Secrets may hold what is no secret (a host, a switch): words of everyday use are no canaries. */
const harmless = /^(true|false|null|require|localhost|postgres(ql)?|[a-z]{1,10}|[\d.:-]+)$/i

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
  readonly spec?: { readonly value?: unknown; readonly isSecret?: unknown }
  readonly data?: Readonly<Record<string, unknown>>
  readonly stringData?: Readonly<Record<string, unknown>>
}

/** Declares what is secret in an object that a test hands to the program. */
export function declareSecrets(object: unknown): void {
  const { kind, spec, data, stringData } = (object ?? {}) as Handed
  if (kind === 'WindmillVariable' && spec?.isSecret === true && typeof spec.value === 'string') {
    declareCanary(spec.value)
  }
  if (kind !== 'Secret') return
  for (const value of Object.values(stringData ?? {})) if (typeof value === 'string') declareValue(value)
  for (const value of Object.values(data ?? {})) {
    if (typeof value === 'string') declareValue(Buffer.from(value, 'base64').toString('utf8'))
  }
}

/** The same for YAML or JSON documents; those that cannot be read hold nothing that the program could read. */
export function declareSecretsIn(text: string): void {
  for (const piece of text.split(/^---$/m)) {
    if (!/\bkind"?\s*:\s*"?Secret\b|\bisSecret\b/.test(piece)) continue
    for (const document of parseAllDocuments(piece)) {
      if (document.errors.length === 0) declareSecrets(document.toJS())
    }
  }
}

/** Searches what the program said; `where` is for the sentence about it. Gives the text back. */
export function hear(where: string, text: string): string {
  for (const canary of canaries) {
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
