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

/** The other way round, in pieces as they come: CR LF is LF, CR NUL is CR; a CR before anything else stays. */
export class FromNetascii {
  #carriageReturn = false;

  decode(octets: Uint8Array): Uint8Array {
    const out = new Uint8Array(octets.length + 1);
    let at = 0;
    for (const octet of octets) {
      if (this.#carriageReturn && octet !== LF) out[at++] = CR;
      const isHeld = octet === CR;
      if (!isHeld && !(this.#carriageReturn && octet === NUL)) out[at++] = octet;
      this.#carriageReturn = isHeld;
    }
    return out.subarray(0, at);
  }

  /** What was held back for an octet that never came. */
  end(): Uint8Array {
    const rest = this.#carriageReturn ? Uint8Array.of(CR) : new Uint8Array();
    this.#carriageReturn = false;
    return rest;
  }
}
