import { ByteReader, ShortInputError } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";

/**
 * The packets of TFTP revision 2 (RFC 1350, 5) with option extension (RFC 2347).
 *
 *            2 octets   string   1   string   1  [ string  1   string  1 ] ...
 *   RRQ/WRQ | 01 / 02 | filename | 0 | mode | 0 | option | 0 | value | 0 |
 *
 *            2 octets   2 octets   0 to blksize octets
 *   DATA    |   03    |  block   |  data  |
 *
 *            2 octets   2 octets
 *   ACK     |   04    |  block   |
 *
 *            2 octets   2 octets   string   1
 *   ERROR   |   05    |   code   | message | 0 |
 *
 *            2 octets [ string  1   string  1 ] ...
 *   OACK    |   06    | option | 0 | value | 0 |
 */
export type TftpPacket = ReadRequest | WriteRequest | DataPacket | AckPacket | ErrorPacket | OackPacket;

/** Option and value as they stood on the wire; names compare without case (RFC 2347). */
export type TftpOption = readonly [name: string, value: string];

interface Request {
  readonly filename: string;
  /** As it stood on the wire; compares without case. */
  readonly mode: string;
  readonly options: readonly TftpOption[];
}
export interface ReadRequest extends Request {
  readonly kind: "rrq";
}
export interface WriteRequest extends Request {
  readonly kind: "wrq";
}
export interface DataPacket {
  readonly kind: "data";
  /** 0 to 65535; RFC 1350 counts from 1, a long file rolls over to 0. */
  readonly block: number;
  readonly data: Uint8Array;
}
export interface AckPacket {
  readonly kind: "ack";
  readonly block: number;
}
export interface ErrorPacket {
  readonly kind: "error";
  readonly code: number;
  readonly message: string;
}
export interface OackPacket {
  readonly kind: "oack";
  readonly options: readonly TftpOption[];
}

/** RFC 1350, appendix I; 8 is RFC 2347's. */
export const TFTP_ERROR = {
  undefined: 0,
  notFound: 1,
  accessViolation: 2,
  diskFull: 3,
  illegalOperation: 4,
  unknownTransfer: 5,
  fileExists: 6,
  optionNegotiation: 8,
} as const;

const OPCODE = { rrq: 1, wrq: 2, data: 3, ack: 4, error: 5, oack: 6 } as const;

/** A request has at most 512 octets (RFC 2347); some ROMs send long paths beside many options, so it is a little more here. */
export const MAX_REQUEST_BYTES = 1024;
/** No client in use sends more than five. */
export const MAX_OPTIONS = 16;

/** Octets that are no TFTP packet. The message is for people. */
export class TftpPacketError extends Error {
  readonly code = "ERR_TFTP_PACKET";
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/** Decodes one datagram. Throws {@link TftpPacketError} for whatever RFC 1350 does not describe, short input included. */
export function decodePacket(bytes: Uint8Array): TftpPacket {
  try {
    return decode(new ByteReader(bytes), bytes.length);
  } catch (error) {
    if (error instanceof ShortInputError) throw new TftpPacketError(`the packet ends early: ${error.message}`);
    throw error;
  }
}

function decode(reader: ByteReader, length: number): TftpPacket {
  const opcode = reader.u16();
  switch (opcode) {
    case OPCODE.rrq:
    case OPCODE.wrq: {
      if (length > MAX_REQUEST_BYTES) throw new TftpPacketError(`a request of ${length} octets; at most ${MAX_REQUEST_BYTES} are taken`);
      const filename = readString(reader, "file name");
      const mode = readString(reader, "mode");
      return { kind: opcode === OPCODE.rrq ? "rrq" : "wrq", filename, mode, options: readOptions(reader) };
    }
    case OPCODE.data:
      return { kind: "data", block: reader.u16(), data: reader.rest() };
    case OPCODE.ack: {
      const block = reader.u16();
      // Some ROMs pad an ACK to the Ethernet minimum, so what follows the block number is let pass.
      return { kind: "ack", block };
    }
    case OPCODE.error: {
      const code = reader.u16();
      // Several clients leave out the message or its NUL, and a courtesy packet is not worth an argument.
      const text = reader.rest();
      const end = text.indexOf(0);
      return { kind: "error", code, message: lenientText(end < 0 ? text : text.subarray(0, end)) };
    }
    case OPCODE.oack:
      return { kind: "oack", options: readOptions(reader) };
    default:
      throw new TftpPacketError(`opcode ${opcode} is none of RFC 1350 or RFC 2347`);
  }
}

function readOptions(reader: ByteReader): TftpOption[] {
  const options: TftpOption[] = [];
  while (reader.remaining > 0) {
    if (options.length === MAX_OPTIONS) throw new TftpPacketError(`more than ${MAX_OPTIONS} options`);
    const name = readString(reader, "option name");
    if (name === "") throw new TftpPacketError("an option without a name");
    options.push([name, readString(reader, `value of option ${name}`)]);
  }
  return options;
}

function readString(reader: ByteReader, what: string): string {
  const octets: number[] = [];
  for (;;) {
    if (reader.remaining === 0) throw new TftpPacketError(`the ${what} has no NUL at its end`);
    const octet = reader.u8();
    if (octet === 0) break;
    octets.push(octet);
  }
  try {
    return utf8.decode(Uint8Array.from(octets));
  } catch {
    throw new TftpPacketError(`the ${what} is not UTF-8`);
  }
}

function lenientText(bytes: Uint8Array): string {
  return Array.from(bytes, (octet) => (octet >= 0x20 && octet < 0x7f ? String.fromCharCode(octet) : "?")).join("");
}

/** The datagram of one packet. Values that do not fit their field are a bug of the caller and throw. */
export function encodePacket(packet: TftpPacket): Uint8Array {
  const writer = new ByteWriter(64).u16(OPCODE[packet.kind]);
  switch (packet.kind) {
    case "rrq":
    case "wrq":
      writeString(writer, packet.filename);
      writeString(writer, packet.mode);
      writeOptions(writer, packet.options);
      break;
    case "data":
      writer.u16(packet.block).bytes(packet.data);
      break;
    case "ack":
      writer.u16(packet.block);
      break;
    case "error":
      writer.u16(packet.code);
      writeString(writer, packet.message);
      break;
    case "oack":
      writeOptions(writer, packet.options);
      break;
  }
  return writer.finish();
}

/** The four octets before a DATA packet's payload, for senders that do not copy the payload. */
export function dataHeader(block: number): Uint8Array {
  return Uint8Array.of(0, OPCODE.data, (block >>> 8) & 0xff, block & 0xff);
}

function writeOptions(writer: ByteWriter, options: readonly TftpOption[]): void {
  for (const [name, value] of options) {
    writeString(writer, name);
    writeString(writer, value);
  }
}

function writeString(writer: ByteWriter, text: string): void {
  const bytes = utf8Encoder.encode(text);
  if (bytes.includes(0)) throw new RangeError("a TFTP string cannot hold NUL");
  writer.bytes(bytes).u8(0);
}
