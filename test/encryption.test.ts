/** Windmill's cipher: the contract's vectors and limits (variables-and-resources §2.2, §2.3). */
import { cipherKey, decrypt, encrypt, maxSecretBytes, newWorkspaceKey } from '../src/windmill/encryption.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('encryption')

const K = 'kQ3mZb81XyVt0LpWn7RsAe5GdUc2HfJo9iTqY4uMx6BvCwNzDaEgFhPjKlSrO1I2'

const vectors: readonly (readonly [key: string, salt: string, plaintext: string, ciphertext: string])[] = [
  ['magickey', '', 'http://magiclen.org', 'DS/2U8royDnJDiNY2ps3f6ZoTbpZo8ZtUGYLGEjwLDQ='],
  ['magickey', '', 'https://magiclen.org', 'jWEPYLTECqGvWJbdlRGeZIupoLX8N9DYZIUKMRp/OQY='],
  ['changeme', '', '', 'f7fRfUkSmY9vT3hIpRvwtg=='],
  ['changeme', '', 'hunter2', 'IshEKL751koAxkxBuqjOqQ=='],
  [K, '', '', 'EHSgZGjnlUdswutXjW2M6g=='],
  [K, '', 'hunter2', 'uzDPmd9KAraptpXZG3vJkQ=='],
  [K, '', 'pässwörd-🔑-日本語', 'G8EL+5c9/PsWXOR/u8Cqw0zBhSwIAJJEFbZGEYfDwXQ='],
  [K, '', '0123456789abcdef', 'EBDuvM89w1QtvER6igW/rqQfG/Qtna8+5MCxSxXNhB4='],
  [K, '', 'line1\nline2\n', 'SODe8bm5BaUsKWeE0T2ZmQ=='],
  [K, 'pepper', 'hunter2', 'tgFhyqii+peuYGsD5D15Lg==']
]

for (const [index, [key, salt, plaintext, ciphertext]] of vectors.entries()) {
  test(`vector ${index + 1} is met to the byte, both ways`, () => {
    assert.is(encrypt(cipherKey(key, salt), plaintext), ciphertext)
    assert.is(decrypt(cipherKey(key, salt), ciphertext), plaintext)
  })
}

test('the key is text: neither trimmed nor decoded, the salt appended last', () => {
  const plain = encrypt(cipherKey(K, ''), 'x')
  for (const other of [`${K} `, K.toLowerCase(), Buffer.from(K, 'base64').toString('latin1')]) {
    assert.is.not(encrypt(cipherKey(other, ''), 'x'), plain)
  }
  assert.equal(cipherKey('ab', 'c'), cipherKey('abc', ''))
})

test('equal plaintexts give equal ciphertexts, so drift needs no decryption', () => {
  const key = cipherKey(newWorkspaceKey(), '')
  assert.is(encrypt(key, 'a'), encrypt(key, 'a'))
  assert.is.not(encrypt(key, 'a'), encrypt(key, 'b'))
})

test('the longest secret fills the column exactly, one byte more does not fit', () => {
  const key = cipherKey(K, '')
  assert.is(encrypt(key, 'x'.repeat(maxSecretBytes)).length, 15_000)
  assert.is(encrypt(key, 'x'.repeat(maxSecretBytes + 1)).length, 15_020)
  assert.is(encrypt(key, 'é'.repeat(5623)).length, 15_000)
})

test('a wrong key, a plain text, a marker and nothing at all do not decrypt', () => {
  const key = cipherKey(K, '')
  const texts = ['hunter2', '', '$vault:f/a/b', 'IshEKL751koAxkxBuqjOqQ==', 'AAAA', 'uzDPmd9KAraptpXZG3vJkQ==\n']
  for (const text of texts) assert.is(decrypt(key, text), undefined, text)
})

test('a new key has 64 letters and digits, and is never the same', () => {
  assert.match(newWorkspaceKey(), /^[A-Za-z0-9]{64}$/)
  assert.is.not(newWorkspaceKey(), newWorkspaceKey())
})

test.run()
