import { networkInterfaces } from "node:os";
import { deviceOf } from "../machine/config.ts";
import { type Ipv4, type Mac, macToBytes, parseMac } from "../machine/identifiers.ts";
import type { Emit } from "../state/events.ts";
import * as option from "./options.ts";
import { BROADCAST_FLAG, type DhcpPacket, decodePacket, encodePacket, MINIMUM_REPLY_BYTES, NO_ADDRESS } from "./packet.ts";
import type { AddressProber } from "./prober.ts";
import { BROADCAST, SERVER_PORT } from "./reply.ts";
import { type DhcpServerConfig, DhcpSocket } from "./sockets.ts";

/** How often the wire is asked for other servers, and addresses in conflict are looked at again. */
export const WATCH_EVERY_MS = 60_000;
/** The first question waits until whoever starts with us has settled. */
const FIRST_WATCH_MS = 2000;
/** A server that was not heard in so many rounds is gone. */
const ROUNDS_UNTIL_GONE = 3;
/** Others that are told of; who has more has another problem. */
const ROGUES_MAX = 16;
export const CONFLICTS_MAX = 64;
const CLIENT_PORT = 68;
/** Of the question: what answers to it is no answer to anybody else. */
const WATCH_XID = 0x7261_636b;

export interface WatchOptions {
  readonly emit: Emit;
  readonly prober: AddressProber;
  /** Milliseconds; {@link WATCH_EVERY_MS}. */
  readonly everyMs: number;
  /** An address is in use by somebody that we did not give it to, or is not any more. */
  readonly onConflict: (address: Ipv4, stands: boolean) => void;
  /** Whom the address was given to. */
  readonly holderOf: (address: Ipv4) => Mac | undefined;
}

/**
 * Whether somebody else hands out addresses on the rack's network, or uses those that are ours to give. Other servers are
 * asked for with a DISCOVER as firmware sends it, from the port where their broadcasts are heard as well; nothing of what they
 * offer is taken. What is found stands until it was looked for in vain.
 */
