import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Ipv4, Iqn, Mac, MachineName, VolumeName } from "../../src/machine/identifiers.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { reduce, withHistory } from "../../src/state/reducer.ts";
import {
  type BootRecord,
  cardShown,
  initialState,
  MAX_BOOTS_KEPT,
  MAX_REASONS_OF_A_TYPE,
  MAX_SESSIONS,
  MAX_STRANGERS,
  MAX_TRANSFERS,
  machineStatus,
  type State,
} from "../../src/state/state.ts";
import { root, start, tlon, uefiBoot, uqbar } from "./uefi-boot.ts";

function afterEvents(events: readonly StateEvent[], from: State = initialState(0)): State {
  return events.reduce((state, event, index) => reduce(state, { ...event, atMs: index + 1 }), from);
}

const ready = afterEvents(start);
const address = "172.16.0.16" as Ipv4;

function began(number: number): readonly StateEvent[] {
  return [
    { type: "boot.began", machine: uqbar, boot: number, firmware: "uefi-x64-pxe" },
    { type: "boot.reached", machine: uqbar, boot: number, stage: "discover" },
  ];
}

describe("the network card that iPXE shows", () => {
  const own = "52:54:00:16:00:10" as Mac;
  const other = "52:54:00:16:00:20" as Mac;
  const strange = "52:54:00:16:00:30" as Mac;
  const asks = (mac: Mac, card?: string): StateEvent => ({ type: "dhcp.discovered", machine: uqbar, mac, ...(card && { card }) });

  it("is known for as long as the machine asks with that card, whoever of its firmware asks", () => {
    const shown = afterEvents([asks(own, "8086:10d3"), asks(own)], ready);
    expect(cardShown(shown, [own])).toBe("8086:10d3");
    expect(cardShown(shown, [other, own])).toBe("8086:10d3");
    expect(cardShown(afterEvents([asks(other)], shown), [other])).toBeUndefined();
  });

  it("is known of hardware that nobody has adopted", () => {
    const state = afterEvents([{ type: "dhcp.discovered", mac: strange, card: "14e4:1657" }], ready);
    expect(cardShown(state, [strange])).toBe("14e4:1657");
    expect(cardShown(state, [own])).toBeUndefined();
  });
});

describe("the address of a machine", () => {
  const offered: StateEvent = { type: "dhcp.offered", machine: uqbar, mac: "52:54:00:16:00:10" as Mac, address: "0.0.0.0" as Ipv4 };
  const asksForFile: StateEvent = {
    type: "transfer.started",
    machine: uqbar,
    transfer: 1,
    transport: "tftp",
    address,
    path: "uqbar/snponly.efi",
    role: "loader",
    sizeBytes: 1,
  };

  it("is where its files go, when another server gives it", () => {
    expect(afterEvents([offered], ready).machines["uqbar"]?.address).toBeUndefined();
    expect(afterEvents([offered, asksForFile, offered], ready).machines["uqbar"]?.address).toBe(address);
  });
});

describe("a whole boot", () => {
  it("leaves the machine with its address, its session, and nothing in flight", () => {
    const state = afterEvents(
      uefiBoot.map(([, event]) => event),
      ready,
    );
    expect(state.machines["uqbar"]).toMatchObject({ address: "172.16.0.16", mac: "52:54:00:16:00:10" });
    expect(Object.keys(state.sessions)).toEqual(["2"]);
    expect(state.sessions["2"]).toMatchObject({ machine: "uqbar", hasRead: true });
    expect(state.transfers).toEqual({});
    expect(machineStatus(state, "uqbar")).toBe("up");
    expect(machineStatus(state, "tlon")).toBe("off");
    expect(state.counters).toMatchObject({
      "transfer.finished": 5,
      "file.refused: no such file": 1,
      "iscsi.login": 2,
      "dhcp.discovered": 2,
    });
  });

  it("shows how far a file is while it is on its way", () => {
    const until = uefiBoot.findIndex(([, event]) => event.type === "transfer.progressed");
    const state = afterEvents(
      uefiBoot.slice(0, until + 1).map(([, event]) => event),
      ready,
    );
    expect(Object.values(state.transfers)).toMatchObject([
      { machine: "uqbar", path: "shimx64.efi", sentBytes: 478_568, sizeBytes: 957_136 },
    ]);
  });

  it("never changes a state that somebody holds", () => {
    const freeze = (value: unknown): void => {
      if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
      Object.freeze(value);
      for (const child of Object.values(value)) freeze(child);
    };
    let state = initialState(0);
    for (const event of [...start, ...uefiBoot.map(([, event]) => event), ...began(1)]) {
      freeze(state);
      state = reduce(state, { ...event, atMs: 1 });
    }
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
  });
});

