/** Where the end-to-end test plays: a namespace with an account that has the rights of cronjob.yaml, and a workspace. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy
} from '@kubernetes/client-node'
import { parseAllDocuments } from 'yaml'
import { connect, type Database } from '../../src/database/client.ts'
import type { Report } from '../../src/report.ts'
import { projectFolder } from '../support/job.ts'
import { wipe } from './wipe.ts'

/** A custom resource as the cluster has it. */
export interface Found extends KubernetesObject {
  readonly spec: Readonly<Record<string, unknown>>
  readonly status?: {
    readonly state: string
    readonly reason: string
    readonly observedGeneration: number
    readonly conditions: readonly { readonly type: string; readonly status: string }[]
  }
}

export interface Ran {
  readonly code: number | null
  readonly report: Report
  readonly stderr: string
}

export interface Stage {
  readonly namespace: string
  readonly workspace: string
  readonly database: Database
  readonly create: (object: KubernetesObject) => Promise<void>
  readonly read: (kind: string, name: string) => Promise<Found>
  readonly list: (kind: string) => Promise<readonly Found[]>
  readonly edit: (kind: string, name: string, patch: object) => Promise<void>
  readonly replace: (object: KubernetesObject) => Promise<void>
  readonly remove: (kind: string, name: string) => Promise<void>
  /** Reasons of the events about an object. */
  readonly events: (name: string) => Promise<readonly string[]>
  /** The bundled job, as the account of cronjob.yaml. */
  readonly run: (...argv: string[]) => Promise<Ran>
  readonly close: () => Promise<void>
}

export const apiVersion = 'windmill.dev/v1alpha1'

type Header = KubernetesObject & { metadata: { name: string; namespace: string } }

interface Rights {
  readonly metadata: { readonly name: string }
  readonly kind: string
  readonly rules: readonly object[]
}

/** Takes nothing that exists: every name is new, and `close` removes what was made. */
export async function openStage(databaseUrl: string): Promise<Stage> {
  const config = new KubeConfig()
  config.loadFromDefault()
  const objects = KubernetesObjectApi.makeApiClient(config)
  await objects.list(apiVersion, 'WindmillVariable', 'default').catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== 404 && !String(error).includes('Unrecognized API version')) throw error
    throw new Error('the cluster does not know our kinds: kubectl apply -f crds/ first', { cause: error })
  })
  const id = `windmill-iac-e2e-${randomBytes(4).toString('hex')}`
  const workspace = id.replace('windmill-iac-', '')
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-e2e-'))
  const database = await connect(databaseUrl, { applicationName: 'windmill-iac e2e' })
  const made: KubernetesObject[] = []
  const create = async (object: KubernetesObject): Promise<void> => {
    await objects.create(object)
    made.push(object)
  }
  const header = (kind: string, name: string): Header => ({
    apiVersion,
    kind: `Windmill${kind}`,
    metadata: { name, namespace: id }
  })

  /** Everything is tried, and the first failure told: what is left must not hide what else is left. */
  async function close(): Promise<void> {
    const failures: unknown[] = []
    const attempt = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => failures.push(error))
    for (const object of made.toReversed()) await attempt(objects.delete(object).catch(unlessGone))
    await attempt(wipe(database, { workspace, namespace: id }))
    await attempt(database.close())
    rmSync(folder, { recursive: true, force: true })
    if (failures.length > 0) throw failures[0]
  }

  try {
    for (const object of accountObjects(id)) await create(object)
    const kubeconfig = join(folder, 'kubeconfig')
    writeFileSync(kubeconfig, await accountConfig(config, id), { mode: 0o600 })
    const environment = { KUBECONFIG: kubeconfig, DATABASE_URL: databaseUrl }
    const fixed = ['--watch-namespaces', id, '--admin-namespaces', id, '--namespace-mapping', `fixed:${workspace}`]
    return {
      namespace: id,
      workspace,
      database,
      create,
      close,
      read: (kind, name) => objects.read<Found>(header(kind, name)),
      list: async kind => (await objects.list<Found>(apiVersion, `Windmill${kind}`, id)).items,
      edit: async (kind, name, patch) => {
        const object = { ...header(kind, name), ...patch } as KubernetesObject
        const merge = PatchStrategy.MergePatch
        await objects.patch(object, undefined, undefined, undefined, undefined, merge)
      },
      replace: async object => {
        await objects.replace(object)
      },
      remove: async (kind, name) => {
        await objects.delete(header(kind, name))
      },
      events: async name => {
        const { items } = await objects.list('v1', 'Event', id)
        const about = items as { reason: string; involvedObject: { name: string } }[]
        return about.filter(one => one.involvedObject.name === name).map(one => one.reason)
      },
      run: (...argv) => runBundle([...argv, ...fixed], environment)
    }
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
}

/** The namespace, the account, and its rights as cronjob.yaml states them, under names of this run. */
function accountObjects(id: string): readonly KubernetesObject[] {
  const documents = parseAllDocuments(readFileSync(join(projectFolder, 'cronjob.yaml'), 'utf8'))
  const roles = documents.map(one => one.toJS() as Rights).filter(one => one.kind === 'ClusterRole')
  const rulesOf = (name: string): readonly object[] => {
    const role = roles.find(one => one.metadata.name === name)
    if (!role) throw new Error(`cronjob.yaml has no ClusterRole ${name}`)
    return role.rules
  }
  const rbac = 'rbac.authorization.k8s.io'
  const subjects = [{ kind: 'ServiceAccount', name: 'job', namespace: id }]
  const inside = { name: id, namespace: id }
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: id } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'job', namespace: id } },
    { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name: id }, rules: rulesOf('windmill-iac') },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: id },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: id },
      subjects
    },
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata: inside, rules: rulesOf('windmill-iac-references') },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: inside,
      roleRef: { apiGroup: rbac, kind: 'Role', name: id },
      subjects
    }
  ] as readonly KubernetesObject[]
}

/** A kubeconfig with a token of the account that holds for an hour; JSON is YAML. */
async function accountConfig(config: KubeConfig, id: string): Promise<string> {
  const cluster = config.getCurrentCluster()
  if (!cluster) throw new Error('the kubeconfig has no current cluster')
  const body = { spec: { audiences: [], expirationSeconds: 3600 } }
  const core = config.makeApiClient(CoreV1Api)
  const { status } = await core.createNamespacedServiceAccountToken({ name: 'job', namespace: id, body })
  const { server, caData, caFile, skipTLSVerify, tlsServerName } = cluster
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'c',
        cluster: {
          server,
          'certificate-authority-data': caData,
          'certificate-authority': caFile,
          'insecure-skip-tls-verify': skipTLSVerify,
          'tls-server-name': tlsServerName
        }
      }
    ],
    users: [{ name: 'u', user: { token: status?.token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x'
  })
}

function unlessGone(error: unknown): void {
  if ((error as { code?: unknown }).code !== 404) throw error
}

/** What the image runs. */
function runBundle(argv: readonly string[], environment: Readonly<Record<string, string>>): Promise<Ran> {
  const file = join(projectFolder, 'dist/bundle/bin/src/main.js')
  const { PATH, HOME, SECRET_SALT } = process.env
  const child = spawn(process.execPath, ['--max-semi-space-size=4', file, ...argv, '-o', 'json'], {
    env: { PATH, HOME, SECRET_SALT, ...environment },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      try {
        resolve({ code, stderr, report: JSON.parse(stdout) as Report })
      } catch {
        reject(new Error(`${argv.join(' ')} gave no report, but exit code ${code}:\n${stderr}`))
      }
    })
  })
}