export class WireWatch {
  readonly #options: WatchOptions;
  /** Other server -> the round in which it was heard last. */
  readonly #rogues = new Map<Ipv4, number>();
  readonly #conflicts = new Set<Ipv4>();
  #config: DhcpServerConfig | undefined;
  #socket: DhcpSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #round = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Where port 68 is a client's of this very box, other servers are not looked for, and that is told. */
  async start(config: DhcpServerConfig): Promise<void> {
    this.#config = config;
    const { emit } = this.#options;
    const failed = (reason: string): void => emit({ type: "service.slipped", service: "dhcp", reason });
    try {
      this.#socket = await DhcpSocket.open(config, CLIENT_PORT, {
        received: (bytes) => this.#hear(bytes),
        isUrgent: () => true,
        dropped: () => undefined,
        unsent: () => undefined,
        failed: (error) => failed(`watching for other servers: ${error.message}`),
      });
    } catch (cause) {
      failed(`other DHCP servers are not looked for: ${(cause as Error).message}`);
    }
    this.#timer = setTimeout(() => this.#next(), Math.min(FIRST_WATCH_MS, this.#options.everyMs)).unref();
  }

  /** A configuration that needs no other sockets. */
  follow(config: DhcpServerConfig): void {
    if (this.#config !== undefined) this.#config = config;
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    await socket?.close();
    for (const server of this.#rogues.keys()) this.#options.emit({ type: "dhcp.rogueGone", server });
    for (const address of this.#conflicts) this.#over(address);
    this.#rogues.clear();
  }

  /** Somebody has an address that was ours to give. */
  conflict(address: Ipv4, mac?: Mac): void {
    if (this.#conflicts.has(address) || this.#conflicts.size >= CONFLICTS_MAX) return;
    this.#conflicts.add(address);
    this.#options.onConflict(address, true);
    this.#options.emit({ type: "dhcp.conflict", address, ...(mac && { mac }) });
  }

  #next(): void {
    this.#round++;
    for (const [server, round] of this.#rogues) {
      if (this.#round - round <= ROUNDS_UNTIL_GONE && !this.#isAllowed(server)) continue;
      this.#rogues.delete(server);
      this.#options.emit({ type: "dhcp.rogueGone", server });
    }
    for (const address of this.#conflicts) {
      void this.#options.prober.whoHas(address).then((mac) => {
        if (!this.#conflicts.has(address)) return;
        if (mac === undefined || mac === this.#options.holderOf(address)) this.#over(address);
        else this.#options.onConflict(address, true);
      });
    }
    const mac = this.#mac();
    if (mac !== undefined) this.#socket?.send(question(mac), BROADCAST, SERVER_PORT);
    this.#timer = setTimeout(() => this.#next(), this.#options.everyMs).unref();
  }

  #over(address: Ipv4): void {
    this.#conflicts.delete(address);
    this.#options.onConflict(address, false);
    this.#options.emit({ type: "dhcp.conflictOver", address });
  }

  #isAllowed(server: Ipv4): boolean {
    return server === this.#config?.network.address || this.#config?.dhcp.others.includes(server) === true;
  }

  #mac(): Mac | undefined {
    const found = this.#config && networkInterfaces()[deviceOf(this.#config.network)]?.[0];
    return found && parseMac(found.mac);
  }

  #hear(bytes: Uint8Array): void {
    const server = serverOf(bytes);
    if (server === undefined) return;
    if (this.#isAllowed(server)) return;
    const known = this.#rogues.has(server);
    if (!known && this.#rogues.size >= ROGUES_MAX) return;
    this.#rogues.set(server, this.#round);
    if (known) return;
    // Its MAC address is how a person finds it.
    void this.#options.prober.whoHas(server).then((mac) => {
      if (this.#rogues.has(server)) this.#options.emit({ type: "dhcp.rogue", server, ...(mac && { mac }) });
    });
  }
}

/** Who says that he gives addresses or boot files; undefined where the packet is no server's, or none at all. */
export function serverOf(bytes: Uint8Array): Ipv4 | undefined {
  try {
    const { op, options } = decodePacket(bytes);
    const type = option.readOption(options, option.MESSAGE_TYPE);
    const { offer, ack, nak } = option.MESSAGE_TYPES;
    if (op !== "reply" || (type !== offer && type !== ack && type !== nak)) return undefined;
    return option.readOption(options, option.SERVER_IDENTIFIER);
  } catch {
    // Whatever it is, it is no server that a client would listen to.
    return undefined;
  }
}

/** As a UEFI machine asks, so that boot servers without addresses answer as well (RFC 4578, 2). */
function question(mac: Mac): Uint8Array {
  const chaddr = new Uint8Array(16);
  chaddr.set(macToBytes(mac));
  const options = new Map<number, Uint8Array>([
    [option.MESSAGE_TYPE.code, option.MESSAGE_TYPE.encode(option.MESSAGE_TYPES.discover)],
    [option.VENDOR_CLASS.code, option.VENDOR_CLASS.encode("PXEClient:Arch:00007:UNDI:003001")],
    [option.ARCHITECTURE.code, option.ARCHITECTURE.encode([7])],
    [option.PARAMETER_LIST.code, Uint8Array.of(option.SUBNET_MASK.code, option.BOOT_FILE_NAME.code)],
  ]);
  const nothing = { ciaddr: NO_ADDRESS, yiaddr: NO_ADDRESS, siaddr: NO_ADDRESS, giaddr: NO_ADDRESS, sname: "", file: "" };
  const header = { op: "request", htype: 1, hlen: 6, hops: 0, xid: WATCH_XID, secs: 0, flags: BROADCAST_FLAG, chaddr } as const;
  const packet: DhcpPacket = { ...header, ...nothing, options };
  return encodePacket(packet, { minimumBytes: MINIMUM_REPLY_BYTES }).bytes;
}
