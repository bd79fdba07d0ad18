/** How faults name places in a manifest. No function here is given a value that may be secret. */

/** `spec.settings["odd key"]`: names that a person can find in the manifest, odd ones quoted and cut. */
export function below(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  if (/^[A-Za-z_$][\w$-]*$/.test(key)) return `${path}.${key}`
  return `${path}[${JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key)}]`
}

/** The place of a JSON pointer below a root; numbers are places in lists only where there is a list. */
export function placeOf(pointer: string, value: unknown, root: string): string {
  let place = root
  let at = value
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    place = below(place, Array.isArray(at) ? Number(key) : key)
    at = (at as Record<string, unknown> | undefined)?.[key]
  }
  return place
}
