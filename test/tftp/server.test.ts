import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { BootFiles } from "../../src/boot/files.ts";
import { TFTP_ERROR, type TftpPacket } from "../../src/tftp/packet.ts";
import { MAX_TRANSFERS_PER_CLIENT } from "../../src/tftp/slots.ts";
import { filesOf, LOOPBACK, RawClient, serve } from "./rig.ts";

const CONTENT = Uint8Array.from({ length: 2000 }, (_, index) => index % 251);

function rrq(filename: string, options: Record<string, string> = {}, mode = "octet"): TftpPacket {
  return { kind: "rrq", filename, mode, options: Object.entries(options) };
}

test("each transfer comes from a port of its own, and never from the one that requests go to", async () => {
  const { server } = await serve(filesOf({ a: CONTENT }));
  const ports = new Set<number>();
  for (let count = 0; count < 3; count++) {
    const client = await RawClient.open();
    client.send(rrq("a"), server.port);
    const first = await client.next();
    expect(first?.packet).toMatchObject({ kind: "data", block: 1 });
    ports.add(first?.port ?? 0);
  }
  expect(ports.size).toBe(3);
  expect(ports).not.toContain(server.port);
});

test("a packet from a stranger does not disturb a transfer, and the stranger is told", async () => {
  const { server, events } = await serve(filesOf({ a: CONTENT }));
  const client = await RawClient.open();
  const stranger = await RawClient.open();
  client.send(rrq("a"), server.port);
  const first = await client.next();
  stranger.send({ kind: "error", code: 0, message: "stop it" }, first?.port ?? 0);
  stranger.send({ kind: "ack", block: 1 }, first?.port ?? 0);
  expect((await stranger.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.unknownTransfer });
  client.send({ kind: "ack", block: 1 }, first?.port ?? 0);
  expect((await client.next())?.packet).toMatchObject({ kind: "data", block: 2 });
  expect(events).toContainEqual(expect.objectContaining({ type: "peer.malformed", service: "tftp" }));
});

test("a missing file is answered at once, since GRUB asks for dozens", async () => {
  const { server, events } = await serve(filesOf({}));
  const client = await RawClient.open();
  const began = performance.now();
  for (let count = 0; count < 40; count++) {
    client.send(rrq(`grub.cfg-${count}`), server.port);
    expect((await client.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.notFound });
  }
  expect(performance.now() - began).toBeLessThan(1000);
  expect(events.filter((event) => event.type === "file.refused")).toHaveLength(40);
  expect(server.transfers).toBe(0);
});

test("OVMF's probe for the size is no download, and the download after it is one", async () => {
  const { server, events } = await serve(filesOf({ "shimx64.efi": CONTENT }));
  const probe = await RawClient.open();
  probe.send(rrq("shimx64.efi", { tsize: "0", blksize: "1468", windowsize: "4" }), server.port);
  const oack = await probe.next();
  expect(oack?.packet).toEqual({
    kind: "oack",
    options: [
      ["tsize", "2000"],
      ["blksize", "1468"],
      ["windowsize", "4"],
    ],
  });
  probe.send({ kind: "error", code: TFTP_ERROR.optionNegotiation, message: "User aborted the transfer" }, oack?.port ?? 0);
  const client = await RawClient.open();
  client.send(rrq("shimx64.efi", { blksize: "1468", windowsize: "4" }), server.port);
  const again = await client.next();
  client.send({ kind: "ack", block: 0 }, again?.port ?? 0);
  await client.next();
  expect((await client.next())?.packet).toMatchObject({ kind: "data", block: 2 });
  client.send({ kind: "ack", block: 2 }, again?.port ?? 0);
  await expect.poll(() => server.transfers).toBe(0);
  expect(events.map((event) => event.type)).toEqual(["transfer.started", "transfer.finished"]);
  expect(events[1]).toMatchObject({ sentBytes: 2000, transport: "tftp", address: "127.0.0.1", path: "shimx64.efi" });
});

