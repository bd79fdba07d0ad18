/** Every kind keeps one contract, on the middle release. time limit: 300 s */
import { contract } from './support/contract/contract.ts'

await contract('1.558.1')
