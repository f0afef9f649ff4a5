/** The largest file that is converted: netascii is for text, and its size must be known before it is sent. */
export const MAX_NETASCII_BYTES: number = 16 * 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const NUL = 0x00;

/**
 * A local text file as netascii (RFC 764 as RFC 1350, 1 uses it): a line ends with CR LF, a bare CR is CR NUL.
 * A file whose lines end with CR LF already becomes CR NUL CR LF, as every other server has it: the octets come back whole.
 */
export function toNetascii(bytes: Uint8Array): Uint8Array {
  let extra = 0;
  for (const octet of bytes) if (octet === LF || octet === CR) extra++;
  const out = new Uint8Array(bytes.length + extra);
  let at = 0;
  for (const octet of bytes) {
    if (octet === LF) out[at++] = CR;
    out[at++] = octet;
    if (octet === CR) out[at++] = NUL;
  }
  return out;
}
