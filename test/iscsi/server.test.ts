import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, it, vi } from "vitest";
import { FREE_FAILURES, LONGEST_DELAY_MS, MAX_HELD_REFUSALS } from "../../src/iscsi/login-pace.ts";
import { LOGIN_STATUS } from "../../src/iscsi/login-pdu.ts";
import { decodeTextResponse, encodeTextRequest, NO_TAG, OPCODE, opcodeOf } from "../../src/iscsi/pdu.ts";
import { ReservationStore } from "../../src/iscsi/reservation-store.ts";
import { SanitizeStore } from "../../src/iscsi/sanitize-store.ts";
import { IscsiServer, MAX_PENDING_LOGINS } from "../../src/iscsi/server.ts";
import { encodeText, type TextPairs } from "../../src/iscsi/text.ts";
import type { ServedVolume } from "../../src/iscsi/units.ts";
import { parseIpv4, parseVolumeName, type VolumeName } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { Rack } from "../../src/machine/rack.ts";
import type { ConnectionId } from "../../src/native/data-plane.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { FakeDataPlane } from "../fakes/data-plane.ts";
import { dracutKeys, loginPdu, machine, readLoginAnswer } from "./support.ts";

const UQBAR = machine("uqbar");
const TLON = machine("tlon");

class Bench {
  readonly full: number[] = [];
  readonly plane = new FakeDataPlane();
  readonly events: StateEvent[] = [];
  readonly volumes = new Map<VolumeName, ServedVolume>();
  readonly server: IscsiServer;
  /** What a login waits for. */
  ready: Promise<void> = Promise.resolve();

  constructor(machines: readonly Machine[] = [UQBAR, TLON]) {
    for (const { disks } of machines) for (const disk of disks) this.open(disk);
    this.server = new IscsiServer({
      dataPlane: this.plane,
      rack: new Rack(machines),
      portals: [
        { address: parseIpv4("172.16.0.1"), port: 3260 },
        { address: parseIpv4("172.17.0.1"), port: 3260 },
      ],
      volumes: {
        get: (name) => this.volumes.get(name),
        byId: (id) => [...this.volumes.values()].find((volume) => volume.id === id),
        provisioned: () => undefined,
      },
      reservations: new ReservationStore(new DatabaseSync(":memory:")),
      sanitized: new SanitizeStore(new DatabaseSync(":memory:")),
      onFull: (volume) => void this.full.push(volume),
      secretsFor: () => undefined,
      random: (octets) => new Uint8Array(octets),
      ready: () => this.ready,
      emit: (event) => this.events.push(event),
    });
    this.plane.onEvents = (events) => this.server.handle(events);
    this.server.listen();
  }

  open(name: VolumeName, readOnly = false): void {
    const config = { blockSize: 512, readOnly, writeCache: true, thin: true, removable: false } as const;
    const id = this.plane.openVolume({ path: `/disks/${name}`, sizeBytes: 0, ...config });
    this.volumes.set(name, {
      name,
      id,
      path: `/disks/${name}`,
      sizeBytes: 1 << 30,
      serial: name,
      naa: Uint8Array.of(0x30, 0, 0, 0, 0, 0, 0, id),
      config,
    });
  }

  /** Connects and sends the one request of a dracut boot. */
  async login(name: string, isid?: string, pairs: TextPairs = dracutKeys(name), from?: string): Promise<ConnectionId> {
    const connection = this.plane.accept(0, from);
    const { header, data } = loginPdu(isid === undefined ? {} : { isid }, pairs);
    this.plane.receive(connection, header, data);
    await turn();
    return connection;
  }

  lastAnswerTo(connection: ConnectionId): ReturnType<typeof readLoginAnswer> {
    return readLoginAnswer(this.plane.sent.findLast((pdu) => pdu.connection === connection));
  }

  told(type: StateEvent["type"]): readonly StateEvent[] {
    return this.events.filter((event) => event.type === type);
  }
}

