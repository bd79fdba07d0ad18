/** One seed: a world, things that happen to it, runs in between, and what must hold after each of them. */
import { SyncError } from '../../../src/errors.ts'
import { changesOf, isWindmills, photograph, writesOf } from '../contract/photo.ts'
import { type Release, releases } from '../windmill.ts'
import { agrees, claimFaults, dutyFaults, lookAtClaims, lookAtRows, rowFaults, stateFaults } from './check.ts'
import { bear, manifestDeeds } from './edit-crs.ts'
import { rowDeeds } from './edit-rows.ts'
import { type Outcome, predict } from './model.ts'
import { chanceOf } from './random.ts'
import { foreignRows, killOnce, type Manner, type Mishap, runOnce, type Stage, things, withStage } from './stage.ts'
import { type State, stateOf } from './state.ts'
import { type Cr, everything, type Fields, nameOf, type Scope } from './words.ts'

/** What the rules do not allow. */
class Fault extends Error {}

const ROUNDS = 4
/** Quiet runs until nothing changes any more: what is deleted may leave others without what they refer to. */
const QUIET_RUNS = 6

export async function play(seed: number): Promise<void> {
  const release = releases[seed % releases.length] as Release
  await withStage(release, async stage => {
    const chance = chanceOf(seed)
    const timed = new Set(things.filter(one => one.knowsTime(stage)).map(one => one.kind))
    const state = stateOf(stage, chance, timed)
    try {
      await playOn(stage, state, seed)
    } catch (error) {
      const text = error instanceof Fault ? error.message : (error as Error).stack
      throw new Error(`seed ${seed} (${release}):\n  ${state.diary.join('\n  ')}\n${text}`, { cause: error })
    }
  })
}

async function playOn(stage: Stage, state: State, seed: number): Promise<void> {
  const { chance } = state
  for (const thing of things) {
    for (const path of thing.paths) {
      if (chance.once(2)) continue
      const cr = bear(state, thing, path)
      state.crs.set(nameOf(cr), cr)
      state.diary.push(`${nameOf(cr)} for ${path} ${JSON.stringify(cr.fields)}`)
    }
  }
  const foreign = await foreignRows(stage)
  for (let round = 0; round < ROUNDS; round++) {
    await runAndCheck(state, mannerFor(state, seed))
    for (let deeds = 2 + chance.below(9); deeds > 0; deeds--) await happen(state)
  }
  await comeToRest(state)
  const after = await foreignRows(stage)
  if (after !== foreign) throw new Fault(`foreign rows were touched:\n${foreign}\nare now\n${after}`)
}

async function happen(state: State): Promise<void> {
  for (let tries = 0; tries < 5; tries++) {
    const deed = state.chance.pick(state.chance.once(2) ? rowDeeds : manifestDeeds)
    const done = await deed(state)
    if (done === undefined) continue
    state.diary.push(done)
    return
  }
}

/** A process of its own takes time, so only some plays have one; files tell no time of an edit. */
function mishapFor(state: State, seed: number): Mishap {
  const { chance, settings, namespaces, crs } = state
  const policies = [settings.conflict, ...[...namespaces.values(), ...crs.values()].map(policyIn)]
  const mayKill = seed % 8 === 0 && !policies.includes('last-write-wins')
  const kind = chance.pick(['abort', 'cut', 'cut-all'] as const)
  return { kind: mayKill && chance.once(2) ? 'kill' : kind, at: 1 + chance.below(12) }
}

const policyIn = (one: Fields | Cr): string => {
  const annotations = typeof one.annotations === 'object' ? one.annotations : (one as Fields)
  return annotations['conflict-policy'] ?? ''
}

const scopeFor = ({ chance }: State): Scope => ({
  namespace: chance.pick(['', 'demo', 'team']),
  kind: chance.once(3) ? chance.pick(things).kind : '',
  isGuarded: chance.once(2)
})

const mannerFor = (state: State, seed: number): Manner => ({
  batchSize: state.chance.pick([1, 2, 500]),
  scope: state.chance.once(4) ? scopeFor(state) : everything,
  ...(state.chance.once(3) && { mishap: mishapFor(state, seed) })
})

