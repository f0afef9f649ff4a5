import { type DhcpQuirk, deviceOf } from "../machine/config.ts";
import type { FirmwareKind } from "../machine/firmware.ts";
import { type Ipv4, type Mac, macFromBytes, macToBytes } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { Rack } from "../machine/rack.ts";
import { forgetNeighbour, getNeighbour, setNeighbour } from "../native/datagrams.ts";
import { WallClock } from "../state/clock.ts";
import type { Emit } from "../state/events.ts";
import { ShortInputError } from "../wire/reader.ts";
import { LeaseCommits } from "./commits.ts";
import type { Decision, Reply } from "./decision.ts";
import type { BootOfferFor } from "./inquiry.ts";
import type { LeaseStore } from "./lease-store.ts";
import { type Lease, LeaseTable } from "./leases.ts";
import { DhcpFormatError } from "./options.ts";
import { PACKETS_OF_A_MAC_PER_SECOND, PacketPace } from "./pace.ts";
import { type DhcpPacket, decodePacket, encodePacket, glance, MINIMUM_REPLY_BYTES } from "./packet.ts";
import { decide } from "./policy.ts";
import { AddressProber } from "./prober.ts";
import { quirksInForce } from "./quirks.ts";
import { BROADCAST, type Destination } from "./reply.ts";
import { type DhcpServerConfig, DhcpSocket, isLoopback, needsDevice, type Peer, proxyPort, socketKey, startError } from "./sockets.ts";
import { WATCH_EVERY_MS, WireWatch } from "./watch.ts";

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
  /** How often other servers are looked for; only tests are in a hurry. */
  readonly watchEveryMs?: number;
}

/** After so many addresses in use by others, the client has to ask again. */
const PROBES_OF_A_QUESTION = 4;

const TOO_MANY = `more than ${PACKETS_OF_A_MAC_PER_SECOND} packets a second from one MAC address`;
const TOO_MANY_ASK = "more is asked than can be answered";
const TOO_MANY_WAIT = "too many leases wait to be stored";
/** Where the kernel's questions for an address are sent (RFC 863, discard): nobody is meant to get them. */
const DISCARD_PORT = 9;

/** The DHCP service: sockets around the policy. Leases that change are committed in groups, and only then acknowledged. */
export class DhcpServer {
  readonly #options: DhcpServerOptions;
  readonly #leases = new LeaseTable();
  readonly #clock: WallClock;
  readonly #pace = new PacketPace();
  readonly #sockets: DhcpSocket[] = [];
  readonly #prober: AddressProber;
  readonly #watch: WireWatch;
  readonly #commits: LeaseCommits;
  #config: DhcpServerConfig;
  #quirks: readonly DhcpQuirk[];
  #rack: Rack;

