import type { FirmwareKind } from "../machine/firmware.ts";
import type { Ipv4, Mac, MachineName } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { StateEvent } from "../state/events.ts";
import type { Inquiry } from "./inquiry.ts";
import type { Lease } from "./leases.ts";
import type { DhcpPacket } from "./packet.ts";
import type { Destination } from "./reply.ts";

/** What a packet is answered with, and what the answer changed. */
export interface Reply {
  readonly kind: "reply";
  readonly packet: DhcpPacket;
  readonly destination: Destination;
  /** Octets of UDP payload that the client takes. */
  readonly maximumBytes: number;
  /** It does not look for options in `file` and `sname`. */
  readonly plain?: boolean;
  /** Nobody but this client should answer for the address that it is offered; worth asking the wire before. */
  readonly probe?: { readonly address: Ipv4; readonly mac: Mac };
  /** Changed by this answer; must be durable before the reply leaves. */
  readonly lease?: Lease;
  readonly events: readonly StateEvent[];
}

/** No answer, for a reason that a person can read. */
export interface Ignore {
  readonly kind: "ignore";
  readonly reason: string;
  /** Changed without an answer, as by RELEASE. */
  readonly lease?: Lease;
  readonly events: readonly StateEvent[];
}

export type Decision = (Reply | Ignore) & {
  /** A machine's firmware asks anew: a boot begins, whatever is answered. */
  readonly firmwareDiscover?: { readonly machine: Machine; readonly firmware: FirmwareKind };
};

interface Sender {
  readonly mac?: Mac | undefined;
  readonly machine?: Machine | undefined;
}

export function ignore({ mac, machine }: Sender, reason: string): Ignore {
  const event: StateEvent = { type: "dhcp.ignored", ...(machine && { machine: machine.name }), ...(mac && { mac }), reason };
  return { kind: "ignore", reason, events: [event] };
}

/** What every event about a readable packet says about its sender. */
export function senderOf(inquiry: Inquiry): { readonly machine?: MachineName; readonly mac: Mac; readonly firmware?: FirmwareKind } {
  const { machine, mac, firmware } = inquiry;
  return { ...(machine && { machine: machine.name }), mac, ...(firmware && { firmware }) };
}
