/** The decision table through whole runs: every situation × every policy × every kind, on the release between. */
import { decisions } from './support/decisions/decisions.ts'

await decisions('1.558.1')
