import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { type DhcpConfig, deviceOf, type NetworkConfig } from "../machine/config.ts";
import type { FirmwareKind } from "../machine/firmware.ts";
import { type Ipv4, type Mac, macToBytes } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { Rack } from "../machine/rack.ts";
import { openDatagramSocket, setNeighbour } from "../native/datagrams.ts";
import { WallClock } from "../state/clock.ts";
import type { Emit } from "../state/events.ts";
import { ShortInputError } from "../wire/reader.ts";
import type { Decision, Reply } from "./decision.ts";
import type { BootOfferFor } from "./inquiry.ts";
import type { LeaseStore } from "./lease-store.ts";
import { type Lease, LeaseTable } from "./leases.ts";
import { DhcpFormatError } from "./options.ts";
import { decodePacket, encodePacket, MINIMUM_REPLY_BYTES } from "./packet.ts";
import { decide } from "./policy.ts";
import { PROXY_PORT } from "./proxy.ts";
import { BROADCAST, SERVER_PORT } from "./reply.ts";

/** The part of the configuration that DHCP reads. */
export interface DhcpServerConfig {
  readonly network: NetworkConfig;
  readonly dhcp: DhcpConfig;
}

export interface DhcpServerOptions {
  readonly config: DhcpServerConfig;
  readonly rack: Rack;
  readonly store: LeaseStore;
  readonly bootOffer: BootOfferFor;
  readonly emit: Emit;
  /** A machine's firmware asks anew. Called before the events of the same packet are emitted, so that they belong to the boot it begins. */
  readonly onFirmwareDiscover?: (machine: Machine, firmware: FirmwareKind) => void;
  /** The time of day, and whether it was set. */
  readonly clock?: WallClock;
}

/** The sockets could not be opened; the message says what to do. `code` is the system's, such as EADDRINUSE. */
export class DhcpServerError extends Error {
  readonly code: string;

