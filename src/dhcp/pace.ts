import { randomInt } from "node:crypto";

/** More than any client sends, retries of a whole boot included. */
export const PACKETS_OF_A_MAC_PER_SECOND = 50;
/** Counters are shared by the addresses that fall together: memory is the same for one client and for a million. */
const SLOTS = 4096;
const CHADDR_AT = 28; // RFC 2131, 2, figure 1
const MAC_BYTES = 6;
const MAX_COUNT = 0xffff;

/** How many packets a MAC address sends: one that is stuck, or somebody who plays it, does not keep the others waiting. */
export class PacketPace {
  readonly #counts = new Uint16Array(SLOTS);
  /** Nobody outside can choose addresses that fall together with a machine's. */
  readonly #seed: number;
  #second = 0;

  constructor(seed: number = randomInt(2 ** 31)) {
    this.#seed = seed;
  }

  /** Whether the packet is to be read. `nowMs` is a clock that nobody sets; the octets need not be a packet at all. */
  admit(bytes: Uint8Array, nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#counts.fill(0);
    }
    const slot = this.#slotOf(bytes);
    const count = this.#counts[slot] ?? 0;
    if (count < MAX_COUNT) this.#counts[slot] = count + 1;
    return count < PACKETS_OF_A_MAC_PER_SECOND;
  }

  /** FNV-1a over the MAC address. */
  #slotOf(bytes: Uint8Array): number {
    let hash = this.#seed;
    for (let at = CHADDR_AT; at < CHADDR_AT + MAC_BYTES; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x0100_0193);
    return (hash ^ (hash >>> 15)) & (SLOTS - 1);
  }
}
