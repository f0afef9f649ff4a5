import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RACKBOOT } from "../harness/daemon.ts";
import { type Result, run } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { mayMount, mountFileSystem } from "../volume/file-systems.ts";
import { BLOCK, BusyMachine, DiskClient } from "./disk-client.ts";
import { LoopbackDaemon } from "./loopback-daemon.ts";

/** Disks that are worked on while a machine uses them: the daemon as a user runs it, on XFS, with real sessions. */

const READ_CAPACITY_10 = Uint8Array.of(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const TEST_UNIT_READY = Uint8Array.of(0, 0, 0, 0, 0, 0);
const octets = (fill: string): Buffer => Buffer.alloc(8 * BLOCK, fill);

describe.skipIf(!mayMount)("disks of machines that run", () => {
  let resources: Resources;
  let daemon: LoopbackDaemon;

  beforeEach(async () => {
    resources = new Resources();
    daemon = new LoopbackDaemon(resources);
    const path = join(await mountFileSystem(resources, "xfs", 512), "data");
    mkdirSync(path);
    const machine = (number: number, disk: unknown): object => ({ mac: `52:54:00:16:02:0${number}`, initiator: "any", disks: [disk] });
    daemon.write({
      storage: { path },
      volumes: { golden: { size: "16M" } },
      machines: { maker: machine(1, "golden"), uqbar: machine(2, { clone: "golden" }), tlon: machine(3, "made") },
    });
    await daemon.start();
  });
  afterEach(() => resources.close());

  const login = (machine: string): Promise<DiskClient> => DiskClient.login(resources, daemon.portal, machine);
  const rackboot = (...words: readonly string[]): Promise<Result> =>
    run([process.execPath, "--no-warnings", RACKBOOT, ...words], { environment: { RACKBOOT_SOCKET: daemon.socket } });
  const done = async (...words: readonly string[]): Promise<void> => {
    expect(await rackboot(...words), words.join(" ")).toMatchObject({ code: 0, stderr: "" });
  };

  it("grow in use: the machine is told, and writes where there was nothing before", async () => {
    const maker = await login("maker");
    await done("volume", "resize", "golden", "32M");
    // SPC-4, D.2: CAPACITY DATA HAS CHANGED, once.
    expect(await maker.run(TEST_UNIT_READY)).toMatchObject({ status: 2, sense: "6/2a/09" });
    expect(await maker.run(TEST_UNIT_READY)).toMatchObject({ status: 0 });
    const { data } = await maker.run(READ_CAPACITY_10, { read: 8 });
    expect(Buffer.from(data).readUInt32BE(0)).toBe((32 * 1024 * 1024) / BLOCK - 1);
    expect((await maker.write((31 * 1024 * 1024) / BLOCK, octets("new"))).status).toBe(0);
  });

  it("are snapshotted and cloned while they are written, and every snapshot is of one instant", async () => {
    const busy = new BusyMachine(await login("maker"));
    for (let round = 0; round < 5; round++) await done("volume", "snapshot", "golden", `s${round}`);
    await done("volume", "clone", "golden", "made");
    expect(await busy.stop()).toBeGreaterThan(0);
    // The clone that was missing is there for the machine that names it.
    const tlon = await login("tlon");
    expect((await tlon.read(0, 8 * BLOCK)).status).toBe(0);
  });

  it("are not taken away from a machine unless asked, and then it finds the new ones when it comes back", async () => {
    const maker = await login("maker");
    await maker.write(0, octets("golden"));
    const uqbar = await login("uqbar");
    expect(octets("golden").equals(Buffer.from((await uqbar.read(0, 8 * BLOCK)).data))).toBe(true);
    await uqbar.write(0, octets("mine"));
    await done("volume", "snapshot", "uqbar/0", "before");
    for (const words of [
      ["machine", "reset", "uqbar"],
      ["volume", "rollback", "uqbar/0@before"],
      ["volume", "delete", "uqbar/0"],
    ]) {
      expect(await rackboot(...words)).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("uqbar") });
    }
    expect(octets("mine").equals(Buffer.from((await uqbar.read(0, 8 * BLOCK)).data))).toBe(true);

    await done("machine", "reset", "--force", "uqbar");
    await uqbar.initiator.closed;
    const again = await login("uqbar");
    expect(octets("golden").equals(Buffer.from((await again.read(0, 8 * BLOCK)).data))).toBe(true);
    await done("volume", "rollback", "--force", "uqbar/0@before");
    await again.initiator.closed;
    const back = await login("uqbar");
    expect(octets("mine").equals(Buffer.from((await back.read(0, 8 * BLOCK)).data))).toBe(true);
  });

  it("come in through stdin and go out through stdout as they are", async () => {
    const source = join(daemon.folder, "image");
    const script = [
      `head -c 3000000 /dev/urandom > ${source}; truncate -s 8M ${source}`,
      `"$0" --no-warnings "$1" volume import - piped < ${source}`,
      `"$0" --no-warnings "$1" volume export piped - | cmp - ${source}`,
    ].join(" && ");
    const result = await run(["sh", "-c", script, process.execPath, RACKBOOT], { environment: { RACKBOOT_SOCKET: daemon.socket } });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    rmSync(source);
  });
});
