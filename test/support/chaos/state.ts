/** What a play works on: a world that can be changed, and its chance. */
import type { Chance } from './random.ts'
import type { Stage } from './stage.ts'
import type { Claim, Cr, Fields, World } from './words.ts'

export interface State extends World {
  readonly stage: Stage
  readonly chance: Chance
  readonly crs: Map<string, Cr>
  readonly namespaces: Map<string, Fields>
  readonly secrets: Map<string, string>
  rows: ReadonlyMap<string, Fields>
  claims: ReadonlyMap<string, Claim>
  settings: World['settings']
  /** Counts CRs: ages and uids. */
  born: number
  /** What was done, for whoever has to repeat it. */
  readonly diary: string[]
}

export function stateOf(stage: Stage, chance: Chance, timed: ReadonlySet<string>): State {
  return {
    stage,
    chance,
    timed,
    crs: new Map(),
    namespaces: new Map([
      ['demo', {}],
      ['team', { workspaces: 'demo' }]
    ]),
    secrets: new Map([
      ['s-one', 'hidden one'],
      ['s-two', 'hidden two']
    ]),
    rows: new Map(),
    claims: new Map(),
    settings: {
      conflict: chance.pick(['crd-wins', 'db-wins', 'last-write-wins']),
      deletion: chance.pick(['delete', 'soft-delete', 'ignore']),
      adopt: chance.pick(['', 'identical', 'always'])
    },
    born: 0,
    diary: []
  }
}
