import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";

/**
 * The basic header segments (RFC 7143, 11.2) of the PDUs that reach TypeScript or leave it: login, text, reject and
 * asynchronous message. Everything else lives and dies in the data plane. Digests and padding are the data plane's too:
 * a header here is 48 octets, and the data segment is a separate array without padding.
 */

/** RFC 7143, 11.2: a basic header segment, octets. */
export const HEADER_LENGTH = 48;
/** RFC 7143, 11.2.1.2: the low six bits of octet 0. */
export const OPCODE = {
  loginRequest: 0x03,
  textRequest: 0x04,
  loginResponse: 0x23,
  textResponse: 0x24,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const;
/** The reserved value of task and transfer tags: "none". */
export const NO_TAG = 0xffffffff;

/** A header that does not say what its place in the protocol demands. */
export class PduError extends Error {
  readonly code = "ERR_ISCSI_PDU";
}

export function opcodeOf(header: Uint8Array): number {
  const first = header[0];
  if (first === undefined) throw new PduError("an empty header");
  return first & 0x3f;
}

/** A reader behind the opcode, which must be the one expected. Throws {@link PduError}. */
export function readerFor(header: Uint8Array, opcode: number): ByteReader {
  const reader = new ByteReader(header);
  const found = reader.u8() & 0x3f;
  if (found !== opcode) throw new PduError(`opcode 0x${found.toString(16)} where 0x${opcode.toString(16)} was expected`);
  return reader;
}

export interface TextRequest {
  readonly immediate: boolean;
  readonly final: boolean;
  readonly continued: boolean;
  readonly lun: bigint;
  readonly taskTag: number;
  readonly transferTag: number;
  readonly cmdSN: number;
  readonly expStatSN: number;
}

/*
 * RFC 7143, 11.10 Text Request
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-----------+-+-+-----------+-------------------------------+
 * |.|I| 0x04      |F|C| Reserved  | Reserved                      |  0
 * | TotalAHSLength| DataSegmentLength                             |  4
 * | LUN, or reserved                                              |  8
 * |                                                               | 12
 * | Initiator Task Tag                                            | 16
 * | Target Transfer Tag, or 0xffffffff                            | 20
 * | CmdSN                                                         | 24
 * | ExpStatSN                                                     | 28
 * | Reserved                                                      | 32
 * +---------------------------------------------------------------+ 48
 */
export function decodeTextRequest(header: Uint8Array): TextRequest {
  const reader = readerFor(header, OPCODE.textRequest);
  const flags = reader.u8();
  reader.skip(6);
  const lun = reader.u64();
  const taskTag = reader.u32();
  const transferTag = reader.u32();
  const cmdSN = reader.u32();
  const expStatSN = reader.u32();
  reader.skip(16);
  const immediate = ((header[0] ?? 0) & 0x40) !== 0;
  return { immediate, final: (flags & 0x80) !== 0, continued: (flags & 0x40) !== 0, lun, taskTag, transferTag, cmdSN, expStatSN };
}

export function encodeTextRequest(request: TextRequest, dataLength: number): Uint8Array {
  return new ByteWriter(HEADER_LENGTH)
    .u8((request.immediate ? 0x40 : 0) | OPCODE.textRequest)
    .u8((request.final ? 0x80 : 0) | (request.continued ? 0x40 : 0))
    .zeros(2)
    .u32(dataLength)
    .u64(request.lun)
    .u32(request.taskTag)
    .u32(request.transferTag)
    .u32(request.cmdSN)
    .u32(request.expStatSN)
    .zeros(16)
    .finish();
}

export interface TextResponse {
  readonly final: boolean;
  readonly continued: boolean;
  readonly taskTag: number;
  readonly transferTag: number;
}

/*
 * RFC 7143, 11.11 Text Response. StatSN, ExpCmdSN and MaxCmdSN are the data plane's to fill in.
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-----------+-+-+-----------+-------------------------------+
 * |.|.| 0x24      |F|C| Reserved  | Reserved                      |  0
 * | TotalAHSLength| DataSegmentLength                             |  4
 * | LUN, or reserved                                              |  8
 * |                                                               | 12
 * | Initiator Task Tag                                            | 16
 * | Target Transfer Tag, or 0xffffffff                            | 20
 * | StatSN                                                        | 24
 * | ExpCmdSN                                                      | 28
 * | MaxCmdSN                                                      | 32
 * | Reserved                                                      | 36
 * +---------------------------------------------------------------+ 48
 */
export function encodeTextResponse(response: TextResponse, dataLength: number): Uint8Array {
  return new ByteWriter(HEADER_LENGTH)
    .u8(OPCODE.textResponse)
    .u8((response.final ? 0x80 : 0) | (response.continued ? 0x40 : 0))
    .zeros(2)
    .u32(dataLength)
    .zeros(8)
    .u32(response.taskTag)
    .u32(response.transferTag)
    .zeros(24)
    .finish();
}

export function decodeTextResponse(header: Uint8Array): TextResponse {
  const reader = readerFor(header, OPCODE.textResponse);
  const flags = reader.u8();
  reader.skip(14);
  const taskTag = reader.u32();
  const transferTag = reader.u32();
  reader.skip(24);
  return { final: (flags & 0x80) !== 0, continued: (flags & 0x40) !== 0, taskTag, transferTag };
}

/** RFC 7143, 11.17.1. */
export const REJECT_REASON = { protocolError: 0x04, commandNotSupported: 0x05, invalidPduField: 0x09, longOperationReject: 0x0a } as const;
export type RejectReason = (typeof REJECT_REASON)[keyof typeof REJECT_REASON];

/*
 * RFC 7143, 11.17 Reject. Its data segment is the whole header that is rejected. Octets 24 to 35 are the data plane's.
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-----------+-+-------------+---------------+---------------+
 * |.|.| 0x3f      |1| Reserved    | Reason        | Reserved      |  0
 * | TotalAHSLength| DataSegmentLength                             |  4
 * | Reserved                                                      |  8
 * |                                                               | 12
 * | 0xffffffff                                                    | 16
 * | Reserved                                                      | 20
 * | StatSN                                                        | 24
 * | ExpCmdSN                                                      | 28
 * | MaxCmdSN                                                      | 32
 * | DataSN/R2TSN, or reserved                                     | 36
 * | Reserved                                                      | 40
 * +---------------------------------------------------------------+ 48
 */
export function encodeReject(reason: RejectReason): Uint8Array {
  return new ByteWriter(HEADER_LENGTH)
    .u8(OPCODE.reject)
    .u8(0x80)
    .u8(reason)
    .zeros(1)
    .u32(HEADER_LENGTH)
    .zeros(8)
    .u32(NO_TAG)
    .zeros(28)
    .finish();
}

/** RFC 7143, 11.9.1. */
export const ASYNC_EVENT = { logoutRequest: 1, dropConnection: 2, dropSession: 3 } as const;

export interface AsyncMessage {
  readonly event: (typeof ASYNC_EVENT)[keyof typeof ASYNC_EVENT];
  /** Their meaning depends on the event: for a logout request the third is Time3, the seconds left to log out in. */
  readonly parameters: readonly [number, number, number];
}

/*
 * RFC 7143, 11.9 Asynchronous Message. Octets 24 to 35 are the data plane's.
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-----------+-+-------------+-------------------------------+
 * |.|.| 0x32      |1| Reserved    | Reserved                      |  0
 * | TotalAHSLength| DataSegmentLength                             |  4
 * | LUN, or reserved                                              |  8
 * |                                                               | 12
 * | 0xffffffff                                                    | 16
 * | Reserved                                                      | 20
 * | StatSN                                                        | 24
 * | ExpCmdSN                                                      | 28
 * | MaxCmdSN                                                      | 32
 * | AsyncEvent    | AsyncVCode    | Parameter1, or reserved       | 36
 * | Parameter2, or reserved       | Parameter3, or reserved       | 40
 * | Reserved                                                      | 44
 * +---------------------------------------------------------------+ 48
 */
export function encodeAsyncMessage(message: AsyncMessage): Uint8Array {
  const [first, second, third] = message.parameters;
  return new ByteWriter(HEADER_LENGTH)
    .u8(OPCODE.asyncMessage)
    .u8(0x80)
    .zeros(14)
    .u32(NO_TAG)
    .zeros(16)
    .u8(message.event)
    .zeros(1)
    .u16(first)
    .u16(second)
    .u16(third)
    .zeros(4)
    .finish();
}
