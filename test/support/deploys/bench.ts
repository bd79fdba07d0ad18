/** A workspace that is deployed to by whole runs from a folder: manifests to edit, rows to look at, writes to count. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type postgres from 'postgres'
import { parse, parseAllDocuments } from 'yaml'
import type { Report } from '../../../src/report.ts'
import { changesOf, isWindmills, photograph, writesOf } from '../contract/photo.ts'
import { type Variant, withDatabase } from '../database.ts'
import { projectFolder, putManifests, runJob, withManifests } from '../job.ts'
import type { Release } from '../windmill.ts'
import { releaseOf } from './rules.ts'

/** A manifest as data; specs are looked at freely. */
export interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace: string; readonly annotations?: object }
  readonly spec: Spec
  readonly data?: Readonly<Record<string, string>>
}

export type Spec = Readonly<Record<string, unknown>>

export interface Bench {
  readonly variant: Variant
  readonly release: Release
  readonly sql: postgres.Sql
  /** Rows of Windmill's and of ours that were written meanwhile, by table. */
  readonly writes: (work: () => Promise<unknown>) => Promise<Writes>
  readonly run: (manifests: readonly Manifest[], ...argv: string[]) => Promise<Report>
}

export interface Writes {
  readonly windmill: Readonly<Record<string, number>>
  readonly ours: Readonly<Record<string, number>>
  /** What is there now and was not, and the reverse. */
  readonly changes: readonly string[]
}

const fixture = (file: string): string => readFileSync(join(projectFolder, 'test/fixtures/deploys', file), 'utf8')

export const manifestsOf = (...files: readonly string[]): readonly Manifest[] =>
  files.flatMap(file =>
    parseAllDocuments(fixture(file)).map(document => {
      const one = document.toJS() as Manifest
      return { ...one, spec: one.spec ?? {} }
    })
  )

export const dataOf = (file: string): unknown => parse(fixture(file))

/** Those of the names, with folders and ConfigMaps. */
export function pick(...names: readonly string[]): readonly Manifest[] {
  const all = manifestsOf('scripts.yaml', 'flows.yaml', 'apps.yaml')
  const chosen = names.map(name => {
    const [kind, bare] = name.includes('/') ? name.split('/') : ['', name]
    const found = all.find(one => one.metadata.name === bare && one.kind.toLowerCase().endsWith(kind ?? ''))
    if (!found) throw new Error(`no fixture named ${name}`)
    return found
  })
  return [...manifestsOf('base.yaml'), ...chosen]
}

/** The manifests with one of them given other fields; undefined takes a field away. */
export const edited = (manifests: readonly Manifest[], name: string, spec: Spec): readonly Manifest[] =>
  manifests.map(one => (one.metadata.name === name ? { ...one, spec: merged(one.spec, spec) } : one))

const merged = (spec: Spec, change: Spec): Spec =>
  Object.fromEntries(Object.entries({ ...spec, ...change }).filter(([, value]) => value !== undefined))

export const without = (manifests: readonly Manifest[], ...names: readonly string[]): readonly Manifest[] =>
  manifests.filter(one => !names.includes(one.metadata.name))

/** Code of a manifest, wherever it is kept. */
export function textOf(manifests: readonly Manifest[], { spec }: Manifest): string {
  const from = (spec['contentFrom'] ?? spec['valueFrom']) as
    | { configMapKeyRef: { name: string; key: string } }
    | undefined
  if (!from) return String(spec['content'])
  const { name, key } = from.configMapKeyRef
  return manifests.find(one => one.kind === 'ConfigMap' && one.metadata.name === name)?.data?.[key] ?? ''
}

/** The value of a flow or app, wherever it is kept. */
export const valueOf = (manifests: readonly Manifest[], one: Manifest): Spec =>
  (one.spec['value'] ?? parse(textOf(manifests, one))) as Spec

/** Workspace `demo` with alice, bob and our service user still to come. */
export const withBench = (variant: Variant, body: (bench: Bench) => Promise<void>): Promise<void> =>
  withDatabase(variant, async ({ url, sql }) => {
    await sql`insert into workspace (id, name, owner) values ('demo', 'demo', 'admin@windmill.dev')`
    await sql`insert into workspace_settings (workspace_id) values ('demo')`
    await sql`insert into workspace_key (workspace_id, kind, key) values ('demo', 'cloud', ${'k'.repeat(64)})`
    await sql`insert into group_ (workspace_id, name) values ('demo', 'all')`
    for (const name of ['alice', 'bob']) {
      await sql`insert into password (email, login_type, verified) values (${`${name}@example.com`}, 'password', true)`
      await sql`insert into usr (workspace_id, username, email) values ('demo', ${name}, ${`${name}@example.com`})`
    }
    await withManifests([], folder =>
      body({
        variant,
        release: releaseOf(variant),
        sql,
        writes: work => writesWhile(sql, work),
        run: (manifests, ...argv) => {
          // JSON is YAML.
          putManifests(folder, manifests.map(one => JSON.stringify(one)).join('\n---\n'))
          return runJob([...argv, '--from', folder, '--verbose'], { DATABASE_URL: url })
        }
      })
    )
  })

async function writesWhile(sql: postgres.Sql, work: () => Promise<unknown>): Promise<Writes> {
  const [photo, before] = [await photograph(sql), await writesOf(sql)]
  await work()
  const after = await writesOf(sql)
  const moved = Object.entries(after)
    .map(([table, count]) => [table, count - (before[table] ?? 0)] as const)
    .filter(([, count]) => count > 0)
  return {
    windmill: Object.fromEntries(moved.filter(([table]) => isWindmills(table))),
    ours: Object.fromEntries(moved.filter(([table]) => !isWindmills(table))),
    changes: changesOf(photo, await photograph(sql))
  }
}