  constructor(options: DhcpServerOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#quirks = quirksInForce(options.config.dhcp.quirks);
    this.#rack = options.rack;
    this.#clock = options.clock ?? new WallClock();
    this.#prober = new AddressProber({ ask: (address) => this.#askFor(address), look: (address) => this.neighbourAt(address) }, () =>
      performance.now(),
    );
    this.#watch = new WireWatch({
      emit: options.emit,
      prober: this.#prober,
      everyMs: options.watchEveryMs ?? WATCH_EVERY_MS,
      holderOf: (address) => this.#leases.macAt(address),
      onConflict: (address, stands) => this.#leases.setInUse(address, stands, this.#now()),
    });
    this.#commits = new LeaseCommits(options.store, {
      failed: (reason) => this.#fail(`leases cannot be stored: ${reason}`),
      recovered: () => this.#started(),
    });
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
    // A proxy has another server beside it, and gives no addresses.
    if (dhcp.mode === "server" && needsDevice(this.#config)) await this.#watch.start(this.#config);
    this.#started();
  }

  #started(): void {
    const { dhcp, network } = this.#config;
    const detail = `${dhcp.mode} on ${network.interface}, ${network.address}, port ${dhcp.port}`;
    this.#options.emit({ type: "service.started", service: "dhcp", detail });
  }

  /** Commits and answers what still waits, then closes. */
  async stop(): Promise<void> {
    await this.#commits.settled();
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
    this.#quirks = quirksInForce(config.dhcp.quirks);
    this.#rack = rack;
    this.#watch.follow(config);
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
    for (const lease of ended) this.#commits.add(lease);
  }

  /** Milliseconds since the epoch. Leases last for as long as their clients were told, also where the clock was set meanwhile. */
  #now(): number {
    const { nowMs, jumpedMs } = this.#clock.look();
    if (jumpedMs !== 0) for (const lease of this.#leases.shift(jumpedMs)) this.#commits.add(lease);
    return nowMs;
  }

  /** The address that this MAC holds or last held. */
  addressOf(mac: Mac): Ipv4 | undefined {
    return this.#leases.addressOf(mac);
  }

  /** Who holds or last held this address, or was offered it and asks no further: a Raspberry Pi's ROM. */
  macAt(address: Ipv4): Mac | undefined {
    return this.#leases.offeredTo(address, this.#now()) ?? this.#leases.macAt(address);
  }

  get leases(): Iterable<Lease> {
    return this.#leases.leases;
  }

  /** Who has the address, as far as the kernel knows; of use where a machine's address was given by somebody else. */
  neighbourAt(address: Ipv4): Mac | undefined {
    const found = needsDevice(this.#config) ? getNeighbour(deviceOf(this.#config.network), address) : undefined;
    return found && macFromBytes(found);
  }

  #askFor(address: Ipv4): void {
    forgetNeighbour(deviceOf(this.#config.network), address);
    const [socket] = this.#sockets;
    socket?.send(new Uint8Array(0), address, DISCARD_PORT);
    socket?.flush();
  }

  async #open(port: number): Promise<void> {
    try {
      const socket = await DhcpSocket.open(this.#config, port, {
        received: (bytes, from, at) => this.#receive(at, bytes, from),
        isUrgent: (bytes) => this.#isUrgent(bytes),
        dropped: () => this.#options.emit({ type: "dhcp.ignored", reason: TOO_MANY_ASK }),
        unsent: (address, to, code) => this.#unsent(address, to, code),
        failed: (error) => this.#slip(`socket: ${error.message}`),
      });
      this.#sockets.push(socket);
    } catch (cause) {
      throw startError(cause, this.#config, port);
    }
  }

  async #close(): Promise<void> {
    await this.#watch.stop();
    await Promise.all(this.#sockets.splice(0).map((socket) => socket.close()));
  }

  #receive(socket: DhcpSocket, bytes: Uint8Array, from: Peer): void {
    // RFC 768 lets a sender that wants no answer leave its port out.
    if (from.port === 0) this.#malformed(from, "a packet from port 0, which cannot be answered");
    else if (!this.#pace.admit(bytes, performance.now())) this.#options.emit({ type: "dhcp.ignored", reason: TOO_MANY });
    else if (!this.#isOwnQuestion(from)) this.#guarded(from, () => this.#answer(decodePacket(bytes), socket, from, PROBES_OF_A_QUESTION));
  }

  /** Strangers' first questions wait, and a flood is made of these. */
  #isUrgent(bytes: Uint8Array): boolean {
    const { mac, isDiscover } = glance(bytes);
    return !isDiscover || (mac !== undefined && this.#rack.byMac(mac) !== undefined);
  }

  /** What goes out to find other servers comes back to us. */
  #isOwnQuestion({ address, port }: Peer): boolean {
    return address === this.#config.network.address && port !== this.#config.dhcp.port && needsDevice(this.#config);
  }

  #answer(packet: DhcpPacket, socket: DhcpSocket, from: Peer, probes: number): void {
    const { network, dhcp } = this.#config;
    const decision = decide(packet, {
      settings: { address: network.address, prefixLength: network.prefixLength, dhcp },
      rack: this.#rack,
      leases: this.#leases,
      nowMs: this.#now(),
      bootOffer: this.#options.bootOffer,
      quirks: this.#quirks,
    });
    const probe = decision.kind === "reply" ? decision.probe : undefined;
    const answer = probe === undefined || !needsDevice(this.#config) ? undefined : this.#prober.probe(probe.address);
    if (probe === undefined || answer === undefined) {
      this.#carryOut(decision, socket, from);
      return;
    }
    void answer.then((found) => {
      if (!this.#sockets.includes(socket)) return;
      if (found === undefined || found === probe.mac) {
        this.#carryOut(decision, socket, from);
        return;
      }
      this.#leases.withdraw(probe.mac);
      this.#watch.conflict(probe.address, found);
      if (probes > 1) this.#guarded(from, () => this.#answer(packet, socket, from, probes - 1));
    });
  }

  #guarded(from: Peer, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof DhcpFormatError || error instanceof ShortInputError) {
        this.#malformed(from, error.message);
        return;
      }
      // A fault of ours must not let one packet take DHCP from the whole rack.
      const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#slip(`a packet from ${from.address} could not be handled: ${told}`);
    }
  }

  #malformed({ address }: Peer, reason: string): void {
    this.#options.emit({ type: "peer.malformed", service: "dhcp", peer: address, reason });
  }

  #carryOut(decision: Decision, socket: DhcpSocket, from: Peer): void {
    if (decision.firmwareDiscover !== undefined) {
      this.#options.onFirmwareDiscover?.(decision.firmwareDiscover.machine, decision.firmwareDiscover.firmware);
    }
    const { lease } = decision;
    if (lease === undefined || decision.kind !== "reply") {
      if (lease !== undefined) this.#commits.add(lease);
      this.#emitAll(decision);
      if (decision.kind === "reply") this.#send(encode(decision), decision.destination, socket, from);
      return;
    }
    // Written now, since what it is made of shares memory with everything that arrived together.
    const bytes = encode(decision);
    const { destination, events } = decision;
    const { mac, address } = lease;
    const isAdmitted = this.#commits.add(lease, (isDurable) => {
      // A reservation is the configuration's: it needs no store to be the same after a restart.
      if (isDurable || this.#rack.byMac(mac)?.address === address) {
        this.#emitAll({ events });
        this.#send(bytes, destination, socket, from);
      } else this.#options.emit({ type: "dhcp.ignored", mac, reason: `its lease of ${address} could not be stored` });
    });
    if (!isAdmitted) this.#options.emit({ type: "dhcp.ignored", mac, reason: TOO_MANY_WAIT });
  }

  #send(bytes: Uint8Array, destination: Destination, socket: DhcpSocket, from: Peer): void {
    const { address, port } = this.#target(destination, socket, from);
    socket.send(bytes, address, port);
  }

  #unsent(address: Ipv4, port: number, code: string): void {
    // Questions for an address go to nobody.
    if (port !== DISCARD_PORT)
      this.#options.emit({ type: "dhcp.ignored", reason: `the reply to ${address}:${port} could not be sent: ${code}` });
  }

  #target(destination: Destination, socket: DhcpSocket, from: Peer): Peer {
    const { network, dhcp } = this.#config;
    // Who asks on a proxy's own port wants the answer where it asked from.
    if (socket.port !== dhcp.port) return from;
    const addressed = destination.kind === "relay" || destination.kind === "unicast";
    // The loopback has no broadcasts and no ARP: a client in development is where its packet came from.
    if (!addressed && isLoopback(network.address)) return { address: from.address, port: destination.port };
    if (destination.kind !== "arp-unicast") return destination;
    const known = needsDevice(this.#config) && setNeighbour(deviceOf(network), destination.address, macToBytes(destination.mac));
    return known ? destination : { address: BROADCAST, port: destination.port };
  }

  #emitAll({ events }: Pick<Decision, "events">): void {
    for (const event of events) {
      this.#options.emit(event);
      if (event.type === "dhcp.declined") this.#watch.conflict(event.address);
    }
  }

  #slip(reason: string): void {
    this.#options.emit({ type: "service.slipped", service: "dhcp", reason });
  }

  #fail(reason: string): void {
    this.#options.emit({ type: "service.failed", service: "dhcp", reason });
  }
}

function encode({ packet, maximumBytes, plain = false }: Reply): Uint8Array {
  return encodePacket(packet, { maximumBytes, minimumBytes: MINIMUM_REPLY_BYTES, plain }).bytes;
}
