import { ImageError } from "./error.ts";

/** What Rock Ridge says of a file in the System Use fields of its record (IEEE P1281 and P1282). */
export interface SystemUse {
  /** Of a folder's first record: Rock Ridge is here, and so many octets of each record come before it. */
  readonly rockRidge?: number;
  readonly name?: string;
  /** The target of a symbolic link. */
  readonly link?: string;
  /** It stands in for a folder that lies there. */
  readonly childOffset?: number;
  /** A folder that is reached by its stand-in. */
  readonly relocated: boolean;
  readonly compressed: boolean;
  /** The fields go on there; {@link SystemUse.goOn} takes those octets. */
  readonly continues?: { readonly offset: number; readonly length: number };
  readonly goOn: (octets: Uint8Array) => SystemUse;
}

const SECTOR_BYTES = 2048;
const MAX_NAME_BYTES = 1024;

interface Parts {
  rockRidge?: number;
  name: Uint8Array[];
  link: string[] | undefined;
  /** The last component of the link goes on in the next field. */
  linkOpen: boolean;
  childOffset?: number;
  relocated: boolean;
  compressed: boolean;
}

export const NO_SYSTEM_USE: SystemUse = { relocated: false, compressed: false, goOn: () => NO_SYSTEM_USE };

/** `octets` begin with the first field. Throws {@link ImageError} where a field is longer than what holds it. */
export function systemUse(octets: Uint8Array): SystemUse {
  return fields(octets, { name: [], link: undefined, linkOpen: false, relocated: false, compressed: false });
}

/** Each field: a signature of two letters, its length, a version, and then what the signature says. */
function fields(octets: Uint8Array, parts: Parts): SystemUse {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  let continues: SystemUse["continues"];
  // What is left of less than a field is padding.
  for (let at = 0; at + 4 <= octets.length; ) {
    const signature = String.fromCharCode(octets[at] ?? 0, octets[at + 1] ?? 0);
    const length = octets[at + 2] ?? 0;
    if (signature === "\0\0" || signature === "ST") break;
    if (length < 4 || at + length > octets.length) throw new ImageError("a Rock Ridge field on it makes no sense");
    const field = octets.subarray(at, at + length);
    const needs = MIN_LENGTH[signature];
    if (needs !== undefined && length < needs) throw new ImageError(`a Rock Ridge field ${signature} on it is too short`);
    switch (signature) {
      case "SP": // P1281, 5.3: two check octets, and how many octets to skip.
        if (field[4] === 0xbe && field[5] === 0xef) parts.rockRidge = field[6] ?? 0;
        break;
      case "CE": // P1281, 5.1: block, offset and length, each in both orders.
        continues = {
          offset: view.getUint32(at + 4, true) * SECTOR_BYTES + view.getUint32(at + 12, true),
          length: Math.min(view.getUint32(at + 20, true), SECTOR_BYTES),
        };
        break;
      case "NM":
        alternateName(field, parts);
        break;
      case "SL":
        symbolicLink(field, parts);
        break;
      case "CL":
        parts.childOffset = view.getUint32(at + 4, true) * SECTOR_BYTES;
        break;
      case "RE":
        parts.relocated = true;
        break;
      case "ZF":
        parts.compressed = true;
        break;
    }
    at += length;
  }
  return finished(parts, continues);
}

const MIN_LENGTH: Readonly<Record<string, number>> = { SP: 7, CE: 28, NM: 5, SL: 5, CL: 12, ZF: 4 };

/** P1282, 4.1.4: flags 2 and 4 stand for the folder itself and the one above it, which have no other name. */
function alternateName(field: Uint8Array, parts: Parts): void {
  if (((field[4] ?? 0) & 0x06) !== 0) return;
  parts.name.push(field.subarray(5));
  if (parts.name.reduce((sum, part) => sum + part.length, 0) > MAX_NAME_BYTES) throw new ImageError("a name on it has no end");
}

/** P1282, 4.1.3: components of flags, length and text; flag 1: it goes on in the next one; 2: `.`, 4: `..`, 8: `/`. */
function symbolicLink(field: Uint8Array, parts: Parts): void {
  const link = parts.link ?? [];
  parts.link = link;
  for (let at = 5; at + 2 <= field.length; ) {
    const flags = field[at] ?? 0;
    const length = field[at + 1] ?? 0;
    if (at + 2 + length > field.length) throw new ImageError("a symbolic link on it makes no sense");
    const text = Buffer.from(field.subarray(at + 2, at + 2 + length)).toString("utf8");
    const component = (flags & 2) !== 0 ? "." : (flags & 4) !== 0 ? ".." : (flags & 8) !== 0 ? "" : text;
    if (parts.linkOpen) link.push((link.pop() ?? "") + component);
    else link.push(component);
    parts.linkOpen = (flags & 1) !== 0;
    at += 2 + length;
  }
  if (link.reduce((sum, part) => sum + part.length + 1, 0) > MAX_NAME_BYTES) throw new ImageError("a symbolic link on it has no end");
}

function finished(parts: Parts, continues: SystemUse["continues"]): SystemUse {
  const { rockRidge, name, link, childOffset, relocated, compressed } = parts;
  return {
    relocated,
    compressed,
    ...(rockRidge === undefined ? {} : { rockRidge }),
    ...(name.length === 0 ? {} : { name: Buffer.concat(name).toString("utf8") }),
    ...(link === undefined ? {} : { link: link.join("/") }),
    ...(childOffset === undefined ? {} : { childOffset }),
    ...(continues === undefined ? {} : { continues }),
    goOn: (octets) => fields(octets, parts),
  };
}
