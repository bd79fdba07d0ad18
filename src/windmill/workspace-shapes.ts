/** Shapes of the JSON settings: what Windmill's readers cannot parse would silently count as "not configured". */
import type { Capabilities, Json } from '../model.ts'
import { refuseDeep, refuseUnstorable } from './json-values.ts'
import { isNewest } from './workspace-fields.ts'
import { invalid, isObject, isTexts, textOf } from './workspace-spec.ts'

type Shape = (value: Json, capabilities: Capabilities) => Json

/** Checks and brings to Windmill's form; null (off) never gets here. */
export const shapes: { readonly [field: string]: Shape } = {
  deployUiSettings: value => deployUi(value),
  defaultApp: value => appPath(value),
  defaultScripts: value => objectIn('defaultScripts', value),
  gitSync: (value, capabilities) => gitSync(value, capabilities),
  largeFileStorage: (value, capabilities) => largeFileStorage(value, capabilities),
  ducklake: value => ducklake(value),
  datatable: value => datatable(value),
  color: value => color(value),
  autoInviteDomain: value => mailDomain(value),
  autoAddInstanceGroupsRoles: value => groupRoles(value),
  errorHandlerExtraArgs: value => handlerArgs('errorHandlerExtraArgs', value),
  'successHandler.extraArgs': value => handlerArgs('successHandler.extraArgs', value)
}

export const pathPattern = /^[ufg](\/[\w-]+){2,}$/

function objectIn(field: string, value: Json): { readonly [key: string]: Json } {
  if (!isObject(value)) throw invalid(`settings.${field} must be an object.`)
  return value
}

function deployUi(value: Json): Json {
  const { include_path, include_type } = objectIn('deployUiSettings', value)
  if (isTexts(include_path) && isTexts(include_type)) return value
  throw invalid('settings.deployUiSettings needs both include_path and include_type, lists of texts.')
}

function appPath(value: Json): Json {
  if (typeof value === 'string' && pathPattern.test(value)) return value
  throw invalid('settings.defaultApp must be the path of an app, such as f/folder/name.')
}

