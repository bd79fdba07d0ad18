/** Start-up of the bundle: from the start of the process to its first request to the API server. `npm run build && npm run bench:start-up`. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withDatabase } from '../support/database.ts'
import { projectFolder } from '../support/job.ts'

const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-start-up-'))
const kubeconfig = join(folder, 'config')

const configFor = (port: number): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
    users: [{ name: 'u', user: { token: 'x' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x'
  })

/** Milliseconds until `node` with these arguments asks the server or ends. */
function once(url: string, args: readonly string[]): Promise<number> {
  return new Promise(resolve => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      writeFileSync(kubeconfig, configFor((server.address() as AddressInfo).port))
      const env = { PATH: process.env['PATH'], DATABASE_URL: url, KUBECONFIG: kubeconfig }
      const started = performance.now()
      const child = spawn(process.execPath, args, { env, stdio: 'ignore' })
      const done = (): void => {
        const took = performance.now() - started
        child.kill('SIGKILL')
        server.close()
        server.closeAllConnections()
        resolve(took)
      }
      server.once('request', done)
      child.once('exit', () => server.listening && done())
    })
  })
}

const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[times.length >> 1] ?? 0

try {
  await withDatabase('2026-08', async ({ url }) => {
    const bundle = ['--max-semi-space-size=4', join(projectFolder, 'dist/bundle/bin/src/main.js')]
    const rounds = { node: [] as number[], bundle: [] as number[] }
    for (let n = 0; n < 9; n++) {
      rounds.node.push(await once(url, ['-e', '0']))
      rounds.bundle.push(await once(url, bundle))
    }
    const [floor, ours] = [median(rounds.node), median(rounds.bundle)]
    process.stdout.write(
      `start to first API request: ${ours.toFixed(0)} ms; node alone: ${floor.toFixed(0)} ms; ratio ${(ours / floor).toFixed(1)}\n`
    )
  })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
