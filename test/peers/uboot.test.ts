import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { Daemon } from "../harness/daemon.ts";
import { BRIDGE, NetworkNamespace } from "../harness/netns.ts";
import type { BackgroundProcess } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";

/** Debian's U-Boot on an emulated arm64 board, driven at its prompt: what a board without UEFI does on its way to Linux. */

const UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
/** The one that U-Boot's board of QEMU has. */
const MAC = "52:52:52:52:52:52";
const TIMEOUT_MS = 60_000;

const resources = new Resources();
const folder = mkdtempSync(join(tmpdir(), "rackboot-uboot-"));
let daemon: Daemon;
let board: BackgroundProcess;

beforeAll(async () => {
  mkdirSync(join(folder, "tftp"));
  writeFileSync(join(folder, "vmlinuz"), "no kernel, but fetched like one".repeat(10_000));
  writeFileSync(join(folder, "initrd"), "no initramfs either".repeat(10_000));
  const boot = { kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd"), arguments: "root=LABEL=root console=ttyAMA0" };
  const config = {
    network: { interface: BRIDGE, address: "172.16.0.1/24" },
    storage: { path: join(folder, "data") },
    machines: { tlon: { mac: MAC, address: "172.16.0.64", disks: [{ size: "1G" }], boot } },
  };
  const files = { config: join(folder, "rackboot.yaml"), socket: join(folder, "control.sock") };
  writeFileSync(files.config, stringify(config));
  const rack = await NetworkNamespace.create(resources);
  daemon = await Daemon.start(resources, rack, files);
  const network = ["-netdev", `tap,id=rack,ifname=${await rack.addTap()},script=no,downscript=no`];
  const hardware = ["-M", "virt", "-cpu", "cortex-a57", "-m", "512", "-bios", UBOOT, "-nographic"];
  const card = ["-device", `virtio-net-pci,netdev=rack,mac=${MAC},romfile=`];
  board = rack.start(resources, ["qemu-system-aarch64", ...hardware, ...network, ...card]);
  await board.output.waitFor(/Hit any key to stop autoboot/, TIMEOUT_MS);
  board.write(" ");
  await board.output.waitFor(/=> /, TIMEOUT_MS);
});

afterAll(async () => {
  await resources.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Types a command and waits until it has ended. What it printed. */
async function type(command: string): Promise<string> {
  board.write(`${command}; echo command ended\n`);
  // The first is the echo of the line.
  const [said] = await board.output.waitFor(/echo command ended[\s\S]*?\ncommand ended\r?\n/, TIMEOUT_MS);
  return said;
}

test("U-Boot gets its machine's address, and a boot begins that knows it for what it is", async () => {
  await type("setenv autoload no; setenv bootfile; dhcp");
  expect(await type("printenv ipaddr serverip bootfile")).toMatch(/ipaddr=172\.16\.0\.64\r?\nserverip=172\.16\.0\.1\r?\n/);
  const { machines } = (await daemon.status()).state;
  expect(JSON.stringify(machines)).toContain('"firmware":"uboot-arm64"');
});

test("U-Boot finds its menu, and by its paths the kernel and the initramfs", async () => {
  expect(await type("pxe get")).toMatch(/Config file .*found/);
  const said = await type("pxe boot");
  expect(said).toContain("rackboot: this is tlon");
  for (const name of ["initrd", "vmlinuz"]) expect(said).toMatch(new RegExp(`Filename 'tlon/${name}'\\.[\\s\\S]*?Bytes transferred`));
  expect(said).not.toContain("not found");
  expect(said).toMatch(
    /append: root=LABEL=root console=ttyAMA0 netroot=iscsi:172\.16\.0\.1::3260::iqn\S+:tlon rd\.iscsi\.initiator=\S+ ip=dhcp/,
  );
});
