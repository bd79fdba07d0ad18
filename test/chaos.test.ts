/** Random worlds and mishaps against an independent model of the rules: the first half of the seeds. */
// time limit: 900 s
import { chaos } from './support/chaos/seeds.ts'

chaos(1, 2)
