/**
 * The names things have on the wire, as branded strings in one canonical spelling, so that a MAC address can never be
 * taken for a machine's name and two spellings of one address can never be two keys of a map.
 */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** `52:54:00:16:00:10`, lower case, colons. */
export type Mac = Branded<string, "Mac">;
/** `172.16.0.1`, dotted decimal without leading zeros. */
export type Ipv4 = Branded<string, "Ipv4">;
/** An iSCSI name of type iqn., eui. or naa. (RFC 3720, 3.2.6.3), lower case. */
export type Iqn = Branded<string, "Iqn">;
/** A key under `volumes:`, or the name of an inline volume (`machine/0`). */
export type VolumeName = Branded<string, "VolumeName">;
/** A key under `machines:`; also its default host name. */
export type MachineName = Branded<string, "MachineName">;

/** What `rackboot image import` called an installation medium. */
export type ImageName = Branded<string, "ImageName">;
/** The name of a file that says how a machine is installed, without its ending. */
export type ProfileName = Branded<string, "ProfileName">;

/** Text that is not what it should be; `expected` tells a person what would be. */
export class IdentifierError extends Error {
  readonly code = "ERR_IDENTIFIER";
  readonly found: string;
  readonly expected: string;

  constructor(found: string, expected: string) {
    super(`"${found}" is not ${expected}`);
    this.found = found;
    this.expected = expected;
  }
}

const HEX = /^[0-9a-f]{2}$/;

/** Takes colons, dashes, or twelve bare hexadecimal digits. */
export function parseMac(text: string): Mac {
  const lower = text.toLowerCase();
  const parts = /^[0-9a-f]{12}$/.test(lower) ? (lower.match(/../g) ?? []) : lower.split(/[:-]/);
  if (parts.length !== 6 || !parts.every((part) => HEX.test(part))) {
    throw new IdentifierError(text, "a MAC address such as 52:54:00:16:00:10");
  }
  return parts.join(":") as Mac;
}

const HEX_OF_BYTE: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** From the six octets of `chaddr` or an Ethernet header. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new IdentifierError(`${bytes.length} octets`, "six octets of a MAC address");
  const hex = (index: number): string => HEX_OF_BYTE[bytes[index] ?? 0] ?? "";
  return `${hex(0)}:${hex(1)}:${hex(2)}:${hex(3)}:${hex(4)}:${hex(5)}` as Mac;
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(":"), (part) => Number.parseInt(part, 16));
}

export function parseIpv4(text: string): Ipv4 {
  const parts = text.split(".");
  const good = parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255);
  if (!good) throw new IdentifierError(text, "an IPv4 address such as 172.16.0.1");
  return text as Ipv4;
}

/** `value` is the address as one unsigned 32-bit number, as it stands on the wire. */
export function ipv4FromNumber(value: number): Ipv4 {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}` as Ipv4;
}

const DOT = 0x2e;
const ZERO = 0x30;

export function ipv4ToNumber(address: Ipv4): number {
  // Digit by digit: every packet of a flood has several addresses.
  let value = 0;
  let part = 0;
  for (let at = 0; at < address.length; at++) {
    const code = address.charCodeAt(at);
    if (code === DOT) {
      value = value * 256 + part;
      part = 0;
    } else part = part * 10 + code - ZERO;
  }
  return value * 256 + part;
}

export function ipv4FromBytes(bytes: Uint8Array): Ipv4 {
  if (bytes.length !== 4) throw new IdentifierError(`${bytes.length} octets`, "four octets of an IPv4 address");
  return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Ipv4;
}

export function ipv4ToBytes(address: Ipv4): Uint8Array {
  const value = ipv4ToNumber(address);
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

/** At most 223 octets (RFC 7143, 4.2.7.1). Names are compared in lower case. */
export function parseIqn(text: string): Iqn {
  const lower = text.toLowerCase();
  const good =
    /^iqn\.[0-9]{4}-[0-9]{2}\.[a-z0-9.-]+(:[a-z0-9.:_-]*)?$/.test(lower) ||
    /^eui\.[0-9a-f]{16}$/.test(lower) ||
    /^naa\.([0-9a-f]{16}|[0-9a-f]{32})$/.test(lower);
  if (!good || lower.length > 223) throw new IdentifierError(text, "an iSCSI name such as iqn.2026-01.lan.rackboot:uqbar");
  return lower as Iqn;
}

export function parseMachineName(text: string): MachineName {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) {
    throw new IdentifierError(text, "a machine name: lower-case letters, digits and dashes, at most 63");
  }
  return text as MachineName;
}

export function parseVolumeName(text: string): VolumeName {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(text)) {
    throw new IdentifierError(text, "a volume name: letters, digits, dot, dash and underscore, at most 128, no slash");
  }
  return text as VolumeName;
}

export function parseImageName(text: string): ImageName {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(text)) {
    throw new IdentifierError(text, "the name of an image: letters, digits, dot, dash and underscore, at most 128, no slash");
  }
  return text as ImageName;
}

export function parseProfileName(text: string): ProfileName {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(text)) {
    throw new IdentifierError(text, "the name of a profile: letters, digits, dot, dash and underscore, at most 128, no slash");
  }
  return text as ProfileName;
}

/** The volume that a machine's inline `disks:` entry makes; the slash keeps it apart from every name a person can choose. */
export function inlineVolumeName(machine: MachineName, lun: number): VolumeName {
  return `${machine}/${lun}` as VolumeName;
}