function color(value: Json): Json {
  if (typeof value === 'string' && /^#[0-9a-fA-F]{6}$/.test(value)) return value
  throw invalid('settings.color must be a colour such as #1a2b3c.')
}

/** The API refuses the domains of public mail providers: they would let anybody in. These are the common ones. */
const publicProviders = new Set(
  (
    'gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com ymail.com icloud.com me.com aol.com ' +
    'gmx.com gmx.de gmx.net web.de mail.com proton.me protonmail.com zoho.com yandex.com yandex.ru mail.ru qq.com 163.com 126.com'
  ).split(' ')
)

/** Contract: workspaces-and-permissions §2.7. */
function mailDomain(value: Json): Json {
  const domain = (textOf(value) ?? '').toLowerCase()
  if (domain === '*') return domain
  if (publicProviders.has(domain)) {
    throw invalid(
      'settings.autoInviteDomain must not be a public mail provider; name your own domain, or * for everybody on the instance.'
    )
  }
  if (domain.length <= 50 && /^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(domain)) return domain
  throw invalid(
    'settings.autoInviteDomain must be a mail domain such as example.com (no @, at most 50 characters), or *.'
  )
}

function groupRoles(value: Json): Json {
  const roles = objectIn('autoAddInstanceGroupsRoles', value)
  if (Object.values(roles).every(role => ['admin', 'developer', 'operator'].includes(textOf(role) ?? ''))) return value
  throw invalid('settings.autoAddInstanceGroupsRoles gives each group one of admin, developer, operator.')
}

const emailPattern = /^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$/

function handlerArgs(field: string, value: Json): Json {
  const recipients = objectIn(field, value)['email_recipients'] ?? []
  if (isTexts(recipients) && recipients.every(one => emailPattern.test(one))) return value
  throw invalid(`settings.${field}.email_recipients must be a list of e-mail addresses.`)
}

/** Contract: workspaces-and-permissions §2.3. */
function gitSync(value: Json, capabilities: Capabilities): Json {
  const config = objectIn('gitSync', parsed('gitSync', value))
  const { repositories } = config
  if (!Array.isArray(repositories)) throw invalid('settings.gitSync needs repositories, a list.')
  // git_app_installations came with the versions in which only `repositories` is required.
  if (!capabilities.has('workspace_settings', 'git_app_installations')) {
    if (!isTexts(config['include_path']) || !isTexts(config['include_type'])) {
      throw invalid(
        'settings.gitSync needs include_path and include_type beside repositories in this version of Windmill.'
      )
    }
  }
  checkTypes('settings.gitSync.include_type', config['include_type'], capabilities)
  for (const repository of repositories as readonly Json[]) checkRepository(repository, capabilities)
  return config
}

/** JSON text stands for what it says. */
function parsed(field: string, value: Json): Json {
  if (typeof value !== 'string') return value
  let json: Json
  try {
    json = JSON.parse(value)
  } catch {
    throw invalid(`settings.${field} must be an object, or the same as JSON text.`)
  }
  refuseDeep(`settings.${field}`, json)
  refuseUnstorable(`settings.${field}`, json)
  return json
}

function checkRepository(value: Json, capabilities: Capabilities): void {
  const at = 'settings.gitSync.repositories'
  if (!isObject(value) || textOf(value['script_path']) === null) throw invalid(`${at}: each needs script_path.`)
  const path = textOf(value['git_repo_resource_path'])
  if (path === null || !/^\$res:[fu](\/[^/]+)*\/[^/]+\/[\p{L}\p{N}_-]+$/u.test(path)) {
    throw invalid(`${at}: git_repo_resource_path must be a resource such as $res:f/folder/name.`)
  }
  for (const flag of ['use_individual_branch', 'group_by_folder']) {
    const stated = value[flag] ?? false
    if (typeof stated !== 'boolean') throw invalid(`${at}: ${flag} must be true or false.`)
  }
  checkTypes(`${at}: exclude_types_override`, value['exclude_types_override'], capabilities)
  const settings = value['settings'] ?? null
  if (settings === null) return
  if (!isObject(settings) || !isTexts(settings['include_path']) || !isTexts(settings['include_type'])) {
    throw invalid(`${at}: settings needs include_path and include_type, lists of texts.`)
  }
  checkTypes(`${at}: settings.include_type`, settings['include_type'], capabilities)
}

const syncTypes = 'script flow app folder resource variable secret schedule resourcetype user group'.split(' ')

/** Newer versions may know more than the contract names: there only the spelling is checked. */
function checkTypes(at: string, value: Json | undefined, capabilities: Capabilities): void {
  if (value === undefined || value === null) return
  const recent = capabilities.has('workspace_settings', 'git_app_installations')
  const known = recent ? [...syncTypes, 'trigger', 'settings', 'key'] : syncTypes
  const fits = (one: string): boolean => known.includes(one) || (isNewest(capabilities) && /^[a-z]+$/.test(one))
  if (!isTexts(value) || !value.every(fits)) throw invalid(`${at} may list ${known.join(', ')}.`)
}

const storagePaths: { readonly [type: string]: string } = {
  S3Storage: 's3_resource_path',
  S3AwsOidc: 's3_resource_path',
  AzureBlobStorage: 'azure_blob_resource_path',
  AzureWorkloadIdentity: 'azure_blob_resource_path',
  GoogleCloudStorage: 'gcs_resource_path'
}

export const isPlainPath = (value: Json | undefined): value is string =>
  typeof value === 'string' && pathPattern.test(value.replace(/^\$res:/, ''))

/** A plain path is taken for an S3 resource (compile says so in a note). Contract: workspaces-and-permissions §2.5. */
function largeFileStorage(value: Json, capabilities: Capabilities): Json {
  const stated = isPlainPath(value) ? { type: 'S3Storage', s3_resource_path: value } : parsed('largeFileStorage', value)
  const storage = objectIn('largeFileStorage', stated)
  const secondary = storage['secondary_storage'] ?? {}
  if (!isObject(secondary))
    throw invalid('settings.largeFileStorage.secondary_storage must be an object of storages by name.')
  const others = Object.entries(secondary).map(([name, one]) => [name, oneStorage(one, capabilities)] as const)
  // The server itself writes secondary_storage even when it is empty.
  return { ...oneStorage(storage, capabilities), secondary_storage: Object.fromEntries(others) }
}

function oneStorage(value: Json, capabilities: Capabilities): { readonly [key: string]: Json } {
  const storage = objectIn('largeFileStorage', value)
  const recent = capabilities.has('workspace_settings', 'git_app_installations')
  const types = Object.keys(storagePaths).filter(type => recent || type !== 'GoogleCloudStorage')
  const type = textOf(storage['type']) ?? ''
  const key = types.includes(type) ? storagePaths[type] : undefined
  if (key === undefined) throw invalid(`settings.largeFileStorage.type must be one of ${types.join(', ')}.`)
  const path = textOf(storage[key])?.replace(/^\$res:/, '')
  if (path === undefined || !pathPattern.test(path)) {
    throw invalid(`settings.largeFileStorage.${key} must be the path of a resource, such as f/folder/name.`)
  }
  if (typeof (storage['public_resource'] ?? false) !== 'boolean') {
    throw invalid('settings.largeFileStorage.public_resource must be true or false.')
  }
  checkPermissions(storage['advanced_permissions'] ?? [])
  // The UI stores the path with its prefix; the worker takes both.
  return { ...storage, [key]: `$res:${path}` }
}

function checkPermissions(value: Json): void {
  const rules =
    'settings.largeFileStorage.advanced_permissions must be a list of {pattern, allow}; allow: read,write,delete,list.'
  if (!Array.isArray(value)) throw invalid(rules)
  for (const rule of value as readonly Json[]) {
    if (!isObject(rule) || typeof rule['pattern'] !== 'string' || typeof rule['allow'] !== 'string')
      throw invalid(rules)
    const words = rule['allow'].split(',').filter(word => word !== '')
    if (!words.every(word => ['read', 'write', 'delete', 'list'].includes(word.trim()))) throw invalid(rules)
  }
}

/** Contract: workspaces-and-permissions §2.5. */
function ducklake(value: Json): Json {
  const { ducklakes } = objectIn('ducklake', value)
  if (!isObject(ducklakes)) throw invalid('settings.ducklake needs ducklakes, an object of catalogs by name.')
  for (const one of Object.values(ducklakes)) {
    const { catalog, storage } = isObject(one) ? one : {}
    const fine =
      isObject(catalog) &&
      ['postgresql', 'mysql', 'instance'].includes(textOf(catalog['resource_type']) ?? '') &&
      textOf(catalog['resource_path']) !== null &&
      isObject(storage) &&
      typeof storage['path'] === 'string'
    if (!fine) {
      throw invalid(
        'settings.ducklake.ducklakes: each needs catalog {resource_type: postgresql, mysql or instance; resource_path} and storage {path}.'
      )
    }
  }
  return value
}

function datatable(value: Json): Json {
  const { datatables } = objectIn('datatable', value)
  if (isObject(datatables) && Object.values(datatables).every(one => isObject(one))) return value
  throw invalid('settings.datatable needs datatables, an object of tables by name.')
}
