import type { Ipv4 } from "../machine/identifiers.ts";
import type { StateEvent } from "../state/events.ts";
import { type Decision, ignore, type Reply, senderOf } from "./decision.ts";
import { findAddress, mayHave, mayKeep } from "./grants.ts";
import { bootOfferFor, type DhcpContext, type Inquiry, readInquiry } from "./inquiry.ts";
import { type Lease, OFFER_LIFE_MS, SILENT_OFFER_LIFE_MS } from "./leases.ts";
import { ARCHITECTURE, MESSAGE_TYPES, machineUuid, readOption } from "./options.ts";
import { type DhcpPacket, NO_ADDRESS } from "./packet.ts";
import { answerAsProxy } from "./proxy.ts";
import { buildNak, buildReply, destinationOf, nakDestination } from "./reply.ts";

/**
 * What to do with a client's packet (RFC 2131, 4.3). Writes offers and bindings into `context.leases`, and does nothing
 * else. Throws DhcpFormatError where an option that matters is malformed.
 */
export function decide(packet: DhcpPacket, context: DhcpContext): Decision {
  const inquiry = readInquiry(packet, context);
  if ("reason" in inquiry) return ignore(inquiry, inquiry.reason);
  if (inquiry.machine === undefined && context.settings.dhcp.unknown === "pending") return hold(inquiry);
  const decision = context.settings.dhcp.mode === "proxy" ? answerAsProxy(inquiry, context) : answer(inquiry, context);
  if (inquiry.type !== MESSAGE_TYPES.discover) return decision;
  const { vendorClass, card, machine, firmware } = inquiry;
  const discovered: StateEvent = {
    type: "dhcp.discovered",
    ...senderOf(inquiry),
    ...(vendorClass && { vendorClass }),
    ...(card && { card }),
  };
  return {
    ...decision,
    events: [discovered, ...decision.events],
    ...(machine && firmware && { firmwareDiscover: { machine, firmware } }),
  };
}

function answer(inquiry: Inquiry, context: DhcpContext): Decision {
  switch (inquiry.type) {
    case MESSAGE_TYPES.discover:
      return discover(inquiry, context);
    case MESSAGE_TYPES.request:
      return request(inquiry, context);
    case MESSAGE_TYPES.decline:
      return decline(inquiry, context);
    case MESSAGE_TYPES.release:
      return release(inquiry, context);
    case MESSAGE_TYPES.inform:
      return inform(inquiry, context);
    default:
      return ignore(inquiry, `message type ${inquiry.type} is not a client's`);
  }
}

/** No machine has this MAC address: somebody shall decide. What it says of itself is what they will know it by. */
function hold(inquiry: Inquiry): Decision {
  const { mac, type, packet, vendorClass, firmware } = inquiry;
  const reason = "no machine has this MAC address; it is pending until somebody adopts it";
  if (type !== MESSAGE_TYPES.discover) return ignore(inquiry, reason);
  const [architecture] = readOption(packet.options, ARCHITECTURE) ?? [];
  const uuid = machineUuid(packet.options);
  const event: StateEvent = {
    type: "dhcp.pending",
    mac,
    ...(firmware && { firmware }),
    ...(vendorClass && { vendorClass }),
    ...(architecture !== undefined && { architecture }),
    ...(inquiry.card !== undefined && { card: inquiry.card }),
    ...(uuid && { uuid }),
  };
  return { kind: "ignore", reason, events: [event] };
}

/** Undefined where the client is ours to answer: a machine, or anybody where the configuration leases to anybody. */
function whyNotServed({ machine }: Inquiry, { settings }: DhcpContext): string | undefined {
  if (machine !== undefined || settings.dhcp.unknown === "lease") return undefined;
  return "no machine has this MAC address, and dhcp.unknown is ignore";
}

function discover(inquiry: Inquiry, context: DhcpContext): Decision {
  const refusal = whyNotServed(inquiry, context);
  if (refusal !== undefined) return ignore(inquiry, refusal);
  const found = findAddress(inquiry, context);
  if ("reason" in found) return ignore(inquiry, found.reason);
  const lifeMs = inquiry.quirk.skipsRequest === true ? SILENT_OFFER_LIFE_MS : OFFER_LIFE_MS;
  if (!context.leases.offer(inquiry.mac, found.address, context.nowMs, found.fixed, lifeMs))
    return ignore(inquiry, "too many offers are open");
  const boot = bootOfferFor(inquiry, context);
  const packet = buildReply(inquiry, context, { type: "offer", yiaddr: found.address, leaseMs: leaseMsFor(inquiry, context), boot });
  const file = boot?.file;
  const event: StateEvent = { type: "dhcp.offered", ...senderOf(inquiry), address: found.address, ...(file && { file }) };
  const offer = reply(inquiry, context, packet, [event]);
  const { mac, subnet } = inquiry;
  const lives = context.leases.lives(mac, found.address, context.nowMs);
  // A reservation is its machine's, whoever answers for it; whoever lives on an address would answer himself.
  const worthAsking = !found.fixed && !lives && subnet.has(context.settings.address);
  return worthAsking ? { ...offer, probe: { address: found.address, mac } } : offer;
}

