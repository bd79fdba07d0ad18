/** Finds the kinds by reading their folder, so that no list is edited for a new one. The bundle puts a fixed list in place of this file. */
import { readdirSync } from 'node:fs'

export async function loadKindFiles(): Promise<readonly { file: string; exported: unknown }[]> {
  const folder = new URL('./kinds/', import.meta.url)
  const files = readdirSync(folder).filter(name => /\.[jt]s$/.test(name) && !name.endsWith('.d.ts'))
  return Promise.all(
    files.sort().map(async file => {
      const module = (await import(new URL(file, folder).href)) as { default?: unknown }
      return { file, exported: module.default }
    })
  )
}