test("a client that repeats its ACK gets its block once: no Sorcerer's Apprentice", async () => {
  const { server } = await serve(filesOf({ a: CONTENT }));
  const client = await RawClient.open();
  client.send(rrq("a"), server.port);
  const first = await client.next();
  for (let count = 0; count < 5; count++) client.send({ kind: "ack", block: 1 }, first?.port ?? 0);
  client.send({ kind: "ack", block: 2 }, first?.port ?? 0);
  client.send({ kind: "ack", block: 3 }, first?.port ?? 0);
  client.send({ kind: "ack", block: 4 }, first?.port ?? 0);
  expect((await client.drain(300)).map((packet) => packet.kind === "data" && packet.block)).toEqual([2, 3, 4]);
});

test("a request that is repeated because its answer was slow starts one transfer and not two", async () => {
  const { server } = await serve(filesOf({ a: CONTENT }));
  const client = await RawClient.open();
  for (let count = 0; count < 3; count++) client.send(rrq("a", { blksize: "1468" }), server.port);
  expect(await client.drain(200)).toEqual([{ kind: "oack", options: [["blksize", "1468"]] }]);
  expect(server.transfers).toBe(1);
});

test("a ROM that asks for its next file from the same port gets it", async () => {
  const { server } = await serve(filesOf({ a: CONTENT, b: "second" }));
  const client = await RawClient.open();
  client.send(rrq("a"), server.port);
  await client.next();
  client.send(rrq("b"), server.port);
  const packets = await client.drain(200);
  expect(packets.at(-1)).toMatchObject({ kind: "data", block: 1, data: new Uint8Array(Buffer.from("second")) });
});

test("what a restarted machine left behind is broken off, and nothing that it asked for since", async () => {
  const { server, events } = await serve(filesOf({ a: CONTENT }));
  const client = await RawClient.open();
  client.send(rrq("a"), server.port);
  await client.next();
  server.forget(LOOPBACK, performance.now() - 60_000);
  expect(server.transfers).toBe(1);
  server.forget(LOOPBACK, performance.now());
  expect(server.transfers).toBe(0);
  expect(events.at(-1)).toMatchObject({ type: "transfer.failed", reason: "the machine has restarted" });
});

test("a write request is refused, and nothing is written", async () => {
  const { server, events } = await serve(filesOf({}));
  const client = await RawClient.open();
  client.send({ kind: "wrq", filename: "core", mode: "octet", options: [] }, server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.accessViolation });
  expect(events).toContainEqual(expect.objectContaining({ type: "file.refused", path: "core" }));
});

test("mail mode is refused, upper case octet is not", async () => {
  const { server } = await serve(filesOf({ a: "x" }));
  const client = await RawClient.open();
  client.send(rrq("a", {}, "mail"), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.illegalOperation });
  client.send(rrq("a", {}, "OCTET"), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "data" });
});

test("netascii is converted, and its size is that of what is sent", async () => {
  const { server } = await serve(filesOf({ text: "one\ntwo\r\n" }));
  const client = await RawClient.open();
  client.send(rrq("text", { tsize: "0" }, "netascii"), server.port);
  const oack = await client.next();
  expect(oack?.packet).toEqual({ kind: "oack", options: [["tsize", "12"]] });
  client.send({ kind: "ack", block: 0 }, oack?.port ?? 0);
  expect((await client.next())?.packet).toMatchObject({ data: new Uint8Array(Buffer.from("one\r\ntwo\r\0\r\n")) });
});

test("octets that are no packet are counted, answered where they look like a request, and harm nobody", async () => {
  const { server, events } = await serve(filesOf({ a: "x" }));
  const client = await RawClient.open();
  for (const bytes of [[], [0], [0, 9], [0, 3, 0], [0, 6, 1], [255, 255, 255]]) client.send(Uint8Array.from(bytes), server.port);
  client.send(Uint8Array.of(0, 1, 65, 66), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.illegalOperation });
  client.send({ kind: "ack", block: 3 }, server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.unknownTransfer });
  client.send({ kind: "error", code: 5, message: "" }, server.port);
  client.send(rrq("a"), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "data" });
  expect(events.filter((event) => event.type === "peer.malformed").length).toBeGreaterThanOrEqual(7);
});

