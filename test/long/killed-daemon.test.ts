import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Resources } from "../harness/resources.ts";
import { killUnderLoad } from "../peers/killed-daemon.ts";
import { type FileSystem, mayMount, mountFileSystem } from "../volume/file-systems.ts";

describe.skipIf(!mayMount).each<{ readonly fileSystem: FileSystem; readonly kills: number }>([
  { fileSystem: "xfs", kills: 50 },
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
    console.log(`${fileSystem}: ${JSON.stringify(report)}`);
    expect(report.acknowledged).toBeGreaterThan(100 * kills);
  });
});