describe("a timeline", () => {
  it("has the time of each stage, and its end", () => {
    const state = afterEvents(
      [
        ...began(1),
        { type: "boot.reached", machine: uqbar, boot: 1, stage: "up" },
        { type: "boot.reached", machine: uqbar, boot: 1, stage: "up" },
      ],
      ready,
    );
    expect(state.machines["uqbar"]?.boots).toEqual([
      { number: 1, machine: "uqbar", firmware: "uefi-x64-pxe", beganAtMs: 1, outcome: "up", stages: { discover: 2, up: 3 }, notes: [] },
    ]);
  });

  it("says why a boot was given up", () => {
    const state = afterEvents(
      [...began(1), { type: "boot.abandoned", machine: uqbar, boot: 1, stage: "discover", reason: "asked again" }],
      ready,
    );
    expect(state.machines["uqbar"]?.boots.at(-1)).toMatchObject({ outcome: "abandoned", reason: "asked again" });
  });

  it("says what the machine was given, and what is out of the ordinary, once", () => {
    const who = { machine: uqbar, boot: 1 };
    const fellBack: StateEvent = { type: "boot.fellBack", ...who, entry: "Linux 6.1", failed: "Linux 6.2" };
    const state = afterEvents(
      [
        ...began(1),
        { type: "boot.entry", ...who, entry: "Linux 6.2", because: "chosen" },
        fellBack,
        fellBack,
        { type: "boot.nothing", ...who, reason: "empty" },
        { type: "boot.noLoader", ...who, firmware: "bios-pxe" },
      ],
      ready,
    );
    const notes = [
      "Linux 6.2, which was chosen here",
      "fell back to Linux 6.1: Linux 6.2 did not come up",
      "empty",
      expect.stringMatching(/no boot loader for BIOS; install/),
    ];
    expect(state.machines["uqbar"]?.boots.at(-1)?.notes).toEqual(notes);
  });

  it("is kept for the last few boots", () => {
    const state = afterEvents(Array.from({ length: 20 }, (_, index) => began(index + 1)).flat(), ready);
    expect(state.machines["uqbar"]?.boots.map((boot) => boot.number)).toEqual([13, 14, 15, 16, 17, 18, 19, 20]);
    expect(state.machines["uqbar"]?.boots).toHaveLength(MAX_BOOTS_KEPT);
  });

  it("goes on from what the data disk remembers", () => {
    const record: BootRecord = { number: 4, machine: uqbar, beganAtMs: 1, outcome: "booting", stages: { discover: 1 }, notes: [] };
    const state = afterEvents(
      [...start, { type: "boot.reached", machine: uqbar, boot: 4, stage: "kernel" }],
      withHistory(initialState(0), [record]),
    );
    expect(state.machines["uqbar"]?.boots[0]?.stages).toEqual({ discover: 1, kernel: 5 });
    expect(machineStatus(state, "uqbar")).toBe("booting");
  });
});

describe("a machine", () => {
  it("that was up and has no session any more is lost, until its firmware asks", () => {
    const up = afterEvents([...began(1), { type: "boot.reached", machine: uqbar, boot: 1, stage: "up" }], ready);
    expect(machineStatus(up, "uqbar")).toBe("lost");
    expect(machineStatus(afterEvents(began(2), up), "uqbar")).toBe("booting");
  });

  it("is forgotten with its history when the configuration no longer has it, and the others are not", () => {
    const state = afterEvents([...began(1), { type: "config.loaded", file: "rackboot.yaml", machines: [uqbar], volumes: [] }], ready);
    expect(Object.keys(state.machines)).toEqual(["uqbar"]);
    expect(state.machines["uqbar"]?.boots).toHaveLength(1);
    expect(state.volumes).toEqual({});
    expect(afterEvents([...began(9).map((event) => ({ ...event, machine: tlon }) as StateEvent)], state).machines["tlon"]).toBeUndefined();
  });

  it("may be called like something that every object has", () => {
    const name = "constructor" as MachineName;
    const state = afterEvents(
      [{ type: "config.loaded", file: "x", machines: [name], volumes: [name as string as VolumeName] }],
      initialState(0),
    );
    expect(state.machines["constructor"]).toEqual({ boots: [] });
    expect(state.volumes["constructor"]).toEqual({});
  });
});

describe("what goes wrong", () => {
  it("stays in sight: a volume that is offline is not merely full, and opening it ends the alarm", () => {
    const failed = afterEvents(
      [
        { type: "volume.full", volume: root },
        { type: "volume.failed", volume: root, reason: "EIO" },
        { type: "volume.full", volume: root },
      ],
      ready,
    );
    expect(failed.volumes["uqbar-root"]?.alarm).toMatchObject({ kind: "failed", reason: "EIO" });
    expect(afterEvents([{ type: "volume.opened", volume: root, sizeBytes: 1 }], failed).volumes["uqbar-root"]).toEqual({ sizeBytes: 1 });
  });

  it("in a configuration is shown until a good one comes", () => {
    const bad = afterEvents([{ type: "config.rejected", file: "x.yaml", problems: ["x.yaml:1:1: no"] }], ready);
    expect(bad.daemon).toMatchObject({ phase: "ready", rejected: { problems: ["x.yaml:1:1: no"] }, config: { file: "rackboot.yaml" } });
    expect(afterEvents(start, bad).daemon.rejected).toBeUndefined();
  });

  it("with a service is shown until it runs again", () => {
    const failed = afterEvents([{ type: "service.failed", service: "dhcp", reason: "port 67 is in use" }], ready);
    expect(failed.services["dhcp"]).toMatchObject({ status: "failed", detail: "port 67 is in use" });
    expect(afterEvents([{ type: "service.started", service: "dhcp", detail: "on eth0" }], failed).services["dhcp"]).toMatchObject({
      status: "up",
    });
  });
});

