import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deviceNumbers, diskOf, readDisk, readMemory, readPower, readTemperature, readVlan } from "../../../board/health/sensors.ts";
import { HealthWatcher } from "../../../board/health/watcher.ts";
import { Faults } from "../../../src/state/faults.ts";
import { Store } from "../../../src/state/store.ts";

let sysfs: string;
beforeEach(() => {
  sysfs = mkdtempSync(join(tmpdir(), "rackboot-sysfs-"));
});
afterEach(() => rmSync(sysfs, { recursive: true }));

function file(path: string, text: string): void {
  mkdirSync(dirname(join(sysfs, path)), { recursive: true });
  writeFileSync(join(sysfs, path), `${text}\n`);
}

/** A USB disk as the kernel shows it, with the test's own folder on its first partition. */
function usbDisk(driver: string, speed = "5000"): void {
  const usb = "devices/platform/scb/fd500000.pcie/usb2/2-1";
  const disk = `${usb}/2-1:1.0/host0/target0:0:0/0:0:0:0/block/sda`;
  file(`${usb}/idVendor`, "152d");
  file(`${usb}/idProduct`, "0578");
  file(`${usb}/speed`, speed);
  file(`${usb}/2-1:1.0/bInterfaceClass`, "08");
  mkdirSync(join(sysfs, `bus/usb/drivers/${driver}`), { recursive: true });
  symlinkSync(join(sysfs, `bus/usb/drivers/${driver}`), join(sysfs, `${usb}/2-1:1.0/driver`));
  file(`${disk}/sda1/partition`, "1");
  mkdirSync(join(sysfs, "dev/block"), { recursive: true });
  symlinkSync(join(sysfs, disk, "sda1"), join(sysfs, "dev/block", deviceNumbers(statSync(sysfs).dev)));
}

describe("the kernel's figures", () => {
  it("name the processor's temperature among many", async () => {
    expect(await readTemperature(sysfs)).toBeUndefined();
    file("class/thermal/thermal_zone0/type", "rp1_adc");
    file("class/thermal/thermal_zone0/temp", "31000");
    expect(await readTemperature(sysfs)).toBe(31);
    file("class/thermal/thermal_zone1/type", "cpu-thermal");
    file("class/thermal/thermal_zone1/temp", "48686");
    expect(await readTemperature(sysfs)).toBe(48.7);
  });

  it("tell a weak supply, by the firmware's bits or by the kernel's monitor", async () => {
    expect(await readPower(sysfs)).toBeUndefined();
    file("class/hwmon/hwmon1/name", "rpi_volt");
    file("class/hwmon/hwmon1/in0_lcrit_alarm", "1");
    expect(await readPower(sysfs)).toEqual({ underVoltage: true, throttled: false });
    file("devices/platform/soc/soc:firmware/get_throttled", "50000");
    expect(await readPower(sysfs)).toEqual({ underVoltage: false, throttled: false });
    file("devices/platform/soc/soc:firmware/get_throttled", "50005");
    expect(await readPower(sysfs)).toEqual({ underVoltage: true, throttled: true });
  });

  it("lead from the data to the disk under it and the bridge that it hangs on", async () => {
    expect(await readDisk(sysfs, sysfs)).toBeUndefined();
    usbDisk("uas");
    expect(await readDisk(sysfs, sysfs)).toEqual({ device: "sda", usbId: "152d:0578", driver: "uas", speedMbps: 5000 });
    mkdirSync(join(sysfs, "devices/virtual/block/loop0"), { recursive: true });
    expect(await diskOf(join(sysfs, "devices/virtual/block/loop0"))).toEqual({ device: "loop0" });
    expect(deviceNumbers(0x801)).toBe("8:1");
    expect([deviceNumbers(0x1_0303), deviceNumbers(0x11_032c)]).toEqual(["259:3", "259:300"]);
  });

  it("know how much memory is left", async () => {
    const memory = await readMemory();
    expect(memory?.availableBytes).toBeGreaterThan(0);
    expect(memory?.totalBytes).toBeGreaterThan(memory?.availableBytes ?? 0);
  });
});

it("an interface without a VLAN, or one that hears something, has none to tell of", async () => {
  file("class/net/eth0/statistics/rx_packets", "812");
  expect(await readVlan("eth0", sysfs)).toBeUndefined();
  file("class/net/eth0.20/statistics/rx_packets", "0");
  file("class/net/eth0.20/lower_eth0/ifindex", "2");
  expect(await readVlan("eth0.20", sysfs)).toEqual({ device: "eth0.20", frames: 0, parent: "eth0", parentFrames: 812 });
});

it("what init found wrong with the data disk is fault 2 with its next step, until init finds it mended", async () => {
  const store = new Store();
  const trouble = join(sysfs, "trouble");
  const watcher = new HealthWatcher({ store, faults: new Faults(store.emit), storage: sysfs, sysfs, trouble });
  writeFileSync(trouble, "two disks are labelled RACKBOOT\nunplug the one that is not meant\n");
  await watcher.look();
  const cause = { reason: "two disks are labelled RACKBOOT", next: "unplug the one that is not meant" };
  expect(store.snapshot().faults["data-disk-failing"]).toMatchObject(cause);
  rmSync(trouble);
  await watcher.look();
  expect(store.snapshot().faults["data-disk-failing"]).toBeUndefined();
});

it("a failing disk behind a bridge that hangs: alarms with their next steps, fault 2, once each, and gone when they are mended", async () => {
  let nowMs = 0;
  const store = new Store();
  const smartctl = join(sysfs, "smartctl");
  const says = (passed: boolean): void => {
    writeFileSync(
      smartctl,
      `#!/bin/sh\n[ "$4" = --attributes ] && [ "$5" = /dev/sda ] && echo '{"smart_status":{"passed":${passed}}}'\nexit 4\n`,
    );
    chmodSync(smartctl, 0o755);
  };
  usbDisk("uas", "480");
  const watcher = new HealthWatcher({ store, faults: new Faults(store.emit), storage: sysfs, sysfs, smartctl, nowMs: () => nowMs });
  const look = async (): Promise<void> => {
    nowMs += 31 * 60_000;
    await watcher.look();
    await watcher.smartAsked;
    await watcher.look();
  };
  says(false);
  await look();
  await watcher.look();
  expect(Object.keys(store.snapshot().alarms).sort()).toEqual(["disk-errors", "slow-usb", "uas-quirk"]);
  expect(store.snapshot().faults["data-disk-failing"]?.reason).toBe("sda says of itself that it fails (SMART)");
  expect(store.snapshot().counters["alarm.raised"]).toBe(3);
  expect(store.snapshot().health?.disk?.smart).toEqual({ passed: false });
  says(true);
  await look();
  expect(Object.keys(store.snapshot().alarms).sort()).toEqual(["slow-usb", "uas-quirk"]);
  expect(store.snapshot().faults).toEqual({});
});
