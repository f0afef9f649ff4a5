import { z } from "zod";
import type { Iqn, Mac, MachineName, VolumeName } from "./identifiers.ts";
import {
  IdentifierError,
  type ImageName,
  type Ipv4,
  ipv4ToNumber,
  type ProfileName,
  parseImageName,
  parseIpv4,
  parseIqn,
  parseMac,
  parseMachineName,
  parseProfileName,
  parseVolumeName,
} from "./identifiers.ts";

/**
 * The values that stand in rackboot.yaml, each as a schema from what a person writes to what the daemon computes with.
 * The message of every issue says what is allowed; what was found is read from the file (config-problems.ts).
 */

const KIB = 1024;
const SIZE_UNITS: Readonly<Record<string, number>> = { "": 1, K: KIB, M: KIB ** 2, G: KIB ** 3, T: KIB ** 4, P: KIB ** 5 };
const TIME_UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** 0xffffffff means infinite (RFC 2132, 9.2). */
const MAX_LEASE_MS = 0xfffffffe * 1000;
/** Longer values would not fit any reply that a client can take, even in RFC 3396 fragments. */
export const MAX_OPTION_OCTETS = 1024;

interface TextRule {
  /** Completes the sentence "allowed: ...". */
  readonly allowed: string;
  /** For editors, through the JSON Schema; the parser is what decides. */
  readonly pattern?: string;
  readonly examples?: readonly string[];
}

/** Text that `parse` turns into a value; undefined or an {@link IdentifierError} means that it is not allowed. */
function text<T>(rule: TextRule, parse: (text: string) => T | undefined): z.ZodType<T> {
  const { allowed, pattern, examples } = rule;
  const meta = { ...(pattern !== undefined && { pattern }), ...(examples !== undefined && { examples: [...examples] }) };
  return z
    .string({ error: allowed })
    .meta(meta)
    .transform((found, context) => {
      try {
        const value = parse(found);
        if (value !== undefined) return value;
      } catch (error) {
        if (!(error instanceof IdentifierError)) throw error;
      }
      context.addIssue({ code: "custom", message: allowed });
      return z.NEVER;
    });
}

export const ipv4: z.ZodType<Ipv4> = text(
  { allowed: "an IPv4 address such as 172.16.0.1", pattern: "^[0-9]{1,3}(\\.[0-9]{1,3}){3}$" },
  parseIpv4,
);

export const mac: z.ZodType<Mac> = text(
  {
    allowed: "a MAC address such as 52:54:00:16:00:10 (in quotes if it is digits only)",
    pattern: "^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$|^[0-9A-Fa-f]{12}$",
  },
  parseMac,
);

/** One to six octets; three are a maker's (OUI). */
export const macPrefix: z.ZodType<string> = text(
  { allowed: "the beginning of a MAC address, such as b8:27:eb", pattern: "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){0,5}$" },
  (found) => (/^[0-9a-f]{2}([:-][0-9a-f]{2}){0,5}$/i.test(found) ? found.toLowerCase().replaceAll("-", ":") : undefined),
);

export const quirkName: z.ZodType<string> = text({ allowed: "the name of a quirk: letters, digits, dot, dash and underscore" }, (found) =>
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(found) ? found : undefined,
);

export const iqn: z.ZodType<Iqn> = text(
  { allowed: "an iSCSI name such as iqn.2026-01.lan.rackboot:uqbar (or eui., naa.), at most 223 characters" },
  parseIqn,
);

/** Names of targets are made by appending `:machine`, which only the iqn. type allows. */
export const iqnPrefix: z.ZodType<Iqn> = text(
  { allowed: "the beginning of an iSCSI name, such as iqn.2026-01.lan.rackboot", pattern: "^[Ii][Qq][Nn]\\.[0-9]{4}-[0-9]{2}\\." },
  (found) => (/^iqn\./i.test(found) && !found.endsWith(":") ? parseIqn(found) : undefined),
);

export const machineName: z.ZodType<MachineName> = text(
  { allowed: "a machine name: lower-case letters, digits and dashes, at most 63" },
  parseMachineName,
);

export const volumeName: z.ZodType<VolumeName> = text(
  { allowed: "a volume name: letters, digits, dot, dash and underscore, at most 128" },
  parseVolumeName,
);

export const imageName: z.ZodType<ImageName> = text(
  { allowed: 'the name of an image from "rackboot image list": letters, digits, dot, dash and underscore' },
  parseImageName,
);

export const profileName: z.ZodType<ProfileName> = text(
  { allowed: "the name of a profile: letters, digits, dot, dash and underscore" },
  parseProfileName,
);

/** A volume, or one of its snapshots: `volume@snapshot`. */
export const cloneOrigin: z.ZodType<string> = text({ allowed: "a volume or a snapshot (volume@snapshot)" }, (found) => {
  const [volume = "", snapshot, ...more] = found.split("@");
  parseVolumeName(volume);
  if (snapshot !== undefined) parseVolumeName(snapshot);
  return more.length === 0 ? found : undefined;
});

