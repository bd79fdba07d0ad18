/** What people do with manifests: write, edit, rename, swap, hand over, break, mend, delete. */
import { thingOf, things } from './stage.ts'
import type { State } from './state.ts'
import { secretNames } from './things-plain.ts'
import { type Cr, type Fields, nameOf, type Thing } from './words.ts'

/** Something that happens to a world; undefined when there is nothing that it could happen to. */
export type Deed = (state: State) => Promise<string | undefined> | string | undefined

const put = (state: State, cr: Cr): void => {
  state.crs.set(nameOf(cr), cr)
}

const drop = (state: State, cr: Cr): void => {
  state.crs.delete(nameOf(cr))
  state.stage.statuses.delete(nameOf(cr))
}

const anyCr = (state: State): Cr | undefined =>
  state.crs.size === 0 ? undefined : state.chance.pick([...state.crs.values()])

/** Fields with chosen values: all that must be stated, and some that may be. */
function fieldsFor({ chance }: State, { always, maybe }: Thing): Fields {
  const chosen = [...Object.entries(always), ...Object.entries(maybe).filter(() => chance.once(2))]
  return Object.fromEntries(chosen.map(([field, values]) => [field, chance.pick(values)]))
}

export function bear(state: State, thing: Thing, path: string): Cr {
  const { chance } = state
  const number = ++state.born
  return {
    kind: thing.kind,
    namespace: chance.once(3) ? 'team' : 'demo',
    name: `${thing.kind.toLowerCase()}-${number}`,
    uid: `uid-${number}`,
    path,
    fields: fieldsFor(state, thing),
    annotations: {},
    createdAt: new Date(Date.UTC(2020, 0, 1) + number * 60_000).toISOString().replace('.000', ''),
    isNewer: chance.once(2),
    isInvalid: false
  }
}

const create: Deed = state => {
  const thing = state.chance.pick(things)
  const cr = bear(state, thing, state.chance.pick(thing.paths))
  put(state, cr)
  return `creates ${nameOf(cr)} for ${cr.path} ${JSON.stringify(cr.fields)}`
}

const edit: Deed = state => {
  const cr = anyCr(state)
  if (!cr) return undefined
  const fields = fieldsFor(state, thingOf(cr.kind))
  put(state, { ...cr, fields, isNewer: state.chance.once(2) })
  return `edits ${nameOf(cr)} to ${JSON.stringify(fields)}`
}

const rename: Deed = state => {
  const cr = anyCr(state)
  if (!cr) return undefined
  const path = state.chance.pick(thingOf(cr.kind).paths)
  put(state, { ...cr, path })
  return `renames ${nameOf(cr)} from ${cr.path} to ${path}`
}

const swap: Deed = state => {
  const one = anyCr(state)
  const others = [...state.crs.values()].filter(cr => cr.kind === one?.kind && cr !== one)
  if (!one || others.length === 0) return undefined
  const other = state.chance.pick(others)
  put(state, { ...one, path: other.path })
  put(state, { ...other, path: one.path })
  return `swaps the paths of ${nameOf(one)} and ${nameOf(other)}`
}

const remove: Deed = state => {
  const cr = anyCr(state)
  if (!cr) return undefined
  drop(state, cr)
  return `deletes ${nameOf(cr)}`
}

const handOver: Deed = state => {
  const cr = anyCr(state)
  if (!cr) return undefined
  drop(state, cr)
  const heir = { ...bear(state, thingOf(cr.kind), cr.path), ...(state.chance.once(2) && { fields: cr.fields }) }
  put(state, heir)
  return `deletes ${nameOf(cr)} and creates ${nameOf(heir)} for its path ${cr.path} ${JSON.stringify(heir.fields)}`
}

const renew: Deed = state => {
  const cr = anyCr(state)
  if (!cr) return undefined
  const { createdAt, uid } = bear(state, thingOf(cr.kind), cr.path)
  put(state, { ...cr, createdAt, uid })
  return `creates ${nameOf(cr)} again, with another uid`
}

const spoil: Deed = state => {
  const cr = anyCr(state)
  if (!cr || cr.isInvalid) return undefined
  put(state, { ...cr, isInvalid: true })
  return `breaks ${nameOf(cr)}`
}

const mend: Deed = state => {
  const broken = [...state.crs.values()].filter(cr => cr.isInvalid)
  if (broken.length === 0) return undefined
  const cr = state.chance.pick(broken)
  put(state, { ...cr, isInvalid: false })
  return `mends ${nameOf(cr)}`
}

const words: Readonly<Record<string, readonly string[]>> = {
  'conflict-policy': ['', 'crd-wins', 'db-wins', 'last-write-wins'],
  'deletion-policy': ['', 'delete', 'delete', 'soft-delete', 'ignore'],
  adopt: ['', 'never', 'identical', 'always']
}

function annotated(state: State, annotations: Fields): readonly [string, Fields] {
  const name = state.chance.pick(Object.keys(words))
  const value = state.chance.pick(words[name] ?? [])
  const { [name]: _, ...rest } = annotations
  return [`${name}: ${value || 'nothing'}`, value === '' ? rest : { ...rest, [name]: value }]
}

const annotate: Deed = state => {
  const cr = anyCr(state)
  // With a deletion policy of its own a workspace would be archived, and the play over.
  if (!cr || thingOf(cr.kind).isKept) return undefined
  const [what, annotations] = annotated(state, cr.annotations)
  put(state, { ...cr, annotations })
  return `annotates ${nameOf(cr)} with ${what}`
}

const pause: Deed = state => {
  const cr = anyCr(state)
  if (!cr) return undefined
  const { reconcile, ...rest } = cr.annotations
  put(state, { ...cr, annotations: reconcile === undefined ? { ...rest, reconcile: 'disabled' } : rest })
  return `${reconcile === undefined ? 'pauses' : 'resumes'} ${nameOf(cr)}`
}

const annotateNamespace: Deed = state => {
  const namespace = state.chance.pick(['demo', 'team'])
  const [what, annotations] = annotated(state, state.namespaces.get(namespace) ?? {})
  state.namespaces.set(namespace, annotations)
  return `annotates namespace ${namespace} with ${what}`
}

const set: Deed = state => {
  const name = state.chance.pick(['conflict', 'deletion', 'adopt'] as const)
  const values = { conflict: 'conflict-policy', deletion: 'deletion-policy', adopt: 'adopt' }
  const allowed = (words[values[name]] ?? []).filter(one => name === 'adopt' || one !== '')
  const value = state.chance.pick(allowed)
  state.settings = { ...state.settings, [name]: value }
  return `sets ${name} to ${value || 'nothing'}`
}

const changeSecret: Deed = state => {
  const name = state.chance.pick(secretNames)
  const isGone = state.secrets.has(name) && state.chance.once(3)
  if (isGone) state.secrets.delete(name)
  else state.secrets.set(name, `hidden ${state.chance.below(100)}`)
  return `${isGone ? 'deletes' : 'changes'} Secret ${name}`
}

/** More often what happens more often. */
export const manifestDeeds: readonly Deed[] = [
  create,
  create,
  create,
  edit,
  edit,
  edit,
  rename,
  rename,
  swap,
  remove,
  remove,
  handOver,
  renew,
  spoil,
  mend,
  mend,
  annotate,
  annotate,
  pause,
  changeSecret,
  annotateNamespace,
  set
]
