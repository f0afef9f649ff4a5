import { execFile } from "node:child_process";
import { mkdtempSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { OpenFiles } from "../../src/boot/open-files.ts";
import { FileSender } from "../../src/native/file-sender.ts";
import { type DataPacket, TFTP_ERROR } from "../../src/tftp/packet.ts";
import { serve as serveHttp } from "../http/rig.ts";
import { LOOPBACK, RawClient, type Rig, serve } from "../tftp/rig.ts";

const SIZE = 3_000_001;
const CONTENT: Buffer = Buffer.from(Uint8Array.from({ length: SIZE }, (_, index) => (index * 31 + (index >> 9)) % 256));

function file(): string {
  const path = join(mkdtempSync(join(tmpdir(), "rackboot-sender-")), "initrd");
  writeFileSync(path, CONTENT);
  return path;
}

function senderOfTest(): FileSender {
  const sender = new FileSender();
  onTestFinished(() => sender.close());
  return sender;
}

async function tftp(path: string, settings: Parameters<typeof serve>[1] = {}): Promise<Rig> {
  const sender = senderOfTest();
  const files = { resolve: async () => ({ kind: "file", role: "initramfs", path, sizeBytes: SIZE }) as const };
  return serve(files, settings, undefined, { sender });
}

async function begun(rig: Rig, options: Record<string, string> = {}): Promise<{ client: RawClient; port: number }> {
  const client = await RawClient.open();
  const names = Object.entries({ blksize: "1468", ...options });
  client.send({ kind: "rrq", filename: "initrd", mode: "octet", options: names }, rig.server.port);
  const oack = await client.next();
  expect(oack?.packet).toMatchObject({ kind: "oack" });
  return { client, port: oack?.port ?? 0 };
}

/** Passes over what is sent again: on a busy machine this client is slower than a lost packet. */
async function nextBlock(client: RawClient, block: number): Promise<{ packet: DataPacket; port: number }> {
  for (let next = await client.next(); next !== undefined; next = await client.next()) {
    if (next.packet.kind === "data" && next.packet.block === block) return { packet: next.packet, port: next.port };
  }
  throw new Error(`block ${block} never came`);
}

test("a client takes a large file window by window, and is heard to have all of it", async () => {
  const rig = await tftp(file());
  const { client, port } = await begun(rig, { windowsize: "16" });
  const parts: Uint8Array[] = [];
  client.send({ kind: "ack", block: 0 }, port);
  for (let block = 1; ; block++) {
    const next = await nextBlock(client, block);
    parts.push(next.packet.data);
    const last = next.packet.data.length < 1468;
    if (last || block % 16 === 0) client.send({ kind: "ack", block }, port);
    if (last) break;
  }
  expect(Buffer.concat(parts).equals(CONTENT)).toBe(true);
  await expect.poll(() => rig.events.at(-1)).toMatchObject({ type: "transfer.finished", sentBytes: SIZE });
  expect(rig.events[0]).toMatchObject({ type: "transfer.started", sizeBytes: SIZE });
  expect(rig.server.transfers).toBe(0);
  expect(rig.openFiles.size).toBe(0);
});

test("a stranger does not disturb a large download, is told so, and is heard of no more than some times", async () => {
  const rig = await tftp(file());
  const { client, port } = await begun(rig);
  const stranger = await RawClient.open();
  for (let count = 0; count < 100; count++) stranger.send({ kind: "error", code: 0, message: "stop it" }, port);
  expect((await stranger.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.unknownTransfer });
  client.send({ kind: "ack", block: 0 }, port);
  expect((await client.next())?.packet).toMatchObject({ kind: "data", block: 1 });
  await expect.poll(() => rig.events.filter(({ type }) => type === "peer.malformed").length).toBe(32);
});

test("octets that are no packet end nothing: every opcode, every short length", async () => {
  const rig = await tftp(file());
  const { client, port } = await begun(rig);
  for (let opcode = 0; opcode < 12; opcode++) if (opcode !== 5) client.send(Uint8Array.of(0, opcode), port);
  for (const octets of [[], [0], [0, 3, 0, 1, 9], [0, 6, 0x62], Array(1400).fill(255)]) client.send(Uint8Array.from(octets), port);
  client.send({ kind: "ack", block: 0 }, port);
  expect((await client.next())?.packet).toMatchObject({ kind: "data", block: 1 });
});

test("a client that gives up is a failed download with its own words, and a probe for the size is none", async () => {
  const rig = await tftp(file());
  const probe = await begun(rig, { tsize: "0" });
  probe.client.send({ kind: "error", code: TFTP_ERROR.optionNegotiation, message: "User aborted the transfer" }, probe.port);
  await expect.poll(() => rig.server.transfers).toBe(0);
  expect(rig.events).toEqual([]);
  const { client, port } = await begun(rig);
  client.send({ kind: "ack", block: 0 }, port);
  await client.next();
  client.send({ kind: "ack", block: 1 }, port);
  client.send({ kind: "error", code: 3, message: "no room" }, port);
  await expect.poll(() => rig.events.at(-1)).toMatchObject({ type: "transfer.failed", reason: "the client gave up (error 3: no room)" });
});

test("what a restarted machine left of a large download is broken off, and it is told", async () => {
  const rig = await tftp(file());
  const { client, port } = await begun(rig);
  client.send({ kind: "ack", block: 0 }, port);
  await client.next();
  await expect.poll(() => rig.events.length).toBe(1);
  rig.server.forget(LOOPBACK, performance.now());
  expect(rig.server.transfers).toBe(0);
  let told = await client.next();
  while (told?.packet.kind === "data") told = await client.next();
  expect(told?.packet).toMatchObject({ kind: "error", message: "the machine has restarted" });
  expect(rig.events.at(-1)).toMatchObject({ type: "transfer.failed", reason: "the machine has restarted" });
  expect(rig.openFiles.size).toBe(0);
});

test("a large file that is cut while it is sent ends its download with the reason", async () => {
  const path = file();
  const rig = await tftp(path);
  const { client, port } = await begun(rig, { windowsize: "8" });
  truncateSync(path, 5000);
  client.send({ kind: "ack", block: 0 }, port);
  await expect.poll(() => rig.events.at(-1)).toMatchObject({ type: "transfer.failed", reason: expect.stringContaining("shortened") });
});

test("blocks larger than a packet of the network are sent one by one", async () => {
  const rig = await tftp(file(), { blksize: 65_464 });
  const { client, port } = await begun(rig, { blksize: "65464", windowsize: "2" });
  client.send({ kind: "ack", block: 0 }, port);
  const parts = [await nextBlock(client, 1), await nextBlock(client, 2)].map(({ packet }) => packet.data);
  expect(Buffer.concat(parts).equals(CONTENT.subarray(0, 2 * 65_464))).toBe(true);
});

test("HTTP: a large body, a part of it, and the next request on the same connection", async () => {
  const path = file();
  const sender = senderOfTest();
  const openFiles = new OpenFiles();
  const files = { resolve: async () => ({ kind: "file", role: "initramfs", path, sizeBytes: SIZE }) as const };
  const { server, events } = await serveHttp(files, {}, undefined, { sender, openFiles });
  const url = `http://127.0.0.1:${server.port}/initrd`;
  const words = ["-sS", "-o", `${path}.1`, url, "--next", "-sS", "-r", "100-2900000", "-o", `${path}.2`, url, "--next", "-sS", "-I", url];
  const { stdout } = await promisify(execFile)("curl", [
    "-w",
    "%{num_connects} ",
    ...words.slice(0, 4),
    "--next",
    "-w",
    "%{num_connects} ",
    ...words.slice(5),
  ]);
  expect(stdout).toMatch(/^1 0 HTTP\/1\.1 200 OK/);
  const { stdout: sums } = await promisify(execFile)("cksum", [path, `${path}.1`, `${path}.2`]);
  const [whole, first, second] = sums.split("\n").map((line) => line.split(" ").slice(0, 2).join(" "));
  expect(first).toBe(whole);
  writeFileSync(`${path}.3`, CONTENT.subarray(100, 2_900_001));
  expect((await promisify(execFile)("cksum", [`${path}.3`])).stdout.split(" ").slice(0, 2).join(" ")).toBe(second);
  expect(events.filter(({ type }) => type === "transfer.finished")).toHaveLength(2);
  expect(openFiles.size).toBe(0);
});

test("HTTP: a client that hangs up in the middle is a failed download, and the file is closed", async () => {
  const path = file();
  truncateSync(path, 200_000_000);
  const openFiles = new OpenFiles();
  const files = { resolve: async () => ({ kind: "file", role: "initramfs", path, sizeBytes: SIZE }) as const };
  const { server, events } = await serveHttp(files, {}, undefined, { sender: senderOfTest(), openFiles });
  const abort = new AbortController();
  const answer = await fetch(`http://127.0.0.1:${server.port}/initrd`, { signal: abort.signal });
  await answer.body?.getReader().read();
  abort.abort();
  await expect
    .poll(() => events.at(-1))
    .toMatchObject({ type: "transfer.failed", reason: expect.stringContaining("closed the connection") });
  expect(openFiles.size).toBe(0);
});