export const path: z.ZodType<string> = text({ allowed: "a path" }, (found) => (found !== "" && !found.includes("\0") ? found : undefined));

/** Linux, IFNAMSIZ: 15 characters, no slash, no white space. */
export const interfaceName: z.ZodType<string> = text(
  { allowed: "the name of a network interface such as eth0", pattern: "^[^/\\s]{1,15}$" },
  (found) => (/^[^/\s]{1,15}$/.test(found) && found !== "." && found !== ".." ? found : undefined),
);

/** RFC 1123, 2.1; one label or several. */
export const hostName: z.ZodType<string> = text({ allowed: "a host name: letters, digits, dashes and dots, at most 253" }, (found) => {
  const labels = found.split(".");
  const good = found.length <= 253 && labels.every((label) => /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label));
  return good ? found : undefined;
});

/** One line of printable ASCII: it becomes part of a kernel line and of a GRUB script. */
export const kernelArguments: z.ZodType<string> = text({ allowed: "kernel arguments on one line of printable ASCII" }, (found) => {
  // A YAML block ends in a line break, which is no second line.
  const line = found.trim();
  return /^[\x20-\x7e]*$/.test(line) ? line : undefined;
});

/** SPC-4, 7.8.13: the unit serial number is ASCII; more than 36 octets do not fit the designators made of it. */
export const serialNumber: z.ZodType<string> = text(
  { allowed: "a serial number of 1 to 36 letters, digits, dots, dashes and underscores (in quotes if it is all digits)" },
  (found) => (/^[A-Za-z0-9._-]{1,36}$/.test(found) ? found : undefined),
);

/** Option values, CHAP users: one line of printable text. */
export function line(allowed: string, minimum: number, maximum: number): z.ZodType<string> {
  return text({ allowed }, (found) => {
    const good = found.length >= minimum && found.length <= maximum && /^[\x20-\x7e]*$/.test(found);
    return good ? found : undefined;
  });
}

export interface AddressWithPrefix {
  readonly address: Ipv4;
  readonly prefixLength: number;
}

export const addressWithPrefix: z.ZodType<AddressWithPrefix> = text(
  { allowed: "an IPv4 address with its prefix length, such as 172.16.0.1/24", pattern: "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}$" },
  (found) => {
    const [address = "", length = "", ...more] = found.split("/");
    const prefixLength = /^[0-9]{1,2}$/.test(length) ? Number(length) : 0;
    return more.length === 0 && prefixLength >= 1 && prefixLength <= 32 ? { address: parseIpv4(address), prefixLength } : undefined;
  },
);

/** One address, as a network of 32 bits, or a network. */
export const addressOrNetwork: z.ZodType<AddressWithPrefix> = z.union(
  [ipv4.transform((address): AddressWithPrefix => ({ address, prefixLength: 32 })), addressWithPrefix],
  { error: "an IPv4 address such as 172.16.0.16, or a network such as 172.16.0.0/24" },
);

export interface AddressRange {
  readonly first: Ipv4;
  readonly last: Ipv4;
}

export const addressRange: z.ZodType<AddressRange> = text(
  { allowed: "two IPv4 addresses, the lower one first, such as 172.16.0.100-172.16.0.254" },
  (found) => {
    const [low = "", high = "", ...more] = found.split("-").map((part) => part.trim());
    const range = { first: parseIpv4(low), last: parseIpv4(high) };
    return more.length === 0 && ipv4ToNumber(range.first) <= ipv4ToNumber(range.last) ? range : undefined;
  },
);

/** A size in octets. A bare number is octets already. */
export function size(minimumBytes: number, maximumBytes: number): z.ZodType<number> {
  const allowed = `a size from ${formatSize(minimumBytes)} to ${formatSize(maximumBytes)}, such as 512M, 40G or 1T (powers of 1024)`;
  return z.union([z.string().meta({ pattern: "^[1-9][0-9]*[KMGTP]?$" }), z.int()], { error: allowed }).transform((found, context) => {
    const [, digits = "", unit = ""] = /^([1-9][0-9]*)([KMGTP]?)$/.exec(String(found)) ?? [];
    const bytes = Number(digits) * (SIZE_UNITS[unit] ?? 0);
    if (digits !== "" && bytes >= minimumBytes && bytes <= maximumBytes) return bytes;
    context.addIssue({ code: "custom", message: allowed });
    return z.NEVER;
  });
}

/** The largest unit that divides it: 1073741824 is `1G`, 1000 is `1000`. */
export function formatSize(bytes: number): string {
  const unit = Object.entries(SIZE_UNITS).findLast(([, factor]) => bytes % factor === 0 && bytes >= factor);
  return unit === undefined ? String(bytes) : `${bytes / unit[1]}${unit[0]}`;
}

