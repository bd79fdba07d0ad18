/** The AI settings of a workspace: five fields or one whole object in the CR, one of two generations of columns below. */
import type { Capabilities, Json, Row } from '../model.ts'
import { isNewest } from './workspace-fields.ts'
import { invalid, isObject, isTexts, SETTINGS, type Settings, textOf } from './workspace-spec.ts'

export const aiFields: readonly string[] = [
  'aiProvider',
  'openaiResourcePath',
  'aiModels',
  'codeCompletionEnabled',
  'codeCompletionModel',
  'aiConfig'
]
const parts = aiFields.filter(name => name !== 'aiConfig')

/** `config`: ai_config (since 1.479); `resource`: ai_resource, ai_models, code_completion_model. */
function aiGeneration({ has }: Capabilities): 'config' | 'resource' | undefined {
  if (has('workspace_settings', 'ai_config')) return 'config'
  return has('workspace_settings', 'ai_resource') ? 'resource' : undefined
}

/**
 * The models that Windmill's own editor offers first: `models` is required by its parser, so a CR that names none gets
 * one. An unknown provider makes the whole configuration unreadable (contract: workspaces-and-permissions §2.2).
 */
const firstModels: { readonly [provider: string]: string } = {
  openai: 'gpt-4o',
  azure_openai: 'gpt-4o',
  anthropic: 'claude-sonnet-4-0',
  mistral: 'codestral-latest',
  deepseek: 'deepseek-chat',
  googleai: 'gemini-2.0-flash',
  groq: 'llama-3.3-70b-versatile',
  openrouter: 'meta-llama/llama-3.2-3b-instruct:free',
  togetherai: 'meta-llama/Llama-3.3-70B-Instruct-Turbo',
  // Whatever stands behind it: the CR has to name its models.
  customai: ''
}
/** Newer than the list of the contract; Windmill's source of early 2026 has it. */
const newestProviders = ['aws_bedrock']
const olderProviders = ['openai', 'anthropic', 'mistral', 'deepseek', 'groq', 'openrouter', 'customai']

function providersOf(capabilities: Capabilities): readonly string[] {
  if (aiGeneration(capabilities) !== 'config') return olderProviders
  return [...Object.keys(firstModels), ...(isNewest(capabilities) ? newestProviders : [])]
}

function checkProvider(field: string, provider: Json | undefined, capabilities: Capabilities): string {
  const known = providersOf(capabilities)
  if (typeof provider === 'string' && known.includes(provider)) return provider
  throw invalid(`${field} must be one of ${known.join(', ')} in this version of Windmill.`)
}

/** Bare: `$res:` is what other settings have, not this one. */
function resourcePath(field: string, value: Json | undefined): string {
  const path = textOf(value)?.replace(/^\$res:/, '') ?? ''
  if (/^[uf](\/[\w-]+){2,}$/.test(path)) return path
  throw invalid(`${field} must be the path of a resource, such as f/ai/openai.`)
}

/** The AI part of a desired row; the names of what this Windmill has no place for come back as `absent`. */
export function compileAi(settings: Settings, capabilities: Capabilities): { row: Row; absent: readonly string[] } {
  const stated = aiFields.filter(name => settings[name] !== undefined)
  const generation = aiGeneration(capabilities)
  if (stated.includes('aiConfig') && stated.length > 1) {
    const others = stated.filter(name => name !== 'aiConfig').map(name => SETTINGS + name)
    throw invalid(`settings.aiConfig is the whole configuration; remove ${others.join(', ')}.`)
  }
  if (stated.length === 0) return { row: {}, absent: [] }
  if (!generation || (generation === 'resource' && stated.includes('aiConfig'))) return { row: {}, absent: stated }
  if (stated.includes('aiConfig')) {
    const config = settings['aiConfig'] ?? null
    return { row: { 'settings.aiConfig': config === null ? null : wholeConfig(config, capabilities) }, absent: [] }
  }
  const isOff = (name: string): boolean => settings[name] !== undefined && textOf(settings[name]) === null
  const off = isOff('aiProvider') || isOff('openaiResourcePath')
  return { row: off ? compileOff(settings) : compileOn(settings, capabilities), absent: [] }
}

function compileOff(settings: Settings): Row {
  const on = ['aiProvider', 'openaiResourcePath', 'codeCompletionModel'].filter(name => textOf(settings[name]) !== null)
  if (settings['codeCompletionEnabled'] === true) on.push('codeCompletionEnabled')
  if (on.length > 0)
    throw invalid(`AI is switched off by an empty provider or resource; remove settings.${on.join(', settings.')}.`)
  return {
    'settings.aiProvider': null,
    'settings.openaiResourcePath': null,
    'settings.codeCompletionEnabled': false,
    'settings.codeCompletionModel': null
  }
}

