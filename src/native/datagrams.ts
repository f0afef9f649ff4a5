import { getSystemErrorName } from "node:util";
import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  openDatagramSocket(options: DatagramSocketOptions): number;
  receiveDatagrams(descriptor: number): readonly [bytes: Uint8Array, about: Uint32Array] | undefined;
  sendDatagrams(descriptor: number, datagrams: readonly Datagram[]): number[];
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

/**
 * Takes what waits at a socket, at most 64 datagrams of at most 4096 octets, in one system call (recvmmsg): dgram's way costs a buffer and
 * a call back for each. They share memory with each other, and with nothing else.
 */
export function receiveDatagrams(descriptor: number): readonly Datagram[] {
  const [bytes, about] = loadAddon<Exports>().receiveDatagrams(descriptor) ?? [new Uint8Array(0), new Uint32Array(0)];
  const received: Datagram[] = [];
  for (let at = 0, index = 0; index < about.length; index += 3) {
    const [size = 0, address = 0, port = 0] = about.subarray(index, index + 3);
    received.push({ bytes: bytes.subarray(at, at + size), address, port });
    at += size;
  }
  return received;
}

/**
 * Sends many datagrams in one system call (sendmmsg): dgram's way costs a request object, a copy and a call back for each.
 * Returns what became of each: undefined where it left, otherwise the system's code, such as ENETUNREACH. Never throws for it.
 */
export function sendDatagrams(descriptor: number, datagrams: readonly Datagram[]): readonly (string | undefined)[] {
  const errors = loadAddon<Exports>().sendDatagrams(descriptor, datagrams);
  return errors.map((error) => (error === 0 ? undefined : getSystemErrorName(-error)));
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