/** Milliseconds; `infinite` is `Infinity`. */
export const duration: z.ZodType<number> = text(
  { allowed: "a time such as 30s, 10m, 12h, 7d or infinite", pattern: "^([1-9][0-9]*[smhd]|infinite)$" },
  (found) => {
    if (found === "infinite") return Number.POSITIVE_INFINITY;
    const [, digits = "", unit = ""] = /^([1-9][0-9]*)([smhd])$/.exec(found) ?? [];
    const ms = Number(digits) * (TIME_UNITS_MS[unit] ?? 0);
    return digits !== "" && ms <= MAX_LEASE_MS ? ms : undefined;
  },
);

/** Milliseconds as a person writes them: `12h`, `90s`, `infinite` (which JSON makes null). */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "infinite";
  const unit = Object.entries(TIME_UNITS_MS).findLast(([, factor]) => ms % factor === 0 && ms >= factor);
  return unit === undefined ? `${ms / 1000}s` : `${ms / unit[1]}${unit[0]}`;
}

export function integer(minimum: number, maximum: number, what = "a whole number"): z.ZodType<number> {
  const error = `${what} from ${minimum} to ${maximum}`;
  return z.int({ error }).min(minimum, { error }).max(maximum, { error });
}

export const flag: z.ZodType<boolean> = z.boolean({ error: "true or false" });

/** 0 lets the system choose; only tests and development want that. */
export const port: z.ZodType<number> = integer(0, 65535, "a port");

/** One value, or a list of at least one. */
export function oneOrMore<T>(item: z.ZodType<T>, allowed: string, maximum: number): z.ZodType<readonly [T, ...T[]]> {
  const list = z
    .array(item, { error: allowed })
    .min(1, { error: allowed })
    .max(maximum, { error: `at most ${maximum} of them` });
  return z.union([item, list], { error: allowed }).transform((found) => (Array.isArray(found) ? found : [found]) as [T, ...T[]]);
}

const OPTION_ALLOWED =
  'a string (sent as its characters), a list of IPv4 addresses (4 octets each), of numbers from 0 to 255 (one octet each) or of strings, or { hex: "0a0b0c" }';

const optionText = z.string({ error: OPTION_ALLOWED });
const hexOctets = text({ allowed: 'an even number of hexadecimal digits, such as { hex: "0a0b0c" }' }, (found) => {
  const digits = found.replace(/[\s:]/g, "");
  return digits !== "" && digits.length % 2 === 0 && /^[0-9A-Fa-f]+$/.test(digits) ? new Uint8Array(Buffer.from(digits, "hex")) : undefined;
});

function itemOctets(item: string | number): Uint8Array {
  if (typeof item === "number") return Uint8Array.of(item);
  try {
    return Uint8Array.from(parseIpv4(item).split("."), Number);
  } catch {
    return Buffer.from(item, "utf8");
  }
}

/** The octets of any DHCP option. */
export const dhcpOption: z.ZodType<Uint8Array> = z
  .union(
    [
      optionText.transform((found) => new Uint8Array(Buffer.from(found, "utf8"))),
      z
        .array(z.union([z.string(), integer(0, 255, "numbers")], { error: OPTION_ALLOWED }))
        .transform((items) => new Uint8Array(Buffer.concat(items.map(itemOctets)))),
      z.strictObject({ hex: hexOctets }).transform((found) => found.hex),
    ],
    { error: OPTION_ALLOWED },
  )
  .refine((octets) => octets.length <= MAX_OPTION_OCTETS, { error: `at most ${MAX_OPTION_OCTETS} octets` });

/** Options that carry the protocol itself: a fixed value would break every exchange (RFC 2132, 9; RFC 3046). */
const OPTIONS_OF_THE_SERVER: ReadonlyMap<number, string> = new Map([
  [50, "the client's request"],
  [51, "dhcp.lease"],
  [52, "the server's layout"],
  [53, "the message's type"],
  [54, "the server's identifier"],
  [55, "the client's list"],
  [56, "the server's message"],
  [57, "the client's limit"],
  [61, "the client's identifier"],
  [82, "the relay's information"],
]);

export const dhcpOptionNumber: z.ZodType<number> = text(
  { allowed: `an option number from 1 to 254, and not one that the server sets itself (${[...OPTIONS_OF_THE_SERVER.keys()].join(", ")})` },
  (found) => {
    const number = /^[1-9][0-9]{0,2}$/.test(found) ? Number(found) : 0;
    return number >= 1 && number <= 254 && !OPTIONS_OF_THE_SERVER.has(number) ? number : undefined;
  },
);

/** YAML's keys are text. */
export function byNumber<T>(options: Readonly<Record<string, T>>): ReadonlyMap<number, T> {
  return new Map(Object.entries(options).map(([number, octets]) => [Number(number), octets]));
}
