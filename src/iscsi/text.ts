/**
 * The text that login and text PDUs carry: `key=value` pairs, each ended by a NUL (RFC 7143, 6.1 and 6.2), and the
 * constants that values are written in. What the keys mean is in keys.ts.
 */

/** RFC 7143, 6.1: a key name is at most 63 octets. */
export const MAX_KEY_LENGTH = 63;
/** A large binary value is up to 1024 octets, and hexadecimal doubles it (RFC 7143, 6.1). */
export const MAX_BINARY_LENGTH = 1024;
export const MAX_VALUE_LENGTH: number = 2 + 2 * MAX_BINARY_LENGTH;
/** One request, however many PDUs it is spread over. RFC 7143, 6.2 asks for at least 8192. */
export const MAX_TEXT_LENGTH = 16384;
/** Bounds our answer too: 64 answers of a key and "NotUnderstood" stay below the 8192 octets that every initiator takes. */
export const MAX_KEYS = 64;

/** Text that breaks RFC 7143, 6.1. */
export class TextError extends Error {
  readonly code = "ERR_ISCSI_TEXT";
}

/** In the order they were sent. */
export type TextPairs = readonly (readonly [key: string, value: string])[];

/** RFC 7143, 6.1 "standard-label" and the "X#" form of extension keys (13.26); RFC 7144's iSCSIProtocolLevel begins in lower case. */
const KEY = /^[A-Za-z][A-Za-z0-9.\-+@_#]*$/;

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** Throws {@link TextError} for a missing delimiter, a bad name, a repeated key, or anything over its limit. */
export function decodeText(data: Uint8Array): TextPairs {
  if (data.length > MAX_TEXT_LENGTH) throw new TextError(`${data.length} octets of text; ${MAX_TEXT_LENGTH} are taken`);
  if (data.length > 0 && data[data.length - 1] !== 0) throw new TextError("the last pair does not end with NUL");
  let text: string;
  try {
    text = decoder.decode(data);
  } catch {
    throw new TextError("text that is not UTF-8");
  }
  // Some initiators pad with NULs inside the data segment; an empty piece is no pair.
  const pieces = text.split("\0").filter((piece) => piece !== "");
  if (pieces.length > MAX_KEYS) throw new TextError(`${pieces.length} keys in one request; ${MAX_KEYS} are taken`);
  const pairs = pieces.map(splitPair);
  const seen = new Set<string>();
  for (const [key] of pairs) {
    if (seen.has(key)) throw new TextError(`${key} is given twice`);
    seen.add(key);
  }
  return pairs;
}

function splitPair(piece: string): readonly [string, string] {
  const at = piece.indexOf("=");
  if (at < 0) throw new TextError(`"${shorten(piece)}" has no "="`);
  const key = piece.slice(0, at);
  const value = piece.slice(at + 1);
  if (key.length > MAX_KEY_LENGTH || !KEY.test(key)) throw new TextError(`"${shorten(key)}" is no key name`);
  if (value.length > MAX_VALUE_LENGTH) throw new TextError(`the value of ${key} has ${value.length} characters`);
  return [key, value];
}

const shorten = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}...` : text);

export function encodeText(pairs: TextPairs): Uint8Array {
  return encoder.encode(pairs.map(([key, value]) => `${key}=${value}\0`).join(""));
}

/** A decimal or hexadecimal constant (RFC 7143, 6.1 "numerical-value"); undefined when it is neither or not a safe integer. */
export function parseNumber(value: string): number | undefined {
  if (!/^(0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$/.test(value)) return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** A hexadecimal (0x) or base64 (0b) constant; undefined when it is neither or longer than {@link MAX_BINARY_LENGTH}. */
export function parseBinary(value: string): Uint8Array | undefined {
  const prefix = value.slice(0, 2).toLowerCase();
  const digits = value.slice(2);
  let bytes: Uint8Array;
  if (prefix === "0x" && /^[0-9a-fA-F]+$/.test(digits)) {
    // An odd count leaves the first digit on its own.
    bytes = Uint8Array.from(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex"));
  } else if (prefix === "0b" && /^[A-Za-z0-9+/]+={0,2}$/.test(digits)) {
    bytes = Uint8Array.from(Buffer.from(digits, "base64"));
  } else {
    return undefined;
  }
  return bytes.length === 0 || bytes.length > MAX_BINARY_LENGTH ? undefined : bytes;
}

/** Hexadecimal, which every initiator reads. */
export function formatBinary(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString("hex")}`;
}
