/** Identities of script versions: our own 64 bits, and the hexadecimal form that Windmill shows (contract: scripts §2). */
import { createHash } from 'node:crypto'
import { canonical } from '../fingerprint.ts'
import type { Json } from '../model.ts'

/** What makes a version the version that it is. */
export interface Version {
  readonly workspace: string
  readonly path: string
  /** Hash of the version that it follows, decimal text; null for the first one. */
  readonly parent: string | null
  /** Every written column but the keys and the time; texts of JSON columns exactly as stored. */
  readonly columns: Readonly<Record<string, Json>>
}

/** Names the scheme: another digest of the same version gets another name. */
const domain = 'windmill-iac/script/1'

/** The dummy, and the previews of bundles: a dependency job of one of these is taken for a preview (§2.2). */
const reserved: ReadonlySet<bigint> = new Set([0n, -42n, -43n, -44n, -45n])

/**
 * The hash of a version as decimal text, always the same for the same version; `attempt` counts up while hashes are
 * taken. Workspace and parent belong to it: caches of Windmill know hashes without their workspace, and going back to
 * earlier content must make a third version (§2.3, §2.4). Reserved values are stepped over.
 */
export function scriptHash(version: Version, attempt = 0): string {
  for (let counter = attempt; ; counter++) {
    const hash = digestOf(version, counter)
    if (!reserved.has(hash)) return hash.toString()
  }
}

function digestOf({ workspace, path, parent, columns }: Version, counter: number): bigint {
  const parts = new Parts()
  for (const part of [domain, workspace, path, parent ?? '', String(counter)]) parts.add(part)
  for (const name of Object.keys(columns).sort()) {
    parts.add(name)
    parts.add(canonical(columns[name]))
  }
  return parts.digest().readBigInt64BE(0)
}

/** Short texts of these characters alone have as many bytes as characters. */
const short = /^[\0-\x7f]{0,127}$/

/** Hashes texts, each after its length in bytes as 64 bits; the many short ones are gathered before they are handed on. */
class Parts {
  readonly #hash = createHash('sha256')
  readonly #length = Buffer.alloc(8)
  #gathered = ''

  add(part: string): void {
    if (short.test(part)) {
      this.#gathered += `\0\0\0\0\0\0\0${String.fromCharCode(part.length)}${part}`
      return
    }
    this.#length.writeUInt32BE(Buffer.byteLength(part), 4)
    this.#hash.update(this.#gathered).update(this.#length).update(part)
    this.#gathered = ''
  }

  digest(): Buffer {
    return this.#hash.update(this.#gathered).digest()
  }
}

export const isReserved = (hash: string): boolean => reserved.has(BigInt(hash))

/** As people and APIs see it: 16 lower-case digits of the two's complement, big-endian. */
export const hexOfHash = (hash: string): string => BigInt.asUintN(64, BigInt(hash)).toString(16).padStart(16, '0')

/** The decimal text that the database takes; only the first 16 digits count (§2.2). Undefined when it is no hash. */
export function hashOfHex(hex: string): string | undefined {
  if (!/^([0-9a-f]{2}){8,}$/i.test(hex)) return undefined
  return BigInt.asIntN(64, BigInt(`0x${hex.slice(0, 16)}`)).toString()
}
