import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureGuest } from "../harness/guest.ts";
import { installKernel, offerKernel } from "../harness/kernel-update.ts";
import { rhelDisk } from "../harness/layouts.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { Resources } from "../harness/resources.ts";

/**
 * A whole machine whose disk decides what boots: nothing is configured but the disk, a terabyte as RHEL lays it out. The tests
 * share the machine and go on where the one before them stopped.
 */

const resources = new Resources();
let rack: LoneMachine;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  const directory = emptyDirectory("netboot-disk");
  const files = join(directory, "files");
  mkdirSync(files);
  await offerKernel(files);
  const disk = await rhelDisk(guest, join(directory, "uqbar.raw"));
  const machine = { disks: [{ file: disk }], arguments: "rw console=ttyS0" };
  rack = await LoneMachine.start(resources, { directory, machine, config: { tftp: { root: files } } });
});

afterAll(async () => {
  await resources.close();
});

test("a machine boots what is on its disk through the disk's own shim: an entry of /boot, its root a logical volume", async () => {
  const { uqbar, daemon } = rack;
  expect(await rack.bootToLogin()).toBe(1);
  const version = await rack.kernel();
  expect(daemon.log).toContain(`uqbar is given Rackboot Guest (${version})`);
  // Firmware loads the disk's shim, and shim a GRUB of the same signer that has a network.
  expect(daemon.log).toMatch(/uqbar\/bootx64\.efi over tftp[\s\S]*uqbar\/grubx64\.efi over tftp/);
  const { stdout: line } = await uqbar.shell("cat /proc/cmdline");
  expect(line).toContain("uqbar/entry/0/vmlinuz root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root ");
  const { stdout: mounts } = await uqbar.shell(
    "findmnt -no SOURCE,FSTYPE /; findmnt -no FSTYPE /boot; systemctl --failed --no-legend --plain",
  );
  expect(mounts).toMatch(/^\/dev\/mapper\/rhel-root +xfs\nxfs\n$/);
});

test("a kernel that its own package manager installs is the one that runs after the next boot", async () => {
  const before = await rack.kernel();
  await installKernel(rack.uqbar);
  await rack.uqbar.powerOff();
  expect(await rack.bootToLogin()).toBe(2);
  const after = await rack.kernel();
  expect(after).toMatch(/^6\.12/);
  expect(after).not.toBe(before);
  const { stdout: entries } = await rack.daemon.rackboot("machine", "entries", "uqbar");
  expect(entries.split("\n").find((line) => line.includes("next"))).toContain(`Rackboot Guest (${after}) `);
}, 1_500_000);

test("a newest kernel that does not come up twice gives way to the one that last did", async () => {
  const { uqbar, daemon } = rack;
  await rack.untilCountedAsUp();
  const good = await rack.kernel();
  const broken = `cp /boot/vmlinuz-${good} /boot/vmlinuz-99-broken && echo nothing >/boot/initrd.img-99-broken`;
  expect((await uqbar.shell(`${broken} && /etc/kernel/postinst.d/zz-rackboot-entry 99-broken && sync`)).code).toBe(0);
  await uqbar.powerOff();
  for (let boot = 0; boot < 2; boot++) {
    await uqbar.powerOn();
    await uqbar.waitFor(/Kernel panic/);
    await uqbar.cutPower();
  }
  expect(await rack.bootToLogin()).toBe(3);
  expect(await rack.kernel()).toBe(good);
  const told = `Rackboot Guest (${good}): Rackboot Guest (99-broken) did not come up`;
  expect(daemon.log).toContain(`uqbar falls back to ${told}`);
  expect((await rack.boot())?.notes).toContain(`fell back to ${told}`);
});
