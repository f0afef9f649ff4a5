import { createSocket, type RemoteInfo, type Socket } from "node:dgram";

/** A UDP socket bound to `address`; `port` 0 has the system choose. Rejects with what the system says. */
export async function boundSocket(
  address: string,
  port: number,
  onMessage: (bytes: Uint8Array, from: RemoteInfo) => void,
): Promise<Socket> {
  const socket = createSocket({ type: "udp4", lookup: lookup as never });
  socket.on("message", onMessage);
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off("error", reject);
      socket.on("error", ignore);
      resolve();
    });
  }).catch((error: unknown) => {
    socket.close();
    throw error;
  });
  return socket;
}

/** The UDP socket of one transfer, bound to a port of its own and bound in mind to one peer. */
export interface Endpoint {
  /** Sends one datagram whose payload is these parts in order. Never throws. */
  send(parts: readonly Uint8Array[]): void;
  close(): void;
}

export interface EndpointParts {
  readonly address: string;
  readonly peer: { readonly address: string; readonly port: number };
  /** From the peer; nothing comes after {@link Endpoint.close}. */
  readonly onPacket: (bytes: Uint8Array) => void;
  /** From anybody else. */
  readonly onStranger: (from: RemoteInfo) => void;
}

/** A socket on a new port (RFC 1350, 4: the transfer identifier), deaf to everybody but the one peer. */
export async function openEndpoint({ address, peer, onPacket, onStranger }: EndpointParts): Promise<Endpoint> {
  let open = true;
  const socket = await boundSocket(address, 0, (bytes, from) => {
    if (!open) return;
    if (from.address !== peer.address || from.port !== peer.port) onStranger(from);
    else onPacket(bytes);
  });
  return {
    send: (parts) => {
      if (open) socket.send(parts, peer.port, peer.address, ignore);
    },
    close: () => {
      if (open) socket.close();
      open = false;
    },
  };
}

/** A datagram that cannot be sent is a datagram lost, and lost ones are what the protocol is made for. */
export function ignore(): void {}

/** An IPv4 address is its own answer; asking the resolver for it would cost a turn of the event loop for every block. */
type Lookup = (host: string, family: unknown, callback: (error: null, address: string, family: number) => void) => void;
const lookup: Lookup = (host, _family, callback) => callback(null, host, 4);
