import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { ControlClient } from "../../src/control/client.ts";
import { call, type Operations, stream } from "../../src/control/operation.ts";
import { MAX_EVENTS_BEHIND, stateOperations } from "../../src/control/operations.ts";
import { ControlServer } from "../../src/control/server.ts";
import { defaultSocketPath } from "../../src/control/socket-path.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { Store } from "../../src/state/store.ts";
import { start, uqbar } from "../state/uefi-boot.ts";

let folder: string;
let path: string;
const servers: ControlServer[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-control-"));
  path = join(folder, "run", "control.sock");
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  rmSync(folder, { recursive: true });
});

async function serve(operations: Operations, onError?: (operation: string, error: unknown) => void): Promise<ControlServer> {
  const server = new ControlServer({ path, operations, ...(onError !== undefined && { onError }) });
  servers.push(server);
  await server.listen();
  return server;
}

/** A request as any HTTP client on the machine could send it. */
function send(target: string, body: string, method = "POST"): Promise<{ readonly status: number | undefined; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: path, path: target, method }, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      resolve({ status: response.statusCode, text });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const machine = { name: uqbar } as Machine;

function stateServer(store: Store): Promise<ControlServer> {
  return serve(stateOperations({ store, version: "1.2.3", machines: () => [machine] }));
}

describe("a client", () => {
  it("sees the state as it is", async () => {
    const store = new Store();
    for (const event of start) store.emit(event);
    await stateServer(store);
    const report = await new ControlClient(path).call("status", {});
    expect(report).toMatchObject({ version: "1.2.3", pid: process.pid, state: store.snapshot() });
  });

  it("is told of a machine, or that there is none and how to find one", async () => {
    await stateServer(new Store());
    const client = new ControlClient(path);
    expect(await client.call("machine.list", {})).toEqual([{ name: "uqbar" }]);
    expect((await client.call("machine.show", { name: "uqbar" })).machine).toEqual({ name: "uqbar" });
    await expect(client.call("machine.show", { name: "tlon" })).rejects.toMatchObject({
      code: "ERR_NOT_FOUND",
      message: 'there is no machine tlon; "rackboot machine list" names them all',
    });
  });

  it("follows events in order until it has seen enough, and the daemon forgets it", async () => {
    const store = new Store();
    const subscribe = vi.spyOn(store, "subscribe");
    await stateServer(store);
    const enough = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      for await (const event of new ControlClient(path).follow("events", {}, enough.signal)) {
        seen.push(event.type);
        if (seen.length === 3) enough.abort();
      }
    })();
    await vi.waitFor(() => expect(subscribe).toHaveBeenCalledOnce());
    for (const event of start) store.emit(event);
    await following;
    expect(seen).toEqual(["config.loaded", "volume.opened", "service.started"]);
    // Nobody listens any more: what is emitted now is kept for nobody.
    const gone = subscribe.mock.results[0]?.value as () => boolean;
    await vi.waitFor(() => expect(gone()).toBe(false));
  });

  it("sees the stream end when the daemon does", async () => {
    const store = new Store();
    const subscribe = vi.spyOn(store, "subscribe");
    const server = await stateServer(store);
    const following = (async () => {
      for await (const _ of new ControlClient(path).follow("events", {})) expect.unreachable();
    })();
    await vi.waitFor(() => expect(subscribe).toHaveBeenCalledOnce());
    await server.close();
    await following.catch((error: unknown) => expect(error).toMatchObject({ code: "ECONNRESET" }));
  });

  it("that reads too slowly is let go, and told so", async () => {
    const store = new Store();
    const subscribe = vi.spyOn(store, "subscribe");
    await stateServer(store);
    let seen = 0;
    const following = (async () => {
      for await (const _ of new ControlClient(path).follow("events", {})) seen++;
    })();
    await vi.waitFor(() => expect(subscribe).toHaveBeenCalledOnce());
    for (let index = 0; index < MAX_EVENTS_BEHIND + 100; index++) store.emit({ type: "daemon.ready" });
    await expect(following).rejects.toMatchObject({ code: "ERR_TOO_SLOW" });
    expect(seen).toBeGreaterThanOrEqual(MAX_EVENTS_BEHIND);
  });

  it("without a daemon is told how to get one", async () => {
    await expect(new ControlClient(path).call("status", {})).rejects.toMatchObject({
      code: "ERR_CONTROL_UNREACHABLE",
      message: `cannot reach the daemon at ${path}: no daemon is running there. Start one with "rackboot serve --config FILE", or name its socket with --socket or RACKBOOT_SOCKET.`,
    });
  });

  it("does not take another program for a daemon", async () => {
    const other: Server = createServer((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
    path = join(folder, "other.sock");
    other.listen(path);
    await once(other, "listening");
    await expect(new ControlClient(path).call("status", {})).rejects.toMatchObject({ code: "ERR_CONTROL_PROTOCOL" });
    other.close();
  });
});

