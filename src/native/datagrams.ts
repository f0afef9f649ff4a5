import { getSystemErrorName } from "node:util";
import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  openDatagramSocket(options: DatagramSocketOptions): number;
  receiveDatagrams(descriptor: number, slots: Uint8Array, about: Uint32Array): number;
  sendDatagrams(descriptor: number, payloads: readonly Uint8Array[], targets: Uint32Array): number[] | undefined;
  setNeighbour(device: string, address: string, mac: Uint8Array): boolean;
  getNeighbour(device: string, address: string): Uint8Array | undefined;
  forgetNeighbour(device: string, address: string): boolean;
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
  /** SO_RCVBUFFORCE and SO_SNDBUFFORCE; where the process may not, as large as the system gives to everybody. */
  readonly receiveBytes: number;
  readonly sendBytes: number;
}

export interface Datagram {
  readonly bytes: Uint8Array;
  /** IPv4, as a number. */
  readonly address: number;
  readonly port: number;
}

/** Returns a bound, non-blocking descriptor that `dgram.Socket.bind({ fd })` takes over. Throws with the system's `code`. */
export function openDatagramSocket(options: DatagramSocketOptions): number {
  return loadAddon<Exports>().openDatagramSocket(options);
}

/** As system/datagrams.h has them. */
export const RECEIVED_AT_ONCE = 64;
const SLOT_BYTES = 4096;
/** Filled anew by each call: a process reads its sockets one after the other. */
const slots = new Uint8Array(RECEIVED_AT_ONCE * SLOT_BYTES);
const about = new Uint32Array(3 * RECEIVED_AT_ONCE);

/**
 * Takes what waits at a socket, at most {@link RECEIVED_AT_ONCE} datagrams of at most 4096 octets, in one system call (recvmmsg): dgram's way costs a buffer of
 * 64 KiB and a call back for each.
 */
export function receiveDatagrams(descriptor: number): readonly Datagram[] {
  const count = loadAddon<Exports>().receiveDatagrams(descriptor, slots, about);
  const received: Datagram[] = [];
  for (let index = 0; index < count; index++) {
    const [from, size = 0] = [index * SLOT_BYTES, about[3 * index]];
    // A copy in Node's pool, which is less work than memory of its own.
    const bytes = Buffer.from(slots.subarray(from, from + size));
    received.push({ bytes, address: about[3 * index + 1] ?? 0, port: about[3 * index + 2] ?? 0 });
  }
  return received;
}

/**
 * Sends many datagrams in one system call (sendmmsg): dgram's way costs a request object, a copy and a call back for each.
 * Returns what became of those that did not leave, by their place: the system's code, such as ENETUNREACH. Never throws for it.
 */
export function sendDatagrams(descriptor: number, datagrams: readonly Datagram[]): ReadonlyMap<number, string> {
  const targets = new Uint32Array(2 * datagrams.length);
  const payloads = datagrams.map(({ bytes, address, port }, index) => {
    targets[2 * index] = address;
    targets[2 * index + 1] = port;
    return bytes;
  });
  const unsent = new Map<number, string>();
  for (const [index, error] of loadAddon<Exports>().sendDatagrams(descriptor, payloads, targets)?.entries() ?? []) {
    if (error !== 0) unsent.set(index, getSystemErrorName(-error));
  }
  return unsent;
}

/**
 * Puts `address -> mac` into the ARP table of `device` (SIOCSARP), so that a reply reaches a client that cannot answer ARP
 * yet. Returns false where the process may not; the caller broadcasts instead.
 */
export function setNeighbour(device: string, address: string, mac: Uint8Array): boolean {
  return loadAddon<Exports>().setNeighbour(device, address, mac);
}

/** Who has `address`, by the ARP table of `device` (SIOCGARP): six octets, or undefined where nobody answered or nobody asked. */
export function getNeighbour(device: string, address: string): Uint8Array | undefined {
  return loadAddon<Exports>().getNeighbour(device, address);
}

/** Takes `address` out of the ARP table (SIOCDARP): the next packet to it asks anew. Returns false where the process may not, or it is not there. */
export function forgetNeighbour(device: string, address: string): boolean {
  return loadAddon<Exports>().forgetNeighbour(device, address);
}
