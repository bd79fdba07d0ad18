/** Every kind keeps one contract, on the newest release. time limit: 300 s */
import { contract } from './support/contract/contract.ts'

await contract('2026-08')
