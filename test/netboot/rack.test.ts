import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { StatusReport } from "../../src/control/operations.ts";
import { BOOT_STAGES } from "../../src/machine/boots.ts";
import type { BootRecord } from "../../src/state/state.ts";
import { currentBoot } from "../../src/state/state.ts";
import { ensureGuest } from "../harness/guest.ts";
import { addressOf, type RackMachine, TestRack, targetOf } from "../harness/rack.ts";
import { Resources } from "../harness/resources.ts";

/**
 * Whole machines, from their firmware to the shell of their running system. A boot takes minutes under software
 * emulation, so the tests of this file share the machines and go on where the one before them stopped.
 */
/** Nothing is configured but its disk, which is an xfs with /boot inside; the loader is the daemon's own choice: shim, which loads GRUB. */
const UQBAR: RackMachine = { name: "uqbar", number: 16, firmware: "uefi", network: "dhclient", seed: true };
/** GRUB without shim; a NetworkManager initramfs is RHEL 9's. */
const TLON: RackMachine = {
  name: "tlon",
  number: 17,
  firmware: "uefi",
  network: "networkmanager",
  loader: "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
};
const ORBIS: RackMachine = { name: "orbis", number: 18, firmware: "bios", network: "dhclient" };

const directory = join(import.meta.dirname, "..", "..", "build", "netboot");
const resources = new Resources();
let rack: TestRack;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  rack = await TestRack.start(resources, { directory, guest, machines: [UQBAR, TLON, ORBIS] });
});

afterAll(async () => {
  await resources.close();
});

/** Which block device its root is, and that nothing failed on the way there. */
async function expectHealthy(machine: RackMachine): Promise<void> {
  const guest = rack.machine(machine.name);
  const look = await guest.shell("findmnt -no SOURCE /; systemctl --failed --no-legend --plain; iscsiadm -m session");
  expect(look.stdout).toMatch(/^\/dev\/sda\n/);
  expect(look.stdout).not.toContain("failed");
  expect(look.stdout).toContain(`${targetOf(machine)} `);
  expect((await guest.shell("ip -br -4 address show up scope global")).stdout).toContain(`${addressOf(machine)}/24`);
}

/** The daemon counts a machine as up when its running system has taken the session over from its initramfs. */
async function bootThatIsUp(machine: RackMachine): Promise<BootRecord> {
  for (;;) {
    const boot = currentBoot((await rack.daemon.status()).state, machine.name);
    if (boot?.outcome === "up") return boot;
    if (boot?.outcome !== "booting") throw new Error(`${machine.name} does not come up: ${JSON.stringify(boot)}`);
    await sleep(500);
  }
}

test("a UEFI machine without a disk boots through shim what is on its disk, to its login prompt", async () => {
  const uqbar = rack.machine("uqbar");
  await uqbar.powerOn();
  expect(await uqbar.waitUntilUp()).toEqual({ hostname: "uqbar", boot: 1 });
  await uqbar.waitFor(/uqbar login:/);
  await expectHealthy(UQBAR);
  // Firmware loads shim, and shim loads GRUB.
  expect(rack.daemon.log).toMatch(/uqbar\/bootx64\.efi over tftp[\s\S]*uqbar\/grubx64\.efi over tftp/);
  expect((await uqbar.shell("findmnt -no FSTYPE /")).stdout).toBe("xfs\n");
  expect((await uqbar.shell("cat /proc/cmdline")).stdout).toContain("uqbar/entry/0/vmlinuz root=UUID=");
});

test("the timeline says what the machine went through, in order, and when it came up", async () => {
  await bootThatIsUp(UQBAR);
  const { code, stdout } = await rack.daemon.rackboot("status", "--json");
  expect(code).toBe(0);
  const boot = currentBoot((JSON.parse(stdout) as StatusReport).state, "uqbar");
  expect(boot).toMatchObject({ outcome: "up", firmware: "uefi-x64-pxe" });
  const times = BOOT_STAGES.map((stage) => boot?.stages[stage]);
  expect(times).not.toContain(undefined);
  expect(times).toEqual(times.toSorted((left = 0, right = 0) => left - right));

  const metrics = await rack.namespace.run(["curl", "-sSf", "http://172.16.0.1/metrics"]);
  expect(metrics.code).toBe(0);
  expect(metrics.stdout).toMatch(/^rackboot_[a-z_]*machine[^\n]*uqbar/m);
});

