import type { Ipv4 } from "../machine/identifiers.ts";
import type { DhcpContext, Inquiry } from "./inquiry.ts";

/** Which address a client may have, by the configuration and the leases. */

export interface Grant {
  readonly address: Ipv4;
  /** Reserved for the machine, not of the pool. */
  readonly fixed: boolean;
}

/** An address to offer, or the reason why there is none. */
export function findAddress(inquiry: Inquiry, context: DhcpContext): Grant | { readonly reason: string } {
  const { machine, mac } = inquiry;
  const { leases, nowMs } = context;
  const fixed = machine?.address;
  if (fixed !== undefined && isUsable(inquiry, context, fixed) && isFree(inquiry, context, fixed)) return { address: fixed, fixed: true };
  const chosen = leases.choose(mac, nowMs, (address) => isUsable(inquiry, context, address), inquiry.requested);
  if (isAddress(chosen)) return { address: chosen, fixed: false };
  return { reason: fixed === undefined ? chosen : `${whyNotFixed(inquiry, context, fixed)}, and ${chosen}` };
}

/** SELECTING and INIT-REBOOT: is `wanted` what this client was offered, or would be? */
export function mayHave(inquiry: Inquiry, context: DhcpContext, wanted: Ipv4): boolean {
  const offered = context.leases.offerOf(inquiry.mac, context.nowMs) === wanted;
  if (offered && isUsable(inquiry, context, wanted) && isFree(inquiry, context, wanted)) return true;
  const found = findAddress(inquiry, context);
  return "address" in found && found.address === wanted;
}

/**
 * RENEWING and REBINDING: the client lives on `wanted`. It keeps it as long as nobody else has a right to it, even where
 * the configuration has another address for it by now or its lease is forgotten: "no" would take the network, and with it
 * the root disk, from a running machine. The new address comes with its next boot.
 */
export function mayKeep(inquiry: Inquiry, context: DhcpContext, wanted: Ipv4): boolean {
  const { leases } = context;
  const known = inquiry.machine?.address === wanted || leases.addressOf(inquiry.mac) === wanted || leases.inPool(wanted);
  return known && isUsable(inquiry, context, wanted) && isFree(inquiry, context, wanted);
}

/** Is the address one that a client on this network may be given, and nobody else's by configuration? */
function isUsable({ subnet, machine }: Inquiry, { settings, rack }: DhcpContext, address: Ipv4): boolean {
  if (!subnet.hasHost(address) || address === settings.address || address === settings.dhcp.router) return false;
  const owner = rack.byAddress(address);
  return owner === undefined || owner === machine;
}

/** The MACs of one machine share its address: its newest asker has it (a ROM and a system may use different ports of a card). */
function isFree({ machine, mac }: Inquiry, { leases, nowMs }: DhcpContext, address: Ipv4): boolean {
  const holder = leases.macAt(address);
  const shared = address === machine?.address && holder !== undefined && machine.macs.includes(holder);
  return shared ? !leases.quarantined(address, nowMs) : leases.availableTo(mac, address, nowMs);
}

function whyNotFixed({ subnet, mac }: Inquiry, { leases, nowMs }: DhcpContext, fixed: Ipv4): string {
  if (!subnet.hasHost(fixed)) return `its address ${fixed} is not in the network it asks from`;
  if (leases.quarantined(fixed, nowMs)) return `its address ${fixed} was found in use by another host`;
  const holder = leases.macAt(fixed);
  return holder === undefined || holder === mac
    ? `its address ${fixed} is offered to another client`
    : `its address ${fixed} is leased to ${holder}`;
}

function isAddress(chosen: string): chosen is Ipv4 {
  return /^[0-9]/.test(chosen);
}
