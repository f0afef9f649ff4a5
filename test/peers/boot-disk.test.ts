import { createSocket } from "node:dgram";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ControlClient } from "../../src/control/client.ts";
import { vector } from "../dhcp/support.ts";
import { RACKBOOT } from "../harness/daemon.ts";
import { copyDisk, ensureGuest, type Guest } from "../harness/guest.ts";
import { run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { type Keys, LoopbackDaemon, PORTS } from "./loopback-daemon.ts";

/** A whole daemon, other people's clients, and disks as systems lay them out. */

let resources: Resources;
let daemon: LoopbackDaemon;
let guest: Guest;
let disk: string;

beforeEach(async () => {
  guest = await ensureGuest();
  resources = new Resources();
  daemon = new LoopbackDaemon(resources);
  disk = join(daemon.folder, "disk.raw");
});
afterEach(() => resources.close());

async function start(boot: unknown = "disk", keys: Keys = {}): Promise<void> {
  daemon.write({
    ...keys,
    volumes: { "uqbar-root": { file: disk } },
    machines: { uqbar: { mac: "52:54:00:16:00:10", address: daemon.host(16), disks: ["uqbar-root"], arguments: "console=ttyS0", boot } },
  });
  await daemon.start();
}

/** As the machine at its address asks. */
async function get(url: string): Promise<Buffer> {
  const to = join(daemon.folder, "got");
  await runOrThrow(["curl", "-sSf", "--interface", daemon.host(16), "--tftp-blksize", "1468", "-o", to, url]);
  return readFileSync(to);
}
const http = (path: string): Promise<Buffer> => get(`${daemon.url}/uqbar/${path}`);
const tftp = (path: string): Promise<Buffer> => get(`tftp://${daemon.address}:${PORTS.tftp}/uqbar/${path}`);

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const beganMs = performance.now();
  const result = await work();
  return [result, performance.now() - beganMs];
}

function rackboot(...words: readonly string[]): Promise<string> {
  return runOrThrow([process.execPath, "--no-warnings", RACKBOOT, ...words, "--socket", daemon.socket]);
}

/** Firmware asks for its loader, and the loader for its menu. */
async function boot(): Promise<string> {
  await tftp("bootx64.efi");
  return (await http("grub.cfg")).toString();
}

/** Puts a file into the machine's root file system, as its running system would. */
async function put(path: string, content: string): Promise<void> {
  const from = join(daemon.folder, "put");
  writeFileSync(from, content);
  await runOrThrow(["debugfs", "-w", "-R", `write ${from} ${path}`, disk]);
}

describe("a machine whose disk decides", () => {
  beforeEach(() => copyDisk(guest, disk));

  it("is handed the kernel and the initramfs that are on its disk, over HTTP and TFTP alike", async () => {
    await start();
    const [, loaderMs] = await timed(() => tftp("bootx64.efi"));
    const [menu, coldMs] = await timed(() => http("grub.cfg"));
    const [, warmMs] = await timed(() => http("grub.cfg"));
    console.log(
      `loader ${loaderMs.toFixed(0)} ms with the look, then grub.cfg ${coldMs.toFixed(0)} ms, again ${warmMs.toFixed(0)} ms (curl included)`,
    );
    expect(loaderMs + coldMs).toBeLessThan(2000);
    expect(menu.toString()).toMatch(/linux \$server\/uqbar\/entry\/0\/vmlinuz root=UUID=\S+ ro console=ttyS0 netroot=iscsi:/);
    const [kernel, initramfs] = [readFileSync(guest.kernel), readFileSync(guest.initrd)];
    for (const fetch of [http, tftp]) {
      expect((await fetch("entry/0/vmlinuz")).equals(kernel)).toBe(true);
      expect((await fetch("entry/0/initrd-0")).equals(initramfs)).toBe(true);
    }
    const part = ["curl", "-sSf", "--interface", daemon.host(16), "-r", "5000000-5000009", "-o", join(daemon.folder, "got")];
    await runOrThrow([...part, `${daemon.url}/uqbar/entry/0/initrd-0`]);
    expect(readFileSync(join(daemon.folder, "got")).equals(initramfs.subarray(5_000_000, 5_000_010))).toBe(true);
    expect(String(await http("boot.ipxe"))).toContain("/uqbar/entry/0/vmlinuz initrd=initrd root=UUID=");
  });

  it("boots a kernel that was installed since, without anybody copying it", async () => {
    await start();
    expect(await boot()).not.toContain("Linux 9.9");
    await put("boot/vmlinuz-9.9", "a newer kernel");
    expect(await boot()).not.toContain("Linux 9.9");
    await put("boot/initrd.img-9.9", "its initramfs");
    const menu = await boot();
    expect(menu).toMatch(/set default=0\n[\s\S]*?menuentry 'Linux 9\.9'/);
    expect(String(await tftp("entry/0/vmlinuz"))).toBe("a newer kernel");
    expect(String(await http("entry/0/initrd-0"))).toBe("its initramfs");
  });

  it("boots the entry that a person chose, and the command line shows which", async () => {
    await start();
    await put("boot/vmlinuz-9.9", "a newer kernel");
    await put("boot/initrd.img-9.9", "its initramfs");
    expect(await rackboot("machine", "entries", "uqbar")).toMatch(/next {2}0 {2}Linux 9\.9 +\/boot\/vmlinuz-9\.9 +as the disk says\n/);
    expect(await rackboot("machine", "boot", "uqbar", "--entry", "1", "--once")).toMatch(/next {2}1 .*as was chosen here/);
    expect(await boot()).toContain("set default=1\n");
    await daemon.says(/uqbar is given Linux \S+, which was chosen here/);
    await expect(rackboot("machine", "boot", "uqbar", "--entry", "7")).rejects.toThrow("uqbar-root has no entry 7; it has 0 to 1");
    await expect(rackboot("machine", "boot", "uqbar")).rejects.toThrow("say either --entry NUMBER or --default");
    const again = await new ControlClient(daemon.socket).call("machine.boot", { name: "uqbar" });
    expect(again.next).toEqual({ index: 0, because: "disk" });
  });
});

