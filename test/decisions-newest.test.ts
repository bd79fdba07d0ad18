/** The decision table through whole runs: every situation × every policy × every kind, on the newest release. */
import { decisions } from './support/decisions/decisions.ts'

await decisions('2026-08')
