import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  diskPath,
  isDeviceName,
  MAX_DEVICES,
  MAX_DIRECTORY_ENTRIES,
  parseDevices,
  parseListing,
  parseReport,
} from "../../../src/volume/look/output.ts";

const DEVICES = `Device proc: Filesystem type procfs - Sector size 512B - Total size 0KiB
Device loop0: No known filesystem detected - Sector size 512B - Total size 1048576KiB
\tPartition loop0,gpt3: No known filesystem detected - Partition start at 373760KiB - Total size 674799.5KiB
\tPartition loop0,gpt2: Filesystem type xfs - Label \`boot', UUID 9f47bb7d-9c6f-4b2c-9e47-984e051f088c - Partition start at 66560KiB - Total size 307200KiB
\tPartition loop0,gpt1: Filesystem type fat, UUID 17C3-D7E0 - Partition start at 1024KiB - Total size 65536KiB
Device lvm/rhel-root: Filesystem type ext* - Last modification time 2026-11-22 12:33:41 Sunday, UUID 8a282daf-bb68-49e8-a4a1-2bf221e3630f - Sector size 512B - Total size 204800KiB
Device host: Filesystem type hostfs - Sector size 512B - Total size 0KiB

`;

test("partitions and logical volumes are told with what is on them, the appliance's own devices are not", () => {
  expect(parseDevices(DEVICES)).toEqual([
    { name: "loop0", sizeBytes: 2 ** 30 },
    { name: "loop0,gpt3", sizeBytes: 674799.5 * 1024 },
    { name: "loop0,gpt2", fileSystem: "xfs", uuid: "9f47bb7d-9c6f-4b2c-9e47-984e051f088c", label: "boot", sizeBytes: 307200 * 1024 },
    { name: "loop0,gpt1", fileSystem: "fat", uuid: "17C3-D7E0", sizeBytes: 65536 * 1024 },
    { name: "lvm/rhel-root", fileSystem: "ext*", uuid: "8a282daf-bb68-49e8-a4a1-2bf221e3630f", sizeBytes: 204800 * 1024 },
  ]);
});

describe("a label cannot pass for a device of the appliance", () => {
  test.each(["host", "proc", "hd0", "loop1", "loop0,gpt2)/../../(host", "lvm/a b", "lvm/a)b", "", "(loop0)"])("%s", (name) => {
    expect(isDeviceName(name)).toBe(false);
    expect(parseDevices(`Device ${name}: Filesystem type xfs - Sector size 512B - Total size 1KiB\n`)).toEqual([]);
  });
  test("nor can it give a file system another's UUID", () => {
    const line =
      "\tPartition loop0,gpt1: Filesystem type xfs - Label `x', UUID 1111-1111 - y', UUID 2222-2222 - Partition start at 1KiB - Total size 2KiB";
    expect(parseDevices(line)[0]).toMatchObject({ uuid: "2222-2222", sizeBytes: 2048 });
  });
});

test("a folder's entries come with their sizes; a link to nowhere is neither file nor folder", () => {
  const text =
    "DIR          20261122123341 grub2/\n44000000     20261122123341 initramfs img\n????????????             gone\n363         NOTIME.CFG\n\n";
  expect(parseListing(text)).toEqual([
    { name: "grub2", kind: "directory", sizeBytes: 0 },
    { name: "initramfs img", kind: "file", sizeBytes: 44000000 },
    { name: "gone", kind: "other", sizeBytes: 0 },
    { name: "NOTIME.CFG", kind: "file", sizeBytes: 363 },
  ]);
});

test("no folder is not an empty folder", () => {
  expect(parseListing("")).toBeUndefined();
  expect(parseListing("\n")).toEqual([]);
});

test("names that no path can hold are not shown", () => {
  expect(
    parseListing(`1            20261122123341 a\u0007b\nDIR          20261122123341 ../\n1            20261122123341 ${"x".repeat(256)}\n`),
  ).toEqual([]);
});

test("lists have an end however long they are", () => {
  expect(parseListing("1            20261122123341 a\n".repeat(MAX_DIRECTORY_ENTRIES + 10))).toHaveLength(MAX_DIRECTORY_ENTRIES);
  const many = Array.from({ length: 200 }, (_, index) => `Device loop0,gpt${index + 1}: No known filesystem detected - Total size 1KiB\n`);
  expect(parseDevices(many.join(""))).toHaveLength(MAX_DEVICES);
});

test.each([
  ["/boot//x", "/boot/x"],
  ["boot/./x", "/boot/x"],
  ["/", "/"],
  ["/a/../b", undefined],
  ["/a\nb", undefined],
  ["/a\0b", undefined],
  [`/${"x".repeat(300)}`, undefined],
])("the path %j is %j", (path, expected) => expect(diskPath(path)).toBe(expected));

test("the report tells what was read and how the reader ended", () => {
  expect(parseReport("read 0 512\nread 4096 100\nexit 1\n")).toEqual({
    ranges: [
      { offset: 0, length: 512 },
      { offset: 4096, length: 100 },
    ],
    ended: { kind: "exit", value: 1 },
  });
  expect(parseReport("read 0 512\n").ended).toBeUndefined();
});

test("text without sense ends in an answer", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseDevices(`Device loop0:${text}`);
      parseListing(text);
      parseReport(text);
    }),
  );
});
