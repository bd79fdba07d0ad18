/** Every way the server says no, in the words of the real one. */
import type { Answer, Cause, Fields, Kind, Target } from './types.ts'
import { resourceOf } from './types.ts'

interface Reasons {
  readonly code: number
  readonly reason: string
  readonly message: string
  readonly details?: Fields
  readonly metadata?: Fields
  readonly headers?: Record<string, string>
}

export class Refusal extends Error {
  readonly reasons: Reasons

  constructor(reasons: Reasons) {
    super(reasons.message)
    this.name = 'Refusal'
    this.reasons = reasons
  }

  get code(): number {
    return this.reasons.code
  }

  body(): Fields {
    const { code, reason, message, details, metadata = {} } = this.reasons
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata,
      status: 'Failure',
      message,
      reason,
      ...(details && { details }),
      code
    }
  }

  answer(): Answer {
    const { code, headers = {} } = this.reasons
    return { status: code, headers, body: `${JSON.stringify(this.body())}\n` }
  }
}

const about = (kind: Kind, name: string): Fields => ({
  ...(name && { name }),
  ...(kind.group && { group: kind.group }),
  kind: kind.plural
})

export const unauthorized = (): Refusal => new Refusal({ code: 401, reason: 'Unauthorized', message: 'Unauthorized' })

export function forbidden(user: string, target: Target): Refusal {
  const resource = target.subresource ? `${target.plural}/${target.subresource}` : target.plural
  const scope = target.namespace ? `in the namespace "${target.namespace}"` : 'at the cluster scope'
  const subject = target.name ? `${resourceOf(target)} "${target.name}"` : resourceOf(target)
  const details = { ...(target.name && { name: target.name }), ...(target.group && { group: target.group }) }
  return new Refusal({
    code: 403,
    reason: 'Forbidden',
    message: `${subject} is forbidden: User "${user}" cannot ${target.verb} resource "${resource}" in API group "${target.group}" ${scope}`,
    details: { ...details, kind: target.plural }
  })
}

export const notFound = (kind: Kind, name: string): Refusal =>
  new Refusal({
    code: 404,
    reason: 'NotFound',
    message: `${resourceOf(kind)} "${name}" not found`,
    details: about(kind, name)
  })

export const alreadyExists = (kind: Kind, name: string): Refusal =>
  new Refusal({
    code: 409,
    reason: 'AlreadyExists',
    message: `${resourceOf(kind)} "${name}" already exists`,
    details: about(kind, name)
  })

export const conflict = (kind: Kind, name: string, why: string): Refusal =>
  new Refusal({
    code: 409,
    reason: 'Conflict',
    message: `Operation cannot be fulfilled on ${resourceOf(kind)} "${name}": ${why}`,
    details: about(kind, name)
  })

export const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again'

export function invalid(kind: Kind, name: string, causes: readonly Cause[]): Refusal {
  const told = causes.map(cause => `${cause.field}: ${cause.message}`)
  const subject = kind.group ? `${kind.kind}.${kind.group}` : kind.kind
  return new Refusal({
    code: 422,
    reason: 'Invalid',
    message: `${subject} "${name}" is invalid: ${told.length === 1 ? told[0] : `[${told.join(', ')}]`}`,
    details: { name, ...(kind.group && { group: kind.group }), kind: kind.kind, causes }
  })
}

export const badRequest = (message: string): Refusal => new Refusal({ code: 400, reason: 'BadRequest', message })

export const notAllowed = (): Refusal =>
  new Refusal({
    code: 405,
    reason: 'MethodNotAllowed',
    message: 'the server does not allow this method on the requested resource',
    details: {}
  })

export const notAcceptable = (message: string): Refusal => new Refusal({ code: 406, reason: 'NotAcceptable', message })

export const unsupported = (types: readonly string[]): Refusal =>
  new Refusal({
    code: 415,
    reason: 'UnsupportedMediaType',
    message: `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}`
  })

export const expired = (rest: string): Refusal =>
  new Refusal({
    code: 410,
    reason: 'Expired',
    message:
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    metadata: { continue: rest }
  })

/** What the real server says of a path that it has no handler for: not even JSON. */
export const noSuchPath = (): Answer => ({
  status: 404,
  type: 'text/plain; charset=utf-8',
  body: '404 page not found\n'
})
