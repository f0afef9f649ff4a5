import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureGuest } from "../harness/guest.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { unifiedKernel } from "../harness/unified-kernel.ts";
import { GIB, gpt, MIB } from "../volume/look/images.ts";
import { record } from "./record.ts";

/** A disk whose system partition has a unified kernel image and no boot loader, and firmware that boots over HTTP. */

/** A kernel line that nobody can add to any more: it says by itself where the disk is. */
const KERNEL_LINE = [
  "root=LABEL=rackboot-guest rw console=ttyS0 ip=dhcp",
  "netroot=iscsi:172.16.0.1::3260::iqn.2026-01.lan.rackboot:uqbar rd.iscsi.initiator=iqn.2026-01.lan.rackboot:initiator.uqbar",
].join(" ");
const ESP_BYTES = 128 * MIB;
const ROOT_BYTES = 4 * GIB;

const resources = new Resources();
let rack: LoneMachine;
let image: string;

beforeAll(async () => {
  const guest = await ensureGuest((line) => console.log(line));
  const directory = emptyDirectory("unified-kernel");
  image = await unifiedKernel(directory, guest, KERNEL_LINE);
  const esp = join(directory, "esp.vfat");
  await runOrThrow(["mkfs.vfat", "-F", "32", "-C", esp, String(ESP_BYTES / 1024)]);
  await runOrThrow(["mmd", "-i", esp, "::EFI", "::EFI/Linux"]);
  await runOrThrow(["mcopy", "-i", esp, image, "::EFI/Linux/guest.efi"]);
  const disk = await gpt(join(directory, "uqbar.raw"), ESP_BYTES + ROOT_BYTES + 2 * MIB, [
    { image: esp, sizeBytes: ESP_BYTES, type: "esp" },
    { image: guest.disk, sizeBytes: ROOT_BYTES, type: "linux" },
  ]);
  rack = await LoneMachine.start(resources, { directory, firmware: "uefi-http", machine: { disks: [{ file: disk }] } });
});

afterAll(async () => {
  await resources.close();
});

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

test("firmware starts the unified kernel image of the machine's own disk over HTTP, octet by octet as it is there", async () => {
  expect(await rack.bootToLogin()).toBe(1);
  const { uqbar, daemon } = rack;
  expect(daemon.log).toContain("uqbar/bootx64.efi over http");
  expect(daemon.log).not.toContain("over tftp");
  expect(await rack.kernelLine()).toBe(KERNEL_LINE);
  const fetch = "/usr/lib/apt/apt-helper download-file http://172.16.0.1/uqbar/bootx64.efi /root/fetched.efi";
  const { stdout } = await uqbar.shell(`${fetch} && sha256sum </root/fetched.efi`);
  expect(stdout).toContain(await sha256(image));
  record("unified-kernel", { firmware: "OVMF, HTTP Boot", bytes: statSync(image).size, sameOctets: true, kernel: await rack.kernel() });
});
