import { once } from "node:events";
import { connect, type Socket } from "node:net";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import type { BootFiles } from "../../src/boot/files.ts";
import { normalPath } from "../../src/boot/paths.ts";
import { MAX_CONNECTIONS_PER_CLIENT } from "../../src/http/server.ts";
import { ask, LOOPBACK, raw, serve } from "./rig.ts";

/** Requests that no client sends, over real connections: an answer that HTTP allows or a closed connection, and the server serves on. */

const INPUTS = 10_000;
/** Connections at once; each has its own request, and pipelines a good one behind it. */
const BATCH = 16;
const CONTENT = Buffer.from("what the machine may read\n".repeat(40));
/** Keeps out of an answer what nobody may read. */
const SECRET = "a secret of another machine";

const files: BootFiles = {
  resolve: async (_client, path) => {
    const normal = normalPath(path);
    if (!("segments" in normal)) return { kind: "not-found", reason: normal.reason };
    // Were a trick to lead out, this is what it would lead to.
    if (normal.segments.includes("..") || normal.segments[0] === "tlon")
      return { kind: "bytes", role: "other", bytes: Buffer.from(SECRET) };
    return normal.segments.join("/") === "a"
      ? { kind: "bytes", role: "other", bytes: CONTENT }
      : { kind: "not-found", reason: "no such file" };
  },
};

const noise = fc.uint8Array({ maxLength: 40 }).map((octets) => Buffer.from(octets).toString("latin1"));
const method = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("GET", "HEAD") },
  fc.constantFrom("POST", "TRACE", "get", "", "G ET"),
  noise,
);
const piece = fc.constantFrom("a", "..", ".", "/", "//", "\\", "%2e", "%2E%2e", "%2f", "%5c", "%00", "%zz", "%ff", "%252e", "?", "#", "é");
const target = fc.oneof(
  { weight: 3, arbitrary: fc.constant("/a") },
  fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join("")}`),
  fc.constantFrom("*", "http://x/a", "http://x", "a", "", `/${"x".repeat(4000)}`),
  noise,
);
const version = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("HTTP/1.1", "HTTP/1.0") },
  fc.constantFrom("HTTP/2.0", "HTTP/9", "http/1.1", ""),
  noise,
);
const range = fc.oneof(
  fc.tuple(fc.nat(2000), fc.nat(2000)).map(([first, last]) => `bytes=${first}-${last}`),
  fc.constantFrom("bytes=-", "bytes=-0", "bytes=99999999999999999999-", "bytes=0-0,2-3", "bytes=a-b", "bytes=", "lines=0-1", "bytes=-1e9"),
);
const header = fc.oneof(
  range.map((value) => `Range: ${value}`),
  fc.constantFrom(
    ...["Connection: close", "Connection: keep-alive", "Expect: 100-continue", "Expect: nothing", "Upgrade: h2c", "If-Range: x"],
    ...["Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Length: 0", "Content-Length: -1", "Content-Length: 99"],
    ...["Host: x", "Host:", " folded", "no colon", ": no name", "X\0: y"],
  ),
  noise,
);
const request = fc
  .tuple(method, target, version, fc.array(header, { maxLength: 6 }), fc.constantFrom("\r\n", "\r\n", "\r\n", "\n", "\r"))
  .map(([verb, path, protocol, headers, end]) => [`${verb} ${path} ${protocol}`, "Host: x", ...headers, "", ""].join(end));
const GOOD = "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/** What comes back for these octets until the connection has been closed, by the other side or after ours has been. */
async function exchange(port: number, octets: string): Promise<string> {
  const socket = connect(port, LOOPBACK).on("error", () => {});
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.end(Buffer.from(octets, "latin1"));
  await once(socket, "close");
  return Buffer.concat(parts).toString("latin1");
}

test("ten thousand requests that no client sends get an answer or a closed connection, and nobody's secret", {
  timeout: 300_000,
}, async () => {
  const { server, events } = await serve(files);
  const samples = fc.sample(request, { numRuns: INPUTS, seed: 8 });
  const statuses = new Map<string, number>();
  for (let at = 0; at < samples.length; at += BATCH) {
    const answers = await Promise.all(samples.slice(at, at + BATCH).map((octets) => exchange(server.port, octets + GOOD)));
    for (const answer of answers) {
      expect(answer).not.toContain(SECRET);
      const [, status = "closed"] = /^HTTP\/1\.1 ([0-9]{3}) /.exec(answer) ?? [];
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  }
  expect([...statuses.keys()].filter((status) => /^5/.test(status))).toEqual([]);
  expect([...statuses.keys()]).toEqual(expect.arrayContaining(["200", "206", "400", "404", "405", "416"]));
  expect(events.filter(({ type }) => type === "service.slipped")).toEqual([]);
  expect(events.some(({ type }) => type === "peer.malformed")).toBe(true);
  expect((await ask(server.port, "/a")).body.equals(CONTENT)).toBe(true);
});

test("a request that ends anywhere in its middle leaves nothing behind", { timeout: 60_000 }, async () => {
  const { server, events } = await serve(files);
  const whole = "GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\nX-More: y\r\n\r\n";
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => exchange(server.port, whole.slice(0, index))));
  for (let length = 20; length < whole.length; length++) answers.push(await exchange(server.port, whole.slice(0, length)));
  for (const answer of answers) expect(answer).toMatch(/^$|^HTTP\/1\.1 4/);
  expect(events.filter(({ type }) => type === "transfer.started")).toEqual([]);
  expect(await exchange(server.port, whole)).toMatch(/^HTTP\/1\.1 206 /);
});

test("a head that never ends is refused when it is too long, in one header and in a storm of them", async () => {
  const { server } = await serve(files);
  const storm = Array.from({ length: 5000 }, (_, index) => `X-${index}: y`).join("\r\n");
  for (const head of [`X: ${"y".repeat(100_000)}`, storm]) {
    expect(await raw(server.port, `GET /a HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 |^$/);
  }
  expect(await raw(server.port, `GET /${"x".repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(/^HTTP\/1\.1 4|^$/);
  // Many short ones within the limit are passed over.
  const many = Array.from({ length: 500 }, (_, index) => `X${index}: y`).join("\r\n");
  expect(await raw(server.port, `GET /a HTTP/1.1\r\nHost: x\r\n${many}\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 (200|431) /);
});

