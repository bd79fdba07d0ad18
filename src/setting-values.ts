/** How the values of settings are read: each throws an Error whose message says what would be right. */

export type Parse = (text: string) => unknown

export const oneOf =
  (...values: readonly string[]): Parse =>
  text => {
    if (values.includes(text)) return text
    throw new Error(`must be one of ${values.join(', ')}`)
  }

export const whole =
  (least: number, most: number): Parse =>
  text => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= least && number <= most) return number
    throw new Error(`must be a whole number from ${least} to ${most}`)
  }

/** Milliseconds of `90s`, `5m`, `1h30m`, or plain seconds. */
export const duration: Parse = text => {
  const parts = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text)
  if (/^\d+$/.test(text)) return Number(text) * 1000
  if (!parts || text === '') throw new Error('must be a duration such as 90s, 5m or 1h30m')
  const [, hours, minutes, seconds] = parts
  return ((Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60 + Number(seconds ?? 0)) * 1000
}

export const names: Parse = text => {
  const list = text.split(',').map(one => one.trim())
  if (list.some(one => one === '')) throw new Error('must be names separated by commas')
  return list
}

export const namespace: Parse = text => {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text
  throw new Error('must be the name of a namespace: lower-case letters, digits and -, at most 63')
}

const workspaceId = /^\w+(-\w+)*$/

export const mapping: Parse = text => {
  if (text === 'namespace-as-workspace') return { mode: text }
  const [mode, rest] = [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)] as const
  if (mode === 'fixed' && workspaceId.test(rest)) return { mode, workspace: rest }
  const pairs = rest.split(',').map(pair => pair.split('=').map(side => side.trim()))
  if (mode === 'map' && pairs.every(([ns, ws, more]) => ns && ws && more === undefined && workspaceId.test(ws))) {
    return { mode, map: new Map(pairs.map(([ns, ws]) => [ns as string, ws as string])) }
  }
  throw new Error('must be namespace-as-workspace, fixed:<workspace> or map:<namespace>=<workspace>,…')
}

export const maxDeletes: Parse = text => {
  const found = /^(\d+)(%?)$/.exec(text)
  if (!found || (found[2] && Number(found[1]) > 100))
    throw new Error('must be a number such as 10, or per cent such as 20%')
  return found[2] ? { percent: Number(found[1]), explicit: true } : { count: Number(found[1]), explicit: true }
}

export const shard: Parse = text => {
  const found = /^(\d+)\/(\d+)$/.exec(text)
  const [index, count] = [Number(found?.[1]), Number(found?.[2])]
  if (!found || count < 1 || index >= count) throw new Error('must be I/N with I from 0 to N-1')
  return { index, count }
}

/** Equality and set-based requirements, as kubectl's -l takes them; exists and not-exists too. */
export const selector: Parse = text =>
  text.split(/,(?![^(]*\))/).map(part => {
    const one = part.trim()
    const set = /^([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(one)
    if (set) return { key: set[1], op: set[2], values: (set[3] ?? '').split(',').map(value => value.trim()) }
    const equal = /^([\w./-]+)\s*(==?|!=)\s*([\w.-]*)$/.exec(one)
    if (equal) return { key: equal[1], op: equal[2] === '!=' ? 'notin' : 'in', values: [equal[3]] }
    const exists = /^(!?)\s*([\w./-]+)$/.exec(one)
    if (exists) return { key: exists[2], op: exists[1] ? 'absent' : 'exists', values: [] }
    throw new Error('must be a label selector such as team=crm,tier in (a,b)')
  })

export const userName: Parse = text => {
  if (/^[a-zA-Z][a-zA-Z_0-9]*$/.test(text) && text.length <= 50) return text
  throw new Error('must be a Windmill username: a letter, then letters, digits or _, at most 50')
}

/** Windmill's own check wants a dotted domain; `schedule.email` of older versions has 50 characters. */
export const email: Parse = text => {
  if (/^[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(text) && text.length <= 50) return text
  throw new Error('must be a lower-case e-mail address with a dotted domain, at most 50 characters')
}