function compileOn(settings: Settings, capabilities: Capabilities): Row {
  const { aiProvider, openaiResourcePath, aiModels, codeCompletionEnabled, codeCompletionModel } = settings
  const completing =
    codeCompletionEnabled === true || (codeCompletionEnabled !== false && textOf(codeCompletionModel) !== null)
  const path =
    openaiResourcePath === undefined ? undefined : resourcePath('settings.openaiResourcePath', openaiResourcePath)
  const row: Record<string, Json> = {}
  if (path === undefined) {
    const needing = [aiProvider && 'aiProvider', aiModels && 'aiModels', completing && 'code completion'].filter(
      Boolean
    )
    if (needing.length > 0) {
      throw invalid(
        'settings.openaiResourcePath is missing: the resource with the key of the AI provider, such as f/ai/openai.'
      )
    }
  } else {
    const provider = checkProvider('settings.aiProvider', aiProvider ?? 'openai', capabilities)
    const models = isTexts(aiModels) && aiModels.length > 0 ? aiModels : undefined
    if (!firstModels[provider] && !models) throw invalid(`settings.aiModels is needed with the provider ${provider}.`)
    row['settings.aiProvider'] = provider
    row['settings.openaiResourcePath'] = path
    if (aiModels !== undefined) row['settings.aiModels'] = models ?? [firstModels[provider] ?? '']
  }
  if (codeCompletionEnabled !== undefined || codeCompletionModel !== undefined) {
    row['settings.codeCompletionEnabled'] = completing
    if (!completing) row['settings.codeCompletionModel'] = null
    else if (textOf(codeCompletionModel) !== null) row['settings.codeCompletionModel'] = textOf(codeCompletionModel)
  }
  return row
}

/** Contract: workspaces-and-permissions §2.2: absent keys are omitted, not null. */
function wholeConfig(value: Json, capabilities: Capabilities): Json {
  if (!isObject(value)) throw invalid('settings.aiConfig must be an object.')
  const config = Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null && one !== undefined))
  const providers = config['providers'] ?? {}
  if (!isObject(providers)) throw invalid('settings.aiConfig.providers must be an object of providers by name.')
  const checked = Object.entries(providers).map(([name, one]) => {
    const at = `settings.aiConfig.providers.${name}`
    checkProvider(`Each name in settings.aiConfig.providers`, name, capabilities)
    if (!isObject(one) || !isTexts(one['models'])) throw invalid(`${at} needs models, a list of texts.`)
    return [name, { ...one, resource_path: resourcePath(`${at}.resource_path`, one['resource_path']) }] as const
  })
  for (const key of ['default_model', 'code_completion_model', 'metadata_model']) {
    const model = config[key]
    if (model === undefined) continue
    if (!isObject(model) || textOf(model['model']) === null)
      throw invalid(`settings.aiConfig.${key} needs model and provider.`)
    checkProvider(`settings.aiConfig.${key}.provider`, model['provider'], capabilities)
  }
  checkValues(
    'custom_prompts',
    config['custom_prompts'],
    one => typeof one === 'string' && one.length <= 5000,
    'texts of at most 5000 characters'
  )
  checkValues('max_tokens_per_model', config['max_tokens_per_model'], Number.isInteger, 'whole numbers')
  return { ...config, ...(config['providers'] !== undefined && { providers: Object.fromEntries(checked) }) }
}

function checkValues(key: string, value: Json | undefined, fits: (one: Json) => boolean, what: string): void {
  if (value === undefined) return
  if (!isObject(value) || !Object.values(value).every(fits))
    throw invalid(`settings.aiConfig.${key} must be an object of ${what}.`)
}

type Columns = Readonly<Record<string, Json>>

/** The provider that a configuration is about: the default model's, else the only (or first) one. */
function mainProvider(config: Columns): string | null {
  const providers = isObject(config['providers']) ? config['providers'] : {}
  const chosen = isObject(config['default_model']) ? (textOf(config['default_model']['provider']) ?? '') : ''
  return chosen in providers ? chosen : (Object.keys(providers).sort()[0] ?? null)
}

/**
 * What the columns say, in the CR's words. The five fields are a view of ai_config; they are given besides the whole
 * only where they are asked for, so that an export states the configuration once.
 */
export function observeAi(columns: Columns, capabilities: Capabilities, asked: ReadonlySet<string>): Row {
  if (aiGeneration(capabilities) === 'resource') {
    const resource = isObject(columns['ai_resource']) ? columns['ai_resource'] : {}
    const model = columns['code_completion_model'] ?? null
    return {
      'settings.aiProvider': resource['provider'] ?? null,
      'settings.openaiResourcePath': resource['path'] ?? null,
      'settings.aiModels': columns['ai_models'] ?? [],
      'settings.codeCompletionEnabled': model !== null,
      'settings.codeCompletionModel': model
    }
  }
  if (aiGeneration(capabilities) === undefined) return {}
  const whole: Row = { 'settings.aiConfig': columns['ai_config'] ?? null }
  return parts.some(name => asked.has(SETTINGS + name)) ? { ...whole, ...viewOf(columns['ai_config']) } : whole
}

