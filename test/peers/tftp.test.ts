import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Downloads } from "../../src/boot/downloads.ts";
import { fileWithin } from "../../src/boot/file-system.ts";
import type { BootFiles } from "../../src/boot/files.ts";
import { OpenFiles } from "../../src/boot/open-files.ts";
import { normalPath } from "../../src/boot/paths.ts";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import { FileSender } from "../../src/native/file-sender.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { TftpServer } from "../../src/tftp/server.ts";

/** Other people's TFTP clients against our server: tftp-hpa, atftp, curl, and the npm package tftp. */

const run = promisify(execFile);
const LOOPBACK = "127.0.0.1";

let folder: string;
let server: TftpServer;
let sender: FileSender;
const openFiles = new OpenFiles();
const events: StateEvent[] = [];

/** Sizes at which a last block is full, short, empty; and one whose block numbers roll over at 512 octets a block. */
const FILES = {
  empty: 0,
  one: 1,
  "short-of-a-block": 511,
  block: 512,
  "whole-blocks": 512 * 64,
  odd: 1_234_567,
  rollover: 70_000 * 512,
} as const;
type Name = keyof typeof FILES;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rackboot-peers-tftp-"));
  for (const [name, size] of Object.entries(FILES)) await writeContent(join(folder, name), size);
  await writeFile(join(folder, "text"), "one\ntwo\r\nthree\r");
  const files: BootFiles = {
    resolve: async (_client, path) => {
      const normal = normalPath(path);
      const found = "segments" in normal ? await fileWithin(folder, normal.segments, "other") : undefined;
      return found ?? { kind: "not-found", reason: "no such file" };
    },
  };
  const emit = (event: StateEvent): number => events.push(event);
  const nowMs = (): number => performance.now();
  sender = new FileSender();
  const parts = { files, openFiles, downloads: new Downloads(emit, nowMs), sender, machineAt: () => undefined, emit, nowMs };
  server = new TftpServer({ address: parseIpv4(LOOPBACK), port: 0, windowsize: 64, blksize: 16384 }, parts);
  await server.start();
});

afterAll(async () => {
  await server.stop();
  sender.close();
  await rm(folder, { recursive: true, force: true });
});

/** Every block differs from its neighbours, so that one that is missing or doubled is seen. */
async function writeContent(path: string, size: number): Promise<void> {
  const content = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) content.writeUInt32LE(Math.imul(at + 1, 2654435761) >>> 0, at);
  await writeFile(path, content);
}

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  createReadStream(path).pipe(hash);
  await once(hash, "readable");
  return hash.read().toString("hex");
}

async function expectSame(name: Name): Promise<void> {
  const got = join(folder, "got");
  expect((await stat(got)).size).toBe(FILES[name]);
  expect(await digest(got)).toBe(await digest(join(folder, name)));
  await rm(got);
}

async function hpa(command: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run("tftp", ["-m", "octet", LOOPBACK, String(server.port), "-c", ...command], { cwd: folder, timeout: 60_000 });
}

async function atftp(name: Name, options: Record<string, number> = {}): Promise<void> {
  const words = Object.entries(options).flatMap(([option, value]) => ["--option", `${option} ${value}`]);
  await run("atftp", [...words, "-g", "-r", name, "-l", join(folder, "got"), LOOPBACK, String(server.port)], { timeout: 90_000 });
}

describe("tftp-hpa", () => {
  test.each(Object.keys(FILES) as Name[])("gets %s whole", async (name) => {
    await hpa(["get", name, join(folder, "got")]);
    await expectSame(name);
  });

  test("gets text as text", async () => {
    await run("tftp", ["-m", "ascii", LOOPBACK, String(server.port), "-c", "get", "text", join(folder, "got")], { timeout: 10_000 });
    expect(await readFile(join(folder, "got"), "latin1")).toBe("one\ntwo\r\nthree\r");
  });

  test("is told of a missing file, and of a write that is not wanted", async () => {
    const missing = await hpa(["get", "missing", join(folder, "missing.got")]);
    expect(missing.stdout + missing.stderr).toContain("Error code 1: file not found");
    const write = await hpa(["put", "one", "planted"]);
    expect(write.stdout + write.stderr).toContain("Error code 2");
    await expect(stat(join(folder, "planted"))).rejects.toThrow("ENOENT");
  });
});

describe("atftp", () => {
  test.each(Object.keys(FILES) as Name[])("gets %s whole", async (name) => {
    await atftp(name);
    await expectSame(name);
  });

  test.each([1, 2, 3, 4, 8, 15, 16, 32, 64, 65, 1000])("gets a file in windows of %i", async (windowsize) => {
    await atftp("odd", { windowsize });
    await expectSame("odd");
  });

  test.each([8, 511, 512, 1024, 1428, 1468, 8192, 16384, 65464])("gets a file in blocks of %i", async (blksize) => {
    const name = blksize < 100 ? "whole-blocks" : "odd";
    await atftp(name, { blksize, windowsize: 8 });
    await expectSame(name);
  });

  test("gets 70,000 blocks in windows, over the edge of the block numbers", async () => {
    await atftp("rollover", { windowsize: 16 });
    await expectSame("rollover");
  });

  test("agrees on all options at once", async () => {
    await atftp("odd", { blksize: 1400, windowsize: 7, timeout: 2, tsize: 0 });
    await expectSame("odd");
  });
});

