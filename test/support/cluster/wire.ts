/** Bodies that are not JSON: YAML, and the protobuf that kubectl sends for the core kinds it knows by heart. */
import { parse } from 'yaml'
import { badRequest, unsupported } from './refusal.ts'
import type { Fields } from './types.ts'
import { isFields } from './types.ts'

const PROTOBUF = 'application/vnd.kubernetes.protobuf'
const ACCEPTED = ['application/json', 'application/yaml', PROTOBUF]

/** The object in a body of POST, PUT or DELETE. */
export function decode(body: Buffer, contentType: string): Fields {
  const type = contentType.split(';')[0]!.trim() || 'application/json'
  if (!ACCEPTED.includes(type)) throw unsupported(ACCEPTED)
  return type === PROTOBUF ? protobuf(body) : decodeText(body.toString(), type)
}

export function decodeText(text: string, type: string): Fields {
  let value: unknown
  try {
    value = type.endsWith('yaml') ? parse(text) : JSON.parse(text)
  } catch (error) {
    throw badRequest(`couldn't get version/kind; json parse error: ${(error as Error).message}`)
  }
  if (!isFields(value)) throw badRequest("couldn't get version/kind; json parse error: not an object")
  return value
}

type Message = Map<number, Buffer[]>

/** Field number to the bytes of each occurrence. Numbers are kept as their own bytes. */
function message(bytes: Buffer): Message {
  const fields: Message = new Map()
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) throw badRequest('unexpected EOF')
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const from = at
    if ((tag & 7) === 2) {
      const size = varint()
      push(fields, tag >> 3, bytes.subarray(at, (at += size)))
    } else if ((tag & 7) === 0) {
      varint()
      push(fields, tag >> 3, bytes.subarray(from, at))
    } else throw badRequest(`proto: illegal wireType ${tag & 7}`)
  }
  return fields
}

function push(fields: Message, number: number, bytes: Buffer): void {
  const found = fields.get(number)
  if (found) found.push(bytes)
  else fields.set(number, [bytes])
}

const text = (fields: Message, number: number): string => fields.get(number)?.[0]?.toString() ?? ''

function map(fields: Message, number: number, encoding: BufferEncoding = 'utf8'): Record<string, string> | undefined {
  const entries = fields.get(number)?.map(bytes => message(bytes))
  return (
    entries &&
    Object.fromEntries(
      entries.map(entry => [text(entry, 1), (entry.get(2)?.[0] ?? Buffer.alloc(0)).toString(encoding)])
    )
  )
}

const FIELDS: Readonly<Record<string, (fields: Message) => Fields>> = {
  Namespace: () => ({}),
  Secret: fields => ({
    data: map(fields, 2, 'base64'),
    type: text(fields, 3) || undefined,
    stringData: map(fields, 4)
  }),
  ConfigMap: fields => ({ data: map(fields, 2), binaryData: map(fields, 3, 'base64') }),
  DeleteOptions: fields => ({ propagationPolicy: text(fields, 4) || undefined })
}

function protobuf(body: Buffer): Fields {
  if (body.subarray(0, 4).toString('latin1') !== 'k8s\0')
    throw badRequest('provided data does not appear to be a protobuf message')
  const envelope = message(body.subarray(4))
  const type = message(envelope.get(1)?.[0] ?? Buffer.alloc(0))
  const kind = text(type, 2)
  const read = FIELDS[kind]
  if (!read) throw unsupported(['application/json', 'application/yaml'])
  const fields = message(envelope.get(2)?.[0] ?? Buffer.alloc(0))
  const metadata = message(fields.get(1)?.[0] ?? Buffer.alloc(0))
  const named = kind === 'DeleteOptions' ? {} : { metadata: objectMeta(metadata) }
  return JSON.parse(JSON.stringify({ apiVersion: text(type, 1), kind, ...named, ...read(fields) })) as Fields
}

const objectMeta = (fields: Message): Fields => ({
  name: text(fields, 1) || undefined,
  generateName: text(fields, 2) || undefined,
  namespace: text(fields, 3) || undefined,
  resourceVersion: text(fields, 6) || undefined,
  labels: map(fields, 11),
  annotations: map(fields, 12)
})
