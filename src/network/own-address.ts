import { networkInterfaces } from "node:os";
import { type Ipv4, ipv4ToNumber, type Mac, macFromBytes, macToBytes, parseMac } from "../machine/identifiers.ts";
import { ArpWatch } from "../native/arp.ts";
import type { Emit } from "../state/events.ts";

/** How often the wire is asked who else has our address. */
export const ASK_EVERY_MS = 60_000;
/** The first question waits until the switch lets packets through. */
const FIRST_ASK_MS = 2000;
/** Whoever is there answers within milliseconds. */
const ANSWER_MS = 500;
/** Whoever was not heard in so many rounds has gone. */
const ROUNDS_UNTIL_GONE = 3;

/** The wire; tests have another. */
export type Wire = Pick<ArpWatch, "ask" | "heard" | "close">;

export interface OwnAddressWatchOptions {
  readonly device: string;
  readonly address: Ipv4;
  readonly emit: Emit;
  readonly open?: (device: string, address: number) => Wire;
  /** The device's own MAC address. */
  readonly macOf?: (device: string) => Mac | undefined;
}

/**
 * Whether another host has the address that machines reach us at: half of them would find that one, and no service of ours would
 * notice. Asked once a minute; what others say of themselves meanwhile is heard as well.
 */
export class OwnAddressWatch {
  readonly #options: OwnAddressWatchOptions;
  #wire: Wire | undefined;
  #timer: NodeJS.Timeout | undefined;
  #other: Mac | undefined;
  #silentRounds = 0;

  constructor(options: OwnAddressWatchOptions) {
    this.#options = options;
  }

  get key(): string {
    return `${this.#options.device} ${this.#options.address}`;
  }

  /** Where the system does not let us listen, nobody is looked for: DHCP has said by then what it lacks. */
  start(): void {
    const { device, address, open = (...wire) => new ArpWatch(...wire) } = this.#options;
    if (address.startsWith("127.")) return;
    try {
      this.#wire = open(device, ipv4ToNumber(address));
    } catch {
      return;
    }
    this.#timer = setTimeout(() => this.#ask(), FIRST_ASK_MS).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#wire?.close();
    this.#wire = undefined;
    this.#over();
  }

  #ask(): void {
    const mac = this.#mac();
    if (mac !== undefined) this.#wire?.ask(macToBytes(mac));
    this.#timer = setTimeout(() => this.#look(), ANSWER_MS).unref();
  }

  #look(): void {
    this.#timer = setTimeout(() => this.#ask(), ASK_EVERY_MS - ANSWER_MS).unref();
    const mac = this.#mac();
    const heard = mac && this.#wire?.heard(macToBytes(mac));
    if (heard === undefined) {
      if (++this.#silentRounds >= ROUNDS_UNTIL_GONE) this.#over();
      return;
    }
    this.#silentRounds = 0;
    const other = macFromBytes(heard);
    if (other === this.#other) return;
    this.#other = other;
    this.#options.emit({ type: "network.conflict", address: this.#options.address, mac: other });
  }

  #over(): void {
    if (this.#other === undefined) return;
    this.#other = undefined;
    this.#options.emit({ type: "network.conflictOver", address: this.#options.address });
  }

  #mac(): Mac | undefined {
    const { device, macOf = macOfDevice } = this.#options;
    return macOf(device);
  }
}

function macOfDevice(device: string): Mac | undefined {
  const found = networkInterfaces()[device]?.[0];
  return found && parseMac(found.mac);
}
