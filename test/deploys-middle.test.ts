/** Scripts, flows and apps by whole runs, at 1.558.1; their expectations are the contract's. */
import { deploys } from './support/deploys/stories.ts'

deploys('1.558.1')
