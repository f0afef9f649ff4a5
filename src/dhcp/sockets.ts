import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { type DhcpConfig, deviceOf, type NetworkConfig } from "../machine/config.ts";
import { type Ipv4, ipv4FromNumber, ipv4ToNumber } from "../machine/identifiers.ts";
import { type Datagram, openDatagramSocket, RECEIVED_AT_ONCE, receiveDatagrams, sendDatagrams } from "../native/datagrams.ts";
import { Inbox } from "./inbox.ts";
import { PROXY_PORT } from "./proxy.ts";
import { SERVER_PORT } from "./reply.ts";

/** The part of the configuration that DHCP reads. */
export interface DhcpServerConfig {
  readonly network: NetworkConfig;
  readonly dhcp: DhcpConfig;
}

/** The sockets could not be opened; the message says what to do. `code` is the system's, such as EADDRINUSE. */
export class DhcpServerError extends Error {
  readonly code: string;

  constructor(code: string, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * Holds the burst of a rack that powers up at once, some eight hundred packets. In a flood, whatever waits longer than its client
 * does is answered in vain, so it is no larger.
 */
const RECEIVE_BUFFER_BYTES = 512 << 10;
const SEND_BUFFER_BYTES = 4 << 20;
/** Replies gather until whatever arrived with their questions is answered, and no longer than this many. */
const OUTBOX_MAX = 256;
const FIRST_UNPRIVILEGED_PORT = 1024;

/** Where a packet came from. */
export interface Peer {
  readonly address: Ipv4;
  readonly port: number;
}

export interface SocketEvents {
  readonly received: (bytes: Uint8Array, from: Peer, socket: DhcpSocket) => void;
  /** Whether a packet goes before others when many wait; a glance must do. */
  readonly isUrgent: (bytes: Uint8Array) => boolean;
  /** More waits than can be answered. */
  readonly dropped: () => void;
  readonly unsent: (address: Ipv4, port: number, code: string) => void;
  readonly failed: (error: Error) => void;
}

/** One UDP port, bound to the rack's device where that takes privilege. Replies leave in batches. */
export class DhcpSocket {
  readonly port: number;
  readonly #events: SocketEvents;
  readonly #descriptor: number;
  readonly #socket: Socket;
  readonly #outbox: (Datagram & { readonly to: Ipv4 })[] = [];
  readonly #inbox = new Inbox<{ readonly bytes: Uint8Array; readonly from: Peer }>();
  #flush: NodeJS.Immediate | undefined;
  #turn: NodeJS.Immediate | undefined;

  private constructor(port: number, descriptor: number, events: SocketEvents) {
    this.port = port;
    this.#descriptor = descriptor;
    this.#events = events;
    this.#socket = createSocket("udp4");
    // Errors of a socket, such as an ICMP answer to something sent, are told and survived.
    this.#socket.on("error", (error) => events.failed(error));
    this.#socket.on("message", (bytes, { address, port }) => this.#received(bytes, { address: address as Ipv4, port }));
  }

  /** Throws with the system's `code`. */
  static async open(config: DhcpServerConfig, port: number, events: SocketEvents): Promise<DhcpSocket> {
    const { network } = config;
    const bound = needsDevice(config);
    const address = !bound && isLoopback(network.address) ? network.address : "0.0.0.0";
    const descriptor = openDatagramSocket({
      ...(bound && { device: deviceOf(network) }),
      address,
      port,
      broadcast: true,
      receiveBytes: RECEIVE_BUFFER_BYTES,
      sendBytes: SEND_BUFFER_BYTES,
    });
    const opened = new DhcpSocket(port, descriptor, events);
    const socket = opened.#socket;
    const listening = once(socket, "listening");
    socket.bind({ fd: descriptor });
    await listening;
    return opened;
  }

  /** The first packet wakes us; whatever has arrived behind it is taken at once, and answered together. */
  #received(bytes: Uint8Array, from: Peer): void {
    this.#keep(bytes, from);
    if (this.#turn === undefined) this.#answer();
  }

  #keep(bytes: Uint8Array, from: Peer): void {
    if (!this.#inbox.add({ bytes, from }, this.#events.isUrgent(bytes))) this.#events.dropped();
  }

  #answer(): void {
    this.#turn = undefined;
    // The system's queue drops whatever does not fit, so it is emptied before anything is answered.
    for (let more = true; more && !this.#inbox.isFull; ) {
      const received = receiveDatagrams(this.#descriptor);
      for (const { bytes, address, port } of received) this.#keep(bytes, { address: ipv4FromNumber(address), port });
      more = received.length === RECEIVED_AT_ONCE;
    }
    for (const { bytes, from } of this.#inbox.take()) this.#events.received(bytes, from, this);
    this.flush();
    // Leases that have become durable, and everybody else in this process, come first.
    if (!this.#inbox.isEmpty) this.#turn = setImmediate(() => this.#answer());
  }

  /** Leaves with what else is answered in this turn of the event loop. */
  send(bytes: Uint8Array, to: Ipv4, port: number): void {
    this.#outbox.push({ bytes, to, address: ipv4ToNumber(to), port });
    if (this.#outbox.length >= OUTBOX_MAX) this.flush();
    else this.#flush ??= setImmediate(() => this.flush());
  }

  flush(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const leaving = this.#outbox.splice(0);
    if (leaving.length === 0) return;
    for (const [index, code] of sendDatagrams(this.#descriptor, leaving)) {
      const datagram = leaving[index];
      if (datagram !== undefined) this.#events.unsent(datagram.to, datagram.port, code);
    }
  }

  async close(): Promise<void> {
    clearImmediate(this.#turn);
    this.flush();
    const closed = once(this.#socket, "close");
    this.#socket.close();
    await closed;
  }
}

/** With any unprivileged port it is development, where a socket need not be bound to a device. */
export function needsDevice({ network, dhcp }: DhcpServerConfig): boolean {
  return dhcp.port < FIRST_UNPRIVILEGED_PORT && !isLoopback(network.address);
}

export function isLoopback(address: Ipv4): boolean {
  return address.startsWith("127.");
}

export function proxyPort({ port }: DhcpConfig): number {
  return port === SERVER_PORT ? PROXY_PORT : port + 2;
}

/** Configurations with the same key can share their sockets. */
export function socketKey({ network, dhcp }: DhcpServerConfig): string {
  return [dhcp.mode, dhcp.port, network.address, deviceOf(network)].join(" ");
}

export function startError(cause: unknown, { network }: DhcpServerConfig, port: number): DhcpServerError {
  const { code = "ERR_DHCP_SOCKET", message } = cause as NodeJS.ErrnoException;
  const advice: Readonly<Record<string, string>> = {
    EADDRINUSE: `UDP port ${port} is in use by another program: stop the other DHCP server, or set dhcp.mode to off`,
    EACCES: `no permission for UDP port ${port}: run as root or with CAP_NET_BIND_SERVICE, or set dhcp.port to one above 1023`,
    EPERM: `no permission to bind to ${deviceOf(network)}: run as root or with CAP_NET_RAW, or set dhcp.port to one above 1023`,
    ENODEV: `there is no interface ${deviceOf(network)}: set network.interface to one that "ip link" shows`,
    EADDRNOTAVAIL: `no interface has the address ${network.address}: set network.address to one that "ip address" shows`,
  };
  return new DhcpServerError(code, `DHCP cannot start: ${advice[code] ?? message}`, cause);
}
