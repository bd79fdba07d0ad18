/** Checks of texts that a CRD cannot make: limits in code points, and what comes out of Secrets. */
import { SyncError } from '../errors.ts'

/** PostgreSQL counts code points, and cuts trailing blanks beyond the limit without a word (contract: §2.3). */
export function refuseLong(field: string, text: string | undefined, limit: number | undefined): void {
  if (text === undefined || limit === undefined || text.length <= limit) return
  let count = 0
  for (const _ of text) if (++count > limit) break
  if (count > limit)
    throw new SyncError('InvalidSpec', `${field}: this Windmill stores at most ${limit} characters; shorten it.`)
}

/** A character that PostgreSQL stores nowhere and that ends an environment variable; manifests were checked before, Secrets are not. */
export function refuseControl(field: string, text: string): void {
  if (!text.includes('\0')) return
  throw new SyncError(
    'InvalidSpec',
    `${field}: the text holds a NUL character, which neither Windmill nor a job can use; remove it.`
  )
}

/** `echo … | base64` is the classical wrong password: nothing is trimmed, but it is said (contract: §3.5, trap 18). */
export function secretNotes(field: string, text: string): readonly string[] {
  const isOneLine = text.length > 1 && text.indexOf('\n') === text.length - 1
  return isOneLine ? [`${field}: the text in the Secret ends with a line break, which is kept.`] : []
}
