/**
 * A Kubernetes API server in this process, over real HTTP: for tests of whole runs, and for kubectl by hand.
 * It keeps the promises that clients rely on (versions, generations, paging, status, refusals) and no others.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hear } from './canaries.ts'
import { createAccess } from './cluster/access.ts'
import { createCatalogue } from './cluster/catalogue.ts'
import { selfSigned } from './cluster/certificate.ts'
import { discover } from './cluster/discovery.ts'
import { createFaults } from './cluster/faults.ts'
import { CRD, EVENT, NAMESPACE } from './cluster/kinds.ts'
import { projectRoot } from './cluster/manifests.ts'
import { createPager } from './cluster/pages.ts'
import { noSuchPath } from './cluster/refusal.ts'
import { targetOf } from './cluster/route.ts'
import { type Handling, serve } from './cluster/server.ts'
import { createShelf } from './cluster/shelf.ts'
import { createStore } from './cluster/store.ts'
import type { Answer, Stored, User } from './cluster/types.ts'
import { createVerbs } from './cluster/verbs.ts'
import { createWrites } from './cluster/writes.ts'

export type { Manifest, Stored, User } from './cluster/types.ts'

export interface Options {
  /** YAML files, folders or texts with CRDs; those of the project unless given. */
  readonly crds?: readonly string[]
  /** Who may come in, by token. Unless given: `admin-token` for the user `admin`, who may do everything. */
  readonly users?: Readonly<Record<string, string | User>>
  /** Manifests to begin with: a folder, a file, or YAML text. */
  readonly manifests?: string
  /** HTTPS with a certificate of its own. kubectl needs it: over plain HTTP it sends no token. */
  readonly tls?: boolean
  readonly now?: () => Date
  readonly port?: number
  /** Off for measurements: a log of 100,000 requests is not free. */
  readonly log?: boolean
}

export const CLUSTER_UID = '5f2c7a4e-9d1b-4c0e-8a36-0b6c1f0e7d11'

export async function startCluster(options: Options = {}) {
  const now = options.now ?? (() => new Date())
  const store = createStore(now)
  const catalogue = createCatalogue(store)
  const writes = createWrites(store, catalogue, now)
  const pager = createPager(store)
  const access = createAccess(options.users ?? { 'admin-token': 'admin' })
  const faults = createFaults()
  const shelf = createShelf({ store, catalogue, writes })
  const run = createVerbs({ store, writes, pager })

  shelf.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kube-system', uid: CLUSTER_UID } })
  shelf.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } })
  for (const source of options.crds ?? [join(projectRoot(), 'crds')]) shelf.apply(source)
  if (options.manifests) shelf.apply(options.manifests)

  function answer({ call, authorization, named }: Handling): Answer {
    const user = access.authenticate(authorization)
    named(user.name)
    const target = targetOf(call)
    if (!target) return discover(call.path, call.accept, catalogue) ?? noSuchPath()
    access.authorize(user, target)
    const kind = catalogue.find(target.group, target.version, target.plural)
    if (!kind || (!kind.namespaced && target.namespace)) return noSuchPath()
    if (kind.namespaced && !target.namespace && target.verb === 'create') return noSuchPath()
    return run(kind, target, { ...call, user: user.name })
  }

  const identity = options.tls ? selfSigned() : undefined
  const server = await serve({ answer, faults, log: options.log ?? true, tls: identity, port: options.port ?? 0 })
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-cluster-'))

  function kubeconfigText(token: string, namespace = 'default'): string {
    const ca = identity ? { 'certificate-authority-data': Buffer.from(identity.cert).toString('base64') } : {}
    const name = 'test'
    // JSON is YAML.
    return JSON.stringify(
      {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name, cluster: { server: server.url, ...ca } }],
        users: [{ name, user: { token } }],
        contexts: [{ name, context: { cluster: name, user: name, namespace } }],
        'current-context': name
      },
      null,
      2
    )
  }

  return {
    url: server.url,
    /** The CA's certificate (PEM) when there is TLS. */
    ca: identity?.cert,
    kubeconfigText,
    /** The path of a file that goes away with the cluster. The first user unless a token is given. */
    kubeconfig(token: string = Object.keys(options.users ?? { 'admin-token': '' })[0] ?? ''): string {
      const path = join(folder, `${Buffer.from(token).toString('hex').slice(0, 40)}.yaml`)
      writeFileSync(path, kubeconfigText(token), { mode: 0o600 })
      return path
    },

    ...shelf,
    events: (namespace = ''): Stored[] => store.list(EVENT, namespace),
    /** Looks for secrets in what the program told the cluster. */
    hearStatuses(): void {
      for (const kind of catalogue.all().filter(one => one.custom)) {
        for (const one of store.list(kind))
          if (one['status'] !== undefined) hear('status', JSON.stringify(one['status']))
      }
      for (const event of store.list(EVENT)) hear('event', JSON.stringify(event))
    },
    namespaces: (): string[] => store.list(NAMESPACE).map(({ metadata }) => metadata.name),
    /** Deletes a CRD and with it all its objects, as a real cluster does. */
    uninstall(plural: string): void {
      const definition = store.list(CRD).find(({ metadata }) => metadata.name.startsWith(`${plural}.`))
      if (!definition) throw new Error(`no CRD ${plural} is installed`)
      writes.remove(CRD, definition, false)
    },
    /** Brings an uninstalled CRD back, without objects. */
    install(plural: string): void {
      const definition = catalogue.removed(plural)
      if (!definition) throw new Error(`no CRD ${plural} was uninstalled`)
      shelf.put({ ...definition, metadata: { name: definition.metadata.name } })
    },

    faults,
    ...access.control,
    /** Makes all continue tokens expire: at once, or when so many more pages were handed out. */
    expireTokens: (pages?: number): void => pager.expire(pages),

    /** What was asked, in order of arrival. */
    requests: server.requests,
    /** Everything but GETs. */
    writes: () => server.requests.filter(({ method }) => method !== 'GET'),
    forget(): void {
      server.requests.length = 0
      server.stats.peakInFlight = server.stats.inFlight
    },
    stats: server.stats,

    async close(): Promise<void> {
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

export type Cluster = Awaited<ReturnType<typeof startCluster>>

/** A cluster for as long as the body runs. */
export async function withCluster<T>(options: Options, body: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await startCluster(options)
  try {
    return await body(cluster)
  } finally {
    cluster.hearStatuses()
    await cluster.close()
  }
}
