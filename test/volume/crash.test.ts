import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { mayMount, mountFileSystem } from "./file-systems.ts";
import { MIB, TestDisks } from "./support.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 60_000 });

const CHILD = join(import.meta.dirname, "crash-child.ts");
const OPERATIONS = ["create", "clone", "snapshot", "rollback", "resize", "rename", "deleteVolume", "deleteSnapshot", "import", "renew"];
const MAX_STEPS = 30;

/** Everything that a person could see of a store, apart from when. */
async function seen(storage: string): Promise<unknown> {
  const test = new TestDisks(storage);
  await test.configure();
  const volumes = await test.disks.operations.list();
  const contents = volumes.map(({ name, snapshots, origin, sizeBytes }) => ({
    name,
    sizeBytes,
    origin: origin?.replace(/auto-.*/, "auto"),
    boot: test.disks.store.library.catalogue.get(name)?.record.boot,
    first: test.read(name, 0, 1)[0],
    snapshots: snapshots.map((snapshot) => `${snapshot.name.replace(/auto-.*/, "auto")} of ${snapshot.sizeBytes}`),
  }));
  test.stop();
  expect(readdirSync(join(storage, "volumes")).filter((name) => name.startsWith("."))).toEqual([]);
  return contents;
}

describe.skipIf(!mayMount)("a daemon that is killed between two steps", () => {
  const resources = new Resources();
  let mounted: string;

  beforeAll(async () => {
    mounted = await mountFileSystem(resources, "xfs", 400);
    const test = new TestDisks(join(mounted, "before"));
    await test.configure();
    const { operations } = test.disks;
    await operations.create("root", 2 * MIB);
    test.write("root");
    await operations.snapshot("root", "v1");
    await operations.clone("root@v1", "copy");
    test.write("copy");
    await operations.snapshot("copy", "own");
    test.write("root");
    await operations.snapshot("root", "v2");
    test.write("root");
    await runOrThrow(["sleep", "0.1"]);
    test.stop();
  });
  afterAll(() => resources.close());

  it.each(OPERATIONS)("has done %s, or has not begun it", async (operation) => {
    const before = join(mounted, "before");
    const store = join(mounted, "store");
    const fresh = (): Promise<string> => runOrThrow(["sh", "-c", `rm -rf ${store} && cp -a --reflink=always ${before} ${store}`]);
    await fresh();
    const untouched = await seen(store);
    await fresh();
    const whole = await run([process.execPath, "--no-warnings", CHILD, store, operation, "0"]);
    expect(whole).toMatchObject({ code: 0, stderr: "" });
    const steps = Number(whole.stdout);
    const done = await seen(store);
    expect(done).not.toEqual(untouched);

    const outcomes: string[] = [];
    for (let step = 1; step <= steps; step++) {
      await fresh();
      await run([process.execPath, "--no-warnings", CHILD, store, operation, String(step)]);
      const after = JSON.stringify(await seen(store));
      const isDone = after === JSON.stringify(done);
      if (!isDone) expect(after).toBe(JSON.stringify(untouched));
      outcomes.push(isDone ? "done" : "not begun");
    }
    expect(steps).toBeLessThan(MAX_STEPS);
    // Once done, it stays done.
    expect(outcomes).toEqual([...outcomes].sort().reverse());
  });
});
