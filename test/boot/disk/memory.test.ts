import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import type { DiskEntry, DiskFindings } from "../../../src/boot/disk/disk-boot.ts";
import { cameUp, choose, type DiskMemory, entryName, failed, NO_MEMORY, replaced, settle } from "../../../src/boot/disk/memory.ts";
import { DiskMemories } from "../../../src/boot/disk/memory-store.ts";
import { parseVolumeName } from "../../../src/machine/identifiers.ts";

function entry(version: string, sizeBytes = 1, id = version): DiskEntry {
  const file = (path: string): DiskEntry["kernel"] => ({ device: "loop0", path, sizeBytes });
  return { id, title: `Linux ${version}`, kernel: file(`/vmlinuz-${version}`), initrds: [file(`/initrd-${version}`)], arguments: "" };
}

function disk(entries: readonly DiskEntry[], variables: Readonly<Record<string, string>> = {}): DiskFindings {
  return {
    entries,
    menu: entries.map((each, index) => ({ id: each.id, title: each.title, entry: index })),
    variables: new Map(Object.entries(variables)),
    loaders: [],
    unifiedKernels: [],
    notes: [],
  };
}

const OLD = entry("6.1");
const NEW = entry("6.2");

/** A machine and its disk: each boot is given an entry, and comes up or does not. */
class Life {
  memory: DiskMemory = NO_MEMORY;
  #boot = 0;

  boot(findings: DiskFindings, comesUp: boolean): string {
    const boot = ++this.#boot;
    const settled = settle(findings, this.memory, boot);
    if (settled === undefined) return "nothing";
    this.memory = settled.after;
    // Boot loaders ask more than once.
    expect(settle(findings, this.memory, boot)?.index).toBe(settled.index);
    this.memory = comesUp ? cameUp(this.memory, boot) : failed(this.memory, boot);
    return `${settled.entry.title} (${settled.because})`;
  }
}

describe("a kernel that does not boot", () => {
  test("gives way to the one that last came up, after two boots", () => {
    const life = new Life();
    expect(life.boot(disk([OLD]), true)).toBe("Linux 6.1 (disk)");
    const updated = disk([NEW, OLD]);
    expect(life.boot(updated, false)).toBe("Linux 6.2 (disk)");
    expect(life.boot(updated, false)).toBe("Linux 6.2 (disk)");
    expect(life.boot(updated, true)).toBe("Linux 6.1 (fell-back)");
    expect(life.boot(updated, true)).toBe("Linux 6.1 (fell-back)");
    expect(settle(updated, life.memory)?.failed?.title).toBe("Linux 6.2");
  });

  test("gets another chance when it or its initramfs was made anew, and so does a newer one", () => {
    const life = new Life();
    for (const [entries, up] of [[[OLD], true] as const, [[NEW, OLD], false] as const, [[NEW, OLD], false] as const])
      life.boot(disk(entries), up);
    expect(settle(disk([NEW, OLD]), life.memory)?.entry).toBe(OLD);
    expect(settle(disk([entry("6.2", 2), OLD]), life.memory)?.because).toBe("disk");
    expect(settle(disk([entry("6.3"), NEW, OLD]), life.memory)?.entry.title).toBe("Linux 6.3");
  });

  test("is not blamed for boots that were not in a row", () => {
    const life = new Life();
    life.boot(disk([OLD]), true);
    for (const up of [false, true, false, true, false]) expect(life.boot(disk([NEW, OLD]), up)).toBe("Linux 6.2 (disk)");
  });

  test("stays where nothing ever came up: there is nothing better", () => {
    const life = new Life();
    for (let times = 0; times < 5; times++) expect(life.boot(disk([NEW, OLD]), false)).toBe("Linux 6.2 (disk)");
  });

  test("is found by its kernel under Debian's one name for whatever is newest", () => {
    const life = new Life();
    life.boot(disk([entry("6.1", 1, "simple")]), true);
    const updated = disk([entry("6.2", 1, "simple"), entry("6.2", 1, "advanced-6.2"), entry("6.1", 1, "advanced-6.1")]);
    life.boot(updated, false);
    life.boot(updated, false);
    expect(life.boot(updated, true)).toBe("Linux 6.1 (fell-back)");
  });

  test("is forgotten with a roll-back", () => {
    const life = new Life();
    for (const [entries, up] of [[[OLD], true] as const, [[NEW, OLD], false] as const, [[NEW, OLD], false] as const])
      life.boot(disk(entries), up);
    expect(settle(disk([NEW, OLD]), replaced(life.memory))?.because).toBe("disk");
  });
});

