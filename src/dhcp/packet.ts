import { type Ipv4, ipv4FromBytes, ipv4FromNumber, ipv4ToNumber, type Mac, macFromBytes } from "../machine/identifiers.ts";
import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import {
  BOOT_FILE_NAME,
  DhcpFormatError,
  END,
  MESSAGE_TYPE,
  MESSAGE_TYPES,
  type OptionMap,
  OVERLOAD,
  PAD,
  RELAY_AGENT,
  readOption,
  TFTP_SERVER_NAME,
} from "./options.ts";

/*
 * RFC 2131, 2: the message, in UDP, big-endian.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +---------------+---------------+---------------+---------------+
 *   |     op (1)    |   htype (1)   |    hlen (1)   |    hops (1)   |
 *   +---------------+---------------+---------------+---------------+
 *   |                            xid (4)                            |
 *   +-------------------------------+-------------------------------+
 *   |           secs (2)            |B          flags (2)           |
 *   +-------------------------------+-------------------------------+
 *   |            ciaddr (4): the client's address, if it has one    |
 *   |            yiaddr (4): the address that it is given           |
 *   |            siaddr (4): where it boots from                    |
 *   |            giaddr (4): the relay that passed this on          |
 *   +---------------------------------------------------------------+
 *   |                          chaddr (16)                          |
 *   |                           sname (64)                          |
 *   |                           file (128)                          |
 *   +---------------------------------------------------------------+
 *   |                 magic cookie 63 82 53 63 (4)                  |
 *   +---------------------------------------------------------------+
 *   |      options: code, length, octets ...; PAD is 0, END 255     |
 *   +---------------------------------------------------------------+
 */

export interface DhcpPacket {
  readonly op: "request" | "reply";
  readonly htype: number;
  readonly hlen: number;
  readonly hops: number;
  readonly xid: number;
  readonly secs: number;
  /** 16 bits; see {@link BROADCAST_FLAG}. */
  readonly flags: number;
  readonly ciaddr: Ipv4;
  readonly yiaddr: Ipv4;
  readonly siaddr: Ipv4;
  readonly giaddr: Ipv4;
  /** 16 octets, of which `hlen` count. */
  readonly chaddr: Uint8Array;
  /** One octet a character, without NULs; empty where the field carried options (option 52). */
  readonly sname: string;
  readonly file: string;
  /** Without option 52, which the codec reads and writes itself. */
  readonly options: OptionMap;
}

export const NO_ADDRESS: Ipv4 = ipv4FromBytes(new Uint8Array(4));
export const BROADCAST_FLAG = 0x8000; // RFC 2131, 2, figure 2

const HTYPE_ETHERNET = 1; // RFC 1700, "Hardware Type"
const CHADDR_BYTES = 16;
const SNAME_BYTES = 64;
const FILE_BYTES = 128;
const COOKIE = 0x6382_5363; // RFC 2131, 3
/** The fixed header and the cookie: the least that is a DHCP message. */
export const HEADER_BYTES = 240;
/** Old relays and clients drop less: a BOOTP message had 64 octets of vendor area (RFC 1542, 2.1). */
export const MINIMUM_REPLY_BYTES = 300;
/** What every client takes without saying so: an IP datagram of 576 octets, less IP and UDP headers (RFC 2131, 2). */
export const DEFAULT_MAXIMUM_BYTES = 548;
/** What goes into one Ethernet frame without fragments. OVMF's REQUEST says 65280, which nothing here should believe. */
export const FRAME_MAXIMUM_BYTES = 1472;
/** The code and the length in front of an option's octets. */
const OPTION_OVERHEAD = 2;
/** The most that one code-and-length may carry; longer values go out in pieces (RFC 3396, 5). */
const FRAGMENT_BYTES = 255;

const OVERLOAD_FILE = 1; // RFC 2132, 9.3
const OVERLOAD_SNAME = 2;

/** The client's MAC address; undefined where the hardware is no Ethernet. */
export function clientMac(packet: DhcpPacket): Mac | undefined {
  return packet.htype === HTYPE_ETHERNET && packet.hlen === 6 ? macFromBytes(packet.chaddr.subarray(0, 6)) : undefined;
}

const CHADDR_AT = 28;

/**
 * A glance at octets that may be anything: the MAC address where it would stand, and whether they are a DISCOVER, as far as that can be
 * told: nearly all clients have the message type first of their options.
 */
export function glance(bytes: Uint8Array): { readonly mac: Mac | undefined; readonly isDiscover: boolean } {
  if (bytes.length < HEADER_BYTES + 3) return { mac: undefined, isDiscover: false };
  const isDiscover = bytes[HEADER_BYTES] === MESSAGE_TYPE.code && bytes[HEADER_BYTES + 2] === MESSAGE_TYPES.discover;
  return { mac: macFromBytes(bytes.subarray(CHADDR_AT, CHADDR_AT + 6)), isDiscover };
}