/** The four states that a REQUEST is sent in are told apart by what it carries (RFC 2131, 4.3.2 and table 4). */
function request(inquiry: Inquiry, context: DhcpContext): Decision {
  const { chosenServer, requested, packet } = inquiry;
  if (chosenServer !== undefined && chosenServer !== inquiry.identifier && chosenServer !== context.settings.address) {
    context.leases.withdraw(inquiry.mac);
    return ignore(inquiry, `it chose another server, ${chosenServer}`);
  }
  const refusal = whyNotServed(inquiry, context);
  if (refusal !== undefined) return ignore(inquiry, refusal);
  const current = packet.ciaddr === NO_ADDRESS ? undefined : packet.ciaddr;
  // There are clients that name the server and not the address; they mean what they were offered.
  const wanted = requested ?? current ?? context.leases.offerOf(inquiry.mac, context.nowMs);
  if (wanted === undefined) return ignore(inquiry, "its REQUEST names no address");
  const renews = chosenServer === undefined && requested === undefined;
  const granted = renews ? mayKeep(inquiry, context, wanted) : mayHave(inquiry, context, wanted);
  return granted ? acknowledge(inquiry, context, wanted) : refuse(inquiry, context, wanted);
}

function acknowledge(inquiry: Inquiry, context: DhcpContext, address: Ipv4): Decision {
  const { leases, nowMs } = context;
  const leaseMs = leaseMsFor(inquiry, context);
  const before = leases.bindingOf(inquiry.mac);
  const lease = leases.bind(inquiry.mac, address, nowMs + leaseMs);
  const unchanged = before !== undefined && before.address === lease.address && before.expiresMs === lease.expiresMs;
  const packet = buildReply(inquiry, context, { type: "ack", yiaddr: address, leaseMs, boot: bootOfferFor(inquiry, context) });
  const event: StateEvent = { type: "dhcp.acknowledged", ...senderOf(inquiry), address, leaseMs };
  return reply(inquiry, context, packet, [event], unchanged ? undefined : lease);
}

/** We are authoritative for every client that we serve, so "no" is ours to say, and spares it the wait for a time-out. */
function refuse(inquiry: Inquiry, context: DhcpContext, wanted: Ipv4): Decision {
  context.leases.withdraw(inquiry.mac);
  const reason = inquiry.subnet.hasHost(wanted) ? `${wanted} is not this client's address` : `${wanted} is not in the client's network`;
  const { firmware: _, ...sender } = senderOf(inquiry);
  return {
    kind: "reply",
    packet: buildNak(inquiry, reason),
    destination: nakDestination(inquiry, context.settings.dhcp),
    maximumBytes: inquiry.maximumBytes,
    events: [{ type: "dhcp.refused", ...sender, reason }],
  };
}

function decline(inquiry: Inquiry, context: DhcpContext): Decision {
  const { requested, chosenServer, mac } = inquiry;
  if (chosenServer !== undefined && chosenServer !== inquiry.identifier)
    return ignore(inquiry, `it declines an address of ${chosenServer}`);
  if (requested === undefined) return ignore(inquiry, "its DECLINE names no address");
  const { machine } = inquiry;
  // With several cards on one network, a machine that probes from the one finds itself at the other.
  if (machine?.address === requested && machine.macs.length > 1)
    return ignore(inquiry, `it declines ${requested}, which its other card may have`);
  const lease = context.leases.decline(mac, requested, context.nowMs);
  if (lease === undefined) return ignore(inquiry, `it declines ${requested}, which it was not given`);
  const { firmware: _, ...sender } = senderOf(inquiry);
  const reason = `${requested} is in use by another host; it is not handed out for a while`;
  return { kind: "ignore", reason, lease, events: [{ type: "dhcp.declined", ...sender, address: requested }] };
}

function release(inquiry: Inquiry, context: DhcpContext): Decision {
  const { packet, mac } = inquiry;
  const lease = context.leases.release(mac, packet.ciaddr, context.nowMs);
  if (lease === undefined) return ignore(inquiry, `it releases ${packet.ciaddr}, which it does not have`);
  const { firmware: _, ...sender } = senderOf(inquiry);
  return { kind: "ignore", reason: "released", lease, events: [{ type: "dhcp.released", ...sender, address: packet.ciaddr }] };
}

/** A client with an address of its own asks for the rest (RFC 2131, 4.3.5). */
function inform(inquiry: Inquiry, context: DhcpContext): Decision {
  const { packet, subnet } = inquiry;
  const refusal = whyNotServed(inquiry, context);
  if (refusal !== undefined) return ignore(inquiry, refusal);
  if (!subnet.hasHost(packet.ciaddr)) return ignore(inquiry, `INFORM from ${packet.ciaddr}, which is not in its network`);
  const answered = buildReply(inquiry, context, { type: "ack", yiaddr: NO_ADDRESS, boot: bootOfferFor(inquiry, context) });
  return reply(inquiry, context, answered, []);
}

function reply(inquiry: Inquiry, context: DhcpContext, packet: DhcpPacket, events: readonly StateEvent[], lease?: Lease): Reply {
  const destination = destinationOf(inquiry, packet.yiaddr, context.settings.dhcp);
  const plain = inquiry.quirk.plain === true;
  return {
    kind: "reply",
    packet,
    destination,
    maximumBytes: inquiry.maximumBytes,
    ...(plain && { plain }),
    ...(lease && { lease }),
    events,
  };
}

/**
 * A machine that lives on a disk of ours keeps its address for ever: nobody in it may renew, and at the lease's end the
 * kernel would drop the address, and with it the disk.
 */
function leaseMsFor({ machine }: Inquiry, { settings }: DhcpContext): number {
  return machine !== undefined && machine.disks.length > 0 ? Number.POSITIVE_INFINITY : settings.dhcp.leaseMs;
}
