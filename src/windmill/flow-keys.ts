/** The keys of a flow's value that Windmill knows, as far as storing and comparing need them: contract, flows-and-apps A3. */
import type { Json } from '../model.ts'
import type { JsonObject } from './json-values.ts'

/** Releases as far as flows differ. */
export type Generation = 'oldest' | 'middle' | 'newest'

/** The shape of an object, which may depend on its type. */
export type ShapeOf = (object: JsonObject) => Shape

export interface Shape {
  readonly name: 'flow' | 'module' | 'script' | 'stop' | 'transform' | 'part'
  readonly keys: Readonly<Record<string, Known>>
}

/** A key whose value is an object, a list of objects, or a map of objects; without these it is free or plain. */
export interface Known {
  /** What Windmill takes it for when it is absent, and may write down itself. */
  readonly usual?: Json
  readonly object?: ShapeOf
  readonly items?: ShapeOf
  readonly members?: ShapeOf
  /** A static input transform of a number may stand for the number. */
  readonly numeric?: true
  /** The first generation that knows it; default: all. */
  readonly since?: Generation
}

const any: Known = {}
const off: Known = { usual: false }
const on: Known = { usual: true }
const zero: Known = { usual: 0 }
const newer: Known = { since: 'newest' }
const newerOff: Known = { since: 'newest', usual: false }

const shape =
  (name: Shape['name'], keys: Shape['keys']): ShapeOf =>
  () => ({ name, keys })

const transform = shape('transform', { type: any, value: any, expr: any })
const input: Known = { object: transform }
const inputs: Known = { members: transform, usual: {} }
const number: Known = { object: transform, numeric: true }
const stop: Known = {
  object: shape('stop', { expr: any, skip_if_stopped: off, error_message: any, error_include_result: newerOff })
}
const constant = shape('part', { attempts: zero, seconds: zero })
const exponential = shape('part', { attempts: zero, multiplier: { usual: 1 }, seconds: zero, random_factor: any })
const expression: Known = { object: shape('part', { expr: any }) }

const retry = shape('part', {
  constant: { object: constant, usual: {} },
  exponential: { object: exponential, usual: {} },
  retry_if: expression
})

const suspend = shape('part', {
  required_events: any,
  timeout: any,
  resume_form: any,
  user_auth_required: off,
  user_groups_required: input,
  self_approval_disabled: off,
  hide_cancel: off,
  continue_on_disapprove_timeout: off
})

const module: ShapeOf = () => ({ name: 'module', keys: moduleKeys })
const modules: Known = { items: module }
/** A failed branch stops the others only where that is said. */
const branches: Known = {
  items: shape('part', { summary: any, expr: { usual: '' }, modules, skip_failure: on, parallel: on })
}
const loop = { modules, parallel: off, parallelism: number, squash: newerOff }
const limits = { concurrent_limit: any, concurrency_time_window_s: any }
const runnable = { type: any, input_transforms: inputs, pass_flow_input_directly: { ...off, since: 'middle' } as Known }

const byType: Readonly<Record<string, ShapeOf>> = {
  rawscript: shape('script', {
    ...runnable,
    ...limits,
    content: any,
    language: any,
    lock: any,
    path: any,
    tag: any,
    custom_concurrency_key: any,
    is_trigger: off,
    assets: { items: shape('part', { path: any, kind: any, access_type: any, alt_access_type: any }), usual: [] }
  }),
  script: shape('part', { ...runnable, path: any, hash: any, tag_override: any, is_trigger: off }),
  flow: shape('part', { ...runnable, path: any }),
  forloopflow: shape('part', { ...loop, type: any, iterator: input, skip_failures: on }),
  whileloopflow: shape('part', { ...loop, type: any, skip_failures: off }),
  branchone: shape('part', { type: any, branches, default: modules }),
  branchall: shape('part', { type: any, branches, parallel: on }),
  identity: shape('part', { type: any, flow: off }),
  aiagent: shape('part', {
    type: any,
    input_transforms: inputs,
    tools: { items: module },
    tag: any,
    omit_output_from_conversation: off,
    agent: any,
    tool_inputs: any,
    parallel: any
  })
}

const unknown = shape('part', {})
const valueShape: ShapeOf = object => {
  const { type } = object
  const known = typeof type === 'string' && Object.hasOwn(byType, type) ? byType[type] : undefined
  const { name, keys } = (known ?? unknown)(object)
  // Tools of agents are modules whose values say what kind of tool they are.
  return { name, keys: { ...keys, tool_type: any, ...(known ? {} : mcp) } }
}
const mcp = { type: any, resource_path: any, include_tools: any, exclude_tools: any }

const moduleKeys: Shape['keys'] = {
  id: any,
  value: { object: valueShape },
  summary: any,
  description: newer,
  stop_after_if: stop,
  stop_after_all_iters_if: stop,
  suspend: { object: suspend },
  mock: { object: shape('part', { enabled: any, return_value: any }) },
  retry: { object: retry, usual: {} },
  sleep: input,
  cache_ttl: any,
  timeout: number,
  priority: any,
  delete_after_use: off,
  continue_on_error: off,
  skip_if: expression,
  apply_preprocessor: off,
  pass_flow_input_directly: { ...off, since: 'middle' },
  cache_ignore_s3_path: newerOff,
  delete_after_secs: newer,
  debouncing: newer
}

/** The value of a flow. */
export const flowShape: ShapeOf = shape('flow', {
  ...limits,
  modules,
  failure_module: { object: module },
  preprocessor_module: { object: module },
  same_worker: off,
  concurrency_key: any,
  skip_expr: any,
  cache_ttl: any,
  early_return: any,
  priority: any,
  chat_input_enabled: { ...off, since: 'middle' },
  preserve_step_tags: newerOff,
  debounce_key: newer,
  debounce_delay_s: newer,
  max_total_debouncing_time: newer,
  max_total_debounces_amount: newer,
  debounce_args_to_accumulate: newer,
  cache_ignore_s3_path: newerOff,
  flow_env: newer,
  delete_after_secs: newer,
  notes: newer,
  groups: newer
})
