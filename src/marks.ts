/** The cheap mark of a CR's whole input: while it stands still, nothing of the CR has to be read. */
import { canonical, type Fingerprint, fingerprintOf, markedAnnotations } from './fingerprint.ts'
import type { AnyKind, Listed } from './model.ts'
import { hasAny } from './roster.ts'
import type { Session } from './session.ts'
import { mappedWorkspace, policiesFor } from './tenancy.ts'

/** Raised when the engine itself would judge or store the same CR differently. */
const ENGINE_RULES = 2

type Marking = Pick<Session, 'rules' | 'windmillSchema'>
type Marked = Pick<Listed, 'namespace' | 'revision' | 'annotations'>

/**
 * Marks of one kind's CRs. Beside the uid, which the ledger keeps for itself, a mark is the revision and a hash of all
 * else that decides what becomes of the CR; most CRs of a namespace share that hash.
 */
export class Marks {
  readonly #kind: AnyKind
  readonly #session: Marking
  readonly #shared = new Map<string, string>()

  constructor(session: Marking, kind: AnyKind) {
    this.#session = session
    this.#kind = kind
  }

  /** `seen`: versions of what the CR refers to, in the order of its refs. '' when the CR has to be read in any case. */
  of({ namespace, revision, annotations }: Marked, seen: readonly (string | undefined)[]): Fingerprint {
    const rest =
      seen.length === 0 && !hasAny(annotations) ? this.#plain(namespace) : this.#rest(namespace, annotations, seen)
    // A revision may be anything that moves with the spec; a generation stands for itself.
    const short = revision.length > 20 ? fingerprintOf([revision]) : revision
    return (rest === '' ? '' : `${short}.${rest}`) as Fingerprint
  }

  /** What stands behind the revision for all CRs of a namespace that have no annotations of ours and refer to nothing. */
  #plain(namespace: string): string {
    let found = this.#shared.get(namespace)
    if (found === undefined) this.#shared.set(namespace, (found = this.#rest(namespace, {}, [])))
    return found
  }

  #rest(namespace: string, annotations: Listed['annotations'], seen: readonly (string | undefined)[]): string {
    const { rules, windmillSchema } = this.#session
    try {
      const { deletion, ownDeletion } = policiesFor({ namespace, annotations }, rules)
      const granted = rules.namespaces.get(namespace) ?? {}
      return fingerprintOf([
        String(ENGINE_RULES),
        String(this.#kind.rules),
        // A newer Windmill may have a column for what had none before.
        windmillSchema,
        mappedWorkspace(namespace, rules.mapping) ?? '',
        // Where the namespace may write to.
        String(rules.adminNamespaces.has(namespace)),
        granted['workspaces'] ?? '',
        rules.userPaths,
        rules.runAs,
        granted['run-as'] ?? '',
        deletion,
        String(ownDeletion),
        canonical(marked(annotations)),
        ...seen.map(version => version ?? '')
      ])
    } catch {
      return ''
    }
  }
}

/** Only those that every form of a listing tells: with any other, a CR would be read again at every change of the form. */
const marked = (annotations: Listed['annotations']): Listed['annotations'] =>
  Object.fromEntries(markedAnnotations.flatMap(name => (name in annotations ? [[name, annotations[name] ?? '']] : [])))