describe("curl", () => {
  async function curl(name: string, words: readonly string[] = []): Promise<unknown> {
    return run("curl", ["-sS", "--max-time", "60", ...words, "-o", join(folder, "got"), `tftp://${LOOPBACK}:${server.port}/${name}`]);
  }

  test.each(["one", "whole-blocks", "odd", "rollover"] as Name[])("gets %s whole", async (name) => {
    await curl(name);
    await expectSame(name);
  });

  test.each([8, 1024, 1468])("gets a file in blocks of %i", async (blksize) => {
    await curl("whole-blocks", ["--tftp-blksize", String(blksize)]);
    await expectSame("whole-blocks");
  });

  test("without options, as the oldest clients", async () => {
    await curl("odd", ["--tftp-no-options"]);
    await expectSame("odd");
  });

  test("is told of a missing file", async () => {
    await expect(curl("missing")).rejects.toMatchObject({ code: 68 });
  });
});

describe("the npm package tftp", () => {
  /** In a process of its own: it ends the one that it is in when it meets what it does not expect. */
  async function npmTftp(name: Name, options: Record<string, number>): Promise<void> {
    const script = `require("tftp").createClient(${JSON.stringify({ host: LOOPBACK, port: server.port, ...options })})
      .get(${JSON.stringify(name)}, ${JSON.stringify(join(folder, "got"))}, (error) => { if (error) { console.error(error); process.exit(1); } });`;
    await run(process.execPath, ["-e", script], { timeout: 90_000 });
  }

  test.each([
    { name: "one" as Name, windowSize: 4, blockSize: 1468 },
    { name: "whole-blocks" as Name, windowSize: 1, blockSize: 512 },
    { name: "odd" as Name, windowSize: 8, blockSize: 1024 },
    { name: "odd" as Name, windowSize: 64, blockSize: 1468 },
    { name: "rollover" as Name, windowSize: 4, blockSize: 512 },
  ])("gets $name in windows of $windowSize blocks of $blockSize", async ({ name, ...options }) => {
    await npmTftp(name, options);
    await expectSame(name);
  });
});

describe("uploads, where a folder is named for them", () => {
  let taker: TftpServer;
  beforeAll(async () => {
    const emit = (event: StateEvent): number => events.push(event);
    const nowMs = (): number => performance.now();
    const files: BootFiles = { resolve: async () => ({ kind: "not-found", reason: "nothing here" }) };
    const parts = { files, openFiles, downloads: new Downloads(emit, nowMs), machineAt: () => undefined, emit, nowMs };
    taker = new TftpServer({ address: parseIpv4(LOOPBACK), port: 0, windowsize: 16, upload: join(folder, "in") }, parts);
    await taker.start();
  });
  afterAll(() => taker.stop());

  test.each(["empty", "one", "block", "odd"] as Name[])("tftp-hpa, atftp and curl write %s whole", async (name) => {
    const source = join(folder, name);
    const port = String(taker.port);
    await run("tftp", ["-m", "octet", LOOPBACK, port, "-c", "put", source, `hpa-${name}`], { timeout: 60_000 });
    await run("atftp", ["--option", "blksize 1024", "-p", "-l", source, "-r", `atftp-${name}`, LOOPBACK, port], { timeout: 60_000 });
    await run("curl", ["-sS", "--max-time", "60", "-T", source, `tftp://${LOOPBACK}:${port}/curl-${name}`]);
    for (const client of ["hpa", "atftp", "curl"]) {
      await expect.poll(() => digest(join(folder, "in", `${client}-${name}`)).catch(() => "")).toBe(await digest(source));
    }
  });

  test("a second file of that name is refused", async () => {
    const { stdout, stderr } = await run(
      "tftp",
      ["-m", "octet", LOOPBACK, String(taker.port), "-c", "put", join(folder, "block"), "hpa-one"],
      {
        timeout: 60_000,
      },
    );
    expect(stdout + stderr).toContain("Error code 6");
    expect((await stat(join(folder, "in", "hpa-one"))).size).toBe(1);
  });
});

/** Octets that this process had read from a disk (proc(5), io); 0 on a file system in memory. */
async function readFromDisk(): Promise<number> {
  return Number(/^read_bytes: (\d+)$/m.exec(await readFile("/proc/self/io", "latin1"))?.[1] ?? 0);
}

test("forty machines that ask for one initramfs at once get it, and the disk reads it once", async () => {
  const sizeBytes = 16 * 1024 * 1024 + 1;
  const bench = join(import.meta.dirname, "..", "bench", "tftp");
  await run("make", ["--no-print-directory", "-C", bench]);
  // What the clients compare with is another file: theirs would come into the page cache.
  await writeContent(join(folder, "initramfs"), sizeBytes);
  await writeContent(join(folder, "compared"), sizeBytes);
  // Written, and out of the page cache.
  await run("dd", ["if=/dev/null", `of=${join(folder, "initramfs")}`, "conv=notrunc,fdatasync", "oflag=nocache", "count=0"]);
  const before = await readFromDisk();
  let open = 0;
  const watch = setInterval(() => {
    open = Math.max(open, openFiles.size);
  }, 1);
  const client = join(import.meta.dirname, "..", "..", "build", "bench", "tftp-client");
  const words = [LOOPBACK, String(server.port), "initramfs", join(folder, "compared"), "--sessions", "40", "--windowsize", "16"];
  const { stdout } = await run(client, [...words, "--timeout", "90"]);
  clearInterval(watch);
  expect(JSON.parse(stdout)).toMatchObject({ sessions: 40, finished: 40, wrong: 0 });
  expect(open).toBe(1);
  // What else this process had to read meanwhile is little.
  expect((await readFromDisk()) - before).toBeLessThan(1.1 * sizeBytes);
});

test("no transfer of any of these clients has failed or is left", async () => {
  await expect.poll(() => server.transfers, { timeout: 10_000 }).toBe(0);
  expect(openFiles.size).toBe(0);
  expect(events.filter((event) => event.type === "transfer.failed")).toEqual([]);
  expect(events.filter((event) => event.type === "peer.malformed" && !event.reason.includes("ack packet"))).toEqual([]);
});
