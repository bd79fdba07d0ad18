/** How to look into what comes from outside: JSON objects and thrown things. */

export type Fields = Record<string, unknown>

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Node's and OpenSSL's names for errors, such as ECONNRESET; '' when it has none. */
export function codeOf(error: unknown): string {
  const code = isFields(error) ? error['code'] : undefined
  return typeof code === 'string' ? code : ''
}
