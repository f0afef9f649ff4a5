import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  openDatagramSocket(options: DatagramSocketOptions): number;
  setNeighbour(device: string, address: string, mac: Uint8Array): boolean;
}

/**
 * UDP sockets as DHCP needs them: bound to one network device, so that a box with two interfaces answers only on its
 * own, and able to reach a client that has no address yet.
 */
export interface DatagramSocketOptions {
  /** SO_BINDTODEVICE; absent for tests on the loopback. */
  readonly device?: string;
  /** "0.0.0.0" also receives broadcasts. */
  readonly address: string;
  readonly port: number;
  /** SO_BROADCAST. */
  readonly broadcast: boolean;
}

/** Returns a bound, non-blocking descriptor that `dgram.Socket.bind({ fd })` takes over. Throws with the system's `code`. */
export function openDatagramSocket(options: DatagramSocketOptions): number {
  return loadAddon<Exports>().openDatagramSocket(options);
}

/**
 * Puts `address -> mac` into the ARP table of `device` (SIOCSARP), so that a reply reaches a client that cannot answer ARP
 * yet. Returns false where the process may not; the caller broadcasts instead.
 */
export function setNeighbour(device: string, address: string, mac: Uint8Array): boolean {
  return loadAddon<Exports>().setNeighbour(device, address, mac);
}
