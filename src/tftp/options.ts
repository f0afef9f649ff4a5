import type { TftpOption } from "./packet.ts";

/** What the server is willing to do, whatever a client asks for. */
export interface OptionLimits {
  /** Largest block in octets. The MTU minus 32 (IPv4, UDP and TFTP headers) never needs fragments. */
  readonly blksize: number;
  /** Largest window in blocks (tftp.windowsize). */
  readonly windowsize: number;
}

/** How one transfer is to run. */
export interface TransferOptions {
  readonly blksize: number;
  readonly windowsize: number;
  /** The client's own retransmission interval; absent where it did not ask for one. */
  readonly timeoutMs?: number;
  /** What the OACK says, in the order of the request. Empty: no OACK, the first DATA answers (RFC 2347). */
  readonly oack: readonly TftpOption[];
}

/** RFC 1350, 2: a block has 512 octets unless agreed otherwise. */
export const DEFAULT_BLKSIZE = 512;
/** IPv4 (20), UDP (8) and TFTP (4). */
const HEADER_BYTES = 32;
/** What fits 1500 octets of Ethernet. */
export const ETHERNET_BLKSIZE = 1468;
/** RFC 2348: the least that may be agreed on. */
const MIN_BLKSIZE = 8;

/** The largest block, of those that are allowed, that needs no fragments on an interface with this MTU. */
export function unfragmented(blksize: number, mtu: number | undefined): number {
  return mtu === undefined ? blksize : Math.max(Math.min(blksize, mtu - HEADER_BYTES), MIN_BLKSIZE);
}

interface OptionRule {
  readonly min: number;
  readonly max: number;
  /** The value the server agrees to; `undefined` leaves the option out of the OACK, which refuses it. */
  readonly agree: (asked: number, limits: OptionLimits, sizeBytes: number | undefined) => number | undefined;
}

/** The options we know, by lower-case name. Others are left out of the OACK, as RFC 2347 wants. */
const RULES: Readonly<Record<string, OptionRule>> = {
  blksize: { min: MIN_BLKSIZE, max: 65464, agree: (asked, limits) => Math.min(asked, limits.blksize) }, // RFC 2348
  timeout: { min: 1, max: 255, agree: (asked) => asked }, // RFC 2349: the very value or nothing
  tsize: { min: 0, max: Number.MAX_SAFE_INTEGER, agree: (_asked, _limits, sizeBytes) => sizeBytes }, // RFC 2349
  windowsize: { min: 1, max: 65535, agree: (asked, limits) => Math.min(asked, limits.windowsize) }, // RFC 7440, 3
};

/**
 * Agrees on a request's options. `sizeBytes` is absent where the size on the wire is not known.
 * A value out of range or a second option of one name is passed over, not an error: the transfer then runs without it.
 */
export function negotiate(requested: readonly TftpOption[], limits: OptionLimits, sizeBytes: number | undefined): TransferOptions {
  const agreed = new Map<string, number>();
  const oack: TftpOption[] = [];
  for (const [name, text] of requested) {
    const key = name.toLowerCase();
    const rule = Object.hasOwn(RULES, key) ? RULES[key] : undefined;
    if (rule === undefined || agreed.has(key) || !/^[0-9]{1,15}$/.test(text)) continue;
    const asked = Number(text);
    if (asked < rule.min || asked > rule.max) continue;
    const value = rule.agree(asked, limits, sizeBytes);
    if (value === undefined) continue;
    agreed.set(key, value);
    oack.push([name, String(value)]);
  }
  const timeout = agreed.get("timeout");
  return {
    blksize: agreed.get("blksize") ?? DEFAULT_BLKSIZE,
    windowsize: agreed.get("windowsize") ?? 1,
    ...(timeout === undefined ? {} : { timeoutMs: timeout * 1000 }),
    oack,
  };
}
