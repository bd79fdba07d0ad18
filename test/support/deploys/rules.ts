/** What Windmill's contract says about code and languages, restated for tests without a look at the program. */
import type { Variant } from '../database.ts'
import type { Release } from '../windmill.ts'

export const user = 'iac_controller'
export const email = 'iac-controller@cluster.local'

export const releaseOf = (variant: Variant): Release => variant.replace('-unfinalized', '') as Release

/** Languages whose new versions wait for a worker's lock (scripts §3.1). */
export function isLocking(language: string, release: Release): boolean {
  const always = ['python3', 'bun', 'bunnative', 'deno', 'go', 'rust', 'php', 'ansible', 'csharp']
  const later = ['nu', 'java', 'ruby']
  const newest = ['powershell', 'rlang']
  return (
    always.includes(language) ||
    (release !== '1.463.2' && later.includes(language)) ||
    (release === '2026-08' && newest.includes(language))
  )
}

/** Whether `native` stands in the first lines that begin with `//` (scripts §1.4). */
export function isNative(code: string): boolean {
  const known = new Set(['npm', 'nodejs', 'native', 'nobundling'])
  for (const line of code.split('\n')) {
    if (!line.startsWith('//')) return false
    const words = line.slice(2).trim().split(/\s+/)
    if (words.every(word => known.has(word)) && words.includes('native')) return true
  }
  return false
}

export const storedLanguage = (language: string, code: string): string =>
  language === 'bun' || language === 'bunnative' ? (isNative(code) ? 'bunnative' : 'bun') : language

/** The worker's lock of a language; `generation` tells one lock from the next. */
export function lockText(language: string, generation: number): string {
  if (language === 'python3') return `# py: 3.11\nthing==${generation}.0`
  if (language.startsWith('bun')) return `{"dependencies":{"thing":"${generation}"}}\n//bun.lock\n<empty>`
  return `lock ${generation} of ${language}`
}

/** Paths that code imports, as the worker would find them (scripts §3.6). */
export function importsOf(language: string, code: string, path: string, release: Release): readonly string[] {
  const folder = path.split('/').slice(0, -1)
  if (language === 'python3') return unique([...pythonImports(code, folder)])
  const typescript = ['bun', 'bunnative', ...(release === '1.463.2' ? [] : ['deno'])]
  return typescript.includes(language) ? unique([...typescriptImports(code, folder)]) : []
}

function* pythonImports(code: string, folder: readonly string[]): Generator<string> {
  for (const line of code.split('\n')) {
    if (line.startsWith('def main')) return
    const [, dots = '', name = ''] = /^from (\.*)([\w.]+) import /.exec(line) ?? /^import ()([\w.]+)/.exec(line) ?? []
    const parts = name.split('.')
    if (dots !== '') yield [...folder.slice(0, folder.length + 1 - dots.length), ...parts].join('/')
    else if (['f', 'u'].includes(parts[0] ?? '')) yield parts.join('/')
  }
}

function* typescriptImports(code: string, folder: readonly string[]): Generator<string> {
  for (const [, type, from = ''] of code.matchAll(/^import (type )?.*from '([^']+)'/gm)) {
    if (type || !/^[./]/.test(from)) continue
    const bare = from.replace(/\.ts$/, '')
    if (bare.startsWith('/')) yield bare.replace(/^\/+/, '')
    else yield normal([...folder, ...bare.split('/')])
  }
}

function normal(parts: readonly string[]): string {
  const kept: string[] = []
  for (const part of parts) {
    if (part === '..') kept.pop()
    else if (part !== '.') kept.push(part)
  }
  return kept.join('/')
}

const unique = (names: readonly string[]): readonly string[] => [...new Set(names)].sort()

/** 16 hexadecimal digits of the two's complement (scripts §2.2). */
export const hexOf = (hash: string): string => BigInt.asUintN(64, BigInt(hash)).toString(16).padStart(16, '0')
