import { describe, expect, it } from "vitest";
import { LAMPS, RULES, showing, type View } from "../../board/led-policy.ts";
import type { Iqn, Mac, MachineName } from "../../src/machine/identifiers.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { reduce } from "../../src/state/reducer.ts";
import { initialState, type State } from "../../src/state/state.ts";

const machine = "uqbar" as MachineName;
const mac = "52:54:00:16:00:10" as Mac;
const pool: StateEvent = { type: "pool.measured", path: "/data", fileSystem: "xfs", reflink: true, sizeBytes: 100, freeBytes: 50 };
const running: readonly StateEvent[] = [
  { type: "config.loaded", file: "rackboot.yaml", machines: [machine], volumes: [] },
  pool,
  { type: "daemon.ready" },
];
const login: StateEvent = {
  type: "iscsi.login",
  machine,
  connection: 1,
  initiator: "iqn.1994-05.com.redhat:uqbar" as Iqn,
  target: "iqn.2026-01.lan.rackboot:uqbar" as Iqn,
  peer: "172.16.0.16:1",
  reinstated: false,
};

function shown(events: readonly StateEvent[], view: Partial<View> = {}): string {
  const state = events.reduce<State>((before, event) => reduce(before, { ...event, atMs: 1000 }), initialState(0));
  const patterns = showing({ state, nowMs: 2000, ioBusy: false, ...view });
  return LAMPS.map((lamp) => patterns[lamp]).join(" | ");
}

describe("a person in front of the rack reads", () => {
  it.each<readonly [string, readonly StateEvent[], string]>([
    ["that it starts", [], "fast | off | off | off"],
    ["that it serves and nobody is there", running, "heartbeat | off | solid | off"],
    ["that a machine boots", [...running, { type: "boot.began", machine, boot: 1 }], "heartbeat | fast | solid | off"],
    ["that machines have their disks", [...running, login], "heartbeat | solid | solid | off"],
    [
      "that an unknown machine wants something",
      [...running, { type: "dhcp.ignored", mac, reason: "unknown" }, { type: "dhcp.discovered", mac, firmware: "uefi-x64-pxe" }],
      "heartbeat | 2 blinks | solid | off",
    ],
    ["that the pool is filling", [...running, { type: "pool.filling", percent: 81, freeBytes: 19 }], "heartbeat | off | slow | off"],
    [
      "that the data disk fails",
      [...running, { type: "fault.raised", fault: "data-disk-failing", reason: "EIO", next: "" }],
      "heartbeat | off | fast | 2 blinks",
    ],
    [
      "that there is no data disk, although the daemon runs",
      [...running, { type: "fault.raised", fault: "no-data-disk", reason: "none", next: "" }],
      "heartbeat | off | off | 1 blink",
    ],
    [
      "the lowest of two faults",
      [
        ...running,
        { type: "fault.raised", fault: "update-failed", reason: "", next: "" },
        { type: "fault.raised", fault: "no-link", reason: "", next: "" },
      ],
      "heartbeat | off | solid | 3 blinks",
    ],
    [
      "that a fault is mended",
      [...running, { type: "fault.raised", fault: "no-link", reason: "", next: "" }, { type: "fault.cleared", fault: "no-link" }],
      "heartbeat | off | solid | off",
    ],
    ["that it stops", [...running, { type: "daemon.stopping", reason: "SIGTERM" }], "slow | off | solid | off"],
    ["where it is", [...running, { type: "identify.started", forMs: 1 }], "fast | fast | fast | fast"],
    [
      "the state again afterwards",
      [...running, { type: "identify.started", forMs: 1 }, { type: "identify.ended" }],
      "heartbeat | off | solid | off",
    ],
  ])("%s", (_, events, expected) => expect(shown(events)).toBe(expected));

  it("that disks are read or written, and that strangers give up", () => {
    expect(shown([...running, login], { ioBusy: true })).toBe("heartbeat | solid | flicker | off");
    const stranger: StateEvent = { type: "dhcp.discovered", mac, firmware: "uefi-x64-pxe" };
    expect(shown([...running, stranger], { nowMs: 1000 + 3 * 60_000 })).toBe("heartbeat | off | solid | off");
    // A telephone on the same network is no machine to adopt.
    expect(shown([...running, { type: "dhcp.discovered", mac }])).toBe("heartbeat | off | solid | off");
  });
});

it("no lamp says two things with one rhythm", () => {
  for (const lamp of LAMPS) {
    const patterns = RULES.filter((rule) => rule.lamp === lamp).map(({ pattern }) => pattern);
    expect(new Set(patterns).size).toBe(patterns.length);
  }
});

it("only identify blinks all four fast", () => {
  expect(RULES.some(({ lamp, pattern }) => lamp === "fault" && (pattern === "fast" || pattern === "solid"))).toBe(false);
});
