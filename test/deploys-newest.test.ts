/** Scripts, flows and apps by whole runs, at 2026-08; their expectations are the contract's. */
import { deploys } from './support/deploys/stories.ts'

deploys('2026-08')
