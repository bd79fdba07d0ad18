/** Cron expressions as Windmill's `v2` parser takes them, and when they occur next (contract: schedules §7). */
import { SyncError } from '../errors.ts'
import { zoneLinks } from './time-zones.ts'

interface Field {
  readonly name: string
  readonly min: number
  readonly max: number
  /** Names, the first standing for `min`. */
  readonly names: readonly string[]
}

const months = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC']
const days = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT']

const fields: readonly Field[] = [
  { name: 'second', min: 0, max: 59, names: [] },
  { name: 'minute', min: 0, max: 59, names: [] },
  { name: 'hour', min: 0, max: 23, names: [] },
  { name: 'day of month', min: 1, max: 31, names: [] },
  { name: 'month', min: 1, max: 12, names: months },
  { name: 'day of week', min: 0, max: 7, names: days }
]
const [DOM, DOW] = [3, 5]

const nicknames: Readonly<Record<string, string>> = {
  '@yearly': '0 0 0 1 1 *',
  '@annually': '0 0 0 1 1 *',
  '@monthly': '0 0 0 1 * *',
  '@weekly': '0 0 0 * * 0',
  '@daily': '0 0 0 * * *',
  '@midnight': '0 0 0 * * *',
  '@hourly': '0 0 * * * *'
}

export interface Normalised {
  /** Six fields that every parser of Windmill reads alike. */
  readonly expression: string
  /** Sentences about a meaning that may surprise. */
  readonly notes: readonly string[]
}

/**
 * From five or six fields, or a nickname, to the form that is stored. Throws InvalidSpec, naming the fix, for what
 * Windmill refuses and for what its parsers read in different ways.
 */
export function normaliseCron(text: string): Normalised {
  const words = text.trim().split(/\s+/)
  if (words[0]?.startsWith('@')) return { expression: expand(words.join(' ')), notes: [] }
  if (words.length < 5 || words.length > 6) throw refused(countFix(words.length))
  const six = words.length === 5 ? ['0', ...words] : words
  return { expression: six.map(fieldText).join(' '), notes: notesOn(six, words.length === 5) }
}

function expand(nickname: string): string {
  const expression = nicknames[nickname.toLowerCase()]
  if (expression !== undefined) return expression
  const known = Object.keys(nicknames).join(', ')
  throw refused(`${nickname} is no nickname that Windmill knows; write fields, or one of ${known}`)
}

const countFix = (count: number): string =>
  count === 7
    ? 'seven fields; Windmill has no field for the year, leave it out'
    : `${count} fields; write five (minute, hour, day of month, month, day of week) or six with seconds before them`

function fieldText(word: string, at: number): string {
  const field = fields[at] as Field
  if (word === '*' || word === '?') return at === DOM || at === DOW ? word : '*'
  return word
    .split(',')
    .map(item => itemText(item, field, at))
    .join(',')
}