describe("a machine that shall move to other hardware", () => {
  beforeEach(() => copyDisk(guest, disk));

  it("is told whether its own initramfs would boot there, and what to run where it would not", async () => {
    await start();
    expect(await rackboot("machine", "check", "uqbar", "--nic", "e1000e", "--nic", "8086:100e")).toMatch(
      /initrd\.img-\S+: (none, )?zstd, Linux \S+\)\n {2}8086:100e is driven by e1000\n {2}good: it finds its root over iSCSI\n/,
    );
    const check = ["machine", "check", "uqbar", "--nic", "mlx5_core", "--socket", daemon.socket];
    const lacking = await run([process.execPath, "--no-warnings", RACKBOOT, ...check]);
    expect([lacking.code, lacking.stdout]).toEqual([
      1,
      expect.stringContaining("the kernel module mlx5_core is missing: the network card has no driver"),
    ]);
    expect(lacking.stdout).toMatch(/dracut -f --no-hostonly --add "network iscsi" --add-drivers "mlx5_core" --kver 6\./);
    await expect(rackboot("machine", "check", "uqbar", "--nic", "a card")).rejects.toThrow('"a card" is no network card');
  });

  it("is told so of the network card that iPXE has shown, also where nobody has adopted that hardware yet", async () => {
    await start("disk", { dhcp: { port: PORTS.dhcp } });
    const stranger = "52:54:00:16:00:11";
    await expect(rackboot("machine", "check", "uqbar", "--like", stranger)).rejects.toThrow("DHCP has not shown the network card of");
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.send(vector("ipxe-bios-discover"), PORTS.dhcp, daemon.address, () => resolve()));
    socket.close();
    await expect.poll(() => daemon.happened("dhcp.discovered")).toBe(1);
    expect(await rackboot("machine", "check", "uqbar", "--like", stranger)).toMatch(
      /1af4:1000 is driven by virtio_pci\n {2}good: it finds its root over iSCSI\n/,
    );
    // No initramfs of the guest has it, but its kernel does.
    const check = ["machine", "check", "uqbar", "--nic", "15b3:1013", "--socket", daemon.socket];
    const lacking = await run([process.execPath, "--no-warnings", RACKBOOT, ...check]);
    expect(lacking.stdout).toContain("the kernel module mlx5_core is missing: it drives the network card 15b3:1013");
  });
});

describe("a disk with nothing to boot", () => {
  it("is told on the screen, in the log and in the timeline, at once", async () => {
    writeFileSync(disk, "");
    truncateSync(disk, 1 << 30);
    await start();
    const [menu, elapsedMs] = await timed(boot);
    expect(elapsedMs).toBeLessThan(2000);
    expect(menu).toContain("rackboot: nothing on the first disk can be booted:");
    expect(menu).toContain("there is no partition table");
    await daemon.says(/uqbar has nothing to boot: .*no partition table/);
    expect(await rackboot("machine", "show", "uqbar")).toContain("there is no partition table");
    expect(await rackboot("machine", "entries", "uqbar")).toContain("nothing that can be booted");
  });
});

describe("a unified kernel image", () => {
  const image = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));

  it("on the disk's system partition is served as it is", async () => {
    writeFileSync(disk, "");
    truncateSync(disk, 64 << 20);
    mkdirSync(join(daemon.folder, "uki"));
    writeFileSync(join(daemon.folder, "uki/linux-6.1.efi"), image);
    await runOrThrow(["mkfs.vfat", disk]);
    await runOrThrow(["mmd", "-i", disk, "::EFI", "::EFI/Linux"]);
    await runOrThrow(["mcopy", "-i", disk, join(daemon.folder, "uki/linux-6.1.efi"), "::EFI/Linux/"]);
    await start();
    expect((await tftp("bootx64.efi")).equals(image)).toBe(true);
    expect((await http("bootx64.efi")).equals(image)).toBe(true);
  });

  it("that the configuration names is, too", async () => {
    writeFileSync(disk, "");
    truncateSync(disk, 1 << 20);
    const uki = join(daemon.folder, "image.efi");
    writeFileSync(uki, image);
    await start({ uki });
    expect((await tftp("linux.efi")).equals(image)).toBe(true);
    expect((await http("linux.efi")).equals(image)).toBe(true);
  });
});