const shown = (scope: Scope): string =>
  [
    scope.namespace && ` of namespace ${scope.namespace}`,
    scope.kind && ` of kind ${scope.kind}`,
    scope.isGuarded && ' with the guard'
  ]
    .filter(Boolean)
    .join('')

async function runAndCheck(state: State, manner: Manner): Promise<Outcome> {
  const { stage } = state
  const { mishap, batchSize, scope } = manner
  state.rows = await lookAtRows(stage)
  state.claims = await lookAtClaims(stage, [state.claims])
  const before = { rows: state.rows, claims: state.claims }
  const wanted = predict(state, things, scope)
  const exitCode =
    mishap?.kind === 'kill'
      ? await killOnce(stage, state, manner)
      : await exitCodeOf(() => runOnce(stage, state, manner))
  state.diary.push(
    `run${mishap ? ` with ${mishap.kind} at ${mishap.at}` : ''}${shown(scope)}, batches of ${batchSize}: exit ${exitCode}`
  )
  state.rows = await lookAtRows(stage)
  state.claims = await lookAtClaims(stage, [wanted.claims, before.claims])
  // The real command patches no status when it reads files.
  const isWhole = exitCode < 4 && mishap?.kind !== 'kill'
  if (!isWhole && !mishap) throw new Fault(`the run ended with ${exitCode}`)
  const faults = isWhole ? wholeFaults(state, { before, wanted, exitCode }) : halfway(state, before, wanted)
  if (faults.length > 0) throw new Fault(faults.join('\n'))
  return wanted
}

interface Ended {
  readonly before: Pick<State, 'claims'>
  readonly wanted: Outcome
  readonly exitCode: number
}

const wholeFaults = (state: State, { before, wanted, exitCode }: Ended): readonly string[] => [
  ...rowFaults(state.rows, wanted.rows),
  ...claimFaults(state.claims, wanted.claims, before.claims),
  ...stateFaults(state.stage, state, wanted),
  ...(exitCode === wanted.exitCode ? [] : [`exit code is ${exitCode}, must be ${wanted.exitCode}`])
]

async function exitCodeOf(work: () => ReturnType<typeof runOnce>): Promise<number> {
  try {
    return (await work()).run.exitCode
  } catch (error) {
    if (error instanceof SyncError) return 4
    throw error
  }
}

/** Each row of a run that did not get to its end is as before, or as that run was to leave it. */
function halfway(state: State, before: Pick<State, 'rows'>, wanted: Outcome): readonly string[] {
  const keys = new Set([...before.rows.keys(), ...state.rows.keys(), ...wanted.reconciled.keys()])
  return [...keys].flatMap(key => {
    const found = state.rows.get(key)
    const ways = [before.rows.get(key), wanted.reconciled.get(key), wanted.rows.get(key)]
    return ways.some(one => agrees(found, one))
      ? []
      : [`row ${key}: is ${JSON.stringify(found)}, none of ${JSON.stringify(ways)}`]
  })
}

async function comeToRest(state: State): Promise<void> {
  let last = ''
  let wasStill = false
  for (let runs = 0; runs < QUIET_RUNS; runs++) {
    const { sql } = state.stage
    const [photo, writes] = [await photograph(sql), await writesOf(sql)]
    const { states } = await runAndCheck(state, { batchSize: 500, scope: everything })
    const messages = [...state.stage.statuses].map(([name, { message }]) => [name, message])
    const now = JSON.stringify([[...state.rows], [...states], [...state.claims], messages])
    const written = await writtenSince(sql, writes)
    const isStill = written.every(table => !isWindmills(table))
    // Marks of what depends on a row that was written a run ago (a resource on its type) are renewed now.
    if (now === last && (!isStill || wasStill)) {
      const changes = changesOf(photo, await photograph(sql))
      if (written.length > 0) throw new Fault([`a quiet run wrote to ${written.join(', ')}`, ...changes].join('\n'))
      const faults = await dutyFaults(state.stage, state.rows, state)
      if (faults.length > 0) throw new Fault(faults.join('\n'))
      return
    }
    last = now
    wasStill = isStill
  }
  throw new Fault('the world does not come to rest')
}

async function writtenSince(sql: Stage['sql'], before: Readonly<Record<string, number>>): Promise<readonly string[]> {
  const after = await writesOf(sql)
  return Object.keys(after).filter(table => after[table] !== before[table])
}
