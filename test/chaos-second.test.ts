/** Random worlds and mishaps against an independent model of the rules: the second half of the seeds. */
// time limit: 900 s
import { chaos } from './support/chaos/seeds.ts'

chaos(2, 2)
