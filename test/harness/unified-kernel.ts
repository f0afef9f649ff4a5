import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIB } from "../volume/look/images.ts";
import type { Guest } from "./guest.ts";
import { runOrThrow } from "./process.ts";

const STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/** Behind the stub's own sections. */
const FIRST_ADDRESS = 16 * MIB;

/** The guest's kernel and initramfs with a kernel line in one EFI program: systemd's stub with a section for each. */
export async function unifiedKernel(directory: string, guest: Guest, kernelLine: string): Promise<string> {
  const image = join(directory, "guest.efi");
  const [line, release] = [join(directory, "cmdline"), join(directory, "os-release")];
  writeFileSync(line, `${kernelLine}\0`);
  writeFileSync(release, 'ID=rackboot-guest\nPRETTY_NAME="Rackboot Guest"\n');
  const base = await imageBase(STUB);
  let address = base + FIRST_ADDRESS;
  const sections: string[] = [];
  for (const [name, file] of [
    [".osrel", release],
    [".cmdline", line],
    [".initrd", guest.initrd],
    [".linux", guest.kernel],
  ] as const) {
    sections.push("--add-section", `${name}=${file}`, "--change-section-vma", `${name}=${address}`);
    address += Math.ceil(statSync(file).size / MIB) * MIB;
  }
  await runOrThrow(["objcopy", ...sections, STUB, image]);
  return image;
}

/** Addresses of sections count from it. */
async function imageBase(program: string): Promise<number> {
  const headers = await runOrThrow(["objdump", "-p", program]);
  return Number.parseInt(/^ImageBase\s+([0-9a-f]+)/m.exec(headers)?.[1] ?? "0", 16);
}
