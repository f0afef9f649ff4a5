import { mkdtempSync, renameSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { MachineName, VolumeName } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { mayMount, mountFileSystem } from "./file-systems.ts";
import { cloneOf, MIB, refusal, sparse, TestDisks } from "./support.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const ROOT = "uqbar/0" as VolumeName;
const VOLUMES = { golden: sparse(4 * MIB), [ROOT]: cloneOf("golden", 8 * MIB) };
const uqbar = (changes: Partial<Machine> = {}): Readonly<Record<string, Partial<Machine>>> => ({ uqbar: { disks: [ROOT], ...changes } });

describe.skipIf(!mayMount).each(["xfs", "tmpfs"] as const)("on %s", (fileSystem) => {
  const resources = new Resources();
  let mounted: string;
  let test: TestDisks;
  let number = 0;

  beforeAll(async () => {
    mounted = await mountFileSystem(resources, fileSystem, 400);
  });
  afterAll(() => resources.close());
  beforeEach(() => {
    test = new TestDisks(join(mounted, `data${number++}`));
  });
  afterEach(() => test.stop());

  const isThere = (): boolean => test.disks.store.library.catalogue.get(ROOT) !== undefined;

  it("a clone inside a machine is made when the machine first boots, from what its origin is then", async () => {
    await test.configure(VOLUMES, uqbar());
    expect(isThere()).toBe(false);
    const golden = test.write("golden");
    const boots = test.disks.machines.begin(test.boot("uqbar", 1));
    await test.disks.machines.ready("uqbar" as MachineName);
    expect(test.disks.store.get(ROOT)?.sizeBytes).toBe(8 * MIB);
    expect(test.read(ROOT.replace("/", ":"))).toEqual(golden);
    await boots;
  });

  it("a login makes it too, where no boot was heard of", async () => {
    await test.configure(VOLUMES, uqbar());
    await test.disks.machines.ready("uqbar" as MachineName);
    expect(test.disks.store.get(ROOT)).toBeDefined();
  });

  it("what a machine wrote is there at its next boot", async () => {
    await test.configure(VOLUMES, uqbar());
    await test.disks.machines.begin(test.boot("uqbar", 1));
    const own = test.write(ROOT);
    await test.disks.machines.begin(test.boot("uqbar", 2));
    expect(test.read(ROOT)).toEqual(own);
  });

  it("every boot of an ephemeral machine starts from the origin, and no reconnect does", async () => {
    await test.configure(VOLUMES, uqbar({ ephemeral: true }));
    const golden = test.write("golden");
    const name = test.boot("uqbar", 1);
    await test.disks.machines.begin(name);
    const { uuid } = await test.disks.operations.show(ROOT);
    test.boot("uqbar", 1, true);
    const own = test.write(ROOT);
    await test.disks.machines.ready(name);
    expect(test.read(ROOT)).toEqual(own);

    await test.disks.machines.begin(test.boot("uqbar", 2));
    expect(test.read(ROOT)).toEqual(golden);
    expect(await test.disks.operations.show(ROOT)).toMatchObject({ uuid, sizeBytes: 8 * MIB });
    expect(test.told("volume.renewed")).toHaveLength(1);
  });

  it("one packet that looks like its firmware's does not cost an ephemeral machine its disk, nor does coming back", async () => {
    await test.configure(VOLUMES, uqbar({ ephemeral: true }));
    const golden = test.write("golden");
    const name = test.boot("uqbar", 1);
    await test.disks.machines.begin(name);
    const own = test.write(ROOT);
    test.boot("uqbar", 2, false, false);
    await test.disks.machines.ready(name);
    await test.disks.machines.ready(name, "reconnect");
    expect(test.read(ROOT)).toEqual(own);
    // Firmware with an initiator of its own asks for no file: its login says that it booted, unless the machine is there.
    test.connected.add(name);
    await test.disks.machines.ready(name, "login");
    expect(test.read(ROOT)).toEqual(own);
    test.connected.delete(name);
    await test.disks.machines.ready(name, "login");
    expect(test.read(ROOT)).toEqual(golden);
  });

  it("a login that arrives while the disk is being renewed waits for it", async () => {
    await test.configure(VOLUMES, uqbar({ ephemeral: true }));
    const golden = test.write("golden");
    await test.disks.machines.begin(test.boot("uqbar", 1));
    test.write(ROOT);
    const beginning = test.disks.machines.begin(test.boot("uqbar", 2));
    await test.disks.machines.ready("uqbar" as MachineName);
    expect(test.read(ROOT)).toEqual(golden);
    await beginning;
  });

  it("a daemon that restarts before the login of a boot still renews the disk, and one that restarts after it does not", async () => {
    await test.configure(VOLUMES, uqbar({ ephemeral: true }));
    const golden = test.write("golden");
    await test.disks.machines.begin(test.boot("uqbar", 1));
    test.write(ROOT);
    test.stop();
    const restarted = new TestDisks(test.storage);
    await restarted.configure(VOLUMES, uqbar({ ephemeral: true }));
    await restarted.disks.machines.ready(restarted.boot("uqbar", 2));
    expect(restarted.read(ROOT)).toEqual(golden);
    const own = restarted.write(ROOT);
    restarted.stop();
    const again = new TestDisks(test.storage);
    await again.configure(VOLUMES, uqbar({ ephemeral: true }));
    await again.disks.machines.ready(again.boot("uqbar", 2, true));
    expect(again.read(ROOT)).toEqual(own);
    again.stop();
  });

  it("an ephemeral machine is given no disk at all rather than the one of its last boot", async () => {
    await test.configure(VOLUMES, uqbar({ ephemeral: true }));
    const name = test.boot("uqbar", 1);
    await test.disks.machines.begin(name);
    renameSync(test.path("golden"), `${test.path("golden")}.away`);
    await test.disks.machines.begin(test.boot("uqbar", 2));
    expect(test.disks.store.get(ROOT)).toBeUndefined();
    expect(test.told("volume.failed").at(-1)).toMatchObject({ volume: ROOT });
    renameSync(`${test.path("golden")}.away`, test.path("golden"));
    await test.disks.machines.ready(name);
    expect(test.disks.store.get(ROOT)).toBeDefined();
  });

  it("a reset throws away what the machine wrote, and is refused while it is connected", async () => {
    await test.configure(VOLUMES, uqbar());
    const name = test.boot("uqbar", 1);
    await test.disks.machines.begin(name);
    const golden = test.write("golden");
    const own = test.write(ROOT);
    await test.disks.operations.snapshot(ROOT, "before");
    test.connected.add(name);
    expect(await refusal(test.disks.machines.reset(name, false))).toContain("uqbar is connected");
    expect(test.read(ROOT)).toEqual(own);
    expect(await test.disks.machines.reset(name, true)).toEqual([ROOT]);
    expect(test.fenced.at(-1)).toBe("uqbar: the machine is being reset");
    expect(test.read(ROOT)).toEqual(golden);
    await test.disks.operations.rollback(`${ROOT}@before`);
    expect(test.read(ROOT)).toEqual(own);
  });

  it("a machine without a clone has nothing to reset", async () => {
    await test.configure({ plain: sparse(4 * MIB) }, { tlon: ["plain"] });
    expect(await refusal(test.disks.machines.reset("tlon" as MachineName, false))).toContain("has no disk that is a clone");
    expect(await refusal(test.disks.machines.reset("nobody" as MachineName, false))).toContain("there is no machine nobody");
  });

  it("a clone that a person made is reset to what it was made of, whatever its origin is called now", async () => {
    await test.configure({}, { uqbar: ["mine"] });
    await test.disks.operations.create("golden", 4 * MIB);
    const golden = test.write("golden");
    await test.disks.operations.snapshot("golden", "v1");
    await test.disks.operations.clone("golden@v1", "mine");
    await test.disks.operations.rename("golden", "gold");
    test.write("gold");
    test.write("mine");
    await test.disks.machines.reset(test.boot("uqbar", 1), false);
    expect(test.read("mine")).toEqual(golden);
  });

  it("forty machines that boot at once hang on one snapshot", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `m${index}`);
    const volumes = Object.fromEntries(names.map((name) => [`${name}/0`, cloneOf("golden")]));
    const machines = Object.fromEntries(names.map((name) => [name, { disks: [`${name}/0` as VolumeName], ephemeral: true }]));
    await test.configure({ golden: sparse(4 * MIB), ...volumes }, machines);
    test.write("golden");
    await runOrThrow(["sleep", "0.1"]);
    for (const boot of [1, 2]) await Promise.all(names.map((name) => test.disks.machines.begin(test.boot(name, boot))));
    const { snapshots } = await test.disks.operations.show("golden");
    expect(snapshots.map(({ clones }) => clones.length)).toEqual(fileSystem === "xfs" ? [40] : []);
    expect(test.told("volume.failed")).toEqual([]);
  });
});

