import type { DhcpConfig, DhcpQuirk } from "../machine/config.ts";
import type { BootOffer, FirmwareKind } from "../machine/firmware.ts";
import { type Ipv4, ipv4FromBytes, type Mac } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { Rack } from "../machine/rack.ts";
import { isIpxeKind, networkCardOf, recogniseFirmware } from "./client.ts";
import type { LeaseTable } from "./leases.ts";
import {
  MAXIMUM_SIZE,
  MESSAGE_TYPE,
  type OptionMap,
  RELAY_AGENT,
  RELAY_LINK_SELECTION,
  RELAY_SERVER_OVERRIDE,
  REQUESTED_ADDRESS,
  readOption,
  SERVER_IDENTIFIER,
  SUBNET_SELECTION,
  VENDOR_CLASS,
} from "./options.ts";
import { clientMac, DEFAULT_MAXIMUM_BYTES, type DhcpPacket, FRAME_MAXIMUM_BYTES, NO_ADDRESS } from "./packet.ts";
import { quirkOf } from "./quirks.ts";
import { Subnet } from "./subnet.ts";

/** What the configuration says to DHCP. */
export interface DhcpSettings {
  /** Our own address: server identifier, next server, TFTP server. */
  readonly address: Ipv4;
  readonly prefixLength: number;
  readonly dhcp: DhcpConfig;
}

/** What firmware of this kind is sent to; undefined where there is nothing for it. Not DHCP's knowledge, so it is handed in. */
export type BootOfferFor = (kind: FirmwareKind, machine: Machine | undefined) => BootOffer | undefined;

/** All that a decision depends on, besides the packet. */
export interface DhcpContext {
  readonly settings: DhcpSettings;
  readonly rack: Rack;
  /** The policy writes down in it what it offers and grants. */
  readonly leases: LeaseTable;
  readonly nowMs: number;
  readonly bootOffer: BootOfferFor;
  /** Those in force. */
  readonly quirks: readonly DhcpQuirk[];
}

/** A client's packet with its meaning: who asks what, from where. */
export interface Inquiry {
  readonly packet: DhcpPacket;
  /** Option 53. */
  readonly type: number;
  readonly mac: Mac;
  readonly machine: Machine | undefined;
  readonly firmware: FirmwareKind | undefined;
  readonly vendorClass: string | undefined;
  /** What is different with it. */
  readonly quirk: DhcpQuirk;
  /** The PCI identifier of its network card, where it says it. */
  readonly card: string | undefined;
  readonly requested: Ipv4 | undefined;
  /** Option 54: the server that the client has chosen. */
  readonly chosenServer: Ipv4 | undefined;
  /** What we call ourselves to this client: a relay may ask for its own address there (RFC 5107). */
  readonly identifier: Ipv4;
  readonly relayed: boolean;
  /** The network that the client is on. */
  readonly subnet: Subnet;
  /** Octets of UDP payload that the client takes. */
  readonly maximumBytes: number;
}

/** A loop of relays ends here (RFC 1542, 4.1.1). */
const HOPS_MAX = 16;
/** Option 57 counts the IP datagram, as ISC's and Kea's servers read it; ours is UDP payload. */
const IP_AND_UDP_HEADER_BYTES = 28;

const NO_OPTIONS: OptionMap = new Map();

/** Undefined with a reason where nobody is there to be answered. Throws DhcpFormatError for options that are malformed. */
export function readInquiry(packet: DhcpPacket, context: DhcpContext): Inquiry | { readonly reason: string; readonly mac?: Mac } {
  if (packet.op !== "request") return { reason: "it is a server's reply, not a request" };
  const mac = clientMac(packet);
  if (mac === undefined) return { reason: `hardware type ${packet.htype} with ${packet.hlen} octets is no Ethernet` };
  const type = readOption(packet.options, MESSAGE_TYPE);
  if (type === undefined) return { mac, reason: "it has no message type: BOOTP is not served" };
  const vendorClass = readOption(packet.options, VENDOR_CLASS);
  const quirk = quirkOf(context.quirks, mac, vendorClass);
  if (quirk.ignored === true) return { mac, reason: "dhcp.quirks says that such clients are ignored" };
  const relayed = packet.giaddr !== NO_ADDRESS;
  if (relayed && !context.settings.dhcp.relay) return { mac, reason: `relayed by ${packet.giaddr}, and dhcp.relay is false` };
  if (packet.hops > HOPS_MAX) return { mac, reason: `it passed ${packet.hops} relays` };
  const relayAgent = readOption(packet.options, RELAY_AGENT) ?? NO_OPTIONS;
  const link = linkAddress(packet, relayAgent, relayed, context.settings.address);
  const maximum = readOption(packet.options, MAXIMUM_SIZE) ?? 0;
  return {
    packet,
    type,
    mac,
    machine: context.rack.byMac(mac),
    firmware: firmwareOf(packet.options, quirk),
    vendorClass,
    quirk,
    card: networkCardOf(packet.options),
    requested: readOption(packet.options, REQUESTED_ADDRESS),
    chosenServer: readOption(packet.options, SERVER_IDENTIFIER),
    identifier: suboptionAddress(relayAgent, RELAY_SERVER_OVERRIDE) ?? context.settings.address,
    relayed,
    subnet: new Subnet(link, context.settings.prefixLength),
    maximumBytes: Math.min(Math.max(maximum - IP_AND_UDP_HEADER_BYTES, DEFAULT_MAXIMUM_BYTES), FRAME_MAXIMUM_BYTES),
  };
}

/** A quirk tells firmware that says the wrong thing of itself. The iPXE that such firmware has loaded speaks for itself. */
function firmwareOf(options: OptionMap, quirk: DhcpQuirk): FirmwareKind | undefined {
  const said = recogniseFirmware(options);
  return said !== undefined && isIpxeKind(said) ? said : (quirk.firmware ?? said);
}

/** Where the client is: what its relay says (RFC 3527), what it says itself (RFC 3011), the relay's own network, ours. */
function linkAddress(packet: DhcpPacket, relayAgent: OptionMap, relayed: boolean, own: Ipv4): Ipv4 {
  const selected = suboptionAddress(relayAgent, RELAY_LINK_SELECTION) ?? readOption(packet.options, SUBNET_SELECTION);
  return selected ?? (relayed ? packet.giaddr : own);
}

function suboptionAddress(relayAgent: OptionMap, code: number): Ipv4 | undefined {
  const bytes = relayAgent.get(code);
  return bytes?.length === 4 ? ipv4FromBytes(bytes) : undefined;
}

export function bootOfferFor({ firmware, machine }: Inquiry, context: DhcpContext): BootOffer | undefined {
  return firmware === undefined ? undefined : context.bootOffer(firmware, machine);
}
