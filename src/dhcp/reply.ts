import type { DhcpConfig } from "../machine/config.ts";
import type { BootOffer } from "../machine/firmware.ts";
import type { Ipv4, Mac } from "../machine/identifiers.ts";
import { HTTP_CLIENT, isHttpKind, isIpxeKind, PXE_CLIENT } from "./client.ts";
import type { DhcpContext, Inquiry } from "./inquiry.ts";
import * as option from "./options.ts";
import { BROADCAST_FLAG, type DhcpPacket, NO_ADDRESS } from "./packet.ts";

/** Where a reply goes (RFC 2131, 4.1). */
export type Destination =
  | { readonly kind: "relay" | "unicast" | "broadcast"; readonly address: Ipv4; readonly port: number }
  /** To a client that has no address yet and cannot answer ARP: the sender puts `address -> mac` into the ARP table first, or broadcasts. */
  | { readonly kind: "arp-unicast"; readonly address: Ipv4; readonly mac: Mac; readonly port: number };

export const BROADCAST = "255.255.255.255" as Ipv4;
export const SERVER_PORT = 67;
const CLIENT_PORT = 68;
/** The longest text that `file` holds with its NUL; a longer one stands in option 67 alone. */
const FILE_TEXT_BYTES = 127;

/** Options that are the protocol's own; the configuration cannot set them. */
const RESERVED_OPTIONS: ReadonlySet<number> = new Set([
  option.PAD,
  option.REQUESTED_ADDRESS.code,
  option.LEASE_TIME.code,
  option.OVERLOAD.code,
  option.MESSAGE_TYPE.code,
  option.SERVER_IDENTIFIER.code,
  option.PARAMETER_LIST.code,
  option.MESSAGE.code,
  option.MAXIMUM_SIZE.code,
  option.CLIENT_IDENTIFIER.code,
  option.RELAY_AGENT.code,
  option.END,
]);

/** The same port pair shifted, for development without privileges: server 6767, client 6768. */
export function clientPort(config: DhcpConfig): number {
  return config.port === SERVER_PORT ? CLIENT_PORT : config.port + 1;
}

export function destinationOf(inquiry: Inquiry, yiaddr: Ipv4, config: DhcpConfig): Destination {
  const { packet } = inquiry;
  if (inquiry.relayed) return { kind: "relay", address: packet.giaddr, port: config.port };
  const port = clientPort(config);
  if (packet.ciaddr !== NO_ADDRESS) return { kind: "unicast", address: packet.ciaddr, port };
  const hearsBroadcastsOnly = (packet.flags & BROADCAST_FLAG) !== 0 || inquiry.quirk.broadcast === true;
  if (yiaddr === NO_ADDRESS || hearsBroadcastsOnly) return { kind: "broadcast", address: BROADCAST, port };
  return { kind: "arp-unicast", address: yiaddr, mac: inquiry.mac, port };
}

/** A NAK's client must not be believed to have an address: never to ciaddr (RFC 2131, 4.3.2). */
export function nakDestination(inquiry: Inquiry, config: DhcpConfig): Destination {
  return inquiry.relayed
    ? { kind: "relay", address: inquiry.packet.giaddr, port: config.port }
    : { kind: "broadcast", address: BROADCAST, port: clientPort(config) };
}

interface Grant {
  readonly type: "offer" | "ack";
  readonly yiaddr: Ipv4;
  /** Absent in the answer to INFORM, which grants no address. */
  readonly leaseMs?: number;
  readonly boot: BootOffer | undefined;
}

