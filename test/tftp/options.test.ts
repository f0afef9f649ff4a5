import fc from "fast-check";
import { expect, test } from "vitest";
import { ETHERNET_BLKSIZE, negotiate } from "../../src/tftp/options.ts";
import { decodePacket, type TftpOption } from "../../src/tftp/packet.ts";
import { vector } from "./support.ts";

const LIMITS = { blksize: ETHERNET_BLKSIZE, windowsize: 16 };

function asked(name: string): readonly TftpOption[] {
  const packet = decodePacket(vector(name));
  return packet.kind === "rrq" ? packet.options : [];
}

test.each([
  ["ovmf-rrq-probe", 1468, 4, "tsize=5000 blksize=1468 windowsize=4"],
  ["ovmf-rrq", 1468, 4, "blksize=1468 windowsize=4"],
  ["shim-rrq", 512, 4, "blksize=512 windowsize=4"],
  ["grub-rrq", 1024, 1, "blksize=1024 tsize=5000"],
  ["ipxe-rrq", 1432, 1, "blksize=1432 tsize=5000"],
  ["atftp-rrq", 1428, 4, "tsize=5000 timeout=3 blksize=1428 windowsize=4"],
  ["npm-tftp-rrq", 1468, 4, "blksize=1468 windowsize=4 tsize=5000"],
  ["tftp-hpa-rrq", 512, 1, ""],
])("%s gets what it asked for, and no option that we do not know", (name, blksize, windowsize, oack) => {
  const options = negotiate(asked(name), LIMITS, 5000);
  expect(options).toMatchObject({ blksize, windowsize });
  expect(options.oack.map((option) => option.join("=")).join(" ")).toBe(oack);
});

test("a block never needs fragments and a window never floods, whatever a client asks for", () => {
  const options = negotiate(
    [
      ["blksize", "65464"],
      ["windowsize", "65535"],
    ],
    LIMITS,
    1,
  );
  expect(options).toMatchObject({
    blksize: 1468,
    windowsize: 16,
    oack: [
      ["blksize", "1468"],
      ["windowsize", "16"],
    ],
  });
});

test("option names compare without case and come back as they were sent", () => {
  expect(negotiate([["BlkSize", "1024"]], LIMITS, 1)).toMatchObject({ blksize: 1024, oack: [["BlkSize", "1024"]] });
});

test("a timeout is agreed to the second", () => {
  expect(negotiate([["timeout", "6"]], LIMITS, 1)).toMatchObject({ timeoutMs: 6000, oack: [["timeout", "6"]] });
});

test("the size is not promised where it is not known", () => {
  expect(negotiate([["tsize", "0"]], LIMITS, undefined).oack).toEqual([]);
});

test.each([
  ["blksize", "7"],
  ["blksize", "-1"],
  ["blksize", "1e3"],
  ["blksize", ""],
  ["timeout", "0"],
  ["timeout", "256"],
  ["windowsize", "0"],
  ["windowsize", "65536"],
  ["tsize", "9".repeat(30)],
  ["constructor", "1"],
])("%s=%s is passed over and the transfer runs without it", (name, value) => {
  expect(negotiate([[name, value]], LIMITS, 5000)).toEqual({ blksize: 512, windowsize: 1, oack: [] });
});

test("of an option given twice the first counts", () => {
  expect(
    negotiate(
      [
        ["blksize", "1024"],
        ["BLKSIZE", "8"],
      ],
      LIMITS,
      1,
    ),
  ).toMatchObject({ blksize: 1024, oack: [["blksize", "1024"]] });
});

test("a storm of options of any kind ends within the limits, and agrees to none twice", { timeout: 60_000 }, () => {
  const name = fc.oneof(fc.constantFrom("blksize", "BLKSIZE", "windowsize", "WindowSize", "tsize", "timeout", "__proto__"), fc.string());
  const value = fc.oneof(fc.string({ maxLength: 20 }), fc.integer().map(String), fc.nat(70_000).map(String));
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 60 }), fc.option(fc.nat(), { nil: undefined }), (options, sizeBytes) => {
      const { blksize, windowsize, timeoutMs = 1000, oack } = negotiate(options, LIMITS, sizeBytes);
      const isWithin = blksize >= 8 && blksize <= LIMITS.blksize && windowsize >= 1 && windowsize <= LIMITS.windowsize;
      const isOnce = new Set(oack.map(([each]) => each.toLowerCase())).size === oack.length;
      return isWithin && timeoutMs >= 1000 && timeoutMs <= 255_000 && isOnce;
    }),
    { numRuns: 10_000 },
  );
});