/** Throws ShortInputError or {@link DhcpFormatError}; both say what is wrong. The result shares memory with `bytes`. */
export function decodePacket(bytes: Uint8Array): DhcpPacket {
  const reader = new ByteReader(bytes);
  const op = reader.u8();
  if (op !== 1 && op !== 2) throw new DhcpFormatError(`op is ${op}, neither BOOTREQUEST (1) nor BOOTREPLY (2)`);
  const header = {
    op: op === 1 ? ("request" as const) : ("reply" as const),
    htype: reader.u8(),
    hlen: reader.u8(),
    hops: reader.u8(),
    xid: reader.u32(),
    secs: reader.u16(),
    flags: reader.u16(),
    ciaddr: ipv4FromNumber(reader.u32()),
    yiaddr: ipv4FromNumber(reader.u32()),
    siaddr: ipv4FromNumber(reader.u32()),
    giaddr: ipv4FromNumber(reader.u32()),
    chaddr: reader.bytes(CHADDR_BYTES),
  };
  if (header.hlen > CHADDR_BYTES) throw new DhcpFormatError(`hlen is ${header.hlen}, chaddr holds ${CHADDR_BYTES} octets`);
  const sname = reader.bytes(SNAME_BYTES);
  const file = reader.bytes(FILE_BYTES);
  const cookie = reader.u32();
  if (cookie !== COOKIE) throw new DhcpFormatError(`magic cookie is ${cookie.toString(16).padStart(8, "0")}, 63825363 wanted`);

  const fragments = new Fragments();
  fragments.read("options", reader.rest());
  const overload = overloadOf(fragments.get(OVERLOAD.code));
  // RFC 3396, 5: the aggregate of all three is read in this order.
  if ((overload & OVERLOAD_FILE) !== 0) fragments.read("file", file);
  if ((overload & OVERLOAD_SNAME) !== 0) fragments.read("sname", sname);
  return {
    ...header,
    sname: (overload & OVERLOAD_SNAME) !== 0 ? "" : untilNul(sname),
    file: (overload & OVERLOAD_FILE) !== 0 ? "" : untilNul(file),
    options: fragments.join(),
  };
}

/** Which fields carry options besides their own. */
function overloadOf(value: Uint8Array | undefined): number {
  const overload = value === undefined ? 0 : (readOption(new Map([[OVERLOAD.code, value]]), OVERLOAD) ?? 0);
  if (overload > (OVERLOAD_FILE | OVERLOAD_SNAME)) throw new DhcpFormatError(`option 52 (option overload) is ${overload}, 1 to 3 wanted`);
  return overload;
}

function untilNul(field: Uint8Array): string {
  if (field[0] === 0) return "";
  const end = field.indexOf(0);
  return Buffer.from(end === -1 ? field : field.subarray(0, end)).toString("latin1");
}

/** Collects the pieces of each option over the fields that carry options, in order of first appearance. */
class Fragments {
  /** An option that came in one piece, as nearly all do, or the first piece of it. */
  readonly #first = new Map<number, Uint8Array>();
  readonly #further = new Map<number, Uint8Array[]>();

  read(field: string, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const code = bytes[at++];
      if (code === undefined || code === END) return;
      if (code === PAD) continue;
      const length = bytes[at++];
      if (length === undefined) throw new DhcpFormatError(`${field} field: option ${code} has no length`);
      if (at + length > bytes.length) {
        throw new DhcpFormatError(`${field} field: option ${code} announces ${length} octets, ${bytes.length - at} left`);
      }
      this.#take(code, bytes.subarray(at, at + length));
      at += length;
    }
  }

  #take(code: number, piece: Uint8Array): void {
    if (!this.#first.has(code)) {
      this.#first.set(code, piece);
      return;
    }
    const further = this.#further.get(code);
    if (further === undefined) this.#further.set(code, [piece]);
    else further.push(piece);
  }

  get(code: number): Uint8Array | undefined {
    const [first, further] = [this.#first.get(code), this.#further.get(code)];
    return first === undefined || further === undefined ? first : new Uint8Array(Buffer.concat([first, ...further]));
  }

  /** All but those that are the codec's own. */
  join(): Map<number, Uint8Array> {
    const joined = new Map<number, Uint8Array>();
    for (const code of this.#first.keys()) {
      const whole = code === OVERLOAD.code ? undefined : this.get(code);
      if (whole !== undefined) joined.set(code, whole);
    }
    return joined;
  }
}

export interface EncodeOptions {
  /** Octets of UDP payload that the client takes. */
  readonly maximumBytes?: number;
  readonly minimumBytes?: number;
  /** `file` and `sname` carry no options, whatever is left out for it. */
  readonly plain?: boolean;
}

export interface EncodedPacket {
  readonly bytes: Uint8Array;
  /** Options that found no room, by number. What matters most should stand first in the packet. */
  readonly dropped: readonly number[];
}

/** One for all packets, which are written one after the other. */
const writer = new ByteWriter(FRAME_MAXIMUM_BYTES);

/**
 * Option 82 goes last (RFC 3046, 2.2), the others in their order. What does not fit goes into `sname` and `file`
 * (option 52) as far as these are empty or said again by options 66 and 67; what fits nowhere is left out and told.
 */
