import { ImageError } from "./error.ts";
import { NO_SYSTEM_USE, type SystemUse, systemUse } from "./rock-ridge.ts";

/** A directory record (ECMA-119, 9.1). */
export interface IsoRecord {
  /** Of ISO 9660 or of Joliet; Rock Ridge may have another. */
  readonly name: string;
  /** The folder itself, or the one above it. */
  readonly special: boolean;
  readonly extent: { readonly offset: number; readonly length: number };
  readonly isFolder: boolean;
  /** The next record is of the same file. */
  readonly moreFollows: boolean;
  readonly interleaved: boolean;
  readonly systemUse: SystemUse;
}

const SECTOR_BYTES = 2048;
/** 9.1: the fixed fields, and a name of one octet. */
const MIN_RECORD_BYTES = 34;
/** 9.1.6. */
const FLAG_DIRECTORY = 0x02;
const FLAG_MULTI_EXTENT = 0x80;

/**
 * The records of a folder, in order. None crosses the border of a sector (6.8.1.1), so a zero means: go on in the next one.
 *
 *     0 length   1 length of the extended attributes   2 extent (both orders)   10 size (both orders)   18 time
 *     25 flags   26 interleave   28 volume   32 length of the name   33 name, padding, system use
 *
 * `rockRidge`: how many octets of the system use are somebody else's; undefined where there is no Rock Ridge.
 */
export function directoryRecords(octets: Uint8Array, joliet: boolean, rockRidge: number | undefined): IsoRecord[] {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  const records: IsoRecord[] = [];
  for (let at = 0; at < octets.length; ) {
    const length = octets[at] ?? 0;
    if (length === 0) {
      at = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES;
      continue;
    }
    const nameBytes = octets[at + 32] ?? 0;
    if (length < MIN_RECORD_BYTES || at + length > octets.length || 33 + nameBytes > length) {
      throw new ImageError("one of its folders makes no sense");
    }
    const name = octets.subarray(at + 33, at + 33 + nameBytes);
    const flags = octets[at + 25] ?? 0;
    // 9.1.12: a padding octet follows a name of an even length.
    const use = octets.subarray(Math.min(at + length, at + 33 + nameBytes + (nameBytes % 2 === 0 ? 1 : 0)), at + length);
    const attributes = octets[at + 1] ?? 0;
    records.push({
      name: nameOf(name, joliet),
      special: nameBytes === 1 && (name[0] ?? 2) < 2,
      extent: { offset: (view.getUint32(at + 2, true) + attributes) * SECTOR_BYTES, length: view.getUint32(at + 10, true) },
      isFolder: (flags & FLAG_DIRECTORY) !== 0,
      moreFollows: (flags & FLAG_MULTI_EXTENT) !== 0,
      interleaved: octets[at + 26] !== 0 || octets[at + 27] !== 0,
      systemUse: rockRidge === undefined ? NO_SYSTEM_USE : systemUse(use.subarray(rockRidge)),
    });
    at += length;
  }
  return records;
}

/** 7.5: `NAME.EXT;1`, in upper case by habit; programs that mount an image show it in lower case, without the version. */
function nameOf(octets: Uint8Array, joliet: boolean): string {
  const text = joliet ? new TextDecoder("utf-16be").decode(octets) : Buffer.from(octets).toString("latin1").toLowerCase();
  const unversioned = text.replace(/;[0-9]+$/, "");
  return joliet ? unversioned : unversioned.replace(/\.$/, "");
}
