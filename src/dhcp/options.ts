import { type Ipv4, ipv4FromBytes, ipv4ToBytes } from "../machine/identifiers.ts";
import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";

/**
 * DHCP options: what each number means and what its octets are. Number -> octets is all that a packet carries; the
 * table below gives the octets a type, and is asked only for the options that somebody reads or writes.
 */

/** A packet that breaks the protocol; the message says where and how, for people. */
export class DhcpFormatError extends Error {
  readonly code = "ERR_DHCP_FORMAT";
}

/** Option number -> octets, whole (RFC 3396 fragments are joined), in the order of the packet. */
export type OptionMap = ReadonlyMap<number, Uint8Array>;

/** What an option's octets are. `decode` is given a whole value and throws {@link DhcpFormatError} when it is not one. */
interface Shape<T> {
  decode(bytes: Uint8Array): T;
  encode(value: T): Uint8Array;
}

export interface DhcpOption<T> extends Shape<T> {
  readonly code: number;
  readonly name: string;
}

function wrongLength(bytes: Uint8Array, wanted: string): DhcpFormatError {
  return new DhcpFormatError(`${bytes.length} octets, ${wanted} wanted`);
}

function unsigned(octets: 1 | 2 | 4): Shape<number> {
  const field = { 1: "u8", 2: "u16", 4: "u32" } as const;
  return {
    decode(bytes) {
      if (bytes.length !== octets) throw wrongLength(bytes, `${octets}`);
      return new ByteReader(bytes)[field[octets]]();
    },
    encode: (value) => {
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * octets))
        throw new RangeError(`${value} does not fit in ${octets} octets`);
      const bytes = new Uint8Array(octets);
      for (let at = octets - 1, rest = value; at >= 0; at--, rest >>>= 8) bytes[at] = rest & 255;
      return bytes;
    },
  };
}

const address: Shape<Ipv4> = {
  decode(bytes) {
    if (bytes.length !== 4) throw wrongLength(bytes, "4");
    return ipv4FromBytes(bytes);
  },
  encode: ipv4ToBytes,
};

const addresses: Shape<readonly Ipv4[]> = {
  decode(bytes) {
    if (bytes.length === 0 || bytes.length % 4 !== 0) throw wrongLength(bytes, "a multiple of 4");
    return Array.from({ length: bytes.length / 4 }, (_, i) => ipv4FromBytes(bytes.subarray(4 * i, 4 * i + 4)));
  },
  encode: (value) => Uint8Array.from(value.flatMap((item) => [...ipv4ToBytes(item)])),
};

/** One octet a character: what clients send is compared and shown, never trusted to be UTF-8. RFC 2132, 2: NULs at the end don't count. */
const text: Shape<string> = {
  decode: (bytes) => Buffer.from(bytes).toString("latin1").replace(/\0+$/, ""),
  encode: (value) => new Uint8Array(Buffer.from(value, "latin1")),
};

const octets: Shape<Uint8Array> = { decode: (bytes) => bytes, encode: (value) => value };

/** Architectures: two octets each, usually one (RFC 4578, 2.1). */
const words: Shape<readonly number[]> = {
  decode(bytes) {
    if (bytes.length === 0 || bytes.length % 2 !== 0) throw wrongLength(bytes, "a multiple of 2");
    const reader = new ByteReader(bytes);
    return Array.from({ length: bytes.length / 2 }, () => reader.u16());
  },
  encode: (value) => value.reduce((writer, word) => writer.u16(word), new ByteWriter(2 * value.length)).finish(),
};

/** Sub-options: number, length, octets; no padding and no end mark of their own (RFC 3046, 2.0; RFC 2132, 8.4 allows an end). */
const suboptions: Shape<OptionMap> = {
  decode(bytes) {
    const reader = new ByteReader(bytes);
    const found = new Map<number, Uint8Array>();
    while (reader.remaining > 0) {
      const code = reader.u8();
      if (code === END) break;
      if (reader.remaining === 0) throw new DhcpFormatError(`sub-option ${code} has no length`);
      const length = reader.u8();
      if (length > reader.remaining) {
        throw new DhcpFormatError(`sub-option ${code} announces ${length} octets, ${reader.remaining} left`);
      }
      found.set(code, reader.bytes(length));
    }
    return found;
  },
  encode(value) {
    const writer = new ByteWriter();
    for (const [code, bytes] of value) writer.u8(code).u8(bytes.length).bytes(bytes);
    return writer.finish();
  },
};

const table = new Map<number, DhcpOption<unknown>>();

function option<T>(code: number, name: string, shape: Shape<T>): DhcpOption<T> {
  const entry = { code, name, ...shape };
  table.set(code, entry as DhcpOption<unknown>);
  return entry;
}

/** Not options: one octet each, without a length (RFC 2132, 3.1 and 3.2). */
export const PAD = 0;
export const END = 255;