export function encodePacket(packet: DhcpPacket, limits: EncodeOptions = {}): EncodedPacket {
  const maximumBytes = Math.max(limits.maximumBytes ?? DEFAULT_MAXIMUM_BYTES, DEFAULT_MAXIMUM_BYTES);
  const plan = planOptions(packet, maximumBytes - HEADER_BYTES, limits.plain === true);
  writer
    .clear()
    .u8(packet.op === "request" ? 1 : 2)
    .u8(packet.htype)
    .u8(packet.hlen)
    .u8(packet.hops)
    .u32(packet.xid)
    .u16(packet.secs)
    .u16(packet.flags)
    .u32(ipv4ToNumber(packet.ciaddr))
    .u32(ipv4ToNumber(packet.yiaddr))
    .u32(ipv4ToNumber(packet.siaddr))
    .u32(ipv4ToNumber(packet.giaddr))
    .bytes(packet.chaddr);
  if (plan.sname.used) plan.sname.write(writer, SNAME_BYTES);
  else writer.ascii(packet.sname, SNAME_BYTES);
  if (plan.file.used) plan.file.write(writer, FILE_BYTES);
  else writer.ascii(packet.file, FILE_BYTES);
  writer.u32(COOKIE);
  plan.options.write(writer, 0);
  const missing = (limits.minimumBytes ?? 0) - writer.length;
  if (missing > 0) writer.zeros(missing);
  // In Node's pool, which is less work than memory of its own.
  const { buffer, byteOffset, byteLength } = Buffer.from(writer.written);
  return { bytes: new Uint8Array(buffer, byteOffset, byteLength), dropped: plan.dropped };
}

/** A field that carries options. One octet of it is END's. */
class OptionField {
  readonly #codes: number[] = [];
  readonly #values: Uint8Array[] = [];
  #room: number;

  constructor(bytes: number) {
    this.#room = bytes - 1;
  }

  get used(): boolean {
    return this.#codes.length > 0;
  }

  take(code: number, value: Uint8Array): boolean {
    const size = optionBytes(value);
    if (size > this.#room) return false;
    this.#room -= size;
    this.append(code, value);
    return true;
  }

  /** For what room was kept for. */
  append(code: number, value: Uint8Array): void {
    this.#codes.push(code);
    this.#values.push(value);
  }

  write(writer: ByteWriter, width: number): void {
    const end = writer.length + width;
    this.#values.forEach((value, index) => {
      const code = this.#codes[index] ?? PAD;
      for (let at = 0; at === 0 || at < value.length; at += FRAGMENT_BYTES) {
        const piece = value.length <= FRAGMENT_BYTES ? value : value.subarray(at, at + FRAGMENT_BYTES);
        writer.u8(code).u8(piece.length).bytes(piece);
      }
    });
    writer.u8(END);
    if (writer.length < end) writer.zeros(end - writer.length);
  }
}

function optionBytes(value: Uint8Array): number {
  return value.length + OPTION_OVERHEAD * Math.max(1, Math.ceil(value.length / FRAGMENT_BYTES));
}

/** Neither the relay's, which goes last, nor the codec's own. */
function isOrdinary(code: number): boolean {
  return code !== RELAY_AGENT.code && code !== OVERLOAD.code;
}

interface OptionPlan {
  readonly options: OptionField;
  readonly file: OptionField;
  readonly sname: OptionField;
  readonly dropped: readonly number[];
}

function planOptions(packet: DhcpPacket, room: number, plain: boolean): OptionPlan {
  const relay = packet.options.get(RELAY_AGENT.code);
  const relayBytes = relay === undefined ? 0 : optionBytes(relay);
  let wanted = relayBytes;
  // forEach, here and below, makes no pair of each entry.
  packet.options.forEach((value, code) => {
    if (isOrdinary(code)) wanted += optionBytes(value);
  });
  const overloads = !plain && wanted + 1 > room;
  const options = new OptionField(room - relayBytes - (overloads ? OPTION_OVERHEAD + 1 : 0));
  // `sname` before `file`: there are loaders that read only `file`, and none that reads only `sname`.
  const sname = new OptionField(overloads && (packet.sname === "" || packet.options.has(TFTP_SERVER_NAME.code)) ? SNAME_BYTES : 0);
  const file = new OptionField(overloads && (packet.file === "" || packet.options.has(BOOT_FILE_NAME.code)) ? FILE_BYTES : 0);
  const dropped: number[] = [];
  packet.options.forEach((value, code) => {
    if (isOrdinary(code) && !options.take(code, value) && !sname.take(code, value) && !file.take(code, value)) dropped.push(code);
  });
  const overload = (file.used ? OVERLOAD_FILE : 0) | (sname.used ? OVERLOAD_SNAME : 0);
  if (overload !== 0) options.append(OVERLOAD.code, OVERLOAD.encode(overload));
  if (relay !== undefined) options.append(RELAY_AGENT.code, relay);
  return { options, file, sname, dropped };
}
