import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Sticks } from "../../../board/system/sticks.ts";

/** As `blkid -o export` tells it. */
const CARD = "DEVNAME=/dev/mmcblk0p1\nLABEL=BOOT-CONFIG\nTYPE=vfat\n";
const DATA = "DEVNAME=/dev/sda\nLABEL=RACKBOOT\nTYPE=xfs\n";
const STICK = "DEVNAME=/dev/sdb1\nLABEL=MY\\ STICK\nTYPE=exfat\n";

let folder: string;
let present: readonly string[];
let commands: string[];
let sticks: Sticks;

/** A stick with these files; what is mounted stands in a file as the kernel's table does. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-sticks-"));
  present = [CARD, DATA, STICK];
  commands = [];
  mkdirSync(join(folder, "sys/class/block"), { recursive: true });
  for (const [name, bus] of [
    ["mmcblk0p1", "mmc0"],
    ["sda", "usb2"],
    ["sdb1", "usb1"],
  ] as const) {
    mkdirSync(join(folder, "sys/devices", bus, name), { recursive: true });
    symlinkSync(join(folder, "sys/devices", bus, name), join(folder, "sys/class/block", name));
  }
  const mounts = join(folder, "mounts");
  writeFileSync(mounts, "/dev/mmcblk0p1 /boot-config vfat ro 0 0\n/dev/sda /data xfs rw 0 0\n");
  sticks = new Sticks({
    folder: join(folder, "sticks"),
    dataLabel: "RACKBOOT",
    sys: join(folder, "sys"),
    mounts,
    run: async (command, args) => {
      if (command === "blkid") return present.join("\n\n");
      commands.push([command, ...args].join(" ").replaceAll(folder, ""));
      const place = args.at(-1) ?? "";
      if (command === "umount") {
        writeFileSync(mounts, readFileSync(mounts, "utf8").replace(/.*sticks.*\n/, ""));
        return "";
      }
      appendFileSync(mounts, `/dev/sdb1 ${place} exfat ro 0 0\n`);
      mkdirSync(join(place, "isos/deep/deeper/too-deep"), { recursive: true });
      for (const name of ["rackboot-2.raucb", "._rackboot-2.raucb", "isos/RHEL.ISO", "isos/deep/deeper/too-deep/x.iso", "notes.txt"]) {
        writeFileSync(join(place, name), "12345");
      }
      symlinkSync("/etc/passwd", join(place, "passwd.iso"));
      return "";
    },
  });
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("a person who brings a file on a USB stick", () => {
  it("finds it, whatever its case, and nothing of the card, of the data disk or of another system's leavings", async () => {
    expect(await sticks.files(".iso")).toEqual([
      { path: join(folder, "sticks/sdb1/isos/RHEL.ISO"), name: "isos/RHEL.ISO", stick: "MY STICK", sizeBytes: 5 },
    ]);
    expect((await sticks.files(".raucb")).map(({ name }) => name)).toEqual(["rackboot-2.raucb"]);
    // Once, and so that nothing on it can do harm or be lost.
    expect(commands).toEqual(["mount -o ro,nosuid,nodev,noexec /dev/sdb1 /sticks/sdb1"]);
  });

  it("may pull it out: the next look lets go of it", async () => {
    await sticks.files(".iso");
    present = [CARD, DATA];
    expect(await sticks.files(".iso")).toEqual([]);
    expect(commands.at(-1)).toBe("umount -l /sticks/sdb1");
  });

  it("hears of a stick that cannot be mounted, and the daemon does not mind", async () => {
    const broken = new Sticks({
      folder: join(folder, "sticks"),
      dataLabel: "RACKBOOT",
      sys: join(folder, "sys"),
      mounts: join(folder, "mounts"),
      run: async (command) => {
        if (command === "blkid") return STICK;
        throw new Error("mount: wrong fs type");
      },
    });
    await expect(broken.files(".iso")).rejects.toThrow("wrong fs type");
    await expect(broken.files(".iso")).rejects.toThrow("wrong fs type");
  });
});