describe("hardware that nobody knows", () => {
  const mac = "52:54:00:16:00:99" as Mac;
  const vendorClass = "PXEClient:Arch:00007\u001b[2J";
  const asks: StateEvent = { type: "dhcp.pending", mac, firmware: "uefi-x64-pxe", vendorClass, architecture: 7, uuid: "4c4c4544" };

  it("is held with what it says of itself, which cannot paint a terminal, and stays held when its system asks as well", () => {
    const known = { firmware: "uefi-x64-pxe", vendorClass: "PXEClient:Arch:00007?[2J", architecture: 7, uuid: "4c4c4544", pending: true };
    expect(afterEvents([asks], ready).strangers[mac]).toMatchObject(known);
    expect(afterEvents([asks, { type: "dhcp.pending", mac }], ready).strangers[mac]).toMatchObject(known);
  });

  it("is forgotten when it is a machine, or is not held any more", () => {
    const loaded: StateEvent = { type: "config.loaded", file: "rackboot.yaml", machines: [uqbar], macs: [mac], volumes: [] };
    expect(afterEvents([asks, loaded], ready).strangers).toEqual({});
    const ignored: StateEvent = { type: "dhcp.ignored", mac, reason: "no machine has this MAC address" };
    expect(afterEvents([asks, ignored], ready).strangers[mac]?.pending).toBeUndefined();
  });
});

describe("no peer can make the state grow without end:", () => {
  it("strangers", () => {
    const events = Array.from({ length: 300 }, (_, index): StateEvent => {
      return { type: "dhcp.ignored", mac: `02:00:00:00:${index >> 8}:${index & 255}` as Mac, reason: "no machine of ours" };
    });
    const [first = ""] = Object.keys(afterEvents(events, ready).strangers);
    const state = afterEvents([...events, { type: "dhcp.ignored", mac: first as Mac, reason: "again" }], ready);
    expect(Object.keys(state.strangers)).toHaveLength(MAX_STRANGERS);
    expect(Object.keys(state.strangers).at(-1)).toBe(first);
  });

  it("reasons", () => {
    const events = Array.from(
      { length: 200 },
      (_, index): StateEvent => ({ type: "peer.malformed", service: "tftp", peer: "x", reason: `${index} ${"x".repeat(999)}` }),
    );
    const keys = Object.keys(afterEvents(events, ready).counters).filter((key) => key.startsWith("peer.malformed: "));
    expect(keys).toHaveLength(MAX_REASONS_OF_A_TYPE + 1);
    expect(afterEvents(events, ready).counters["peer.malformed: other"]).toBe(200 - MAX_REASONS_OF_A_TYPE);
    expect(Math.max(...keys.map((key) => key.length))).toBeLessThan(200);
  });

  it("transfers and sessions that never end", () => {
    let state = ready;
    for (let number = 1; number <= MAX_TRANSFERS + 10; number++) {
      state = reduce(state, {
        type: "transfer.started",
        transfer: number,
        transport: "tftp",
        address,
        path: "x",
        role: "other",
        sizeBytes: 1,
        atMs: 1,
      });
    }
    expect(Object.keys(state.transfers)).toHaveLength(MAX_TRANSFERS);
    expect(Object.keys(state.transfers).at(-1)).toBe(String(MAX_TRANSFERS + 10));
    const iqn = "iqn.2026-01.lan:x" as Iqn;
    for (let connection = 1; connection <= MAX_SESSIONS + 10; connection++) {
      state = reduce(state, { type: "iscsi.login", connection, initiator: iqn, target: iqn, peer: "x", reinstated: false, atMs: 1 });
    }
    expect(Object.keys(state.sessions)).toHaveLength(MAX_SESSIONS);
  }, 30_000);
});

it("events that come late, twice or for things long gone are no trouble", () => {
  const all = [...start, ...uefiBoot.map(([, event]) => event), ...began(1), ...began(2)];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...all), { maxLength: 80 }), (events) => {
      const state = afterEvents(events);
      for (const name of Object.keys(state.machines)) machineStatus(state, name);
      expect(state.counters["transfer.progressed"]).toBeUndefined();
    }),
  );
});
