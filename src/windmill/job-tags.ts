/** Tags decide which workers take a job: contract, jobs §6. */
import type { Json, Sql } from '../model.ts'

/** Whether default tags carry the workspace: for no workspace, for all, or for those listed. */
export interface TagRules {
  readonly perWorkspace: boolean
  /** Undefined: all. */
  readonly workspaces: readonly string[] | undefined
}

export async function readTagRules(sql: Sql): Promise<TagRules> {
  const rows = await sql<{ name: string; value: Json }[]>`
    select name, value from global_settings where name in ('default_tags_per_workspace', 'default_tags_workspaces')`
  const setting = (name: string): Json | undefined => rows.find(one => one.name === name)?.value
  const listed = setting('default_tags_workspaces')
  return {
    perWorkspace: setting('default_tags_per_workspace') === true,
    workspaces: Array.isArray(listed) ? listed.map(String) : undefined
  }
}

export interface TagWish {
  readonly workspace: string
  /** Stated on the schedule, script or flow; '' and null count as none. */
  readonly explicit?: string | null | undefined
  /** A language's tag, `flow`, `dependency` …: used without an explicit one. */
  readonly fallback: string
  /** For `$args[…]` in an explicit tag. */
  readonly args?: { readonly [name: string]: Json } | undefined
}

/** The worker compares plain strings, so the placeholders are filled in here. */
export function tagFor(rules: TagRules, { workspace, explicit, fallback, args = {} }: TagWish): string {
  if (explicit) {
    return explicit
      .replaceAll('$workspace', workspace)
      .replace(/\$args\[((?:\w+\.)*\w+)\]/g, (_, path: string) => textAt(args, path.split('.')))
  }
  const { perWorkspace, workspaces } = rules
  return perWorkspace && (workspaces?.includes(workspace) ?? true) ? `${fallback}-${workspace}` : fallback
}

function textAt(args: Json, path: readonly string[]): string {
  const found = path.reduce<Json | undefined>(
    (value, key) =>
      value !== null && typeof value === 'object' ? (value as { readonly [key: string]: Json })[key] : undefined,
    args
  )
  return typeof found === 'string' ? found : JSON.stringify(found ?? null)
}

/** The default tag of jobs in a language. */
export const languageTag = (language: string): string => (language === 'bunnative' ? 'nativets' : language)
