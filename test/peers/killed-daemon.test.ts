import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Resources } from "../harness/resources.ts";
import { mayMount, mountFileSystem } from "../volume/file-systems.ts";
import { killUnderLoad } from "./killed-daemon.ts";
import { killUnderFio } from "./killed-fio.ts";

describe.skipIf(!mayMount)("a daemon that is killed under machines that write to their clones", () => {
  const resources = new Resources();
  let mounted: string;
  beforeAll(async () => {
    mounted = await mountFileSystem(resources, "xfs", 512);
  });
  afterAll(() => resources.close());

  it("loses no acknowledged write, and tears no sector, in five kills", async () => {
    const report = await killUnderLoad({ storage: join(mounted, "data"), machines: 4, kills: 5 });
    expect(report).toMatchObject({ kills: 5 });
    expect(report.acknowledged).toBeGreaterThan(500);
  }, 300_000);

  it("gives fio back what fio wrote, over five kills", async () => {
    const report = await killUnderFio({ storage: join(mounted, "fio"), machines: 2, kills: 5 });
    expect(report.verified).toBeGreaterThan(500);
  }, 300_000);
});