describe("a disk that only the store knows", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "rackboot-disks-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is served with the settings that it was made with", async () => {
    const test = new TestDisks(folder);
    await test.configure({}, { uqbar: ["made"] });
    expect(test.told("volume.failed")).toMatchObject([{ volume: "made", reason: expect.stringContaining("rackboot volume create made") }]);
    await test.disks.operations.create("made", 4 * MIB, { blockSize: 4096, readOnly: true });
    expect([...test.plane.volumes.values()]).toEqual([
      { path: test.path("made"), sizeBytes: 0, blockSize: 4096, readOnly: true, writeCache: true, thin: true },
    ]);
    await test.configure({}, { uqbar: ["made"] });
    expect([...test.plane.volumes.keys()]).toEqual([1]);
    test.stop();
  });

  it("is not given to two machines unless it says so", async () => {
    const test = new TestDisks(folder);
    await test.configure();
    await test.disks.operations.create("alone", 4 * MIB);
    await test.disks.operations.create("tools", 4 * MIB, { shared: true });
    await test.configure({}, { uqbar: ["alone", "tools"], tlon: ["alone", "tools"] });
    expect(test.told("volume.failed")).toMatchObject([{ volume: "alone", reason: expect.stringContaining("uqbar and tlon both name it") }]);
    expect(test.disks.store.get("tools" as VolumeName)).toBeDefined();
    test.stop();
  });

  it("that was cut short or removed by hand costs itself, and no other", async () => {
    const test = new TestDisks(folder);
    const volumes = { good: sparse(4 * MIB), short: sparse(4 * MIB), gone: sparse(4 * MIB) };
    await test.configure(volumes);
    await test.disks.operations.resize("short", 6 * MIB);
    await test.disks.operations.snapshot("short", "v1");
    test.stop();
    rmSync(test.path("gone"));
    truncateSync(test.path("short"), 5 * MIB);
    const again = new TestDisks(folder);
    await again.configure(volumes);
    expect(again.told("volume.failed")).toMatchObject([
      { volume: "short", reason: expect.stringContaining("has 5M of the 6M of short: it was cut short") },
      { volume: "gone", reason: expect.stringContaining("does not exist; restore it") },
    ]);
    expect(again.disks.store.get("good" as VolumeName)).toBeDefined();
    expect((await again.disks.operations.rollback("short@v1")).sizeBytes).toBe(6 * MIB);
    expect(again.disks.store.get("short" as VolumeName)).toBeDefined();
    again.stop();
  });

  it("of a file elsewhere follows the configuration", async () => {
    const [one, two] = [join(folder, "one.img"), join(folder, "two.img")];
    for (const path of [one, two]) await runOrThrow(["truncate", "-s", "4M", path]);
    const at = (path: string) => ({ ...sparse(0), source: { kind: "file", path } }) as const;
    const test = new TestDisks(join(folder, "data"));
    await test.configure({ disk: at(one) });
    const { uuid } = await test.disks.operations.show("disk");
    await test.configure({ disk: at(two) });
    expect([...test.plane.volumes.values()].map(({ path }) => path)).toEqual([two]);
    expect(await test.disks.operations.show("disk")).toMatchObject({ uuid, file: two });
    expect(await refusal(test.disks.operations.resize("disk", 8 * MIB))).toContain("outside of the store");
    await test.disks.operations.snapshot("disk", "v1");
    expect(await refusal(test.disks.operations.rollback("disk@v1"))).toContain("clone disk@v1 instead");
    await test.configure({ disk: sparse(4 * MIB) });
    expect(test.told("volume.failed").at(-1)).toMatchObject({
      volume: "disk",
      reason: expect.stringContaining(`go back to "file: ${two}"`),
    });
    test.stop();
  });
});