/** OFFER or ACK. */
export function buildReply(inquiry: Inquiry, context: DhcpContext, grant: Grant): DhcpPacket {
  const { packet } = inquiry;
  const { settings } = context;
  const options = new Map<number, Uint8Array>();
  put(options, option.MESSAGE_TYPE, option.MESSAGE_TYPES[grant.type]);
  put(options, option.SERVER_IDENTIFIER, inquiry.identifier);
  if (grant.leaseMs !== undefined) putLease(options, grant.leaseMs);

  const available = networkOptions(inquiry, context);
  const firmware = bootOptions(inquiry, context, grant.boot);
  for (const [code, bytes] of firmware) available.set(code, bytes);
  for (const [code, bytes] of settings.dhcp.options) if (!RESERVED_OPTIONS.has(code)) available.set(code, bytes);
  applyQuirk(inquiry, available);
  // What finds no room is left out from the end: the mask, which must stand before the routers (RFC 2132, 3.3), what was
  // asked for in the order of asking, what firmware needs without knowing how to ask, the echoes, and the rest.
  const parameterList = packet.options.get(option.PARAMETER_LIST.code) ?? [];
  copy(option.SUBNET_MASK.code, available, options);
  const unasked = [firmware.keys(), inquiry.quirk.options?.keys() ?? []];
  for (const codes of [parameterList, ...unasked]) for (const code of codes) copy(code, available, options);
  echo(packet, options);
  for (const code of available.keys()) copy(code, available, options);

  return {
    ...replyHeader(packet),
    ciaddr: grant.type === "ack" ? packet.ciaddr : NO_ADDRESS,
    yiaddr: grant.yiaddr,
    ...bootHeader(settings.address, grant.boot),
    options,
  };
}

const NUL = Uint8Array.of(0);
/** What a client that wants its texts terminated takes for text. */
const TEXTS: readonly option.DhcpOption<string>[] = [
  option.HOST_NAME,
  option.DOMAIN_NAME,
  option.ROOT_PATH,
  option.TFTP_SERVER_NAME,
  option.BOOT_FILE_NAME,
];

/** What this client is always or never sent, and in what form. */
export function applyQuirk({ quirk }: Inquiry, options: Map<number, Uint8Array>): void {
  for (const [code, bytes] of quirk.options ?? []) {
    if (bytes === null) options.delete(code);
    else if (!RESERVED_OPTIONS.has(code)) options.set(code, bytes);
  }
  if (quirk.terminated !== true) return;
  for (const { code } of TEXTS) {
    const bytes = options.get(code);
    if (bytes !== undefined) options.set(code, new Uint8Array(Buffer.concat([bytes, NUL])));
  }
}

/** Old ROMs and U-Boot read only these. siaddr stands even without a file: a GRUB that asks for itself takes its server from there. */
export function bootHeader(address: Ipv4, boot: BootOffer | undefined): Pick<DhcpPacket, "siaddr" | "sname" | "file"> {
  const file = boot?.file ?? "";
  return { siaddr: address, sname: file === "" ? "" : address, file: file.length <= FILE_TEXT_BYTES ? file : "" };
}

export function buildNak(inquiry: Inquiry, reason: string): DhcpPacket {
  const { packet } = inquiry;
  const options = new Map<number, Uint8Array>();
  put(options, option.MESSAGE_TYPE, option.MESSAGE_TYPES.nak);
  put(options, option.SERVER_IDENTIFIER, inquiry.identifier);
  put(options, option.MESSAGE, reason);
  echo(packet, options);
  return {
    ...replyHeader(packet),
    // The relay cannot reach an address that the client is told not to use (RFC 2131, 4.3.2).
    flags: inquiry.relayed ? packet.flags | BROADCAST_FLAG : packet.flags,
    ciaddr: NO_ADDRESS,
    yiaddr: NO_ADDRESS,
    siaddr: NO_ADDRESS,
    sname: "",
    file: "",
    options,
  };
}

/** RFC 2131, 4.3.1, table 3. */
export function replyHeader(
  packet: DhcpPacket,
): Pick<DhcpPacket, "op" | "htype" | "hlen" | "hops" | "xid" | "secs" | "flags" | "giaddr" | "chaddr"> {
  const { htype, hlen, xid, flags, giaddr, chaddr } = packet;
  return { op: "reply", htype, hlen, hops: 0, xid, secs: 0, flags, giaddr, chaddr };
}

export function put<T>(options: Map<number, Uint8Array>, wanted: option.DhcpOption<T>, value: T): void {
  options.set(wanted.code, wanted.encode(value));
}

function copy(code: number, from: ReadonlyMap<number, Uint8Array>, to: Map<number, Uint8Array>): void {
  const bytes = from.get(code);
  if (bytes !== undefined && !to.has(code)) to.set(code, bytes);
}

/** What a client sends to find itself again: RFC 6842, 3; RFC 4578, 2.3; RFC 3046, 2.2. */
export function echo(packet: DhcpPacket, options: Map<number, Uint8Array>): void {
  for (const { code } of [option.CLIENT_IDENTIFIER, option.MACHINE_IDENTIFIER, option.RELAY_AGENT]) copy(code, packet.options, options);
}

