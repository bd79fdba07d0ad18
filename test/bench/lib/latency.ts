/** A far database: a TCP proxy in front of a socket that delivers everything a fixed time later. */

import type { AddressInfo } from 'node:net'
import net from 'node:net'

export interface Proxy {
  readonly port: number
  readonly close: () => void
}

/** Half of `roundTripMs` in each direction; bandwidth is not limited. */
export function delayed(socketPath: string, roundTripMs: number): Promise<Proxy> {
  const later = (to: net.Socket): ((chunk: Buffer) => void) => {
    return chunk => void setTimeout(() => to.writable && to.write(chunk), roundTripMs / 2)
  }
  const open = new Set<net.Socket>()
  const server = net.createServer({ noDelay: true }, near => {
    const far = net.connect(socketPath)
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      open.add(from)
      from.on('data', later(to))
      from.on('error', () => to.destroy())
      from.on('close', () => {
        open.delete(from)
        setTimeout(() => to.end(), roundTripMs / 2)
      })
    }
  })
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () =>
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () => {
          server.close()
          for (const socket of open) socket.destroy()
        }
      })
    )
  })
}
