import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as tlsRequest } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import type { BootFile, BootFiles } from "../../src/boot/files.ts";
import { MAX_CONNECTIONS_PER_CLIENT } from "../../src/http/server.ts";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import { ask, LOOPBACK, raw, serve } from "./rig.ts";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-http-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function filesOf(files: Readonly<Record<string, BootFile>>): BootFiles {
  return { resolve: async (_client, path) => files[path] ?? { kind: "not-found", reason: `no ${path}` } };
}

function bytes(text: string): BootFile {
  return { kind: "bytes", role: "config", bytes: new TextEncoder().encode(text) };
}

/** A kernel on disk, and the server that has it. */
async function withKernel(
  sizeBytes = 3_000_000,
): Promise<{ port: number; content: Buffer; path: string } & Pick<Awaited<ReturnType<typeof serve>>, "events" | "server">> {
  const path = join(temporaryFolder(), "vmlinuz");
  const content = Buffer.alloc(
    sizeBytes,
    Uint8Array.from({ length: 251 }, (_, index) => (index * 31) % 255),
  );
  writeFileSync(path, content);
  const rig = await serve(
    filesOf({
      "/vmlinuz": { kind: "file", role: "kernel", path, sizeBytes },
      "/grub.cfg": bytes("menu"),
      "/a.efi": bytes("MZ"),
      "/empty": bytes(""),
    }),
  );
  return { ...rig, port: rig.server.port, content, path };
}

test("OVMF asks HEAD and then GET, and needs the length in both", async () => {
  const { port, content, events } = await withKernel();
  const head = await ask(port, "/vmlinuz", "HEAD");
  expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
  expect(head.headers["content-length"]).toBe(String(content.length));
  const got = await ask(port, "/vmlinuz");
  expect(got.headers["content-length"]).toBe(String(content.length));
  expect(got.headers["transfer-encoding"]).toBeUndefined();
  expect(got.body.equals(content)).toBe(true);
  expect(events.map((event) => event.type).filter((type) => type !== "transfer.progressed")).toEqual([
    "transfer.started",
    "transfer.finished",
  ]);
  expect(events.at(-1)).toMatchObject({ transport: "http", role: "kernel", path: "/vmlinuz", sentBytes: content.length });
});

test("UEFI is told that a loader is one", async () => {
  const { port } = await withKernel();
  expect((await ask(port, "/a.efi", "HEAD")).headers["content-type"]).toBe("application/efi");
});

test("a part of a file is that part", async () => {
  const { port, content } = await withKernel();
  const part = await ask(port, "/vmlinuz", "GET", { Range: "bytes=1000000-2000000" });
  expect(part.status).toBe(206);
  expect(part.headers["content-range"]).toBe(`bytes 1000000-2000000/${content.length}`);
  expect(part.body.equals(content.subarray(1_000_000, 2_000_001))).toBe(true);
  expect((await ask(port, "/grub.cfg", "GET", { Range: "bytes=-2" })).body.toString()).toBe("nu");
  const beyond = await ask(port, "/vmlinuz", "GET", { Range: "bytes=99999999-" });
  expect(beyond).toMatchObject({ status: 416 });
  expect(beyond.headers["content-range"]).toBe(`bytes */${content.length}`);
});

test("a download that was broken off goes on only with the same file", async () => {
  const { port, content, path } = await withKernel();
  const { etag = "" } = (await ask(port, "/vmlinuz", "HEAD")).headers;
  expect((await ask(port, "/vmlinuz", "GET", { Range: "bytes=5-9", "If-Range": etag })).status).toBe(206);
  writeFileSync(path, content);
  expect((await ask(port, "/vmlinuz", "GET", { Range: "bytes=5-9", "If-Range": etag })).status).toBe(200);
});

test("an empty file is one", async () => {
  const { port } = await withKernel();
  expect(await ask(port, "/empty")).toMatchObject({ status: 200, headers: { "content-length": "0" } });
});

