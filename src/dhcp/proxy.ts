import type { StateEvent } from "../state/events.ts";
import { HTTP_CLIENT, isHttpKind, PXE_CLIENT } from "./client.ts";
import { type Decision, ignore, senderOf } from "./decision.ts";
import { bootOfferFor, type DhcpContext, type Inquiry } from "./inquiry.ts";
import * as option from "./options.ts";
import { NO_ADDRESS } from "./packet.ts";
import { applyQuirk, bootHeader, bootOptions, destinationOf, echo, put, replyHeader } from "./reply.ts";

/**
 * ProxyDHCP (PXE 2.1, 2.2.3; RFC 4578): another server hands out the addresses, and we add where to boot from. On port 67
 * we answer a DISCOVER with an OFFER that has no address; on port 4011 the firmware may ask us alone. What we overhear
 * tells which address is which machine's.
 */

/** Sub-options of option 43 under the vendor class PXEClient (PXE 2.1, table 2-1). */
const PXE_DISCOVERY_CONTROL = 6;
/** Bit 3: boot the file that is named, without asking for boot servers or a menu. */
const PXE_BOOT_AT_ONCE = 8;

/** Where firmware asks a proxy alone (PXE 2.1, 2.2.3.3). */
export const PROXY_PORT = 4011;

export function answerAsProxy(inquiry: Inquiry, context: DhcpContext): Decision {
  switch (inquiry.type) {
    case option.MESSAGE_TYPES.discover:
      return bootReply(inquiry, context, "offer");
    case option.MESSAGE_TYPES.request:
      return request(inquiry, context);
    case option.MESSAGE_TYPES.inform:
      return bootReply(inquiry, context, "ack");
    default:
      return ignore(inquiry, "addresses are another server's: dhcp.mode is proxy");
  }
}

/** Broadcast, it is meant for the server with the addresses, and is overheard; sent to us alone, it has an address already. */
function request(inquiry: Inquiry, context: DhcpContext): Decision {
  const { packet, requested, chosenServer, machine, mac } = inquiry;
  const asksUs = packet.ciaddr !== NO_ADDRESS && (chosenServer === undefined || chosenServer === context.settings.address);
  const address = requested ?? packet.ciaddr;
  // Only machines are learnt: their number is the configuration's, that of strangers is anybody's.
  const lease =
    machine !== undefined && address !== NO_ADDRESS
      ? context.leases.bind(mac, address, context.nowMs + context.settings.dhcp.leaseMs)
      : undefined;
  const decision =
    asksUs && inquiry.firmware !== undefined
      ? bootReply(inquiry, context, "ack")
      : ignore(inquiry, "its address is another server's to acknowledge");
  return { ...decision, ...(lease && { lease }) };
}

function bootReply(inquiry: Inquiry, context: DhcpContext, type: "offer" | "ack"): Decision {
  const { packet, firmware } = inquiry;
  if (firmware === undefined) return ignore(inquiry, "it is no firmware, and addresses are another server's: dhcp.mode is proxy");
  const boot = bootOfferFor(inquiry, context);
  if (boot === undefined) return ignore(inquiry, "there is nothing for it to boot");
  const options = new Map<number, Uint8Array>();
  put(options, option.MESSAGE_TYPE, option.MESSAGE_TYPES[type]);
  put(options, option.SERVER_IDENTIFIER, inquiry.identifier);
  put(options, option.VENDOR_CLASS, isHttpKind(firmware) ? HTTP_CLIENT : PXE_CLIENT);
  if (!isHttpKind(firmware)) put(options, option.VENDOR_SPECIFIC, new Map([[PXE_DISCOVERY_CONTROL, Uint8Array.of(PXE_BOOT_AT_ONCE)]]));
  for (const [code, bytes] of bootOptions(inquiry, context, boot)) options.set(code, bytes);
  applyQuirk(inquiry, options);
  echo(packet, options);
  const events: StateEvent[] =
    type === "offer" ? [{ type: "dhcp.offered", ...senderOf(inquiry), address: NO_ADDRESS, ...(boot.file && { file: boot.file }) }] : [];
  return {
    kind: "reply",
    packet: {
      ...replyHeader(packet),
      ...bootHeader(context.settings.address, boot),
      ciaddr: type === "ack" ? packet.ciaddr : NO_ADDRESS,
      yiaddr: NO_ADDRESS,
      options,
    },
    destination: destinationOf(inquiry, NO_ADDRESS, context.settings.dhcp),
    maximumBytes: inquiry.maximumBytes,
    ...(inquiry.quirk.plain === true && { plain: true }),
    events,
  };
}
