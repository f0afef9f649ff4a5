import { ByteWriter } from "../wire/writer.ts";

/** SPC-4, 4.5.6, table 48. */
export const SENSE_KEY = {
  noSense: 0x0,
  notReady: 0x2,
  mediumError: 0x3,
  hardwareError: 0x4,
  copyAborted: 0xa,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  dataProtect: 0x7,
} as const;

/** SPC-4, 4.5.2.4.2: which octet, and from which bit down, is wrong; in the CDB or in the parameter list. */
export interface FieldPointer {
  readonly inCdb: boolean;
  readonly octet: number;
  readonly bit?: number;
}

export interface Sense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  readonly field?: FieldPointer;
  /** From 0 to 1, for what is under way (SPC-4, 4.5.2.4.4). */
  readonly progress?: number;
}

/** SPC-4, annex F. */
export const NO_SENSE: Sense = { key: SENSE_KEY.noSense, asc: 0x00, ascq: 0x00 };
export const INVALID_OPCODE: Sense = {
  key: SENSE_KEY.illegalRequest,
  asc: 0x20,
  ascq: 0x00,
  field: { inCdb: true, octet: 0 },
};
export const UNIT_NOT_SUPPORTED: Sense = { key: SENSE_KEY.illegalRequest, asc: 0x25, ascq: 0x00 };
export const INTERNAL_TARGET_FAILURE: Sense = { key: SENSE_KEY.hardwareError, asc: 0x44, ascq: 0x00 };
export const MEDIUM_NOT_PRESENT: Sense = { key: SENSE_KEY.notReady, asc: 0x3a, ascq: 0x00 };
export const SANITIZE_IN_PROGRESS: Sense = { key: SENSE_KEY.notReady, asc: 0x04, ascq: 0x1b };
export const SANITIZE_FAILED: Sense = { key: SENSE_KEY.mediumError, asc: 0x31, ascq: 0x03 };
export const WRITE_PROTECTED: Sense = { key: SENSE_KEY.dataProtect, asc: 0x27, ascq: 0x00 };
export const LBA_OUT_OF_RANGE: Sense = { key: SENSE_KEY.illegalRequest, asc: 0x21, ascq: 0x00 };
export const COPY_ABORTED: Sense = { key: SENSE_KEY.copyAborted, asc: 0x00, ascq: 0x00 };
export const SAVING_NOT_SUPPORTED: Sense = { key: SENSE_KEY.illegalRequest, asc: 0x39, ascq: 0x00 };
export const PARAMETER_LIST_LENGTH_ERROR: Sense = { key: SENSE_KEY.illegalRequest, asc: 0x1a, ascq: 0x00 };

/** INVALID FIELD IN CDB; `bit` is the leftmost bit of the field. */
export function invalidField(octet: number, bit?: number): Sense {
  const field = bit === undefined ? { inCdb: true, octet } : { inCdb: true, octet, bit };
  return { key: SENSE_KEY.illegalRequest, asc: 0x24, ascq: 0x00, field };
}

/** INVALID FIELD IN PARAMETER LIST. */
export function invalidParameter(octet: number): Sense {
  return { key: SENSE_KEY.illegalRequest, asc: 0x26, ascq: 0x00, field: { inCdb: false, octet } };
}

/** SPC-4, 4.5.2.4.2: three octets. */
function sksOf({ field, progress }: Sense): Uint8Array {
  if (progress !== undefined)
    return new ByteWriter(3)
      .u8(0x80)
      .u16(Math.floor(progress * 0xffff))
      .finish();
  if (field === undefined) return new Uint8Array(3);
  const bit = field.bit === undefined ? 0 : 0x08 | field.bit;
  return new ByteWriter(3)
    .u8(0x80 | (field.inCdb ? 0x40 : 0) | bit)
    .u16(field.octet)
    .finish();
}

/*
 * SPC-4, 4.5.3 Fixed format sense data
 *
 *  0  0x70                      7  additional length, 10
 *  1  obsolete                  8  command-specific information (4)
 *  2  sense key                12  additional sense code, and its qualifier
 *  3  information (4)          14  field replaceable unit, then sense key specific (3)
 */
export function fixedSense(sense: Sense): Uint8Array {
  const { key, asc, ascq } = sense;
  return new ByteWriter(18).u8(0x70).zeros(1).u8(key).zeros(4).u8(10).zeros(4).u8(asc).u8(ascq).zeros(1).bytes(sksOf(sense)).finish();
}

/*
 * SPC-4, 4.5.2 Descriptor format sense data
 *
 *  0  0x72         1  sense key          2  additional sense code      3  its qualifier
 *  4  reserved (3)                       7  additional length
 *  8  sense key specific descriptor: 0x02, length 6, reserved (2), sense key specific (3), reserved
 */
export function descriptorSense(sense: Sense): Uint8Array {
  const { key, asc, ascq } = sense;
  const writer = new ByteWriter(16).u8(0x72).u8(key).u8(asc).u8(ascq).zeros(3);
  if (sense.field === undefined && sense.progress === undefined) return writer.u8(0).finish();
  return writer.u8(8).u8(0x02).u8(6).zeros(2).bytes(sksOf(sense)).zeros(1).finish();
}
