import { describe, expect, it } from "vitest";
import { type Alarms, type Findings, judge } from "../../../board/health/alarms.ts";

const NONE: Alarms = new Map();

function names(findings: Findings, before: Alarms = NONE, atMs = 0): readonly string[] {
  return [...judge(findings, before, atMs).keys()];
}

const hot = (temperatureC: number): Findings => ({ health: { temperatureC } });

describe("an alarm", () => {
  it("is raised at one threshold and eased at a lower one, so that nobody is told twice a minute", () => {
    expect(names(hot(79.9))).toEqual([]);
    const raised = judge(hot(80), NONE, 0);
    expect([...raised.keys()]).toEqual(["hot"]);
    expect(names(hot(76), raised)).toEqual(["hot"]);
    expect(names(hot(74.9), raised)).toEqual([]);
  });

  it("of a weak supply stands until it was quiet for ten minutes, since it dips for moments", () => {
    const weak: Findings = { health: { power: { underVoltage: true, throttled: false } } };
    const well: Findings = { health: { power: { underVoltage: false, throttled: false } } };
    let alarms = judge(weak, NONE, 0);
    alarms = judge(well, alarms, 500_000);
    expect([...alarms.keys()]).toEqual(["under-voltage"]);
    alarms = judge(weak, alarms, 590_000);
    expect(names(well, alarms, 1_180_000)).toEqual(["under-voltage"]);
    expect(names(well, alarms, 1_190_000)).toEqual([]);
  });

  it.each<readonly [string, Findings]>([
    ["throttled", { health: { power: { underVoltage: false, throttled: true } } }],
    ["memory-low", { health: { memory: { totalBytes: 1000, availableBytes: 49 } } }],
    ["slow-link", { health: {}, link: { interface: "eth0", up: true, speedMbps: 100, sinceMs: 0 } }],
    ["silent-vlan", { health: {}, vlan: { device: "eth0.20", frames: 0, parent: "eth0", parentFrames: 200 } }],
    ["slow-usb", { health: { disk: { device: "sda", usbId: "04e8:4001", driver: "uas", speedMbps: 480 } } }],
    ["uas-quirk", { health: { disk: { device: "sda", usbId: "152d:0578", driver: "uas", speedMbps: 5000 } } }],
    ["disk-hot", { health: { disk: { device: "sda", smart: { temperatureC: 70 } } } }],
    ["disk-worn", { health: { disk: { device: "sda", smart: { wearPercent: 93 } } } }],
    ["disk-errors", { health: { disk: { device: "sda", smart: { passed: true, badSectors: 1 } } } }],
    ["disk-errors", { health: { disk: { device: "sda", smart: { passed: false } } } }],
  ])("%s says what is wrong and what to do", (name, findings) => {
    const alarms = judge(findings, NONE, 0);
    expect([...alarms.keys()]).toEqual([name]);
    for (const { reason, next } of alarms.values())
      expect([reason, next]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)]);
  });

  it("names the very words for the kernel line, and is silent once they are there", () => {
    const disk = { device: "sda", usbId: "174c:55aa", driver: "uas", speedMbps: 5000 };
    expect(judge({ health: { disk } }, NONE, 0).get("uas-quirk")?.next).toContain("usb-storage.quirks=174c:55aa:u");
    expect(names({ health: { disk: { ...disk, driver: "usb-storage" } } })).toEqual([]);
    expect(names({ health: { disk: { ...disk, usbId: "04e8:61f5" } } })).toEqual([]);
  });

  it("is none where nothing can be measured", () => {
    expect(names({ health: {} })).toEqual([]);
    expect(names({ health: { disk: { device: "vda" } }, link: { interface: "lo", up: true, sinceMs: 0 } })).toEqual([]);
  });
});