export const SUBNET_MASK: DhcpOption<Ipv4> = option(1, "subnet mask", address); // RFC 2132, 3.3
export const ROUTERS: DhcpOption<readonly Ipv4[]> = option(3, "routers", addresses); // RFC 2132, 3.5
export const DNS_SERVERS: DhcpOption<readonly Ipv4[]> = option(6, "DNS servers", addresses); // RFC 2132, 3.8
export const HOST_NAME: DhcpOption<string> = option(12, "host name", text); // RFC 2132, 3.14
export const DOMAIN_NAME: DhcpOption<string> = option(15, "domain name", text); // RFC 2132, 3.17
export const ROOT_PATH: DhcpOption<string> = option(17, "root path", text); // RFC 2132, 3.19; RFC 4173, 5
export const INTERFACE_MTU: DhcpOption<number> = option(26, "interface MTU", unsigned(2)); // RFC 2132, 5.1
export const BROADCAST_ADDRESS: DhcpOption<Ipv4> = option(28, "broadcast address", address); // RFC 2132, 5.3
export const NTP_SERVERS: DhcpOption<readonly Ipv4[]> = option(42, "NTP servers", addresses); // RFC 2132, 8.3
export const VENDOR_SPECIFIC: DhcpOption<OptionMap> = option(43, "vendor specific information", suboptions); // RFC 2132, 8.4
export const REQUESTED_ADDRESS: DhcpOption<Ipv4> = option(50, "requested address", address); // RFC 2132, 9.1
export const LEASE_TIME: DhcpOption<number> = option(51, "lease time (s)", unsigned(4)); // RFC 2132, 9.2
export const OVERLOAD: DhcpOption<number> = option(52, "option overload", unsigned(1)); // RFC 2132, 9.3
export const MESSAGE_TYPE: DhcpOption<number> = option(53, "message type", unsigned(1)); // RFC 2132, 9.6
export const SERVER_IDENTIFIER: DhcpOption<Ipv4> = option(54, "server identifier", address); // RFC 2132, 9.7
export const PARAMETER_LIST: DhcpOption<Uint8Array> = option(55, "parameter request list", octets); // RFC 2132, 9.8
export const MESSAGE: DhcpOption<string> = option(56, "message", text); // RFC 2132, 9.9
export const MAXIMUM_SIZE: DhcpOption<number> = option(57, "maximum message size", unsigned(2)); // RFC 2132, 9.10
export const RENEWAL_TIME: DhcpOption<number> = option(58, "renewal time T1 (s)", unsigned(4)); // RFC 2132, 9.11
export const REBINDING_TIME: DhcpOption<number> = option(59, "rebinding time T2 (s)", unsigned(4)); // RFC 2132, 9.12
export const VENDOR_CLASS: DhcpOption<string> = option(60, "vendor class", text); // RFC 2132, 9.13
export const CLIENT_IDENTIFIER: DhcpOption<Uint8Array> = option(61, "client identifier", octets); // RFC 2132, 9.14
export const TFTP_SERVER_NAME: DhcpOption<string> = option(66, "TFTP server name", text); // RFC 2132, 9.4
export const BOOT_FILE_NAME: DhcpOption<string> = option(67, "boot file name", text); // RFC 2132, 9.5
export const USER_CLASS: DhcpOption<Uint8Array> = option(77, "user class", octets); // RFC 3004, 4
export const RELAY_AGENT: DhcpOption<OptionMap> = option(82, "relay agent information", suboptions); // RFC 3046, 2.0
export const ARCHITECTURE: DhcpOption<readonly number[]> = option(93, "client architecture", words); // RFC 4578, 2.1
export const INTERFACE_IDENTIFIER: DhcpOption<Uint8Array> = option(94, "client network interface", octets); // RFC 4578, 2.2
export const MACHINE_IDENTIFIER: DhcpOption<Uint8Array> = option(97, "client machine identifier", octets); // RFC 4578, 2.3
export const SUBNET_SELECTION: DhcpOption<Ipv4> = option(118, "subnet selection", address); // RFC 3011, 2
export const IPXE: DhcpOption<OptionMap> = option(175, "iPXE encapsulated options", suboptions); // ipxe.org, "DHCP options"
export const IPXE_INITIATOR: DhcpOption<string> = option(203, "iPXE iSCSI initiator name", text); // ipxe.org, cfg/initiator-iqn

/** Sub-options of option 82. */
export const RELAY_LINK_SELECTION = 5; // RFC 3527, 3
export const RELAY_SERVER_OVERRIDE = 11; // RFC 5107, 4

/** Values of option 53 (RFC 2132, 9.6). */
export const MESSAGE_TYPES = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const;

/** An infinite lease (RFC 2131, 3.3). */
export const INFINITE_SECONDS = 0xffff_ffff;

/** The option's value, or undefined where the packet does not have it. Throws {@link DhcpFormatError} naming the option. */
export function readOption<T>(options: OptionMap, wanted: DhcpOption<T>): T | undefined {
  const bytes = options.get(wanted.code);
  if (bytes === undefined) return undefined;
  try {
    return wanted.decode(bytes);
  } catch (error) {
    if (error instanceof DhcpFormatError) throw new DhcpFormatError(`option ${wanted.code} (${wanted.name}): ${error.message}`);
    throw error;
  }
}

/** Option 97 as people write a UUID, in the order of the wire; undefined where it is none (RFC 4578, 2.3: type 0 and 16 octets). */
export function machineUuid(options: OptionMap): string | undefined {
  const bytes = options.get(MACHINE_IDENTIFIER.code);
  if (bytes?.length !== 17 || bytes[0] !== 0) return undefined;
  return hex(bytes.subarray(1)).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** For logs and decoded notes beside vectors: `53 message type: 1`. Never throws; octets that are no value are shown as hex. */
export function describeOption(code: number, bytes: Uint8Array): string {
  const known = table.get(code);
  const label = known === undefined ? `${code}` : `${code} ${known.name}`;
  try {
    return `${label}: ${describeValue(known?.decode(bytes) ?? bytes)}`;
  } catch {
    return `${label}: malformed ${hex(bytes)}`;
  }
}

function describeValue(value: unknown): string {
  if (value instanceof Uint8Array) return hex(value);
  if (value instanceof Map) return [...value].map(([code, bytes]) => `${code}=${describeValue(bytes)}`).join(" ");
  if (Array.isArray(value)) return value.join(" ");
  return String(value);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