test("fifty requests in one packet get fifty answers, in order", async () => {
  const { server } = await serve(files);
  const first = Array.from({ length: 49 }, (_, index) => `GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=${index}-${index}\r\n\r\n`).join("");
  const text = await raw(server.port, first + GOOD);
  const ranges = [...text.matchAll(/Content-Range: bytes ([0-9]+)-/g)].map(([, at]) => Number(at));
  expect(ranges).toEqual(Array.from({ length: 49 }, (_, index) => index));
  expect(text).toContain(CONTENT.toString());
});

test("clients that send their request octet by octet are closed, and others are served meanwhile", { timeout: 120_000 }, async () => {
  const { server, events } = await serve(files);
  const dripping: Socket[] = Array.from({ length: MAX_CONNECTIONS_PER_CLIENT }, () => {
    return connect({ port: server.port, host: LOOPBACK, localAddress: "127.0.0.9" }).on("error", () => {});
  });
  const answers = dripping.map(async (socket) => {
    let text = "";
    socket.on("data", (part) => {
      text += String(part);
    });
    await once(socket, "close");
    return text;
  });
  let at = 0;
  const timer = setInterval(() => {
    const octet = "GET /a HTTP/1.1\r\nX: "[at++] ?? "y";
    for (const socket of dripping) if (socket.writable) socket.write(octet);
  }, 250);
  onTestFinished(() => {
    clearInterval(timer);
    for (const socket of dripping) socket.destroy();
  });
  expect((await ask(server.port, "/a")).status).toBe(200);
  for (const text of await Promise.all(answers)) expect(text).toMatch(/^$|^HTTP\/1\.1 408 /);
  expect(events.filter(({ type }) => type === "peer.malformed").length).toBeGreaterThanOrEqual(MAX_CONNECTIONS_PER_CLIENT);
});
