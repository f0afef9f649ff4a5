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
