import { mkdtempSync } from 'node:fs'
import { loadKindFiles } from '../../src/kind-files.ts'
import { checkKinds } from '../../src/registry.ts'
import { startCluster } from './lib/cluster.ts'
import { startServer } from './lib/database.ts'
import { runProgram, unpack } from './lib/program.ts'
const size = Number(process.argv[2] ?? 1000)
const kinds = checkKinds(await loadKindFiles())
const plurals = Object.fromEntries(kinds.map(k => [k.kind, k.plural]))
const cluster = await startCluster({ tls: false })
console.log(await cluster.order({ do: 'world', plurals, world: { size, kinds: Object.keys(plurals), lastApplied: false, invalid: 0, huge: false } }))
const server = await startServer(false)
const database = await server.make()
const program = unpack(mkdtempSync('/tmp/bench/run-'))
const show = (m: any) => console.log({ ...m, usage: { ...m.usage, stdout: m.usage.stdout.length, stderr: m.usage.stderr.slice(0, 600) } })
try {
  show(await runProgram(program, { cluster, database }))
  await cluster.order({ do: 'settle' })
  show(await runProgram(program, { cluster, database }))
} finally { await database.drop(); await server.stop(); cluster.stop() }
