import { ipv4ToNumber } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { FileRole } from "../state/events.ts";
import type { FileClient } from "./files.ts";

/** What the names of files say. */

/**
 * Whether `grub.cfg-<suffix>`, or `pxelinux.cfg/<suffix>`, is this client's: `01-<MAC with dashes>`, the start of its address in hexadecimal, or a UUID,
 * which names the machine that asks and nobody else.
 */
export function namesClient(suffix: string, client: FileClient, machine: Machine): boolean {
  if (/^[0-9a-f]{1,8}$/.test(suffix)) return ipv4ToNumber(client.address).toString(16).padStart(8, "0").startsWith(suffix);
  if (/^[0-9a-f]{2}(-[0-9a-f]{2}){6}$/.test(suffix)) return machine.macs.some((mac) => suffix.slice(3) === mac.replaceAll(":", "-"));
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(suffix);
}

/** A file of tftp.root plays the part that its name says. */
export function roleByName(name: string): FileRole {
  if (/\.cfg$|\.ipxe$|^(config|cmdline)\.txt$/i.test(name)) return "config";
  if (/\.(efi|k?kpxe|pxe)(\.signed)?$|^pxelinux\.0$|^bootcode\.bin$|^start[0-9a-z_]*\.elf$/i.test(name)) return "loader";
  if (/^(vmlinu[xz]|bzimage|kernel[0-9_]*\.img$)/i.test(name)) return "kernel";
  return /^(initrd|initramfs)/i.test(name) ? "initramfs" : "other";
}
