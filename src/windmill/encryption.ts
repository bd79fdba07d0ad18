/** Windmill's cipher of secret variables, to the byte (contract: variables-and-resources §2.1–2.4). */
import { createCipheriv, createDecipheriv, createHash, randomInt } from 'node:crypto'

/** Longest plaintext whose ciphertext fits into `variable.value varchar(15000)`, in UTF-8 bytes (§2.3). */
export const maxSecretBytes = 11_247

/** Longest plain value, in code points. */
export const maxPlainCharacters = 15_000

const algorithm = 'aes-256-cbc'
/** Always zero: equal plaintexts give equal ciphertexts, which is what makes drift visible without decrypting (§2.4). */
const iv = Buffer.alloc(16)

/** The workspace key is text: not trimmed, not decoded, the salt simply appended. */
export function cipherKey(workspaceKey: string, salt: string): Buffer {
  return createHash('sha256')
    .update(workspaceKey + salt, 'utf8')
    .digest()
}

export function encrypt(key: Buffer, plaintext: string): string {
  const cipher = createCipheriv(algorithm, key, iv)
  return Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]).toString('base64')
}

/** Undefined when the text is no ciphertext of this key: there is no authentication, so valid UTF-8 is part of the proof. */
export function decrypt(key: Buffer, ciphertext: string): string | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(ciphertext)) return undefined
  try {
    const decipher = createDecipheriv(algorithm, key, iv)
    const bytes = Buffer.concat([decipher.update(ciphertext, 'base64'), decipher.final()])
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** A key as the API makes them (§2.5): 64 characters of `[A-Za-z0-9]`. */
export function newWorkspaceKey(): string {
  return Array.from({ length: 64 }, () => alphabet[randomInt(alphabet.length)]).join('')
}
