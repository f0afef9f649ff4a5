import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RACKBOOT } from "../harness/daemon.ts";
import { run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { BLOCK, BusyMachine, DiskClient, type Outcome } from "./disk-client.ts";
import { type Keys, LoopbackDaemon } from "./loopback-daemon.ts";

/** Storage that fails under a machine that writes: it is told, nothing that was acknowledged is lost, and the state says so. */

const MIB = 1048576;
const CHUNK = 64 * BLOCK;
const rack = (volumes: Keys): Keys => ({
  volumes,
  machines: Object.fromEntries(
    Object.keys(volumes).map((name, i) => [name, { mac: `52:54:00:16:00:1${i}`, initiator: "any", disks: [name] }]),
  ),
});

let resources: Resources;
let daemon: LoopbackDaemon;

beforeEach(() => {
  resources = new Resources();
  daemon = new LoopbackDaemon(resources);
});
afterEach(() => resources.close());

/** Words that give a command a mount namespace of its own, in which `folder` is a file system in memory. */
function withTmpfs(folder: string, sizeMiB: number): readonly string[] {
  const user = process.getuid?.() === 0 ? [] : ["--map-root-user"];
  const script = `mount -t tmpfs -o size=${sizeMiB}M tmpfs "$0" && exec "$@"`;
  return ["unshare", ...user, "--mount", "--", "sh", "-c", script, folder];
}

/** A path as the daemon sees it. */
const inside = (path: string): string => join(`/proc/${daemon.pid}/root`, path);

const login = (machine: string): Promise<DiskClient> => DiskClient.login(resources, daemon.portal, machine);
const pattern = (chunk: number): Buffer => Buffer.alloc(CHUNK, `chunk ${chunk} `);

/** Writes one chunk after the other until one is refused; returns how many were acknowledged, and the refusal. */
async function fill(client: DiskClient, chunks: number): Promise<{ readonly acknowledged: number; readonly refusal: Outcome | undefined }> {
  for (let i = 0; i < chunks; i++) {
    const outcome = await client.write((i * CHUNK) / BLOCK, pattern(i));
    if (outcome.status !== 0) return { acknowledged: i, refusal: outcome };
  }
  return { acknowledged: chunks, refusal: undefined };
}

async function expectWritten(client: DiskClient, chunks: number): Promise<void> {
  for (let i = 0; i < chunks; i++) {
    const { status, data } = await client.read((i * CHUNK) / BLOCK, CHUNK);
    expect([i, status, pattern(i).equals(data)]).toEqual([i, 0, true]);
  }
}

describe("a disk without space", () => {
  it("fails the write, keeps what was acknowledged, is told of in the state, and goes on when there is space again", async () => {
    daemon.write(rack({ uqbar: { size: "64M" } }));
    await daemon.start(withTmpfs(daemon.storage, 16));
    const ballast = inside(join(daemon.storage, "ballast"));
    writeFileSync(ballast, Buffer.alloc(8 * MIB));

    const uqbar = await login("uqbar");
    const { acknowledged, refusal } = await fill(uqbar, (64 * MIB) / CHUNK);
    // SBC-3, 4.7.3.6: DATA PROTECT, SPACE ALLOCATION FAILED WRITE PROTECT.
    expect(refusal).toMatchObject({ status: 2, sense: "7/27/07" });
    expect(acknowledged).toBeGreaterThan((4 * MIB) / CHUNK);
    expect((await uqbar.flush()).status).toBe(0);
    await expectWritten(uqbar, acknowledged);

    await daemon.says(/ERROR: volume uqbar cannot grow: no space left where it is stored/);
    expect((await daemon.status()).state.volumes["uqbar"]?.alarm?.kind).toBe("full");
    expect(await daemon.metric('rackboot_volume_alarm{volume="uqbar",kind="full"}')).toBe(1);

    expect((await daemon.status()).state.faults["data-disk-failing"]?.reason).toContain("volume uqbar cannot grow");
    for (let again = 0; again < 20; again++) await uqbar.write((acknowledged * CHUNK) / BLOCK, pattern(acknowledged));
    expect(daemon.count(/volume uqbar cannot grow: no/)).toBeLessThanOrEqual(2);

    rmSync(ballast);
    expect(await uqbar.write((acknowledged * CHUNK) / BLOCK, pattern(acknowledged))).toMatchObject({ status: 0 });
    await expectWritten(uqbar, acknowledged + 1);
    await daemon.says(/volume uqbar has room to grow again; it was refused \d+ times/, 30_000);
    expect((await daemon.status()).state.volumes["uqbar"]?.alarm).toBeUndefined();
    expect((await daemon.status()).state.faults["data-disk-failing"]).toBeUndefined();
    expect(await daemon.metric("rackboot_pool_size_bytes")).toBe(16 * MIB);
    expect(await daemon.metric('rackboot_volume_used_bytes{volume="uqbar"}')).toBeGreaterThan(4 * MIB);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });

  it("makes a daemon without a disk for it say so, and serve the machines that have theirs", async () => {
    daemon.write(rack({ uqbar: { size: "8M" }, tlon: { file: "/nowhere/tlon.raw" } }));
    await daemon.start(withTmpfs(daemon.storage, 16));
    expect(daemon.log).toMatch(/ERROR: volume tlon is offline: \/nowhere\/tlon\.raw does not exist/);
    expect((await (await login("uqbar")).write(0, pattern(0))).status).toBe(0);
    await expect(login("tlon")).rejects.toThrow("refused with status 0x301");
  });
});

describe("a data disk that is not there", () => {
  it("is told of, costs only what needs it, and is used as soon as it is", async () => {
    const marker = join(daemon.storage, ".not-mounted");
    daemon.write(rack({ uqbar: { size: "8M" } }));
    mkdirSync(daemon.storage);
    writeFileSync(marker, "");
    await daemon.start();
    expect((await daemon.status()).state.faults["no-data-disk"]?.reason).toBe(`no disk is mounted on ${daemon.storage}`);
    await expect(login("uqbar")).rejects.toThrow("refused with status 0x301");
    const create = [process.execPath, "--no-warnings", RACKBOOT, "volume", "create", "other", "8M"];
    const refused = await run(create, { environment: { RACKBOOT_SOCKET: daemon.socket } });
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no data disk: no disk is mounted on") });
    expect((await fetch(`${daemon.url}/healthz`)).status).toBe(503);
    expect(readdirSync(daemon.storage)).toEqual([".not-mounted"]);

    rmSync(marker);
    await daemon.says(/beginning anew with it/);
    await daemon.says(/: ready$/m, 30_000);
    expect((await daemon.status()).state.faults["no-data-disk"]).toBeUndefined();
    expect((await (await login("uqbar")).write(0, pattern(0))).status).toBe(0);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });
});

describe("a database that cannot be used", () => {
  it("costs what was learned, and no machine its disk: it is a fault with what to do, and another one stands in for it", async () => {
    daemon.write(rack({ uqbar: { size: "8M" } }));
    mkdirSync(join(daemon.storage, "state.sqlite"), { recursive: true });
    await daemon.start();
    const fault = (await daemon.status()).state.faults["data-disk-failing"];
    expect(fault?.reason).toMatch(/state\.sqlite cannot be opened: .+/);
    expect(fault?.next).toMatch(/^check that this user may write to /);
    expect((await (await login("uqbar")).write(0, pattern(0))).status).toBe(0);
    // Two daemons would still write into each other's volumes.
    const second = await run([...daemon.command().slice(0, -1), join(daemon.folder, "second.sock")]);
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining("in use by another rackboot") });
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });

    rmSync(join(daemon.storage, "state.sqlite"), { recursive: true });
    await daemon.start();
    expect((await daemon.status()).state.faults["data-disk-failing"]).toBeUndefined();
  });
});