describe("a one-time entry", () => {
  test("of the disk is used for one boot, although the disk still names it", () => {
    const life = new Life();
    const asks = disk([NEW, OLD], { saved_entry: "6.2", next_entry: "6.1" });
    expect(life.boot(asks, true)).toBe("Linux 6.1 (next-entry)");
    expect(life.boot(asks, true)).toBe("Linux 6.2 (disk)");
    expect(life.boot(asks, true)).toBe("Linux 6.2 (disk)");
  });

  test("is used again when the disk asks for it again", () => {
    const life = new Life();
    const asks = disk([NEW, OLD], { next_entry: "6.1" });
    life.boot(asks, true);
    life.boot(disk([NEW, OLD]), true);
    expect(life.boot(asks, true)).toBe("Linux 6.1 (next-entry)");
  });

  test("is used up by a machine that boots, and not by whoever looks", () => {
    const asks = disk([NEW, OLD], { next_entry: "6.1" });
    const looked = settle(asks, NO_MEMORY);
    expect([looked?.because, looked?.after]).toEqual(["next-entry", NO_MEMORY]);
  });

  test("of a person's choice is used once too, and before the disk's", () => {
    const life = new Life();
    const asks = disk([NEW, OLD, entry("6.0")], { next_entry: "6.1" });
    life.memory = choose(life.memory, entryName(entry("6.0")), true);
    expect(life.boot(asks, true)).toBe("Linux 6.0 (chosen)");
    expect(life.boot(asks, true)).toBe("Linux 6.1 (next-entry)");
    expect(life.boot(asks, true)).toBe("Linux 6.2 (disk)");
  });
});

describe("a person's choice", () => {
  test("holds until it is taken back, and gives the entry a fresh start", () => {
    const life = new Life();
    const both = disk([NEW, OLD]);
    life.boot(disk([OLD]), true);
    for (let times = 0; times < 2; times++) life.boot(both, false);
    life.memory = choose(life.memory, entryName(NEW), false);
    for (let times = 0; times < 2; times++) expect(life.boot(both, false)).toBe("Linux 6.2 (chosen)");
    expect(life.boot(both, true)).toBe("Linux 6.1 (fell-back)");
    life.memory = choose(life.memory, entryName(OLD), false);
    expect(life.boot(both, true)).toBe("Linux 6.1 (chosen)");
    life.memory = choose(life.memory, undefined, false);
    expect(life.boot(disk([entry("6.3"), NEW, OLD]), true)).toBe("Linux 6.3 (disk)");
  });

  test("of an entry that is gone is what the disk says", () => {
    expect(settle(disk([NEW]), choose(NO_MEMORY, entryName(OLD), false), 1)?.because).toBe("disk");
  });
});

test("a disk without entries has none to give", () => {
  expect(settle(disk([]), NO_MEMORY, 1)).toBeUndefined();
});

test("a restart of the daemon forgets nothing, and a disk that is renamed keeps what it was", () => {
  const database = new DatabaseSync(":memory:");
  const [one, two] = [parseVolumeName("uqbar-root"), parseVolumeName("tlon-root")];
  const memory = choose(NO_MEMORY, entryName(OLD), true);
  new DiskMemories(database).set(one, memory);
  const again = new DiskMemories(database);
  expect(again.get(one)).toEqual(memory);
  again.rename(one, two);
  expect(new DiskMemories(database).get(one)).toEqual(NO_MEMORY);
  expect(new DiskMemories(database).get(two)).toEqual(memory);
  again.forget(two);
  expect(new DiskMemories(database).get(two)).toEqual(NO_MEMORY);
  database.close();
});
