import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Resources } from "../harness/resources.ts";
import { killUnderLoad } from "../peers/killed-daemon.ts";
import { killUnderFio } from "../peers/killed-fio.ts";
import { type FileSystem, mayMount, mountFileSystem } from "../volume/file-systems.ts";
import { amount, record } from "./record.ts";

describe.skipIf(!mayMount).each<{ readonly fileSystem: FileSystem; readonly kills: number }>([
  { fileSystem: "xfs", kills: amount("KILLS", 50) },
  { fileSystem: "btrfs", kills: 10 },
  { fileSystem: "ext4", kills: 10 },
])("on $fileSystem, a daemon that is killed $kills times under machines that write to their clones", ({ fileSystem, kills }) => {
  let resources: Resources;
  let mounted: string;
  beforeEach(async () => {
    resources = new Resources();
    mounted = await mountFileSystem(resources, fileSystem, 1024);
  });
  afterEach(() => resources.close());

  it("loses no acknowledged write, and tears no sector", async () => {
    const report = await killUnderLoad({ storage: join(mounted, "data"), machines: 4, kills });
    record(`killed-daemon-${fileSystem}`, { ...report, lost: 0, torn: 0 });
    expect(report.acknowledged).toBeGreaterThan(100 * kills);
  });

  it("gives fio back what fio wrote, verified block by block", async () => {
    const report = await killUnderFio({ storage: join(mounted, "fio"), machines: 2, kills });
    record(`killed-fio-${fileSystem}`, { ...report, mismatches: 0 });
    expect(report.verified).toBeGreaterThan(100 * kills);
  });
});
