import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { FromNetascii, toNetascii } from "../../src/tftp/netascii.ts";
import { TFTP_ERROR, type TftpPacket } from "../../src/tftp/packet.ts";
import { MAX_UPLOAD_BYTES } from "../../src/tftp/receive.ts";
import { filesOf, LOOPBACK, RawClient, type Rig, serve } from "./rig.ts";

async function taking(): Promise<Rig & { folder: string }> {
  const folder = join(mkdtempSync(join(tmpdir(), "rackboot-upload-")), "in");
  mkdirSync(folder);
  return { ...(await serve(filesOf({}), { upload: folder })), folder };
}

function wrq(filename: string, options: Record<string, string> = {}, mode = "octet"): TftpPacket {
  return { kind: "wrq", filename, mode, options: Object.entries(options) };
}

function data(block: number, content: string | Uint8Array): TftpPacket {
  return { kind: "data", block, data: typeof content === "string" ? new TextEncoder().encode(content) : content };
}

test("a file that a machine writes is there when it is whole, and no sooner", async () => {
  const { server, folder, events } = await taking();
  const client = await RawClient.open();
  client.send(wrq("core", { BLKSIZE: "8", tsize: "12", windowsize: "16" }), server.port);
  const first = await client.next();
  // Windows are refused by leaving them out (RFC 7440, 3).
  expect(first?.packet).toEqual({
    kind: "oack",
    options: [
      ["BLKSIZE", "8"],
      ["tsize", "12"],
    ],
  });
  client.send(data(1, "12345678"), first?.port ?? 0);
  expect((await client.next())?.packet).toEqual({ kind: "ack", block: 1 });
  expect(existsSync(join(folder, "core"))).toBe(false);
  client.send(data(2, "9abc"), first?.port ?? 0);
  expect((await client.next())?.packet).toEqual({ kind: "ack", block: 2 });
  expect(readFileSync(join(folder, "core"), "latin1")).toBe("123456789abc");
  expect(readdirSync(folder)).toEqual(["core"]);
  expect(events.at(-1)).toMatchObject({ type: "upload.finished", path: "core", sizeBytes: 12 });
});

test("a block whose ACK was lost is acknowledged again and stored once, the last one too", async () => {
  const { server, folder } = await taking();
  const client = await RawClient.open();
  client.send(wrq("log", { blksize: "8" }), server.port);
  const port = (await client.next())?.port ?? 0;
  for (const block of [1, 1, 2, 2]) {
    client.send(data(block, block === 1 ? "12345678" : "end"), port);
    expect((await client.next())?.packet).toEqual({ kind: "ack", block });
  }
  expect(readFileSync(join(folder, "log"), "latin1")).toBe("12345678end");
});

test("text is stored as this system writes it, wherever a block ends", async () => {
  const { server, folder } = await taking();
  const client = await RawClient.open();
  client.send(wrq("text", { blksize: "8" }, "NetASCII"), server.port);
  const port = (await client.next())?.port ?? 0;
  client.send(data(1, "one\r\ntw\r"), port);
  await client.next();
  client.send(data(2, "\n\r\0"), port);
  await client.next();
  expect(readFileSync(join(folder, "text"), "latin1")).toBe("one\ntw\n\r");
});

test("netascii comes back as it was, in whatever pieces it travels", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (octets, piece) => {
      const wire = toNetascii(octets);
      const decoder = new FromNetascii();
      const out: Uint8Array[] = [];
      for (let at = 0; at < wire.length; at += piece) out.push(decoder.decode(wire.subarray(at, at + piece)));
      expect(Buffer.concat([...out, decoder.end()])).toEqual(Buffer.from(octets));
    }),
  );
});

test("a file that is there is not replaced, and no path leads out of the folder", async () => {
  const { server, folder, events } = await taking();
  writeFileSync(join(folder, "kept"), "kept");
  symlinkSync("/tmp", join(folder, "link"));
  symlinkSync(join(folder, "..", "planted"), join(folder, "dangling"));
  const client = await RawClient.open();
  const refused: readonly (readonly [string, number])[] = [
    ["kept", TFTP_ERROR.fileExists],
    ["dangling", TFTP_ERROR.fileExists],
    ["../planted", TFTP_ERROR.accessViolation],
    ["a/../../planted", TFTP_ERROR.accessViolation],
    ["..\\planted", TFTP_ERROR.accessViolation],
    ["link/planted", TFTP_ERROR.accessViolation],
    ["missing/planted", TFTP_ERROR.accessViolation],
    [".planted", TFTP_ERROR.accessViolation],
    ["", TFTP_ERROR.accessViolation],
    ["plan\nted", TFTP_ERROR.accessViolation],
  ];
  for (const [name, code] of refused) {
    client.send(wrq(name), server.port);
    expect([name, (await client.next())?.packet]).toEqual([name, expect.objectContaining({ kind: "error", code })]);
  }
  expect(readFileSync(join(folder, "kept"), "latin1")).toBe("kept");
  expect(readdirSync(join(folder, ".."))).toEqual(["in"]);
  expect(events.filter(({ type }) => type === "file.refused")).toHaveLength(refused.length);
  expect(server.transfers).toBe(0);
});

test("what is too large is refused before it is sent, and what grows too large leaves nothing", async () => {
  const { server, folder } = await taking();
  const client = await RawClient.open();
  client.send(wrq("huge", { tsize: String(MAX_UPLOAD_BYTES + 1) }), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.diskFull });
  client.send(wrq("long", { blksize: "8" }), server.port);
  const port = (await client.next())?.port ?? 0;
  client.send(data(1, new Uint8Array(9)), port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error" });
  await expect.poll(() => readdirSync(folder)).toEqual([]);
});

test("a client that gives up, or restarts, leaves nothing", async () => {
  const { server, folder, events } = await taking();
  for (const end of ["error", "restart"]) {
    const client = await RawClient.open();
    client.send(wrq("half", { blksize: "8" }), server.port);
    const port = (await client.next())?.port ?? 0;
    client.send(data(1, "12345678"), port);
    await client.next();
    expect(readdirSync(folder)).toHaveLength(1);
    if (end === "error") client.send({ kind: "error", code: 0, message: "no more" }, port);
    else server.forget(LOOPBACK, performance.now());
    await expect.poll(() => readdirSync(folder)).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: "upload.failed" });
    expect(server.transfers).toBe(0);
  }
});