test("two requests on one connection get two answers", async () => {
  const { port } = await withKernel();
  const text = await raw(port, "GET /grub.cfg HTTP/1.1\r\nHost: x\r\n\r\nGET /a.efi HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
  expect(text).toContain("menu");
  expect(text).toMatch(/MZ$/);
});

test("GRUB's HTTP/1.0 is spoken, too", async () => {
  const { port } = await withKernel();
  expect(await raw(port, "GET /grub.cfg HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*menu$/);
});

test("what is not there is 404, and its reason is for the log only", async () => {
  const { port, events } = await withKernel();
  const missing = await ask(port, "/etc/passwd");
  expect(missing).toMatchObject({ status: 404 });
  expect(missing.body.toString()).toBe("not found\n");
  expect(events).toContainEqual({
    type: "file.refused",
    transport: "http",
    address: LOOPBACK,
    path: "/etc/passwd",
    reason: "no /etc/passwd",
  });
  expect((await ask(port, "/missing", "HEAD")).body).toHaveLength(0);
});

test("escapes are decoded once before a path is looked up, and bad ones are not found", async () => {
  const asked: string[] = [];
  const { server } = await serve({
    resolve: async (_client, path) => {
      asked.push(path);
      return { kind: "not-found", reason: "test" };
    },
  });
  for (const target of ["/%2e%2e/x", "/%252e/x", "/a%5cb", "/a%00b", "//a//b", "/a?b", "/../x", "/%zz", "/%ff"]) {
    expect((await ask(server.port, target)).status).toBe(404);
  }
  expect(asked).toEqual(["/../x", "/%2e/x", "/a\\b", "/a\0b", "//a//b", "/a", "/../x"]);
});

test("nothing can be written", async () => {
  const { port } = await withKernel();
  for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
    const answer = await ask(port, "/vmlinuz", method);
    expect(answer).toMatchObject({ status: 405 });
    expect(answer.headers.allow).toBe("GET, HEAD");
  }
});

test("a route that was given answers for its path alone, and one that fails does not end the daemon", async () => {
  const routes = new Map([
    ["/healthz", (_request: unknown, response: { end(text: string): void }): void => response.end("ok")],
    [
      "/metrics",
      (): void => {
        throw new Error("broken");
      },
    ],
  ]);
  const { server } = await serve(filesOf({}), {}, routes as never);
  expect((await ask(server.port, "/healthz?verbose")).body.toString()).toBe("ok");
  expect((await ask(server.port, "/metrics")).status).toBe(500);
  expect((await ask(server.port, "/healthz/x")).status).toBe(404);
});

test("a client that hangs up in the middle is a failed transfer, and the file is closed", async () => {
  const { port, events } = await withKernel(40_000_000);
  const socket = connect(port, LOOPBACK);
  socket.on("error", () => {});
  socket.write("GET /vmlinuz HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  socket.resetAndDestroy();
  await expect
    .poll(() => events.at(-1))
    .toMatchObject({ type: "transfer.failed", reason: expect.stringContaining("the client closed the connection") });
});

test("a file that cannot be opened is not found", async () => {
  const { server, events } = await serve(filesOf({ "/x": { kind: "file", role: "kernel", path: "/nowhere/x", sizeBytes: 1 } }));
  expect((await ask(server.port, "/x")).status).toBe(404);
  expect(events).toContainEqual(expect.objectContaining({ type: "file.refused", reason: expect.stringContaining("ENOENT") }));
});

test("nonsense is answered with 400 or silence, counted, and the next client is served", async () => {
  const { server, events } = await serve(filesOf({ "/a": bytes("a") }));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (octets) => {
      expect(await raw(server.port, Buffer.concat([octets, Buffer.from("\r\n\r\n")]))).toMatch(/^$|^HTTP\/1\.1 4/);
    }),
    { numRuns: 30 },
  );
  expect(await raw(server.port, `GET /a HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 4/);
  expect(events.some((event) => event.type === "peer.malformed")).toBe(true);
  expect((await ask(server.port, "/a")).body.toString()).toBe("a");
});

test("one client cannot take all connections", async () => {
  const { server, events } = await serve(filesOf({}));
  const sockets = Array.from({ length: MAX_CONNECTIONS_PER_CLIENT + 5 }, () => connect(server.port, LOOPBACK).on("error", () => {}));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  await expect.poll(() => events.filter((event) => event.type === "peer.malformed")).toHaveLength(5);
});

test("a machine that restarted finds its ports free: what its last boot left open is reset, and nobody else's", async () => {
  const { server } = await serve(filesOf({ "/a": bytes("a") }));
  const socket = connect(server.port, LOOPBACK);
  const ended = new Promise((resolve) => socket.once("error", resolve));
  socket.write("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  server.forget(parseIpv4("127.0.0.2"), performance.now());
  server.forget(LOOPBACK, performance.now() - 60_000);
  expect((await ask(server.port, "/a")).status).toBe(200);
  expect(socket.destroyed).toBe(false);
  server.forget(LOOPBACK, performance.now());
  expect(await ended).toMatchObject({ code: "ECONNRESET" });
});

test("a port in use is one sentence with the next step", async () => {
  const { server } = await serve(filesOf({}));
  await expect(serve(filesOf({}), { port: server.port })).rejects.toThrow(
    /HTTP cannot listen on 127\.0\.0\.1:\d+: another program has the port/,
  );
});

test("a new port is taken without a restart, and a bad one leaves the old", async () => {
  const { server } = await serve(filesOf({ "/a": bytes("a") }));
  const taken = await serve(filesOf({}));
  const before = server.port;
  await expect(server.update({ address: LOOPBACK, port: taken.server.port })).rejects.toThrow("another program has the port");
  expect((await ask(before, "/a")).status).toBe(200);
  await server.update({ address: LOOPBACK, port: 0 });
});

/** A certificate for this name that signs itself, as PEM files. */
function certificateFor(name: string): { certificate: string; key: string } {
  const folder = temporaryFolder();
  const pair = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", `/CN=${name}`, "-days", "1", "-nodes"];
  execFileSync("openssl", [...words, "-keyout", pair.key, "-out", pair.certificate], { stdio: "ignore" });
  return pair;
}

/** The name on the server's certificate, and the file that came. */
async function askTls(port: number, path: string): Promise<[name: string | undefined, body: string]> {
  return new Promise((resolve, reject) => {
    tlsRequest({ host: LOOPBACK, port, path, rejectUnauthorized: false, agent: false }, (response) => {
      const name = (response.socket as TLSSocket).getPeerCertificate().subject.CN;
      response.setEncoding("utf8").on("data", (text) => resolve([String(name), text]));
    })
      .on("error", reject)
      .end();
  });
}

test("https serves the same files, and takes a new certificate on the same port without a restart", async () => {
  const { server } = await serve(filesOf({ "/a": bytes("secret a") }), { https: { port: 0, ...certificateFor("first") } });
  const port = server.tlsPort;
  expect(await askTls(port, "/a")).toEqual(["first", "secret a"]);
  const bad = { certificate: "/nowhere/cert.pem", key: "/nowhere/key.pem" };
  await expect(server.update({ address: LOOPBACK, port: 0, https: { port: 0, ...bad } })).rejects.toThrow(
    "HTTPS cannot use /nowhere/cert.pem",
  );
  expect(await askTls(port, "/a")).toEqual(["first", "secret a"]);
  await server.update({ address: LOOPBACK, port: 0, https: { port: 0, ...certificateFor("second") } });
  expect(server.tlsPort).toBe(port);
  expect(await askTls(port, "/a")).toEqual(["second", "secret a"]);
  await server.update({ address: LOOPBACK, port: 0 });
  expect(server.tlsPort).toBe(0);
});

test("a certificate that is none is told with its file's name", async () => {
  const path = join(temporaryFolder(), "cert.pem");
  writeFileSync(path, "no certificate");
  await expect(serve(filesOf({}), { https: { port: 0, certificate: path, key: path } })).rejects.toThrow(`HTTPS cannot use ${path}`);
});
