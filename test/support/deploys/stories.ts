/** Whole lives of scripts, flows and apps, told as the contract has them: runs, workers and people in turns. */
import pLimit from 'p-limit'
import type { Variant } from '../database.ts'
import { suite } from '../suite.ts'
import { type Bench, withBench } from './bench.ts'
import { corrected, left } from './story-edits.ts'
import { badInput, foreignRows } from './story-faults.ts'
import { firstToSettled } from './story-first.ts'
import { canceledPredecessor, lateRelocks, relocks, togetherInAnyOrder } from './story-imports.ts'
import { deletions, renames, returns, swaps } from './story-paths.ts'
import {
  archivedByOthers,
  boundedJobs,
  changedConfigMap,
  drafts,
  failedLock,
  ignored,
  lostJob,
  ownLock
} from './story-upkeep.ts'

type Story = (bench: Bench) => Promise<void>

/** What holds at every shape of the database. */
const first: Readonly<Record<string, Story>> = {
  'thirty scripts, eight flows and four apps become the rows of the API, then nothing is written but statuses':
    firstToSettled
}

const others: Readonly<Record<string, Story>> = {
  'edits by somebody else are put right under crd-wins, with their history': corrected,
  'versions that a worker makes to lock again are no drift': relocks,
  'a library and its importers change in one run: old content never wins, whatever job is done first':
    togetherInAnyOrder,
  'a relock of an older version that ends late is put right': lateRelocks,
  'a flow that is deployed again cancels the job of its predecessor': canceledPredecessor,
  'bad input is the error of its object, everything else lands': badInput,
  'a changed path moves script, flow and app': renames,
  'scripts and flows swap their paths in one run': swaps,
  'what is gone is archived, and what comes back goes on with its history': returns,
  'what is deleted leaves nothing behind': deletions,
  'what others archived or deleted comes back under crd-wins': archivedByOthers,
  'a version that cannot be locked is told, and the next one tries again': failedLock,
  'a lock job that was lost is queued again, for the same version': lostJob,
  'importers of a library with its own lock are locked anew by us': ownLock,
  "a deploy takes the drafts that it replaces, and nobody else's": drafts
}

/** What has nothing to do with the release. */
const plain: Readonly<Record<string, Story>> = {
  'edits by somebody else stay under db-wins and are told': left,
  'rows of somebody else are left under db-wins': foreignRows,
  'what is ignored stays as it is, and comes back without a write': ignored,
  'a changed ConfigMap changes script, flow and app': changedConfigMap,
  'a run queues only so many lock jobs, the rest follows': boundedJobs
}

/** Two stories at a time, because half of a run is waiting. */
export function deploys(variant: Variant): void {
  const test = suite(`deploys at ${variant}`)
  const limit = pLimit(2)
  const more = variant === '2026-08' ? { ...others, ...plain } : others
  const stories = variant.endsWith('-unfinalized') ? first : { ...first, ...more }
  for (const [title, story] of Object.entries(stories)) {
    const told = limit(() => withBench(variant, story))
    // Whatever fails is told by the test, which may come to it later.
    told.catch(() => {})
    test(title, () => told)
  }
  test.run()
}