function putLease(options: Map<number, Uint8Array>, leaseMs: number): void {
  if (leaseMs === Number.POSITIVE_INFINITY) {
    put(options, option.LEASE_TIME, option.INFINITE_SECONDS);
    return;
  }
  const seconds = Math.min(Math.max(Math.floor(leaseMs / 1000), 1), option.INFINITE_SECONDS - 1);
  put(options, option.LEASE_TIME, seconds);
  // The usual halves and eighths (RFC 2131, 4.4.5).
  put(options, option.RENEWAL_TIME, Math.floor(seconds / 2));
  put(options, option.REBINDING_TIME, Math.floor((seconds * 7) / 8));
}

function networkOptions(inquiry: Inquiry, { settings }: DhcpContext): Map<number, Uint8Array> {
  const { dhcp } = settings;
  const { subnet } = inquiry;
  const options = new Map<number, Uint8Array>();
  put(options, option.SUBNET_MASK, subnet.mask);
  // On another network than ours the relay is the router, unless the configured one is there.
  const router = dhcp.router !== undefined && subnet.has(dhcp.router) ? dhcp.router : undefined;
  const relayRouter =
    inquiry.relayed && !subnet.has(settings.address) && subnet.has(inquiry.packet.giaddr) ? inquiry.packet.giaddr : undefined;
  const routers = [router ?? relayRouter].filter((address) => address !== undefined);
  if (routers.length > 0) put(options, option.ROUTERS, routers);
  if (dhcp.dns.length > 0) put(options, option.DNS_SERVERS, dhcp.dns);
  if (inquiry.machine !== undefined) put(options, option.HOST_NAME, inquiry.machine.hostname);
  if (dhcp.domain !== undefined) put(options, option.DOMAIN_NAME, dhcp.domain);
  if (dhcp.mtu !== undefined) put(options, option.INTERFACE_MTU, dhcp.mtu);
  put(options, option.BROADCAST_ADDRESS, subnet.broadcast);
  if (dhcp.ntp.length > 0) put(options, option.NTP_SERVERS, dhcp.ntp);
  return options;
}

/** Sub-option 176 of option 175, no-pxedhcp: iPXE need not wait for a ProxyDHCP server that never comes. */
const IPXE_NO_PXEDHCP = 176;

/**
 * Sub-options of option 43 (PXE 2.1, table 2-1), of which a Raspberry Pi's ROM wants nothing but these words: no discovery, a
 * prompt, and a menu of one entry.
 */
const RASPBERRY_PI_BOOT: Uint8Array = new Uint8Array(
  Buffer.concat([
    option.VENDOR_SPECIFIC.encode(
      new Map([
        [6, Uint8Array.of(3)],
        [10, Buffer.from("\0PXE")],
        [9, Buffer.from("\0\0\x11Raspberry Pi Boot")],
      ]),
    ),
    Uint8Array.of(option.END),
  ]),
);

/**
 * What firmware needs, asked for or not. A PXE client gets no option 60: with it EDK2 takes us for a boot server that
 * wants to be asked again on port 4011. An HTTP client discards every offer without it (UEFI 2.10, 24.7.3).
 */
export function bootOptions(inquiry: Inquiry, { settings }: DhcpContext, boot: BootOffer | undefined): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  const { firmware } = inquiry;
  if (firmware === undefined || boot === undefined) return options;
  if (boot.file !== "") {
    if (!isHttpKind(firmware)) put(options, option.TFTP_SERVER_NAME, settings.address);
    put(options, option.BOOT_FILE_NAME, boot.file);
  }
  if (boot.rootPath !== undefined) put(options, option.ROOT_PATH, boot.rootPath);
  if (isHttpKind(firmware)) put(options, option.VENDOR_CLASS, HTTP_CLIENT);
  if (firmware === "raspberry-pi") {
    put(options, option.VENDOR_CLASS, PXE_CLIENT);
    options.set(option.VENDOR_SPECIFIC.code, RASPBERRY_PI_BOOT);
  }
  if (isIpxeKind(firmware)) {
    if (boot.initiatorName !== undefined) put(options, option.IPXE_INITIATOR, boot.initiatorName);
    put(options, option.IPXE, new Map([[IPXE_NO_PXEDHCP, Uint8Array.of(1)]]));
  }
  return options;
}
