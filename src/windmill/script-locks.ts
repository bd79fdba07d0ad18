/** Which languages have their dependencies locked by a worker, at which database (contract: scripts §3.1). */
import type { Capabilities } from '../model.ts'

/** Locked wherever the language exists at all. */
const locked: ReadonlySet<string> = new Set([
  'python3',
  'bun',
  'bunnative',
  'deno',
  'go',
  'rust',
  'php',
  'ansible',
  'csharp',
  'nu',
  'java',
  'ruby',
  'rlang'
])

/**
 * Whether a version without a lock waits for a worker; otherwise its lock is empty from the start. PowerShell began to
 * be locked at an unknown release after 1.558: it counts only where the languages of the newest known one exist, since
 * an empty lock is right before and harmless after, while a job where nobody locks would leave the version invisible.
 */
export function isLocked(language: string, { labels }: Pick<Capabilities, 'labels'>): boolean {
  const known = labels('script_lang')
  if (!known.includes(language)) return false
  return locked.has(language) || (language === 'powershell' && known.includes('dbt') && known.includes('rlang'))
}

/** Why a lock cannot be what it says it is, as the end of a sentence; undefined when it may be (§8, trap 1). */
export function lockFault(language: string, lock: string): string | undefined {
  if (language !== 'bun' && language !== 'bunnative') return undefined
  return /^\/\/bun\.lockb?\s*$/m.test(lock) ? undefined : 'holds no line //bun.lock, without which no run can begin'
}
