/** Scripts, flows and apps where no server has finalized the job tables yet. */
import { deploys } from './support/deploys/stories.ts'

deploys('1.463.2-unfinalized')
deploys('1.558.1-unfinalized')
