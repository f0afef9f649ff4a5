/** Appends big-endian fields (network order); grows as needed. Values out of range are a bug in the caller and throw. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  #reserve(count: number): number {
    const at = this.#length;
    const end = at + count;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = end;
    return at;
  }

  static #check(value: number, bits: number): void {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) throw new RangeError(`${value} does not fit in ${bits} bits`);
  }

  u8(value: number): this {
    ByteWriter.#check(value, 8);
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    ByteWriter.#check(value, 16);
    const at = this.#reserve(2);
    this.#view.setUint16(at, value);
    return this;
  }

  u24(value: number): this {
    ByteWriter.#check(value, 24);
    const at = this.#reserve(3);
    this.#view.setUint8(at, value >>> 16);
    this.#view.setUint16(at + 1, value & 0xffff);
    return this;
  }

  u32(value: number): this {
    ByteWriter.#check(value, 32);
    const at = this.#reserve(4);
    this.#view.setUint32(at, value);
    return this;
  }

  u64(value: bigint): this {
    if (value < 0n || value >= 1n << 64n) throw new RangeError(`${value} does not fit in 64 bits`);
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, value);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** ASCII text, padded with NUL (or `pad`) up to `width` octets; longer text throws. */
  ascii(text: string, width: number = text.length, pad = 0): this {
    if (text.length > width) throw new RangeError(`"${text}" is longer than ${width} octets`);
    const at = this.#reserve(width);
    this.#bytes.fill(pad, at, at + width);
    for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text.charCodeAt(i) & 0xff;
    return this;
  }

  zeros(count: number): this {
    const at = this.#reserve(count);
    this.#bytes.fill(0, at, at + count);
    return this;
  }

  /** The octets written so far, where they stand: they are another's after {@link clear}. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Begins anew, in the same memory. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** The octets written so far, as a copy of their own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}