  constructor(code: string, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Holds the burst of a rack that powers up at once. The system may give less. */
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** Leases gather for as long as the last commit took, so that storing never takes more than half of the time; at most this long. */
const GATHER_MAX_MS = 5;
const FIRST_UNPRIVILEGED_PORT = 1024;

/** A reply that waits for its lease to be durable. */
interface Waiting {
  readonly reply: Reply;
  readonly lease: Lease;
  readonly socket: Socket;
  readonly from: RemoteInfo;
}

/**
 * The DHCP service: sockets around the policy. Leases that change are gathered for a few milliseconds, committed
 * together, and only then acknowledged.
 */
export class DhcpServer {
  readonly #options: DhcpServerOptions;
  readonly #leases = new LeaseTable();
  readonly #clock: WallClock;
  readonly #sockets: Socket[] = [];
  readonly #waiting: Waiting[] = [];
  /** Changed and not yet durable. */
  readonly #dirty = new Map<Mac, Lease>();
  #config: DhcpServerConfig;
  #rack: Rack;
  #flush: NodeJS.Timeout | undefined;
  #gatherMs = 0;
  #storeFailed = false;

  constructor(options: DhcpServerOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#rack = options.rack;
    this.#clock = options.clock ?? new WallClock();
    this.#leases.restore(options.store.load());
    this.#leases.setRange(options.config.dhcp.range);
    this.#endOrphans();
  }

  /** Opens the sockets that the mode needs; none for `off`. Throws {@link DhcpServerError}. */
  async start(): Promise<void> {
    const { dhcp } = this.#config;
    if (dhcp.mode === "off") return;
    try {
      await this.#open(dhcp.port);
      if (dhcp.mode === "proxy") await this.#open(proxyPort(dhcp));
    } catch (error) {
      await this.#close();
      throw error;
    }
    this.#started();
  }

  #started(): void {
    const { dhcp, network } = this.#config;
    const detail = `${dhcp.mode} on ${network.interface}, ${network.address}, port ${dhcp.port}`;
    this.#options.emit({ type: "service.started", service: "dhcp", detail });
  }

  /** Commits and answers what still waits, then closes. */
  async stop(): Promise<void> {
    this.#commit();
    await this.#close();
  }

  /** Takes a new configuration; sockets are opened anew only where it asks for others. Throws {@link DhcpServerError}; the old ones then serve on. */
  async update(config: DhcpServerConfig, rack: Rack): Promise<void> {
    const before = { config: this.#config, rack: this.#rack };
    this.#apply(config, rack);
    if (socketKey(before.config) === socketKey(config)) return;
    await this.stop();
    try {
      await this.start();
    } catch (error) {
      this.#apply(before.config, before.rack);
      await this.start().catch((cause: Error) => this.#fail(`the old ports cannot be had again: ${cause.message}`));
      throw error;
    }
  }

  #apply(config: DhcpServerConfig, rack: Rack): void {
    const before = this.#rack;
    this.#config = config;
    this.#rack = rack;
    this.#leases.setRange(config.dhcp.range);
    this.#endOrphans(before);
  }

  /**
   * A lease without end is a machine's; when its MAC is no machine's any more (a new card, a machine taken out), or has become
   * another's (two machines that changed places), it ends: the address goes with the machine, not with the card.
   */
  #endOrphans(before: Rack = this.#rack): void {
    const orphaned = (mac: Mac): boolean => {
      const [was, is] = [before.byMac(mac), this.#rack.byMac(mac)];
      return is === undefined || (was !== undefined && was.name !== is.name);
    };
    const ended = this.#leases.endEndless(orphaned, this.#now());
    for (const lease of ended) this.#dirty.set(lease.mac, lease);
  }

  /** Milliseconds since the epoch. Leases last for as long as their clients were told, also where the clock was set meanwhile. */
  #now(): number {
    const { nowMs, jumpedMs } = this.#clock.look();
    if (jumpedMs !== 0) {
      for (const lease of this.#leases.shift(jumpedMs)) this.#dirty.set(lease.mac, lease);
      this.#flush ??= setTimeout(() => this.#commit(), GATHER_MAX_MS);
    }
    return nowMs;
  }

  /** The address that this MAC holds or last held. */
  addressOf(mac: Mac): Ipv4 | undefined {
    return this.#leases.addressOf(mac);
  }

  /** Who holds or last held this address. */
  macAt(address: Ipv4): Mac | undefined {
    return this.#leases.macAt(address);
  }

  get leases(): Iterable<Lease> {
    return this.#leases.leases;
  }

  async #open(port: number): Promise<void> {
    const { network } = this.#config;
    const socket = createSocket("udp4");
    const listening = once(socket, "listening");
    try {
      if (needsDevice(this.#config)) {
        socket.bind({ fd: openDatagramSocket({ device: deviceOf(network), address: "0.0.0.0", port, broadcast: true }) });
        await listening;
      } else {
        socket.bind({ port, address: isLoopback(network.address) ? network.address : "0.0.0.0", exclusive: true });
        await listening;
        socket.setBroadcast(true);
      }
    } catch (cause) {
      listening.catch(() => undefined);
      socket.close();
      throw startError(cause, this.#config, port);
    }
    this.#sockets.push(socket);
    // Errors of a socket, such as an ICMP answer to something sent, are told and survived.
    socket.on("error", (error) => this.#slip(`socket: ${error.message}`));
    socket.on("message", (bytes, from) => this.#receive(socket, bytes, from));
    try {
      socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
    } catch {
      // The default will do; only bursts are shorter.
    }
  }

  async #close(): Promise<void> {
    const closing = this.#sockets.splice(0).map((socket) => {
      const closed = once(socket, "close");
      socket.close();
      return closed;
    });
    await Promise.all(closing);
  }

  #receive(socket: Socket, bytes: Uint8Array, from: RemoteInfo): void {
    // RFC 768 lets a sender that wants no answer leave its port out; dgram throws when it is answered.
    if (from.port === 0) {
      this.#options.emit({
        type: "peer.malformed",
        service: "dhcp",
        peer: from.address,
        reason: "a packet from port 0, which cannot be answered",
      });
      return;
    }
    try {
      const { network, dhcp } = this.#config;
      const decision = decide(decodePacket(bytes), {
        settings: { address: network.address, prefixLength: network.prefixLength, dhcp },
        rack: this.#rack,
        leases: this.#leases,
        nowMs: this.#now(),
        bootOffer: this.#options.bootOffer,
      });
      this.#carryOut(decision, socket, from);
    } catch (error) {
      if (error instanceof DhcpFormatError || error instanceof ShortInputError) {
        this.#options.emit({ type: "peer.malformed", service: "dhcp", peer: from.address, reason: error.message });
      } else {
        // A fault of ours must not let one packet take DHCP from the whole rack.
        this.#slip(
          `a packet from ${from.address} could not be handled: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      }
    }
  }

  #carryOut(decision: Decision, socket: Socket, from: RemoteInfo): void {
    if (decision.firmwareDiscover !== undefined) {
      this.#options.onFirmwareDiscover?.(decision.firmwareDiscover.machine, decision.firmwareDiscover.firmware);
    }
    const { lease } = decision;
    if (lease !== undefined) {
      this.#dirty.set(lease.mac, lease);
      this.#flush ??= setTimeout(() => this.#commit(), this.#gatherMs);
      if (decision.kind === "reply") {
        this.#waiting.push({ reply: decision, lease, socket, from });
        return;
      }
    }
    this.#emitAll(decision);
    if (decision.kind === "reply") this.#send(decision, socket, from);
  }

  #commit(): void {
    clearTimeout(this.#flush);
    this.#flush = undefined;
    const durable = this.#store();
    for (const { reply, lease, socket, from } of this.#waiting.splice(0)) {
      // A reservation is the configuration's: it needs no store to be the same after a restart.
      if (durable || this.#rack.byMac(lease.mac)?.address === lease.address) {
        this.#emitAll(reply);
        this.#send(reply, socket, from);
      } else {
        this.#options.emit({ type: "dhcp.ignored", mac: lease.mac, reason: `its lease of ${lease.address} could not be stored` });
      }
    }
  }

  /** What fails stays dirty, and is tried again with the next commit. Told once, until it works again. */
  #store(): boolean {
    try {
      const startMs = performance.now();
      this.#options.store.commit([...this.#dirty.values()]);
      this.#gatherMs = Math.min(performance.now() - startMs, GATHER_MAX_MS);
      this.#dirty.clear();
      if (this.#storeFailed) this.#started();
      this.#storeFailed = false;
      return true;
    } catch (error) {
      if (!this.#storeFailed) this.#fail(`leases cannot be stored: ${(error as Error).message}`);
      this.#storeFailed = true;
      return false;
    }
  }

  #send(reply: Reply, socket: Socket, from: RemoteInfo): void {
    const { address, port } = this.#target(reply, socket, from);
    const { bytes } = encodePacket(reply.packet, { maximumBytes: reply.maximumBytes, minimumBytes: MINIMUM_REPLY_BYTES });
    socket.send(bytes, port, address, (error) => {
      if (error)
        this.#options.emit({ type: "dhcp.ignored", reason: `the reply to ${address}:${port} could not be sent: ${error.message}` });
    });
  }

  #target({ destination }: Reply, socket: Socket, from: RemoteInfo): { readonly address: string; readonly port: number } {
    const { network, dhcp } = this.#config;
    // Who asks on a proxy's own port wants the answer where it asked from.
    if (socket.address().port !== dhcp.port) return { address: from.address, port: from.port };
    const addressed = destination.kind === "relay" || destination.kind === "unicast";
    // The loopback has no broadcasts and no ARP: a client in development is where its packet came from.
    if (!addressed && isLoopback(network.address)) return { address: from.address, port: destination.port };
    if (destination.kind !== "arp-unicast") return destination;
    const known = needsDevice(this.#config) && setNeighbour(deviceOf(network), destination.address, macToBytes(destination.mac));
    return known ? destination : { address: BROADCAST, port: destination.port };
  }

  #emitAll({ events }: Decision): void {
    for (const event of events) this.#options.emit(event);
  }

  #slip(reason: string): void {
    this.#options.emit({ type: "service.slipped", service: "dhcp", reason });
  }

  #fail(reason: string): void {
    this.#options.emit({ type: "service.failed", service: "dhcp", reason });
  }
}

/** With any unprivileged port it is development, where a socket need not be bound to a device. */
function needsDevice({ network, dhcp }: DhcpServerConfig): boolean {
  return dhcp.port < FIRST_UNPRIVILEGED_PORT && !isLoopback(network.address);
}

function isLoopback(address: Ipv4): boolean {
  return address.startsWith("127.");
}

function proxyPort({ port }: DhcpConfig): number {
  return port === SERVER_PORT ? PROXY_PORT : port + 2;
}

/** Configurations with the same key can share their sockets. */
function socketKey({ network, dhcp }: DhcpServerConfig): string {
  return [dhcp.mode, dhcp.port, network.address, deviceOf(network)].join(" ");
}

function startError(cause: unknown, { network }: DhcpServerConfig, port: number): DhcpServerError {
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
