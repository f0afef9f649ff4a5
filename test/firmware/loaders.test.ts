import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DEBIAN_NETWORK_GRUB, findLoaders } from "../../src/boot/loaders.ts";

const FIRMWARE = new URL("../../firmware/", import.meta.url).pathname;
const PACKAGE = join(FIRMWARE, "package/rackboot-loaders");
const LINES = readFileSync(join(PACKAGE, "loaders.list"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => line.split(" "));
const CARD = new Set(LINES.filter(([kind]) => kind === "binary").flatMap(([, , ...files]) => files));

test("a card has a boot loader for every machine of a rack", () => {
  const found = findLoaders((path) => CARD.has(path));
  expect([...found.usual.keys()].toSorted()).toEqual(["bios-pxe", "uefi-arm64-http", "uefi-arm64-pxe", "uefi-x64-http", "uefi-x64-pxe"]);
  // GRUB finds no network where firmware loaded it over HTTP, and shim no GRUB but its signer's.
  expect(found.usual.get("uefi-x64-pxe")?.name).toBe("shimx64.efi");
  expect(found.usual.get("uefi-arm64-pxe")?.name).toBe("shimaa64.efi");
  expect(found.usual.get("uefi-arm64-http")?.name).toBe("ipxe-arm64.efi");
  expect([...CARD]).toEqual(expect.arrayContaining(Object.values(DEBIAN_NETWORK_GRUB)));
  expect(found.ipxe.size).toBe(5);
});

test("nothing gets on the card that is not pinned by its hash", () => {
  const pinned = readFileSync(join(PACKAGE, "rackboot-loaders.hash"), "utf8").matchAll(/^sha256 {2}[0-9a-f]{64} {2}(\S+)$/gm);
  const fetched = LINES.filter(([kind]) => kind === "binary" || kind === "source").map(([, path = ""]) => basename(path));
  const licences = ["usr/share/doc/shim-signed/copyright", "grub/COPYING", "usr/share/doc/ipxe/copyright"];
  expect([...pinned].map(([, name]) => name).toSorted()).toEqual([...fetched, ...licences].toSorted());
});

test("what is left out of the board's own GRUB takes no boot loader of the rack's with it", () => {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-target-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const target = join(folder, "target");
  const modules = ["/usr/lib/grub/arm64-efi/tftp.mod", "/usr/bin/grub-install", "/usr/bin/grub-fstest", "/etc/init.d/S99package"];
  const files = [...CARD, ...modules, "/etc/rauc/system.conf", "/usr/sbin/grub-x"];
  for (const file of files) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    writeFileSync(join(target, file), "");
  }
  writeFileSync(join(folder, "certificate.pem"), "");
  const env = { ...process.env, RACKBOOT_KEYS: folder };
  execFileSync(join(FIRMWARE, "board/post-build.sh"), [target, "qemu-virt"], { env });
  expect([...CARD].filter((file) => !existsSync(join(target, file)))).toEqual([]);
  expect(modules.filter((file) => existsSync(join(target, file)))).toEqual(["/usr/bin/grub-fstest"]);
});
