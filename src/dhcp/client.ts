import type { FirmwareKind } from "../machine/firmware.ts";
import { ARCHITECTURE, DhcpFormatError, IPXE, type OptionMap, readOption, USER_CLASS, VENDOR_CLASS } from "./options.ts";

/**
 * Who asks. Firmware says so in its vendor class (option 60: RFC 4578, 3 and UEFI 2.10, 24.7.2), iPXE in its user class
 * (option 77) or by its own option 175, U-Boot in the vendor class again. Whoever says none of it is an initramfs or a running system.
 */

interface Platform {
  /** As ROM or UEFI network stack. */
  readonly native: FirmwareKind;
  readonly ipxe: FirmwareKind;
}

const BIOS: Platform = { native: "bios-pxe", ipxe: "ipxe-bios" };

/** By option 93: IANA registry "Processor Architecture Types" (RFC 4578, 2.1; RFC 5970, 3.3). */
const PLATFORMS: ReadonlyMap<number, Platform> = new Map<number, Platform>([
  [0, BIOS],
  [7, { native: "uefi-x64-pxe", ipxe: "ipxe-uefi-x64" }],
  // EFI BC by the registry, x86-64 UEFI by every machine that sends it.
  [9, { native: "uefi-x64-pxe", ipxe: "ipxe-uefi-x64" }],
  [11, { native: "uefi-arm64-pxe", ipxe: "ipxe-uefi-arm64" }],
  [16, { native: "uefi-x64-http", ipxe: "ipxe-uefi-x64" }],
  [19, { native: "uefi-arm64-http", ipxe: "ipxe-uefi-arm64" }],
  // U-Boot about to look for a menu of PXELINUX's kind. Its EFI half says PXEClient and 11.
  [22, { native: "uboot-arm64", ipxe: "ipxe-uefi-arm64" }],
]);

export const PXE_CLIENT = "PXEClient";
export const HTTP_CLIENT = "HTTPClient";
/** `U-Boot.armv8` (u-boot cmd/Kconfig, BOOTP_VCI_STRING). */
const U_BOOT = "U-Boot";
/** What is boot firmware, by the beginning of its vendor class. */
const FIRMWARE_CLASSES: readonly string[] = [PXE_CLIENT, HTTP_CLIENT, U_BOOT];

/** RFC 3004, 4 puts a length before each class; iPXE sends the bare word. */
const IPXE_USER_CLASSES: readonly string[] = ["iPXE", "\x04iPXE"];

function isIpxe(options: OptionMap): boolean {
  const userClass = options.get(USER_CLASS.code);
  return options.has(IPXE.code) || (userClass !== undefined && IPXE_USER_CLASSES.includes(Buffer.from(userClass).toString("latin1")));
}

/** Undefined: no firmware, or firmware that we have nothing for. Throws DhcpFormatError for options that are malformed. */
export function recogniseFirmware(options: OptionMap): FirmwareKind | undefined {
  const ipxe = isIpxe(options);
  const vendorClass = readOption(options, VENDOR_CLASS) ?? "";
  if (!ipxe && !FIRMWARE_CLASSES.some((beginning) => vendorClass.startsWith(beginning))) return undefined;
  const architectures = readOption(options, ARCHITECTURE) ?? [architectureOf(vendorClass)];
  const platform = architectures.map((number) => PLATFORMS.get(number)).find((found) => found !== undefined);
  return ipxe ? platform?.ipxe : platform?.native;
}

/** `PXEClient:Arch:00007:UNDI:003001`, for the ROMs that send no option 93; without either a ROM is a BIOS's. */
function architectureOf(vendorClass: string): number {
  return Number(/:Arch:([0-9]{5})/.exec(vendorClass)?.[1] ?? 0);
}

/** Sub-option 177 of option 175, busid: type of the bus, vendor, device (ipxe src/include/ipxe/dhcp.h, dhcp_netdev_desc). */
const IPXE_BUS_ID = 177;
const BUS_IS_PCI = 1;

/** The PCI identifier of the network card that asks, as `8086:10d3`; only iPXE says it. What makes no sense is nothing said. */
export function networkCardOf(options: OptionMap): string | undefined {
  let said: Uint8Array | undefined;
  try {
    said = readOption(options, IPXE)?.get(IPXE_BUS_ID);
  } catch (error) {
    if (!(error instanceof DhcpFormatError)) throw error;
  }
  const [bus, ...identifier] = said ?? [];
  if (bus !== BUS_IS_PCI || identifier.length !== 4) return undefined;
  const hex = Buffer.from(identifier).toString("hex");
  return `${hex.slice(0, 4)}:${hex.slice(4)}`;
}

export function isIpxeKind(kind: FirmwareKind): boolean {
  return kind.startsWith("ipxe");
}

/** It wants a URL, and option 60 in every offer. */
export function isHttpKind(kind: FirmwareKind): boolean {
  return kind.endsWith("-http");
}
