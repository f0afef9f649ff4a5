import fc from "fast-check";
import { expect, test } from "vitest";
import { mediaType, parseRange } from "../../src/http/content.ts";

test.each([
  ["/uqbar/shimx64.efi", "application/efi"],
  ["/uqbar/SHIMX64.EFI", "application/efi"],
  ["/x/grubnetx64.efi.signed", "application/efi"],
  ["/x.iso", "application/vnd.efi-iso"],
  ["/grub/grub.cfg", "text/plain; charset=utf-8"],
  ["/grub/grub.cfg-01-52-54-00-16-00-10", "text/plain; charset=utf-8"],
  ["/uqbar/boot.ipxe", "text/plain; charset=utf-8"],
  ["/uqbar/vmlinuz", "application/octet-stream"],
])("UEFI believes %s to be %s", (path, type) => {
  expect(mediaType(path)).toBe(type);
});

test.each([
  [undefined, "whole"],
  ["bytes=0-9", { first: 0, last: 9 }],
  ["bytes=90-", { first: 90, last: 99 }],
  ["bytes=90-1000", { first: 90, last: 99 }],
  ["bytes=-10", { first: 90, last: 99 }],
  ["bytes=-1000", { first: 0, last: 99 }],
  ["BYTES=0-0", { first: 0, last: 0 }],
  ["bytes=100-", "unsatisfiable"],
  ["bytes=-0", "unsatisfiable"],
  ["bytes=9-0", "whole"],
  ["bytes=-", "whole"],
  ["bytes=0-1,5-6", "whole"],
  ["lines=0-9", "whole"],
  ["bytes=a-b", "whole"],
])("of a hundred octets %j is %j", (header, range) => {
  expect(parseRange(header, 100)).toEqual(range);
});

test("an empty file has no part", () => {
  expect(parseRange("bytes=0-", 0)).toBe("unsatisfiable");
  expect(parseRange(undefined, 0)).toBe("whole");
});

test("whatever a Range header says, no octet outside of the file is asked for", { timeout: 60_000 }, () => {
  const piece = fc.constantFrom("bytes=", "-", ",", "0", "9", "99", "1".repeat(16), " ", "e", "\0", "0x1");
  const text = fc.oneof(
    fc.string({ maxLength: 30 }),
    fc.array(piece, { maxLength: 8 }).map((pieces) => `bytes=${pieces.join("")}`),
  );
  fc.assert(
    fc.property(text, fc.nat(200), (header, sizeBytes) => {
      const range = parseRange(header, sizeBytes);
      return typeof range !== "object" || (range.first >= 0 && range.first <= range.last && range.last < sizeBytes);
    }),
    { numRuns: 10_000 },
  );
});
