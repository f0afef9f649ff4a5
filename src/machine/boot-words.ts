import type { FirmwareKind } from "./firmware.ts";
import type { BootSource } from "./machine.ts";

/** What a machine is configured to boot, in a few words for people. */
export function bootWords(boot: BootSource): string {
  switch (boot.kind) {
    case "disk":
      return boot.via === "sanboot" ? "disk via sanboot" : "disk";
    case "local":
      return "local";
    case "kernel":
      return `kernel ${boot.kernel}`;
    case "install":
    case "rescue":
      return `${boot.kind} ${boot.image}`;
    case "uki":
      return `uki ${boot.file}`;
  }
}

interface Platform {
  readonly words: string;
  /** Debian's, with boot loaders for it. */
  readonly packages: string;
}

const BIOS: Platform = { words: "BIOS", packages: "ipxe" };
const X64: Platform = { words: "UEFI on x86-64", packages: "shim-signed and grub-efi-amd64-signed" };
const ARM64: Platform = { words: "UEFI on arm64", packages: "shim-signed and grub-efi-arm64-signed (of arm64)" };

const PLATFORMS: Readonly<Record<FirmwareKind, Platform>> = {
  "bios-pxe": BIOS,
  "ipxe-bios": BIOS,
  "uefi-x64-pxe": X64,
  "uefi-x64-http": X64,
  "ipxe-uefi-x64": X64,
  "uefi-arm64-pxe": ARM64,
  "uefi-arm64-http": ARM64,
  "ipxe-uefi-arm64": ARM64,
  "uboot-arm64": ARM64,
  // It is never without: what it asks for first has one name.
  "raspberry-pi": { words: "a Raspberry Pi's firmware", packages: "raspi-firmware" },
};

export function platformWords(kind: FirmwareKind): string {
  return PLATFORMS[kind].words;
}

/** Why a machine with such firmware gets no further, and what a person does then. */
export function noLoaderWords(kind: FirmwareKind): string {
  const { words, packages } = PLATFORMS[kind];
  return `there is no boot loader for ${words}; install Debian's ${packages} and restart rackboot, or name a file as boot.loader`;
}