function viewOf(value: Json | undefined): Row {
  const config = isObject(value) ? value : {}
  const provider = mainProvider(config)
  const providers = isObject(config['providers']) ? config['providers'] : {}
  const entry = provider !== null && isObject(providers[provider]) ? providers[provider] : {}
  const completion = isObject(config['code_completion_model']) ? config['code_completion_model'] : undefined
  const model = completion?.['model'] ?? null
  const foreign = completion && completion['provider'] !== provider
  return {
    'settings.aiProvider': provider,
    'settings.openaiResourcePath': entry['resource_path'] ?? null,
    'settings.aiModels': entry['models'] ?? [],
    'settings.codeCompletionEnabled': model !== null,
    // A model of another provider is not the one that the CR names.
    'settings.codeCompletionModel': foreign ? `${textOf(completion['provider'])}/${textOf(model)}` : model
  }
}

/** New values of whole columns; keys that the row does not state are kept as `current` has them. */
export function aiColumns(row: Row, current: Columns, capabilities: Capabilities): Columns {
  const generation = aiGeneration(capabilities)
  if ('settings.aiConfig' in row) return { ai_config: row['settings.aiConfig'] ?? null }
  if (!parts.some(name => SETTINGS + name in row) || !generation) return {}
  return generation === 'config'
    ? { ai_config: mergedConfig(row, current['ai_config']) }
    : resourceColumns(row, current)
}

const isSwitchedOff = (row: Row): boolean => row['settings.aiProvider'] === null

function modelsOf(row: Row, provider: string, present: Json | undefined): readonly string[] {
  const wanted = row['settings.aiModels'] ?? present
  return isTexts(wanted) && wanted.length > 0 ? wanted : [firstModels[provider] ?? '']
}

function resourceColumns(row: Row, current: Columns): Columns {
  if (isSwitchedOff(row)) return { ai_resource: null, code_completion_model: null }
  const columns: Record<string, Json> = {}
  const provider = row['settings.aiProvider']
  const present = isObject(current['ai_resource']) ? current['ai_resource']['provider'] : undefined
  // Models of another provider are of no use to this one.
  const same = provider === undefined || provider === present
  const models = modelsOf(row, textOf(provider) ?? 'openai', same ? current['ai_models'] : undefined)
  if (typeof provider === 'string') {
    columns['ai_resource'] = { provider, path: row['settings.openaiResourcePath'] ?? null }
    columns['ai_models'] = models
  }
  const enabled = row['settings.codeCompletionEnabled']
  if (enabled === false) columns['code_completion_model'] = null
  const kept = same ? current['code_completion_model'] : undefined
  const model = row['settings.codeCompletionModel'] ?? kept ?? models[0] ?? null
  if (enabled === true) columns['code_completion_model'] = model
  return columns
}

function mergedConfig(row: Row, value: Json | undefined): Json {
  const config: Record<string, Json> = { ...(isObject(value) ? value : {}) }
  if (isSwitchedOff(row)) {
    for (const key of ['providers', 'default_model', 'code_completion_model']) delete config[key]
    return Object.keys(config).length > 0 ? config : null
  }
  const provider = row['settings.aiProvider']
  if (typeof provider === 'string') {
    const providers = isObject(config['providers']) ? config['providers'] : {}
    const entry = isObject(providers[provider]) ? providers[provider] : {}
    const models = modelsOf(row, provider, entry['models'])
    const path = row['settings.openaiResourcePath'] ?? null
    config['providers'] = { ...providers, [provider]: { ...entry, resource_path: path, models } }
    const chosen = isObject(config['default_model']) ? config['default_model'] : {}
    const stays = chosen['provider'] === provider && models.includes(textOf(chosen['model']) ?? '')
    if (!stays) config['default_model'] = { model: models[0] ?? '', provider }
    complete(config, row, provider, models[0] ?? '')
  } else if (row['settings.codeCompletionEnabled'] === false) delete config['code_completion_model']
  return config
}

function complete(config: Record<string, Json>, row: Row, provider: string, first: string): void {
  const enabled = row['settings.codeCompletionEnabled']
  if (enabled === false) delete config['code_completion_model']
  if (enabled !== true) return
  const present = isObject(config['code_completion_model']) ? config['code_completion_model'] : {}
  const model = row['settings.codeCompletionModel'] ?? (present['provider'] === provider ? present['model'] : first)
  config['code_completion_model'] = { model: model ?? first, provider }
}
