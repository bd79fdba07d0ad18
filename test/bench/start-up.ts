/**
 * Start-up of the bundle: from the start of the process to its first request to the API server and its first connection
 * to the database. `npm run build && npm run bench:start-up [-- OTHER-BUNDLE…]`; others are measured in turn with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createListener, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { projectFolder } from '../support/job.ts'
import { usualNodeArgs } from './lib/measure.ts'
import { median } from './lib/summary.ts'

/** Milliseconds; CPU is that of all threads until both were reached. */
interface Start {
  readonly request: number
  readonly connection: number
  readonly cpu: number | undefined
}

const rounds = 20
const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-start-up-'))
const kubeconfig = join(folder, 'config')

async function listening(server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as { port: number }).port
}

const configFor = (port: number): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
    users: [{ name: 'u', user: { token: 'x' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x'
  })

/** Of all threads, from the scheduler; undefined elsewhere than on Linux. */
function cpuOf({ pid }: ChildProcess): number | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const times = threads.map(one => Number(readFileSync(`/proc/${pid}/task/${one}/schedstat`, 'utf8').split(' ')[0]))
    return times.reduce((sum, time) => sum + time, 0) / 1e6
  } catch {
    return undefined
  }
}

/** Neither is answered: the process is ended as soon as both were reached, or ends by itself. */
async function once(args: readonly string[]): Promise<Start> {
  const [api, database] = [createServer(), createListener()]
  const sockets: Socket[] = []
  const [apiPort, databasePort] = [await listening(api), await listening(database)]
  writeFileSync(kubeconfig, configFor(apiPort))
  const url = `postgres://u:p@127.0.0.1:${databasePort}/windmill`
  const env = { PATH: process.env['PATH'], NODE_ENV: 'production', DATABASE_URL: url, KUBECONFIG: kubeconfig }
  const started = performance.now()
  const child = spawn(process.execPath, args, { env, stdio: 'ignore' })
  const since = (): number => performance.now() - started
  const ended = new Promise<number>(resolve => child.once('exit', () => resolve(since())))
  const request = new Promise<number>(resolve => api.once('request', () => resolve(since())))
  const connection = new Promise<number>(resolve => {
    database.on('connection', socket => {
      sockets.push(socket.on('error', () => {}))
      resolve(since())
    })
  })
  const times = await Promise.all([Promise.race([request, ended]), Promise.race([connection, ended])])
  const cpu = cpuOf(child)
  child.kill('SIGKILL')
  await ended
  api.closeAllConnections()
  for (const socket of sockets) socket.destroy()
  for (const server of [api, database]) server.close()
  return { request: times[0], connection: times[1], cpu }
}

try {
  const bundles = [join(projectFolder, 'dist/bundle'), ...process.argv.slice(2)]
  const ways = [
    { name: 'node alone', args: ['-e', '0'] },
    ...bundles.map(name => ({ name, args: [...usualNodeArgs, join(name, 'bin/src/main.js')] }))
  ].map(way => ({ ...way, starts: [] as Start[] }))
  for (let n = 0; n < rounds; n++) for (const { args, starts } of ways) starts.push(await once(args))
  for (const { name, starts } of ways) {
    const of = (pick: (start: Start) => number | undefined): string =>
      `${median(starts.map(one => pick(one) ?? Number.NaN)).toFixed(0)} ms`
    const reached = `first request ${of(one => one.request)}, first connection ${of(one => one.connection)}`
    const what =
      name === 'node alone' ? `ends after ${of(one => one.request)}` : `${reached}, CPU ${of(one => one.cpu)}`
    process.stdout.write(`${name}: ${what}\n`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
