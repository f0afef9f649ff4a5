import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as option from "../../src/dhcp/options.ts";
import { decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import { ask, value } from "../dhcp/support.ts";
import type { Resources } from "../harness/resources.ts";
import { LoopbackDaemon, PORTS } from "./loopback-daemon.ts";

export interface FloodReport {
  readonly packets: number;
  readonly seconds: number;
  /** Resident memory before, and at its most during the second half. */
  readonly beforeBytes: number;
  readonly afterBytes: number;
  /** Exchanges of known machines meanwhile, and how often one had to ask again. */
  readonly exchanges: number;
  readonly repeats: number;
  readonly worstMs: number;
}

/** They take turns: none of them sends more than a machine would. */
const MACHINES = 16;
const macOf = (machine: number): string => `52:54:00:16:01:${machine.toString(16).padStart(2, "0")}`;
/** As many as the socket holds: the machine's question comes behind them. */
const BURST = 100;
const ANSWER_MS = 1000;

/** DISCOVERs of invented MAC addresses at a daemon that leases to anybody, while machines that it knows ask again and again. */
export async function flood(resources: Resources, packets: number): Promise<FloodReport> {
  const daemon = new LoopbackDaemon(resources);
  const known = Array.from({ length: MACHINES }, (_, machine) => machine);
  const range = `${daemon.host(100)}-${daemon.host(200)}`;
  daemon.write({
    dhcp: { port: PORTS.dhcp, range, unknown: "lease" },
    machines: Object.fromEntries(known.map((machine) => [`uqbar${machine}`, { mac: macOf(machine), address: daemon.host(16 + machine) }])),
  });
  await daemon.start();
  const client = createSocket("udp4");
  resources.defer("the flood's socket", () => {
    client.close();
  });
  client.bind(PORTS.dhcp + 1, daemon.host(16));
  await once(client, "listening");

  const memory = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]) * 1024;
  const send = (bytes: Uint8Array): void => client.send(bytes, PORTS.dhcp, daemon.address);
  const heard = (machine: number, type: number): Promise<boolean> =>
    new Promise((resolve) => {
      const end = (found: boolean): void => {
        clearTimeout(timer);
        client.off("message", listen);
        resolve(found);
      };
      const listen = (bytes: Uint8Array): void => {
        const { chaddr, options } = decodePacket(bytes);
        if (chaddr[5] === machine && chaddr[0] === 0x52 && option.readOption(options, option.MESSAGE_TYPE) === type) end(true);
      };
      const timer = setTimeout(() => end(false), ANSWER_MS);
      client.on("message", listen);
    });
  const questions = known.map((machine) => {
    const mac = macOf(machine);
    const chosen = [
      value(option.REQUESTED_ADDRESS, parseIpv4(daemon.host(16 + machine))),
      value(option.SERVER_IDENTIFIER, parseIpv4(daemon.address)),
    ];
    const [discover, request] = [ask("discover", mac), ask("request", mac, chosen)].map((packet) => encodePacket(packet).bytes);
    return [[discover, option.MESSAGE_TYPES.offer] as const, [request, option.MESSAGE_TYPES.ack] as const];
  });
  const invented = encodePacket(ask("discover", "02:00:00:00:00:00")).bytes;
  const count = { exchanges: 0, repeats: 0, worstMs: 0 };
  const exchange = async (): Promise<void> => {
    const began = performance.now();
    const machine = count.exchanges % MACHINES;
    for (const [question = new Uint8Array(0), type] of questions[machine] ?? []) {
      for (;;) {
        const answer = heard(machine, type);
        send(question);
        if (await answer) break;
        if (++count.repeats > packets / BURST) throw new Error("a machine that is known gets no answer");
      }
    }
    count.exchanges++;
    count.worstMs = Math.max(count.worstMs, performance.now() - began);
  };

  await exchange();
  const beforeBytes = memory();
  let afterBytes = 0;
  const began = performance.now();
  for (let sent = 0; sent < packets; sent += BURST) {
    for (let index = sent; index < sent + BURST; index++) {
      const bytes = Uint8Array.from(invented);
      new DataView(bytes.buffer).setUint32(30, index);
      send(bytes);
    }
    await exchange();
    if (sent >= packets / 2) afterBytes = Math.max(afterBytes, memory());
  }
  const seconds = (performance.now() - began) / 1000;
  return { packets, seconds, beforeBytes, afterBytes, ...count };
}