/** One member of a list. Special forms of days come first, because they hold letters that are no names. */
function itemText(item: string, field: Field, at: number): string {
  if (item === '') throw bad(field, item, 'is empty; remove the comma')
  if (item === '*' || item === '?') throw bad(field, item, 'cannot stand in a list; write * alone')
  const special = at === DOM ? dayOfMonthText(item, field) : at === DOW ? dayOfWeekText(item, field) : undefined
  if (special !== undefined) return special
  if (/^H(\(|\/|$)/i.test(item)) throw bad(field, item, 'is of Jenkins, not of cron; write a number')
  const [range = '', step, ...rest] = item.split('/')
  if (rest.length > 0) throw bad(field, item, 'has two steps; write one')
  return step === undefined ? rangeText(range, field) : steppedText(range, step, field, at)
}

function dayOfMonthText(item: string, field: Field): string | undefined {
  if (/^L$/i.test(item)) return 'L'
  if (/^LW$|^WL$/i.test(item)) throw bad(field, item, 'is unknown to Windmill; write L for the last day of the month')
  if (/^L-\d+$/i.test(item)) throw bad(field, item, 'is unknown to Windmill; write the days as numbers')
  const nearest = /^(\d+)W$/i.exec(item)
  return nearest ? `${valueOf(nearest[1] ?? '', field)}W` : undefined
}

function dayOfWeekText(item: string, field: Field): string | undefined {
  if (/^L$/i.test(item)) throw bad(field, item, 'never occurs; write SATL for the last Saturday of the month')
  if (item.startsWith('+')) throw bad(field, item, 'is unknown to Windmill; leave out the +')
  const last = /^([a-z]{3}|\d)#?L$/i.exec(item)
  if (last) return `${item.includes('#') ? `${dayText(last[1] ?? '', field)}#` : dayText(last[1] ?? '', field)}L`
  const nth = /^([a-z]+|\d+)#(\d+)$/i.exec(item)
  if (!nth) return undefined
  if (!/^[1-5]$/.test(nth[2] ?? '')) throw bad(field, item, 'must name the first to fifth, such as MON#1')
  return `${dayText(nth[1] ?? '', field)}#${nth[2]}`
}

/** Sunday is 0 with special forms: 7 is not read as Sunday there by all parsers. */
const dayText = (text: string, field: Field): string => String(valueOf(text, field) % 7)

function rangeText(range: string, field: Field): string {
  const [from, to] = boundsOf(range, field)
  return to === undefined ? spelled(range, from) : `${spelled(range.split('-')[0] ?? '', from)}-${to}`
}

/** Names stay readable, except at the end of a range, where Sunday is 7. */
const spelled = (text: string, value: number): string => (/^[a-z]/i.test(text) ? text.toUpperCase() : String(value))

function boundsOf(range: string, field: Field): readonly [from: number, to?: number] {
  const [low = '', high, ...rest] = range.split('-')
  if (rest.length > 0) throw bad(field, range, 'is no range; write it as a-b')
  const from = valueOf(low, field)
  if (high === undefined) return [from]
  const end = valueOf(high, field)
  const to = field.max === 7 && end === 0 && from > 0 ? 7 : end
  if (from > to) throw bad(field, range, `runs backwards; write ${unwrapped(from, to, field)}`)
  return [from, to]
}

/** `22-4` in two ranges. */
function unwrapped(from: number, to: number, { min, max }: Field): string {
  const part = (a: number, b: number): string => (a === b ? String(a) : `${a}-${b}`)
  return `${part(from, max === 7 ? 6 : max)},${part(min, to)}`
}

/** `a/n` is written with its end, and a step beyond the end leaves the first value alone: some parsers want it so. */
function steppedText(range: string, step: string, field: Field, at: number): string {
  const item = `${range}/${step}`
  if (range === '') throw bad(field, item, `lacks what the step begins with; write */${step}`)
  if (!/^\d+$/.test(step) || Number(step) === 0) throw bad(field, item, 'has a step that is no positive number')
  const n = Number(step)
  const last = at === DOW ? 6 : field.max
  if (range === '*' || range === '?') return n > last - field.min ? String(field.min) : `*/${n}`
  const [from, to] = boundsOf(range, field)
  if (to === undefined && at === DOW) throw bad(field, item, `has no end; write a range such as ${from % 7}-6/${n}`)
  return n > (to ?? last) - from ? String(from) : `${from}-${to ?? last}/${n}`
}

function valueOf(text: string, field: Field): number {
  const { names, min, max } = field
  if (/^[a-z]/i.test(text) && names.length > 0) {
    const at = names.indexOf(text.toUpperCase())
    if (at >= 0) return at + min
    const short = names.find(name => text.toUpperCase().startsWith(name))
    throw bad(field, text, short ? `is written in full; write ${short}` : `is no name; write ${names.join(', ')}`)
  }
  if (!/^\d{1,3}$/.test(text)) throw bad(field, text, 'is no number')
  const value = Number(text)
  if (value < min || value > max) throw bad(field, text, `is out of range; the numbers go from ${min} to ${max}`)
  return value
}

function notesOn(words: readonly string[], isClassic: boolean): readonly string[] {
  const [dom = '*', dow = '*'] = [words[DOM], words[DOW]]
  const notes: string[] = []
  const free = (word: string): boolean => word === '*' || word === '?'
  if (isClassic && !free(dom) && !free(dow) && (dom.startsWith('*') || dow.startsWith('*'))) {
    notes.push('schedule: Windmill runs on days that fit either the day of month or the day of week, not on both only.')
  }
  if (/W/i.test(dom)) notes.push('schedule: releases of Windmill differ about W at the ends of months.')
  return notes
}

const refused = (why: string): SyncError => new SyncError('InvalidSpec', `schedule: ${why}.`)
const bad = ({ name }: Field, item: string, why: string): SyncError => refused(`${name} ${item} ${why}`)

let listed: ReadonlySet<string> | undefined

/** Zones are compared in their exact spelling: Windmill knows `Europe/Paris`, not `europe/paris`, `+02:00` or `Z`. */
function isZone(name: string): boolean {
  listed ??= new Set([...Intl.supportedValuesOf('timeZone'), ...zoneLinks.split(' ')])
  return listed.has(name)
}

/** Throws InvalidSpec for what is no time zone to Windmill. */
export function checkTimezone(name: string): void {
  if (isZone(name)) return
  const meant = [...(listed ?? [])].find(one => one.toLowerCase() === name.toLowerCase())
  const fix = meant ? `write ${meant}` : 'write a name such as Europe/Paris or UTC'
  throw new SyncError('InvalidSpec', `timezone: ${name} is no time zone that Windmill knows; ${fix}.`)
}

/** The first occurrence after an instant, in whole seconds; undefined when there is none. */
export type NextAfter = (expression: string, timezone: string, from: Date) => Date | undefined

let loaded: Promise<NextAfter> | undefined

/** The library is loaded when a schedule is to be armed, never for a run without one. */
export function loadNextAfter(): Promise<NextAfter> {
  loaded ??= import('croner').then(({ Cron }) => (expression, timezone, from) => {
    const cron = new Cron(expression, { timezone, sloppyRanges: true })
    const next = cron.nextRun(from)
    // A time that is not after the instant must never be stored (contract, trap 12).
    return next && next.getTime() > from.getTime() ? next : undefined
  })
  return loaded
}
