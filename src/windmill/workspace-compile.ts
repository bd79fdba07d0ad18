/** From the settings of a CR to the fields of a row, with what is to be said about them. */
import { SyncError } from '../errors.ts'
import type { Context, Json } from '../model.ts'
import { refuseDeep, roundedNotes } from './json-values.ts'
import { aiFields, compileAi } from './workspace-ai.ts'
import { deployTarget, type WorkspaceFacts } from './workspace-facts.ts'
import { enterpriseFields, normal, operatorDefaults, operatorKeys, placeOf } from './workspace-fields.ts'
import { handlerPath, parseHandler } from './workspace-handlers.ts'
import { checkLineage, hasLineage } from './workspace-lineage.ts'
import { isPlainPath, shapes } from './workspace-shapes.ts'
import {
  invalid,
  isObject,
  oneOfTwo,
  SETTINGS,
  type Settings,
  textOf,
  type WorkspaceSpec,
  workspaceId
} from './workspace-spec.ts'

/** Grows while a spec is gone through. */
interface Draft {
  readonly row: Record<string, Json>
  readonly notes: string[]
  /** Stated fields that this Windmill has no place for. */
  readonly absent: string[]
  unsettled: boolean
}

/** One word per thing: aliases resolved, a handler's arguments beside its path. */
function statedSettings(spec: WorkspaceSpec): Settings {
  const { webhookEditor, successHandler, ...rest } = spec.settings ?? {}
  const webhook = oneOfTwo(['settings.webhookEditor', webhookEditor], ['settings.webhook', rest['webhook']])
  const domain = oneOfTwo(['spec.domain', spec.domain], ['settings.autoInviteDomain', rest['autoInviteDomain']])
  return {
    ...rest,
    ...(webhook !== undefined && { webhook }),
    ...(domain !== undefined && { autoInviteDomain: domain }),
    ...(successHandler !== undefined && { 'successHandler.path': handlerPath(successHandler) ?? null }),
    ...(isObject(successHandler) &&
      'extraArgs' in successHandler && { 'successHandler.extraArgs': successHandler['extraArgs'] })
  }
}

export function compileSettings(spec: WorkspaceSpec, facts: WorkspaceFacts, context: Context): Draft {
  const draft: Draft = { row: {}, notes: [], absent: [], unsettled: false }
  const settings = statedSettings(spec)
  refuseDeep('spec.settings', settings)
  const { capabilities } = context
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || aiFields.includes(name)) continue
    if (name === 'operatorSettings') compileOperator(draft, value, context)
    else if (name === 'deployTo') compileDeployTo(draft, spec.id, value, { facts, context })
    else if (!placeOf(name, capabilities)) draft.absent.push(name)
    else if (name === 'errorHandler' || name === 'successHandler.path')
      compileHandler(draft, name, value, { spec, facts })
    else {
      draft.row[SETTINGS + name] = shaped(name, value, context)
      draft.notes.push(...roundedNotes(SETTINGS + name, value))
    }
  }
  const ai = compileAi(settings, capabilities)
  Object.assign(draft.row, ai.row)
  draft.absent.push(...ai.absent)
  if (isPlainPath(settings['largeFileStorage'])) {
    draft.notes.push(
      'settings.largeFileStorage: a plain path is taken for an S3 resource; state an object for other storages.'
    )
  }
  if ('settings.webhook' in draft.row && !capabilities.hasTrigger('workspace_settings', 'webhook_change')) {
    draft.notes.push(
      'settings.webhook: the servers of this version of Windmill notice a change only when they restart.'
    )
  }
  settleHandlers(draft, spec, facts, context)
  settleInvitations(draft)
  sayWhatIsIgnored(draft, facts)
  return draft
}

function shaped(name: string, value: Json, { capabilities }: Context): Json {
  const plain = normal(name, value)
  const off = plain === null || plain === '' || (typeof value === 'string' && value === '')
  return off ? null : (shapes[name]?.(plain, capabilities) ?? plain)
}

/** Merged key by key; null brings the column's default back. */
function compileOperator(draft: Draft, value: Json, { capabilities }: Context): void {
  const defaults = operatorDefaults(capabilities)
  const shown = Object.entries(operatorKeys).filter(([, key]) => key in defaults)
  const stated = value === null ? Object.fromEntries(shown.map(([field]) => [field, true])) : value
  if (!isObject(stated)) throw invalid('settings.operatorSettings must be an object.')
  for (const [field, shown] of Object.entries(stated)) {
    if (!Object.hasOwn(operatorKeys, field)) {
      throw invalid(
        `settings.operatorSettings has the unknown key ${field}; known are ${Object.keys(operatorKeys).join(', ')}.`
      )
    }
    if (shown !== undefined) draft.row[`${SETTINGS}operatorSettings.${field}`] = shown ?? false
  }
}

