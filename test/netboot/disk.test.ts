import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { currentBoot } from "../../src/state/state.ts";
import { Daemon } from "../harness/daemon.ts";
import { copyDisk, ensureGuest } from "../harness/guest.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";

/**
 * A whole machine whose disk decides what boots: nothing is configured but the disk. The tests share the machine and go on
 * where the one before them stopped.
 */

const MAC = "52:54:00:16:00:10";
/** A kernel with fewer drivers than the guest's own: small enough that its initramfs is made in minutes under emulation. */
const KERNEL = "linux-image-6.12-cloud-amd64";
const INSTALL_TIMEOUT_MS = 780_000;

const directory = join(import.meta.dirname, "..", "..", "build", "netboot-disk");
const disk = join(directory, "uqbar.raw");
const resources = new Resources();
let daemon: Daemon;
let uqbar: QemuMachine;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  await copyDisk(guest, disk);
  await runOrThrow(["debugfs", "-w", "-R", `write ${await downloadKernel()} root/kernel.deb`, disk]);
  const config = {
    network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
    dhcp: {},
    storage: { path: join(directory, "data") },
    machines: { uqbar: { mac: MAC, address: "172.16.0.16", disks: [{ file: disk }], arguments: "rw console=ttyS0" } },
  };
  const files = { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
  writeFileSync(files.config, stringify(config));
  const namespace = await NetworkNamespace.create(resources);
  daemon = await Daemon.start(resources, namespace, files);
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

/** The package that `KERNEL` stands for; the package itself holds only that name. */
async function downloadKernel(): Promise<string> {
  const depends = await runOrThrow(["apt-cache", "depends", "--important", KERNEL]);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`${KERNEL} depends on no kernel; apt knows this:\n${depends}`);
  await runOrThrow(["apt-get", "download", "-qq", name], { cwd: directory, timeoutMs: 600_000 });
  const file = readdirSync(directory).find((each) => each.endsWith(".deb"));
  if (file === undefined) throw new Error(`apt did not download ${name}`);
  return join(directory, file);
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

test("a machine boots the kernel that is on its disk, with nothing configured but the disk", async () => {
  await uqbar.powerOn();
  expect(await untilLogin()).toBe(1);
  const version = await running();
  expect(daemon.log).toContain(`uqbar is given Linux ${version}`);
  expect(daemon.log).toContain("uqbar/bootx64.efi");
  expect((await uqbar.shell("cat /proc/cmdline")).stdout).toContain("uqbar/entry/0/vmlinuz root=UUID=");
});

test("a kernel that its own package manager installs is the one that runs after the next boot", async () => {
  const before = await running();
  // The guest's dracut was told to leave this module out where it was made; inside of QEMU its network module insists on it.
  await uqbar.shell("sed -i 's/ qemu-net//' /etc/dracut.conf.d/rackboot.conf");
  const { code, stdout } = await uqbar.shell("dpkg -i --force-depends /root/kernel.deb && ls /boot", INSTALL_TIMEOUT_MS);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/initrd\.img-6\.12/)]);
  await uqbar.powerOff();
  await uqbar.powerOn();
  expect(await untilLogin()).toBe(2);
  const after = await running();
  expect(after).toMatch(/^6\.12/);
  expect(after).not.toBe(before);
  const { stdout: entries } = await daemon.rackboot("machine", "entries", "uqbar");
  expect(entries.split("\n").find((line) => line.includes("next"))).toContain(`0  Linux ${after} `);
}, 1_500_000);

test("a newest kernel that does not come up twice gives way to the one that last did", async () => {
  await untilCountedAsUp();
  const good = await running();
  await uqbar.shell(`cp /boot/vmlinuz-${good} /boot/vmlinuz-99-broken && echo nothing >/boot/initrd.img-99-broken && sync`);
  await uqbar.powerOff();
  for (let boot = 0; boot < 2; boot++) {
    await uqbar.powerOn();
    await uqbar.waitFor(/Kernel panic/);
    await uqbar.cutPower();
  }
  await uqbar.powerOn();
  expect(await untilLogin()).toBe(3);
  expect(await running()).toBe(good);
  expect(daemon.log).toContain(`uqbar falls back to Linux ${good}: Linux 99-broken did not come up`);
  const boot = currentBoot((await daemon.status()).state, "uqbar");
  expect(boot?.notes).toContain(`fell back to Linux ${good}: Linux 99-broken did not come up`);
});
