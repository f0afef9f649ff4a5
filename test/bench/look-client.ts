/**
 * A machine's firmware and its GRUB in one, as far as time goes: sends a DISCOVER as OVMF's and asks for its menu once it has an offer. Run
 * inside a network namespace with the machine's address by look-figures.ts.
 * Usage: node look-client.ts DISCOVER.hex SERVER PATH
 * Prints {"offerMs", "menuMs", "menu"}: from the sending to the OFFER, and to the last octet of the menu.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";

const [vector = "", server = "", path = ""] = process.argv.slice(2);
const discover = Buffer.from(readFileSync(vector, "utf8").replaceAll(/\s/g, ""), "hex");
const socket = createSocket("udp4");
socket.bind(68);
await once(socket, "listening");
socket.setBroadcast(true);
/** A connection of its own each time, as GRUB's: a DISCOVER ends what the machine had open. */
async function request(what: string): Promise<{ readonly status: number | undefined; readonly text: string }> {
  const [response] = (await once(get({ host: server, path: what, agent: false }), "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, text };
}

// What a program does at its first request is no part of the wait.
await request("/healthz");
const offered = once(socket, "message");
const beganMs = performance.now();
socket.send(discover, 67, "255.255.255.255");
await offered;
const offerMs = performance.now() - beganMs;
const { status, text: menu } = await request(path);
const menuMs = performance.now() - beganMs;
console.log(JSON.stringify({ offerMs, menuMs, status, menu }));
socket.close();