describe("a request that makes no sense gets an answer, never an end of the daemon:", () => {
  const failures: unknown[] = [];
  beforeEach(async () => {
    failures.length = 0;
    const operations: Operations = {
      ...stateOperations({ store: new Store(), version: "1", machines: () => [] }),
      bug: call(z.unknown(), () => {
        throw new TypeError("x is undefined");
      }),
      "late.bug": stream(z.unknown(), async function* () {
        yield { first: true };
        throw new TypeError("y is undefined");
      }),
    };
    await serve(operations, (operation, error) => failures.push([operation, String(error)]));
  });

  it.each([
    ["an operation that is none", "/v1/reboot", "{}", "POST", 404, "ERR_UNKNOWN_OPERATION"],
    ["one that every object has", "/v1/constructor", "{}", "POST", 404, "ERR_UNKNOWN_OPERATION"],
    ["a path of its own", "/../etc/passwd", "{}", "POST", 404, "ERR_UNKNOWN_OPERATION"],
    ["another method", "/v1/status", "", "GET", 404, "ERR_UNKNOWN_OPERATION"],
    ["no JSON", "/v1/status", "{", "POST", 400, "ERR_BAD_INPUT"],
    ["more than was asked for", "/v1/status", '{"x":1}', "POST", 400, "ERR_BAD_INPUT"],
    ["the wrong type", "/v1/machine.show", '{"name":1}', "POST", 400, "ERR_BAD_INPUT"],
    ["a list", "/v1/machine.show", "[]", "POST", 400, "ERR_BAD_INPUT"],
    ["a book", "/v1/status", "x".repeat(1024 * 1024 + 1), "POST", 413, "ERR_TOO_LARGE"],
  ])("%s", async (_, target, body, method, status, code) => {
    // A peer that is still sending may see the connection end before it reads why.
    const answer = await send(target, body, method).catch(() => undefined);
    if (answer !== undefined) expect([answer.status, JSON.parse(answer.text).error.code]).toEqual([status, code]);
    else expect(status).toBe(413);
    expect((await send("/v1/status", "")).status).toBe(200);
    expect(failures).toEqual([]);
  });

  it("a bug of ours, which the log hears of and the caller does not", async () => {
    expect(await send("/v1/bug", "")).toEqual({
      status: 500,
      text: '{"error":{"code":"ERR_INTERNAL","message":"the daemon failed to do this; its log says why"}}',
    });
    expect(failures).toEqual([["bug", "TypeError: x is undefined"]]);
    const late = await send("/v1/late.bug", "");
    expect(late.text.split("\n").slice(0, 2)).toEqual(['{"first":true}', expect.stringContaining("ERR_INTERNAL")]);
  });
});

describe("the socket", () => {
  it("belongs to its owner alone", async () => {
    await stateServer(new Store());
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("of a daemon that was killed is replaced", async () => {
    const { execFileSync } = await import("node:child_process");
    const script = `require("net").createServer().listen(${JSON.stringify(join(folder, "control.sock"))}, () => process.kill(process.pid, "SIGKILL"))`;
    path = join(folder, "control.sock");
    expect(() => execFileSync(process.execPath, ["-e", script])).toThrow();
    expect(existsSync(path)).toBe(true);
    await stateServer(new Store());
    expect((await send("/v1/status", "")).status).toBe(200);
  });

  it("of a daemon that lives is left to it", async () => {
    await stateServer(new Store());
    const second = new ControlServer({ path, operations: {} });
    await expect(second.listen()).rejects.toMatchObject({
      code: "ERR_CONTROL_IN_USE",
      message: expect.stringContaining("another rackboot listens on"),
    });
    expect((await send("/v1/status", "")).status).toBe(200);
  });

  it("is gone when the daemon is, and closing twice is no trouble", async () => {
    const server = await stateServer(new Store());
    await server.close();
    await server.close();
    expect(existsSync(path)).toBe(false);
  });

  it("does not overwrite a file", async () => {
    path = join(folder, "precious");
    writeFileSync(path, "data");
    await expect(stateServer(new Store())).rejects.toMatchObject({
      code: "ERR_CONTROL_SOCKET",
      message: expect.stringContaining("is no socket"),
    });
  });

  it("says so where it cannot be made", async () => {
    path = join(folder, "x".repeat(120));
    await expect(stateServer(new Store())).rejects.toThrow(/longer than 107 octets\. Choose another with --socket/);
    writeFileSync(join(folder, "file"), "");
    path = join(folder, "file", "control.sock");
    await expect(stateServer(new Store())).rejects.toThrow(/cannot be made: .*Choose another with --socket or RACKBOOT_SOCKET/);
  });

  it.each([
    [{ RACKBOOT_SOCKET: "/x/y.sock", XDG_RUNTIME_DIR: "/run/user/1000" }, 1000, "/x/y.sock"],
    [{}, 0, "/run/rackboot/control.sock"],
    [{ XDG_RUNTIME_DIR: "/run/user/1000" }, 1000, "/run/user/1000/rackboot/control.sock"],
    [{ RACKBOOT_SOCKET: "" }, 1000, "/tmp/rackboot-1000/control.sock"],
  ])("is where clients look for it: %j, user %i", (env, uid, expected) => {
    expect(defaultSocketPath(env, uid)).toBe(expected);
  });
});
