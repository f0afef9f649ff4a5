import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { currentBoot } from "../../src/state/state.ts";
import { Daemon } from "../harness/daemon.ts";
import { ensureGuest } from "../harness/guest.ts";
import { rhelDisk } from "../harness/layouts.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";

/**
 * A whole machine whose disk decides what boots: nothing is configured but the disk, a terabyte as RHEL lays it out. The tests
 * share the machine and go on where the one before them stopped.
 */

const MAC = "52:54:00:16:00:10";
/** A kernel with fewer drivers than the guest's own: small enough that its initramfs is made in minutes under emulation. */
const KERNEL = "linux-image-6.12-cloud-amd64";
const INSTALL_TIMEOUT_MS = 780_000;

const directory = join(import.meta.dirname, "..", "..", "build", "netboot-disk");
const disk = join(directory, "uqbar.raw");
/** What every machine of the rack may read. */
const files = join(directory, "files");
const resources = new Resources();
let daemon: Daemon;
let uqbar: QemuMachine;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(files, { recursive: true });
  await rhelDisk(guest, disk);
  await downloadKernel();
  const config = {
    network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
    dhcp: {},
    tftp: { root: files },
    storage: { path: join(directory, "data") },
    machines: { uqbar: { mac: MAC, address: "172.16.0.16", disks: [{ file: disk }], arguments: "rw console=ttyS0" } },
  };
  const paths = { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
  writeFileSync(paths.config, stringify(config));
  const namespace = await NetworkNamespace.create(resources);
  daemon = await Daemon.start(resources, namespace, paths);
  uqbar = await QemuMachine.install(resources, namespace, {
    name: "uqbar",
    firmware: "uefi",
    mac: MAC,
    directory: join(directory, "uqbar"),
  });
});

afterAll(async () => {
  await resources.close();
});

/** The package that `KERNEL` stands for, where the machine can get it; the package itself holds only that name. */
async function downloadKernel(): Promise<void> {
  const depends = await runOrThrow(["apt-cache", "depends", "--important", KERNEL]);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`${KERNEL} depends on no kernel; apt knows this:\n${depends}`);
  await runOrThrow(["apt-get", "download", "-qq", name], { cwd: files, timeoutMs: 600_000 });
  const file = readdirSync(files).find((each) => each.endsWith(".deb"));
  if (file === undefined) throw new Error(`apt did not download ${name}`);
  renameSync(join(files, file), join(files, "kernel.deb"));
}

/** How often the disk has been booted. */
async function untilLogin(): Promise<number> {
  const { boot } = await uqbar.waitUntilUp();
  await uqbar.waitFor(/uqbar login:/);
  return boot;
}

/** The daemon counts the machine as up when its session has lived for a while. */
async function untilCountedAsUp(): Promise<void> {
  while (currentBoot((await daemon.status()).state, "uqbar")?.outcome !== "up") await sleep(500);
}

const running = async (): Promise<string> => (await uqbar.shell("uname -r")).stdout.trim();

test("a machine boots what is on its disk through the disk's own shim: an entry of /boot, its root a logical volume", async () => {
  await uqbar.powerOn();
  expect(await untilLogin()).toBe(1);
  const version = await running();
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
  const before = await running();
  const helper = "/usr/lib/apt/apt-helper download-file http://172.16.0.1/kernel.deb /root/kernel.deb";
  const install = "dpkg -i --force-depends /root/kernel.deb && ls /boot /boot/loader/entries";
  const { code, stdout } = await uqbar.shell(`${helper} && ${install}`, INSTALL_TIMEOUT_MS);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/initrd\.img-6\.12/)]);
  await uqbar.powerOff();
  await uqbar.powerOn();
  expect(await untilLogin()).toBe(2);
  const after = await running();
  expect(after).toMatch(/^6\.12/);
  expect(after).not.toBe(before);
  const { stdout: entries } = await daemon.rackboot("machine", "entries", "uqbar");
  expect(entries.split("\n").find((line) => line.includes("next"))).toContain(`Rackboot Guest (${after}) `);
}, 1_500_000);

test("a newest kernel that does not come up twice gives way to the one that last did", async () => {
  await untilCountedAsUp();
  const good = await running();
  const broken = `cp /boot/vmlinuz-${good} /boot/vmlinuz-99-broken && echo nothing >/boot/initrd.img-99-broken`;
  expect((await uqbar.shell(`${broken} && /etc/kernel/postinst.d/zz-rackboot-entry 99-broken && sync`)).code).toBe(0);
  await uqbar.powerOff();
  for (let boot = 0; boot < 2; boot++) {
    await uqbar.powerOn();
    await uqbar.waitFor(/Kernel panic/);
    await uqbar.cutPower();
  }
  await uqbar.powerOn();
  expect(await untilLogin()).toBe(3);
  expect(await running()).toBe(good);
  const told = `Rackboot Guest (${good}): Rackboot Guest (99-broken) did not come up`;
  expect(daemon.log).toContain(`uqbar falls back to ${told}`);
  const boot = currentBoot((await daemon.status()).state, "uqbar");
  expect(boot?.notes).toContain(`fell back to ${told}`);
});
