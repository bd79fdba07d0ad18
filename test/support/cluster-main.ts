/** The test cluster by hand: `node dist/test/support/cluster-main.js --port 8001 --kubeconfig /tmp/kc --manifests examples`. */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startCluster } from './cluster.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    kubeconfig: { type: 'string' },
    manifests: { type: 'string' },
    plain: { type: 'boolean', default: false }
  }
})

// kubectl keeps its token to itself over plain HTTP, hence TLS unless told.
const { manifests, plain } = values
const cluster = await startCluster({
  port: Number(values.port),
  tls: !plain,
  ...(manifests !== undefined && { manifests })
})
const path = values.kubeconfig ?? cluster.kubeconfig()
if (values.kubeconfig) writeFileSync(path, cluster.kubeconfigText('admin-token'), { mode: 0o600 })
process.stdout.write(`${path}\n`)
process.stderr.write(`serving ${cluster.url}; try: kubectl --kubeconfig ${path} get windmill -A\n`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cluster.close())
