import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DhcpOption, MESSAGE_TYPE, MESSAGE_TYPES, REQUESTED_ADDRESS, readOption, SERVER_IDENTIFIER } from "../../src/dhcp/options.ts";
import { type DhcpPacket, decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { OPCODE } from "../../src/iscsi/pdu.ts";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import { ask, STRANGER, value, vector } from "../dhcp/support.ts";
import { BackgroundProcess, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { BusyMachine, DiskClient } from "./disk-client.ts";
import { type Keys, LoopbackDaemon, PORTS } from "./loopback-daemon.ts";

/** The daemon's life: what it costs at rest, how it ends, and what it still knows afterwards. */

const IDLE_MACHINES = 40;
const IDLE_MS = 5000;

let resources: Resources;
let daemon: LoopbackDaemon;

beforeEach(() => {
  resources = new Resources();
  daemon = new LoopbackDaemon(resources);
});
afterEach(() => resources.close());

const login = (machine: string): Promise<DiskClient> => DiskClient.login(resources, daemon.portal, machine);

function rack(machines: number): Keys {
  const names = Array.from({ length: machines }, (_, i) => `m${i}`);
  return {
    dhcp: { port: PORTS.dhcp, range: `${daemon.host(100)}-${daemon.host(199)}`, unknown: "lease" },
    volumes: Object.fromEntries(names.map((name) => [`${name}-root`, { size: "16M" }])),
    machines: Object.fromEntries(
      names.map((name, i) => [
        name,
        { mac: `52:54:00:16:00:${(16 + i).toString(16)}`, address: daemon.host(16 + i), initiator: "any", disks: [`${name}-root`] },
      ]),
    ),
  };
}

/** Sends a packet as a client of the loopback, and returns the answer. */
async function exchange(packet: Uint8Array): Promise<DhcpPacket> {
  const socket = createSocket("udp4");
  try {
    socket.bind(PORTS.dhcp + 1, "127.0.0.1");
    await once(socket, "listening");
    const answer = once(socket, "message", { signal: AbortSignal.timeout(5000) });
    socket.send(packet, PORTS.dhcp, daemon.address);
    return decodePacket(((await answer) as [Buffer])[0]);
  } finally {
    socket.close();
  }
}

describe("when it starts", () => {
  it("takes a SIGHUP that comes too early as a wish for later", async () => {
    daemon.write(rack(1));
    const early = new BackgroundProcess(resources, daemon.command());
    await early.output.waitFor(/volume m0-root is open/, 15_000);
    early.signal("SIGHUP");
    await early.output.waitFor(/: ready$/m, 15_000);
    await early.output.waitFor(/: configuration /, 15_000);
    expect(await early.stop()).toEqual({ code: 0, signal: null });
  });
});

describe("when it is told to end", () => {
  it("asks every initiator to log out, ends what they had begun, and exits with 0", async () => {
    daemon.write(rack(2));
    await daemon.start();
    const [polite, busy] = [await login("m0"), new BusyMachine(await login("m1"))];
    const asked = polite.initiator.next();
    const exit = daemon.stop();
    // RFC 7143, 11.9.1: event 1, the target requests a logout.
    const { opcode, header } = await asked;
    expect([opcode, header[36]]).toEqual([OPCODE.asyncMessage, 1]);
    expect(await exit).toEqual({ code: 0, signal: null });
    await polite.initiator.closed;
    await expect(busy.stop()).rejects.toThrow("no PDU came");
    expect(daemon.log).toMatch(/INFO: stopping: SIGTERM$/m);
    expect(daemon.log).not.toMatch(/(WARN|ERROR|FATAL):/);
  });

  it("leaves its ports and its storage to the next one at once", async () => {
    daemon.write(rack(1));
    for (let i = 0; i < 2; i++) {
      await daemon.start();
      await login("m0");
      expect((await daemon.stop("SIGINT")).code).toBe(0);
    }
  });
});

describe("after kill -9", () => {
  /** All that an initiator tells disks apart by. */
  async function identities(): Promise<readonly string[]> {
    const url = `iscsi://${daemon.portal}/iqn.2026-01.lan.rackboot:m0/0`;
    return Promise.all([[], ["-e", "1", "-c", "128"], ["-e", "1", "-c", "131"]].map((page) => runOrThrow(["iscsi-inq", ...page, url])));
  }

  /** A lease of the pool, for a stranger. */
  async function lease(): Promise<string> {
    const { yiaddr } = await exchange(encodePacket(ask("discover", STRANGER)).bytes);
    const wish = [value(REQUESTED_ADDRESS, yiaddr), value(SERVER_IDENTIFIER, parseIpv4(daemon.address))];
    const acknowledged = await exchange(encodePacket(ask("request", STRANGER, wish)).bytes);
    expect(readOption(acknowledged.options, MESSAGE_TYPE as DhcpOption<number>)).toBe(MESSAGE_TYPES.ack);
    return acknowledged.yiaddr;
  }

  it("disks are who they were and hold what was acknowledged, leases hold, and timelines go on", async () => {
    daemon.write(rack(2));
    await daemon.start();
    const [told, leased] = [await identities(), await lease()];
    // m0's firmware asks: a boot begins, is offered its address, and reaches its disk.
    expect((await exchange(vector("ovmf-pxe-discover"))).yiaddr).toBe(daemon.host(16));
    const m0 = await login("m0");
    expect((await m0.write(9, Buffer.alloc(512, 9), { fua: true })).status).toBe(0);
    const [boot] = (await daemon.status()).state.machines["m0"]?.boots ?? [];
    expect(boot).toMatchObject({ outcome: "booting", firmware: "uefi-x64-pxe" });
    expect(Object.keys(boot?.stages ?? {})).toEqual(expect.arrayContaining(["discover", "offer", "login"]));
    // Timelines are saved within half a second; leases and blocks before they are acknowledged.
    await sleep(1000);
    expect(await daemon.stop("SIGKILL")).toEqual({ code: null, signal: "SIGKILL" });

    await daemon.start();
    expect(await identities()).toEqual(told);
    expect(await lease()).toBe(leased);
    expect((await (await login("m0")).read(9, 512)).data).toEqual(Buffer.alloc(512, 9));
    const [remembered] = (await daemon.status()).state.machines["m0"]?.boots ?? [];
    expect(remembered).toMatchObject({ number: boot?.number, beganAtMs: boot?.beganAtMs, stages: boot?.stages });
  });
});

describe("at rest", () => {
  it(`costs next to nothing with ${IDLE_MACHINES} machines that do nothing`, async () => {
    daemon.write(rack(IDLE_MACHINES));
    await daemon.start();
    for (let i = 0; i < IDLE_MACHINES; i++) await login(`m${i}`);
    expect(await daemon.metric("rackboot_sessions")).toBe(IDLE_MACHINES);
    await sleep(1000);
    // proc(5): utime and stime, the 14th and 15th field, in ticks of 10 ms; the command's name may hold spaces.
    const ticks = (): number => {
      const fields = readFileSync(`/proc/${daemon.pid}/stat`, "utf8")
        .replace(/^.*\) /, "")
        .split(" ");
      return Number(fields[11]) + Number(fields[12]);
    };
    const before = ticks();
    await sleep(IDLE_MS);
    const percent = ((ticks() - before) * 10 * 100) / IDLE_MS;
    const resident = /^VmRSS:\s+(.*)$/m.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1];
    console.log(`${IDLE_MACHINES} idle sessions: ${percent.toFixed(2)} % of a processor, ${resident} resident`);
  });
});
