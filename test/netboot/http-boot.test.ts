import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { copyDisk, ensureGuest, GUEST_ARGUMENTS } from "../harness/guest.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { networkGrub } from "../harness/network-grub.ts";
import { Resources } from "../harness/resources.ts";

/** UEFI HTTP Boot through GRUB: what firmware, GRUB and Linux's loader fetch comes over HTTP, all of it. */

const resources = new Resources();
let rack: LoneMachine;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  const directory = emptyDirectory("netboot-http");
  const disk = join(directory, "uqbar.raw");
  await copyDisk(guest, disk);
  const loader = await networkGrub(directory, "grubx64", ["set root=http,$net_default_server", "configfile ($root)/grub/grub.cfg"]);
  const boot = { kernel: guest.kernel, initrd: guest.initrd, loader, arguments: GUEST_ARGUMENTS };
  rack = await LoneMachine.start(resources, { directory, firmware: "uefi-http", machine: { disks: [{ file: disk }], boot } });
});

afterAll(async () => {
  await resources.close();
});

test("a UEFI machine boots over HTTP alone, through GRUB, to its login prompt", async () => {
  expect(await rack.bootToLogin()).toBe(1);
  const { log } = rack.daemon;
  for (const file of ["uqbar/grubx64.efi", "grub/grub.cfg", "uqbar/vmlinuz", "uqbar/initrd"]) expect(log).toContain(`${file} over http`);
  expect(log).not.toContain("over tftp");
  expect(await rack.boot()).toMatchObject({ firmware: "uefi-x64-http" });
  expect((await rack.uqbar.shell("findmnt -no SOURCE /")).stdout).toBe("/dev/sda\n");
});
