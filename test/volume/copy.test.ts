import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { copySparse, dataRuns } from "../../src/volume/copy.ts";
import { formatOf } from "../../src/volume/formats.ts";
import { Locks } from "../../src/volume/locks.ts";
import { run } from "../harness/process.ts";
import { allocated, MIB, writeAt } from "./support.ts";

vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-copy-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("a copy without shared blocks", () => {
  it("has every octet, and a hole wherever there was one", async () => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    writeFileSync(from, "");
    truncateSync(from, 300 * MIB + 512);
    writeAt(from, 0, 100);
    writeAt(from, 200 * MIB - 1000, 5000);
    writeAt(from, 300 * MIB, 512);
    const progress: number[] = [];
    await copySparse(from, to, { onProgress: ({ doneBytes, totalBytes }) => progress.push(doneBytes / (totalBytes ?? 1)) });
    expect(readFileSync(to).equals(readFileSync(from))).toBe(true);
    expect(allocated(to)).toBeLessThan(MIB);
    expect(progress.at(-1)).toBe(1);
  });

  it("stops when it is called off", async () => {
    const from = join(folder, "from");
    writeFileSync(from, Buffer.alloc(4 * MIB, 1));
    await expect(copySparse(from, join(folder, "to"), { signal: AbortSignal.abort() })).rejects.toThrow("aborted");
  });

  it("asks for room before it writes", async () => {
    const from = join(folder, "from");
    writeFileSync(from, Buffer.alloc(4 * MIB, 1));
    const room = (bytes: number): void => {
      throw new Error(`no room for ${bytes}`);
    };
    await expect(copySparse(from, join(folder, "to"), { room })).rejects.toThrow(`no room for ${4 * MIB}`);
    expect(statSync(join(folder, "to"), { throwIfNoEntry: false })).toBeUndefined();
  });
});

it("every octet that is not zero is in a run, and every run begins and ends where one is near", () => {
  const block = fc.oneof(fc.constant(new Uint8Array(4096)), fc.uint8Array({ minLength: 1, maxLength: 4096 }));
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), (blocks) => {
      const data = Buffer.concat(blocks);
      const copy = Buffer.alloc(data.length);
      let last = -1;
      for (const [start, end] of dataRuns(data)) {
        expect(start % 4096).toBe(0);
        expect(start).toBeGreaterThan(last);
        expect(data.subarray(start, Math.min(start + 4096, end)).some((octet) => octet !== 0)).toBe(true);
        data.copy(copy, start, start, end);
        last = end;
      }
      expect(copy.equals(data)).toBe(true);
    }),
  );
});

describe("an image's format", () => {
  it.each(["qcow2", "vmdk", "vhdx", "vdi", "qed", "parallels", "raw"])("%s is told by its beginning", async (format) => {
    const image = join(folder, "image");
    const made = await run(["qemu-img", "create", "-q", "-f", format, image, "4M"]);
    if (made.code !== 0) return;
    expect(formatOf(readFileSync(image))).toBe(format);
  });

  it("a compressed image is refused, with the way to bring it in", async () => {
    const compressed = await promisify(gzip)(Buffer.alloc(1000));
    expect(() => formatOf(compressed)).toThrow("zcat FILE | rackboot volume import");
  });

  it("anything else is raw, and nothing is read beyond the end", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (octets) => typeof formatOf(Uint8Array.of(0, ...octets)) === "string"));
  });
});

describe("who works on a volume", () => {
  it("works alone, or with those who only read; nobody overtakes, and failures let the next one in", async () => {
    const locks = new Locks<string>();
    const log: string[] = [];
    const work = (name: string) => async (): Promise<void> => {
      log.push(`+${name}`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`-${name}`);
      if (name === "fails") throw new Error("fails");
    };
    const all = [
      locks.shared("a", work("r1")),
      locks.shared("a", work("r2")),
      locks.exclusive("a", work("fails")).catch(() => undefined),
      locks.shared("a", work("r3")),
      locks.exclusive("b", work("other")),
      locks.exclusive("a", work("w")),
    ];
    await Promise.all(all);
    expect(log.filter((entry) => !entry.includes("other"))).toEqual([
      "+r1",
      "+r2",
      "-r1",
      "-r2",
      "+fails",
      "-fails",
      "+r3",
      "-r3",
      "+w",
      "-w",
    ]);
    expect(log.indexOf("+other")).toBeLessThan(log.indexOf("-r1"));
  });
});