function compileDeployTo(
  draft: Draft,
  id: string,
  value: Json,
  known: { facts: WorkspaceFacts; context: Context }
): void {
  const { facts, context } = known
  const target = deployTarget(value)
  if (target === undefined)
    throw invalid('settings.deployTo must be the id of a workspace, or an object {workspace: <id>}.')
  if (target !== null && !workspaceId.test(target))
    throw invalid('settings.deployTo is not the id of a workspace; correct it.')
  if (target === id) throw invalid('settings.deployTo names the workspace itself; name the one that it deploys to.')
  const inSettings = placeOf('deployTo', context.capabilities) !== undefined
  if (!inSettings && !hasLineage(context.capabilities)) {
    draft.absent.push('deployTo')
    return
  }
  if (!inSettings && target !== null) checkLineage(id, target, facts)
  draft.row['settings.deployTo'] = target
}

function compileHandler(
  draft: Draft,
  field: string,
  value: Json,
  { spec, facts }: { spec: WorkspaceSpec; facts: WorkspaceFacts }
): void {
  const stated = textOf(value)
  if (stated === null) {
    draft.row[SETTINGS + field] = null
    return
  }
  const parsed = parseHandler(field, stated)
  if (!('bare' in parsed)) {
    draft.row[SETTINGS + field] = `${parsed.kind}/${parsed.path}`
    return
  }
  const kind = facts.runnables.get(`${spec.id} ${parsed.bare}`)
  draft.row[SETTINGS + field] = `${kind ?? 'script'}/${parsed.bare}`
  if (kind) return
  draft.notes.push(`settings.${field}: nothing is at ${parsed.bare} yet; it is taken for a script.`)
  draft.unsettled = true
}

const companions: { readonly [field: string]: { readonly [name: string]: Json } } = {
  errorHandler: { errorHandlerExtraArgs: null, errorHandlerMutedOnCancel: false, errorHandlerMutedOnUserPath: false },
  'successHandler.path': { 'successHandler.extraArgs': null }
}

/**
 * A handler that is cleared takes its arguments and flags with it (contract: workspaces-and-permissions §2.4). Where
 * they share its column, they can be kept only beside a handler.
 */
function settleHandlers(draft: Draft, spec: WorkspaceSpec, facts: WorkspaceFacts, { capabilities }: Context): void {
  for (const [field, others] of Object.entries(companions)) {
    const handler = draft.row[SETTINGS + field]
    const present = facts.handled[field === 'errorHandler' ? 'error' : 'success'].has(spec.id)
    for (const [name, none] of Object.entries(others)) {
      const place = placeOf(name, capabilities)
      const stated = draft.row[SETTINGS + name]
      if (!place) continue
      if (handler === null) {
        if (stated !== undefined && stated !== none) {
          throw invalid(`settings.${name} is stated although settings.${field} is switched off; remove one of the two.`)
        }
        draft.row[SETTINGS + name] = none
      } else if (place.key && handler === undefined && !present && stated !== undefined && stated !== none) {
        delete draft.row[SETTINGS + name]
        draft.notes.push(`settings.${name}: ignored, because the workspace has no ${field.replace('.path', '')}.`)
        draft.unsettled = true
      }
    }
  }
}

/** Off means that nothing of it is left (contract: workspaces-and-permissions §2.7). */
function settleInvitations(draft: Draft): void {
  if (draft.row['settings.autoInviteDomain'] !== null) return
  for (const name of ['autoInviteOperator', 'autoAdd']) {
    if (draft.row[SETTINGS + name] === true) {
      throw invalid(
        `settings.${name} is stated although there is no domain to invite; remove it or state settings.autoInviteDomain.`
      )
    }
    draft.row[SETTINGS + name] = false
  }
}

function sayWhatIsIgnored(draft: Draft, { licensed }: WorkspaceFacts): void {
  const names = (fields: readonly string[]): string =>
    [...fields]
      .sort()
      .map(name => SETTINGS + name)
      .join(', ')
  if (draft.absent.length > 0)
    draft.notes.push(
      `This version of Windmill has no place for ${names([...new Set(draft.absent.map(name => name.replace(/\..*/, '')))])}; ignored.`
    )
  const enterprise = enterpriseFields.filter(name => draft.row[SETTINGS + name] ?? false)
  if (enterprise.length > 0 && !licensed) {
    draft.notes.push(`Only the enterprise edition of Windmill honours ${names(enterprise)}.`)
  }
}

/** The e-mail address that Windmill keeps as owner. */
export function ownerOf(owner: string, facts: WorkspaceFacts): string {
  const emails = owner.includes('@') ? [owner.toLowerCase()] : (facts.owners.get(owner) ?? [])
  const [email] = emails
  if (email === undefined || emails.length > 1) {
    const why = email === undefined ? 'is no user' : 'is the name of several users'
    throw new SyncError(
      'UserNotFound',
      `spec.owner ${owner} ${why} of this Windmill instance; state the e-mail address.`
    )
  }
  if (email.length > 50)
    throw invalid('spec.owner has more than 50 characters, more than Windmill can keep; name a shorter address.')
  return email
}
