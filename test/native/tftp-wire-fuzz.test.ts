import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { FileSender } from "../../src/native/file-sender.ts";
import { RawClient, serve } from "../tftp/rig.ts";

/** A transfer's own port, in JavaScript and in the native sender: whatever comes there, its client gets its file whole. */

const INPUTS = 10_000;
const SIZE = 200_000;
const BLKSIZE = 1468;
const CONTENT = Buffer.from(Uint8Array.from({ length: SIZE }, (_, index) => (index * 31 + (index >> 8)) % 256));
/** An ACK of the client's moves the transfer and an ERROR of the client's ends it, as they should. */
const CLIENTS_OWN = new Set([4, 5]);

const word = fc.string({ maxLength: 20 });
const datagram = fc.oneof(
  fc.uint8Array({ maxLength: 700 }),
  fc.integer({ min: 1, max: 9000 }).map((length) => Buffer.alloc(length, length)),
  fc
    .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 65_535 }), fc.uint8Array({ maxLength: 30 }))
    .map(([opcode, block, rest]) => {
      return Buffer.concat([Uint8Array.of(0, opcode, block >> 8, block & 255), rest]);
    }),
  // An option storm, which belongs to another port.
  fc
    .array(fc.tuple(fc.constantFrom("blksize", "BLKSIZE", "tsize", "timeout", "windowsize", "x"), word), { maxLength: 60 })
    .map((options) => Buffer.from(`\0\x01a\0octet\0${options.map(([name, value]) => `${name}\0${value}\0`).join("")}`)),
);

test.each(["JavaScript", "the native sender"])("ten thousand datagrams at a transfer of %s", { timeout: 300_000 }, async (which) => {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-fuzz-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "initrd");
  writeFileSync(path, CONTENT);
  const sender = which === "JavaScript" ? undefined : new FileSender();
  onTestFinished(() => sender?.close());
  const files = { resolve: async () => ({ kind: "file", role: "initramfs", path, sizeBytes: SIZE }) as const };
  const { server, events } = await serve(files, {}, undefined, sender === undefined ? {} : { sender });
  const [client, stranger] = [await RawClient.open(), await RawClient.open()];
  // The longest timer there is: the fuzz takes longer than the usual retries.
  const options = Object.entries({ blksize: String(BLKSIZE), timeout: "255" });
  client.send({ kind: "rrq", filename: "initrd", mode: "octet", options }, server.port);
  const { port = 0 } = (await client.next()) ?? {};
  client.send({ kind: "ack", block: 0 }, port);
  for (const [index, octets] of fc.sample(datagram, { numRuns: INPUTS, seed: 9 }).entries()) {
    const isClients = index % 2 === 0 && !(octets[0] === 0 && CLIENTS_OWN.has(octets[1] ?? 0));
    (isClients ? client : stranger).send(octets, port);
    // The server reads as they come; a full buffer would drop what is to be tried.
    if (index % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const parts: Uint8Array[] = [];
  for (let block = 1; block <= Math.floor(SIZE / BLKSIZE) + 1; ) {
    const next = await client.next(10_000);
    if (next === undefined) throw new Error(`block ${block} never came`);
    if (next.packet.kind !== "data") continue;
    if (next.packet.block !== block) {
      // Sent again: an ACK found no room in the middle of all that.
      client.send({ kind: "ack", block: next.packet.block }, port);
      continue;
    }
    parts.push(next.packet.data);
    client.send({ kind: "ack", block }, port);
    block++;
  }
  expect(Buffer.concat(parts).equals(CONTENT)).toBe(true);
  await expect.poll(() => server.transfers).toBe(0);
  expect(events.filter(({ type }) => type === "service.slipped" || type === "transfer.failed")).toEqual([]);
  const malformed = events.filter(({ type }) => type === "peer.malformed").length;
  expect(malformed).toBeGreaterThan(0);
  // The native one goes silent about them, so that a flood reaches no log.
  if (sender !== undefined) expect(malformed).toBeLessThanOrEqual(32);
});
