import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { copyDisk, ensureGuest, GUEST_ARGUMENTS } from "../harness/guest.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";
import { GIVEN, startOtherServer } from "../peers/dnsmasq.ts";

/** A network whose addresses are another server's, dnsmasq's here: rackboot gives nothing but what to boot, and disks. */

const MAC = "52:54:00:16:00:10";

const resources = new Resources();
let directory: string;
let rack: LoneMachine;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  directory = emptyDirectory("netboot-proxy");
  const disk = join(directory, "uqbar.raw");
  await copyDisk(guest, disk);
  const boot = { kernel: guest.kernel, initrd: guest.initrd, arguments: GUEST_ARGUMENTS };
  // Nobody has told rackboot which address will be its machine's.
  const machine = { address: undefined, disks: [{ file: disk }], boot };
  rack = await LoneMachine.start(resources, { directory, machine, config: { dhcp: { mode: "proxy" } } });
  await startOtherServer(resources, rack.namespace, directory);
});

afterAll(async () => {
  await resources.close();
});

test("a UEFI machine with an address of another server boots its disk to its login prompt", async () => {
  const { uqbar, daemon } = rack;
  await uqbar.powerOn();
  expect((await uqbar.waitUntilUp()).boot).toBe(1);
  // The other server gives no names.
  await uqbar.waitFor(/login:/);
  expect((await uqbar.shell("ip -br -4 address show up scope global")).stdout).toContain(`${GIVEN}/24`);
  expect((await uqbar.shell("findmnt -no SOURCE /")).stdout).toBe("/dev/sda\n");
  expect(daemon.log).toContain("uqbar/snponly.efi over tftp");
  expect(daemon.log).not.toMatch(/uqbar has 172\.16\./);
  expect(await rack.boot()).toMatchObject({ firmware: "uefi-x64-pxe" });
  expect((await daemon.status()).state.machines["uqbar"]?.address).toBe(GIVEN);
});

test("a BIOS machine does so through the iPXE of its card, up to its kernel", async () => {
  await rack.uqbar.cutPower();
  const settings = { name: "uqbar", firmware: "bios", mac: MAC, directory: join(directory, "bios") } as const;
  const bios = await QemuMachine.install(resources, rack.namespace, settings);
  await bios.powerOn();
  await bios.waitFor(/Linux version/);
  expect(rack.daemon.log).toMatch(/uqbar\/boot\.ipxe over http[\s\S]*uqbar\/initrd over http/);
});