/** Lets promises and microtasks have their turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the iSCSI server", () => {
  it("gives a machine its own disks, and tells everybody who is interested", async () => {
    const bench = new Bench([machine("uqbar", { disks: [parseVolumeName("uqbar-root"), parseVolumeName("tools")] }), TLON]);
    const connection = await bench.login("uqbar");
    expect(bench.lastAnswerTo(connection).response).toMatchObject({ status: 0, transit: true, nextStage: 3, tsih: 1 });
    const ids = ["uqbar-root", "tools"].map((name) => bench.volumes.get(parseVolumeName(name))?.id);
    expect(bench.plane.sessions.get(connection)?.luns).toEqual(ids.map((volume, lun) => ({ lun, volume, readOnly: false })));
    bench.server.handle([{ type: "first-read", connection, lun: 0 }]);
    bench.plane.hangUp(connection);
    expect(bench.events).toEqual([
      {
        type: "iscsi.login",
        machine: "uqbar",
        connection,
        initiator: "iqn.1994-05.com.redhat:uqbar",
        target: "iqn.2026-01.lan.rackboot:uqbar",
        peer: "127.0.0.9:40000",
        reinstated: false,
      },
      { type: "iscsi.firstRead", connection, machine: "uqbar" },
      { type: "iscsi.closed", connection, reason: "peer-closed", machine: "uqbar" },
    ]);
  });

  it("reinstates the session of every dracut boot, after the old connection's last write", async () => {
    const bench = new Bench();
    const first = await bench.login("uqbar");
    bench.plane.closesAtOnce = false;
    const second = await bench.login("uqbar");
    expect(bench.plane.sessions.has(second)).toBe(false);
    expect([...bench.plane.closing.keys()]).toEqual([first]);
    bench.plane.finishClosing(first);
    await turn();
    expect(bench.plane.sessions.has(second)).toBe(true);
    expect(bench.told("iscsi.login").at(-1)).toMatchObject({ connection: second, reinstated: true });
  });

  it("shows a machine the disks that it has when they are ready, and one that left meanwhile none", async () => {
    const bench = new Bench();
    const { promise, resolve } = Promise.withResolvers<void>();
    bench.ready = promise;
    const [connection, gone] = [await bench.login("uqbar"), await bench.login("tlon")];
    bench.plane.hangUp(gone);
    expect(bench.plane.sessions.size).toBe(0);
    bench.open(parseVolumeName("uqbar-root"));
    resolve();
    await turn();
    expect(bench.plane.sessions.get(connection)?.luns).toEqual([
      { lun: 0, volume: bench.volumes.get(parseVolumeName("uqbar-root"))?.id, readOnly: false },
    ]);
    expect(bench.told("iscsi.login").map((event) => "machine" in event && event.machine)).toEqual(["uqbar"]);
  });

  it("fences a login that waits for its disks as it fences a session", async () => {
    const bench = new Bench();
    bench.ready = new Promise(() => undefined);
    const connection = await bench.login("uqbar");
    await bench.server.fence(UQBAR.name);
    expect(bench.plane.sessions.has(connection)).toBe(false);
    expect(bench.told("iscsi.login")).toEqual([]);
  });

  it("keeps an initiator from another machine's disks, and says who tried", async () => {
    const bench = new Bench();
    const pairs = dracutKeys("tlon").map(([key, value]): [string, string] => [key, key === "TargetName" ? UQBAR.target : value]);
    const connection = await bench.login("tlon", undefined, pairs);
    expect(bench.lastAnswerTo(connection).response.status).toBe(LOGIN_STATUS.authorizationFailure);
    expect(bench.told("iscsi.refused")).toMatchObject([{ machine: "uqbar", initiator: TLON.initiators[0], target: UQBAR.target }]);
    expect(bench.plane.closing.size).toBe(0);
    expect(bench.plane.sessions.size).toBe(0);
  });

  it("answers SendTargets with what the initiator may see, through the portal that it asked at", async () => {
    const bench = new Bench();
    const connection = bench.plane.accept(1);
    const login = loginPdu({}, [
      ["InitiatorName", "iqn.1994-05.com.redhat:tlon"],
      ["SessionType", "Discovery"],
    ]);
    bench.plane.receive(connection, login.header, login.data);
    await turn();
    expect(bench.told("iscsi.discovery")).toHaveLength(1);
    const data = encodeText([["SendTargets", "All"]]);
    const request = { immediate: true, final: true, continued: false, lun: 0n, taskTag: 9, transferTag: NO_TAG, cmdSN: 1, expStatSN: 1 };
    bench.plane.receive(connection, encodeTextRequest(request, data.length), data);
    const answer = bench.plane.sent.at(-1);
    expect(decodeTextResponse(answer?.header ?? new Uint8Array(0))).toMatchObject({ final: true, taskTag: 9 });
    expect(Buffer.from(answer?.data ?? []).toString()).toBe(
      `TargetName=${TLON.target}\0TargetAddress=172.17.0.1:3260,2\0TargetAddress=172.16.0.1:3260,1\0`,
    );
  });

  it("shows a target only to initiators at the addresses that the configuration names", async () => {
    const bench = new Bench([machine("uqbar", { initiatorNetworks: [{ address: parseIpv4("172.16.0.16"), prefixLength: 32 }] })]);
    const seenFrom = async (from: string): Promise<string> => {
      const connection = await bench.login("uqbar", undefined, [...dracutKeys("uqbar").slice(0, 1), ["SessionType", "Discovery"]], from);
      const data = encodeText([["SendTargets", "All"]]);
      const request = { immediate: true, final: true, continued: false, lun: 0n, taskTag: 9, transferTag: NO_TAG, cmdSN: 1, expStatSN: 1 };
      bench.plane.receive(connection, encodeTextRequest(request, data.length), data);
      return Buffer.from(bench.plane.sent.at(-1)?.data ?? []).toString();
    };
    expect(await seenFrom("172.16.0.16")).toContain(UQBAR.target);
    expect(await seenFrom("172.16.0.17")).toBe("");
  });

  it("answers commands of a session from the disk that its LUN is, and from none where there is none", async () => {
    const bench = new Bench();
    const connection = await bench.login("uqbar");
    const inquiry = Uint8Array.from({ length: 16 }, (_, i) => [0x12, 0, 0, 0, 96][i] ?? 0);
    expect(Buffer.from(bench.plane.command(connection, 0, inquiry)?.data?.subarray(8, 16) ?? []).toString()).toBe("RACKBOOT");
    expect(bench.plane.command(connection, 3, inquiry)?.data?.[0]).toBe(0x7f);
  });

  it("drops whoever speaks out of turn, and counts it", async () => {
    const bench = new Bench();
    const connection = bench.plane.accept();
    bench.plane.receive(
      connection,
      Uint8Array.from({ length: 48 }, () => 0),
      new Uint8Array(0),
    );
    await turn();
    expect(bench.told("peer.malformed")).toHaveLength(1);
    expect(bench.plane.counters().connections).toBe(0);
  });

  it("rejects a malformed text request with its own header, and the session goes on", async () => {
    const bench = new Bench();
    const connection = await bench.login("uqbar");
    const request = { immediate: false, final: true, continued: false, lun: 0n, taskTag: 9, transferTag: 4, cmdSN: 1, expStatSN: 1 };
    const header = encodeTextRequest(request, 0);
    bench.plane.receive(connection, header, new Uint8Array(0));
    expect(opcodeOf(bench.plane.sent.at(-1)?.header ?? new Uint8Array(1))).toBe(OPCODE.reject);
    expect(bench.plane.sent.at(-1)?.data).toEqual(header);
    expect(bench.plane.sessions.has(connection)).toBe(true);
  });

  it("does not hold more logins than its limit", async () => {
    const bench = new Bench();
    for (let i = 0; i <= MAX_PENDING_LOGINS; i++) bench.plane.accept();
    await turn();
    expect(bench.plane.counters().connections).toBe(MAX_PENDING_LOGINS);
    expect(bench.told("iscsi.refused")).toHaveLength(1);
  });

  it("asks an initiator to come back where a disk cannot be opened", async () => {
    const bench = new Bench();
    bench.volumes.clear();
    const connection = await bench.login("uqbar");
    expect(bench.lastAnswerTo(connection).response.status).toBe(LOGIN_STATUS.serviceUnavailable);
    expect(bench.told("iscsi.closed")).toEqual([]);
  });

  it("says which volume failed, and which is full", () => {
    const bench = new Bench();
    const id = bench.volumes.get(parseVolumeName("uqbar-root"))?.id ?? 0;
    bench.server.handle([
      { type: "volume-failed", volume: id, reason: "fdatasync: I/O error" },
      { type: "volume-full", volume: id },
    ]);
    expect(bench.events).toEqual([{ type: "volume.failed", volume: "uqbar-root", reason: "fdatasync: I/O error", storage: true }]);
    expect(bench.full).toEqual([id]);
  });
});

describe("a changed configuration", () => {
  it("leaves sessions of unchanged machines alone, and ends those of machines that are gone or closed to them", async () => {
    const bench = new Bench([UQBAR, TLON, machine("orbis")]);
    const [uqbar, tlon, orbis] = [await bench.login("uqbar"), await bench.login("tlon"), await bench.login("orbis")];
    bench.server.applyRack(new Rack([machine("uqbar"), machine("orbis", { chap: true })]));
    await turn();
    expect(bench.plane.sessions.has(uqbar)).toBe(true);
    expect(bench.told("iscsi.closed").map((event) => "connection" in event && event.connection)).toEqual([tlon, orbis]);
  });

  it("ends the session of an initiator at an address that is no longer allowed", async () => {
    const bench = new Bench([UQBAR]);
    const connection = await bench.login("uqbar", undefined, undefined, "10.0.0.1");
    bench.server.applyRack(new Rack([machine("uqbar", { initiatorNetworks: [{ address: parseIpv4("10.0.0.0"), prefixLength: 24 }] })]));
    expect(bench.plane.sessions.has(connection)).toBe(true);
    bench.server.applyRack(new Rack([machine("uqbar", { initiatorNetworks: [{ address: parseIpv4("10.0.1.0"), prefixLength: 24 }] })]));
    await turn();
    expect(bench.plane.sessions.has(connection)).toBe(false);
  });

  it("gives a running session the disks that its machine has now", async () => {
    const bench = new Bench();
    const connection = await bench.login("uqbar");
    bench.open(parseVolumeName("tools"), true);
    bench.server.applyRack(new Rack([machine("uqbar", { disks: [parseVolumeName("uqbar-root"), parseVolumeName("tools")] }), TLON]));
    expect(bench.plane.sessions.get(connection)?.luns.map(({ lun, readOnly }) => ({ lun, readOnly }))).toEqual([
      { lun: 0, readOnly: false },
      { lun: 1, readOnly: true },
    ]);
  });

  it("does not let in a login that was agreed on before its machine was taken out", async () => {
    const bench = new Bench();
    const first = await bench.login("uqbar");
    bench.plane.closesAtOnce = false;
    const second = await bench.login("uqbar");
    bench.server.applyRack(new Rack([TLON]));
    bench.plane.finishClosing(first);
    await turn();
    expect(bench.lastAnswerTo(second).response.status).toBe(LOGIN_STATUS.targetRemoved);
    expect(bench.plane.sessions.size).toBe(0);
  });
});

describe("the end of things", () => {
  it("fences a machine whose firmware asks again: its half-open session ends before the new boot goes on", async () => {
    const bench = new Bench();
    const uqbar = await bench.login("uqbar");
    const tlon = await bench.login("tlon");
    await bench.server.fence(UQBAR.name);
    expect(bench.plane.sessions.has(uqbar)).toBe(false);
    expect(bench.plane.sessions.has(tlon)).toBe(true);
    await bench.server.fence(UQBAR.name);
  });

  it("asks initiators to log out before it stops, and drops those that stay", async () => {
    const bench = new Bench();
    const connection = await bench.login("uqbar");
    await bench.server.stop(30);
    await turn();
    expect(opcodeOf(bench.plane.sent.at(-1)?.header ?? new Uint8Array(1))).toBe(OPCODE.asyncMessage);
    expect(bench.plane.listening.size).toBe(0);
    expect(bench.told("iscsi.closed")).toMatchObject([{ connection, reason: "dropped: the daemon is stopping" }]);
  });
});

describe("guessing CHAP secrets", () => {
  const GUESSER = "172.16.0.99";
  const guess = (bench: Bench): Promise<ConnectionId> => bench.login("guarded", undefined, dracutKeys("guarded"), GUESSER);
  afterEach(() => void vi.useRealTimers());

  it("is answered later and later, is told once, and keeps nobody else waiting", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const bench = new Bench([UQBAR, machine("guarded", { chap: true })]);
    for (let i = 0; i < FREE_FAILURES; i++) {
      expect(bench.lastAnswerTo(await guess(bench)).response.status).toBe(LOGIN_STATUS.authenticationFailure);
    }
    const held: ConnectionId[] = [];
    for (let i = 0; i < MAX_HELD_REFUSALS; i++) held.push(await guess(bench));
    expect(bench.plane.sent.filter(({ connection }) => held.includes(connection))).toEqual([]);
    const refused = await guess(bench);
    expect(bench.plane.sent.some(({ connection }) => connection === refused)).toBe(false);
    expect(bench.told("iscsi.slowed")).toEqual([{ type: "iscsi.slowed", peer: GUESSER, failures: FREE_FAILURES + 1 }]);

    expect(bench.lastAnswerTo(await bench.login("uqbar")).response.status).toBe(LOGIN_STATUS.success);
    const honest = await bench.login("guarded");
    expect(bench.lastAnswerTo(honest).response.status).toBe(LOGIN_STATUS.authenticationFailure);

    vi.advanceTimersByTime(1_000);
    expect(held.map((connection) => bench.plane.sent.some((pdu) => pdu.connection === connection))).toEqual([true, false, false, false]);
    vi.advanceTimersByTime(LONGEST_DELAY_MS);
    for (const connection of held) expect(bench.lastAnswerTo(connection).response.status).toBe(LOGIN_STATUS.authenticationFailure);
    expect(bench.told("iscsi.refused")).toHaveLength(FREE_FAILURES + MAX_HELD_REFUSALS + 1);
  });

  it("costs a guesser that hangs up nothing but its own connection", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const bench = new Bench([machine("guarded", { chap: true })]);
    for (let i = 0; i < FREE_FAILURES; i++) await guess(bench);
    const impatient = await guess(bench);
    bench.plane.hangUp(impatient);
    vi.advanceTimersByTime(LONGEST_DELAY_MS);
    expect(bench.plane.sent.some(({ connection }) => connection === impatient)).toBe(false);
  });
});
