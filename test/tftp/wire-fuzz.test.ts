import { createSocket } from "node:dgram";
import { once } from "node:events";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { filesOf, LOOPBACK, RawClient, serve } from "./rig.ts";

/** Datagrams of all kinds at the request port and at a transfer's own: an answer that the RFC allows or silence, and the server serves on. */

const INPUTS = 10_000;
const CONTENT = Uint8Array.from({ length: 5000 }, (_, index) => index % 251);

const word = fc.string({ maxLength: 20 });
const datagram = fc.oneof(
  fc.uint8Array({ maxLength: 600 }),
  // Nearly right: an opcode, then strings with and without their ends.
  fc
    .tuple(fc.integer({ min: 0, max: 8 }), fc.array(word, { maxLength: 20 }), fc.boolean())
    .map(([opcode, words, ends]) => Buffer.concat([Uint8Array.of(0, opcode), Buffer.from(words.join("\0") + (ends ? "\0" : ""))])),
  fc
    .tuple(
      fc.constantFrom("octet", "netascii", "mail", "OCTET"),
      fc.array(fc.tuple(fc.constantFrom("blksize", "tsize", "timeout", "windowsize", "x"), word), { maxLength: 20 }),
    )
    .map(([mode, options]) => Buffer.from(`\0\x01a\0${mode}\0${options.map(([name, value]) => `${name}\0${value}\0`).join("")}`)),
);

test("ten thousand datagrams that no client sends end nothing and leave nothing", { timeout: 120_000 }, async () => {
  const { server, events } = await serve(filesOf({ a: CONTENT }));
  const socket = createSocket("udp4");
  onTestFinished(() => {
    socket.close();
  });
  socket.bind(0, LOOPBACK);
  await once(socket, "listening");
  let answers = 0;
  socket.on("message", () => answers++);
  const samples = fc.sample(datagram, { numRuns: INPUTS, seed: 8 });
  for (const [index, octets] of samples.entries()) {
    socket.send(octets, server.port, LOOPBACK);
    // The server reads as they come; a full buffer would drop what is to be tried.
    if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(answers).toBeLessThan(3 * INPUTS);
  expect(events.filter(({ type }) => type === "service.slipped")).toEqual([]);
  server.forget(LOOPBACK, performance.now());
  expect(server.transfers).toBe(0);
  const client = await RawClient.open();
  client.send({ kind: "rrq", filename: "a", mode: "octet", options: [] }, server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "data", block: 1 });
});
