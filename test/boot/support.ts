import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import type { ServerFacts } from "../../src/boot/facts.ts";
import { type Ipv4, parseIpv4, parseIqn, parseMac, parseMachineName, parseVolumeName } from "../../src/machine/identifiers.ts";
import type { BootSource, Machine } from "../../src/machine/machine.ts";

export const SERVER: Ipv4 = parseIpv4("172.16.0.1");
export const UQBAR_ADDRESS: Ipv4 = parseIpv4("172.16.0.16");

export const FACTS: ServerFacts = { address: SERVER, tftpPort: 69, httpPort: 80, portals: [SERVER], iscsiPort: 3260 };

export type KernelBoot = Extract<BootSource, { kind: "kernel" }>;

export function kernelBoot(changes: Partial<KernelBoot> = {}): KernelBoot {
  return {
    kind: "kernel",
    kernel: "/srv/uqbar/vmlinuz-6.1",
    initrd: "/srv/uqbar/initrd-6.1.img",
    arguments: "root=LABEL=root ro",
    ...changes,
  };
}

export function machine(name = "uqbar", changes: Partial<Machine> = {}): Machine {
  return {
    name: parseMachineName(name),
    macs: [parseMac("52:54:00:16:00:10")],
    address: UQBAR_ADDRESS,
    initiators: [parseIqn(`iqn.1994-05.com.redhat:${name}`)],
    anyInitiator: false,
    target: parseIqn(`iqn.2026-01.lan.rackboot:${name}`),
    disks: [parseVolumeName(`${name}-root`)],
    chap: false,
    arguments: "",
    boot: kernelBoot(),
    ephemeral: false,
    hostname: name,
    ...changes,
  };
}

/** A folder with these files that goes away with the test. */
export function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-boot-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}
