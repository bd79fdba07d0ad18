/** The bundle of the image: what it loads late, and what of @kubernetes/client-node it leaves out, must not be missed. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selfSigned } from './support/cluster/certificate.ts'
import { projectFolder } from './support/job.ts'
import { assert, suite } from './support/suite.ts'

const test = suite('bundle')

interface Place {
  readonly folder: string
  readonly main: string
}

/** A bundle alone in a folder, with no packages beside it. */
async function withBundle(work: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'windmill-iac-bundle-'))
  try {
    const out = join(folder, 'app')
    execFileSync(process.execPath, [join(projectFolder, '.ci/bundle.mjs'), out], { cwd: projectFolder })
    await work({ folder, main: join(out, 'bin/src/main.js') })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const jwt = (claims: object): string => `${base64({ alg: 'RS256' })}.${base64(claims)}.${base64({})}`
const now = Math.floor(Date.now() / 1000)

/** The issuer of tokens that `oidc` asks when its own has run out; undefined for all other paths. */
function issue(path: string, issuer: string): object | undefined {
  if (path === '/.well-known/openid-configuration') return { issuer, token_endpoint: `${issuer}/token` }
  const id_token = jwt({ iss: issuer, aud: 'me', sub: 'me', iat: now, exp: now + 600, nonce: 'renewed' })
  return path === '/token' ? { access_token: 'a', token_type: 'bearer', expires_in: 600, id_token } : undefined
}

/** What the first request to the API server carries when a user has these fields, or what the program said at its end. */
async function authorization({ folder, main }: Place, user: (server: string) => object): Promise<string> {
  const { cert, key } = selfSigned()
  writeFileSync(join(folder, 'ca.pem'), cert)
  let asked: (header: string) => void = () => {}
  const header = new Promise<string>(resolve => {
    asked = resolve
  })
  const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const issued = issue(request.url ?? '', server)
    if (issued) response.setHeader('content-type', 'application/json').end(JSON.stringify(issued))
    else asked(request.headers.authorization ?? 'none')
  }
  const listener = https.createServer({ cert, key }, answer)
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve))
  const server = `https://127.0.0.1:${(listener.address() as AddressInfo).port}`
  const kubeconfig = join(folder, 'config')
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority': 'ca.pem' } }],
      users: [{ name: 'u', user: user(server) }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x'
    })
  )
  const env = {
    PATH: process.env['PATH'],
    KUBECONFIG: kubeconfig,
    NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem'),
    DATABASE_URL: 'postgres://u:p@127.0.0.1:1/w'
  }
  const child = spawn(process.execPath, [main, 'plan'], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  const ended = new Promise<string>(resolve => child.once('close', () => resolve(`ended: ${said}`)))
  try {
    return await Promise.race([header, ended])
  } finally {
    child.kill('SIGKILL')
    await ended
    listener.closeAllConnections()
    listener.close()
  }
}

/** A command that prints this; cloud providers' own ones are called with a shell. */
const printing = (folder: string, value: object): string => {
  const file = join(folder, 'print.cjs')
  writeFileSync(file, `console.log(${JSON.stringify(JSON.stringify(value))})`)
  return file
}

test('every way of credentials works without packages beside the bundle', () =>
  withBundle(async place => {
    const { folder } = place
    const exec = printing(folder, { status: { token: 'from-command' } })
    const at = { apiVersion: 'client.authentication.k8s.io/v1', command: process.execPath, args: [exec] }
    assert.is(await authorization(place, () => ({ token: 'plain' })), 'Bearer plain')
    assert.is(await authorization(place, () => ({ username: 'u', password: 'p' })), 'Basic dTpw')
    assert.is(await authorization(place, () => ({ exec: at })), 'Bearer from-command')
    writeFileSync(join(folder, 'token'), 'from-file\n')
    assert.is(await authorization(place, () => ({ tokenFile: 'token' })), 'Bearer from-file')
    const told = printing(folder, { credential: { token: 'from-cloud', until: '2999-01-01T00:00:00Z' } })
    for (const name of ['gcp', 'azure']) {
      const config = {
        'cmd-path': process.execPath,
        'cmd-args': told,
        'token-key': '{.credential.token}',
        'expiry-key': '{.credential.until}'
      }
      assert.is(await authorization(place, () => ({ 'auth-provider': { name, config } })), 'Bearer from-cloud', name)
    }
  }))

test('an OIDC token is used while it holds, and renewed by its issuer when it has run out', () =>
  withBundle(async place => {
    const provider = (exp: number) => (server: string) => ({
      'auth-provider': {
        name: 'oidc',
        config: {
          'client-id': 'me',
          'id-token': jwt({ exp }),
          'refresh-token': 'r',
          'idp-issuer-url': server
        }
      }
    })
    assert.is(await authorization(place, provider(now + 600)), `Bearer ${jwt({ exp: now + 600 })}`)
    const [, renewed = ''] = (await authorization(place, provider(now - 600))).split('.')
    assert.is(JSON.parse(Buffer.from(renewed, 'base64url').toString() || '{}').nonce, 'renewed')
  }))

test('commands that need neither cluster nor database run from the bundle', () =>
  withBundle(async ({ main }) => {
    const run = (...args: string[]): string => execFileSync(process.execPath, [main, ...args]).toString()
    assert.match(run('--version'), /^\d+\.\d+\.\d+\n$/)
    assert.match(run('--help'), /--database/)
    assert.match(run('init', '--print'), /create schema/i)
    assert.match(run('validate', join(projectFolder, 'examples')), /examples/)
  }))

test.run()
