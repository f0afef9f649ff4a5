import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOrThrow } from "./process.ts";

const MODULES = "efinet tftp http normal configfile linux echo test sleep serial terminal reboot chain all_video".split(" ");
const SERIAL = ["serial --unit=0 --speed=115200", "terminal_input serial", "terminal_output serial"];

/**
 * A GRUB for UEFI as other distributions build theirs: with its HTTP module, and with `script` in it, which begins by asking for an
 * address, since this GRUB does not take over the one of firmware that booted over HTTP. Returns its path.
 */
export async function networkGrub(directory: string, name: string, script: readonly string[]): Promise<string> {
  const [image, config] = [join(directory, `${name}.efi`), join(directory, `${name}.cfg`)];
  writeFileSync(config, `${[...SERIAL, "net_bootp", ...script].join("\n")}\n`);
  await runOrThrow(["grub-mkimage", "-O", "x86_64-efi", "-p", "/grub", "-c", config, "-o", image, ...MODULES]);
  return image;
}