test("nonsense to a transfer's own port ends neither the transfer nor the daemon", async () => {
  const { server } = await serve(filesOf({ a: CONTENT }));
  const client = await RawClient.open();
  client.send(rrq("a"), server.port);
  const port = (await client.next())?.port ?? 0;
  for (const bytes of [[], [7], [0, 4], [0, 9, 9, 9], [0, 1, 97, 0, 97, 0], [0, 3, 0, 1, 1]]) client.send(Uint8Array.from(bytes), port);
  client.send({ kind: "ack", block: 1 }, port);
  expect((await client.next())?.packet).toMatchObject({ kind: "data", block: 2 });
});

test("one client cannot take all transfers, and is not told to give up", async () => {
  const { server, events } = await serve(filesOf({ a: CONTENT }));
  const clients = await Promise.all(Array.from({ length: MAX_TRANSFERS_PER_CLIENT + 3 }, () => RawClient.open()));
  for (const client of clients) client.send(rrq("a", { blksize: "512" }), server.port);
  await expect.poll(() => events.filter((event) => event.type === "file.refused").length).toBe(3);
  expect(server.transfers).toBe(MAX_TRANSFERS_PER_CLIENT);
  const answers = await Promise.all(clients.map((client) => client.next(300)));
  expect(answers.filter((answer) => answer === undefined)).toHaveLength(3);
});

test.each([
  [1500, "1468"],
  [1400, "1368"],
  [68, "36"],
  [9000, "1468"],
  [undefined, "1468"],
])("on an interface with an MTU of %s octets a block of %s needs no fragments", async (mtu, blksize) => {
  const { server } = await serve(filesOf({ a: CONTENT }), {}, undefined, { mtu: async () => mtu });
  const client = await RawClient.open();
  client.send(rrq("a", { blksize: "65464" }), server.port);
  expect((await client.next())?.packet).toEqual({ kind: "oack", options: [["blksize", blksize]] });
});

test("a file is open once for all that read it, and closed when the last has it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "rackboot-tftp-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "initrd");
  writeFileSync(path, Buffer.alloc(300_000, 7));
  const files: BootFiles = { resolve: async () => ({ kind: "file", role: "initramfs", path, sizeBytes: 300_000 }) };
  const { server, openFiles } = await serve(files);
  const clients = await Promise.all([RawClient.open(), RawClient.open()]);
  for (const client of clients) {
    client.send(rrq("initrd"), server.port);
    expect((await client.next())?.packet).toMatchObject({ kind: "data", block: 1 });
  }
  expect(openFiles.size).toBe(1);
  await server.stop();
  expect(openFiles.size).toBe(0);
});

test("a file that is cut while it is sent ends that transfer with a reason", async () => {
  const folder = await mkdtemp(join(tmpdir(), "rackboot-tftp-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "initrd");
  writeFileSync(path, Buffer.alloc(1_000_000, 7));
  const files: BootFiles = { resolve: async () => ({ kind: "file", role: "initramfs", path, sizeBytes: 1_000_000 }) };
  const { server, events } = await serve(files);
  const client = await RawClient.open();
  client.send(rrq("initrd"), server.port);
  const first = await client.next();
  writeFileSync(path, "short");
  for (let next = first; next?.packet.kind === "data"; next = await client.next()) {
    client.send({ kind: "ack", block: next.packet.block }, next.port);
  }
  await expect.poll(() => events.some((event) => event.type === "transfer.failed" || event.type === "file.refused")).toBe(true);
  expect(server.transfers).toBe(0);
});

test("a port in use is one sentence with the next step", async () => {
  const { server } = await serve(filesOf({}));
  await expect(serve(filesOf({}), { port: server.port })).rejects.toThrow(
    /TFTP cannot listen on 127\.0\.0\.1:\d+: another program has the port/,
  );
});

test("a new port in the configuration is taken without a restart, and a bad one leaves the old", async () => {
  const { server } = await serve(filesOf({ a: "x" }));
  const taken = await serve(filesOf({}));
  const before = server.port;
  const settings = { address: LOOPBACK, port: taken.server.port, windowsize: 16 };
  await expect(server.update(settings)).rejects.toThrow("another program has the port");
  expect(server.port).toBe(before);
  await server.update({ ...settings, port: 0 });
  const client = await RawClient.open();
  client.send(rrq("a"), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "data" });
});
