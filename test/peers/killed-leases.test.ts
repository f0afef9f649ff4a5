import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import * as option from "../../src/dhcp/options.ts";
import { type DhcpPacket, decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { type Ipv4, parseIpv4 } from "../../src/machine/identifiers.ts";
import { ask, value } from "../dhcp/support.ts";
import { Resources } from "../harness/resources.ts";
import { LoopbackDaemon, PORTS } from "./loopback-daemon.ts";

const resources = new Resources();
afterAll(() => resources.close());

/** As many as the pool has addresses: nobody's lease is another's to have. */
const CLIENTS = 150;
const macOf = (client: number): string => `52:54:00:16:02:${client.toString(16).padStart(2, "0")}`;

/** Clients that ask for addresses all the time, and what each was told last. */
class Crowd {
  readonly held = new Map<number, Ipv4>();
  acknowledged = 0;
  readonly #daemon: LoopbackDaemon;
  readonly #socket = createSocket("udp4");
  #offered: ((packet: DhcpPacket) => void) | undefined;

  constructor(daemon: LoopbackDaemon) {
    this.#daemon = daemon;
    resources.defer("the crowd's socket", () => {
      this.#socket.close();
    });
    // What is sent to a daemon that has just died comes back as an error, and is asked again.
    this.#socket.on("error", () => undefined);
    this.#socket.on("message", (bytes) => this.#heard(decodePacket(bytes)));
  }

  async open(): Promise<void> {
    this.#socket.bind(PORTS.dhcp + 1, this.#daemon.host(250));
    await once(this.#socket, "listening");
  }

  #heard(packet: DhcpPacket): void {
    const { xid: client, yiaddr, options } = packet;
    const type = option.readOption(options, option.MESSAGE_TYPE);
    if (type === option.MESSAGE_TYPES.offer) {
      this.#offered?.(packet);
      const chosen = [value(option.REQUESTED_ADDRESS, yiaddr), value(option.SERVER_IDENTIFIER, parseIpv4(this.#daemon.address))];
      this.#send(ask("request", macOf(client), chosen, { xid: client }));
    }
    if (type !== option.MESSAGE_TYPES.ack) return;
    this.held.set(client, yiaddr);
    this.acknowledged++;
  }

  #send(packet: DhcpPacket): void {
    this.#socket.send(encodePacket(packet).bytes, PORTS.dhcp, this.#daemon.address);
  }

  /** A round of DISCOVERs; what is offered is taken. */
  discover(): void {
    for (let client = 0; client < CLIENTS; client++) this.#send(ask("discover", macOf(client), [], { xid: client }));
  }

  /** What one client is offered, asked again until it is answered. */
  async offerTo(client: number): Promise<Ipv4> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<Ipv4>();
      this.#offered = ({ xid, yiaddr }) => xid === client && resolve(yiaddr);
      this.#send(ask("discover", macOf(client), [], { xid: client }));
      const offered = await Promise.race([promise, sleep(1000)]);
      if (offered !== undefined) return offered;
    }
  }
}

test("a daemon that is killed while it hands out addresses has forgotten no lease that it acknowledged", async () => {
  const daemon = new LoopbackDaemon(resources);
  const range = `${daemon.host(20)}-${daemon.host(20 + CLIENTS - 1)}`;
  daemon.write({ dhcp: { port: PORTS.dhcp, range, unknown: "lease" } });
  const crowd = new Crowd(daemon);
  await crowd.open();
  // In the middle of the first leases, of the first group, and when most have theirs.
  for (const least of [1, 30, 100]) {
    await daemon.start();
    const before = crowd.acknowledged;
    while (crowd.acknowledged - before < least) {
      crowd.discover();
      await sleep(20);
    }
    await daemon.stop("SIGKILL");
    const told = new Map(crowd.held);
    await daemon.start();
    for (const [client, address] of told) expect([client, await crowd.offerTo(client)]).toEqual([client, address]);
    await daemon.stop("SIGKILL");
  }
  expect(crowd.held.size).toBeGreaterThanOrEqual(100);
});
