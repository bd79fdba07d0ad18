/** The first text of each transaction: nothing is set for longer than a transaction, so PgBouncer cannot mix runs up. */
import type { Address } from './url.ts'

export interface Limits {
  readonly statementMs: number
  readonly lockMs: number
  readonly idleMs: number
}

const defaultLimits: Limits = { statementMs: 120_000, lockMs: 15_000, idleMs: 60_000 }

export interface Session {
  readonly settings: Address['settings']
  /** '' for the user who logged in. */
  readonly role: string
  readonly limits: Partial<Limits>
}

/** Escapes both quote and backslash, so that standard_conforming_strings does not matter. */
const literal = (text: string): string => `E'${text.replace(/[\\']/g, '\\$&')}'`

const setting = (name: string, value: string): string => `set_config(${literal(name)}, ${literal(value)}, true)`

/**
 * Writes look rows up by their keys, and so do the checks of foreign keys that PostgreSQL plans once per connection. It
 * plans them by statistics that know nothing of what this run has just written: a queue that was empty would be read from
 * end to end for every new job. What there is no index for is still read so, and must not be compiled for its feigned cost.
 */
const byIndex: readonly [string, string][] = [
  ['enable_seqscan', 'off'],
  ['jit', 'off']
]

/** Settings of the URL come after ours, so that they win; the role is last, for it may take the right to set others. */
export function openingSql(mode: 'read' | 'write', session: Session, fence?: string): string {
  const limits = { ...defaultLimits, ...session.limits }
  const settings: [string, string][] = [
    ['statement_timeout', String(limits.statementMs)],
    ['lock_timeout', String(limits.lockMs)],
    ['idle_in_transaction_session_timeout', String(limits.idleMs)],
    // As Windmill's own servers: columns without a time zone hold UTC, and the driver reads ISO dates and hex bytes.
    ['timezone', 'UTC'],
    ['datestyle', 'ISO, MDY'],
    ['bytea_output', 'hex'],
    ...(mode === 'write' ? byIndex : []),
    ...session.settings.map(([name, value]): [string, string] => [name, value]),
    ...(session.role ? [['role', session.role] as [string, string]] : [])
  ]
  const begin = mode === 'read' ? 'repeatable read read only' : 'read committed read write'
  const columns = settings.map(([name, value]) => setting(name, value))
  if (mode === 'write') columns.push('txid_current()::text as xid', `${fence ?? 'true'} as held`)
  return `begin isolation level ${begin}; select ${columns.join(', ')}`
}
