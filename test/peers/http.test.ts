import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Downloads } from "../../src/boot/downloads.ts";
import { OpenFiles } from "../../src/boot/open-files.ts";
import { nothing } from "../../src/boot/plan.ts";
import { BootResolver } from "../../src/boot/resolver.ts";
import { HttpServer } from "../../src/http/server.ts";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { FileSender } from "../../src/native/file-sender.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { kernelBoot, machine } from "../boot/support.ts";

/** curl against our HTTP server with the resolver behind it: what a machine gets, and every path trick it may try. */

const run = promisify(execFile);
const ADDRESS = parseIpv4("127.0.0.1");

let folder: string;
let server: HttpServer;
const openFiles = new OpenFiles();
const sender = new FileSender();
let base: string;
let uqbar: Machine;
let kernel: Buffer;
const events: StateEvent[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rackboot-peers-http-"));
  kernel = Buffer.alloc(5_000_000, "kernel");
  await writeFile(join(folder, "vmlinuz"), kernel);
  await writeFile(join(folder, "initrd.img"), "initramfs");
  await writeFile(join(folder, "shimx64.efi"), "MZ shim");
  uqbar = machine("uqbar", {
    boot: kernelBoot({ kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd.img"), loader: join(folder, "shimx64.efi") }),
  });
  const facts = { address: ADDRESS, tftpPort: 69, httpPort: 80, portals: [ADDRESS] as const, iscsiPort: 3260 };
  const loaders = { usual: new Map(), ipxe: new Map() };
  const files = new BootResolver({ facts, loaders, isMachine: (name) => name === "uqbar", diskPlan: async () => nothing("no disk") });
  const emit = (event: StateEvent): number => events.push(event);
  const downloads = new Downloads(emit, () => performance.now());
  const machineAt = (address: string): Machine | undefined => (address === ADDRESS ? uqbar : undefined);
  const nowMs = (): number => performance.now();
  const parts = { files, openFiles, downloads, sender, machineAt, emit, nowMs, routes: new Map() };
  server = new HttpServer({ address: ADDRESS, port: 0 }, parts);
  await server.start();
  base = `http://${ADDRESS}:${server.port}`;
});

afterAll(async () => {
  await server.stop();
  sender.close();
  await rm(folder, { recursive: true, force: true });
});

async function curl(path: string, ...words: string[]): Promise<string> {
  const { stdout } = await run("curl", ["-sS", "--path-as-is", "--max-time", "20", ...words, base + path], {
    encoding: "latin1",
    maxBuffer: 2 ** 27,
  });
  return stdout;
}

test("a machine reads its loader, its menu, its script, its kernel and its initramfs", async () => {
  expect(await curl("/uqbar/shimx64.efi")).toBe("MZ shim");
  expect(await curl("/EFI/redhat/grub.cfg")).toContain("linux $server/uqbar/vmlinuz");
  expect(await curl("/uqbar/boot.ipxe")).toMatch(/^#!ipxe/);
  expect(await curl("/uqbar/initrd")).toBe("initramfs");
  expect(Buffer.from(await curl("/uqbar/vmlinuz"), "latin1").equals(kernel)).toBe(true);
});

test("curl takes up a download where it broke off", async () => {
  const got = join(folder, "got");
  await writeFile(got, kernel.subarray(0, 1_000_000));
  await curl("/uqbar/vmlinuz", "-C", "-", "-o", got);
  expect((await readFile(got)).equals(kernel)).toBe(true);
});

test("one connection serves many requests", async () => {
  const verbose = await run("curl", ["-sSv", `${base}/uqbar/initrd`, `${base}/uqbar/initrd`, `${base}/uqbar/initrd`]);
  expect(verbose.stderr.match(/Re-using existing connection/g)).toHaveLength(2);
});

test.each([
  "/../../../../etc/passwd",
  "/uqbar/../../../etc/passwd",
  "/%2e%2e/%2e%2e/etc/passwd",
  "/..%2f..%2fetc/passwd",
  "/..%5c..%5cetc/passwd",
  "/%252e%252e/etc/passwd",
  "//etc/passwd",
  "/uqbar/vmlinuz%00.efi",
  "/etc/passwd",
  "/uqbar/",
  "/",
  "/%zz",
  "/tlon/vmlinuz",
  "/grub/grub.cfg-01-02-00-00-00-00-99",
])("%s is not found", async (path) => {
  expect(await curl(path, "-o", "/dev/null", "-w", "%{http_code}")).toBe("404");
});

test("every download has been told of, with its role", () => {
  const roles = events.flatMap((event) => (event.type === "transfer.finished" ? [`${event.machine} ${event.role} ${event.path}`] : []));
  expect(roles).toContain("uqbar loader /uqbar/shimx64.efi");
  expect(roles).toContain("uqbar kernel /uqbar/vmlinuz");
  expect(events.some((event) => event.type === "transfer.failed")).toBe(false);
});
