import { type Ipv4, ipv4FromNumber, ipv4ToNumber } from "../machine/identifiers.ts";

/** An IPv4 network as addresses are handed out in it. */
export class Subnet {
  readonly mask: Ipv4;
  readonly broadcast: Ipv4;
  readonly #first: number;
  readonly #last: number;
  readonly #hasBroadcast: boolean;

  /** Any address inside, and 0 to 32. */
  constructor(address: Ipv4, prefixLength: number) {
    const sizeAddresses = 2 ** (32 - prefixLength);
    const value = ipv4ToNumber(address);
    this.#first = value - (value % sizeAddresses);
    this.#last = this.#first + sizeAddresses - 1;
    this.mask = ipv4FromNumber(2 ** 32 - sizeAddresses);
    this.broadcast = ipv4FromNumber(this.#last);
    // RFC 3021: a /31 has two hosts and no broadcast address.
    this.#hasBroadcast = prefixLength < 31;
  }

  has(address: Ipv4): boolean {
    const value = ipv4ToNumber(address);
    return value >= this.#first && value <= this.#last;
  }

  /** Inside, and neither the network's own address nor its broadcast address. */
  hasHost(address: Ipv4): boolean {
    const value = ipv4ToNumber(address);
    return this.has(address) && !(this.#hasBroadcast && (value === this.#first || value === this.#last));
  }
}
