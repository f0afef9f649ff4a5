import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { mayMount, mountFileSystem } from "./file-systems.ts";
import { MIB, sparse, TestDisks } from "./support.ts";

describe.skipIf(!mayMount)("a pool that fills up", () => {
  const resources = new Resources();
  let mounted: string;
  beforeAll(async () => {
    mounted = await mountFileSystem(resources, "tmpfs", 100);
  });
  afterAll(() => resources.close());

  it("is told at 80 and 95 percent and when it eases, to people and to thin disks", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const test = new TestDisks(join(mounted, "data"));
      await test.configure({ thin: sparse(MIB), thick: sparse(MIB, { thin: false }) });
      const filler = join(mounted, "filler");
      const told = (): readonly string[] => test.events.flatMap((event) => (/^pool\.(filling|eased)/.test(event.type) ? [event.type] : []));
      for (const [mib, expected] of [
        [70, []],
        [82, ["pool.filling"]],
        [90, ["pool.filling"]],
        [79, ["pool.filling"]],
        [96, ["pool.filling", "pool.filling"]],
        [94, ["pool.filling", "pool.filling"]],
        [10, ["pool.filling", "pool.filling", "pool.eased"]],
      ] as const) {
        writeFileSync(filler, Buffer.alloc(mib * MIB, 1));
        vi.advanceTimersByTime(60_000);
        expect(told(), `${mib} MiB`).toEqual(expected);
      }
      expect(test.plane.attentions.map(({ asc, ascq }) => [asc, ascq])).toEqual([
        [0x38, 0x07],
        [0x38, 0x07],
      ]);
      test.stop();
      await runOrThrow(["rm", filler]);
    } finally {
      vi.useRealTimers();
    }
  });
});
