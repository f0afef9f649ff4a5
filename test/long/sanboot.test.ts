import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { Daemon } from "../harness/daemon.ts";
import { copyDisk, ensureGuest, type Guest } from "../harness/guest.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";

/**
 * iPXE attaches the machine's first disk with CHAP and starts the boot loader that is on it. The kernel that this loader
 * starts from the same disk finds its root through the iBFT, and no secret is on its command line.
 */

const MAC = "52:54:00:16:00:10";
const SECRET = "correct-horse-battery";
const GRUB = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";
const KERNEL_LINE =
  "root=LABEL=rackboot-guest rw console=ttyS0 rd.iscsi.firmware=1 rd.iscsi.initiator=iqn.2026-01.lan.rackboot:initiator.uqbar ip=dhcp rd.neednet=1";

const directory = join(import.meta.dirname, "..", "..", "build", "sanboot");
const resources = new Resources();
let daemon: Daemon;
let uqbar: QemuMachine;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const [loader, root] = [join(directory, "loader.raw"), join(directory, "root.raw")];
  await makeLoaderDisk(loader, guest);
  await copyDisk(guest, root);
  const secrets = join(directory, "secrets.yaml");
  writeFileSync(secrets, stringify({ uqbar: { user: "uqbar", secret: SECRET } }), { mode: 0o600 });
  const config = {
    network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
    dhcp: {},
    storage: { path: join(directory, "data") },
    iscsi: { secrets },
    machines: {
      uqbar: {
        mac: MAC,
        address: "172.16.0.16",
        chap: true,
        disks: [{ file: loader }, { file: root }],
        boot: { disk: { via: "sanboot" } },
      },
    },
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

/** A system partition with a boot loader of the disk's own, as a distribution lays it out, and a kernel beside it. */
async function makeLoaderDisk(disk: string, guest: Guest): Promise<void> {
  writeFileSync(disk, "");
  truncateSync(disk, 128 << 20);
  const config = join(directory, "grub.cfg");
  const lines = ['echo "the loader on the disk runs"', `linux /vmlinuz ${KERNEL_LINE}`, "initrd /initrd.img", "boot"];
  writeFileSync(config, `${lines.join("\n")}\n`);
  await runOrThrow(["mkfs.vfat", "-F", "32", disk]);
  await runOrThrow(["mmd", "-i", disk, "::EFI", "::EFI/BOOT", "::EFI/debian"]);
  const copies = [
    [GRUB, "::EFI/BOOT/BOOTX64.EFI"],
    [config, "::EFI/debian/grub.cfg"],
    [guest.kernel, "::vmlinuz"],
    [guest.initrd, "::initrd.img"],
  ] as const;
  for (const [from, to] of copies) await runOrThrow(["mcopy", "-i", disk, from, to]);
}

test("a UEFI machine boots the loader that is on its disk, and finds its root through the iBFT", async () => {
  await uqbar.powerOn();
  await uqbar.waitFor(/the loader on the disk runs/);
  expect(await uqbar.waitUntilUp()).toEqual({ hostname: "uqbar", boot: 1 });
  await uqbar.waitFor(/uqbar login:/);
  expect((await uqbar.shell("ls /sys/firmware/ibft")).stdout).toContain("target0");
  expect((await uqbar.shell("cat /proc/cmdline")).stdout).not.toContain(SECRET);
  expect(daemon.log).not.toContain(SECRET);
});
