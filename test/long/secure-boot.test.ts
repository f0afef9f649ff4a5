import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureGuest } from "../harness/guest.ts";
import { rhelDisk } from "../harness/layouts.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { Resources } from "../harness/resources.ts";
import { GIB } from "../volume/look/images.ts";
import { record } from "./record.ts";

/**
 * Firmware that starts nothing unless Microsoft signed it, or whoever a signed loader vouches for: shim and the kernel are the
 * disk's, and the network GRUB between them is of the same signer. The tests go on where the one before them stopped.
 */

const SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

const resources = new Resources();
let rack: LoneMachine;

beforeAll(async () => {
  const directory = emptyDirectory("secure-boot");
  const disk = await rhelDisk(await ensureGuest((line) => console.log(line)), join(directory, "uqbar.raw"), 8 * GIB);
  const machine = { disks: [{ file: disk }], arguments: "rw console=ttyS0" };
  rack = await LoneMachine.start(resources, { directory, firmware: "uefi-secure-boot", machine });
});

afterAll(async () => {
  await resources.close();
});

test("a machine with Secure Boot goes through the disk's own signed chain to its login, and its kernel knows", async () => {
  expect(await rack.bootToLogin()).toBe(1);
  const { uqbar, daemon } = rack;
  expect(daemon.log).toMatch(/uqbar\/bootx64\.efi over tftp[\s\S]*uqbar\/grubx64\.efi over tftp[\s\S]*uqbar\/entry\/0\/vmlinuz/);
  // Four octets of attributes (UEFI 2.10, 8.2), then the value.
  expect((await uqbar.shell(`od -An -tu1 -j4 ${SECURE_BOOT}`)).stdout.trim()).toBe("1");
  expect((await uqbar.shell("dmesg")).stdout).toMatch(/secureboot: Secure boot enabled/);
  record("secure-boot", { firmware: "OVMF_CODE_4M.secboot.fd, Microsoft's keys", kernel: await rack.kernel(), login: true });
});

test("a kernel that nobody signed is not started, and the screen says so", async () => {
  const { uqbar } = rack;
  const kernel = await rack.kernel();
  const spoil = `cp /boot/vmlinuz-${kernel} /boot/vmlinuz-99-unsigned && printf x | dd of=/boot/vmlinuz-99-unsigned bs=1 seek=3000000 conv=notrunc`;
  const entry = `cp /boot/initrd.img-${kernel} /boot/initrd.img-99-unsigned && /etc/kernel/postinst.d/zz-rackboot-entry 99-unsigned`;
  expect((await uqbar.shell(`${spoil} && ${entry} && sync`)).code).toBe(0);
  await uqbar.powerOff();
  await uqbar.powerOn();
  await uqbar.waitFor(/bad shim signature/);
  await uqbar.waitFor(/rackboot: could not load Rackboot Guest \(99-unsigned\)/);
  await uqbar.cutPower();
  record("secure-boot", { firmware: "OVMF_CODE_4M.secboot.fd, Microsoft's keys", kernel, login: true, unsignedKernelRefused: true });
});
