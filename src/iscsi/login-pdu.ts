import { ByteWriter } from "../wire/writer.ts";
import { HEADER_LENGTH, OPCODE, readerFor } from "./pdu.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));

/** RFC 7143, 11.12.3: 0 security, 1 operational, 3 full feature; 2 is reserved. */
export type StageCode = 0 | 1 | 2 | 3;
export const STAGE = { security: 0, operational: 1, fullFeature: 3 } as const;

export interface LoginRequest {
  readonly transit: boolean;
  readonly continued: boolean;
  readonly currentStage: StageCode;
  readonly nextStage: StageCode;
  readonly versionMax: number;
  readonly versionMin: number;
  /** Six octets as twelve hexadecimal digits. */
  readonly isid: string;
  readonly tsih: number;
  readonly taskTag: number;
  readonly cid: number;
  readonly cmdSN: number;
  readonly expStatSN: number;
}

/*
 * RFC 7143, 11.12 Login Request
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-----------+-+-+---+---+---+---------------+---------------+
 * |.|1| 0x03      |T|C|. .|CSG|NSG| Version-max   | Version-min   |  0
 * | TotalAHSLength| DataSegmentLength                             |  4
 * | ISID                                                          |  8
 * |                               | TSIH                          | 12
 * | Initiator Task Tag                                            | 16
 * | CID                           | Reserved                      | 20
 * | CmdSN                                                         | 24
 * | ExpStatSN, or reserved in the first request                   | 28
 * | Reserved                                                      | 32
 * +---------------------------------------------------------------+ 48
 */
export function decodeLoginRequest(header: Uint8Array): LoginRequest {
  const reader = readerFor(header, OPCODE.loginRequest);
  const flags = reader.u8();
  const versionMax = reader.u8();
  const versionMin = reader.u8();
  reader.skip(4);
  const isid = hex(reader.bytes(6));
  const tsih = reader.u16();
  const taskTag = reader.u32();
  const cid = reader.u16();
  reader.skip(2);
  const cmdSN = reader.u32();
  const expStatSN = reader.u32();
  reader.skip(16);
  return { ...stageFlags(flags), versionMax, versionMin, isid, tsih, taskTag, cid, cmdSN, expStatSN };
}

export function encodeLoginRequest(request: LoginRequest, dataLength: number): Uint8Array {
  return new ByteWriter(HEADER_LENGTH)
    .u8(0x40 | OPCODE.loginRequest)
    .u8(stageOctet(request))
    .u8(request.versionMax)
    .u8(request.versionMin)
    .u32(dataLength)
    .bytes(unhex(request.isid))
    .u16(request.tsih)
    .u32(request.taskTag)
    .u16(request.cid)
    .zeros(2)
    .u32(request.cmdSN)
    .u32(request.expStatSN)
    .zeros(16)
    .finish();
}

interface StageFlags {
  readonly transit: boolean;
  readonly continued: boolean;
  readonly currentStage: StageCode;
  readonly nextStage: StageCode;
}

function stageFlags(octet: number): StageFlags {
  return {
    transit: (octet & 0x80) !== 0,
    continued: (octet & 0x40) !== 0,
    currentStage: ((octet >> 2) & 3) as StageCode,
    nextStage: (octet & 3) as StageCode,
  };
}

function stageOctet(flags: StageFlags): number {
  return (flags.transit ? 0x80 : 0) | (flags.continued ? 0x40 : 0) | (flags.currentStage << 2) | flags.nextStage;
}

/** RFC 7143, 11.13.5: Status-Class in the high octet, Status-Detail in the low one. */
export const LOGIN_STATUS = {
  success: 0x0000,
  initiatorError: 0x0200,
  authenticationFailure: 0x0201,
  authorizationFailure: 0x0202,
  notFound: 0x0203,
  targetRemoved: 0x0204,
  unsupportedVersion: 0x0205,
  tooManyConnections: 0x0206,
  missingParameter: 0x0207,
  cannotIncludeInSession: 0x0208,
  sessionTypeNotSupported: 0x0209,
  sessionDoesNotExist: 0x020a,
  invalidDuringLogin: 0x020b,
  targetError: 0x0300,
  serviceUnavailable: 0x0301,
  outOfResources: 0x0302,
} as const;
export type LoginStatus = (typeof LOGIN_STATUS)[keyof typeof LOGIN_STATUS];

export interface LoginResponse extends StageFlags {
  readonly versionMax: number;
  readonly versionActive: number;
  readonly isid: string;
  readonly tsih: number;
  readonly taskTag: number;
  readonly statSN: number;
  readonly expCmdSN: number;
  readonly maxCmdSN: number;
  readonly status: number;
}

/*
 * RFC 7143, 11.13 Login Response
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-----------+-+-+---+---+---+---------------+---------------+
 * |.|.| 0x23      |T|C|. .|CSG|NSG| Version-max   | Version-active|  0
 * | TotalAHSLength| DataSegmentLength                             |  4
 * | ISID                                                          |  8
 * |                               | TSIH                          | 12
 * | Initiator Task Tag                                            | 16
 * | Reserved                                                      | 20
 * | StatSN                                                        | 24
 * | ExpCmdSN                                                      | 28
 * | MaxCmdSN                                                      | 32
 * | Status-Class  | Status-Detail | Reserved                      | 36
 * | Reserved                                                      | 40
 * +---------------------------------------------------------------+ 48
 */
export function encodeLoginResponse(response: LoginResponse, dataLength: number): Uint8Array {
  return new ByteWriter(HEADER_LENGTH)
    .u8(OPCODE.loginResponse)
    .u8(stageOctet(response))
    .u8(response.versionMax)
    .u8(response.versionActive)
    .u32(dataLength)
    .bytes(unhex(response.isid))
    .u16(response.tsih)
    .u32(response.taskTag)
    .zeros(4)
    .u32(response.statSN)
    .u32(response.expCmdSN)
    .u32(response.maxCmdSN)
    .u16(response.status)
    .zeros(10)
    .finish();
}

export function decodeLoginResponse(header: Uint8Array): LoginResponse {
  const reader = readerFor(header, OPCODE.loginResponse);
  const flags = reader.u8();
  const versionMax = reader.u8();
  const versionActive = reader.u8();
  reader.skip(4);
  const isid = hex(reader.bytes(6));
  const tsih = reader.u16();
  const taskTag = reader.u32();
  reader.skip(4);
  const statSN = reader.u32();
  const expCmdSN = reader.u32();
  const maxCmdSN = reader.u32();
  const status = reader.u16();
  reader.skip(10);
  return { ...stageFlags(flags), versionMax, versionActive, isid, tsih, taskTag, statSN, expCmdSN, maxCmdSN, status };
}
