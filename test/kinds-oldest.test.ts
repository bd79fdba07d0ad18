/** Every kind keeps one contract, on the oldest release. time limit: 300 s */
import { contract } from './support/contract/contract.ts'

await contract('1.463.2')
