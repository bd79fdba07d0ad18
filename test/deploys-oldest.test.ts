/** Scripts, flows and apps by whole runs, at 1.463.2; their expectations are the contract's. */
import { deploys } from './support/deploys/stories.ts'

deploys('1.463.2')