/** Loop devices need root, and a kernel that has them. */
const hasLoop = process.getuid?.() === 0 && existsSync("/dev/loop-control");

describe.skipIf(!hasLoop)("a disk that forgets what it took", () => {
  /**
   * A block device that takes writes into the page cache and cannot keep them: a loop device whose file has no room to
   * grow. Returns its path and how to make room.
   */
  async function forgetfulDevice(): Promise<string> {
    const folder = join(daemon.folder, "backing");
    await runOrThrow(["mkdir", folder]);
    await runOrThrow(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", folder]);
    resources.defer("backing file system", async () => void (await runOrThrow(["umount", "--lazy", folder])));
    await runOrThrow(["truncate", "-s", "32M", join(folder, "disk")]);
    const device = (await runOrThrow(["losetup", "--find", "--show", join(folder, "disk")])).trim();
    resources.defer(device, async () => void (await run(["losetup", "--detach", device])));
    return device;
  }

  it("is taken offline by the flush that fails, with its reason, and never acknowledges a flush again", async () => {
    const device = await forgetfulDevice();
    daemon.write(rack({ uqbar: { file: device }, tlon: { size: "16M" } }));
    await daemon.start();
    const busy = new BusyMachine(await login("tlon"));
    const uqbar = await login("uqbar");
    const { acknowledged } = await fill(uqbar, (16 * MIB) / CHUNK);
    expect(acknowledged).toBe((16 * MIB) / CHUNK);
    const flushed = await uqbar.flush();
    expect(flushed.status).toBe(2);
    const told = await daemon.says(/ERROR: volume uqbar is offline: .*/);
    expect(told[0]).toMatch(/fdatasync failed: (No space left on device|Input\/output error)/);
    expect((await daemon.status()).state.volumes["uqbar"]?.alarm).toMatchObject({ kind: "failed" });
    // Never retried into success.
    for (let i = 0; i < 3; i++) expect((await uqbar.flush()).status).toBe(2);
    expect((await uqbar.read(0, BLOCK)).status).toBe(2);
    expect(await busy.stop()).toBeGreaterThan(0);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  });

  it("is taken offline by the FUA write that fails, since nobody knows what else was lost", async () => {
    const device = await forgetfulDevice();
    daemon.write(rack({ uqbar: { file: device } }));
    await daemon.start();
    const uqbar = await login("uqbar");
    await fill(uqbar, (16 * MIB) / CHUNK);
    // Until one comes for which there is no room.
    let status = 0;
    for (let i = 0; status === 0 && i < 200; i++) status = (await uqbar.write((i * CHUNK) / BLOCK, pattern(i), { fua: true })).status;
    expect(status).toBe(2);
    expect((await uqbar.flush()).status).toBe(2);
    await daemon.says(/ERROR: volume uqbar is offline: .* (a write to stable storage failed|what was written is lost)/);
  });
});
