import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  openArpWatch(device: string, address: number): number;
  sendArpProbe(descriptor: number, address: number, mac: Uint8Array): boolean;
  heardArp(descriptor: number, mac: Uint8Array): Uint8Array | undefined;
  closeArpWatch(descriptor: number): void;
}

/**
 * Who else has an address of ours? The kernel answers for it and keeps nobody else's answer, so that a packet socket is needed,
 * which hears ARP packets (RFC 826) with that sender and no others. `mac` is the device's own, `address` IPv4 as a number.
 */
export class ArpWatch {
  readonly #address: number;
  readonly #descriptor: number;
  #open = true;

  /** Throws with the system's `code`: EPERM without CAP_NET_RAW, ENODEV. */
  constructor(device: string, address: number) {
    this.#address = address;
    this.#descriptor = loadAddon<Exports>().openArpWatch(device, address);
  }

  /** Asks the wire (RFC 5227, 2.1.1). Whoever is there answers within milliseconds. False where it could not be sent. */
  ask(mac: Uint8Array): boolean {
    return this.#open && loadAddon<Exports>().sendArpProbe(this.#descriptor, this.#address, mac);
  }

  /** The MAC address of whoever else spoke for the address since the last call. */
  heard(mac: Uint8Array): Uint8Array | undefined {
    return this.#open ? loadAddon<Exports>().heardArp(this.#descriptor, mac) : undefined;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    loadAddon<Exports>().closeArpWatch(this.#descriptor);
  }
}
