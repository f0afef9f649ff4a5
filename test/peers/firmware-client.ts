import { createSocket } from "node:dgram";
import { once } from "node:events";
import * as option from "../../src/dhcp/options.ts";
import { type DhcpPacket, decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { ipv4ToNumber, parseIpv4 } from "../../src/machine/identifiers.ts";
import { openDatagramSocket, sendDatagrams } from "../../src/native/datagrams.ts";
import { vector } from "../dhcp/support.ts";

/**
 * What OVMF does with two servers on its network, with the packets that it was heard to send: it collects offers, takes the address of
 * the one that has one, and keeps what the other says about booting. Argument: interface. Prints one JSON object a reply.
 */
const [device = ""] = process.argv.slice(2);
const descriptor = openDatagramSocket({ device, address: "0.0.0.0", port: 68, broadcast: true, receiveBytes: 65_536, sendBytes: 65_536 });
const socket = createSocket("udp4");
const listening = once(socket, "listening");
socket.bind({ fd: descriptor });
await listening;

const replies: DhcpPacket[] = [];
socket.on("message", (bytes) => {
  const reply = decodePacket(bytes);
  if (reply.op !== "reply") return;
  replies.push(reply);
  const { options, yiaddr, file } = reply;
  const read = <T>(wanted: option.DhcpOption<T>): T | null => option.readOption(options, wanted) ?? null;
  const [type, server, vendorClass] = [read(option.MESSAGE_TYPE), read(option.SERVER_IDENTIFIER), read(option.VENDOR_CLASS)];
  process.stdout.write(`${JSON.stringify({ type, server, yiaddr, file, vendorClass })}\n`);
});

function send(packet: DhcpPacket): void {
  const { bytes } = encodePacket(packet, { maximumBytes: 1472 });
  const [code] = sendDatagrams(descriptor, [{ bytes, address: ipv4ToNumber(parseIpv4("255.255.255.255")), port: 67 }]);
  if (code !== undefined) throw new Error(`DISCOVER or REQUEST could not be sent: ${code}`);
}

/** Asks again, as firmware does, until somebody has answered as is wanted. */
async function until(packet: DhcpPacket, wanted: (reply: DhcpPacket) => boolean): Promise<DhcpPacket> {
  for (;;) {
    send(packet);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const found = replies.find(wanted);
    if (found !== undefined) return found;
  }
}

const isType = (reply: DhcpPacket, type: number): boolean => option.readOption(reply.options, option.MESSAGE_TYPE) === type;
const discover = decodePacket(vector("ovmf-pxe-discover"));
const { offer, ack } = option.MESSAGE_TYPES;
await until(discover, (reply) => isType(reply, offer) && reply.yiaddr === "0.0.0.0");
const offered = await until(discover, (reply) => isType(reply, offer) && reply.yiaddr !== "0.0.0.0");
const request = decodePacket(vector("ovmf-pxe-request"));
const options = new Map(request.options);
options.set(option.REQUESTED_ADDRESS.code, option.REQUESTED_ADDRESS.encode(offered.yiaddr));
options.set(option.SERVER_IDENTIFIER.code, offered.options.get(option.SERVER_IDENTIFIER.code) ?? new Uint8Array(4));
await until({ ...request, xid: discover.xid, options }, (reply) => isType(reply, ack));
socket.close();