test("a clean shutdown and a second boot find what the first boot wrote", async () => {
  const uqbar = rack.machine("uqbar");
  const written = await uqbar.shell("head -c 64M /dev/urandom >/root/blob && sha256sum /root/blob");
  expect(written.code).toBe(0);
  await uqbar.powerOff();
  await uqbar.powerOn();
  expect(await uqbar.waitUntilUp()).toEqual({ hostname: "uqbar", boot: 2 });
  await uqbar.waitFor(/uqbar login:/);
  expect((await uqbar.shell("sha256sum /root/blob")).stdout).toBe(written.stdout);
  await expectHealthy(UQBAR);
});

test("a power cut in the middle of writing loses nothing that was synced, and the machine boots again", async () => {
  const uqbar = rack.machine("uqbar");
  await uqbar.shellInBackground(
    "n=0; while n=$((n+1)); do head -c 64k /dev/urandom >/root/noise; echo $n >>/root/journal; sync /root/journal; echo written $n. >/dev/ttyS0; done",
  );
  await uqbar.waitFor(/written 25\./);
  await uqbar.cutPower();
  const acknowledged = Math.max(...[...uqbar.console.text.matchAll(/written (\d+)\./g)].map(([, count]) => Number(count)));

  await uqbar.powerOn();
  expect(await uqbar.waitUntilUp()).toEqual({ hostname: "uqbar", boot: 3 });
  await uqbar.waitFor(/uqbar login:/);
  const { stdout } = await uqbar.shell("tail -n 1 /root/journal; wc -l </root/journal; sha256sum /root/blob | wc -l");
  const [last = 0, lines = 0] = stdout.split("\n").map(Number);
  expect(last).toBeGreaterThanOrEqual(acknowledged);
  expect(lines).toBe(last);
  await expectHealthy(UQBAR);
});

test("a UEFI machine boots through GRUB alone, with NetworkManager in its initramfs, beside one that is running", async () => {
  const tlon = rack.machine("tlon");
  await tlon.powerOn();
  expect(await tlon.waitUntilUp()).toEqual({ hostname: "tlon", boot: 1 });
  await tlon.waitFor(/tlon login:/);
  await expectHealthy(TLON);
  await bootThatIsUp(TLON);
  await bootThatIsUp(UQBAR);
});

test("a machine neither sees nor gets the disk of the machine beside it", async () => {
  const tlon = rack.machine("tlon");
  const discovery = await tlon.shell("iscsiadm -m discovery -t sendtargets -p 172.16.0.1");
  expect(discovery.stdout).toContain(targetOf(TLON));
  expect(discovery.stdout).not.toContain(targetOf(UQBAR));

  const node = `iscsiadm -m node -T ${targetOf(UQBAR)} -p 172.16.0.1:3260`;
  const login = await tlon.shell(`${node} -o new && ${node} --login`);
  expect(login.code).not.toBe(0);
  expect((await tlon.shell("ls -d /sys/block/sd*")).stdout).toBe("/sys/block/sda\n");
  expect((await tlon.shell("cat /sys/class/iscsi_session/*/targetname")).stdout).toBe(`${targetOf(TLON)}\n`);
  expect((await rack.machine("uqbar").shell("sync && sha256sum /root/blob")).code).toBe(0);
});

test("a BIOS machine boots through iPXE", async () => {
  await rack.machine("uqbar").cutPower();
  await rack.machine("tlon").cutPower();
  const orbis = rack.machine("orbis");
  await orbis.powerOn();
  expect(await orbis.waitUntilUp()).toEqual({ hostname: "orbis", boot: 1 });
  await orbis.waitFor(/orbis login:/);
  await expectHealthy(ORBIS);
  expect(await bootThatIsUp(ORBIS)).toMatchObject({ firmware: "ipxe-bios" });
});
