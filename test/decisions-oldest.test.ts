/** The decision table through whole runs: every situation × every policy × every kind, on the oldest release. */
import { decisions } from './support/decisions/decisions.ts'

await decisions('1.463.2')
