/**
 * Who is asking: the kinds of boot firmware, by what they can load and how they want to be told.
 * RFC 4578, 2.1 with the IANA registry "Processor Architecture Types"; iPXE is told by user class or option 175.
 */
export type FirmwareKind = (typeof FIRMWARE_KINDS)[number];

export const FIRMWARE_KINDS = [
  "bios-pxe",
  "uefi-x64-pxe",
  "uefi-x64-http",
  "uefi-arm64-pxe",
  "uefi-arm64-http",
  "ipxe-bios",
  "ipxe-uefi-x64",
  "ipxe-uefi-arm64",
  "uboot-arm64",
  "raspberry-pi",
] as const;

/** Where firmware is sent: `file` is a TFTP path, or an http:// URL for the HTTP kinds. */
export interface BootOffer {
  readonly file: string;
  /** RFC 4173 root path, for firmware that speaks iSCSI itself. */
  readonly rootPath?: string;
  /** iPXE option 203. */
  readonly initiatorName?: string;
}
